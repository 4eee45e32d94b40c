"""The edge to the chain: one deployment's contracts as typed reads and calldata.

Show what is `latest`, act on what is `finalized`.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from orchestrator.calls import UNLIKE, Caller, Tag, contract_at, token_at
from orchestrator.contracts import Call, Group, error_text
from orchestrator.core.case import Case, Exhibit, Standing, opening_abi, standing_of
from orchestrator.core.entry import ascii_text, ascii_word
from orchestrator.core.errors import ChainError, TermsError
from orchestrator.core.terms import Domain, Terms, contract_id, recover, verified_digest
from orchestrator.node import (
    Json,
    Node,
    NodeError,
    ReplyError,
    hex_of,
    members,
    octets,
    quantity,
    result,
)

_PAGE_CONTRACTS = 20
# What makes a contract's standing, in the order of `standing_of`.
_STANDING = ("termsOf", "openingNumberOf", "closedAtOf", "lastSignedPosition", "lastFinalPosition")
# What makes a contract's progress, in the order of `Progress`.
_PROGRESS = (
    "statusOf",
    "lastSignedPosition",
    "pendingOf",
    "isRetired",
    "paidOf",
    "owed",
    "releasable",
)
# ERC-1271: the selector of isValidSignature(bytes32,bytes), and what it returns for yes.
_IS_VALID_SIGNATURE = bytes.fromhex("1626ba7e")
_WALLET_GAS = 1_000_000


class Addresses(NamedTuple):
    """A deployment: checksummed addresses, and the block from which on its events are read.

    `feedback` writes to ERC-8004's registry, `evaluators` makes ERC-8183's: not all have them.
    """

    chain_id: int
    event_log: str
    escrow: str
    start_block: int = 0
    feedback: str | None = None
    evaluators: str | None = None


class Checkpoint(NamedTuple):
    """A log's last anchor; size 0 before the first. Published at UTC seconds."""

    size: int
    root: bytes
    published_at_s: int


def find_deployment(rpc_url: str, escrow: str) -> Addresses:
    """The deployment that an escrow belongs to, as the node tells it: `Chain.check` is to judge it.

    Raises ChainError if there is no escrow at this address.
    """
    call = {"to": escrow, "data": contract_at("OutcomeEscrow", escrow).encode_abi("eventLog")}
    with Node(rpc_url) as node:
        chain_id, answer = node.batch([("eth_chainId", []), ("eth_call", [call, "latest"])])
        try:
            (event_log,) = decode(["address"], octets(result(answer)))
        except (DecodingError, UnicodeDecodeError, ReplyError):
            raise ChainError(
                "escrow-missing", f"{node.name} has no escrow at {escrow}; is its address right?"
            ) from None
    return Addresses(quantity(result(chain_id)), to_checksum_address(event_log), escrow)


def log_id_of(registrant: str, origin: str) -> bytes:
    """The id of the log that this account registers under this origin."""
    return keccak(encode(["address", "string"], [registrant, origin]))


class Token(NamedTuple):
    """What a token says of itself: a name for people, and how many decimals a unit has."""

    symbol: str
    decimals: int


class PendingStatement(NamedTuple):
    """A statement that waits to be challenged until `resolves_at_s`; then it stands."""

    earned_units: int
    reversed_units: int
    position: int
    resolves_at_s: int
    owner_disputed: bool
    operator_disputed: bool


class Progress(NamedTuple):
    """How far the escrow is with a contract; `reach` is the newest statement that it took."""

    status: str
    reach: int
    pending: PendingStatement | None
    is_retired: bool
    paid_units: int
    owed_units: int
    releasable_units: int


# --- One deployment -------------------------------------------------------------------------------


class Chain(Caller):
    """The contracts of one deployment through one node. Call `check` before trusting it."""

    def __init__(self, rpc_url: str, addresses: Addresses) -> None:
        super().__init__(rpc_url, addresses.chain_id)
        self.addresses = addresses
        self._event_log = contract_at("EventLog", addresses.event_log)
        self._escrow = contract_at("OutcomeEscrow", addresses.escrow)

    # Start-up checks

    def check(self) -> None:
        """Raise ChainError unless the contracts are those this program was built with."""
        for name, contract in (("EventLog", self._event_log), ("OutcomeEscrow", self._escrow)):
            self.check_code(name, contract.address)
            self.domain_of(name, contract)
        used = to_checksum_address(self.read(self._escrow, "eventLog"))
        if used != self._event_log.address:
            raise ChainError(
                "other-event-log",
                f"the escrow {self._escrow.address} reads the event log {used}, not "
                f"{self._event_log.address}; the two are of different deployments",
            )
        self.check_code("Evidence", self.evidence)

    def check_beside(self) -> None:
        """The same for the contracts beside the escrow, as far as the addresses name any."""
        if self.addresses.feedback is not None:
            self.check_feedback(self.addresses.feedback)
        if self.addresses.evaluators is not None:
            self.check_evaluators(self.addresses.evaluators)

    def check_feedback(self, address: str) -> None:
        """Raise ChainError unless our contract is there that writes feedback for this escrow."""
        self.check_code("Feedback", address)
        used = to_checksum_address(self.read(contract_at("Feedback", address), "escrow"))
        if used != self._escrow.address:
            raise ChainError(
                "other-escrow",
                f"the contract at {address} writes feedback for the escrow {used}, not for "
                f"{self._escrow.address}",
            )

    def registry_of(self, feedback: str) -> str:
        """The ERC-8004 registry that our contract at this address writes to, checked with it.

        Raises ChainError unless the registry says that it is of the escrow's agents. What a
        registry says proves nothing: show its address to whoever signs.
        """
        self.check_feedback(feedback)
        reputations = self.read(contract_at("Feedback", feedback), "reputations")
        registry = contract_at("ReputationRegistry", reputations)
        agents = to_checksum_address(self.read(registry, "getIdentityRegistry"))
        if agents != self.identities:
            raise ChainError(
                "other-agents",
                f"the registry at {registry.address} is of the agents of {agents}; the escrow's "
                f"are of {self.identities}",
            )
        return str(registry.address)

    def check_evaluators(self, address: str) -> Domain:
        """What statements are endorsed under for the ERC-8183 evaluators of a factory.

        Raises ChainError unless our factory is there, reads this event log, and makes evaluators
        that do so. Their immutables are set by constructors, and code alone does not show them.
        """
        self.check_code("JobEvaluators", address)
        factory = contract_at("JobEvaluators", address)
        domain = self.domain_of("JobEvaluators", factory)
        # The separator that signatures are checked by is another immutable than the domain's words.
        sample = (bytes(32), 2, bytes(32), 0, 1)
        digest = self.read(factory, "verifiedDigest", *sample)
        made_by = to_checksum_address(self.read(factory, "implementation"))
        self.check_code("JobEvaluator", made_by)
        one = contract_at("JobEvaluator", made_by)
        used = [
            to_checksum_address(self.read(contract, name))
            for contract, name in ((factory, "eventLog"), (one, "eventLog"), (one, "evaluators"))
        ]
        events = self._event_log.address
        if digest != verified_digest(domain, *sample) or used != [events, events, factory.address]:
            raise ChainError(
                "other-evaluators",
                f"the evaluators of {address} read the event log {used[0]}, or are not what they "
                f"seem; the event log here is {events}",
            )
        return domain

    def check_log(self, log_id: bytes, registrant: str, origin: str) -> str:
        """The log's publisher. Raises ChainError unless this log is the registrant's."""
        expected = log_id_of(registrant, origin)
        if log_id != expected:
            raise ChainError(
                "log-of-another",
                f"log {hex_of(log_id)} is not the one that {registrant} registers as {origin!r}; "
                f"that is {hex_of(expected)}",
            )
        found = self.publisher_of(log_id)
        if found is None:
            raise ChainError(
                "log-unregistered",
                f"log {hex_of(log_id)} ({origin!r}) is not registered with the event log "
                f"{self._event_log.address}; register it first",
            )
        return found

    # Reads

    @cached_property
    def evidence(self) -> str:
        """The contract from which the escrow takes disproofs and claims."""
        return to_checksum_address(self.read(self._escrow, "evidence"))

    @cached_property
    def escrow_domain(self) -> Domain:
        """What terms and statements are signed under, as the escrow says by EIP-5267."""
        return self.domain_of("OutcomeEscrow", self._escrow)

    @cached_property
    def evaluators_domain(self) -> Domain | None:
        """What statements are endorsed under for ERC-8183 jobs; None without evaluators."""
        address = self.addresses.evaluators
        return None if address is None else self.check_evaluators(address)

    @cached_property
    def identities(self) -> str:
        """ERC-8004's registry of the agents that terms can name; the zero address for none."""
        return to_checksum_address(self.read(self._escrow, "identities"))

    @cached_property
    def event_log_domain(self) -> Domain:
        """What checkpoints are signed under, as the event log says by EIP-5267."""
        return self.domain_of("EventLog", self._event_log)

    def spender(self, sender: str, nonce: int, after: int, until: int) -> bytes | None:
        """The hash of the sender's transaction with this nonce, in a block of (after, until].

        The nonce must be unspent at `after` and spent at `until`. None if the node has forgotten
        the states in between, or if no transaction spent it.
        """
        try:
            while until - after > 1:
                middle = (after + until) // 2
                (reply,) = self.ask([("eth_getTransactionCount", [sender, hex(middle)])])
                if quantity(result(reply)) > nonce:
                    until = middle
                else:
                    after = middle
            (reply,) = self.ask([("eth_getBlockByNumber", [hex(until), True])])
            inside = members(result(reply), "that block").get("transactions")
        except ReplyError:
            return None
        for transaction in inside if isinstance(inside, list) else []:
            its = members(transaction, "that transaction")
            if (
                str(its.get("from")).lower() == sender.lower()
                and quantity(its.get("nonce")) == nonce
            ):
                return octets(its.get("hash"), 32)
        return None

    def checkpoint(self, log_id: bytes, block: Tag = "latest") -> Checkpoint:
        """The log's last anchored checkpoint."""
        return Checkpoint(*self.read_all(self._event_log, "latest", log_id, block=block))

    def root_at(self, log_id: bytes, size: int, block: Tag = "latest") -> bytes | None:
        """The anchored root of this size, or None."""
        root: bytes = self.read(self._event_log, "rootAt", log_id, size, block=block)
        return root if any(root) else None

    def publisher_of(self, log_id: bytes, block: Tag = "latest") -> str | None:
        """The log's publisher, or None if it is not registered."""
        publisher = self.read(self._event_log, "publisherOf", log_id, block=block)
        return to_checksum_address(publisher) if int(publisher, 16) else None

    def terms_of(self, contract_id: bytes, block: Tag = "latest") -> Terms:
        return Terms.from_abi(self.read(self._escrow, "termsOf", contract_id, block=block))

    def status_of(self, contract_id: bytes, block: Tag = "latest") -> str:
        return ascii_text(self.read(self._escrow, "statusOf", contract_id, block=block))

    def paid_of(self, contract_id: bytes, block: Tag = "latest") -> int:
        """What the contract has paid so far, fees included."""
        return int(self.read(self._escrow, "paidOf", contract_id, block=block))

    def floor_of(self, contract_id: bytes, block: Tag = "latest") -> int:
        """The log index of the contract's last statement on chain; 0 for none."""
        return int(self.read(self._escrow, "lastFinalPosition", contract_id, block=block))

    def reach_of(self, contract_id: bytes, block: Tag = "latest") -> int:
        """The log index of the newest statement that its verifier has signed; 0 for none."""
        return int(self.read(self._escrow, "lastSignedPosition", contract_id, block=block))

    def pending_of(self, contract_id: bytes, block: Tag = "latest") -> PendingStatement | None:
        """The statement that waits to be challenged."""
        found = self.read_all(self._escrow, "pendingOf", contract_id, block=block)
        return PendingStatement(*found) if found[2] else None

    def standings(
        self, contract_ids: Sequence[bytes], block: Tag = "latest"
    ) -> dict[bytes, Standing]:
        """What the escrow says of these contracts, as far as it knows them.

        Left out are also those whose outcome is not in ASCII, as every label of a log is.
        """
        found = {}
        for one, replies in self._each(contract_ids, _STANDING, block):
            standing = self._standing(one, replies)
            if standing is not None:
                found[one] = standing
        return found

    def progress(
        self, contract_ids: Sequence[bytes], block: Tag = "latest"
    ) -> dict[bytes, Progress]:
        """How far the escrow is with each of these contracts of its own."""
        found = {}
        for one, replies in self._each(contract_ids, _PROGRESS, block):
            status, reach, pending, *rest = (
                self.values(self._escrow, function, reply)
                for function, reply in zip(_PROGRESS, replies, strict=True)
            )
            waits = PendingStatement(*pending) if pending[2] else None
            others = (value for (value,) in rest)
            found[one] = Progress(ascii_text(status[0]), reach[0], waits, *others)
        return found

    def _each(
        self, contract_ids: Sequence[bytes], functions: Sequence[str], block: Tag
    ) -> Iterator[tuple[bytes, list[Json]]]:
        """What the escrow answers to these functions of each contract, a page of them at once."""
        width = len(functions)
        for at in range(0, len(contract_ids), _PAGE_CONTRACTS):
            page = contract_ids[at : at + _PAGE_CONTRACTS]
            replies = self.ask(
                [
                    self.asking(self._escrow, function, one, block=block)
                    for one in page
                    for function in functions
                ]
            )
            for place, one in enumerate(page):
                yield one, replies[place * width : (place + 1) * width]

    def _standing(self, asked: bytes, replies: Sequence[Json]) -> Standing | None:
        terms = replies[0]
        if isinstance(terms, ReplyError) and error_text(terms.data).startswith("UnknownContract("):
            return None
        values = [
            self.values(self._escrow, function, reply)[0]
            for function, reply in zip(_STANDING, replies, strict=True)
        ]
        try:
            found = Terms.from_abi(values[0])
        except TermsError:
            return None
        if contract_id(found, self.escrow_domain) != asked:
            raise NodeError(
                "terms-false", f"{self.node.name} gives other terms for contract {hex_of(asked)}"
            )
        return standing_of(found, asked, *values[1:])

    def net_of(self, contract_id: bytes, block: Tag = "latest") -> int:
        """What is payable for good, claims apart."""
        return int(self.read(self._escrow, "netOf", contract_id, block=block))

    def owed_of(self, contract_id: bytes, block: Tag = "latest") -> int:
        """What is payable for good and not yet paid, with what is held back."""
        return int(self.read(self._escrow, "owed", contract_id, block=block))

    def releasable(self, contract_id: bytes, block: Tag = "latest") -> int:
        """What `release` would pay now."""
        return int(self.read(self._escrow, "releasable", contract_id, block=block))

    def releasable_at(self, contract_id: bytes, block: Tag = "latest") -> int:
        """When more can be released (UTC seconds); 0 if nothing is known to come."""
        return int(self.read(self._escrow, "releasableAt", contract_id, block=block))

    def opening_number_of(self, contract_id: bytes, block: Tag = "latest") -> int:
        """1, 2, 3 … in the order in which the escrow opened its contracts."""
        return int(self.read(self._escrow, "openingNumberOf", contract_id, block=block))

    def closed_at(self, contract_id: bytes, block: Tag = "latest") -> int | None:
        """When both parties closed the contract (UTC seconds), or None."""
        return int(self.read(self._escrow, "closedAtOf", contract_id, block=block)) or None

    def is_retired(self, contract_id: bytes, block: Tag = "latest") -> bool:
        """Whether the contract's verifier was disproved."""
        return bool(self.read(self._escrow, "isRetired", contract_id, block=block))

    def is_feedback_given(self, contract_id: bytes, block: Tag = "latest") -> bool | None:
        """Whether ERC-8004 feedback about the contract was given; None if nobody can tell us.

        A hint: our contract for it is not checked here.
        """
        if self.addresses.feedback is None:
            return None
        feedback = contract_at("Feedback", self.addresses.feedback)
        try:
            return bool(self.read(feedback, "isGiven", contract_id, block=block))
        except ChainError as error:
            if not isinstance(error, ReplyError) and error.code not in UNLIKE:
                raise
            return None

    def credit_of(self, token: str, account: str, block: Tag = "latest") -> int:
        return int(self.read(self._escrow, "creditOf", token, account, block=block))

    def token(self, address: str) -> Token:
        """What the token contract says of itself."""
        token = token_at(address)
        symbol, decimals = self.read(token, "symbol"), self.read(token, "decimals")
        return Token(str(symbol), int(decimals))

    def is_allowed(self, token: str) -> bool:
        return bool(self.read(self._escrow, "isAllowed", token))

    def balance_of(self, token: str, account: str, block: Tag = "latest") -> int:
        return int(self.read(token_at(token), "balanceOf", account, block=block))

    def allowance_of(self, token: str, owner: str, block: Tag = "latest") -> int:
        """What the escrow may take of the owner's tokens."""
        spender = self._escrow.address
        return int(self.read(token_at(token), "allowance", owner, spender, block=block))

    def is_signed(self, account: str, digest: bytes, signature: bytes) -> bool:
        """Whether the account stands by this signature: by its key, or as a wallet (ERC-1271)."""
        try:
            is_own = recover(digest, signature) == account
        except TermsError:
            is_own = False
        return is_own or self.is_signed_by_wallet(account, digest, signature)

    def is_signed_by_wallet(self, wallet: str, digest: bytes, signature: bytes) -> bool:
        """Whether a contract account says that this is its signature (ERC-1271)."""
        data = _IS_VALID_SIGNATURE + encode(["bytes32", "bytes"], [digest, signature])
        request = {"to": to_checksum_address(wallet), "data": hex_of(data), "gas": hex(_WALLET_GAS)}
        code, answer = self.ask(
            [("eth_getCode", [wallet, "latest"]), ("eth_call", [request, "latest"])]
        )
        if isinstance(answer, ReplyError):
            return False
        return bool(octets(result(code))) and octets(answer) == _IS_VALID_SIGNATURE.ljust(32, b"\0")

    # Calldata

    def register(self, origin: str, publisher: str) -> Call:
        return self.call(self._event_log, "register", origin, publisher)

    def publish(
        self,
        log_id: bytes,
        size: int,
        root: bytes,
        proof: Sequence[bytes],
        signature: bytes | None = None,
    ) -> Call:
        """By the publisher itself, or by anyone with the publisher's signature."""
        arguments = [log_id, size, root, list(proof)]
        if signature is None:
            name = "publish(bytes32,uint64,bytes32,bytes32[])"
            return self.call(self._event_log, name, *arguments)
        name = "publish(bytes32,uint64,bytes32,bytes32[],bytes)"
        return self.call(self._event_log, name, *arguments, signature)

    def open(self, terms: Terms, owner_signature: bytes, operator_signature: bytes) -> Call:
        """`owner_signature` may be empty if the owner sends the transaction."""
        return self.call(self._escrow, "open", terms.to_abi(), owner_signature, operator_signature)

    def settle(
        self,
        group: Group,
        size: int,
        first: int,
        entries: Sequence[bytes],
        proof: Sequence[bytes],
        signature: bytes,
    ) -> Call:
        """Settle by the entries from index `first` on, under the root of this size."""
        run = b"".join(entries)
        return self.call(
            self._escrow, "settle", tuple(group), size, first, run, list(proof), signature
        )

    def release(self, contract_id: bytes) -> Call:
        """Make final what is due, and pay it."""
        return self.call(self._escrow, "release", contract_id)

    def dispute(self, contract_id: bytes, position: int) -> Call:
        """By the owner or the operator: the pending statement there goes before the arbiter."""
        return self.call(self._escrow, "dispute", contract_id, position)

    def rule(self, contract_id: bytes, position: int, payable_units: int) -> Call:
        """By the arbiter: so much does the disputed statement there make payable."""
        return self.call(self._escrow, "rule", contract_id, position, payable_units)

    def dispute_claims(self, contract_id: bytes) -> Call:
        """By the owner or the operator: the sum of the claims goes before the arbiter."""
        return self.call(self._escrow, "disputeClaims", contract_id)

    def rule_claims(self, contract_id: bytes, amount_units: int) -> Call:
        """By the arbiter: so much of the disputed claims is paid."""
        return self.call(self._escrow, "ruleClaims", contract_id, amount_units)

    def close_contract(
        self,
        contract_id: bytes,
        payable_units: int,
        expires_at_s: int,
        owner_signature: bytes,
        operator_signature: bytes,
    ) -> Call:
        """By consent; the signature of the party that sends the transaction may be empty."""
        return self.call(
            self._escrow,
            "close",
            contract_id,
            payable_units,
            expires_at_s,
            owner_signature,
            operator_signature,
        )

    def disprove(self, size: int, case: Case) -> Call:
        """By anyone: what the contract's verifier signed is false, as entries of this tree show."""
        return self._judge("disprove", *self._case(size, case, case.contract_id))

    def claim(self, contract_id: bytes, size: int, transition: Exhibit, touch: Exhibit) -> Call:
        """By the operator: this transition, by this touch, was not settled."""
        escrow = self._escrow.address
        shown = tuple(transition), tuple(touch)
        return self._judge("claim", escrow, contract_id, size, *shown)

    def refute(self, size: int, case: Case, key: bytes) -> Call:
        """By anyone: the claim of this key is unfounded, as entries of this tree show."""
        return self._judge("refute", *self._case(size, case, case.contract_id, key))

    def _judge(self, function: str, *arguments: object) -> Call:
        return self.call(contract_at("Evidence", self.evidence), function, *arguments)

    def _case(self, size: int, case: Case, *about: bytes) -> list[object]:
        return [
            self._escrow.address,
            *about,
            ascii_word(case.kind),
            size,
            [tuple(exhibit) for exhibit in case.exhibits],
            case.rival,
            opening_abi(case.opening),
        ]

    def refund(self, contract_id: bytes) -> Call:
        return self.call(self._escrow, "refund", contract_id)

    def withdraw(self, token: str, to: str) -> Call:
        """All of the sender's own credit."""
        return self.call(self._escrow, "withdraw", token, to)

    def withdraw_for(
        self, account: str, token: str, to: str, expires_at_s: int, signature: bytes
    ) -> Call:
        """All of the account's credit, to where the account signed for."""
        return self.call(self._escrow, "withdrawFor", account, token, to, expires_at_s, signature)

    def approve(self, token: str, amount_units: int) -> Call:
        """Let the escrow take this much of the sender's tokens."""
        return self.call(token_at(token), "approve", self._escrow.address, amount_units)

    def mint(self, token: str, to: str, amount_units: int) -> Call:
        """Make tokens out of nothing: a TestStablecoin only."""
        return self.call(token_at(token), "mint", to, amount_units)
