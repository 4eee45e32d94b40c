"""The numbers for Prometheus: as they are, and none that is old."""

import logging
from contextlib import closing

import httpx
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from api.watch import Sight
from orchestrator.core.health import JUDGED_PARTS, Pulse, Vitals
from orchestrator.runtime.connections import Bounds, Gate, bounded_server, listen
from orchestrator.runtime.health.metrics import Metrics
from tests.support.health import ALL, FIGURES, OneProcess, health_service

Numbers = dict[tuple[str, str], float]
VITALS = Vitals(
    now_ms=61_000,
    waiting=3,
    waiting_since_ms=60_000,
    size=12,
    unanchored_since_ms=51_000,
    pulses={"pipeline": Pulse(59_000, FIGURES)},
)


def read(text: bytes | str) -> Numbers:
    """Return the numbers in a text, by name and the value of the one label, if any."""
    text = text if isinstance(text, str) else text.decode()
    return {
        (sample.name.removeprefix("tallystick_"), "".join(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_it_tells_what_was_seen_last() -> None:
    found = read(Metrics().render(Sight(VITALS, 5)))
    for name, value in {
        "requests_waiting": 3,
        "requests_waiting_seconds": 1,
        "log_entries": 12,
        "log_entries_anchored": 10**9,
        "log_unanchored_seconds": 10,
        "anchor_age_seconds": 60,
        "chain_block": 1234,
        "relayer_balance_ether": 1.234567,
        "relayer_transactions_left": 1_234_567_000_000,
        "disk_free_bytes": 5,
    }.items():
        assert found[name, ""] == value, name
    assert found["part_silent_seconds", "pipeline"] == 2
    assert ("part_silent_seconds", "sequencer") not in found
    wells = {part: found["part_well", part] for part in JUDGED_PARTS}
    assert wells["pipeline"] == 1
    assert wells["sequencer"] == 0


def test_it_tells_nothing_old_while_the_database_is_gone() -> None:
    metrics = Metrics()
    metrics.render(Sight(VITALS, 5))
    found = read(metrics.render(Sight(None, 5)))
    assert ("log_entries", "") not in found
    assert found["part_well", "database"] == 0
    assert found["disk_free_bytes", ""] == 5


def test_what_alarms_count_is_told_before_it_happens() -> None:
    """Of a number that begins with its first event, Prometheus sees no increase."""
    text = Metrics().render(Sight(None, 1)).decode()
    for name, labels in (
        ("http_answers_total", ('status="5xx"', 'status="2xx"')),
        ("journal_lines_total", ('level="error"', 'level="warning"')),
    ):
        for label in labels:
            assert f"tallystick_{name}{{{label}}} 0.0\n" in text


def test_answers_lines_and_connections_are_counted() -> None:
    metrics, gate = Metrics(), Gate(Bounds(1, 1))

    def answer(request: object) -> Response:
        return PlainTextResponse("yes")

    app = Starlette(routes=[Route("/yes", answer)])
    counted = metrics.counting(app, gate)
    with (
        listen("127.0.0.1", 0) as sock,
        bounded_server(counted, sock, gate) as url,
        closing(httpx.Client(base_url=url)) as client,
    ):
        client.get("/yes")
        client.get("/yes")
        client.get("/no")
        httpx.get(f"{url}/yes")
        counter = logging.getLogger("tallystick.counted")
        handler = metrics.journal_handler()
        counter.addHandler(handler)
        counter.warning("once")
        counter.removeHandler(handler)
        found = read(metrics.render(Sight(None, 0)))
    assert found["http_answers_total", "2xx"] == 3
    assert found["http_answers_total", "4xx"] == 1
    assert found["http_seconds_count", ""] == 4
    assert found["journal_lines_total", "warning"] == 1
    assert found["connections", ""] <= 1
    assert found["connections_displaced_total", ""] == 1


def test_they_are_served_as_text(database_url: str) -> None:
    with health_service(database_url, lambda service: service.work(*ALL)) as service:
        answer = httpx.get(f"{service.url}/metrics")
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        found = read(answer.text)
        assert all(found["part_well", part] == 1 for part in JUDGED_PARTS)
        assert found["process_open_fds", ""] > 0


def test_the_numbers_of_other_processes_stand_beside_ours_by_their_label() -> None:
    metrics = Metrics()
    metrics.crew = OneProcess()
    text = metrics.render(Sight(None, 0)).decode()
    found = read(text)
    assert found["api_process_up", "1"] == 1
    assert found["api_process_starts_total", "1"] == 2
    assert (found["http_seconds_count", ""], found["http_seconds_count", "1"]) == (0, 0)
    assert text.count("# TYPE tallystick_http_seconds histogram") == 1
