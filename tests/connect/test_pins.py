"""Pins: taken down at first use, and never another afterwards."""

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.client.http import Client
from orchestrator.connect.pins import pinned
from orchestrator.core.common.errors import DomainError
from orchestrator.core.deals.mandate import Pins
from tests.support.http_server import serving_json
from tests.support.terms import ESCROW, OPERATOR, PAYEE, TOKEN, VERIFIER

LOG = {
    "chain_id": 31337,
    "escrow": ESCROW,
    "event_log": PAYEE,
    "log_id": "0x" + "10" * 32,
    "verifier": VERIFIER,
    "tokens": [{"address": TOKEN, "symbol": "USDC", "decimals": 6}],
    "size": 7,
}

OTHERS: dict[str, Any] = {"chain_id": 1, "log_id": "0x" + "11" * 32}


def pin(folder: Path, name: str = "https://a.example", **changes: Any) -> Pins:
    """Return what is pinned for a URL while its server says this."""
    with serving_json(lambda _: LOG | changes) as url, Client(url) as client:
        return pinned(folder, name, client)


def refused(folder: Path, **changes: Any) -> tuple[str, str]:
    with pytest.raises(DomainError) as caught:
        pin(folder, **changes)
    return caught.value.code, caught.value.message


def test_what_was_pinned_stays(tmp_path: Path) -> None:
    first = pin(tmp_path)
    assert pin(tmp_path, size=8) == first == Pins.from_json(LOG)
    assert (tmp_path / "pins.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["chain_id", "escrow", "event_log", "log_id", "verifier"])
def test_a_change_is_refused_by_name(tmp_path: Path, name: str) -> None:
    pin(tmp_path)
    code, message = refused(tmp_path, **{name: OTHERS.get(name, OPERATOR)})
    assert code == "pin-changed"
    assert message.startswith(f"{name} was {LOG[name]} and is ")
    assert str(tmp_path / "pins.json") in message


def test_another_url_has_pins_of_its_own(tmp_path: Path) -> None:
    first, second = pin(tmp_path), pin(tmp_path, "https://b.example", chain_id=1)
    assert (first.chain_id, second.chain_id) == (31337, 1)
    assert pin(tmp_path) == first


@pytest.mark.parametrize("text", ["", "[]", json.dumps({"https://a.example": {"chain_id": 1}})])
def test_a_file_that_is_none_is_not_passed_over(tmp_path: Path, text: str) -> None:
    path = tmp_path / "pins.json"
    path.touch(0o600)
    path.write_text(text)
    assert refused(tmp_path)[0] == "pins-malformed"


def test_a_server_that_names_no_log_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path, tokens=None)[0] == "answer-garbled"
    assert not (tmp_path / "pins.json").exists()
