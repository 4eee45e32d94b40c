"""Many mutants of a file in one text, each behind a switch: for assurance/mutation.

A statement with mutants becomes a choice between it and each changed form of it; a call of
`planted(number)` chooses. A declaration is split from its value first, so that the name is known
behind the choice. What cannot be chosen so (a type, a constant, a function's head) has to be
compiled alone. The text is compiled once, where each mutant alone would take seconds.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Self

from scripts.assurance.planted_faults import IMPORT, PRAGMA

Json = dict[str, Any]

_ENDED = (  #  their places in the compiler's tree leave out the semicolon, or most of them do
    *("ExpressionStatement", "VariableDeclarationStatement", "Return", "EmitStatement"),
    *("RevertStatement", "PlaceholderStatement", "Break", "Continue"),
)
_OTHERS = ("IfStatement", "ForStatement", "WhileStatement", "InlineAssembly", "TryStatement")


class Edit(NamedTuple):
    """A replacement of source[start:end], in bytes."""

    number: int
    start: int
    end: int
    new: bytes


class Statement:
    """A statement of the source, with those within it."""

    def __init__(self, node: Json, start: int, end: int, value: tuple[int, int] | None) -> None:
        self.start, self.end = start, end
        self.is_declaration = node["nodeType"] == "VariableDeclarationStatement"
        self.value = value
        names = node.get("declarations") or ()
        self.names = [one["name"] if one else "" for one in names]
        self.places = [_place(one) for one in names if one]
        self.inner: list[Self] = []
        self.edits: list[Edit] = []


def _place(node: Json) -> tuple[int, int]:
    start, length, _ = (int(part) for part in node["src"].split(":"))
    return start, start + length


def _statements(tree: Any, source: bytes, found: list[Statement]) -> None:
    """Add the outermost statements of a part of the compiler's tree to those found."""
    for node in tree if isinstance(tree, list) else [tree]:
        if not isinstance(node, dict):
            continue
        kind = node.get("nodeType")
        if kind not in (*_ENDED, *_OTHERS):
            for name, part in node.items():
                if isinstance(part, dict | list) and name != "documentation":
                    _statements(part, source, found)
            continue
        start, end = _place(node)
        if kind in _ENDED and source[end - 1 : end] != b";":  # it is within a bare `return;`
            end = source.index(b";", end) + 1
        value = _place(node["initialValue"]) if node.get("initialValue") else None
        statement = Statement(node, start, end, value)
        for name in ("trueBody", "falseBody", "body", "clauses"):
            _statements(node.get(name), source, statement.inner)
        statement.end = max([end, *(one.end for one in statement.inner)])
        found.append(statement)


def statements_of(tree: Json, source: bytes) -> list[Statement]:
    """Return a file's outermost statements, in the order of the text."""
    found: list[Statement] = []
    _statements(tree.get("nodes"), source, found)
    return sorted(found, key=lambda statement: statement.start)


def functions_of(tree: Json) -> list[tuple[int, int]]:
    """Return the place of every function and modifier of a file."""
    found, waiting = list[tuple[int, int]](), [tree]
    while waiting:
        node = waiting.pop()
        waiting += [one for one in node.get("nodes", ()) if isinstance(one, dict)]
        if node.get("nodeType") in ("FunctionDefinition", "ModifierDefinition"):
            found.append(_place(node))
    return sorted(found)


def _innermost(statements: Sequence[Statement], edit: Edit) -> Statement | None:
    for statement in statements:
        if statement.start <= edit.start and edit.end <= statement.end:
            return _innermost(statement.inner, edit) or statement
    return None


class Switches:
    """A source whose statements can be chosen to be mutants."""

    def __init__(self, tree: Json, source: bytes) -> None:
        self._source = source
        self._statements = statements_of(tree, source)

    def admits(self, edit: Edit) -> bool:
        """Tell whether a choice can make this edit."""
        statement = _innermost(self._statements, edit)
        if statement is None:
            return False
        return not statement.is_declaration or self._declared(statement, edit) is not None

    def takes_a_name(self, edit: Edit) -> bool:
        """Tell whether the edit takes out a declaration, without which nothing compiles."""
        statement = _innermost(self._statements, edit)
        is_declaration = statement is not None and statement.is_declaration
        return is_declaration and edit.new.startswith(b"//")

    def entries(self, functions: Sequence[tuple[int, int]], number: int) -> Iterator[Edit]:
        """Yield edits, numbered from here on, that let one function each revert at once."""
        for at, (start, end) in enumerate(functions):
            for first in self._statements:
                if start <= first.start and first.end <= end:
                    is_ended = self._source[first.end - 1 : first.end] == b";"
                    new = b"revert()" if is_ended else b"revert();"
                    yield Edit(number + at, first.start, first.end - is_ended, new)
                    break

    def text(self, edits: Sequence[Edit]) -> tuple[str, dict[int, tuple[int, int]]]:
        """Return the source with these edits behind switches, and where each of them lies in it."""
        chosen = defaultdict[int, list[Edit]](list)
        for edit in edits:
            statement = _innermost(self._statements, edit)
            if statement is None:
                raise ValueError(f"no statement holds the edit {edit}")
            chosen[id(statement)].append(edit)
        marked = self._between(self._statements, 0, len(self._source), chosen)
        marked = marked.replace(PRAGMA.encode(), (PRAGMA + IMPORT).encode(), 1)
        return _unmarked(marked)

    def _between(
        self,
        statements: Sequence[Statement],
        start: int,
        end: int,
        chosen: Mapping[int, Sequence[Edit]],
    ) -> bytes:
        parts = []
        for statement in statements:
            parts += [self._source[start : statement.start], self._choice(statement, chosen)]
            start = statement.end
        return b"".join([*parts, self._source[start:end]])

    def _choice(self, statement: Statement, chosen: Mapping[int, Sequence[Edit]]) -> bytes:
        edits = chosen.get(id(statement), ())
        plain = self._between(statement.inner, statement.start, statement.end, chosen)
        if not edits:
            return plain
        branches = b"".join(
            b"if (planted(%d)) {\n\0%d\1%s\n\2} else " % (edit.number, edit.number, form)
            for edit in edits
            for form in [self._form(statement, edit)]
        )
        if not statement.is_declaration:
            return b"{ %s{\n%s\n} }" % (branches, plain)
        declared = b" ".join(self._source[a:b] + b";" for a, b in statement.places)
        return declared + b" %s{ %s; }" % (branches, self._assigned(statement))

    def _assigned(self, statement: Statement, value: bytes | None = None) -> bytes:
        if value is None:
            start, end = statement.value or (0, 0)
            value = self._source[start:end]
        names = ", ".join(statement.names).encode()
        return b"%s = %s" % (names if len(statement.names) == 1 else b"(%s)" % names, value)

    def _form(self, statement: Statement, edit: Edit) -> bytes:
        if statement.is_declaration:
            return self._declared(statement, edit) or b""
        before = self._source[statement.start : edit.start]
        return before + edit.new + self._source[edit.end : statement.end]

    def _declared(self, statement: Statement, edit: Edit) -> bytes | None:
        """Return what takes the value's place; None if the edit is of the declaration itself."""
        if statement.value is None or edit.new.startswith(b"//"):
            return None
        start, end = statement.value
        if start <= edit.start and edit.end <= end:
            value = self._source[start : edit.start] + edit.new + self._source[edit.end : end]
            return self._assigned(statement, value) + b";"
        if edit.new == b"revert()":
            return b"revert();"
        before = self._source[edit.start : start]
        if edit.start == statement.start and edit.new.startswith(before):
            return self._assigned(statement, edit.new[len(before) :]) + b";"
        bare = before.rstrip().removesuffix(b"=").rstrip()
        return b"" if edit.start == statement.start and edit.new.strip() == bare else None


def _unmarked(marked: bytes) -> tuple[str, dict[int, tuple[int, int]]]:
    """Return the text without the marks of mutants, and the place of each mutant in it."""
    places, text, begun = dict[int, tuple[int, int]](), b"", list[tuple[int, int]]()
    for piece in re.split(rb"(\x00\d+\x01|\x02)", marked):
        if piece == b"\2":
            number, start = begun.pop()
            places[number] = (start, len(text))
        elif piece.startswith(b"\0"):
            begun.append((int(piece[1:-1]), len(text)))
        else:
            text += piece
    return text.decode(), places


def blamed(places: Mapping[int, tuple[int, int]], positions: Sequence[int]) -> Iterator[int]:
    """Yield the mutants in whose text the compiler found these errors."""
    for number, (start, end) in places.items():
        if any(start <= position < end for position in positions):
            yield number
