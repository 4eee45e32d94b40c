"""The decision of cases: none holds against an honest log; the shared cases hold as in Solidity."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import decode as abi_decode
from hypothesis import given

from orchestrator.core.common.errors import EvidenceError
from orchestrator.core.common.hexadecimal import from_hex
from orchestrator.core.deals.escrow_model import ProvenReversal
from orchestrator.core.deals.terms import TERMS_TYPE, Terms
from orchestrator.core.entries.kinds import decode
from orchestrator.core.evidence.exhibits import (
    DISPROOFS,
    MAX_EXHIBITS,
    PROVEN,
    REFUTATIONS,
    Case,
    Claim,
    EscrowRecord,
    Exhibit,
    escrow_record_of,
)
from orchestrator.core.evidence.rules import (
    check_disproof,
    check_proven_reversal,
    check_refutation,
    claim_of,
    disproves,
)
from orchestrator.core.log.entry import Entry, unpack_outcome, unpack_reversal
from orchestrator.core.log.merkle import leaf_hash, verify_inclusion
from orchestrator.core.log.opening import ReportedTouchOpening, TransitionOpening
from tests.support.depth import examples
from tests.support.histories import History, histories, refunded_histories

TOUCH_KINDS = ("touch", "touch.reported")
COUNTED_KINDS = ("outcome", "outcome.over")

# --- An honest verifier is never disproved --------------------------------------------------------


def exhibits_of(found: History) -> list[Exhibit]:
    return [Exhibit(at, *item) for at, item in enumerate(found.public)]


def visits(found: History, transition: int, opened: int) -> list[int]:
    """Return a transition and what counted its lead before, back to a contract's opening."""
    shown = [transition]
    while True:
        opening = found.records[shown[-1]].opening
        counted = opening.counted if isinstance(opening, TransitionOpening) else 0
        if counted <= opened:
            return shown
        shown += [counted, counted - 1]


def touches_before(entries: list[Entry], touch: int) -> list[int]:
    """Return the touches that a touch follows on, the last first."""
    shown = []
    while entries[touch].value:
        touch = entries[touch].value - 1
        shown.append(touch)
    return shown


def rival_cases(found: History, shown: list[Exhibit], transition: int) -> Iterator[Case]:
    """Yield every rival case, without its first exhibit, that true entries make of a transition."""
    entries = [record.entry for record in found.records]
    touches = [at for at, entry in enumerate(entries) if entry.kind in TOUCH_KINDS]
    opened = {
        entry.subject: at for at, entry in enumerate(entries) if entry.kind == "contract.opened"
    }
    for rival, touch in product(found.contracts, touches):
        if rival not in opened:
            continue
        before = touches_before(entries, touch)
        seen = visits(found, transition, opened[rival])
        for more in ([], seen, before, seen + before, before + seen):
            picked = (touch, opened[rival], *more)[: MAX_EXHIBITS - 1]
            yield Case(b"", "rival", tuple(shown[at] for at in picked), rival)


def cause_cases(found: History, shown: list[Exhibit], touch: int) -> Iterator[Case]:
    """Yield the cases against a touch by any other entry, or by its cause and any other."""
    for other in shown:
        yield Case(b"", "cause", (shown[touch], other))
    opening = found.records[touch].opening
    if isinstance(opening, ReportedTouchOpening):
        for other in shown:
            yield Case(b"", "cause", (shown[touch], shown[opening.cause], other))


def reversal_cases(found: History, shown: list[Exhibit], at: int) -> Iterator[Case]:
    """Yield the cases against a reversal by what its event says, and any other entry."""
    facts = unpack_reversal(found.records[at].entry.payload)
    first = (shown[at], shown[facts.event])
    paid = [place for place, one in enumerate(found.records) if one.entry.kind == "outcome"]
    for other in shown:
        yield Case(b"", "reversal", (*first, other))
    for outcome in paid:
        target = unpack_outcome(found.records[outcome].entry.payload).transition
        yield Case(b"", "reversal", (*first, shown[outcome], shown[target]))
        since, prev = [shown[outcome]], facts.prev
        while prev and len(since) < MAX_EXHIBITS - 2:
            since.append(shown[prev])
            yield Case(b"", "reversal", (*first, *since))
            prev = unpack_reversal(found.records[prev].entry.payload).prev


def disproofs(found: History) -> Iterator[Case]:
    """Yield every case that true entries make against a contract, a few odd rival cases apart."""
    shown = exhibits_of(found)
    overs, reversals = (
        [shown[at] for at, record in enumerate(found.records) if record.entry.kind == kind]
        for kind in ("outcome.over", "outcome.reversed")
    )
    name = next(iter(found.contracts))
    for pair in product(shown, shown):
        yield Case(name, "clock", pair)
    for at, (entry, _) in enumerate(found.records):
        is_about = entry.kind in ("settlement", "contract.opened")
        name = entry.subject if is_about else entry.actor
        if name not in found.contracts:
            continue
        for kind in ("transition", "sum", "reversal"):
            yield Case(name, kind, (shown[at],))
        for kind in ("duplicate", "transition", "touch", "touch_order", "sum", "reversal"):
            yield from (Case(name, kind, (shown[at], other)) for other in shown)
        if entry.kind in ("outcome", "settlement"):
            yield from (Case(name, "sum", (shown[at], *two)) for two in product(overs, reversals))
        if entry.kind in ("outcome", "outcome.over"):
            said = unpack_outcome(entry.payload)
            for case in rival_cases(found, shown, said.transition):
                yield case._replace(contract_id=name, exhibits=(shown[at], *case.exhibits))
            for case in cause_cases(found, shown, said.touch):
                yield case._replace(contract_id=name, exhibits=(shown[at], *case.exhibits))
        if entry.kind == "outcome.reversed":
            for case in reversal_cases(found, shown, at):
                yield case._replace(contract_id=name)


def test_no_true_entries_disprove_an_honest_verifier() -> None:
    tried: Counter[str] = Counter()

    @examples(50, deep=1000)
    @given(histories())
    def try_disproofs(found: History) -> None:
        contracts = found.signed()
        for case in disproofs(found):
            assert not disproves(case, contracts), case
            tried[case.kind] += 1

    try_disproofs()
    assert min(tried.values()) >= 1_000, tried
    assert set(tried) == set(DISPROOFS)


def test_no_true_entries_refute_a_claim_that_the_log_gives() -> None:
    tried: Counter[str] = Counter()

    @examples(50, deep=1000)
    @given(histories())
    def refute(found: History) -> None:
        contracts, shown = found.signed(), exhibits_of(found)
        touches, openings = (
            [shown[at] for at, record in enumerate(found.records) if record.entry.kind in kinds]
            for kinds in (TOUCH_KINDS, ("contract.opened",))
        )
        counting = [at for at, (one, _) in enumerate(found.records) if one.kind in COUNTED_KINDS]
        for entry, _ in found.records:
            if entry.kind not in COUNTED_KINDS:
                continue
            said = unpack_outcome(entry.payload)
            record = contracts[entry.actor]
            claim = claim_of(record, shown[said.transition], shown[said.touch])
            assert claim == Claim(
                entry.subject, entry.value, said.transition, said.touch, entry.time_ms
            )
            cases = [
                *(Case(entry.actor, "touch_order", (other,)) for other in shown),
                *(Case(entry.actor, "answered", (other,)) for other in shown),
                *cause_cases(found, shown, said.touch),
                *(
                    Case(entry.actor, "taken", (other, touch, opened), rival)
                    for rival in contracts
                    if rival != entry.actor
                    for other in shown[said.transition + 1 :][:2]
                    for touch, opened in product(touches, openings)
                ),
                *(
                    Case(entry.actor, "earlier", (shown[at], shown[at - 1], touch, opened))
                    for at in counting
                    for touch, opened in product(touches, openings)
                ),
                *rival_cases(found, shown, said.transition),
            ]
            # Whatever is final for others; for itself, this very outcome would answer.
            final = found.signed(last_final=len(shown) - 1)
            others = {**final, entry.actor: record}
            for case in cases:
                tried[case.kind] += 1
                assert not is_refuted(case._replace(contract_id=entry.actor), claim, others)

    refute()
    assert min(tried.values()) >= 2_500, tried
    assert set(tried) == {*REFUTATIONS} - {"reversed"}


def test_events_take_back_what_the_reversals_do() -> None:
    """Of a claim to the same, and at the escrow without the verifier."""
    taken: Counter[str] = Counter()

    @examples(200)
    @given(refunded_histories())
    def take_back(found: History) -> None:
        shown = exhibits_of(found)
        reversed_: Counter[int] = Counter()
        for entry, _ in found.records:
            if entry.kind == "outcome.reversed":
                reversed_[unpack_reversal(entry.payload).outcome] += entry.value
        for at, (entry, _) in enumerate(found.records):
            if entry.kind != "outcome":
                continue
            said, contracts = unpack_outcome(entry.payload), found.signed(last_final=at)
            claim = claim_of(contracts[entry.actor], shown[said.transition], shown[said.touch])
            proven = 0
            for event in shown[at:]:
                exhibits = (event, shown[said.transition])
                case = Case(entry.actor, "reversed", exhibits)
                if is_refuted(case, claim, contracts):
                    left = check_refutation(case, claim, contracts)
                    claim = claim._replace(amount=left)
                try:
                    case = case._replace(kind=PROVEN, exhibits=(shown[at], *exhibits))
                    reversal = check_proven_reversal(case, contracts)
                    assert (reversal.happened, reversal.outcome) == (event.position, at)
                    proven += reversal.amount_units
                except EvidenceError:
                    pass
            assert (claim.amount, proven) == (entry.value - reversed_[at], reversed_[at])
            taken["whole" if not claim.amount else "part" if proven else "none"] += 1

    take_back()
    assert min(taken[name] for name in ("whole", "part", "none")) >= 15, taken


def is_refuted(case: Case, claim: Claim, contracts: dict[bytes, EscrowRecord]) -> bool:
    try:
        check_refutation(case, claim, contracts)
    except EvidenceError:
        return False
    return True


# --- The cases that forge decides too -------------------------------------------------------------


FILE = json.loads((Path(__file__).resolve().parents[2] / "vectors" / "evidence.json").read_text())
ABI = [member.split(" ")[0] for member in TERMS_TYPE[len("Terms(") : -1].split(",")]
TERMS = {
    contract["contract_id"]: Terms.from_abi(abi_decode(ABI, from_hex(contract["terms"])))
    for contract in FILE["contracts"]
}


def contracts_of(row: dict[str, Any]) -> dict[bytes, EscrowRecord]:
    """Return the records of all contracts; the row's positions are those of its contract."""
    found = {}
    own = from_hex(row.get("contract_id", "0x"))
    for contract in FILE["contracts"]:
        name = from_hex(contract["contract_id"])
        found[name] = escrow_record_of(
            TERMS[contract["contract_id"]],
            name,
            contract["opening_number"],
            contract["closed_at_s"],
            row.get("last_signed", 0),
            row.get("last_final", 0) if name == own else row.get("rival_last_final", 0),
        )
    return found


def exhibits_in(row: dict[str, Any]) -> tuple[Exhibit, ...]:
    columns = (row[name] for name in ("positions", "entries", "openings", "proofs"))
    return tuple(
        Exhibit(at, from_hex(entry), from_hex(opening), tuple(map(from_hex, proof)))
        for at, entry, opening, proof in zip(*columns, strict=True)
    )


def case_in(row: dict[str, Any]) -> Case:
    return Case(
        from_hex(row["contract_id"]),
        row.get("kind", PROVEN),
        exhibits_in(row),
        from_hex(row.get("rival_id", "0x")),
    )


def error_of(decide: Callable[[], object]) -> str:
    """Return the Solidity name of the error by which a case is refused; "" if it holds."""
    try:
        decide()
    except EvidenceError as error:
        return "".join(map(str.capitalize, error.code.split("-")))
    return ""


def rows(table: str) -> list[Any]:
    return [
        pytest.param(row, id=f"{row.get('kind', 'claim')}-{row['name'].replace(' ', '_')}")
        for row in FILE[table]
    ]


@pytest.mark.parametrize("row", rows("disproofs"))
def test_disproofs(row: dict[str, Any]) -> None:
    contracts = contracts_of(row)
    assert error_of(lambda: check_disproof(case_in(row), contracts)) == row["error"]
    assert disproves(case_in(row), contracts) is (row["error"] == "")


@pytest.mark.parametrize("row", rows("refutations"))
def test_refutations(row: dict[str, Any]) -> None:
    contracts = contracts_of(row)
    claim = Claim(
        from_hex(row["claim_lead"]),
        int(row["claim_amount"], 16),
        row["claim_transition"],
        row["claim_touch"],
        row["claim_time_ms"],
    )
    assert error_of(lambda: check_refutation(case_in(row), claim, contracts)) == row["error"]
    if not row["error"]:
        assert check_refutation(case_in(row), claim, contracts) == row["left"]
    rules_ = contracts[from_hex(row["contract_id"])].rules
    assert claim.key(rules_) == from_hex(row["claim_key"])


@pytest.mark.parametrize("row", rows("claims"))
def test_claims(row: dict[str, Any]) -> None:
    record = contracts_of(row)[from_hex(row["contract_id"])]
    transition, touch = exhibits_in(row)
    assert error_of(lambda: claim_of(record, transition, touch)) == row["error"]
    if not row["error"]:
        claim = claim_of(record, transition, touch)
        entered = decode(transition.entry)
        assert claim == Claim(
            entered.subject,
            int(row["amount"], 16),
            transition.position,
            touch.position,
            entered.time_ms,
        )
        assert claim.key(record.rules) == from_hex(row["key"])


@pytest.mark.parametrize("row", rows("reversals"))
def test_proven_reversals(row: dict[str, Any]) -> None:
    contracts, case = contracts_of(row), case_in(row)
    assert error_of(lambda: check_proven_reversal(case, contracts)) == row["error"]
    if not row["error"]:
        outcome, happened = row["positions"][:2]
        value = decode(from_hex(row["entries"][0])).value
        assert check_proven_reversal(case, contracts) == ProvenReversal(
            happened, outcome, value, row["sum"], row["amount"]
        )


def test_every_kind_holds_and_is_refused_somewhere() -> None:
    for table, kinds in (("disproofs", DISPROOFS), ("refutations", REFUTATIONS)):
        for held in (True, False):
            found = {row["kind"] for row in FILE[table] if (row["error"] == "") is held}
            assert found >= set(kinds)


@pytest.mark.parametrize("table", ["disproofs", "refutations", "claims", "reversals"])
def test_the_exhibits_stand_in_their_trees(table: str) -> None:
    for row in FILE[table]:
        for shown in exhibits_in(row):
            leaf = leaf_hash(shown.entry)
            verify_inclusion(leaf, shown.position, row["size"], shown.proof, from_hex(row["root"]))


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"exhibits": ()}, "ExhibitCount"),
        ({"exhibits": (Exhibit(1, bytes(256)),) * 17}, "ExhibitCount"),
        ({"exhibits": (Exhibit(1, bytes(255)),)}, "EntriesNotWhole"),
        ({"contract_id": bytes(32)}, "UnknownContract"),
        ({"kind": "answered"}, "UnknownKind"),
    ],
)
def test_what_is_no_case(changes: dict[str, Any], error: str) -> None:
    row = next(row for row in FILE["disproofs"] if row["error"] == "")
    case = case_in(row)._replace(**changes)
    assert error_of(lambda: check_disproof(case, contracts_of(row))) == error


@pytest.mark.parametrize("data", [bytes(256), b"\xff" * 256])
def test_bytes_that_are_no_entry_prove_nothing(data: bytes) -> None:
    contracts = contracts_of({"last_signed": 9, "last_final": 9})
    for name in contracts:
        for kind in DISPROOFS:
            case = Case(name, kind, (Exhibit(9, data), Exhibit(8, data)))
            assert not disproves(case, contracts)
