"""The escrow of outcome contracts and its lens: typed reads of views, and calldata for functions.

Whatever is named `last_*`, or `position`, is a position in the log; amounts are in token base
units.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple

from orchestrator.chain.abi import (
    Call,
    ChainEvent,
    Credited,
    Event,
    Opened,
    Paid,
    Settled,
)
from orchestrator.chain.caller import Caller, contract_at, is_mismatch, token_at
from orchestrator.chain.event_scan import whole_history_of
from orchestrator.chain.rpc import NodeError, Tag
from orchestrator.core.common.errors import ChainError, TermsError
from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.core.common.keccak import to_checksum_address
from orchestrator.core.deals.site import Addresses, Funds
from orchestrator.core.deals.terms import FUNDINGS, Domain, Terms
from orchestrator.core.deals.terms import contract_id as contract_id_of
from orchestrator.core.evidence.exhibits import (
    Case,
    EscrowRecord,
    Exhibit,
    escrow_record_of,
)
from orchestrator.core.log.entry import ZERO_ADDRESS, ZERO_WORD, ascii_text, ascii_word

# So many contracts are asked about in one request: nodes bound the length of a batch.
_PAGE_CONTRACTS = 20
# Strangers open contracts too, so the terms that are remembered are bounded.
_MAX_TERMS = 10_000


class Group(NamedTuple):
    """The terms that the contracts of one settlement batch have in common."""

    log_id: bytes
    token: str
    verifier: str
    fee_recipient: str
    fee_bps: int

    @classmethod
    def of(cls, terms: Terms) -> "Group":
        """Return the group that the escrow puts a contract with these terms into."""
        return cls(terms.log_id, terms.token, terms.verifier, terms.fee_recipient, terms.fee_bps)


def settlement_rules(terms: Terms) -> tuple[int, ...]:
    """Return the words that a settlement brings of a contract's terms.

    They are the payee rule, and behind that of a guarded contract its delay rule, as
    contracts/escrow/Ledger.sol packs them.
    """
    price_step = 0 if terms.revenue_share_bps else terms.unit_price_units
    payee_rule = price_step << 160 | int(terms.payee, 16)
    if terms.is_plain:
        return (payee_rule,)
    delay_rule = (
        terms.challenge_period_s << 216
        | terms.holdback_bps << 200
        | terms.holdback_period_s << 160
        | terms.lateness_s << 120
        | terms.rate_period_s << 80
        | terms.rate_cap_units
    )
    return 1 << 240 | payee_rule, delay_rule


class Funding(NamedTuple):
    """The way in which an owner pays a budget, which its consent names.

    An allowance needs no more than its name. `valid_before_s` is a permit's deadline too, and
    `v`, `r`, `s` are the owner's signature for the token.
    """

    path: str = "allowance"
    valid_after_s: int = 0
    valid_before_s: int = 0
    v: int = 0
    r: bytes = ZERO_WORD
    s: bytes = ZERO_WORD

    def to_abi(self) -> tuple[object, ...]:
        """Return the values of the Solidity struct, in its order."""
        return (FUNDINGS.index(self.path), *self[1:])


class PendingStatement(NamedTuple):
    """A statement that can be challenged until `resolves_at_s` and stands from then on."""

    earned_units: int
    reversed_units: int
    position: int
    resolves_at_s: int
    owner_disputed: bool
    operator_disputed: bool


class Snapshot(NamedTuple):
    """A contract as the escrow holds it, with the matured statement counted as final.

    `budget_units` is what may still be paid in all, `last_final` the position of the last final
    statement, 0 for none. `net_units` is payable for good, claims apart; `pending_net_units` is the
    same if the pending statement becomes final, 0 without one. `claims_units` is what is paid of
    the claims if no more of them are refuted.
    """

    contract_id: bytes
    paid_units: int
    budget_units: int
    last_final: int
    is_closed: bool
    is_retired: bool
    net_units: int
    pending_net_units: int
    pending: PendingStatement | None
    held_units: int
    final_since_s: int
    claims_units: int
    cap_level_units: int

    @classmethod
    def of(cls, words: Sequence[Any]) -> "Snapshot":
        """Read the words of `snapshotOf`."""
        pending = PendingStatement._make([*words[8:12], bool(words[12]), bool(words[13])])
        fields: list[Any] = [words[0].to_bytes(32), *words[1:4], bool(words[4]), bool(words[5])]
        fields += [*words[6:8], pending if pending.position else None, *words[14:]]
        return cls._make(fields)

    @property
    def last_signed(self) -> int:
        """The position of the newest statement that the escrow took, 0 for none."""
        return self.pending.position if self.pending else self.last_final


class ContractProgress(NamedTuple):
    """A contract's progress in the escrow: its snapshot, and what the lens makes of it."""

    snapshot: Snapshot
    status: str
    owed_units: int
    releasable_units: int
    releasable_at_s: int
    reserved_units: int


class Payout(NamedTuple):
    """A payout as the chain tells it: the amount with the fee, and its label in the log.

    What is credited could not be transferred, and is left for the payee to withdraw.
    """

    transaction: bytes
    gross_units: int
    label: str


class MoneyEvents(NamedTuple):
    """The events about a contract's money that a node shows, in the chain's order.

    `statements` are those that the escrow took: earned and reversed, by position. The escrow has
    paid `hidden_units` more than the payouts that the node shows.
    """

    payouts: list[Payout]
    statements: dict[int, tuple[int, int]]
    hidden_units: int


# The views of the lens that make a `ContractProgress`, in the order of its fields.
_LENS_VIEWS = ("statusOf", "owed", "releasable", "releasableAt", "reservedOf")


class SignedRun(NamedTuple):
    """The arguments of `settle`: neighbouring entries of one group, proven and signed for.

    `size` is the anchored size whose root the proof leads to and the verifier's signature names;
    `first` is the position of the first entry. `rules` are the `settlement_rules` of the entries'
    contracts, one behind the other.
    """

    group: Group
    size: int
    first: int
    entries: Sequence[bytes]
    rules: Sequence[int]
    proof: Sequence[bytes]
    signature: bytes

    def to_abi(self) -> tuple[object, ...]:
        """Return the arguments as the escrow takes them, in its order."""
        return (
            tuple(self.group),
            self.size,
            self.first,
            b"".join(self.entries),
            list(self.rules),
            list(self.proof),
            self.signature,
        )


class EscrowCaller(Caller):
    """A caller of one deployment's escrow, and of the evidence contract and the lens beside it.

    A contract is named by its id. The escrow keeps no terms, and every call about a contract brings
    them; they are found here, by the event of its opening, and remembered.
    """

    def __init__(self, rpc_url: str, addresses: Addresses, final_depth: int | None = None) -> None:
        super().__init__(rpc_url, addresses.chain_id, final_depth)
        self.addresses = addresses
        self._escrow = contract_at("OutcomeEscrow", addresses.escrow)
        # Read only after `_check_lens_known`.
        self._lens = contract_at("EscrowLens", addresses.lens or ZERO_ADDRESS)
        self._terms: dict[bytes, Terms | None] = {}

    # --- Facts that never change ------------------------------------------------------------------

    @cached_property
    def escrow_domain(self) -> Domain:
        """The domain that terms and statements are signed under, by EIP-5267."""
        return self.domain_of("OutcomeEscrow", self._escrow)

    @cached_property
    def evidence(self) -> str:
        """The contract from which the escrow takes disproofs, claims and proven reversals."""
        return to_checksum_address(self.read(self._escrow, "evidence"))

    @cached_property
    def identities(self) -> str:
        """ERC-8004's registry of the agents that terms can name; the zero address for none."""
        return to_checksum_address(self.read(self._escrow, "identities"))

    def agent_accounts(self, agent_id: int) -> tuple[str, ...]:
        """Return the owner and the wallet of an ERC-8004 agent; none if there is no such agent.

        There is none, too, where the escrow has no registry of agents.
        """
        if self.identities == ZERO_ADDRESS:
            return ()
        registry = contract_at("IdentityRegistry", self.identities)
        try:
            owner = self.read(registry, "ownerOf", agent_id)
            wallet = self.read(registry, "getAgentWallet", agent_id)
        except ChainError as error:
            if is_mismatch(error):
                return ()
            raise
        return tuple(
            to_checksum_address(account) for account in (owner, wallet) if account != ZERO_ADDRESS
        )

    def _check_lens_known(self) -> None:
        """Raise ChainError unless there is a lens to tell what contracts owe."""
        if self.addresses.lens is None:
            raise ChainError(
                "lens-unknown",
                f"what contracts owe is read through a lens on the escrow {self._escrow.address}, "
                f"and the deployment names none",
            )

    # --- Terms ------------------------------------------------------------------------------------

    def terms_of(self, contract_id: bytes) -> Terms:
        """Return the terms of a contract.

        Raises ChainError `contract-unknown` for one that was not opened, TermsError for terms that
        no log can record.
        """
        if contract_id not in self._terms and not self.opening_number_of(contract_id):
            raise ChainError(
                "contract-unknown",
                f"the escrow {self._escrow.address} has opened no contract {to_hex(contract_id)}",
            )
        terms = self._readable([contract_id]).get(contract_id)
        if terms is None:
            raise TermsError(
                "terms-unreadable", f"the terms of {to_hex(contract_id)} are none of a log's"
            )
        return terms

    def remember(self, contract_id: bytes, terms: Terms | None) -> None:
        """Remember the terms with which a contract was opened, None for unreadable ones.

        Raises NodeError for terms that do not have the contract's id.
        """
        # The id is a digest of the terms, so a node cannot make up terms unnoticed.
        if terms is not None and contract_id_of(terms, self.escrow_domain) != contract_id:
            raise NodeError(
                "terms-false",
                f"{self.node.name} gives other terms for contract {to_hex(contract_id)}",
            )
        if len(self._terms) >= _MAX_TERMS:
            self._terms.clear()
        self._terms[contract_id] = terms

    def _find_terms(self, contract_ids: Sequence[bytes]) -> None:
        """Find the terms of these contracts that are not remembered, by their openings."""
        missing = [one for one in contract_ids if one not in self._terms]
        if not missing:
            return
        for found in self._events_about(missing, [Opened], self.block().number):
            if isinstance(found.event, Opened):
                self.remember(found.event.contract_id, found.event.terms)
            if all(one in self._terms for one in missing):
                return

    def _events_about(
        self, contract_ids: Sequence[bytes], kinds: Sequence[type[Event]], last: int
    ) -> Iterator[ChainEvent]:
        """Yield the escrow's events of these kinds about contracts, in order, up to a block."""
        first = self.addresses.start_block
        yield from whole_history_of(self, self._escrow.address, contract_ids, kinds, first, last)

    # --- Several outcome contracts at once --------------------------------------------------------

    def escrow_records(
        self, contract_ids: Sequence[bytes], block: Tag = "latest"
    ) -> dict[bytes, EscrowRecord]:
        """Return the escrow's records of these contracts, as far as it knows them.

        Left out are also those whose outcome is not in ASCII, as every label of a log is. Raises
        NodeError for terms that do not have the contract's id.
        """
        found = {}
        for page in _pages(contract_ids):
            replies = self.batch(
                [
                    self.view_request(self._escrow, view, one, block=block)
                    for one in page
                    for view in ("openingNumberOf", "closedAtOf")
                ]
            )
            numbers = [self.view_values(self._escrow, "closedAtOf", one)[0] for one in replies]
            times = dict(zip(page, zip(numbers[::2], numbers[1::2], strict=True), strict=True))
            known = self._readable([one for one in page if times[one][0]])
            replies = self.batch(
                [
                    self.view_request(self._escrow, "recordOf", terms.to_abi(), block=block)
                    for terms in known.values()
                ]
            )
            for (one, terms), reply in zip(known.items(), replies, strict=True):
                ((_, *positions),) = self.view_values(self._escrow, "recordOf", reply)
                found[one] = escrow_record_of(terms, one, *times[one], *positions)
        return found

    def progress(
        self, contract_ids: Sequence[bytes], block: Tag = "latest"
    ) -> dict[bytes, ContractProgress]:
        """Return the progress of each of these contracts, all of which the escrow must know."""
        self._check_lens_known()
        found = {}
        for page in _pages(contract_ids):
            self._find_terms(page)
            asked = [(one, self.terms_of(one).to_abi()) for one in page]
            views = [(self._escrow, "snapshotOf"), *((self._lens, view) for view in _LENS_VIEWS)]
            replies = self.batch(
                [
                    self.view_request(contract, view, terms, block=block)
                    for _, terms in asked
                    for contract, view in views
                ]
            )
            values = [
                self.view_values(*views[place % len(views)], reply)[0]
                for place, reply in enumerate(replies)
            ]
            for place, one in enumerate(page):
                words, status, *amounts = values[place * len(views) : (place + 1) * len(views)]
                found[one] = ContractProgress(Snapshot.of(words), ascii_text(status), *amounts)
        return found

    def _readable(self, contract_ids: Sequence[bytes]) -> dict[bytes, Terms]:
        """Return the terms of these contracts, which were opened, as far as a log can have them.

        Raises NodeError where the node hides an opening.
        """
        self._find_terms(contract_ids)
        found = {}
        for one in contract_ids:
            if one not in self._terms:
                raise NodeError(
                    "terms-missing", f"{self.node.name} shows no opening of contract {to_hex(one)}"
                )
            terms = self._terms[one]
            if terms is not None:
                found[one] = terms
        return found

    # --- One outcome contract ---------------------------------------------------------------------

    def is_open(self, contract_id: bytes, block: Tag = "latest") -> bool:
        """Return whether the escrow has opened the contract, be it closed by now or not."""
        return self.opening_number_of(contract_id, block) > 0

    def opening_number_of(self, contract_id: bytes, block: Tag = "latest") -> int:
        """Return 1, 2, 3 … in the order in which the escrow opened its contracts; 0: it did not."""
        return int(self.read(self._escrow, "openingNumberOf", contract_id, block=block))

    def closed_at(self, contract_id: bytes, block: Tag = "latest") -> int | None:
        """Return when both parties closed the contract (UTC seconds), or None."""
        return int(self.read(self._escrow, "closedAtOf", contract_id, block=block)) or None

    def snapshot_of(self, contract_id: bytes, block: Tag = "latest") -> Snapshot:
        """Return what the escrow holds of a contract."""
        terms = self.terms_of(contract_id).to_abi()
        return Snapshot.of(self.read(self._escrow, "snapshotOf", terms, block=block))

    def status_of(self, contract_id: bytes, block: Tag = "latest") -> str:
        """Return where a contract stands, as the lens names it; unknown if it was not opened."""
        if not self.opening_number_of(contract_id, block):
            return "unknown"
        self._check_lens_known()
        terms = self.terms_of(contract_id).to_abi()
        return ascii_text(self.read(self._lens, "statusOf", terms, block=block))

    def pending_of(self, contract_id: bytes, block: Tag = "latest") -> PendingStatement | None:
        """Return the statement that waits to be challenged."""
        return self.snapshot_of(contract_id, block).pending

    def is_retired(self, contract_id: bytes, block: Tag = "latest") -> bool:
        """Return whether the contract's verifier was disproved."""
        return self.snapshot_of(contract_id, block).is_retired

    def paid_of(self, contract_id: bytes, block: Tag = "latest") -> int:
        """Return the contract's payouts so far, fees included."""
        return self.snapshot_of(contract_id, block).paid_units

    def money_events_of(self, contract_id: bytes) -> MoneyEvents:
        """Return the events about a contract's money up to the latest block.

        Raises NodeError where the node shows more payouts than the escrow has made.
        """
        # All of it as of one block, so that a payment in between is not taken for a hidden one.
        block, payee = self.block().number, self.terms_of(contract_id).payee
        paid_units = self.paid_of(contract_id, block)
        found = list(self._events_about([contract_id], [Paid, Credited, Settled], block))
        # What is credited beside the payee's is the owner's, of a refund.
        credited = {
            one.tx_hash
            for one in found
            if isinstance(one.event, Credited) and one.event.account == payee
        }
        payouts = [
            Payout(
                one.tx_hash,
                one.event.gross_units,
                "credited" if one.tx_hash in credited else "paid",
            )
            for one in found
            if isinstance(one.event, Paid)
        ]
        hidden_units = paid_units - sum(one.gross_units for one in payouts)
        if hidden_units < 0:
            raise NodeError(
                "node-unreadable",
                f"{self.node.name} shows payouts of contract {to_hex(contract_id)} of "
                f"{-hidden_units} units more than the escrow has paid",
            )
        statements = {
            one.event.position: (one.event.earned_units, one.event.reversed_units)
            for one in found
            if isinstance(one.event, Settled)
        }
        return MoneyEvents(payouts, statements, hidden_units)

    def credit_of(self, token: str, account: str, block: Tag = "latest") -> int:
        """Return the amount that a failed transfer left for the account to withdraw."""
        return int(self.read(self._escrow, "creditOf", token, account, block=block))

    def funds_of(self, token: str, account: str, block: Tag = "latest") -> Funds:
        """Return what an account has of a token, and how much of it the escrow may take."""
        contract, escrow = token_at(token), self._escrow.address
        asked = (("balanceOf", (account,)), ("allowance", (account, escrow)))
        replies = self.batch(
            [self.view_request(contract, name, *args, block=block) for name, args in asked]
        )
        found = [
            self.view_values(contract, name, reply)[0]
            for (name, _), reply in zip(asked, replies, strict=True)
        ]
        return Funds(*found)

    # --- Calldata: the escrow ---------------------------------------------------------------------

    def approve(self, token: str, amount_units: int) -> Call:
        """Return the call that lets the escrow take this much of the sender's tokens."""
        return self.call(token_at(token), "approve", self._escrow.address, amount_units)

    def open(
        self,
        terms: Terms,
        owner_signature: bytes,
        operator_signature: bytes,
        funding: Funding = Funding(),  # noqa: B008 - a constant
    ) -> Call:
        """Return the call that opens a contract, paid for as the owner has signed.

        The signature of the party that sends the transaction may be empty.
        """
        signatures = owner_signature, operator_signature
        return self.call(self._escrow, "open", terms.to_abi(), funding.to_abi(), *signatures)

    def settle(self, run: SignedRun) -> Call:
        """Return the call that settles by a run of entries under an anchored root."""
        return self.call(self._escrow, "settle", *run.to_abi())

    def release(self, contract_id: bytes) -> Call:
        """Return the call that finalizes a matured statement, then pays what is due."""
        return self.call(self._escrow, "release", self._abi(contract_id))

    def dispute(self, contract_id: bytes, position: int) -> Call:
        """Return a party's call that puts the pending statement there before the arbiter."""
        return self.call(self._escrow, "dispute", self._abi(contract_id), position)

    def rule(self, contract_id: bytes, position: int, payable_units: int) -> Call:
        """Return the arbiter's call: the disputed statement there makes this much payable."""
        return self.call(self._escrow, "rule", self._abi(contract_id), position, payable_units)

    def dispute_claims(self, contract_id: bytes) -> Call:
        """Return a party's call that puts the sum of the claims before the arbiter."""
        return self.call(self._escrow, "disputeClaims", self._abi(contract_id))

    def rule_claims(self, contract_id: bytes, amount_units: int) -> Call:
        """Return the arbiter's call: this much of the disputed claims is paid."""
        return self.call(self._escrow, "ruleClaims", self._abi(contract_id), amount_units)

    def close_contract(
        self,
        contract_id: bytes,
        payable_units: int,
        expires_at_s: int,
        owner_signature: bytes,
        operator_signature: bytes,
    ) -> Call:
        """Return the call that ends a contract by consent, with this much payable in all.

        The signature of the party that sends the transaction may be empty.
        """
        return self.call(
            self._escrow,
            "close",
            self._abi(contract_id),
            payable_units,
            expires_at_s,
            owner_signature,
            operator_signature,
        )

    def refund(self, contract_id: bytes) -> Call:
        """Return the call that gives the owner back what was not paid."""
        return self.call(self._escrow, "refund", self._abi(contract_id))

    def withdraw(self, token: str, to: str, amount_units: int) -> Call:
        """Return the call that pays out this much of the sender's own credit."""
        return self.call(self._escrow, "withdraw", token, to, amount_units)

    def revoke(self, digest: bytes) -> Call:
        """Return the call by which the sender takes back what it signed over this digest."""
        return self.call(self._escrow, "revoke", digest)

    def is_revoked(self, account: str, digest: bytes, block: Tag = "latest") -> bool:
        """Return whether the account has revoked what it signed over this digest."""
        return bool(self.read(self._escrow, "isRevoked", account, digest, block=block))

    # --- Calldata: evidence -----------------------------------------------------------------------

    def disprove(self, size: int, case: Case) -> Call:
        """Return the call that shows a signed statement to be false, open to every sender.

        The case's entries are proven under the anchored root of this size.
        """
        return self._evidence_call("disprove", *self._case(size, case))

    def claim(self, contract_id: bytes, size: int, transition: Exhibit, touch: Exhibit) -> Call:
        """Return the operator's call: this transition, by this touch, was not settled."""
        about = self._escrow.address, self._abi(contract_id)
        return self._evidence_call("claim", *about, size, tuple(transition), tuple(touch))

    def refute(self, size: int, case: Case, key: bytes) -> Call:
        """Return the call that shows the claim of this key to be unfounded, as `disprove` does."""
        return self._evidence_call("refute", *self._case(size, case, key))

    def prove_reversal(self, size: int, case: Case) -> Call:
        """Return the call that shows what was taken back of a settled outcome, as `disprove` does.

        It is open to every sender.
        """
        exhibits = [tuple(exhibit) for exhibit in case.exhibits]
        about = self._escrow.address, self._abi(case.contract_id)
        return self._evidence_call("proveReversal", *about, size, exhibits)

    def _evidence_call(self, function: str, *arguments: object) -> Call:
        return self.call(contract_at("Evidence", self.evidence), function, *arguments)

    def _case(self, size: int, case: Case, *key: bytes) -> list[object]:
        return [
            self._escrow.address,
            self._abi(case.contract_id),
            *key,
            ascii_word(case.kind),
            size,
            [tuple(exhibit) for exhibit in case.exhibits],
            [self._abi(case.rival)] if any(case.rival) else [],
        ]

    def _abi(self, contract_id: bytes) -> tuple[object, ...]:
        """Return the terms of a contract as calls about it bring them."""
        return self.terms_of(contract_id).to_abi()


def _pages(contract_ids: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    for at in range(0, len(contract_ids), _PAGE_CONTRACTS):
        yield contract_ids[at : at + _PAGE_CONTRACTS]
