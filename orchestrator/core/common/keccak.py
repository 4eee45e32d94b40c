"""Keccak-256, and the checksums of addresses that are made with it (EIP-55)."""

import re

from sha3 import keccak_256

_DIGITS = re.compile(r"[0-9a-f]{40}")


def keccak(data: bytes) -> bytes:
    """Return the hash of bytes, as the chain hashes them."""
    digest: bytes = keccak_256(data).digest()
    return digest


def to_checksum_address(address: str | bytes) -> str:
    """Return an address with its checksum, from 20 bytes or from hex digits after `0x`.

    Raises ValueError for what is no address, and TypeError for what is neither text nor bytes.
    """
    if not isinstance(address, str | bytes):
        raise TypeError(f"an address is text or bytes, not {type(address).__name__}")
    digits = address.hex() if isinstance(address, bytes) else address.lower().removeprefix("0x")
    if not _DIGITS.fullmatch(digits):
        raise ValueError(f"{address!r:.80} is no address: 20 bytes, or 0x and 40 hex digits")
    signs = keccak(digits.encode()).hex()
    return "0x" + "".join(
        digit.upper() if sign > "7" else digit for digit, sign in zip(digits, signs, strict=False)
    )


def is_checksum_address(text: str) -> bool:
    """Return whether a text is an address with its checksum."""
    try:
        return to_checksum_address(text) == text
    except ValueError:
        return False
