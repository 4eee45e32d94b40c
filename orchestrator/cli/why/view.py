"""An answer to why, as lines for people."""

from rich.console import Console

from orchestrator.cli.output import printable
from orchestrator.core.why.reason import Reason


def print_reason(reason: Reason, console: Console) -> None:
    """Print a reason, with those below it indented, and behind each the entries it rests on."""
    for line in format_reason(reason):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def format_reason(reason: Reason, depth: int = 0) -> list[str]:
    """Return the lines of a reason and of all below it."""
    behind = ""
    if reason.positions:
        noun = "entry" if len(reason.positions) == 1 else "entries"
        behind = f"  ({noun} {', '.join(map(str, reason.positions))})"
    mark = "- " if depth else ""
    lines = [f"{'  ' * max(0, depth - 1)}{mark}{printable(reason.text)}{behind}"]
    for part in reason.parts:
        lines += format_reason(part, depth + 1)
    return lines
