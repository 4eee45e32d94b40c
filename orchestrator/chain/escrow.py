"""The escrow of outcome contracts: typed reads of its views, and calldata for its functions.

Whatever is named `last_*`, or `position`, is a position in the log; amounts are in token base
units.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple

from eth_utils.address import to_checksum_address

from orchestrator.chain.abi import Call, error_text
from orchestrator.chain.caller import Caller, contract_at, token_at
from orchestrator.chain.rpc import Json, NodeError, ReplyError, Tag
from orchestrator.core.entry import ZERO_WORD, ascii_text, ascii_word
from orchestrator.core.errors import TermsError
from orchestrator.core.evidence.exhibits import (
    Case,
    EscrowRecord,
    Exhibit,
    escrow_record_of,
)
from orchestrator.core.hexadecimal import to_hex
from orchestrator.core.site import Addresses
from orchestrator.core.terms import FUNDINGS, Domain, Terms, contract_id

# So many contracts are asked about in one request: nodes bound the length of a batch.
_PAGE_CONTRACTS = 20
# The views that make an `EscrowRecord`, in the order of `escrow_record_of`.
_RECORD_VIEWS = (
    "termsOf",
    "openingNumberOf",
    "closedAtOf",
    "lastSignedPosition",
    "lastFinalPosition",
)
# The views that make a `Progress`, in the order of its fields.
_PROGRESS_VIEWS = (
    "statusOf",
    "lastSignedPosition",
    "pendingOf",
    "isRetired",
    "paidOf",
    "owed",
    "releasable",
)


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


class Progress(NamedTuple):
    """A contract's progress in the escrow.

    `last_signed` is the position of the newest statement that the escrow took, 0 for none.
    """

    status: str
    last_signed: int
    pending: PendingStatement | None
    is_retired: bool
    paid_units: int
    owed_units: int
    releasable_units: int


class SignedRun(NamedTuple):
    """The arguments of `settle`: neighbouring entries of one group, proven and signed for.

    `size` is the anchored size whose root the proof leads to and the verifier's signature names;
    `first` is the position of the first entry.
    """

    group: Group
    size: int
    first: int
    entries: Sequence[bytes]
    proof: Sequence[bytes]
    signature: bytes

    def to_abi(self) -> tuple[object, ...]:
        """Return the arguments as the escrow takes them, in its order."""
        return (
            tuple(self.group),
            self.size,
            self.first,
            b"".join(self.entries),
            list(self.proof),
            self.signature,
        )


class EscrowCaller(Caller):
    """A caller of one deployment's escrow, and of the evidence contract beside it."""

    def __init__(self, rpc_url: str, addresses: Addresses) -> None:
        super().__init__(rpc_url, addresses.chain_id)
        self.addresses = addresses
        self._escrow = contract_at("OutcomeEscrow", addresses.escrow)

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

    # --- Several outcome contracts at once --------------------------------------------------------

    def escrow_records(
        self, contract_ids: Sequence[bytes], block: Tag = "latest"
    ) -> dict[bytes, EscrowRecord]:
        """Return the escrow's records of these contracts, as far as it knows them.

        Left out are also those whose outcome is not in ASCII, as every label of a log is. Raises
        NodeError for terms that do not have the contract's id.
        """
        found = {}
        for asked, replies in self._read_each(contract_ids, _RECORD_VIEWS, block):
            record = self._record(asked, replies)
            if record is not None:
                found[asked] = record
        return found

    def progress(
        self, contract_ids: Sequence[bytes], block: Tag = "latest"
    ) -> dict[bytes, Progress]:
        """Return the progress of each of these contracts, all of which the escrow must know."""
        found = {}
        for asked, replies in self._read_each(contract_ids, _PROGRESS_VIEWS, block):
            status, last_signed, pending, *rest = (
                self.view_values(self._escrow, view, reply)
                for view, reply in zip(_PROGRESS_VIEWS, replies, strict=True)
            )
            others = (value for (value,) in rest)
            found[asked] = Progress(
                ascii_text(status[0]), last_signed[0], _pending(pending), *others
            )
        return found

    def _read_each(
        self, contract_ids: Sequence[bytes], views: Sequence[str], block: Tag
    ) -> Iterator[tuple[bytes, list[Json]]]:
        """Yield the escrow's replies to these views of each contract, a page of them at once."""
        width = len(views)
        for at in range(0, len(contract_ids), _PAGE_CONTRACTS):
            page = contract_ids[at : at + _PAGE_CONTRACTS]
            replies = self.batch(
                [
                    self.view_request(self._escrow, view, one, block=block)
                    for one in page
                    for view in views
                ]
            )
            for place, one in enumerate(page):
                yield one, replies[place * width : (place + 1) * width]

    def _record(self, asked: bytes, replies: Sequence[Json]) -> EscrowRecord | None:
        terms = replies[0]
        if isinstance(terms, ReplyError) and error_text(terms.data).startswith("UnknownContract("):
            return None
        values = [
            self.view_values(self._escrow, view, reply)[0]
            for view, reply in zip(_RECORD_VIEWS, replies, strict=True)
        ]
        try:
            found = Terms.from_abi(values[0])
        except TermsError:
            return None
        # The id is a digest of the terms, so a node cannot make up terms unnoticed.
        if contract_id(found, self.escrow_domain) != asked:
            raise NodeError(
                "terms-false", f"{self.node.name} gives other terms for contract {to_hex(asked)}"
            )
        return escrow_record_of(found, asked, *values[1:])

    # --- One outcome contract ---------------------------------------------------------------------

    def terms_of(self, contract_id: bytes, block: Tag = "latest") -> Terms:
        return Terms.from_abi(self.read(self._escrow, "termsOf", contract_id, block=block))

    def status_of(self, contract_id: bytes, block: Tag = "latest") -> str:
        return ascii_text(self.read(self._escrow, "statusOf", contract_id, block=block))

    def pending_of(self, contract_id: bytes, block: Tag = "latest") -> PendingStatement | None:
        """Return the statement that waits to be challenged."""
        return _pending(self.read_all(self._escrow, "pendingOf", contract_id, block=block))

    def last_signed_of(self, contract_id: bytes, block: Tag = "latest") -> int:
        """Return the position of the newest statement that the verifier has signed; 0 for none."""
        return int(self.read(self._escrow, "lastSignedPosition", contract_id, block=block))

    def last_final_of(self, contract_id: bytes, block: Tag = "latest") -> int:
        """Return the position of the contract's last final statement; 0 for none."""
        return int(self.read(self._escrow, "lastFinalPosition", contract_id, block=block))

    def is_retired(self, contract_id: bytes, block: Tag = "latest") -> bool:
        """Return whether the contract's verifier was disproved."""
        return bool(self.read(self._escrow, "isRetired", contract_id, block=block))

    def opening_number_of(self, contract_id: bytes, block: Tag = "latest") -> int:
        """Return 1, 2, 3 … in the order in which the escrow opened its contracts."""
        return int(self.read(self._escrow, "openingNumberOf", contract_id, block=block))

    def is_open(self, contract_id: bytes, block: Tag = "latest") -> bool:
        """Return whether the escrow has opened the contract, be it closed by now or not."""
        return self.status_of(contract_id, block) != "unknown"

    def closed_at(self, contract_id: bytes, block: Tag = "latest") -> int | None:
        """Return when both parties closed the contract (UTC seconds), or None."""
        return int(self.read(self._escrow, "closedAtOf", contract_id, block=block)) or None

    def paid_of(self, contract_id: bytes, block: Tag = "latest") -> int:
        """Return the contract's payouts so far, fees included."""
        return int(self.read(self._escrow, "paidOf", contract_id, block=block))

    def net_of(self, contract_id: bytes, block: Tag = "latest") -> int:
        """Return the amount that is payable for good, claims apart."""
        return int(self.read(self._escrow, "netOf", contract_id, block=block))

    def owed_of(self, contract_id: bytes, block: Tag = "latest") -> int:
        """Return the amount that is payable for good and not yet paid, with the holdback."""
        return int(self.read(self._escrow, "owed", contract_id, block=block))

    def releasable(self, contract_id: bytes, block: Tag = "latest") -> int:
        """Return the amount that `release` would pay now."""
        return int(self.read(self._escrow, "releasable", contract_id, block=block))

    def releasable_at(self, contract_id: bytes, block: Tag = "latest") -> int:
        """Return when more can be released (UTC seconds); 0 if nothing is known to come."""
        return int(self.read(self._escrow, "releasableAt", contract_id, block=block))

    def credit_of(self, token: str, account: str, block: Tag = "latest") -> int:
        """Return the amount that a failed transfer left for the account to withdraw."""
        return int(self.read(self._escrow, "creditOf", token, account, block=block))

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
        return self.call(self._escrow, "release", contract_id)

    def dispute(self, contract_id: bytes, position: int) -> Call:
        """Return a party's call that puts the pending statement there before the arbiter."""
        return self.call(self._escrow, "dispute", contract_id, position)

    def rule(self, contract_id: bytes, position: int, payable_units: int) -> Call:
        """Return the arbiter's call: the disputed statement there makes this much payable."""
        return self.call(self._escrow, "rule", contract_id, position, payable_units)

    def dispute_claims(self, contract_id: bytes) -> Call:
        """Return a party's call that puts the sum of the claims before the arbiter."""
        return self.call(self._escrow, "disputeClaims", contract_id)

    def rule_claims(self, contract_id: bytes, amount_units: int) -> Call:
        """Return the arbiter's call: this much of the disputed claims is paid."""
        return self.call(self._escrow, "ruleClaims", contract_id, amount_units)

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
            contract_id,
            payable_units,
            expires_at_s,
            owner_signature,
            operator_signature,
        )

    def refund(self, contract_id: bytes) -> Call:
        """Return the call that gives the owner back what was not paid."""
        return self.call(self._escrow, "refund", contract_id)

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
        return self._evidence_call("disprove", *self._case(size, case, case.contract_id))

    def claim(self, contract_id: bytes, size: int, transition: Exhibit, touch: Exhibit) -> Call:
        """Return the operator's call: this transition, by this touch, was not settled."""
        escrow = self._escrow.address
        exhibits = tuple(transition), tuple(touch)
        return self._evidence_call("claim", escrow, contract_id, size, *exhibits)

    def refute(self, size: int, case: Case, key: bytes) -> Call:
        """Return the call that shows the claim of this key to be unfounded, as `disprove` does."""
        return self._evidence_call("refute", *self._case(size, case, case.contract_id, key))

    def prove_reversal(self, size: int, case: Case) -> Call:
        """Return the call that shows what was taken back of a settled outcome, as `disprove` does.

        It is open to every sender.
        """
        exhibits = [tuple(exhibit) for exhibit in case.exhibits]
        escrow = self._escrow.address
        return self._evidence_call("proveReversal", escrow, case.contract_id, size, exhibits)

    def _evidence_call(self, function: str, *arguments: object) -> Call:
        return self.call(contract_at("Evidence", self.evidence), function, *arguments)

    def _case(self, size: int, case: Case, *about: bytes) -> list[object]:
        return [
            self._escrow.address,
            *about,
            ascii_word(case.kind),
            size,
            [tuple(exhibit) for exhibit in case.exhibits],
            case.rival,
        ]


def _pending(values: tuple[Any, ...]) -> PendingStatement | None:
    """Return the statement of `pendingOf`, which has position 0 for none."""
    return PendingStatement(*values) if values[2] else None
