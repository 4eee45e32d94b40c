"""Acts of operators, and what their trust level allows: touches, actions, and the level itself.

A pair's level is judged before each of its acts, at the position of the act. What the level does
not allow is refused; what the judgement changes is written first.
"""

from typing import NamedTuple

from orchestrator.core.common.errors import RequestError, shown
from orchestrator.core.common.units import AMOUNT_LIMIT, DAY_MS, counted, format_ms
from orchestrator.core.decisions import errand
from orchestrator.core.decisions.writer import (
    Writer,
    check_home,
    owned_surface,
    register_lead,
    surface_of,
)
from orchestrator.core.log.entry import CLICK, WORD_BYTES, ZERO_WORD, ascii_word
from orchestrator.core.log.opening import ActOpening, ForecastOpening, TrustOpening
from orchestrator.core.surface import trust
from orchestrator.core.surface.forecast import Question, check_opening_time, forecast_day
from orchestrator.core.surface.surface_settings import SELF, SURFACE, SurfaceSettings
from orchestrator.core.surface.trust import Judgement, PoolUse, Standing
from orchestrator.core.world import requests
from orchestrator.core.world.codec import commitment
from orchestrator.core.world.world import Lead, Surface, World

# --- Operators ------------------------------------------------------------------------------------


def register_operator(writer: Writer, request: requests.RegisterOperator) -> None:
    """Write that an operator is there; its first act does the same."""
    operator, commitment = request
    if operator in writer.world.operators:
        raise RequestError("operator-known", f"operator 0x{operator.hex()} is registered")
    writer.add("operator.registered", ZERO_WORD, operator, operator, "", 0, commitment)


# --- Trust ----------------------------------------------------------------------------------------


class _Act(NamedTuple):
    """An operator's act that its level allows, and what has to be written before it."""

    surface: bytes
    operator: bytes
    settings: SurfaceSettings
    level: int
    ground: str
    due: Judgement | None


def check_level(writer: Writer, surface: bytes, operator: bytes, least: int, what: str) -> _Act:
    """Return an act that needs some level, by what the pair's is at this position.

    Nothing is written: an act that is turned away leaves the level where it was.
    """
    world = writer.world
    settings = settings_of(surface_of(world, surface), surface)
    standing = world.standing(surface, operator)
    if standing.is_suspended:
        raise RequestError(
            "operator-suspended",
            f"the surface's owner has suspended operator 0x{operator.hex()}",
        )
    due = _due_judgement(world, surface, operator, writer.now_ms)
    level, ground = due or (standing.level, standing.ground)
    if level < least:
        raise RequestError(
            "level-too-low",
            f"{what} needs level {least}; operator 0x{operator.hex()} has level {level} on this "
            f"surface",
        )
    return _Act(surface, operator, settings, level, ground, due)


def _check_action(
    writer: Writer, request: requests.Touch | requests.RequestAction, lead: Lead | None, by: str
) -> _Act:
    """Return an action on a lead that the settings offer, within what the pair's level allows."""
    surface, operator, action = request.surface, request.operator, request.action
    settings = settings_of(surface_of(writer.world, surface), surface)
    offered = settings.actions.get(action)
    if offered is None:
        raise RequestError(
            "action-unknown", f"the surface's settings offer no action {shown(action)}"
        )
    if offered.by != by:
        how = "requested of the surface, which carries it out" if by == SELF else "reported as done"
        raise RequestError("action-by-another", f"action {action!r} is {how}")
    act = check_level(writer, surface, operator, offered.level, f"action {action!r}")
    history = lead.touches.get(operator) if lead else None
    is_new_lead = history is None or history.day != trust.day_of(writer.now_ms)
    _check_day(writer, act, is_new_lead=is_new_lead)
    return act


def _check_day(writer: Writer, act: _Act, *, is_new_lead: bool) -> None:
    """Raise RequestError if the day's allowance, of the pair or of the pool, is used up."""
    allowed = act.settings.level(act.level)
    done = writer.world.standing(act.surface, act.operator).leads_on(writer.now_ms)
    if allowed is not None and is_new_lead and done >= allowed.leads_a_day:
        raise RequestError(
            "lead-limit",
            f"operator 0x{act.operator.hex()} has acted on {counted(done, 'lead')} today, the most "
            f"that level {act.level} allows; the next day begins at 00:00 UTC",
        )
    pool = act.settings.pool
    if act.ground != trust.FORECASTS or pool is None:
        return
    leads, touches = writer.world.surfaces[act.surface].pool.used_on(writer.now_ms)
    if touches >= pool.touches_a_day or (is_new_lead and leads >= pool.leads_a_day):
        raise RequestError(
            "pool-limit",
            f"the operators whose level comes from forecasts have used up what they share today, "
            f"{counted(leads, 'lead')} and {counted(touches, 'touch', 'touches')}; the next day "
            f"begins at 00:00 UTC",
        )


def settings_of(here: Surface, surface: bytes) -> SurfaceSettings:
    settings = here.settings
    if settings is None:
        raise RequestError(
            "settings-missing",
            f"surface 0x{surface.hex()} has published no settings, so it offers no action",
        )
    return settings


def write_before(writer: Writer, act: _Act) -> None:
    """Write the registration that a first act brings about, and the change of level that is due."""
    if act.operator not in writer.world.operators:
        register_operator(writer, requests.RegisterOperator(act.operator, ZERO_WORD))
    if act.due is not None:
        _write_trust(writer, act.surface, act.operator, act.due)


def _due_judgement(world: World, surface: bytes, operator: bytes, now_ms: int) -> Judgement | None:
    """Return the level that a pair must be given now; None if it has that already."""
    here = world.surfaces[surface]
    if here.settings is None:
        return None
    standing = world.standing(surface, operator)
    has_skill = has_earned_place(here.settings, here.pool, standing, operator, now_ms)
    found = trust.judge(standing, here.settings, here.policy_hash, now_ms, has_skill=has_skill)
    return None if found == (standing.level, standing.ground) else found


def has_earned_place(
    settings: SurfaceSettings | None,
    pool: PoolUse,
    standing: Standing,
    operator: bytes,
    now_ms: int,
) -> bool:
    """Return whether an operator's forecasts have earned a place in the pool that it can have."""
    if settings is None or settings.forecasts is None or settings.pool is None:
        return False
    if standing.ground == trust.FORECASTS:
        # A place is kept for its time, whatever luck the next forecasts have.
        return pool.has_place(operator, now_ms)
    return standing.skill.passes(settings.forecasts.rules, now_ms) and pool.has_room(
        settings.pool.places, now_ms
    )


def judge_trust(writer: Writer, request: requests.JudgeTrust) -> None:
    """Write the change of level that is due of a pair, if any is."""
    surface, operator = request
    surface_of(writer.world, surface)
    due = _due_judgement(writer.world, surface, operator, writer.now_ms)
    if due is not None:
        _write_trust(writer, surface, operator, due)


def _write_trust(writer: Writer, surface: bytes, operator: bytes, due: Judgement) -> None:
    standing = writer.world.standing(surface, operator)
    settings = writer.world.surfaces[surface].settings
    if settings is None:
        raise TypeError("a level is judged by settings")
    evidence = trust.evidence_of(standing, settings, writer.now_ms)
    most = AMOUNT_LIMIT - 1  # an owner's token may have any supply
    opening = TrustOpening(
        due.ground,
        standing.level,
        evidence.outcomes,
        min(most, evidence.units),
        min(most, evidence.earned_units),
        min(most, evidence.reversed_units),
        evidence.disputes_lost,
    )
    writer.add(
        "trust.changed",
        surface,
        ZERO_WORD,
        operator,
        str(due.level),
        standing.counted_to,
        opening=opening,
    )


def suspend_operator(writer: Writer, request: requests.SuspendOperator) -> None:
    owned_surface(writer.world, request.surface, request.owner)
    if writer.world.standing(request.surface, request.operator).is_suspended:
        raise RequestError(
            "operator-suspended", f"operator 0x{request.operator.hex()} is suspended already"
        )
    _write_suspension(writer, "operator.suspended", request)


def restore_operator(writer: Writer, request: requests.RestoreOperator) -> None:
    owned_surface(writer.world, request.surface, request.owner)
    if not writer.world.standing(request.surface, request.operator).is_suspended:
        raise RequestError(
            "operator-restored", f"operator 0x{request.operator.hex()} is not suspended"
        )
    _write_suspension(writer, "operator.restored", request)


def _write_suspension(
    writer: Writer, kind: str, request: requests.SuspendOperator | requests.RestoreOperator
) -> None:
    writer.add(
        kind,
        request.surface,
        request.owner,
        request.operator,
        request.reason,
        0,
        opening=ActOpening(request.request_hash, request.commitment, request.key),
    )


# --- Forecasts ------------------------------------------------------------------------------------


def make_forecast(writer: Writer, request: requests.MakeForecast) -> None:
    """Write a forecast for the cohort of the next midnight, sealed until it can be scored."""
    settings = settings_of(surface_of(writer.world, request.surface), request.surface)
    question = Question(request.from_state, request.to_state, request.horizon_days)
    asked = settings.forecasts.questions if settings.forecasts else ()
    if question not in asked:
        raise RequestError(
            "question-unknown",
            f"the surface's settings do not ask how many go from {question.from_state!r} to "
            f"{question.to_state!r} within {counted(question.horizon_days, 'day')}",
        )
    act = check_level(writer, request.surface, request.operator, 0, "a forecast")
    standing = writer.world.standing(request.surface, request.operator)
    day = forecast_day(writer.now_ms)
    if day < standing.skill.window_end:
        raise RequestError(
            "forecast-overlaps",
            f"the operator's last forecast on this surface is of the days up to "
            f"{format_ms(standing.skill.window_end * DAY_MS)}; the next can be made on the day "
            f"before that",
        )
    write_before(writer, act)
    writer.add(
        "forecast.made",
        request.surface,
        request.operator,
        ascii_word(request.from_state),
        request.to_state,
        request.horizon_days,
        opening=ActOpening(request.request_hash, request.commitment, request.key),
    )


def score_forecast(writer: Writer, request: requests.ScoreForecast) -> None:
    """Write a forecast's score, once its window has passed, and the level that it earns."""
    here = surface_of(writer.world, request.surface)
    standing = writer.world.standing(request.surface, request.operator)
    made = next((one for one in standing.forecasts if one.position == request.forecast), None)
    if made is None:
        raise RequestError(
            "forecast-unknown", f"entry {request.forecast} is no forecast that can be opened"
        )
    if commitment(request.salt, request.probability_bps.to_bytes(WORD_BYTES)) != made.commitment:
        raise RequestError(
            "forecast-false", f"entry {request.forecast} commits to another probability"
        )
    check_opening_time(made.question, made.day, writer.now_ms)
    here.cohorts.at(writer.now_ms)
    rules = here.settings.forecasts.rules if here.settings and here.settings.forecasts else None
    found = None
    if rules is not None:
        found = here.cohorts.measured(made.question, made.day, rules.min_n)
    words = (0,) * 6 if found is None else (*found[0], *found[1].latest, *found[1].pooled)
    writer.add(
        "forecast.scored",
        request.surface,
        ZERO_WORD,
        request.operator,
        made.question.to_state,
        request.forecast,
        opening=ForecastOpening(request.probability_bps, request.salt, *words),
    )
    judge_trust(writer, requests.JudgeTrust(request.surface, request.operator))


# --- Touches --------------------------------------------------------------------------------------


def touch(writer: Writer, request: requests.Touch) -> None:
    known = writer.world.leads.get(request.lead)
    previous = _check_touch(writer.world, request, known)
    act = _check_action(writer, request, known, SELF)
    write_before(writer, act)
    if known is None:
        register_lead(writer, request.surface, request.lead)
    writer.add(
        "touch",
        request.surface,
        request.operator,
        request.lead,
        request.action,
        previous,
        opening=ActOpening(request.request_hash, request.commitment, request.key),
    )


def _check_touch(
    world: World,
    request: requests.Touch | requests.RequestAction | requests.ReportTouch,
    lead: Lead | None,
) -> int:
    """Return 1 + the position of the operator's touch of the lead before this one, 0 for none."""
    here = surface_of(world, request.surface)
    check_home(lead, request.surface, request.lead)
    if lead is None:
        return 0
    acts = lead.acts_by(request.operator)
    if acts >= here.policy.touches_per_lead:
        raise RequestError(
            "touch-limit",
            f"operator 0x{request.operator.hex()} has touched this lead or requested actions on it "
            f"{acts} times, the most that the policy allows",
        )
    return lead.next_touch(request.operator)


def report_touch(writer: Writer, request: requests.ReportTouch) -> None:
    """Write a touch that its cause, a code or a requested action, has brought about."""
    world = writer.world
    if request.action != CLICK:
        errand.report(writer, request)
        return
    known = world.leads.get(request.lead)
    previous = _check_touch(world, request, known)
    if known is None:
        raise RequestError("lead-unknown", f"lead 0x{request.lead.hex()} is not in the log")
    cause = world.causes.get(request.cause)
    if cause is None or not (
        (cause.surface, cause.operator) == (request.surface, request.operator)
        and cause.since_ms <= request.time_ms <= min(cause.until_ms, request.received_ms)
        and cause.uses_left
    ):
        raise errand.false_cause(request)
    errand.write_report(writer, request, previous)


def request_action(writer: Writer, request: requests.RequestAction) -> None:
    """Write an operator's request that the surface act on a lead."""
    known = writer.world.leads.get(request.lead)
    _check_touch(writer.world, request, known)
    if known is None:
        raise RequestError("lead-unknown", f"lead 0x{request.lead.hex()} is not in the log")
    act = _check_action(writer, request, known, SURFACE)
    errand.check_room(writer.world, request, known, act.settings)
    write_before(writer, act)
    writer.add(
        "action.requested",
        request.surface,
        request.operator,
        request.lead,
        request.action,
        writer.now_ms + request.lasts_ms,
        opening=ActOpening(request.request_hash, request.commitment, request.key),
    )
