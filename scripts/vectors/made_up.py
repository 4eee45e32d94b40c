"""Made-up words, keys and addresses that entries, trees and signatures share."""

from typing import Any

from eth_keys.datatypes import PrivateKey
from eth_utils.crypto import keccak

from orchestrator.core.common.hexadecimal import to_hex

Json = dict[str, Any]


def hexes(values: list[bytes]) -> list[str]:
    return [to_hex(value) for value in values]


def word(name: str) -> bytes:
    """Return a fixed word that looks random."""
    return keccak(f"tallystick vectors: {name}".encode())


def key(name: str) -> bytes:
    """Return a private key for tests, which anyone can compute: it must never hold anything."""
    return word(f"key of {name}")


def address(name: str) -> str:
    """Return the address of the key of this name."""
    return PrivateKey(key(name)).public_key.to_checksum_address()
