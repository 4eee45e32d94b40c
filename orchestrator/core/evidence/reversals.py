"""Reversals as evidence shows them: what an event takes back, of which outcome, and how much.

`purchase` states the rules. An event's opening names the transition that it takes back from, and
how much of its value was refunded before and is afterwards; a reversal takes the same part of the
outcome.
"""

from orchestrator.core.common.errors import EvidenceError
from orchestrator.core.evidence.exhibits import (
    OUTCOME,
    PRODUCT_EVENT,
    REVERSAL,
    TRANSITION,
    EscrowRecord,
    EventWords,
    Link,
    OpenedCase,
    TransitionWords,
    Words,
    unpack_link,
)
from orchestrator.core.evidence.totals import is_predecessor_false, is_start_false
from orchestrator.core.evidence.touches import Entitlement
from orchestrator.core.log.entry import ascii_word
from orchestrator.core.world.contract import ContractRules
from orchestrator.core.world.purchase import taken_units


def is_reversal_false(opened: OpenedCase) -> bool:
    """Return whether the first exhibit is a reversal that it or another contradicts."""
    reversal, rules = opened.first_exhibit(REVERSAL), opened.rules
    link = unpack_link(reversal.payload)
    if len(opened.entries) == 1:
        return (
            reversal.surface != rules.surface
            or link.padding != 0
            or not link.target < link.cause < reversal.position
            or is_start_false(link, reversal)
        )
    # One entry may be named in several roles; each must be true.
    other = opened.entries[1]
    return (
        (other.position == link.target and _is_outcome_wrong(rules, reversal, other))
        or (other.position == link.cause and _is_event_false(opened, reversal, link))
        or (other.position < reversal.position and _is_by_same_event(link, other))
        or is_predecessor_false(link, reversal, other)
    )


def units_taken_back(opened: OpenedCase, entitled: Entitlement, amount: int, place: int) -> int:
    """Return what the event at this place and all before it take back of an outcome.

    Raises EvidenceError unless the event takes back from its transition (see `_taking_back`).
    """
    said, value = _taking_back(opened, entitled, place)
    return _at_most(opened.rules, amount, value, said.refunded_after)


def units_by_event(opened: OpenedCase, entitled: Entitlement, amount: int, place: int) -> int:
    """Return what the event at this place takes back of an outcome by itself.

    Raises EvidenceError if that is nothing, and unless the event takes back from the outcome's
    transition (see `_taking_back`).
    """
    said, value = _taking_back(opened, entitled, place)
    before = 0
    # Nothing was taken back before the first event, not even of a purchase without a value.
    if said.previous != 0:
        before = _at_most(opened.rules, amount, value, said.refunded_before)
    after = _at_most(opened.rules, amount, value, said.refunded_after)
    if after <= before:
        raise _no_reversing_event(opened.entries[place])
    return after - before


def _at_most(rules: ContractRules, amount: int, value: int, refunded: int) -> int:
    """Return what is taken back of the outcome by this much of its transition's value.

    It is no more than the outcome, though that may have been stated too low.
    """
    return min(amount, taken_units(rules, amount, value, refunded))


def _taking_back(opened: OpenedCase, entitled: Entitlement, place: int) -> tuple[EventWords, int]:
    """Return the opening of the event at this place, and the value of the transition.

    The transition is the next exhibit, opened if the event has an order. It need not be shown if
    the event has none and is the first to take back from it, for then it takes all. Raises
    EvidenceError unless the event takes back from that transition, in time, was received in time,
    and says what a replay accepts.
    """
    event, rules = opened.exhibit(place), opened.rules
    if not (
        _is_event_of(rules, entitled.lead, event)
        and is_in_time(rules, entitled.time_ms, event.time_ms)
    ):
        raise _no_reversing_event(event)
    said = opened.opening(EventWords, place)
    if not takes_back(opened.record, entitled, event, said):
        raise _no_reversing_event(event)
    if said.order == 0 and said.previous == 0:
        return said, said.refunded_after
    value = opened.exhibit_at(place + 1, said.of).value
    if _is_purchase_false(opened, entitled.lead, ascii_word(rules.outcome), said, place):
        raise _no_reversing_event(event)
    if said.order != 0:
        opened.opening(TransitionWords, place + 1)  # without which its order is unknown
    return said, value


def takes_back(record: EscrowRecord, entitled: Entitlement, event: Words, said: EventWords) -> bool:
    """Return whether an event, by its opening, takes back from a transition as a replay accepts.

    That is, as far as these two show: the purchase may still show that it does not.
    """
    return (
        _is_event_of(record.rules, entitled.lead, event)
        and is_in_time(record.rules, entitled.time_ms, event.time_ms)
        and said.of == entitled.transition
        and not _contradicts_itself(said, event)
        and 0 <= said.received_ms - event.time_ms <= record.lateness_ms
    )


def is_in_time(rules: ContractRules, outcome_ms: int, event_ms: int) -> bool:
    """Return whether an event at this time can still take back from an outcome."""
    return event_ms - outcome_ms <= rules.holdback_period_ms


def _no_reversing_event(event: Words) -> EvidenceError:
    return EvidenceError(
        "event-does-not-reverse", f"entry {event.position} takes nothing back from it"
    )


# --- A reversal's facts ---------------------------------------------------------------------------


def _is_by_same_event(link: Link, other: Words) -> bool:
    """Return whether `other` is a reversal, of whichever contract, by the same event.

    An event takes back from one transition.
    """
    return other.kind == REVERSAL and unpack_link(other.payload).cause == link.cause


def _is_outcome_wrong(rules: ContractRules, reversal: Words, outcome: Words) -> bool:
    """Return whether the reversal takes back another outcome than it says, or too late."""
    return (
        not outcome.is_of(rules.contract_id, OUTCOME)
        or outcome.subject != reversal.subject
        or outcome.label != reversal.label
        or reversal.value > outcome.value
        or not is_in_time(rules, outcome.time_ms, reversal.time_ms)
    )


def _is_event_false(opened: OpenedCase, reversal: Words, link: Link) -> bool:
    """Return whether the reversal's event, the second exhibit, is none of this lead and time.

    Or whether its opening, if that is shown, contradicts itself or the exhibits behind it.
    """
    event, rules = opened.entries[1], opened.rules
    if not _is_event_of(rules, reversal.subject, event) or event.time_ms != reversal.time_ms:
        return True
    if len(opened.entries) == 2 and not opened.has_opening(1):
        return False
    said = opened.opening(EventWords, 1)
    if len(opened.entries) == 2:
        return _contradicts_itself(said, event)
    other = opened.entries[2]
    return (
        (other.position == link.target and _is_amount_false(opened, reversal, said))
        or (
            other.position == said.of
            and _is_purchase_false(opened, reversal.subject, reversal.label, said, 1)
        )
        or _is_previous_false(opened, said)
        or (said.order == 0 and _skips_later_outcome(opened, reversal, link))
    )


def _is_event_of(rules: ContractRules, lead: bytes, entry: Words) -> bool:
    """Return whether the entry is a product event of the lead in the contract's surface."""
    return (
        entry.kind == PRODUCT_EVENT
        and entry.surface == rules.surface
        and entry.actor == rules.owner
        and entry.subject == lead
    )


# --- What the event says --------------------------------------------------------------------------


def _contradicts_itself(said: EventWords, event: Words) -> bool:
    """Return whether an opening that takes something back is false, whatever else the log has."""
    if said.previous == 0:
        is_start_wrong = said.refunded_before != 0
    else:
        is_start_wrong = not said.of < said.previous < event.position
    return (
        is_start_wrong
        or not 0 < said.of < event.position
        or said.whole > 1
        or (said.order == 0 and said.whole == 0)
        or said.refunded_after < said.refunded_before
    )


def _is_amount_false(opened: OpenedCase, reversal: Words, said: EventWords) -> bool:
    """Return whether the event takes back from another transition than the outcome's.

    The outcome is the third exhibit. If the transition is the fourth, also whether it takes back
    another amount than the reversal says.
    """
    outcome, rules = opened.entries[2], opened.rules
    if unpack_link(outcome.payload).target != said.of:
        return True
    if len(opened.entries) == 3:
        return False
    value = opened.exhibit_at(3, said.of).value
    before = 0
    # Nothing was taken back before the first event, not even of a purchase without a value.
    if said.previous != 0:
        before = taken_units(rules, outcome.value, value, said.refunded_before)
    after = taken_units(rules, outcome.value, value, said.refunded_after)
    return after - before != reversal.value


def _is_purchase_false(
    opened: OpenedCase, lead: bytes, state: bytes, said: EventWords, place: int
) -> bool:
    """Return whether the purchase of the event at this place is none of this lead and state.

    Or of another order, or of another value than the event's amounts make of it. The purchase is
    the next exhibit.
    """
    event, entered, rules = opened.entries[place], opened.entries[place + 1], opened.rules
    if (
        entered.kind != TRANSITION
        or entered.surface != rules.surface
        or entered.actor != rules.owner
        or entered.subject != lead
        or entered.label != state
    ):
        return True
    if (
        said.order != 0
        and opened.has_opening(place + 1)
        and opened.opening(TransitionWords, place + 1).order != said.order
    ):
        return True
    if said.refunded_before > entered.value:
        return True
    is_all = said.whole == 1 or event.value >= entered.value - said.refunded_before
    after = entered.value if is_all else said.refunded_before + event.value
    return said.refunded_after != after


def _is_previous_false(opened: OpenedCase, said: EventWords) -> bool:
    """Return whether the third exhibit is the event before, and does not lead to this one.

    Or whether it is an event that took back from the same purchase, and was skipped.
    """
    event, other = opened.entries[1], opened.entries[2]
    is_event = other.kind == PRODUCT_EVENT
    if said.previous == 0 or other.position != said.previous:
        return (
            is_event
            and opened.has_opening(2)
            and said.previous < other.position < event.position
            and opened.opening(EventWords, 2).of == said.of
        )
    if not is_event:
        return True
    before = opened.opening(EventWords, 2)
    return (before.of, before.refunded_after) != (said.of, said.refunded_before)


def _skips_later_outcome(opened: OpenedCase, reversal: Words, link: Link) -> bool:
    """Return whether the third exhibit is a later outcome of the lead, with something left of it.

    An event without an order should have taken that back. The exhibits behind it are the contract's
    reversals between the two, the last first.
    """
    _, _, outcome, *between = opened.entries
    if not (
        outcome.is_of(reversal.actor, OUTCOME)
        and (outcome.subject, outcome.label) == (reversal.subject, reversal.label)
        and link.target < outcome.position < link.cause
    ):
        return False
    prev, left = link.prev, outcome.value
    for other in between:
        if other.position != prev or not other.is_of(reversal.actor, REVERSAL):
            return False
        earlier = unpack_link(other.payload)
        if earlier.target == outcome.position:
            if other.value >= left:
                return False
            left -= other.value
        prev = earlier.prev
    return prev < outcome.position
