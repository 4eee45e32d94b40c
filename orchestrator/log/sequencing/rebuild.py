"""The projections made anew from entries, by the fold and the statements of the writer."""

from collections.abc import Iterable, Sequence

from orchestrator.core.entries.kinds import advance
from orchestrator.core.entries.replay_rules import Documents
from orchestrator.core.log.opening import Record
from orchestrator.core.world.world import World
from orchestrator.log.projections import Sources, load_leads, load_world
from orchestrator.log.sequencing.batch import Batch
from orchestrator.log.sequencing.sequencer import CODES_IN_MEMORY, STANDINGS_IN_MEMORY
from orchestrator.storage.database import Session
from orchestrator.storage.statements import Statements


class Rebuild:
    """A fold that moves past the log's records in their order, and writes what follows from them.

    It begins where the projections of its session are, and holds no more in memory than the writer.
    """

    def __init__(
        self, session: Session, log_id: bytes, documents: Documents, size: int = 0, time_ms: int = 0
    ) -> None:
        self._session = session
        self._log_id = log_id
        self._rules = documents.rules
        self._sources = Sources(session, log_id)
        self._sources.policies.find = documents.policy
        self._sources.settings.find = documents.settings
        # Of the last record, for a click that comes next.
        self.registered: tuple[bytes, int] | None = None
        self.world = load_world(session, log_id, size, time_ms, self._sources)

    def take(self, records: Sequence[Record]) -> Batch:
        """Move past the next records and write the projections; return the rows of the entries."""
        world, first = self.world, self.world.size
        _load_leads(self._session, self._log_id, world, records)
        self._sources.standings.forget(STANDINGS_IN_MEMORY)
        self._sources.codes.forget(CODES_IN_MEMORY)
        for record in records:
            if record.entry.kind == "contract.opened":
                world.rules[record.entry.subject] = self._rules(record.entry.subject)
            advance(world, record)
        batch = Batch(registered=self.registered)
        batch.add_all(world, first, records)
        self.registered = batch.registered
        statements = Statements()
        statements.run("log.forget_changed_leads")
        batch.write_projections(statements, self._log_id, world)
        statements.send(self._session)
        return batch


def _load_leads(session: Session, log_id: bytes, world: World, records: Iterable[Record]) -> None:
    """Load the leads that these records speak of, and forget the others."""
    wanted = dict.fromkeys(record.entry.subject for record in records)
    world.leads.clear()
    world.leads.update(load_leads(session, log_id, list(wanted)))
