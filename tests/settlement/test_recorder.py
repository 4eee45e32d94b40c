"""Final events of the chain come into the log, each once, whoever reads them."""

from typing import Any

import pytest

from orchestrator.core.common.errors import ReplayError
from orchestrator.core.common.units import DAY_S
from orchestrator.core.deals.terms import close_digest, sign_digest
from orchestrator.core.log.entry import address_word
from orchestrator.core.world.requests import RecordRuling
from orchestrator.simulation.sandbox import address_of, key_of
from tests.support.parties import settings_for
from tests.support.single_contract import PRICE, SingleContract, second_stack, single_contract

CHALLENGE: dict[str, object] = {"challenge_period_s": 2 * DAY_S}


@pytest.mark.parametrize("deal", [{}, CHALLENGE], ids=["plain", "guarded"])
def test_a_contract_that_both_parties_closed_counts_nothing_more(
    database_url: str, deal: dict[str, object]
) -> None:
    with single_contract(database_url, **deal) as market:
        sandbox, chain = market.sandbox, market.chain
        market.convert(2)
        sandbox.settle("before")
        expires_s = sandbox.clock() // 1000 + DAY_S
        digest = close_digest(
            sandbox.stack.escrow_domain,
            market.operator.address,
            market.contract,
            5 * PRICE,
            expires_s,
        )
        signature = sign_digest(digest, key_of("ada"))
        call = chain.close_contract(market.contract, 5 * PRICE, expires_s, b"", signature)
        sandbox.send("owner", call)
        sandbox.come_to_rest()
        assert chain.status_of(market.contract) == "closed"
        assert market.paid_outcomes() == 5
        (closed,) = market.entries("contract.closed")
        assert closed.value == 1000 * (chain.closed_at(market.contract) or 0)
        settled = market.settle_transactions()
        sandbox.pass_time(60)
        market.convert(1)
        sandbox.settle("after")
        assert market.settle_transactions() == settled
        (compared,) = market.replay().contracts
        assert (compared.outcomes, compared.paid_units) == (2, 5 * PRICE)


def test_disputes_come_into_the_log_once_and_the_one_that_is_lost_costs_the_level(
    database_url: str,
) -> None:
    """A second statement is disputed by both sides after a first was lowered, and is kept."""
    deal = {
        **CHALLENGE,
        "arbitration_period_s": 2 * DAY_S,
        "claim_period_s": 8 * DAY_S,
        "arbiter": address_of("judge"),
    }
    with single_contract(database_url, **deal) as market:
        sandbox, chain, contract = market.sandbox, market.chain, market.contract
        for name in ("judge", "ada"):
            sandbox.fund(name)
        rise(market)
        market.convert(2)
        sandbox.pass_time(60)  # until they are ripe
        sandbox.settle("first")
        act(market, "owner", chain.dispute)
        act(market, "judge", chain.rule, PRICE)
        market.convert(1)
        sandbox.settle("second")
        act(market, "ada", chain.dispute)
        act(market, "owner", chain.dispute)
        # Of the three that are stated the first ruling took one off.
        act(market, "judge", chain.rule, 2 * PRICE)
        found = market.entries("dispute.opened"), market.entries("dispute.ruled")
        assert [[(one.label, one.value // PRICE) for one in kind] for kind in found] == [
            [("owner", 2), ("operator", 2), ("owner", 2)],
            [("lowered", 1), ("kept", 2)],
        ]
        assert {one.actor for one in found[1]} == {address_word(address_of("judge"))}
        levels = [int(entry.label) for entry in market.entries("trust.changed")]
        assert levels == [1, 2, 1]
        # A pipeline that starts anew tells nothing twice.
        own = sandbox.stack.pipeline
        with second_stack(sandbox, database_url) as again:
            sandbox.stack.pipeline = again.pipeline
            sandbox.come_to_rest()
        sandbox.stack.pipeline = own
        assert len(market.entries("dispute.ruled")) == 2
        (compared,) = market.replay().contracts
        assert compared.is_ruled
        # One that the publisher makes up is found by the next replay.
        lie = RecordRuling(contract, address_word(address_of("judge")), "kept", 1, b"\7" * 32)
        sandbox.stack.pipeline._recorder.request([("lie", lie)])
        sandbox.come_to_rest()
        with pytest.raises(ReplayError) as caught:
            market.replay()
        assert caught.value.code == "dispute-false"


def act(market: SingleContract, name: str, call: Any, *arguments: int) -> None:
    """Let a party or the arbiter act on the pending statement, and the log hear of it."""
    pending = market.chain.pending_of(market.contract)
    assert pending is not None
    market.sandbox.send(name, call(market.contract, pending.position, *arguments))
    market.sandbox.come_to_rest()


def rise(market: SingleContract) -> None:
    """Let one outcome give level 2 at once, which one lost dispute takes."""
    easy = {
        **settings_for(market.sandbox.token),
        "levels": [
            {"leads_a_day": 1000},
            {
                "leads_a_day": 1000,
                "outcomes": 1,
                "units": "1",
                "age_s": 0,
                "reversed_bps": 0,
                "keep_reversed_bps": 0,
                "disputes_lost": 0,
            },
        ],
        "bucket_s": 1,
        "ripening_s": 0,
        "pause_s": 0,
    }
    market.owner.publish_settings(market.surface, easy)
    market.sandbox.stack.drain()
