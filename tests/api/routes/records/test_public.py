"""The routes without a key: the log, its proofs, policies, contracts and payouts."""

from hashlib import sha256
from typing import Any

import pytest

from orchestrator.core.common.document import canonical_json
from orchestrator.core.common.errors import ProofError
from orchestrator.core.common.hexadecimal import from_hex
from orchestrator.core.deals.terms import Terms, checkpoint_digest, recover
from orchestrator.core.entries.kinds import opening_of_word
from orchestrator.core.log.bundle import read_bundle
from orchestrator.core.log.merkle import (
    leaf_hash,
    root_of,
    verify_consistency,
    verify_inclusion,
    verify_run,
)
from orchestrator.core.log.opening import encode_opening, read_opening
from tests.support.api_service import (
    ESCROW,
    EVENT_LOG,
    LOG_ID,
    POLICY,
    PUBLISHER,
    ApiService,
    problem_of,
)
from tests.support.settled_contract import TRANSACTION, SettledContract

NO_WORD = "0x" + "00" * 32


def test_the_log_says_where_it_is_anchored(service: ApiService, settled: SettledContract) -> None:
    reply = service.get("/v1/log")
    assert reply["log_id"] == "0x" + LOG_ID.hex()
    assert reply["size"] == len(settled.entries)
    assert (reply["chain_id"], reply["escrow"]) == (31337, ESCROW.verifying_contract)
    assert reply["publisher"] == PUBLISHER.address
    assert reply["forked_at_s"] is None


def test_a_forked_log_says_so(service: ApiService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "forked_at_s", 1_800_000_000)
    assert service.get("/v1/log")["forked_at_s"] == 1_800_000_000


def test_a_checkpoint_is_signed_for_the_event_log(
    service: ApiService, settled: SettledContract
) -> None:
    reply = service.get("/v1/log/checkpoint")
    leaves = [leaf_hash(from_hex(item["entry"])) for item in settled.entries]
    assert from_hex(reply["root"]) == root_of(leaves)
    digest = checkpoint_digest(EVENT_LOG, LOG_ID, reply["size"], from_hex(reply["root"]))
    assert recover(digest, from_hex(reply["signature"])) == PUBLISHER.address
    assert service.get("/v1/log/checkpoint", size=reply["size"]) == reply
    missing = service.http.get("/v1/log/checkpoint?size=999999")
    assert (missing.status_code, missing.json()["code"]) == (404, "checkpoint-unknown")


def test_openings_are_what_payloads_commit_to(settled: SettledContract) -> None:
    opened = [n for n, item in enumerate(settled.entries) if item["opening"]]
    kinds = {settled.decoded[n].kind for n in opened}
    assert kinds == {"touch", "lead.transition", "product.event", "trust.changed"}
    for n in opened:
        words = [_word_of(name, value) for name, value in settled.entries[n]["opening"].items()]
        assert sha256(b"".join(words)).digest() == settled.decoded[n].payload


def _word_of(name: str, value: int | str) -> bytes:
    """Return the word of a member as docs/entries.md has it."""
    if name.endswith("_units") or isinstance(value, int):
        return int(value).to_bytes(32)
    return from_hex(value) if value.startswith("0x") else value.encode().ljust(32, b"\0")


def test_entries_come_page_by_page(service: ApiService, settled: SettledContract) -> None:
    found: list[Any] = []
    start = 0
    while start is not None:
        page = service.get("/v1/log/entries", start=start, limit=4)
        found += page["entries"]
        start = page["next"]
    assert found == settled.entries
    assert [item["position"] for item in found] == list(range(len(found)))
    assert service.get("/v1/log/entries", start=10**6)["entries"] == []


def test_bundles_hold_the_same_in_bytes(service: ApiService, settled: SettledContract) -> None:
    """Entries and openings are the bytes that were hashed, from any position on."""
    wanted = []
    for item in settled.entries:
        opened = opening_of_word(from_hex(item["entry"])[:32])
        has = opened is not None and item["opening"] is not None
        opening = encode_opening(read_opening(opened, item["opening"])) if has and opened else b""
        wanted.append((from_hex(item["entry"]), opening))
    assert any(opening for _, opening in wanted)
    for query, first, stop in (("", 0, None), ("?start=3&limit=5", 3, 8), ("?start=1000000", 0, 0)):
        answer = service.http.get(f"/v1/log/bundles{query}")
        assert answer.headers["Content-Type"] == "application/octet-stream"
        assert list(read_bundle(answer.content)) == wanted[first:stop]
    problem_of(service.http.get("/v1/log/bundles?limit=4097"), 422, "invalid")


def test_proofs_hold_and_bind(service: ApiService, settled: SettledContract) -> None:
    checkpoint = service.get("/v1/log/checkpoint")
    size, root = checkpoint["size"], from_hex(checkpoint["root"])
    leaves = [leaf_hash(from_hex(item["entry"])) for item in settled.entries]
    for position in (0, 3, size - 1):
        proof = service.get("/v1/log/proofs/inclusion", position=position)
        assert proof["position"] == position
        path = [from_hex(node) for node in proof["path"]]
        verify_inclusion(leaves[position], position, size, path, root)
        with pytest.raises(ProofError):
            verify_inclusion(leaves[position - 1], position, size, path, root)
    reply = service.get("/v1/log/proofs/run", first=2, count=5, size=size)
    verify_run(leaves[2:7], 2, size, [from_hex(node) for node in reply["path"]], root)
    reply = service.get("/v1/log/proofs/consistency", old=1, new=size)
    path = [from_hex(node) for node in reply["path"]]
    verify_consistency(1, from_hex(reply["old_root"]), size, root, path)
    assert from_hex(reply["old_root"]) == leaves[0]


@pytest.mark.parametrize(
    "path",
    [
        "/v1/log/proofs/inclusion?position=1000000",
        "/v1/log/proofs/run?first=0&count=1000000",
        "/v1/log/proofs/inclusion?position=-1",
        "/v1/log/proofs/inclusion?position=1.0",
        "/v1/log/proofs/inclusion?position=" + "9" * 5000,
        "/v1/log/proofs/consistency?old=0",
        "/v1/log/entries?limit=1001",
        "/v1/log/entries?start=1e3",
        "/v1/contracts?after=-1",
        "/v1/policies/0x12",
        "/v1/contracts/nonsense",
        "/v1/receipts/x",
    ],
)
def test_what_cannot_be_asked_is_refused(service: ApiService, path: str) -> None:
    answer = service.http.get(path)
    assert answer.status_code == 422
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_the_past_may_be_cached_for_ever_and_the_present_never(
    service: ApiService, settled: SettledContract
) -> None:
    size = len(settled.entries)
    for path, is_past in (
        (f"/v1/log/checkpoint?size={size}", True),
        ("/v1/log/checkpoint", False),
        (f"/v1/log/proofs/inclusion?position=0&size={size}", True),
        ("/v1/log/proofs/inclusion?position=0", False),
        ("/v1/log/entries?start=0&limit=2", True),
        (f"/v1/log/entries?start=0&limit={size + 1}", False),
    ):
        assert ("immutable" in service.http.get(path).headers["Cache-Control"]) == is_past


def test_a_policy_is_what_its_hash_says(service: ApiService, settled: SettledContract) -> None:
    name = "0x" + settled.terms.policy.hex()
    document = service.get(f"/v1/policies/{name}")["document"]
    assert document == POLICY
    assert sha256(canonical_json(document)).digest() == settled.terms.policy
    assert service.http.get(f"/v1/policies/{NO_WORD}").status_code == 404


def test_a_contract_shows_its_terms_and_totals(
    service: ApiService, settled: SettledContract
) -> None:
    reply = service.get(f"/v1/contracts/{settled.hex_id}")
    assert Terms.from_json(reply["terms"]) == settled.terms
    assert (reply["status"], reply["outcomes"], reply["reversals"]) == ("live", 1, 1)
    assert (reply["earned_units"], reply["reversed_units"]) == ("10990000", "10990000")
    assert reply["paid_units"] == "10990000"
    assert reply["last_settlement"] == settled.position_of("settlement", 1)
    listed = service.get("/v1/contracts", surface=settled.surface)["contracts"]
    assert [item["contract_id"] for item in listed] == [settled.hex_id]
    assert service.get("/v1/contracts", surface=NO_WORD)["contracts"] == []
    assert service.get("/v1/contracts", after=reply["opened"])["contracts"] == []
    page = service.get("/v1/contracts", limit=1)
    assert page["next"] == reply["opened"]


def test_payouts_are_listed_with_their_transactions(
    service: ApiService, settled: SettledContract
) -> None:
    (paid,) = service.get(f"/v1/contracts/{settled.hex_id}/payouts")["payouts"]
    assert paid["position"] == settled.position_of("payout")
    assert paid["gross_units"] == "10990000"
    assert paid["payee"] == settled.terms.payee
    assert paid["transaction"] == "0x" + TRANSACTION.hex()
    assert service.http.get(f"/v1/contracts/{NO_WORD}/payouts").status_code == 404


def test_without_evaluators_nothing_is_endorsed(
    service: ApiService, settled: SettledContract
) -> None:
    log = service.get("/v1/log")
    assert (log["feedback"], log["evaluators"]) == (None, None)
    path = f"/v1/contracts/{settled.hex_id}/endorsements"
    assert service.get(path) == {"endorsements": [], "next": None}
    assert service.http.get(f"/v1/contracts/{NO_WORD}/endorsements").status_code == 404
