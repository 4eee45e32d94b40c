"""Hexadecimal text: one form written, and only hex digits read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.common.hexadecimal import from_hex, to_hex


@given(st.binary(max_size=40))
def test_what_is_written_is_read_again(data: bytes) -> None:
    text = to_hex(data)
    assert text == "0x" + "".join(f"{byte:02x}" for byte in data)
    assert from_hex(text) == from_hex(text[2:]) == from_hex(text.upper()[2:]) == data
    assert from_hex(text, len(data)) == data


@pytest.mark.parametrize("text", ["0x0", "0xg0", "x00", "0x0x00", "-1", "0X00", "\u0660\u0660"])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="hex"):
        from_hex(text)


@pytest.mark.parametrize("length", [0, 1, 3])
def test_another_length_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match=f"2 bytes instead of {length}"):
        from_hex("0x0102", length)
