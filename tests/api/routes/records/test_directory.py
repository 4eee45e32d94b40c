"""The directory: its numbers are those of the public log, counted again here entry by entry."""

from typing import Any

import httpx
import psycopg
import pytest

from api.routes.records.directory import DISPUTED
from orchestrator.chain.abi import ClaimsDisputed, Disputed, event_topics
from orchestrator.core.common.hexadecimal import from_hex, to_hex
from orchestrator.core.log.entry import Entry, address_word
from tests.support.api_service import (
    ESCROW,
    POLICY,
    ApiService,
    event,
    give_level,
    leads,
    open_surface,
    problem_of,
    report,
    touch,
    wallet,
)
from tests.support.settled_contract import SettledContract

OPERATOR = wallet("operator").address


def whole_log(service: ApiService) -> list[Entry]:
    return service.entries(0, 1000)


def listed(service: ApiService, surface: str) -> Any:
    (found,) = service.get("/v1/surfaces", surfaces=surface)["surfaces"]
    return found


def check(figure: Any, log: list[Entry], wanted: list[int], *, units: bool = False) -> None:
    """Compare a figure with the entries that it is said to count."""
    assert figure["count"] == len(wanted)
    assert figure["positions"] == wanted[::-1][:5]
    assert figure["units"] == (str(sum(log[n].value for n in wanted)) if units else None)


def test_the_topics_are_those_of_the_contracts() -> None:
    assert sorted(event_topics(Disputed, ClaimsDisputed)) == sorted(DISPUTED)


def test_what_a_contract_came_to(service: ApiService, settled: SettledContract) -> None:
    log = whole_log(service)
    contract = service.get(f"/v1/contracts/{settled.hex_id}")
    surface = contract["surface"]
    found = service.get(f"/v1/surfaces/{surface}/totals")
    (line,) = found["spend"]
    about = [
        n for n, entry in enumerate(log) if from_hex(settled.hex_id) in (entry.actor, entry.subject)
    ]
    for name, kind in (
        ("outcomes", "outcome"),
        ("reversed", "outcome.reversed"),
        ("over", "outcome.over"),
        ("paid", "payout"),
        ("opened", "contract.opened"),
    ):
        check(line[name], log, [n for n in about if log[n].kind == kind], units=True)
    statements = [n for n in about if log[n].kind == "settlement"]
    assert line["stated"]["positions"] == statements[::-1][:5]
    # What all statements add up to is what the last one states.
    assert line["stated"]["units"] == str(log[statements[-1]].value)
    assert line["size"] is None
    record = service.get(f"/v1/operators/{contract['operator']}/record")
    sized = [one for one in record["money"] if one["token"] == line["token"]]
    budget = int(contract["rules"]["budget_units"])
    assert any(
        int(one["size"]["at_least_units"]) <= budget < int(one["size"]["below_units"])
        and one["outcomes"]["count"] >= line["outcomes"]["count"]
        for one in sized
    )
    here = listed(service, surface)
    assert here["verification"]["times"]["count"] >= 1
    assert here["payout"]["times"]["count"] >= 1
    assert here["reversals"]["part"]["count"] == line["reversed"]["count"]
    only = service.get("/v1/contracts", operator=contract["operator"], surface=surface)
    assert [one["contract_id"] for one in only["contracts"]] == [settled.hex_id]


def test_what_happened_on_a_surface(
    service: ApiService, owner: httpx.Client, operator: httpx.Client
) -> None:
    surface = open_surface(owner, "directory")
    give_level(service, surface, wallet("operator"))
    for number in range(7):
        report(owner, surface, f"report-{number}", event(f"lead {number}"))
    for number, lead in enumerate(leads(operator, surface)[:2]):
        assert touch(operator, surface, f"t{number}", lead["lead"], "email").status_code == 200
    log = whole_log(service)
    here = [n for n, entry in enumerate(log) if to_hex(entry.surface) == surface]
    found = service.get(f"/v1/surfaces/{surface}/totals")
    kinds = {log[n].kind for n in here} - {"contract.opened"}
    assert set(found["events"]) == kinds
    for kind in kinds:
        check(found["events"][kind], log, [n for n in here if log[n].kind == kind])
    href = found["events"]["touch"]["href"]
    assert href == f"/v1/stream?after=0&surface={surface}&kinds=touch"
    with service.http.stream("GET", href) as answer:
        ids = (line for line in answer.iter_lines() if line.startswith("id: "))
        touches = [n for n in here if log[n].kind == "touch"]
        told = [next(ids) for _ in range(3)]
        assert told[1:] == [f"id: {n}" for n in touches]
    page = service.get(f"/v1/operators/{OPERATOR}/record")
    (mine,) = (one for one in page["surfaces"] if one["surface"] == surface)
    check(mine["acts"]["touch"], log, touches)
    assert (mine["level"], mine["ground"]) == (1, "contract")
    assert listed(service, surface)["acknowledged"]["bps"] is None


def test_live_contracts_and_their_budgets(service: ApiService, owner: httpx.Client) -> None:
    surface = open_surface(owner, "budgets")
    names = [wallet(f"budget {n}") for n in range(3)]
    give_level(service, surface, *names)
    (live,) = listed(service, surface)["live"]
    assert (live["contracts"], live["budget_units"]) == (3, str(3 * 800_000_000))
    assert (live["owed_units"], len(live["positions"])) == ("0", 3)
    with service.clock.moved_by(31 * 86_400_000):
        assert listed(service, surface)["live"] == []


def test_a_contract_that_only_names_a_surface_is_not_shown(
    service: ApiService, owner: httpx.Client
) -> None:
    surface = open_surface(owner, "named")
    stranger = address_word(wallet("stranger").address)
    give_level(service, surface, wallet("operator"), owner=stranger)
    assert listed(service, surface)["live"] == []
    assert service.get(f"/v1/surfaces/{surface}/totals")["spend"] == []


def test_disputes_are_read_from_the_chain(service: ApiService, owner: httpx.Client) -> None:
    surface = open_surface(owner, "disputed")
    give_level(service, surface, wallet("a"), wallet("b"))
    (first, _) = service.get("/v1/contracts", surface=surface)["contracts"]
    with psycopg.connect(service.database_url) as admin:
        for final, transaction in ((False, b"\1" * 32), (True, b"\2" * 32)):
            admin.execute(
                "INSERT INTO chain_events VALUES "
                "(%s, %s, %s, %s, 0, 1, 1, %s, %s::bytea[], ''::bytea, %s)",
                (
                    ESCROW.chain_id,
                    ESCROW.verifying_contract.lower(),
                    b"\3" * 32,
                    transaction,
                    ESCROW.verifying_contract.lower(),
                    [DISPUTED[0], from_hex(first["contract_id"])],
                    final,
                ),
            )
    assert listed(service, surface)["disputes"] == {
        "contracts": 2,
        "disputed": 1,
        "bps": 5000,
        "transactions": ["0x" + "02" * 32],
    }


def test_surfaces_are_searched_filtered_and_compared(
    service: ApiService, owner: httpx.Client
) -> None:
    narrow = {"transitions": POLICY["transitions"][:1], "reversals": []}  # type: ignore[index]
    first = open_surface(owner, "Search one", **narrow)
    second = open_surface(owner, "search two")
    found = service.get("/v1/surfaces", name="SEARCH")["surfaces"]
    assert {one["surface"] for one in found} == {first, second}
    (only,) = service.get("/v1/surfaces", name="search", motion="conversion")["surfaces"]
    assert only["surface"] == second
    assert only["motions"] == ["acquisition", "activation", "conversion"]
    compared = service.get("/v1/surfaces", surfaces=f"{second},{first}")["surfaces"]
    assert [one["surface"] for one in compared] == sorted([first, second])
    # One at a time, until there are no more.
    seen, after = [], None
    while True:
        page = service.get(
            "/v1/surfaces", name="search", limit=1, **({"after": after} if after else {})
        )
        seen += [one["surface"] for one in page["surfaces"]]
        after = page["next"]
        if after is None:
            break
    assert seen == sorted([first, second])


def test_operators_are_listed_page_by_page(
    service: ApiService, operator: httpx.Client, owner: httpx.Client
) -> None:
    surface = open_surface(owner, "operators")
    give_level(service, surface, wallet("operator"))
    report(owner, surface, "one", event("one"))
    touch(operator, surface, "one", leads(operator, surface)[0]["lead"], "email")
    found = service.get("/v1/operators", limit=50)["operators"]
    assert OPERATOR in [one["operator"] for one in found]
    for one in found:
        entry = service.entries(one["registered"], 1)[0]
        assert (entry.kind, entry.actor) == ("operator.registered", address_word(one["operator"]))


@pytest.mark.parametrize(
    "path", [f"/v1/surfaces/0x{'12' * 32}/totals", f"/v1/operators/{wallet('none').address}/record"]
)
def test_what_is_not_there(service: ApiService, path: str) -> None:
    problem_of(service.http.get(path), 404, "not-found")


@pytest.mark.parametrize(
    "query", [{"name": ""}, {"motion": "none"}, {"surfaces": "0x12"}, {"limit": "51"}]
)
def test_what_is_asked_wrongly(service: ApiService, query: dict[str, str]) -> None:
    problem_of(service.http.get("/v1/surfaces", params=query), 422, "invalid")
