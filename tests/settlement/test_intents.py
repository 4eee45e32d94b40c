"""Numbered intents: asked for again after a failure, never beside one that is under way."""

from collections.abc import Iterator

import pytest

from orchestrator.chain.deployment import Chain
from orchestrator.chain.relayer import Relayer
from orchestrator.core.deals.site import Addresses
from orchestrator.settlement.intents import DEFERRED, MAX_NUMBER, Intents, NumberedIntent
from orchestrator.storage.database import WORKER, Database
from tests.support.servers import open_as

CONTRACT = "0x" + "5" * 40
ACCOUNT = "0x" + "d" * 40
CHAIN_ID = 31337


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with open_as(database_url, WORKER) as database:
        yield database


@pytest.fixture
def chain() -> Iterator[Chain]:
    """A chain that encodes calls, behind a node that does not answer."""
    with Chain("http://127.0.0.1:1", Addresses(CHAIN_ID, CONTRACT, CONTRACT)) as chain:
        yield chain


@pytest.fixture
def relayer(chain: Chain, database: Database) -> Relayer:
    return Relayer(chain, database, b"\5" * 32, lambda: 1)


@pytest.fixture
def intents(database: Database, relayer: Relayer) -> Intents:
    return Intents(database, relayer, CHAIN_ID, ACCOUNT)


def refuse(database: Database, relayer: Relayer, key: str) -> None:
    """Let an intent end without a transaction."""
    with database.transaction(ACCOUNT) as session:
        assert session.run(
            "chain.finish",
            chain_id=CHAIN_ID,
            sender=relayer.sender.lower(),
            intent_key=key,
            fate="refused",
            reason="NotDue",
            tx_hash=None,
            block_number=None,
            block_hash=None,
            gas_used=None,
            finished_ms=2,
        )


def test_an_intent_is_asked_for_again_only_once_it_has_ended(
    chain: Chain, database: Database, relayer: Relayer, intents: Intents
) -> None:
    call = chain.revoke(b"\1" * 32)
    assert intents.last("release:") is None
    for number in range(MAX_NUMBER + 1):
        assert intents.ask_again("release", "contract:5", call)
        assert not intents.ask_again("release", "contract:5", call)
        assert intents.last("release:") == NumberedIntent("release", "contract:5", number)
        refuse(database, relayer, f"release:contract:5:{number}")
    last = intents.last("release:contract:5:")
    assert last == NumberedIntent("release", "contract:5", MAX_NUMBER, "refused")
    assert last.is_exhausted
    assert not intents.ask_again("release", "contract:5", call)
    # What is paid since makes it another purpose.
    assert intents.ask_again("release", "contract:6", call)


def test_only_its_own_kind_is_under_way(
    chain: Chain, database: Database, relayer: Relayer, intents: Intents
) -> None:
    intent = NumberedIntent("settle", "7:2")
    intents.ask(intent, chain.revoke(b"\1" * 32))
    assert (intents.is_under_way("settle"), intents.is_under_way("release")) == (True, False)
    refuse(database, relayer, intent.key)
    assert not intents.is_under_way("settle")
    assert intent.next.key == "settle:7:2:1"


def test_what_would_revert_now_holds_up_nothing_and_is_not_asked_for_twice(
    chain: Chain, database: Database, relayer: Relayer, intents: Intents
) -> None:
    call = chain.revoke(b"\1" * 32)
    assert intents.ask_again("release", "contract:5", call)
    with database.transaction() as session:
        session.run(
            "chain.defer",
            chain_id=chain.addresses.chain_id,
            sender=relayer.sender.lower(),
            intent_key="release:contract:5:0",
            refused_block=7,
            reason="it would revert",
        )
    assert not intents.is_under_way("release")
    last = intents.last("release:")
    assert last == NumberedIntent("release", "contract:5", 0, DEFERRED)
    assert not last.has_ended
    assert not intents.ask_again("release", "contract:5", call)
