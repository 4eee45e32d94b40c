"""From what is stored to what goes over the wire, and back."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from functools import lru_cache
from typing import Annotated

from eth_utils.address import to_checksum_address
from fastapi import Path, Query

from api.problems import Fault, Refusal
from api.schemas import MAX_POSITION, Word

MAX_PAGE = 1_000

checksummed = lru_cache(maxsize=4096)(to_checksum_address)

SurfaceId = Annotated[Word, Path(description="A surface's id.")]
ContractId = Annotated[Word, Path(description="A contract's id: the digest of its terms.")]
Limit = Annotated[int, Query(ge=1, le=MAX_PAGE, description="The longest page to return.")]
AfterWord = Annotated[Word | None, Query(description="`next` of the page before.")]
AfterPosition = Annotated[
    int, Query(ge=0, le=MAX_POSITION, description="`next` of the page before.")
]
Cursor = Annotated[
    str | None,
    Query(pattern=r"^[A-Za-z0-9_-]{1,200}$", description="`next` of the page before."),
]


def hexed(data: bytes) -> str:
    """Bytes as `0x` and lower-case hex."""
    return f"0x{data.hex()}"


def unhexed(text: str) -> bytes:
    """The bytes of `0x` and hex digits, which a schema has checked."""
    return bytes.fromhex(text[2:])


def address(word: bytes) -> str:
    """The address in a word of the log, with its checksum."""
    return checksummed(word[12:])


def cursor(*parts: str) -> str:
    """An opaque cursor."""
    return urlsafe_b64encode("\n".join(parts).encode()).decode().rstrip("=")


def uncursor(text: str, count: int) -> list[str]:
    """The parts of a cursor that we gave out. Raises `Refusal`."""
    try:
        parts = urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode().split("\n")
    except ValueError:
        parts = []
    if len(parts) != count or not all(part.isascii() and part.isprintable() for part in parts):
        detail = "this is no cursor of ours; give `next` of the page before"
        raise Refusal(
            422, "cursor-invalid", detail, faults=[Fault(where="query/after", detail=detail)]
        )
    return parts
