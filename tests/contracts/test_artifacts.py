"""The committed artifacts are what the committed sources compile to.

A usual run compares their sources and settings here, and their code with what forge has compiled
for its own tests (`scripts/compile.py --built`, the step `artifacts`). A deep one compiles them
anew and compares every byte.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from scripts import compile as compiler
from tests.support.depth import PROFILE

EIP_170_BYTES = 24_576


# Room for what the escrow may still have to learn.
MOST_OF_ESCROW = EIP_170_BYTES * 85 // 100


def committed(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((compiler.ARTIFACTS / f"{name}.json").read_text())
    return found


def test_each_contract_has_an_artifact_and_no_other() -> None:
    names = {file.name.removesuffix(".json") for file in compiler.ARTIFACTS.glob("*.json")}
    assert names == set(compiler.SOURCES)


if PROFILE == "deep":

    def test_compile_reproduces_the_committed_artifacts() -> None:
        assert compiler.stale(compiler.build()) == []


def test_one_changed_byte_is_found() -> None:
    name = "EventLog"
    file = compiler.ARTIFACTS / f"{name}.json"
    text = file.read_text()
    assert compiler.stale({file: text}) == []
    assert compiler.stale({file: text.replace("6080", "6081", 1)}) == [file.name]
    assert compiler.stale({file: text[:-1]}) == [file.name]


def by_forge(name: str, folder: Path) -> dict[str, Any]:
    """Write what forge writes of a contract, and return it."""
    found = committed(name)
    output = {member: {"object": found[member]} for member in ("bytecode", "deployedBytecode")}
    file = folder / Path(compiler.SOURCES[name]).name / f"{name}.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(output))
    return output


def test_code_that_forge_compiles_otherwise_is_found(tmp_path: Path) -> None:
    for name in compiler.SOURCES:
        by_forge(name, tmp_path)
    assert compiler.differing(tmp_path) == []
    output = by_forge("EventLog", tmp_path)
    file = tmp_path / "EventLog.sol" / "EventLog.json"
    end = output["bytecode"]["object"].rindex("a264697066735822")
    # Another hash of metadata is no other code; another byte before it is.
    for at, expected in ((end + 30, []), (end - 30, ["EventLog"])):
        code = output["bytecode"]["object"]
        other = code[:at] + ("1" if code[at] == "0" else "0") + code[at + 1 :]
        file.write_text(json.dumps(output | {"bytecode": {"object": other}}))
        assert compiler.differing(tmp_path) == expected


def test_an_artifact_of_other_sources_or_settings_is_found() -> None:
    found = committed("EventLog")
    assert compiler.is_current(found)
    source = found["standardJsonInput"]["sources"]["contracts/log/EventLog.sol"]
    source["content"] += "\n"
    assert not compiler.is_current(found)
    found = committed("EventLog")
    found["standardJsonInput"]["settings"]["optimizer"]["runs"] += 1
    assert not compiler.is_current(found)


@pytest.mark.parametrize("name", compiler.SOURCES)
def test_artifact_is_complete(name: str) -> None:
    artifact = committed(name)
    assert artifact["contractName"] == name
    assert artifact["compilerVersion"].startswith("0.8.37+commit.")
    code = bytes.fromhex(artifact["deployedBytecode"].removeprefix("0x"))
    assert 0 < len(code) <= (MOST_OF_ESCROW if name == "OutcomeEscrow" else EIP_170_BYTES)
    assert code in bytes.fromhex(artifact["bytecode"].removeprefix("0x"))
    sources = artifact["standardJsonInput"]["sources"]
    assert artifact["sourceName"] in sources
    assert all(set(source) == {"content"} for source in sources.values())
    for places in artifact["immutableReferences"].values():
        for place in places:
            assert not any(code[place["start"] : place["start"] + place["length"]])


def test_the_sizes_that_a_decision_tells_are_those_of_the_code() -> None:
    (page,) = compiler.ROOT.glob("docs/decisions/0007-*.md")
    (escrow, libraries) = re.findall(r"(\d\d,\d{3})(?: and|\s+more)", page.read_text())
    names = ("TermsRules", "Fundings", "Statements", "Claims", "PayableAmounts")
    sizes = [
        len(committed(name)["deployedBytecode"]) // 2 - 1 for name in ("OutcomeEscrow", *names)
    ]
    assert (escrow, libraries) == (f"{sizes[0]:,}", f"{sum(sizes[1:]):,}")
