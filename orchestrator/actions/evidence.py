"""Plans for what the log proves to the escrow: lies, owed outcomes, false claims, reversals.

Each function returns a `Plan` with the transactions for what it found. It raises `EscrowError` for
what the escrow would refuse at this time, and `ReplayError` where the server shows too little to
decide. Nothing is sent here.
"""

from collections.abc import Iterator
from itertools import islice

from orchestrator.actions.contract_state import (
    MAX_DECIMALS,
    ContractState,
    read_contract_state,
    read_shown_events,
    token_of,
)
from orchestrator.actions.plan import Plan, PlannedTransaction
from orchestrator.chain.deployment import Chain
from orchestrator.chain.escrow import PendingStatement
from orchestrator.core.common.errors import EscrowError, ReplayError
from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.core.common.units import counted, format_second
from orchestrator.core.deals.escrow_model import ProvenReversal
from orchestrator.core.evidence.claim_search import find_claims, find_refutations, find_reversals
from orchestrator.core.evidence.disproof_search import find_disproofs
from orchestrator.core.evidence.exhibits import (
    DISPROOFS,
    OPENED,
    OUTCOME,
    OVER,
    REFUTATIONS,
    REVERSAL,
    SETTLEMENT,
    TOUCHES,
    TRANSITION,
    Case,
    Claim,
    Exhibit,
    Words,
    unpack_link,
    unpack_statement,
    words_of,
)
from orchestrator.core.evidence.rules import check_refutation
from orchestrator.core.world.contract import rules_of
from orchestrator.verify.log_copy import LogCopy

# More than a person would look through at once; running the command again gives the rest.
MAX_TRANSACTIONS = 100


# --- Disproving -----------------------------------------------------------------------------------


def plan_disproofs(chain: Chain, log: LogCopy, asked_id: bytes | None) -> Plan:
    """Plan to disprove every verifier that signed what the log contradicts, or one contract's."""
    signed = [
        name for name, one in log.contracts.items() if one.last_signed and not one.closed_at_s
    ]
    progress = chain.progress(signed if asked_id is None else [asked_id], log.block_number)
    suspects = {
        name for name in signed if name in progress and not progress[name].snapshot.is_retired
    }
    if asked_id is not None and asked_id not in suspects:
        raise EscrowError(
            "nothing-to-disprove", _why_not_disprovable(read_contract_state(chain, asked_id))
        )
    # The other contracts stay, as if nothing was signed for them: they can still compete.
    contracts = {
        name: one if name in suspects else one._replace(last_signed=0)
        for name, one in log.contracts.items()
    }
    examined = (
        f"looked at {log.size:,} log entries, which hash to the root that the chain holds, and "
        f"at {counted(len(suspects), 'contract')} with a signed statement"
    )
    if log.left_out:
        examined += (
            f"; the log has more than {len(log.contracts):,} contracts: name one of the others"
        )
    unopened: set[int] = set()
    cases = list(find_disproofs(log.entries(), contracts, log.at, unopened))
    pending = {name: one.snapshot.pending for name, one in progress.items()}
    stakes = {case.contract_id: _stake(chain, case, pending[case.contract_id]) for case in cases}
    # The largest stake comes first: many worthless cases must not hide one that costs money.
    cases.sort(key=lambda case: stakes[case.contract_id], reverse=True)
    transactions = tuple(
        _disproof_transaction(chain, log, case) for case in cases[:MAX_TRANSACTIONS]
    )
    if not transactions:
        _check_opened(unopened)
        raise EscrowError(
            "nothing-to-disprove",
            f"there is nothing to disprove: {examined}, and the log shows no lie of a verifier",
        )
    return Plan((examined,), transactions)


def _stake(chain: Chain, case: Case, pending: PendingStatement | None) -> int:
    """Return what a false pending statement may still pay, in 10^-36 tokens; 0 without one."""
    if pending is None:
        return 0
    # Tokens differ in decimals: in the smallest unit that any can have, stakes compare as integers.
    decimals = token_of(chain, chain.terms_of(case.contract_id).token).decimals
    return (pending.earned_units - pending.reversed_units) * int(10 ** (MAX_DECIMALS - decimals))


def _check_opened(unopened: set[int]) -> None:
    """Raise ReplayError if openings that the server withheld could have proved something."""
    if unopened:
        raise ReplayError(
            "opening-withheld",
            f"the server keeps back what entry {min(unopened)} commits to, and without that "
            f"it cannot be decided whether what follows on it is true; ask another server",
        )


def _why_not_disprovable(state: ContractState) -> str:
    if state.closed_at_s:
        closed = format_second(state.closed_at_s)
        return f"there is nothing to disprove: the parties closed it on {closed}"
    if state.is_retired:
        return "there is nothing to disprove: its verifier was disproved before"
    return "there is nothing to disprove: its verifier has not signed a statement that is on chain"


def _disproof_transaction(chain: Chain, log: LogCopy, case: Case) -> PlannedTransaction:
    state = read_contract_state(chain, case.contract_id)
    last_signed, verifier = log.contracts[case.contract_id].last_signed, state.terms.verifier
    first, *others = case.exhibits
    lines = [
        f"what was signed: {_describe_exhibit(state, first)}",
        (
            f"the verifier {verifier} vouches for it: it signed the statement at entry "
            f"{last_signed}, which stands on or above it"
        ),
        *(f"what the log shows: {_describe_exhibit(state, other)}" for other in others),
        f"together: {DISPROOFS[case.kind]}",
        *_describe_rival(case, log),
        *_describe_disproof(state),
    ]
    return PlannedTransaction(
        title=f"disprove the verifier of contract {to_hex(case.contract_id)}",
        lines=tuple(lines),
        call=chain.disprove(log.size, log.proven(case)),
        by=(),
        facts=_facts(case),
    )


def _describe_disproof(state: ContractState) -> Iterator[str]:
    pending = state.pending
    if pending is not None:
        stated = state.amount(pending.earned_units - pending.reversed_units)
        yield (
            f"what it does: the pending statement (entry {pending.position}, {stated} in all) is "
            f"void, and the verifier is retired: the escrow takes no statement of it any more"
        )
    else:
        yield (
            "what it does: the verifier is retired: the escrow takes no statement of it any more; "
            "none is pending"
        )
    yield f"what was final before stays: {state.amount(state.net_units)}"
    if state.terms.claim_period_s:
        times = state.times
        yield (
            f"the operator can claim true outcomes by proof after "
            f"{format_second(times.statements_until_s)}, until "
            f"{format_second(times.claims_until_s)}"
        )


# --- Claims by proof ------------------------------------------------------------------------------


def plan_claims(chain: Chain, log: LogCopy, state: ContractState) -> Plan:
    """Plan to claim the outcomes that the log shows and no final statement answers."""
    terms, times = state.terms, state.times
    if not terms.claim_period_s:
        raise EscrowError("no-claims", "its terms allow no claims: claim_period_s is 0")
    if state.closed_at_s:
        closed = format_second(state.closed_at_s)
        raise EscrowError("already-closed", f"its parties closed it on {closed}")
    rules = rules_of(terms, state.contract_id)
    # The escrow refuses a claim for which budget is missing.
    room_units = max(0, state.budget_units - state.net_units - state.claims.claimed_units)
    claims = {
        one.key(rules): one
        for one in find_claims(
            log.entries(), log.contracts, state.contract_id, room_units, state.claims.filed
        )
    }
    if not claims:
        raise EscrowError(
            "nothing-to-claim",
            "there is nothing to claim: the log shows no outcome that is unanswered",
        )
    total = state.amount(sum(one.amount for one in claims.values()))
    lines = [
        f"outcomes that no final statement answers: {len(claims)}, {total} in all",
        (
            f"they can be filed by the operator {terms.operator} after "
            f"{format_second(times.statements_until_s)}, until "
            f"{format_second(times.claims_until_s)}"
        ),
        (
            f"anyone can refute a claim by the log until "
            f"{format_second(times.refutable_until_s)}; after "
            f"{format_second(times.claims_until_s)} the parties can dispute claims; what stands is "
            f"then paid"
        ),
    ]
    if len(claims) > MAX_TRANSACTIONS:
        lines.append(f"these are the first {MAX_TRANSACTIONS}; run the command again for the rest")
    chosen = islice(claims.items(), MAX_TRANSACTIONS)
    transactions = tuple(_claim_transaction(chain, log, state, key, one) for key, one in chosen)
    return Plan(tuple(lines), transactions, _obstacle_to_claims(state))


def _obstacle_to_claims(state: ContractState) -> EscrowError | None:
    """Return the reason why no claim can be filed now, or None."""
    times = state.times
    if not times.statements_until_s < state.now_s <= times.claims_until_s:
        return EscrowError(
            "claims-not-open",
            f"claims can be filed after {format_second(times.statements_until_s)}, until "
            f"{format_second(times.claims_until_s)}; the chain is at {format_second(state.now_s)}",
        )
    # A pending statement that earns more than the final one blocks claims; one that only takes back
    # does not. The escrow has no view of the finally earned sum, so the call's simulation decides.
    return None


def _claim_transaction(
    chain: Chain, log: LogCopy, state: ContractState, key: bytes, one: Claim
) -> PlannedTransaction:
    transition, touch = log.exhibit(one.transition), log.exhibit(one.touch)
    return PlannedTransaction(
        title=f"claim {state.amount(one.amount)} for lead {_shorten(one.lead)}",
        lines=(
            _describe_exhibit(state, transition),
            _describe_exhibit(state, touch),
            (
                f"what it does: so much is kept for {state.terms.payee} and paid after "
                f"{format_second(state.times.refutable_until_s)}, unless the log refutes it or the "
                f"arbiter rules otherwise"
            ),
        ),
        call=chain.claim(state.contract_id, log.size, transition, touch),
        by=(state.terms.operator,),
        facts={
            "key": to_hex(key),
            "lead": to_hex(one.lead),
            "amount_units": str(one.amount),
            "transition": one.transition,
            "touch": one.touch,
        },
    )


def plan_refutations(chain: Chain, log: LogCopy, state: ContractState) -> Plan:
    """Plan to have the filed claims lowered that the log refutes, in whole or in part."""
    claims, until_s = state.claims, state.times.refutable_until_s
    if not claims.open:
        raise EscrowError("nothing-to-refute", "there is nothing to refute: no claim stands")
    if state.now_s > until_s:
        raise EscrowError(
            "claims-not-open",
            f"claims could be refuted until {format_second(until_s)}; the chain is at "
            f"{format_second(state.now_s)}",
        )
    unopened: set[int] = set()
    cases = find_refutations(
        log.entries(), log.contracts, {state.contract_id: claims.open}, log.at, unopened
    )
    transactions = tuple(
        _refutation_transaction(chain, log, state, key, case)
        for key, case in islice(cases, MAX_TRANSACTIONS)
    )
    examined = (
        f"looked at {counted(len(claims.open), 'claim')}, {state.amount(claims.claimed_units)} in "
        f"all, and at {log.size:,} log entries, which hash to the root that the chain holds"
    )
    if not transactions:
        _check_opened(unopened)
        raise EscrowError(
            "nothing-to-refute",
            f"there is nothing to refute: {examined}, and the log speaks against none of them",
        )
    return Plan((examined, f"claims can be refuted until {format_second(until_s)}"), transactions)


def _refutation_transaction(
    chain: Chain, log: LogCopy, state: ContractState, key: bytes, case: Case
) -> PlannedTransaction:
    one = state.claims.open[key]
    left_units = check_refutation(case, one, log.contracts)
    if left_units:
        effect = f"{state.amount(left_units)} are left of the claim, and no more is reserved for it"
        title = f"lower the claim of {state.amount(one.amount)} for lead {_shorten(one.lead)}"
    else:
        effect = "the claim is dropped for good, and its amount is reserved no more"
        title = f"drop the claim of {state.amount(one.amount)} for lead {_shorten(one.lead)}"
    lines = [
        (
            f"what is claimed: {state.amount(one.amount)} for entry {one.transition}, by the touch "
            f"at entry {one.touch}"
        ),
        *(f"what the log shows: {_describe_exhibit(state, shown)}" for shown in case.exhibits),
        f"together: {REFUTATIONS[case.kind]}",
        *_describe_rival(case, log),
        f"what it does: {effect}",
    ]
    return PlannedTransaction(
        title=title,
        lines=tuple(lines),
        call=chain.refute(log.size, log.proven(case), key),
        by=(),
        facts={"key": to_hex(key), "left_units": str(left_units), **_facts(case)},
    )


# --- Reversals by proof ---------------------------------------------------------------------------


def plan_reversals(chain: Chain, log: LogCopy, state: ContractState) -> Plan:
    """Plan to prove what events took back of settled outcomes since the last final statement."""
    if not state.terms.holdback_bps:
        raise EscrowError(
            "not-held", "nothing is held back: holdback_bps is 0, and what is paid is paid for good"
        )
    if state.closed_at_s:
        closed = format_second(state.closed_at_s)
        raise EscrowError("already-closed", f"its parties closed it on {closed}")
    shown = read_shown_events(chain, state)
    found = find_reversals(log.entries(), log.contracts, state.contract_id, shown, log.at)
    cases = list(found)
    last_final = log.contracts[state.contract_id].last_final
    examined = (
        f"looked at {log.size:,} log entries, which hash to the root that the chain holds, and of "
        f"these at the events above entry {last_final}, the last final statement"
    )
    if not cases:
        raise EscrowError(
            "nothing-to-prove",
            f"there is nothing to prove: {examined}, and none took back what the escrow does not "
            f"know",
        )
    more = state.amount(sum(reversal.amount_units for reversal, _ in cases))
    lines = [
        examined,
        f"what they took back, and the escrow does not know: {more}",
        "the escrow counts an event as long as money of its outcome is held back",
    ]
    if len(cases) > MAX_TRANSACTIONS:
        lines.append(f"these are the first {MAX_TRANSACTIONS}; run the command again for the rest")
    # In log order: what was held first is paid first.
    transactions = tuple(
        _reversal_transaction(chain, log, state, reversal, case)
        for reversal, case in cases[:MAX_TRANSACTIONS]
    )
    return Plan(tuple(lines), transactions)


def _reversal_transaction(
    chain: Chain, log: LogCopy, state: ContractState, reversal: ProvenReversal, case: Case
) -> PlannedTransaction:
    amount = state.amount(reversal.amount_units)
    lines = [
        *(f"what the log shows: {_describe_exhibit(state, shown)}" for shown in case.exhibits),
        (
            f"what it does: {amount} count as taken back, whatever the verifier states, and a "
            f"statement below entry {reversal.happened} is not taken any more; what was paid "
            f"already is set off against what comes later"
        ),
    ]
    return PlannedTransaction(
        title=f"prove that {amount} of the outcome at entry {reversal.outcome} were taken back",
        lines=tuple(lines),
        call=chain.prove_reversal(log.size, log.proven(case)),
        by=(),
        facts={
            "outcome": reversal.outcome,
            "amount_units": str(reversal.amount_units),
            **_facts(case),
        },
    )


# --- Entries in words -----------------------------------------------------------------------------


def _describe_rival(case: Case, log: LogCopy) -> Iterator[str]:
    """Describe the contract that competes in this case, if the log has one."""
    record = log.contracts.get(case.rival)
    if record is not None:
        operator = _address(record.rules.operator)
        relation = "got it" if case.kind == "taken" else "comes first"
        yield f"contract {to_hex(case.rival)} of operator {operator} {relation}"


def _facts(case: Case) -> dict[str, object]:
    facts: dict[str, object] = {
        "contract_id": to_hex(case.contract_id),
        "kind": case.kind,
        "entries": [shown.position for shown in case.exhibits],
    }
    return facts | ({"rival": to_hex(case.rival)} if any(case.rival) else {})


def _describe_exhibit(state: ContractState, exhibit: Exhibit) -> str:
    entry = words_of(exhibit)
    return f"entry {entry.position}: {_describe_entry(state, entry)}"


def _describe_entry(state: ContractState, entry: Words) -> str:
    """Describe what an entry records; it may be of any kind, and hold any bytes."""
    if entry.kind in (OUTCOME, OVER):
        return _describe_outcome(state, entry)
    if entry.kind in (REVERSAL, SETTLEMENT):
        return _describe_totals(state, entry)
    at, subject = format_second(entry.time_ms // 1000), _shorten(entry.subject)
    label = _describe_label(entry.label)
    if entry.kind in TOUCHES:
        return f"operator {_address(entry.actor)} touched lead {subject} on {at} ({label})"
    if entry.kind == TRANSITION:
        return f"lead {subject} entered {label} on {at}, worth {state.amount(entry.value)}"
    if entry.kind == OPENED:
        return f"contract {subject} was opened on {at}"
    return f"{_describe_label(entry.kind)} about {subject} on {at}"


def _describe_outcome(state: ContractState, entry: Words) -> str:
    link_ = unpack_link(entry.payload)
    if entry.kind == OUTCOME:
        payment = f"its outcome {link_.n}, {state.amount(link_.total)} so far"
    else:
        payment = "past its budget, so not to be paid"
    return (
        f"contract {_shorten(entry.actor)} owes {state.amount(entry.value)} for lead "
        f"{_shorten(entry.subject)} entering {_describe_label(entry.label)} on "
        f"{format_second(entry.time_ms // 1000)}, by the transition at entry {link_.target} and "
        f"the touch at entry {link_.cause}; {payment}"
    )


def _describe_totals(state: ContractState, entry: Words) -> str:
    """Describe a reversal or a settlement: what was taken back, or stated, in all."""
    if entry.kind == REVERSAL:
        link_ = unpack_link(entry.payload)
        return (
            f"contract {_shorten(entry.actor)} takes back {state.amount(entry.value)} of the "
            f"outcome at entry {link_.target} for the event at entry {link_.cause}; "
            f"{state.amount(link_.total)} taken back so far"
        )
    totals = unpack_statement(entry.payload)
    return (
        f"the statement that contract {_shorten(entry.subject)} has earned "
        f"{state.amount(totals.earned)} up to the outcome at entry {totals.last_outcome}, and "
        f"taken back {state.amount(totals.reversed)} up to the reversal at entry "
        f"{totals.last_reversal}"
    )


def _describe_label(word: bytes) -> str:
    """Return a text word in quotes, or shortened hex if it is not printable ASCII."""
    text = word.rstrip(b"\0").decode("latin-1")
    return f'"{text}"' if text.isascii() and text.isprintable() else _shorten(word)


def _address(word: bytes) -> str:
    return to_hex(word[-20:])


def _shorten(word: bytes) -> str:
    return f"0x{word.hex()[:16]}…"
