"""The meanings of refusals in the words and codes of the clients that are in use."""

import pytest

from orchestrator.core.refusal import RefusalKind, is_of_batch, kind_of


@pytest.mark.parametrize(
    ("number", "words", "kind"),
    [
        (3, "execution reverted", RefusalKind.REVERT),
        (-32015, "VM execution error.", RefusalKind.REVERT),
        (-32000, "Execution reverted", RefusalKind.REVERT),
        (-32000, "gas required exceeds allowance (100)", RefusalKind.REVERT),
        # A contract's own reason may hold any words.
        (3, "execution reverted: rate limit, batch too large", RefusalKind.REVERT),
        (-32000, "execution reverted: too many requests", RefusalKind.REVERT),
        (-32601, "the method eth_feeHistory does not exist/is not available", RefusalKind.METHOD),
        (-32604, "Method not enabled", RefusalKind.METHOD),
        (-32004, "batch is over the rate limit", RefusalKind.METHOD),
        (429, "your plan", RefusalKind.BUSY),
        (-32005, "daily request count exceeded, request rate limited", RefusalKind.BUSY),
        (-32005, "Too many requests", RefusalKind.BUSY),
        (-32097, "server overloaded, try again later", RefusalKind.BUSY),
        (-32005, "Number of requests exceeds max batch size", RefusalKind.SIZE),
        (-32005, "Requested range exceeds maximum RPC range limit", RefusalKind.SIZE),
        (-32005, "query returned more than 10000 results", RefusalKind.SIZE),
        (-32602, "range 1000000 exceeds limit of 10000", RefusalKind.SIZE),
        (-32602, "Log response size exceeded. this block range should work", RefusalKind.SIZE),
        (-32614, "eth_getLogs is limited to a 10,000 range", RefusalKind.SIZE),
        (-32003, "response too large", RefusalKind.SIZE),
        (-32002, "request timed out", RefusalKind.SIZE),
        (-32005, "limit exceeded", RefusalKind.LIMIT),
        (-32005, "no", RefusalKind.LIMIT),
        (4444, "pruned history unavailable", RefusalKind.STATE),
        (-32000, "missing trie node 12ab (path ) state 0x12 is not available", RefusalKind.STATE),
        (-32000, "required historical state unavailable (reexec=0)", RefusalKind.STATE),
        (-32002, "No state available for block 0x12", RefusalKind.STATE),
        (-32000, "World state unavailable", RefusalKind.STATE),
        (-32000, "replacement transaction underpriced", RefusalKind.FEE),
        (-32010, "ReplacementNotAllowed", RefusalKind.FEE),
        (-32010, "FeeTooLowToCompete", RefusalKind.FEE),
        (-32000, "could not replace existing tx with the same nonce", RefusalKind.FEE),
        (-32000, "max fee per gas less than block base fee", RefusalKind.FEE),
        (-32000, "nonce too low: next nonce 5, tx nonce 4", RefusalKind.NONCE),
        (-32010, "OldNonce", RefusalKind.NONCE),
        (-32000, "already known", RefusalKind.KNOWN),
        (-32010, "AlreadyKnown", RefusalKind.KNOWN),
        (-32000, "insufficient funds for gas * price + value", RefusalKind.OTHER),
        (-32603, "Internal error", RefusalKind.OTHER),
        (0, "", RefusalKind.OTHER),
    ],
)
def test_a_refusal_is_read_by_its_code_and_then_by_its_words(
    number: int, words: str, kind: RefusalKind
) -> None:
    assert kind_of(number, words) is kind


def test_revert_data_needs_no_words() -> None:
    assert kind_of(-32000, "too many requests", b"\1\2\3\4") is RefusalKind.REVERT


def test_a_refusal_of_the_batch_is_no_refusal_of_a_request_in_it() -> None:
    assert is_of_batch(-32600, "batch too large")
    assert is_of_batch(-32003, "response too large")
    assert not is_of_batch(-32003, "transaction rejected")
    assert not is_of_batch(-32005, "Requested range exceeds maximum RPC range limit")
