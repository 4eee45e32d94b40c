"""The world: everything that the log's entries have made of leads, surfaces and contracts.

A fold: `World.advance` takes one entry after the other, and is the only way the world changes.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from orchestrator.core.attribution import TouchAt, TouchHistory
from orchestrator.core.contract import Contract, ContractRules, PaidOutcome, forget_expired
from orchestrator.core.entry import Entry, unpack_reversal
from orchestrator.core.policy import Policy


@dataclass(slots=True)
class Lead:
    """A lead's place in its surface's lifecycle, and what attribution must remember of it.

    `visits` counts entries into each state, `counted` holds the contracts that may not count this
    lead again, `paid` the outcomes that a reversal could still take back.
    """

    surface: bytes
    state: str
    visits: dict[str, int] = field(default_factory=dict)
    trails: dict[bytes, TouchHistory] = field(default_factory=dict)
    counted: tuple[bytes, ...] = ()
    paid: list[PaidOutcome] = field(default_factory=list)
    # `paid` is swept when it reaches this length, so that sweeping costs O(1) an outcome.
    sweep_at: int = 8


@dataclass(slots=True)
class Surface:
    owner: bytes
    policy: Policy
    version: int

    def governs(self, rules: ContractRules) -> bool:
        """Whether a contract was signed by this surface's owner under the policy in force."""
        return (
            rules.owner == self.owner
            and rules.policy_hash == self.policy.hash
            and rules.attribution == self.policy.attribution
        )


@dataclass(slots=True)
class World:
    """Everything that deciding needs to know, at log size `size`.

    `policies` (by hash) and `rules` (by contract id) are the documents that entries refer to; they
    must be known before an entry that names them is applied. `leads` may hold only the leads that
    the coming requests speak of: whoever keeps them elsewhere puts them there first.
    """

    size: int = 0
    time_ms: int = 0
    policies: dict[bytes, Policy] = field(default_factory=dict)
    rules: dict[bytes, ContractRules] = field(default_factory=dict)
    surfaces: dict[bytes, Surface] = field(default_factory=dict)
    leads: dict[bytes, Lead] = field(default_factory=dict)
    contracts: dict[bytes, Contract] = field(default_factory=dict)
    operators: set[bytes] = field(default_factory=set)
    _rivals: dict[tuple[bytes, str], list[Contract]] = field(default_factory=dict)

    def advance(self, entry: Entry) -> None:
        """Move past `entry`, the log's next. Entries must come in log order, each exactly once."""
        index = self.size
        kind = entry.kind
        if kind == "touch":
            trail = self.leads[entry.subject].trails.setdefault(entry.actor, TouchHistory())
            trail.add(TouchAt(index, entry.time_ms))
        elif kind == "lead.transition":
            lead = self.leads[entry.subject]
            lead.state = entry.label
            lead.visits[entry.label] = lead.visits.get(entry.label, 0) + 1
        elif kind == "outcome":
            self._count_outcome(index, entry)
        elif kind == "outcome.over":
            contract = self.contracts[entry.actor]
            contract.over_units += entry.value
            self._count_lead(contract, entry.subject)
        elif kind == "outcome.reversed":
            self._take_back(index, entry)
        elif kind == "settlement":
            self.contracts[entry.subject].last_settlement = index
        elif kind == "lead.registered":
            self.leads[entry.subject] = Lead(entry.surface, entry.label)
        elif kind == "contract.opened":
            self.add_contract(Contract(self.rules[entry.subject], index))
        elif kind == "contract.closed":
            self.contracts[entry.subject].closed_at_ms = entry.value
        elif kind == "policy.published":
            policy = self.policies[entry.subject]
            self.surfaces[entry.surface] = Surface(entry.actor, policy, entry.value)
        elif kind == "operator.registered":
            self.operators.add(entry.subject)
        self.size = index + 1
        if kind not in PRODUCT_TIMED:
            self.time_ms = entry.time_ms

    def add_contract(self, contract: Contract) -> None:
        """Take up a contract, with whatever totals it has; contracts come in opening order."""
        rules = contract.rules
        self.rules[rules.contract_id] = rules
        self.contracts[rules.contract_id] = contract
        self._rivals.setdefault((rules.surface, rules.outcome), []).append(contract)

    def rivals(self, surface: bytes, outcome: str, at_ms: int) -> Iterable[Contract]:
        """The contracts that compete for a transition into `outcome` at `at_ms`, oldest first.

        They share the surface, its owner and the policy in force, which fixes the attribution.
        """
        here = self.surfaces[surface]
        for contract in self._rivals.get((surface, outcome), ()):
            if contract.covers(at_ms) and here.governs(contract.rules):
                yield contract

    def _count_outcome(self, index: int, entry: Entry) -> None:
        contract = self.contracts[entry.actor]
        contract.add_outcome(index, entry.value)
        self._count_lead(contract, entry.subject)
        policy = self.surfaces[entry.surface].policy
        if not policy.is_reversible(entry.label):
            return
        lead = self.leads[entry.subject]
        expires_ms = entry.time_ms + contract.rules.holdback_period_ms
        lead.paid.append(
            PaidOutcome(entry.actor, entry.label, index, entry.time_ms, entry.value, expires_ms)
        )
        if len(lead.paid) >= lead.sweep_at:
            lead.paid = forget_expired(lead.paid, self.time_ms - policy.lateness_s * 1000)
            lead.sweep_at = 2 * len(lead.paid) + 8

    def _count_lead(self, contract: Contract, lead: bytes) -> None:
        if not contract.rules.repeatable:
            self.leads[lead].counted += (contract.rules.contract_id,)

    def _take_back(self, index: int, entry: Entry) -> None:
        self.contracts[entry.actor].add_reversal(index, entry.value)
        lead = self.leads[entry.subject]
        taken = unpack_reversal(entry.payload).outcome
        lead.paid = [outcome for outcome in lead.paid if outcome.position != taken]


# Entries that carry the product's clock or repeat it; all others carry ours, which never goes back.
PRODUCT_TIMED = frozenset(
    {
        "lead.transition",
        "lead.refused",
        "product.event",
        "outcome",
        "outcome.over",
        "outcome.refused",
        "outcome.reversed",
    }
)
