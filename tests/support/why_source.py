"""A source of answers to why: a log in memory, and the world that it leads to."""

from collections.abc import Mapping, Sequence

from orchestrator.core.deals.site import TokenInfo
from orchestrator.core.entries.kinds import KINDS
from orchestrator.core.log.entry import address_word
from orchestrator.core.log.opening import Record
from orchestrator.core.surface.forecast import Cohorts
from orchestrator.core.surface.policy import Policy
from orchestrator.core.surface.surface_settings import SurfaceSettings
from orchestrator.core.surface.trust import PoolUse, Standing
from orchestrator.core.why.source import Filter, Placed
from orchestrator.core.world.contract import Contract
from orchestrator.core.world.world import World

TOKEN = TokenInfo(f"0x{1:040x}", "USDC", 6)


class MemorySource:
    """The public records of a log in memory."""

    def __init__(self, records: Sequence[Record], world: World, now_ms: int) -> None:
        self.records = [Placed(at, record) for at, record in enumerate(records)]
        self.world = world
        self.now_ms = now_ms
        self.tokens: Mapping[bytes, TokenInfo] = {address_word(TOKEN.address): TOKEN}
        self.anchored = 0

    def at(self, position: int) -> Placed | None:
        return self.records[position] if position < len(self.records) else None

    def find(self, wanted: Filter, limit: int) -> list[Placed]:
        assert wanted.surface is None or (wanted.kind and KINDS[wanted.kind].listed)
        found = [one for one in self.records if _is_wanted(one, wanted)]
        return (found[::-1] if wanted.newest else found)[:limit]

    def contract(self, contract_id: bytes) -> Contract | None:
        return self.world.contracts.get(contract_id)

    def contracts(self, surface: bytes, owner: bytes, limit: int) -> list[Contract]:
        found = self.world.contracts.values()
        own = [one for one in found if (one.rules.surface, one.rules.owner) == (surface, owner)]
        return own[:limit]

    def policy(self, hash_: bytes) -> Policy | None:
        return self.world.policies[hash_]

    def settings(self, hash_: bytes) -> SurfaceSettings | None:
        return self.world.settings[hash_]

    def standing(self, surface: bytes, operator: bytes) -> Standing | None:
        return self.world.standing(surface, operator)

    def pool(self, surface: bytes) -> PoolUse:
        return self.world.surfaces[surface].pool

    def cohorts(self, surface: bytes) -> Cohorts:
        return self.world.surfaces[surface].cohorts

    def is_anchored(self, position: int) -> bool | None:
        return position < self.anchored


def _is_wanted(placed: Placed, wanted: Filter) -> bool:
    entry = placed.entry
    return (
        placed.position > wanted.after
        and wanted.subject in (None, entry.subject)
        and wanted.surface in (None, entry.surface)
        and wanted.kind in (None, entry.kind)
    )
