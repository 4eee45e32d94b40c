"""Claims that the log refutes are dropped by our own pipeline, and founded ones are left alone."""

import pytest

from orchestrator.actions.contract_state import ContractState, read
from orchestrator.chain.rpc import NodeError
from orchestrator.core.entry import Entry
from orchestrator.core.evidence.history import PublicEntry
from orchestrator.runtime.stack import Keys, Stack
from orchestrator.settlement import refuter
from orchestrator.simulation.sandbox import key_of
from orchestrator.verify.log_copy import LogCopy
from tests.support.market import DAY_S, PRICE_UNITS, Market

BOUGHT = ("lead.transition", "paid")


def entries(market: Market) -> list[Entry]:
    return [stored.entry for stored in market.scene.stack.log.entries(0, 10_000)]


def claim(market: Market, name: str, contract_id: bytes, nth: int) -> bytes:
    """An operator claims the nth purchase in the log, true or not; returns the claim's key."""
    log = entries(market)
    bought = [at for at, one in enumerate(log) if (one.kind, one.label) == BOUGHT][nth]
    lead = log[bought].subject
    touch = next(at for at, one in enumerate(log) if (one.kind, one.subject) == ("touch", lead))
    with casebook(market, contract_id) as book:
        call = market.chain.claim(contract_id, book.size, book.exhibit(bought), book.exhibit(touch))
    market.scene.send(name, call)
    return lead


def casebook(market: Market, contract_id: bytes) -> LogCopy:
    log = market.scene.stack.log

    def pages(start: int, limit: int) -> list[PublicEntry]:
        return [PublicEntry(one.data, one.opened) for one in log.entries(start, limit)]

    return LogCopy(pages, market.chain, log.log_id, contract_id)


def stand(market: Market, contract_id: bytes) -> dict[bytes, bool]:
    """The claims that were filed, by key, and whether each still stands."""
    filed = read(market.chain, contract_id).claims.filed
    return {key: not one.is_dropped for key, one in filed.items()}


def refutations(market: Market) -> list[str]:
    """What our relayer refuted for good."""
    sent = market.scene.stack.transactions()
    return [one.intent_key for one in sent if one.intent_key.startswith("refute:")]


def paid_and_silent(market: Market, *names: str) -> dict[str, bytes]:
    """A contract each, with an outcome that is paid, and after it one that nobody states.

    Their time for statements is over.
    """
    contracts = {name: market.open(name) for name in names}
    market.until(market.scene.clock() // 1000 + 3600)
    for name in names:
        market.wins(name, f"{name}-stated")
    market.scene.settle("one")
    market.until(market.scene.clock() // 1000 + 2 * DAY_S + 1)
    for name in names:
        assert market.held(name) == PRICE_UNITS
        market.wins(name, f"{name}-unstated")
    found = read(market.chain, contracts[names[-1]])
    market.until(found.times.statements_until_s + 1)
    return contracts


def test_an_unfounded_claim_is_dropped_once_and_a_founded_one_is_paid(market: Market) -> None:
    contract_id = paid_and_silent(market, "ada")["ada"]
    false = claim(market, "ada", contract_id, 0)
    true = claim(market, "ada", contract_id, 1)
    assert stand(market, contract_id) == {false: True, true: True}
    market.scene.come_to_rest()
    assert stand(market, contract_id) == {false: False, true: True}
    once = [f"refute:{contract_id.hex()}:0x{false.hex()}:0"]
    assert refutations(market) == once

    until_s = read(market.chain, contract_id).times.refutable_until_s
    for passed_s in (refuter.LOOK_EVERY_MS // 1000, 3 * DAY_S):
        market.until(market.scene.clock() // 1000 + passed_s)
        assert (stand(market, contract_id), refutations(market)) == (
            {false: False, true: True},
            once,
        )
    market.until(until_s + 1)
    assert market.held("ada") == 2 * PRICE_UNITS
    assert refutations(market) == once


def test_somebody_else_was_faster(market: Market) -> None:
    contract_id = paid_and_silent(market, "ada")["ada"]
    false = claim(market, "ada", contract_id, 0)
    pipeline = market.scene.stack.pipeline
    market.scene.finalize()
    pipeline.watch()
    assert pipeline.refute() == 1
    assert pipeline.refute() == 0
    done = market.run("refute", f"0x{contract_id.hex()}", "--yes", by="stranger")
    assert done.code == 0, done
    market.scene.come_to_rest()
    assert stand(market, contract_id) == {false: False}
    assert refutations(market) == []
    assert market.scene.stack.submitter.under_way() == 0


def test_one_that_fails_stops_no_other_and_is_tried_again(
    market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    contracts = paid_and_silent(market, "ada", "bo")
    ada, bo = contracts.values()
    claim(market, "ada", ada, 0)
    claim(market, "bo", bo, 1)
    market.scene.finalize()
    market.scene.stack.pipeline.watch()
    # Another pipeline finds what the first has read.
    again = Stack(
        database_url=market.scene.stack._database_url,
        rpc_url=market.scene.rpc_url,
        site=market.scene.stack.site,
        keys=Keys(key_of("publisher"), key_of("verifier"), key_of("relayer")),
        now_ms=market.scene.clock,
        public_url=market.scene.url,
    )
    failures: list[bytes] = []

    def failing(chain: object, asked: bytes) -> ContractState:
        if asked == ada and not failures:
            failures.append(asked)
            raise NodeError("node-timeout", "the node did not answer")
        return read(market.chain, asked)

    with again:
        market.scene.stack.pipeline = again.pipeline
        monkeypatch.setattr(refuter, "read", failing)
        with pytest.raises(NodeError):
            again.pipeline.step()
        assert again.pipeline.refute() == 1
        assert again.pipeline.refute() == 1
        assert again.pipeline.refute() == 0
        market.scene.come_to_rest()
    assert [*stand(market, ada).values(), *stand(market, bo).values()] == [False, False]
    assert len(refutations(market)) == 2


def test_claims_in_contracts_that_we_do_not_serve_cost_us_nothing(
    market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    contract_id = paid_and_silent(market, "ada")["ada"]
    monkeypatch.setattr(market.scene.stack.pipeline, "_serves", lambda _: False)
    false = claim(market, "ada", contract_id, 0)
    market.scene.come_to_rest()
    assert stand(market, contract_id) == {false: True}
    assert refutations(market) == []
