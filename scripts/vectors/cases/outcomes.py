"""Disproofs of a single outcome: duplicate, transition, touch, touch order and rival."""

from collections.abc import Iterator
from typing import Any

from orchestrator.core.log.entry import address_word, pack_outcome
from scripts.vectors.cases.model import (
    ALL,
    ANN,
    BOB,
    FIRST,
    LAST,
    ORDERS,
    OTHER_LEAD,
    START_S,
    VISITS,
    Json,
    Log,
    Vector,
    word,
)


def disproofs() -> Iterator[Vector]:
    """Yield for each kind first the cases that hold, then those that do not."""
    yield from _of_duplicate()
    yield from _of_transition()
    yield from _of_touch()
    yield from _of_rival()
    yield from _of_competitor()
    yield from _of_visits()
    yield from _of_cause()


def _of_duplicate() -> Iterator[Vector]:
    at = FIRST.at

    def case(name: str, error: str, log: Log, contract: str, *shown: str) -> Vector:
        return Vector(name, error, log, "duplicate", contract, shown)

    again = pack_outcome(at["transition"], at["ann 1"], at["outcome"], 2, 20)
    twice = FIRST.with_lie("outcome again", payload=again)
    yield case("one transition twice", "", twice, "ann", "outcome again", "outcome")
    yield case("the earlier of two", "NoContradiction", twice, "ann", "outcome", "outcome again")
    for_bob = twice.with_lie("outcome again", actor=ALL["first_touch"]["bob"].id)
    yield case("one transition for two contracts", "", for_bob, "bob", "outcome again", "outcome")
    over = twice.with_lie("outcome", kind="outcome.over")
    yield case("once over, then paid", "", over, "ann", "outcome again", "outcome")
    then_over = twice.with_lie("outcome again", kind="outcome.over")
    yield case("once paid, then over", "", then_over, "ann", "outcome again", "outcome")
    refused = twice.with_lie("outcome", kind="outcome.refused")
    yield case("once refused, then paid", "NoContradiction", refused, "ann", "outcome again",
               "outcome")  # fmt: skip
    once = FIRST.with_outcome("outcome", "once", "ann 1")
    once = once.with_outcome("outcome again", "once", "ann 1")
    yield case("one lead twice", "", once, "once", "outcome again", "outcome")
    yield case("one lead twice, repeatable", "NoContradiction", FIRST, "ann", "outcome again",
               "outcome")  # fmt: skip
    one = FIRST.with_outcome("outcome again", "once", "ann 1")
    yield case("one lead for two contracts", "NoContradiction", one, "once", "outcome again",
               "outcome")  # fmt: skip
    leads = once.with_lie("outcome", subject=OTHER_LEAD)
    yield case("two leads", "NoContradiction", leads, "once", "outcome again", "outcome")
    yield case("an outcome beside itself", "NoContradiction", FIRST, "ann", "outcome", "outcome")
    yield case("no second exhibit", "MissingExhibit", FIRST, "ann", "outcome")
    yield case("another's outcome", "NotOfContract", FIRST, "bob", "outcome again", "outcome")
    yield case("no outcome", "NotOfContract", FIRST, "ann", "reversal", "outcome")


def _of_transition() -> Iterator[Vector]:
    at = FIRST.at

    def case(name: str, error: str, log: Log, *shown: str, contract: str = "ann") -> Vector:
        return Vector(name, error, log, "transition", contract, shown or ("outcome",))

    def payload(transition: int, touch: int) -> bytes:
        return pack_outcome(transition, touch, 0, 1, 10)

    yield case("honest, alone", "NoContradiction", FIRST)
    yield case("honest, with its transition", "NoContradiction", FIRST, "outcome", "transition")
    yield case("with another transition", "WrongExhibit", FIRST, "outcome", "again")
    waited = FIRST.with_lie("outcome again", payload=payload(at["transition"], at["ann 1"]))
    yield case("an outcome that waited", "", waited, "outcome again")
    over = FIRST.with_lie("outcome", kind="outcome.over")
    yield case("over", "NoContradiction", over)
    yield case("over, with its transition", "NoContradiction", over, "outcome", "transition")
    yield case("over, at another price", "", over.with_lie("outcome", value=11))
    yield case("over, of another lead", "", over.with_lie("outcome", subject=OTHER_LEAD), "outcome",
               "transition")  # fmt: skip
    refused = FIRST.with_lie("outcome", kind="outcome.refused", value=11)
    yield case("refused", "NotOfContract", refused)

    def opened(name: str, error: str, log: Log, *shown: str, **fields: Any) -> Vector:
        fields = {"contract": "after", "last_signed": "opened after"} | fields
        return Vector(name, error, log, "transition", fields.pop("contract"), shown, **fields)

    pair = ("opened after", "outcome")
    early = FIRST.with_outcome("outcome", "after", "ann 1")
    yield opened("below the contract's opening", "", early, *pair)
    yield opened("below the opening, over", "", early.with_lie("outcome", kind="outcome.over"),
                 *pair)  # fmt: skip
    yield opened("below the opening, refused", "NoContradiction",
                 early.with_lie("outcome", kind="outcome.refused"), *pair)  # fmt: skip
    yield opened("below the opening, another's", "NoContradiction", FIRST, *pair)
    yield opened("below another's opening", "NoContradiction", FIRST, *pair, contract="ann")
    yield opened("above the opening", "NoContradiction", FIRST, "opened ann", "outcome",
                 contract="ann")  # fmt: skip
    yield opened("an opening alone", "MissingExhibit", early, "opened after")
    yield opened("an opening that nobody signed for", "NotVouchedFor", early, *pair,
                 last_signed="settlement")  # fmt: skip
    alone: dict[str, Json] = {
        "another label": {"label": "trial"},
        "another surface": {"surface": word("other surface")},
        "before the opening": {"time_ms": START_S * 1000 - 1},
        "after the deadline": {"time_ms": (START_S + 100) * 1000 + 1},
        "another price": {"value": 11},
        "itself as transition": {"payload": payload(at["outcome"], at["ann 1"])},
        "a touch behind its transition": {"payload": payload(at["transition"], at["again"])},
        "the transition as its touch": {"payload": payload(at["transition"], at["transition"])},
        "dirty padding": {"payload": payload(at["transition"], at["ann 1"])[:31] + b"\1"},
    }
    for name, lie in alone.items():
        yield case(name, "", FIRST.with_lie("outcome", **lie))
    for name, time_ms in (("at the opening", 0), ("at the deadline", 100_000)):
        edge = FIRST.with_lie("outcome", time_ms=START_S * 1000 + time_ms)
        yield case(name, "NoContradiction", edge)
        yield case(f"{name}, unlike its transition", "", edge, "outcome", "transition")
    named: dict[str, Json] = {
        "a refused transition": {"kind": "lead.refused"},
        "a transition elsewhere": {"surface": word("other surface")},
        "a stranger's transition": {"actor": address_word(ANN)},
        "another lead's transition": {"subject": OTHER_LEAD},
        "a transition into another state": {"label": "trial"},
        "a transition at another time": {"time_ms": START_S * 1000 + 6001},
    }
    for name, lie in named.items():
        yield case(name, "", FIRST.with_lie("transition", **lie), "outcome", "transition")
    worth = "transition", {"value": 2**256 - 1}
    yield case("any value where there is no share", "NoContradiction",
               FIRST.with_lie(worth[0], **worth[1]), "outcome", "transition")  # fmt: skip
    share = {"contract": "share"}
    both = ("outcome", "transition")
    for amount, error in ((11, "NoContradiction"), (12, ""), (10, ""), (2**256 - 1, "")):
        log = FIRST.with_outcome("outcome", "share", "ann 1", value=amount)
        yield case(f"a share of 8.75 and 3 as {amount % 99}", error, log, *both, **share)
        yield case(f"a share and 3 as {amount % 99}, alone", "NoContradiction", log, **share)
    log = FIRST.with_outcome("outcome", "share", "ann 1", value=0)
    log = log.with_lie("transition", value=2**256 - 1)
    yield case("a share of all there is", "", log, *both, **share)


def _of_touch() -> Iterator[Vector]:
    def case(name: str, error: str, log: Log, *shown: str, contract: str = "ann") -> Vector:
        return Vector(name, error, log, "touch", contract, shown or ("outcome", "ann 1"))

    yield case("honest", "NoContradiction", FIRST)
    yield case("with another touch", "WrongExhibit", FIRST, "outcome", "ann 3")
    over = FIRST.with_outcome("outcome", "ann", "bob 4", kind="outcome.over")
    yield case("over, by another's touch", "", over, "outcome", "bob 4")
    lies: dict[str, Json] = {
        "no touch": {"kind": "trust.changed"},
        "a touch elsewhere": {"surface": word("other surface")},
        "another operator's": {"actor": address_word(BOB)},
        "on another lead": {"subject": OTHER_LEAD},
        "before the opening": {"time_ms": START_S * 1000 - 1},
        "after the transition": {"time_ms": START_S * 1000 + 6001},
        "at the end of time": {"time_ms": 2**63 - 1},
    }
    for name, lie in lies.items():
        yield case(name, "", FIRST.with_lie("ann 1", **lie))
    for name, time_ms in (("at the opening", 0), ("at the transition", 6000)):
        yield case(name, "NoContradiction",
                   FIRST.with_lie("ann 1", time_ms=START_S * 1000 + time_ms))  # fmt: skip
    old = FIRST.with_outcome("outcome", "young", "ann 3")
    shown = ("outcome", "ann 3")
    yield case("as old as the window", "NoContradiction", old, *shown, contract="young")
    older = old.with_lie("ann 3", time_ms=START_S * 1000 + 2999)
    yield case("older than the window", "", older, *shown, contract="young")
    behind = FIRST.with_outcome("outcome", "ann", "again")
    yield case("behind the transition", "", behind, "outcome", "again")

    def order(name: str, error: str, log: Log, other: str, contract: str = "ann") -> Vector:
        return Vector(name, error, log, "touch_order", contract, ("outcome", other))

    third = FIRST.with_outcome("outcome", "ann", "ann 3")
    yield order("an earlier touch", "", third, "ann 1")
    yield order("an earlier touch, over", "", third.with_lie("outcome", kind="outcome.over"),
                "ann 1")  # fmt: skip
    yield order("an earlier touch, too old to qualify", "",
                FIRST.with_outcome("outcome", "young", "ann 3"), "ann 1", "young")  # fmt: skip
    yield order("an earlier touch, before the opening", "TouchDoesNotCount",
                FIRST.with_outcome("outcome", "late", "ann 3"), "ann 1", "late")  # fmt: skip
    yield order("the later touch, by first touch", "TouchDoesNotBeat", FIRST, "ann 3")
    yield order("the touch itself", "TouchDoesNotBeat", FIRST, "ann 1")
    yield order("another operator's touch", "TouchDoesNotCount", FIRST, "bob 4")
    yield order("a touch above the outcome", "TouchDoesNotCount", third, "ann 8")
    yield order("no touch", "TouchDoesNotCount", third, "trial")
    first = LAST.with_outcome("outcome", "ann", "ann 1")
    yield order("a later touch", "", first, "ann 3")
    yield order("the earlier touch, by last touch", "TouchDoesNotBeat",
                LAST.with_outcome("outcome", "ann", "ann 3"), "ann 1")  # fmt: skip
    yield order("a later touch, after the transition's time", "TouchDoesNotQualify",
                first.with_lie("ann 3", time_ms=START_S * 1000 + 6001), "ann 3")  # fmt: skip
    yield order("a touch of the future", "TouchDoesNotQualify", first, "ann 8")
    old = first.with_lie("ann 3", time_ms=START_S * 1000 + 6000 - 50_001)
    yield order("a later touch that is too old", "TouchDoesNotQualify", old, "ann 3")
    clicked = first.with_lie("ann 3", kind="touch.reported")
    yield order("a later touch, reported", "", clicked, "ann 3")


def _rival_case(
    name: str, error: str, rival: str, shown: tuple[str, ...], log: Log, fields: Json
) -> Vector:
    opened = f"opened {rival}" if f"opened {rival}" in log.at else "opened ann"
    contract, accused = fields.pop("contract", "bob"), fields.pop("accused", "outcome")
    places = (accused, shown[0], opened, *shown[1:])
    return Vector(name, error, log, "rival", contract, places, rival, **fields)


def _of_rival() -> Iterator[Vector]:
    bobs = FIRST.with_outcome("outcome", "bob", "bob 4")

    def case(
        name: str, error: str, rival: str, *shown: str, log: Log = bobs, **fields: Any
    ) -> Vector:
        return _rival_case(name, error, rival, shown, log, fields)

    yield case("the first of all touches", "", "ann", "ann 1")
    yield case("the first of all touches, over", "", "ann", "ann 1",
               log=bobs.with_lie("outcome", kind="outcome.over"))  # fmt: skip
    yield case("a later one, all since the opening being young", "", "ann", "ann 3")
    yield case("one that is too old", "TouchDoesNotQualify", "young", "ann 1")
    yield case("the second, the first being too old", "RivalTouchedBefore", "young", "ann 3",
               "ann 1")  # fmt: skip
    below = bobs.at["ann 3"]  # an entry is the first touch that names none below itself
    for value, error in ((2**256 - 1, ""), (below + 1, ""), (below, "MissingExhibit")):
        yield case(f"the second, following on {value % 97}", error, "young", "ann 3",
                   log=bobs.with_lie("ann 3", value=value))  # fmt: skip
    shields: dict[str, tuple[str, Json]] = {
        "no touch": ("", {"kind": "lead.registered"}),
        "another's touch": ("", {"actor": address_word(BOB)}),
        "another lead's touch": ("", {"subject": OTHER_LEAD}),
        "a touch elsewhere": ("", {"surface": word("other surface")}),
        "a touch that is said to be old": ("", {"time_ms": START_S * 1000 - 1}),
        "a reported touch that is old": (
            "MissingExhibit",
            {"kind": "touch.reported", "time_ms": START_S * 1000 - 1, "value": 5},
        ),
        "a reported touch that is old, the first": (
            "",
            {"kind": "touch.reported", "time_ms": START_S * 1000 - 1},
        ),
        "a touch after the transition's time, the first": ("", {"time_ms": START_S * 1000 + 6001}),
        "a touch after the transition's time": (
            "MissingExhibit",
            {"time_ms": START_S * 1000 + 6001, "value": 5},
        ),
        "a reported touch": ("RivalTouchedBefore", {"kind": "touch.reported"}),
        "a touch with another label": ("RivalTouchedBefore", {"label": "call"}),
    }
    for name, (error, lie) in shields.items():
        yield case(f"the second, following on {name}", error, "young", "ann 3", "ann 1",
                   log=bobs.with_lie("ann 1", **lie))  # fmt: skip
    yield case("the first since it opened, before shown", "", "late", "ann 3", "ann 1")
    yield case("the first since it opened, before not shown", "MissingExhibit", "late", "ann 3")
    yield case("the first since it opened, another shown", "WrongExhibit", "late", "ann 3", "bob 4")
    yield case("one before it opened", "TouchDoesNotQualify", "late", "ann 1")
    yield case("opened in the log behind the touch before", "", "later", "ann 3")
    second = _second(bobs)
    yield case("opened in the log behind it, but too late", "RivalTouchedBefore", "later", "ann 3",
               "ann 1", log=second)  # fmt: skip
    yield case("not repeatable, the lead's first", "", "once", "ann 1", "transition+")
    yield case("not repeatable, no transition", "MissingExhibit", "once", "ann 1")
    yield case("not repeatable, another transition", "WrongExhibit", "once", "ann 1", "trial+")
    yield case("not repeatable, no opening", "OpeningLength", "once", "ann 1", "transition")
    moved = bobs.with_lie("transition", payload=word("another opening"))
    yield case("not repeatable, another's opening", "WrongOpening", "once", "ann 1", "transition+",
               log=moved)  # fmt: skip
    none = bobs.with_lie("transition", kind="lead.refused")
    yield case("not repeatable, no transition at all", "", "once", "ann 1", "transition", log=none)
    again = FIRST.with_outcome("outcome again", "bob", "bob 4")
    yield case("not repeatable, the lead's second, which another counted", "", "once", "ann 1",
               "again+", "outcome", "transition+", log=again, accused="outcome again")  # fmt: skip
    yield case("not repeatable, the first touch and the lead's first", "", "late_once", "ann 3",
               "transition+", "ann 1")  # fmt: skip
    yield case("not repeatable, and the touch before is not shown", "MissingExhibit", "late_once",
               "ann 3", "transition+")  # fmt: skip


def _of_competitor() -> Iterator[Vector]:
    """Yield cases on whether the other contract competes, and whose touch comes first."""
    bobs = FIRST.with_outcome("outcome", "bob", "bob 4")

    def case(
        name: str, error: str, rival: str, *shown: str, log: Log = bobs, **fields: Any
    ) -> Vector:
        return _rival_case(name, error, rival, shown, log, fields)

    yield case("past its deadline", "NotARival", "ended", "ann 1")
    yield case("not yet open", "NotARival", "unopened", "ann 1")
    yield case("closed before", "RivalClosed", "closed", "ann 1")
    yield case("closed at that second", "", "closed_then", "ann 1")
    late = bobs.with_lie("outcome", time_ms=START_S * 1000 + 6001)
    yield case("closed a millisecond before", "RivalClosed", "closed_then", "ann 1", log=late)
    for other in ("owner", "log", "surface", "outcome", "policy", "model"):
        yield case(f"another {other}", "NotARival", f"other_{other}", "ann 1")
    yield case("opened above the transition", "UnknownToLog", "after", "ann 1")
    yield Vector("another's opening", "UnknownToLog", bobs, "rival", "bob",
                 ("outcome", "ann 1", "opened once"), "ann")  # fmt: skip
    yield Vector("no opening", "UnknownToLog", bobs, "rival", "bob",
                 ("outcome", "ann 1", "ann 3"), "ann")  # fmt: skip
    yield case("nobody's contract", "UnknownContract", "", "ann 1")
    yield case("not the rival's operator", "TouchDoesNotQualify", "ann", "bob 4")
    yield case("behind, by first touch", "TouchDoesNotBeat", "bob", "bob 4", log=FIRST,
               contract="ann")  # fmt: skip
    yield case("itself", "TouchDoesNotBeat", "ann", "ann 1", log=FIRST, contract="ann")
    tied = FIRST.with_outcome("outcome", "closed_then", "ann 1")
    yield case("the same touch, opened before", "", "ann", "ann 1", log=tied,
               contract="closed_then")  # fmt: skip
    yield case("the same touch, opened after", "TouchDoesNotBeat", "closed_then", "ann 1",
               log=FIRST, contract="ann")  # fmt: skip
    anns = LAST.with_outcome("outcome", "ann", "ann 3")
    yield case("the last of all touches", "", "bob", "bob 4", log=anns, contract="ann")
    yield case("behind, by last touch", "TouchDoesNotBeat", "ann", "ann 3", log=LAST)
    yield case("above the transition", "TouchDoesNotQualify", "ann", "ann 8", log=LAST)


def _second(log: Log) -> Log:
    """Return the log in which Ann touches first when those that open at 2 s are open already."""
    return log.with_lie("ann 1", time_ms=START_S * 1000 + 2000).with_lie(
        "opened later", time_ms=START_S * 1000 + 2000
    )


def _of_visits() -> Iterator[Vector]:
    """Yield outcomes of a lead that came back, which a rival that counts once should have had."""
    bob = ("bob 4", "opened bob_once")
    second = VISITS.with_outcome("outcome 2", "ann", "ann 1")

    def case(name: str, error: str, *shown: str, log: Log = second) -> Vector:
        return Vector(name, error, log, "rival", "ann", shown, "bob_once")

    def said(counted: int) -> Log:
        return second.with_opening("transition 2", counted=counted)

    two = ("outcome 2", *bob, "transition 2+")
    yield case("a visit that another counted before", "", *two, "outcome 1", "transition 1+")
    yield case("a visit that another counted, over", "", *two, "outcome 1", "transition 1+",
               log=second.with_lie("outcome 1", kind="outcome.over"))  # fmt: skip
    yield case("a visit, without what counted it before", "MissingExhibit", *two)
    yield case("a visit, with another entry", "WrongExhibit", *two, "ann 1")
    yield case("a visit, without the one before", "MissingExhibit", *two, "outcome 1")
    yield case("a visit, with another before", "WrongExhibit", *two, "outcome 1", "transition 3+")
    yield case("a visit, the one before unopened", "OpeningLength", *two, "outcome 1",
               "transition 1")  # fmt: skip
    yield case("a visit that nobody counted", "", *two, log=said(0))
    for name in ("opened bob_once", "transition 2", "outcome 2", "outcome 3"):
        yield case(f"a visit said to be counted at {name}", "", *two, log=said(second.at[name]))
    yield case("a visit said to be counted by a touch", "", *two, "bob 4",
               log=said(second.at["bob 4"]))  # fmt: skip
    shields: dict[str, Json] = {
        "refused before": {"kind": "outcome.refused"},
        "counted elsewhere before": {"surface": word("other surface")},
        "counted for another lead": {"subject": OTHER_LEAD},
        "counted for another state": {"label": "trial"},
    }
    for name, lie in shields.items():
        yield case(f"a visit {name}", "", *two, "outcome 1",
                   log=second.with_lie("outcome 1", **lie))  # fmt: skip
    apart = second.with_lie("transition 1", subject=OTHER_LEAD)
    yield case("a visit counted by no transition", "", *two, "outcome 1", "transition 1", log=apart)
    three = ("outcome 3", *bob, "transition 3+", "outcome 2")
    yield case("a visit that it counted before", "RivalHasCounted", *three, log=VISITS)
    hidden = VISITS.with_opening("transition 3", counted=VISITS.at["outcome 1"])
    yield case("a visit whose count is skipped", "", *three[:4], "outcome 1", "transition 1+",
               log=hidden)  # fmt: skip


def _of_cause() -> Iterator[Vector]:
    at, start_ms = ORDERS.at, START_S * 1000

    def case(name: str, error: str, *shown: str, log: Log = ORDERS) -> Vector:
        return Vector(name, error, log, "cause", "share", ("outcome 1", *shown))

    click, code = "click+", "code+"
    yield case("an honest click", "NoContradiction", click, code)
    yield case("an honest click, without its code", "MissingExhibit", click)
    yield case("an honest click, unopened", "OpeningLength", "click", code)
    yield case("an honest click, its code unopened", "OpeningLength", click, "code")
    yield case("a click at its code's last time", "NoContradiction", click, code,
               log=ORDERS.with_opening("code", expires_ms=start_ms + 900))  # fmt: skip
    yield case("a click after its code's last time", "", click, code,
               log=ORDERS.with_opening("code", expires_ms=start_ms + 899))  # fmt: skip
    # The request stands between the code and the click.
    end: Json = {"kind": "code.ended", "subject": word("code"), "label": "", "payload": bytes(32)}
    over = ORDERS.with_lie("request", **end)
    yield case("a click after its code's end", "", click, "code", "request", log=over)
    ends: dict[str, Json] = {
        "another code's end": {"subject": word("another")},
        "an end elsewhere": {"surface": word("other surface")},
        "no end": {"kind": "code.issued"},
    }
    for name, lie in ends.items():
        yield case(f"a click after {name}", "NoContradiction", click, code, "request",
                   log=over.with_lie("request", **lie))  # fmt: skip
    late = ORDERS.with_lie("outcome 1", **end)
    yield Vector("a click before its code's end", "NoContradiction", late.with_outcome(
        "outcome 2", "share", "click"), "cause", "share", ("outcome 2", click, code, "outcome 1"),
    )  # fmt: skip
    yield case("an honest click, with another entry", "WrongExhibit", click, "request")
    yield case("another touch", "WrongExhibit", "answer+", "request")
    other = ORDERS.with_lie("click", payload=word("another opening"))
    yield case("a click with another's opening", "WrongOpening", click, code, log=other)
    own = FIRST.with_outcome("outcome", "share", "ann 1")
    yield Vector("a touch that nobody reported", "NoContradiction", own, "cause", "share",
                 ("outcome", "ann 1+"))  # fmt: skip
    yield case("a click of itself", "", click, log=ORDERS.with_opening("click", cause=at["click"]))
    yield case("a click of the future", "", click,
               log=ORDERS.with_opening("click", cause=at["outcome 1"]))  # fmt: skip
    yield case("a click received before it happened", "", click,
               log=ORDERS.with_opening("click", received_ms=start_ms + 899))  # fmt: skip
    yield case("a click received as it happened", "NoContradiction", click, code,
               log=ORDERS.with_opening("click", received_ms=start_ms + 900))  # fmt: skip
    causes: dict[str, tuple[str, Json]] = {
        "another's code": ("", {"actor": address_word(BOB)}),
        "a code elsewhere": ("", {"surface": word("other surface")}),
        "no code": ("", {"kind": "touch"}),
        "a code of later": ("", {"time_ms": start_ms + 901}),
        "a code of that time": ("NoContradiction", {"time_ms": start_ms + 900}),
        "a request for another": ("", {"kind": "action.requested"}),
    }
    for name, (error, lie) in causes.items():
        yield case(f"a click by {name}", error, click, code, log=ORDERS.with_lie("code", **lie))
    yield case("a code's use under another name", "", click, code,
               log=ORDERS.with_lie("click", label="email"))  # fmt: skip
    answered = ORDERS.with_outcome("outcome 1", "share", "answer")
    pair = ("answer+", "request")
    yield case("an honest answer", "NoContradiction", *pair, log=answered)
    requests: dict[str, Json] = {
        "another's request": {"actor": address_word(BOB)},
        "a request elsewhere": {"surface": word("other surface")},
        "a request for another lead": {"subject": OTHER_LEAD},
        "a request for another action": {"label": "call"},
        "a request of later": {"time_ms": start_ms + 701},
        "a request of before": {"time_ms": start_ms + 699},
        "no request": {"kind": "code.issued"},
    }
    for name, lie in requests.items():
        yield case(f"an answer to {name}", "", *pair, log=answered.with_lie("request", **lie))
    over = answered.with_lie("outcome 1", kind="outcome.over").with_lie("request", label="call")
    yield case("an answer that was over", "", *pair, log=over)
