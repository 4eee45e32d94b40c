"""What the log proves at the escrow: a verifier's lie, an outcome owed, an unfounded claim.

Each function gives a `Plan` of what it found, in plain words, with the transactions for it, and
raises `EscrowError` for what the escrow would refuse at this time, and `ReplayError` where the
server shows too little to tell. Nothing is sent here.
"""

from collections.abc import Iterator
from itertools import islice

from orchestrator.actions.contract_state import MAX_DECIMALS, ContractState, read, token_of
from orchestrator.actions.plan import Plan, PlannedTransaction
from orchestrator.actions.wording import many, utc
from orchestrator.chain.deployment import Chain, PendingStatement
from orchestrator.core.contract import rules_of
from orchestrator.core.errors import EscrowError, ReplayError
from orchestrator.core.evidence.claim_search import find_claims, find_refutations
from orchestrator.core.evidence.disproof_search import find_disproofs
from orchestrator.core.evidence.exhibits import (
    DISPROOFS,
    OPENED,
    OUTCOME,
    OVER,
    REFUTATIONS,
    REVERSAL,
    SETTLEMENT,
    TOUCH,
    TRANSITION,
    Case,
    Claim,
    Exhibit,
    Words,
    unpack_link,
    unpack_statement,
    words_of,
)
from orchestrator.core.hexadecimal import to_hex
from orchestrator.verify.log_copy import LogCopy

MAX_DEEDS = 100


# --- Disproving -----------------------------------------------------------------------------------


def disprove(chain: Chain, book: LogCopy, asked: bytes | None) -> Plan:
    """The lies that the log shows, of one contract's verifier or of all."""
    signed = [name for name, one in book.docket.items() if one.last_signed and not one.closed_at_s]
    progress = chain.progress(signed if asked is None else [asked], book.block_number)
    accused = {name for name in signed if name in progress and not progress[name].is_retired}
    # The others can still be competitors.
    docket = {
        name: one if name in accused else one._replace(last_signed=0)
        for name, one in book.docket.items()
    }
    if asked is not None and asked not in accused:
        raise EscrowError("nothing-to-disprove", _unaccused(read(chain, asked)))
    looked = (
        f"looked at {book.size:,} log entries, which hash to the root that the chain holds, and "
        f"at {many(len(accused), 'contract')} with a signed statement"
    )
    if book.left_out:
        looked += f"; the log has more than {len(book.docket):,} contracts: name one of the others"
    unopened: set[int] = set()
    cases = list(find_disproofs(book.entries(), docket, book.at, unopened))
    pending = {name: one.pending for name, one in progress.items()}
    stakes = {case.contract_id: _stake(chain, case, pending[case.contract_id]) for case in cases}
    # Where most is at stake comes first: lies that cost nothing must not hide one that does.
    cases.sort(key=lambda case: stakes[case.contract_id], reverse=True)
    deeds = tuple(_disproof(chain, book, case) for case in cases[:MAX_DEEDS])
    if not deeds:
        _check_opened(unopened)
        raise EscrowError(
            "nothing-to-disprove",
            f"there is nothing to disprove: {looked}, and the log shows no lie of a verifier",
        )
    return Plan((looked,), deeds)


def _stake(chain: Chain, case: Case, pending: PendingStatement | None) -> int:
    """What a pending lie may still pay, in 10^-36 tokens; 0 where nothing is pending."""
    if pending is None:
        return 0
    decimals = token_of(chain, chain.terms_of(case.contract_id).token).decimals
    return (pending.earned_units - pending.reversed_units) * int(10 ** (MAX_DECIMALS - decimals))


def _check_opened(unopened: set[int]) -> None:
    """Raise ReplayError if the log may speak of more than this server shows."""
    if unopened:
        raise ReplayError(
            "opening-withheld",
            f"the server keeps back what entry {min(unopened)} commits to, and without it nobody "
            f"can tell whether another contract should have won; ask another server",
        )


def _unaccused(found: ContractState) -> str:
    if found.closed_at_s:
        return f"there is nothing to disprove: the parties closed it on {utc(found.closed_at_s)}"
    if found.is_retired:
        return "there is nothing to disprove: its verifier was disproved before"
    return "there is nothing to disprove: its verifier has not signed a statement that is on chain"


def _disproof(chain: Chain, book: LogCopy, case: Case) -> PlannedTransaction:
    found = read(chain, case.contract_id)
    reach, verifier = book.docket[case.contract_id].last_signed, found.terms.verifier
    first, *others = case.exhibits
    lines = [
        f"what was signed: {_told(found, first)}",
        (
            f"the verifier {verifier} vouches for it: it signed the statement at entry {reach}, "
            f"which stands on or above it"
        ),
        *(f"what the log shows: {_told(found, other)}" for other in others),
        f"together: {DISPROOFS[case.kind]}",
        *_rival(case, book),
        *_consequences(found),
    ]
    return PlannedTransaction(
        title=f"disprove the verifier of contract {to_hex(case.contract_id)}",
        lines=tuple(lines),
        call=chain.disprove(book.size, book.proven(case)),
        by=(),
        facts=_facts(case),
    )


def _consequences(found: ContractState) -> Iterator[str]:
    pending = found.pending
    if pending is not None:
        stated = found.amount(pending.earned_units - pending.reversed_units)
        yield (
            f"what it does: the pending statement (entry {pending.position}, {stated} in all) is "
            f"void, and the verifier is retired: the escrow takes no statement of it any more"
        )
    else:
        yield (
            "what it does: the verifier is retired: the escrow takes no statement of it any more; "
            "none is pending"
        )
    yield f"what was final before stays: {found.amount(found.net_units)}"
    if found.terms.claim_period_s:
        times = found.times
        yield (
            f"the operator can claim true outcomes by proof after {utc(times.statements_until_s)}, "
            f"until {utc(times.claims_until_s)}"
        )


# --- Claims by proof ------------------------------------------------------------------------------


def claim(chain: Chain, book: LogCopy, found: ContractState) -> Plan:
    """What the operator is owed by the log and nobody settled."""
    terms, times = found.terms, found.times
    if not terms.claim_period_s:
        raise EscrowError("no-claims", "its terms allow no claims: claim_period_s is 0")
    if found.closed_at_s:
        raise EscrowError("already-closed", f"its parties closed it on {utc(found.closed_at_s)}")
    rules = rules_of(terms, found.contract_id)
    room = max(0, found.budget_units - found.net_units - found.claims.claimed_units)
    claims = {
        one.key(rules): one
        for one in find_claims(
            book.entries(), book.docket, found.contract_id, room, found.claims.filed
        )
    }
    if not claims:
        raise EscrowError(
            "nothing-to-claim",
            "there is nothing to claim: the log shows no outcome that is unanswered",
        )
    total = found.amount(sum(one.amount for one in claims.values()))
    lines = [
        f"outcomes that no final statement answers: {len(claims)}, {total} in all",
        (
            f"they can be filed by the operator {terms.operator} after "
            f"{utc(times.statements_until_s)}, until {utc(times.claims_until_s)}"
        ),
        (
            f"anyone can refute a claim by the log until {utc(times.refutable_until_s)}; after "
            f"{utc(times.claims_until_s)} the parties can dispute claims; what stands is then paid"
        ),
    ]
    if len(claims) > MAX_DEEDS:
        lines.append(f"these are the first {MAX_DEEDS}; run the command again for the rest")
    chosen = islice(claims.items(), MAX_DEEDS)
    deeds = tuple(_filing(chain, book, found, key, one) for key, one in chosen)
    return Plan(tuple(lines), deeds, _claims_shut(found))


def _claims_shut(found: ContractState) -> EscrowError | None:
    """Why nothing can be claimed now, if so."""
    times = found.times
    if not times.statements_until_s < found.now_s <= times.claims_until_s:
        return EscrowError(
            "claims-not-open",
            f"claims can be filed after {utc(times.statements_until_s)}, until "
            f"{utc(times.claims_until_s)}; the chain is at {utc(found.now_s)}",
        )
    # A pending statement that earns more than the final one is in the way; one that only takes back
    # is not. The escrow has no view of what was earned finally, so the trial run decides.
    return None


def _filing(
    chain: Chain, book: LogCopy, found: ContractState, key: bytes, one: Claim
) -> PlannedTransaction:
    transition, touch = book.exhibit(one.transition), book.exhibit(one.touch)
    return PlannedTransaction(
        title=f"claim {found.amount(one.amount)} for lead {_short(one.lead)}",
        lines=(
            _told(found, transition),
            _told(found, touch),
            (
                f"what it does: so much is kept for {found.terms.payee} and paid after "
                f"{utc(found.times.refutable_until_s)}, unless the log refutes it or the arbiter "
                f"rules otherwise"
            ),
        ),
        call=chain.claim(found.contract_id, book.size, transition, touch),
        by=(found.terms.operator,),
        facts={
            "key": to_hex(key),
            "lead": to_hex(one.lead),
            "amount_units": str(one.amount),
            "transition": one.transition,
            "touch": one.touch,
        },
    )


def refute(chain: Chain, book: LogCopy, found: ContractState) -> Plan:
    """The filed claims that the log refutes."""
    claims, until_s = found.claims, found.times.refutable_until_s
    if not claims.open:
        raise EscrowError("nothing-to-refute", "there is nothing to refute: no claim stands")
    if found.now_s > until_s:
        raise EscrowError(
            "claims-not-open",
            f"claims could be refuted until {utc(until_s)}; the chain is at {utc(found.now_s)}",
        )
    unopened: set[int] = set()
    cases = find_refutations(
        book.entries(), book.docket, found.contract_id, claims.open, book.at, unopened
    )
    deeds = tuple(
        _refutation(chain, book, found, key, case) for key, case in islice(cases, MAX_DEEDS)
    )
    looked = (
        f"looked at {many(len(claims.open), 'claim')}, {found.amount(claims.claimed_units)} in "
        f"all, and at {book.size:,} log entries, which hash to the root that the chain holds"
    )
    if not deeds:
        _check_opened(unopened)
        raise EscrowError(
            "nothing-to-refute",
            f"there is nothing to refute: {looked}, and the log speaks against none of them",
        )
    return Plan((looked, f"claims can be refuted until {utc(until_s)}"), deeds)


def _refutation(
    chain: Chain, book: LogCopy, found: ContractState, key: bytes, case: Case
) -> PlannedTransaction:
    one = found.claims.open[key]
    lines = [
        (
            f"what is claimed: {found.amount(one.amount)} for entry {one.transition}, by the touch "
            f"at entry {one.touch}"
        ),
        *(f"what the log shows: {_told(found, shown)}" for shown in case.exhibits),
        f"together: {REFUTATIONS[case.kind]}",
        *_rival(case, book),
        "what it does: the claim is dropped for good, and its amount is reserved no more",
    ]
    return PlannedTransaction(
        title=f"drop the claim of {found.amount(one.amount)} for lead {_short(one.lead)}",
        lines=tuple(lines),
        call=chain.refute(book.size, book.proven(case), key),
        by=(),
        facts={"key": to_hex(key), **_facts(case)},
    )


# --- Words ----------------------------------------------------------------------------------------


def _rival(case: Case, book: LogCopy) -> Iterator[str]:
    standing = book.docket.get(case.rival)
    if standing is not None:
        operator = "0x" + standing.rules.operator[-20:].hex()
        how = "got it" if case.kind == "taken" else "comes first"
        yield f"contract {to_hex(case.rival)} of operator {operator} {how}"


def _facts(case: Case) -> dict[str, object]:
    facts: dict[str, object] = {
        "contract_id": to_hex(case.contract_id),
        "kind": case.kind,
        "entries": [shown.position for shown in case.exhibits],
    }
    return facts | ({"rival": to_hex(case.rival)} if any(case.rival) else {})


def _told(found: ContractState, exhibit: Exhibit) -> str:
    """What an entry says."""
    entry = words_of(exhibit)
    return f"entry {entry.position}: {_said(found, entry)}"


def _said(found: ContractState, entry: Words) -> str:
    if entry.kind in (OUTCOME, OVER, REVERSAL, SETTLEMENT):
        return _counted(found, entry)
    at, subject, label = utc(entry.time_ms // 1000), _short(entry.subject), _label(entry.label)
    if entry.kind == TOUCH:
        operator = "0x" + entry.actor[-20:].hex()
        return f"operator {operator} touched lead {subject} on {at} ({label})"
    if entry.kind == TRANSITION:
        return f"lead {subject} entered {label} on {at}, worth {found.amount(entry.value)}"
    if entry.kind == OPENED:
        return f"contract {subject} was opened on {at}"
    return f"{_label(entry.kind)} about {subject} on {at}"


def _counted(found: ContractState, entry: Words) -> str:
    """What an entry says that counts money."""
    subject = _short(entry.subject)
    if entry.kind in (OUTCOME, OVER):
        said = unpack_link(entry.payload)
        counted = f"its outcome {said.n}, {found.amount(said.total)} so far"
        return (
            f"contract {_short(entry.actor)} owes {found.amount(entry.value)} for lead {subject} "
            f"entering {_label(entry.label)} on {utc(entry.time_ms // 1000)}, by the transition "
            f"at entry {said.target} and the touch at entry {said.cause}; "
            f"{counted if entry.kind == OUTCOME else 'past its budget, so not to be paid'}"
        )
    if entry.kind == REVERSAL:
        said = unpack_link(entry.payload)
        return (
            f"contract {_short(entry.actor)} takes back {found.amount(entry.value)} of the outcome "
            f"at entry {said.target} for the event at entry {said.cause}; "
            f"{found.amount(said.total)} taken back so far"
        )
    totals = unpack_statement(entry.payload)
    return (
        f"the statement that contract {subject} has earned {found.amount(totals.earned)} up to the "
        f"outcome at entry {totals.last_outcome}, and taken back {found.amount(totals.reversed)} "
        f"up to the reversal at entry {totals.last_reversal}"
    )


def _label(word: bytes) -> str:
    """A text word as it may be shown; any bytes are some."""
    text = word.rstrip(b"\0").decode("latin-1")
    return f'"{text}"' if text.isascii() and text.isprintable() else _short(word)


def _short(word: bytes) -> str:
    return f"0x{word.hex()[:16]}…"
