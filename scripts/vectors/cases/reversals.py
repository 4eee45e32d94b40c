"""Disproofs of reversals."""

from collections.abc import Iterator
from typing import Any

from orchestrator.core.entry import address_word, pack_reversal
from scripts.vectors.cases.model import (
    ALL,
    ANN,
    FIRST,
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
    yield from _of_older_outcome()
    yield from _of_second_reversal()


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
        "another amount": {"value": 11},
        "an outcome too long ago": {"time_ms": START_S * 1000 + 4999},
    }
    for name, lie in taken.items():
        yield case(name, "", FIRST.with_lie("outcome again", **lie), "outcome again")
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


def _of_older_outcome() -> Iterator[Vector]:
    """Yield reversals of an older outcome: an event takes back the latest one that stands."""
    at = FIRST.at
    event, place = at["refund"], at["reversal"]

    def case(name: str, error: str, log: Log, *others: str) -> Vector:
        return Vector(name, error, log, "reversal", "ann", ("reversal", *others))

    def back(*facts: int) -> Log:
        return FIRST.with_lie("reversal", payload=pack_reversal(*facts))

    older = back(at["outcome"], event, 0, 1, 10)
    yield case("of an older outcome than the latest", "", older, "outcome again")
    yield case("of an older outcome, shown itself", "NoContradiction", older, "outcome")
    later: dict[str, Json] = {
        "was over": {"kind": "outcome.over"},
        "is another contract's": {"actor": ALL["first_touch"]["bob"].id},
        "is another lead's": {"subject": OTHER_LEAD},
        "is into another state": {"label": "trial"},
    }
    for name, lie in later.items():
        yield case(f"the later {name}", "NoContradiction", older.with_lie("outcome again", **lie),
                   "outcome again")  # fmt: skip
    yield case("a reversal between the later and this", "NoContradiction",
               back(at["outcome"], event, at["refund"], 2, 20), "outcome again")  # fmt: skip
    yield case("the later behind the event", "NoContradiction",
               back(at["outcome"], at["again"], 0, 1, 10), "outcome again")  # fmt: skip

    # The entry at "settlement" becomes a reversal of the first outcome, behind the one there is.
    both = ("outcome again", "reversal")
    honest = FIRST.entry("reversal")
    fields = honest._asdict() | {"payload": pack_reversal(at["outcome"], event, place, 2, 20)}

    def shown(name: str, error: str, *others: str, **lie: Any) -> Vector:
        log = FIRST.with_lie("settlement", **fields).with_lie("reversal", **lie)
        return Vector(name, error, log, "reversal", "ann", ("settlement", *others))

    third = {"payload": pack_reversal(5, at["ann 3"], 0, 1, 10)}
    yield shown("the later stands, by the reversals since", "", *both, **third)
    yield shown("the later was taken back since", "NoContradiction", *both)
    yield shown("the reversals since are not shown", "NoContradiction", "outcome again", **third)
    yield shown("no reversal is shown", "NoContradiction", "outcome again", "refund", **third)
    yield shown("another's reversal is shown", "NoContradiction", *both,
                actor=ALL["first_touch"]["bob"].id, **third)  # fmt: skip
    fourth = {"payload": pack_reversal(5, at["ann 3"], event, 2, 20)}
    yield shown("not all reversals are shown", "NoContradiction", *both, **fourth)


def _of_second_reversal() -> Iterator[Vector]:
    """Yield second reversals: an outcome is taken back once, and an event takes one of a state."""
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
    yield case("twice", "", earlier(outcome, first, 2, 20), "outcome")
    yield case("another before it", "NoContradiction", earlier(5, first, 2, 20), "outcome")
    same = earlier(5, first, 2, 20, cause=event)
    yield case("two by one event", "", same, "outcome")
    yield case("two by one event, in two states", "NoContradiction",
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
