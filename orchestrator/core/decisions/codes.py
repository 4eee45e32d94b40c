"""Codes: what operators hand out, by whose use leads arrive, and the clicks that pay for it.

The log holds a code's random id; the code itself is kept apart, as a lead's own id is. A lead that
arrives by a code was brought by its operator: the log says so by whom it has the lead registered,
and by a touch `click` at the time of the event that the lead came with.
"""

from orchestrator.core.common.errors import RequestError
from orchestrator.core.common.units import format_ms
from orchestrator.core.decisions.acts import check_level, settings_of, write_before
from orchestrator.core.decisions.writer import Writer, owned_surface, register_lead, surface_of
from orchestrator.core.log.entry import CLICK
from orchestrator.core.log.opening import CodeOpening, ReportedTouchOpening
from orchestrator.core.surface import trust
from orchestrator.core.surface.surface_settings import CodeSettings
from orchestrator.core.world import requests
from orchestrator.core.world.world import OperatorCode, World

# --- Issue and end --------------------------------------------------------------------------------


def issue_code(writer: Writer, request: requests.IssueCode) -> None:
    """Write that an operator has a code, within what the surface's settings offer."""
    world, surface = writer.world, request.surface
    offered = settings_of(surface_of(world, surface), surface).codes
    if offered is None:
        raise RequestError("codes-unoffered", "the surface's settings offer no codes")
    act = check_level(writer, surface, request.operator, offered.level, "a code")
    if world.codes.get(request.code) is not None:
        raise RequestError("code-known", f"code 0x{request.code.hex()} was issued before")
    _check_offer(offered, request, writer.now_ms)
    done = world.standing(surface, request.operator).codes_on(writer.now_ms)
    if done >= offered.a_day:
        raise RequestError(
            "code-limit",
            f"operator 0x{request.operator.hex()} was given {done} codes today, the most that the "
            f"settings allow; the next day begins at 00:00 UTC",
        )
    pool = act.settings.pool
    if act.ground == trust.FORECASTS and pool is not None:
        # A code may bring as many touches as it has uses: they are counted when it is issued.
        _, touches = world.surfaces[surface].pool.used_on(writer.now_ms)
        if touches + request.most_uses > pool.touches_a_day:
            raise RequestError(
                "pool-limit",
                f"the operators whose level comes from forecasts share {pool.touches_a_day} "
                f"touches a day; {touches} are used up, and this code would be "
                f"{request.most_uses} more",
            )
    write_before(writer, act)
    writer.add(
        "code.issued",
        surface,
        request.operator,
        request.code,
        CLICK,
        request.most_uses,
        opening=CodeOpening(
            request.expires_ms, request.request_hash, request.commitment, request.key
        ),
    )


def _check_offer(offered: CodeSettings, request: requests.IssueCode, now_ms: int) -> None:
    if not 1 <= request.most_uses <= offered.max_uses:
        raise RequestError(
            "code-uses",
            f"a code of this surface has 1 to {offered.max_uses} uses, not {request.most_uses}",
        )
    latest_ms = now_ms + offered.expires_s * 1000
    if not now_ms < request.expires_ms <= latest_ms:
        raise RequestError(
            "code-expiry",
            f"a code that is issued at {format_ms(now_ms)} expires later than that, and at "
            f"{format_ms(latest_ms)} at the latest, not at {format_ms(request.expires_ms)}",
        )


def end_own_code(writer: Writer, request: requests.EndOwnCode) -> None:
    """Write that an operator has ended its code."""
    surface_of(writer.world, request.surface)
    code = _code_to_end(writer.world, request.surface, request.code)
    if code.operator != request.operator:
        raise RequestError(
            "code-of-another", f"code 0x{request.code.hex()} was given to another operator"
        )
    _write_end(writer, code, request.operator, request.reason)


def end_code(writer: Writer, request: requests.EndCode) -> None:
    """Write that the surface's owner has ended a code."""
    owned_surface(writer.world, request.surface, request.owner)
    code = _code_to_end(writer.world, request.surface, request.code)
    _write_end(writer, code, request.owner, request.reason)


def _code_to_end(world: World, surface: bytes, name: bytes) -> OperatorCode:
    code = world.codes.get(name)
    if code is None or code.surface != surface:
        raise RequestError("code-unknown", f"code 0x{name.hex()} was never issued on this surface")
    if code.is_ended:
        raise RequestError("code-ended", f"code 0x{name.hex()} has ended already")
    return code


def _write_end(writer: Writer, code: OperatorCode, actor: bytes, reason: str) -> None:
    writer.add("code.ended", code.surface, actor, code.code, reason, code.uses)


# --- Arrival --------------------------------------------------------------------------------------


def arrive(writer: Writer, request: requests.Arrival, at_ms: int, received_ms: int) -> None:
    """Write that a lead has come by a code, and its click, if the code is good for it.

    An event whose code is not good counts as one without; one that has nothing but the code is
    refused. What is wrong with the code is not said: it may be spent, expired, ended, or no code.
    """
    world = writer.world
    code = world.codes.get(request.ref)
    known = world.leads.get(request.lead)
    if request.is_alias and known and code and code.operator in known.touches:
        return  # The lead's click was told when it came by the code alone.
    if code is None or not _is_good(code, request.surface, at_ms):
        if request.is_alone:
            raise RequestError(
                "ref-unusable",
                "the ref is of no code that can be used on this surface at the time of the event; "
                "send the event with your own id of the lead",
            )
        return
    most = surface_of(world, request.surface).policy.touches_per_lead
    if known is not None and known.acts_by(code.operator) >= most:
        return
    register_lead(writer, request.surface, request.lead, code)
    writer.add(
        "touch.reported",
        request.surface,
        code.operator,
        request.lead,
        CLICK,
        known.next_touch(code.operator) if known is not None else 0,
        time_ms=at_ms,
        opening=ReportedTouchOpening(
            code.position, received_ms, request.request_hash, request.commitment
        ),
    )


def _is_good(code: OperatorCode, surface: bytes, at_ms: int) -> bool:
    is_in_time = code.since_ms <= at_ms <= code.until_ms
    return code.surface == surface and is_in_time and code.uses_left > 0


def code_at(world: World, surface: bytes, position: int) -> OperatorCode:
    """Return the code that was issued at a position, if a lead can still come by it.

    Raises RequestError `cause-false` for any other.
    """
    cause = world.causes.get(position)
    if cause is None or cause.surface != surface or not cause.uses_left:
        raise RequestError("cause-false", f"entry {position} gives no code for a lead to come by")
    return cause
