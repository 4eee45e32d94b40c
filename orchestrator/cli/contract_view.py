"""A contract's state and the next steps of each party, as lines for people and as JSON."""

from collections.abc import Iterator
from typing import NamedTuple

from orchestrator.actions.cautions import describe_account
from orchestrator.actions.contract_state import ContractState, FiledClaim
from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.core.common.units import DAY_S, counted, format_second

_NEVER_S = 1 << 40  # later than any time of a contract

# --- Next steps -----------------------------------------------------------------------------------


class Option(NamedTuple):
    """A step that a party can take, from one second until another (None: no end), by a command."""

    who: str
    what: str
    from_s: int
    until_s: int | None
    command: str


def options(state: ContractState) -> list[Option]:
    """Return the steps that can still be taken: those of now first, then the soonest."""
    steps = [*_payout_options(state), *_feedback_options(state)]
    if state.status not in ("closed", "paid_out", "refunded"):
        steps += [*_statement_options(state), *_claims_options(state)]
        steps += [*_reversal_options(state), *_end_options(state)]
    still = [step for step in steps if step.until_s is None or state.now_s <= step.until_s]
    # A step without an end comes after those that must be taken by some time.
    return sorted(still, key=lambda step: (max(step.from_s, state.now_s), step.until_s or _NEVER_S))


def _statement_options(state: ContractState) -> Iterator[Option]:
    pending, end_s = state.pending, state.times.statements_until_s
    last_s = end_s + state.terms.holdback_period_s  # for statements that only take back
    if not state.is_retired:
        if pending is None:
            yield Option("the verifier", "state what was earned", state.terms.opens_at_s, end_s, "")
        until_s = max(last_s, pending.resolves_at_s if pending else 0)
        # Possible without a pending statement too: what was final before can be a lie.
        yield Option("anyone", "stop a verifier that the log refutes", 0, until_s, "disprove")
    if pending is None:
        return
    until_s = state.disputable_until_s
    for who, is_done in (
        ("the owner", pending.owner_disputed),
        ("the operator", pending.operator_disputed),
    ):
        if not is_done and until_s:
            yield Option(who, "put the pending statement before the arbiter", 0, until_s, "dispute")
    if state.is_disputed:
        what, until_s = "rule on the disputed statement", pending.resolves_at_s
        yield Option("the arbiter", what, 0, until_s, "rule")


def _claims_options(state: ContractState) -> Iterator[Option]:
    times, claims = state.times, state.claims
    if not state.terms.claim_period_s:
        return
    # Periods include their last second; the next phase begins a second later.
    filing = times.statements_until_s + 1, times.claims_until_s
    yield Option("the operator", "claim by proof what was not settled", *filing, "claim")
    if not claims.open:
        return
    first_s, last_s = times.claims_until_s + 1, times.refutable_until_s
    yield Option("anyone", "have claims lowered that the log refutes", 0, last_s, "refute")
    if claims.ruled_units is not None:
        return
    if claims.is_disputed:
        yield Option("the arbiter", "rule on the disputed claims", first_s, last_s, "rule")
    else:
        what = "put the claims before the arbiter"
        yield Option("the owner or the operator", what, first_s, last_s, "dispute")


def _reversal_options(state: ContractState) -> Iterator[Option]:
    # What is paid is not taken back, and events are proven while something is held back.
    if not state.terms.holdback_bps or state.net_units <= state.paid_units:
        return
    what = "prove what was taken back of settled outcomes"
    yield Option("anyone", what, 0, None, "prove-reversal")


def _payout_options(state: ContractState) -> Iterator[Option]:
    if state.releasable_units:
        what = f"have {state.amount(state.releasable_units)} paid out"
        yield Option("anyone", what, 0, None, "release")
    elif state.releasable_at_s:
        yield Option("anyone", "have what is due paid out", state.releasable_at_s, None, "release")


def _feedback_options(state: ContractState) -> Iterator[Option]:
    is_due = state.has_ended and state.earnings_units and state.terms.agent_id_plus_one
    if is_due and state.is_feedback_given is False:
        what = "write what was paid to the agent's ERC-8004 record"
        yield Option("the owner or the operator", what, 0, None, "feedback")


def _end_options(state: ContractState) -> Iterator[Option]:
    first_s = state.times.claims_until_s + 1
    # From then on only a rest can go back; before, it is not known whether there will be one.
    if state.now_s < first_s or state.reserved_units < state.budget_units:
        yield Option("anyone", "give the owner back what is not owed", first_s, None, "refund")
    yield Option("owner and operator", "end the contract by consent", 0, None, "close")


# --- The contract as lines ------------------------------------------------------------------------

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


def format_contract(state: ContractState) -> Iterator[tuple[str, str]]:
    """Return a contract's state as lines, each a heading and a text."""
    terms, times = state.terms, state.times
    yield "contract", to_hex(state.contract_id)
    yield "status", f"{state.status}: {_STATUS.get(state.status, state.status)}"
    yield "now", f"{format_second(state.now_s)}, block {state.block_number}"
    yield "owner", terms.owner
    yield "operator", terms.operator
    yield "payee", terms.payee + _facts(state, "payee")
    retired = ", disproved: its word counts no more" if state.is_retired else ""
    yield "verifier", terms.verifier + _facts(state, "verifier") + retired
    arbiter = terms.arbiter + _facts(state, "arbiter")
    yield "arbiter", arbiter if state.has_arbiter else "none: nothing can be disputed"
    yield "pays", _price(state)
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
        cap = state.amount(terms.rate_cap_units)
        yield "paid out", f"at most {cap} in any {_period(terms.rate_period_s)}"
    if terms.fee_bps:
        recipient = terms.fee_recipient + _facts(state, "fee recipient")
        yield "fee", f"{_percent(terms.fee_bps)} of what is paid, to {recipient}"
    yield "budget", state.amount(state.budget_units)
    if state.refunded_units:
        yield "given back", state.amount(state.refunded_units)
    yield "paid", state.amount(state.paid_units)
    yield "final", state.amount(state.net_units)
    yield "owed", state.amount(state.owed_units)
    yield from _open_cases(state)
    if state.forked_at_s is not None:
        since = format_second(state.forked_at_s)
        yield "log", f"marked as forked at {since}: nothing more of it is anchored"
    for caution in state.cautions:
        yield "caution", caution


def _facts(state: ContractState, role: str) -> str:
    """Return what the chain has of the account in this role, in brackets."""
    account = state.accounts.get(role)
    return "" if account is None else f" ({describe_account(account)})"


def _price(state: ContractState) -> str:
    terms = state.terms
    parts = [state.amount(terms.unit_price_units)] if terms.unit_price_units else []
    if terms.revenue_share_bps:
        parts.append(f"{_percent(terms.revenue_share_bps)} of its value")
    lead = "each time a lead enters" if terms.repeatable else "for each lead that enters"
    return f'{" and ".join(parts)}, {lead} "{terms.outcome}"'


def _percent(bps: int) -> str:
    return f"{bps // 100}.{bps % 100:02}%"


def _open_cases(state: ContractState) -> Iterator[tuple[str, str]]:
    pending, claims = state.pending, state.claims
    if pending is not None:
        net = state.amount(pending.earned_units - pending.reversed_units)
        is_disputed = ", disputed" if state.is_disputed else ""
        until = f"{format_second(pending.resolves_at_s)}{is_disputed}"
        yield "pending", f"the statement at entry {pending.position}, {net} in all, until {until}"
    if claims.filed:
        dropped = len(claims.filed) - len(claims.open)
        ruled = "" if claims.ruled_units is None else ", as the arbiter ruled"
        is_disputed = ", disputed" if claims.is_disputed and not ruled else ""
        amount = state.amount(claims.claimed_units)
        yield "claimed", f"{amount}, in {counted(len(claims.open), 'claim')}{ruled}{is_disputed}"
        if dropped:
            yield "refuted", counted(dropped, "claim")


def _period(seconds: int) -> str:
    days, rest = divmod(seconds, DAY_S)
    hours, rest = divmod(rest, 3600)
    minutes, rest = divmod(rest, 60)
    parts = ((days, "d"), (hours, "h"), (minutes, "min"), (rest, "s"))
    return " ".join(f"{count} {unit}" for count, unit in parts if count)


def format_option(state: ContractState, option: Option) -> str:
    """Return a step as one line."""
    is_open = option.from_s <= state.now_s
    when = "now" if is_open else f"from {format_second(option.from_s)}"
    until = "" if option.until_s is None else f" until {format_second(option.until_s)}"
    command = f"  (tallystick {option.command})" if option.command else ""
    return f"{when}{until}: {option.who} can {option.what}{command}"


# --- The contract as JSON -------------------------------------------------------------------------

_AMOUNTS = (
    "budget_units",
    "paid_units",
    "net_units",
    "owed_units",
    "releasable_units",
    "reserved_units",
    "refunded_units",
)


def contract_to_json(state: ContractState) -> dict[str, object]:
    """Return a contract's state as JSON: amounts in base units as text, times in UTC seconds."""
    claims = state.claims
    return {
        "contract_id": to_hex(state.contract_id),
        "block_number": state.block_number,
        "now_s": state.now_s,
        "status": state.status,
        "token": state.token._asdict(),
        "terms": state.terms.to_json(),
        **{name: str(getattr(state, name)) for name in _AMOUNTS},
        "releasable_at_s": state.releasable_at_s or None,
        "statements_until_s": state.times.statements_until_s,
        "claims_until_s": state.times.claims_until_s,
        "refutable_until_s": state.times.refutable_until_s,
        "closed_at_s": state.closed_at_s or None,
        "is_retired": state.is_retired,
        "log_forked_at_s": state.forked_at_s,
        "accounts": {
            role: {
                "code_bytes": len(account.code),
                "transactions": account.transactions,
                "is_delegated": account.is_delegated,
            }
            for role, account in state.accounts.items()
        },
        "cautions": list(state.cautions),
        "pending": _pending_to_json(state),
        "claims": [_claim_to_json(key, filed) for key, filed in claims.filed.items()],
        "claims_disputed": claims.is_disputed,
        "claims_ruled_units": None if claims.ruled_units is None else str(claims.ruled_units),
        "options": [option._asdict() for option in options(state)],
    }


def _pending_to_json(state: ContractState) -> dict[str, object] | None:
    pending = state.pending
    if pending is None:
        return None
    return pending._asdict() | {
        "earned_units": str(pending.earned_units),
        "reversed_units": str(pending.reversed_units),
        "disputable_until_s": state.disputable_until_s or None,
    }


def _claim_to_json(key: bytes, filed: FiledClaim) -> dict[str, object]:
    return {
        "key": to_hex(key),
        "lead": to_hex(filed.claim.lead),
        "amount_units": str(filed.claim.amount),
        "transition": filed.claim.transition,
        "touch": filed.claim.touch,
        "is_dropped": filed.is_dropped,
    }
