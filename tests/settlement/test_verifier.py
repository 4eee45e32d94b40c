"""The verifier signs a run of statements only under a tree that its own replay gives."""

from typing import cast

import pytest

from orchestrator.chain.deployment import Chain
from orchestrator.core.common.errors import ReplayError
from orchestrator.core.deals.terms import Domain, address_of, recover, verified_digest
from orchestrator.core.entries.kinds import encode
from orchestrator.core.log.entry import address_word
from orchestrator.core.log.merkle import CompactRange, leaf_hash
from orchestrator.core.log.opening import Record
from orchestrator.settlement.verifier import Verifier
from orchestrator.verify.log_replay import LogReplay
from tests.support.public_log import POLICY, SETTINGS, PublicChain, public_records
from tests.support.worlds import word

KEY = b"\5" * 32
LOG_ID = word("log")
CONTRACT = "0x" + "5" * 40


def root_of(records: list[Record]) -> bytes:
    tree = CompactRange()
    tree.extend(leaf_hash(encode(record.entry)) for record in records)
    return tree.root()


def test_only_a_tree_that_the_replay_gives_is_signed() -> None:
    records = public_records()
    size, root = len(records), root_of(records)
    chain = PublicChain(records)
    clock = [records[-1].entry.time_ms - 5_001]
    log = LogReplay(
        LOG_ID,
        lambda start, stop: records[start:stop],
        lambda _: POLICY,
        lambda _: SETTINGS,
        cast(Chain, chain),
        lambda: clock[0],
    )
    verifier = Verifier(log, KEY)
    domain = Domain("OutcomeEscrow", "1", 1, CONTRACT)
    assert verifier.address_word == address_word(address_of(KEY))
    assert KEY.hex() not in repr(verifier)
    with pytest.raises(ReplayError, match="but it is only -1 ms by our clock"):
        verifier.sign(domain, size, root, 1, 2)
    clock[0] += 1
    with pytest.raises(ReplayError, match="the entries give root"):
        verifier.sign(domain, size, b"\1" * 32, 1, 2)
    with pytest.raises(ReplayError, match="could be read"):
        verifier.sign(domain, size + 1, root, 1, 2)
    signature = verifier.sign(domain, size, root, 1, 2)
    chain.forked_at_s = 5
    with pytest.raises(ReplayError, match="has told two histories"):
        verifier.sign(domain, size, root, 1, 2)
    signed = verified_digest(domain, LOG_ID, size, root, 1, 2)
    assert recover(signed, signature) == address_of(KEY)
    other = verified_digest(domain, LOG_ID, size, root, 1, 3)
    assert recover(other, signature) != address_of(KEY)
