"""Errands: actions on leads that the surface's owner carries out at an operator's request.

A request is taken by the owner or expires. One that is taken counts as done unless the owner says
that it failed before the lead's next transition: that transition first writes what was taken as
touches, at the times of the requests. So neither side's silence robs the other.
"""

from orchestrator.core.common.errors import RequestError
from orchestrator.core.common.units import format_ms
from orchestrator.core.decisions.writer import Writer, check_home, owned_surface, surface_of
from orchestrator.core.log.entry import EXPIRED, FAILED, TAKEN, ZERO_WORD
from orchestrator.core.log.opening import AnswerOpening, ReportedTouchOpening
from orchestrator.core.surface.policy import Verdict
from orchestrator.core.surface.surface_settings import SurfaceSettings
from orchestrator.core.world import requests
from orchestrator.core.world.requests import ReportedEvent, ReportTouch
from orchestrator.core.world.world import Errand, Lead, Reporting, World

# The most errands of all operators for one lead: its next transition writes all that are taken.
MAX_ERRANDS = 64


# --- Requests -------------------------------------------------------------------------------------


def check_room(
    world: World, request: requests.RequestAction, lead: Lead, settings: SurfaceSettings
) -> None:
    """Raise RequestError for an action that lasts longer than it may, or for one too many."""
    most_ms = settings.actions[request.action].expires_s * 1000
    if not 0 < request.lasts_ms <= most_ms:
        raise RequestError(
            "action-expiry",
            f"a request of {request.action!r} lasts from 1 to {most_ms} milliseconds, not "
            f"{request.lasts_ms}",
        )
    here, most = world.surfaces[request.surface], settings.open_actions
    waiting = world.standing(request.surface, request.operator).errands
    own = sum(one.operator == request.operator for one in lead.errands)
    for count, limit, whose in (
        (own, most.lead, "of this operator for this lead"),
        (len(lead.errands), MAX_ERRANDS, "for this lead"),
        (waiting, most.operator, "of this operator"),
        (here.errands, most.surface, "for this surface"),
    ):
        if count >= limit:
            raise RequestError(
                "action-limit",
                f"{count} actions {whose} are open, as many as may be; request it again when some "
                f"are answered or have expired",
            )


# --- Answers --------------------------------------------------------------------------------------


def answer(writer: Writer, request: requests.AnswerAction) -> None:
    """Write the owner's answer to a request: it has taken it, or it failed."""
    owned_surface(writer.world, request.surface, request.owner)
    open_one = _open_errand(writer.world, request)
    if open_one.is_taken and request.answer == TAKEN:
        raise RequestError("action-taken", f"the action of entry {request.position} is taken")
    if not open_one.is_taken and writer.now_ms > open_one.expires_ms:
        raise RequestError(
            "action-expired",
            f"the action of entry {request.position} could be taken until "
            f"{format_ms(open_one.expires_ms)}",
        )
    if request.reason and request.answer != FAILED:
        raise RequestError("reason-needless", "an action that is taken has no reason")
    opening = AnswerOpening(request.reason, request.request_hash)
    _write_answer(writer, request, request.answer, request.owner, opening)


def confirm(writer: Writer, request: requests.ConfirmAction) -> None:
    """Write that the owner's endpoint has taken a request."""
    surface, lead, position = request
    owner = surface_of(writer.world, surface).owner
    answer(writer, requests.AnswerAction(surface, lead, owner, position, TAKEN))


def expire(writer: Writer, request: requests.ExpireAction) -> None:
    """Write that a request was not taken in its time."""
    surface_of(writer.world, request.surface)
    open_one = _open_errand(writer.world, request)
    if open_one.is_taken:
        raise RequestError("action-taken", f"the action of entry {request.position} is taken")
    if writer.now_ms <= open_one.expires_ms:
        raise RequestError(
            "action-early",
            f"the action of entry {request.position} can be taken until "
            f"{format_ms(open_one.expires_ms)}",
        )
    _write_answer(writer, request, EXPIRED, ZERO_WORD, AnswerOpening("", ZERO_WORD))


def _write_answer(
    writer: Writer,
    request: requests.AnswerAction | requests.ExpireAction,
    label: str,
    actor: bytes,
    opening: AnswerOpening,
) -> None:
    writer.add(
        "action.answered",
        request.surface,
        actor,
        request.lead,
        label,
        request.position,
        opening=opening,
    )


def _open_errand(world: World, request: requests.AnswerAction | requests.ExpireAction) -> Errand:
    lead = world.leads.get(request.lead)
    check_home(lead, request.surface, request.lead)
    errands = lead.errands if lead else []
    found = next((one for one in errands if one.position == request.position), None)
    if found is None:
        raise RequestError(
            "action-closed",
            f"entry {request.position} is no request of an action on this lead that is open: it "
            f"has failed, expired or counts as done, if it was one",
        )
    return found


# --- Touches --------------------------------------------------------------------------------------


def write_touches(writer: Writer, event: ReportedEvent) -> None:
    """Write what is taken of a lead's errands as touches, before the transition of this event."""
    lead = writer.world.leads[event.lead]
    for done in [one for one in lead.errands if one.is_taken]:
        told = (done.position, event.received_ms, event.request_hash, event.commitment)
        request = ReportTouch(
            event.surface, event.lead, done.operator, done.action, done.asked_ms, *told
        )
        write_report(writer, request, lead.next_touch(done.operator))


def report(writer: Writer, request: ReportTouch) -> None:
    """Write the touch that the oldest of a lead's errands that are taken has become.

    Only a replay asks for one alone; the transition must follow (`check_followed`).
    """
    surface_of(writer.world, request.surface)
    lead = writer.world.leads.get(request.lead)
    check_home(lead, request.surface, request.lead)
    errands = lead.errands if lead else []
    done = next((one for one in errands if one.is_taken), None)
    said = (request.cause, request.operator, request.action, request.time_ms)
    if lead is None or done is None or done[:4] != said:
        raise false_cause(request)
    write_report(writer, request, lead.next_touch(request.operator))


def write_report(writer: Writer, request: ReportTouch, previous: int) -> None:
    """Write a touch that others report; `previous` is 1 + the position of the one before."""
    writer.add(
        "touch.reported",
        request.surface,
        request.operator,
        request.lead,
        request.action,
        previous,
        time_ms=request.time_ms,
        opening=ReportedTouchOpening(
            request.cause, request.received_ms, request.request_hash, request.commitment
        ),
    )


def false_cause(request: ReportTouch) -> RequestError:
    """Return the error of a touch that its cause does not give."""
    return RequestError(
        "cause-false",
        f"entry {request.cause} gives this operator no touch {request.action!r} of this lead at "
        f"this time",
    )


def check_followed(world: World, request: object) -> None:
    """Raise RequestError for what stands between touches of errands and their transition."""
    if world.reporting is None:
        return
    match request:
        case ReportTouch():
            is_next = _is_of(world.reporting, request)
        case requests.ApplyStep(reported, _, step):
            moves = step.to is not None and step.verdict is Verdict.ACCEPTED
            is_next = moves and _is_of(world.reporting, reported)
        case _:
            is_next = False
    if not is_next:
        raise RequestError(
            "transition-missing",
            f"the actions taken for lead 0x{world.reporting.lead.hex()} were written as touches, "
            f"so its transition must follow",
        )


def _is_of(reporting: Reporting, told: ReportTouch | ReportedEvent) -> bool:
    return reporting == (told.lead, told.received_ms, told.request_hash, told.commitment)
