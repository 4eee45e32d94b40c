"""An operator's private memory: its own, bounded, and gone with a lead that is erased."""

from typing import Any

import httpx
import pytest

from orchestrator.core.common.hexadecimal import from_hex
from orchestrator.core.common.limits import Limits
from tests.support.api_service import (
    ApiService,
    erase,
    event,
    lead_ids,
    leads,
    open_surface,
    problem_of,
    report,
    row_count,
    wallet,
)

ENTRIES, BYTES = 5, 9_000
LIMITS = Limits(memory_entries=ENTRIES, memory_bytes=BYTES, memories_bytes=2 * BYTES - 1)


@pytest.fixture(scope="module")
def surface(owner: httpx.Client) -> str:
    return open_surface(owner, "remembered")


def put(client: httpx.Client, surface: str, key: str, value: object, **more: object) -> Any:
    return client.put(f"/v1/surfaces/{surface}/memory/{key}", json={"value": value, **more})


def keys(client: httpx.Client, surface: str, **query: object) -> list[str]:
    answer = client.get(f"/v1/surfaces/{surface}/memory", params=query)  # type: ignore[arg-type]
    assert answer.status_code == 200, answer.text
    return [entry["key"] for entry in answer.json()["entries"]]


@pytest.mark.parametrize(
    "value", [None, 0, -(2**40), "ä \U0001f600", [], {"plan": ["call", {"at": 9}]}, True]
)
def test_what_is_put_is_got(agent: httpx.Client, surface: str, value: object) -> None:
    answer = put(agent, surface, "k", value)
    assert answer.status_code == 200, answer.text
    got = agent.get(f"/v1/surfaces/{surface}/memory/k").json()
    assert got == answer.json()
    assert got["value"] == value
    assert put(agent, surface, "k", "other").json()["value"] == "other"
    assert keys(agent, surface) == ["k"]


@pytest.mark.parametrize("value", [1.5, "\0"])
def test_values_are_json_as_everywhere_here(
    agent: httpx.Client, surface: str, value: object
) -> None:
    problem_of(put(agent, surface, "k", value), 400, "json-malformed")


def test_no_other_account_sees_it(
    service: ApiService, agent: httpx.Client, owner: httpx.Client, surface: str
) -> None:
    put(agent, surface, "secret", "mine")
    other = service.sign_in(wallet("curious"), "operator")
    assert keys(other, surface) == []
    problem_of(other.get(f"/v1/surfaces/{surface}/memory/secret"), 404, "not-found")
    assert other.delete(f"/v1/surfaces/{surface}/memory/secret").status_code == 204
    put(other, surface, "secret", "theirs")
    assert agent.get(f"/v1/surfaces/{surface}/memory/secret").json()["value"] == "mine"
    problem_of(owner.get(f"/v1/surfaces/{surface}/memory"), 403, "scope-missing")


def test_pages_come_in_the_order_of_keys(agent: httpx.Client, surface: str) -> None:
    for key in ("b", "B", "a.1", "a-1", "_"):
        put(agent, surface, key, key)
    first = agent.get(f"/v1/surfaces/{surface}/memory", params={"limit": 3}).json()
    rest = keys(agent, surface, after=first["next"])
    assert [entry["key"] for entry in first["entries"]] + rest == ["B", "_", "a-1", "a.1", "b"]


def test_entries_and_bytes_are_bounded(
    service: ApiService, agent: httpx.Client, owner: httpx.Client, surface: str
) -> None:
    for number in range(ENTRIES):
        assert put(agent, surface, f"k{number}", "v").status_code == 200
    problem_of(put(agent, surface, "more", "v"), 409, "memory-entries")
    assert put(agent, surface, "k0", "another").status_code == 200
    assert agent.delete(f"/v1/surfaces/{surface}/memory").status_code == 204
    assert keys(agent, surface) == []
    problem_of(put(agent, surface, "long", "v" * 8_191), 422, "memory-too-long")
    assert put(agent, surface, "long", "v" * 8_190).status_code == 200
    # 8,192 bytes and a key of 4: 9,000 less 8,196 are left, and a value has two quotes.
    problem_of(put(agent, surface, "long2", "v" * 798), 409, "memory-bytes")
    assert put(agent, surface, "long2", "v" * 797).status_code == 200
    other = open_surface(owner, "remembered too")
    assert put(agent, other, "long", "v" * 8_190).status_code == 200
    problem_of(put(agent, other, "long2", "v" * 797), 409, "memories-bytes")
    assert put(agent, other, "long2", "v" * 796).status_code == 200


def test_an_entry_dies_with_the_lead_that_it_names(
    service: ApiService, agent: httpx.Client, owner: httpx.Client, surface: str
) -> None:
    report(owner, surface, "first", event("user-7"))
    report(owner, surface, "second", event("user-8"))
    by_id = lead_ids(owner, surface)
    put(agent, surface, "seven", "call back", lead=by_id["user-7"])
    put(agent, surface, "eight", "no", lead=by_id["user-8"])
    put(agent, surface, "general", "all")
    assert keys(agent, surface, lead=by_id["user-7"]) == ["seven"]
    assert erase(owner, surface, "e", lead="user-7").status_code == 200
    assert keys(agent, surface) == ["eight", "general"]
    problem_of(put(agent, surface, "again", "x", lead=by_id["user-7"]), 404, "lead-unknown")
    with service.admin() as admin:
        kept = admin.execute(
            "SELECT count(*) FROM operator_memory WHERE lead = %s", (from_hex(by_id["user-7"]),)
        ).fetchone()
    assert kept == (0,)


def test_a_lead_of_another_surface_is_none(
    agent: httpx.Client, owner: httpx.Client, surface: str
) -> None:
    other = open_surface(owner, "elsewhere")
    report(owner, other, "elsewhere", event("user-9"))
    (lead,) = leads(owner, other)
    problem_of(put(agent, surface, "k", 1, lead=lead["lead"]), 404, "lead-unknown")
    assert put(agent, other, "k", 1, lead=lead["lead"]).status_code == 200


def test_a_surface_must_be_there(agent: httpx.Client) -> None:
    problem_of(put(agent, "0x" + "31" * 32, "k", 1), 404, "not-found")


def test_a_delegate_remembers_on_its_surfaces_alone(
    service: ApiService, agent: httpx.Client, owner: httpx.Client, surface: str
) -> None:
    other = open_surface(owner, "off limits")
    delegate = service.delegate(agent, "operator:memory", surfaces=[surface])
    assert put(delegate, surface, "k", 1).status_code == 200
    problem_of(put(delegate, other, "k", 1), 403, "surface-forbidden")
    # Of one account: what a delegate puts, the wallet's key gets.
    assert keys(agent, surface) == ["k"]
    with service.admin() as admin:
        assert row_count(admin, "operator_memory") > 0
