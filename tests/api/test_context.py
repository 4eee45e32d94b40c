"""The context of the routes: its database role, and the limit on those who wait."""

import httpx

from api.context import ConcurrencyLimit
from orchestrator.core.limits import Limits
from orchestrator.storage.database import API
from tests.support.api_service import ApiService, event, open_surface, report, row_count


def test_a_concurrency_limit_refuses_at_once_and_takes_again_after_a_release() -> None:
    limit = ConcurrencyLimit(40, of_one=2)
    assert [limit.acquire("a") for _ in range(3)] == [True, True, False]
    assert limit.acquire("b")
    limit.release("a")
    assert [limit.acquire("a"), limit.acquire("a")] == [True, False]
    last = ConcurrencyLimit(1, of_one=1)
    assert [last.acquire("a"), last.acquire("b")] == [True, False]


def test_however_many_take_all_they_can_the_next_finds_places() -> None:
    limit = ConcurrencyLimit(Limits().waiters, Limits().waiters_of_account)
    for number in range(10):
        while limit.acquire(f"wallet {number}"):
            pass
    assert sum(limit.acquire("another") for _ in range(10)) >= 5


def test_the_database_is_asked_as_the_caller_alone(
    service: ApiService, owner: httpx.Client
) -> None:
    """The API's role sees no tenant row unless a transaction names whose it is."""
    surface = open_surface(owner, "rows")
    report(owner, surface, "rows", event("rows"))
    tenant = ("leads", "lead_identities", "private_payloads", "requests", "results", "api_keys")
    with service.admin() as admin:
        filled = {name: row_count(admin, name) for name in tenant}
        assert all(filled.values()), filled
        admin.execute(f"SET ROLE {API}")
        assert {name: row_count(admin, name) for name in tenant} == dict.fromkeys(tenant, 0)
        admin.execute("RESET ROLE")
