"""The public API of a log as the source of answers to why, for a stranger who has nothing else.

The server's own judgements are not asked for. Entries about a lead or a contract are found by it;
an operator's standing is folded from the log's first entry on, which takes as long as reading it.
What a server leaves out is not noticed here: a replay of the whole log against the chain shows it.
"""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from orchestrator.client.http import PAGE, Client
from orchestrator.client.log_server import (
    ServedEntry,
    below,
    reading,
    record_of,
    served_policy,
    served_records,
    served_settings,
)
from orchestrator.core.common.document import DocumentCache
from orchestrator.core.common.errors import EntryError, ReplayError, ServerError
from orchestrator.core.common.hexadecimal import from_hex, to_hex
from orchestrator.core.common.units import AMOUNT_LIMIT
from orchestrator.core.deals.site import TokenInfo
from orchestrator.core.deals.terms import Terms
from orchestrator.core.entries.kinds import advance, kind_of, pass_by
from orchestrator.core.log.entry import (
    ENTRY_BYTES,
    POSITION_LIMIT,
    TIME_MS_LIMIT,
    VALUE_LIMIT,
    WORD_BYTES,
    address_word,
)
from orchestrator.core.log.opening import Record
from orchestrator.core.surface.forecast import Cohorts
from orchestrator.core.surface.policy import Policy
from orchestrator.core.surface.surface_settings import SurfaceSettings
from orchestrator.core.surface.trust import PoolUse, Standing
from orchestrator.core.why.source import Filter, Placed
from orchestrator.core.world.contract import Contract, ContractRules, rules_of
from orchestrator.core.world.world import World

# The most entries that are folded for a standing: a server could make them up without end.
MAX_FOLDED = 10_000_000
# The most contracts of a surface that are read for it, whoever opened them.
MAX_CONTRACTS = 100_000
# The most letters of a token's symbol.
_MOST_SYMBOL = 32
# More milliseconds than times and periods of terms add up to, whose seconds have 64 bits.
_TIMES_MS = 1 << 80


class PublicRecords:
    """The public records of one log, asked of a server. `now_ms` is the reader's own time."""

    def __init__(self, client: Client, now_ms: int) -> None:
        self.now_ms = now_ms
        self._client = client
        self._worlds: dict[bytes, World] = {}
        self._policies: DocumentCache[Policy] = DocumentCache(
            lambda hash_: served_policy(client, hash_)
        )
        self._settings: DocumentCache[SurfaceSettings] = DocumentCache(
            lambda hash_: served_settings(client, hash_)
        )

    @cached_property
    def tokens(self) -> Mapping[bytes, TokenInfo]:
        listed = self._client.get("/v1/log")
        with reading(self._client, "which tokens it knows"):
            found = [
                TokenInfo(
                    token["address"],
                    str(token["symbol"])[:_MOST_SYMBOL],
                    below(256, token["decimals"]),
                )
                for token in listed["tokens"]
            ]
            return {address_word(token.address): token for token in found}

    def at(self, position: int) -> Placed | None:
        found = list(served_records(self._client, position, position + 1))
        return Placed(position, found[0]) if found else None

    def find(self, wanted: Filter, limit: int) -> list[Placed]:
        """Return the entries that are asked for. Raises ReplayError if the server gives others."""
        asked = {
            "subject": None if wanted.subject is None else to_hex(wanted.subject),
            "surface": None if wanted.surface is None else to_hex(wanted.surface),
            "kind": wanted.kind,
            "newest": "true" if wanted.newest else None,
            "after": wanted.after,
        }
        page = self._client.get("/v1/log/search", **asked, limit=min(limit, PAGE))
        found = []
        with reading(self._client, "which entries it found"):
            for item in page["entries"]:
                position = item["position"]
                if type(position) is not int or position <= wanted.after:
                    raise ValueError("no position that was asked for")
                data = from_hex(item["entry"], ENTRY_BYTES)
                record = record_of(ServedEntry(data, item.get("opening")), position)
                found.append(Placed(position, record))
        _check_found(found, wanted, limit)
        return found

    def contract(self, contract_id: bytes) -> Contract | None:
        try:
            document = self._client.get(f"/v1/contracts/{to_hex(contract_id)}")
        except ServerError as error:
            if error.code == "http-404":
                return None
            raise
        found = self._contract(document)
        if found.rules.contract_id != contract_id:
            raise ServerError("answer-garbled", f"{self._client.server} gives another contract")
        return found

    def contracts(self, surface: bytes, owner: bytes, limit: int) -> list[Contract]:
        return self._contracts(surface, limit, owner=to_hex(owner[12:]))

    def policy(self, hash_: bytes) -> Policy | None:
        return self._policies[hash_]

    def settings(self, hash_: bytes) -> SurfaceSettings | None:
        return self._settings[hash_]

    def standing(self, surface: bytes, operator: bytes) -> Standing | None:
        return self._world(surface).standing(surface, operator)

    def pool(self, surface: bytes) -> PoolUse:
        here = self._world(surface).surfaces.get(surface)
        return here.pool if here else PoolUse()

    def cohorts(self, surface: bytes) -> Cohorts:
        here = self._world(surface).surfaces.get(surface)
        return here.cohorts if here else Cohorts()

    def is_anchored(self, position: int) -> bool | None:
        """Return what the server says of it; `verify --rpc` asks the chain."""
        try:
            self._client.get(f"/v1/receipts/{position}")
        except ServerError as error:
            if error.code not in ("http-404", "http-409"):
                raise
            return False if error.code == "http-409" else None
        return True

    # --- A surface's world ------------------------------------------------------------------------

    def _world(self, surface: bytes) -> World:
        """Return all that the log's entries have made of a surface, folded from the first on."""
        if surface in self._worlds:
            return self._worlds[surface]
        world = World(policies=self._policies, settings=self._settings)
        world.rules |= {
            one.rules.contract_id: one.rules for one in self._contracts(surface, MAX_CONTRACTS)
        }
        listed = self._client.get("/v1/log")
        with reading(self._client, "how long its log is"):
            size = int(listed["size"])
        if size > MAX_FOLDED:
            raise ServerError(
                "log-too-long",
                f"{self._client.server} shows {size:,} entries; a standing is folded from at most "
                f"{MAX_FOLDED:,}: ask the server itself for the answer",
            )
        for record in served_records(self._client, 0, size):
            _fold(world, record, surface)
        self._worlds[surface] = world
        return world

    def _contracts(self, surface: bytes, limit: int, owner: str | None = None) -> list[Contract]:
        query = {"surface": to_hex(surface), "owner": owner, "limit": PAGE}
        found: list[Contract] = []
        for item in self._client.pages("/v1/contracts", "contracts", **query):
            found.append(self._contract(item))
            if len(found) == limit:
                break
        return found

    def _contract(self, document: Any) -> Contract:
        """Return a contract with its totals. Raises ReplayError if its terms say other rules."""
        with reading(self._client, "what its contracts are"):
            rules, closed_at_ms = _rules(document), document["closed_at_ms"]
            found = Contract(
                rules,
                below(POSITION_LIMIT, document["opened"]),
                None if closed_at_ms is None else below(TIME_MS_LIMIT, closed_at_ms),
                below(AMOUNT_LIMIT, document["earned_units"]),
                below(AMOUNT_LIMIT, document["reversed_units"]),
                below(VALUE_LIMIT, document["over_units"]),
                below(POSITION_LIMIT, document["outcomes"]),
                below(POSITION_LIMIT, document["reversals"]),
                below(POSITION_LIMIT, document["last_outcome"]),
                below(POSITION_LIMIT, document["last_reversal"]),
                below(POSITION_LIMIT, document["last_settlement"]),
            )
            terms = document["terms"]
            signed = None if terms is None else rules_of(Terms.from_json(terms), rules.contract_id)
        if signed is not None and signed._replace(statement_group=b"") != rules:
            raise ReplayError(
                "rules-false",
                f"{self._client.server} gives other rules for contract "
                f"{to_hex(rules.contract_id)} than its terms do",
            )
        return found


def _rules(document: Any) -> ContractRules:
    rules = document["rules"]
    outcome = rules["outcome"]
    # Strangers open contracts too, for whatever fits a word.
    if not (outcome.isascii() and outcome.isprintable() and len(outcome) <= WORD_BYTES):
        raise ValueError(outcome)
    if rules["attribution"] not in ("first_touch", "last_touch"):
        raise ValueError(rules["attribution"])
    if not isinstance(rules["repeatable"], bool):
        raise TypeError(rules["repeatable"])
    return ContractRules(
        contract_id=from_hex(document["contract_id"], WORD_BYTES),
        surface=from_hex(document["surface"], WORD_BYTES),
        owner=address_word(document["owner"]),
        operator=address_word(document["operator"]),
        verifier=address_word(rules["verifier"]),
        policy_hash=from_hex(rules["policy_hash"], WORD_BYTES),
        attribution=rules["attribution"],
        outcome=outcome,
        repeatable=rules["repeatable"],
        unit_price_units=below(VALUE_LIMIT, rules["unit_price_units"]),
        revenue_share_bps=below(1 << 16, rules["revenue_share_bps"]),
        budget_units=below(VALUE_LIMIT, rules["budget_units"]),
        opens_at_ms=below(_TIMES_MS, rules["opens_at_ms"]),
        deadline_ms=below(_TIMES_MS, rules["deadline_ms"]),
        attribution_window_ms=below(_TIMES_MS, rules["attribution_window_ms"]),
        holdback_period_ms=below(_TIMES_MS, rules["holdback_period_ms"]),
        statements_until_ms=below(_TIMES_MS, rules["statements_until_ms"]),
        token=address_word(rules["token"]),
    )


def _check_found(found: list[Placed], wanted: Filter, limit: int) -> None:
    """Raise ReplayError for entries that were not asked for, are too many, or out of order."""
    positions = [placed.position for placed in found]
    in_order = sorted(set(positions), reverse=wanted.newest)
    is_asked = all(
        wanted.subject in (None, placed.entry.subject)
        and wanted.surface in (None, placed.entry.surface)
        and wanted.kind in (None, placed.entry.kind)
        for placed in found
    )
    if positions != in_order or not is_asked or len(found) > limit:
        raise ReplayError("entries-other", "the server gives other entries than were asked for")
    for placed in found:
        opening = placed.record.opening
        if opening is not None and not kind_of(placed.entry).fits(placed.entry, opening):
            raise ReplayError(
                "opening-false", f"entry {placed.position} does not commit to its opening"
            )


def _fold(world: World, record: Record, surface: bytes) -> None:
    """Move a world of one surface past an entry of the log."""
    if record.entry.surface != surface:
        pass_by(world, record)
        return
    position = world.size
    try:
        if not kind_of(record.entry).fits(record.entry, record.opening):
            raise ReplayError("opening-false", f"entry {position} has not its opening")
        advance(world, record)
    except (EntryError, LookupError) as error:
        raise ReplayError("entry-impossible", f"entry {position} cannot be: {error}") from None
