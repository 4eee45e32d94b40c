"""Hexadecimal text for bytes: `0x` and lower-case digits, as people and JSON write them."""


def to_hex(data: bytes) -> str:
    """Write bytes as `0x` and lower-case hex."""
    return f"0x{data.hex()}"


def from_hex(text: str, length: int | None = None) -> bytes:
    """Return the bytes of hex digits after an optional `0x`, of this many bytes if that is given.

    Raises ValueError for anything else, and TypeError or AttributeError for what is no text.
    """
    data = bytes.fromhex(text.removeprefix("0x"))
    if length is not None and len(data) != length:
        raise ValueError(f"{len(data)} bytes instead of {length}")
    return data
