"""The reasons for which a touch paid or did not: what it won, can still win, and what barred it."""

from orchestrator.core.common.errors import WhyError
from orchestrator.core.entries.kinds import Topic, kind_of
from orchestrator.core.log.entry import EXPIRED, FAILED, POSITION_LIMIT, ZERO_WORD
from orchestrator.core.log.opening import AnswerOpening, ReportedTouchOpening
from orchestrator.core.surface.attribution import TouchAt
from orchestrator.core.why.lead import (
    cut_warnings,
    rival_reason,
    rules_of_outcome,
    why_refused,
)
from orchestrator.core.why.reason import (
    MAX_PARTS,
    Code,
    Reason,
    amount,
    cut,
    moment,
    party,
    short,
    span,
)
from orchestrator.core.why.source import MAX_ENTRIES, Filter, Placed, Source, entry_at, read_all
from orchestrator.core.why.story import Story, read_story
from orchestrator.core.world.contract import Contract

# The most transitions, and as many refusals, that are answered for one contract.
MAX_FATES = 5


def why_touch(source: Source, position: int) -> Reason:
    """Return what a touch won, what it can still win, and why it won nothing else.

    Raises WhyError for an entry that is no touch, or too far along a very long history.
    """
    placed = entry_at(source, position)
    entry = placed.entry
    if kind_of(entry).topic is not Topic.TOUCH:
        raise WhyError("not-a-touch", f"entry {position} is of kind {entry.kind}, and no touch")
    story = read_story(source, entry.surface, entry.subject)
    if story.is_cut and position > story.entries[-1].position:
        raise WhyError(
            "history-too-long",
            f"lead 0x{entry.subject.hex()} has more than {len(story.entries):,} entries before "
            f"this touch; replay the log to judge it",
        )
    own = [one for one in story.market.contracts if one.rules.operator == entry.actor]
    won = story.won.get(position, [])
    paid = any(outcome.entry.kind == "outcome" for outcome in won)
    shown = [_won(story, outcome) for outcome in won[: MAX_PARTS + 1]]
    parts = [*cut(shown, len(won), "outcomes")]
    at = TouchAt(position, entry.time_ms)
    if not own:
        text = f"operator {party(entry.actor)} has no contract with the owner of this surface"
        parts.append(Reason(Code.NO_CONTRACT, text, (position,)))
    # Of many contracts the newest matter most; whether it can still win is asked of all.
    can_win = [still for one in own if (still := _still(story, one, at)) is not None]
    parts += can_win[:MAX_PARTS]
    open_to = {still.subject for still in can_win}
    for contract in own[: -MAX_PARTS - 1 : -1]:
        is_open = contract.rules.contract_id in open_to
        parts += _fates(story, contract, at, is_open=is_open)
    if len(own) > MAX_PARTS:
        left_out = len(own) - MAX_PARTS
        text = f"{left_out:,} older contracts of the operator are left out of this answer"
        parts.append(Reason(Code.CUT, text, numbers={"left_out": left_out}))
    parts += cut_warnings(story)
    head = f"touch {entry.label!r} by {party(entry.actor)} at {moment(entry.time_ms)}"
    codes = {part.code for part in parts}
    if paid:
        return Reason(Code.TOUCH_WON, f"{head} was paid for", (position,), tuple(parts))
    if Code.RIVAL_OVER_BUDGET in codes:
        text = f"{head} won a transition past the contract's budget, and is not paid"
        return Reason(Code.TOUCH_OVER_BUDGET, text, (position,), tuple(parts))
    if Code.CAN_STILL_WIN in codes:
        text = f"{head} has won nothing yet, and can still win"
        return Reason(Code.TOUCH_OPEN, text, (position,), tuple(parts))
    return Reason(
        Code.TOUCH_LOST, f"{head} won nothing, and can win nothing more", (position,), tuple(parts)
    )


def _won(story: Story, outcome: Placed) -> Reason:
    """Return an outcome that a touch won, with what was taken back of it."""
    entry, position = outcome.entry, outcome.position
    rules = rules_of_outcome(story, outcome)
    token = rules.token if rules else ZERO_WORD
    paid = amount(entry.value, token, story.market.tokens)
    head = f"it won outcome {position} of contract {short(entry.actor)}"
    if entry.kind == "outcome.over":
        text = f"{head}, but {paid} would pass the contract's budget, and nothing is paid"
        return Reason(Code.RIVAL_OVER_BUDGET, text, (position,), subject=entry.actor)
    taken = story.reversals.get(position, ())
    back = [
        Reason(
            Code.REVERSED,
            f"{amount(one.entry.value, token, story.market.tokens)} was taken back by an event of "
            f"{moment(one.entry.time_ms)}",
            (one.position - 1, one.position),
            numbers={"reversed_units": one.entry.value},
            subject=entry.actor,
        )
        for one in taken
    ]
    numbers = {"earned_units": entry.value, "reversed_units": story.reversed_units(position)}
    below = cut(back, len(back), "reversals")
    return Reason(Code.RIVAL_WON, f"{head}: {paid}", (position,), below, numbers, entry.actor)


def _fates(story: Story, contract: Contract, touch: TouchAt, *, is_open: bool) -> list[Reason]:
    """Return why a touch did not win for one contract of its operator, to which it may be open."""
    rules = contract.rules
    head = f"contract {short(rules.contract_id)} for {rules.outcome!r}"
    if touch.time_ms < rules.opens_at_ms:
        text = (
            f"{head}: touches count from {moment(rules.opens_at_ms)} on, and this one came before"
        )
        at = (touch.position, contract.opened)
        return [Reason(Code.TOUCH_BEFORE_OPENING, text, at, subject=rules.contract_id)]
    after = [
        placed
        for placed in story.transitions
        if placed.position > touch.position and placed.entry.label == rules.outcome
    ]
    found = [
        reason
        for placed in after[:MAX_FATES]
        if (reason := _fate(story, contract, touch, placed)) is not None
    ]
    refused = [
        placed
        for placed in story.entries
        if placed.position > touch.position
        and placed.entry.kind == "lead.refused"
        and placed.entry.label == rules.outcome
    ]
    found += [why_refused(story, placed) for placed in refused[:MAX_FATES]]
    left_out = len(after) + len(refused) - len(after[:MAX_FATES]) - len(refused[:MAX_FATES])
    if left_out:
        text = f"{head}: {left_out:,} later events are left out of this answer"
        found.append(Reason(Code.CUT, text, numbers={"left_out": left_out}))
    if not after and not is_open:
        text = f"{head}: the lead did not move to {rules.outcome!r} after the touch"
        found.append(Reason(Code.NO_TRANSITION, text, (touch.position,), subject=rules.contract_id))
    return found


def _fate(story: Story, contract: Contract, touch: TouchAt, transition: Placed) -> Reason | None:
    """Return why a touch did not win a transition for a contract; None where it did."""
    rules, at_ms = contract.rules, transition.entry.time_ms
    rival = story.rival(contract, transition)
    outcome = story.outcomes.get(transition.position)
    if rival.touch is not None and rival.touch.position == touch.position:
        is_own = outcome is not None and outcome.entry.actor == rules.contract_id
        return None if is_own else rival_reason(story, transition, rival)
    if rival.touch is None and rival.barred not in _BY_TOUCH:
        return rival_reason(story, transition, rival)
    head = f"contract {short(rules.contract_id)} at entry {transition.position}"
    at: tuple[int, ...] = (touch.position, transition.position)
    code, text = (
        Code.TOUCH_TOO_OLD,
        (
            f"{head}: the touch is {span(at_ms - touch.time_ms)} older than the event, and the "
            f"window is {span(rules.attribution_window_ms)}"
        ),
    )
    if touch.time_ms > at_ms:
        code = Code.TOUCH_AFTER_EVENT
        text = f"{head}: the event had happened at {moment(at_ms)}, before the touch"
    elif at_ms - touch.time_ms <= rules.attribution_window_ms:
        model = story.market.policy_at(transition.position).attribution
        if rival.touch is not None:
            at = (touch.position, rival.touch.position)
            is_first = model == "first_touch"
            code = Code.OWN_TOUCH_FIRST if is_first else Code.OWN_TOUCH_LAST
            place = "first" if is_first else "last"
            text = f"{head}: the operator's own touch {rival.touch.position} came {place}"
        else:
            # Young enough and not before the opening: only an older first one can bar it.
            at = (touch.position, *rival.positions)
            code = Code.FIRST_TOUCH_TOO_OLD
            text = (
                f"{head}: by first touch, the operator's first one decides, and that is older than "
                f"the window of {span(rules.attribution_window_ms)}"
            )
    return Reason(code, text, at, subject=rules.contract_id)


# What barred all touches of the operator; what barred this one may be another of them.
_BY_TOUCH = (
    Code.FIRST_TOUCH_TOO_OLD,
    Code.TOUCH_TOO_OLD,
    Code.TOUCH_AFTER_EVENT,
    Code.TOUCH_BEFORE_OPENING,
)


def _still(story: Story, contract: Contract, touch: TouchAt) -> Reason | None:
    """Return until when a touch can still win for a contract; None where it no longer can."""
    rules, market = contract.rules, story.market
    until_ms = min(rules.deadline_ms, touch.time_ms + rules.attribution_window_ms)
    is_over = until_ms < market.now_ms or contract.closed_at_ms is not None
    is_counted = not rules.repeatable and rules.contract_id in story.counted
    is_early = touch.time_ms < rules.opens_at_ms
    if is_early or is_over or is_counted or not market.governs(contract, market.policy_in_force()):
        return None
    if not contract.has_room_for(rules.unit_price_units):
        return None
    index = story.touches[rules.operator]
    model = rules.attribution
    if model == "first_touch":
        leading = index.first(POSITION_LIMIT, rules.opens_at_ms, market.now_ms)
    else:
        leading = index.last(POSITION_LIMIT, rules.opens_at_ms, market.now_ms)
    if leading is not None and leading.position != touch.position:
        return None
    text = (
        f"contract {short(rules.contract_id)}: it can still win if the lead moves to "
        f"{rules.outcome!r} by {moment(until_ms)}, and no other touch comes before it"
    )
    return Reason(Code.CAN_STILL_WIN, text, (touch.position,), subject=rules.contract_id)


# --- Requested actions ---------------------------------------------------------------------------


def why_action(source: Source, position: int) -> Reason:
    """Return what became of a requested action, by the entry of its request or of an answer.

    Raises WhyError for any other entry.
    """
    placed = entry_at(source, position)
    if kind_of(placed.entry).topic is not Topic.ACTION:
        raise WhyError(
            "not-an-action",
            f"entry {position} is of kind {placed.entry.kind}, and no requested action",
        )
    if isinstance(placed.record.opening, AnswerOpening):
        placed = entry_at(source, placed.entry.value)
    entry = placed.entry
    told, is_cut = read_all(source, Filter(subject=entry.subject, after=placed.position))
    parts, label = [], ""
    for one in told:
        part = _answered(one, placed.position)
        if part is not None:
            parts.append(part)
            label = one.entry.label if part.code is Code.ACTION_ANSWERED else "done"
    if not parts and source.now_ms > entry.value:
        text = f"it was not taken until {moment(entry.value)}, so it becomes no touch"
        parts.append(Reason(Code.ACTION_EXPIRED, text))
    if is_cut:
        text = f"the lead has more than {MAX_ENTRIES:,} entries behind it: the rest was not read"
        parts.append(Reason(Code.CUT, text))
    head = f"action {entry.label!r}, requested by {party(entry.actor)} at {moment(entry.time_ms)}"
    came = {
        "": f"{head}, waits to be taken until {moment(entry.value)}",
        "taken": f"{head}, is taken: the lead's next transition makes it a touch unless it failed",
        FAILED: f"{head}, failed, and is no touch",
        EXPIRED: f"{head}, was not taken in its time, and is no touch",
        "done": f"{head}, is a touch",
    }
    return Reason(Code.ACTION, came[label], (placed.position,), tuple(parts))


def _answered(one: Placed, request: int) -> Reason | None:
    entry, opening = one.entry, one.record.opening
    if isinstance(opening, AnswerOpening) and entry.value == request:
        because = f", for the reason {opening.reason!r}" if opening.reason else ""
        text = f"it was {entry.label} at {moment(entry.time_ms)}{because}"
        return Reason(Code.ACTION_ANSWERED, text, (one.position,))
    if isinstance(opening, ReportedTouchOpening) and opening.cause == request:
        text = "it had not failed when the lead moved, so it counts as done, at its own time"
        return Reason(Code.ACTION_DONE, text, (one.position,))
    return None
