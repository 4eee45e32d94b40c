"""The route of public reads: limited by source, few at a time, and cacheable.

Who reads without a key can be limited by its network alone, and there are many networks. So few
reads run at a time, in the order in which they came: one who reports finds the processor and the
database free. What a cache or the reader has already is not sent again.
"""

from collections.abc import Callable, Coroutine
from hashlib import sha256
from typing import Any

from anyio import to_thread
from fastapi import Request, Response

from api.context import Service
from api.http import allowances
from api.http.json_input import StrictRoute
from api.http.problems import RETRY_S, Refusal

IMMUTABLE = "public, max-age=31536000, immutable"
# What may change with the next checkpoint may be kept for as long as one takes.
CHANGING = "public, max-age=1"


class PublicRoute(StrictRoute):
    """A route without a key that only reads."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def limited(request: Request) -> Response:
            service: Service = request.app.state.service
            source = allowances.source_of(service, request)
            if not service.reading.acquire(source):
                raise _busy(
                    429, f"{service.limits.source_reads_at_once} of your reads are under way"
                )
            try:
                if service.reads.statistics().tasks_waiting >= service.limits.reads_queued:
                    raise _busy(503, "too many reads wait")
                async with service.reads:
                    await to_thread.run_sync(allowances.charge_read, service, request, source)
                    response = await handle(request)
                    # A refusal that a person reads is kept by no cache either.
                    return _validated(request, response) if response.status_code < 400 else response
            finally:
                service.reading.release(source)

        return limited


def _busy(status: int, reason: str) -> Refusal:
    return Refusal(
        status, "reads-busy", f"{reason}; try again", headers={"Retry-After": str(RETRY_S)}
    )


def _validated(request: Request, response: Response) -> Response:
    """Return the answer with its entity tag, or 304 without a body to a reader that has it."""
    tag = f'"{sha256(response.body).hexdigest()[:32]}"'
    response.headers["ETag"] = tag
    response.headers.setdefault("Cache-Control", CHANGING)
    known = ",".join(request.headers.getlist("if-none-match")).split(",")
    if not any(each.strip().removeprefix("W/") in (tag, "*") for each in known):
        return response
    kept = {name: response.headers[name] for name in ("ETag", "Cache-Control")}
    return Response(status_code=304, headers=kept)
