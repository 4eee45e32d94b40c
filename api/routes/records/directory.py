"""The directory of surfaces and operators: what the log and the chain say of them, and no more.

Every number comes with entries behind it. All are read from tallies that the sequencer keeps with
the log, so a page costs the same however long the log is.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple
from urllib.parse import urlencode

from fastapi import APIRouter, Query

from api.context import Service, TheService
from api.http.answers import next_cursor
from api.http.fields import (
    AfterWord,
    DirectoryLimit,
    Names,
    OperatorAddress,
    SurfaceId,
    SurfaceIds,
    address,
)
from api.http.problems import documented, not_found
from api.routes.public_route import PublicRoute
from api.routes.records import directory_answers as answers
from api.routes.surfaces.operators import surface_facts
from orchestrator.core.common.hexadecimal import from_hex, to_hex
from orchestrator.core.common.keccak import keccak
from orchestrator.core.common.units import BPS
from orchestrator.core.entries.kinds import KINDS
from orchestrator.core.log.entry import ZERO_WORD, address_word
from orchestrator.core.world.tally import (
    ANSWERED,
    MAX_POSITIONS,
    PAID_AFTER,
    STATED_AFTER,
    Subject,
    Tally,
    median_of,
)
from orchestrator.log.projections import standing_of, subject_of, tally_of
from orchestrator.storage.database import Row, Session

# The newest contracts of a party that are looked at one by one.
NEWEST = 200
# The surfaces that are looked at for a page of those that a name or a motion fits.
SEARCHED = 500
# A party disputes a pending statement, or claims.
DISPUTED = [
    keccak(b"Disputed(bytes32,address,uint64)"),
    keccak(b"ClaimsDisputed(bytes32,address)"),
]

router = APIRouter(prefix="/v1", tags=["directory"], route_class=PublicRoute)


@router.get("/surfaces")
def surfaces(
    service: TheService,
    name: Annotated[
        Names | None, Query(description="Only those whose name begins so, in either case.")
    ] = None,
    motion: Annotated[
        Literal["acquisition", "activation", "conversion", "expansion"] | None,
        Query(description="Only those whose policy has transitions of this motion."),
    ] = None,
    surfaces: Annotated[SurfaceIds | None, Query()] = None,
    after: AfterWord = None,
    limit: DirectoryLimit = 20,
) -> answers.Surfaces:
    """List the surfaces with how they keep their contracts, or compare those that are named.

    Where a name or a motion is asked for, a page may hold fewer than asked, or none, and go on.
    """
    searched = SEARCHED if name or motion else limit
    with service.database.transaction(snapshot=True) as session:
        rows = session.all(
            "api.surface_page",
            log_id=service.log_id,
            surfaces=[from_hex(each) for each in surfaces.split(",")] if surfaces else None,
            after=from_hex(after) if after else b"",
            limit=searched,
        )
        fitting = [row for row in rows if _fits(row, name, motion)]
        found = fitting[:limit]
        listed = _listed_surfaces(service, session, found)
    # All that was looked at is behind the cursor, but for what fits and finds no room.
    last: Row | None = rows[-1] if len(rows) == searched else None
    if len(fitting) > limit:
        last = found[-1]
    return answers.Surfaces(surfaces=listed, next=None if last is None else to_hex(last.surface))


@router.get("/surfaces/{surface}/totals", responses=documented(404))
def totals(service: TheService, surface: SurfaceId) -> answers.SurfaceTotals:
    """Return what a surface has spent by motion, and what happened on it."""
    word = from_hex(surface)
    with service.database.transaction(snapshot=True) as session:
        if session.one("api.surface", log_id=service.log_id, surface=word) is None:
            raise not_found("surface")
        counted = _of_surfaces(service, session, [word])
    here = Figures(counted.get(word, {}), surface=surface)
    return answers.SurfaceTotals(
        surface=surface, spend=here.money(with_sizes=False), events=here.events()
    )


@router.get("/operators")
def operators(
    service: TheService, after: AfterWord = None, limit: DirectoryLimit = 20
) -> answers.Operators:
    """List the operators with what they have done, by their words in the log."""
    with service.database.transaction(snapshot=True) as session:
        rows = session.all(
            "api.operator_page",
            log_id=service.log_id,
            after=from_hex(after) if after else b"",
            limit=limit,
        )
        listed = _listed_operators(service, session, rows)
    return answers.Operators(
        operators=[answers.ListedOperator(**each) for each in listed],
        next=next_cursor(rows, limit, lambda last: to_hex(last.operator)),
    )


def money_of_operators(
    service: Service, operators: Sequence[str]
) -> dict[str, list[answers.MoneyLine]]:
    """Return what contracts came to by motion and token, of each of these operators."""
    words = {address_word(each): each for each in operators}
    with service.database.transaction() as session:
        counted = _of_operators(service, session, list(words))
    return {
        each: Figures(counted.get(word, {}), operator=each).money(with_sizes=False)
        for word, each in words.items()
    }


@router.get("/operators/{operator}/record", responses=documented(404))
def record(
    service: TheService,
    operator: OperatorAddress,
    after: AfterWord = None,
    limit: DirectoryLimit = 20,
) -> answers.OperatorRecord:
    """Return an operator's record: outcomes by motion, surface and size, and its forecasts."""
    word = address_word(operator)
    with service.database.transaction(snapshot=True) as session:
        row = session.one("api.operator", log_id=service.log_id, operator=word)
        if row is None:
            raise not_found("operator in the log")
        (listed,) = _listed_operators(service, session, [row])
        everywhere = _of_operators(service, session, [word]).get(word, {})
        standings = session.all(
            "api.standings_of",
            log_id=service.log_id,
            operator=word,
            after=from_hex(after) if after else b"",
            limit=limit,
        )
        rows = session.all(
            "log.tallies_of_operator_on",
            log_id=service.log_id,
            operator=word,
            surfaces=[each.surface for each in standings],
        )
    by_surface = _grouped(rows, lambda subject: subject.surface)
    return answers.OperatorRecord(
        **listed,
        money=Figures(everywhere, operator=operator).money(with_sizes=True),
        surfaces=[
            _record_on(each, by_surface.get(bytes(each.surface), {}), operator)
            for each in standings
        ],
        next=next_cursor(standings, limit, lambda last: to_hex(last.surface)),
    )


# --- Figures --------------------------------------------------------------------------------------

Counted = Mapping[Subject, Tally]


class _Line(NamedTuple):
    motion: str
    token: bytes
    size: int


class Figures:
    """The figures that tallies of one surface, one operator or both make."""

    def __init__(
        self, counted: Counted, *, surface: str | None = None, operator: str | None = None
    ) -> None:
        self._counted = counted
        self._filters = {"surface": surface, "operator": operator}

    def figure(self, what: str, line: _Line | None = None, *, with_units: bool) -> answers.Figure:
        """Return a count of all that is counted as this, or only of one line."""
        return self._sum(
            {
                subject: tally
                for subject, tally in self._counted.items()
                if subject.what == what
                and (line is None or (subject.motion, subject.token) == line[:2])
                and (line is None or not line.size or subject.size == line.size)
            },
            what,
            with_units=with_units,
        )

    def events(self) -> dict[str, answers.Figure]:
        """Return what is counted of each kind of entry that is about no contract."""
        whats = dict.fromkeys(subject.what for subject in self._counted)
        return {
            kind: self.figure(kind, with_units=False)
            for kind in KINDS
            if kind in whats and not KINDS[kind].is_of_contract
        }

    def money(self, *, with_sizes: bool) -> list[answers.MoneyLine]:
        """Return what contracts came to, by motion, token and, if asked for, size."""
        lines = {
            _Line(subject.motion, subject.token, subject.size if with_sizes else 0)
            for subject in self._counted
            if subject.motion
        }
        return [self._line(line) for line in sorted(lines)]

    def _line(self, line: _Line) -> answers.MoneyLine:
        size = None
        if line.size:
            size = {
                "at_least_units": str(10 ** (line.size - 1)),
                "below_units": str(10**line.size),
            }
        found = {
            name: self.figure(what, line, with_units=True)
            for name, what in (
                ("opened", "contract.opened"),
                ("outcomes", "outcome"),
                ("over", "outcome.over"),
                ("reversed", "outcome.reversed"),
                ("stated", "settlement"),
                ("paid", "payout"),
            )
        }
        found["closed"] = self.figure("contract.closed", line, with_units=False)
        facts = {"motion": line.motion, "token": address(line.token), "size": size}
        return answers.MoneyLine.model_validate(facts | found)

    def share(self, part: str, whole: str) -> answers.Share:
        """Return the share of one count in another."""
        of_part = self.figure(part, with_units=False)
        of_whole = self.figure(whole, with_units=False)
        return answers.Share(part=of_part, whole=of_whole, bps=_bps(of_part.count, of_whole.count))

    def delay(self, what: str, kind: str) -> answers.Delay | None:
        """Return the median of the times that are counted as this, which entries of a kind end."""
        times = {subject: each for subject, each in self._counted.items() if subject.what == what}
        median = median_of({subject.size: each.count for subject, each in times.items()})
        if median is None:
            return None
        return answers.Delay(**median._asdict(), times=self._sum(times, kind, with_units=False))

    def keeping(self, disputes: answers.Disputes) -> dict[str, Any]:
        """Return how contracts were kept."""
        return {
            "verification": self.delay(STATED_AFTER, "settlement"),
            "payout": self.delay(PAID_AFTER, "payout"),
            "reversals": self.share("outcome.reversed", "outcome"),
            "disputes": disputes,
        }

    def _sum(self, counted: Counted, what: str, *, with_units: bool) -> answers.Figure:
        positions = sorted(
            (position for tally in counted.values() for position in tally.positions), reverse=True
        )
        kind = "touch.reported" if what == ANSWERED else what
        query = {name: value for name, value in self._filters.items() if value is not None}
        return answers.Figure(
            count=sum(tally.count for tally in counted.values()),
            units=str(sum(tally.units for tally in counted.values())) if with_units else None,
            positions=positions[:MAX_POSITIONS],
            href=f"/v1/stream?{urlencode({'after': 0, **query, 'kinds': kind})}",
        )


def _bps(part: int, whole: int) -> int | None:
    """Return a share; more parts than a whole has, as reversals in parts, are all of it."""
    return min(BPS, BPS * part // whole) if whole else None


# --- Rows -----------------------------------------------------------------------------------------


def _fits(row: Row, name: str | None, motion: str | None) -> bool:
    return (name is None or (row.name or "").lower().startswith(name.lower())) and (
        motion is None or motion in row.motions
    )


def _grouped(rows: Iterable[Row], key: Any) -> dict[bytes, dict[Subject, Tally]]:
    found: dict[bytes, dict[Subject, Tally]] = {}
    for row in rows:
        subject = subject_of(row)
        found.setdefault(bytes(key(subject)), {})[subject] = tally_of(row)
    return found


def _of_surfaces(
    service: Service, session: Session, surfaces: Collection[bytes]
) -> dict[bytes, dict[Subject, Tally]]:
    rows = session.all(
        "log.tallies_of_surfaces", log_id=service.log_id, surfaces=list(surfaces), all=ZERO_WORD
    )
    return _grouped(rows, lambda subject: subject.surface)


def _of_operators(
    service: Service, session: Session, operators: Collection[bytes]
) -> dict[bytes, dict[Subject, Tally]]:
    rows = session.all(
        "log.tallies_of_operators", log_id=service.log_id, operators=list(operators), all=ZERO_WORD
    )
    return _grouped(rows, lambda subject: subject.operator)


def _disputes(
    service: Service, session: Session, query: str, parties: Sequence[bytes]
) -> dict[bytes, answers.Disputes]:
    escrow = service.escrow_domain
    rows = session.all(
        query,
        log_id=service.log_id,
        parties=list(parties),
        chain_id=escrow.chain_id,
        escrow=escrow.verifying_contract.lower(),
        topics=DISPUTED,
        newest=NEWEST,
        most=MAX_POSITIONS,
    )
    return {
        bytes(row.party): answers.Disputes(
            contracts=row.contracts,
            disputed=row.disputed,
            bps=_bps(row.disputed, row.contracts),
            transactions=[to_hex(each) for each in row.transactions or ()],
        )
        for row in rows
    }


_NO_DISPUTES = answers.Disputes(contracts=0, disputed=0, bps=None, transactions=[])


def _listed_surfaces(
    service: Service, session: Session, rows: Sequence[Row]
) -> list[answers.ListedSurface]:
    words = [bytes(row.surface) for row in rows]
    counted = _of_surfaces(service, session, words)
    disputes = _disputes(service, session, "api.disputes_on", words)
    live: dict[bytes, list[answers.LiveContracts]] = {}
    for row in session.all(
        "api.live_contracts",
        log_id=service.log_id,
        surfaces=words,
        now_ms=service.now_ms(),
        newest=NEWEST,
        most=MAX_POSITIONS,
    ):
        live.setdefault(bytes(row.surface), []).append(
            answers.LiveContracts(
                token=address(row.token),
                contracts=row.contracts,
                budget_units=str(row.budget_units),
                owed_units=str(row.owed_units),
                positions=row.positions,
            )
        )
    listed = []
    for row, word in zip(rows, words, strict=True):
        here = Figures(counted.get(word, {}), surface=to_hex(word))
        listed.append(
            answers.ListedSurface.model_validate(
                {
                    **surface_facts(row),
                    **here.keeping(disputes.get(word, _NO_DISPUTES)),
                    "motions": row.motions,
                    "live": live.get(word, []),
                    "acknowledged": here.share(ANSWERED, "action.requested"),
                }
            )
        )
    return listed


def _listed_operators(
    service: Service, session: Session, rows: Sequence[Row]
) -> list[dict[str, Any]]:
    words = [bytes(row.operator) for row in rows]
    counted = _of_operators(service, session, words)
    disputes = _disputes(service, session, "api.disputes_of", words)
    listed = []
    for row, word in zip(rows, words, strict=True):
        here = Figures(counted.get(word, {}), operator=address(word))
        listed.append(
            {
                "operator": address(word),
                "registered": row.registered,
                "outcomes": here.figure("outcome", with_units=False),
                "acts": here.events(),
                **here.keeping(disputes.get(word, _NO_DISPUTES)),
            }
        )
    return listed


def _record_on(row: Row, counted: Counted, operator: str) -> answers.RecordOnSurface:
    standing = standing_of(row)
    here = Figures(counted, surface=to_hex(row.surface), operator=operator)
    return answers.RecordOnSurface(
        surface=to_hex(row.surface),
        level=standing.level,
        ground=standing.ground,
        is_suspended=standing.is_suspended,
        forecasts_counted=standing.skill.counted,
        skill_bps=standing.skill.skill_bps(),
        money=here.money(with_sizes=True),
        acts=here.events(),
    )
