"""The table of kinds: every row whole, no kind without a row taken, and one place to add a kind."""

import ast
import json
import re
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

import pytest

from orchestrator.core.common.errors import EntryError
from orchestrator.core.entries import folds, kinds, replay_rules
from orchestrator.core.entries.kinds import KINDS, ROLES, Clock, Kind, Projection, advance, kind_of
from orchestrator.core.log.entry import Entry, ascii_text, ascii_word, unpack_outcome
from orchestrator.core.log.opening import (
    Opening,
    Record,
    decode_opening,
    encode_opening,
    opening_json,
    read_opening,
)
from orchestrator.core.world.world import World

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_a_row_says_all(kind: Kind) -> None:
    assert KINDS[kind.name] is kind
    assert ascii_text(kind.word) == kind.name
    assert all(kind.words)
    assert all(field in Entry._fields for _, field in kind.changes)
    # One name leads from a kind to all of its code.
    name = kind.name.replace(".", "_")
    assert kind.fold is getattr(folds, name, folds.nothing)
    assert kind.replay is getattr(replay_rules, name, None)
    # An opening is what a payload commits to, and nothing else says so.
    assert (kind.opening is not None) == (kind.words.payload == "SHA-256 of the opening")
    # What follows from other entries has no clock of its own, and no request.
    if kind.replay is None:
        assert kind.clock is Clock.PRODUCT
        assert kind.opening is None
    # The product's clock is only as true as the opening, which says when we received the event.
    if kind.clock is Clock.PRODUCT and kind.replay is not None:
        assert kind.opening is not None


def test_every_projection_is_changed_by_a_kind_and_every_opening_had_by_one() -> None:
    changed = {projection for kind in KINDS.values() for projection, _ in kind.changes}
    assert changed == set(Projection)
    assert {kind.opening for kind in KINDS.values()} - {None} == set(get_args(Opening))
    assert set(ROLES) == {
        "outcome", "reversal", "transition", "event", "touch", "settlement", "payout",
    }  # fmt: skip


def test_what_is_about_money_has_a_receipt_of_roles_that_there_are() -> None:
    for kind in KINDS.values():
        assert (kind.receipt is not None) == bool(kind.role and kind.is_of_contract), kind.name
        if kind.receipt is not None:
            roles = [*kind.receipt.always, *kind.receipt.others]
            assert len(set(roles)) == len(roles)
            assert kind.role in kind.receipt.always
            assert set(roles) <= ROLES.keys()


@pytest.mark.parametrize(
    "name", ["forecast.voided", "dispute.settled", "outcome.refused", "", "TOUCH"]
)
def test_a_kind_without_a_row_is_refused_everywhere(name: str) -> None:
    word = bytes(32)
    entry = Entry(name, word, word, word, "", 0, 0, word)
    data = ascii_word(name) + kinds.encode(entry._replace(kind="genesis"))[32:]
    world = World()
    for use in (
        lambda: kinds.encode(entry),
        lambda: kinds.decode(data),
        lambda: kind_of(entry),
        lambda: advance(world, Record(entry)),
    ):
        with pytest.raises(EntryError) as refused:
            use()
        assert refused.value.code == "kind-unknown"
    assert world == World()


def test_the_page_about_entries_says_what_the_table_says() -> None:
    page = (ROOT / "docs/entries.md").read_text()
    for kind in KINDS.values():
        words = " | ".join(kind.words)
        clock = kind.clock.name.lower()
        assert f"| `{kind.name}` | {clock} | {words} |" in page
    rows = re.findall(r"^\| `[a-z.]+` \| (?:log|product|cause) \|", page, re.MULTILINE)
    assert len(rows) == len(KINDS)
    for opening in get_args(Opening):
        names = ", ".join(f"`{kind.name}`" for kind in KINDS.values() if kind.opening is opening)
        fields = [
            name.removesuffix("_ms").removesuffix("_units").replace("_", " ")
            for name in opening._fields
        ]
        assert f"| {names} | {', '.join(fields)} |" in page


JSON_FORMS = {
    "any 32 bytes": bytes(range(32)),
    "a label: printable ASCII, padded by zeros on the right": "paid",
    "UTC milliseconds, below 2^63": 2**63 - 1,
    "base units, below 2^80": 2**80 - 1,
    "0 or 1": True,
    "a whole number below 2^40": 2**40 - 1,
}


def test_the_page_says_how_each_member_of_an_opening_is_written() -> None:
    page = (ROOT / "docs/entries.md").read_text()
    forms: dict[str, Any] = {}
    for members, word in re.findall(r"^\| (`\w+`(?:, `\w+`)*) \| ([^|]+) \|", page, re.MULTILINE):
        forms |= dict.fromkeys(re.findall(r"\w+", members), JSON_FORMS.get(word))
    members = {name for opening in get_args(Opening) for name in opening._fields}
    assert {name for name, most in forms.items() if most is not None} == members
    for opening in get_args(Opening):
        most = opening(*(forms[name] for name in opening._fields))
        shown = opening_json(most)
        assert list(shown) == list(opening._fields)
        assert read_opening(opening, shown) == most == decode_opening(opening, encode_opening(most))
        for name, value in zip(opening._fields, most, strict=True):
            if type(value) is int:
                assert type(shown[name]) is (str if name.endswith("_units") else int)
                with pytest.raises(EntryError):
                    encode_opening(most._replace(**{name: value + 1}))


def test_what_the_page_says_is_refused_is() -> None:
    page = (ROOT / "docs/entries.md").read_text()
    codes = re.findall(
        r"^\| [^|]+ \| `([a-z-]+)` \|$", page.split("### An example")[0], re.MULTILINE
    )
    vectors = json.loads((ROOT / "tests/vectors/entries.json").read_text())["entries"]
    data = bytearray.fromhex(next(one for one in vectors if one["kind"] == "outcome")["data"][2:])
    data[255] = 1
    found = []
    with pytest.raises(EntryError) as refused:
        unpack_outcome(kinds.decode(bytes(data)).payload)
    found.append(refused.value.code)
    # Each fault is added to those before it, which it is told before.
    for at, value in ((128, 0x1F), (192, 0x80), (0, 0)):
        data[at] = value
        with pytest.raises(EntryError) as refused:
            kinds.decode(bytes(data))
        found.append(refused.value.code)
    with pytest.raises(EntryError) as refused:
        kinds.decode(bytes(data) + b"\0")
    assert [refused.value.code, *found[::-1]] == codes


def test_the_example_of_the_page_is_an_entry_of_the_vectors() -> None:
    page = (ROOT / "docs/entries.md").read_text()
    example = page.split("### An example")[1].split("\n## ")[0]
    rows = re.findall(
        r"^\| (\d+)\u2013(\d+) \| (\w+) \| `([0-9a-f]{64})` \| (.*) \|", example, re.MULTILINE
    )
    assert [(int(first), int(last)) for first, last, *_ in rows] == [
        (start, start + 31) for start in range(0, 256, 32)
    ]
    assert [name for _, _, name, *_ in rows] == [
        field.removesuffix("_ms") for field in Entry._fields
    ]
    data = bytes.fromhex("".join(word for *_, word, _ in rows))
    vectors = json.loads((ROOT / "tests/vectors/entries.json").read_text())["entries"]
    (vector,) = (one for one in vectors if one["data"] == f"0x{data.hex()}")
    assert f"`{vector['leaf_hash']}`" in example
    meaning = {name: text for _, _, name, _, text in rows}
    entry = kinds.decode(data)
    assert meaning["kind"] == f"`{entry.kind}`"
    assert meaning["label"] == f"`{entry.label}`"
    assert meaning["value"] == f"{entry.value} base units"
    assert meaning["time"].startswith(f"{entry.time_ms}: ")
    facts = unpack_outcome(entry.payload)._asdict()
    stated = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in facts.items())
    assert meaning["payload"] == f"{stated}, 0"


def test_no_other_module_lists_kinds() -> None:
    """Three kinds side by side in a tuple, list, set or dictionary are a list of kinds."""
    found = []
    for file in [*(ROOT / "orchestrator").rglob("*.py"), *(ROOT / "api").rglob("*.py")]:
        if file.name == "kinds.py":
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            parts: list[ast.expr | None] = []
            if isinstance(node, ast.Tuple | ast.List | ast.Set):
                parts = [*node.elts]
            elif isinstance(node, ast.Dict):
                parts = [*node.keys]
            values = [part.value for part in parts if isinstance(part, ast.Constant)]
            names = [value for value in values if isinstance(value, str) and value in KINDS]
            if len(names) > 2 and isinstance(node, ast.expr):
                found.append(f"{file.relative_to(ROOT)}:{node.lineno} {names}")
    assert found == []


# --- A new kind in a copy -------------------------------------------------------------------------

REQUEST = '''
class NoteLead(NamedTuple):
    """A note of the owner about a lead."""

    surface: Word
    lead: Word
    owner: Word
    text: Name


Request = (
    NoteLead
    | '''
DECIDER = """
def _note_lead(writer: Writer, request: requests.NoteLead) -> None:
    surface, lead, owner, text = request
    writer.add("lead.noted", surface, owner, lead, text, 0, ZERO_WORD)


_DECIDE: dict[type, Callable[[Writer, Any], None]] = {
    requests.NoteLead: _note_lead,
"""
RULE = """


def lead_noted(_world: World, record: Record, _documents: Documents) -> requests.NoteLead:
    entry = record.entry
    return requests.NoteLead(entry.surface, entry.subject, entry.actor, entry.label)


def touch("""
ROW = """
_TABLE = (
    Kind(
        "lead.noted",
        Clock.LOG,
        Meanings("owner", "lead", "text", "0", "zero"),
        folds.nothing,
        replay_rules.lead_noted,
        changes=(RowChange(Projection.LEAD, "subject"),),
        role="note",
    ),
"""
TRIAL = """
import json
from api.routes.records import answers
from orchestrator.core.entries import kinds, receipt
from orchestrator.core.world import codec
from orchestrator.core.decisions.decide import decide
from orchestrator.core.common.errors import ReplayError
from orchestrator.core.entries.kinds import Projection
from orchestrator.core.entries.replay_rules import Documents
from orchestrator.core.log.opening import Record
from orchestrator.core.decisions.replay import replay
from orchestrator.core.world.requests import NoteLead, Touch
from orchestrator.log.projections import RowChanges
from tests.support.worlds import LEADS, OPERATORS, OWNER, SURFACE, begin, policy

world, records = begin(policy())
records += decide(world, Touch(SURFACE, LEADS[0], OPERATORS[0], "email"), 1000)
note = NoteLead(SURFACE, LEADS[0], OWNER, "called back")
name, body = codec.encode_request(note)
assert codec.decode_request(name, body) == note
records += decide(world, note, 2000)
entry = records[-1].entry
assert kinds.decode(kinds.encode(entry)) == entry
documents = Documents(
    world.policies.__getitem__, world.settings.__getitem__, world.rules.__getitem__
)
assert replay(records, documents) == world
changes = RowChanges()
changes.add(kinds.kind_of(entry), entry)
assert list(changes.of(Projection.LEAD)) == [LEADS[0]]
altered = [*records[:-1], Record(entry._replace(value=1))]
try:
    replay(altered, documents)
except ReplayError as error:
    assert error.code == "entry-differs"
assert "note" in receipt.ROLES
role = answers.ReceiptEntry.model_json_schema()["properties"]["role"]
print(json.dumps([name, role["enum"]]))
"""


def test_a_new_kind_touches_the_table_and_its_own_code(tmp_path: Path) -> None:
    """Reading, writing, folding, storing, replaying, receipts and the API need no other change."""
    for part in ("orchestrator", "api", "tests/support"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=lambda *_: ["__pycache__"])
    (tmp_path / "tests/__init__.py").touch()
    core = tmp_path / "orchestrator/core"
    for file, anchor, new in (
        ("world/requests.py", "\nRequest = (\n    ", REQUEST),
        (
            "decisions/decide.py",
            "\n_DECIDE: dict[type, Callable[[Writer, Any], None]] = {\n",
            DECIDER,
        ),
        ("entries/replay_rules.py", "\n\n\ndef touch(", RULE),
        ("entries/kinds.py", "\n_TABLE = (\n", ROW),
    ):
        text = (core / file).read_text()
        assert text.count(anchor) == 1, file
        (core / file).write_text(text.replace(anchor, new))
    done = subprocess.run(
        [sys.executable, "-c", TRIAL],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    name, roles = json.loads(done.stdout)
    assert name == "note_lead"
    assert "note" in roles


def test_a_kind_is_frozen() -> None:
    """A row that could be changed at run time would be a second place that says what a kind is."""
    with pytest.raises(AttributeError):
        KINDS["touch"].listed = True  # type: ignore[misc]
    assert len(fields(Kind)) == 14
