"""What anyone reads without a key, and checks alone: the log, its proofs, contracts, receipts."""

from hashlib import sha256
from typing import Any

import httpx
import pytest
from eth_utils.crypto import keccak

from orchestrator.core import receipt
from orchestrator.core.contract import rules_of
from orchestrator.core.entry import address_word
from orchestrator.core.errors import ProofError
from orchestrator.core.kinds import decode
from orchestrator.core.merkle import (
    leaf_hash,
    root_of,
    verify_consistency,
    verify_inclusion,
    verify_run,
)
from orchestrator.core.policy import canonical_json
from orchestrator.core.requests import OpenContract, RecordPayout, Settle
from orchestrator.core.terms import Terms, checkpoint_digest, contract_id, recover
from tests.support.api_service import (
    ESCROW,
    EVENT_LOG,
    LOG_ID,
    POLICY,
    PUBLISHER,
    START_MS,
    Stage,
    deal,
    leads,
    open_surface,
    proposal_of,
    report,
    signed_digest,
    touch,
    wallet,
)

OPERATOR = wallet("operator")
TRANSACTION = b"\x77" * 32
NO_WORD = "0x" + "00" * 32


def unhex(text: str) -> bytes:
    return bytes.fromhex(text[2:])


class Story:
    """One contract from its opening to its payout, and where each entry of it stands."""

    def __init__(self, here: Stage, owner: httpx.Client, operator: httpx.Client) -> None:
        self.here = here
        self.surface = open_surface(owner, "story")
        parameters = operator.get(f"/v1/surfaces/{self.surface}").json()["terms"]
        self.terms = deal(
            parameters, OPERATOR.address, outcome="subscribed", revenue_share_bps=1000
        )
        self.digest = contract_id(self.terms, ESCROW)
        operator.post("/v1/proposals", json=proposal_of(self.terms, OPERATOR))
        signature = signed_digest(wallet("owner"), self.digest)
        owner.post(f"/v1/proposals/{self.name}/accept", json={"owner_signature": signature})
        rules = rules_of(self.terms, self.digest)._replace(holdback_period_ms=86_400_000)
        self._ask("open", OpenContract(rules, TRANSACTION))
        here.clock.now = self.terms.opens_at_s * 1000 + 1000
        self._events(owner, "one", 0, "signup", "activate")
        (lead,) = leads(operator, self.surface)
        self.touch = touch(operator, self.surface, "t", lead["lead"], "email").json()
        here.clock.now += 1000
        self._events(owner, "one", 500, "subscribe", value="29.90")
        self.settle("settle")
        # 8 tokens and a tenth of 29.90.
        self._ask("pay", RecordPayout(self.digest, self.payee, "paid", 10_990_000, TRANSACTION))
        self._events(owner, "one", 600, "refund")
        self.settle("settle-again")
        self.entries = here.http.get("/v1/log/entries?limit=1000").json()["entries"]
        self.decoded = [decode(unhex(item["entry"])) for item in self.entries]

    @property
    def name(self) -> str:
        return "0x" + self.digest.hex()

    @property
    def payee(self) -> bytes:
        return address_word(self.terms.payee)

    def at(self, kind: str, nth: int = 0) -> int:
        return [n for n, entry in enumerate(self.decoded) if entry.kind == kind][nth]

    def settle(self, key: str) -> None:
        self._ask(key, Settle())

    def _ask(self, key: str, request: Any) -> None:
        self.here.submit(key, request)
        self.here.settle()

    def _events(
        self, owner: httpx.Client, lead: str, at_ms: int, *names: str, value: Any = None
    ) -> None:
        seconds, millis = divmod(self.terms.opens_at_s * 1000 + 1000 + at_ms - START_MS, 1000)
        minutes, seconds = divmod(seconds, 60)
        time = f"2026-01-01T00:{minutes:02}:{seconds:02}.{millis:03}Z"
        for name in names:
            body = {"lead": lead, "event": name, "value": value, "time": time}
            told = report(owner, self.surface, f"{lead}-{name}", body).json()
            assert told["verdict"] == "accepted", told


@pytest.fixture(scope="module")
def story(here: Stage, owner: httpx.Client, operator: httpx.Client) -> Story:
    return Story(here, owner, operator)


def get(here: Stage, path: str, **query: object) -> Any:
    answer = here.http.get(path, params={k: str(v) for k, v in query.items()})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_the_log_says_where_it_is_anchored(here: Stage, story: Story) -> None:
    told = get(here, "/v1/log")
    assert told["log_id"] == "0x" + LOG_ID.hex()
    assert told["size"] == len(story.entries)
    assert (told["chain_id"], told["escrow"]) == (31337, ESCROW.verifying_contract)
    assert told["publisher"] == PUBLISHER.address


def test_a_checkpoint_is_signed_for_the_event_log(here: Stage, story: Story) -> None:
    told = get(here, "/v1/log/checkpoint")
    leaves = [leaf_hash(unhex(item["entry"])) for item in story.entries]
    assert unhex(told["root"]) == root_of(leaves)
    digest = checkpoint_digest(EVENT_LOG, LOG_ID, told["size"], unhex(told["root"]))
    assert recover(digest, unhex(told["signature"])) == PUBLISHER.address
    assert get(here, "/v1/log/checkpoint", size=told["size"]) == told
    missing = here.http.get("/v1/log/checkpoint?size=999999")
    assert (missing.status_code, missing.json()["code"]) == (404, "checkpoint-unknown")


def test_openings_are_what_payloads_commit_to(story: Story) -> None:
    opened = [n for n, item in enumerate(story.entries) if item["opening"]]
    kinds = {story.decoded[n].kind for n in opened}
    assert kinds == {"touch", "lead.transition", "product.event"}
    for n in opened:
        words = [
            bytes(32 - len(raw)) + raw if isinstance(value, int) else raw.ljust(32, b"\0")
            for value in story.entries[n]["opening"].values()
            for raw in [
                value.to_bytes(32)
                if isinstance(value, int)
                else unhex(value)
                if value.startswith("0x")
                else value.encode()
            ]
        ]
        assert sha256(b"".join(words)).digest() == story.decoded[n].payload


def test_entries_come_page_by_page(here: Stage, story: Story) -> None:
    found: list[Any] = []
    start = 0
    while start is not None:
        page = get(here, "/v1/log/entries", start=start, limit=4)
        found += page["entries"]
        start = page["next"]
    assert found == story.entries
    assert get(here, "/v1/log/entries", start=10**6)["entries"] == []


def test_proofs_hold_and_bind(here: Stage, story: Story) -> None:
    checkpoint = get(here, "/v1/log/checkpoint")
    size, root = checkpoint["size"], unhex(checkpoint["root"])
    leaves = [leaf_hash(unhex(item["entry"])) for item in story.entries]
    for index in (0, 3, size - 1):
        path = [unhex(node) for node in get(here, "/v1/log/proofs/inclusion", index=index)["path"]]
        verify_inclusion(leaves[index], index, size, path, root)
        with pytest.raises(ProofError):
            verify_inclusion(leaves[index - 1], index, size, path, root)
    told = get(here, "/v1/log/proofs/run", first=2, count=5, size=size)
    verify_run(leaves[2:7], 2, size, [unhex(node) for node in told["path"]], root)
    told = get(here, "/v1/log/proofs/consistency", old=1, new=size)
    path = [unhex(node) for node in told["path"]]
    verify_consistency(1, unhex(told["old_root"]), size, root, path)
    assert unhex(told["old_root"]) == leaves[0]


@pytest.mark.parametrize(
    "path",
    [
        "/v1/log/proofs/inclusion?index=1000000",
        "/v1/log/proofs/run?first=0&count=1000000",
        "/v1/log/proofs/inclusion?index=-1",
        "/v1/log/proofs/inclusion?index=1.0",
        "/v1/log/proofs/inclusion?index=" + "9" * 5000,
        "/v1/log/proofs/consistency?old=0",
        "/v1/log/entries?limit=1001",
        "/v1/log/entries?start=1e3",
        "/v1/contracts?after=-1",
        "/v1/policies/0x12",
        "/v1/contracts/nonsense",
        "/v1/receipts/x",
    ],
)
def test_what_cannot_be_asked_is_refused(here: Stage, path: str) -> None:
    answer = here.http.get(path)
    assert answer.status_code == 422
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_the_past_may_be_cached_for_ever_and_the_present_never(here: Stage, story: Story) -> None:
    size = len(story.entries)
    for path, is_past in (
        (f"/v1/log/checkpoint?size={size}", True),
        ("/v1/log/checkpoint", False),
        (f"/v1/log/proofs/inclusion?index=0&size={size}", True),
        ("/v1/log/proofs/inclusion?index=0", False),
        ("/v1/log/entries?start=0&limit=2", True),
        (f"/v1/log/entries?start=0&limit={size + 1}", False),
    ):
        assert ("immutable" in here.http.get(path).headers["Cache-Control"]) == is_past


def test_a_policy_is_what_its_hash_says(here: Stage, story: Story) -> None:
    name = "0x" + story.terms.policy.hex()
    document = get(here, f"/v1/policies/{name}")["document"]
    assert document == POLICY
    assert sha256(canonical_json(document)).digest() == story.terms.policy
    assert here.http.get(f"/v1/policies/{NO_WORD}").status_code == 404


def test_a_contract_tells_its_terms_and_totals(here: Stage, story: Story) -> None:
    told = get(here, f"/v1/contracts/{story.name}")
    assert Terms.from_json(told["terms"]) == story.terms
    assert (told["status"], told["outcomes"], told["reversals"]) == ("live", 1, 1)
    assert (told["earned_units"], told["reversed_units"]) == ("10990000", "10990000")
    assert told["paid_units"] == "10990000"
    assert told["last_settlement"] == story.at("settlement", 1)
    listed = get(here, "/v1/contracts", surface=story.surface)["contracts"]
    assert [item["contract_id"] for item in listed] == [story.name]
    assert get(here, "/v1/contracts", surface=NO_WORD)["contracts"] == []
    assert get(here, "/v1/contracts", after=told["opened"])["contracts"] == []
    page = get(here, "/v1/contracts", limit=1)
    assert page["next"] == told["opened"]


def test_payouts_are_listed_with_their_transactions(here: Stage, story: Story) -> None:
    (paid,) = get(here, f"/v1/contracts/{story.name}/payouts")["payouts"]
    assert paid["position"] == story.at("payout")
    assert paid["gross_units"] == "10990000"
    assert paid["payee"] == story.terms.payee
    assert paid["transaction"] == "0x" + TRANSACTION.hex()
    assert here.http.get(f"/v1/contracts/{NO_WORD}/payouts").status_code == 404


def test_without_evaluators_nothing_is_endorsed(here: Stage, story: Story) -> None:
    log = get(here, "/v1/log")
    assert (log["feedback"], log["evaluators"]) == (None, None)
    path = f"/v1/contracts/{story.name}/endorsements"
    assert get(here, path) == {"endorsements": [], "next": None}
    assert here.http.get(f"/v1/contracts/{NO_WORD}/endorsements").status_code == 404


ROLES = {
    "outcome": ["touch", "transition", "outcome", "settlement", "payout"],
    "outcome.reversed": ["outcome", "event", "reversal", "settlement"],
    "settlement": ["settlement", "payout"],
    "payout": ["settlement", "payout"],
}


@pytest.mark.parametrize("kind", ROLES)
def test_a_receipt_can_be_checked_by_anyone_alone(here: Stage, story: Story, kind: str) -> None:
    told = get(here, f"/v1/receipts/{story.at(kind)}")
    assert [item["role"] for item in told["entries"]] == ROLES[kind]
    assert told["contract_id"] == story.name
    parsed = receipt.parse(told)
    receipt.check(parsed)
    receipt.check_terms(parsed, story.terms)
    digest = checkpoint_digest(EVENT_LOG, LOG_ID, parsed.size, parsed.root)
    assert recover(digest, parsed.signature) == PUBLISHER.address


def test_a_forged_receipt_fails(here: Stage, story: Story) -> None:
    told = get(here, f"/v1/receipts/{story.at('outcome')}")
    told["entries"][0]["opening"]["request_hash"] = "0x" + "00" * 32
    with pytest.raises(ProofError):
        receipt.check(receipt.parse(told))


def test_only_what_is_about_money_has_a_receipt(here: Stage, story: Story) -> None:
    for position, code in (
        (0, "no-receipt"),
        (story.at("touch"), "no-receipt"),
        (10**6, "not-found"),
    ):
        answer = here.http.get(f"/v1/receipts/{position}")
        assert (answer.status_code, answer.json()["code"]) == (404, code)


def test_a_receipt_prefers_a_checkpoint_that_the_chain_has(here: Stage, story: Story) -> None:
    position = story.at("settlement")
    newest = get(here, f"/v1/receipts/{position}")["checkpoint"]
    assert not newest["anchored"]
    sizes = checkpoints_beyond(here, story.at("payout"))
    # One that does not reach, one that a reorg may still take back, and two that will do.
    for number, size in enumerate((position, *sizes[:3])):
        publish(here, number, size, is_final=size != sizes[0])
    told = get(here, f"/v1/receipts/{position}")
    assert (told["checkpoint"]["size"], told["checkpoint"]["anchored"]) == (sizes[1], True)
    receipt.check(receipt.parse(told))


def checkpoints_beyond(here: Stage, position: int) -> list[int]:
    with here.admin() as admin:
        rows = admin.execute(
            "SELECT size FROM checkpoints WHERE size > %s ORDER BY size", (position,)
        ).fetchall()
    return [row[0] for row in rows]


def publish(here: Stage, number: int, size: int, *, is_final: bool) -> None:
    """What the watcher writes when the event log's `Published` is seen in a block."""
    with here.admin() as admin:
        admin.execute(
            "INSERT INTO chain_events (chain_id, escrow, block_hash, tx_hash, log_index, "
            "block_number, time_s, contract, topics, data, is_final) "
            "VALUES (%s, %s, %s, %s, 0, %s, 0, %s, %s, %s, %s)",
            (
                31337,
                ESCROW.verifying_contract.lower(),
                number.to_bytes(32),
                number.to_bytes(32),
                number,
                EVENT_LOG.verifying_contract.lower(),
                [keccak(text="Published(bytes32,uint64,bytes32)"), LOG_ID],
                size.to_bytes(32) + bytes(32),
                is_final,
            ),
        )
