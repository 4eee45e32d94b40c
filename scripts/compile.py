"""The command that writes orchestrator/chain/artifacts/: the contracts as they are deployed.

Each artifact holds the ABI, the bytecode, and the complete standard-JSON input that made them, so
that anyone can compile it again, or verify the deployed code, without this repository.
With --built it compiles nothing: it compares their code with what `forge test` has just compiled.
"""

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
ARTIFACTS = ROOT / "orchestrator" / "chain" / "artifacts"
SOURCES = {
    "EventLog": "contracts/log/EventLog.sol",
    "Evidence": "contracts/evidence/Evidence.sol",
    "TermsRules": "contracts/terms/TermsRules.sol",
    "Statements": "contracts/escrow/Statements.sol",
    "Claims": "contracts/escrow/Claims.sol",
    "PayableAmounts": "contracts/escrow/PayableAmounts.sol",
    "Fundings": "contracts/escrow/Fundings.sol",
    "OutcomeEscrow": "contracts/escrow/OutcomeEscrow.sol",
    "Rounds": "contracts/escrow/Rounds.sol",
    "EscrowLens": "contracts/escrow/EscrowLens.sol",
    "Feedback": "contracts/integrations/Feedback.sol",
    "JobEvaluators": "contracts/integrations/JobEvaluator.sol",
    "JobEvaluator": "contracts/integrations/JobEvaluator.sol",
    "Splits": "contracts/payout/Split.sol",
    "Split": "contracts/payout/Split.sol",
    "TestStablecoin": "contracts/local/TestStablecoin.sol",
    "IdentityRegistry": "contracts/local/AgentRegistries.sol",
    "ReputationRegistry": "contracts/local/AgentRegistries.sol",
    "AgenticCommerce": "contracts/local/AgenticCommerce.sol",
}
# A deployed library knows its own address, behind a PUSH20 at its beginning.
LIBRARY_PROLOGUE = "73" + 20 * "00" + "30"
PLACEHOLDER = re.compile(r"__\$[0-9a-f]{34}\$__")
# What the compiler writes behind code: its version, and a hash of its metadata, which name settings
# of forge's own. A contract that creates others has theirs within its code.
METADATA = re.compile(r"a264697066735822[0-9a-f]{68}64736f6c6343[0-9a-f]{6}0033")
OUTPUTS = ["abi", "evm.bytecode", "evm.deployedBytecode", "metadata"]

Json = dict[str, Any]


class CompilationError(Exception):
    """A contract does not compile."""


def settings() -> Json:
    """Return compiler settings from foundry.toml: tests and artifacts must mean the same code."""
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


def _compile(inputs: Iterable[Json]) -> list[Json]:
    done = subprocess.run(
        [ROOT / ".venv/bin/node", ROOT / "scripts/compile.cjs"],
        input="".join(json.dumps(one) + "\n" for one in inputs),
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    outputs: list[Json] = [json.loads(line) for line in done.stdout.splitlines()]
    errors = [
        error["formattedMessage"]
        for output in outputs
        for error in output.get("errors", ())
        if error["severity"] == "error"
    ]
    if errors:
        raise CompilationError("\n".join(errors))
    return outputs


def read_imports() -> dict[str, set[str]]:
    """Return the files that each file imports, for all that the contracts consist of."""
    (analysed,) = _compile(
        [_input(set(SOURCES.values()), {"outputSelection": {"*": {"": ["ast"]}}})]
    )
    return {
        name: {
            node["absolutePath"]
            for node in source["ast"]["nodes"]
            if node["nodeType"] == "ImportDirective"
        }
        for name, source in analysed["sources"].items()
    }


def standard_json_input(source: str, imports: Mapping[str, set[str]]) -> Json:
    """Return a contract's complete compiler input: its file and all it imports, by content."""
    needed, waiting = set[str](), [source]
    while waiting:
        if (name := waiting.pop()) not in needed:
            needed.add(name)
            waiting += imports[name]
    return _input(needed, {"outputSelection": {"*": {"*": OUTPUTS}}})


def _of_one_contract(complete: Json, source: str, name: str) -> Json:
    """Return the input without the code of any other contract.

    An artifact's input asks for all of them, as explorers do. The selection has no part in the code
    nor in its metadata, and the code of the others takes twice as long.
    """
    only = {"outputSelection": {source: {name: OUTPUTS}}}
    return complete | {"settings": complete["settings"] | only}


def artifact(name: str, source: str, complete: Json, output: Json) -> Json:
    """Return a contract's artifact, from its complete input and the compiler's output."""
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
    """Return code with zeros in the place of every library's address."""
    return PLACEHOLDER.sub("0" * 40, code)


def links(references: Json) -> dict[str, list[int]]:
    """Return the places of each library's 20-byte address in the code, by its name, in bytes."""
    return {
        name: [place["start"] for place in places]
        for file in references.values()
        for name, places in file.items()
    }


def build() -> dict[Path, str]:
    """Compile every contract; return the text of each artifact's file.

    Raises `CompilationError` with the compiler's own words.
    """
    imports = read_imports()
    inputs = {name: standard_json_input(source, imports) for name, source in SOURCES.items()}
    outputs = _compile(_of_one_contract(inputs[name], SOURCES[name], name) for name in SOURCES)
    return {
        ARTIFACTS / f"{name}.json": json.dumps(
            artifact(name, source, inputs[name], output), indent=1
        )
        + "\n"
        for (name, source), output in zip(SOURCES.items(), outputs, strict=True)
    }


def stale(artifacts: dict[Path, str]) -> list[str]:
    """Return the names of the committed artifacts that differ in a byte from these texts."""
    return [
        file.name
        for file, text in artifacts.items()
        if not file.is_file() or file.read_text() != text
    ]


def differing(built: Path) -> list[str]:
    """Return the committed artifacts whose sources, settings or code are not those of today.

    `built` is the folder of forge's outputs. The code is compared without its metadata.
    """
    return [name for name, source in SOURCES.items() if not _is_built(name, source, built)]


def _is_built(name: str, source: str, built: Path) -> bool:
    committed = json.loads((ARTIFACTS / f"{name}.json").read_text())
    by_forge = json.loads((built / Path(source).name / f"{name}.json").read_text())
    return is_current(committed) and all(
        _bare(committed[member]) == _bare(by_forge[member]["object"])
        for member in ("bytecode", "deployedBytecode")
    )


def is_current(artifact: Json) -> bool:
    """Return whether an artifact's input has the sources and the settings of today."""
    given = artifact["standardJsonInput"]
    of_today = settings() | {"outputSelection": given["settings"]["outputSelection"]}
    return bool(given["settings"] == of_today) and all(
        source == {"content": (ROOT / name).read_text()}
        for name, source in given["sources"].items()
    )


def _bare(code: str) -> str:
    return METADATA.sub("", unlinked(code.removeprefix("0x")))


def main(arguments: list[str]) -> int:
    if unknown := set(arguments) - {"--check", "--built"}:
        print(f"compile.py: unknown argument {min(unknown)!r}; there are --check and --built")
        return 2
    if "--built" in arguments:
        return _tell_differing(differing(ROOT / "build/forge"))
    artifacts = build()
    if "--check" in arguments:
        return _tell_differing(stale(artifacts))
    ARTIFACTS.mkdir(exist_ok=True)
    for file, text in artifacts.items():
        file.write_text(text)
        size = len(json.loads(text)["deployedBytecode"]) // 2 - 1
        print(f"{file.relative_to(ROOT)}: {size} bytes of code")
    return 0


def _tell_differing(names: Sequence[str]) -> int:
    for name in names:
        print(f"{name} differs from what its source compiles to; run scripts/compile.py")
    return bool(names)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
