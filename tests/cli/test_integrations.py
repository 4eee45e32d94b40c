"""The commands on jobs and feedback: their own arguments. tests/actions runs them on a chain."""

import pytest

from orchestrator.cli.integrations import choose_motion
from orchestrator.core.common.errors import InputError
from tests.support.market import BAD, MISSING, Run

ADDRESS = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
ENDPOINTS = ("--api", "http://127.0.0.1:1", "--rpc", "http://127.0.0.1:1")


def test_feedback_is_for_the_only_motion_or_the_one_that_is_named() -> None:
    assert choose_motion(("activation",), None) == "activation"
    assert choose_motion(("activation", "expansion"), "expansion") == "expansion"


@pytest.mark.parametrize(
    ("motions", "asked", "complaint"),
    [
        (("activation", "expansion"), None, "to activation and expansion; say which with --motion"),
        (("activation",), "expansion", "to activation; not to expansion"),
        ((), None, "to nothing; say which"),
        ((), "expansion", "to nothing; not to expansion"),
    ],
)
def test_a_motion_that_is_unclear_is_refused(
    motions: tuple[str, ...], asked: str | None, complaint: str
) -> None:
    with pytest.raises(InputError, match=complaint):
        choose_motion(motions, asked)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["job", "complete", "7", "--evaluator", "0x12"], "'0x12' is no address"),
        (["job", "reject", "7", "--evaluator", ADDRESS.lower() + "0"], "is no address"),
        (["job", "collect", "--evaluator", ADDRESS, "--token", "TEST"], "'TEST' is no address"),
        (["job", "complete", str(2**256), "--evaluator", ADDRESS], "is no id: a whole number"),
        (["job", "reject", "seven", "--evaluator", ADDRESS], "'seven' is no id: a whole number"),
        (["feedback", "0x12"], "is no contract id"),
        (
            ["job", "evaluator", "0x" + "12" * 32, "5", "--commerce", ADDRESS, "--until", "soon"],
            "a time must be RFC 3339",
        ),
    ],
)
def test_arguments_are_checked_before_anything_is_asked(
    run: Run, arguments: list[str], complaint: str
) -> None:
    done = run([*arguments, *ENDPOINTS], "")
    assert done.code == BAD
    assert complaint in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_job_needs_a_server_or_the_address_of_the_escrow(run: Run) -> None:
    done = run(["job", "reject", "7", "--evaluator", ADDRESS, "--dry-run", *ENDPOINTS], "")
    assert (done.code, done.stdout) == (MISSING, "")
    assert "did not answer" in done.stderr
