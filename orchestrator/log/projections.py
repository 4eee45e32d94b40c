"""Projections: the stored tables that are a cache of the fold, loaded at the start of a writer and
brought up to date in the transaction that appends entries.

The table of kinds says which rows an entry changes.
"""

from collections import OrderedDict
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from typing import Generic, NamedTuple, TypeVar

from orchestrator.core.common.document import CACHED_BYTES, Document, DocumentCache
from orchestrator.core.common.errors import DomainError, LogError
from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.core.common.units import DAY_MS
from orchestrator.core.entries.kinds import Kind, Projection
from orchestrator.core.log.entry import CLICK, WORD_BYTES, Entry
from orchestrator.core.log.opening import ActOpening, AnswerOpening, Record, ReportedTouchOpening
from orchestrator.core.surface import policy, surface_settings
from orchestrator.core.surface.forecast import Cohorts
from orchestrator.core.surface.policy import Policy
from orchestrator.core.surface.surface_settings import SurfaceSettings
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
from orchestrator.core.world.tally import MAX_POSITIONS, Subject, Tally
from orchestrator.core.world.world import Lead, Operator, OperatorCode, Surface, World, pair_of
from orchestrator.storage.database import Row, Session
from orchestrator.storage.statements import Statements

# The state of an action that was written as a touch.
DONE = "done"
Placed = tuple[int, Record]
# The most documents that a check of them all holds at once.
PAGE_DOCUMENTS = 100


class RowChanges:
    """The rows of each projection that some entries change, in order and each once."""

    def __init__(self) -> None:
        self._keys: dict[Projection, dict[bytes, None]] = {each: {} for each in Projection}

    def add(self, kind: Kind, entry: Entry) -> None:
        """Note the rows that an entry of this kind changes."""
        for projection, field in kind.changes:
            self._keys[projection][getattr(entry, field)] = None

    def of(self, projection: Projection) -> Collection[bytes]:
        """Return the keys of the changed rows of one projection."""
        return self._keys[projection].keys()


# --- Writing --------------------------------------------------------------------------------------


def write_leads(statements: Statements, log_id: bytes, world: World, changes: RowChanges) -> None:
    """Bring changed leads up to date: many a drain, so they are copied to a table of their own."""
    names = changes.of(Projection.LEAD)
    if not names:
        return
    statements.copy(
        "log.copy_leads",
        ("bytea", "bytea", "text", "int8", "int8", "text"),
        (
            (
                name,
                lead.surface,
                lead.state,
                lead.since_ms,
                lead.touch_count,
                json_text(encode_lead(lead)),
            )
            for name in names
            for lead in (world.leads[name],)
        ),
    )
    statements.run("log.put_leads", log_id=log_id)


def write_rest(statements: Statements, log_id: bytes, world: World, changes: RowChanges) -> None:
    """Bring all else up to date: few rows a drain, save after a settlement tick."""
    for hash_ in changes.of(Projection.POLICY):
        document = json_text(world.policies[hash_].document())
        statements.run("log.put_policy", log_id=log_id, hash=hash_, document=document)
    for hash_ in changes.of(Projection.SETTINGS):
        document = json_text(world.settings[hash_].document())
        statements.run("log.put_settings", log_id=log_id, hash=hash_, document=document)
    for surface in changes.of(Projection.SURFACE):
        here = world.surfaces[surface]
        statements.run(
            "log.put_surface",
            log_id=log_id,
            surface=surface,
            owner=here.owner,
            policy_hash=here.policy_hash,
            version=here.version,
            received_ms=here.received_ms,
            settings_hash=here.settings_hash or None,
            settings_version=here.settings_version,
            pool=json_text(encode_pool(here.pool)),
            cohorts=json_text(here.cohorts.to_document()),
            errands=here.errands,
        )
    for operator in changes.of(Projection.OPERATOR):
        statements.run(
            "log.put_operator",
            log_id=log_id,
            operator=operator,
            registered=world.operators[operator].registered,
        )
    contract_ids = changes.of(Projection.CONTRACT)
    if contract_ids:
        statements.run_each(
            "log.put_contract",
            [_contract_row(log_id, world.contracts[contract_id]) for contract_id in contract_ids],
        )


def write_actions(statements: Statements, log_id: bytes, records: Iterable[Placed]) -> None:
    """Bring requested actions up to date with the records that ask for, answer or report one."""
    requested, answered = [], []
    for position, (entry, opening) in records:
        if isinstance(opening, ActOpening):
            requested.append(
                {
                    "position": position,
                    "surface": entry.surface.hex(),
                    "lead": entry.subject.hex(),
                    "operator": entry.actor.hex(),
                    "action": entry.label,
                    "requested_ms": entry.time_ms,
                    "expires_ms": entry.value,
                    "commitment": opening.commitment.hex(),
                }
            )
        elif isinstance(opening, AnswerOpening):
            answered.append(
                {
                    "position": entry.value,
                    "state": entry.label,
                    "answered_ms": entry.time_ms,
                    "reason": opening.reason,
                }
            )
        elif isinstance(opening, ReportedTouchOpening) and entry.label != CLICK:
            done = {"position": opening.cause, "state": DONE, "done_position": position}
            answered.append(done)
    if requested:
        statements.run("actions.put_requested", log_id=log_id, rows=json_text(requested))
    # In their order: one may be taken and done in the same drain.
    if answered:
        statements.run_each(
            "actions.put_answer",
            [
                {"answered_ms": None, "reason": "", "done_position": None, **one, "log_id": log_id}
                for one in answered
            ],
        )


def write_standings(statements: Statements, log_id: bytes, world: World) -> None:
    """Bring up to date the standings that have changed since this was done last."""
    rows = [
        _standing_row(pair, standing)
        for pair in world.moved
        if (standing := world.standings.get(pair)) is not None
    ]
    if rows:
        statements.run("log.put_standings", log_id=log_id, rows=json_text(rows))
    world.moved.clear()


class Click(NamedTuple):
    """A lead's click on a code, and whether the lead was new by it."""

    code: bytes
    position: int
    lead: bytes
    time_ms: int
    is_new_lead: bool


def write_codes(
    statements: Statements, log_id: bytes, world: World, clicks: Sequence[Click]
) -> None:
    """Bring up to date the codes that have changed since this was done last; append the clicks."""
    rows = [
        _code_row(code) for name in world.used_codes if (code := world.codes.get(name)) is not None
    ]
    if rows:
        statements.run("log.put_codes", log_id=log_id, rows=json_text(rows))
    world.used_codes.clear()
    if clicks:
        statements.copy(
            "log.append_clicks",
            ("bytea", "bytea", "int8", "bytea", "int8", "bool"),
            ((log_id, *click) for click in clicks),
        )


def _code_row(code: OperatorCode) -> dict[str, object]:
    words = asdict(code)
    for name in ("code", "surface", "operator"):
        words[name] = words[name].hex()
    return words


def code_of(row: Row) -> OperatorCode:
    """Return the code of a row."""
    left = 0 if row.is_ended else row.most_uses - row.uses
    return OperatorCode(
        row.surface,
        row.operator,
        row.since_ms,
        row.until_ms,
        left,
        row.code,
        row.position,
        row.most_uses,
        row.is_ended,
        row.uses,
        row.brought,
        row.repeats,
        row.minute,
        row.in_minute,
        row.peak,
    )


def write_tallies(statements: Statements, log_id: bytes, world: World) -> None:
    """Add to the tallies what has been counted since this was done last."""
    if not world.tallies:
        return
    rows = [
        {
            "surface": subject.surface.hex(),
            "operator": subject.operator.hex(),
            "what": subject.what,
            "motion": subject.motion,
            "token": subject.token.hex(),
            "size": subject.size,
            "count": tally.count,
            "units": tally.units,
            "positions": tally.positions,
        }
        for subject, tally in world.tallies.items()
    ]
    statements.run("log.add_tallies", log_id=log_id, rows=json_text(rows), most=MAX_POSITIONS)
    world.tallies.clear()


def _standing_row(pair: bytes, standing: Standing) -> dict[str, object]:
    first = standing.forecasts[0] if standing.forecasts else None
    return {
        "surface": pair[:WORD_BYTES].hex(),
        "operator": pair[WORD_BYTES:].hex(),
        "level": standing.level,
        "ground": standing.ground,
        "is_suspended": standing.is_suspended,
        "sealed": first.commitment.hex() if first else None,
        "scored_from_ms": first.question.end(first.day) * DAY_MS if first else None,
        "document": encode_standing(standing),
    }


def _contract_row(log_id: bytes, contract: Contract) -> dict[str, object]:
    rules = contract.rules
    return {
        "log_id": log_id,
        "contract_id": rules.contract_id,
        "surface": rules.surface,
        "owner": rules.owner,
        "operator": rules.operator,
        "opened": contract.opened,
        "closed_at_ms": contract.closed_at_ms,
        "earned_units": contract.earned_units,
        "reversed_units": contract.reversed_units,
        "over_units": contract.over_units,
        "outcomes": contract.outcomes,
        "reversals": contract.reversals,
        "last_outcome": contract.last_outcome,
        "last_reversal": contract.last_reversal,
        "last_settlement": contract.last_settlement,
        "rules": json_text(encode_rules(rules)),
        "motion": contract.motion,
        "stated_units": contract.stated_units,
        "unstated_ms": contract.unstated_ms,
        "unpaid_ms": contract.unpaid_ms,
    }


# --- Loading --------------------------------------------------------------------------------------


def contract_of(row: Row) -> Contract:
    """Return the contract of a row. Raises `LogError` if its rules are none."""
    try:
        rules = decode_rules(row.rules)
    except DomainError as error:
        raise LogError(
            "rules-malformed", f"contract {to_hex(row.contract_id)}: {error.message}"
        ) from None
    return Contract(
        rules,
        row.opened,
        row.closed_at_ms,
        row.earned_units,
        row.reversed_units,
        row.over_units,
        row.outcomes,
        row.reversals,
        row.last_outcome,
        row.last_reversal,
        row.last_settlement,
        row.motion,
        row.stated_units,
        row.unstated_ms,
        row.unpaid_ms,
    )


D = TypeVar("D", bound=Document)


class DocumentSource(Generic[D]):
    """The source of a fold's documents of one sort: those about to be stored, and all stored ones.

    `session` is the transaction at hand, and `coming` the documents that it may store at its end.
    `find`, if it is set, finds all of them elsewhere.
    """

    def __init__(
        self, session: Session, log_id: bytes, what: str, pages: str, parse: Callable[[object], D]
    ) -> None:
        self.session = session
        self.coming: dict[bytes, D] = {}
        self.find: Callable[[bytes], D] | None = None
        self._log_id = log_id
        self._what = what
        self._pages = pages
        self._parse = parse

    def load(self, hash_: bytes) -> D:
        """Return the document of a hash. Raises `LogError` if there is none, or it was altered."""
        if self.find is not None:
            return self.find(hash_)
        coming = self.coming.get(hash_)
        if coming is not None:
            return coming
        row = self.session.one(f"log.{self._what}", log_id=self._log_id, hash=hash_)
        if row is None:
            raise LogError(f"{self._what}-missing", f"{self._what} {to_hex(hash_)} is not stored")
        return self._checked(hash_, row.document)

    def check_all(self) -> None:
        """Raise `LogError` for a stored document that has another hash."""
        after = b""
        while rows := self.session.all(
            self._pages, log_id=self._log_id, after=after, limit=PAGE_DOCUMENTS
        ):
            for row in rows:
                self._checked(row.hash, row.document)
            after = rows[-1].hash

    def _checked(self, hash_: bytes, document: object) -> D:
        try:
            parsed = self._parse(document)
        except DomainError:
            parsed = None
        if parsed is None or parsed.hash != hash_:
            raise LogError(
                f"{self._what}-altered", f"{self._what} {to_hex(hash_)} has another document"
            )
        return parsed


class Sources:
    """The sources of all that a fold has loaded as it is needed, by the transaction at hand."""

    def __init__(self, session: Session, log_id: bytes) -> None:
        self.policies: DocumentSource[Policy] = DocumentSource(
            session, log_id, "policy", "log.policies_after", policy.parse
        )
        self.settings: DocumentSource[SurfaceSettings] = DocumentSource(
            session, log_id, "settings", "log.settings_after", surface_settings.parse_settings
        )
        self.standings = StoredStandings(session, log_id)
        self.codes = StoredCodes(session, log_id)

    def use(self, session: Session) -> None:
        """Load by this transaction from now on."""
        self.policies.session = self.settings.session = self.standings.session = session
        self.codes.session = session


class StoredStandings:
    """The standings of a fold, of which those used last are in memory, and the others stored.

    `session` is the transaction at hand. One that has changed must be stored before it is
    forgotten.
    """

    def __init__(self, session: Session, log_id: bytes) -> None:
        self.session = session
        self._log_id = log_id
        self._kept: OrderedDict[bytes, Standing | None] = OrderedDict()

    def get(self, pair: bytes, /) -> Standing | None:
        """Return the standing of a pair; None if it has none."""
        if pair not in self._kept:
            self.load([pair])
        self._kept.move_to_end(pair)
        return self._kept[pair]

    def __setitem__(self, pair: bytes, standing: Standing, /) -> None:
        self._kept[pair] = standing

    def load(self, pairs: Iterable[bytes]) -> None:
        """Load the standings of many pairs at once."""
        missing = [pair for pair in pairs if pair not in self._kept]
        if not missing:
            return
        self._kept.update(dict.fromkeys(missing))
        rows = self.session.all(
            "log.standings",
            log_id=self._log_id,
            surfaces=[pair[:WORD_BYTES] for pair in missing],
            operators=[pair[WORD_BYTES:] for pair in missing],
        )
        self._kept.update((pair_of(row.surface, row.operator), standing_of(row)) for row in rows)

    def forget(self, most: int, but: Container[bytes] = ()) -> None:
        """Keep at most so many, those that were used last, and these: they are not stored yet."""
        for pair in _oldest(self._kept, most, but):
            del self._kept[pair]


class StoredCodes:
    """The codes of a fold, of which those used last are in memory, and the others stored.

    `causes` is the fold's own index of them by position. One that has changed must be stored before
    it is forgotten.
    """

    def __init__(self, session: Session, log_id: bytes) -> None:
        self.session = session
        self.causes: dict[int, OperatorCode] = {}
        self._log_id = log_id
        self._kept: OrderedDict[bytes, OperatorCode | None] = OrderedDict()

    def get(self, code: bytes, /) -> OperatorCode | None:
        """Return the code of this random id; None if there is none."""
        if code not in self._kept:
            self.load([code])
        self._kept.move_to_end(code)
        return self._kept[code]

    def __setitem__(self, name: bytes, code: OperatorCode, /) -> None:
        self._kept[name] = code

    def load(self, codes: Iterable[bytes]) -> None:
        """Load many codes at once."""
        missing = [code for code in codes if code not in self._kept]
        if not missing:
            return
        self._kept.update(dict.fromkeys(missing))
        for row in self.session.all("log.codes", log_id=self._log_id, codes=missing):
            self._kept[row.code] = self.causes[row.position] = code_of(row)

    def forget(self, most: int, but: Container[bytes] = ()) -> None:
        """Keep at most so many, those that were used last, and these: they are not stored yet."""
        for name in _oldest(self._kept, most, but):
            code = self._kept.pop(name)
            if code is not None:
                self.causes.pop(code.position, None)


def _oldest(kept: Mapping[bytes, object], most: int, but: Container[bytes]) -> list[bytes]:
    """Return what has to go, from the front, for so many to be left; none of these goes."""
    return [name for name in islice(kept, max(0, len(kept) - most)) if name not in but]


def standing_of(row: Row) -> Standing:
    """Return the standing of a row. Raises `LogError` if it is none."""
    return decode_standing(row.level, row.ground, row.is_suspended, row.document)


def subject_of(row: Row) -> Subject:
    """Return the subject of a tally's row."""
    return Subject(row.surface, row.operator, row.what, row.motion, row.token, row.size)


def tally_of(row: Row) -> Tally:
    """Return the tally of a row."""
    return Tally(row.count, int(row.units), list(row.positions))


def load_world(
    session: Session,
    log_id: bytes,
    size: int,
    time_ms: int,
    sources: Sources,
    document_bytes: int = CACHED_BYTES,
) -> World:
    """Return the fold as its projections keep it, but for what is loaded as it is needed.

    That is the leads, which the caller loads, the standings, and the policies and settings, of each
    of which at most so many bytes of documents stay in memory.
    """
    world = World(
        size,
        time_ms,
        policies=DocumentCache(sources.policies.load, document_bytes),
        settings=DocumentCache(sources.settings.load, document_bytes),
        causes=sources.codes.causes,
        codes=sources.codes,
        standings=sources.standings,
    )
    for row in session.all("log.surfaces", log_id=log_id):
        world.surfaces[row.surface] = Surface(
            row.owner,
            row.policy_hash,
            row.version,
            world.policies,
            world.settings,
            row.received_ms,
            row.settings_hash or b"",
            row.settings_version,
            decode_pool(row.pool),
            Cohorts.from_document(row.cohorts),
            row.errands,
        )
    for row in session.all("log.operators", log_id=log_id):
        world.operators[row.operator] = Operator(row.registered)
    for row in session.all("log.contracts", log_id=log_id):
        world.add_contract(contract_of(row))
    return world


def load_leads(
    session: Session, log_id: bytes, leads: Sequence[bytes]
) -> Iterator[tuple[bytes, Lead]]:
    """Yield (pseudonym, lead) of those of these leads that are known."""
    for row in session.all("log.leads", log_id=log_id, leads=leads):
        yield row.lead, decode_lead(row.surface, row.state, row.since_ms, row.document)
