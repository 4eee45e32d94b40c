"""The command that mutates the contracts and finds the mutants that the forge tests let live.

    .venv/bin/python -m scripts.assurance.mutation [TARGET...] [--sample N] [--budget-s N] [--again]

The mutants are those of `slither-mutate`: every statement replaced by a revert, every statement
taken out, then the smaller changes, where no larger one survived on the same line. Each is tried
with the tests of its target alone. Of a target's smaller changes a fixed random sample of N is
tried (0: all); what sample and budget leave out is counted. Survivors go to
docs/security/mutation.md, where each needs an explanation; without one the command fails. `--again`
tries only those survivors, after the tests have become better.

Tests are compiled once, without the optimizer, in build/mutation. A hundred mutants and more are
compiled as one text, in which a switch chooses (switches.py), and are tried in one run of forge
(trials.py); the few that no switch can make are compiled alone. A mutant meets first the tests that
reach its function, which are those that fail if the function reverts; what these let live meets all
tests of its target, with more inputs of fuzzed ones. Of what lives then, the optimized code is
compared with the contract's: a mutant with the same code is none, and is counted apart.
"""

import argparse
import json
import os
import random
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

from scripts.assurance.mutation import trials, workshop
from scripts.assurance.mutation.mutants import WHOLE, Analysis, analyse, mutants
from scripts.assurance.mutation.survivors import (
    Last,
    Mutant,
    SurvivorsError,
    Tally,
    explanations,
    written,
)
from scripts.assurance.mutation.switches import Edit, Switches, blamed, functions_of
from scripts.assurance.mutation.targets import TARGETS, Target
from scripts.assurance.mutation.trials import Calls, Trial, Trials
from scripts.assurance.tools import ROOT

SURVIVORS = ROOT / "docs" / "security" / "mutation.md"
PROJECT = ROOT / "build" / "mutation"  #  contracts and tests
TRIALS = ROOT / "build" / "mutation-trials"  #  contracts and trials
SEED = 0x7A11
ENTRY = 100_000  #  from here on the numbers of switches that let a function revert at once

Json = dict[str, Any]


class MutationRun:
    """The trials of one target's mutants, in a project whose tests are compiled."""

    def __init__(self, target: Target, compiler: workshop.Compiler) -> None:
        self._target, self._compiler = target, compiler
        source = (PROJECT / target.file).read_bytes()
        tree: Json = compiler.compile(source.decode(), tree=True)["tree"]
        self._source, self._switches = source, Switches(tree, source)
        self._functions = functions_of(tree)
        self._artifacts = {
            root: workshop.artifact_of(PROJECT if root.startswith("tests/") else TRIALS, root)
            for root in target.roots
        }
        self._originals = {root: file.read_text() for root, file in self._artifacts.items()}
        self._quick = self._trials(trials.LEAST)
        self._long = self._trials(trials.MOST)
        self._reach = dict[int, Calls]()
        self._plain_code: Json = {}

    def _trials(self, inputs: int) -> Trials:
        tests = PROJECT / "tests/contracts"
        places = [tests / name for name in self._target.tests]
        files = [file for place in places for file in (sorted(place.rglob("*.t.sol")) or [place])]
        suites = trials.suites_in(PROJECT / workshop.OUT, files, inputs)
        return Trials(TRIALS, workshop.OUT, suites, workshop.TIMEOUT_S)

    def __enter__(self) -> Self:
        entries = list(self._switches.entries(self._functions, ENTRY))
        built, *_ = self._build(entries)
        for some in (self._quick, self._long):
            suites = some.calls()
            each = some.run([Trial(0, {n: c}, goes_on=True) for n, c in suites.items()])
            for name, failing in zip(suites, each, strict=True):
                some.leave_out({name: suites[name]} if failing is None else failing)
            print(f"{self._target.file}: {some.left_out} calls of tests left out", flush=True)
        asked = [Trial(edit.number, self._quick.calls(), goes_on=True) for edit in built]
        for edit, noticed in zip(built, self._quick.run(asked), strict=True):
            if noticed:
                self._reach[edit.number - ENTRY] = noticed
        return self

    def __exit__(self, *_: object) -> None:
        for root, original in self._originals.items():
            self._artifacts[root].write_text(original)

    def tried(self, made: Sequence[Mutant], until: float) -> Iterator[tuple[Mutant, bool | None]]:
        """Yield mutants with whether they survive, None if they do not compile, as time allows."""
        edits = list[Edit]()
        for number, mutant in enumerate(made, 1):
            edit = mutant.edit(number)
            if self._switches.takes_a_name(edit):
                yield mutant, None
            else:
                edits.append(edit)
        waiting = deque(edit for edit in edits if self._switches.admits(edit))
        alone = [edit for edit in edits if not self._switches.admits(edit)]
        while waiting and time.monotonic() < until:
            batch = [waiting.popleft() for _ in range(min(trials.SLOTS - 1, len(waiting)))]
            built, later, wrong = self._build(batch)
            yield from ((made[edit.number - 1], None) for edit in wrong)
            if built:
                waiting.extendleft(reversed(later))
                self._require_no_failure()
                yield from ((made[edit.number - 1], alive) for edit, alive in self._judged(built))
            else:
                alone += later
        for edit in alone:
            if time.monotonic() > until:
                return
            yield made[edit.number - 1], self._survives_alone(edit)

    def _build(self, edits: Sequence[Edit]) -> tuple[list[Edit], list[Edit], list[Edit]]:
        """Compile what can be compiled of these edits at once, behind switches.

        Return the edits that are built, those that were left for another time, and those that do
        not compile.
        """
        built, later, wrong = list(edits), list[Edit](), list[Edit]()
        while built:
            text, places = self._switches.text(built)
            code = self._compiler.compile(text)
            if "error" not in code:
                self._install(code)
                break
            bad = set(blamed(places, code["places"]))
            if bad and "too deep" not in code["error"]:
                wrong += [edit for edit in built if edit.number in bad]
            else:  # a function with too many choices
                bad = self._half_about(built, places, code["places"])
                later += [edit for edit in built if edit.number in bad]
            built = [edit for edit in built if edit.number not in bad]
        return built, later, wrong

    def _half_about(
        self, built: Sequence[Edit], places: dict[int, tuple[int, int]], errors: Sequence[int]
    ) -> set[int]:
        at = errors[0] if errors else 0
        near = min(built, key=lambda edit: abs(places[edit.number][0] - at))
        function = self._function_of(near)
        those = [edit.number for edit in built if self._function_of(edit) == function]
        return set(those[len(those) // 2 :])

    def _function_of(self, edit: Edit) -> int:
        """Return the number of the function that holds an edit; -1 if none does."""
        for number, (start, end) in enumerate(self._functions):
            if start <= edit.start < end:
                return number
        return -1

    def _install(self, code: Json) -> None:
        for root, parts in code.items():
            changed = json.loads(self._originals[root])
            for part, made in parts.items():
                changed[part].update(made)
            self._artifacts[root].write_text(json.dumps(changed))
        self._quick.write_code()

    def _require_no_failure(self) -> None:
        for some in (self._quick, self._long):
            each = some.run([Trial(0, {name: calls}) for name, calls in some.calls().items()])
            if failing := [noticed for noticed in each if noticed != {}]:
                raise SystemExit(f"tests of {self._target.file} fail without a mutant: {failing}")

    def _judged(self, built: Sequence[Edit]) -> Iterator[tuple[Edit, bool]]:
        killed = self._quick.killed({edit.number: self._nearest(edit) for edit in built})
        left = {edit.number: self._long.calls() for edit in built if edit.number not in killed}
        killed |= self._long.killed(left)
        yield from ((edit, edit.number not in killed) for edit in built)

    def _nearest(self, edit: Edit) -> Calls:
        """Return the tests that reach the edit's function: first those that reach few others."""
        reach = self._reach.get(self._function_of(edit), self._quick.calls())
        return dict(sorted(reach.items(), key=lambda item: -self._weight(*item)))

    def _weight(self, suite: str, calls: Iterable[int]) -> float:
        reached = [set(calls.get(suite, ())) for calls in self._reach.values()]
        return sum(1 / max(1, sum(call in some for some in reached)) for call in calls)

    def _survives_alone(self, edit: Edit) -> bool | None:
        code = self._compiler.compile(self._applied(edit))
        if "error" in code:
            return None
        self._install(code)
        ((_, alive),) = self._judged([edit._replace(number=0)])
        return alive

    def _applied(self, edit: Edit) -> str:
        return (self._source[: edit.start] + edit.new + self._source[edit.end :]).decode()

    def has_same_code(self, mutant: Mutant) -> bool:
        """Tell whether the optimizer makes the same code of the mutant as of the contract."""
        if not self._plain_code:
            self._plain_code = self._compiler.compile(self._source.decode(), optimize=True)
        changed = self._applied(mutant.edit(0))
        return self._compiler.compile(changed, optimize=True) == self._plain_code


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
    made, untried = chosen(mutants(target.file, analysis), sample)
    if last:
        made, untried = last.among(made), last.untried
    killed, same = (last.killed, last.same) if last else (0, 0)
    survived, done = list[Mutant](), set[Mutant]()
    with (
        workshop.Compiler(target.file, target.roots, PROJECT) as compiler,
        MutationRun(target, compiler) as tests,
    ):
        for part in _parts(made, survived):
            for mutant, alive in tests.tried(part, until):
                done.add(mutant)
                killed += alive is False
                if alive:
                    survived.append(mutant)
        alike = [mutant for mutant in survived if tests.has_same_code(mutant)]
    survived = [mutant for mutant in survived if mutant not in alike]
    for mutant in survived:
        what = f"{mutant.old!r} -> {mutant.new!r}"
        print(f"{name}:{mutant.line} lives: {what}", flush=True)
    left = [one for one in made if one not in done and not _is_weak(one, [*survived, *alike])]
    if last:
        survived += left
    else:
        untried += len(left)
    print(f"{name}: {killed} killed, {len(survived)} survived, {untried} not tried", flush=True)
    return Tally(killed, survived, untried, same + len(alike), _commit())


def _parts(made: Sequence[Mutant], survived: Sequence[Mutant]) -> Iterator[list[Mutant]]:
    """Yield the larger changes, and then the smaller ones where no larger one has survived."""
    yield [mutant for mutant in made if mutant.operator in WHOLE]
    small = (mutant for mutant in made if mutant.operator not in WHOLE)
    yield [mutant for mutant in small if not _is_weak(mutant, survived)]


def _is_weak(mutant: Mutant, survived: Sequence[Mutant]) -> bool:
    is_small = mutant.operator not in WHOLE
    return is_small and any(one.line == mutant.line for one in survived if one.operator in WHOLE)


def _commit() -> str:
    """Return the commit whose contracts and tests these are; with a plus if some are changed."""

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    changed = git("status", "--porcelain", "--", "contracts", "tests/contracts")
    return git("rev-parse", "--short", "HEAD") + "+" * bool(changed)


def prepare() -> None:
    """Compile the contracts and their tests, unless that was done before."""
    for folder, parts in ((PROJECT, workshop.PARTS), (TRIALS, ("contracts", "tests/vectors"))):
        folder.mkdir(parents=True, exist_ok=True)
        workshop.copy(folder, parts)
    trials.prepare(TRIALS, ROOT)
    for folder in (PROJECT, TRIALS):
        workshop.forge(folder, "test", "--list")  # tests are linked where they are run, not built


def main() -> int:
    parser = argparse.ArgumentParser(description="Mutation testing of the contracts.")
    parser.add_argument("targets", nargs="*", choices=[[], *TARGETS], metavar="TARGET")
    parser.add_argument("--sample", type=int, default=0)
    parser.add_argument("--budget-s", type=int, default=3600)
    parser.add_argument("--again", action="store_true", help="only what the document says lives")
    options = parser.parse_args()
    os.environ.update(workshop.ENVIRONMENT)  # Slither, too, asks for forge
    names = options.targets or list(TARGETS)
    name = names[0]
    until, files = time.monotonic() + options.budget_s, {n: t.file for n, t in TARGETS.items()}
    with tempfile.TemporaryDirectory() as temporary:
        analysis = analyse(Path(temporary).resolve())
        prepare()
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
