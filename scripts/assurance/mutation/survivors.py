"""The reader and writer of docs/security/mutation.md, for assurance/mutation."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, Self

from scripts.assurance.mutation.switches import Edit

_ROW = re.compile(r"^\| `([^`:]+):(\d+)` \| `` (.+?) `` \| `` (.+?) `` \| (.*?) \|$", re.MULTILINE)
_COUNTS = re.compile(
    r"^(\d+) killed, \d+ survived, (\d+) not tried(?:, (\d+) the same code)?", re.MULTILINE
)


class SurvivorsError(Exception):
    """A document that lacks what is asked of it."""


class Mutant(NamedTuple):
    """A change of a file at a line and a place: the old code, and the new."""

    operator: str
    line: int
    old: str
    new: str
    start: int  #  in bytes

    @property
    def key(self) -> tuple[int, str, str]:
        """Return what the document's row has of this mutant: line, old code, new code."""
        return self.line, _shown(self.old), _shown(self.new)

    def edit(self, number: int) -> Edit:
        """Return the change, by this number."""
        end = self.start + len(self.old.encode())
        return Edit(number, self.start, end, self.new.encode())


class Tally(NamedTuple):
    """The results of a target's mutants; those that do not compile are in none of these.

    `same` counts those whose optimized code is the contract's. `commit` names the code.
    """

    killed: int
    survived: list[Mutant]
    untried: int
    same: int = 0
    commit: str = ""


def _shown(code: str) -> str:
    return " ".join(code.split()).replace("|", "\\|")


class Last(NamedTuple):
    """The results of a target's mutants, as the document has them."""

    name: str
    killed: int
    untried: int
    same: int
    survived: frozenset[tuple[int, str, str]]  #  line, old and new code

    @classmethod
    def of(cls, name: str, document: str) -> Self:
        """Read a target's part. Raises SurvivorsError if the document has none."""
        part = document.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
        counts = _COUNTS.search(part)
        if counts is None:
            raise SurvivorsError(f"there is no part on {name}: run it without --again")
        lived = frozenset((int(row[2]), row[3], row[4]) for row in _ROW.finditer(part))
        return cls(name, int(counts[1]), int(counts[2]), int(counts[3] or 0), lived)

    def among(self, made: Iterable[Mutant]) -> list[Mutant]:
        """Return a target's mutants that survived. Raises SurvivorsError if one is missing."""
        found = [mutant for mutant in made if mutant.key in self.survived]
        if lost := self.survived - {mutant.key for mutant in found}:
            line, old, new = min(lost)
            raise SurvivorsError(
                f"{self.name} has changed since its survivors were written down: no mutant changes"
                f" {old!r} to {new!r} in line {line}; run it without --again"
            )
        return found


def explanations(document: str) -> dict[tuple[str, str, str], str]:
    """Return the explanation of each survivor, by file, old and new code."""
    return {(row[1], row[3], row[4]): row[5] for row in _ROW.finditer(document)}


def rows(
    name: str, file: str, tally: Tally, known: Mapping[tuple[str, str, str], str]
) -> Iterator[str]:
    """Yield the lines of a target's part; a survivor keeps its explanation."""
    killed, survived, untried, same, commit = tally
    as_before = f", {same} the same code" if same else ""
    yield f"## {name}"
    yield ""
    at = f", at `{commit}`" if commit else ""
    yield f"{killed} killed, {len(survived)} survived, {untried} not tried{as_before}{at}."
    yield ""
    if not survived:
        return
    yield "| where | code | mutant | why it lives |"
    yield "|---|---|---|---|"
    for mutant in sorted(survived, key=lambda mutant: mutant.line):
        line, old, new = mutant.key
        why = known.get((file, old, new), "")
        yield f"| `{file}:{line}` | `` {old} `` | `` {new} `` | {why} |"
    yield ""


def written(document: str, tallies: Mapping[str, Tally], files: Mapping[str, str]) -> str:
    """Return the document with the part of each of these targets made anew.

    `files` has the file of every target, by name, in the order of their parts.
    """
    known = explanations(document)
    head, *parts = re.split(r"(?m)^## ", document)
    sections = {part.split("\n", 1)[0]: f"## {part.rstrip()}" for part in parts}
    for name, tally in tallies.items():
        sections[name] = "\n".join(rows(name, files[name], tally, known)).rstrip()
    ordered = [sections[name] for name in files if name in sections]
    return "\n\n".join([head.rstrip(), *ordered]) + "\n"
