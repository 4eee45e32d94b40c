"""The file of signed budgets: added to, locked, and never passed over."""

import fcntl
from pathlib import Path

import pytest

from orchestrator.core.common.errors import InputError
from orchestrator.core.deals.mandate import SignedBudget
from orchestrator.storage.local.signed_budgets import add_budget, open_ledger

ROW = SignedBudget("0x01", "0x02", 5, 6, 7)


def test_what_is_added_is_read_again_and_closed_to_others(tmp_path: Path) -> None:
    path = tmp_path / "signed"
    with open_ledger(path) as (earlier, file):
        assert earlier == []
        add_budget(file, ROW)
    with open_ledger(path) as (earlier, _):
        assert earlier == [ROW]
    assert path.stat().st_mode & 0o777 == 0o600


def test_it_is_locked_while_it_is_open(tmp_path: Path) -> None:
    path = tmp_path / "signed"
    with open_ledger(path), path.open() as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.parametrize(
    "text",
    ["x\n", '["0x01", "0x02", 1.5, 1, 1]\n', '["0x01", "0x02", 1, 1, 1]', "[1]\n", "{}\n", "1\n"],
)
def test_a_file_that_is_not_whole_is_never_passed_over(tmp_path: Path, text: str) -> None:
    path = tmp_path / "signed"
    path.write_text(text)
    with pytest.raises(InputError, match="no whole file of signed budgets"), open_ledger(path):
        pass
