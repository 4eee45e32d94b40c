"""The examples of docs/examples, run as they stand against a real service."""

import json
import os
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from orchestrator.core.common.hexadecimal import from_hex
from orchestrator.core.common.units import NS_PER_MS
from orchestrator.core.deals.terms import Terms
from orchestrator.core.log.entry import address_word
from orchestrator.core.world.contract import rules_of
from orchestrator.core.world.requests import OpenContract, RecordPayout
from tests.support.anchors import checkpoints_beyond, note_anchor
from tests.support.api_service import (
    POLICY,
    ApiService,
    open_surface,
    running_service,
    wallet,
)
from tests.support.connecting import COMMAND, ROOT

EXAMPLES = ROOT / "docs/examples"
MOST_LINES = {"agent_http.py": 68, "agent_mcp.py": 50, "owner.py": 36, "owner_open.py": 40}


class Stage:
    """A service with a surface, and wallets whose keys are in files."""

    def __init__(self, service: ApiService, folder: Path) -> None:
        self.service = service
        self.folder = folder
        owner = service.sign_in(wallet("owner"), "owner")
        self.surface = open_surface(owner, "examples", attribution=POLICY["attribution"])

    def arguments(self, example: str, who: str, *more: str) -> list[str]:
        key_file = self.folder / who
        key_file.touch(0o600)
        key_file.write_text(bytes(wallet(who).key).hex())
        path = str(EXAMPLES / example)
        return [str(self.python()), path, self.service.url, "examples", str(key_file), *more]

    def run(self, example: str, who: str, *more: str) -> list[str]:
        """Return the lines that an example prints."""
        done = self.ended(self.arguments(example, who, *more))
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    def ended(self, arguments: list[str]) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            arguments,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            env=self.environment(),
        )

    def event(self, lead: str, name: str) -> str:
        """Return an event of this moment, as the owner's example is told it."""
        self.service.clock.now_ms += 1000
        return f"{lead}:{name}:{self.service.clock.now_ms}"

    def python(self) -> Path:
        """Return a Python beside which the command is that of this tree, on no path."""
        python = self.folder / "bin" / "python"
        if not python.exists():
            python.parent.mkdir()
            python.symlink_to(Path(sys.executable).resolve())
            command = python.with_name("tallystick")
            paths = [str(ROOT), *self.packages()]
            command.write_text(f"#!{python}\nimport sys\nsys.path[:0] = {paths!r}\n{COMMAND[1]}\n")
            command.chmod(0o700)
        return python

    def packages(self) -> list[str]:
        return [sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]

    def environment(self) -> dict[str, str]:
        path = ":".join([str(ROOT), *self.packages()])
        return {"PATH": os.defpath, "PYTHONPATH": path, "HOME": str(self.folder)}

    @contextmanager
    def running(
        self, example: str, who: str, code: int = 0, stderr: int | None = None
    ) -> Iterator[IO[str]]:
        """Run an example until it ends by itself; yield what it prints as it does."""
        process = subprocess.Popen(
            self.arguments(example, who),
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            env=self.environment(),
        )
        assert process.stdout is not None
        try:
            yield process.stdout
            assert process.wait(timeout=60) == code
        finally:
            process.kill()
            process.stdout.close()
            process.wait()


@pytest.fixture
def stage(database_url: str, tmp_path: Path) -> Iterator[Stage]:
    with running_service(database_url) as service:
        service.clock.now_ms = time.time_ns() // NS_PER_MS
        yield Stage(service, tmp_path)


@pytest.mark.parametrize(("name", "most"), MOST_LINES.items())
def test_an_example_is_short(name: str, most: int) -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == MOST_LINES.keys()
    assert len((EXAMPLES / name).read_text().splitlines()) <= most


def test_agent_and_owner_make_a_contract_and_one_outcome(stage: Stage) -> None:
    with stage.running("agent_http.py", "operator") as output:
        contract = after(output, "proposed")[0]
        said = stage.run("owner.py", "owner", stage.event("ann", "signup"))
        assert said == [f"accepted {contract}", "ann signup done"]
        open_by_chain(stage.service, contract)
        assert after(output, "touched") == ["1", "of", "1"]
        said = stage.run("owner.py", "owner", stage.event("ann", "activate"))
        assert said == ["ann activate done"]
        (position,) = after(output, "earned")
        pay_by_chain(stage.service, contract)
        assert after(output, "paid") == ["8.00"]
        receipt, why = output.read().splitlines()
    assert stage.service.entries(int(position), 1)[0].kind == "outcome"
    # What it names last is there to be run.
    url, named = stage.service.url, f"tallystick receipt {position} --api "
    assert receipt == f"{named}{url} | tallystick verify -"
    assert why == f"tallystick why {contract} --api {url}"
    tallystick = str(stage.python().with_name("tallystick"))
    shown = stage.ended([tallystick, *why.split()[1:], "--json"])
    assert json.loads(shown.stdout)["code"] == "contract", shown.stderr
    assert stage.ended([tallystick, *receipt.split(" | ")[0].split()[1:]]).returncode == 0


def test_an_agent_says_what_its_owner_would_sign_instead(stage: Stage) -> None:
    with stage.running("agent_http.py", "operator", 1, subprocess.STDOUT) as output:
        contract = after(output, "proposed")[0]
        owner = stage.service.sign_in(wallet("owner"), "owner")
        path = f"/v1/proposals/{contract}/counter"
        answer = owner.post(path, json={"deal": {"outcome": "activated", "price": "7.00"}})
        assert answer.is_success, answer.text
        (line,) = output.read().splitlines()
    assert line.startswith(f"agent_http: proposal {contract} is declined; its owner would sign ")
    assert "price 7.00, not 8.00" in line


@pytest.mark.parametrize("name", ["agent_http.py", "agent_mcp.py", "owner.py"])
def test_an_example_says_in_one_line_what_is_wrong(stage: Stage, name: str) -> None:
    bare = [str(stage.python()), str(EXAMPLES / name)]
    assert stage.ended(bare).stderr.startswith(f"usage: {name} URL SURFACE KEY_FILE")
    whole = stage.arguments(name, "operator")
    whole[3] = "nowhere"
    done = stage.ended(whole)
    wrong = "no surface is named 'nowhere'; there are: examples\n"
    assert (done.returncode, done.stderr) == (1, f"{name.removesuffix('.py')}: {wrong}")


def test_an_agent_proposes_by_the_generic_mcp_client(stage: Stage) -> None:
    said = stage.run("agent_mcp.py", "operator")
    assert {"draft_contract", "sign_and_propose"} <= set(said[0].split())
    assert said[-1].startswith("proposed 0x")
    assert stage.run("owner.py", "owner")[0] == f"accepted {said[-1].split()[1]}"


def after(output: IO[str], word: str) -> Sequence[str]:
    """Return the words behind the first word of a line to come."""
    for line in output:
        if line.startswith(f"{word} "):
            return line.split()[1:]
    raise AssertionError(f"it ended before it said {word!r}")


def open_by_chain(service: ApiService, contract: str) -> None:
    """Have the log told that the escrow has opened a contract, and its time come."""
    answer = service.sign_in(wallet("owner"), "owner").get(f"/v1/proposals/{contract}")
    terms = Terms.from_json(answer.json()["terms"])
    service.clock.now_ms = terms.opens_at_s * 1000 + 1000
    digest = from_hex(contract)
    service.submit(f"open {contract}", OpenContract(rules_of(terms, digest), digest))
    service.decide_waiting()


def pay_by_chain(service: ApiService, contract: str) -> None:
    """Have the log told that the escrow has paid for one outcome of a contract, all of it anchored.

    What is paid on a chain is under an anchor, which the indexer has noted.
    """
    service.decide_waiting()
    note_anchor(service, 0, checkpoints_beyond(service, 0)[-1])
    digest, payee = from_hex(contract), address_word(wallet("operator").address)
    service.submit(f"pay {contract}", RecordPayout(digest, payee, "paid", 8_000_000, digest))
    service.decide_waiting()
