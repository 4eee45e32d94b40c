"""The commands on splits: their own arguments. tests/actions/payout runs them on a chain."""

from pathlib import Path

import pytest

from orchestrator.cli.deals.splits import parse_share
from orchestrator.core.common.errors import InputError
from tests.support.market import BAD, MISSING, Run

ADDRESS = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
ENDPOINTS = ("--api", "http://127.0.0.1:1", "--rpc", "http://127.0.0.1:1")


def test_a_share_is_a_payee_and_a_percentage() -> None:
    assert parse_share(f"{ADDRESS}=60") == (ADDRESS, 6_000)
    assert parse_share(f"{ADDRESS.lower()}=33.33 %") == (ADDRESS, 3_333)
    for text in (ADDRESS, f"{ADDRESS}=", f"{ADDRESS}=60.001", f"{ADDRESS}=101", "=60"):
        with pytest.raises(InputError):
            parse_share(text)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["propose", f"{ADDRESS}=all"], "a share must be a percentage"),
        (["propose", f"{ADDRESS}=60"], "the shares come to 60 %"),
        (["propose", f"{ADDRESS}=60", f"{ADDRESS}=40"], "each payee once"),
        (["propose", f"{ADDRESS}=100", "--salt", "0x12"], "is no salt"),
        (["release", "0x12", "--token", ADDRESS], "'0x12' is no address"),
        (["show", ADDRESS, "--token", "TEST"], "'TEST' is no address"),
    ],
)
def test_arguments_are_checked_before_anything_is_asked(
    run: Run, arguments: list[str], complaint: str
) -> None:
    done = run(["split", *arguments, *ENDPOINTS], "")
    assert done.code == BAD
    assert complaint in done.stderr


def test_an_agreement_must_be_readable(run: Run, tmp_path: Path) -> None:
    paper = tmp_path / "agreement.json"
    for text, complaint in (("{", "is not readable as JSON"), ("{}", "is no agreement")):
        paper.write_text(text)
        done = run(["split", "deploy", str(paper), "--dry-run", *ENDPOINTS], "")
        assert done.code == BAD
        assert complaint in done.stderr


def test_a_split_needs_a_server_or_the_address_of_the_escrow(run: Run) -> None:
    done = run(["split", "propose", f"{ADDRESS}=100", *ENDPOINTS], "")
    assert (done.code, done.stdout) == (MISSING, "")
    assert "did not answer" in done.stderr
