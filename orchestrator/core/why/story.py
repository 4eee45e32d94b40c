"""The story of a lead: its entries in log order, and how each contract stood before a transition.

It asks the same questions as `decide` in the same order, with the rules of `attribution`. What the
log says won, and what the rules give, must be the same; where they are not, the answer says so.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from orchestrator.core.common.errors import WhyError
from orchestrator.core.entries.kinds import Topic, kind_of
from orchestrator.core.evidence.touch_index import TouchIndex
from orchestrator.core.log.entry import TIME_MS_LIMIT, unpack_outcome, unpack_reversal
from orchestrator.core.surface import attribution
from orchestrator.core.surface.attribution import TouchAt
from orchestrator.core.surface.policy import Policy
from orchestrator.core.why.reason import Code, Tokens
from orchestrator.core.why.source import (
    MAX_ENTRIES,
    Filter,
    Placed,
    Source,
    newest,
    publications,
    read_all,
)
from orchestrator.core.world.contract import Contract

OUTCOME_KINDS = ("outcome", "outcome.over")
# The most contracts of a surface's owner that an answer looks at.
MAX_CONTRACTS = 1_000


class Market:
    """A surface as an answer needs it: its policies by position, and its owner's contracts.

    Anyone can open a contract that names a surface; only its owner's own compete there.
    """

    def __init__(self, source: Source, surface: bytes) -> None:
        self.surface = surface
        self.published = list(publications(source, surface, "policy.published"))
        if not self.published:
            raise WhyError(
                "surface-unknown", f"surface 0x{surface.hex()} has published no policy in the log"
            )
        self.owner = self.published[0].entry.actor
        found = source.contracts(surface, self.owner, MAX_CONTRACTS + 1)
        self.contracts, self.is_cut = found[:MAX_CONTRACTS], len(found) > MAX_CONTRACTS
        self._source = source
        self._closings: dict[bytes, int] | None = None
        self._policies: dict[bytes, Policy] = {}

    @property
    def now_ms(self) -> int:
        return self._source.now_ms

    @property
    def tokens(self) -> Tokens:
        return self._source.tokens

    def publication_at(self, position: int) -> Placed:
        """Return the publication of the policy that is in force at a position."""
        before = [placed for placed in self.published if placed.position < position]
        return before[-1] if before else self.published[0]

    def policy_at(self, position: int) -> Policy:
        """Return the policy in force at a position. Raises WhyError if it cannot be had."""
        hash_ = self.publication_at(position).entry.subject
        if hash_ not in self._policies:
            found = self._source.policy(hash_)
            if found is None:
                raise WhyError("policy-unknown", f"policy 0x{hash_.hex()} is not to be had")
            self._policies[hash_] = found
        return self._policies[hash_]

    def policy_in_force(self) -> Policy:
        """Return the policy in force now."""
        return self.policy_at(self.published[-1].position + 1)

    def governs(self, contract: Contract, policy: Policy) -> bool:
        """Return whether a contract was signed by the owner under this policy."""
        rules = contract.rules
        return (rules.owner, rules.policy_hash, rules.attribution) == (
            self.owner,
            policy.hash,
            policy.attribution,
        )

    def closing_of(self, contract: Contract) -> int:
        """Return the position of a contract's closing; 0 where it is open."""
        if contract.closed_at_ms is None:
            return 0
        name = contract.rules.contract_id
        if self._closings is None:
            found = read_all(self._source, Filter(surface=self.surface, kind="contract.closed"))[0]
            self._closings = {placed.entry.subject: placed.position for placed in found}
        if name not in self._closings:  # there are more than were read
            last = newest(self._source, Filter(subject=name, kind="contract.closed"))
            self._closings[name] = last.position if last else 0
        return self._closings[name]


class Rival(NamedTuple):
    """A contract before a transition: its touch if it could win, else the code of what barred it.

    `positions` are those of what barred it.
    """

    contract: Contract
    barred: Code | None
    touch: TouchAt | None
    positions: tuple[int, ...] = ()


@dataclass
class Story:
    """All that the log says about a lead, up to the most entries that an answer reads."""

    market: Market
    lead: bytes
    entries: list[Placed]
    is_cut: bool
    touches: dict[bytes, TouchIndex] = field(default_factory=dict)
    transitions: list[Placed] = field(default_factory=list)
    outcomes: dict[int, Placed] = field(default_factory=dict)  # by transition
    won: dict[int, list[Placed]] = field(default_factory=dict)  # by touch
    reversals: dict[int, list[Placed]] = field(default_factory=dict)  # by outcome
    counted: dict[bytes, int] = field(default_factory=dict)  # the first, by contract

    def __post_init__(self) -> None:
        for placed in self.entries:
            entry = placed.entry
            if kind_of(entry).topic is Topic.TOUCH:
                index = self.touches.setdefault(entry.actor, TouchIndex())
                index.add(TouchAt(placed.position, entry.time_ms))
            elif entry.kind == "lead.transition":
                self.transitions.append(placed)
            elif entry.kind in OUTCOME_KINDS:
                facts = unpack_outcome(entry.payload)
                self.outcomes[facts.transition] = placed
                self.won.setdefault(facts.touch, []).append(placed)
                self.counted.setdefault(entry.actor, placed.position)
            elif entry.kind == "outcome.reversed":
                outcome = unpack_reversal(entry.payload).outcome
                self.reversals.setdefault(outcome, []).append(placed)

    def reversed_units(self, outcome: int) -> int:
        """Return what was taken back of an outcome."""
        return sum(placed.entry.value for placed in self.reversals.get(outcome, ()))

    def competitors(self, transition: Placed) -> list[Contract]:
        """Return the owner's contracts that pay for the state that a transition enters."""
        state = transition.entry.label
        return [one for one in self.market.contracts if one.rules.outcome == state]

    def rivals(self, transition: Placed) -> list[Rival]:
        """Return how each contract stood before a transition, in the order of opening."""
        return [self.rival(one, transition) for one in self.competitors(transition)]

    def rival(self, contract: Contract, transition: Placed) -> Rival:
        """Return how a contract stood before a transition into the state that it pays for."""
        rules, position, at_ms = contract.rules, transition.position, transition.entry.time_ms
        policy = self.market.policy_at(position)
        barred = self._barred_by_terms(contract, position, at_ms, policy)
        if barred is not None:
            return barred
        counted = self.counted.get(rules.contract_id, position)
        if not rules.repeatable and counted < position:
            return Rival(contract, Code.LEAD_COUNTED, None, (counted,))
        return self._rival_by_touch(contract, position, at_ms, policy.attribution)

    def _barred_by_terms(
        self, contract: Contract, position: int, at_ms: int, policy: Policy
    ) -> Rival | None:
        """Return what bars a contract whatever its operator did; None where nothing does."""
        rules, closed_at_ms = contract.rules, contract.closed_at_ms
        is_past = closed_at_ms is not None and at_ms > closed_at_ms
        closing = self.market.closing_of(contract) if is_past else 0
        published = self.market.publication_at(position).position
        is_closed = is_past and 0 < closing < position
        for applies, code, positions in (
            (contract.opened > position, Code.OPENED_LATER, (contract.opened,)),
            (
                not self.market.governs(contract, policy),
                Code.OTHER_POLICY,
                (contract.opened, published),
            ),
            (at_ms < rules.opens_at_ms, Code.BEFORE_OPENING, (contract.opened,)),
            (at_ms > rules.deadline_ms, Code.AFTER_DEADLINE, (contract.opened,)),
            (is_closed, Code.AFTER_CLOSING, (closing,)),
        ):
            if applies:
                return Rival(contract, code, None, positions)
        return None

    def _rival_by_touch(self, contract: Contract, position: int, at_ms: int, model: str) -> Rival:
        rules = contract.rules
        touches = self.touches.get(rules.operator)
        if touches is None or touches.first(position, 0, TIME_MS_LIMIT) is None:
            return Rival(contract, Code.UNTOUCHED, None)
        oldest_ms = max(rules.opens_at_ms, at_ms - rules.attribution_window_ms)
        if model == "last_touch":
            found = touches.last(position, oldest_ms, at_ms)
        else:
            found = touches.first(position, rules.opens_at_ms, at_ms)
            if found is not None and found.time_ms < oldest_ms:
                return Rival(contract, Code.FIRST_TOUCH_TOO_OLD, None, (found.position,))
        if found is not None:
            return Rival(contract, None, found)
        # None counts: the one that came nearest says why.
        for code, since_ms, until_ms in (
            (Code.TOUCH_TOO_OLD, rules.opens_at_ms, at_ms),
            (Code.TOUCH_AFTER_EVENT, at_ms + 1, TIME_MS_LIMIT),
        ):
            near = touches.last(position, since_ms, until_ms)
            if near is not None:
                return Rival(contract, code, None, (near.position,))
        last = touches.last(position, 0, TIME_MS_LIMIT)
        return Rival(
            contract, Code.TOUCH_BEFORE_OPENING, None, (last.position,) if last is not None else ()
        )

    def winner(self, transition: Placed, rivals: list[Rival]) -> Rival | None:
        """Return the rival that the rules credit a transition to, or None."""
        able = [(one, one.touch) for one in rivals if one.touch is not None]
        model = self.market.policy_at(transition.position).attribution
        won = attribution.winner(able, model)
        return None if won is None else won[0]


def read_story(source: Source, surface: bytes, lead: bytes) -> Story:
    """Read what the log says about a lead. Raises WhyError if that is nothing."""
    entries, is_cut = read_all(source, Filter(subject=lead), MAX_ENTRIES)
    own = [placed for placed in entries if placed.entry.surface == surface]
    if not own:
        raise WhyError(
            "lead-unknown",
            f"the log says nothing about lead 0x{lead.hex()} on surface 0x{surface.hex()}",
        )
    return Story(Market(source, surface), lead, own, is_cut)
