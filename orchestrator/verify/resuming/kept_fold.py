"""The kept fold: what a replay has made of a log, in a private file, for a restart to go on there.

What is kept is used only if all of it is as it was written, by the same code, for the same log:
each row counts in a sum of keyed hashes, and the sum stands in a record that is hashed with the
key, too. That the tree behind it is still the log's is shown by the next root: it follows from the
kept nodes. In any doubt the replay begins at the first entry, and says so.

Memory is bounded by a number of leads, standings and codes, of which the others are read again when
an entry speaks of them.
"""

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import astuple, fields
from functools import cache
from hashlib import blake2b, sha256
from hmac import compare_digest
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from orchestrator.core.common.document import DocumentCache
from orchestrator.core.common.errors import DomainError, LogError
from orchestrator.core.entries.kinds import Projection, kind_of
from orchestrator.core.entries.replay_rules import Documents
from orchestrator.core.log.entry import Entry
from orchestrator.core.log.merkle import CompactRange
from orchestrator.core.resource import Resource
from orchestrator.core.surface.forecast import Cohorts
from orchestrator.core.surface.trust import Standing
from orchestrator.core.world.codec import (
    decode_lead,
    decode_pool,
    decode_rules,
    decode_standing,
    encode_lead,
    encode_pool,
    encode_rules,
    encode_standing,
    json_text,
)
from orchestrator.core.world.contract import Contract
from orchestrator.core.world.world import Lead, Operator, OperatorCode, Surface, World
from orchestrator.log.projections import RowChanges
from orchestrator.storage.local.keyed_file import DamagedFileError, Key, KeyedFile

# The leads, the standings, and the codes, each, that stay in memory.
IN_MEMORY = 20_000
_STATE: Key = ("state", b"")
_SEAL: Key = ("seal", b"")
_SUM_BYTES = 32

_log = logging.getLogger(__name__)

V = TypeVar("V")


class Kept(NamedTuple):
    """A replay as it was kept: its world, its tree, and the roots of sizes that were asked for."""

    world: World
    tree: CompactRange
    roots: dict[int, bytes]


class _Rows(dict[Any, V]):
    """Rows of the fold by name, of which those that are not in memory are read when asked for."""

    def __init__(self, read: Callable[[Any], V | None]) -> None:
        super().__init__()
        self._read = read

    def __missing__(self, name: Any) -> V:
        found = self._read(name)
        if found is None:
            raise KeyError(name)
        self[name] = found
        return found

    def get(self, name: Any, default: Any = None) -> Any:
        """Return a row, or the default if there is none."""
        try:
            return self[name]
        except KeyError:
            return default

    def __contains__(self, name: object) -> bool:
        return self.get(name) is not None

    def forget(self) -> None:
        """Keep those in memory that came last. All must have been written."""
        for name in list(self)[: max(0, len(self) - IN_MEMORY)]:
            del self[name]


class _Causes(dict[int, OperatorCode]):
    """Codes by position, each the one that `codes` has of its name."""

    def __init__(
        self, codes: Mapping[bytes, OperatorCode], read: Callable[[int], bytes | None]
    ) -> None:
        super().__init__()
        self._codes = codes
        self._read = read
        self._issued: dict[int, bytes] = {}

    def __setitem__(self, position: int, code: OperatorCode) -> None:
        self._issued[position] = code.code

    def __missing__(self, position: int) -> OperatorCode:
        name = self._issued.get(position) or self._read(position)
        if name is None:
            raise KeyError(position)
        return self._codes[name]

    def get(self, position: int, default: Any = None) -> Any:
        """Return a code, or the default if there is none."""
        try:
            return self[position]
        except KeyError:
            return default

    def forget(self) -> None:
        """Keep none in memory. All must have been written."""
        self._issued.clear()


class KeptFold(Resource):
    """The fold of a replay in a file, for one process at a time.

    `secret` is known to the replay's own machine alone; `binding` says what the fold is of besides
    the log's entries, such as the chain. Raises `InputError` for a file that cannot be used.
    """

    def __init__(self, path: Path, secret: bytes, binding: bytes) -> None:
        self._file = KeyedFile(path)
        self._path = path
        self._key = sha256(b"tallystick kept fold" + secret).digest()
        self._binding = sha256(binding + code_digest()).hexdigest()
        self._changes = RowChanges()
        self._sum = 0

    def close(self) -> None:
        """Let other processes have the file. What was not saved is gone."""
        self._file.close()

    def open(self, documents: Documents) -> Kept:
        """Return what is kept; the beginning of the log if nothing is, or it is in any doubt."""
        try:
            kept = self._read(documents)
        except (DomainError, DamagedFileError, LookupError, TypeError, ValueError) as error:
            kept = None
            self.doubt(str(error))
        if kept is None:
            return Kept(self._new_world(documents, 0, 0), CompactRange(), {})
        _log.info("%s: the replay goes on from entry %d", self._path, kept.world.size)
        return kept

    def doubt(self, reason: str) -> None:
        """Forget what is kept, and say why."""
        _log.warning("%s: %s; replaying from the first entry", self._path, reason)
        self._file.clear()
        self._changes, self._sum = RowChanges(), 0

    def note(self, entry: Entry) -> None:
        """Note which rows an entry changes, that was taken."""
        self._changes.add(kind_of(entry), entry)

    def save(self, kept: Kept) -> None:
        """Write what has changed, in one step, while nothing is expected to follow."""
        world, rows = kept.world, self._changed(kept.world)
        total = self._sum
        for key, text in rows.items():
            before = self._file.get(*key)
            total += self._hash(key, text) - (0 if before is None else self._hash(key, before))
        total %= 1 << 8 * _SUM_BYTES
        state = {
            "binding": self._binding,
            "size": world.size,
            "time_ms": world.time_ms,
            "nodes": [node.hex() for node in kept.tree.nodes],
            "roots": {str(size): root.hex() for size, root in kept.roots.items()},
            "sum": f"{total:064x}",
        }
        text = json_text(state)
        self._file.put(rows | {_STATE: text, _SEAL: f"{self._hash(_STATE, text):064x}"})
        self._sum, self._changes = total, RowChanges()
        world.moved.clear()
        world.used_codes.clear()
        world.tallies.clear()
        for held in (world.leads, world.standings, world.codes, world.causes):
            if isinstance(held, _Rows | _Causes):
                held.forget()

    # --- Reading ----------------------------------------------------------------------------------

    def _read(self, documents: Documents) -> Kept | None:
        """Return what is kept, None if nothing is. Raises an error for what is in doubt."""
        text, seal = self._file.get(*_STATE), self._file.get(*_SEAL)
        if text is None and seal is None:
            return None
        if not compare_digest(f"{self._hash(_STATE, text or ''):064x}", seal or ""):
            raise LogError("kept-altered", "what is kept was not written here")
        state = json.loads(text or "")
        if state["binding"] != self._binding:
            raise LogError("kept-other", "it was kept by other code, or of another log or chain")
        world = self._new_world(documents, state["size"], state["time_ms"])
        total, contracts = 0, list[Contract]()
        for sort, name, row in self._file.all():
            if (sort, name) in (_STATE, _SEAL):
                continue
            total += self._hash((sort, name), row)
            if sort == Projection.SURFACE:
                world.surfaces[name] = _surface(world, json.loads(row))
            elif sort == Projection.OPERATOR:
                world.operators[name] = Operator(json.loads(row))
            elif sort == Projection.CONTRACT:
                contracts.append(_contract(json.loads(row)))
        self._sum = total % (1 << 8 * _SUM_BYTES)
        if f"{self._sum:064x}" != state["sum"]:
            raise LogError("kept-altered", "a row of it was changed, added or removed")
        for contract in sorted(contracts, key=lambda each: each.opened):
            world.add_contract(contract)
        tree = CompactRange(state["size"], [bytes.fromhex(node) for node in state["nodes"]])
        roots = {int(size): bytes.fromhex(root) for size, root in state["roots"].items()}
        return Kept(world, tree, roots)

    def _new_world(self, documents: Documents, size: int, time_ms: int) -> World:
        codes: _Rows[OperatorCode] = _Rows(self._reader("codes", _code))
        return World(
            size,
            time_ms,
            policies=DocumentCache(documents.known_policy),
            settings=DocumentCache(documents.known_settings),
            leads=_Rows(self._reader(Projection.LEAD, _lead)),
            standings=_Rows(self._reader("standings", _standing)),
            codes=codes,
            causes=_Causes(codes, self._cause_name),
        )

    def _reader(self, sort: str, decode: Callable[[Any], V]) -> Callable[[bytes], V | None]:
        def read(name: bytes) -> V | None:
            text = self._file.get(sort, name)
            return None if text is None else decode(json.loads(text))

        return read

    def _cause_name(self, position: int) -> bytes | None:
        text = self._file.get("causes", _name_of(position))
        return None if text is None else bytes.fromhex(text)

    # --- Writing ----------------------------------------------------------------------------------

    def _changed(self, world: World) -> dict[Key, str]:
        """Return the rows that have changed since the last were written."""
        found: dict[Key, object] = {}
        changed = self._changes.of
        for name in changed(Projection.LEAD):
            lead = world.leads[name]
            found[Projection.LEAD, name] = [
                lead.surface.hex(), lead.state, lead.since_ms, encode_lead(lead)
            ]  # fmt: skip
        for name in changed(Projection.SURFACE):
            found[Projection.SURFACE, name] = _surface_row(world.surfaces[name])
        for name in changed(Projection.OPERATOR):
            found[Projection.OPERATOR, name] = world.operators[name].registered
        for name in changed(Projection.CONTRACT):
            contract = world.contracts[name]
            found[Projection.CONTRACT, name] = [
                encode_rules(contract.rules), *_further(contract)
            ]  # fmt: skip
        for pair in world.moved:
            one = world.standing(pair[:32], pair[32:])
            found["standings", pair] = [
                one.level, one.ground, one.is_suspended, encode_standing(one)
            ]  # fmt: skip
        texts = {key: json_text(row) for key, row in found.items()}
        for name in world.used_codes:
            code = world.codes.get(name)
            if code is not None:
                texts["codes", name] = json_text([_written(word) for word in astuple(code)])
                texts["causes", _name_of(code.position)] = name.hex()
        return texts

    def _hash(self, key: Key, text: str) -> int:
        """Return the keyed hash of a row, of which no other row has the same input."""
        sort, name = key
        head = f"{sort} {name.hex()} ".encode()
        return int.from_bytes(
            blake2b(head + text.encode(), key=self._key, digest_size=_SUM_BYTES).digest()
        )


@cache
def code_digest() -> bytes:
    """Return a hash of the code that judges and folds, so that no other's state is gone on with."""
    digest = sha256()
    for package in ("orchestrator.core", "orchestrator.verify"):
        for name, text in sorted(_sources(files(package))):
            digest.update(f"{package} {name} {len(text)} ".encode() + text)
    return digest.digest()


def _sources(folder: Traversable, at: str = "") -> list[tuple[str, bytes]]:
    found = []
    for each in folder.iterdir():
        if each.is_dir():
            found += _sources(each, f"{at}{each.name}/")
        elif each.name.endswith(".py"):
            found.append((at + each.name, each.read_bytes()))
    return found


def _name_of(position: int) -> bytes:
    return position.to_bytes(8)


def _written(word: object) -> object:
    return word.hex() if isinstance(word, bytes) else word


def _further(contract: Contract) -> list[Any]:
    """Return all of a contract but its rules, which come first."""
    return [getattr(contract, field.name) for field in fields(contract)[1:]]


def _contract(row: list[Any]) -> Contract:
    return Contract(decode_rules(row[0]), *row[1:])


def _lead(row: list[Any]) -> Lead:
    return decode_lead(bytes.fromhex(row[0]), *row[1:])


def _standing(row: list[Any]) -> Standing:
    return decode_standing(*row)


def _code(row: list[Any]) -> OperatorCode:
    words: dict[str, Any] = dict(
        zip((field.name for field in fields(OperatorCode)), row, strict=True)
    )
    for name in ("surface", "operator", "code"):
        words[name] = bytes.fromhex(words[name])
    return OperatorCode(**words)


def _surface_row(here: Surface) -> list[Any]:
    return [
        here.owner.hex(),
        here.policy_hash.hex(),
        here.version,
        here.received_ms,
        here.settings_hash.hex(),
        here.settings_version,
        encode_pool(here.pool),
        here.cohorts.to_document(),
        here.errands,
    ]


def _surface(world: World, row: list[Any]) -> Surface:
    owner, policy, version, received_ms, settings, settings_version, pool, cohorts, errands = row
    return Surface(
        bytes.fromhex(owner),
        bytes.fromhex(policy),
        version,
        world.policies,
        world.settings,
        received_ms,
        bytes.fromhex(settings),
        settings_version,
        decode_pool(pool),
        Cohorts.from_document(cohorts),
        errands,
    )
