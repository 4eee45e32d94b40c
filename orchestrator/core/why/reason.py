"""Reasons: the typed facts of an answer, and how they name amounts, times and parties."""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any, NamedTuple

from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.core.common.units import DAY_MS, counted, format_amount, format_ms, format_second
from orchestrator.core.deals.site import TokenInfo
from orchestrator.core.log.entry import ZERO_WORD

# The most parts of one reason: of a longer list the rest is counted.
MAX_PARTS = 25


class Code(StrEnum):
    """The stable name of a reason. docs/why.md says what each means."""

    # A touch.
    TOUCH_WON = "touch-won"
    TOUCH_OVER_BUDGET = "touch-over-budget"
    TOUCH_OPEN = "touch-open"
    TOUCH_LOST = "touch-lost"
    NO_CONTRACT = "no-contract"
    NO_TRANSITION = "no-transition"
    CAN_STILL_WIN = "can-still-win"
    OWN_TOUCH_FIRST = "own-touch-first"
    OWN_TOUCH_LAST = "own-touch-last"
    # A contract before a transition.
    RIVAL_WON = "rival-won"
    RIVAL_OVER_BUDGET = "rival-over-budget"
    OPENED_LATER = "opened-later"
    OTHER_POLICY = "other-policy"
    BEFORE_OPENING = "before-opening"
    AFTER_DEADLINE = "after-deadline"
    AFTER_CLOSING = "after-closing"
    UNTOUCHED = "untouched"
    LEAD_COUNTED = "lead-counted"
    TOUCH_BEFORE_OPENING = "touch-before-opening"
    TOUCH_AFTER_EVENT = "touch-after-event"
    TOUCH_TOO_OLD = "touch-too-old"
    FIRST_TOUCH_TOO_OLD = "first-touch-too-old"
    OTHER_TOUCH_FIRST = "other-touch-first"
    OTHER_TOUCH_LAST = "other-touch-last"
    SAME_TOUCH_OLDER_CONTRACT = "same-touch-older-contract"
    # A lead, and what happened to it.
    LEAD = "lead"
    LEAD_BROUGHT = "lead-brought"
    TRANSITION_PAID = "transition-paid"
    TRANSITION_OVER_BUDGET = "transition-over-budget"
    TRANSITION_UNPAID = "transition-unpaid"
    TRANSITION_REFUSED = "transition-refused"
    EVENT_TOOK = "event-took"
    EVENT_TOOK_NOTHING = "event-took-nothing"
    LOG_DIFFERS = "log-differs"
    CUT = "cut"
    # An outcome.
    OUTCOME_PAYS = "outcome-pays"
    OUTCOME_OVER_BUDGET = "outcome-over-budget"
    OUTCOME_TOUCH = "outcome-touch"
    OUTCOME_TRANSITION = "outcome-transition"
    OUTCOME_AMOUNT = "outcome-amount"
    STATED = "stated"
    NOT_STATED = "not-stated"
    NEVER_STATED = "never-stated"
    ANCHORED = "anchored"
    NOT_ANCHORED = "not-anchored"
    PAID = "paid"
    PAID_IN_PART = "paid-in-part"
    NOT_PAID = "not-paid"
    REVERSED = "reversed"
    REVERSIBLE = "reversible"
    NOT_REVERSIBLE = "not-reversible"
    # A contract.
    CONTRACT = "contract"
    EARNED = "earned"
    OVER = "over"
    PAYABLE = "payable"
    DISPUTED = "disputed"
    RULED = "ruled"
    CAN_EARN = "can-earn"
    CAN_EARN_NOTHING = "can-earn-nothing"
    NOT_YET_OPEN = "not-yet-open"
    DEADLINE_PASSED = "deadline-passed"
    CONTRACT_CLOSED = "contract-closed"
    BUDGET_USED = "budget-used"
    OWNER_OTHER = "owner-other"
    NO_SURFACE = "no-surface"
    NO_LEADS = "no-leads"
    OLDER_CONTRACT_FIRST = "older-contract-first"
    TERMS_EARN_NOTHING = "terms-earn-nothing"
    # A level.
    LEVEL = "level"
    LEVEL_DUE = "level-due"
    SUSPENDED = "suspended"
    NO_SETTINGS = "no-settings"
    LEVEL_TOO_LOW = "level-too-low"
    COUNTED = "counted"
    NOT_COUNTED_YET = "not-counted-yet"
    OTHER_TOKEN = "other-token"  # noqa: S105 - a token of money
    FORGOTTEN = "forgotten"
    RAISE = "raise"
    HIGHEST = "highest"
    MISSING_CONTRACT = "missing-contract"
    MISSING_SKILL = "missing-skill"
    POOL_FULL = "pool-full"
    MISSING_OUTCOMES = "missing-outcomes"
    MISSING_UNITS = "missing-units"
    MISSING_AGE = "missing-age"
    TOO_MUCH_REVERSED = "too-much-reversed"
    TOO_MANY_DISPUTES = "too-many-disputes"
    DISPUTE_LOST = "dispute-lost"
    PAUSE = "pause"
    LOSE = "lose"
    LIMITS = "limits"
    POOL = "pool"
    # A requested action.
    ACTION = "action"
    ACTION_ANSWERED = "action-answered"
    ACTION_DONE = "action-done"
    ACTION_EXPIRED = "action-expired"
    # A contract that is not open.
    UNOPENED = "unopened"
    OPENING_FAILED = "opening-failed"
    OPENING_AGAIN = "opening-again"
    OPENING_PUT_OFF = "opening-put-off"
    OPENING_TRIED = "opening-tried"
    OPENING_LEFT = "opening-left"
    # A request.
    REQUEST_WAITS = "request-waits"
    REQUEST_DONE = "request-done"
    REQUEST_IGNORED = "request-ignored"
    REQUEST_REFUSED = "request-refused"
    RULE = "rule"
    REMEDY = "remedy"
    FINAL = "final"


_NONE: Mapping[str, int] = MappingProxyType({})


class Reason(NamedTuple):
    """One fact of an answer, in words, with the log positions behind it and what it rests on.

    `subject` is the contract that it is about, if it is about one. `numbers` has the numbers of the
    text by name.
    """

    code: Code
    text: str
    positions: tuple[int, ...] = ()
    parts: tuple["Reason", ...] = ()
    numbers: Mapping[str, int] = _NONE
    subject: bytes = b""

    def walk(self) -> Iterator["Reason"]:
        """Yield this reason and all below it."""
        yield self
        for part in self.parts:
            yield from part.walk()

    def codes(self) -> set[str]:
        """Return the codes of this reason and of all below it."""
        return {reason.code for reason in self.walk()}

    def find(self, code: Code) -> "Reason":
        """Return the first reason of this code. Raises LookupError if there is none."""
        for reason in self.walk():
            if reason.code is code:
                return reason
        raise LookupError(f"the answer has no reason {code}")

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object of the public API; amounts are text, as everywhere there."""
        return {
            "code": self.code.value,
            "text": self.text,
            "positions": list(self.positions),
            "contract_id": to_hex(self.subject) if self.subject else None,
            "numbers": {
                name: str(value) if name.endswith("_units") else value
                for name, value in self.numbers.items()
            },
            "parts": [part.to_json() for part in self.parts],
        }


def cut(parts: list[Reason], total: int, what: str) -> tuple[Reason, ...]:
    """Return at most `MAX_PARTS` parts, and a last one that counts those of `total` left out."""
    shown = parts[:MAX_PARTS]
    left_out = total - len(shown)
    if left_out > 0:
        text = f"{left_out:,} more {what} are left out of this answer"
        shown.append(Reason(Code.CUT, text, numbers={"left_out": left_out}))
    return tuple(shown)


# --- Words ----------------------------------------------------------------------------------------

Tokens = Mapping[bytes, TokenInfo]  # by the token's word


def amount(units: int, token: bytes, tokens: Tokens) -> str:
    """Write an amount of a token: as people do where the token is known, else in base units."""
    known = tokens.get(token)
    if known is None:
        return f"{units:,} base units"
    return f"{format_amount(units, known.decimals)} {known.symbol}"


def moment(time_ms: int) -> str:
    """Write a time as people do; with milliseconds where there are any."""
    return format_ms(time_ms) if time_ms % 1000 else format_second(time_ms // 1000)


def span(period_ms: int) -> str:
    """Write a length of time in its largest two units."""
    rest, found = period_ms, []
    for name, length in (("day", DAY_MS), ("hour", 3_600_000), ("minute", 60_000)):
        count, rest = divmod(rest, length)
        if count:
            found.append(counted(count, name))
    # Less than a minute is worth words only where there is nothing longer.
    if rest and not found:
        found.append(f"{rest / 1000:g} seconds" if rest != 1000 else "1 second")
    return " ".join(found[:2]) or "no time"


def percent(bps: int) -> str:
    """Write hundredths of a percent as a percentage."""
    return f"{bps / 100:g} %"


def short(word: bytes) -> str:
    """Write the beginning of an id: an answer's JSON has all of a contract's."""
    return f"0x{word[:4].hex()}…"


def party(word: bytes) -> str:
    """Write an operator's or owner's address."""
    return f"0x{(word[12:] if word[:12] == ZERO_WORD[:12] else word).hex()}"
