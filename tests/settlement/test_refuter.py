"""Claims that the log refutes are dropped by our own pipeline, and founded ones are left alone."""

from typing import Any

import pytest

from orchestrator.actions.contract_state import read_contract_state
from orchestrator.chain.rpc import NodeError
from orchestrator.core.common.units import DAY_S
from orchestrator.core.deals.terms import Terms
from orchestrator.core.evidence.history import PublicEntry
from orchestrator.core.log.entry import Entry
from orchestrator.settlement import refuter
from orchestrator.settlement.refuter import Refuter
from orchestrator.settlement.troubles import Troubles
from orchestrator.verify.log_copy import LogCopy
from tests.support.market import PRICE_UNITS, Market
from tests.support.single_contract import second_stack

BOUGHT = ("lead.transition", "paid")


def entries(market: Market) -> list[Entry]:
    return [stored.entry for stored in market.sandbox.stack.log.entries(0, 10_000)]


def claim(market: Market, name: str, contract_id: bytes, nth: int) -> bytes:
    """Let an operator claim the nth purchase in the log, true or not; return the claim's key."""
    written = entries(market)
    bought = [at for at, one in enumerate(written) if (one.kind, one.label) == BOUGHT][nth]
    lead = written[bought].subject
    touch = next(at for at, one in enumerate(written) if (one.kind, one.subject) == ("touch", lead))
    with log_copy(market, contract_id) as log:
        call = market.chain.claim(contract_id, log.size, log.exhibit(bought), log.exhibit(touch))
    market.sandbox.send(name, call)
    return lead


def log_copy(market: Market, contract_id: bytes) -> LogCopy:
    log = market.sandbox.stack.log

    def pages(start: int, limit: int) -> list[PublicEntry]:
        return [PublicEntry(one.data, one.opening or b"") for one in log.entries(start, limit)]

    return LogCopy(pages, market.chain, log.log_id, [contract_id])


def claims_left(market: Market, contract_id: bytes) -> dict[bytes, bool]:
    """Return whether each filed claim still stands, by its key."""
    filed = read_contract_state(market.chain, contract_id).claims.filed
    return {key: not one.is_dropped for key, one in filed.items()}


def refutations(market: Market) -> list[str]:
    """Return the keys of the refutations that our relayer sent for good."""
    sent = market.sandbox.stack.transactions()
    return [one.intent_key for one in sent if one.intent_key.startswith("refute:")]


def paid_and_silent(market: Market, *names: str, **last: object) -> dict[str, bytes]:
    """Open a contract for each operator, with a paid outcome and after it one that is not stated.

    Their time for statements is over. `last` changes the terms of the last one.
    """
    contracts = {name: market.open(name, **(last if name == names[-1] else {})) for name in names}
    market.advance_to(market.sandbox.clock() // 1000 + 3600)
    for name in names:
        market.win(name, f"{name}-stated")
    market.sandbox.settle("one")
    market.advance_to(market.sandbox.clock() // 1000 + 2 * DAY_S + 1)
    for name in names:
        assert market.balance_of(name) == PRICE_UNITS
        market.win(name, f"{name}-unstated")
    state = read_contract_state(market.chain, contracts[names[-1]])
    market.advance_to(state.times.statements_until_s + 1)
    return contracts


def test_an_unfounded_claim_is_dropped_once_and_a_founded_one_is_paid(market: Market) -> None:
    contract_id = paid_and_silent(market, "ada")["ada"]
    false = claim(market, "ada", contract_id, 0)
    true = claim(market, "ada", contract_id, 1)
    assert claims_left(market, contract_id) == {false: True, true: True}
    market.sandbox.come_to_rest()
    assert claims_left(market, contract_id) == {false: False, true: True}
    once = [f"refute:{contract_id.hex()}:0x{false.hex()}:0:0"]
    assert refutations(market) == once

    until_s = read_contract_state(market.chain, contract_id).times.refutable_until_s
    for passed_s in (refuter.CHECK_EVERY_MS // 1000, 3 * DAY_S):
        market.advance_to(market.sandbox.clock() // 1000 + passed_s)
        assert (claims_left(market, contract_id), refutations(market)) == (
            {false: False, true: True},
            once,
        )
    market.advance_to(until_s + 1)
    assert market.balance_of("ada") == 2 * PRICE_UNITS
    assert refutations(market) == once


def test_a_stranger_refutes_first(market: Market) -> None:
    contract_id = paid_and_silent(market, "ada")["ada"]
    false = claim(market, "ada", contract_id, 0)
    pipeline = market.sandbox.stack.pipeline
    market.sandbox.finalize()
    pipeline.watch()
    assert pipeline.refute() == 1
    assert pipeline.refute() == 0
    done = market.run("refute", f"0x{contract_id.hex()}", "--yes", by="stranger")
    assert done.code == 0, done
    market.sandbox.come_to_rest()
    assert claims_left(market, contract_id) == {false: False}
    assert refutations(market) == []
    assert market.sandbox.stack.relayer.under_way() == 0


def found(search: Refuter) -> list[bytes]:
    """Return the contracts of the claims that a search finds to be false, in its order."""
    with Troubles() as troubles:
        calls = search.find_refutations(troubles)
    return [bytes.fromhex(name.split(":")[0]) for name, _ in calls]


def test_of_many_claims_those_that_end_first_are_first_and_none_stops_another(
    market: Market, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = market.sandbox.stack
    # Bo's ends first, and is claimed last.
    contracts = paid_and_silent(market, "ada", "bo", claim_period_s=7 * DAY_S)
    ada, bo = contracts.values()
    claim(market, "ada", ada, 0)
    claim(market, "bo", bo, 1)
    market.sandbox.finalize()
    stack.pipeline.watch()
    copies, now_ms = list[set[bytes]](), [stack.now_ms()]

    class Counted(LogCopy):
        def __init__(self, *asked: Any) -> None:
            super().__init__(*asked)
            copies.append(set(asked[3]))

    def fresh() -> Refuter:
        served, indexer = stack.pipeline._served_terms, stack.pipeline._indexer
        return Refuter(stack.log, stack.chain, indexer, lambda: now_ms[0], served)

    # One copy of the log serves all.
    with monkeypatch.context() as changed:
        changed.setattr(refuter, "LogCopy", Counted)
        assert (found(fresh()), copies) == ([bo, ada], [{ada, bo}])
    for limit in ("MAX_CONTRACTS", "MAX_REFUTATIONS", "MAX_CLAIMS"):
        with monkeypatch.context() as changed:
            changed.setattr(refuter, limit, 1)
            search = fresh()
            assert [found(search) for _ in range(4)] == [[bo], [ada], [], []]
    # What was left out for want of memory is found once there is room.
    with monkeypatch.context() as changed:
        changed.setattr(refuter, "MAX_WATCHED", 1)
        search, block = fresh(), stack.chain.block()
        assert [found(search) for _ in range(2)] == [[bo], []]
        ended_s = read_contract_state(market.chain, bo).times.refutable_until_s + 1
        now_ms[0] += refuter.CHECK_EVERY_MS
        changed.setattr(stack.chain, "block", lambda: block._replace(time_s=ended_s))
        assert [found(search) for _ in range(3)] == [[], [ada], []]

    # Another pipeline finds what the first has read.
    with second_stack(market.sandbox, database_url) as again:
        market.sandbox.stack.pipeline = again.pipeline
        served, failures = again.pipeline._served_terms, list[bytes]()

        def failing(contract_id: bytes) -> Terms | None:
            if contract_id == ada and not failures:
                failures.append(contract_id)
                raise NodeError("node-timeout", "the node did not answer")
            return served(contract_id)

        monkeypatch.setattr(again.pipeline._refuter, "_served", failing)
        with pytest.raises(NodeError):
            again.pipeline.refute()
        # Bo's was asked for all the same.
        assert again.pipeline.refute() == 1
        assert again.pipeline.refute() == 0
        market.sandbox.come_to_rest()
    assert [*claims_left(market, ada).values(), *claims_left(market, bo).values()] == [False, False]
    assert len(refutations(market)) == 2


def test_claims_in_contracts_that_we_do_not_serve_cost_us_nothing(
    market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    contract_id = paid_and_silent(market, "ada")["ada"]
    monkeypatch.setattr(market.sandbox.stack.pipeline, "_serves", lambda _: False)
    false = claim(market, "ada", contract_id, 0)
    market.sandbox.come_to_rest()
    assert claims_left(market, contract_id) == {false: True}
    assert refutations(market) == []
