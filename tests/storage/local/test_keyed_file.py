"""A private file of rows is changed in one step, of one process at a time, and closed to others."""

from pathlib import Path

import pytest

from orchestrator.core.common.errors import InputError
from orchestrator.storage.local.keyed_file import KeyedFile

ROWS = {("lead", b"\0\1"): "one", ("lead", b"\0\2"): "two", ("code", b"\0\1"): "three"}


def test_rows_are_there_again_until_they_are_cleared(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    with KeyedFile(path) as file:
        file.put(ROWS)
        file.put({("lead", b"\0\2"): "two again"})
    with KeyedFile(path) as file:
        assert file.get("lead", b"\0\2") == "two again"
        assert file.get("code", b"\0\2") is None
        assert min(file.all()) == ("code", b"\0\1", "three")
        file.clear()
        assert list(file.all()) == []


def test_a_change_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with KeyedFile(tmp_path / "rows") as file:
        file.put(ROWS)
        changed = {("lead", b"\0\1"): "new", ("lead", b"\0\3"): None}
        with pytest.raises(InputError, match="NOT NULL"):
            file.put(changed)  # type: ignore[arg-type]
        assert {(sort, name): text for sort, name, text in file.all()} == ROWS


def test_one_process_has_it_and_no_other_user_may(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    with KeyedFile(path):
        assert path.stat().st_mode & 0o077 == 0
        with pytest.raises(InputError, match="another process has it"):
            KeyedFile(path)
    path.chmod(0o640)
    with pytest.raises(InputError, match="others may read it"):
        KeyedFile(path)
    with pytest.raises(InputError, match="No such file"):
        KeyedFile(tmp_path / "missing" / "rows")


def test_a_file_that_cannot_be_read_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    path.write_bytes(b"nothing of ours" * 100)
    path.chmod(0o600)
    with KeyedFile(path) as file:
        assert list(file.all()) == []
        file.put(ROWS)
