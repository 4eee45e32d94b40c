"""scripts/verification.py: its packages are the sources of what is on the chain, to the byte."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ape.managers.chain import ChainManager

from orchestrator.chain.abi import LIBRARIES
from scripts import verification
from scripts.verification import FACTS, INPUT, VerificationError, check, faults, write
from tests.support.depth import PROFILE, deep_only

Json = dict[str, Any]


@pytest.fixture(scope="module")
def packages(address_book: Json, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packages")
    write(address_book, folder)
    return folder


# Each is compiled by itself, so a usual run takes one that stands alone, one that is linked with
# libraries, and one of these; a deep run (scripts/test --deep) takes all.
USUAL = ["EventLog", "OutcomeEscrow", "TermsRules"]


def test_every_contract_matches_perfectly(
    packages: Path, address_book: Json, chain: ChainManager, tmp_path: Path
) -> None:
    names = sorted(address_book["contracts"])
    assert set(USUAL) <= set(names)
    if PROFILE != "deep":
        names = USUAL
    for name in names:
        shutil.copytree(packages / name, tmp_path / name)
    results = check(tmp_path, chain.provider.uri)
    assert list(results) == names
    assert faults(tmp_path, results) == []
    for name, result in results.items():
        facts = json.loads((tmp_path / name / FACTS).read_text())
        assert (result["runtime"], result["creation"]) == ("perfect", "perfect")
        assert result["constructorArguments"] == facts["constructorArguments"]


def test_package_says_what_forms_ask_for(packages: Path, address_book: Json) -> None:
    deployed = address_book["contracts"]["OutcomeEscrow"]
    facts = json.loads((packages / "OutcomeEscrow" / FACTS).read_text())
    assert facts.pop("compilerVersion").startswith("0.8.37+commit.")
    assert facts == {
        "chainId": address_book["chain_id"],
        "address": deployed["address"],
        "creationTransactionHash": deployed["transaction_hash"],
        "contractIdentifier": "contracts/escrow/OutcomeEscrow.sol:OutcomeEscrow",
        "constructorArguments": deployed["constructor_arguments"],
        "libraries": {
            f"contracts/{folder}/{name}.sol:{name}": address_book["contracts"][name][
                "address"
            ].lower()
            for name in LIBRARIES
            for folder in ["terms" if name == "TermsRules" else "escrow"]
        },
    }
    sources = json.loads((packages / "OutcomeEscrow" / INPUT).read_text())["sources"]
    assert "contracts/log/EventLog.sol" in sources


def _comment(source: str) -> str:
    return source + "// x\n"


def _longer_period(source: str) -> str:
    assert "HANDOVER_PERIOD = 7 days" in source
    return source.replace("= 7 days", "= 8 days")


def _set_source(package: Path, change: Callable[[str], str]) -> None:
    file = package / INPUT
    content = json.loads(file.read_text())
    source = content["sources"]["contracts/log/EventLog.sol"]
    source["content"] = change(source["content"])
    file.write_text(json.dumps(content))


def _set_fact(package: Path, **facts: object) -> None:
    file = package / FACTS
    file.write_text(json.dumps(json.loads(file.read_text()) | facts))


@deep_only
def test_whatever_is_not_exactly_so_is_found(
    packages: Path, address_book: Json, chain: ChainManager, tmp_path: Path
) -> None:
    tampered = ("arguments", "code", "comment", "compiler", "libraries", "transaction")
    for name in tampered:
        shutil.copytree(packages / "EventLog", tmp_path / name)
    _set_source(tmp_path / "comment", _comment)
    _set_source(tmp_path / "code", _longer_period)
    _set_fact(tmp_path / "arguments", constructorArguments="0x01")
    _set_fact(tmp_path / "compiler", compilerVersion="0.8.36+commit.00000000")
    _set_fact(tmp_path / "libraries", libraries={"PayableAmounts": "0x01"})
    other = address_book["contracts"]["OutcomeEscrow"]["transaction_hash"]
    _set_fact(tmp_path / "transaction", creationTransactionHash=other)

    found = faults(tmp_path, check(tmp_path, chain.provider.uri))
    assert {fault.split(":")[0] for fault in found} == set(tampered)
    for fault in (
        f"arguments: its constructor's arguments are 0x, and {FACTS} says 0x01",
        "code: the runtime code's match is none",
        "code: the creation code's match is none",
        "comment: the runtime code's match is partial",
        "comment: the creation code's match is partial",
        "compiler: the runtime code's match is none",
        f"libraries: its libraries are {{}}, and {FACTS} says {{'PayableAmounts': '0x01'}}",
        "transaction: the creation code's match is none",
    ):
        assert fault in found
    assert "transaction: the runtime code's match is none" not in found
    assert any("0.8.36+commit.00000000" in fault for fault in found), found


def test_book_of_another_artifact_is_refused(address_book: Json, tmp_path: Path) -> None:
    contract = address_book["contracts"]["EventLog"] | {"artifact_sha256": "00" * 32}
    with pytest.raises(VerificationError, match="EventLog was deployed from another artifact"):
        write(address_book | {"contracts": {"EventLog": contract}}, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_command_writes_and_checks(
    address_book: Json, chain: ChainManager, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    book, folder = tmp_path / "book.json", tmp_path / "packages"
    only = {"EventLog": address_book["contracts"]["EventLog"]}
    book.write_text(json.dumps(address_book | {"contracts": only}))
    assert verification.main(["write", str(book), str(folder)]) == 0
    assert verification.main(["check", str(folder), chain.provider.uri]) == 0
    assert capsys.readouterr().out.endswith("1 contract(s) match perfectly\n")
    assert verification.main(["check"]) == 2
    with pytest.raises(VerificationError, match="holds no packages"):
        verification.main(["check", str(tmp_path / "none"), chain.provider.uri])
