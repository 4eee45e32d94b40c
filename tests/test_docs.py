"""The documents: what they name is there, and the line of packages is that of the imports."""

import re
import tomllib
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


def misplaced_in(text: str) -> list[str]:
    """Return the tests that a page names behind a file which has none of that name or prefix.

    They stand so: `tests/a.py` `test_one`, `test_two`.
    """
    name = r"`(?:test|check|invariant)\w*_\w+`"
    pairs = re.findall(rf"`([\w./-]+\.(?:py|t\.sol))`\s+({name}(?:,\s+{name})*)", text)
    return [
        f"{path} {test}"
        for path, listed in pairs
        for test in re.findall(r"`(\w+)`", listed)
        if not re.search(rf"(?:def|function) {test}", text_of(path))
    ]


def text_of(path: str) -> str:
    """Return the text of a file as pages name it; those of contracts without their folders."""
    found = [*ROOT.glob(path), *ROOT.glob(f"tests/contracts/**/{path}")]
    return "\n".join(file.read_text() for file in found)


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
    assert misplaced_in(text) == []


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


def test_a_test_that_another_file_defines_is_found() -> None:
    text = (
        "`tests/test_docs.py` `test_what_is_not_there`,\n`test_a_part_that_is_none_is_bad_input`"
        " and `escrow/Rounds.t.sol` `test_revertIf_`, `tests/none.py` `test_what_is_not_there`"
    )
    assert misplaced_in(text) == [
        "tests/test_docs.py test_a_part_that_is_none_is_bad_input",
        "tests/none.py test_what_is_not_there",
    ]


# --- The line of packages -------------------------------------------------------------------------


def layers_of(container: str | None) -> list[set[str]]:
    """Return the lines of the import rule of all packages, or of the parts of one."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (rule,) = (
        rule
        for rule in settings["contracts"]
        if rule["type"] == "layers"
        and rule.get("containers") == (None if container is None else [container])
    )
    return [
        {name.strip().removeprefix("orchestrator.") for name in line.split("|")}
        for line in rule["layers"]
    ]


def drawn_line(page: str) -> list[set[str]]:
    """Return the line of packages that a page draws."""
    (line,) = re.findall(r"^    (cli → .*)$", (ROOT / page).read_text(), re.MULTILINE)
    return [set(re.findall(r"\w+", names)) for names in line.split("→")]


@pytest.mark.parametrize("page", ["docs/architecture.md", "CONTRIBUTING.md"])
def test_a_page_draws_the_line_by_which_packages_import(page: str) -> None:
    assert drawn_line(page) == layers_of(None)


def test_the_row_of_the_core_has_its_parts_in_their_order() -> None:
    (row,) = re.findall(
        r"^\| `core/` .*$", (ROOT / "docs/architecture.md").read_text(), re.MULTILINE
    )
    told = [name for name in re.findall(r"`(\w+)/`", row) if name != "core"]
    order = layers_of("orchestrator.core")
    folders = [
        {part for part in line if (ROOT / "orchestrator/core" / part).is_dir()} for line in order
    ]
    for line in filter(None, folders):
        assert set(told[: len(line)]) == line
        told = told[len(line) :]
    assert told == []
