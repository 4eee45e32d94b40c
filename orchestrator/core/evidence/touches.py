"""Attribution as evidence shows it: the touches that count, qualify, or come first."""

from typing import NamedTuple

from orchestrator.core.contract import ContractRules
from orchestrator.core.errors import EntryError, EvidenceError
from orchestrator.core.evidence.exhibits import (
    OPENED,
    TOUCH,
    EscrowRecord,
    OpenedCase,
    Words,
)
from orchestrator.core.opening import EventOpening, payload_of


class Entitlement(NamedTuple):
    """The lead, transition and touch by which an outcome or a claim says that it is owed."""

    lead: bytes
    transition: int
    touch: int
    time_ms: int


# --- One touch ------------------------------------------------------------------------------------


def counts(rules: ContractRules, entitled: Entitlement, touch: Words) -> bool:
    """Return whether a touch counts for the contract and this entitlement."""
    return (
        touch.kind == TOUCH
        and touch.surface == rules.surface
        and touch.actor == rules.operator
        and touch.subject == entitled.lead
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

    Earlier in the log by first touch, later by last touch.
    """
    if not counts(rules, entitled, touch):
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


# --- Another contract's touch ---------------------------------------------------------------------


def check_rival_wins(opened: OpenedCase, entitled: Entitlement, place: int) -> None:
    """Raise EvidenceError unless the exhibits from `place` on show that the rival comes first.

    These are its operator's touch, its opening, and where needed the transition (if the rival is
    not repeatable), then an earlier touch (if the first that counts cannot be told otherwise).
    """
    rival = _competitor(opened, entitled)
    touch = opened.exhibit(place)
    check_rival_touch(opened, rival, entitled, touch)
    opening = opened.exhibit(place + 1)
    check_rival_opening(opened, entitled, opening)
    place += 2
    if not rival.rules.repeatable:
        _check_first_entry(opened.case.opening, opened.exhibit_at(place, entitled.transition))
        place += 1
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


def check_rival_opening(opened: OpenedCase, entitled: Entitlement, opening: Words) -> None:
    """Raise EvidenceError unless the log knew of the rival before it took the transition."""
    is_opening = opening.kind == OPENED and opening.subject == opened.case.rival
    if not (is_opening and opening.position < entitled.transition):
        raise EvidenceError(
            "rival-unknown-to-log",
            f"entry {opening.position} is not the rival's opening, below the transition",
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


def _check_first_entry(opening: EventOpening, entered: Words) -> None:
    """Raise EvidenceError unless the lead entered the state for the first time.

    Only then no contract that counts a lead once can have counted it before.
    """
    try:
        payload = payload_of(opening)
    except EntryError as error:
        raise EvidenceError("wrong-opening", error.message) from None
    if int.from_bytes(payload) != entered.payload:
        raise EvidenceError(
            "wrong-opening", f"this is not what entry {entered.position} commits to"
        )
    if opening.nth != 1:
        raise EvidenceError(
            "not-the-first-entry", f"it is the lead's entry {opening.nth} into the state"
        )


def _check_first_qualifies(
    opened: OpenedCase,
    rival: ContractRules,
    entitled: Entitlement,
    shown: tuple[Words, Words],
    place: int,
) -> None:
    """Raise EvidenceError unless, by first touch, the first that counts for the rival qualifies.

    `shown` are the rival's touch and its opening.
    """
    before = needed_before(rival, entitled.time_ms, *shown)
    if before is None:
        return
    entry = opened.exhibit_at(place, before)
    # A touch that names no touch of the rival's as the one before is false, and protects nothing.
    is_own = (
        entry.kind == TOUCH
        and entry.surface == rival.surface
        and entry.actor == rival.operator
        and entry.subject == entitled.lead
    )
    if is_own and entry.time_ms >= rival.opens_at_ms:
        raise EvidenceError(
            "rival-touched-before", f"entry {before} is no older than the rival's opening"
        )


def needed_before(rival: ContractRules, at_ms: int, touch: Words, opening: Words) -> int | None:
    """Return the position of the touch before `touch` that must be shown, or None for none.

    The first that counts qualifies if all since the rival opened is young enough, or if `touch` is
    the first: it follows on no other, or on one from before the rival opened.
    """
    if at_ms - rival.opens_at_ms <= rival.attribution_window_ms:
        return None
    # A touch's value is 1 more than the position of the one before it. A value that names nothing
    # below the touch is false.
    if not 0 < touch.value <= touch.position:
        return None
    if touch.value <= opening.position and opening.time_ms < rival.opens_at_ms:
        return None
    return touch.value - 1
