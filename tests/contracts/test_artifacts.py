"""The committed artifacts are what the committed sources compile to, byte for byte."""

import json
from pathlib import Path

import pytest

from scripts import compile as compiler

EIP_170_BYTES = 24_576


@pytest.fixture(scope="module")
def compiled() -> dict[Path, str]:
    return compiler.build()


def test_compile_reproduces_the_committed_artifacts(compiled: dict[Path, str]) -> None:
    assert {file.name for file in compiled} == {
        file.name for file in compiler.ARTIFACTS.glob("*.json")
    }
    assert compiler.stale(compiled) == []


def test_one_changed_byte_is_found(compiled: dict[Path, str]) -> None:
    file, text = next(iter(compiled.items()))
    assert compiler.stale({file: text.replace("6080", "6081", 1)}) == [file.name]
    assert compiler.stale({file: text[:-1]}) == [file.name]


@pytest.mark.parametrize("name", compiler.SOURCES)
def test_artifact_is_complete(name: str, compiled: dict[Path, str]) -> None:
    artifact = json.loads(compiled[compiler.ARTIFACTS / f"{name}.json"])
    assert artifact["contractName"] == name
    assert artifact["compilerVersion"].startswith("0.8.37+commit.")
    code = bytes.fromhex(artifact["deployedBytecode"].removeprefix("0x"))
    assert 0 < len(code) <= EIP_170_BYTES
    assert code in bytes.fromhex(artifact["bytecode"].removeprefix("0x"))
    sources = artifact["standardJsonInput"]["sources"]
    assert artifact["sourceName"] in sources
    assert all(set(source) == {"content"} for source in sources.values())
    for places in artifact["immutableReferences"].values():
        for place in places:
            assert not any(code[place["start"] : place["start"] + place["length"]])
