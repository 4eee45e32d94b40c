"""Attribution as evidence shows it: the touches that count, qualify, or come first."""

from typing import NamedTuple

from orchestrator.core.common.errors import EvidenceError
from orchestrator.core.evidence.exhibits import (
    CLICK,
    CODE,
    CODE_END,
    OPENED,
    OUTCOME,
    OVER,
    REPORTED,
    REQUESTED,
    TOUCH,
    TOUCHES,
    TRANSITION,
    CodeWords,
    EscrowRecord,
    OpenedCase,
    ReportWords,
    TransitionWords,
    Words,
)
from orchestrator.core.log.entry import ascii_word
from orchestrator.core.world.contract import ContractRules


class Entitlement(NamedTuple):
    """The lead, transition and touch by which an outcome or a claim says that it is owed."""

    lead: bytes
    transition: int
    touch: int
    time_ms: int


# --- One touch ------------------------------------------------------------------------------------


def is_own_touch(rules: ContractRules, lead: bytes, touch: Words) -> bool:
    """Return whether an entry is a touch, of either kind, of the contract's operator on a lead."""
    return (
        touch.kind in TOUCHES
        and touch.surface == rules.surface
        and touch.actor == rules.operator
        and touch.subject == lead
    )


def counts(rules: ContractRules, entitled: Entitlement, touch: Words) -> bool:
    """Return whether a touch counts for the contract and this entitlement."""
    return (
        is_own_touch(rules, entitled.lead, touch)
        and touch.position < entitled.transition
        and rules.opens_at_ms <= touch.time_ms <= entitled.time_ms
    )


def qualifies(rules: ContractRules, entitled: Entitlement, touch: Words) -> bool:
    """Return whether a touch counts and is also young enough."""
    is_young = entitled.time_ms - touch.time_ms <= rules.attribution_window_ms
    return is_young and counts(rules, entitled, touch)


def check_qualifies(rules: ContractRules, entitled: Entitlement, touch: Words) -> None:
    """Raise EvidenceError unless the touch counts and is young enough."""
    if not qualifies(rules, entitled, touch):
        raise EvidenceError(
            "touch-does-not-qualify", f"entry {touch.position} is no touch that qualifies"
        )


def check_better_touch(rules: ContractRules, entitled: Entitlement, touch: Words) -> None:
    """Raise EvidenceError unless the operator's own touch comes before the one credited.

    By first touch one that counts earlier in the log: if that is too old, none qualifies. By last
    touch one that qualifies later in the log.
    """
    if rules.attribution == "last_touch":
        check_qualifies(rules, entitled, touch)
    elif not counts(rules, entitled, touch):
        raise EvidenceError(
            "touch-does-not-count", f"entry {touch.position} is no touch that counts"
        )
    if not _is_better(rules, entitled, touch):
        raise _not_better(entitled, touch)


def _is_better(rules: ContractRules, entitled: Entitlement, touch: Words) -> bool:
    if rules.attribution == "first_touch":
        return touch.position < entitled.touch
    return touch.position > entitled.touch


def _not_better(entitled: Entitlement, touch: Words) -> EvidenceError:
    return EvidenceError(
        "touch-does-not-beat", f"touch {touch.position} does not come before {entitled.touch}"
    )


def is_report_false(opened: OpenedCase, entitled: Entitlement, place: int) -> bool:
    """Return whether the touch at this place, if it was reported, is borne out by nothing.

    It contradicts itself, or the exhibit behind it, which it names as its cause: a code, if it is a
    click, that had neither expired at its time nor ended below it. The end, if it is shown, stands
    behind the code.
    """
    touch = opened.exhibit_at(place, entitled.touch)
    if touch.kind != REPORTED:
        return False
    said = opened.opening(ReportWords, place)
    if said.cause >= touch.position or touch.time_ms > said.received_ms:
        return True
    cause = opened.exhibit_at(place + 1, said.cause)
    if (cause.surface, cause.actor) != (touch.surface, touch.actor):
        return True
    if cause.kind == REQUESTED:
        asked = (cause.subject, cause.label, cause.time_ms)
        return asked != (touch.subject, touch.label, touch.time_ms)
    if cause.kind != CODE or touch.label != CLICK or cause.time_ms > touch.time_ms:
        return True
    return _is_code_over(opened, touch, place + 1)


def _is_code_over(opened: OpenedCase, click: Words, place: int) -> bool:
    """Return whether the code at this place had expired at a click's time, or ended below it."""
    code = opened.entries[place]
    if len(opened.entries) > place + 1:
        end = opened.entries[place + 1]
        return (
            end.kind == CODE_END
            and (end.surface, end.subject) == (code.surface, code.subject)
            and code.position < end.position < click.position
        )
    return click.time_ms > opened.opening(CodeWords, place).expires_ms


# --- Another contract's touch ---------------------------------------------------------------------


def check_rival_wins(opened: OpenedCase, entitled: Entitlement, place: int) -> None:
    """Raise EvidenceError unless the exhibits from `place` on show that the rival comes first.

    These are its operator's touch, its opening, and where needed the transition and those before it
    (if the rival is not repeatable), then earlier touches (if the first that counts cannot be told
    otherwise).
    """
    rival = _competitor(opened, entitled)
    touch = opened.exhibit(place)
    check_rival_touch(opened, rival, entitled, touch)
    opening = opened.exhibit(place + 1)
    check_opening(opening, opened.case.rival, entitled)
    place += 2
    if not rival.rules.repeatable:
        place = _check_not_counted(opened, entitled, opening, place)
    if rival.rules.attribution == "first_touch":
        _check_first_qualifies(opened, rival.rules, entitled, (touch, opening), place)


def check_rival_touch(
    opened: OpenedCase, rival: EscrowRecord, entitled: Entitlement, touch: Words
) -> None:
    """Raise EvidenceError unless the touch qualifies for the rival.

    If the two contracts compete, it must also come before the one credited.
    """
    check_qualifies(rival.rules, entitled, touch)
    is_older = rival.opening_number < opened.record.opening_number
    is_tied = touch.position == entitled.touch
    is_better = _is_better(opened.rules, entitled, touch) or (is_tied and is_older)
    if not is_better and rival.market == opened.record.market:
        raise _not_better(entitled, touch)


def check_opening(opening: Words, contract_id: bytes, entitled: Entitlement) -> None:
    """Raise EvidenceError unless the log knew of the contract before it took the transition."""
    is_opening = opening.kind == OPENED and opening.subject == contract_id
    if not (is_opening and opening.position < entitled.transition):
        raise EvidenceError(
            "unknown-to-log",
            f"entry {opening.position} is not the contract's opening, below the transition",
        )


def rival_for_outcome(opened: OpenedCase, entitled: Entitlement) -> EscrowRecord:
    """Return the rival, if an exclusive contract would not bear it and it was open at the time."""
    rival = opened.record_of(opened.case.rival)
    is_for_outcome = rival.exclusive_key == opened.record.exclusive_key
    if not is_for_outcome or not rival.covers(entitled.time_ms):
        raise _no_rival()
    if rival.is_closed_before(entitled.time_ms):
        raise EvidenceError("rival-closed", f"its parties closed it at {rival.closed_at_s} s")
    return rival


def _competitor(opened: OpenedCase, entitled: Entitlement) -> EscrowRecord:
    rival = opened.record_of(opened.case.rival)
    if rival.market != opened.record.market:
        raise _no_rival()
    return rival_for_outcome(opened, entitled)


def _no_rival() -> EvidenceError:
    return EvidenceError("not-a-rival", "it does not compete for this transition")


def _check_not_counted(
    opened: OpenedCase, entitled: Entitlement, opening: Words, place: int
) -> int:
    """Raise EvidenceError unless the rival had not counted the lead; return the place behind.

    The exhibits are the transition, opened; where that says that the lead was counted since the
    rival opened, the entry that did; if that is another contract's, the transition below it,
    opened; and so on. What is false in these protects no contract.
    """
    transition = entitled.transition
    while True:
        entered = opened.exhibit_at(place, transition)
        place += 1
        if not is_visit(opened.rules, entitled.lead, entered, TRANSITION):
            return place
        counted = opened.opening(TransitionWords, place - 1).counted
        if not opening.position < counted < transition:
            return place
        outcome = opened.exhibit_at(place, counted)
        place += 1
        if not is_visit(opened.rules, entitled.lead, outcome, OUTCOME, OVER):
            return place
        if outcome.actor == opened.case.rival:
            raise EvidenceError("rival-has-counted", f"entry {counted} counts the lead for it")
        transition = counted - 1


def is_visit(rules: ContractRules, lead: bytes, entry: Words, *kinds: bytes) -> bool:
    """Return whether an entry of these kinds is about the lead and the contract's state."""
    return (
        entry.kind in kinds
        and entry.surface == rules.surface
        and entry.subject == lead
        and entry.label == ascii_word(rules.outcome)
    )


def _check_first_qualifies(
    opened: OpenedCase,
    rival: ContractRules,
    entitled: Entitlement,
    shown: tuple[Words, Words],
    place: int,
) -> None:
    """Raise EvidenceError unless, by first touch, the first that counts for the rival qualifies.

    `shown` are the rival's touch and its opening; from `place` on the exhibits are the operator's
    touches before that one, the last first.
    """
    touch, opening = shown
    while (before := needed_before(rival, entitled.time_ms, touch, opening)) is not None:
        touch = opened.exhibit_at(place, before)
        place += 1
        # A touch that names no touch of the rival's as the one before is false, and protects
        # nothing.
        if not is_own_touch(rival, entitled.lead, touch):
            return
        if rival.opens_at_ms <= touch.time_ms <= entitled.time_ms:
            raise EvidenceError(
                "rival-touched-before", f"entry {before} is a touch that counts for the rival"
            )


def needed_before(rival: ContractRules, at_ms: int, touch: Words, opening: Words) -> int | None:
    """Return the position of the touch before `touch` that must be shown, or None for none.

    The first that counts qualifies if all since the rival opened is young enough, or if no touch
    before can count. None can before one that the log itself timed before the rival opened, or
    before the rival's opening entry if that is so old: whatever is reported, no time below an entry
    is later than the log's own.
    """
    if at_ms - rival.opens_at_ms <= rival.attribution_window_ms:
        return None
    if touch.kind == TOUCH and touch.time_ms < rival.opens_at_ms:
        return None
    # A touch's value is 1 more than the position of the one before it. A value that names nothing
    # below the touch is false.
    if not 0 < touch.value <= touch.position:
        return None
    if touch.value <= opening.position and opening.time_ms < rival.opens_at_ms:
        return None
    return touch.value - 1
