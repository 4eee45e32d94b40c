"""The command that proves the contracts' arithmetic and Merkle consistency for every input.

`.venv/bin/python scripts/assurance/prove.py` has halmos prove every `check_` of
tests/contracts/symbolic, and Z3 the lemmas of scripts/assurance/lemmas.py; a proof that comes to no
verdict fails, too. `--faults` plants a fault for every proof in a copy of the contracts: there
each of them must have a counterexample.

Halmos wants versions that nothing else here bears: it gets an environment of its own, from
requirements/halmos.txt, in build/halmos. Needs `forge` in node_modules/.bin.
"""

import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import NamedTuple

from scripts.assurance.tools import ROOT, TOOLS_PATH, run_tool

LOCK = ROOT / "requirements" / "halmos.txt"
ENVIRONMENT = ROOT / "build" / "halmos"
PYTHON = ENVIRONMENT / "bin" / "python"
PROOFS = Path("tests/contracts/symbolic")
HARNESS = Path("tests/contracts/support/MerkleHarness.sol")
CONTRACTS = Path("contracts")
OUT = "build/forge-proofs"
TIMEOUT_S = 1200
SOLVER_TIMEOUT = "120s"
PROVEN, REFUTED = 0, 1  # halmos's codes; others mean that it could not tell


class ProofError(Exception):
    """No result that can be relied on."""


class Fault(NamedTuple):
    """One exact edit of one file of contracts/, named without `.sol`."""

    file: str
    old: str
    new: str


# Together they break every proof; none hides another, as each is in a function of its own.
FAULTS = (
    Fault("escrow/Ledger", "endsAt_ << 200 | budget_ << 80", "endsAt_ << 200 | budget_ << 79"),
    Fault("escrow/Ledger", "~(UINT40 << 160 | UINT80)", "~(UINT40 << 160)"),
    Fault("escrow/Ledger", "~(UINT80 << 80)", "~(UINT80 << 81)"),
    Fault("escrow/Ledger", "| flag << 240", "^ flag << 240"),
    Fault("escrow/Ledger", "| priceStep_ << 160 |", "| priceStep_ << 159 |"),
    Fault("escrow/Ledger", "| holdbackPeriod_ << 160 |", "| holdbackPeriod_ << 161 |"),
    Fault(
        "escrow/Release", "net * feeBps / BPS - paid * feeBps / BPS", "(net - paid) * feeBps / BPS"
    ),
    Fault("escrow/Release", "(recent < net ? recent : net)", "(recent < net ? net : recent)"),
    Fault(
        "escrow/Release", "leak < level ? level - leak : 0", "leak < level ? level - leak : leak"
    ),
    Fault("escrow/Statements", 'if (earned < record.earned) return "earned_fell";', ""),
    Fault("payout/Shares", "uint16(word >> 80)", "uint16(word >> 81)"),
    Fault("payout/Shares", "received * bps / BPS", "received / BPS * bps"),
    Fault("log/MerkleLog", "if (newSize <= oldSize)", "if (newSize < oldSize)"),
    Fault(
        "log/MerkleLog",
        "_requireRoot(newRoot, newHash, proof.length, used);",
        "_requireRoot(newRoot, newRoot, used, used);",
    ),
)


def ready_environment() -> None:
    """Make halmos's environment as the lock says, unless it is there. Raises ProofError."""
    stamp = ENVIRONMENT / ".complete"
    wanted = hashlib.sha256(f"{ROOT}\n".encode() + LOCK.read_bytes()).hexdigest()
    if stamp.is_file() and stamp.read_text() == wanted:
        return
    venv.create(ENVIRONMENT, clear=True, with_pip=False)
    done = subprocess.run(
        [
            *(str(ROOT / ".venv/bin/uv"), "pip", "sync", "--quiet", "--python", str(PYTHON)),
            *("--require-hashes", str(LOCK)),
        ],
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise ProofError(f"halmos's environment cannot be made:\n{done.stderr}")
    stamp.write_text(wanted)


def expected(project: Path) -> set[str]:
    """Return the names of all proofs of a project."""
    texts = (file.read_text() for file in (project / PROOFS).glob("*.t.sol"))
    return {name for text in texts for name in re.findall(r"function (check_\w+)", text)}


def prove(project: Path) -> dict[str, int]:
    """Return halmos's verdict on each proof of a project: PROVEN, REFUTED or another code.

    Raises ProofError if the proofs do not compile, or if halmos leaves one out.
    """
    report = project / OUT / "halmos.json"
    report.parent.mkdir(parents=True, exist_ok=True)
    report.unlink(missing_ok=True)
    # Forge compiles the proofs and what they import, and nothing else.
    forge = {"SRC": str(PROOFS), "TEST": str(PROOFS), "OUT": OUT, "CACHE_PATH": f"{OUT}-cache"}
    forge["DYNAMIC_TEST_LINKING"] = "false"  # halmos links nothing
    done = run_tool(
        [
            *(str(PYTHON), str(ROOT / "scripts/assurance/halmos_main.py"), "--function", "check_"),
            *("--forge-build-out", OUT, "--solver-timeout-assertion", SOLVER_TIMEOUT),
            *("--no-status", "--json-output", str(report), "--minimal-json-output"),
        ],
        project,
        TIMEOUT_S,
        PATH=f"{ENVIRONMENT / 'bin'}:{TOOLS_PATH}",
        **{f"FOUNDRY_{name}": value for name, value in forge.items()},
    )
    if not report.is_file():
        raise ProofError(f"halmos gave no results:\n{done.stdout}{done.stderr}")
    groups = json.loads(report.read_text())["test_results"].values()
    results = {test["name"].split("(")[0]: test["exitcode"] for group in groups for test in group}
    if missing := expected(project) ^ results.keys():
        raise ProofError(f"halmos did not speak of {min(missing)}:\n{done.stdout}{done.stderr}")
    return results


def copy_with_faults(project: Path) -> None:
    """Copy what the proofs need, with all faults. Raises ProofError for a fault gone stale."""
    for part in (Path("contracts"), PROOFS):
        # Ape keeps a folder of its own in contracts/ while it runs.
        shutil.copytree(ROOT / part, project / part, ignore=shutil.ignore_patterns(".cache"))
    for file in (HARNESS, Path("foundry.toml")):
        (project / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, project / file)
    for name in ("node_modules", "scripts", ".venv"):
        (project / name).symlink_to(ROOT / name)
    for fault in FAULTS:
        file = project / CONTRACTS / f"{fault.file}.sol"
        source = file.read_text()
        if source.count(fault.old) != 1:
            raise ProofError(f"{fault.file}.sol has not exactly one {fault.old!r} any more")
        file.write_text(source.replace(fault.old, fault.new))


def run(wanted: int) -> list[str]:
    """Return the proofs that end otherwise than wanted; those to be refuted get their faults."""
    with tempfile.TemporaryDirectory() as folder:
        project = ROOT
        if wanted == REFUTED:
            project = Path(folder)
            copy_with_faults(project)
        results = prove(project)
    wrong = [f"{name} (halmos's code {code})" for name, code in results.items() if code != wanted]
    fault = ["--with-fault"] if wanted == REFUTED else []
    lemmas = run_tool([PYTHON, ROOT / "scripts/assurance/lemmas.py", *fault], ROOT, TIMEOUT_S)
    if lemmas.returncode:
        wrong.append(f"scripts/assurance/lemmas.py:\n{lemmas.stdout}{lemmas.stderr}")
    verdict = "proven" if wanted == PROVEN else "refuted"
    print(f"{len(results)} proofs and {len(lemmas.stdout.splitlines())} lemmas, to be {verdict}")
    return wrong


def main(arguments: list[str]) -> int:
    if unknown := set(arguments) - {"--faults"}:
        print(f"prove.py: unknown argument {min(unknown)!r}; the only one is --faults")
        return 2
    try:
        ready_environment()
        wrong = run(REFUTED if arguments else PROVEN)
    except (ProofError, subprocess.TimeoutExpired) as error:
        print(f"prove.py: {error}", file=sys.stderr)
        return 1
    for text in wrong:
        print(f"otherwise: {text}")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
