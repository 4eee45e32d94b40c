"""The service's own address for those who run it: whether it is well, and its numbers.

It is apart from the API's, on loopback unless a setting says otherwise, for it tells what callers
need not know.
"""

from fastapi import FastAPI, Response

from api.watch import Watch, health_router
from orchestrator.runtime.health.metrics import CONTENT_TYPE, Metrics


def create_health_app(watch: Watch, metrics: Metrics) -> FastAPI:
    """Return the application that tells how a service is."""
    app = FastAPI(title="Tallystick health", docs_url=None, redoc_url=None, openapi_url=None)

    def processes() -> dict[str, bool]:
        return {} if metrics.crew is None else dict(metrics.crew.conditions())

    app.include_router(health_router(watch, processes))

    @app.get("/status")
    async def status() -> dict[str, object]:
        """Return the condition of each part with its reason, and the numbers behind them."""
        sight = await watch.look()
        vitals = sight.vitals
        return {
            "parts": [each._asdict() for each in sight.conditions],
            "processes": processes(),
            "now_ms": vitals and vitals.now_ms,
            "waiting": vitals and vitals.waiting,
            "size": vitals and vitals.size,
            "figures": {} if vitals is None else vitals.figures,
        }

    @app.get("/metrics")
    async def numbers() -> Response:
        """Return all numbers, for Prometheus."""
        return Response(metrics.render(await watch.look()), media_type=CONTENT_TYPE)

    return app
