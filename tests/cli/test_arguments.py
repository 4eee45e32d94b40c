"""Each argument is taken in one form, and never as what was not meant."""

import pytest

from orchestrator.cli.arguments import parse_address, parse_contract_id, parse_time_s
from orchestrator.core.common.errors import InputError

# The first example of EIP-55.
ADDRESS = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"


@pytest.mark.parametrize(
    "text", [ADDRESS, ADDRESS.lower(), "0x" + ADDRESS[2:].upper()], ids=["mixed", "lower", "upper"]
)
def test_an_address_gets_its_checksum(text: str) -> None:
    assert parse_address(text) == ADDRESS


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (ADDRESS[2:], "address-malformed"),
        (ADDRESS[:-1], "address-malformed"),
        (ADDRESS + "0", "address-malformed"),
        (ADDRESS + "\n", "address-malformed"),
        (ADDRESS.replace("0x", "0X"), "address-malformed"),
        ("ada.eth", "address-malformed"),
        ("", "address-malformed"),
        (ADDRESS.replace("A", "a", 1), "address-checksum"),
        (ADDRESS.replace("Aed", "Aee"), "address-checksum"),
    ],
)
def test_no_other_address_is_taken_for_the_one_that_was_meant(text: str, code: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_address(text)
    assert caught.value.code == code
    assert text in caught.value.message or repr(text) in caught.value.message


def test_a_contract_id_is_64_hex_digits_in_any_case() -> None:
    assert parse_contract_id("0x" + "aB" * 32) == b"\xab" * 32
    for text in (
        "",
        "ab" * 32,
        "0x" + "ab" * 31,
        "0x" + "ab" * 33,
        "0x" + "zz" * 32,
        "0X" + "ab" * 32,
    ):
        with pytest.raises(InputError, match="is no contract id"):
            parse_contract_id(text)


def test_a_time_is_a_whole_utc_second() -> None:
    assert parse_time_s("1970-01-02") == 86_400
    assert parse_time_s("1970-01-01T00:00:01.999Z") == 1
    with pytest.raises(InputError, match="a time must be RFC 3339"):
        parse_time_s("tomorrow")
