"""The reasons for which a lead paid, or did not: its path, and at each step all that competed."""

from orchestrator.core.common.errors import WhyError
from orchestrator.core.common.units import counted
from orchestrator.core.entries.kinds import Topic, kind_of
from orchestrator.core.log.entry import ZERO_WORD, unpack_outcome
from orchestrator.core.log.opening import EventOpening, TransitionOpening
from orchestrator.core.surface.attribution import TouchAt
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
from orchestrator.core.why.source import Placed, Source, entry_at
from orchestrator.core.why.story import Rival, Story, read_story
from orchestrator.core.world.contract import Contract, ContractRules

# --- Transitions ----------------------------------------------------------------------------------


def why_transition(story: Story, transition: Placed) -> Reason:
    """Return which contract a transition was credited to, and what barred every other."""
    entry, tokens = transition.entry, story.market.tokens
    rivals = story.rivals(transition)
    outcome = story.outcomes.get(transition.position)
    path = _path(transition)
    # Of those that the operator never touched the lead for there may be many, and one line says it.
    parts = [
        rival_reason(story, transition, rival)
        for rival in rivals
        if rival.barred is not Code.UNTOUCHED
    ]
    idle = len(rivals) - len(parts)
    if idle:
        text = (
            f"{counted(idle, 'contract')} for {entry.label!r}: the operator had not touched this "
            f"lead before"
        )
        parts.append(Reason(Code.UNTOUCHED, text, numbers={"contracts": idle}))
    won = story.winner(transition, rivals)
    is_other = (won.contract.rules.contract_id if won else b"") != (
        outcome.entry.actor if outcome else b""
    )
    if is_other and not story.market.is_cut:
        parts.append(_log_differs(transition, won))
    below = cut(parts, len(parts), "contracts")
    at: tuple[int, ...] = (transition.position,)
    if outcome is None:
        text = f"{path}, and no contract pays for it"
        if not rivals:
            text += f": the owner has opened none for state {entry.label!r}"
        return Reason(Code.TRANSITION_UNPAID, text, at, below)
    rules = rules_of_outcome(story, outcome)
    paid = amount(outcome.entry.value, rules.token if rules else ZERO_WORD, tokens)
    at = (transition.position, outcome.position)
    name = outcome.entry.actor
    if outcome.entry.kind == "outcome":
        text = f"{path}, and contract {short(name)} pays {paid} for it"
        return Reason(Code.TRANSITION_PAID, text, at, below, subject=name)
    text = f"{path}; contract {short(name)} won it, but {paid} would pass its budget, and nothing"
    return Reason(Code.TRANSITION_OVER_BUDGET, f"{text} is paid", at, below, subject=name)


def rival_reason(story: Story, transition: Placed, rival: Rival) -> Reason:
    """Return how a contract fared at a transition."""
    contract, barred, touch, positions = rival
    rules, at_ms = contract.rules, transition.entry.time_ms
    head = f"contract {short(rules.contract_id)} of {party(rules.operator)}"
    if barred is None and touch is not None:
        code, text, positions = _of_able(story, transition, contract, touch)
        return Reason(code, f"{head}: {text}", positions, subject=rules.contract_id)
    window = span(rules.attribution_window_ms)
    texts = {
        Code.OPENED_LATER: f"its opening came into the log later, as entry {contract.opened}",
        Code.OTHER_POLICY: "it was signed under another policy than the one then in force",
        Code.BEFORE_OPENING: f"it counts from {moment(rules.opens_at_ms)} on, and the event is "
        f"of {moment(at_ms)}",
        Code.AFTER_DEADLINE: f"its deadline was {moment(rules.deadline_ms)}, and the event is of "
        f"{moment(at_ms)}",
        Code.AFTER_CLOSING: f"its parties closed it at {moment(contract.closed_at_ms or 0)}, and "
        f"the event is of {moment(at_ms)}",
        Code.UNTOUCHED: "its operator had not touched the lead before",
        Code.LEAD_COUNTED: "it is not repeatable, and had counted this lead already",
        Code.FIRST_TOUCH_TOO_OLD: f"by first touch, the operator's first one decides, and that is "
        f"older than the window of {window}",
        Code.TOUCH_TOO_OLD: f"no touch of the operator is within the window of {window}",
        Code.TOUCH_AFTER_EVENT: "the operator touched the lead only after the event had happened",
        Code.TOUCH_BEFORE_OPENING: f"the operator touched the lead only before "
        f"{moment(rules.opens_at_ms)}, from when on touches count",
    }
    if barred is None:
        raise TypeError("a rival has a touch, or is barred")
    return Reason(barred, f"{head}: {texts[barred]}", positions, subject=rules.contract_id)


def _of_able(
    story: Story, transition: Placed, contract: Contract, touch: TouchAt
) -> tuple[Code, str, tuple[int, ...]]:
    """Return how a contract fared that a touch qualified for, by the outcome in the log."""
    outcome = story.outcomes.get(transition.position)
    if outcome is None:
        return (
            Code.LOG_DIFFERS,
            f"by the rules it wins with touch {touch.position}, and the log says otherwise",
            (touch.position,),
        )
    winning = winning_touch(outcome)
    if outcome.entry.actor == contract.rules.contract_id:
        if outcome.entry.kind == "outcome":
            text = f"it won with touch {winning}, as outcome {outcome.position}"
            return Code.RIVAL_WON, text, (winning, outcome.position)
        text = f"it won with touch {winning}, but its budget of "
        text += f"{_units(story, contract, contract.rules.budget_units)} had no room for "
        text += f"{_units(story, contract, outcome.entry.value)}"
        return Code.RIVAL_OVER_BUDGET, text, (winning, outcome.position)
    positions = (touch.position, winning)
    if winning == touch.position:
        text = f"touch {winning} qualified, but of two contracts with one touch the one opened "
        return Code.SAME_TOUCH_OLDER_CONTRACT, f"{text}first wins", positions
    model = story.market.policy_at(transition.position).attribution
    text = f"touch {touch.position} qualified, but touch {winning} of another contract came"
    if model == "first_touch":
        return Code.OTHER_TOUCH_FIRST, f"{text} first", positions
    return Code.OTHER_TOUCH_LAST, f"{text} last", positions


def _log_differs(transition: Placed, won: Rival | None) -> Reason:
    given = f"contract {short(won.contract.rules.contract_id)}" if won else "none"
    text = f"by the rules {given} wins this transition, and the log says otherwise: replay the log"
    return Reason(Code.LOG_DIFFERS, text, (transition.position,))


def why_refused(story: Story, refused: Placed) -> Reason:
    """Return why a transition was refused."""
    entry, opening = refused.entry, refused.record.opening
    state = opening.from_state if isinstance(opening, TransitionOpening) else "another state"
    text = (
        f"the event of {moment(entry.time_ms)} would have led into {entry.label!r}, but the policy "
        f"has no way there from {state!r}; the lead stayed there, and nothing was paid"
    )
    published = story.market.publication_at(refused.position).position
    return Reason(Code.TRANSITION_REFUSED, text, (refused.position, published))


def _why_event(story: Story, event: Placed) -> Reason:
    """Return what an event took back."""
    entry, opening = event.entry, event.record.opening
    head = f"event {entry.label!r} of {moment(entry.time_ms)}"
    taken = [
        placed
        for placed in story.entries
        if placed.entry.kind == "outcome.reversed" and placed.position == event.position + 1
    ]
    if isinstance(opening, EventOpening) and opening.of:
        of = f"the transition at entry {opening.of}"
        if not taken:
            text = f"{head} took from {of}, which nothing had been paid for, or not by its share"
            return Reason(Code.EVENT_TOOK_NOTHING, text, (event.position, opening.of))
        rules = rules_of_outcome(story, taken[0])
        token = rules.token if rules else ZERO_WORD
        back = amount(taken[0].entry.value, token, story.market.tokens)
        at = (event.position, opening.of, taken[0].position)
        return Reason(Code.EVENT_TOOK, f"{head} took {back} back of {of}", at)
    why = (
        "no outcome of the lead was open to it, because none was paid, all was taken back before, "
        "or its holdback period had passed"
    )
    if isinstance(opening, EventOpening) and opening.order != ZERO_WORD:
        why = (
            "nothing of its order was open to it, because the policy refused the purchase or does "
            "not have this event take it back, all was given back before, or the holdback period "
            "had passed"
        )
    return Reason(Code.EVENT_TOOK_NOTHING, f"{head} took nothing back: {why}", (event.position,))


# --- The lead -------------------------------------------------------------------------------------


def why_lead(source: Source, surface: bytes, lead: bytes) -> Reason:
    """Return a lead's path, what each step of it paid, and what did not. Raises WhyError."""
    story = read_story(source, surface, lead)
    shown = [placed for placed in story.entries if kind_of(placed.entry).topic is Topic.STEP]
    path = [
        placed.entry.label for placed in story.entries if placed.entry.kind == "lead.registered"
    ]
    path += [placed.entry.label for placed in story.transitions[-MAX_PARTS:]]
    touches = sum(len(index.touches) for index in story.touches.values())
    text = (
        f"the lead has gone {' → '.join(map(repr, path))}, with "
        f"{counted(touches, 'touch', 'touches')} by {counted(len(story.touches), 'operator')}"
    )
    # The newest last: of a long path the end is what is asked for.
    parts = [_step(story, placed) for placed in shown[-MAX_PARTS:]]
    if len(shown) > len(parts):
        text_left = f"{len(shown) - len(parts):,} earlier events are left out of this answer"
        parts.insert(0, Reason(Code.CUT, text_left, numbers={"left_out": len(shown) - len(parts)}))
    parts[:0] = _brought(story)
    parts += cut_warnings(story)
    moves = tuple(placed.position for placed in story.transitions[-MAX_PARTS:])
    return Reason(Code.LEAD, text, moves, tuple(parts), numbers={"touches": touches})


def _brought(story: Story) -> list[Reason]:
    """Return by whose code the lead came, if it came by one."""
    return [
        Reason(
            Code.LEAD_BROUGHT,
            f"the lead came by the code that {party(placed.entry.actor)} was given as entry "
            f"{placed.entry.value}: a click by its operator, which counts as a touch does",
            # The click of a lead that comes by a code stands right behind its registration.
            (placed.position, placed.entry.value, placed.position + 1),
        )
        for placed in story.entries
        if placed.entry.kind == "lead.registered" and placed.entry.value
    ]


def why_step(source: Source, position: int) -> Reason:
    """Return what came of one step of a lead's path. Raises WhyError for any other entry."""
    placed = entry_at(source, position)
    entry = placed.entry
    if kind_of(entry).topic is not Topic.STEP:
        raise WhyError(
            "not-a-step", f"entry {position} is of kind {entry.kind}, and no step of a lead"
        )
    story = read_story(source, entry.surface, entry.subject)
    step = _step(story, placed)
    return step._replace(parts=(*step.parts, *cut_warnings(story)))


def _step(story: Story, placed: Placed) -> Reason:
    match placed.entry.kind:
        case "lead.transition":
            return why_transition(story, placed)
        case "lead.refused":
            return why_refused(story, placed)
        case "product.event":
            return _why_event(story, placed)
    text = "the owner had all erased that says who this lead is; what was earned stays"
    return Reason(Code.LEAD, text, (placed.position,))


def _path(transition: Placed) -> str:
    entry, opening = transition.entry, transition.record.opening
    came = f"from {opening.from_state!r} " if isinstance(opening, TransitionOpening) else ""
    return f"the lead moved {came}to {entry.label!r} at {moment(entry.time_ms)}"


def cut_warnings(story: Story) -> list[Reason]:
    """Return what an answer must say of what it has not looked at."""
    found = []
    if story.is_cut:
        text = (
            f"the lead has more entries than the {len(story.entries):,} that an answer reads: what "
            f"came after entry {story.entries[-1].position} was not looked at"
        )
        found.append(Reason(Code.CUT, text, (story.entries[-1].position,)))
    if story.market.is_cut:
        text = (
            f"the surface has more contracts than the {len(story.market.contracts):,} that an "
            f"answer looks at"
        )
        found.append(Reason(Code.CUT, text))
    return found


# --- Parts ----------------------------------------------------------------------------------------


def winning_touch(outcome: Placed) -> int:
    """Return the position of the touch that an outcome names."""
    return unpack_outcome(outcome.entry.payload).touch


def rules_of_outcome(story: Story, outcome: Placed) -> ContractRules | None:
    name = outcome.entry.actor
    found = (one.rules for one in story.market.contracts if one.rules.contract_id == name)
    return next(found, None)


def _units(story: Story, contract: Contract, units: int) -> str:
    return amount(units, contract.rules.token, story.market.tokens)
