"""The pipeline from the log to the wallet: nothing is paid early or twice, or lost."""

from typing import Any

import pytest

from orchestrator.chain.abi import Call
from orchestrator.chain.deployment import SignedCheckpoint, log_id_of
from orchestrator.client.http import Client
from orchestrator.core import tx_plan
from orchestrator.core.common.errors import LogError, ReplayError
from orchestrator.core.common.units import DAY_S
from orchestrator.core.deals.terms import checkpoint_digest, sign_digest
from orchestrator.core.world.contract import rules_of
from orchestrator.core.world.requests import OpenContract
from orchestrator.settlement import recorder
from orchestrator.simulation.sandbox import address_of, key_of
from tests.support.depth import deep_only
from tests.support.single_contract import PRICE, SingleContract, second_stack, single_contract

CHALLENGE: dict[str, object] = {"challenge_period_s": 2 * DAY_S}


def test_statements_wait_for_each_other_and_the_newest_goes(database_url: str) -> None:
    with single_contract(database_url, **CHALLENGE) as market:
        sandbox = market.sandbox
        for number in range(3):
            market.convert(1)
            sandbox.settle(f"day {number}")
        first = market.chain.pending_of(market.contract)
        assert first is not None
        assert first.earned_units == PRICE
        assert (market.settle_transactions(), market.paid_outcomes()) == (1, 0)
        sandbox.pass_time(2 * DAY_S)
        sandbox.come_to_rest()
        assert market.paid_outcomes() == 0
        sandbox.pass_time(1)
        sandbox.come_to_rest()
        # The first is final and paid; of the two behind it the newest stands for both.
        second = market.chain.pending_of(market.contract)
        assert second is not None
        assert second.earned_units == 3 * PRICE
        assert (market.settle_transactions(), market.paid_outcomes()) == (2, 1)
        sandbox.pass_time(2 * DAY_S + 1)
        sandbox.come_to_rest()
        assert (market.settle_transactions(), market.paid_outcomes()) == (2, 3)
        assert not [entry for entry in market.entries("payout") if entry.label != "paid"]
        (compared,) = market.replay().contracts
        assert (compared.paid_units, compared.owed_units) == (3 * PRICE, 0)


def test_a_pipeline_that_starts_anew_sends_what_is_missing_and_nothing_twice(
    database_url: str,
) -> None:
    with single_contract(database_url, **CHALLENGE) as market:
        sandbox = market.sandbox
        for number in range(2):
            market.convert(1)
            sandbox.settle(f"day {number}")
        sandbox.pass_time(2 * DAY_S + 1)
        with second_stack(sandbox, database_url) as again:
            sandbox.stack.pipeline = again.pipeline
            sandbox.come_to_rest()
            assert (market.settle_transactions(), market.paid_outcomes()) == (2, 1)
            sandbox.come_to_rest()
            assert (market.settle_transactions(), market.paid_outcomes()) == (2, 1)


def test_a_rate_cap_is_paid_in_portions_worth_their_gas(database_url: str) -> None:
    cap = {"rate_cap_units": str(4 * PRICE), "rate_period_s": 4 * DAY_S}
    with single_contract(database_url, **cap) as market:
        sandbox = market.sandbox
        market.convert(5)
        sandbox.settle("all")
        assert market.paid_outcomes() == 2
        # Half a price becomes releasable a day; a quarter of the cap, one price, is worth its gas.
        seen = []
        for _ in range(6):
            sandbox.pass_time(DAY_S)
            sandbox.come_to_rest()
            seen.append(market.paid_outcomes())
        assert seen == [2, 3, 3, 4, 4, 5]
        assert len(market.entries("payout")) == 4
        (compared,) = market.replay().contracts
        assert (compared.paid_units, compared.owed_units) == (5 * PRICE, 0)


def test_a_reversal_is_taken_from_what_is_held_back(database_url: str) -> None:
    holdback = {"holdback_bps": 5000, "holdback_period_s": 10 * DAY_S}
    with single_contract(database_url, **holdback) as market:
        sandbox = market.sandbox
        market.convert(4)
        sandbox.settle("first")
        assert market.paid_outcomes() == 2
        market.report("refund", ["person-0"])
        sandbox.settle("second")
        # Half of the three that are left is less than what was paid.
        assert market.paid_outcomes() == 2
        (compared,) = market.replay().contracts
        freed_s = 10 * DAY_S + compared.terms.lateness_s
        sandbox.pass_time(freed_s - 100)
        sandbox.come_to_rest()
        assert market.paid_outcomes() == 2
        sandbox.pass_time(101)
        sandbox.come_to_rest()
        assert market.paid_outcomes() == 3
        (compared,) = market.replay().contracts
        assert (compared.payable_units, compared.paid_units) == (3 * PRICE, 3 * PRICE)


CROWD = ("ada", "bo", "cy", "dee", "eli")


@deep_only
def test_a_run_that_is_too_much_for_a_transaction_is_settled_in_parts(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An operator whose contract shares a group with many others is paid all the same."""
    cap = {"rate_cap_units": str(4 * PRICE), "rate_period_s": DAY_S}
    with single_contract(database_url, **cap) as market:
        sandbox, chain = market.sandbox, market.chain
        market.fund_owner(100 * PRICE * len(CROWD))
        contracts = {"ada": market.contract}
        for name in CROWD[1:]:
            contracts[name] = market.propose(market.add_operator(name), **cap)
        market.accept()
        sandbox.pass_time(61)
        for name in CROWD:
            market.convert(1, market.operators[name])
        # Five statements need more gas than this, and one or two do not.
        monkeypatch.setattr(tx_plan, "GAS_CAP", 700_000)
        monkeypatch.setattr(recorder, "MAX_BULK", 2)
        sandbox.settle("all")
        assert [chain.paid_of(contract) for contract in contracts.values()] == [PRICE] * len(CROWD)
        counts = sorted(
            int(sent.intent_key.split(":")[2])
            for sent in sandbox.stack.transactions()
            if sent.intent_key.startswith("settle:")
        )
        assert sum(counts) == len(CROWD)
        assert max(counts) < len(CROWD)
        assert len(market.entries("payout")) == len(CROWD)
        assert all(one.paid_units == PRICE for one in market.replay().contracts)


@pytest.mark.parametrize(
    ("deal", "is_logged"),
    [({"fee_bps": 1, "fee_recipient": "0x" + "00" * 19 + "01"}, True), ({"outcome": " a"}, False)],
    ids=["another fee", "no state's name"],
)
def test_a_contract_that_we_do_not_serve_costs_us_nothing(
    database_url: str, deal: dict[str, object], is_logged: bool
) -> None:
    """A stranger can open a contract that names our log and verifier, and must not stop us."""
    with single_contract(database_url) as market:
        sandbox = market.sandbox
        mallory = market.add_operator("mallory")
        sham = market.open_directly(mallory, **deal)
        sandbox.come_to_rest()
        sandbox.pass_time(61)
        market.convert(1, mallory)
        market.convert(1)
        sandbox.settle("both")
        logged = [contract.rules.contract_id for contract in sandbox.stack.log.contracts(-1, 10)]
        assert (sham in logged) is is_logged
        assert market.chain.paid_of(sham) == 0
        assert market.paid_outcomes() == 1


def test_a_log_that_lets_a_contract_of_another_log_compete_is_not_signed(
    database_url: str,
) -> None:
    """That contract would win outcomes that it is never paid for, though ours is exclusive."""
    with single_contract(database_url, exclusive=True) as market:
        sandbox, chain = market.sandbox, market.chain
        sandbox.send("owner", chain.register("another.example", address_of("another publisher")))
        another = log_id_of(market.owner.address, "another.example")
        foreign = market.open_directly(market.operator, log_id=f"0x{another.hex()}")
        sandbox.come_to_rest()
        assert market.replay().contracts
        opening = OpenContract(rules_of(chain.terms_of(foreign), foreign), b"t" * 32)
        sandbox.stack.pipeline._recorder.request([("false opening", opening)])
        sandbox.stack.drain()
        assert foreign in [one.rules.contract_id for one in sandbox.stack.log.contracts(-1, 10)]
        with pytest.raises(
            ReplayError, match=f"0x{foreign.hex()} .* name log 0x{another.hex()}"
        ) as refused:
            market.replay()
        assert refused.value.code == "contract-elsewhere"
        market.convert(1)
        with pytest.raises(ReplayError) as refused:
            sandbox.settle("all")
        assert refused.value.code == "contract-elsewhere"
        assert market.paid_outcomes() == 0


def test_statements_for_another_verifier_are_left_alone(database_url: str) -> None:
    with single_contract(database_url) as market:
        sandbox, chain = market.sandbox, market.chain
        foreign = market.open_directly(
            market.operator,
            unit_price_units=str(PRICE),
            budget_units=str(PRICE),
            verifier=address_of("another verifier"),
        )
        sandbox.come_to_rest()
        sandbox.pass_time(61)
        market.convert(2)
        sandbox.settle("both")
        assert len(sandbox.stack.log.contracts(-1, 10)) == 2
        assert chain.paid_of(foreign) == 0
        assert {entry.subject for entry in market.entries("settlement")} >= {market.contract}
        assert market.paid_outcomes() == 2


# --- Rounds ---------------------------------------------------------------------------------------


def kinds_sent(market: SingleContract) -> list[str]:
    """The kinds of the transactions that anchored or settled, in their order."""
    kinds = [sent.intent_key.split(":")[0] for sent in market.sandbox.stack.transactions()]
    return [kind for kind in kinds if kind in ("publish", "settle", "round")]


def test_an_anchor_and_its_statements_are_one_transaction(database_url: str) -> None:
    with single_contract(database_url) as market:
        before = kinds_sent(market)
        market.convert(2)
        market.sandbox.settle("first")
        assert (kinds_sent(market)[len(before) :], market.paid_outcomes()) == (["round"], 2)
        # Without anything to anchor or to settle there is no round.
        market.sandbox.come_to_rest()
        assert kinds_sent(market)[len(before) :] == ["round"]
        market.sandbox.pass_time(3600)
        market.sandbox.come_to_rest()
        assert kinds_sent(market)[len(before) :] == ["round", "publish"]
        assert market.replay().contracts


@deep_only
def test_without_the_contract_for_it_there_are_two(database_url: str) -> None:
    with single_contract(database_url) as market:
        sandbox = market.sandbox
        with second_stack(sandbox, database_url, rounds=False) as without:
            sandbox.stack.pipeline = without.pipeline
            before = kinds_sent(market)
            market.convert(2)
            sandbox.settle("first")
            assert kinds_sent(market)[len(before) :] == ["publish", "settle"]
            assert market.paid_outcomes() == 2


def test_a_round_that_fails_is_done_in_two_and_rounds_go_on_after_it(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the anchor alone fits, or another account has anchored more meanwhile."""
    with single_contract(database_url) as market:
        sandbox, chain = market.sandbox, market.chain
        before = kinds_sent(market)
        settle_round = chain.settle_round

        def damaged(checkpoint: SignedCheckpoint, *others: Any) -> Call:
            return settle_round(checkpoint._replace(signature=b"\1" * 65), *others)

        monkeypatch.setattr(chain, "settle_round", damaged)
        market.convert(2)
        sandbox.settle("first")
        assert (kinds_sent(market)[len(before) :], market.paid_outcomes()) == (
            ["publish", "settle"],
            2,
        )
        monkeypatch.undo()
        market.convert(1)
        sandbox.settle("second")
        assert (kinds_sent(market)[len(before) :], market.paid_outcomes()) == (
            ["publish", "settle", "round"],
            3,
        )


# --- Forks ----------------------------------------------------------------------------------------


def test_a_forked_log_stops_and_what_is_owed_is_still_paid(database_url: str) -> None:
    holdback = {"holdback_bps": 5000, "holdback_period_s": 10 * DAY_S}
    with single_contract(database_url, **holdback) as market:
        sandbox, chain, stack = market.sandbox, market.chain, market.sandbox.stack
        market.convert(4)
        sandbox.settle("first")
        assert market.paid_outcomes() == 2
        told = []
        for root in (b"\1" * 32, b"\2" * 32):
            digest = checkpoint_digest(chain.event_log_domain, stack.site.log_id, 5, root)
            signature = sign_digest(digest, key_of("publisher"))
            told.append(SignedCheckpoint(stack.site.log_id, 5, root, signature))
        sandbox.send("owner", chain.report_fork(told[0], told[1]))
        anchored, entries = chain.checkpoint(stack.site.log_id), stack.log.checkpoint()
        with Client(sandbox.url) as client:
            assert client.get("/v1/log")["forked_at_s"] is None
            with pytest.raises(LogError, match="was marked as forked at 2023-") as stopped:
                sandbox.settle("second")
            assert stopped.value.code == "log-forked"
            assert client.get("/v1/log")["forked_at_s"] == chain.forked_at(stack.site.log_id)
        # The publisher signs nothing more, so nothing more is in the log.
        with pytest.raises(LogError, match="so nothing more is signed"):
            market.report("refund", ["person-0"])
        assert stack.log.checkpoint() == entries
        assert market.replay().forked_at_s == chain.forked_at(stack.site.log_id)
        # By earlier anchors everything goes on.
        sandbox.pass_time(11 * DAY_S)
        for _ in range(4):
            sandbox.finalize()
            with pytest.raises(LogError):
                stack.pipeline.step()
        assert market.paid_outcomes() == 4
        assert chain.checkpoint(stack.site.log_id) == anchored
