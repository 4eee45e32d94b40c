"""Names: the texts by which callers call leads, events, states and actions, by one rule everywhere.

Money follows names, so a name hides nothing: two names that look the same are one name, or one of
them is refused. A name of the caller's own (the id of a lead or an order, an event of the product;
in a history also an operator and a contract) is any text of so many bytes of UTF-8, in Unicode's
normal form NFC, into which `é` is brought however it was written. It is refused if it begins or
ends with a space, or has a character that shows nothing: a control, a format, a selector, a filler,
any space but the plain one, a private or unassigned code, or more accents on one letter than any
writing needs.

Letters of two scripts that look alike, wide and other compatibility forms, and two spaces where
another name has one, make other names: no rule here joins or refuses them.

A short name is one word of a log entry: 32 printable ASCII characters, readable on an explorer.

Text that breaks a rule raises `ValueError`; its message is a phrase to put behind a field's name.
"""

import re
import unicodedata
from functools import lru_cache

from orchestrator.core.common.errors import shorten

MAX_ID_BYTES = 512
MAX_EVENT_BYTES = 255
SHORT_NAME_RULE = "1 to 32 printable ASCII characters, neither the first nor the last a space"
SHORT_NAME_PATTERN = r"[!-~](?:[ -~]{0,30}[!-~])?"

_SHORT_NAME = re.compile(SHORT_NAME_PATTERN)
# What Unicode calls default ignorable, and a blank pattern of Braille, as far as `isprintable`
# lets them pass: they are marks, letters and symbols by their class, and show nothing.
_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0"
    "\U000e0100-\U000e01ef]"
)
# The most characters that one of the normal form is written with: Greek letters with three accents.
MOST_PARTS = 4
# The stream-safe format of Unicode (UAX 15) allows as many; sorting more would cost their square.
_MOST_ACCENTS = 30


def own_id(text: str) -> str:
    """Return a caller's own id of a lead or an order, normalised."""
    return plain_name(text, MAX_ID_BYTES)


# The events of a product are few, and each comes many times.
@lru_cache(maxsize=1024)
def event_name(text: str) -> str:
    """Return the name of a product's event, normalised."""
    return plain_name(text, MAX_EVENT_BYTES)


def plain_name(text: str, most_bytes: int) -> str:
    """Return a name of at most so many bytes of UTF-8, normalised."""
    if not text:
        raise ValueError("must not be empty")
    # Beyond this no normal form is short enough, and none is computed.
    if len(text) > MOST_PARTS * most_bytes:
        raise ValueError(
            f"must have at most {most_bytes} bytes of UTF-8, not {len(text)} characters: "
            f"{escaped(text)}"
        )
    name = text if text.isascii() else _normalised(text)
    unseen = None if name.isascii() else _UNSEEN.search(name)
    if unseen or not name.isprintable():
        found = unseen[0] if unseen else next(each for each in name if not each.isprintable())
        raise ValueError(
            f"must not have characters that cannot be seen, such as {_described(found)} "
            f"in {escaped(text)}"
        )
    if name[0] == " " or name[-1] == " ":
        raise ValueError(f"must not begin or end with a space: {escaped(text)}")
    size = len(name) if name.isascii() else len(name.encode())
    if size > most_bytes:
        raise ValueError(
            f"must have at most {most_bytes} bytes of UTF-8, not {size}: {escaped(text)}"
        )
    return name


def is_short_name(text: str) -> bool:
    """Return whether `text` fits a log word: 1 to 32 printable ASCII characters, trimmed."""
    return _SHORT_NAME.fullmatch(text) is not None


def short_name(text: str) -> str:
    """Return a short name as it is."""
    if not is_short_name(text):
        raise ValueError(f"must be {SHORT_NAME_RULE}, not {escaped(text)}")
    return text


def visible(text: str) -> str:
    """Return what is seen of an event's name that breaks the rule; empty for one beyond bounds."""
    if len(text) > MOST_PARTS * MAX_EVENT_BYTES:
        return ""
    shown = "".join(each for each in text if is_seen(each)).strip(" ")
    try:
        return _normalised(shown)
    except ValueError:
        return ""


def is_seen(character: str) -> bool:
    """Return whether a character shows something; the plain space counts as well."""
    return character.isprintable() and _UNSEEN.fullmatch(character) is None


def escaped(text: str) -> str:
    """Return a text in quotes, shortened, with every character beyond ASCII as its code."""
    # Cut first: a message needs its beginning alone, and each character may become ten.
    return shorten(ascii(text[:100]))


def _normalised(text: str) -> str:
    accents = 0
    for character in text:
        accents = accents + 1 if unicodedata.combining(character) else 0
        if accents > _MOST_ACCENTS:
            raise ValueError(
                f"must not have more than {_MOST_ACCENTS} accents in a row: {escaped(text)}"
            )
    return unicodedata.normalize("NFC", text)


def _described(character: str) -> str:
    name = unicodedata.name(character, "")
    return f"U+{ord(character):04X}{f' {name}' if name else ''}"
