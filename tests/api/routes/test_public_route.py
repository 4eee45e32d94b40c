"""The route of public reads: caches, entity tags, and how many run and wait at a time."""

from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from ipaddress import ip_network
from threading import Event, Semaphore

import httpx
import pytest

from api.http import allowances
from orchestrator.core.common.limits import Limits
from tests.support.api_service import ApiService, problem_of, running_service

FOREVER = "public, max-age=31536000, immutable"


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        ("/v1/log", "public, max-age=1"),
        ("/v1/log/entries", "public, max-age=1"),
        ("/v1/log/entries?limit=1", FOREVER),
        ("/v1/log/bundles", "public, max-age=1"),
        ("/v1/log/bundles?limit=1", FOREVER),
        ("/v1/contracts", "public, max-age=1"),
    ],
)
def test_a_reader_that_has_it_is_not_sent_it_again(
    service: ApiService, path: str, kept: str
) -> None:
    first = service.http.get(path)
    tag = first.headers["ETag"]
    assert (first.status_code, first.headers["Cache-Control"]) == (200, kept)
    for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = service.http.get(path, headers={"If-None-Match": known})
        assert (again.status_code, again.content) == (304, b"")
        assert (again.headers["ETag"], again.headers["Cache-Control"]) == (tag, kept)
    other = service.http.get(path, headers={"If-None-Match": '"other"'})
    assert (other.status_code, other.content) == (200, first.content)


def test_a_refusal_is_kept_by_no_cache(service: ApiService) -> None:
    answer = service.http.get("/v1/receipts/999999")
    assert (answer.status_code, answer.headers["Cache-Control"]) == (404, "no-store")
    assert "ETag" not in answer.headers


class Held:
    """Reads that are held in their charge until they are let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun, self.go = Semaphore(0), Event()
        monkeypatch.setattr(allowances, "charge_read", self._hold)

    def _hold(self, *_: object) -> None:
        self.begun.release()
        assert self.go.wait(20)


def test_few_reads_run_at_once_and_few_wait(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = Limits(reads_at_once=2, reads_queued=1)
    with running_service(database_url, limits) as service, ThreadPoolExecutor(4) as pool:
        held = Held(monkeypatch)
        reads = [pool.submit(service.http.get, "/v1/log") for _ in range(2)]
        for _ in reads:
            assert held.begun.acquire(timeout=20)
        # Of two more one waits, and there is no room for the other.
        more = [pool.submit(service.http.get, "/v1/log") for _ in range(2)]
        done, waiting = wait(more, timeout=20, return_when=FIRST_COMPLETED)
        (refused,), (last,) = done, waiting
        problem_of(refused.result(), 503, "reads-busy")
        assert refused.result().headers["Retry-After"] == "2"
        assert not held.begun.acquire(blocking=False)
        held.go.set()
        assert [read.result().status_code for read in (*reads, last)] == [200, 200, 200]


def test_one_source_does_not_take_all_places(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits, proxies = Limits(reads_at_once=2, source_reads_at_once=1), [ip_network("127.0.0.1")]
    with (
        running_service(database_url, limits, trusted_proxies=proxies) as service,
        ThreadPoolExecutor(2) as pool,
    ):

        def read(source: str) -> httpx.Response:
            return service.http.get("/v1/log", headers={"X-Forwarded-For": source})

        held = Held(monkeypatch)
        first = pool.submit(read, "192.0.2.1")
        assert held.begun.acquire(timeout=20)
        problem_of(read("192.0.2.1"), 429, "reads-busy")
        second = pool.submit(read, "192.0.2.2")
        assert held.begun.acquire(timeout=20)
        held.go.set()
        assert [first.result().status_code, second.result().status_code] == [200, 200]
        assert read("192.0.2.1").status_code == 200
