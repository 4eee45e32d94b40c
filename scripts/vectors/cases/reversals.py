"""Disproofs of reversals."""

from collections.abc import Iterator
from typing import Any

from orchestrator.core.common.units import DAY_S
from orchestrator.core.log.entry import address_word, pack_reversal
from scripts.vectors.cases.model import (
    ALL,
    ANN,
    FIRST,
    ORDERS,
    OTHER_LEAD,
    START_S,
    Json,
    Log,
    Vector,
    word,
)


def disproofs() -> Iterator[Vector]:
    """Yield disproofs of one reversal, of its outcome, and of it beside another reversal."""
    yield from _of_reversal()
    yield from _of_second_reversal()
    yield from _of_event()
    yield from _of_purchase()
    yield from _of_amount()
    yield from _of_previous()
    yield from _of_older_outcome()


def _of_reversal() -> Iterator[Vector]:
    at = FIRST.at
    outcome, event, place = at["outcome again"], at["refund"], at["reversal"]

    def case(name: str, error: str, log: Log, *others: str) -> Vector:
        return Vector(name, error, log, "reversal", "ann", ("reversal", *others))

    def back(*facts: int) -> Log:
        return FIRST.with_lie("reversal", payload=pack_reversal(*facts))

    yield case("honest, alone", "NoContradiction", FIRST)
    for other in ("outcome again", "refund", "outcome", "genesis", "ann 1"):
        yield case(f"honest, with {other}", "NoContradiction", FIRST, other)
    yield case("behind its event", "", back(outcome, outcome, 0, 1, 10))
    yield case("itself as its event", "", back(outcome, place, 0, 1, 10))
    yield case("the event as its outcome", "", back(event, event, 0, 1, 10))
    yield case("the first as a second", "", back(outcome, event, 0, 2, 10))
    yield case("the first with more", "", back(outcome, event, 0, 1, 11))
    yield case("itself before it", "", back(outcome, event, place, 2, 20))
    yield case("a touch before it", "", back(outcome, event, at["ann 1"], 2, 20), "ann 1")
    padded = FIRST.entry("reversal").payload[:31] + b"\1"
    yield case("dirty padding", "", FIRST.with_lie("reversal", payload=padded))
    yield case("elsewhere", "", FIRST.with_lie("reversal", surface=word("other surface")))
    taken: dict[str, Json] = {
        "an outcome that was over": {"kind": "outcome.over"},
        "another contract's outcome": {"actor": ALL["first_touch"]["bob"].id},
        "another lead's outcome": {"subject": OTHER_LEAD},
        "an outcome into another state": {"label": "trial"},
        "less than was taken back": {"value": 9},
        "an outcome too long ago": {"time_ms": START_S * 1000 + 4999},
    }
    for name, lie in taken.items():
        yield case(name, "", FIRST.with_lie("outcome again", **lie), "outcome again")
    yield case("a part of it", "NoContradiction", FIRST.with_lie("outcome again", value=11),
               "outcome again")  # fmt: skip
    edge = FIRST.with_lie("outcome again", time_ms=START_S * 1000 + 5000)
    yield case("at the end of the holdback period", "NoContradiction", edge, "outcome again")
    future = FIRST.with_lie("outcome again", time_ms=2**63 - 1)
    yield case("before its outcome", "NoContradiction", future, "outcome again")
    happened: dict[str, Json] = {
        "no event": {"kind": "lead.refused"},
        "an event elsewhere": {"surface": word("other surface")},
        "a stranger's event": {"actor": address_word(ANN)},
        "another lead's event": {"subject": OTHER_LEAD},
        "an event at another time": {"time_ms": START_S * 1000 + 8001},
    }
    for name, lie in happened.items():
        yield case(name, "", FIRST.with_lie("refund", **lie), "refund")


def _of_event() -> Iterator[Vector]:
    """Yield events whose openings contradict themselves."""
    at = ORDERS.at

    def case(name: str, error: str, number: int = 2, **changes: Any) -> Vector:
        log = ORDERS.with_opening(f"refund {number}", **changes) if changes else ORDERS
        shown = (f"reversal {number}", f"refund {number}+")
        return Vector(name, error, log, "reversal", "share", shown)

    for number in range(1, 6):
        yield case(f"an honest event {number}", "NoContradiction", number)
    yield case("of nothing", "", of=0)
    yield case("of itself", "", of=at["refund 2"])
    yield case("of the future", "", of=at["settlement"])
    yield case("following on itself", "", previous=at["refund 2"])
    yield case("following on its purchase", "", previous=at["transition 1"])
    yield case("following on nothing", "", previous=0)
    yield case("giving less than before", "", refunded_after_units=19)
    yield case("a part without an order", "", order=bytes(32))
    yield case("a whole without an order", "NoContradiction", order=bytes(32), whole=True)
    moved = ORDERS.with_lie("refund 2", payload=word("another opening"))
    yield Vector("another's opening", "WrongOpening", moved, "reversal", "share",
                 ("reversal 2", "refund 2+"))  # fmt: skip
    yield Vector("not opened, with its outcome", "OpeningLength", ORDERS, "reversal", "share",
                 ("reversal 2", "refund 2", "outcome 1"))  # fmt: skip


def _of_purchase() -> Iterator[Vector]:
    """Yield events that do not fit the transition that they name."""
    at = ORDERS.at

    def case(name: str, error: str, log: Log, number: int, *others: str) -> Vector:
        shown = (f"reversal {number}", f"refund {number}+", *(others or ("transition 1+",)))
        return Vector(name, error, log, "reversal", "share", shown)

    for number in (1, 2, 5):
        yield case(f"an honest purchase, by {number}", "NoContradiction", ORDERS, number)
    yield case("a purchase without an order", "NoContradiction", ORDERS, 4, "transition 2+")
    for name in ("outcome 1", "outcome 3", "transition 3+", "refund 5+", "genesis", "click+"):
        yield case(f"an honest event, with {name}", "NoContradiction", ORDERS, 2, name)
    lies: dict[str, Json] = {
        "no transition": {"kind": "lead.refused"},
        "a transition elsewhere": {"surface": word("other surface")},
        "a stranger's transition": {"actor": address_word(ANN)},
        "another lead's transition": {"subject": OTHER_LEAD},
        "a transition into another state": {"label": "trial"},
        "a transition of less than was given back": {"value": 19},
    }
    for name, lie in lies.items():
        yield case(name, "", ORDERS.with_lie("transition 1", **lie), 2)
    other = ORDERS.with_opening("transition 1", order=word("order 3"))
    yield case("another order's", "", other, 2)
    yield case("another order's, not opened", "NoContradiction", other, 2, "transition 1")
    yield case("another order's, which the event does not name", "NoContradiction",
               ORDERS.with_opening("transition 2", order=word("order 3")), 4,
               "transition 2+")  # fmt: skip
    for number, after, error in (
        (1, 19, ""), (1, 21, ""), (2, 49, ""), (2, 51, ""), (2, 80, ""), (5, 79, ""), (5, 81, ""),
    ):  # fmt: skip
        log = ORDERS.with_opening(f"refund {number}", refunded_after_units=after)
        yield case(f"{after} given back after {number}", error, log, number)
    for value, after, error in ((59, 79, ""), (60, 80, "NoContradiction"),
                                (2**256 - 1, 80, "NoContradiction"), (0, 20, "NoContradiction"),
                                (0, 80, "")):  # fmt: skip
        log = ORDERS.with_opening("refund 2", refunded_after_units=after)
        log = log.with_lie("refund 2", value=value)
        is_right = value == 59
        yield case(f"{value % 97} more of 80, so {after}", "NoContradiction" if is_right else error,
                   log, 2)  # fmt: skip
    whole = ORDERS.with_opening("refund 2", refunded_after_units=80, whole=True)
    yield case("all of it, whatever its value", "NoContradiction", whole, 2)
    yield case("all of it, of another amount", "",
               ORDERS.with_opening("refund 2", whole=True), 2)  # fmt: skip
    apart = ORDERS.with_opening("refund 2", of=at["transition 2"])
    yield case("the purchase of another outcome", "", apart, 2, "outcome 1")


def _of_amount() -> Iterator[Vector]:
    """Yield reversals of another amount than the event makes of it."""

    def case(name: str, error: str, log: Log, number: int, outcome: int, *others: str) -> Vector:
        shown = (f"reversal {number}", f"refund {number}+", f"outcome {outcome}")
        return Vector(name, error, log, "reversal", "share",
                      (*shown, *(others or (f"transition {outcome}",))))  # fmt: skip

    for number, outcome, amount in ((1, 1, 2), (2, 1, 4), (3, 3, 4), (4, 2, 8), (5, 1, 7)):
        name = f"{amount} by {number}"
        yield case(f"{name}, honest", "NoContradiction", ORDERS, number, outcome)
        for wrong in (0, amount - 1, amount + 1):
            log = ORDERS.with_lie(f"reversal {number}", value=wrong)
            yield case(f"{name}, said to be {wrong}", "", log, number, outcome)
    yield case("of another transition", "WrongExhibit", ORDERS, 2, 1, "transition 2")
    yield case("after more than there was", "", ORDERS.with_opening(
        "refund 2", refunded_before_units=90, refunded_after_units=90), 2, 1)  # fmt: skip
    # A purchase without a value is taken back once, with the unit price.
    free = ORDERS.with_lie("transition 3", value=0).with_lie("outcome 3", value=3)
    free = free.with_opening("refund 3", refunded_after_units=0).with_lie("reversal 3", value=3)
    yield case("of a purchase without a value", "NoContradiction", free, 3, 3)
    again = free.with_opening("refund 3", previous=ORDERS.at["refund 2"])
    yield case("of a purchase without a value, again", "", again, 3, 3)


def _of_previous() -> Iterator[Vector]:
    """Yield events that do not follow on the one before, or skip it."""
    at = ORDERS.at

    def case(name: str, error: str, log: Log, *others: str, number: int = 2) -> Vector:
        shown = (f"reversal {number}", f"refund {number}+", *(others or ("refund 1+",)))
        return Vector(name, error, log, "reversal", "share", shown)

    yield case("the event before", "NoContradiction", ORDERS)
    yield case("the event before, not opened", "OpeningLength", ORDERS, "refund 1")
    yield case("an event behind it", "NoContradiction", ORDERS, "refund 5+")
    yield case("the one before the event before", "NoContradiction", ORDERS, "refund 1+", number=5)
    yield case("an event of another purchase in between", "NoContradiction", ORDERS, "refund 4+",
               number=5)  # fmt: skip
    for before in (19, 21):
        log = ORDERS.with_opening("refund 2", refunded_before_units=before)
        yield case(f"{before} after 20", "", log)
    yield case("following on another purchase's", "",
               ORDERS.with_opening("refund 5", previous=at["refund 3"]), "refund 3+",
               number=5)  # fmt: skip
    yield case("following on no event", "",
               ORDERS.with_opening("refund 5", previous=at["outcome 3"]), "outcome 3",
               number=5)  # fmt: skip
    first = ORDERS.with_opening("refund 2", previous=0, refunded_before_units=0)
    yield case("a first one that is the second", "", first)
    yield case("a first one that is the second, not opened", "NoContradiction", first, "refund 1")
    skips = ORDERS.with_opening("refund 5", previous=at["refund 1"], refunded_before_units=20)
    yield case("skipping one", "", skips, "refund 2+", number=5)


def _of_older_outcome() -> Iterator[Vector]:
    """Yield reversals of an older outcome: without an order the latest is taken that is left."""
    at = ORDERS.at
    # The last event takes back the first purchase, and the later ones are shown.
    alike = {"order": bytes(32)}
    log = ORDERS.with_opening("refund 5", **alike)
    stands = log.with_lie("reversal 4", payload=pack_reversal(
        at["outcome 1"], at["refund 4"], at["reversal 3"], 4, 18))  # fmt: skip
    since = ("reversal 4", "reversal 3", "reversal 2", "reversal 1")

    def case(name: str, error: str, found: Log, *others: str) -> Vector:
        return Vector(name, error, found, "reversal", "share", ("reversal 5", "refund 5+", *others))

    second, third = "outcome 2", "outcome 3"
    yield case("the later stands", "", stands, second, *since)
    yield case("the later was taken back", "NoContradiction", log, second, *since)
    yield case("the latest was taken back", "NoContradiction", stands, third, *since)
    yield case("not all reversals are shown", "NoContradiction", stands, second, *since[:3])
    yield case("no reversal is shown", "NoContradiction", stands, second)
    yield case("the reversals in another order", "NoContradiction", stands, second, *since[::-1])
    yield case("a part of the later is left", "", log.with_lie("reversal 4", value=7), second,
               *since)  # fmt: skip
    more = log.with_lie("reversal 4", value=2**256 - 1)
    yield case("more than the later was taken back", "NoContradiction", more, second, *since)
    named = stands.with_opening("refund 5", order=word("order 1"))
    yield case("by an order", "NoContradiction", named, second, *since)
    yield case("the one itself", "WrongExhibit", stands, "outcome 1", *since)
    yield case("one that is older", "NoContradiction",
               stands.with_lie("reversal 5", payload=pack_reversal(
                   at["outcome 2"], at["refund 5"], at["reversal 4"], 5, 25)),
               "outcome 1", *since)  # fmt: skip
    later: dict[str, Json] = {
        "was over": {"kind": "outcome.over"},
        "is another contract's": {"actor": ALL["first_touch"]["bob"].id},
        "is another lead's": {"subject": OTHER_LEAD},
        "is into another state": {"label": "trial"},
    }
    for name, lie in later.items():
        yield case(f"the later {name}", "NoContradiction", stands.with_lie(second, **lie), second,
                   *since)  # fmt: skip
    others = stands.with_lie("reversal 3", actor=ALL["first_touch"]["bob"].id)
    yield case("another's reversal is shown", "NoContradiction", others, second, *since)
    behind = log.with_lie("refund 1", **ORDERS.entry("outcome 2")._asdict())
    yield case("the later behind the event", "NoContradiction", behind.with_lie(
        "reversal 5", payload=pack_reversal(at["outcome 1"], at["transition 3"], 0, 1, 7)),
        "refund 1")  # fmt: skip


def _of_second_reversal() -> Iterator[Vector]:
    """Yield second reversals: an event takes back from one transition, whichever contract paid."""
    at = FIRST.at
    outcome, event = at["outcome again"], at["refund"]

    def case(name: str, error: str, log: Log, *others: str) -> Vector:
        return Vector(name, error, log, "reversal", "ann", ("reversal", *others))

    # The entry at "outcome" becomes an earlier reversal of the same contract.
    def earlier(target: int, *now: int, cause: int = at["ann 3"], **lie: Any) -> Log:
        payload = pack_reversal(target, cause, 0, 1, 10)
        log = FIRST.with_lie("outcome", kind="outcome.reversed", payload=payload, **lie)
        return log.with_lie("reversal", payload=pack_reversal(outcome, event, *now))

    first = at["outcome"]
    yield case("of one outcome twice", "NoContradiction", earlier(outcome, first, 2, 20), "outcome")
    yield case("another before it", "NoContradiction", earlier(5, first, 2, 20), "outcome")
    same = earlier(5, first, 2, 20, cause=event)
    yield case("two by one event", "", same, "outcome")
    yield case("two by one event, in two states", "",
               same.with_lie("outcome", label="trial"), "outcome")  # fmt: skip
    bobs: Json = {"actor": ALL["first_touch"]["bob"].id}
    yield case("two by one event, of two contracts", "",
               earlier(5, 0, 1, 10, cause=event, **bobs), "outcome")  # fmt: skip
    yield case("one outcome twice, says another contract", "NoContradiction",
               earlier(outcome, 0, 1, 10, **bobs), "outcome")  # fmt: skip
    yield case("another before it, and more", "", earlier(5, first, 2, 21), "outcome")
    yield case("another before it, as a third", "", earlier(5, first, 3, 20), "outcome")
    yield case("another skipped", "", earlier(5, 0, 1, 10), "outcome")
    yield Vector("no reversal", "NotOfContract", FIRST, "reversal", "ann", ("outcome",))
    yield Vector("another's reversal", "NotOfContract", FIRST, "reversal", "bob", ("reversal",))
    yield Vector("no kind", "UnknownKind", FIRST, "nonsense", "ann", ("outcome",))


def proven() -> Iterator[Vector]:
    """Yield what anyone proves of settled outcomes, without the verifier."""
    yield from _of_settled_outcome()
    yield from _by_event()
    yield from _from_purchase()


REST = ("outcome 1", "refund 5+", "transition 1+")


def _proven(name: str, error: str, amount: int, *shown: str, **fields: Any) -> Vector:
    fields = {"log": ORDERS, "last_final": "outcome 3", "contract": "share"} | fields
    log, contract = fields.pop("log"), fields.pop("contract")
    return Vector(name, error, log, "proven", contract, shown, amount=amount, **fields)


def _of_settled_outcome() -> Iterator[Vector]:
    case = _proven
    first: Json = {"sum": 13}
    yield case("a part", "", 2, "outcome 1", "refund 1+", "transition 1+", **first)
    yield case("the next part", "", 4, "outcome 1", "refund 2+", "transition 1+", **first)
    yield case("the rest", "", 7, "outcome 1", "refund 5+", "transition 1+", **first)
    yield case("without an order", "", 8, "outcome 2", "refund 4+", sum=21)
    yield case("without an order, with the transition", "", 8, "outcome 2", "refund 4+",
               "transition 2", sum=21)  # fmt: skip
    yield case("an order as a whole", "", 4, "outcome 3", "refund 3+", "transition 3+", sum=25)
    yield case("a part, without the transition", "MissingExhibit", 0, "outcome 1", "refund 1+")
    yield case("the rest, without the transition", "MissingExhibit", 0, "outcome 1", "refund 5+")
    yield case("a part, with another", "WrongExhibit", 0, "outcome 1", "refund 1+", "transition 2+")
    yield case("an order, unopened", "OpeningLength", 0, "outcome 1", "refund 1+", "transition 1")
    yield case("the outcome alone", "MissingExhibit", 0, "outcome 1")
    yield case("not opened", "OpeningLength", 0, "outcome 1", "refund 5", "transition 1+")
    yield case("of another outcome", "EventDoesNotReverse", 0, "outcome 2", "refund 5+",
               "transition 1+")  # fmt: skip
    yield case("no outcome", "NotOfContract", 0, "transition 1", "refund 5+")
    yield case("another's outcome", "NotOfContract", 0, "outcome 1", "refund 5+", contract="ann")
    over = ORDERS.with_lie("outcome 1", kind="outcome.over")
    yield case("an outcome that was over", "NotOfContract", 0, "outcome 1", "refund 5+", log=over)
    for last, error in (
        ("genesis", "NotSettled"), ("transition 1", "NotSettled"), ("outcome 1", ""),
        ("reversal 4", ""), ("refund 5", "AlreadyStated"), ("settlement", "AlreadyStated"),
    ):  # fmt: skip
        amount, sum_ = (0, 0) if error else (7, 13)
        yield case(f"final up to {last}", error, amount, *REST, last_final=last, sum=sum_)
    little = ORDERS.with_lie("outcome 1", value=1)
    yield case("no more than the outcome", "", 1, "outcome 1", "refund 1+", "transition 1+",
               log=little, **first)  # fmt: skip
    yield case("no more than the outcome, then", "EventDoesNotReverse", 0, "outcome 1", "refund 2+",
               "transition 1+", log=little)  # fmt: skip
    none = ORDERS.with_opening("refund 1", refunded_after_units=7).with_lie("refund 1", value=7)
    yield case("less than a unit", "EventDoesNotReverse", 0, "outcome 1", "refund 1+",
               "transition 1+", log=none)  # fmt: skip
    parts = ORDERS.with_opening("refund 2", refunded_after_units=80)
    yield case("all that is left by its value", "", 11, "outcome 1", "refund 2+", "transition 1+",
               log=parts.with_lie("refund 2", value=60), **first)  # fmt: skip
    yield case("more than the event's value", "EventDoesNotReverse", 0, "outcome 1", "refund 2+",
               "transition 1+", log=parts)  # fmt: skip


def _by_event() -> Iterator[Vector]:
    """Yield events that no replay accepts, and such that only just are."""
    case, at, start_ms = _proven, ORDERS.at, START_S * 1000
    lies: dict[str, Json] = {
        "no event": {"kind": "lead.transition"},
        "elsewhere": {"surface": word("other surface")},
        "a stranger's": {"actor": address_word(ANN)},
        "another lead's": {"subject": OTHER_LEAD},
        "later than it was received": {"time_ms": start_ms + 7401},
    }
    for name, lie in lies.items():
        yield case(f"an event, {name}", "EventDoesNotReverse", 0, *REST,
                   log=ORDERS.with_lie("refund 5", **lie))  # fmt: skip
    for time_ms, error in ((9000, ""), (9001, "EventDoesNotReverse")):
        amount, sum_ = (0, 0) if error else (7, 13)
        log = ORDERS.with_opening("refund 5", received_ms=start_ms + time_ms)
        log = log.with_lie("refund 5", time_ms=start_ms + time_ms)
        yield case(f"an event at {time_ms}", error, amount, *REST, log=log, sum=sum_)
    for late_ms, error in ((DAY_S * 1000, ""), (DAY_S * 1000 + 1, "EventDoesNotReverse")):
        amount, sum_ = (0, 0) if error else (7, 13)
        log = ORDERS.with_opening("refund 5", received_ms=start_ms + 7400 + late_ms)
        yield case(f"reported {late_ms} later", error, amount, *REST, log=log, sum=sum_)
    says: dict[str, Json] = {
        "of another order": {"order": word("order 3")},
        "of no order, a part": {"order": bytes(32), "whole": False},
        "of the first event": {"previous": 0},
        "of nothing": {"of": 0},
        "of itself": {"previous": at["refund 5"]},
        "less than before": {"refunded_after_units": 49},
        "more than there was": {"refunded_before_units": 81, "refunded_after_units": 81},
    }
    for name, changes in says.items():
        log = ORDERS.with_opening("refund 5", **changes)
        yield case(f"an event {name}", "EventDoesNotReverse", 0, *REST, log=log)


def _from_purchase() -> Iterator[Vector]:
    """Yield purchases that are not what the event says of them."""
    case = _proven
    first: Json = {"sum": 13}
    bought: dict[str, Json] = {
        "no transition": {"kind": "lead.refused"},
        "a transition elsewhere": {"surface": word("other surface")},
        "a stranger's transition": {"actor": address_word(ANN)},
        "another lead's transition": {"subject": OTHER_LEAD},
        "a transition into another state": {"label": "trial"},
        "a transition of another value": {"value": 81},
    }
    for name, lie in bought.items():
        yield case(name, "EventDoesNotReverse", 0, *REST,
                   log=ORDERS.with_lie("transition 1", **lie))  # fmt: skip
    # Without an order the event must take all, of which another took a part before.
    mixed = ORDERS.with_opening("refund 5", order=bytes(32))
    yield case("the rest, without an order", "", 7, "outcome 1", "refund 5+", "transition 1",
               log=mixed, **first)  # fmt: skip
    yield case("the rest, without order and transition", "MissingExhibit", 0, "outcome 1",
               "refund 5+", log=mixed)  # fmt: skip
