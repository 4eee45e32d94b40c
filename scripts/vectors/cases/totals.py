"""Disproofs of sums, and of the clock: outcomes' totals, statements, budgets, times."""

from collections.abc import Iterator
from typing import Any

from orchestrator.core.log.entry import address_word, pack_outcome, pack_reversal, pack_settlement
from scripts.vectors.cases.model import ALL, ANN, FIRST, START_S, Json, Log, Vector


def sums() -> Iterator[Vector]:
    at = FIRST.at

    def case(name: str, error: str, log: Log, *shown: str, **fields: Any) -> Vector:
        return Vector(name, error, log, "sum", fields.pop("contract", "ann"), shown, **fields)

    def first(prev: int, n: int, total: int) -> Log:
        payload = pack_outcome(at["transition"], at["ann 1"], prev, n, total)
        return FIRST.with_lie("outcome", payload=payload)

    def second(prev: int, n: int, total: int) -> Log:
        payload = pack_outcome(at["again"], at["ann 1"], prev, n, total)
        return FIRST.with_lie("outcome again", payload=payload)

    yield case("the first outcome", "NoContradiction", FIRST, "outcome")
    yield case("the first outcome and the genesis", "NoContradiction", FIRST, "outcome", "genesis")
    yield case("the first as a second", "", first(0, 2, 10), "outcome")
    yield case("the first with more", "", first(0, 1, 11), "outcome")
    yield case("itself before it", "", first(at["outcome"], 1, 10), "outcome")
    yield case("the future before it", "", first(at["outcome again"], 1, 10), "outcome")
    yield case("a touch before it", "", first(at["ann 1"], 2, 20), "outcome", "ann 1")
    yield case("a touch before it, alone", "NoContradiction", first(at["ann 1"], 2, 20), "outcome")
    pair = ("outcome again", "outcome")
    before = at["outcome"]
    yield case("the second", "NoContradiction", FIRST, *pair)
    yield case("the second as a third", "", second(before, 3, 20), *pair)
    yield case("the second with more", "", second(before, 2, 21), *pair)
    yield case("the second with less than before", "", second(before, 2, 9), *pair)
    yield case("the first skipped", "", second(0, 1, 10), *pair)
    yield case("the second alone", "NoContradiction", second(before, 3, 21), "outcome again")
    yield case("the one behind it", "NoContradiction", FIRST, "outcome", "outcome again")
    other = FIRST.with_lie("outcome", actor=ALL["first_touch"]["bob"].id)
    yield case("another contract's before it", "", other, *pair)
    over = FIRST.with_lie("outcome", kind="outcome.over")
    yield case("one that was over before it", "", over, *pair)
    apart = over.with_lie("outcome again", payload=second(0, 1, 10).entry("outcome again").payload)
    much = apart.with_lie("outcome", value=1001)
    yield case("one that was over skipped", "NoContradiction", much, *pair)
    huge = second(before, 2, 20).with_lie("outcome again", value=2**256 - 10)
    yield case("a sum that wraps around", "", huge, *pair)


def statements() -> Iterator[Vector]:
    at = FIRST.at
    before, last, back = at["outcome"], at["outcome again"], at["reversal"]

    def case(name: str, error: str, log: Log, *shown: str, **fields: Any) -> Vector:
        return Vector(name, error, log, "sum", fields.pop("contract", "ann"), shown, **fields)

    def said(*facts: int) -> Log:
        return FIRST.with_lie("settlement", payload=pack_settlement(*facts))

    yield case("an honest statement", "NoContradiction", FIRST, "settlement")
    for name in ("outcome again", "reversal", "outcome", "genesis", "touch"):
        shown = "ann 1" if name == "touch" else name
        yield case(f"an honest statement and {name}", "NoContradiction", FIRST, "settlement", shown)
    yield case("earned from nothing", "", said(20, 10, 0, back), "settlement")
    yield case("reversed from nothing", "", said(20, 10, last, 0), "settlement")
    yield case("nothing from nothing", "NoContradiction", said(0, 0, 0, 0), "settlement")
    yield case("an outcome left out", "", said(0, 0, 0, 0), "settlement", "outcome")
    yield case("a reversal left out", "", said(20, 0, last, 0), "settlement", "reversal")
    yield case("the last outcome left out", "", said(10, 10, before, back), "settlement",
               "outcome again")  # fmt: skip
    yield case("itself as its last outcome", "", said(20, 10, at["settlement"], back), "settlement")
    yield case("the future as its last reversal", "", said(20, 10, last, 2**48 - 1), "settlement")
    yield case("earned more", "", said(30, 10, last, back), "settlement", "outcome again")
    yield case("reversed less", "", said(20, 9, last, back), "settlement", "reversal")
    yield case("a touch as its last outcome", "", said(20, 10, at["ann 1"], back), "settlement",
               "ann 1")  # fmt: skip
    yield case("the reversal as its last outcome", "", said(10, 10, back, back), "settlement",
               "reversal")  # fmt: skip
    yield case("another contract's statement", "NotOfContract", FIRST, "settlement", contract="bob")
    by_ann = FIRST.with_lie("settlement", actor=address_word(ANN))
    yield case("an operator's statement", "NotOfContract", by_ann, "settlement")
    yield case("no total at all", "NotOfContract", FIRST, "ann 1")
    yield case("above what was signed", "NotVouchedFor", said(30, 10, last, back), "settlement",
               "outcome again", last_signed="reversal")  # fmt: skip


def budgets() -> Iterator[Vector]:
    at = FIRST.at

    def case(name: str, error: str, log: Log, *shown: str) -> Vector:
        return Vector(name, error, log, "sum", "bob_tight", shown)

    tight = FIRST.with_outcome("outcome", "bob_tight", "bob 4")
    paid = pack_outcome(at["again"], at["bob 4"], at["outcome"], 2, 20)
    tight = tight.with_outcome("outcome again", "bob_tight", "bob 4", payload=paid)
    tight = tight.with_lie("reversal", actor=ALL["first_touch"]["bob_tight"].id)
    yield case("past the budget until a reversal", "", tight, "reversal", "outcome again")
    yield case("within the budget", "NoContradiction", tight, "reversal", "outcome")
    room = pack_reversal(at["outcome again"], at["refund"], at["ann 1"], 2, 15)
    yield case("within the budget by an earlier reversal", "NoContradiction",
               tight.with_lie("reversal", payload=room), "reversal", "outcome again")  # fmt: skip
    more = tight.with_lie("reversal", value=11)
    yield case("a reversal of more than its sum", "", more, "reversal", "outcome")
    yield case("a reversal and no outcome", "NoContradiction", tight, "reversal", "ann 1")


def over_budget() -> Iterator[Vector]:
    """Yield outcomes that were over though they fit, as entries above them show."""
    at = FIRST.at

    def over(value: int, earned: int = 10) -> Log:
        """Return a log where an outcome was over, the next was paid, and a statement sums up."""
        log = FIRST.with_lie("outcome", kind="outcome.over", value=value)
        payload = pack_outcome(at["again"], at["ann 1"], 0, 1, earned)
        log = log.with_lie("outcome again", payload=payload)
        said = pack_settlement(earned, 0, at["outcome again"], 0)
        return log.with_lie("settlement", payload=said)

    def case(name: str, error: str, log: Log, *shown: str, contract: str = "ann") -> Vector:
        return Vector(name, error, log, "sum", contract, shown)

    stated = ("settlement", "outcome")
    yield case("over, and it fits below a statement", "", over(990), *stated)
    yield case("over, and it does not", "NoContradiction", over(991), *stated)
    yield case("over, and nothing would", "NoContradiction", over(2**256 - 1), *stated)
    yield case("over, and more was earned than there is", "NoContradiction", over(0, 1001), *stated)
    paid = ("outcome again", "outcome")
    yield case("over, and it fits below an outcome", "", over(1000), *paid)
    yield case("over, and it does not, below an outcome", "NoContradiction", over(1001), *paid)
    yield case("over, and less was earned than the outcome", "NoContradiction", over(0, 9), *paid)
    others = over(990).with_lie("outcome", actor=ALL["first_touch"]["bob"].id)
    yield case("another's that was over", "NoContradiction", others, *stated)
    later = FIRST.with_lie("outcome again", kind="outcome.over")
    yield case("one that was over above it", "NoContradiction", later, "outcome", "outcome again")

    # The entry at "outcome" becomes a reversal, the one at "outcome again" is over.
    def back(value: int, earned: int = 10, contract: str = "ann") -> Log:
        id_ = ALL["first_touch"][contract].id
        first = pack_reversal(at["ann 1"], at["ann 3"], 0, 1, 10)
        log = FIRST.with_lie("outcome", kind="outcome.reversed", actor=id_, payload=first)
        log = log.with_lie("outcome again", kind="outcome.over", actor=id_, value=value)
        said = pack_settlement(earned, 10, at["ann 1"], at["outcome"])
        return log.with_lie("settlement", subject=id_, payload=said)

    three = ("settlement", "outcome again", "outcome")
    yield case("over, and it fits by a reversal", "", back(1000), *three)
    yield case("over, and it does not by a reversal", "NoContradiction", back(1001), *three)
    yield case("over, and the reversal is not shown", "NoContradiction", back(1000), *three[:2])
    yield case("over, and the reversal is above it", "NoContradiction", back(1000), *three[:2],
               "reversal")  # fmt: skip
    wrong = back(1000).with_lie("outcome", actor=ALL["first_touch"]["bob"].id)
    yield case("over, and the reversal is another's", "NoContradiction", wrong, *three)
    none = back(1000).with_lie("outcome", kind="outcome")
    yield case("over, and it is no reversal", "NoContradiction", none, *three)
    yield case("over, and a sum has 80 bits", "NoContradiction", back(10, 2**80 - 10, "rich"),
               *three, contract="rich")  # fmt: skip
    yield case("over, and a sum has just 80 bits", "", back(9, 2**80 - 10, "rich"), *three,
               contract="rich")  # fmt: skip


def clocks() -> Iterator[Vector]:
    def case(name: str, error: str, log: Log, *shown: str, **fields: Any) -> Vector:
        return Vector(name, error, log, "clock", "ann", shown, **fields)

    def at_ms(name: str, time_ms: int) -> Log:
        return FIRST.with_lie(name, time_ms=START_S * 1000 + time_ms)

    pair = ("ann 3", "ann 1")
    yield case("honest", "NoContradiction", FIRST, *pair)
    yield case("a touch at the same time", "NoContradiction", at_ms("ann 3", 1000), *pair)
    yield case("a touch before one below it", "", at_ms("ann 3", 999), *pair)
    yield case("the one below it", "NoContradiction", at_ms("ann 3", 999), "ann 1", "ann 3")
    yield case("a touch beside itself", "NoContradiction", FIRST, "ann 1", "ann 1")
    yield case("an opening before a touch below it", "", at_ms("opened later", 999), "opened later",
               "ann 1")  # fmt: skip
    yield case("a touch before an opening below it", "", at_ms("ann 3", 1499), "ann 3",
               "opened later")  # fmt: skip
    yield case("a statement before a touch below it", "", at_ms("settlement", 3999), "settlement",
               "bob 4")  # fmt: skip
    reported = at_ms("ann 3", 999).with_lie("ann 3", kind="touch.reported")
    yield case("a reported time", "NoContradiction", reported, *pair)
    late = reported.with_lie("ann 3", time_ms=START_S * 1000 + 9000)
    yield case("before a reported time", "NoContradiction", late, "bob 4", "ann 3")
    for kind in ("action.requested", "code.issued"):
        asked = at_ms("ann 3", 999).with_lie("ann 3", kind=kind)
        yield case(f"an {kind} before a touch below it", "", asked, *pair)
    yield case("a product's time", "NoContradiction", at_ms("transition", 999), "transition",
               "ann 1")  # fmt: skip
    yield case("before a product's time", "NoContradiction", at_ms("settlement", 4500),
               "settlement", "outcome")  # fmt: skip
    yield case("one alone", "MissingExhibit", FIRST, "ann 1")
    yield case("above what was signed", "NotVouchedFor", at_ms("ann 3", 999), *pair,
               last_signed="ann 1")  # fmt: skip


def nothing_signed() -> Iterator[Vector]:
    """Yield cases of a log's first entry; it may be anything, and position 0 is no statement."""
    lie: Json = {"kind": "outcome", "actor": ALL["first_touch"]["ann"].id}
    log = FIRST.with_lie("genesis", **lie)
    yield Vector("the first entry, where nothing was signed", "NotVouchedFor", log, "transition",
                 "ann", ("genesis",), last_signed="genesis")  # fmt: skip
    yield Vector("the first entry, where something was", "", log, "transition", "ann",
                 ("genesis",))  # fmt: skip
