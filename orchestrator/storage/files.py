"""Files that somebody named: read within a bound, and keys only where nobody else can read them."""

import os
from pathlib import Path

from orchestrator.core.errors import InputError, TermsError
from orchestrator.core.terms import sign_digest

MAX_TEXT_BYTES = 65_536
_OF_OTHERS = 0o077


def read_bytes(path: Path, most: int, *, is_secret: bool = False) -> bytes:
    """All that is in a file. Raises `InputError` if that is more than `most` bytes.

    A secret that other users of the machine may read or replace is refused.
    """
    try:
        with path.open("rb") as file:
            if is_secret and os.fstat(file.fileno()).st_mode & _OF_OTHERS:
                raise InputError(
                    "key-exposed", f"{path}: others may read it; run chmod 600 on it first"
                )
            data = file.read(most + 1)
    except OSError as error:
        raise InputError("file-unreadable", f"{path}: {error.strerror}") from None
    if len(data) > most:
        raise InputError("file-too-large", f"{path}: is larger than {most} bytes")
    return data


def read_text(path: Path, most: int = MAX_TEXT_BYTES, *, is_secret: bool = False) -> str:
    """The same as UTF-8 text."""
    try:
        return read_bytes(path, most, is_secret=is_secret).decode()
    except UnicodeDecodeError:
        raise InputError("file-unreadable", f"{path}: is no text") from None


def read_key(path: Path) -> bytes:
    """The private key in a file, 32 bytes of hex, with or without `0x`. Raises `InputError`."""
    try:
        key = bytes.fromhex(read_text(path, is_secret=True).strip().removeprefix("0x"))
        sign_digest(bytes(32), key)
    except (ValueError, TermsError):
        raise InputError("key-malformed", f"{path}: must hold a key, 32 bytes of hex") from None
    return key
