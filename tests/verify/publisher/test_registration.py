"""The registration of a log: its registrant, and what is said of it falsely."""

from typing import cast

import pytest

from orchestrator.chain.deployment import Chain
from orchestrator.core.common.errors import ProofError
from orchestrator.verify.pinned import Named
from orchestrator.verify.publisher.registration import find_registrant
from tests.support.public_log import LOG_ID, PublicChain
from tests.support.receipts import ORIGIN, PUBLISHER
from tests.support.terms import ESCROW, LOG

NAMED = Named(31337, LOG, ESCROW, LOG_ID, ORIGIN)


def found_on(chain: PublicChain) -> str | None:
    return find_registrant(cast(Chain, chain), NAMED, "the receipt")


def test_the_registrant_is_told_as_far_as_the_node_shows_it() -> None:
    chain = PublicChain([])
    assert found_on(chain) == PUBLISHER
    chain.origin = None
    assert found_on(chain) is None


@pytest.mark.parametrize(
    ("member", "value", "code"),
    [("publisher", None, "log-unregistered"), ("origin", "other.example", "origin-false")],
)
def test_a_log_that_is_not_registered_so_is_false(
    member: str, value: str | None, code: str
) -> None:
    chain = PublicChain([])
    setattr(chain, member, value)
    with pytest.raises(ProofError, match="the receipt names the") as refused:
        found_on(chain)
    assert refused.value.code == code
