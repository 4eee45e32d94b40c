"""What people type is taken in one form, and never as what they did not mean."""

import pytest

from orchestrator.cli import arguments as given
from orchestrator.core.errors import InputError

# The first example of EIP-55.
ADDRESS = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"


@pytest.mark.parametrize(
    "text", [ADDRESS, ADDRESS.lower(), "0x" + ADDRESS[2:].upper()], ids=["mixed", "lower", "upper"]
)
def test_an_address_gets_its_checksum(text: str) -> None:
    assert given.address(text) == ADDRESS


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
        given.address(text)
    assert caught.value.code == code
    assert text in caught.value.message or repr(text) in caught.value.message
