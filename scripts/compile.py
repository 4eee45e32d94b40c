"""Writes orchestrator/artifacts/: what the product knows of each contract it deploys or calls.

Each artifact holds the ABI, the bytecode, and the complete standard-JSON input that made them, so
that anyone can compile it again, or verify the deployed code, without this repository.
`.venv/bin/python scripts/compile.py` writes them; with --check it only compares, byte for byte.
"""

import json
import os
import re
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import solcx

ROOT = Path(__file__).resolve().parent.parent
ARTIFACTS = ROOT / "orchestrator" / "artifacts"
COMPILERS = ROOT / "build" / "solcx"
SOURCES = {
    "EventLog": "contracts/log/EventLog.sol",
    "Evidence": "contracts/evidence/Evidence.sol",
    "TermsRules": "contracts/terms/TermsRules.sol",
    "Statements": "contracts/escrow/Statements.sol",
    "Claims": "contracts/escrow/Claims.sol",
    "PayableAmounts": "contracts/escrow/PayableAmounts.sol",
    "OutcomeEscrow": "contracts/escrow/OutcomeEscrow.sol",
    "Feedback": "contracts/integrations/Feedback.sol",
    "JobEvaluators": "contracts/integrations/JobEvaluator.sol",
    "JobEvaluator": "contracts/integrations/JobEvaluator.sol",
    "TestStablecoin": "contracts/local/TestStablecoin.sol",
    "IdentityRegistry": "contracts/local/AgentRegistries.sol",
    "ReputationRegistry": "contracts/local/AgentRegistries.sol",
    "AgenticCommerce": "contracts/local/AgenticCommerce.sol",
}
# A deployed library knows its own address, behind a PUSH20 at its beginning.
LIBRARY_PROLOGUE = "73" + 20 * "00" + "30"
PLACEHOLDER = re.compile(r"__\$[0-9a-f]{34}\$__")
OUTPUTS = ["abi", "evm.bytecode", "evm.deployedBytecode", "metadata"]

Json = dict[str, Any]


def compiler_version() -> str:
    """The version (`0.8.37`) by whose name scripts/bootstrap linked the compiler for py-solc-x."""
    os.environ["SOLCX_BINARY_PATH"] = str(COMPILERS)
    version: str = json.loads((ROOT / "package.json").read_text())["devDependencies"]["solc"]
    return version


def settings() -> Json:
    """Compiler settings, from foundry.toml: tests and artifacts must mean the same code."""
    profile = tomllib.loads((ROOT / "foundry.toml").read_text())["profile"]["default"]
    return {
        "remappings": [line for line in profile["remappings"] if line.startswith("@openzeppelin/")],
        "optimizer": {"enabled": profile["optimizer"], "runs": profile["optimizer_runs"]},
        "evmVersion": profile["evm_version"],
        "viaIR": profile.get("via_ir", False),
    }


def _input(sources: Iterable[str], extra: Json) -> Json:
    return {
        "language": "Solidity",
        "sources": {name: {"content": (ROOT / name).read_text()} for name in sorted(sources)},
        "settings": settings() | extra,
    }


def standard_json_input(source: str, version: str) -> Json:
    """One contract's complete compiler input: its file and all it imports, by content."""
    analyse = {"outputSelection": {"*": {"": ["ast"]}}}
    analysed = solcx.compile_standard(
        _input([source], analyse), base_path=ROOT, solc_version=version
    )
    return _input(analysed["sources"], {"outputSelection": {"*": {"*": OUTPUTS}}})


def artifact(name: str, source: str, version: str) -> Json:
    """Compiles one contract. Raises solcx.exceptions.SolcError with the compiler's own words."""
    complete = standard_json_input(source, version)
    output: Json = solcx.compile_standard(complete, base_path=ROOT, solc_version=version)
    if missing := output["sources"].keys() - complete["sources"].keys():
        raise ValueError(f"{name}'s standard-JSON input lacks {sorted(missing)}")
    contract = output["contracts"][source][name]
    code, deployed = contract["evm"]["bytecode"], contract["evm"]["deployedBytecode"]
    immutables = deployed["immutableReferences"]
    if deployed["object"].startswith(LIBRARY_PROLOGUE):
        immutables = {"library": [{"length": 20, "start": 1}]}
    return {
        "contractName": name,
        "sourceName": source,
        "compilerVersion": json.loads(contract["metadata"])["compiler"]["version"],
        "abi": contract["abi"],
        "bytecode": "0x" + unlinked(code["object"]),
        "deployedBytecode": "0x" + unlinked(deployed["object"]),
        "linkReferences": links(code["linkReferences"]),
        "deployedLinkReferences": links(deployed["linkReferences"]),
        "immutableReferences": immutables,
        "standardJsonInput": complete,
    }


def unlinked(code: str) -> str:
    """Code with zeros in the place of every library's address."""
    return PLACEHOLDER.sub("0" * 40, code)


def links(references: Json) -> dict[str, list[int]]:
    """Where the 20 bytes of each library's address go, by its name; offsets in bytes."""
    return {
        name: [place["start"] for place in places]
        for file in references.values()
        for name, places in file.items()
    }


def build() -> dict[Path, str]:
    """Every artifact file and what it must hold."""
    version = compiler_version()
    return {
        ARTIFACTS / f"{name}.json": json.dumps(artifact(name, source, version), indent=1) + "\n"
        for name, source in SOURCES.items()
    }


def stale(artifacts: dict[Path, str]) -> list[str]:
    """Names of the committed artifacts that are not, byte for byte, what was just compiled."""
    return [
        file.name
        for file, text in artifacts.items()
        if not file.is_file() or file.read_text() != text
    ]


def main(arguments: list[str]) -> int:
    if unknown := set(arguments) - {"--check"}:
        print(f"compile.py: unknown argument {min(unknown)!r}; the only one is --check")
        return 2
    artifacts = build()
    if "--check" in arguments:
        for name in (names := stale(artifacts)):
            print(f"{name} is not what its source compiles to; run scripts/compile.py")
        return bool(names)
    ARTIFACTS.mkdir(exist_ok=True)
    for file, text in artifacts.items():
        file.write_text(text)
        size = len(json.loads(text)["deployedBytecode"]) // 2 - 1
        print(f"{file.relative_to(ROOT)}: {size} bytes of code")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
