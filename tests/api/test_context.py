"""The context of the routes: its database role."""

import httpx

from orchestrator.storage.database import API
from tests.support.api_service import ApiService, event, open_surface, report, row_count


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
