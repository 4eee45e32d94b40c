"""The server on stdio against the real service, by the SDK's own client."""

from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError

from orchestrator.core.common.limits import Limits
from tests.support.api_service import (
    ApiService,
    wallet,
)
from tests.support.connecting import Connector, answer_of
from tests.support.depth import cases, deep_only
from tests.support.mcp_client import ERAS, Era, text_of, text_of_content

DEAL = {"outcome": "activated", "price": "8.00", "at_most": 5, "closes_in": "14 days"}
CEILINGS = ("--outstanding", "100", "--a-day", "60", "--confirm", "never")


@pytest.mark.parametrize("era", cases(ERAS, "2026-07-28"))
def test_it_signs_in_and_passes_on_what_the_service_has(
    service: ApiService, surface: str, tmp_path: Path, era: Era
) -> None:
    async def look(client: Client) -> tuple[Any, ...]:
        tools = (await client.list_tools()).tools
        me = await client.call_tool("whoami", {})
        found = await client.read_resource(f"tallystick://surfaces/{surface}")
        prompts = (await client.list_prompts()).prompts
        prompt = await client.get_prompt("study_surface", {"surface": surface})
        templates = (await client.list_resource_templates()).resource_templates
        resources = (await client.list_resources()).resources
        return tools, me, found, prompts, prompt, templates, resources

    agent = wallet("operator")
    tools, me, found, prompts, prompt, templates, resources = Connector(
        tmp_path, service.url, agent
    ).run(look, era)
    names = [tool.name for tool in tools]
    assert "draft_contract" in names
    assert not {"propose_contract", "accept_proposal", "sign_and_propose", "withdraw"} & {*names}
    assert answer_of(me)["account"] == agent.address
    assert surface in text_of_content(found.contents[0])
    assert "study_surface" in [one.name for one in prompts]
    assert surface in text_of_content(prompt.messages[0].content)
    assert templates
    assert surface in [one.name for one in resources]


def test_a_deal_is_signed_and_proposed_and_accepted_by_two_wallets(
    service: ApiService, surface: str, tmp_path: Path
) -> None:
    operator = _connector(tmp_path, "one", service, "operator", *CEILINGS)
    proposed = answer_of(operator.call("sign_and_propose", surface=surface, deal=DEAL))
    assert proposed["status"] == "proposed"
    assert any("8.00 TUSD" in line for line in proposed["untrusted"]["sentences"])
    assert any(line.startswith("touches before") for line in proposed["untrusted"]["cautions"])
    owner = _connector(tmp_path, "two", service, "owner", "--as", "owner", *CEILINGS)
    accepted = answer_of(owner.call("sign_acceptance", contract=proposed["contract_id"]))
    assert accepted["status"] == "accepted"
    for connector in (operator, owner):
        modes = {path.name: path.stat().st_mode & 0o777 for path in connector.folder.iterdir()}
        assert {*modes.values()} == {0o600}, modes
        assert "pins.json" in modes


def test_ceilings_hold_across_processes_and_nothing_is_sent_beyond_them(
    service: ApiService, surface: str, tmp_path: Path
) -> None:
    connector = _connector(tmp_path, "c", service, "ceiling", *CEILINGS)
    answer_of(connector.call("sign_and_propose", surface=surface, deal=DEAL))
    refused = connector.call("sign_and_propose", surface=surface, deal=DEAL)
    assert refused.is_error
    assert text_of(refused).startswith("ceiling-a-day: a budget of 40.00 TUSD, with 40.00 signed")
    high = connector.call("sign_and_propose", surface=surface, deal=DEAL | {"at_most": 13})
    assert text_of(high).startswith("ceiling-outstanding: ")
    assert len(_proposals(service, "ceiling")) == 1


def test_the_model_chooses_neither_payee_nor_path(
    service: ApiService, surface: str, tmp_path: Path
) -> None:
    wrong: dict[str, dict[str, Any]] = {
        "payee-configured: ": {"deal": DEAL | {"payee": wallet("thief").address}},
        "arguments-wrong: deal must be of type object": {"deal": "all of it"},
        "arguments-wrong: 'key' is none of its arguments": {"deal": DEAL, "key": "0x"},
        "arguments-wrong: answers must be 0x and 64 small": {"answers": "../me"},
        "deal-missing: ": {},
    }

    async def try_all(client: Client) -> list[str]:
        results = [
            await client.call_tool("sign_and_propose", {"surface": surface, **arguments})
            for arguments in wrong.values()
        ]
        assert all(result.is_error for result in results)
        return [text_of(result) for result in results]

    said = _connector(tmp_path, "p", service, "operator", *CEILINGS).run(try_all)
    for text, beginning in zip(said, wrong, strict=True):
        assert text.startswith(beginning)


@deep_only
def test_the_payee_is_that_of_the_configuration(
    service: ApiService, surface: str, tmp_path: Path
) -> None:
    cold = wallet("cold").address
    # A deal may say the same, as complete deals of drafts do.
    deal = DEAL | {"payee": cold}
    connector = _connector(tmp_path, "q", service, "payee", "--payee", cold, *CEILINGS)
    answer_of(connector.call("sign_and_propose", surface=surface, deal=deal))
    (proposal,) = _proposals(service, "payee")
    assert proposal["terms"]["payee"] == cold


def test_a_pin_that_changes_stops_signing_and_then_the_start(
    service: ApiService, surface: str, tmp_path: Path
) -> None:
    connector = _connector(tmp_path, "s", service, "pinned", *CEILINGS)

    async def change(client: Client) -> str:
        answer_of(await client.call_tool("whoami", {}))
        path = connector.folder / "pins.json"
        was = service.get("/v1/log")["escrow"]
        path.write_text(path.read_text().replace(was, wallet("other escrow").address))
        arguments = {"surface": surface, "deal": DEAL}
        return text_of(await client.call_tool("sign_and_propose", arguments))

    assert connector.run(change).startswith("pin-changed: escrow was 0x")
    assert _proposals(service, "pinned") == []
    code, said = connector.failure()
    assert code == 2
    assert "escrow was 0x" in said


def test_an_expired_key_is_renewed_without_a_word(service: ApiService, tmp_path: Path) -> None:
    async def twice(client: Client) -> list[str]:
        keys = [answer_of(await client.call_tool("whoami", {}))["key"]]
        with service.clock.moved_by(Limits().key_ttl_ms):
            keys.append(answer_of(await client.call_tool("whoami", {}))["key"])
        return keys

    before, after = _connector(tmp_path, "r", service, "renewed").run(twice)
    assert before != after


def test_its_key_ends_with_it(service: ApiService, tmp_path: Path) -> None:
    me = answer_of(_connector(tmp_path, "e", service, "leaver").call("whoami"))
    keys = service.sign_in(wallet("leaver"), "operator").get("/v1/keys").json()["keys"]
    assert {key["id"]: key["revoked_ms"] is None for key in keys}[me["key"]] is False


def test_what_the_service_refuses_is_told_as_it_told_it(
    service: ApiService, surface: str, tmp_path: Path
) -> None:
    async def ask(client: Client) -> str:
        with pytest.raises(MCPError) as refused:
            await client.read_resource("tallystick://nothing")
        with pytest.raises(MCPError, match="there is no tool 'propose_contract' here"):
            await client.call_tool("propose_contract", {})
        return refused.value.error.message

    assert "there is no resource" in _connector(tmp_path, "t", service, "operator").run(ask)


def _connector(folder: Path, name: str, service: ApiService, who: str, *options: str) -> Connector:
    (folder / name).mkdir()
    return Connector(folder / name, service.url, wallet(who), *options)


def _proposals(service: ApiService, who: str) -> list[Any]:
    client = service.sign_in(wallet(who), "operator")
    found: list[Any] = client.get("/v1/proposals").json()["proposals"]
    return found
