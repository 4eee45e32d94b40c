"""assurance/mutation/switches: a text with switches does as the source, or as the chosen mutant."""

from pathlib import Path

from scripts.assurance.mutation import workshop
from scripts.assurance.mutation.switches import Edit, Switches, blamed, functions_of
from scripts.assurance.planted_faults import PLANTED

SOURCE = """\
pragma solidity 0.8.37;
uint256 constant TEN = 10;
contract One {
    function f(uint256 a) external pure returns (uint256) {
        uint256 b = a + 1;
        if (b > 5) return b;
        for (uint256 i = 0; i < 3; ++i) { b += i; }
        return b;
    }
    function g() external pure returns (uint256) { return TEN; }
}
"""
FILE, ROOTS = "contracts/One.sol", ("contracts/One.sol:One",)


def edit(number: int, old: str, new: str) -> Edit:
    start = SOURCE.index(old)
    return Edit(number, start, start + len(old), new.encode())


EDITS = [
    edit(1, "a + 1", "a - 1"),
    edit(2, "uint256 b = a + 1", "uint256 b"),
    edit(3, "b > 5", "b >= 5"),
    edit(4, "return b", "revert()"),
    edit(5, "i < 3", "i <= 3"),
    edit(6, "b += i", "//b += i"),
    edit(7, "b += i", "b = false"),
]


def test_each_is_chosen_by_its_number_and_errors_are_blamed_on_theirs(tmp_path: Path) -> None:
    (tmp_path / "contracts").mkdir()
    (tmp_path / FILE).write_text(SOURCE)
    (tmp_path / "contracts/Planted.sol").write_text(PLANTED)
    with workshop.Compiler(FILE, ROOTS, tmp_path) as compiler:
        tree = compiler.compile(SOURCE, tree=True)["tree"]
        switches = Switches(tree, SOURCE.encode())
        assert all(map(switches.admits, EDITS))
        text, places = switches.text(EDITS)
        wrong = compiler.compile(text)
        text, good = switches.text(EDITS[:-1])
        right = compiler.compile(text)
    assert list(blamed(places, wrong["places"])) == [7]
    assert "error" not in right
    forms = {number: text[start:end].strip() for number, (start, end) in good.items()}
    assert forms == {
        1: "b = a - 1;",
        2: "",
        3: "if (b >= 5) return b;",
        4: "revert();",
        5: "for (uint256 i = 0; i <= 3; ++i) { b += i; }",
        6: "//b += i;",
    }
    assert "else { b = a + 1; }" in text
    assert functions_of(tree)[1][0] == SOURCE.index("function g")
    first, second = switches.entries(functions_of(tree), 10)
    assert SOURCE[first.start : first.end] == "uint256 b = a + 1"
    assert (first.new, second.number) == (b"revert()", 11)


def test_what_is_no_part_of_a_statement_is_compiled_alone(tmp_path: Path) -> None:
    (tmp_path / "contracts").mkdir()
    (tmp_path / FILE).write_text(SOURCE)
    with workshop.Compiler(FILE, ROOTS, tmp_path) as compiler:
        switches = Switches(compiler.compile(SOURCE, tree=True)["tree"], SOURCE.encode())
    assert not switches.admits(edit(1, "TEN = 10", "TEN = 11"))
    assert not switches.admits(edit(2, "uint256 b =", "uint128 b ="))


def test_what_follows_a_bare_return_is_a_statement_of_its_own(tmp_path: Path) -> None:
    """Check that a mutant of it does not stand behind the return, where nothing would notice it."""
    source = """\
pragma solidity 0.8.37;
contract One {
    uint256 public sum;
    modifier counted() { _; sum += 1; }
    function f(uint256 a) external counted {
        if (a > 5) return;
        uint256 b = a + 1;
        while (b > 0) { if (b == 3) break; --b; }
        sum += b;
    }
}
"""
    (tmp_path / "contracts").mkdir()
    (tmp_path / FILE).write_text(source)
    with workshop.Compiler(FILE, ROOTS, tmp_path) as compiler:
        switches = Switches(compiler.compile(source, tree=True)["tree"], source.encode())
    followers = ["sum += 1", "uint256 b = a + 1", "--b", "sum += b"]
    places = [(source.index(old), source.index(old) + len(old)) for old in followers]
    text, _ = switches.text([Edit(n, a, b, b"revert()") for n, (a, b) in enumerate(places)])
    for before in ("_;", "return;", "break;"):
        assert f"{before}\nrevert()" not in text
    assert [text.count(f"planted({number})") for number in range(4)] == [1, 1, 1, 1]
    assert "if (a > 5) return;\n        uint256 b; if (planted(1))" in text
