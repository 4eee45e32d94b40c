"""The contracts as this program was built with them: code, calls' arguments, events and errors.

Their artifacts come with the package. What a node says of them is decoded here, strictly.
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
    event_abi_to_log_topic,
    function_signature_to_4byte_selector,
    get_abi_input_types,
)
from eth_utils.address import to_checksum_address

from orchestrator.core.entry import ascii_text
from orchestrator.core.errors import EntryError
from orchestrator.core.terms import Terms
from orchestrator.node import NodeError, octets

_SHOWN_CHARS = 200
# The escrow's code is spread over these: it is more than one address may hold (EIP-170).
LIBRARIES = ("TermsRules", "Statements", "Claims", "PayableAmounts")
CONTRACTS = (
    *("EventLog", "Evidence", *LIBRARIES, "OutcomeEscrow"),
    *("Feedback", "JobEvaluators", "JobEvaluator"),
    *("TestStablecoin", "IdentityRegistry", "ReputationRegistry", "AgenticCommerce"),
)


@dataclass(frozen=True, slots=True)
class Artifact:
    """A compiled contract. Immutables, each at its places (start, length), are zero in `runtime`.

    So are the addresses of the libraries that it calls, at the places (name, start) of `links` in
    `creation` and of `runtime_links` in `runtime`.
    """

    abi: ABI
    creation: bytes
    runtime: bytes
    immutables: tuple[tuple[tuple[int, int], ...], ...]
    links: tuple[tuple[str, int], ...]
    runtime_links: tuple[tuple[str, int], ...]

    def linked(self, libraries: Mapping[str, str]) -> bytes:
        """The creation code that calls the libraries at these addresses, by their names."""
        code = bytearray(self.creation)
        for name, start in self.links:
            code[start : start + 20] = bytes.fromhex(libraries[name][2:])
        return bytes(code)

    def libraries(self, code: bytes) -> dict[str, str]:
        """The addresses of the libraries that code on chain calls, by their names."""
        return {
            name: to_checksum_address(code[start : start + 20])
            for name, start in self.runtime_links
        }

    def differs(self, code: bytes) -> bool:
        """Whether code on chain is anything but this contract with its immutables set.

        Each of them has one value in all its places, and each library one address: otherwise a
        getter could show what the rest of the code does not use.
        """
        if len(code) != len(self.runtime):
            return True
        masked = bytearray(code)
        for places in self.immutables:
            if len({code[start : start + length] for start, length in places}) != 1:
                return True
            for start, length in places:
                masked[start : start + length] = bytes(length)
        libraries = self.libraries(code)
        for name, start in self.runtime_links:
            if to_checksum_address(code[start : start + 20]) != libraries[name]:
                return True
            masked[start : start + 20] = bytes(20)
        return masked != self.runtime


@cache
def artifact(name: str) -> Artifact:
    """The contract of this name: one of the files in artifacts/."""
    text = files("orchestrator").joinpath(f"artifacts/{name}.json").read_text("utf-8")
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
    """A transaction to be: the contract and its calldata."""

    to: str
    data: bytes


class Group(NamedTuple):
    """What the contracts of one settlement batch have in common."""

    log_id: bytes
    token: str
    verifier: str
    fee_recipient: str
    fee_bps: int

    @classmethod
    def of(cls, terms: Terms) -> "Group":
        """The group that the escrow puts a contract with these terms into."""
        return cls(terms.log_id, terms.token, terms.verifier, terms.fee_recipient, terms.fee_bps)


# --- Events ---------------------------------------------------------------------------------------
# Named and ordered as in Solidity; amounts in token base units, `position` an index in the log.


@dataclass(frozen=True, slots=True)
class Registered:
    """A log has begun."""

    log_id: bytes
    registrant: str
    publisher: str
    origin: str


@dataclass(frozen=True, slots=True)
class Published:
    """A checkpoint is anchored."""

    log_id: bytes
    size: int
    root: bytes


@dataclass(frozen=True, slots=True)
class Opened:
    """A contract is escrowed."""

    contract_id: bytes
    owner: str
    operator: str
    log_id: bytes
    surface: bytes


@dataclass(frozen=True, slots=True)
class Settled:
    """The entry at `position` is the contract's statement now, and paid nothing at once."""

    contract_id: bytes
    position: int
    earned_units: int
    reversed_units: int


@dataclass(frozen=True, slots=True)
class Pending:
    """Behind a `Settled`: the statement can be challenged until `resolves_at_s`."""

    contract_id: bytes
    position: int
    resolves_at_s: int


@dataclass(frozen=True, slots=True)
class Final:
    """The statement at `position` stands since `since_s`; so much is payable, claims apart."""

    contract_id: bytes
    position: int
    net_units: int
    since_s: int


@dataclass(frozen=True, slots=True)
class Disputed:
    """A party put the pending statement before the arbiter."""

    contract_id: bytes
    party: str
    resolves_at_s: int


@dataclass(frozen=True, slots=True)
class Ruled:
    """The arbiter said what the disputed statement makes payable."""

    contract_id: bytes
    payable_units: int


@dataclass(frozen=True, slots=True)
class Disproved:
    """The log refuted what the contract's verifier signed; its word counts no more."""

    contract_id: bytes
    kind: str


@dataclass(frozen=True, slots=True)
class Claimed:
    """The operator proved an outcome that was not settled."""

    contract_id: bytes
    key: bytes
    lead: bytes
    transition: int
    touch: int
    time_ms: int
    amount_units: int


@dataclass(frozen=True, slots=True)
class ClaimDropped:
    """The log refuted a claim."""

    contract_id: bytes
    key: bytes
    kind: str


@dataclass(frozen=True, slots=True)
class ClaimsDisputed:
    """A party put the sum of the claims before the arbiter."""

    contract_id: bytes
    party: str


@dataclass(frozen=True, slots=True)
class ClaimsRuled:
    """The arbiter said how much of the claims is paid at most."""

    contract_id: bytes
    amount_units: int


@dataclass(frozen=True, slots=True)
class Closed:
    """Both parties ended the contract: so much is payable in all."""

    contract_id: bytes
    payable_units: int


@dataclass(frozen=True, slots=True)
class Refused:
    """The entry at `position` changed nothing, for this reason."""

    contract_id: bytes
    position: int
    reason: str


@dataclass(frozen=True, slots=True)
class Paid:
    """The contract paid `amount_units` to its payee, and `fee_units` beside it, under its statement
    at `position`."""

    contract_id: bytes
    payee: str
    position: int
    amount_units: int
    fee_units: int

    @property
    def gross_units(self) -> int:
        return self.amount_units + self.fee_units


@dataclass(frozen=True, slots=True)
class Refunded:
    """What was not paid went back to the owner."""

    contract_id: bytes
    owner: str
    amount_units: int


@dataclass(frozen=True, slots=True)
class Credited:
    """Directly behind a `Paid` or `Refunded`: the transfer failed, the account may withdraw it."""

    contract_id: bytes
    account: str
    amount_units: int


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """An account took its credit out."""

    token: str
    account: str
    to: str
    amount_units: int


Event = (
    Registered
    | Published
    | Opened
    | Settled
    | Refused
    | Pending
    | Final
    | Disputed
    | Ruled
    | Disproved
    | Claimed
    | ClaimDropped
    | ClaimsDisputed
    | ClaimsRuled
    | Closed
    | Paid
    | Refunded
    | Credited
    | Withdrawn
)
_EVENTS: tuple[type[Event], ...] = get_args(Event)


@dataclass(frozen=True, slots=True)
class ChainEvent:
    """An event where it stands. Block, transaction and log index together name it for ever."""

    block_number: int
    block_hash: bytes
    tx_hash: bytes
    log_index: int
    time_s: int
    event: Event

    @property
    def contract_id(self) -> bytes:
        """Which contract it is about; empty for events of logs and of accounts."""
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
    """The first topics of these events; without any, of all events above."""
    return [topic for topic, (kind, _) in _event_abis().items() if not kinds or kind in kinds]


def decode_event(topics: Sequence[bytes], data: bytes) -> Event:
    """The event of a log that one of our contracts wrote. Raises NodeError if it is malformed."""
    try:
        kind, item = _event_abis()[topics[0]]
        # Text is decoded as bytes, which have the same layout: anybody may have written any.
        plain = [
            argument["type"].replace("string", "bytes")
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
            elif argument["type"] == "string":
                value = value.decode(errors="replace")
            elif argument["name"] in ("reason", "kind"):
                value = ascii_text(value)
            arguments.append(value)
    except (LookupError, StopIteration, DecodingError, EntryError):
        raise NodeError("node-unreadable", "the node sent an event that is none of ours") from None
    return kind(*arguments)


# --- Errors ---------------------------------------------------------------------------------------


@cache
def _errors() -> dict[bytes, tuple[str, list[str]]]:
    """Every error of our contracts by its selector: name and types."""
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
    """What a contract reverted with, as it would stand in Solidity."""
    name, types = _errors().get(data[:4], ("", []))
    try:
        values = decode(types, data[4:])
    except (DecodingError, UnicodeDecodeError):
        name, values = "", ()
    if not name:
        return f"reverted with 0x{data[:36].hex()}"
    shown = (f"0x{value.hex()}" if isinstance(value, bytes) else str(value) for value in values)
    return f"{name}({', '.join(shown)})"[:_SHOWN_CHARS]
