"""The routes of trust: a surface's settings, its operators' levels, suspension by its owner."""

import secrets
from hashlib import sha256
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path

from api.context import Service, TheService
from api.http.answers import RequestStatus, next_cursor
from api.http.auth import AnyCaller, Caller, acting
from api.http.fields import Address, AfterWord, Limit, SurfaceId, address
from api.http.json_input import StrictRoute
from api.http.problems import documented, not_found
from api.http.submissions import CallerInbox, IdempotencyKey, decided, inbox_for
from api.routes.surfaces import answers, bodies
from api.routes.surfaces.operators import TouchInbox
from api.routes.surfaces.owners import PublishInbox, check_room, own_surface
from api.rules import ACT, OWNERS, SETTINGS, rules
from orchestrator.core.common.document import canonical_json
from orchestrator.core.common.hexadecimal import from_hex, to_hex
from orchestrator.core.common.units import format_day
from orchestrator.core.decisions.acts import has_earned_place
from orchestrator.core.log.entry import WORD_BYTES, address_word
from orchestrator.core.surface import surface_settings, trust
from orchestrator.core.surface.forecast import Cohorts
from orchestrator.core.world.codec import commitment, decode_pool
from orchestrator.core.world.requests import (
    JudgeTrust,
    MakeForecast,
    PublishSettings,
    RestoreOperator,
    SuspendOperator,
)
from orchestrator.log.inbox import Submission
from orchestrator.log.projections import standing_of
from orchestrator.storage.database import Row, Session

router = APIRouter(prefix="/v1", tags=["trust"], route_class=StrictRoute)

ForecastInbox = Annotated[CallerInbox, inbox_for("operator:forecast")]
ReviewInbox = Annotated[CallerInbox, inbox_for("owner:review")]
OperatorAddress = Annotated[Address, Path(description="An operator's address.")]


# --- Settings -------------------------------------------------------------------------------------


@router.post(
    "/surfaces/{surface}/settings",
    status_code=202,
    responses=decided(
        answers.SettingsRequest,
        404,
        SETTINGS,
        OWNERS,
        rules(409, "question-state-unknown settings-limit"),
    ),
)
async def publish_settings(
    inbox: PublishInbox, surface: SurfaceId, key: IdempotencyKey, body: bodies.NewSettings
) -> answers.SettingsRequest:
    """Publish the next version of a surface's settings; they hold from their entry on."""
    settings = surface_settings.parse_settings(body.settings)
    owner = inbox.caller
    submission = Submission(
        f"settings:{surface}:{key}",
        PublishSettings(from_hex(surface), owner.word, settings),
        canonical_json({"surface": surface, "settings": settings.document()}),
    )

    def take(session: Session) -> list[UUID]:
        own_surface(inbox.service, session, owner, surface)
        check_room(inbox, session, submission.idempotency_key, "settings")
        return inbox.submit_last(session, submission)

    status = await inbox.take_one(take)
    return answers.SettingsRequest(**status.model_dump(), settings_hash=to_hex(settings.hash))


# --- Levels ---------------------------------------------------------------------------------------


@router.get("/surfaces/{surface}/operators", responses=documented(401, 403, 404))
def operators(
    service: TheService,
    caller: AnyCaller,
    surface: SurfaceId,
    after: AfterWord = None,
    limit: Limit = 100,
) -> answers.Standings:
    """List the operators that have a standing on a surface, by their words in the log."""
    with acting(service, caller) as session:
        here = _surface_in_force(session, service.log_id, surface)
        rows = session.all(
            "api.standing_page",
            log_id=service.log_id,
            surface=here.surface,
            after=from_hex(after) if after else b"",
            limit=limit,
        )
    return answers.Standings(
        standings=[
            _standing(row.operator, standing_of(row), here, service.now_ms()) for row in rows
        ],
        next=next_cursor(rows, limit, lambda last: to_hex(last.operator)),
    )


@router.get("/surfaces/{surface}/operators/{operator}", responses=documented(401, 403, 404))
def standing(
    service: TheService, caller: AnyCaller, surface: SurfaceId, operator: OperatorAddress
) -> answers.Standing:
    """Return an operator's level on a surface, the evidence for it, and what it allows."""
    with acting(service, caller) as session:
        here = _surface_in_force(session, service.log_id, surface)
        row = session.one(
            "api.standing",
            log_id=service.log_id,
            surface=here.surface,
            operator=address_word(operator),
        )
    # An operator that has done nothing here is at level 0, as all are at first.
    found = trust.Standing() if row is None else standing_of(row)
    return _standing(address_word(operator), found, here, service.now_ms())


def levels_of(
    session: Session, log_id: bytes, surface: bytes, operator: bytes, now_ms: int
) -> tuple[int, int]:
    """Return an operator's level as the log has it, and the one that a judgement now gives."""
    here = _surface_in_force(session, log_id, to_hex(surface))
    row = session.one("api.standing", log_id=log_id, surface=surface, operator=operator)
    found = trust.Standing() if row is None else standing_of(row)
    due = _judged(operator, found, here, now_ms)
    return found.level, found.level if due is None else due.level


@router.post(
    "/surfaces/{surface}/judgements",
    status_code=202,
    responses=decided(RequestStatus, 404),
)
async def ask_for_judgement(
    inbox: TouchInbox, surface: SurfaceId, key: IdempotencyKey
) -> RequestStatus:
    """Have your level on a surface judged now, as it would be before your next act there."""
    operator = inbox.caller
    body = canonical_json({"surface": surface, "operator": operator.account})

    def take(session: Session) -> list[UUID]:
        _surface_in_force(session, inbox.service.log_id, surface)
        request = JudgeTrust(from_hex(surface), operator.word)
        return inbox.submit_last(session, Submission(f"judge:{surface}:{key}", request, body))

    return await inbox.take_one(take)


# --- Forecasts ------------------------------------------------------------------------------------


@router.post(
    "/surfaces/{surface}/forecasts",
    status_code=202,
    responses=decided(RequestStatus, 404, ACT, rules(409, "forecast-overlaps question-unknown")),
)
async def forecast(
    inbox: ForecastInbox, surface: SurfaceId, key: IdempotencyKey, body: bodies.NewForecast
) -> RequestStatus:
    """Forecast a question for the cohort of the next 00:00 UTC.

    The log commits to the probability at once and shows it when the forecast is scored.
    """
    operator = inbox.caller
    question = {
        "surface": surface,
        "from_state": body.from_state,
        "to_state": body.to_state,
        "horizon_days": body.horizon_days,
    }
    sealed, salt = body.probability_bps.to_bytes(WORD_BYTES), secrets.token_bytes(32)
    request = MakeForecast(
        from_hex(surface),
        operator.word,
        body.from_state,
        body.to_state,
        body.horizon_days,
        sha256(canonical_json(question)).digest(),
        commitment(salt, sealed),
        operator.delegate,
    )

    def take(session: Session) -> list[UUID]:
        _surface_in_force(session, inbox.service.log_id, surface)
        name = f"forecast:{surface}:{key}"
        return inbox.submit_last(session, Submission(name, request, sealed, salt))

    return await inbox.take_one(take)


@router.get("/surfaces/{surface}/funnel", responses=documented(401, 403, 404))
def funnel(service: TheService, caller: AnyCaller, surface: SurfaceId) -> answers.Funnel:
    """Return how many leads are in each state of a surface."""
    counted = _cohorts(service, caller, surface).counts()
    return answers.Funnel(
        states=[answers.FunnelState(state=state, leads=leads) for state, leads in counted.items()]
    )


@router.get("/surfaces/{surface}/history", responses=documented(401, 403, 404))
def history(service: TheService, caller: AnyCaller, surface: SurfaceId) -> answers.History:
    """Return the cohorts of the questions that a surface asks, which forecasts are measured by."""
    cohorts = _cohorts(service, caller, surface)
    return answers.History(
        questions=[
            answers.QuestionHistory(
                **question._asdict(),
                days=[
                    answers.CohortDay(
                        day=format_day(found.day),
                        leads=found.cohort.n,
                        moved=found.cohort.moved,
                        is_final=found.is_final,
                    )
                    for found in cohorts.history(question)
                ],
            )
            for question in cohorts.questions
        ]
    )


def _cohorts(service: Service, caller: Caller, surface: str) -> Cohorts:
    with acting(service, caller) as session:
        (rows,) = session.conclude(
            ("api.cohorts", {"log_id": service.log_id, "surface": from_hex(surface)})
        )
    if not rows:
        raise not_found("surface")
    cohorts = Cohorts.from_document(rows[0].cohorts)
    # Midnights pass without an entry, too.
    cohorts.at(service.now_ms())
    return cohorts


# --- The owner's hand -----------------------------------------------------------------------------


@router.post(
    "/surfaces/{surface}/operators/{operator}/suspension",
    status_code=202,
    responses=decided(RequestStatus, 404, OWNERS, rules(409, "operator-suspended")),
)
async def suspend(
    inbox: ReviewInbox,
    surface: SurfaceId,
    operator: OperatorAddress,
    key: IdempotencyKey,
    body: bodies.Reason,
) -> RequestStatus:
    """Suspend an operator: it acts no more on the surface; what it did before stands and pays."""
    return await _take_reason(inbox, surface, operator, f"suspend:{surface}:{key}", body)


@router.post(
    "/surfaces/{surface}/operators/{operator}/restoration",
    status_code=202,
    responses=decided(RequestStatus, 404, OWNERS, rules(409, "operator-restored")),
)
async def restore(
    inbox: ReviewInbox,
    surface: SurfaceId,
    operator: OperatorAddress,
    key: IdempotencyKey,
    body: bodies.Reason,
) -> RequestStatus:
    """End an operator's suspension."""
    return await _take_reason(
        inbox, surface, operator, f"restore:{surface}:{key}", body, is_restored=True
    )


async def _take_reason(
    inbox: CallerInbox,
    surface: str,
    operator: str,
    key: str,
    body: bodies.Reason,
    *,
    is_restored: bool = False,
) -> RequestStatus:
    """Submit a suspension or its end; the text of the reason is kept apart from the log."""
    owner = inbox.caller
    public = {"surface": surface, "operator": operator.lower(), "reason": body.reason}
    private = canonical_json({**public, "text": body.text})
    salt = secrets.token_bytes(32)
    make = RestoreOperator if is_restored else SuspendOperator
    request = make(
        from_hex(surface),
        owner.word,
        address_word(operator),
        body.reason,
        sha256(canonical_json(public)).digest(),
        commitment(salt, private),
        owner.delegate,
    )

    def take(session: Session) -> list[UUID]:
        own_surface(inbox.service, session, owner, surface)
        return inbox.submit_last(session, Submission(key, request, private, salt))

    return await inbox.take_one(take)


# --- Rows -----------------------------------------------------------------------------------------


def _surface_in_force(session: Session, log_id: bytes, surface: str) -> Row:
    """Return a surface with the settings in force. Raises `Refusal` if there is none such."""
    row = session.one("api.surface_settings", log_id=log_id, surface=from_hex(surface))
    if row is None:
        raise not_found("surface")
    return row


def _settings_in(here: Row) -> surface_settings.SurfaceSettings | None:
    return None if here.settings is None else surface_settings.parse_settings(here.settings)


def _judged(
    operator: bytes, found: trust.Standing, here: Row, now_ms: int
) -> trust.Judgement | None:
    """Return what a judgement of a standing gives now; None on a surface without settings."""
    settings = _settings_in(here)
    if settings is None:
        return None
    has_skill = has_earned_place(settings, decode_pool(here.pool), found, operator, now_ms)
    return trust.judge(found, settings, here.policy_hash, now_ms, has_skill=has_skill)


def _standing(operator: bytes, found: trust.Standing, here: Row, now_ms: int) -> answers.Standing:
    settings = _settings_in(here)
    evidence = None if settings is None else trust.evidence_of(found, settings, now_ms)
    due = _judged(operator, found, here, now_ms)
    allowed = settings.level(found.level) if settings else None
    level = found.level if due is None else due.level
    return answers.Standing(
        operator=address(operator),
        level=found.level,
        ground=found.ground,
        due_level=level,
        allowed=[] if settings is None or found.is_suspended else _allowed(settings, level),
        is_suspended=found.is_suspended,
        changed_ms=found.changed_ms or None,
        counted_to=found.counted_to or None,
        leads_a_day=allowed.leads_a_day if allowed else 0,
        leads_today=found.leads_on(now_ms),
        evidence=None
        if evidence is None
        else answers.Evidence(
            outcomes=evidence.outcomes,
            units=str(evidence.units),
            earned_units=str(evidence.earned_units),
            reversed_units=str(evidence.reversed_units),
            disputes_lost=evidence.disputes_lost,
            age_s=evidence.age_s,
        ),
        forecasts_counted=found.skill.counted,
        skill_bps=found.skill.skill_bps(),
    )


def _allowed(settings: surface_settings.SurfaceSettings, level: int) -> list[answers.AllowedAction]:
    """Return the actions that a level allows, those by operators first."""
    found = [
        answers.AllowedAction.model_validate({"action": name, "by": action.by})
        for name, action in settings.actions.items()
        if action.level <= level
    ]
    return sorted(found, key=lambda each: (each.by, each.action))
