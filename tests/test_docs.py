"""The documents: every path, test and link that they name is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [
    page.relative_to(ROOT)
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("tests/**/*.md")]
]
FOLDERS = "api|contracts|docs|orchestrator|requirements|scripts|tests"


def defined_tests() -> set[str]:
    files = [*ROOT.glob("tests/**/*.py"), *ROOT.glob("tests/**/*.sol")]
    found = "\n".join(file.read_text() for file in files)
    return set(re.findall(r"(?:def|function) (\w+)", found))


def missing_from(text: str, folder: Path, names: set[str]) -> list[str]:
    """Return what a page names and nothing is: paths, tests by name or prefix, relative links."""
    paths = re.findall(rf"`((?:{FOLDERS})/[\w./-]+\.\w+|(?:{FOLDERS})/[\w/-]+/)`", text)
    # What stands between two backticks each is code, in which such brackets are no link.
    links = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", re.sub(r"``.+?``", "", text))
    tests = re.findall(r"`((?:test|check|invariant)_\w+)`", text)
    return [
        *(path for path in paths if not (ROOT / path).exists()),
        *(link for link in links if not (folder / link).exists()),
        *(test for test in tests if not any(name.startswith(test) for name in names)),
    ]


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_what_a_page_names_is_there(page: Path) -> None:
    text = (ROOT / page).read_text()
    assert missing_from(text, (ROOT / page).parent, defined_tests()) == []


def test_what_is_not_there_is_found() -> None:
    text = (
        "`tests/none.py` `docs/` `test_of_nothing_at_all` [x](nowhere.md) [y](https://a.b) [z](#c)"
        " `` new bytes32[](count) ``"
    )
    assert missing_from(text, ROOT / "docs", defined_tests()) == [
        "tests/none.py",
        "nowhere.md",
        "test_of_nothing_at_all",
    ]
