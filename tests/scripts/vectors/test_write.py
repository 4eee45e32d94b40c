"""The vector files that forge reads are those that their command writes."""

import json
from pathlib import Path
from typing import Any

import pytest

from scripts.vectors import write


@pytest.fixture(scope="module")
def files() -> dict[str, str]:
    return write.make_files()


def test_committed_files_are_those_that_the_command_makes(files: dict[str, str]) -> None:
    assert {file.name: file.read_text() for file in write.FOLDER.glob("*.json")} == files


def test_check_names_an_edited_and_a_missing_file(
    files: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(write, "FOLDER", tmp_path / "vectors")
    # Made once for all: it takes seconds.
    monkeypatch.setattr(write, "make_files", lambda: files)
    assert write.main([]) == 0
    assert {file.name: file.read_text() for file in (tmp_path / "vectors").iterdir()} == files
    assert write.find_stale() == []
    (tmp_path / "vectors/merkle.json").write_text(files["merkle.json"].replace("0x", "0X", 1))
    (tmp_path / "vectors/entries.json").unlink()
    assert write.main(["--check"]) == 1
    assert capsys.readouterr().out.splitlines() == [
        f"tests/vectors/{name}.json is stale: run python -m scripts.vectors.write"
        for name in ("entries", "merkle")
    ]
    assert write.main(["--chekc"]) == 2


def _nested_rows(value: Any) -> list[list[dict[str, Any]]]:
    """Return every list of objects in a table, at any depth."""
    inner = list(value.values()) if isinstance(value, dict) else value
    if not isinstance(inner, list):
        return []
    found = [rows for one in inner for rows in _nested_rows(one)]
    return [value, *found] if value and all(isinstance(one, dict) for one in value) else found


def test_lists_hold_objects_of_one_shape_in_alphabetical_order(files: dict[str, str]) -> None:
    """Forge decodes a list into structs by the alphabetical order of the keys."""
    for name, text in files.items():
        lists = _nested_rows(json.loads(text))
        assert lists, name
        for rows in lists:
            assert {tuple(row) for row in rows} == {tuple(sorted(rows[0]))}, name
