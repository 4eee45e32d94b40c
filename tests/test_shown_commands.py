"""The documents: every command and option of ours that they show is there."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from orchestrator.cli.main import app

ROOT = Path(__file__).parents[1]
PAGES = [page.relative_to(ROOT) for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]]


def shown_commands(text: str) -> Iterator[str]:
    """Yield what a page shows of our command: in a line of a block, or between backticks."""
    blocks = re.findall(r"^ *```\w*\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    for block in blocks:
        for line in block.replace("\\\n", " ").splitlines():
            # Settings may stand before it, and what goes in or comes out beside it.
            found = re.match(r"\s*(?:\$ )?(?:\w+=\S+ +)*(tallystick(?: [^#|>]*)?)", line)
            if found:
                yield found[1]
    prose = re.sub(r"^ *```.*?^ *```", "", text, flags=re.MULTILINE | re.DOTALL)
    yield from re.findall(r"`(tallystick [^`]+)`", prose)


def unknown_in(shown: str) -> list[str]:
    """Return what a shown command names and there is not: a command, or its options."""
    command: Any = typer.main.get_command(app)
    words = re.sub(r"[\[\]…]", " ", shown).split()[1:]
    while (subcommands := getattr(command, "commands", {})) and words and words[0][0] != "-":
        name = words.pop(0)
        if name not in subcommands:
            return [name]
        command = subcommands[name]
    known = {option for each in command.params for option in each.opts + each.secondary_opts}
    named = [option for word in words for option in re.findall(r"^--?[a-z][\w-]*", word)]
    return [option for option in named if option not in known]


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_commands_that_a_page_shows_can_be_given(page: Path) -> None:
    wrong = {
        shown: unknown
        for shown in shown_commands((ROOT / page).read_text())
        if (unknown := unknown_in(shown))
    }
    assert wrong == {}


def test_a_command_or_an_option_that_is_not_there_is_found() -> None:
    text = """`tallystick serve --only api --moons 3`
  ```sh
  A=b tallystick dance   # no such
  $ tallystick restore \\
      --source x --sauce y
  ```
`tallystick status` `tallystick: no command`
"""
    shown = list(shown_commands(text))
    assert len(shown) == 4
    assert [unknown_in(each) for each in shown] == [["dance"], ["--sauce"], ["--moons"], []]
