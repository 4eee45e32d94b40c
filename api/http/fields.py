"""The single values of requests and answers, each with its bounds, its form and an example.

Ids are `0x` and lower-case hex. Amounts are decimal text: token base units where a name ends in
`_units`, tokens otherwise. Times are UTC integers, `_ms` or `_s`, but for a product event's own
time, which is RFC 3339 as products write it.
"""

from functools import lru_cache
from typing import Annotated, Any, Literal

from fastapi import Path, Query
from pydantic import AfterValidator, BeforeValidator, Field

from orchestrator.core.account.board import ITEM_PATTERN, MAX_MESSAGES
from orchestrator.core.account.sign_in import MAX_SIGNATURE_BYTES
from orchestrator.core.common import names
from orchestrator.core.common.keccak import to_checksum_address
from orchestrator.core.common.units import parse_amount, parse_time_ns
from orchestrator.core.entries.kinds import KINDS
from orchestrator.core.entries.receipt import MAX_PATH
from orchestrator.core.entries.webhook import WEBHOOK_EVENTS
from orchestrator.core.log.bundle import MAX_BUNDLE

MAX_PAGE = 1_000
# Of the directory, whose items are large.
MAX_DIRECTORY_PAGE = 50
MAX_KEY_NAME_BYTES = 128
MAX_KEY_SURFACES = 100
MAX_CAPABILITIES = 32
MAX_MEMORY_BYTES = 8_192
# The log's words give times and positions 40 bits.
MAX_TIME_S = 2**40 - 1
MAX_POSITION = 2**40 - 1
# Longer ones no receipt has.
MAX_CHECKPOINT_SIGNATURE_BYTES = 4_096
NAME_PATTERN = f"^{names.SHORT_NAME_PATTERN}$"

_WORD_PATTERN = r"^0x[0-9a-f]{64}$"
_WORDS_PATTERN = r"^0x[0-9a-f]{64}(,0x[0-9a-f]{64}){0,9}$"
_NAME_START_PATTERN = r"^[ -~]{1,32}$"
_ADDRESS_PATTERN = r"^0x[0-9a-fA-F]{40}$"
_BYTES_PATTERN = r"^0x([0-9a-f]{2})*$"
_SIGNATURE_PATTERN = r"^0x([0-9a-fA-F]{2})*$"
_UNITS_PATTERN = r"^(0|[1-9][0-9]{0,77})$"
_LEAD_CURSOR_PATTERN = r"^[!-~]([ -~]{0,30}[!-~])?\.0x[0-9a-f]{64}$"
_MOMENT_CURSOR_PATTERN = r"^[0-9]{1,15}\.0x[0-9a-f]{64}$"
_AMOUNT_PATTERN = r"^[0-9]{1,18}(\.[0-9]{1,6})?$"
_MOMENT_PATTERN = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}"
    r"(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})$"
)
_KEY_PATTERN = r"^[!-~]{1,128}$"
_MESSAGE_PATTERN = r"^msg_[0-9a-f]{16}_(offer_)?[0-9]{1,13}$"
_KEY_ID_PATTERN = r"^(current|0x[0-9a-f]{64})$"
_MEMORY_KEY_PATTERN = r"^[0-9A-Za-z._:-]{1,128}$"
# The rule behind each pattern that a request may break, as a refusal says it.
SECRET_PATTERN = r"^[!-~]{16,128}$"  # noqa: S105
_EVENT_PATTERN = "^({})$".format("|".join(event.replace(".", r"\.") for event in WEBHOOK_EVENTS))
PATTERN_RULES = {
    SECRET_PATTERN: "must be 16 to 128 printable ASCII characters without spaces",
    _WORD_PATTERN: "must be 0x and 64 lower-case hex digits",
    _WORDS_PATTERN: "must be 1 to 10 ids of 0x and 64 lower-case hex digits, with commas between",
    _NAME_START_PATTERN: "must be 1 to 32 printable ASCII characters",
    _ADDRESS_PATTERN: "must be an address: 0x and 40 hex digits",
    _SIGNATURE_PATTERN: "must be a signature: 0x and the hex digits of whole bytes",
    _UNITS_PATTERN: "must be a whole number of base units as text, without sign or leading zero",
    _LEAD_CURSOR_PATTERN: "must be the `next` of the page before",
    _MOMENT_CURSOR_PATTERN: "must be the `next` of the page before",
    _AMOUNT_PATTERN: 'must be a decimal amount as text with at most 6 decimals, such as "29.90"',
    _MOMENT_PATTERN: "must be RFC 3339 with a time zone, such as 2026-03-01T12:30:00Z",
    _MESSAGE_PATTERN: "must be the id of a message, such as msg_1b1b1b1b1b1b1b1b_1234",
    _KEY_ID_PATTERN: "must be `current`, or 0x and 64 lower-case hex digits",
    _MEMORY_KEY_PATTERN: "must be 1 to 128 letters, digits, dots, colons, hyphens or underscores",
    ITEM_PATTERN: "must be a lead (0x and 64 lower-case hex digits), or a name that begins with a "
    "letter: at most 128 letters, digits, dots, colons, hyphens and underscores",
    _EVENT_PATTERN: f"must be one of {', '.join(WEBHOOK_EVENTS)}",
    _KEY_PATTERN: "must be 1 to 128 visible ASCII characters, without spaces",
}

_WORD = "0x" + "1b" * 32
_KINDS = "|".join(kind.replace(".", r"\.") for kind in KINDS)
_ADDRESS = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"


# --- Ids and addresses ----------------------------------------------------------------------------

# A checksum costs a Keccak hash, and a page names the same few parties over and over.
checksummed = lru_cache(maxsize=4096)(to_checksum_address)


def address(word: bytes) -> str:
    """Return the address in a word of the log, with its checksum."""
    return checksummed(word[12:])


def _check_kinds(text: str) -> str:
    for kind in text.split(","):
        _check_kind(kind)
    return text


def _check_kind(text: str) -> str:
    if text not in KINDS:
        raise ValueError("must be a kind of entry, as docs/entries.md lists them")
    return text


Word = Annotated[str, Field(pattern=_WORD_PATTERN, examples=[_WORD])]
SurfaceId = Annotated[Word, Path(description="A surface's id.")]
SurfaceIds = Annotated[
    str,
    Field(
        pattern=_WORDS_PATTERN,
        description="Only these: at most ten ids, with commas between them.",
        examples=[_WORD],
    ),
]
Names = Annotated[
    str, Field(pattern=_NAME_START_PATTERN, description="How a surface's name begins.")
]
ContractId = Annotated[Word, Path(description="A contract's id: the digest of its terms.")]
OperatorAddress = Annotated[
    str, Path(pattern=_ADDRESS_PATTERN, description="An operator's address.", examples=[_ADDRESS])
]
WebhookEvent = Annotated[
    str,
    Field(
        pattern=_EVENT_PATTERN,
        description="A kind of entry that is told.",
        examples=["action.requested"],
    ),
]
KeyId = Annotated[
    str,
    Path(
        pattern=_KEY_ID_PATTERN,
        description="A key's random id, which is no secret; `current` is the request's own key.",
        examples=["current"],
    ),
]
Address = Annotated[
    str,
    Field(
        pattern=_ADDRESS_PATTERN,
        description="With its EIP-55 checksum.",
        examples=[_ADDRESS],
    ),
]
Signature = Annotated[
    str,
    Field(
        pattern=_SIGNATURE_PATTERN,
        max_length=2 + 2 * MAX_SIGNATURE_BYTES,
        description="65 bytes r ‖ s ‖ v of a key; or what an ERC-1271 contract takes, `0x` if that "
        "was signed on chain; or that of a wallet not deployed yet, with its making (ERC-6492). "
        f"At most {MAX_SIGNATURE_BYTES} bytes.",
        examples=["0x" + "5f" * 64 + "1b"],
    ),
]
EntryHex = Annotated[
    str,
    Field(pattern=r"^0x[0-9a-f]{512}$", description="256 bytes: eight words, as the log has them."),
]
EntryKind = Annotated[
    str,
    Field(json_schema_extra={"enum": list(KINDS)}, description="A kind of entry."),
    AfterValidator(_check_kind),
]
EntryKinds = Annotated[
    str,
    Field(
        max_length=1_000,
        description="Only of these kinds, with commas between them.",
        examples=["outcome,settlement,payout"],
        json_schema_extra={"pattern": f"^({_KINDS})(,({_KINDS}))*$"},
    ),
    AfterValidator(_check_kinds),
]
Hashes = Annotated[list[Word], Field(max_length=128)]
# Of a receipt, in the one form in which `verify` takes it.
InclusionPath = Annotated[
    list[Word], Field(max_length=MAX_PATH, description="RFC 9162 §2.1.3, from the leaf upwards.")
]
CheckpointSignature = Annotated[
    str,
    Field(
        pattern=_BYTES_PATTERN,
        max_length=2 + 2 * MAX_CHECKPOINT_SIGNATURE_BYTES,
        description="The publisher's, in lower-case hex: 65 bytes r ‖ s ‖ v of a key, or what an "
        "ERC-1271 contract takes.",
        examples=["0x" + "5f" * 64 + "1b"],
    ),
]


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
PositionOrNone = Annotated[
    int, Field(ge=0, le=MAX_POSITION, description="A position in the log; 0 for none.")
]
Size = Annotated[
    int, Field(ge=1, le=MAX_POSITION, description="A number of entries, from 1 on."), Digits
]
TreeSize = Annotated[
    int, Field(ge=0, le=MAX_POSITION, description="A number of entries: those of the tree.")
]
Count = Annotated[int, Field(ge=0, le=MAX_POSITION, description="A whole number.")]
TimeMs = Annotated[
    int, Field(ge=0, description="UTC milliseconds since 1970.", examples=[1_772_368_200_000])
]
DurationMs = Annotated[
    int, Field(ge=0, description="A length of time in milliseconds.", examples=[604_800_000])
]
TimeS = Annotated[int, Field(ge=0, le=MAX_TIME_S, examples=[1_772_368_200])]
Bps = Annotated[int, Field(ge=0, le=10_000, description="Hundredths of a percent.")]
Units = Annotated[
    str,
    Field(
        pattern=_UNITS_PATTERN,
        description="An integer as decimal text: token base units.",
        examples=["8000000"],
    ),
]


# --- Pages ----------------------------------------------------------------------------------------

Limit = Annotated[
    Annotated[int, Field(ge=1, le=MAX_PAGE), Digits],
    Query(description="The most items to return."),
]
BundleLimit = Annotated[
    Annotated[int, Field(ge=1, le=MAX_BUNDLE), Digits],
    Query(description="The most entries to return."),
]
DirectoryLimit = Annotated[
    Annotated[int, Field(ge=1, le=MAX_DIRECTORY_PAGE), Digits],
    Query(description="The most items to return."),
]
AfterWord = Annotated[Word | None, Query(description="`next` of the page before.")]
AfterPosition = Annotated[Position, Query(description="`next` of the page before.")]
ActionState = Literal["requested", "taken", "done", "failed", "expired"]
MessageId = Annotated[
    str,
    Path(
        pattern=_MESSAGE_PATTERN,
        description="A message's id, as its `webhook-id` has it.",
        examples=["msg_1b1b1b1b1b1b1b1b_1234"],
    ),
]
DeliveryState = Literal["waiting", "delivered", "dead", "moot"]
WebhookId = Annotated[
    str,
    Path(pattern=_WORD_PATTERN, description="A webhook's random id.", examples=[_WORD]),
]
LeadCursor = Annotated[
    str,
    Field(
        pattern=_LEAD_CURSOR_PATTERN,
        description="A lead's state and pseudonym.",
        examples=[f"activated.{_WORD}"],
    ),
]
ProposalCursor = Annotated[
    str,
    Field(
        pattern=_MOMENT_CURSOR_PATTERN,
        description="The time at which a proposal was made, and its id.",
        examples=[f"1767225600000.{_WORD}"],
    ),
]
KeyCursor = Annotated[
    str,
    Field(
        pattern=_MOMENT_CURSOR_PATTERN,
        description="The time at which a key was made, and its id.",
        examples=[f"1767225600000.{_WORD}"],
    ),
]


MemoryCursor = Annotated[
    str, Field(pattern=_MEMORY_KEY_PATTERN, description="The key of an entry.", examples=["plan"])
]


# --- Text of callers ------------------------------------------------------------------------------


_PLAIN_NAME = (
    "1 to {bytes} bytes of UTF-8 in the normal form NFC, into which it is brought; no space at "
    "either end, and no character that cannot be seen (a control, a zero-width or other format "
    "character, a variation selector, a space other than the plain one)."
)


def _lengths(most_bytes: int) -> dict[str, Any]:
    """Return the bounds that a description can give: a name of the normal form may come longer."""
    return {"minLength": 1, "maxLength": names.MOST_PARTS * most_bytes}


def _check_amount(text: str) -> str:
    parse_amount(text)
    return text


def _check_time(text: str) -> str:
    parse_time_ns(text)
    return text


Name = Annotated[
    str,
    Field(
        description=f"{names.SHORT_NAME_RULE}.",
        json_schema_extra={"pattern": NAME_PATTERN},
    ),
    AfterValidator(names.short_name),
]
ExternalId = Annotated[
    str,
    Field(
        description="Your own id of the lead; it stays out of the log and can be erased. "
        + _PLAIN_NAME.format(bytes=names.MAX_ID_BYTES),
        json_schema_extra=_lengths(names.MAX_ID_BYTES),
        examples=["user-1842"],
    ),
    AfterValidator(names.own_id),
]
Ref = Annotated[
    str,
    Field(
        min_length=1,
        max_length=128,
        description="The code that the lead came by, as its link had it. One that is unknown, "
        "spent, expired or ended is not used, and which of these is not said.",
        examples=["9f86d081884c7d659a2feaa0c55ad015"],
    ),
]
CodeId = Annotated[Word, Path(description="A code's random id.")]
EventName = Annotated[
    str,
    Field(
        description="The event as your product calls it; the policy's `events` gives a long name "
        "its short one. An event that the policy does not name is taken and ignored. "
        + _PLAIN_NAME.format(bytes=names.MAX_EVENT_BYTES),
        json_schema_extra=_lengths(names.MAX_EVENT_BYTES),
        examples=["subscribe"],
    ),
    AfterValidator(names.event_name),
]
OrderId = Annotated[
    str,
    Field(json_schema_extra=_lengths(names.MAX_ID_BYTES)),
    AfterValidator(names.own_id),
]
Amount = Annotated[
    str,
    Field(
        pattern=_AMOUNT_PATTERN,
        description="A decimal amount of tokens as text, never a JSON number.",
        examples=["29.90"],
    ),
    AfterValidator(_check_amount),
]
Moment = Annotated[
    str,
    Field(
        pattern=_MOMENT_PATTERN,
        json_schema_extra={"format": "date-time"},
        description="RFC 3339, with a time zone.",
        examples=["2026-03-01T12:30:00Z"],
    ),
    AfterValidator(_check_time),
]
KeyName = Annotated[
    str,
    Field(
        description="Your own name of the key, for its holder and its account. "
        + _PLAIN_NAME.format(bytes=MAX_KEY_NAME_BYTES),
        json_schema_extra=_lengths(MAX_KEY_NAME_BYTES),
        examples=["mailer"],
    ),
    AfterValidator(lambda text: names.plain_name(text, MAX_KEY_NAME_BYTES)),
]
Key = Annotated[
    str,
    Field(
        pattern=_KEY_PATTERN,
        description="Yours to choose; the same key with the same content is the same request.",
        examples=["order-7731"],
    ),
]
MemoryKey = Annotated[
    str,
    Path(
        pattern=_MEMORY_KEY_PATTERN,
        description="Yours to choose; it goes with its entry.",
        examples=["plan"],
    ),
]
BoardId = Annotated[
    Word,
    Path(
        description="A surface's id: your own board there, which your keys share. Or the id of a "
        "contract that you are a party to: its board, which both parties share."
    ),
]
_ITEM_RULE = (
    "A lead by its pseudonym, with which it is erased; or a name that you agree on, which begins "
    "with a letter."
)
WorkItem = Annotated[
    str, Field(pattern=ITEM_PATTERN, description=_ITEM_RULE, examples=["follow-up:week-3"])
]
WorkItemId = Annotated[
    str, Path(pattern=ITEM_PATTERN, description=_ITEM_RULE, examples=["follow-up:week-3"])
]
Fence = Annotated[
    int,
    Field(
        ge=1,
        # The highest that every reader of the description has exactly.
        le=2**53 - 1,
        description="The number of a lease. It grows each time that an item is taken or handed "
        "over: where two act on one item, the higher fence is right.",
    ),
]
Receiver = Annotated[
    str,
    Field(
        description="A key, by its id or, of your own account, by its name. "
        + _PLAIN_NAME.format(bytes=MAX_KEY_NAME_BYTES),
        json_schema_extra=_lengths(MAX_KEY_NAME_BYTES),
        examples=["mailer"],
    ),
    AfterValidator(lambda text: names.plain_name(text, MAX_KEY_NAME_BYTES)),
]
MessageNumber = Annotated[
    int, Field(ge=0, le=2**63 - 1, description="The place of a message on its board."), Digits
]
MessageLimit = Annotated[
    Annotated[int, Field(ge=1, le=MAX_MESSAGES), Digits],
    Query(description="The most items to return."),
]
DisplayName = Annotated[
    str,
    Field(
        description="A name for people. " + _PLAIN_NAME.format(bytes=MAX_KEY_NAME_BYTES),
        json_schema_extra=_lengths(MAX_KEY_NAME_BYTES),
        examples=["Harvest"],
    ),
    AfterValidator(lambda text: names.plain_name(text, MAX_KEY_NAME_BYTES)),
]
Contact = Annotated[
    str,
    Field(
        description="An address, a handle or a URL: only those to whom you propose see it. "
        + _PLAIN_NAME.format(bytes=names.MAX_ID_BYTES),
        json_schema_extra=_lengths(names.MAX_ID_BYTES),
        examples=["ops@harvest.example"],
    ),
    AfterValidator(names.own_id),
]
