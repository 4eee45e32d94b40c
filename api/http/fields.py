"""The single values of requests and answers, each with its bounds, its form and an example.

Ids are `0x` and lower-case hex. Amounts are decimal text: token base units where a name ends in
`_units`, tokens otherwise. Times are UTC integers, `_ms` or `_s`, but for a product event's own
time, which is RFC 3339 as products write it.
"""

from functools import lru_cache
from typing import Annotated, Literal

from eth_utils.address import to_checksum_address
from fastapi import Path, Query
from pydantic import AfterValidator, BeforeValidator, Field

from orchestrator.core.units import parse_amount, parse_time_ns

MAX_PAGE = 1_000
# The log's words give times and positions 40 bits.
MAX_TIME_S = 2**40 - 1
MAX_POSITION = 2**40 - 1
NAME_PATTERN = r"^[!-~]([ -~]{0,30}[!-~])?$"

_WORD = "0x" + "1b" * 32
_ADDRESS = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"


# --- Ids and addresses ----------------------------------------------------------------------------

# A checksum costs a Keccak hash, and a page names the same few parties over and over.
checksummed = lru_cache(maxsize=4096)(to_checksum_address)


def address(word: bytes) -> str:
    """Return the address in a word of the log, with its checksum."""
    return checksummed(word[12:])


Word = Annotated[str, Field(pattern=r"^0x[0-9a-f]{64}$", examples=[_WORD])]
SurfaceId = Annotated[Word, Path(description="A surface's id.")]
ContractId = Annotated[Word, Path(description="A contract's id: the digest of its terms.")]
Address = Annotated[
    str,
    Field(
        pattern=r"^0x[0-9a-fA-F]{40}$",
        description="With its EIP-55 checksum.",
        examples=[_ADDRESS],
    ),
]
Signature = Annotated[
    str,
    Field(
        pattern=r"^0x([0-9a-fA-F]{2}){1,4096}$",
        description="65 bytes r ‖ s ‖ v of a key, or what an ERC-1271 contract takes.",
        examples=["0x" + "5f" * 64 + "1b"],
    ),
]
EntryHex = Annotated[
    str,
    Field(pattern=r"^0x[0-9a-f]{512}$", description="256 bytes: eight words, as the log has them."),
]
Hashes = Annotated[list[Word], Field(max_length=128)]
Scope = Literal["operator", "owner"]


# --- Numbers and times ----------------------------------------------------------------------------


def _check_digits(value: object) -> object:
    """Refuse a query's or path's text that pydantic would read leniently: `1.0` is not 1."""
    if isinstance(value, str) and not (value.isascii() and value.isdigit() and len(value) < 20):
        raise ValueError("must be a whole number in decimal digits")
    return value


# It stands after an integer's bounds, or the bounds are lost to the description.
Digits = BeforeValidator(_check_digits)
Position = Annotated[
    int, Field(ge=0, le=MAX_POSITION, description="A position in the log."), Digits
]
Size = Annotated[int, Field(ge=1, le=MAX_POSITION), Digits]
TimeMs = Annotated[int, Field(ge=0, description="UTC milliseconds since 1970.")]
TimeS = Annotated[int, Field(ge=0, le=MAX_TIME_S)]
Bps = Annotated[int, Field(ge=0, le=10_000, description="Hundredths of a percent.")]
Units = Annotated[
    str,
    Field(
        pattern=r"^(0|[1-9][0-9]{0,77})$",
        description="An integer as decimal text: token base units.",
        examples=["8000000"],
    ),
]


# --- Pages ----------------------------------------------------------------------------------------

Limit = Annotated[
    Annotated[int, Field(ge=1, le=MAX_PAGE), Digits],
    Query(description="The most items to return."),
]
AfterWord = Annotated[Word | None, Query(description="`next` of the page before.")]
AfterPosition = Annotated[Position, Query(description="`next` of the page before.")]
LeadCursor = Annotated[
    str,
    Field(
        pattern=r"^[!-~]([ -~]{0,30}[!-~])?\.0x[0-9a-f]{64}$",
        description="A lead's state and pseudonym.",
        examples=[f"activated.{_WORD}"],
    ),
]
ProposalCursor = Annotated[
    str,
    Field(
        pattern=r"^[0-9]{1,15}\.0x[0-9a-f]{64}$",
        description="The time at which a proposal was made, and its id.",
        examples=[f"1767225600000.{_WORD}"],
    ),
]


# --- Text of callers ------------------------------------------------------------------------------


def _check_printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must hold printable characters only")
    if len(text.encode()) > 512:
        raise ValueError("must be at most 512 bytes of UTF-8")
    return text


def _check_amount(text: str) -> str:
    parse_amount(text)
    return text


def _check_time(text: str) -> str:
    parse_time_ns(text)
    return text


Name = Annotated[
    str,
    Field(
        pattern=NAME_PATTERN,
        description="1 to 32 printable ASCII characters, neither the first nor the last a space.",
    ),
]
ExternalId = Annotated[
    str,
    Field(
        min_length=1,
        max_length=200,
        description="Your own id of the lead; it stays out of the log and can be erased.",
        examples=["user-1842"],
    ),
    AfterValidator(_check_printable),
]
OrderId = Annotated[
    str,
    Field(min_length=1, max_length=200),
    AfterValidator(_check_printable),
]
Amount = Annotated[
    str,
    Field(
        pattern=r"^[0-9]{1,18}(\.[0-9]{1,6})?$",
        description="A decimal amount of tokens as text, never a JSON number.",
        examples=["29.90"],
    ),
    AfterValidator(_check_amount),
]
Moment = Annotated[
    str,
    Field(
        pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}"
        r"(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})$",
        json_schema_extra={"format": "date-time"},
        description="RFC 3339, with a time zone.",
        examples=["2026-03-01T12:30:00Z"],
    ),
    AfterValidator(_check_time),
]
Key = Annotated[
    str,
    Field(
        pattern=r"^[!-~]{1,128}$",
        description="Yours to choose; the same key with the same content is the same request.",
        examples=["order-7731"],
    ),
]
