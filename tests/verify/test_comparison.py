"""A stranger's replay through a server: its statements, its bounds, and what is due to whom."""

import dataclasses
from collections.abc import Callable
from typing import cast

import pytest

from orchestrator.chain.abi import ChainEvent, Disputed
from orchestrator.chain.deployment import Chain
from orchestrator.client.http import Client
from orchestrator.core.common.errors import DomainError, ProofError, ReplayError
from orchestrator.core.common.units import DAY_S
from orchestrator.core.deals.escrow_model import fee_of_payment
from orchestrator.core.deals.terms import checkpoint_digest, sign_digest
from orchestrator.core.log.entry import Entry
from orchestrator.verify import comparison
from orchestrator.verify.comparison import (
    DISPUTE_LAG_MS,
    MAX_UNANCHORED,
    Comparison,
    ContractComparison,
    PlacedEntry,
    check_disputes,
    clock_of,
    local_now_ms,
    statement,
)
from orchestrator.verify.pinned import Pinned
from orchestrator.verify.recount import ToldDispute, Totals
from tests.support.http_server import serving_json
from tests.support.public_log import (
    CONTRACT_ID,
    LOG_ID,
    TERMS,
    PublicChain,
    PublicServer,
    public_records,
    root_at,
)
from tests.support.receipts import PUBLISHER, PUBLISHER_KEY
from tests.support.terms import ARBITER, FEES, LOG_DOMAIN
from tests.support.worlds import word

RECORDS = public_records()
ORDER = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141
(SETTLEMENT,) = (n for n, record in enumerate(RECORDS) if record.entry.kind == "settlement")


def stated(server: PublicServer, chain: PublicChain, position: int = SETTLEMENT) -> Totals:
    with serving_json(server.answer) as url, Client(url) as client:
        return statement(client, cast(Chain, chain), LOG_ID, CONTRACT_ID, position)


@pytest.mark.parametrize(
    ("speed", "trusted"),
    [
        (1, []),
        (1_440, ["the service's clock, which runs 1,440 times as fast"]),
        (0, ["the service's clock, which is moved by hand"]),
    ],
)
def test_a_simulated_clock_judges_its_log_and_is_taken_on_trust(
    speed: int, trusted: list[str]
) -> None:
    ahead_ms = local_now_ms() + 400 * DAY_S * 1000
    with (
        serving_json(lambda _: {"time_ms": ahead_ms, "speed": speed}) as url,
        Client(url) as client,
    ):
        now_ms, told = clock_of(client)
    assert told == trusted
    first = now_ms()
    if speed == 1:
        assert first < ahead_ms
        return
    assert first >= ahead_ms
    if speed == 0:
        assert now_ms() == ahead_ms


@pytest.mark.parametrize("anchored", [0, 5, len(RECORDS)])
def test_a_statement_is_what_the_whole_log_gives(anchored: int) -> None:
    totals = stated(PublicServer(RECORDS), PublicChain(RECORDS, anchored))
    assert totals == Totals(8_000_000, 0)


def change_entry(server: PublicServer) -> None:
    """Change the last digit of the price that the outcome is of, and the root with it."""
    entry, opening = server.items[SETTLEMENT - 1]
    server.items[SETTLEMENT - 1] = (entry[:191] + bytes([entry[191] ^ 7]) + entry[192:], opening)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda server: setattr(server, "size", 5 + MAX_UNANCHORED + 1), "log-ahead"),
        (lambda server: setattr(server, "size", len(RECORDS) + 1), "entries-short"),
        (lambda server: setattr(server, "root", word("root")), "root-differs"),
        (lambda server: setattr(server, "size", "many"), "answer-garbled"),
        (lambda server: setattr(server, "size", -1), "entries-short"),
        (lambda server: setattr(server, "size", 4), "entries-short"),
        (lambda server: setattr(server, "items", server.items[:4]), "entries-short"),
        (lambda server: setattr(server, "items", []), "entries-short"),
        (change_entry, "entry-differs"),
    ],
)
def test_a_server_that_lies_beyond_the_anchor_is_found_out(
    change: Callable[[PublicServer], None], code: str
) -> None:
    server = PublicServer(RECORDS)
    change(server)
    with pytest.raises(DomainError) as refused:
        stated(server, PublicChain(RECORDS, 5))
    assert refused.value.code == code


@pytest.mark.parametrize("kept", [0, 4])
def test_what_a_server_withholds_of_the_anchored_is_asked_of_another(kept: int) -> None:
    server = PublicServer(RECORDS)
    server.items = server.items[:kept]
    with pytest.raises(ReplayError, match=rf"has {kept} entries, but the chain holds .* of 5; ask"):
        stated(server, PublicChain(RECORDS, 5))


# --- Who vouches for what is not anchored ---------------------------------------------------------


def signed(digest: bytes) -> bytes:
    return sign_digest(digest, PUBLISHER_KEY)


def high_s(digest: bytes) -> bytes:
    true = signed(digest)
    return true[:32] + (ORDER - int.from_bytes(true[32:64])).to_bytes(32) + bytes([55 - true[64]])


@pytest.mark.parametrize("anchored", [0, 5, len(RECORDS)])
@pytest.mark.parametrize(
    "sign",
    [
        # An invented tail: the signature is over the root without it.
        lambda _: signed(checkpoint_digest(LOG_DOMAIN, LOG_ID, 5, root_at(RECORDS, 5))),
        lambda digest: sign_digest(digest, b"\6" * 32),
        lambda digest: signed(digest)[:64] + bytes([signed(digest)[64] - 27]),
        high_s,
        lambda _: b"",
        lambda _: b"\x11" * 64 + b"\x1b",
    ],
)
def test_a_checkpoint_that_its_publisher_has_not_signed_is_false(
    sign: Callable[[bytes], bytes], anchored: int
) -> None:
    server = PublicServer(RECORDS)
    server.sign = sign
    with pytest.raises(ProofError) as refused:
        stated(server, PublicChain(RECORDS, anchored))
    assert refused.value.code == "checkpoint-signature"


def test_a_publisher_that_has_handed_the_log_over_and_a_contract_may_have_signed() -> None:
    chain, server = PublicChain(RECORDS), PublicServer(RECORDS)
    chain.publisher, chain.replaced = ARBITER, [PUBLISHER]
    assert stated(server, chain) == Totals(8_000_000, 0)
    chain.replaced, chain.wallets, server.sign = [], {ARBITER: b"yes"}, lambda _: b"yes"
    assert stated(server, chain) == Totals(8_000_000, 0)


def test_who_has_handed_the_log_over_for_good_vouches_for_no_entry_behind_the_anchor() -> None:
    chain, server = PublicChain(RECORDS, 5), PublicServer(RECORDS)
    chain.publisher, chain.replaced = ARBITER, [PUBLISHER]
    with pytest.raises(ProofError, match="not that of the log's publisher") as refused:
        stated(server, chain)
    assert refused.value.code == "checkpoint-signature"
    # Until then it signs on.
    chain.previous = PUBLISHER
    assert stated(server, chain) == Totals(8_000_000, 0)


def test_the_signer_is_told_and_compared_with_the_pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "_compare", lambda *_: [])
    chain = cast(Chain, PublicChain(RECORDS, 5))
    with serving_json(PublicServer(RECORDS).answer) as url, Client(url) as client:
        for publishers in ((), (ARBITER, PUBLISHER)):
            pinned = Pinned(publishers=publishers)
            found = comparison.replay(client, chain, LOG_ID, pinned=pinned)
            told = (found.entries, found.anchored_size, found.signer)
            assert told == (len(RECORDS), 5, PUBLISHER)
        with pytest.raises(ProofError, match=f"signed by {PUBLISHER}, which is none of the pinned"):
            comparison.replay(client, chain, LOG_ID, pinned=Pinned(publishers=(ARBITER,)))


def test_an_entry_that_is_no_statement_about_the_contract_is_refused() -> None:
    with pytest.raises(DomainError) as refused:
        stated(PublicServer(RECORDS), PublicChain(RECORDS), SETTLEMENT - 1)
    assert refused.value.code == "statement-missing"


def test_what_is_due_is_paid_less_the_fee_that_the_escrow_takes() -> None:
    """Fees round down over each contract's whole sum; payees and fee recipients may coincide."""
    plain = ContractComparison(CONTRACT_ID, TERMS, 1, 10, 10, 0, "open", is_ruled=False)
    terms = dataclasses.replace(TERMS, fee_bps=2_500, fee_recipient=FEES)
    with_fee = plain._replace(terms=terms, paid_units=11)
    own = dataclasses.replace(terms, payee=FEES, fee_recipient=ARBITER)
    found = Comparison(
        9, 9, None, PUBLISHER, [plain, with_fee, with_fee._replace(terms=own, paid_units=5)]
    )
    assert [one.fee_units for one in found.contracts] == [0, 2, 1]
    assert with_fee.fee_units == fee_of_payment(0, 4, 2_500) + fee_of_payment(4, 11, 2_500)
    assert found.due_units() == {TERMS.payee: 10 + 9, FEES: 2 + 4, ARBITER: 1}


def told_dispute(number: int) -> ToldDispute:
    event = ChainEvent(number, b"", word(f"tx {number}"), 0, number, Disputed(b"", "", 0))
    return ToldDispute(event, "dispute.opened", word("party"), "owner", 10 + number)


TOLD = [told_dispute(number) for number in range(3)]
LOGGED = [
    PlacedEntry(
        7 + number,
        Entry(
            one.kind, word("s"), one.actor, CONTRACT_ID, one.label, one.units, 0, one.event.tx_hash
        ),
    )
    for number, one in enumerate(TOLD)
]
INVENTED = PlacedEntry(9, LOGGED[1].entry._replace(payload=word("another tx")))


def altered(**changes: object) -> list[PlacedEntry]:
    return [LOGGED[0], PlacedEntry(8, LOGGED[1].entry._replace(**changes)), LOGGED[2]]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("logged", "log_ms", "code"),
    [
        (LOGGED, DISPUTE_LAG_MS * 9, None),
        # The last has been told for a day, and not yet for longer.
        (LOGGED[:2], DISPUTE_LAG_MS + 2000, None),
        (LOGGED[:2], DISPUTE_LAG_MS + 2001, "dispute-missing"),
        ([], 0, None),
        # Whatever the time, what stands in the log is in the chain's order.
        (LOGGED[1:], 0, "dispute-missing"),
        ([LOGGED[0], LOGGED[2]], 0, "dispute-missing"),
        ([LOGGED[1], LOGGED[0], LOGGED[2]], 0, "dispute-missing"),
        ([*LOGGED, LOGGED[2]], 0, "dispute-false"),
        ([*LOGGED[:2], INVENTED], 0, "dispute-false"),
        (altered(value=10), 0, "dispute-false"),
        (altered(label="operator"), 0, "dispute-false"),
        (altered(actor=word("other")), 0, "dispute-false"),
        (altered(kind="dispute.ruled"), 0, "dispute-false"),
        (altered(payload=word("other")), 0, "dispute-false"),
    ],
)
def test_the_log_tells_of_disputes_what_the_chain_does(
    logged: list[PlacedEntry], log_ms: int, code: str | None
) -> None:
    if code is None:
        check_disputes(CONTRACT_ID, logged, TOLD, log_ms)
        return
    with pytest.raises(ReplayError) as caught:
        check_disputes(CONTRACT_ID, logged, TOLD, log_ms)
    assert caught.value.code == code
    assert "\n" not in caught.value.message
