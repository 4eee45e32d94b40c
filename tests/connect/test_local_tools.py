"""The wallet's tools: there are those that the mandate has room for, and errors are results."""

from pathlib import Path

import pytest

from orchestrator.connect.local_tools import RESERVED, LocalTools
from orchestrator.connect.remote import RemoteServer
from orchestrator.connect.signer import Signer, Vault
from orchestrator.core.common.errors import ChainError
from orchestrator.core.deals.mandate import Mandate, Pins
from orchestrator.core.deals.site import TokenInfo
from tests.support.api_service import ESCROW, EVENT_LOG, TOKEN, VERIFIER, wallet
from tests.support.mcp_client import text_of

ME = wallet("operator").address
PINS = Pins(
    1,
    ESCROW.verifying_contract,
    EVENT_LOG.verifying_contract,
    "0x" + "10" * 32,
    VERIFIER.address,
    (TokenInfo(TOKEN, "TUSD", 6),),
)


def no_node(_: TokenInfo) -> int:
    raise ChainError("node-unreachable", "the node did not answer")


def tools(folder: Path, ceiling: str, vault: Vault | None = None) -> LocalTools:
    mandate = Mandate(ME, ME, ceiling, ceiling)
    client = RemoteServer("http://127.0.0.1:9", wallet("operator"), "test")
    return LocalTools(Signer(client, mandate, lambda: PINS, folder, vault))


@pytest.mark.parametrize(
    ("ceiling", "has_node", "names"),
    [
        ("0", False, set()),
        ("0", True, {"withdraw", "sign_confirmed"}),
        ("1", False, {"sign_and_propose", "sign_acceptance", "sign_confirmed"}),
        ("1", True, {"sign_and_propose", "sign_acceptance", "sign_confirmed", "withdraw"}),
    ],
)
def test_there_are_the_tools_that_the_mandate_has_room_for(
    tmp_path: Path, ceiling: str, has_node: bool, names: set[str]
) -> None:
    vault = Vault(no_node, lambda *_: "", ME) if has_node else None
    found = tools(tmp_path, ceiling, vault)
    assert found.names == names == {one.name for one in found.listed()}
    assert all(one.input_schema["additionalProperties"] is False for one in found.listed())


def test_what_fails_is_a_result_that_says_why(tmp_path: Path) -> None:
    result = tools(tmp_path, "1", Vault(no_node, lambda *_: "", ME)).call(
        "withdraw", {"token": "TUSD"}
    )
    assert result.is_error
    assert text_of(result) == "node-unreachable: the node did not answer"


def test_what_is_not_configured_says_who_can_configure_it(tmp_path: Path) -> None:
    for name in sorted(RESERVED):
        assert text_of(tools(tmp_path, "0").call(name, {})).startswith("tool-not-configured: ")
    assert tools(tmp_path, "1", Vault(no_node, lambda *_: "", ME)).names == RESERVED


def test_a_withdrawal_names_no_address_and_no_amount(tmp_path: Path) -> None:
    found = tools(tmp_path, "0", Vault(no_node, lambda *_: "", ME))
    for name in ("to", "amount"):
        result = found.call("withdraw", {"token": "TUSD", name: wallet("thief").address})
        assert text_of(result) == f"arguments-wrong: {name!r} is none of its arguments"
