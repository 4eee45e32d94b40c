"""The single values that go over the wire, each with its bounds and an example.

Ids are `0x` and lower-case hex. Amounts are decimal text: token base units where a name ends in
`_units`, tokens otherwise. Times are UTC integers, `_ms` or `_s`, but for a product event's own
time, which is RFC 3339 as products write it.
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from orchestrator.core.units import parse_amount, parse_time_ns

MAX_TIME_S = 2**40 - 1
MAX_POSITION = 2**40 - 1

_WORD = "0x" + "1b" * 32
_ADDRESS = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"

Word = Annotated[str, Field(pattern=r"^0x[0-9a-f]{64}$", examples=[_WORD])]
Address = Annotated[
    str,
    Field(
        pattern=r"^0x[0-9a-fA-F]{40}$",
        description="With its EIP-55 checksum.",
        examples=[_ADDRESS],
    ),
]
Units = Annotated[
    str,
    Field(
        pattern=r"^(0|[1-9][0-9]{0,77})$",
        description="An integer as decimal text: token base units.",
        examples=["8000000"],
    ),
]
Signature = Annotated[
    str,
    Field(
        pattern=r"^0x([0-9a-fA-F]{2}){1,4096}$",
        description="65 bytes r ‖ s ‖ v of a key, or whatever an ERC-1271 contract takes.",
        examples=["0x" + "5f" * 64 + "1b"],
    ),
]
Name = Annotated[
    str,
    Field(
        pattern=r"^[!-~]([ -~]{0,30}[!-~])?$",
        description="1 to 32 printable ASCII characters, none of the outer ones a space.",
    ),
]


def _digits(value: object) -> object:
    """A query or a path has only text, and a lenient reading of it would take `1.0` for 1."""
    if isinstance(value, str) and not (value.isascii() and value.isdigit() and len(value) < 20):
        raise ValueError("must be a whole number in decimal digits")
    return value


# It stands after an integer's bounds, or the bounds are lost to the description.
Digits = BeforeValidator(_digits)
Position = Annotated[
    int, Field(ge=0, le=MAX_POSITION, description="A position in the log."), Digits
]
Size = Annotated[int, Field(ge=1, le=MAX_POSITION), Digits]
TimeMs = Annotated[int, Field(ge=0, description="UTC milliseconds since 1970.")]
TimeS = Annotated[int, Field(ge=0, le=MAX_TIME_S)]
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
        description="When a proposal was made, and its id.",
        examples=[f"1767225600000.{_WORD}"],
    ),
]
Bps = Annotated[int, Field(ge=0, le=10_000, description="Hundredths of a percent.")]
Scope = Literal["operator", "owner"]


def _no_control(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must hold printable characters only")
    if len(text.encode()) > 512:
        raise ValueError("must be at most 512 bytes of UTF-8")
    return text


def _amount(text: str) -> str:
    parse_amount(text)
    return text


def _time(text: str) -> str:
    parse_time_ns(text)
    return text


ExternalId = Annotated[
    str,
    Field(
        min_length=1,
        max_length=200,
        description="Your own id of the lead; it stays out of the log and can be erased.",
        examples=["user-1842"],
    ),
    AfterValidator(_no_control),
]
Amount = Annotated[
    str,
    Field(
        pattern=r"^[0-9]{1,18}(\.[0-9]{1,6})?$",
        description="A decimal amount of tokens as text, never a JSON number.",
        examples=["29.90"],
    ),
    AfterValidator(_amount),
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
    AfterValidator(_time),
]
Key = Annotated[
    str,
    Field(
        pattern=r"^[!-~]{1,128}$",
        description="Yours to choose; the same key with the same content is the same request.",
        examples=["order-7731"],
    ),
]
