"""Keccak and checksums: as a library of others makes them, and as EIP-55 shows them."""

import pytest
from eth_utils import address as library
from eth_utils.crypto import keccak as library_keccak
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.common.keccak import is_checksum_address, keccak, to_checksum_address

SHOWN = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"


@given(st.binary(max_size=300))
def test_the_hash_is_the_chains(data: bytes) -> None:
    assert keccak(data) == library_keccak(data)


@given(st.binary(min_size=20, max_size=20))
def test_checksums_are_those_of_the_library(data: bytes) -> None:
    checksummed = library.to_checksum_address(data)
    for form in (data, data.hex(), "0x" + data.hex(), checksummed, checksummed.lower()):
        assert to_checksum_address(form) == checksummed
    assert is_checksum_address(checksummed)


def test_another_case_is_another_text() -> None:
    assert to_checksum_address(SHOWN.lower()) == SHOWN
    for other in (SHOWN.lower(), SHOWN[2:], SHOWN.swapcase(), ""):
        assert not is_checksum_address(other)


@pytest.mark.parametrize("wrong", ["", "0x", SHOWN[:-1], SHOWN + "0", "0x" + "g" * 40, b"\0" * 19])
def test_what_is_no_address_is_refused(wrong: str | bytes) -> None:
    with pytest.raises(ValueError, match="is no address"):
        to_checksum_address(wrong)


def test_what_is_neither_text_nor_bytes_is_refused() -> None:
    with pytest.raises(TypeError, match="not int"):
        to_checksum_address(7)  # type: ignore[arg-type]
