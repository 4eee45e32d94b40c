"""Failures that are kept apart, and states that a node has not kept."""

import pytest

from orchestrator.chain.rpc import NodeError, ReplyError
from orchestrator.core.common.errors import ChainError, LogError
from orchestrator.settlement.troubles import Troubles, kept


def fail(error: Exception | None) -> int:
    if error is not None:
        raise error
    return 1


def act(failures: list[Exception | None]) -> tuple[int, Troubles]:
    """Fail with these in turn, and return how many did not, after the first was raised."""
    done, troubles = 0, Troubles()

    def act_all() -> None:
        nonlocal done
        with troubles:
            for failure in failures:
                with troubles.noted():
                    done += fail(failure)

    with pytest.raises(Exception, match="first"):
        act_all()
    return done, troubles


def test_the_first_failure_is_raised_after_all_was_done() -> None:
    done, troubles = act([None, LogError("a", "first"), ChainError("b", "second"), None])
    assert done == 2
    assert (troubles.are_of_all, troubles.are_of_node) == (False, False)


def test_what_is_no_failure_of_the_domain_is_raised_at_once() -> None:
    done, _ = act([LogError("a", "second"), ValueError("first"), None])
    assert done == 0


@pytest.mark.parametrize(
    ("code", "of_all"),
    [("node-silent", True), ("node-busy", True), ("node-lags", False), ("terms-missing", False)],
)
def test_a_node_that_answers_nothing_is_told_apart(code: str, of_all: bool) -> None:
    _, troubles = act([NodeError(code, "first")])
    assert (troubles.are_of_all, troubles.are_of_node) == (of_all, True)


def test_a_state_that_is_not_kept_is_none_and_a_revert_is_raised() -> None:
    assert kept(lambda: fail(None)) == 1
    assert kept(lambda: fail(ReplyError("missing trie node", -32000, b""))) is None
    with pytest.raises(ReplyError, match="reverted"):
        kept(lambda: fail(ReplyError("execution reverted", -32000, b"")))
