"""From what is stored to what goes over the wire, and back."""

from functools import lru_cache
from typing import Annotated

from eth_utils.address import to_checksum_address
from fastapi import Path, Query
from pydantic import Field

from api.http.fields import Digits, Position, Word

MAX_PAGE = 1_000

checksummed = lru_cache(maxsize=4096)(to_checksum_address)

SurfaceId = Annotated[Word, Path(description="A surface's id.")]
ContractId = Annotated[Word, Path(description="A contract's id: the digest of its terms.")]
Limit = Annotated[
    Annotated[int, Field(ge=1, le=MAX_PAGE), Digits],
    Query(description="The longest page to return."),
]
AfterWord = Annotated[Word | None, Query(description="`next` of the page before.")]
AfterPosition = Annotated[Position, Query(description="`next` of the page before.")]


def address(word: bytes) -> str:
    """The address in a word of the log, with its checksum."""
    return checksummed(word[12:])
