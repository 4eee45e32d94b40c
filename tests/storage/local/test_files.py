"""Files that the user names: bounded, and secrets only where other users cannot read them."""

import fcntl
import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.core.common.errors import InputError
from orchestrator.storage.local.files import MAX_TEXT_BYTES, locked, read_bytes, read_key, read_text

KEY = bytes(31) + b"\7"


def written(folder: Path, data: bytes, mode: int = 0o600) -> Path:
    path = folder / "file"
    path.write_bytes(data)
    path.chmod(mode)
    return path


def refusal(read: Callable[[], object]) -> str:
    """Require an InputError; return its code."""
    with pytest.raises(InputError) as caught:
        read()
    return caught.value.code


def test_a_file_is_read_up_to_its_bound(tmp_path: Path) -> None:
    path = written(tmp_path, b"12345")
    assert read_bytes(path, 5) == b"12345"
    assert refusal(lambda: read_bytes(path, 4)) == "file-too-large"
    assert refusal(lambda: read_text(written(tmp_path, bytes(MAX_TEXT_BYTES + 1)))) == (
        "file-too-large"
    )


def test_a_file_without_end_is_refused() -> None:
    """Its size says 0 bytes."""
    assert refusal(lambda: read_bytes(Path("/dev/zero"), 1_000)) == "file-too-large"


def test_what_cannot_be_opened_or_decoded_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "missing", tmp_path):
        assert refusal(lambda path=path: read_bytes(path, 9)) == "file-unreadable"  # type: ignore[misc]
    assert read_text(written(tmp_path, "ä".encode())) == "ä"
    assert refusal(lambda: read_text(written(tmp_path, b"\xff"))) == "file-unreadable"


@pytest.mark.parametrize("mode", [0o640, 0o620, 0o610, 0o604, 0o602, 0o601, 0o644])
def test_a_secret_that_others_may_touch_is_refused(tmp_path: Path, mode: int) -> None:
    path = written(tmp_path, KEY.hex().encode(), mode)
    assert refusal(lambda: read_key(path)) == "key-exposed"
    assert read_text(path) == KEY.hex()


@pytest.mark.parametrize(
    ("further", "is_read"),
    [
        ([(0x02, 4, os.geteuid())], True),
        ([(0x02, 4, os.geteuid() + 1)], False),
        ([(0x02, 4, os.geteuid()), (0x08, 4, os.getegid())], False),
        ([(0x02, 4, os.geteuid()), (0x04, 4, -1)], False),
        ([(0x02, 4, os.geteuid()), (0x20, 4, -1)], False),
    ],
)
def test_a_secret_that_an_access_list_opens_to_us_alone_is_read(
    tmp_path: Path, further: list[tuple[int, int, int]], is_read: bool
) -> None:
    """Of such a file, as systemd hands over keys, the group's part of the mode is the mask."""
    path = written(tmp_path, KEY.hex().encode(), 0o400)
    needed = {1: 4, 4: 0, 16: 4, 32: 0}
    entries = {tag: (tag, rights, -1) for tag, rights in needed.items()}
    entries |= {entry[0]: entry for entry in further}
    packed = b"".join(struct.pack("<HHi", *entries[tag]) for tag in sorted(entries))
    os.setxattr(path, "system.posix_acl_access", struct.pack("<I", 2) + packed)
    assert path.stat().st_mode & 0o040
    if is_read:
        assert read_key(path) == KEY
    else:
        assert refusal(lambda: read_key(path)) == "key-exposed"


@pytest.mark.parametrize("text", [KEY.hex(), f"0x{KEY.hex()}\n", f"  {KEY.hex().upper()}  "])
def test_a_key_is_read_with_or_without_its_prefix(tmp_path: Path, text: str) -> None:
    for mode in (0o600, 0o400):
        path = tmp_path / f"key-{mode}"
        path.write_text(text)
        path.chmod(mode)
        assert read_key(path) == KEY


@pytest.mark.parametrize(
    "text",
    ["", "0x", "hello", KEY.hex()[2:], f"{KEY.hex()}00", bytes(32).hex(), "f" * 64],
)
def test_what_is_no_key_is_refused_and_not_shown(tmp_path: Path, text: str) -> None:
    """Zero, and numbers beyond the curve's order, are no keys either."""
    path = written(tmp_path, text.encode())
    with pytest.raises(InputError) as caught:
        read_key(path)
    assert caught.value.code == "key-malformed"
    assert not text.strip("0x") or text not in str(caught.value)


def test_a_lock_is_held_until_its_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with locked(path), path.open() as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with path.open() as other:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
