"""The meanings of refusals in the words and codes of the clients that are in use."""

import pytest

from orchestrator.core.refusal import Refusal, is_of_batch, kind_of


@pytest.mark.parametrize(
    ("number", "words", "kind"),
    [
        (3, "execution reverted", Refusal.REVERT),
        (-32015, "VM execution error.", Refusal.REVERT),
        (-32000, "Execution reverted", Refusal.REVERT),
        (-32000, "gas required exceeds allowance (100)", Refusal.REVERT),
        # A contract's own reason may hold any words.
        (3, "execution reverted: rate limit, batch too large", Refusal.REVERT),
        (-32000, "execution reverted: too many requests", Refusal.REVERT),
        (-32601, "the method eth_feeHistory does not exist/is not available", Refusal.METHOD),
        (-32604, "Method not enabled", Refusal.METHOD),
        (-32004, "batch is over the rate limit", Refusal.METHOD),
        (429, "your plan", Refusal.BUSY),
        (-32005, "daily request count exceeded, request rate limited", Refusal.BUSY),
        (-32005, "Too many requests", Refusal.BUSY),
        (-32097, "server overloaded, try again later", Refusal.BUSY),
        (-32005, "Number of requests exceeds max batch size", Refusal.SIZE),
        (-32005, "Requested range exceeds maximum RPC range limit", Refusal.SIZE),
        (-32005, "query returned more than 10000 results", Refusal.SIZE),
        (-32602, "range 1000000 exceeds limit of 10000", Refusal.SIZE),
        (-32602, "Log response size exceeded. this block range should work", Refusal.SIZE),
        (-32614, "eth_getLogs is limited to a 10,000 range", Refusal.SIZE),
        (-32003, "response too large", Refusal.SIZE),
        (-32002, "request timed out", Refusal.SIZE),
        (-32005, "limit exceeded", Refusal.LIMIT),
        (-32005, "no", Refusal.LIMIT),
        (4444, "pruned history unavailable", Refusal.STATE),
        (-32000, "missing trie node 12ab (path ) state 0x12 is not available", Refusal.STATE),
        (-32000, "required historical state unavailable (reexec=0)", Refusal.STATE),
        (-32002, "No state available for block 0x12", Refusal.STATE),
        (-32000, "World state unavailable", Refusal.STATE),
        (-32000, "replacement transaction underpriced", Refusal.FEE),
        (-32010, "ReplacementNotAllowed", Refusal.FEE),
        (-32010, "FeeTooLowToCompete", Refusal.FEE),
        (-32000, "could not replace existing tx with the same nonce", Refusal.FEE),
        (-32000, "max fee per gas less than block base fee", Refusal.FEE),
        (-32000, "nonce too low: next nonce 5, tx nonce 4", Refusal.NONCE),
        (-32010, "OldNonce", Refusal.NONCE),
        (-32000, "already known", Refusal.KNOWN),
        (-32010, "AlreadyKnown", Refusal.KNOWN),
        (-32000, "insufficient funds for gas * price + value", Refusal.OTHER),
        (-32603, "Internal error", Refusal.OTHER),
        (0, "", Refusal.OTHER),
    ],
)
def test_a_refusal_is_read_by_its_code_and_then_by_its_words(
    number: int, words: str, kind: Refusal
) -> None:
    assert kind_of(number, words) is kind


def test_revert_data_needs_no_words() -> None:
    assert kind_of(-32000, "too many requests", b"\1\2\3\4") is Refusal.REVERT


def test_a_refusal_of_the_batch_is_no_refusal_of_a_request_in_it() -> None:
    assert is_of_batch(-32600, "batch too large")
    assert is_of_batch(-32003, "response too large")
    assert not is_of_batch(-32003, "transaction rejected")
    assert not is_of_batch(-32005, "Requested range exceeds maximum RPC range limit")
