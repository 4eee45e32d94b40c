"""Requests to be confirmed: kept as they were asked, bounded in number and in time."""

from pathlib import Path

import pytest

from orchestrator.connect.confirmations import KEPT_S, MAX_WAITING, Asked, Confirmations
from orchestrator.core.common.errors import InputError

NOW_S = 1_800_000_000


def asked_in(confirmations: Confirmations, now_s: int = NOW_S) -> Asked:
    return confirmations.ask("0xaa", "proposal", {"terms": {}}, ["a line"], now_s)


def refused(confirmations: Confirmations, id_: str, now_s: int = NOW_S) -> str:
    with pytest.raises(InputError) as caught:
        confirmations.confirmed(id_, "0xaa", now_s)
    return caught.value.code


def test_a_request_is_confirmed_as_it_was_asked(tmp_path: Path) -> None:
    confirmations = Confirmations(tmp_path / "waiting")
    asked = asked_in(confirmations)
    assert confirmations.waiting(NOW_S) == [asked]
    assert refused(confirmations, asked.id) == "confirmation-missing"
    confirmations.confirm(asked)
    assert confirmations.confirmed(asked.id, "0xaa", NOW_S) == asked._replace(is_confirmed=True)
    confirmations.drop(asked)
    assert refused(confirmations, asked.id) == "confirmation-unknown"
    assert not list((tmp_path / "waiting").iterdir())


def test_files_are_closed_to_others(tmp_path: Path) -> None:
    asked = asked_in(Confirmations(tmp_path / "waiting"))
    path = tmp_path / "waiting" / f"{asked.id}.json"
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o644)
    assert refused(Confirmations(tmp_path / "waiting"), asked.id) == "key-exposed"


def test_they_end_after_a_day_and_are_so_many_at_most(tmp_path: Path) -> None:
    confirmations = Confirmations(tmp_path / "waiting")
    first, *_ = [asked_in(confirmations) for _ in range(MAX_WAITING)]
    with pytest.raises(InputError) as full:
        asked_in(confirmations)
    assert full.value.code == "confirmations-many"
    confirmations.confirm(first)
    late_s = NOW_S + KEPT_S + 1
    assert refused(confirmations, first.id, late_s) == "confirmation-unknown"
    assert asked_in(confirmations, late_s).id
    assert len(confirmations.waiting(late_s)) == 1


@pytest.mark.parametrize("id_", ["", "../pins", "0" * 12, "A" * 12, "0" * 13])
def test_an_id_is_no_path(tmp_path: Path, id_: str) -> None:
    (tmp_path / "pins.json").write_text("{}")
    assert refused(Confirmations(tmp_path / "waiting"), id_) == "confirmation-unknown"


@pytest.mark.parametrize("text", ["", "[]", '{"id": 1}', pytest.param("[" * 100_000, id="deep")])
def test_what_is_no_request_is_told(tmp_path: Path, text: str) -> None:
    path = tmp_path / f"{'0' * 12}.json"
    path.touch(0o600)
    path.write_text(text)
    code = refused(Confirmations(tmp_path), "0" * 12)
    assert code in ("confirmation-malformed", "file-too-large")
