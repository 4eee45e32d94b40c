"""The health server: whether the service is well, and why, at an address of its own."""

import httpx

from orchestrator.core.health import JUDGED_PARTS
from tests.support.health import ALL, FIGURES, health_service


def test_it_tells_the_condition_of_each_part_with_its_reason(database_url: str) -> None:
    with (
        health_service(database_url, lambda service: service.work(*ALL)) as service,
        httpx.Client(base_url=service.url) as client,
    ):
        found = client.get("/status").json()
        assert [part["part"] for part in found["parts"]] == list(JUDGED_PARTS)
        assert all(part["is_well"] for part in found["parts"])
        assert (found["size"], found["waiting"], found["figures"]) == (0, 0, FIGURES)
        assert found["now_ms"] == service.log.now_ms
        assert client.get("/readyz").status_code == 200
        assert client.get("/healthz").json() == {"status": "alive"}
        assert client.get("/v1/log").status_code == 404
