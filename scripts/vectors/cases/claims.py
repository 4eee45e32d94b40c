"""Claims of two entries, and refutations of claims."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from orchestrator.core.common.units import DAY_S
from orchestrator.core.evidence.exhibits import Claim
from orchestrator.core.log.entry import address_word, pack_outcome
from scripts.vectors.cases.model import (
    ALL,
    ANN,
    BOB,
    FIRST,
    LAST,
    LEAD,
    ORDERS,
    OTHER_LEAD,
    START_S,
    Json,
    Log,
    Vector,
    word,
)


class ClaimVector(NamedTuple):
    """A claim: the transition and the touch that it shows, and the error that refuses it."""

    name: str
    error: str
    log: Log
    contract: str
    transition: str
    touch: str


def claims() -> Iterator[ClaimVector]:
    """Yield claims of two entries that hold, and claims that are refused."""

    def case(name: str, error: str, log: Log, contract: str, *shown: str) -> ClaimVector:
        return ClaimVector(name, error, log, contract, *shown)

    yield case("first touch", "", FIRST, "ann", "transition", "ann 1")
    yield case("not repeatable", "", FIRST, "once", "again", "ann 1")
    yield case("with a share", "", FIRST, "share", "transition", "ann 1")
    yield case("any touch that qualifies", "", FIRST, "bob", "transition", "bob 4")
    yield case("into another state", "TransitionDoesNotCount", FIRST, "ann", "trial", "ann 1")
    yield case("no transition", "TransitionDoesNotCount", FIRST, "ann", "outcome", "ann 1")
    yield case("after the deadline", "TransitionDoesNotCount", FIRST, "ended", "transition",
               "ann 1")  # fmt: skip
    yield case("before the opening", "TransitionDoesNotCount", FIRST, "unopened", "transition",
               "ann 1")  # fmt: skip
    yield case("another owner's", "TransitionDoesNotCount", FIRST, "other_owner", "transition",
               "ann 1")  # fmt: skip
    yield case("another's touch", "TouchDoesNotQualify", FIRST, "ann", "transition", "bob 4")
    yield case("a touch behind it", "TouchDoesNotQualify", FIRST, "ann", "transition", "ann 8")
    yield case("a touch too old", "TouchDoesNotQualify", FIRST, "young", "transition", "ann 1")
    yield case("a touch before the opening", "TouchDoesNotQualify", FIRST, "late", "transition",
               "ann 1")  # fmt: skip
    yield case("no touch", "TouchDoesNotQualify", FIRST, "ann", "transition", "trial")
    huge = FIRST.with_lie("transition", value=2**256 - 1)
    yield case("more than an amount", "AmountTooLarge", huge, "share", "transition", "ann 1")
    most = FIRST.with_lie("transition", value=(2**80 - 4) * 8)
    yield case("as much as an amount", "", most, "share", "transition", "ann 1")
    more = FIRST.with_lie("transition", value=(2**80 - 3) * 8)
    yield case("one more than an amount", "AmountTooLarge", more, "share", "transition", "ann 1")


def _refutation(
    name: str, error: str, kind: str, contract: str, touch: str, *shown: str, **fields: Any
) -> Vector:
    log: Log = fields.pop("log", FIRST)
    claimed, units = fields.pop("claimed", "transition"), fields.pop("units", 10)
    entry = log.entry(claimed)
    claim = Claim(entry.subject, units, log.at[claimed], log.at[touch], entry.time_ms)
    return Vector(name, error, log, kind, contract, shown, claim=claim, **fields)


def refutations() -> Iterator[Vector]:
    """Yield cases against a claim, whose facts are the transition's and the named touch's."""
    yield from _by_answer()
    yield from _by_gift()
    yield from _by_visit()
    yield from _by_touch()
    yield from _by_cause()
    yield from _by_event()


def _by_answer() -> Iterator[Vector]:
    def case(name: str, error: str, contract: str, *shown: str, **fields: Any) -> Vector:
        return _refutation(name, error, "answered", contract, *shown, **fields)

    yield case("the outcome", "", "ann", "ann 1", "outcome")
    yield case("another outcome", "NotAnswered", "ann", "ann 1", "outcome again")
    yield case("another's outcome", "NotAnswered", "bob", "bob 4", "outcome")
    yield case("no outcome", "NotAnswered", "ann", "ann 1", "transition")
    yield case("above the final statement", "NotAnswered", "ann", "ann 1",
               "outcome", last_final="transition")  # fmt: skip
    for kind in ("outcome.over", "outcome.refused"):
        log = FIRST.with_lie("outcome", kind=kind)
        yield case(f"an {kind}", "", "ann", "ann 1", "outcome", log=log)
    once = FIRST.with_outcome("outcome again", "once", "ann 1")
    yield case("the lead's outcome", "", "once", "ann 1", "outcome again", log=once)
    leads = once.with_lie("outcome again", subject=OTHER_LEAD)
    yield case("another lead's outcome", "NotAnswered", "once", "ann 1",
               "outcome again", log=leads)  # fmt: skip
    said = FIRST.with_lie("genesis", kind="outcome.refused", subject=LEAD,
                      actor=ALL["first_touch"]["once"].id)  # fmt: skip
    yield case("the first entry, where nothing is final", "NotAnswered", "once",
               "ann 1", "genesis", log=said, last_final="genesis")  # fmt: skip
    yield case("the first entry, where something is", "", "once", "ann 1",
               "genesis", log=said)  # fmt: skip


def _by_gift() -> Iterator[Vector]:
    def taken(
        name: str, error: str, log: Log = FIRST, first: str = "outcome", **fields: Any
    ) -> Vector:
        fields = {
            "rival": "ann",
            "last_final": "genesis",
            "rival_last_final": "settlement",
        } | fields
        contract, touch = fields.pop("contract", "bob"), fields.pop("touch", "bob 4")
        opened = f"opened {fields['rival']}"
        others = (fields.pop("by", "ann 1"), opened if opened in log.at else "opened ann")
        return _refutation(name, error, "taken", contract, touch, first,
                           *fields.pop("others", others), log=log, **fields)  # fmt: skip

    yield taken("paid to another", "")
    yield taken("paid to another, by the claimant's own verifier", "", last_final="settlement",
                rival_last_final="genesis")  # fmt: skip
    yield taken("paid to another, and nothing is final", "NotTaken", rival_last_final="genesis")
    yield taken("paid to another, above what is final", "NotTaken", rival_last_final="transition",
                last_final="transition")  # fmt: skip
    yield taken("over for another", "", FIRST.with_lie("outcome", kind="outcome.over"))
    yield taken("refused to another", "NotTaken", FIRST.with_lie("outcome", kind="outcome.refused"))
    yield taken("another transition", "NotTaken", first="outcome again")
    later = pack_outcome(FIRST.at["transition"], FIRST.at["ann 1"], 0, 1, 10)
    yield taken("paid to another afterwards", "NotTaken",
                FIRST.with_lie("outcome again", payload=later), "outcome again")  # fmt: skip
    apart = pack_outcome(FIRST.at["again"], FIRST.at["ann 1"], 0, 1, 10)
    yield taken("paid to another, for another transition", "NotTaken",
                FIRST.with_lie("outcome", payload=apart))  # fmt: skip
    yield taken("paid to a third", "NotTaken", rival="once")
    yield taken("paid to nobody", "UnknownContract", rival="")
    yield taken("no outcome", "NotTaken", first="transition")
    yield from _by_whose_touch(taken)


def _by_whose_touch(taken: Callable[..., Vector]) -> Iterator[Vector]:
    """Yield cases on the contract that got the outcome, and on the touch by which it could."""
    yield taken("without its touch", "MissingExhibit", others=())
    yield taken("without its opening", "MissingExhibit", others=("ann 1",))
    yield taken("with another touch", "WrongExhibit", by="ann 3")
    yield taken("with another's opening", "UnknownToLog", others=("ann 1", "opened bob"))
    yield taken("with no opening", "UnknownToLog", others=("ann 1", "ann 3"))
    after = FIRST.with_outcome("outcome", "after", "ann 1")
    yield taken("opened above the transition", "UnknownToLog", after, rival="after")
    young = FIRST.with_outcome("outcome", "young", "ann 1")
    yield taken("by a touch too old", "TouchDoesNotQualify", young, rival="young")
    none = FIRST.with_outcome("outcome", "ann", "genesis")
    yield taken("by no touch", "TouchDoesNotQualify", none, by="genesis")
    bobs = FIRST.with_outcome("outcome", "bob", "bob 4")
    yield taken("by a touch that comes later", "TouchDoesNotBeat", bobs, rival="bob", by="bob 4",
                contract="ann", touch="ann 1")  # fmt: skip
    yield taken("by the same touch, opened later", "TouchDoesNotBeat",
                FIRST.with_outcome("outcome", "closed_then", "ann 1"), rival="closed_then",
                contract="ann", touch="ann 1")  # fmt: skip
    yield taken("by the same touch, opened before", "", rival="ann", contract="closed_then",
                touch="ann 1")  # fmt: skip
    for other in ("owner", "log", "surface", "outcome"):
        name = f"other_{other}"
        yield taken(f"for another {other}", "NotARival",
                    FIRST.with_outcome("outcome", name, "ann 1"), rival=name)  # fmt: skip
    for other in ("policy", "model"):  # these are on chain alone
        name = f"other_{other}"
        log = FIRST.with_outcome("outcome", name, "ann 3").with_lie(
            "opened ann", subject=ALL["first_touch"][name].id
        )
        yield taken(f"by another {other}", "", log, rival=name, by="ann 3", touch="ann 1",
                    contract="ann")  # fmt: skip
    for name, error in (("ended", "NotARival"), ("unopened", "NotARival"),
                        ("closed", "RivalClosed"), ("closed_then", "")):  # fmt: skip
        yield taken(f"to one that is {name}", error,
                    FIRST.with_outcome("outcome", name, "ann 1"), rival=name)  # fmt: skip


def _by_visit() -> Iterator[Vector]:
    """Yield cases on a visit that the contract was given before the claimed one."""
    once = FIRST.with_outcome("outcome", "once", "ann 1")
    both = once.with_outcome("outcome again", "once", "ann 1")

    def earlier(name: str, error: str, log: Log = once, **fields: Any) -> Vector:
        shown = {
            "first": "outcome",
            "entered": "transition",
            "by": "ann 1",
            "opened": "opened once",
        }
        shown |= {part: fields.pop(part) for part in shown if part in fields}
        fields = {"contract": "once", "touch": "ann 3", "claimed": "again"} | fields
        contract, touch = fields.pop("contract"), fields.pop("touch")
        return _refutation(name, error, "earlier", contract, touch,
                           *fields.pop("shown", shown.values()), log=log, **fields)  # fmt: skip

    yield earlier("paid before, and nothing is final", "", last_final="genesis",
                  last_signed="genesis")  # fmt: skip
    yield earlier("paid before", "")
    yield earlier("paid before, by another touch", "", by="ann 3")
    yield earlier("over before", "", once.with_lie("outcome", kind="outcome.over"))
    yield earlier("refused before", "NotEarlier", once.with_lie("outcome", kind="outcome.refused"))
    yield earlier("paid to another before", "NotEarlier", FIRST)
    yield earlier("another lead's outcome", "NotEarlier",
                  once.with_lie("outcome", subject=OTHER_LEAD))  # fmt: skip
    elsewhere = once.with_lie("transition", subject=OTHER_LEAD)
    yield earlier("of another lead's transition", "TouchDoesNotQualify", elsewhere)
    yield earlier("of another lead's transition and touch", "NotEarlier",
                  elsewhere.with_lie("ann 1", subject=OTHER_LEAD))  # fmt: skip
    yield earlier("of what is claimed", "NotEarlier", claimed="transition")
    yield earlier("later than what is claimed", "NotEarlier", both, claimed="transition",
                  first="outcome again", entered="again")  # fmt: skip
    yield earlier("apart from the transition", "NotEarlier", both, first="outcome again")
    yield earlier("of a contract that counts leads again", "NotEarlier", FIRST, contract="ann",
                  opened="opened ann")  # fmt: skip
    yield earlier("into another state", "TransitionDoesNotCount", entered="trial")
    yield earlier("out of the contract's time", "TransitionDoesNotCount",
                  FIRST.with_outcome("outcome", "ended", "ann 1"), contract="ended",
                  opened="opened ended")  # fmt: skip
    yield earlier("by another's touch", "TouchDoesNotQualify", by="bob 4")
    yield earlier("by a touch behind it", "TouchDoesNotQualify", by="ann 8")
    old = FIRST.with_outcome("outcome", "late_once", "ann 1")
    for touch, error in (("ann 1", "TouchDoesNotQualify"), ("ann 3", "")):
        yield earlier(f"within a short window, by {touch}", error, old, contract="late_once",
                      by=touch, opened="opened late_once")  # fmt: skip
    yield earlier("with another's opening", "UnknownToLog", opened="opened ann")
    yield earlier("with no opening", "UnknownToLog", opened="ann 3")
    late = once.with_lie("refund", kind="contract.opened", subject=ALL["first_touch"]["once"].id)
    yield earlier("opened above the transition", "UnknownToLog", late, opened="refund")
    whole = ("outcome", "transition", "ann 1")
    for count in range(1, 4):
        yield earlier(f"{count} of its entries", "MissingExhibit", shown=whole[:count])


def _by_touch() -> Iterator[Vector]:
    case = _refutation
    yield case("an earlier touch", "", "touch_order", "ann", "ann 3", "ann 1")
    yield case("the later touch", "TouchDoesNotBeat", "touch_order", "ann", "ann 1", "ann 3")
    yield case("another's touch", "TouchDoesNotCount", "touch_order", "ann", "ann 3", "bob 4")
    yield case("a later touch", "", "touch_order", "ann", "ann 1", "ann 3", log=LAST)
    old = LAST.with_lie("ann 3", time_ms=START_S * 1000 + 6000 - 50_001)
    yield case("a later touch that is too old", "TouchDoesNotQualify", "touch_order", "ann",
               "ann 1", "ann 3", log=old)  # fmt: skip
    yield case("a rival's touch", "", "rival", "bob", "bob 4", "ann 1", "opened ann", rival="ann")
    yield case("a rival's touch behind it", "TouchDoesNotBeat", "rival", "ann", "ann 1", "bob 4",
               "opened bob", rival="bob")  # fmt: skip
    # Without the outcome there is room for all that any rival needs.
    yield case("a rival that needs four", "", "rival", "bob", "bob 4", "ann 3", "opened late_once",
               "transition+", "ann 1", rival="late_once")  # fmt: skip
    yield case("a rival that needs four, in another order", "WrongExhibit", "rival", "bob", "bob 4",
               "ann 3", "opened late_once", "ann 1", "transition+", rival="late_once")  # fmt: skip
    yield case("no kind", "UnknownKind", "duplicate", "ann", "ann 1", "outcome")


def _by_cause() -> Iterator[Vector]:
    def case(name: str, error: str, *shown: str, log: Log = ORDERS) -> Vector:
        return _refutation(name, error, "cause", "share", "click", *shown, log=log,
                           claimed="transition 1", units=13)  # fmt: skip

    yield case("an honest click", "NoContradiction", "click+", "code+")
    yield case("an honest click, alone", "MissingExhibit", "click+")
    yield case("another touch", "WrongExhibit", "answer+", "request")
    yield case("another's code", "", "click+", "code",
               log=ORDERS.with_lie("code", actor=address_word(BOB)))  # fmt: skip
    yield case("a code that had expired", "", "click+", "code+",
               log=ORDERS.with_opening("code", expires_ms=START_S * 1000 + 899))  # fmt: skip
    yield case("a click received before it happened", "", "click+",
               log=ORDERS.with_opening("click", received_ms=START_S * 1000 + 899))  # fmt: skip


def _by_event() -> Iterator[Vector]:
    at, start_ms = ORDERS.at, START_S * 1000

    def case(name: str, error: str, left: int, *shown: str, **fields: Any) -> Vector:
        fields = {"log": ORDERS, "claimed": "transition 1", "units": 13} | fields
        return _refutation(name, error, "reversed", "share", "click", *shown, left=left, **fields)

    # 20, 50 and 80 of the 80 are given back in all: 2.5, 6.25 and all of the 13 are taken.
    yield case("a part", "", 11, "refund 1+", "transition 1+")
    yield case("two parts", "", 7, "refund 2+", "transition 1+")
    yield case("two parts, after the first", "", 7, "refund 2+", "transition 1+", units=11)
    yield case("a part again", "NotLower", 0, "refund 1+", "transition 1+", units=11)
    yield case("a part, after two", "NotLower", 0, "refund 1+", "transition 1+", units=7)
    yield case("the whole", "", 0, "refund 5+", "transition 1+")
    yield case("the whole, without the transition", "MissingExhibit", 0, "refund 5+")
    plain: Json = {"claimed": "transition 2", "units": 8}
    yield case("without an order", "", 0, "refund 4+", **plain)
    yield case("without an order, with the transition", "", 0, "refund 4+", "transition 2", **plain)
    yield case("a part, without the transition", "MissingExhibit", 0, "refund 1+")
    yield case("a part, with another transition", "WrongExhibit", 0, "refund 1+", "transition 2+")
    yield case("a part, unopened", "OpeningLength", 0, "refund 1", "transition 1+")
    yield case("an order, unopened", "OpeningLength", 0, "refund 1+", "transition 1")
    yield case("of another transition", "EventDoesNotReverse", 0, "refund 3+", "transition 1+")
    all_of_it = ORDERS.with_opening("refund 2", refunded_after_units=80)
    yield case("all parts", "", 0, "refund 2+", "transition 1+",
               log=all_of_it.with_lie("refund 2", value=60))  # fmt: skip
    yield case("more than the event's value", "EventDoesNotReverse", 0, "refund 2+",
               "transition 1+", log=all_of_it)  # fmt: skip
    lies: dict[str, Json] = {
        "no event": {"kind": "lead.transition"},
        "elsewhere": {"surface": word("other surface")},
        "a stranger's": {"actor": address_word(ANN)},
        "another lead's": {"subject": OTHER_LEAD},
        "too late": {"time_ms": start_ms + 9001},
        "later than it was received": {"time_ms": start_ms + 7401},
    }
    for name, lie in lies.items():
        log = ORDERS.with_opening("refund 5", received_ms=lie.get("time_ms", 0) or start_ms + 7400)
        log = ORDERS if name.startswith("later") else log
        yield case(f"an event, {name}", "EventDoesNotReverse", 0, "refund 5+", "transition 1+",
                   log=log.with_lie("refund 5", **lie))  # fmt: skip
    edge = ORDERS.with_opening("refund 5", received_ms=start_ms + 9000)
    yield case("an event at the end of the holdback period", "", 0, "refund 5+", "transition 1+",
               log=edge.with_lie("refund 5", time_ms=start_ms + 9000))  # fmt: skip
    for late_ms, error in ((DAY_S * 1000, ""), (DAY_S * 1000 + 1, "EventDoesNotReverse")):
        log = ORDERS.with_opening("refund 5", received_ms=start_ms + 7400 + late_ms)
        yield case(f"an event that was reported {late_ms} later", error, 0, "refund 5+",
                   "transition 1+", log=log)  # fmt: skip
    other = ORDERS.with_opening("refund 5", order=word("order 3"))
    yield case("by another order", "EventDoesNotReverse", 0, "refund 5+", "transition 1+",
               log=other)  # fmt: skip
    below = ORDERS.with_opening("refund 1", of=at["refund 5"])
    yield case("an event below it", "EventDoesNotReverse", 0, "refund 1+", "refund 5",
               log=below, claimed="refund 5")  # fmt: skip
    huge = ORDERS.with_lie("transition 1", value=2**256 - 1)
    yield case("more than an amount", "AmountTooLarge", 0, "refund 1+", "transition 1+", log=huge)
