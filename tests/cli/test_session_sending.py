"""Several transactions of one command, while the node misbehaves."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from orchestrator.actions.plan import Plan, PlannedTransaction
from orchestrator.chain.abi import (
    Call,
)
from orchestrator.chain.deployment import Chain
from orchestrator.chain.wallet import Quote, TransactionSender, quote
from orchestrator.cli import session
from orchestrator.cli.session import Endpoints, RunOptions
from orchestrator.core.common.errors import ChainError, EscrowError
from orchestrator.core.deals.site import Addresses
from orchestrator.runtime.local_chain import deploy_local
from orchestrator.runtime.local_servers import LocalAnvil
from tests.support.wallet_bench import KEY, WalletBench, swallow_sends, wallet_bench


@pytest.fixture(scope="module")
def deployed(module_anvil: LocalAnvil) -> Addresses:
    return deploy_local(module_anvil.rpc_url, b"\6" * 32).addresses


@pytest.fixture
def bench(
    module_anvil: LocalAnvil, deployed: Addresses, request: pytest.FixtureRequest
) -> Iterator[WalletBench]:
    with wallet_bench(module_anvil.rpc_url, deployed, request.node.name) as bench:
        yield bench


class Run(NamedTuple):
    """A run of `execute`: the error that it ended with, and its document."""

    error: ChainError | EscrowError | None
    document: dict[str, Any]

    def fates(self) -> list[str]:
        return [
            "sent" if "tx_hash" in step else "failed" if "failure" in step else "planned"
            for step in self.document["transactions"]
        ]


@pytest.fixture
def execute(
    bench: WalletBench, deployed: Addresses, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Run]:
    path = tmp_path / "key"
    path.touch(mode=0o600)
    path.write_text(KEY.hex())

    def run(*origins: str, dry_run: bool = False) -> Run:
        planned = tuple(
            PlannedTransaction(one, (), bench.chain.register(one, bench.sender.address), (), {})
            for one in origins
        )
        endpoints = Endpoints(bench.proxy.url, "http://127.0.0.1:1", deployed.escrow)
        options = RunOptions(path, yes=True, dry_run=dry_run, as_json=True)
        error: ChainError | EscrowError | None = None
        try:
            assert session.execute_plan(endpoints, options, lambda _: Plan((), planned))
        except (ChainError, EscrowError) as failed:
            error = failed
        return Run(error, json.loads(capsys.readouterr().out))

    return run


@pytest.mark.parametrize("is_tried_again", [True, False])
def test_one_that_fails_does_not_stop_the_others(
    is_tried_again: bool,
    execute: Callable[..., Run],
    bench: WalletBench,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The second undoes itself when the first is in a block: seen before it is sent, or after."""
    first, last, done = (f"{name}-{is_tried_again}" for name in ("first", "last", "done"))
    assert execute(done).error is None
    asked = 0

    def once(chain: Chain, sender: str, call: Call) -> Quote:
        nonlocal asked
        asked += 1
        return quote(chain, sender, call) if is_tried_again or asked <= 4 else bench.price

    monkeypatch.setattr(session, "quote", once)
    before = bench.nonce()
    found = execute(first, first, done, last)
    assert found.fates() == ["sent", "failed", "failed", "sent"]
    assert bench.nonce() - before == (2 if is_tried_again else 3)
    assert isinstance(found.error, ChainError)
    assert "2 of 4 transactions were not done" in found.error.message
    assert found.document["sent"] is True


def test_where_none_can_be_sent_nothing_is_done(execute: Callable[..., Run]) -> None:
    assert execute("mine").fates() == ["sent"]
    for dry_run in (True, False):
        found = execute("mine", "mine", dry_run=dry_run)
        assert found.fates() == ["failed", "failed"]
        assert isinstance(found.error, ChainError)  # exit 3: there is something to do
        assert (found.error.code, found.document["sent"]) == ("would-revert", False)


def test_what_cannot_be_sent_does_not_spoil_a_dry_run(execute: Callable[..., Run]) -> None:
    assert execute("theirs").fates() == ["sent"]
    found = execute("theirs", "ours", dry_run=True)
    assert (found.error, found.fates()) == (None, ["failed", "planned"])


def test_after_one_whose_fate_is_unknown_no_other_is_sent(
    execute: Callable[..., Run], bench: WalletBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert execute("refused").error is None
    before = len(bench.proxy.sent())
    bench.proxy.fault = swallow_sends
    monkeypatch.setattr(
        session, "TransactionSender", lambda chain, key: TransactionSender(chain, key, wait_s=0)
    )
    found = execute("refused", "one", "two")
    assert found.fates() == ["failed", "failed", "failed"]
    assert len(bench.proxy.sent()) == 1 + before
    assert isinstance(found.error, ChainError)
    assert found.error.code == "fate-unknown"
