"""The state of a contract in the escrow, read from the chain as of one block.

That block's time is "now". Claims are read from the escrow's events since the time for statements
ended or the contract was closed: there are none before.
"""

from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from orchestrator.actions.cautions import find_cautions, named_accounts
from orchestrator.actions.plan import (
    describe_amount,
    describe_exact_amount,
    parse_token_amount,
)
from orchestrator.chain.abi import (
    ChainEvent,
    Claimed,
    ClaimLowered,
    ClaimsDisputed,
    ClaimsRuled,
    Closed,
    ReversalRecorded,
)
from orchestrator.chain.caller import AccountFacts, Token
from orchestrator.chain.deployment import Chain
from orchestrator.chain.escrow import PendingStatement
from orchestrator.chain.event_scan import events_of
from orchestrator.chain.rpc import NodeError, Tag
from orchestrator.core.common.errors import InputError
from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.core.common.units import DAY_S
from orchestrator.core.deals.escrow_model import Times, fee_of_payment, times_of
from orchestrator.core.deals.split import Split
from orchestrator.core.deals.terms import Terms
from orchestrator.core.evidence.exhibits import Claim
from orchestrator.core.log.entry import ZERO_ADDRESS

# The values of `statusOf` for contracts in which nothing more can become payable. "refundable" is
# not among them: until the refund is taken, a ruling may still give the payee more.
_ENDED = ("closed", "paid_out", "refunded")
MAX_DECIMALS = 36
MAX_SYMBOL_CHARS = 12


class FiledClaim(NamedTuple):
    """A claim as it stands, and whether all of it was refuted since it was filed."""

    claim: Claim
    is_dropped: bool = False


class Claims(NamedTuple):
    """The claims of a contract by their keys, and what was decided about all of them.

    `ruled_units` is the most that is paid for them, as the arbiter ruled.
    """

    filed: dict[bytes, FiledClaim]
    is_disputed: bool = False
    ruled_units: int | None = None

    @property
    def open(self) -> dict[bytes, Claim]:
        """The claims of which something is left, with what is left of each."""
        return {key: filed.claim for key, filed in self.filed.items() if not filed.is_dropped}

    @property
    def claimed_units(self) -> int:
        """The amount that is paid for the claims if no more of them are refuted."""
        open_units = sum(claim.amount for claim in self.open.values())
        return open_units if self.ruled_units is None else min(self.ruled_units, open_units)


class ContractState(NamedTuple):
    """A contract as the escrow holds it in one block: amounts in base units, times UTC seconds."""

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
    # The most that the contract may pay in all, what was escrowed less what went back; and the most
    # that can still have been paid when everything is done.
    budget_units: int
    reserved_units: int
    pending: PendingStatement | None
    closed_at_s: int
    is_retired: bool
    claims: Claims
    # Whether ERC-8004 feedback was given; None without a contract that gives it.
    is_feedback_given: bool | None = None
    # When the log was marked as forked; None if it was not.
    forked_at_s: int | None = None
    # What the chain has of the accounts that signed nothing, by role, and what to look at in them.
    accounts: Mapping[str, AccountFacts] = MappingProxyType({})
    cautions: tuple[str, ...] = ()

    @property
    def has_ended(self) -> bool:
        """True if nothing more can be paid, so that feedback about the contract can be given."""
        return self.status in _ENDED and not self.owed_units

    @property
    def earnings_units(self) -> int:
        """The sum that the payee was paid or credited: all that was paid, less the fees in it."""
        return self.paid_units - fee_of_payment(0, self.paid_units, self.terms.fee_bps)

    @property
    def times(self) -> Times:
        return times_of(self.terms)

    @property
    def has_arbiter(self) -> bool:
        return self.terms.arbiter != ZERO_ADDRESS

    @property
    def is_disputed(self) -> bool:
        """True if the pending statement is before the arbiter."""
        pending = self.pending
        return pending is not None and (pending.owner_disputed or pending.operator_disputed)

    @property
    def disputable_until_s(self) -> int:
        """The last second to dispute the pending statement; 0 without one, or without an arbiter.

        It is the end of the challenge period.
        """
        if self.pending is None or not self.has_arbiter:
            return 0
        # A dispute has moved the resolution, and not the end of the challenge period.
        moved_s = self.terms.arbitration_period_s if self.is_disputed else 0
        return self.pending.resolves_at_s - moved_s

    @property
    def refunded_units(self) -> int:
        """The sum that went back to the owner."""
        return self.terms.budget_units - self.budget_units

    def amount(self, units: int) -> str:
        """Write an amount of the contract's token for people."""
        return describe_amount(units, self.token)

    def exact_amount(self, units: int) -> str:
        """Write an amount of the contract's token with its base units."""
        return describe_exact_amount(units, self.token)

    def parse_amount(self, text: str) -> int:
        """Return the base units of an amount in tokens, such as 12.50."""
        return parse_token_amount(text, self.token)


def read_contract_state(chain: Chain, asked_id: bytes) -> ContractState:
    """Read the state of a contract in the latest block.

    Raises InputError `contract-unknown` if the escrow has none of this id, and NodeError if the
    node hides the contract's opening, or gives terms that do not hash to the id.
    """
    block = chain.block()
    # Every call names this block, so that all of the state is of one time.
    at = block.number
    if not chain.is_open(asked_id, at):
        raise InputError(
            "contract-unknown",
            f"the escrow {chain.addresses.escrow} on chain {chain.addresses.chain_id} has no "
            f"contract {to_hex(asked_id)}; is it of another deployment?",
        )
    terms, one = chain.terms_of(asked_id), chain.progress([asked_id], at)[asked_id]
    snapshot, closed_at_s = one.snapshot, chain.closed_at(asked_id, at) or 0
    # Nothing was claimed up to this second.
    since_s = times_of(terms).statements_until_s
    if closed_at_s:
        since_s = min(since_s, closed_at_s - 1)
    claims = Claims({})
    if block.time_s > since_s:
        claims = claims_of(events_of(chain, chain.addresses.escrow, [asked_id], since_s, at))
    token, accounts = token_of(chain, terms.token), _accounts_of(chain, terms, at)
    return ContractState(
        contract_id=asked_id,
        terms=terms,
        token=token,
        block_number=at,
        now_s=block.time_s,
        status=one.status,
        paid_units=snapshot.paid_units,
        net_units=snapshot.net_units,
        owed_units=one.owed_units,
        releasable_units=one.releasable_units,
        releasable_at_s=one.releasable_at_s,
        budget_units=snapshot.budget_units,
        reserved_units=one.reserved_units,
        pending=snapshot.pending,
        closed_at_s=closed_at_s,
        is_retired=snapshot.is_retired,
        claims=claims,
        is_feedback_given=chain.is_feedback_given(asked_id, at),
        forked_at_s=chain.forked_at(terms.log_id, at),
        accounts=accounts,
        cautions=tuple(find_cautions(terms, token, accounts, chain.addresses.chain_id)),
    )


def read_cautions(chain: Chain, terms: Terms, known: Collection[str] = ()) -> list[str]:
    """Return what to look at before signing terms, as of the latest block.

    `known` are addresses that whoever asks has the keys of.
    """
    token, accounts = token_of(chain, terms.token), _accounts_of(chain, terms, "latest")
    cautions = list(find_cautions(terms, token, accounts, chain.addresses.chain_id, known))
    factory = chain.addresses.splits
    code = accounts["payee"].code
    split = Split.of_account(terms.payee, code, factory) if factory else None
    if split is not None:
        cautions.append(f"the payee is a split: {', '.join(split.sentences())}")
    return cautions


def _accounts_of(chain: Chain, terms: Terms, at: Tag) -> dict[str, AccountFacts]:
    """Return the accounts that terms rely on and that have signed nothing, by their roles."""
    named = named_accounts(terms, chain.publisher_of(terms.log_id, at))
    found = chain.accounts(named.values(), at)
    return {role: found[address] for role, address in named.items()}


def read_shown_events(chain: Chain, state: ContractState) -> set[int]:
    """Return the positions of the events that the escrow was shown for a contract."""
    # An outcome is final before a reversal of it can be proven; a day is for clocks that disagree.
    since_s, last = state.terms.opens_at_s - DAY_S, state.block_number
    seen = events_of(chain, chain.addresses.escrow, [state.contract_id], since_s, last)
    recorded = (one.event for one in seen)
    return {event.happened for event in recorded if isinstance(event, ReversalRecorded)}


def token_of(chain: Chain, address: str) -> Token:
    """Return a token's symbol and decimals, with another symbol where its own is not presentable.

    Raises NodeError `token-garbled` for decimals out of range.
    """
    symbol, decimals = chain.token(address)
    # Anyone can write a token: its symbol goes to a terminal, so it must not hold control codes.
    if not (symbol.isascii() and symbol.isalnum() and len(symbol) <= MAX_SYMBOL_CHARS):
        symbol = "tokens"
    if not 0 <= decimals <= MAX_DECIMALS:
        raise NodeError("token-garbled", f"the token {address} says it has {decimals} decimals")
    return Token(symbol, decimals)


def claims_of(events: Iterable[ChainEvent]) -> Claims:
    """Return the claims of a contract by the escrow's events about it, in their order."""
    claims = Claims({})
    for happened in events:
        event = happened.event
        match event:
            case Claimed():
                claim = Claim(
                    event.lead, event.amount_units, event.transition, event.touch, event.time_ms
                )
                claims.filed[event.key] = FiledClaim(claim)
            case ClaimLowered() if event.key in claims.filed:
                claim = claims.filed[event.key].claim._replace(amount=event.left_units)
                claims.filed[event.key] = FiledClaim(claim, is_dropped=event.left_units == 0)
            case ClaimsDisputed():
                claims = claims._replace(is_disputed=True)
            case ClaimsRuled():
                claims = claims._replace(ruled_units=event.amount_units)
            case Closed():
                # Closing by consent drops every claim without a decision.
                claims = Claims({})
            case _:
                pass
    return claims
