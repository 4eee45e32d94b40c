"""The page about signatures: its types, terms, selectors and topics are those of the code."""

import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.common.keccak import keccak
from orchestrator.core.deals import terms

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/signatures.md").read_text()
MEMBERS = [member.split(" ") for member in terms.TERMS_TYPE[len("Terms(") : -1].split(",")]


@pytest.mark.parametrize(
    "encoded_type",
    [
        terms.DOMAIN_TYPE,
        terms.CHECKPOINT_TYPE,
        terms.OWNER_CONSENT_TYPE.removesuffix(terms.TERMS_TYPE),
        terms.OPERATOR_CONSENT_TYPE.removesuffix(terms.TERMS_TYPE),
        terms.VERIFIED_TYPE,
        terms.CLOSE_TYPE,
        terms.WITHDRAWAL_TYPE,
    ],
)
def test_a_message_has_its_type(encoded_type: str) -> None:
    assert f"`{encoded_type}`" in PAGE


def test_the_terms_have_their_type_and_their_names() -> None:
    assert f"\n{terms.TERMS_TYPE}\n" in PAGE
    assert f"`0x{keccak(terms.TERMS_TYPE.encode()).hex()}`" in PAGE
    rows = re.findall(r"^\| `(\w+)` \| `(\w+) (\w+)` \|", PAGE, re.MULTILINE)
    assert [name for name, *_ in rows] == list(terms.TERM_NAMES)
    assert [member for _, *member in rows] == MEMBERS
    assert list(terms.ATTRIBUTIONS) == ["first_touch", "last_touch"]
    assert "`first_touch` is 0, `last_touch` is 1" in PAGE
    said = [PAGE.index(f"{path} {name}") for path, name in enumerate(WAYS)]
    assert all(one < other for one, other in pairwise(said))
    assert len(WAYS) == len(terms.FUNDINGS)


WAYS = ("an allowance", "a permit (EIP-2612)", "an authorization (EIP-3009)")


def abi_of(contract: str) -> list[dict[str, Any]]:
    file = ROOT / f"orchestrator/chain/artifacts/{contract}.json"
    found: list[dict[str, Any]] = json.loads(file.read_text())["abi"]
    return found


def written(item: dict[str, Any]) -> str:
    """Return the type of an argument, or the signature of a function or an event."""
    inner = item.get("components", item.get("inputs"))
    if inner is None:
        return str(item["type"])
    listed = f"({','.join(map(written, inner))})"
    if "inputs" in item:
        return f"{item['name']}{listed}"
    return f"{listed}{item['type'].removeprefix('tuple')}"


@pytest.mark.parametrize(
    ("contract", "name"),
    [("OutcomeEscrow", "open"), ("OutcomeEscrow", "settle"), ("Rounds", "settle")],
)
def test_a_call_has_its_selector(contract: str, name: str) -> None:
    (function,) = (one for one in abi_of(contract) if one.get("name") == name)
    types = [
        one["internalType"].split(".")[-1].removeprefix("struct ") for one in function["inputs"]
    ]
    row = f"| `{name}({','.join(types)})` of "
    selector = keccak(written(function).encode())[:4].hex()
    (line,) = (one for one in PAGE.splitlines() if one.startswith(row))
    assert line.endswith(f" | `0x{selector}` |")
    # The structs of the argument are on the page, but for the terms.
    for one in function["inputs"]:
        if one["type"] == "tuple" and "Terms" not in one["internalType"] and contract != "Rounds":
            assert f"`{written(one)}`" in line


@pytest.mark.parametrize(
    ("contract", "name"),
    [
        ("OutcomeEscrow", "Opened"),
        ("EventLog", "Registered"),
        ("EventLog", "PublisherChanged"),
        ("EventLog", "Forked"),
    ],
)
def test_an_event_has_its_topic(contract: str, name: str) -> None:
    (event,) = (one for one in abi_of(contract) if one.get("name") == name)
    signature = written(event)
    assert f"`{signature}`" in PAGE
    assert f"`0x{keccak(signature.encode()).hex()}`" in PAGE
