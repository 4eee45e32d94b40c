"""The contracts as this program was built with them: code, calls' arguments, events and errors.

Their artifacts come with the package. What a node says of them is decoded here, strictly.
"""

import json
from collections.abc import Sequence
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


@dataclass(frozen=True, slots=True)
class Artifact:
    """A compiled contract: immutables are zero in `runtime`, at the places (start, length)."""

    abi: ABI
    creation: bytes
    runtime: bytes
    immutables: tuple[tuple[int, int], ...]

    def differs(self, code: bytes) -> bool:
        """Whether code on chain is anything but this contract with its immutables set."""
        masked = bytearray(code)
        for start, length in self.immutables:
            masked[start : start + length] = bytes(length)
        return masked != self.runtime


@cache
def artifact(name: str) -> Artifact:
    """EventLog, OutcomeEscrow or TestStablecoin."""
    text = files("orchestrator").joinpath(f"artifacts/{name}.json").read_text("utf-8")
    found = json.loads(text)
    places = [place for group in found["immutableReferences"].values() for place in group]
    return Artifact(
        found["abi"],
        octets(found["bytecode"]),
        octets(found["deployedBytecode"]),
        tuple((place["start"], place["length"]) for place in places),
    )


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
    """The entry at `position` is the contract's statement now."""

    contract_id: bytes
    position: int
    earned_units: int
    reversed_units: int


@dataclass(frozen=True, slots=True)
class Refused:
    """The entry at `position` changed nothing, for this reason."""

    contract_id: bytes
    position: int
    reason: str


@dataclass(frozen=True, slots=True)
class Paid:
    """The contract paid `amount_units` to its payee, and `fee_units` beside it."""

    contract_id: bytes
    payee: str
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


Event = Registered | Published | Opened | Settled | Refused | Paid | Refunded | Credited | Withdrawn
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


@cache
def _event_abis() -> dict[bytes, tuple[type[Event], ABIEvent]]:
    classes = {kind.__name__: kind for kind in _EVENTS}
    return {
        event_abi_to_log_topic(item): (classes[item["name"]], item)
        for name in ("EventLog", "OutcomeEscrow")
        for item in artifact(name).abi
        if item["type"] == "event" and item["name"] in classes
    }


def event_topics() -> list[bytes]:
    """The first topics of all events above."""
    return list(_event_abis())


def decode_event(topics: Sequence[bytes], data: bytes) -> Event:
    """The event of a log that one of our contracts wrote. Raises NodeError if it is malformed."""
    try:
        kind, item = _event_abis()[topics[0]]
        plain = [argument["type"] for argument in item["inputs"] if not argument["indexed"]]
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
            elif argument["name"] == "reason":
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
    for name in ("EventLog", "OutcomeEscrow", "TestStablecoin"):
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
    except DecodingError:
        name, values = "", ()
    if not name:
        return f"reverted with 0x{data[:36].hex()}"
    shown = (f"0x{value.hex()}" if isinstance(value, bytes) else str(value) for value in values)
    return f"{name}({', '.join(shown)})"[:_SHOWN_CHARS]
