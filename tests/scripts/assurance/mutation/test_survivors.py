"""assurance/mutation/survivors: the document is read as it was written, and no mutant is lost."""

from pathlib import Path
from typing import Any

import pytest

from scripts.assurance.mutation.survivors import (
    Last,
    Mutant,
    SurvivorsError,
    Tally,
    explanations,
    rows,
    written,
)

ROOT = Path(__file__).resolve().parents[4]
FILES = {"First": "contracts/First.sol", "Second": "contracts/Second.sol"}
OR = Mutant("LOR", 12, "a ||\n    b", "a && b", 100)
FIXED = Mutant("FHR", 7, "uint256 x = 1", "uint8 x = 1", 50)
DOCUMENT = """# Mutants that live

What this is.

## Second

3 killed, 1 survived, 4 not tried.

| where | code | mutant | why it lives |
|---|---|---|---|
| `contracts/Second.sol:12` | `` a \\|\\| b `` | `` a && b `` | Equivalent: b is a. |
"""


def test_what_is_written_is_read_again() -> None:
    tallies = {"First": Tally(9, [OR, FIXED], 5, 2, "c0ffee"), "Second": Tally(8, [], 0)}
    document = written(DOCUMENT, tallies, FILES)
    assert document.index("## First") < document.index("## Second")
    assert document.startswith("# Mutants that live\n\nWhat this is.\n\n## First\n\n9 killed, 2")
    assert "9 killed, 2 survived, 5 not tried, 2 the same code, at `c0ffee`.\n" in document
    assert "8 killed, 0 survived, 0 not tried.\n" in document
    first = Last.of("First", document)
    assert first == Last("First", 9, 5, 2, frozenset({OR.key, FIXED.key}))
    assert Last.of("Second", document) == Last("Second", 8, 0, 0, frozenset())
    assert written(document, tallies, FILES) == document
    assert set(explanations(document).values()) == {""}


def test_a_mutant_is_an_edit_of_its_place() -> None:
    assert OR.edit(3) == (3, 100, 110, b"a && b")


def test_an_explanation_goes_with_its_mutant_to_another_line() -> None:
    known = explanations(DOCUMENT)
    assert known == {("contracts/Second.sol", OR.key[1], OR.key[2]): "Equivalent: b is a."}
    tally = Tally(3, [FIXED, OR._replace(line=1)], 0)
    assert list(rows("Second", FILES["Second"], tally, known))[-3:-1] == [
        "| `contracts/Second.sol:1` | `` a \\|\\| b `` | `` a && b `` | Equivalent: b is a. |",
        "| `contracts/Second.sol:7` | `` uint256 x = 1 `` | `` uint8 x = 1 `` |  |",
    ]
    # The same change of another file is another mutant.
    assert "Equivalent" not in "".join(rows("First", FILES["First"], tally, known))


def test_a_part_that_is_not_made_anew_stays() -> None:
    document = written(DOCUMENT, {"First": Tally(1, [], 2)}, FILES)
    assert document.endswith(DOCUMENT[DOCUMENT.index("## Second") :])


def test_only_the_survivors_are_tried_again() -> None:
    last = Last.of("Second", DOCUMENT)
    assert last[1:4] == (3, 4, 0)
    assert last.among([FIXED, OR, OR._replace(line=13)]) == [OR]


@pytest.mark.parametrize(
    "changed", [{"line": 13}, {"old": "a ||\n    c"}, {"new": "!a"}], ids=["line", "old", "new"]
)
def test_a_survivor_that_is_not_found_is_not_lost(changed: dict[str, Any]) -> None:
    made = [FIXED, OR._replace(**changed)]
    with pytest.raises(SurvivorsError, match=r"Second has changed since .* run it without --again"):
        Last.of("Second", DOCUMENT).among(made)


def test_what_was_never_run_cannot_be_run_again() -> None:
    with pytest.raises(SurvivorsError, match="there is no part on First: run it without --again"):
        Last.of("First", DOCUMENT)


def test_the_document_of_the_contracts_is_read_whole() -> None:
    document = (ROOT / "docs/security/mutation.md").read_text()
    names = [line[3:] for line in document.splitlines() if line.startswith("## ")]
    survived = [Last.of(name, document).survived for name in names]
    assert sum(map(len, survived)) == document.count("\n| `contracts/") > 0
    assert all(explanations(document).values())
