"""Statements signed for ERC-8183 jobs."""

from orchestrator.core.common.units import DAY_S
from orchestrator.core.log.entry import address_word
from orchestrator.settlement.pipeline import ANCHOR_EVERY_MS
from orchestrator.simulation.sandbox import address_of
from tests.support.single_contract import PRICE, START_MS, second_stack, single_contract


def test_anchored_statements_of_ours_are_endorsed_once(database_url: str) -> None:
    """The client of a job finds every statement signed for it, not too early and not twice."""
    with single_contract(database_url, deadline_s=START_MS // 1000 + DAY_S) as market:
        sandbox, verifier = market.sandbox, address_word(address_of("verifier"))
        foreign = market.open_directly(
            market.operator,
            unit_price_units=str(PRICE),
            budget_units=str(PRICE),
            deadline_s=sandbox.clock() // 1000 + 3 * DAY_S,
            verifier=address_of("another verifier"),
        )
        market.fund_owner(100 * PRICE)
        other = market.propose(market.operator)
        market.accept()
        sandbox.pass_time(60)
        pipeline, log_id = sandbox.stack.pipeline, sandbox.stack.site.log_id
        clock = sandbox._chain_clock
        market.convert(1)
        sandbox.pass_time(ANCHOR_EVERY_MS // 1000)
        sandbox.come_to_rest()
        size = market.chain.checkpoint(log_id, "finalized").size

        def state_totals() -> None:
            sandbox.pass_time(1)
            pipeline.tick(f"{sandbox.clock()}")
            sandbox.stack.drain()

        state_totals()
        (first,) = sandbox.stack.log.of_kind("settlement", 0, 10)
        assert first.position == size  # the first that the anchor does not cover
        assert pipeline.endorse() == 0
        # By itself the node makes a block some time after it answered, and one too many here.
        clock.node.call("evm_setAutomine", False)
        pipeline.publish()
        pipeline.submit()
        clock.mine()
        assert market.chain.checkpoint(log_id, "latest").size > size
        clock.mine()
        assert market.chain.checkpoint(log_id, "safe").size > size
        assert pipeline.endorse() == 0  # anchored, and not for good yet
        clock.node.call("evm_setAutomine", True)
        sandbox.finalize()
        market.convert(1)
        state_totals()
        assert pipeline.endorse() == 1  # that one, and not the next
        sandbox.come_to_rest()
        for number in range(2):  # one contract after the other ends
            sandbox.pass_time(2 * DAY_S)
            market.convert(1)
            sandbox.settle(f"{number}")

        stated = sandbox.stack.log.of_kind("settlement", 0, 1000)
        ours = [one.position for one in stated if one.entry.actor == verifier]
        assert {one.entry.subject for one in stated} == {market.contract, foreign, other}
        found = {
            one["position"]: one
            for name in {one.entry.subject for one in stated}
            for one in market.operator.pages(
                f"/v1/contracts/0x{name.hex()}/endorsements", "endorsements"
            )
        }
        assert sorted(found) == ours
        assert all(one["size"] > one["position"] for one in found.values())

        with second_stack(sandbox, database_url) as again:
            assert again.pipeline.endorse() == 0
        with second_stack(sandbox, database_url, evaluators=False) as without:
            market.convert(1)
            sandbox.stack.pipeline.tick("three")
            sandbox.stack.drain()
            sandbox.stack.pipeline.publish()
            assert without.pipeline.endorse() == 0


def test_an_anchor_that_the_replay_has_passed_is_waited_out(database_url: str) -> None:
    """A round is signed before it is anchored, while an older anchor is the last that is final."""
    with single_contract(database_url, deadline_s=START_MS // 1000 + DAY_S) as market:
        sandbox = market.sandbox
        pipeline, log_id = sandbox.stack.pipeline, sandbox.stack.site.log_id

        def state_totals() -> None:
            market.convert(1)
            sandbox.pass_time(1)
            pipeline.tick(f"{sandbox.clock()}")
            sandbox.stack.drain()

        state_totals()
        pipeline.publish()
        pipeline.submit()
        sandbox.finalize()
        final = market.chain.checkpoint(log_id, "finalized").size
        state_totals()
        assert pipeline.settle_round() == 1
        assert market.chain.checkpoint(log_id, "finalized").size == final
        assert pipeline.endorse() == 0
        sandbox.come_to_rest()
        found = market.operator.pages(
            f"/v1/contracts/0x{market.contract.hex()}/endorsements", "endorsements"
        )
        assert len([*found]) == 2
