"""Deals at a server that is a stranger: terms are made here, by what it serves and is pinned."""

import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from orchestrator.client.accounts import AccountClient
from orchestrator.client.http import Client
from orchestrator.client.log_server import (
    reading,
    served_policy,
    served_settings,
    served_time,
)
from orchestrator.core.common.errors import ServerError
from orchestrator.core.common.hexadecimal import from_hex, to_hex
from orchestrator.core.deals.deal import Draft, Frame, deal_of, draft_terms
from orchestrator.core.deals.mandate import Pins
from orchestrator.core.deals.terms import (
    Terms,
    contract_id,
    operator_consent_digest,
    owner_consent_digest,
    sign_digest,
)
from orchestrator.core.log.entry import WORD_BYTES
from orchestrator.core.surface.policy import Policy
from orchestrator.core.surface.surface_settings import DealDefaults

# Waiting asks the server again after so long, and this often.
LEAST_PAUSE_S, MAX_PAUSE_S, MAX_LOOKS = 0.05, 60.0, 2_000
# An owner is waited for in looks so far apart.
LOOK_PAUSE_S = 0.5


class Proposed(NamedTuple):
    """Terms that a wallet has signed, and what the server answers to them."""

    contract: str
    terms: Terms
    status: str


def served_pins(client: Client) -> Pins:
    """Return the facts of the deployment that a server names."""
    log = client.get("/v1/log")
    with reading(client, "which log it serves"):
        return Pins.from_json(log)


def served_frame(client: Client, pins: Pins, surface: str) -> Frame:
    """Return what a surface sets of terms; the deployment's part is as it was pinned."""
    detail = client.get(f"/v1/surfaces/{surface}")
    with reading(client, "what the surface asks of terms"):
        asked = detail["terms"]
        policy_hash = from_hex(asked["policy"], WORD_BYTES)
        hash_ = detail["settings_hash"]
        settings_hash = None if hash_ is None else from_hex(hash_, WORD_BYTES)
        owner, recipient = str(asked["owner"]), str(asked["fee_recipient"])
        fee_bps = int(asked["fee_bps"])
    policy: Policy = served_policy(client, policy_hash)
    usual = served_settings(client, settings_hash).deals if settings_hash else DealDefaults()
    return Frame(
        owner=owner,
        log_id=from_hex(pins.log_id),
        surface=from_hex(surface, WORD_BYTES),
        policy=policy,
        verifier=pins.verifier,
        fee_bps=fee_bps,
        fee_recipient=recipient,
        tokens=pins.tokens,
        escrow=pins.escrow,
        usual=usual,
    )


def draft(
    client: AccountClient,
    pins: Pins,
    surface: str,
    deal: Mapping[str, object],
    now_s: int | None = None,
) -> Draft:
    """Return complete terms of a short deal with the client's wallet as operator, made here."""
    frame = served_frame(client, pins, surface)
    by_clock = served_time_s(client) if now_s is None else now_s
    return draft_terms(deal, frame, client.address, by_clock, secrets.token_bytes(32))


def served_cautions(client: AccountClient, surface: str, deal: Mapping[str, object]) -> list[str]:
    """Return what the server would have a signer of this deal look at first, in its words."""
    made = client.post(f"/v1/surfaces/{surface}/drafts", {"deal": dict(deal)})
    with reading(client, "what to look at first"):
        return [str(each) for each in made["cautions"]]


def served_time_s(client: Client) -> int:
    """Return the time by the server's clock, which judges terms: it may be another than ours."""
    time_ms, _ = served_time(client)
    return time_ms // 1000


def wait_until(client: Client, time_s: int, pause: Callable[[float], object] = time.sleep) -> None:
    """Wait until the server's clock shows this time. Raises ServerError if it stands still."""
    for _ in range(MAX_LOOKS):
        now_ms, speed = served_time(client)
        if now_ms >= time_s * 1000:
            return
        if not speed:
            break
        pause(min(MAX_PAUSE_S, (time_s * 1000 - now_ms) / speed / 1000 + LEAST_PAUSE_S))
    raise ServerError("clock-stands", f"the clock of {client.server} does not come to {time_s}")


def wait_for_owner(
    client: Client, contract: str, pause: Callable[[float], object] = time.sleep
) -> None:
    """Wait until an owner has signed a proposal, at most until its contract would have to open.

    Raises ServerError with what else has become of it, and with what the owner would sign instead.
    """
    for _ in range(MAX_LOOKS):
        answer = client.get(f"/v1/proposals/{contract}")
        with reading(client, "what became of the proposal"):
            status, changes = str(answer["status"]), answer["counter_changes"] or ()
            offered = [f"{each['term']} {each['after']}, not {each['before']}" for each in changes]
        if status in ("accepted", "opened"):
            return
        if status != "proposed":
            instead = f"; its owner would sign {'; '.join(offered)}" if offered else ""
            raise ServerError(f"proposal-{status}", f"proposal {contract} is {status}{instead}")
        pause(LOOK_PAUSE_S)
    raise ServerError("proposal-undecided", f"the owner has not decided {contract}")


def offered_deal(client: AccountClient, surface: str, offer: str) -> dict[str, object]:
    """Return the deal of a standing offer as the server has it now, in plain units."""
    path = f"/v1/surfaces/{surface}/offers/{offer}/drafts"
    made = client.post(path, {})
    with reading(client, "what the offer is"):
        return dict(made["deal"])


def countered_deal(client: AccountClient, pins: Pins, contract: str) -> dict[str, object]:
    """Return the deal by which an owner has answered a proposal."""
    answer = client.get(f"/v1/proposals/{contract}")
    with reading(client, "the owner's answer"):
        document = answer["counter"]
    if document is None:
        raise ServerError("counter-missing", f"the owner has not answered {contract} with terms")
    terms = Terms.from_json(document)
    return dict(deal_of(terms, pins.token(terms.token)))


def proposed_terms(client: AccountClient, pins: Pins, contract: str) -> Terms:
    """Return the terms of a proposal. Raises ServerError if they are those of another."""
    answer = client.get(f"/v1/proposals/{contract}")
    with reading(client, "what the proposal is"):
        terms = Terms.from_json(answer["terms"])
    if to_hex(contract_id(terms, pins.domain)) != contract:
        raise ServerError("terms-other", f"{client.server} gives other terms than {contract}'s")
    return terms


def propose(client: AccountClient, pins: Pins, terms: Terms, **beside: str | None) -> Proposed:
    """Sign terms as their operator and propose them; `beside` are `answers` and `offer`."""
    signature = _signature(client, operator_consent_digest(terms, pins.domain))
    body = {"terms": terms.to_json(), "operator_signature": signature, **beside}
    return _proposed(client, pins, terms, client.post("/v1/proposals", body))


def accept(client: AccountClient, pins: Pins, terms: Terms) -> Proposed:
    """Sign terms as their owner, to be paid from its allowance, and accept the proposal."""
    signature = _signature(client, owner_consent_digest(terms, pins.domain))
    path = f"/v1/proposals/{to_hex(contract_id(terms, pins.domain))}/accept"
    return _proposed(client, pins, terms, client.post(path, {"owner_signature": signature}))


def _signature(client: AccountClient, digest: bytes) -> str:
    return to_hex(sign_digest(digest, bytes(client.account.key)))


def _proposed(client: Client, pins: Pins, terms: Terms, answer: Any) -> Proposed:
    with reading(client, "what became of the proposal"):
        return Proposed(to_hex(contract_id(terms, pins.domain)), terms, str(answer["status"]))
