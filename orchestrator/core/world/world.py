"""The world: all that the log's entries have made of leads, surfaces, operators and contracts.

A fold: `orchestrator.core.entries.kinds.advance` takes one entry after the other, and nothing else
changes a world.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from orchestrator.core.common.document import ByHash
from orchestrator.core.surface.attribution import TouchHistory
from orchestrator.core.surface.forecast import Cohorts
from orchestrator.core.surface.policy import Policy
from orchestrator.core.surface.surface_settings import SurfaceSettings
from orchestrator.core.surface.trust import PoolUse, Standing
from orchestrator.core.world.contract import Contract, ContractRules
from orchestrator.core.world.purchase import Purchase
from orchestrator.core.world.tally import Tallies


class Errand(NamedTuple):
    """An action that the surface's owner carries out on a lead at an operator's request.

    `position` is that of the request, `asked_ms` its time. One that is taken counts as done at the
    lead's next transition, unless it failed before; one that is not taken until `expires_ms` is
    none.
    """

    position: int
    operator: bytes
    action: str
    asked_ms: int
    expires_ms: int
    is_taken: bool = False


class Reporting(NamedTuple):
    """The event on whose account a lead's errands are written as touches, until its transition."""

    lead: bytes
    received_ms: int
    request_hash: bytes
    commitment: bytes


@dataclass(slots=True)
class Lead:
    """A lead's place in its surface's lifecycle, and what attribution must remember of it.

    It is in `state` since `since_ms`, by the clock of the event that moved it, and since `stay_ms`
    by the log's own. `touches` holds each
    operator's, `counted` the contracts that may not count this lead again, `counted_at` the
    position of the last outcome into each state, of whichever contract, paid or over its budget.
    `purchases` are the transitions that an event can still take back, and all that founded orders;
    `unfounded` are orders of purchases that the policy refused or cannot reverse, the newest last.
    `errands` are those that wait for the owner, and those that it has taken since the lead moved.
    """

    surface: bytes
    state: str
    since_ms: int = 0
    stay_ms: int = 0
    touches: dict[bytes, TouchHistory] = field(default_factory=dict)
    counted: tuple[bytes, ...] = ()
    counted_at: dict[str, int] = field(default_factory=dict)
    purchases: list[Purchase] = field(default_factory=list)
    # Purchases are swept when they reach this length, so that sweeping costs O(1) a purchase.
    sweep_at: int = 8
    unfounded: tuple[bytes, ...] = ()
    errands: list[Errand] = field(default_factory=list)

    @property
    def touch_count(self) -> int:
        """The number of touches by all operators together."""
        return sum(history.count for history in self.touches.values())

    def acts_by(self, operator: bytes) -> int:
        """Return an operator's touches, with what it has requested and may still be done.

        That counts, too: else it could not become a touch.
        """
        touches = self.touches.get(operator)
        asked = sum(one.operator == operator for one in self.errands)
        return asked + (touches.count if touches is not None else 0)

    def next_touch(self, operator: bytes) -> int:
        """Return 1 + the position of the operator's latest touch, 0 where it has none."""
        touches = self.touches.get(operator)
        return 1 + touches.latest if touches is not None and touches.count else 0


@dataclass(slots=True)
class Surface:
    """A surface: its owner, the hash of the policy in force, and that policy's version.

    The policy itself is read from `policies` each time, since not all of them may be in memory, and
    so are the settings in force (none before the first are published). `received_ms` is the last
    receipt of what was reported on the surface, or the publication of the policy if that is later:
    nothing that follows was received earlier. `errands` counts those that wait to be taken.
    """

    owner: bytes
    policy_hash: bytes
    version: int
    policies: ByHash[Policy] = field(repr=False, compare=False)
    all_settings: ByHash[SurfaceSettings] = field(repr=False, compare=False)
    received_ms: int = 0
    settings_hash: bytes = b""
    settings_version: int = 0
    pool: PoolUse = field(default_factory=PoolUse)
    cohorts: Cohorts = field(default_factory=Cohorts)
    errands: int = 0

    @property
    def policy(self) -> Policy:
        """The policy in force."""
        return self.policies[self.policy_hash]

    @property
    def settings(self) -> SurfaceSettings | None:
        """The settings in force; None before the first."""
        return self.all_settings[self.settings_hash] if self.settings_hash else None

    def governs(self, rules: ContractRules) -> bool:
        """Return whether this surface's owner signed the contract, under the policy in force."""
        return (
            rules.owner == self.owner
            and rules.policy_hash == self.policy_hash
            and rules.attribution == self.policy.attribution
        )


@dataclass(frozen=True, slots=True)
class Operator:
    """A registered operator: the position of its registration, which its first act brings."""

    registered: int


@dataclass(slots=True)
class OperatorCode:
    """A code that an operator hands out: the cause of the clicks by which leads arrive.

    `uses_left` bounds its clicks, none of which is older than `since_ms` or younger than
    `until_ms`.
    `code` is its random id, `position` that of its issue. Of its `uses` so many `brought` a lead
    that was new, and so many were `repeats`: clicks of a lead that its operator had touched before.
    `peak` is the most uses in any one `minute`, in minutes since 1970 by the log's own clock.
    """

    surface: bytes
    operator: bytes
    since_ms: int
    until_ms: int
    uses_left: int
    code: bytes
    position: int
    most_uses: int
    is_ended: bool = False
    uses: int = 0
    brought: int = 0
    repeats: int = 0
    minute: int = 0
    in_minute: int = 0
    peak: int = 0

    def count_use(self, now_ms: int, *, is_repeat: bool) -> None:
        """Count a click."""
        self.uses += 1
        self.uses_left -= 1
        self.repeats += is_repeat
        minute = now_ms // 60_000
        self.in_minute = self.in_minute + 1 if minute == self.minute else 1
        self.minute, self.peak = minute, max(self.peak, self.in_minute)


class Codes(Protocol):
    """Codes by their random ids: all of them, or a cache of them."""

    def get(self, code: bytes, /) -> OperatorCode | None: ...

    def __setitem__(self, name: bytes, code: OperatorCode, /) -> None: ...


class Standings(Protocol):
    """Standings by pair, a surface's word and an operator's: all of them, or a cache of them."""

    def get(self, pair: bytes, /) -> Standing | None: ...

    def __setitem__(self, pair: bytes, standing: Standing, /) -> None: ...


def pair_of(surface: bytes, operator: bytes) -> bytes:
    """Return the key of a standing."""
    return surface + operator


@dataclass(slots=True)
class World:
    """All that deciding needs to know, at log size `size`.

    `policies` and `settings` (by hash) and `rules` (by contract id) are the documents that entries
    refer to; they must be known before an entry that names them is applied. `time_ms` is the log's
    own clock: the latest time of its own entries, and receipt of what was reported. `leads` may
    hold only the leads that the coming requests speak of: a writer that keeps them elsewhere puts
    them there first. `causes` are codes by position. `moved` names the pairs whose standing has
    changed, and `used_codes` the codes that have, for a writer that keeps them elsewhere, and
    `tallies` are what was counted since such a writer last added them up. `arriving` is the lead
    that was registered by the code of this position, until its click has been told. `reporting` is
    set from a lead's first errand that is written as a touch up to the transition that must follow.
    """

    size: int = 0
    time_ms: int = 0
    policies: ByHash[Policy] = field(default_factory=dict[bytes, Policy], compare=False)
    settings: ByHash[SurfaceSettings] = field(
        default_factory=dict[bytes, SurfaceSettings], compare=False
    )
    rules: dict[bytes, ContractRules] = field(default_factory=dict)
    surfaces: dict[bytes, Surface] = field(default_factory=dict)
    leads: dict[bytes, Lead] = field(default_factory=dict)
    contracts: dict[bytes, Contract] = field(default_factory=dict)
    operators: dict[bytes, Operator] = field(default_factory=dict)
    causes: dict[int, OperatorCode] = field(default_factory=dict)
    codes: Codes = field(default_factory=dict[bytes, OperatorCode])
    used_codes: dict[bytes, None] = field(default_factory=dict, compare=False)
    arriving: tuple[bytes, int] | None = None
    reporting: Reporting | None = None
    standings: Standings = field(default_factory=dict[bytes, Standing])
    moved: dict[bytes, None] = field(default_factory=dict, compare=False)
    tallies: Tallies = field(default_factory=Tallies, compare=False)
    _rivals: dict[tuple[bytes, str], list[Contract]] = field(default_factory=dict)

    def add_contract(self, contract: Contract) -> None:
        """Take up a contract, with whatever totals it has; contracts come in opening order."""
        rules = contract.rules
        self.rules[rules.contract_id] = rules
        self.contracts[rules.contract_id] = contract
        self._rivals.setdefault((rules.surface, rules.outcome), []).append(contract)

    def standing(self, surface: bytes, operator: bytes) -> Standing:
        """Return an operator's standing on a surface, to be read; a new one where it has none."""
        return self.standings.get(pair_of(surface, operator)) or Standing()

    def moved_standing(self, surface: bytes, operator: bytes) -> Standing:
        """Return an operator's standing on a surface, for a fold to change."""
        pair = pair_of(surface, operator)
        self.moved[pair] = None
        standing = self.standings.get(pair)
        if standing is None:
            standing = self.standings[pair] = Standing()
        return standing

    def rivals(self, surface: bytes, outcome: str, at_ms: int) -> Iterable[Contract]:
        """Yield the contracts that compete for a transition into `outcome` then, oldest first.

        They share the surface, its owner and the policy in force, which fixes the attribution.
        """
        here = self.surfaces[surface]
        for contract in self._rivals.get((surface, outcome), ()):
            if contract.covers(at_ms) and here.governs(contract.rules):
                yield contract
