"""The installed command, which ends in quiet where it is interrupted while it is being read."""

import sys

INTERRUPTED = 130  # as a shell tells of a signal to interrupt


def main() -> None:
    """Run the command. Its modules take a moment to import, so they are imported here."""
    try:
        from orchestrator.cli.main import main as command  # noqa: PLC0415

        command()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
