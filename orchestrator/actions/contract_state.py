"""How a contract stands in the escrow: read from the chain, as of one block.

That block's time is "now". What the escrow keeps no view of (claims, refunds) is read from its
events since the contract's time for statements ended, or it was closed: there were none before.
"""

import re
from typing import NamedTuple

from orchestrator.actions.wording import told_amount
from orchestrator.chain.abi import (
    ClaimDropped,
    Claimed,
    ClaimsDisputed,
    ClaimsRuled,
    Closed,
    Refunded,
)
from orchestrator.chain.caller import Token
from orchestrator.chain.deployment import Chain
from orchestrator.chain.escrow import PendingStatement
from orchestrator.chain.event_scan import events_of
from orchestrator.chain.rpc import NodeError
from orchestrator.core.entry import ZERO_ADDRESS
from orchestrator.core.errors import InputError
from orchestrator.core.escrow_model import Times, times_of
from orchestrator.core.evidence.exhibits import Claim
from orchestrator.core.hexadecimal import to_hex
from orchestrator.core.terms import Terms, contract_id

# What `statusOf` says of contracts that nothing can make more payable. One that is "refundable" is
# none: a ruling may give the payee what nobody has taken back yet.
_ENDED = ("closed", "paid_out", "refunded")
MAX_DECIMALS = 36
MAX_SYMBOL = 12
_AMOUNT = re.compile(r"([0-9]{1,40})(?:\.([0-9]{1,40}))?")


class FiledClaim(NamedTuple):
    """A claim that the operator filed; dropped if the log refuted it since."""

    claim: Claim
    is_dropped: bool = False


class Claims(NamedTuple):
    """What was claimed by proof, by key, and what became of it.

    `ruled_units` is the most that is paid of it, by the arbiter's word.
    """

    filed: dict[bytes, FiledClaim]
    is_disputed: bool = False
    ruled_units: int | None = None

    @property
    def open(self) -> dict[bytes, Claim]:
        """Those that the log has not refuted."""
        return {key: one.claim for key, one in self.filed.items() if not one.is_dropped}

    @property
    def claimed_units(self) -> int:
        """What is paid of them if the log refutes no more."""
        stands = sum(claim.amount for claim in self.open.values())
        return stands if self.ruled_units is None else min(self.ruled_units, stands)


class ContractState(NamedTuple):
    """A contract as the escrow has it in one block. Amounts in base units, times UTC seconds."""

    contract_id: bytes
    terms: Terms
    token: Token
    block_number: int
    now_s: int
    status: str
    paid_units: int
    net_units: int
    owed_units: int
    releasable_units: int
    releasable_at_s: int
    pending: PendingStatement | None
    closed_at_s: int
    is_retired: bool
    claims: Claims
    refunded_units: int
    # Whether ERC-8004 feedback was given; None without a contract that gives it.
    is_feedback_given: bool | None = None

    @property
    def has_ended(self) -> bool:
        """Whether nothing more can be paid, so that feedback about it can be given."""
        return self.status in _ENDED and not self.owed_units

    @property
    def times(self) -> Times:
        return times_of(self.terms)

    @property
    def has_arbiter(self) -> bool:
        return self.terms.arbiter != ZERO_ADDRESS

    @property
    def is_disputed(self) -> bool:
        """Whether the pending statement is before the arbiter."""
        pending = self.pending
        return pending is not None and (pending.owner_disputed or pending.operator_disputed)

    @property
    def disputable_until_s(self) -> int:
        """The last second to dispute the pending statement; 0 without one, or without an arbiter.

        It is the end of the challenge period: a dispute moves the resolution behind it.
        """
        if self.pending is None or not self.has_arbiter:
            return 0
        moved_s = self.terms.arbitration_period_s if self.is_disputed else 0
        return self.pending.resolves_at_s - moved_s

    @property
    def budget_units(self) -> int:
        """What the contract may pay in all: what was escrowed less what went back."""
        return self.terms.budget_units - self.refunded_units

    @property
    def reserved_units(self) -> int:
        """The most that can still have been paid when everything is done."""
        most = self.net_units
        if self.pending is not None:
            if self.has_arbiter:
                return self.budget_units
            # Without an arbiter nobody has changed what was stated.
            most = max(most, self.pending.earned_units - self.pending.reversed_units)
        return min(self.budget_units, max(self.paid_units, most + self.claims.claimed_units))

    def amount(self, units: int) -> str:
        return told_amount(units, self.token)

    def exact(self, units: int) -> str:
        """The amount as it is signed, for where a wrong word about decimals would cost money."""
        return f"{self.amount(units)} ({units} base units)"

    def units(self, text: str) -> int:
        """The base units of an amount in tokens, such as 12.50; InputError if it is none."""
        found, decimals = _AMOUNT.fullmatch(text), self.token.decimals
        if found is None or len(found[2] or "") > decimals:
            raise InputError(
                "amount-malformed",
                f"{text!r} is no amount of {self.token.symbol}: give digits, and after a point at "
                f"most {decimals} more",
            )
        return int(found[1] + (found[2] or "").ljust(decimals, "0"))


def read(chain: Chain, asked: bytes) -> ContractState:
    """How this contract stands in the latest block.

    Raises InputError `unknown-contract` if the escrow has none of this id.
    """
    block = chain.block()
    at = block.number
    status = chain.status_of(asked, at)
    if status == "unknown":
        raise InputError(
            "unknown-contract",
            f"the escrow {chain.addresses.escrow} on chain {chain.addresses.chain_id} has no "
            f"contract {to_hex(asked)}; is it of another deployment?",
        )
    terms = chain.terms_of(asked, at)
    if contract_id(terms, chain.escrow_domain) != asked:
        raise NodeError("terms-false", f"{chain.node.name} gives other terms for {to_hex(asked)}")
    closed_at_s = chain.closed_at(asked, at) or 0
    # Nothing was claimed or refunded up to this second.
    since_s = times_of(terms).statements_until_s
    if closed_at_s:
        since_s = min(since_s, closed_at_s - 1)
    claims, refunded_units = Claims({}), 0
    if block.time_s > since_s:
        claims, refunded_units = _aftermath(chain, asked, since_s, at)
    return ContractState(
        contract_id=asked,
        terms=terms,
        token=token_of(chain, terms.token),
        block_number=at,
        now_s=block.time_s,
        status=status,
        paid_units=chain.paid_of(asked, at),
        net_units=chain.net_of(asked, at),
        owed_units=chain.owed_of(asked, at),
        releasable_units=chain.releasable(asked, at),
        releasable_at_s=chain.releasable_at(asked, at),
        pending=chain.pending_of(asked, at),
        closed_at_s=closed_at_s,
        is_retired=chain.is_retired(asked, at),
        claims=claims,
        refunded_units=refunded_units,
        is_feedback_given=chain.is_feedback_given(asked, at),
    )


def token_of(chain: Chain, address: str) -> Token:
    """What the token says of itself, as far as it can be shown to people."""
    symbol, decimals = chain.token(address)
    if not (symbol.isascii() and symbol.isalnum() and len(symbol) <= MAX_SYMBOL):
        symbol = "tokens"
    if not 0 <= decimals <= MAX_DECIMALS:
        raise NodeError("token-garbled", f"the token {address} says it has {decimals} decimals")
    return Token(symbol, decimals)


# --- What happened after the time for statements --------------------------------------------------


def _aftermath(chain: Chain, asked: bytes, since_s: int, last: int) -> tuple[Claims, int]:
    """The claims, and what was refunded, in blocks later than this second."""
    claims, refunded_units = Claims({}), 0
    for found in events_of(chain, [asked], since_s, last):
        event = found.event
        match event:
            case Claimed():
                claim = Claim(
                    event.lead, event.amount_units, event.transition, event.touch, event.time_ms
                )
                claims.filed[event.key] = FiledClaim(claim)
            case ClaimDropped() if event.key in claims.filed:
                claims.filed[event.key] = claims.filed[event.key]._replace(is_dropped=True)
            case ClaimsDisputed():
                claims = claims._replace(is_disputed=True)
            case ClaimsRuled():
                claims = claims._replace(ruled_units=event.amount_units)
            case Closed():
                claims = Claims({})
            case Refunded():
                refunded_units += event.amount_units
            case _:
                pass
    return claims, refunded_units


# --- What can be sent ----------------------------------------------------------------------------
