"""scripts/verification.py: a file that is no address book is refused in one line."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"# README\n", "is not readable as JSON"),
        (b"\xff\xfe\x00", "is not readable as JSON"),
        (b"[" * 100_000, "is not readable as JSON"),
        (b"[]", "holds no JSON object"),
        (b"{}", "no address book"),
        (b'{"chain_id": 1, "contracts": []}', "no address book"),
        (b'{"chain_id": 1, "contracts": {"EventLog": {}}}', "no address book"),
    ],
)
def test_file_that_is_no_address_book_is_refused_in_one_line(
    tmp_path: Path, content: bytes, message: str
) -> None:
    book = tmp_path / "book.json"
    book.write_bytes(content)
    done = subprocess.run(
        [sys.executable, "scripts/verification.py", "write", str(book), str(tmp_path / "out")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()
