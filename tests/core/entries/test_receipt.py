"""Receipts: a true one holds, and every change of it is refused by the rule that it breaks."""

import copy
import dataclasses
import json
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.common.errors import ProofError
from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.core.deals.terms import Terms
from orchestrator.core.decisions.decide import decide
from orchestrator.core.entries.kinds import KINDS
from orchestrator.core.entries.receipt import _check_reversal, check, check_terms, parse, read_text
from orchestrator.core.evidence.exhibits import Case, Exhibit, escrow_record_of
from orchestrator.core.evidence.rules import disproves
from orchestrator.core.log.entry import (
    pack_outcome,
    pack_reversal,
    pack_settlement,
    unpack_outcome,
    unpack_reversal,
    unpack_settlement,
)
from orchestrator.core.log.opening import (
    EventOpening,
    Record,
    ReportedTouchOpening,
    encode_opening,
    payload_of,
)
from orchestrator.core.world.contract import rules_of
from orchestrator.core.world.requests import (
    OpenContract,
    ProductEvent,
    Settle,
    Touch,
)
from tests.support.depth import examples
from tests.support.origins import NO_ORIGINS
from tests.support.receipts import KINDS_WITH_RECEIPTS, receipt_of, without
from tests.support.terms import PLAIN
from tests.support.true_receipts import (
    CONTRACT,
    GOVERNING,
    SHARED,
    TERMS,
    TRIAL,
    clicked,
    paid,
    refunded,
)
from tests.support.worlds import LEADS, SURFACE, begin, word

ROLES = ("touch", "transition", "outcome", "settlement")


@cache
def log() -> list[Record]:
    """One outcome, from the touch to its statement."""
    world, records = begin(GOVERNING)
    rules = rules_of(TERMS, CONTRACT)
    for now_ms, request in (
        (1000, OpenContract(rules, word("transaction"))),
        (2000, Touch(SURFACE, LEADS[0], rules.operator, "email")),
        (2500, ProductEvent(SURFACE, LEADS[0], "signup", 0, 2500)),
        (3000, ProductEvent(SURFACE, LEADS[0], "buy", 0, 3000)),
        (4000, Settle()),
    ):
        records += decide(world, request, now_ms)
    return records


def receipt(records: list[Record] | None = None) -> dict[str, Any]:
    return receipt_of(log() if records is None else records, CONTRACT)


def test_a_true_receipt_holds() -> None:
    found = parse(receipt())
    check(found)
    check_terms(found, TERMS)
    assert tuple(found.entries) == ROLES


def entry_of(document: dict[str, Any], role: str) -> dict[str, Any]:
    item: dict[str, Any] = next(each for each in document["entries"] if each["role"] == role)
    return item


def change_word(role: str, word_number: int) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        data = bytearray.fromhex(entry_of(document, role)["entry"][2:])
        data[32 * word_number + 31] ^= 1
        entry_of(document, role)["entry"] = to_hex(bytes(data))

    return change


def set_(role: str, name: str, value: object) -> Callable[[dict[str, Any]], None]:
    return lambda document: entry_of(document, role).update({name: value})


@pytest.mark.parametrize(
    ("code", "change"),
    [
        ("receipt-format", lambda document: document.update(format="another")),
        ("receipt-malformed", lambda document: document.update(log_id="0x12")),
        ("receipt-malformed", lambda document: document.update(escrow="0x" + "Ab" * 20)),
        ("receipt-malformed", lambda document: document.update(escrow=7)),
        ("receipt-members", lambda document: document.update(note="paid twice")),
        ("receipt-members", lambda document: document["checkpoint"].update(anchored=True)),
        ("receipt-members", lambda document: document["entries"][0].update(time=1)),
        ("receipt-members", lambda document: document.pop("origin")),
        ("receipt-members", lambda document: document.update(log_id=document.pop("log_id"))),
        ("receipt-unordered", lambda document: document["entries"].reverse()),
        ("receipt-pending", lambda document: document.update(pending={})),
        ("receipt-role", lambda document: document.update(pending=[{"role": "x", "position": 1}])),
        (
            "receipt-role",
            lambda document: document.update(pending=[{"role": "touch", "position": 9}]),
        ),
        ("receipt-malformed", lambda document: document.update(chain_id="31337")),
        ("receipt-entries", lambda document: document.update(entries=[])),
        ("receipt-role", set_("settlement", "role", "outcome")),
        ("receipt-role", set_("touch", "role", "witness")),
        ("receipt-position", lambda document: document.update(position=0)),
        # Of a touch there are no receipts, though it has a part in some.
        (
            "receipt-position",
            lambda document: document.update(position=document["entries"][0]["position"]),
        ),
        ("receipt-mismatch", set_("touch", "role", "payout")),
        ("receipt-path", set_("touch", "path", "0x")),
        ("receipt-malformed", set_("touch", "opening", {"request_hash": "0x", "commitment": "0x"})),
        ("receipt-opening", set_("outcome", "opening", {"request_hash": "0x"})),
        ("kind-unknown", change_word("outcome", 0)),
    ],
)
def test_what_is_no_receipt_is_refused(code: str, change: Callable[[dict[str, Any]], None]) -> None:
    document = copy.deepcopy(receipt())
    change(document)
    with pytest.raises(ProofError) as refused:
        parse(document)
    assert refused.value.code == code


@pytest.mark.parametrize("origin", NO_ORIGINS)
def test_an_origin_that_shows_otherwise_than_it_is_written_is_refused(origin: object) -> None:
    with pytest.raises(ProofError, match="origin must be 1 to 255 printable ASCII") as refused:
        parse(receipt() | {"origin": origin})
    assert refused.value.code == "receipt-malformed"
    assert parse(receipt() | {"origin": "~" * 255}).origin == "~" * 255


def text_of_receipt() -> str:
    return json.dumps(receipt(), indent=2)


def test_a_receipts_text_may_have_lines_and_spaces() -> None:
    assert read_text(text_of_receipt()) == receipt()
    assert read_text(json.dumps(receipt(), separators=(",", ":"))) == receipt()


@pytest.mark.parametrize(
    ("code", "old", "new"),
    [
        ("receipt-twice", '"position"', '"format": "tallystick-receipt-1", "format"'),
        ("receipt-spelling", "tallystick-receipt-1", "tallystick\\u002dreceipt-1"),
        ("receipt-spelling", '"chain_id": 31337', '"chain_id": 31337.00'),
        ("receipt-spelling", '"chain_id": 31337', '"chain_id": 3.1337e4'),
        ("receipt-spelling", '"pending": []', '"pending": [-0]'),
    ],
)
def test_another_spelling_of_the_same_is_refused(code: str, old: str, new: str) -> None:
    with pytest.raises(ProofError) as refused:
        read_text(text_of_receipt().replace(old, new, 1))
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("number", "code", "said"),
    [
        ("31337.00", "receipt-spelling", "has the number 31337.00; its numbers are plain digits"),
        ("3.1337e4", "receipt-spelling", "has the number 3.1337e4; its numbers are plain digits"),
        ("-31337", "receipt-spelling", "has the number -31337; its numbers are plain digits"),
        ("-0", "receipt-spelling", "its numbers are plain digits"),
        ("NaN", "receipt-spelling", "has the number NaN; its numbers are plain digits"),
        ("-Infinity", "receipt-spelling", "its numbers are plain digits"),
        ("1" * 20, "receipt-malformed", "a number of 20 digits, which is too long; .* from 0 to 9"),
        ("1" * 5000, "receipt-malformed", "a number of 5000 digits, which is too long"),
        (
            "9" * 19,
            "receipt-malformed",
            r"chain_id must be .* from 0 to 9223372036854775807, not 9",
        ),
    ],
)
def test_numbers_are_plain_digits_within_bounds(number: str, code: str, said: str) -> None:
    text = text_of_receipt().replace('"chain_id": 31337', f'"chain_id": {number}')
    with pytest.raises(ProofError, match=said) as refused:
        parse(read_text(text))
    assert refused.value.code == code


def test_a_role_that_is_none_and_one_that_stands_twice_are_told_apart() -> None:
    document = receipt()
    first, second = document["entries"][:2]
    witness = {**document, "entries": [first, {**second, "role": "witness"}]}
    twice = {**document, "entries": [first, {**second, "role": first["role"]}]}
    for false, said in (
        (witness, r"entries\[1\] has the role 'witness'; roles are touch, "),
        (twice, f"the role '{first['role']}' stands twice in entries"),
    ):
        with pytest.raises(ProofError, match=said) as refused:
            parse(false)
        assert refused.value.code == "receipt-role"


@pytest.mark.parametrize("text", ["", "{", "[1", '{"a": 01}', "{'a': 1}"])
def test_what_is_no_json_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_text(text)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("word_number", [1, 2, 3, 5, 6, 7])
def test_any_changed_word_is_refused(role: str, word_number: int) -> None:
    document = copy.deepcopy(receipt())
    change_word(role, word_number)(document)
    with pytest.raises(ProofError) as refused:
        check(parse(document))
    assert refused.value.code == "root-mismatch"


def test_an_opening_in_another_form_or_of_other_words_is_refused() -> None:
    for changes, code in (
        ({"counted": 9}, "receipt-opening"),
        ({"request_hash": "0x" + "AB" * 32}, "receipt-malformed"),
        ({"more": 1}, "receipt-malformed"),
        # To Python these equal the right number, or cannot be made one.
        ({"counted": True}, "receipt-malformed"),
        ({"counted": 1.0}, "receipt-malformed"),
        ({"counted": float("inf")}, "receipt-malformed"),
        ({"counted": -1}, "receipt-malformed"),
        ({"counted": 2**70}, "receipt-malformed"),
        ({"received_ms": 3000.0}, "receipt-malformed"),
        ({"from_state": "x" * 65}, "receipt-malformed"),
        ({"from_state": 7}, "receipt-malformed"),
    ):
        document = copy.deepcopy(receipt())
        entry_of(document, "transition")["opening"].update(changes)
        with pytest.raises(ProofError) as refused:
            check(parse(document))
        assert refused.value.code == code


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("receipt-mismatch", {"unit_price_units": 7_999_999}),
        ("receipt-mismatch", {"outcome": "trial"}),
        ("receipt-mismatch", {"operator": PLAIN.owner}),
        ("receipt-mismatch", {"log_id": word("another")}),
        ("receipt-mismatch", {"owner": PLAIN.payee}),
        ("receipt-times", {"deadline_s": 2}),
        ("receipt-times", {"opens_at_s": 3}),
        ("receipt-window", {"attribution_window_s": 0}),
    ],
)
def test_terms_that_do_not_pay_for_it_are_refused(code: str, changes: dict[str, Any]) -> None:
    found = parse(receipt())
    with pytest.raises(ProofError) as refused:
        check_terms(found, dataclasses.replace(TERMS, **changes))
    assert refused.value.code == code


# --- A reversal -----------------------------------------------------------------------------------


def reversal_receipt() -> dict[str, Any]:
    """Return the receipt of the second reversal."""
    return receipt_of(refunded(), CONTRACT, "outcome.reversed")


def test_a_true_receipt_of_a_reversal_holds() -> None:
    found = parse(reversal_receipt())
    check(found)
    check_terms(found, SHARED)
    assert found.entries["reversal"].entry.value == 4
    assert {"transition", "outcome", "event", "reversal", "settlement"} <= set(found.entries)


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("receipt-mismatch", {"revenue_share_bps": 900}),
        ("receipt-late", {"holdback_period_s": 0}),
    ],
)
def test_a_reversal_that_the_terms_do_not_give_is_refused(
    code: str, changes: dict[str, Any]
) -> None:
    found = parse(reversal_receipt())
    outcome = found.entries["outcome"]
    terms = dataclasses.replace(SHARED, **changes)
    amount = rules_of(terms, CONTRACT).amount_units(500)
    altered = outcome._replace(entry=outcome.entry._replace(value=amount))
    entries = {**found.entries, "outcome": altered}
    with pytest.raises(ProofError) as refused:
        check_terms(found._replace(entries=entries), terms)
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("receipt-mismatch", {"of": 3}),
        ("receipt-mismatch", {"refunded_after_units": 150}),
        ("receipt-mismatch", {"refunded_before_units": 0}),
    ],
)
def test_an_event_that_tells_another_refund_is_refused(code: str, changes: dict[str, Any]) -> None:
    found = parse(reversal_receipt())
    event = found.entries["event"]
    opening = event.opening
    assert isinstance(opening, EventOpening)
    changed = opening._replace(**changes)
    entry = event.entry._replace(payload=payload_of(changed))
    altered = found._replace(
        entries={**found.entries, "event": event._replace(entry=entry, opening=changed)}
    )
    judge = _check_reversal if "of" in changes else partial(check_terms, terms=SHARED)
    with pytest.raises(ProofError) as refused:
        judge(altered)
    assert refused.value.code == code


def told_otherwise(
    records: list[Record], entry: dict[str, Any] | None = None, **changes: Any
) -> list[Record]:
    """Return the log in which the last reversal's event tells something else of its refund.

    `entry` has changes of the event's own words, `taken_units` is what the reversal takes.
    """
    taken = changes.pop("taken_units", None)
    *before, happened, (reversal, _) = records[: 1 + last_position(records, "outcome.reversed")]
    assert isinstance(happened.opening, EventOpening)
    opening = happened.opening._replace(**changes)
    words = {**(entry or {}), "payload": payload_of(opening)}
    if taken is not None:
        reversal = reversal._replace(value=taken)
    rest = records[len(before) + 2 :]
    event = Record(happened.entry._replace(**words), opening)
    return [*before, event, Record(reversal, None), *rest]


def last_position(records: list[Record], kind: str) -> int:
    return max(at for at, record in enumerate(records) if record.entry.kind == kind)


def judge(records: list[Record], terms: Terms = SHARED) -> str:
    """Return the rule by which the receipt of the last reversal is refused; empty if it holds."""
    try:
        found = parse(receipt_of(records, CONTRACT, "outcome.reversed"))
        check(found)
        check_terms(found, terms)
    except ProofError as error:
        return error.code
    return ""


def shows_false(records: list[Record], terms: Terms = SHARED) -> bool:
    """Return whether the entries of that receipt prove to the escrow that the reversal is false."""
    found = parse(receipt_of(records, CONTRACT, "outcome.reversed")).entries
    signed = escrow_record_of(terms, CONTRACT, 1, last_signed=len(records) - 1)
    reversal, event, outcome, transition = (
        Exhibit(one.position, one.data, encode_opening(one.opening) if one.opening else b"")
        for one in (found[role] for role in ("reversal", "event", "outcome", "transition"))
    )
    return any(
        disproves(Case(CONTRACT, "reversal", (reversal, *shown)), {CONTRACT: signed})
        for shown in (
            (),
            (outcome,),
            (event,),
            (event, outcome),
            (event, transition),
            (event, outcome, transition),
        )
    )


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("", {}),
        ("receipt-mismatch", {"order": word("another")}),
        ("receipt-mismatch", {"order": bytes(32)}),
        ("receipt-mismatch", {"previous": 0}),
        ("receipt-order", {"previous": 3}),
        # The outcome is no refund.
        ("receipt-order", {"previous": 18}),
        ("receipt-order", {"previous": 2**40 - 1}),
        # Of another sum the amounts would be right.
        ("receipt-amount", {"refunded_before_units": 501, "refunded_after_units": 541}),
        ("receipt-mismatch", {"refunded_before_units": 200, "refunded_after_units": 260}),
        ("receipt-mismatch", {"refunded_before_units": 200, "refunded_after_units": 200}),
        ("receipt-mismatch", {"whole": True}),
        ("receipt-mismatch", {"entry": {"value": 41}}),
        ("receipt-mismatch", {"entry": {"actor": word("nobody")}}),
    ],
)
def test_a_refund_that_cannot_have_been_is_refused_as_evidence_does(
    code: str, changes: dict[str, Any]
) -> None:
    records = told_otherwise(refunded(), **changes)
    assert judge(records) == code
    assert shows_false(records) == bool(code)


def test_a_purchase_of_no_value_is_given_back_once() -> None:
    """The unit price goes with the first refund, so a second one has nothing to take."""
    terms = dataclasses.replace(SHARED, unit_price_units=7)
    world, records = begin(GOVERNING)
    rules, order = rules_of(terms, CONTRACT), word("order")
    for now_ms, request in (
        (1000, OpenContract(rules, word("transaction"))),
        (2000, Touch(SURFACE, LEADS[0], rules.operator, "email")),
        (2500, ProductEvent(SURFACE, LEADS[0], "signup", 0, 2500)),
        (3000, ProductEvent(SURFACE, LEADS[0], "buy", 0, 3000, order=order)),
        (3500, ProductEvent(SURFACE, LEADS[0], "refund", 0, 3500, order=order)),
    ):
        records += decide(world, request, now_ms)
    assert (judge(records, terms), shows_false(records, terms)) == ("", False)
    # A lying log takes it back once more.
    (first, opening), (reversal, _) = records[-2:]
    again = told_otherwise([*records, Record(first, opening), Record(reversal, None)])
    last = len(records)
    again = told_otherwise(again, previous=last - 2)
    facts = unpack_reversal(reversal.payload)._replace(event=last, prev=last - 1, n=2)
    again[-1] = Record(reversal._replace(payload=pack_reversal(*facts)), None)
    assert shows_false(again, terms)
    assert judge(again, terms) == "receipt-mismatch"


AMOUNTS = st.sampled_from([0, 1, 40, 60, 99, 100, 101, 139, 140, 141, 460, 499, 500, 501])


@examples(200)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "order": st.sampled_from([bytes(32), word("order"), word("another")]),
            "of": st.integers(10, 20),
            "previous": st.sampled_from([0, *range(10, 20)]),
            "refunded_before_units": AMOUNTS,
            "refunded_after_units": AMOUNTS,
            "whole": st.booleans(),
            "taken_units": st.sampled_from([0, 1, 4, 10, 14, 40, 49, 50, 51]),
            "entry": st.fixed_dictionaries({}, optional={"value": AMOUNTS}),
        },
    )
)
def test_what_evidence_shows_to_be_false_no_receipt_takes(changes: dict[str, Any]) -> None:
    records = told_otherwise(refunded(), **changes)
    assert bool(judge(records)) or not shows_false(records)


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("outcome", {"prev": 2**40 - 1, "n": 2}),
        ("outcome", {"n": 2}),
        ("outcome", {"earned_after": 51}),
        ("outcome", {"prev": 3, "n": 2, "earned_after": 49}),
        ("outcome", {"prev": 3, "n": 1}),
        ("outcome.reversed", {"prev": 2**40 - 1}),
        ("outcome.reversed", {"prev": 0}),
        ("outcome.reversed", {"reversed_after": 3}),
    ],
)
def test_a_sum_that_cannot_be_is_refused(kind: str, changes: dict[str, int]) -> None:
    records = refunded()
    at = last_position(records, kind)
    entry = records[at].entry
    payload = (
        pack_outcome(*unpack_outcome(entry.payload)._replace(**changes))
        if kind == "outcome"
        else pack_reversal(*unpack_reversal(entry.payload)._replace(**changes))
    )
    records = [*records[:at], Record(entry._replace(payload=payload), None), *records[at + 1 :]]
    with pytest.raises(ProofError, match="cannot be number") as refused:
        check(parse(receipt_of(records, CONTRACT, kind)))
    assert refused.value.code == "receipt-sum"


@pytest.mark.parametrize(
    ("kind", "changes", "role"),
    [
        ("settlement", {"last_outcome": 2**40}, ""),
        ("settlement", {"last_reversal": 2**40}, ""),
        ("settlement", {"last_outcome": 0}, ""),
        ("settlement", {"last_reversal": 0}, ""),
        # The last one says what the sum is then.
        ("outcome", {"earned": 51}, "outcome"),
        ("outcome.reversed", {"reversed": 15}, "reversal"),
    ],
)
def test_a_statement_that_cannot_be_is_refused_as_evidence_does(
    kind: str, changes: dict[str, int], role: str
) -> None:
    records = refunded()
    at = last_position(records, "settlement")
    entry = records[at].entry
    facts = unpack_settlement(entry.payload)._replace(**changes)
    false = entry._replace(payload=pack_settlement(*facts), value=facts.earned - facts.reversed)
    records = [*records[:at], Record(false, None), *records[at + 1 :]]
    found = parse(receipt_of(records, CONTRACT, kind))
    with pytest.raises(ProofError, match="the settlement") as refused:
        check(found)
    assert refused.value.code == "receipt-sum"
    shown = [found.entries[one] for one in ("settlement", role) if one]
    exhibits = tuple(Exhibit(one.position, one.data) for one in shown)
    signed = escrow_record_of(SHARED, CONTRACT, 1, last_signed=len(records) - 1)
    assert disproves(Case(CONTRACT, "sum", exhibits), {CONTRACT: signed})


def test_a_reversal_of_what_was_past_the_budget_is_refused_as_evidence_does() -> None:
    """The outcome brought its contract to 50, and 10 had been taken back before this reversal."""
    records = refunded()
    for budget, code in ((40, ""), (39, "receipt-budget")):
        terms = dataclasses.replace(SHARED, budget_units=budget)
        found = parse(receipt_of(records, CONTRACT, "outcome.reversed")).entries
        signed = escrow_record_of(terms, CONTRACT, 1, last_signed=len(records) - 1)
        shown = (found["reversal"], found["outcome"])
        exhibits = tuple(Exhibit(one.position, one.data) for one in shown)
        case = Case(CONTRACT, "sum", exhibits)
        assert judge(records, terms) == code
        assert disproves(case, {CONTRACT: signed}) == bool(code)


def test_a_reversal_stands_directly_behind_its_event() -> None:
    records = refunded()
    at = last_position(records, "outcome.reversed")
    apart = [*records[:at], records[0], *records[at:]]
    with pytest.raises(ProofError, match="directly behind its event") as refused:
        check(parse(receipt_of(apart, CONTRACT, "outcome.reversed")))
    assert refused.value.code == "receipt-order"


# --- What a receipt of each kind has --------------------------------------------------------------


def receipt_of_kind(kind: str) -> dict[str, Any]:
    return copy.deepcopy(receipt_of(paid(), CONTRACT, kind))


ALWAYS = [
    (kind, role)
    for kind in KINDS_WITH_RECEIPTS
    for role in KINDS[kind].receipt.always  # type: ignore[union-attr]
]
OTHERS = [
    (kind, role)
    for kind in KINDS_WITH_RECEIPTS
    for role in KINDS[kind].receipt.others  # type: ignore[union-attr]
]


def parse_refused(document: dict[str, Any], code: str, *words: str) -> None:
    with pytest.raises(ProofError) as refused:
        parse(document)
    assert refused.value.code == code
    assert all(one in refused.value.message for one in words), refused.value.message


@pytest.mark.parametrize("kind", KINDS_WITH_RECEIPTS)
def test_a_receipt_of_each_kind_holds_with_all_its_roles(kind: str) -> None:
    found = parse(receipt_of_kind(kind))
    shape = KINDS[kind].receipt
    assert shape is not None
    assert (found.subject, set(found.entries)) == (KINDS[kind].role, {*shape.always, *shape.others})
    check(found)
    check_terms(found, SHARED)


def test_a_receipt_of_an_outcome_by_a_code_holds_and_needs_the_clicks_opening() -> None:
    document = receipt_of(clicked(), CONTRACT, outcome="trial")
    found = parse(document)
    check(found)
    check_terms(found, TRIAL)
    assert found.entries["touch"].entry.kind == "touch.reported"
    set_("touch", "opening", None)(document)
    parse_refused(document, "receipt-opening", "the touch")


@pytest.mark.parametrize(
    ("code", "changes"),
    [("receipt-times", {"received_ms": 2999}), ("receipt-order", {"cause": 2**40 - 1})],
)
def test_a_click_that_its_own_report_contradicts_is_refused_as_evidence_does(
    code: str, changes: dict[str, Any]
) -> None:
    records = clicked()
    at = last_position(records, "touch.reported")
    entry, opening = records[at]
    assert isinstance(opening, ReportedTouchOpening)
    told = opening._replace(**changes)
    click = Record(entry._replace(payload=payload_of(told)), told)
    records = [*records[:at], click, *records[at + 1 :]]
    found = parse(receipt_of(records, CONTRACT, outcome="trial"))
    with pytest.raises(ProofError) as refused:
        check(found)
    assert refused.value.code == code
    outcome, touch = found.entries["outcome"], found.entries["touch"]
    shown = (
        Exhibit(outcome.position, outcome.data),
        Exhibit(touch.position, touch.data, encode_opening(told)),
    )
    signed = escrow_record_of(TRIAL, CONTRACT, 1, last_signed=len(records) - 1)
    assert disproves(Case(CONTRACT, "cause", shown), {CONTRACT: signed})


@pytest.mark.parametrize(("kind", "role"), ALWAYS)
def test_a_role_that_a_kind_always_has_may_be_neither_left_out_nor_pending(
    kind: str, role: str
) -> None:
    document = receipt_of_kind(kind)
    cut = without(document, role)
    # Without the entry that it is of, it is the receipt of nothing.
    is_subject = role == KINDS[kind].role
    code, words = ("receipt-position", "no entry") if is_subject else ("receipt-incomplete", role)
    parse_refused(cut, code, words)
    ahead = document["checkpoint"]["size"]
    parse_refused({**cut, "pending": [{"role": role, "position": ahead}]}, code, words)


@pytest.mark.parametrize(("kind", "role"), OTHERS)
def test_a_role_that_a_kind_may_have_can_be_pending(kind: str, role: str) -> None:
    document = receipt_of_kind(kind)
    ahead = document["checkpoint"]["size"]
    cut = {**without(document, role), "pending": [{"role": role, "position": ahead}]}
    found = parse(cut)
    assert found.pending == {role: ahead}
    check(found)
    check_terms(found, SHARED)
    # What the checkpoint covers is proven, or it is not the receipt that the log gives.
    covered = entry_of(document, role)["position"]
    parse_refused({**cut, "pending": [{"role": role, "position": covered}]}, "receipt-pending")


@pytest.mark.parametrize("kind", KINDS_WITH_RECEIPTS)
def test_a_role_of_another_kind_is_refused(kind: str) -> None:
    document = receipt_of_kind(kind)
    here = {item["role"] for item in document["entries"]}
    all_of_them = [
        entry_of(receipt_of_kind(other), role)
        for other, role in (("outcome", "touch"), ("outcome.reversed", "event"))
        if role not in here
    ]
    assert all_of_them
    for item in all_of_them:
        entries = sorted([*document["entries"], item], key=lambda one: one["position"])
        parse_refused({**document, "entries": entries}, "receipt-role", item["role"])
        ahead = [{"role": item["role"], "position": document["checkpoint"]["size"]}]
        parse_refused({**document, "pending": ahead}, "receipt-role", item["role"])


@pytest.mark.parametrize("kind", ["outcome", "outcome.reversed"])
def test_a_payout_is_of_a_settlement(kind: str) -> None:
    document = receipt_of_kind(kind)
    parse_refused(without(document, "settlement"), "receipt-incomplete", "the settlement")
    check(parse(without(document, "settlement", "payout")))
    check(parse(without(document, "payout")))


def test_a_payout_may_be_of_no_settlement() -> None:
    check(parse(without(receipt_of_kind("payout"), "settlement")))


@pytest.mark.parametrize("kind", KINDS_WITH_RECEIPTS)
def test_an_opening_may_not_be_left_out(kind: str) -> None:
    document = receipt_of_kind(kind)
    opened = [item["role"] for item in document["entries"] if item["opening"] is not None]
    assert (kind in ("settlement", "payout")) == (opened == [])
    for role in opened:
        cut = copy.deepcopy(document)
        set_(role, "opening", None)(cut)
        parse_refused(cut, "receipt-opening", f"the opening of the {role} is missing")


@pytest.mark.parametrize(
    ("kind", "code", "changes"),
    [
        ("outcome.reversed", "receipt-mismatch", {"revenue_share_bps": 1100}),
        ("outcome.reversed", "receipt-times", {"deadline_s": 2}),
        ("settlement", "receipt-mismatch", {"verifier": PLAIN.owner}),
        ("settlement", "receipt-mismatch", {"outcome": "trial"}),
        ("settlement", "receipt-mismatch", {"surface": word("elsewhere")}),
        ("payout", "receipt-payee", {"payee": PLAIN.owner}),
        ("payout", "receipt-mismatch", {"surface": word("elsewhere")}),
    ],
)
def test_terms_that_give_something_else_are_refused(
    kind: str, code: str, changes: dict[str, Any]
) -> None:
    found = parse(receipt_of_kind(kind))
    with pytest.raises(ProofError) as refused:
        check_terms(found, dataclasses.replace(SHARED, **changes))
    assert refused.value.code == code


def test_a_settlement_after_the_payout_is_not_what_was_paid() -> None:
    document = receipt_of([*paid(), paid()[-2]], CONTRACT, "payout")
    with pytest.raises(ProofError) as refused:
        check(parse(document))
    assert refused.value.code == "receipt-order"


def test_an_outcome_stands_directly_behind_its_transition() -> None:
    records = paid()
    (at,) = (n for n, record in enumerate(records) if record.entry.kind == "outcome")
    document = receipt_of([*records[:at], records[0], *records[at:]], CONTRACT)
    with pytest.raises(ProofError, match="directly behind its transition") as refused:
        check(parse(document))
    assert refused.value.code == "receipt-order"


@pytest.mark.parametrize("kind", ["outcome", "outcome.reversed"])
def test_bits_where_a_payload_has_none_are_false(kind: str) -> None:
    records = paid()
    (at,) = (n for n, record in enumerate(records) if record.entry.kind == kind)
    entry, opening = records[at]
    other = entry._replace(payload=entry.payload[:-1] + bytes([entry.payload[-1] | 1]))
    document = receipt_of(
        [*records[:at], Record(other, opening), *records[at + 1 :]], CONTRACT, kind
    )
    with pytest.raises(ProofError, match="payload in the receipt is none"):
        check(parse(document))
