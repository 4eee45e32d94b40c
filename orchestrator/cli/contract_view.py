"""How a contract stands and who can do what next, told to people and to programs."""

from collections.abc import Iterator
from typing import NamedTuple

from orchestrator.actions.contract_state import ContractState
from orchestrator.actions.wording import count_of
from orchestrator.core.hexadecimal import to_hex
from orchestrator.core.units import DAY_S, format_second

# --- Who can do what next -------------------------------------------------------------------------


class Option(NamedTuple):
    """Something that can be done: by whom, from when until when (None: no end), with what."""

    who: str
    what: str
    from_s: int
    until_s: int | None
    command: str


def options(found: ContractState) -> list[Option]:
    """What can still be done, soonest first, and what is possible now before what will be."""
    choices = [*_of_payout(found), *_of_feedback(found)]
    if found.status not in ("closed", "paid_out", "refunded"):
        choices += [*_of_statement(found), *_of_claims(found), *_of_end(found)]
    still = [one for one in choices if one.until_s is None or found.now_s <= one.until_s]
    return sorted(still, key=lambda one: (max(one.from_s, found.now_s), one.until_s or 1 << 40))


def _of_statement(found: ContractState) -> Iterator[Option]:
    pending, end_s = found.pending, found.times.statements_until_s
    last_s = end_s + found.terms.holdback_period_s  # for statements that only take back
    if not found.is_retired:
        if pending is None:
            yield Option("the verifier", "state what was earned", found.terms.opens_at_s, end_s, "")
        until_s = max(last_s, pending.resolves_at_s if pending else 0)
        yield Option("anyone", "stop a verifier that the log refutes", 0, until_s, "disprove")
    if pending is None:
        return
    until_s = found.disputable_until_s
    for who, is_done in (
        ("the owner", pending.owner_disputed),
        ("the operator", pending.operator_disputed),
    ):
        if not is_done and until_s:
            yield Option(who, "put the pending statement before the arbiter", 0, until_s, "dispute")
    if found.is_disputed:
        what, until_s = "rule on the disputed statement", pending.resolves_at_s
        yield Option("the arbiter", what, 0, until_s, "rule")


def _of_claims(found: ContractState) -> Iterator[Option]:
    times, claims = found.times, found.claims
    if not found.terms.claim_period_s:
        return
    filing = times.statements_until_s + 1, times.claims_until_s
    yield Option("the operator", "claim by proof what was not settled", *filing, "claim")
    if not claims.open:
        return
    first_s, last_s = times.claims_until_s + 1, times.refutable_until_s
    yield Option("anyone", "drop a claim that the log refutes", 0, last_s, "refute")
    if claims.ruled_units is not None:
        return
    if claims.is_disputed:
        yield Option("the arbiter", "rule on the disputed claims", first_s, last_s, "rule")
    else:
        what = "put the claims before the arbiter"
        yield Option("the owner or the operator", what, first_s, last_s, "dispute")


def _of_payout(found: ContractState) -> Iterator[Option]:
    if found.releasable_units:
        what = f"have {found.amount(found.releasable_units)} paid out"
        yield Option("anyone", what, 0, None, "release")
    elif found.releasable_at_s:
        yield Option("anyone", "have what is due paid out", found.releasable_at_s, None, "release")


def _of_feedback(found: ContractState) -> Iterator[Option]:
    if found.has_ended and found.terms.agent_id_plus_one and found.is_feedback_given is False:
        what = "write what was paid to the agent's ERC-8004 record"
        yield Option("the owner or the operator", what, 0, None, "feedback")


def _of_end(found: ContractState) -> Iterator[Option]:
    first_s = found.times.claims_until_s + 1
    if found.now_s < first_s or found.reserved_units < found.budget_units:
        yield Option("anyone", "give the owner back what is not owed", first_s, None, "refund")
    yield Option("owner and operator", "end the contract by consent", 0, None, "close")


# --- How it stands --------------------------------------------------------------------------------

_STATUS = {
    "closed": "owner and operator have ended it",
    "paid_out": "the whole budget is paid",
    "scheduled": "it has not begun",
    "open": "outcomes count",
    "settling": "outcomes count no more; the verifier can still state what there were",
    "claimable": "the operator can claim by proof what was not settled",
    "refutable": "claims can be refuted and disputed",
    "refundable": "what is not owed can go back to the owner",
    "releasing": "what is owed is still to be paid out",
    "refunded": "everything is paid or given back",
}


def told(found: ContractState) -> Iterator[tuple[str, str]]:
    """How a contract stands, as lines of a heading and what there is to say."""
    terms, times = found.terms, found.times
    yield "contract", to_hex(found.contract_id)
    yield "status", f"{found.status}: {_STATUS.get(found.status, found.status)}"
    yield "now", f"{format_second(found.now_s)}, block {found.block_number}"
    yield "owner", terms.owner
    yield "operator", terms.operator
    if terms.payee != terms.operator:
        yield "payee", terms.payee
    retired = ", disproved: its word counts no more" if found.is_retired else ""
    yield "verifier", terms.verifier + retired
    yield "arbiter", terms.arbiter if found.has_arbiter else "none: nothing can be disputed"
    yield "pays", _price(found)
    yield (
        "counts",
        f"from {format_second(terms.opens_at_s)} until {format_second(terms.deadline_s)}",
    )
    yield "statements", f"until {format_second(times.statements_until_s)}"
    if terms.challenge_period_s:
        yield "challenge", f"each statement waits {_period(terms.challenge_period_s)}"
    if terms.claim_period_s:
        until, last = format_second(times.claims_until_s), format_second(times.refutable_until_s)
        yield "claims", f"until {until}; refuted and disputed until {last}"
    if terms.holdback_bps and terms.holdback_period_s:
        young = _period(terms.holdback_period_s + terms.lateness_s)
        yield (
            "held back",
            f"{_percent(terms.holdback_bps)} of what became final in the last {young}",
        )
    if terms.rate_cap_units:
        cap = found.amount(terms.rate_cap_units)
        yield "paid out", f"at most {cap} in any {_period(terms.rate_period_s)}"
    if terms.fee_bps:
        yield "fee", f"{_percent(terms.fee_bps)} of what is paid, to {terms.fee_recipient}"
    yield "budget", found.amount(found.budget_units)
    if found.refunded_units:
        yield "given back", found.amount(found.refunded_units)
    yield "paid", found.amount(found.paid_units)
    yield "final", found.amount(found.net_units)
    yield "owed", found.amount(found.owed_units)
    yield from _open_cases(found)


def _price(found: ContractState) -> str:
    terms = found.terms
    parts = [found.amount(terms.unit_price_units)] if terms.unit_price_units else []
    if terms.revenue_share_bps:
        parts.append(f"{_percent(terms.revenue_share_bps)} of its value")
    lead = "each time a lead enters" if terms.repeatable else "for each lead that enters"
    return f'{" and ".join(parts)}, {lead} "{terms.outcome}"'


def _percent(bps: int) -> str:
    return f"{bps // 100}.{bps % 100:02}%"


def _open_cases(found: ContractState) -> Iterator[tuple[str, str]]:
    pending, claims = found.pending, found.claims
    if pending is not None:
        net = found.amount(pending.earned_units - pending.reversed_units)
        is_disputed = ", disputed" if found.is_disputed else ""
        until = f"{format_second(pending.resolves_at_s)}{is_disputed}"
        yield "pending", f"the statement at entry {pending.position}, {net} in all, until {until}"
    if claims.filed:
        dropped = len(claims.filed) - len(claims.open)
        ruled = "" if claims.ruled_units is None else ", as the arbiter ruled"
        is_disputed = ", disputed" if claims.is_disputed and not ruled else ""
        amount = found.amount(claims.claimed_units)
        yield "claimed", f"{amount}, in {count_of(len(claims.open), 'claim')}{ruled}{is_disputed}"
        if dropped:
            yield "refuted", count_of(dropped, "claim")


def _period(seconds: int) -> str:
    days, rest = divmod(seconds, DAY_S)
    hours, rest = divmod(rest, 3600)
    minutes, rest = divmod(rest, 60)
    parts = ((days, "d"), (hours, "h"), (minutes, "min"), (rest, "s"))
    return " ".join(f"{count} {unit}" for count, unit in parts if count)


def choice(found: ContractState, option: Option) -> str:
    """An option in a line."""
    is_open = option.from_s <= found.now_s
    when = "now" if is_open else f"from {format_second(option.from_s)}"
    until = "" if option.until_s is None else f" until {format_second(option.until_s)}"
    command = f"  (tallystick {option.command})" if option.command else ""
    return f"{when}{until}: {option.who} can {option.what}{command}"


def document(found: ContractState) -> dict[str, object]:
    """How a contract stands, for programs: amounts in base units as text, times UTC seconds."""
    pending, claims = found.pending, found.claims
    return {
        "contract_id": to_hex(found.contract_id),
        "block_number": found.block_number,
        "now_s": found.now_s,
        "status": found.status,
        "token": found.token._asdict(),
        "terms": found.terms.to_json(),
        **{
            name: str(getattr(found, name))
            for name in (
                "budget_units",
                "paid_units",
                "net_units",
                "owed_units",
                "releasable_units",
                "reserved_units",
                "refunded_units",
            )
        },
        "releasable_at_s": found.releasable_at_s or None,
        "statements_until_s": found.times.statements_until_s,
        "claims_until_s": found.times.claims_until_s,
        "refutable_until_s": found.times.refutable_until_s,
        "closed_at_s": found.closed_at_s or None,
        "is_retired": found.is_retired,
        "pending": None
        if pending is None
        else pending._asdict()
        | {
            "earned_units": str(pending.earned_units),
            "reversed_units": str(pending.reversed_units),
            "disputable_until_s": found.disputable_until_s or None,
        },
        "claims": [
            {
                "key": to_hex(key),
                "lead": to_hex(filed.claim.lead),
                "amount_units": str(filed.claim.amount),
                "transition": filed.claim.transition,
                "touch": filed.claim.touch,
                "is_dropped": filed.is_dropped,
            }
            for key, filed in claims.filed.items()
        ],
        "claims_disputed": claims.is_disputed,
        "claims_ruled_units": None if claims.ruled_units is None else str(claims.ruled_units),
        "options": [option._asdict() for option in options(found)],
    }
