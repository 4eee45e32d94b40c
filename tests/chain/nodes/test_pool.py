"""Several nodes: another answers where one does not, and none of them alone is believed blindly."""

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import NamedTuple

import pytest

from orchestrator.chain.nodes.pool import MOST_NODES, NodePool
from orchestrator.chain.rpc import NodeError, ReplyError, Request
from orchestrator.runtime.local_servers import LocalAnvil
from tests.support.chain_deal import refused
from tests.support.dialects import Dialect, always, no_method
from tests.support.rpc_proxy import RpcProxy, honest

ASKS: list[Request] = [("eth_chainId", []), ("eth_blockNumber", [])]


class Pair(NamedTuple):
    first: RpcProxy
    second: RpcProxy
    pool: NodePool


@pytest.fixture
def pair(module_anvil: LocalAnvil) -> Iterator[Pair]:
    with ExitStack() as exits:
        first, second = (
            exits.enter_context(RpcProxy(module_anvil.rpc_url, host))
            for host in ("127.0.0.1", "127.0.0.2")
        )
        pool = exits.enter_context(NodePool(f"{first.url}, {second.url}"))
        yield Pair(first, second, pool)


def test_the_first_is_asked_as_long_as_it_answers(pair: Pair) -> None:
    assert pair.pool.batch(ASKS) == pair.pool.batch(ASKS)
    assert pair.second.asks == []
    assert "127.0.0.1" in pair.pool.name


@pytest.mark.parametrize("answer", [None, b"<html>502</html>"])
def test_another_answers_the_whole_question_and_is_asked_from_then_on(
    pair: Pair, answer: bytes | None
) -> None:
    expected = pair.pool.batch(ASKS)
    pair.first.fault = lambda _, __: answer
    assert pair.pool.batch(ASKS) == expected
    assert [ask["method"] for ask in pair.second.asks] == ["eth_chainId", "eth_blockNumber"]
    pair.first.fault, before = honest, len(pair.first.asks)
    pair.pool.batch(ASKS)
    assert len(pair.first.asks) == before
    assert "127.0.0.2" in pair.pool.name


def test_all_that_failed_are_named(pair: Pair) -> None:
    for proxy in (pair.first, pair.second):
        proxy.fault = lambda _, __: b"<html>out of order</html>"
    with pytest.raises(NodeError, match=r"127\.0\.0\.1 .*out of order.*127\.0\.0\.2") as caught:
        pair.pool.call("eth_chainId")
    assert caught.value.code == "node-garbled"


def test_what_one_has_not_kept_or_does_not_offer_another_may(pair: Pair) -> None:
    for rule in (no_method("eth_blockNumber"), always(-32000, "missing trie node")):
        pair.first.fault = Dialect(9, lambda _: [], {"eth_blockNumber": rule})
        assert isinstance(pair.pool.batch(ASKS)[1], str)
        pair.pool.turn()
    # If no other has it, the first one's answer stands.
    pair.second.fault = lambda _, __: None
    pair.pool.batch([ASKS[0]])
    (reply,) = pair.pool.batch([ASKS[1]])
    assert isinstance(reply, ReplyError)
    assert "missing trie node" in reply.message


def test_a_transaction_goes_to_one_and_to_the_next_one_the_next_time(pair: Pair) -> None:
    send = [("eth_sendRawTransaction", ["0x00"])]
    pair.first.fault = lambda _, __: None
    with pytest.raises(NodeError):
        pair.pool.batch(send)
    assert pair.second.asks == []
    pair.pool.batch(send)
    assert len(pair.second.asks) == 1


def test_urls_that_are_none(pair: Pair) -> None:
    url = pair.first.url
    for urls in (
        "",
        f"{url},{url}",
        f"{url},ftp://host",
        ",".join(f"http://127.0.0.{n}" for n in range(MOST_NODES + 1)),
    ):
        refused("rpc-url-malformed", partial(NodePool, urls))
    with NodePool(f"{url}/a,b") as pool:
        assert len(pool.nodes) == 1
        assert "127.0.0.1" in repr(pool)
