"""The locks are made from today's dependencies, and name every package by hash."""

import re
import shutil
from pathlib import Path

import pytest

from scripts import lock

ROOT = Path(__file__).resolve().parents[2]


def test_locks_are_made_from_todays_dependencies() -> None:
    assert lock.stale_locks() == []


def test_changed_dependency_makes_every_lock_stale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    project = (ROOT / "pyproject.toml").read_text()
    changed = project.replace('"httpx>=0.28"', '"httpx>=0.29"')
    assert changed != project
    monkeypatch.setattr(lock, "ROOT", tmp_path)
    monkeypatch.setattr(lock, "LOCKS", tmp_path / "requirements")
    (tmp_path / "pyproject.toml").write_text(project)
    assert lock.stale_locks() == []
    (tmp_path / "pyproject.toml").write_text(changed)
    assert lock.stale_locks() == [*lock.TOGETHER, *lock.APART]
    (tmp_path / "pyproject.toml").write_text(project)
    (tmp_path / "requirements/dev.txt").unlink()
    assert lock.stale_locks() == ["dev"]


def test_every_locked_package_has_a_hash_and_no_address() -> None:
    for group in (*lock.TOGETHER, *lock.APART):
        text = (ROOT / f"requirements/{group}.txt").read_text()
        blocks = re.findall(r"^[a-z0-9](?:.*\\\n)*.*", text, re.MULTILINE)
        assert blocks
        for block in blocks:
            assert re.match(r"[a-z0-9._-]+(\[[a-z,]+\])?==\S+", block), block
            assert "--hash=sha256:" in block, block
        assert "://" not in text
