"""The signer of a checkpoint is the log's publisher, or was it; no other's signature counts."""

from typing import cast

import pytest

from orchestrator.chain.deployment import Chain, SignedCheckpoint
from orchestrator.core.common.errors import ProofError
from orchestrator.core.deals.terms import address_of, checkpoint_digest, sign_digest
from orchestrator.verify.publisher.signer import signer_of
from tests.support.public_log import LOG_ID, PublicChain
from tests.support.receipts import PUBLISHER, PUBLISHER_KEY
from tests.support.terms import LOG_DOMAIN, OWNER
from tests.support.worlds import word

DIGEST = checkpoint_digest(LOG_DOMAIN, LOG_ID, 7, word("root"))
CHECKPOINT = SignedCheckpoint(LOG_ID, 7, word("root"), sign_digest(DIGEST, PUBLISHER_KEY))
OTHER_KEY = b"\6" * 32


def test_the_publisher_of_now_and_those_before_are_told_apart() -> None:
    chain = PublicChain([])
    assert signer_of(cast(Chain, chain), CHECKPOINT, [], "x") == ("the log's publisher", PUBLISHER)
    chain.publisher = OWNER
    signer = signer_of(cast(Chain, chain), CHECKPOINT, [address_of(OTHER_KEY), PUBLISHER], "x")
    assert signer == ("the log's publisher of then", PUBLISHER)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"signature": sign_digest(DIGEST, OTHER_KEY)}, f"it is of {address_of(OTHER_KEY)}"),
        ({"size": 8}, "it is of 0x"),
        ({"root": word("another")}, "it is of 0x"),
        ({"signature": b""}, "65 bytes, not 0"),
    ],
)
def test_another_signature_is_refused_with_the_code_that_is_asked_for(
    changes: dict[str, bytes | int], said: str
) -> None:
    false = SignedCheckpoint(**{**CHECKPOINT._asdict(), **changes})
    with pytest.raises(ProofError, match=said) as refused:
        signer_of(cast(Chain, PublicChain([])), false, [], "asked-for")
    assert refused.value.code == "asked-for"
