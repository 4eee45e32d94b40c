"""Payloads: one meaning each, and decimals that stay text."""

import pytest

from orchestrator.core.intake.found import IntakeError
from orchestrator.core.intake.payload import Number, read_item, read_payload, text_of, value_at


def test_numbers_keep_their_digits() -> None:
    found = read_payload(b' {"a": 29.90, "b": 7, "c": 1e3} \n')
    assert found == {"a": "29.90", "b": 7, "c": "1e3"}
    assert isinstance(value_at(found, ("a",)), Number)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b'{"a": 1, "a": 2}', "the key 'a' twice"),
        (b'{"x": {"b": 1, "b": 1}}', "the key 'b' twice"),
        (b'{"a": NaN}', "the number NaN"),
        (b'{"a": -Infinity}', "the number -Infinity"),
        (b'{"a": ' + b"9" * 5_000 + b"}", "of 5000 digits"),
        (b"[" * 200_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b'{"a": "\xff"}', "not UTF-8 at byte 7"),
        (b'{"a": "\\ud800"}', "half a surrogate pair"),
        (b"{} {}", "Extra data"),
        (b"", "Expecting value"),
        (b'{"a": 01}', "is not JSON at character"),
        (b"{'a': 1}", "is not JSON at character"),
    ],
)
def test_what_has_no_meaning_or_two(data: bytes, said: str) -> None:
    with pytest.raises(IntakeError, match=said) as caught:
        read_payload(data)
    assert caught.value.code == "json-malformed"
    assert len(caught.value.message) < 300


def test_a_byte_of_a_file_that_is_no_utf_8_is_found() -> None:
    with pytest.raises(IntakeError, match="not UTF-8"):
        read_item('{"a": "\udcff"}', 0)


def test_values_by_path() -> None:
    payload = {"a": {"b": {"c": 5}}, "d": "x", "e": [1]}
    assert value_at(payload, ("a", "b", "c")) == 5
    for path in (("a", "x"), ("d", "b"), ("e", "0"), ("a", "b", "c", "d")):
        assert value_at(payload, path) is None
    values: list[object] = ["u", 7, "", Number("1.5"), True, None, {}]
    found = [text_of(each) for each in values]
    assert found == ["u", "7", None, None, None, None, None]
