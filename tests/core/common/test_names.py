"""Names: what looks the same is the same name, or one of the two is refused."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.core.common.names import (
    MAX_EVENT_BYTES,
    MAX_ID_BYTES,
    escaped,
    event_name,
    is_short_name,
    own_id,
    plain_name,
    short_name,
)
from tests.support.depth import examples

COMPOSED, DECOMPOSED = "ren\u00e9e", "rene\u0301e"


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "user-1842",
        "ann@example.org",
        "Order Completed",
        "Заказ оформлен",
        "購入完了",
        "~!\"'\\",
        "🛍 bought",
        "a  b",
        "x" * MAX_ID_BYTES,
        "𐍈" * (MAX_ID_BYTES // 4),
    ],
)
def test_a_name_that_hides_nothing_stays_as_it_is(text: str) -> None:
    assert own_id(text) == text


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (COMPOSED, DECOMPOSED),
        ("\u212bngström", "A\u030angstro\u0308m"),  # the sign for the unit, and a letter
        ("한", "\u1112\u1161\u11ab"),
        ("q\u0323\u0307", "q\u0307\u0323"),  # two accents in either order
        ("ohm \u2126", "ohm \u03a9"),
    ],
)
def test_two_ways_to_write_one_name_are_one_name(one: str, other: str) -> None:
    assert one != other
    assert own_id(one) == own_id(other) == event_name(other)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "must not be empty"),
        ("ok ", "must not begin or end with a space: 'ok '"),
        (" ok", "must not begin or end with a space: ' ok'"),
        (" ", "must not begin or end with a space"),
        ("ok\u00a0", "U+00A0 NO-BREAK SPACE in 'ok\\xa0'"),
        ("a\u3000b", "U+3000 IDEOGRAPHIC SPACE"),
        ("a\u2028b", "U+2028 LINE SEPARATOR"),
        ("a\tb", "U+0009 in 'a\\tb'"),
        ("a\nb", "U+000A in 'a\\nb'"),
        ("a\0b", "U+0000 in 'a\\x00b'"),
        ("a\x7fb", "U+007F"),
        ("o\u200bk", "U+200B ZERO WIDTH SPACE in 'o\\u200bk'"),
        ("o\u200dk", "U+200D ZERO WIDTH JOINER"),
        ("\ufeffok", "U+FEFF ZERO WIDTH NO-BREAK SPACE"),
        ("\u202eok", "U+202E RIGHT-TO-LEFT OVERRIDE"),
        ("o\u00adk", "U+00AD SOFT HYPHEN"),
        ("o\u034fk", "U+034F COMBINING GRAPHEME JOINER"),
        ("ok\ufe0f", "U+FE0F VARIATION SELECTOR-16"),
        ("ok\U000e0100", "U+E0100 VARIATION SELECTOR-17"),
        ("ok\U000e0041", "U+E0041 TAG LATIN CAPITAL LETTER A"),
        ("\u3164", "U+3164 HANGUL FILLER"),
        ("a\u2800b", "U+2800 BRAILLE PATTERN BLANK"),
        ("a\ue000b", "U+E000 in"),
        ("a\uffffb", "U+FFFF in"),
        ("a\ud800b", "U+D800 in 'a\\ud800b'"),
        ("x" * 513, "must have at most 512 bytes of UTF-8, not 513: 'xxx"),
        ("é" * 257, "must have at most 512 bytes of UTF-8, not 514: '\\xe9"),
        ("x" * 2049, "not 2049 characters"),
        ("a" + "\u0301" * 31, "must not have more than 30 accents in a row: 'a\\u0301"),
    ],
)
def test_a_name_that_hides_something_is_refused_with_its_rule(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=r"^must ") as caught:
        own_id(text)
    message = str(caught.value)
    assert said in message
    assert message.isascii()
    assert message.isprintable()
    assert len(message) < 200


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("pay", "p\u0430y"),  # a Cyrillic letter
        ("ok", "\uff4f\uff4b"),  # wide letters
        ("fi", "\ufb01"),  # a ligature
        ("a b", "a  b"),
        ("ok", "Ok"),
    ],
)
def test_names_that_only_resemble_each_other_are_two(one: str, other: str) -> None:
    assert own_id(one) != own_id(other)


def test_the_bound_is_on_what_is_kept() -> None:
    assert own_id("e\u0301" * 256) == "é" * 256
    assert len(event_name("x" * MAX_EVENT_BYTES)) == MAX_EVENT_BYTES
    with pytest.raises(ValueError, match="at most 255 bytes of UTF-8, not 256"):
        event_name("x" * 256)
    assert plain_name("\u1fa7".encode().decode() * 2, 6) == "\u1fa7\u1fa7"
    # The longest spelling of the shortest result: four characters for one.
    assert plain_name(unicodedata.normalize("NFD", "\u1fa7"), 3) == "\u1fa7"


@settings(examples(300, deep=5000))
@given(st.text(st.characters(codec=None), max_size=40))
def test_what_is_taken_is_one_of_its_kind(text: str) -> None:
    """A name is its own name, as are its other spellings, and nothing in it is unseen."""
    try:
        name = own_id(text)
    except ValueError:
        return
    assert own_id(name) == name
    assert own_id(unicodedata.normalize("NFD", name)) == name
    assert unicodedata.normalize("NFC", text) == name
    assert name == name.strip()
    assert not {unicodedata.category(each)[0] for each in name.replace(" ", "")} & set("CZ")
    assert 1 <= len(name.encode()) <= MAX_ID_BYTES


@pytest.mark.parametrize("text", ["!", "a b", "~" * 32, "signed_up"])
def test_short_names(text: str) -> None:
    assert is_short_name(text)
    assert short_name(text) == text


@pytest.mark.parametrize("text", ["", " a", "a ", "x" * 33, "né", "a\n", "a\x7f", "\0"])
def test_a_name_too_long_for_an_entry_is_refused_in_words(text: str) -> None:
    assert not is_short_name(text)
    with pytest.raises(ValueError, match="must be 1 to 32 printable ASCII characters, neither"):
        short_name(text)


def test_a_text_is_shown_escaped_and_in_part() -> None:
    assert escaped("rené\u200b") == r"'ren\xe9\u200b'"
    assert len(escaped("\U0001f6cd" * 1_000_000)) == 60
