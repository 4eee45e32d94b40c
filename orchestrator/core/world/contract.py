"""An open contract in the log: its rules, its running totals, and when they are stated.

Totals only grow: a reversal is added to `reversed`, never taken from `earned`. A settlement entry
states both totals, and the escrow pays what the latest statement exceeds the earlier ones by.
"""

from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

from orchestrator.core.common.units import AMOUNT_LIMIT, BPS
from orchestrator.core.deals.escrow_model import times_of
from orchestrator.core.deals.terms import Terms
from orchestrator.core.log.entry import TIME_MS_LIMIT, ZERO_WORD, address_word
from orchestrator.core.surface.fields import (
    Model,
    Name,
    Share,
    ShortBytes,
    TimeMs,
    Truth,
    Units,
    Word,
)

NEVER_MS = (TIME_MS_LIMIT >> 2) - 1  # the latest time that a stored contract may name


class ContractRules(NamedTuple):
    """The part of a contract's signed terms that decides what it pays. Times in UTC milliseconds.

    Identifiers are opaque words: 32 bytes in the log, names in a backtest. `statement_group`
    orders a tick's settlement entries so that those which the escrow takes in one call are
    neighbors. After `statements_until_ms` the escrow takes statements of reversals alone.
    """

    contract_id: Word
    surface: Word
    owner: Word
    operator: Word
    verifier: Word
    policy_hash: Word
    attribution: Model
    outcome: Name
    repeatable: Truth
    unit_price_units: Units
    revenue_share_bps: Share
    budget_units: Units
    opens_at_ms: TimeMs
    deadline_ms: TimeMs
    attribution_window_ms: TimeMs
    holdback_period_ms: TimeMs
    statement_group: ShortBytes = b""
    statements_until_ms: TimeMs = NEVER_MS
    token: Word = ZERO_WORD

    def amount_units(self, value_units: int) -> int:
        """Return what an outcome of this value pays: price plus revenue share, rounded down."""
        return self.unit_price_units + self.share_units(value_units)

    def share_units(self, value_units: int) -> int:
        """Return the revenue share of this value, rounded down."""
        return value_units * self.revenue_share_bps // BPS


@dataclass(slots=True)
class Contract:
    """An open contract and its running totals. Amounts are in token base units.

    `opened` is the position of its opening, `last_*` those of its latest entries of that kind. 0
    means none, since position 0 is the log's genesis. `motion` is empty for a contract that the
    directory does not count. `stated_units` are what the last settlement states as payable. Of the
    outcomes that no settlement states the first came at `unstated_ms`; of those that are stated and
    that no payout has followed, at `unpaid_ms` (0: none).
    """

    rules: ContractRules
    opened: int
    closed_at_ms: int | None = None
    earned_units: int = 0
    reversed_units: int = 0
    over_units: int = 0
    outcomes: int = 0
    reversals: int = 0
    last_outcome: int = 0
    last_reversal: int = 0
    last_settlement: int = 0
    motion: str = ""
    stated_units: int = 0
    unstated_ms: int = 0
    unpaid_ms: int = 0

    @property
    def payable_units(self) -> int:
        return self.earned_units - self.reversed_units

    def is_statement_due(self, now_ms: int) -> bool:
        """Return whether there is anything to state that the escrow would still take.

        The escrow takes nothing of a contract that its parties have closed. Outcomes are stated
        until the grace period ends. Reversals may follow for as long as they can happen, but not
        together with outcomes that were not stated in time. (The escrow also refuses a late
        statement whose reversals are worth nothing. That is not known here; the refusal changes
        nothing.)
        """
        if self.closed_at_ms is not None:
            return False
        end_ms = self.rules.statements_until_ms
        if now_ms <= end_ms:
            return max(self.last_outcome, self.last_reversal) > self.last_settlement
        # Reversals alone: every outcome is below the last settlement.
        only_reverses = self.last_reversal > self.last_settlement >= self.last_outcome
        return only_reverses and now_ms <= end_ms + self.rules.holdback_period_ms

    def has_room_for(self, amount_units: int) -> bool:
        """Return whether an outcome of this amount keeps the contract within its budget."""
        # A reversal gives back room, but the escrow keeps what was ever earned in 80 bits.
        return (
            self.payable_units + amount_units <= self.rules.budget_units
            and self.earned_units + amount_units < AMOUNT_LIMIT
        )

    def covers(self, at_ms: int) -> bool:
        """Return whether a transition at this time can count: between opening and end."""
        return self.rules.opens_at_ms <= at_ms <= self.rules.deadline_ms and (
            self.closed_at_ms is None or at_ms <= self.closed_at_ms
        )

    def is_live(self, at_ms: int) -> bool:
        """Return whether it may still count transitions at or after this time."""
        return at_ms <= self.rules.deadline_ms and self.closed_at_ms is None

    def is_binding(self, at_ms: int) -> bool:
        """Return whether an event at or after this time may still add an outcome or reverse one."""
        return self.is_live(at_ms - self.rules.holdback_period_ms)

    def add_outcome(self, position: int, amount_units: int) -> None:
        self.earned_units += amount_units
        self.outcomes += 1
        self.last_outcome = position

    def add_reversal(self, position: int, amount_units: int) -> None:
        self.reversed_units += amount_units
        self.reversals += 1
        self.last_reversal = position


def goes_before(contract: Contract, later: ContractRules, since_ms: int) -> bool:
    """Return whether a contract still takes first what terms of the same operator could count.

    Both pay for the same outcome on the same surface, and of two contracts with one touch the one
    that was opened first wins, even past its budget. `since_ms` is the time from which it matters.
    """
    rules = contract.rules
    shared = ("surface", "owner", "operator", "policy_hash", "attribution", "outcome")
    is_same = all(getattr(rules, name) == getattr(later, name) for name in shared)
    begins_ms = max(since_ms, later.opens_at_ms)
    return is_same and rules.opens_at_ms <= later.deadline_ms and contract.is_live(begins_ms)


def rules_of(terms: Terms, contract_id: bytes) -> ContractRules:
    """Return the rules in signed terms. `contract_id` is their EIP-712 digest."""
    return ContractRules(
        contract_id=contract_id,
        surface=terms.surface,
        owner=address_word(terms.owner),
        operator=address_word(terms.operator),
        verifier=address_word(terms.verifier),
        policy_hash=terms.policy,
        attribution=terms.attribution,
        outcome=terms.outcome,
        repeatable=terms.repeatable,
        unit_price_units=terms.unit_price_units,
        revenue_share_bps=terms.revenue_share_bps,
        budget_units=terms.budget_units,
        opens_at_ms=terms.opens_at_s * 1000,
        deadline_ms=terms.deadline_s * 1000,
        attribution_window_ms=terms.attribution_window_s * 1000,
        holdback_period_ms=terms.holdback_period_s * 1000,
        # The escrow settles several contracts in one call if these four are the same.
        statement_group=sha256(
            address_word(terms.token)
            + address_word(terms.verifier)
            + address_word(terms.fee_recipient)
            + terms.fee_bps.to_bytes(2)
        ).digest(),
        statements_until_ms=times_of(terms).statements_until_s * 1000,
        token=address_word(terms.token),
    )
