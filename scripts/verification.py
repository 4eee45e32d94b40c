"""The command that writes packages of sources for block explorers, and checks them offline.

    .venv/bin/python scripts/verification.py write BOOK FOLDER
    .venv/bin/python scripts/verification.py check FOLDER RPC_URL

`write` makes a folder for each contract of an address book (see scripts/deploy.py): the compiler's
complete standard-JSON input, and `contract.json` with all else that a form asks for. `check` has
Sourcify's own library compile each again and compare the result with the chain: both the code and
the transaction that created it must match perfectly, so that even a changed comment is found. The
node must trace transactions (`trace_transaction`; for all but what another contract's constructor
creates, `debug_traceTransaction` will do), since a proxy creates our contracts.
"""

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
ARTIFACTS = ROOT / "orchestrator" / "chain" / "artifacts"
INPUT, FACTS = "standard-json-input.json", "contract.json"
TIMEOUT_S = 900

Json = dict[str, Any]


class VerificationError(Exception):
    """Packages that cannot be made or compared."""


def package(name: str, contract: Json, chain_id: int) -> dict[str, Json]:
    """Return a contract's files by name, from its entry in the address book.

    Raises `VerificationError` if it was deployed from another artifact than today's.
    """
    # The book has the hash of the artifact that was deployed; today's may be another.
    text = (ARTIFACTS / f"{name}.json").read_bytes()
    if hashlib.sha256(text).hexdigest() != contract["artifact_sha256"]:
        raise VerificationError(
            f"{name} was deployed from another artifact; check out the commit it was deployed from"
        )
    artifact = json.loads(text)
    return {
        INPUT: artifact["standardJsonInput"],
        FACTS: {
            "chainId": chain_id,
            "address": contract["address"],
            "creationTransactionHash": contract["transaction_hash"],
            "contractIdentifier": f"{artifact['sourceName']}:{name}",
            "compilerVersion": artifact["compilerVersion"],
            "constructorArguments": contract["constructor_arguments"],
            "libraries": {
                f"{_source(library)}:{library}": address.lower()
                for library, address in contract["libraries"].items()
            },
        },
    }


def _source(name: str) -> str:
    artifact = json.loads((ARTIFACTS / f"{name}.json").read_text())
    return str(artifact["sourceName"])


def read_json(path: Path) -> Json:
    """Read a JSON object from a file. Raises `VerificationError` if it holds none."""
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        raise VerificationError(f"{path}: is not readable as JSON") from None
    if not isinstance(found, dict):
        raise VerificationError(f"{path}: holds no JSON object")
    return found


def write(book: Json, folder: Path) -> list[Path]:
    """Write a package for each contract of the book; return their folders."""
    try:
        packages = {
            folder / name: package(name, contract, book["chain_id"])
            for name, contract in book["contracts"].items()
        }
    except (AttributeError, KeyError, TypeError) as error:
        raise VerificationError(
            f"this is no address book as scripts/deploy.py writes it: {error}"
        ) from None
    for place, files in packages.items():
        place.mkdir(parents=True, exist_ok=True)
        for file, content in files.items():
            (place / file).write_text(json.dumps(content, indent=2) + "\n")
    return list(packages)


def check(folder: Path, rpc_url: str) -> Json:
    """Compare each package in the folder with the chain.

    Returns, by contract: `runtime` (the code), `creation` (the transaction), `constructorArguments`
    (those of the transaction), `libraries` (those that the code calls), `error`. A match is
    `perfect`, `partial` or none. Raises `VerificationError` where nothing can be compared.
    """
    places = sorted(file.parent for file in folder.glob(f"*/{FACTS}"))
    if not places:
        raise VerificationError(f"{folder} holds no packages; make them with `write` first")
    asked = [
        {
            "facts": read_json(place / FACTS),
            "input": read_json(place / INPUT),
        }
        for place in places
    ]
    done = subprocess.run(
        [str(ROOT / ".venv/bin/node"), str(ROOT / "scripts/verification.cjs")],
        input=json.dumps({"rpcUrl": rpc_url, "packages": asked}),
        check=False,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    if done.returncode != 0:
        raise VerificationError(f"Sourcify's library failed:\n{done.stderr.strip()}")
    results = json.loads(done.stdout)
    return {place.name: result for place, result in zip(places, results, strict=True)}


def faults(folder: Path, results: Json) -> list[str]:
    """Return each difference between the packages and the contracts on the chain."""
    found = list[str]()
    for name, result in results.items():
        facts = json.loads((folder / name / FACTS).read_text())
        found += [
            f"{name}: the {part} code's match is {result[part] or 'none'}"
            for part in ("runtime", "creation")
            if result[part] != "perfect"
        ]
        if result["creation"] == "perfect":
            found += [
                f"{name}: its {what} are {result[key]}, and {FACTS} says {facts[key]}"
                for key, what in (
                    ("constructorArguments", "constructor's arguments"),
                    ("libraries", "libraries"),
                )
                if result[key] != facts[key]
            ]
        if result["error"]:
            found.append(f"{name}: {result['error']}")
    return found


def main(arguments: list[str]) -> int:
    match arguments:
        case ["write", book, folder]:
            for place in write(read_json(Path(book)), Path(folder)):
                print(place)
            return 0
        case ["check", folder, rpc_url]:
            results = check(Path(folder), rpc_url)
            found = faults(Path(folder), results)
            print("\n".join(found) or f"{len(results)} contract(s) match perfectly")
            return bool(found)
    print("usage: verification.py write BOOK FOLDER | check FOLDER RPC_URL", file=sys.stderr)
    return 2


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except (VerificationError, OSError) as error:
        sys.exit(f"verification.py: {error}")
