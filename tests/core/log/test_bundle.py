"""Bundles: what is written is read again, and nothing else is."""

import pytest

from orchestrator.core.common.errors import EntryError
from orchestrator.core.log.bundle import MAX_BUNDLE, read_bundle, write_bundle

ITEMS = [(bytes([1]) * 256, bytes(160)), (bytes([2]) * 256, b""), (bytes(256), bytes(288))]


def test_what_is_written_is_read() -> None:
    assert list(read_bundle(write_bundle(ITEMS))) == ITEMS
    assert list(read_bundle(write_bundle([(ITEMS[0][0], None)]))) == [(ITEMS[0][0], b"")]
    assert list(read_bundle(b"")) == []


def test_it_is_laid_out_as_told() -> None:
    assert write_bundle(ITEMS[:1]) == b"\1\0" + ITEMS[0][0] + b"\0\xa0" + ITEMS[0][1]


def test_the_longest_is_bounded() -> None:
    assert len(write_bundle([ITEMS[2]])) * MAX_BUNDLE < 3 * 2**20


@pytest.mark.parametrize("cut", [1, 2, 257, 258, 259, 260, 419])
def test_one_that_breaks_off_is_refused(cut: int) -> None:
    with pytest.raises(EntryError) as refused:
        list(read_bundle(write_bundle(ITEMS[:1])[:cut]))
    assert refused.value.code == "bundle-malformed"


@pytest.mark.parametrize(
    "bundle",
    [
        b"\0\xff" + bytes(255) + b"\0\0",  # an entry of another length
        b"\1\0" + bytes(256) + b"\1\x21" + bytes(289),  # an opening longer than any
    ],
)
def test_another_length_is_refused(bundle: bytes) -> None:
    with pytest.raises(EntryError):
        list(read_bundle(bundle))
