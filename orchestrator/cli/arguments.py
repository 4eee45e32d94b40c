"""What people type: ids, addresses and times, each in the one form that we take."""

import re

from eth_utils.address import to_checksum_address

from orchestrator.core.errors import InputError
from orchestrator.core.units import parse_time_ns

_ID = re.compile(r"0x[0-9a-fA-F]{64}")
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")


def contract_id(text: str) -> bytes:
    """The contract's id. Raises InputError if it is none."""
    if not _ID.fullmatch(text):
        raise InputError("id-malformed", f"{text!r} is no contract id: 0x and 64 hex digits")
    return bytes.fromhex(text[2:])


def address(text: str) -> str:
    """The address, with its checksum (EIP-55); one case throughout carries none.

    Raises InputError if it is none, or another one was meant.
    """
    if not _ADDRESS.fullmatch(text):
        raise InputError("address-malformed", f"{text!r} is no address: 0x and 40 hex digits")
    proper = to_checksum_address(text)
    digits = text[2:]
    if text != proper and digits not in {digits.lower(), digits.upper()}:
        raise InputError(
            "address-checksum", f"{text}: its checksum is wrong, so a digit may be; copy it again"
        )
    return proper


def time_s(text: str) -> int:
    """The UTC second. Raises InputError if it is none."""
    try:
        return parse_time_ns(text) // 10**9
    except ValueError as error:
        raise InputError("time-malformed", f"a time {error}") from None
