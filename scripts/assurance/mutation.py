"""The command that mutates the contracts and finds the mutants that the forge tests let live.

    .venv/bin/python scripts/assurance/mutation.py [TARGET...] [--sample N] [--budget-s N] [--again]

The mutants are those of `slither-mutate`: every statement replaced by a revert, every statement
taken out, then the smaller changes, where no larger one survived on the same line. Each is tried in
a copy with the tests of its target alone. Of a target's smaller changes a fixed random sample of N
is tried (0: all); what sample and budget leave out is counted. Survivors go to
docs/security/mutation.md, where each needs an explanation; without one the command fails. `--again`
tries only those survivors, after the tests have become better. A mutant whose tests come to no end
in time counts as killed; it is named, because on a busy machine that need be no endless loop.

Slither reads the contracts once for all targets. Tests are compiled once for each: forge links
them to the contracts' artifacts when they run, and only those are made anew, by compilers that work
ahead. A library that its tests embed is compiled with them instead.
"""

import argparse
import json
import logging
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from itertools import product
from pathlib import Path
from queue import SimpleQueue
from types import SimpleNamespace
from typing import Any, NamedTuple, Self

from slither import Slither
from slither.tools.mutator.mutators import all_mutators

from scripts.assurance.survivors import Last, Mutant, SurvivorsError, Tally, explanations, written
from scripts.assurance.tools import ROOT, TOOLS_PATH

SURVIVORS = ROOT / "docs" / "security" / "mutation.md"
OUT = "build/forge-mutation"
TIMEOUT_S = 300
WHOLE = ("RR", "CR")  #  a statement replaced by a revert, or taken out
SEED = 0x7A11
COMPILERS = 2

Json = dict[str, Any]


class Target(NamedTuple):
    """A file to mutate and the tests that must notice; `roots`, what is compiled, as FILE:NAME.

    Every contract that holds some of the file's code is a root, be it a test. Without roots forge
    compiles the tests anew.
    """

    file: str
    tests: tuple[str, ...]
    roots: tuple[str, ...] = ()


CLAIMS = "contracts/escrow/Claims.sol:Claims"
PAYABLE_AMOUNTS = "contracts/escrow/PayableAmounts.sol:PayableAmounts"
ESCROW = "contracts/escrow/OutcomeEscrow.sol:OutcomeEscrow"
ESCROW_LENS = "contracts/escrow/EscrowLens.sol:EscrowLens"
EVENT_LOG = "contracts/log/EventLog.sol:EventLog"
EVIDENCE = "contracts/evidence/Evidence.sol:Evidence"
FUNDINGS = "contracts/escrow/Fundings.sol:Fundings"
JOB_EVALUATOR = "contracts/integrations/JobEvaluator.sol:JobEvaluator"
JOB_EVALUATORS = "contracts/integrations/JobEvaluator.sol:JobEvaluators"
SPLIT = "contracts/payout/Split.sol:Split"
SPLITS = "contracts/payout/Split.sol:Splits"
STATEMENTS = "contracts/escrow/Statements.sol:Statements"
TERMS_RULES = "contracts/terms/TermsRules.sol:TermsRules"


def _of_escrow(*names: str) -> tuple[str, ...]:
    return tuple(f"escrow/{name}.t.sol" for name in names)


def _test_of(folder: str, library: str) -> str:
    return f"tests/contracts/{folder}/{library}.t.sol:{library}Test"


EVIDENCE_TESTS = tuple(
    f"evidence/{name}.t.sol" for name in ("Outcome", "Claim", "Reversals", "Rival", "Totals")
)
PAYABLE_AMOUNTS_TESTS = (
    "integrations/Feedback.t.sol",
    *_of_escrow("Challenge", "ClaimsPaid", "Close", "Holdback", "RateCap", "Reserve", "Status"),
)
LENS_TESTS = _of_escrow(
    "Challenge",
    "ClaimsPaid",
    "Claims",
    "Close",
    "EscrowLens",
    "Holdback",
    "RateCap",
    "Reserve",
    "Status",
)
RECORD_TESTS = _of_escrow(
    "Challenge",
    "ClaimsPaid",
    "Claims",
    "Close",
    "Dispute",
    "Holdback",
    "Refund",
    "Reserve",
    "Reversal",
)
RULES_TESTS = ("terms/TermsRules.t.sol", "terms/OpenRules.t.sol", "escrow/Agent.t.sol")
TERMS_TESTS = (
    "log/Publish.t.sol",
    "terms/Terms.t.sol",
    *_of_escrow("Open", "Settle", "Close", "Withdraw"),
)
VAULT_TESTS = _of_escrow(
    "Consent",
    "Constructor",
    "GuardedPayout",
    "OpenBySignature",
    "Open",
    "Payout",
    "Refund",
    "Revoke",
    "Settle",
    "Withdraw",
)

TARGETS = {
    "EventLog": Target("contracts/log/EventLog.sol", ("log",), (EVENT_LOG,)),
    "MerkleLog": Target(
        "contracts/log/MerkleLog.sol",
        ("log/MerkleLog.t.sol", "log/MerkleVectors.t.sol"),
    ),
    "Ledger": Target("contracts/escrow/Ledger.sol", ("escrow/Ledger.t.sol",)),
    "Release": Target("contracts/escrow/Release.sol", ("escrow/Release.t.sol",)),
    "Evidence": Target("contracts/evidence/Evidence.sol", EVIDENCE_TESTS, (EVIDENCE,)),
    "Totals": Target("contracts/evidence/Totals.sol", EVIDENCE_TESTS, (EVIDENCE,)),
    "Reversals": Target("contracts/evidence/Reversals.sol", EVIDENCE_TESTS, (EVIDENCE,)),
    "Attribution": Target("contracts/evidence/Attribution.sol", EVIDENCE_TESTS, (EVIDENCE,)),
    "Feedback": Target(
        "contracts/integrations/Feedback.sol",
        ("integrations/Feedback.t.sol",),
        ("contracts/integrations/Feedback.sol:Feedback",),
    ),
    "Statements": Target(
        "contracts/escrow/Statements.sol",
        _of_escrow("Challenge", "Dispute", "Retire", "Reversal"),
        (STATEMENTS,),
    ),
    "Claims": Target(
        "contracts/escrow/Claims.sol",
        ("escrow/Claims.t.sol", "escrow/ClaimsPaid.t.sol"),
        (CLAIMS,),
    ),
    "PayableAmounts": Target(
        "contracts/escrow/PayableAmounts.sol",
        PAYABLE_AMOUNTS_TESTS,
        (PAYABLE_AMOUNTS, ESCROW_LENS),
    ),
    "EscrowLens": Target("contracts/escrow/EscrowLens.sol", LENS_TESTS, (ESCROW_LENS,)),
    "SettlementRules": Target(
        "contracts/escrow/SettlementRules.sol",
        ("escrow/SettlementRules.t.sol",),
        (ESCROW, ESCROW_LENS, _test_of("escrow", "SettlementRules")),
    ),
    "Times": Target(
        "contracts/escrow/Times.sol",
        _of_escrow("Claims", "ClaimsPaid", "Open", "Refund", "Status"),
        (ESCROW, ESCROW_LENS),
    ),
    "Fundings": Target(
        "contracts/escrow/Fundings.sol", _of_escrow("Open", "OpenBySignature"), (FUNDINGS,)
    ),
    "GuardedRecord": Target(
        "contracts/escrow/GuardedRecord.sol",
        RECORD_TESTS,
        (CLAIMS, PAYABLE_AMOUNTS, ESCROW, STATEMENTS),
    ),
    "OutcomeEscrow": Target("contracts/escrow/OutcomeEscrow.sol", ("escrow",), (ESCROW,)),
    "Vault": Target("contracts/escrow/Vault.sol", VAULT_TESTS, (ESCROW,)),
    "Exhibits": Target("contracts/evidence/Exhibits.sol", EVIDENCE_TESTS, (EVIDENCE,)),
    "Payloads": Target("contracts/evidence/Payloads.sol", EVIDENCE_TESTS, (EVIDENCE,)),
    "Terms": Target(
        "contracts/terms/Terms.sol", TERMS_TESTS, (ESCROW, EVENT_LOG, _test_of("terms", "Terms"))
    ),
    "TermsRules": Target(
        "contracts/terms/TermsRules.sol",
        RULES_TESTS,
        (TERMS_RULES,),
    ),
    "Signatures": Target(
        "contracts/escrow/Signatures.sol",
        ("escrow/Signatures.t.sol",),
        (_test_of("escrow", "Signatures"),),
    ),
    "Rounds": Target(
        "contracts/escrow/Rounds.sol",
        ("escrow/Rounds.t.sol",),
        ("contracts/escrow/Rounds.sol:Rounds",),
    ),
    "Shares": Target("contracts/payout/Shares.sol", ("payout",), (SPLIT,)),
    "Split": Target("contracts/payout/Split.sol", ("payout",), (SPLIT, SPLITS)),
    "JobEvaluator": Target(
        "contracts/integrations/JobEvaluator.sol",
        ("integrations/JobEvaluator.t.sol", "integrations/Hostile.t.sol"),
        (JOB_EVALUATOR, JOB_EVALUATORS),
    ),
}


# ------------------------------------------------------------ mutants


ENVIRONMENT = {
    "PATH": TOOLS_PATH,
    "FOUNDRY_PROFILE": "default",
    "FOUNDRY_OPTIMIZER": "false",
    "FOUNDRY_DYNAMIC_TEST_LINKING": "true",
    "FOUNDRY_SOLC": "./solc",
}
# Forge asks for the version each time, and loading the compiler takes as long as a run of tests.
SOLC = """\
#!/bin/sh
[ "$1" = --version ] || exec scripts/solc "$@"
cat <<'.'
%s.
"""
FUZZ_RUNS = 64


def _forge(folder: Path, *arguments: str, out: str = OUT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["forge", *arguments, "--out", out, "--cache-path", f"{out}-cache"],
        cwd=folder,
        check=False,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )


def _closure(files: list[Path]) -> set[Path]:
    """Return these files and all of the project's that they import."""
    found, waiting = set[Path](), list(files)
    while waiting:
        file = waiting.pop()
        if file in found:
            continue
        found.add(file)
        for name in re.findall(r'from\s+"([^"]+)"', file.read_text()):
            imported = file.parent / name if name.startswith(".") else ROOT / name
            if imported.resolve().is_file() and not name.startswith(("@", "forge-std")):
                waiting.append(imported.resolve())
    return found


def copy_target(target: Target, folder: Path) -> None:
    """Copy the target, its tests and what these need: forge compiles all that is there."""
    tests = [ROOT / "tests/contracts" / name for name in target.tests]
    files = [file for test in tests for file in (sorted(test.rglob("*.sol")) or [test])]
    for file in _closure([*files, ROOT / target.file]):
        to = folder / file.relative_to(ROOT)
        to.parent.mkdir(parents=True, exist_ok=True)
        # So that the environment sets how often a test is fuzzed.
        to.write_text(
            re.sub(rf"/// forge-config: \S+fuzz\.runs = {FUZZ_RUNS}\n", "\n", file.read_text())
        )
    shutil.copytree(ROOT / "tests/vectors", folder / "tests/vectors")
    _add_tools(folder)


def _add_tools(folder: Path) -> None:
    shutil.copy(ROOT / "foundry.toml", folder)
    for name in ("node_modules", "scripts", ".venv"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "solc").write_text(SOLC % _solc_version())
    (folder / "solc").chmod(0o755)


@cache
def _solc_version() -> str:
    command = [str(ROOT / "scripts/solc"), "--version"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


class Analysis(NamedTuple):
    """Slither's view of a copy of all contracts, and the copy's folder."""

    unit: Any
    folder: Path


def analyse(folder: Path) -> Analysis:
    """Copy all contracts into a folder, and have Slither read them."""
    ignored = shutil.ignore_patterns(".cache")  # of ape
    shutil.copytree(ROOT / "contracts", folder / "contracts", ignore=ignored)
    _add_tools(folder)
    return Analysis(_analysed(folder), folder)


def mutants(target: Target, analysis: Analysis) -> list[Mutant]:
    """Return all mutants of the file, each text once; the larger changes first.

    As in `slither-mutate`, a function that an operator cannot handle gets none of its mutants.
    """
    unit, folder = analysis
    path, source = str(folder / target.file), (folder / target.file).read_bytes()
    operators: list[Any] = sorted(
        (item for item in vars(all_mutators).values() if isinstance(item, type)),
        key=lambda item: (item.NAME not in WHOLE, item.NAME == "CR", item.NAME),
    )
    found, seen = list[Mutant](), {source}
    for operator, place in product(operators, list(_places(unit, path))):
        maker = operator(unit, 0, "", "", place, None, False, folder, [])
        try:
            made = maker._mutate()  # noqa: SLF001 (its public method runs tests of its own)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError):
            print(f"{operator.NAME} cannot handle {place.name} in {target.file}")
            continue
        for patch in made.get("patches", {}).get(path, ()):
            before, after = source[: patch["start"]], source[patch["end"] :]
            text = before + patch["new_string"].encode() + after
            if text not in seen:
                seen.add(text)
                line, old = before.count(b"\n") + 1, source[patch["start"] : patch["end"]].decode()
                found.append(Mutant(operator.NAME, line, old, patch["new_string"], text.decode()))
    return found


def _analysed(folder: Path) -> Any:
    """Return Slither's view of the folder's contracts."""
    out, here = f"{OUT}-analysis", Path.cwd()
    plain = {"FOUNDRY_DYNAMIC_TEST_LINKING": "false"}
    os.environ.update(plain)
    try:
        built = _forge(folder, "build", "contracts", "--build-info", "--force", out=out)
        if built.returncode:
            raise SystemExit(f"the contracts do not compile:\n{built.stdout}{built.stderr}")
        os.chdir(folder)
        logging.disable(logging.ERROR)
        return Slither(".", ignore_compile=True, foundry_out_directory=out).compilation_units[0]
    finally:
        os.chdir(here)
        os.environ.update(ENVIRONMENT)


def _places(unit: Any, path: str) -> Iterator[Any]:
    """Yield a file's functions and its contracts' variables, each as operators expect a contract.

    slither-mutate takes contracts whole, passes over functions outside of them, and gives up on a
    contract with the first function that an operator cannot handle.
    """

    def place(name: str, mapping: Any, functions: list[Any], variables: list[Any]) -> Any:
        return SimpleNamespace(
            name=name,
            source_mapping=mapping,
            functions_and_modifiers_declared=functions,
            functions_declared=functions,
            state_variables_declared=variables,
        )

    functions = list(unit.functions_top_level)
    for contract in unit.contracts:
        functions += contract.functions_and_modifiers_declared
        if contract.source_mapping.filename.absolute == path:
            variables = contract.state_variables_declared
            yield place(contract.name, contract.source_mapping, [], variables)
    for function in functions:
        if function.source_mapping.filename.absolute == path:
            yield place(function.name, function.source_mapping, [function], [])


# ------------------------------------------------------------ trying them


class Compiler:
    """One compiler process for a target's roots; see scripts/assurance/mutation.cjs."""

    def __init__(self, target: Target, folder: Path) -> None:
        settings = {
            "remappings": ["forge-std/=@layerzerolabs/toolbox-foundry/lib/forge-std/"],
            "optimizer": {"enabled": False},
            "evmVersion": "osaka",
        }
        node, script = ROOT / ".venv/bin/node", ROOT / "scripts/assurance/mutation.cjs"
        self._process = subprocess.Popen(
            [str(node), str(script), str(folder), json.dumps(target.roots), json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._target = target

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._process:  # its end waits, and closes the pipes
            self._process.kill()

    def compile(self, source: str) -> Json:
        if self._process.stdin is None or self._process.stdout is None:
            raise ValueError("the compiler's pipes are closed")
        ask = {"file": self._target.file, "content": source}
        self._process.stdin.write(json.dumps(ask) + "\n")
        self._process.stdin.flush()
        answer: Json = json.loads(self._process.stdout.readline())
        return answer


class MutationRun:
    """A target in its folder, with its tests compiled."""

    def __init__(self, target: Target, folder: Path) -> None:
        self._target, self._folder = target, folder
        self._compilers = [Compiler(target, folder) for _ in range(COMPILERS * bool(target.roots))]
        try:
            passes = self._passes()
        except subprocess.TimeoutExpired:
            passes = False
        if not passes:
            raise SystemExit(
                f"the tests of {target.file} fail, or take over {TIMEOUT_S} s, without any mutant"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for compiler in self._compilers:
            compiler.__exit__()

    def compiled(self, made: Sequence[Mutant]) -> Iterator[tuple[Mutant, Json | None]]:
        """Yield each with its roots' code, which is compiled while those before it are tried."""
        if not self._compilers:
            yield from ((mutant, None) for mutant in made)
            return
        free = SimpleQueue[Compiler]()
        for compiler in self._compilers:
            free.put(compiler)

        def compile_(source: str) -> Json:
            compiler = free.get()
            try:
                return compiler.compile(source)
            finally:
                free.put(compiler)

        with ThreadPoolExecutor(COMPILERS) as ahead:
            waiting = deque[tuple[Mutant, Future[Json]]]()
            for mutant in made:
                waiting.append((mutant, ahead.submit(compile_, mutant.source)))
                if len(waiting) > COMPILERS:
                    before, code = waiting.popleft()
                    yield before, code.result()
            for mutant, code in waiting:
                yield mutant, code.result()

    def survives(self, mutant: Mutant, code: Json | None) -> bool | None:
        """Tell whether every test passes with the mutant; None if it does not compile.

        Raises subprocess.TimeoutExpired if the tests come to no end in time.
        """
        if code is None:
            return self._survives_embedded(mutant)
        if "error" in code:
            return None
        originals = {self._artifact(root): self._artifact(root).read_text() for root in code}
        for root, parts in code.items():
            changed = json.loads(originals[self._artifact(root)])
            for part, made in parts.items():
                changed[part].update(made)
            self._artifact(root).write_text(json.dumps(changed))
        try:
            return self._passes()
        finally:
            for artifact, original in originals.items():
                artifact.write_text(original)

    def _artifact(self, root: str) -> Path:
        file, _, name = root.partition(":")
        return self._folder / OUT / Path(file).name / f"{name}.json"

    def _survives_embedded(self, mutant: Mutant) -> bool | None:
        file = self._folder / self._target.file
        original = file.read_text()
        file.write_text(mutant.source)
        try:
            return self._passes()
        finally:
            file.write_text(original)

    def _passes(self) -> bool | None:
        # Most mutants are noticed at once, and long fuzzing is for those that are not.
        return self._passes_with(1) and self._passes_with(FUZZ_RUNS)

    def _passes_with(self, fuzz_runs: int) -> bool | None:
        os.environ["FOUNDRY_FUZZ_RUNS"] = str(fuzz_runs)
        done = _forge(self._folder, "test", "--fail-fast")
        if "Compiler run failed" in done.stdout + done.stderr:
            return None
        if "Suite result:" not in done.stdout:
            raise SystemExit(f"forge ran no test:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        return done.returncode == 0


def chosen(made: list[Mutant], sample: int) -> tuple[list[Mutant], int]:
    """Return all larger changes with a sample of the smaller ones, and the count of the rest."""
    whole = [mutant for mutant in made if mutant.operator in WHOLE]
    small = [mutant for mutant in made if mutant.operator not in WHOLE]
    if 0 < sample < len(small):
        small = random.Random(SEED).sample(small, sample)  # noqa: S311 (to be the same each time)
    return whole + small, len(made) - len(whole) - len(small)


def run(
    name: str, analysis: Analysis, sample: int, until: float, last: Last | None = None
) -> Tally:
    """Try a target's mutants until a moment of `time.monotonic`, and print as it goes.

    With the results of last time it tries the survivors alone; those that are left when the time is
    over stay survivors. Raises SurvivorsError if it cannot find them all.
    """
    target = TARGETS[name]
    killed, by_time = (last.killed, last.killed_by_time) if last else (0, 0)
    survived, weak_lines = list[Mutant](), set[int]()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary).resolve()
        copy_target(target, folder)
        tried, untried = chosen(mutants(target, analysis), sample)
        if last:
            tried, untried = last.among(tried), last.untried
        with MutationRun(target, folder) as tests:
            for at, (mutant, code) in enumerate(tests.compiled(tried)):
                if time.monotonic() > until:
                    if last:
                        survived += tried[at:]
                    else:
                        untried += len(tried) - at
                    break
                if mutant.operator != "RR" and mutant.line in weak_lines:
                    continue
                what = f"{mutant.old!r} -> {mutant.new!r}"
                try:
                    alive = tests.survives(mutant, code)
                except subprocess.TimeoutExpired:  # an endless loop is noticed
                    alive = False
                    by_time += 1
                    print(f"{name}:{mutant.line} killed by time, {TIMEOUT_S} s: {what}", flush=True)
                killed += alive is False
                if alive:
                    survived.append(mutant)
                    print(f"{name}:{mutant.line} lives: {what}", flush=True)
                    if mutant.operator in WHOLE:
                        weak_lines.add(mutant.line)
    print(
        f"{name}: {killed} killed ({by_time} by time), {len(survived)} survived,"
        f" {untried} not tried",
        flush=True,
    )
    return Tally(killed, survived, untried, by_time, _commit())


def _commit() -> str:
    """Return the commit whose contracts and tests these are; with a plus if some are changed."""

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    changed = git("status", "--porcelain", "--", "contracts", "tests/contracts")
    return git("rev-parse", "--short", "HEAD") + "+" * bool(changed)


def main() -> int:
    parser = argparse.ArgumentParser(description="Mutation testing of the contracts.")
    parser.add_argument("targets", nargs="*", choices=[[], *TARGETS], metavar="TARGET")
    parser.add_argument("--sample", type=int, default=0)
    parser.add_argument("--budget-s", type=int, default=3600)
    parser.add_argument("--again", action="store_true", help="only what the document says lives")
    options = parser.parse_args()
    os.environ.update(ENVIRONMENT)  # Slither, too, asks for forge
    names = options.targets or list(TARGETS)
    name = names[0]
    until, files = time.monotonic() + options.budget_s, {n: t.file for n, t in TARGETS.items()}
    with tempfile.TemporaryDirectory() as temporary:
        analysis = analyse(Path(temporary).resolve())
        for done, name in enumerate(names):
            share_s = (until - time.monotonic()) / (len(names) - done)
            try:
                last = Last.of(name, SURVIVORS.read_text()) if options.again else None
                sample = 0 if last else options.sample
                tally = run(name, analysis, sample, time.monotonic() + share_s, last)
            except SurvivorsError as error:
                raise SystemExit(f"{SURVIVORS.name} keeps what it has of {name}: {error}") from None
            SURVIVORS.write_text(written(SURVIVORS.read_text(), {name: tally}, files))
    document = SURVIVORS.read_text()
    unexplained = [key for key, why in explanations(document).items() if not why.strip()]
    print(f"{len(unexplained)} survivor(s) without an explanation in {SURVIVORS.name}")
    return bool(unexplained)


if __name__ == "__main__":
    sys.exit(main())
