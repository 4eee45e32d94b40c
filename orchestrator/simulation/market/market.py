"""The living market: customers arrive, respond to what agents do, and the owner tells of it.

One step after the other, each of a bounded size. What is planned, and how far all has been read, is
kept in a file, so that a restart goes on; events have names, so that none counts twice.
"""

import json
import secrets
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.client.accounts import EventReport
from orchestrator.core.common.hexadecimal import from_hex, to_hex
from orchestrator.core.entries.kinds import decode
from orchestrator.simulation.market.customers import Planned, habit_of, is_residents, response_to
from orchestrator.simulation.market.owner import MarketOwner, TakenAction
from orchestrator.simulation.market.surfaces import SURFACES, MarketSurface
from orchestrator.storage.local.files import read_text, write_private

# Customers of each kind, the residents' and the visitors', in their first state on each surface:
# more arrive while there are fewer of one kind, and none while there are so many in all.
RESIDENTS_FRESH, VISITORS_FRESH, MOST_FRESH = 15, 25, 80
ARRIVALS = 10
# All that ever arrive on a surface, and all events that wait for their time.
MAX_CUSTOMERS = 50_000
MAX_PLANNED = 10_000
MAX_FILE_BYTES = 16 * 1_048_576
ENTRIES = 1_000
OFFERS_EVERY = 20


@dataclass
class MarketState:
    """The state of the market between two steps, as its file has it."""

    seed: str
    read_to: int = 0
    proposals_after: str | None = None
    arrived: dict[str, int] = field(default_factory=dict)
    planned: list[Planned] = field(default_factory=list)


class LivingMarket:
    """The market of one sandbox; `step` lets it live on."""

    def __init__(self, owner: MarketOwner, path: Path, seed: str | None = None) -> None:
        self._owner = owner
        self._path = path
        self._state = _read(path, seed)
        self._steps = 0

    @property
    def seed(self) -> str:
        return self._state.seed

    def step(self, now_ms: int) -> None:
        """Let everything happen that is due at this time of the sandbox's clock."""
        before = asdict(self._state)
        if self._steps % OFFERS_EVERY == 0:
            for surface in SURFACES:
                self._owner.open_surface(surface)
                self._owner.keep_offers(surface)
        self._steps += 1
        state = self._state
        state.proposals_after = self._owner.answer_proposals(state.proposals_after, now_ms // 1000)
        acted = self._read_touches()
        for surface in SURFACES:
            taken = list(self._owner.take_actions(surface))
            self._plan_responses(surface, [*acted, *taken], now_ms)
            self._report_due(surface, now_ms)
            self._let_arrive(surface, now_ms)
        if asdict(state) != before:
            self._keep()

    def _keep(self) -> None:
        write_private(self._path, json.dumps(asdict(self._state)))

    def _read_touches(self) -> list[TakenAction]:
        """Return the touches in the entries that are new in the log."""
        page = self._owner.client.get("/v1/log/entries", start=self._state.read_to, limit=ENTRIES)
        found = []
        for each in page["entries"]:
            entry = decode(from_hex(each["entry"]))
            self._state.read_to = each["position"] + 1
            if entry.kind == "touch":
                lead = to_hex(entry.subject)
                found.append(TakenAction(each["position"], lead, "", entry.label))
        return found

    def _plan_responses(
        self, surface: MarketSurface, acted: Iterable[TakenAction], now_ms: int
    ) -> None:
        by_lead: dict[str, list[TakenAction]] = {}
        for one in acted:
            by_lead.setdefault(one.lead, []).append(one)
        if not by_lead:
            return
        for state in dict.fromkeys(one.state for one in surface.responses):
            for lead in self._owner.leads(surface, state):
                for one in by_lead.get(lead["lead"], ()):
                    at = (one.position, now_ms)
                    id_ = lead["external_id"]
                    seed = self._state.seed
                    self._plan(response_to(surface, seed, id_, state, one.action, at))

    def _plan(self, planned: Planned | None) -> None:
        """Plan an event unless its customer does another thing sooner; it does one at a time."""
        if planned is None or len(self._state.planned) >= MAX_PLANNED:
            return
        who = (planned.surface, planned.lead)
        others = [one for one in self._state.planned if (one.surface, one.lead) == who]
        if all(one.due_ms > planned.due_ms for one in others):
            self._state.planned = [one for one in self._state.planned if one not in others]
            self._state.planned.append(planned)

    def _report_due(self, surface: MarketSurface, now_ms: int) -> None:
        due = [
            one
            for one in self._state.planned
            if one.surface == surface.name and one.due_ms <= now_ms
        ]
        self._owner.report(
            surface,
            # Told again after a failure, it must be the very same.
            [EventReport(one.id, one.lead, one.event, one.value, one.due_ms) for one in due],
        )
        self._state.planned = [one for one in self._state.planned if one not in due]
        for one in due:
            self._plan(habit_of(surface, self._state.seed, one.lead, one.enters, one.due_ms))

    def _let_arrive(self, surface: MarketSurface, now_ms: int) -> None:
        """Let customers arrive while few of one kind are in their first state."""
        fresh = self._owner.leads(surface, surface.initial, MOST_FRESH)
        theirs = sum(is_residents(lead["lead"]) for lead in fresh)
        is_short = theirs < RESIDENTS_FRESH or len(fresh) - theirs < VISITORS_FRESH
        arrived = self._state.arrived.get(surface.name, 0)
        room = min(MOST_FRESH - len(fresh), MAX_CUSTOMERS - arrived)
        count = min(ARRIVALS, room) if is_short else 0
        names = [f"customer-{number:05}" for number in range(arrived, arrived + max(0, count))]
        if not names:
            return
        self._state.arrived[surface.name] = arrived + len(names)
        for name in names:
            self._plan(habit_of(surface, self._state.seed, name, surface.initial, now_ms))
        # None arrives twice, at another time: after a failure the next ones do.
        self._keep()
        value, event = _value_of(surface), surface.arrival
        reports = [EventReport(f"arrival/{name}", name, event, value, now_ms) for name in names]
        self._owner.report(surface, reports)


def _value_of(surface: MarketSurface) -> str:
    """Return the value of what a customer arrives by: that of the same event later, if any."""
    values = (one.value for one in surface.habits if one.event == surface.arrival)
    return next(values, "")


def _read(path: Path, seed: str | None) -> MarketState:
    if not path.exists():
        return MarketState(seed or secrets.token_hex(8))
    document: dict[str, Any] = json.loads(read_text(path, MAX_FILE_BYTES))
    planned = [Planned(*one) for one in document.pop("planned")]
    return MarketState(**document, planned=planned)
