"""Receipts that are broken, one by one and at random, most so that their proofs still hold.

A receipt whose tree does not hold is refused for that alone. So after a change of entries the tree
is made anew around them, and what a changed opening commits to is written into its entry.
"""

import copy
import json
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from hashlib import sha256
from itertools import combinations
from typing import Any

from orchestrator.core.common.errors import EntryError, ProofError
from orchestrator.core.entries.kinds import ROLES, decode, kind_of
from orchestrator.core.log.entry import WORD_BYTES
from orchestrator.core.log.merkle import inclusion_proof, leaf_hash, node_hash, root_of
from orchestrator.core.log.opening import encode_opening, read_opening

Receipt = dict[str, Any]
_Change = Callable[[Receipt], None]
# The most leaves of a tree that is made anew.
_MOST = 200
# The lowest bits of the fields of packed payloads.
_FIELDS = (0, 16, 48, 96, 136, 176, 216)
_VALUES: tuple[object, ...] = (None, "", 1, [], {}, "0x", True, -1, 1.5)
# What comes of a change after which there is no tree to make.
_NO_TREE = (AttributeError, IndexError, KeyError, ProofError, TypeError, ValueError)
_TYPOS = ('"', "\\", " ", "{", "0", "\\u0041", "\n", ",", "-", "e1")


def broken_once(receipts: list[Receipt]) -> Iterator[str]:
    """Yield texts of these receipts with one change each: of every word, field, member and role."""
    for receipt in receipts:
        for change in _single_changes(receipt):
            document = copy.deepcopy(receipt)
            change(document)
            with suppress(IndexError, KeyError, TypeError, ValueError, AttributeError):
                _grow_tree(document)
            yield json.dumps(document)
        text = json.dumps(receipt)
        yield text.replace('"size": ', '"size": 1, "size": ')
        yield text.replace('"entries": [{', '"entries": [{"role": "touch", ')


def _single_changes(receipt: Receipt) -> Iterator[_Change]:
    """Yield functions that change one thing in a copy of this receipt."""
    size, roles = receipt["checkpoint"]["size"], [item["role"] for item in receipt["entries"]]
    for name in receipt:
        for value in (*_VALUES, "é", "x" * 256):
            yield partial(_set_member, name=name, value=value)
    for number, item in enumerate(receipt["entries"]):
        own = item["position"]
        steps = [(place, step) for place in range(8) for step in (-1, 1)]
        steps += [(7, step << low) for low in _FIELDS for step in (-1, 1)]
        # The first letter of a label, and a large amount.
        steps += [(4, 1 << 248), (5, 1000)]
        for place, step in steps:
            yield partial(_step_words, roles=[item["role"]], place=place, step=step)
        for name, value in (item["opening"] or {}).items():
            for other in _others(value):
                yield partial(_set_opening_of, number=number, name=name, other=other)
        members: list[tuple[str, object]] = [("opening", None)]
        members += [("role", role) for role in (*ROLES, "payee")]
        members += [("position", at) for at in (0, own - 1, own + 1, size)]
        for name, value in members:
            yield partial(_set_member_of, number=number, name=name, value=value)
        for position in (own, size, size + 1):
            yield partial(_add_pending, role=item["role"], position=position)
        yield partial(_remove_entry, number=number)
        yield partial(_set_member, name="position", value=own)
        yield partial(_move_to_the_end, number=number)
    for pair in combinations(roles, 2):
        for place in (1, 2, 3, 4, 6):
            yield partial(_step_words, roles=pair, place=place, step=1)


def _set_member(document: Receipt, name: str, value: object) -> None:
    document[name] = value


def _set_member_of(document: Receipt, number: int, name: str, value: object) -> None:
    document["entries"][number][name] = value


def _set_opening_of(document: Receipt, number: int, name: str, other: object) -> None:
    _set_opening(document["entries"][number], name, other)


def _step_words(document: Receipt, roles: Sequence[str], place: int, step: int) -> None:
    for item in document["entries"]:
        if item["role"] in roles:
            _step_word(item, place, step)


def _add_pending(document: Receipt, role: str, position: int) -> None:
    document["pending"].append({"role": role, "position": position})


def _remove_entry(document: Receipt, number: int) -> None:
    del document["entries"][number]


def _move_to_the_end(document: Receipt, number: int) -> None:
    """Move an entry behind all others, and have an outcome name it there if it is its touch."""
    item, size = document["entries"].pop(number), document["checkpoint"]["size"]
    by_role = {each["role"]: each for each in document["entries"]}
    if item["role"] == "touch" and "outcome" in by_role:
        _step_word(by_role["outcome"], 7, size - item["position"] << 176)
    document["entries"].append(item | {"position": size})
    document["checkpoint"]["size"] = size + 1


def _others(value: Any) -> tuple[Any, ...]:
    """Return other values of a member of an opening, in its form and out of it."""
    if isinstance(value, bool):
        return (not value, int(value))
    if isinstance(value, int):
        return (0, 1, max(0, value - 1), value + 1, value + 10, 2**40, 2**63, str(value))
    if value.startswith("0x"):
        return (f"0x{'00' * WORD_BYTES}", f"0x{'12' * WORD_BYTES}", value.upper(), value[:-2])
    if value.isdecimal():
        return (str(int(value) + 1), "0", "1000", f"0{value}", str(2**80), int(value))
    return ("", f"{value}x", "é", "a" * 33)


def broken_receipts(receipts: list[Receipt], count: int, seed: int) -> Iterator[str]:
    """Yield so many texts, each of one of these receipts with one to three changes."""
    chance = random.Random(seed)  # noqa: S311 - what is broken is to be repeated
    for _ in range(count):
        document = copy.deepcopy(chance.choice(receipts))
        # A change may find nothing left to change.
        with suppress(*_NO_TREE, OverflowError):
            for _ in range(chance.choice((1, 1, 1, 2, 3))):
                chance.choice(_CHANGES)(document, chance)
            if chance.random() < 0.9:
                _grow_tree(document)
        text = json.dumps(document, separators=(",", ":"), ensure_ascii=False)
        if chance.random() < 0.1:
            at = chance.randrange(len(text))
            text = text[:at] + chance.choice(_TYPOS) + text[at + chance.randrange(2) :]
        yield text


def _grow_tree(document: Receipt) -> None:
    """Make the tree anew, with these entries at their positions."""
    size = document["checkpoint"]["size"]
    if size > _MOST:
        return
    leaves = [sha256(bytes([number])).digest() for number in range(size)]
    for item in document["entries"]:
        leaves[item["position"]] = leaf_hash(bytes.fromhex(item["entry"][2:]))

    def read(level: int, position: int) -> bytes:
        nodes = leaves[position << level : (position + 1) << level]
        while len(nodes) > 1:
            nodes = [node_hash(*nodes[n : n + 2]) for n in range(0, len(nodes), 2)]
        return nodes[0]

    for item in document["entries"]:
        path = inclusion_proof(item["position"], size, read)
        item["path"] = [f"0x{node.hex()}" for node in path]
    document["checkpoint"]["root"] = f"0x{root_of(leaves).hex()}"


def _number(value: int, chance: random.Random) -> int:
    """Return another number: near this one, or at a bound."""
    near = (value + 1, max(0, value - 1), 2 * value, chance.randrange(_MOST))
    return chance.choice((0, 1, *near, 2**40 - 1, 2**40, 2**63, 2**80 - 1))


def _word(item: Receipt, place: int) -> bytes:
    return bytes.fromhex(item["entry"][2:])[WORD_BYTES * place :][:WORD_BYTES]


def _set_word(item: Receipt, place: int, word: bytes) -> None:
    data = bytearray.fromhex(item["entry"][2:])
    data[WORD_BYTES * place : WORD_BYTES * (place + 1)] = word
    item["entry"] = f"0x{data.hex()}"


def _change_word(document: Receipt, chance: random.Random) -> None:
    item, place = chance.choice(document["entries"]), chance.randrange(8)
    number = _number(int.from_bytes(_word(item, place)), chance)
    _set_word(item, place, (number % 2**256).to_bytes(WORD_BYTES))


def _copy_word(document: Receipt, chance: random.Random) -> None:
    item, other = chance.choice(document["entries"]), chance.choice(document["entries"])
    place = chance.randrange(8)
    _set_word(item, place, _word(other, chance.choice((place, chance.randrange(8)))))


def _change_payload(document: Receipt, chance: random.Random) -> None:
    item = chance.choice(document["entries"])
    _step_word(item, 7, chance.choice((-5, -1, 1, 5)) << chance.choice(_FIELDS))


def _step_word(item: Receipt, place: int, step: int) -> None:
    """Change a word of an entry by so much."""
    word = (int.from_bytes(_word(item, place)) + step) % 2**256
    _set_word(item, place, word.to_bytes(WORD_BYTES))


def _set_opening(item: Receipt, name: str, value: object) -> None:
    """Change a member of an opening, and what its entry commits to."""
    item["opening"][name] = value
    with suppress(EntryError, TypeError, ValueError, AttributeError):
        kind = kind_of(decode(bytes.fromhex(item["entry"][2:])))
        if kind.opening is not None:
            words = encode_opening(read_opening(kind.opening, item["opening"]))
            _set_word(item, 7, sha256(words).digest())


def _change_opening(document: Receipt, chance: random.Random) -> None:
    item = chance.choice([item for item in document["entries"] if item["opening"]])
    name = chance.choice([*item["opening"]])
    value = item["opening"][name]
    if isinstance(value, bool):
        found: object = not value
    elif isinstance(value, int):
        found = _number(value, chance)
    elif value.startswith("0x"):
        other = f"0x{chance.randbytes(WORD_BYTES).hex()}"
        found = chance.choice((f"0x{'00' * WORD_BYTES}", value.upper(), other))
    elif value.isdecimal():
        found = str(_number(int(value), chance))
    else:
        found = chance.choice(("", f"{value} ", "é", "a" * 32, "a" * 33))
    _set_opening(item, name, found)


def _move_entry(document: Receipt, chance: random.Random) -> None:
    item = chance.choice(document["entries"])
    near = max(0, item["position"] + chance.choice((-2, -1, 1, 2)))
    item["position"] = chance.choice((near, near, _number(item["position"], chance)))


def _move_receipt(document: Receipt, chance: random.Random) -> None:
    places = [item["position"] for item in document["entries"]]
    document["position"] = chance.choice([*places, _number(document["position"], chance)])


def _leave_out(document: Receipt, chance: random.Random) -> None:
    item = chance.choice(document["entries"])
    document["entries"].remove(item)
    if chance.random() < 0.6:
        position = chance.choice((document["checkpoint"]["size"] + 3, item["position"]))
        document["pending"].append({"role": item["role"], "position": position})


def _repeat(document: Receipt, chance: random.Random) -> None:
    item = copy.deepcopy(chance.choice(document["entries"]))
    item["role"] = chance.choice([*ROLES])
    document["entries"].append(item)


def _change_role(document: Receipt, chance: random.Random) -> None:
    chance.choice(document["entries"])["role"] = chance.choice([*ROLES, "payee"])


def _change_size(document: Receipt, chance: random.Random) -> None:
    size = document["checkpoint"]["size"]
    document["checkpoint"]["size"] = chance.choice((size + 1, size - 1, _number(size, chance)))


def _change_member(document: Receipt, chance: random.Random) -> None:
    table = chance.choice((document, document["checkpoint"], *document["entries"]))
    table[chance.choice([*table])] = chance.choice(_VALUES)


def _move_member(document: Receipt, chance: random.Random) -> None:
    table = chance.choice((document, document["checkpoint"], *document["entries"]))
    name = chance.choice([*table])
    value = table.pop(name)
    table[chance.choice((name, f"{name}s"))] = value


def _change_path(document: Receipt, chance: random.Random) -> None:
    item = chance.choice(document["entries"])
    path = item["path"]
    item["path"] = chance.choice((path[:-1], [*path, *path[:1]], path[::-1], ["0x00"], [None]))


_CHANGES: tuple[Callable[[Receipt, random.Random], None], ...] = (
    *(_change_word, _copy_word, _change_payload, _change_opening, _change_opening),
    *(_move_entry, _move_receipt, _leave_out, _repeat, _change_role, _change_size),
    *(_change_member, _move_member, _change_path),
)
