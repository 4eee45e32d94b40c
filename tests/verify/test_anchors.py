"""The anchors that are known: asked for once at least, and remembered while no node answers."""

from collections.abc import Iterator

import pytest

from orchestrator.chain.deployment import Chain
from orchestrator.chain.indexer import stored_anchor
from orchestrator.core.common.errors import ChainError
from orchestrator.simulation.sandbox import Sandbox
from orchestrator.verify.anchors import Anchors
from tests.support.sandboxes import running_sandbox


@pytest.fixture
def sandbox(database_url: str) -> Iterator[Sandbox]:
    with running_sandbox("anchors.example", database_url) as running:
        yield running


def test_the_node_and_the_events_both_tell_the_newest_anchor(sandbox: Sandbox) -> None:
    stack, log_id = sandbox.stack, sandbox.stack.site.log_id
    anchors = Anchors(stack.chain, log_id)
    assert [one.size for one in anchors.known(stack.worker)] == [0, 0]
    sandbox.settle("first")
    head = stack.log.checkpoint()
    assert head is not None
    assert [one[:2] for one in anchors.known(stack.worker)] == [head[:2]] * 2
    assert stored_anchor(stack.worker, stack.site.addresses, log_id)[:2] == head[:2]
    assert stored_anchor(stack.worker, stack.site.addresses, bytes(32)).size == 0


def test_a_silent_node_has_anchored_nothing_since(sandbox: Sandbox) -> None:
    stack, log_id = sandbox.stack, sandbox.stack.site.log_id
    sandbox.settle("first")
    with Chain("http://127.0.0.1:1", stack.site.addresses) as away:
        with pytest.raises(ChainError):
            Anchors(away, log_id).known(stack.worker)
        anchors = Anchors(stack.chain, log_id)
        known = anchors.known(stack.worker)
        anchors._chain = away  # the same deployment, behind a node that has gone
        assert anchors.known(stack.worker) == known
