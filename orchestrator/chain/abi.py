"""The contracts as this program was built with them: code, calls, events and errors.

Their artifacts come with the package. A node's data about them is decoded here, strictly.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import NamedTuple, get_args

from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError
from eth_typing import ABI, ABIEvent
from eth_utils.abi import (
    abi_to_signature,
    collapse_if_tuple,
    event_abi_to_log_topic,
    function_signature_to_4byte_selector,
    get_abi_input_types,
)

from orchestrator.chain.rpc import NodeError, octets
from orchestrator.core.common.errors import EntryError, TermsError
from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.core.common.keccak import to_checksum_address
from orchestrator.core.deals.terms import Terms
from orchestrator.core.log.entry import ascii_text

_SHOWN_CHARS = 200
# The escrow's code is spread over these: it is more than one address may hold (EIP-170).
LIBRARIES = ("TermsRules", "Statements", "Claims", "PayableAmounts", "Fundings")
CONTRACTS = (
    *("EventLog", "Evidence", *LIBRARIES, "OutcomeEscrow", "EscrowLens"),
    *("Rounds", "Feedback", "JobEvaluators", "JobEvaluator", "Splits", "Split"),
    *("TestStablecoin", "IdentityRegistry", "ReputationRegistry", "AgenticCommerce"),
)


@dataclass(frozen=True, slots=True)
class Artifact:
    """A compiled contract.

    Each of its immutables stands at several places (start, length), which are zero in `runtime`.
    Zero are also the addresses of the libraries that it calls, at the places (name, start) of
    `links` in `creation` and of `runtime_links` in `runtime`.
    """

    abi: ABI
    creation: bytes
    runtime: bytes
    immutables: tuple[tuple[tuple[int, int], ...], ...]
    links: tuple[tuple[str, int], ...]
    runtime_links: tuple[tuple[str, int], ...]

    def link(self, libraries: Mapping[str, str]) -> bytes:
        """Return the creation code that calls the libraries at these addresses, by their names."""
        code = bytearray(self.creation)
        for name, start in self.links:
            code[start : start + 20] = bytes.fromhex(libraries[name][2:])
        return bytes(code)

    def libraries_in(self, code: bytes) -> dict[str, str]:
        """Return the addresses of the libraries that code on chain calls, by their names."""
        return {
            name: to_checksum_address(code[start : start + 20])
            for name, start in self.runtime_links
        }

    def differs(self, code: bytes) -> bool:
        """Return whether code on chain is anything but this contract with its immutables set.

        Each immutable has one value in all its places, and each library one address: otherwise a
        getter could show a value that the rest of the code does not use.
        """
        # Immutables and addresses have fixed lengths, so another length is another program.
        if len(code) != len(self.runtime):
            return True
        masked = bytearray(code)
        for places in self.immutables:
            if len({code[start : start + length] for start, length in places}) != 1:
                return True
            for start, length in places:
                masked[start : start + length] = bytes(length)
        libraries = self.libraries_in(code)
        for name, start in self.runtime_links:
            if to_checksum_address(code[start : start + 20]) != libraries[name]:
                return True
            masked[start : start + 20] = bytes(20)
        return masked != self.runtime


@cache
def artifact(name: str) -> Artifact:
    """Return the contract of this name, from its file in `artifacts/`."""
    text = files("orchestrator.chain").joinpath(f"artifacts/{name}.json").read_text("utf-8")
    found = json.loads(text)
    return Artifact(
        found["abi"],
        octets(found["bytecode"]),
        octets(found["deployedBytecode"]),
        tuple(
            tuple((place["start"], place["length"]) for place in places)
            for places in found["immutableReferences"].values()
        ),
        _places(found["linkReferences"]),
        _places(found["deployedLinkReferences"]),
    )


def _places(links: Mapping[str, Sequence[int]]) -> tuple[tuple[str, int], ...]:
    return tuple((name, start) for name, starts in links.items() for start in starts)


class Call(NamedTuple):
    """A call of a contract, not yet a transaction: the contract and its calldata."""

    to: str
    data: bytes

    def from_account(self, sender: str) -> dict[str, str]:
        """Return the JSON-RPC object by which a node tries the call out as this account."""
        return {"from": sender, "to": self.to, "data": to_hex(self.data)}


# --- Events ---------------------------------------------------------------------------------------
# Named and ordered as in Solidity; amounts in token base units, `position` is a place in the log.


@dataclass(frozen=True, slots=True)
class Registered:
    """The registration of a log."""

    log_id: bytes
    registrant: str
    publisher: str
    origin: str


@dataclass(frozen=True, slots=True)
class Published:
    """The anchoring of a checkpoint."""

    log_id: bytes
    size: int
    root: bytes


@dataclass(frozen=True, slots=True)
class PublisherChanged:
    """The hand-over of a log: the publisher before keeps its powers until then."""

    log_id: bytes
    previous: str
    publisher: str
    previous_until: int  # UTC seconds


@dataclass(frozen=True, slots=True)
class Forked:
    """The report of two roots of one size, after which the log is anchored no more."""

    log_id: bytes
    size: int
    root_a: bytes
    root_b: bytes


@dataclass(frozen=True, slots=True)
class Opened:
    """The opening of a contract, with its terms: the chain keeps them nowhere else.

    `terms` is None for some that no log can record, such as those with an outcome that is no text.
    """

    contract_id: bytes
    owner: str
    operator: str
    terms: Terms | None


@dataclass(frozen=True, slots=True)
class Settled:
    """A new statement of the contract, the entry at `position`. On chain it is one word."""

    contract_id: bytes
    position: int
    earned_units: int
    reversed_units: int

    @classmethod
    def unpacked(cls, contract_id: bytes, statement: int) -> "Settled":
        """Unpack earned u80, reversed u80, 0 u56, position u40; from the high bits down."""
        amount, position = (1 << 80) - 1, (1 << 40) - 1
        units = statement >> 176, statement >> 96 & amount
        return cls(contract_id, statement & position, *units)


@dataclass(frozen=True, slots=True)
class Pending:
    """A statement that can be challenged until `resolves_at_s`; follows its `Settled`."""

    contract_id: bytes
    position: int
    resolves_at_s: int


@dataclass(frozen=True, slots=True)
class Final:
    """A statement that is final since `since_s` and makes `net_units` payable, claims apart."""

    contract_id: bytes
    position: int
    net_units: int
    since_s: int


@dataclass(frozen=True, slots=True)
class Disputed:
    """A party's dispute, which puts the pending statement before the arbiter."""

    contract_id: bytes
    party: str
    resolves_at_s: int


@dataclass(frozen=True, slots=True)
class Ruled:
    """The arbiter's ruling on the amount that the disputed statement makes payable."""

    contract_id: bytes
    payable_units: int


@dataclass(frozen=True, slots=True)
class Disproved:
    """A proof that the contract's verifier signed a falsehood; its signatures count no more."""

    contract_id: bytes
    kind: str


@dataclass(frozen=True, slots=True)
class Claimed:
    """The operator's proof of an outcome that was not settled."""

    contract_id: bytes
    key: bytes
    lead: bytes
    transition: int
    touch: int
    time_ms: int
    amount_units: int


@dataclass(frozen=True, slots=True)
class ClaimLowered:
    """The refutation of a claim by the log: `left_units` remain of it, 0 where it is dropped."""

    contract_id: bytes
    key: bytes
    left_units: int
    kind: str


@dataclass(frozen=True, slots=True)
class ReversalRecorded:
    """A proof of what the event at `happened` takes back of the outcome at `outcome`.

    `value_units` is the outcome's amount, and `sum_units` what the contract had earned with it.
    """

    contract_id: bytes
    happened: int
    outcome: int
    value_units: int
    sum_units: int
    amount_units: int


@dataclass(frozen=True, slots=True)
class ClaimsDisputed:
    """A party's dispute, which puts the sum of the claims before the arbiter."""

    contract_id: bytes
    party: str


@dataclass(frozen=True, slots=True)
class ClaimsRuled:
    """The arbiter's ruling on the amount of the claims that is paid at most."""

    contract_id: bytes
    amount_units: int


@dataclass(frozen=True, slots=True)
class Closed:
    """The end of a contract by consent, with `payable_units` payable in all."""

    contract_id: bytes
    payable_units: int


@dataclass(frozen=True, slots=True)
class Refused:
    """An entry at `position` that changed nothing, and the reason."""

    contract_id: bytes
    position: int
    reason: str


@dataclass(frozen=True, slots=True)
class Paid:
    """A payout of `amount_units` to the payee, and of `fee_units` to the fee's recipient."""

    contract_id: bytes
    amount_units: int
    fee_units: int

    @property
    def gross_units(self) -> int:
        return self.amount_units + self.fee_units


@dataclass(frozen=True, slots=True)
class Refunded:
    """The return of the unpaid budget to the owner."""

    contract_id: bytes
    owner: str
    amount_units: int


@dataclass(frozen=True, slots=True)
class Credited:
    """A transfer that failed and is left to withdraw; directly after its `Paid` or `Refunded`."""

    contract_id: bytes
    account: str
    amount_units: int


@dataclass(frozen=True, slots=True)
class Revoked:
    """The end of a signature that the account has given, or might give, over this digest."""

    account: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """The withdrawal of an account's credit."""

    token: str
    account: str
    to: str
    amount_units: int


Event = (
    Registered
    | Published
    | PublisherChanged
    | Forked
    | Opened
    | Settled
    | Refused
    | Pending
    | Final
    | Disputed
    | Ruled
    | Disproved
    | Claimed
    | ClaimLowered
    | ReversalRecorded
    | ClaimsDisputed
    | ClaimsRuled
    | Closed
    | Paid
    | Refunded
    | Credited
    | Revoked
    | Withdrawn
)
_EVENTS: tuple[type[Event], ...] = get_args(Event)


@dataclass(frozen=True, slots=True)
class ChainEvent:
    """An event and its place on chain. Block, transaction and log index together identify it."""

    block_number: int
    block_hash: bytes
    tx_hash: bytes
    log_index: int
    time_s: int
    event: Event

    @property
    def contract_id(self) -> bytes:
        """The contract that the event is about; empty for events of logs and of accounts."""
        return getattr(self.event, "contract_id", b"")


@cache
def _event_abis() -> dict[bytes, tuple[type[Event], ABIEvent]]:
    classes = {kind.__name__: kind for kind in _EVENTS}
    return {
        event_abi_to_log_topic(item): (classes[item["name"]], item)
        for name in ("EventLog", "OutcomeEscrow")
        for item in artifact(name).abi
        if item["type"] == "event" and item["name"] in classes
    }


def event_topics(*kinds: type[Event]) -> list[bytes]:
    """Return the first topics of these events, or of all events above if none is given."""
    return [topic for topic, (kind, _) in _event_abis().items() if not kinds or kind in kinds]


def decode_event(topics: Sequence[bytes], data: bytes) -> Event:
    """Return the event in a log of one of our contracts. Raises NodeError if it is malformed."""
    try:
        # Indexed arguments stand in the topics, the others in the data, each in their order.
        kind, item = _event_abis()[topics[0]]
        # Text is decoded as bytes, which have the same layout: a sender may have written bytes that
        # are no UTF-8, and such an event must not stop the reader.
        plain = [
            collapse_if_tuple(dict(argument)).replace("string", "bytes")
            for argument in item["inputs"]
            if not argument["indexed"]
        ]
        values, indexed = iter(decode(plain, data)), iter(topics[1:])
        arguments = []
        for argument in item["inputs"]:
            value = (
                decode([argument["type"]], next(indexed))[0]
                if argument["indexed"]
                else next(values)
            )
            if argument["type"] == "address":
                value = to_checksum_address(value)
            elif argument["type"] == "tuple":
                value = _readable_terms(value)
            elif argument["type"] == "string":
                value = value.decode(errors="replace")
            elif argument["name"] in ("reason", "kind"):
                value = ascii_text(value)
            arguments.append(value)
    except (LookupError, StopIteration, DecodingError, EntryError):
        raise NodeError("node-unreadable", "the node sent an event that is none of ours") from None
    return Settled.unpacked(*arguments) if kind is Settled else kind(*arguments)


def _readable_terms(values: Sequence[object]) -> Terms | None:
    """Return the terms in an event, or None: anyone can open what is none of ours to read."""
    try:
        return Terms.from_abi(values)
    except TermsError:
        return None


# --- Errors ---------------------------------------------------------------------------------------


@cache
def _errors() -> dict[bytes, tuple[str, list[str]]]:
    """Return every error of our contracts by its selector: name and types."""
    # Solidity's own two errors, of `require` with a text and of `assert`, are in no ABI.
    found = {
        bytes.fromhex("08c379a0"): ("Error", ["string"]),
        bytes.fromhex("4e487b71"): ("Panic", ["uint256"]),
    }
    for name in CONTRACTS:
        for item in artifact(name).abi:
            if item["type"] == "error":
                selector = function_signature_to_4byte_selector(abi_to_signature(item))
                found[selector] = (item["name"], get_abi_input_types(item))
    return found


def error_text(data: bytes) -> str:
    """Write a contract's revert data as the error stands in Solidity."""
    name, types = _errors().get(data[:4], ("", []))
    try:
        values = decode(types, data[4:])
    except (DecodingError, UnicodeDecodeError):
        name, values = "", ()
    if not name:
        return f"reverted with {to_hex(data[:36])}"
    shown = (to_hex(value) if isinstance(value, bytes) else str(value) for value in values)
    return f"{name}({', '.join(shown)})"[:_SHOWN_CHARS]
