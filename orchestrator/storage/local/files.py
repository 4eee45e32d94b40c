"""Files: read within a bound, secrets only from files closed to others, and written as such."""

import fcntl
import os
import shutil
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestrator.core.common.errors import InputError, TermsError
from orchestrator.core.common.hexadecimal import from_hex
from orchestrator.core.deals.terms import sign_digest

MAX_TEXT_BYTES = 65_536
_OTHERS_MODE = 0o077  # any right of the group or of other users
_GROUP_MODE = 0o070
# An access list as Linux stores it: a version, then entries of a tag, rights and a number.
_ACL, _ACL_HEAD_BYTES = "system.posix_acl_access", 4
_ACL_OWNER, _ACL_USER, _ACL_MASK = 0x01, 0x02, 0x10


def read_bytes(path: Path, most: int, *, is_secret: bool = False) -> bytes:
    """Return a file's content. Raises `InputError` if that is more than `most` bytes.

    A secret that other users of the machine may read or replace is refused.
    """
    try:
        with path.open("rb") as file:
            # Of the open file: by its path, another file could be checked than is read.
            if is_secret and _is_open_to_others(file.fileno()):
                raise InputError(
                    "key-exposed", f"{path}: others may read it; run chmod 600 on it first"
                )
            # One byte more than allowed shows that there is more, whatever the file's size says.
            data = file.read(most + 1)
    except OSError as error:
        raise InputError("file-unreadable", f"{path}: {error.strerror}") from None
    if len(data) > most:
        raise InputError("file-too-large", f"{path}: is larger than {most} bytes")
    return data


def _is_open_to_others(descriptor: int) -> bool:
    """Return whether other users, or a group, have any right to an open file.

    systemd hands a service its keys as files of root that an access list opens to the service's
    user: of these the mode shows the list's mask where a group's rights stand.
    """
    mode = os.fstat(descriptor).st_mode & _OTHERS_MODE
    if not mode & _GROUP_MODE:
        return bool(mode)
    try:
        entries = struct.iter_unpack("<HHI", os.getxattr(descriptor, _ACL)[_ACL_HEAD_BYTES:])
    except (OSError, struct.error):
        return True
    # The mask gives nothing to anyone by itself.
    return any(
        rights and tag not in (_ACL_OWNER, _ACL_MASK) and (tag, user) != (_ACL_USER, os.geteuid())
        for tag, rights, user in entries
    )


def read_text(path: Path, most: int = MAX_TEXT_BYTES, *, is_secret: bool = False) -> str:
    """Return a file's content as UTF-8 text, under the rules of `read_bytes`."""
    try:
        return read_bytes(path, most, is_secret=is_secret).decode()
    except UnicodeDecodeError:
        raise InputError("file-unreadable", f"{path}: is no text") from None


def read_key(path: Path) -> bytes:
    """Return the private key in a file: 32 bytes of hex, with or without `0x`.

    Raises `InputError`.
    """
    try:
        key = from_hex(read_text(path, is_secret=True).strip())
        # Not every number of 32 bytes is a key of the curve: signing shows it.
        sign_digest(bytes(32), key)
    except (ValueError, TermsError):
        raise InputError("key-malformed", f"{path}: must hold a key, 32 bytes of hex") from None
    return key


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock, by a file of its own, against all other processes that ask for it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def lock_if_free(path: Path) -> int | None:
    """Return the descriptor that holds a lock, by a file of its own; None if another has it.

    Closing it, and the end of the process, give the lock back.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def write_private(path: Path, content: str | bytes) -> None:
    """Write a file that its owner alone may read. After a crash it is as before, or complete."""
    partial = path.with_name(f".{path.name}.partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    # The name is on the disk, too, once the folder is.
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def free_bytes(folder: Path) -> int:
    """Return the free bytes of the disk that a folder is on, or is to be on."""
    nearest = next(each for each in (folder, *folder.parents) if each.exists())
    return shutil.disk_usage(nearest).free


def closed_folder(path: Path) -> Path | None:
    """Return the folder that keeps other users from a path, which need not be there; or None."""
    for folder in (path, *path.parents):
        if folder.is_dir() and not folder.stat().st_mode & 0o001:
            return folder
    return None
