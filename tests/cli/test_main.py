"""The command's entry point: its output, exit codes, one-line errors, files and memory."""

import ast
import errno
import json
import os
import re
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any, Self

import pytest
from rich.console import Console
from typer.core import TyperGroup

from orchestrator.cli import main as cli
from orchestrator.cli.backtest import command as backtest
from orchestrator.cli.options import NOTHING_DONE
from orchestrator.core.common.errors import (
    ChainError,
    DomainError,
    EscrowError,
    InputError,
    LocalError,
    LogError,
    PendingError,
    ProofError,
    ReplayError,
    ServerError,
)
from orchestrator.runtime import doctor
from orchestrator.simulation import demo
from orchestrator.simulation.demo import DemoReport
from tests.support.backtest_files import (
    CONTRACTS,
    EVENT_HEADER,
    EVENTS,
    write_history,
)
from tests.support.connecting import ENVIRONMENT
from tests.support.market import Outcome, Run

COMMAND = Path(sys.executable).with_name("tallystick")
ADDRESS = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"


def refusal(outcome: Outcome) -> str:
    """Return the line with which the command refused its input."""
    assert outcome.code == cli.BAD_INPUT
    assert outcome.stderr.startswith("tallystick: ")
    assert outcome.stderr.count("\n") == 1
    assert outcome.stderr.endswith("\n")
    line = outcome.stderr[len("tallystick: ") : -1]
    if outcome.stdout:
        error = json.loads(outcome.stdout)["error"]
        assert (error["message"].replace("\n", " "), error["exit_code"]) == (line, outcome.code)
    return line


# --- Output and exit codes ------------------------------------------------------------------------


def test_the_installed_command_prints_the_document(tmp_path: Path) -> None:
    done = subprocess.run(
        [COMMAND, *write_history(tmp_path).arguments(), "--json"],
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    outcome = {"contract": "a", "lead": "x", "touch_time": "2024-01-01T00:00:00Z"}
    document = json.loads(done.stdout)
    assert document.pop("report")["leads"] == 1
    assert document == {
        "contracts": {
            "a": {
                "outcomes": 2,
                "reversed": 1,
                "earned_units": "16287500",
                "reversed_units": "8150000",
                "over_budget_units": "0",
                "payable_units": "8137500",
            }
        },
        "events": {"accepted": 3, "refused": 1, "ignored": 1},
        "equal_rows": 0,
        "turned_away": {},
        "repeated_rows": 0,
        "outcomes": [
            {
                **outcome,
                "time": "2024-01-02T00:00:00Z",
                "value_units": "1500000",
                "earned_units": "8137500",
            },
            {
                **outcome,
                "time": "2024-01-03T00:00:00Z",
                "value_units": "2000001",
                "earned_units": "8150000",
            },
        ],
    }


def test_rows_that_are_told_twice_are_told_on_stderr(run: Run, tmp_path: Path) -> None:
    row = EVENTS.splitlines()[1]
    equal = run(
        write_history(tmp_path, events=EVENTS.replace(row, f"{row}\n{row}")).arguments(), ""
    )
    assert equal.code == 0
    assert equal.stderr == (
        "rows that equal one before them, and were counted: 1; if they were exported twice, "
        "add a column `id`: rows of one id count once\n"
    )
    events = f"{EVENT_HEADER.rstrip()},id\n{row},1\n{row},1\n"
    files = write_history(tmp_path, events=events)
    repeated = run([*files.arguments(), "--json"], "")
    assert repeated.code == 0
    assert repeated.stderr == "rows that equal one with their id, and were left out: 1\n"
    assert json.loads(repeated.stdout)["repeated_rows"] == 1


def test_bad_input_is_one_line_and_exit_code_2(run: Run, tmp_path: Path) -> None:
    files = write_history(tmp_path, events=EVENTS + "soon,x,buy,1\n")
    assert refusal(run([*files.arguments(), "--json"], "")) == (
        f"{tmp_path}/events, line 7: time must be RFC 3339 or YYYY-MM-DD[ HH:MM:SS] in UTC, "
        f"not 'soon'"
    )


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ProofError, cli.FALSE_CLAIM),
        (PendingError, cli.NOT_YET),
        (ReplayError, cli.FALSE_CLAIM),
        (InputError, cli.BAD_INPUT),
        (ChainError, cli.MISSING),
        (LocalError, cli.MISSING),
        (LogError, cli.MISSING),
        (ServerError, cli.MISSING),
        (EscrowError, NOTHING_DONE),
    ],
)
def test_an_error_has_the_exit_code_of_its_kind(
    run: Run, monkeypatch: pytest.MonkeyPatch, error: type[DomainError], code: int
) -> None:
    def fail(**_: object) -> None:
        raise error("some-code", "it\nfailed")

    monkeypatch.setattr(cli, "_command", lambda: fail)
    assert run([], "") == (code, "", "tallystick: it failed\n")


def test_a_server_cannot_write_on_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    cli._print_error("the API said: \x1b[2J\x1b]0;paid\x07 \u202e all\nis well")
    assert capsys.readouterr().err == "tallystick: the API said: ?[2J?]0;paid? ? all is well\n"


def test_a_node_that_is_no_url_is_bad_input(run: Run) -> None:
    arguments = ["contract", "0x" + "12" * 32, "--api", "http://127.0.0.1:1"]
    arguments += ["--escrow", ADDRESS, "--lens", ADDRESS]
    assert "must be an http(s) URL" in refusal(run([*arguments, "--rpc", "nowhere"], ""))
    assert run([*arguments, "--rpc", "http://127.0.0.1:1"], "").code == cli.MISSING


def test_a_receipt_that_is_no_json_is_bad_input(run: Run, tmp_path: Path) -> None:
    receipt = tmp_path / "receipt.json"
    receipt.write_text("{")
    assert refusal(run(["verify", str(receipt)], "")) == f"{receipt}: is not readable as JSON"


def test_help_is_asked_for_by_a_word_too(run: Run) -> None:
    assert run(["help"], "") == run(["--help"], "")
    assert run(["help", "keys", "new"], "") == run(["keys", "new", "--help"], "")


def test_every_command_stands_under_a_heading(run: Run) -> None:
    shown = run(["--help"], "").stdout
    for title, names in cli.PANELS.items():
        panel = shown.partition(f"─ {title} ")[2].partition("╰")[0]
        assert {*re.findall(r"^│ ([a-z][a-z-]*)", panel, re.MULTILINE)} == {*names}
    assert "─ Commands ─" not in shown


def test_an_interrupted_demonstration_says_that_it_stops_its_servers() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", "from orchestrator.cli.main import main; main()", "demo"],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        assert "starting a local chain" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert err.splitlines()[-1].endswith("stopping the database and the chain…")
    assert "Traceback" not in err


def test_no_finding_of_the_doctor_steers_a_terminal(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [doctor.CheckResult("chain", False, "the node says \x1b[2Jno\u202e")]
    monkeypatch.setattr(doctor, "examine", lambda _: found)
    done = run(["doctor"], "")
    assert (done.code, done.stdout) == (cli.MISSING, "no  chain: the node says ?[2Jno?\n")
    assert json.loads(run(["doctor", "--json"], "").stdout) == [found[0]._asdict()]


def test_a_part_that_is_none_is_bad_input(run: Run) -> None:
    assert "'web' is no part; there are api" in refusal(run(["serve", "--only", "web"], ""))


def test_a_backtest_does_not_wait_for_what_speaks_to_chains() -> None:
    """Their imports take longer than most backtests."""
    script = (
        "import sys, orchestrator.cli.main; print({'fastapi', 'httpx', 'web3'} & {*sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, encoding="utf-8", check=True
    )
    assert done.stdout == "set()\n"


def test_what_is_no_file(run: Run, tmp_path: Path) -> None:
    files = write_history(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for option in ("--events", "--touches", "--policy", "--contracts"):
        for name, complaint in (
            ("none", "No such file or directory"),
            ("folder", "Is a directory"),
            ("loop", "Too many levels of symbolic links"),
            ("none\nat all", "No such file or directory"),
        ):
            found = refusal(run([*files.arguments(), option, str(tmp_path / name)], ""))
            assert found == f"{tmp_path}/{name.replace(chr(10), ' ')}: {complaint}"


@pytest.mark.parametrize("columns", [20, 60, 250])
def test_the_table_shows_names_and_amounts_whole(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setattr(backtest, "console", Console(width=columns))
    most = "1208925819614629174.706175"
    name = "[/red]:smile:日" * 5
    contracts = CONTRACTS.replace("8.10", most).replace("1000", most).replace("250", "0")
    files = write_history(tmp_path, contracts=contracts.replace("id: a", f"id: '{name}'"))
    done = run(files.arguments(), "")
    assert (done.code, done.stderr) == (0, "")
    first = done.stdout.split("What their outcomes brought")[0]
    assert ("│" in first) == (columns == 250)
    cells = [part.strip() for part in re.split(r"│|\n|  +", first)]
    assert name in cells
    assert "per outcome" in first
    # What is payable, and that for the one outcome which the budget had room for.
    assert cells.count("1,208,925,819,614,629,174.706175") == 2


def test_a_spool_that_cannot_be_opened_is_one_line_and_exit_code_3(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/tmp/spool")  # noqa: S108

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    done = run([*write_history(tmp_path).arguments(), "--json"], "")
    assert done[::2] == (cli.MISSING, "tallystick: /tmp/spool: No space left on device\n")
    assert json.loads(done.stdout)["error"]["code"] == "file"


def command_lines(command: Any, *names: str) -> Iterator[list[str]]:
    """Yield the names by which a command and all below it are called."""
    yield [*names]
    for name, below in getattr(command, "commands", {}).items():
        yield from command_lines(below, *names, name)


def test_no_help_has_a_number_that_nobody_reads(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    lines = [*command_lines(cli._command())]
    assert ["job", "complete"] in lines
    for line in lines:
        help_text = run([*line, "--help"], "").stdout
        assert f"Usage: tallystick {' '.join(line)}".rstrip() in help_text
        assert not re.search(r"[0-9]{21}", help_text), line


def test_a_command_that_goes_on_says_that_its_documents_are_one_a_line(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    for name in ("serve", "migrate", "sandbox", "accept"):
        assert "Print JSON to stdout; a document a line." in run([name, "--help"], "").stdout
    assert "Print JSON to stdout; one document." in run(["fsck", "--help"], "").stdout


def test_servers_that_stay_up_are_told_beside_the_document(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = DemoReport(entries=5_500, urls={"api": "http://a.example", "rpc": "http://b.example"})

    class Ended:
        """A demonstration that has ended already."""

        def __init__(self, *_: object, **__: object) -> None:
            pass

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def run(self) -> DemoReport:
            return report

    stopped = Event()
    stopped.set()
    monkeypatch.setattr(demo, "Demo", Ended)
    monkeypatch.setattr(cli, "stop_on_signal", lambda _: stopped)
    done = run(["demo", "--keep", "--json"], "")
    assert done.code == 0
    assert json.loads(done.stdout)["entries"] == report.entries
    assert "The servers stay up until you interrupt" in done.stderr
    assert "The servers stay up until you interrupt" in run(["demo", "--keep"], "").stdout


# --- The output file ------------------------------------------------------------------------------


def file_names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_output_is_the_document_of_stdout(run: Run, tmp_path: Path) -> None:
    files = write_history(tmp_path)
    printed = run([*files.arguments(), "--json"], "")
    output = tmp_path / "report.json"
    output.write_text("an older report")
    done = run([*files.arguments(), "--json", "--output", str(output)], "")
    assert (done.code, done.stdout, done.stderr) == (0, "", "")
    assert output.read_text() == printed.stdout
    assert file_names(tmp_path) == ["contracts", "events", "policy", "report.json", "touches"]


def test_bad_input_leaves_an_older_output_as_it_was(run: Run, tmp_path: Path) -> None:
    output = tmp_path / "report.json"
    output.write_text("an older report")
    files = write_history(tmp_path, events=EVENTS + "soon,x,buy,1\n")
    assert refusal(run([*files.arguments(), "--output", str(output)], ""))
    assert output.read_text() == "an older report"
    assert file_names(tmp_path) == ["contracts", "events", "policy", "report.json", "touches"]


@pytest.mark.parametrize("place", [".", "folder", "pipe", "folder/none/report", "x" * 300])
def test_an_output_that_cannot_be_written_leaves_nothing(
    run: Run, tmp_path: Path, place: str
) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    files = write_history(tmp_path)
    before = file_names(tmp_path)
    complaint = refusal(run([*files.arguments(), "--json", "--output", str(tmp_path / place)], ""))
    assert complaint.startswith(str(tmp_path))
    assert file_names(tmp_path) == before
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    assert file_names(tmp_path / "folder") == []


def test_a_full_disk_is_one_line_and_exit_code_3(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [COMMAND, *write_history(tmp_path).arguments(), "--json"],
            stdout=full,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            timeout=120,
            check=False,
        )
    assert done.stderr == "tallystick: the system says: No space left on device\n"
    assert done.returncode == cli.MISSING


# --- What messages and documents say of the command -----------------------------------------------

ROOT = Path(__file__).parents[2]
# From the command's name to the end of its line, sentence or code span.
MENTION = re.compile(r"tallystick ([a-z](?:[^`;|()#\n\\]|\\\n)*)")
OPTION = re.compile(r"(?<![\w-])--[a-z][\w-]*")


def literals(source: str) -> Iterator[str]:
    """Yield the strings of a Python source, with a letter for each value that is filled in."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.JoinedStr):
            yield "".join(
                str(part.value) if isinstance(part, ast.Constant) else "x" for part in node.values
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def told_texts() -> Iterator[tuple[Path, str]]:
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]:
        yield page, page.read_text()
    for package in ("orchestrator", "api", "scripts"):
        for file in ROOT.glob(f"{package}/**/*.py"):
            yield from ((file, text) for text in literals(file.read_text()))


def untrue_mentions(text: str) -> list[str]:
    """Return the options that a text gives to commands that have none such."""
    untrue = []
    for mention in MENTION.findall(text):
        command, words = cli._command(), mention.split()
        while words and isinstance(command, TyperGroup) and words[0] in command.commands:
            command = command.commands[words.pop(0)]
        known = {"--help", *(name for part in command.params for name in part.opts)}
        untrue += [
            f"{command.name} {option}" for option in OPTION.findall(mention) if option not in known
        ]
    return untrue


def test_an_option_that_is_told_is_one_of_its_command() -> None:
    found = [
        (str(place), untrue) for place, text in told_texts() if (untrue := untrue_mentions(text))
    ]
    assert found == []


def test_an_option_of_no_command_is_found() -> None:
    source = "say(f'run tallystick restore --from {url}' ' or --source ', 'tallystick demo --keep')"
    assert ["restore --from"] in [untrue_mentions(text) for text in literals(source)]
    assert untrue_mentions("`tallystick keys new NAME --scope X` and --none of it") == []
    assert untrue_mentions("tallystick why ID \\\n  --no-such FILE") == ["why --no-such"]
