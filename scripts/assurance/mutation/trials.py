"""Runs of many mutants in one run of forge, for assurance/mutation.

A run of forge takes a second before its first test, and each test sets up anew. So one contract
(Trials.sol) meets every mutant of a batch in a test of its own: it deploys the contracts of
tests, sets them up once, calls their tests and stops at the first that fails. Fuzzed tests get
inputs that are drawn here. It stands in a project of its own, beside nothing but the contracts: for
with a filter forge would compile all tests again, to know which of them it leaves out.
"""

import json
import random
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from eth_abi.abi import encode

Json = dict[str, Any]
Calls = dict[str, list[int]]  #  of tests, by their numbers in each suite

SUITE = "scripts/assurance/mutation/Trials.sol"
PLACE = "tests/contracts/Trials.t.sol"
PLANS = "trials"
VECTORS = '{ access = "read", path = "./tests/vectors" }'
SLOTS = 160
STEP = "(string,bool,bytes[])[]"
LEAST, MOST = 4, 32  # inputs of a fuzzed test: at first, and for what that did not kill
SEED = 0x7A11
_FAILED = re.compile(r"(\w+):([\w,]*);")


class Suite(NamedTuple):
    """A contract of tests: its artifact, whether it sets up, and the calls of its tests."""

    artifact: Path
    has_set_up: bool
    calls: tuple[bytes, ...]

    @property
    def name(self) -> str:
        return self.artifact.stem


class Trial(NamedTuple):
    """A mutant by its number (0: none), with the tests that it is to meet in this order."""

    number: int
    tests: Calls
    goes_on: bool = False  #  to the last test, whichever fail


class TrialsError(Exception):
    """A run that gave no result."""


def _kind(parameter: Json) -> str:
    """Return the canonical ABI type of a parameter; of a struct, those of its fields."""
    kind: str = parameter["type"]
    if not kind.startswith("tuple"):
        return kind
    fields = ",".join(_kind(one) for one in parameter["components"])
    return f"({fields}){kind.removeprefix('tuple')}"


def _fields(kind: str) -> list[str]:
    """Return the types in a tuple's: it is parted at the commas that are in no other."""
    found, depth = [""], 0
    for sign in kind[1:-1]:
        depth += (sign == "(") - (sign == ")")
        if sign == "," and not depth:
            found.append("")
        else:
            found[-1] += sign
    return found


def _input(kind: str, draw: random.Random) -> Any:
    """Return an input of an ABI type: often one at an end of its range."""
    if array := re.fullmatch(r"(.+)\[(\d*)\]", kind):
        count = int(array[2]) if array[2] else draw.randrange(5)
        return [_input(array[1], draw) for _ in range(count)]
    if kind.startswith("("):
        return tuple(_input(one, draw) for one in _fields(kind))
    if kind in ("bytes", "string"):
        made = draw.randbytes(draw.randrange(80))
        return made if kind == "bytes" else made.hex()
    return _word(kind, draw)


def _word(kind: str, draw: random.Random) -> Any:
    """Return an input of an ABI type that takes one word."""
    if kind == "bool":
        return draw.random() < 0.5
    if kind == "address":
        return "0x" + draw.randbytes(20).hex()
    if kind.startswith("bytes"):
        return draw.randbytes(int(kind[5:]))
    bits = int(kind.lstrip("uint"))
    value = draw.choice([0, 1, 2, (1 << bits) - 1, draw.getrandbits(bits), draw.getrandbits(bits)])
    if draw.random() < 0.3:
        value = draw.getrandbits(draw.randrange(1, bits + 1))
    return value - (1 << bits) if kind.startswith("int") and value >> (bits - 1) else value


def _calls(artifact: Json, count: int) -> Iterable[bytes]:
    selectors = artifact["methodIdentifiers"]
    for signature in sorted(selectors):
        if not re.match(r"test(Fuzz)?_", signature):
            continue
        (function,) = (
            one
            for one in artifact["abi"]
            if one["type"] == "function"
            and f"{one['name']}({','.join(_kind(i) for i in one['inputs'])})" == signature
        )
        kinds = [_kind(one) for one in function["inputs"]]
        draw = random.Random(f"{SEED}{signature}")  # noqa: S311 (to be the same each time)
        for _ in range(count if kinds else 1):
            values = encode(kinds, [_input(kind, draw) for kind in kinds])
            yield bytes.fromhex(selectors[signature]) + values


def suites_in(out: Path, files: Iterable[Path], inputs: int) -> list[Suite]:
    """Return the suites of these files of tests whose code needs no linking."""
    found = []
    for file in files:
        for artifact in sorted((out / file.name).glob("*.json")):
            content = json.loads(artifact.read_text())
            calls = tuple(_calls(content, inputs))
            if calls and not content["bytecode"]["linkReferences"]:
                found.append(Suite(artifact, "setUp()" in content["methodIdentifiers"], calls))
    return found


def prepare(folder: Path, root: Path) -> None:
    """Put the contract of trials into a project without other tests, with a test for each slot."""
    text = (root / SUITE).read_text().rstrip().removesuffix("}")
    slots = (f"    function test_{n}() external {{ _try({n}); }}\n" for n in range(SLOTS))
    (folder / PLACE).parent.mkdir(parents=True, exist_ok=True)
    (folder / PLACE).write_text(text + "".join(slots) + "}\n")
    (folder / PLANS).mkdir(exist_ok=True)
    settings = (folder / "foundry.toml").read_text()
    both = f'{VECTORS}, {{ access = "read", path = "./{PLANS}" }}'
    (folder / "foundry.toml").write_text(settings.replace(VECTORS, both))


class Trials:
    """The trials of one project, whose tests are compiled."""

    def __init__(self, folder: Path, out: str, suites: Sequence[Suite], timeout_s: float) -> None:
        self._folder, self._out, self._timeout_s = folder, out, timeout_s
        self._suites = {suite.name: suite for suite in suites}
        self._calls = {name: list(range(len(suite.calls))) for name, suite in self._suites.items()}
        self.left_out = 0

    def calls(self) -> Calls:
        """Return all tests but those left out."""
        return dict(self._calls)

    def leave_out(self, failing: Calls) -> None:
        """Leave out tests that fail without any mutant, since here they run in another place."""
        for name, numbers in failing.items():
            self._calls[name] = [one for one in self._calls[name] if one not in numbers]
            self.left_out += len(numbers)

    def write_code(self) -> None:
        """Put the code of every suite where the trials read it."""
        for suite in self._suites.values():
            code = json.loads(suite.artifact.read_text())["bytecode"]["object"]
            (self._folder / PLANS / suite.name).write_bytes(bytes.fromhex(code.removeprefix("0x")))

    def run(self, trials: Sequence[Trial]) -> list[Calls | None]:
        """Return what each trial noticed: nothing, or the tests that failed.

        None stands for a trial that failed otherwise, as where its tests could not be set up.
        """
        answers = list[Calls | None]()
        for at in range(0, len(trials), SLOTS):
            answers += self._run(trials[at : at + SLOTS])
        return answers

    def killed(self, wanted: Mapping[int, Calls]) -> set[int]:
        """Return which mutants, by their numbers, their tests notice.

        Behind others a suite may fail for what those have left, such as calls that are expected to
        the end: so what notices a mutant must notice it alone.
        """
        seen = self.run([Trial(number, tests) for number, tests in wanted.items()])
        failed = {n: noticed for n, noticed in zip(wanted, seen, strict=True) if noticed != {}}
        killed = self._killed_alone({n: noticed or wanted[n] for n, noticed in failed.items()})
        # What only failed behind others has not met the suites behind that.
        return killed | self._killed_alone({n: wanted[n] for n in failed.keys() - killed})

    def _killed_alone(self, wanted: Mapping[int, Calls]) -> set[int]:
        alone = [
            Trial(number, {name: calls})
            for number, tests in wanted.items()
            for name, calls in tests.items()
        ]
        seen = zip(alone, self.run(alone), strict=True)
        return {trial.number for trial, noticed in seen if noticed != {}}

    def _run(self, trials: Sequence[Trial]) -> list[Calls | None]:
        for slot in range(SLOTS):
            trial = trials[slot] if slot < len(trials) else Trial(0, {})
            (self._folder / PLANS / str(slot)).write_bytes(self._plan(trial))
        done = subprocess.run(
            ["forge", "test", "--json", "--out", self._out, "--cache-path", f"{self._out}-cache"],
            cwd=self._folder,
            check=False,
            capture_output=True,
            text=True,
            timeout=self._timeout_s,
        )
        try:
            (suite,) = json.loads(done.stdout[done.stdout.index("{") :]).values()
        except ValueError:
            raise TrialsError(f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}") from None
        results = suite["test_results"]
        return [
            _noticed(results[f"test_{slot}()"], trial.tests) for slot, trial in enumerate(trials)
        ]

    def _plan(self, trial: Trial) -> bytes:
        steps = []
        for name, numbers in trial.tests.items():
            suite = self._suites[name]
            steps.append((name, suite.has_set_up, [suite.calls[number] for number in numbers]))
        return encode(["uint256", "bool", STEP], [trial.number, trial.goes_on, steps])


def _noticed(result: Mapping[str, Any], tests: Calls) -> Calls | None:
    if result["status"] == "Success":
        return {}
    failed = _FAILED.findall(result.get("reason") or "")
    if not failed:
        return None
    return {
        name: [tests[name][int(at)] for at in places.split(",") if at.isdigit()] or tests[name]
        for name, places in failed
    }
