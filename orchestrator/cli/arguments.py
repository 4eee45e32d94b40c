"""Parsers of what a person types: ids, addresses and times, each taken in one form."""

import re

from orchestrator.core.common.errors import InputError, shown
from orchestrator.core.common.hexadecimal import from_hex
from orchestrator.core.common.keccak import to_checksum_address
from orchestrator.core.common.units import NS_PER_S, parse_time_ns

_ID = re.compile(r"0x[0-9a-fA-F]{64}")
# As long as a word of the EVM, 256 bits.
_NUMBER, _MAX_NUMBER = re.compile(r"[0-9]{1,78}"), 2**256 - 1
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")


def parse_contract_id(text: str) -> bytes:
    """Return the 32 bytes of a contract's id. Raises InputError `id-malformed`."""
    return parse_word(text, "contract id")


def parse_word(text: str, what: str = "id") -> bytes:
    """Return the 32 bytes of an id. Raises InputError `id-malformed`."""
    if not _ID.fullmatch(text):
        raise InputError("id-malformed", f"{text!r} is no {what}: 0x and 64 hex digits")
    return from_hex(text)


def parse_number(text: str) -> int:
    """Return a number that a contract counts by, from 0. Raises InputError `id-malformed`."""
    if not _NUMBER.fullmatch(text) or int(text) > _MAX_NUMBER:
        raise InputError("id-malformed", f"{shown(text)} is no id: a whole number from 0")
    return int(text)


def parse_address(text: str) -> str:
    """Return an address with its checksum (EIP-55).

    Raises InputError `address-malformed` for what is no address, and `address-checksum` for mixed
    case that is not the checksum's: a digit may be wrong.
    """
    if not _ADDRESS.fullmatch(text):
        raise InputError("address-malformed", f"{text!r} is no address: 0x and 40 hex digits")
    checksummed = to_checksum_address(text)
    digits = text[2:]
    # An address in one case throughout carries no checksum, so there is none to be wrong.
    if text != checksummed and digits not in {digits.lower(), digits.upper()}:
        raise InputError(
            "address-checksum", f"{text}: its checksum is wrong, so a digit may be; copy it again"
        )
    return checksummed


def parse_time_s(text: str) -> int:
    """Return the UTC second of a time, rounded down. Raises InputError `time-malformed`."""
    try:
        return parse_time_ns(text) // NS_PER_S
    except ValueError as error:
        raise InputError("time-malformed", f"a time {error}") from None
