"""One deployment's contracts: the checks before they are trusted, and its log on chain.

Show what is `latest`, act on what is `finalized`.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError

from orchestrator.chain.abi import (
    Call,
    ChainEvent,
    Event,
    Published,
    PublisherChanged,
    Registered,
)
from orchestrator.chain.caller import contract_at, is_mismatch
from orchestrator.chain.escrow import EscrowCaller, SignedRun
from orchestrator.chain.event_scan import events_of, whole_history_of
from orchestrator.chain.nodes.pool import NodePool
from orchestrator.chain.rpc import NodeError, ReplyError, Tag, octets, quantity
from orchestrator.core.common.errors import ChainError
from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.core.common.keccak import keccak, to_checksum_address
from orchestrator.core.common.units import BPS
from orchestrator.core.deals.site import Addresses
from orchestrator.core.deals.split import Share, Split, consent_digest, implementation_of
from orchestrator.core.deals.terms import Domain, verified_digest


class Anchor(NamedTuple):
    """A log's last anchor; size 0 before the first. Published at UTC seconds."""

    size: int
    root: bytes
    published_at_s: int


class SignedCheckpoint(NamedTuple):
    """A size and a root of a log, with the publisher's signature over them."""

    log_id: bytes
    size: int
    root: bytes
    signature: bytes


def find_deployment(rpc_url: str, escrow: str, lens: str | None = None) -> Addresses:
    """Return the deployment that an escrow belongs to, on the node's word: check it as a `Chain`.

    Raises ChainError if there is no escrow at this address.
    """
    call = {"to": escrow, "data": contract_at("OutcomeEscrow", escrow).encode_abi("eventLog")}
    with NodePool(rpc_url) as node:
        chain_id, answer = node.batch([("eth_chainId", []), ("eth_call", [call, "latest"])])
        try:
            (event_log,) = decode(["address"], octets(answer))
        except (DecodingError, UnicodeDecodeError, ReplyError):
            raise ChainError(
                "escrow-missing", f"{node.name} has no escrow at {escrow}; is its address right?"
            ) from None
    return Addresses(quantity(chain_id), to_checksum_address(event_log), escrow, lens=lens)


def log_id_of(registrant: str, origin: str) -> bytes:
    """Return the id of the log that this account registers under this origin."""
    return keccak(encode(["address", "string"], [registrant, origin]))


class Chain(EscrowCaller):
    """The contracts of one deployment through its nodes. Call `check` before trusting it."""

    def __init__(self, rpc_url: str, addresses: Addresses, final_depth: int | None = None) -> None:
        super().__init__(rpc_url, addresses, final_depth)
        self._event_log = contract_at("EventLog", addresses.event_log)

    # --- Start-up checks --------------------------------------------------------------------------

    def check(self) -> None:
        """Raise ChainError unless the contracts are those this program was built with.

        Nodes of two chains, or that show two final chains, are refused first.
        """
        self.check_agreement()
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
        if self.addresses.lens is not None:
            self._check_lens(self.addresses.lens)

    def _check_lens(self, address: str) -> None:
        """Raise ChainError unless our lens on this escrow is there."""
        self.check_code("EscrowLens", address)
        used = to_checksum_address(self.read(contract_at("EscrowLens", address), "escrow"))
        if used != self._escrow.address:
            raise ChainError(
                "other-escrow",
                f"the lens at {address} reads the escrow {used}, not {self._escrow.address}",
            )

    def check_companions(self) -> None:
        """Raise ChainError unless the contracts beside the escrow, if any are named, are ours."""
        if self.addresses.feedback is not None:
            self.check_feedback(self.addresses.feedback)
        if self.addresses.evaluators is not None:
            self.check_evaluators(self.addresses.evaluators)
        if self.addresses.rounds is not None:
            self.check_rounds(self.addresses.rounds)
        if self.addresses.splits is not None:
            self.check_splits(self.addresses.splits)

    def check_rounds(self, address: str) -> None:
        """Raise ChainError unless our contract is there that settles rounds at this escrow."""
        self.check_code("Rounds", address)
        rounds = contract_at("Rounds", address)
        used = [to_checksum_address(self.read(rounds, name)) for name in ("escrow", "eventLog")]
        if used != [self._escrow.address, self._event_log.address]:
            raise ChainError(
                "other-rounds",
                f"the contract at {address} settles at the escrow {used[0]} by the event log "
                f"{used[1]}, not at {self._escrow.address} by {self._event_log.address}",
            )

    def check_feedback(self, address: str) -> None:
        """Raise ChainError unless our contract is there that writes feedback for this escrow."""
        self.check_code("Feedback", address)
        self._check_lens(to_checksum_address(self.read(contract_at("Feedback", address), "lens")))

    def registry_of(self, feedback: str) -> str:
        """Return the ERC-8004 registry that our contract at this address writes to; check both.

        Raises ChainError unless the registry says that it is of the escrow's agents. What a
        registry says proves nothing: show its address to the person who signs.
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
        """Return the domain that statements are endorsed under for a factory's ERC-8183 evaluators.

        Raises ChainError unless our factory is there, reads this event log, and makes evaluators
        that do so. Their immutables are set by constructors, and code alone does not show them.
        """
        self.check_code("JobEvaluators", address)
        factory = contract_at("JobEvaluators", address)
        domain = self.domain_of("JobEvaluators", factory)
        # The separator that signatures are checked by is another immutable than the domain's words.
        sample = (bytes(32), 2, bytes(32), 0, 1)
        digest = self.read(factory, "verifiedDigest", *sample)
        implementation = to_checksum_address(self.read(factory, "implementation"))
        self.check_code("JobEvaluator", implementation)
        evaluator = contract_at("JobEvaluator", implementation)
        used = [
            to_checksum_address(self.read(contract, name))
            for contract, name in (
                (factory, "eventLog"),
                (evaluator, "eventLog"),
                (evaluator, "evaluators"),
            )
        ]
        event_log = self._event_log.address
        expected = [event_log, event_log, factory.address]
        if digest != verified_digest(domain, *sample) or used != expected:
            raise ChainError(
                "other-evaluators",
                f"the evaluators of {address} read the event log {used[0]}, or are not what they "
                f"seem; the event log here is {event_log}",
            )
        return domain

    def check_splits(self, address: str) -> Domain:
        """Return the domain under which the payees of a factory's splits sign.

        Raises ChainError unless our factory is there, and what its splits run is ours.
        """
        self.check_code("Splits", address)
        factory = contract_at("Splits", address)
        domain = self.domain_of("Splits", factory)
        implementation = to_checksum_address(self.read(factory, "implementation"))
        self.check_code("Split", implementation)
        # The separator that signatures are checked by is another immutable than the domain's words.
        sample = Split.of([Share(implementation, BPS)], bytes(32))
        digest = self.read(factory, "consentDigest", implementation, sample.to_abi(), sample.salt)
        if digest != consent_digest(domain, implementation, sample):
            raise ChainError(
                "other-splits", f"the factory of splits at {address} checks other signatures"
            )
        if implementation != implementation_of(address):
            raise ChainError(
                "other-splits",
                f"the splits of {address} run {implementation}, which it did not make",
            )
        return domain

    def split_at(self, address: str, factory: str) -> Split | None:
        """Return the split at an address, if a factory that was checked made it; else None.

        The factory makes none that its payees have not signed.
        """
        return Split.of_account(address, self.accounts([address])[address].code, factory)

    def check_log(self, log_id: bytes, registrant: str, origin: str) -> str:
        """Return the log's publisher. Raises ChainError unless this log is the registrant's."""
        expected = log_id_of(registrant, origin)
        if log_id != expected:
            raise ChainError(
                "log-of-another",
                f"log {to_hex(log_id)} is not the one that {registrant} registers as {origin!r}; "
                f"that is {to_hex(expected)}",
            )
        found = self.publisher_of(log_id)
        if found is None:
            raise ChainError(
                "log-unregistered",
                f"log {to_hex(log_id)} ({origin!r}) is not registered with the event log "
                f"{self._event_log.address}; register it first",
            )
        return found

    # --- The contracts beside the escrow ----------------------------------------------------------

    @cached_property
    def evaluators_domain(self) -> Domain | None:
        """The domain that statements are endorsed under for ERC-8183 jobs; None without evaluators.

        The evaluators are checked first.
        """
        address = self.addresses.evaluators
        return None if address is None else self.check_evaluators(address)

    def is_feedback_given(self, contract_id: bytes, block: Tag = "latest") -> bool | None:
        """Return whether ERC-8004 feedback about the contract was given; None where it is unknown.

        A hint: our contract for it is not checked here.
        """
        if self.addresses.feedback is None:
            return None
        feedback = contract_at("Feedback", self.addresses.feedback)
        try:
            return bool(self.read(feedback, "isGiven", contract_id, block=block))
        except ChainError as error:
            if not is_mismatch(error):
                raise
            return None

    # --- The log: reads and calldata --------------------------------------------------------------

    @cached_property
    def event_log_domain(self) -> Domain:
        """The domain that checkpoints are signed under, by EIP-5267."""
        return self.domain_of("EventLog", self._event_log)

    def checkpoint(self, log_id: bytes, block: Tag = "latest") -> Anchor:
        """Return the log's last anchored checkpoint."""
        return Anchor(*self.read_all(self._event_log, "latest", log_id, block=block))

    def root_at(self, log_id: bytes, size: int, block: Tag = "latest") -> bytes | None:
        """Return the anchored root of this size, or None."""
        root: bytes = self.read(self._event_log, "rootAt", log_id, size, block=block)
        return root if any(root) else None

    def forked_at(self, log_id: bytes, block: Tag = "latest") -> int | None:
        """Return when the log was marked as forked (UTC seconds), or None."""
        return int(self.read(self._event_log, "forkedAt", log_id, block=block)) or None

    def publisher_of(self, log_id: bytes, block: Tag = "latest") -> str | None:
        """Return the log's publisher, or None if it is not registered."""
        publisher = self.read(self._event_log, "publisherOf", log_id, block=block)
        return to_checksum_address(publisher) if int(publisher, 16) else None

    def previous_publisher_of(self, log_id: bytes, block: Tag = "latest") -> str | None:
        """Return the publisher before, while its signatures count; else None."""
        previous = self.read(self._event_log, "previousPublisherOf", log_id, block=block)
        return to_checksum_address(previous) if int(previous, 16) else None

    def publishers_replaced(self, log_id: bytes, since_s: int) -> Iterator[str]:
        """Yield the publishers that have handed the log over after a UTC second."""
        address, last = self.addresses.event_log, self.block().number
        for found in events_of(self, address, [log_id], since_s, last):
            if isinstance(found.event, PublisherChanged):
                yield found.event.previous

    def registration_of(self, log_id: bytes) -> Registered | None:
        """Return the event by which a log was registered; None where the node shows none.

        Raises NodeError for one whose registrant and origin do not give the log's id.
        """
        for found in self._log_events(log_id, Registered):
            if isinstance(found.event, Registered):
                # The id is a digest of both, so a node cannot make them up unnoticed.
                if log_id_of(found.event.registrant, found.event.origin) != log_id:
                    raise NodeError(
                        "registration-false",
                        f"{self.node.name} gives another registration for log {to_hex(log_id)}",
                    )
                return found.event
        return None

    def published_of(self, log_id: bytes) -> Iterator[ChainEvent]:
        """Yield the events by which a log was anchored, in order, up to the latest block."""
        return self._log_events(log_id, Published)

    def _log_events(self, log_id: bytes, kind: type[Event]) -> Iterator[ChainEvent]:
        first, last = self.addresses.start_block, self.block().number
        return whole_history_of(self, self._event_log.address, [log_id], [kind], first, last)

    def register(self, origin: str, publisher: str) -> Call:
        """Return the call by which the sender registers a log."""
        return self.call(self._event_log, "register", origin, publisher)

    def publish(
        self,
        log_id: bytes,
        size: int,
        root: bytes,
        proof: Sequence[bytes],
        signature: bytes | None = None,
    ) -> Call:
        """Return the call that anchors a checkpoint.

        Without the publisher's signature, only the publisher can send it.
        """
        arguments = [log_id, size, root, list(proof)]
        # The function is overloaded, so its whole signature names it.
        if signature is None:
            name = "publish(bytes32,uint64,bytes32,bytes32[])"
            return self.call(self._event_log, name, *arguments)
        name = "publish(bytes32,uint64,bytes32,bytes32[],bytes)"
        return self.call(self._event_log, name, *arguments, signature)

    def report_fork(self, first: SignedCheckpoint, second: SignedCheckpoint) -> Call:
        """Return the call that marks a log as forked by two roots of one size, open to all."""
        return self.call(
            self._event_log,
            "reportFork",
            *(first.log_id, first.size),
            *(first.root, first.signature),
            *(second.root, second.signature),
        )

    def settle_round(
        self, checkpoint: SignedCheckpoint, proof: Sequence[bytes], runs: Sequence[SignedRun]
    ) -> Call:
        """Return the call that anchors a checkpoint and settles by runs under it, at once.

        The proof shows that the checkpoint extends the last anchor. Raises ChainError
        `rounds-missing` where the deployment has no contract for it.
        """
        address = self.addresses.rounds
        if address is None:
            raise ChainError("rounds-missing", "the deployment has no contract for rounds")
        anchored = (*checkpoint[:3], list(proof), checkpoint.signature)
        runs_abi = [run.to_abi() for run in runs]
        return self.call(contract_at("Rounds", address), "settle", anchored, runs_abi)
