"""docs/glossary.md: retired words are in no name and no comment; nouns of the core are defined."""

import ast
import io
import re
import subprocess
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/glossary.md").read_text()
HUMPS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|[0-9]+")
IDENTIFIER = re.compile(r"[A-Za-z_]\w*")
# Comments and literals of Solidity and SQL are not names.
NOT_NAMES = re.compile(
    r"(//.*?$|--.*?$|/\*.*?\*/)|\"[^\"\n]*\"|'[^'\n]*'", re.DOTALL | re.MULTILINE
)


def section(heading: str) -> str:
    return re.split(r"^## ", PAGE.split(f"## {heading}\n")[1], maxsplit=1, flags=re.MULTILINE)[0]


def rows(text: str) -> list[str]:
    return re.findall(r"^\| (?!word \|)([a-z][^|]*?) \|", text, re.MULTILINE)


RETIRED = frozenset(rows(section("Retired words")))
DEFINED = {
    part
    for row in rows(PAGE.split("## Retired words")[0])
    for part in re.findall(r"[a-z]+", row.lower())
}
PLAIN = set(re.findall(r"[a-z0-9]+", section("Plain terms").split("\n\n", 1)[1].lower()))


def parts(name: str) -> set[str]:
    """Return the words of a name: `_had_room`, `OutcomeEscrow` and `T2` fall into their parts."""
    return {hump.lower() for piece in name.split("_") for hump in HUMPS.findall(piece)}


def names(path: Path) -> Iterator[str]:
    """Yield every name that a source file uses, and the parts of its own path."""
    yield from path.with_suffix("").parts
    text = (ROOT / path).read_text()
    if path.suffix == ".py":
        tokens = tokenize.generate_tokens(io.StringIO(text).readline)
        yield from (token.string for token in tokens if token.type == tokenize.NAME)
    else:
        yield from IDENTIFIER.findall(NOT_NAMES.sub(" ", text))


def remarks(path: Path) -> Iterator[str]:
    """Yield the comments and the docstrings of a source file."""
    text = (ROOT / path).read_text()
    if path.suffix == ".py":
        tokens = tokenize.generate_tokens(io.StringIO(text).readline)
        yield from (token.string for token in tokens if token.type == tokenize.COMMENT)
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                yield ast.get_docstring(node) or ""
    else:
        yield from (found[1] for found in NOT_NAMES.finditer(text) if found[1])


def sources() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "*.py", "*.sol", "*.sql", "*.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [Path(line) for line in listed.stdout.splitlines() if (ROOT / line).exists()]


def retired_in(found: Iterator[str]) -> set[str]:
    return {name for name in found if parts(name) & RETIRED}


def retired_in_prose(remark: str) -> set[str]:
    """Return the words of a remark that are retired, or the plural of one that is."""
    words = set(re.findall(r"[a-z]+", remark.lower()))
    return {word for word in words if {word, word.removesuffix("s")} & RETIRED}


@pytest.mark.parametrize("folder", ["orchestrator", "api", "contracts", "scripts", "tests"])
def test_no_retired_word_is_in_a_name(folder: str) -> None:
    files = [path for path in sources() if path.parts[0] == folder and path.suffix != ".md"]
    assert files
    found = {
        f"{path}: {', '.join(sorted(retired))}"
        for path in files
        if (retired := retired_in(names(path)))
    }
    assert not found, "\n".join(sorted(found))


@pytest.mark.parametrize("folder", ["orchestrator", "api", "contracts", "scripts", "tests"])
def test_no_retired_word_is_in_a_comment_or_a_docstring(folder: str) -> None:
    found = {
        f"{path}: {', '.join(sorted(retired))}"
        for path in sources()
        if path.parts[0] == folder and path.suffix != ".md" and path.name != Path(__file__).name
        for remark in remarks(path)
        if (retired := retired_in_prose(remark))
    }
    assert not found, "\n".join(sorted(found))


def test_no_retired_word_is_in_a_document() -> None:
    """Refuse retired words in code spans; in prose they may be plain English (a brief pause)."""
    found = {
        f"{path}: {name}"
        for path in sources()
        if path.suffix == ".md" and path.name not in ("glossary.md", "CHANGELOG.md")
        for code in re.findall(r"`([^`\n]+)`", (ROOT / path).read_text())
        for name in retired_in(iter(IDENTIFIER.findall(code)))
    }
    assert not found, "\n".join(sorted(found))


def test_every_noun_of_the_core_and_the_contracts_is_defined() -> None:
    nouns: set[str] = set()
    for file in (ROOT / "orchestrator/core").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ClassDef):
                nouns |= parts(node.name)
    for file in (ROOT / "contracts").rglob("*.sol"):
        if file.parent.name in ("interfaces", "local"):
            continue  # the words of the standards
        text = NOT_NAMES.sub(" ", file.read_text())
        for name in re.findall(r"\b(?:contract|library|interface|struct|enum) (\w+)", text):
            nouns |= parts(name)
    known = DEFINED | PLAIN | {f"{word}s" for word in DEFINED | PLAIN}
    assert not nouns - known, sorted(nouns - known)


def test_a_word_is_defined_once_and_not_retired() -> None:
    words = rows(PAGE.split("## Retired words")[0])
    assert len(words) == len(set(words))
    assert not RETIRED & (DEFINED | PLAIN)
    assert len(RETIRED) > 10


def test_the_check_finds_what_it_looks_for(tmp_path: Path) -> None:
    source = tmp_path / "one.py"
    source.write_text("from x import LogCasebook\nscene_of = 'docket' # dues\nripened = 1\n")
    assert retired_in(iter(["LogCasebook", "scene_of", "ripened", "describe"])) == {
        "LogCasebook",
        "scene_of",
    }
    assert list(remarks(source)) == ["# dues", ""]
    assert NOT_NAMES.sub(" ", "// one\ncontract Two {} /* three */ 'four'").split() == [
        "contract",
        "Two",
        "{}",
    ]
    source = tmp_path / "one.sql"
    source.write_text("-- Two deeds.\nSELECT 'docket' /* of scenes\n */ FROM scene")
    assert [retired_in_prose(remark) for remark in remarks(source)] == [{"deeds"}, {"scenes"}]
    assert parts("claimsEIP712Of_T2") >= {"claims", "eip", "712", "of", "t", "2"}
