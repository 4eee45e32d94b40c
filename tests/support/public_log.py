"""A public log with one contract, the chain that has its terms and its anchor, and its server."""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from types import SimpleNamespace

from orchestrator.chain.abi import Registered
from orchestrator.chain.deployment import Anchor
from orchestrator.chain.escrow import MoneyEvents, Payout
from orchestrator.core.common.errors import TermsError
from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.core.deals.terms import (
    Terms,
    checkpoint_digest,
    contract_id,
    recover,
    sign_digest,
)
from orchestrator.core.decisions.decide import decide
from orchestrator.core.entries.kinds import encode
from orchestrator.core.log.bundle import write_bundle
from orchestrator.core.log.entry import address_word
from orchestrator.core.log.merkle import leaf_hash, root_of
from orchestrator.core.log.opening import Record, encode_opening
from orchestrator.core.world.contract import rules_of
from orchestrator.core.world.requests import (
    Genesis,
    OpenContract,
    ProductEvent,
    PublishPolicy,
    PublishSettings,
    RecordPayout,
    RegisterOperator,
    Request,
    Settle,
    Touch,
)
from orchestrator.core.world.world import World
from tests.support.http_server import Request as HttpRequest
from tests.support.receipts import ORIGIN, PUBLISHER, PUBLISHER_KEY
from tests.support.terms import DOMAIN, LOG_DOMAIN, PLAIN
from tests.support.worlds import LEADS, SURFACE, policy, settings, word

LOG_ID = word("log")
POLICY = policy()
SETTINGS = settings()
TERMS: Terms = dataclasses.replace(
    PLAIN,
    log_id=LOG_ID,
    surface=SURFACE,
    policy=POLICY.hash,
    outcome="paid",
    opens_at_s=0,
    deadline_s=100,
    attribution_window_s=10,
)
CONTRACT_ID = contract_id(TERMS, DOMAIN)


def public_records(terms: Terms = TERMS, id_: bytes = CONTRACT_ID) -> list[Record]:
    """Return one outcome from the touch to its payout, the only ones of this contract."""
    rules = rules_of(terms, id_)
    world = World()
    records: list[Record] = []
    steps: list[tuple[int, Request]] = [
        (0, Genesis(LOG_ID, word("publisher"))),
        (0, PublishPolicy(SURFACE, rules.owner, POLICY)),
        (0, PublishSettings(SURFACE, rules.owner, SETTINGS)),
        (0, RegisterOperator(rules.operator, word("profile"))),
        (1000, OpenContract(rules, word("opening"))),
        (2000, Touch(SURFACE, LEADS[0], rules.operator, "email")),
        (2500, ProductEvent(SURFACE, LEADS[0], "signup", 0, 2500)),
        (3000, ProductEvent(SURFACE, LEADS[0], "buy", 0, 3000)),
        (4000, Settle()),
        (5000, RecordPayout(id_, address_word(terms.payee), "paid", 8_000_000, word("payout"))),
    ]
    for now_ms, request in steps:
        records += decide(world, request, now_ms)
    return records


def root_at(records: Sequence[Record], size: int) -> bytes:
    """Return the root of the log's first entries."""
    return root_of(leaf_hash(encode(record.entry)) for record in records[:size])


class PublicChain:
    """A chain that has the terms of one contract, and an anchor of these records."""

    escrow_domain, event_log_domain = DOMAIN, LOG_DOMAIN
    addresses = SimpleNamespace(event_log=LOG_DOMAIN.verifying_contract)
    node = SimpleNamespace(name="the node of this test")

    def __init__(
        self, records: Sequence[Record], anchored: int | None = None, terms: Terms = TERMS
    ) -> None:
        self.records = records
        self.anchored = len(records) if anchored is None else anchored
        self.terms = terms
        # What the escrow did by the log's only settlement, in the transaction of its payout.
        self.money = MoneyEvents(
            [Payout(word("payout"), 8_000_000, "paid")],
            {
                position: (record.entry.value, 0)
                for position, record in enumerate(records)
                if record.entry.kind == "settlement"
            },
            0,
        )
        self.publisher: str | None = PUBLISHER
        self.replaced: list[str] = []
        # The publisher before, while its signatures count.
        self.previous: str | None = None
        self.origin: str | None = ORIGIN
        # Contracts, and what each of them says is its signature (ERC-1271).
        self.wallets: dict[str, bytes] = {}
        self.forked_at_s: int | None = None

    def terms_of(self, _: bytes) -> Terms:
        return self.terms

    def opening_number_of(self, _: bytes) -> int:
        return 1

    def closed_at(self, _: bytes) -> None:
        return None

    def checkpoint(self, _: bytes) -> Anchor:
        return Anchor(self.anchored, root_at(self.records, self.anchored), 1)

    def root_at(self, _: bytes, size: int) -> bytes | None:
        return root_at(self.records, size) if size == self.anchored else None

    def forked_at(self, _: bytes) -> int | None:
        return self.forked_at_s

    def publisher_of(self, _: bytes) -> str | None:
        return self.publisher

    def previous_publisher_of(self, _: bytes) -> str | None:
        return self.previous

    def registration_of(self, log_id: bytes) -> Registered | None:
        if self.origin is None:
            return None
        return Registered(log_id, PUBLISHER, PUBLISHER, self.origin)

    def publishers_replaced(self, _: bytes, since_s: int) -> list[str]:
        assert since_s < 0  # a day before the log's first entry
        return self.replaced

    def is_signed(self, account: str, digest: bytes, signature: bytes) -> bool:
        try:
            is_own = recover(digest, signature) == account
        except TermsError:
            is_own = False
        return is_own or self.wallets.get(account) == signature

    def money_events_of(self, _: bytes) -> MoneyEvents:
        return self.money


def bundled(records: Iterable[Record]) -> list[tuple[bytes, bytes]]:
    """Return these records as they stand in bundles."""
    return [
        (encode(entry), b"" if opening is None else encode_opening(opening))
        for entry, opening in records
    ]


class PublicServer:
    """The public API of these records, whose publisher signs whatever it says.

    `sign` makes the signature of a digest.
    """

    def __init__(self, records: Sequence[Record]) -> None:
        self.size: object = len(records)
        self.root = root_at(records, len(records))
        self.items = bundled(records)
        self.sign: Callable[[bytes], bytes] = lambda digest: sign_digest(digest, PUBLISHER_KEY)

    def answer(self, request: HttpRequest) -> object:
        """Answer a request for the checkpoint, a policy, or entries."""
        if request.path == "/v1/log/checkpoint":
            size = self.size if isinstance(self.size, int) and self.size > 0 else 0
            digest = checkpoint_digest(LOG_DOMAIN, LOG_ID, size, self.root)
            signature = to_hex(self.sign(digest))
            return {"size": self.size, "root": to_hex(self.root), "signature": signature}
        if request.path.startswith("/v1/policies/"):
            return {"document": POLICY.document()}
        if request.path.startswith("/v1/settings/"):
            return {"document": SETTINGS.document()}
        start, limit = int(request.query["start"]), int(request.query["limit"])
        return write_bundle(self.items[start : start + min(limit, 3)])
