"""Receipts from a server: those that hold and are of the pinned log are returned, and no others."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from orchestrator.client.http import Client
from orchestrator.client.receipts import served_receipt
from orchestrator.core.common.errors import PendingError, ProofError, ServerError
from orchestrator.core.deals.mandate import Pins
from orchestrator.core.entries.receipt import Receipt
from tests.support.http_server import Refusal, serving_json
from tests.support.public_log import CONTRACT_ID, public_records
from tests.support.receipts import receipt_of
from tests.support.terms import OWNER, VERIFIER

DOCUMENT = receipt_of(public_records(), CONTRACT_ID)
POSITION = DOCUMENT["position"]
PINS = Pins(
    DOCUMENT["chain_id"],
    DOCUMENT["escrow"],
    DOCUMENT["event_log"],
    DOCUMENT["log_id"],
    VERIFIER,
    (),
)


def served(document: Any, pins: Pins = PINS, position: int = POSITION) -> Receipt:
    with serving_json(lambda _: document) as url, Client(url) as client:
        return served_receipt(client, pins, position)


def changed(change: Callable[[Any], object]) -> Any:
    document = copy.deepcopy(DOCUMENT)
    change(document)
    return document


def test_a_receipt_that_holds_is_returned() -> None:
    found = served(DOCUMENT)
    assert (found.position, found.contract_id) == (POSITION, CONTRACT_ID)


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        changed(lambda one: one["entries"].pop(2)),
        changed(lambda one: one["checkpoint"].update(root="0x" + "00" * 32)),
        changed(lambda one: one["entries"][0].update(position=9)),
        changed(lambda one: one["checkpoint"].update(signature="0x" + "00" * 65)),
    ],
    ids=["null", "list", "part", "root", "place", "signature"],
)
def test_one_that_does_not_hold_is_refused(document: Any) -> None:
    with pytest.raises(ProofError):
        served(document)


@pytest.mark.parametrize("name", ["chain_id", "escrow", "event_log", "log_id"])
def test_one_of_another_log_is_refused(name: str) -> None:
    other = PINS._replace(**{name: 1 if name == "chain_id" else OWNER})  # type: ignore[arg-type]
    with pytest.raises(ProofError, match="of another entry"):
        served(DOCUMENT, other)


def test_one_that_is_not_anchored_is_pending() -> None:
    refusal = Refusal(409, {"title": "Receipt unanchored", "detail": "later"})
    with (
        serving_json(lambda _: refusal) as url,
        Client(url) as client,
        pytest.raises(PendingError, match="later"),
    ):
        served_receipt(client, PINS, POSITION)


@pytest.mark.parametrize(
    ("told", "code"), [({"code": "entry-unknown"}, "entry-unknown"), ({}, "http-404")]
)
def test_the_servers_own_code_of_a_refusal_is_kept(told: dict[str, str], code: str) -> None:
    refusal = Refusal(404, {"title": "Not found", "detail": "none", **told})
    with (
        serving_json(lambda _: refusal) as url,
        Client(url) as client,
        pytest.raises(ServerError) as refused,
    ):
        served_receipt(client, PINS, POSITION)
    assert refused.value.code == code


def test_one_of_another_entry_is_refused() -> None:
    with pytest.raises(ProofError, match="of another entry"):
        served(DOCUMENT, position=POSITION + 1)
