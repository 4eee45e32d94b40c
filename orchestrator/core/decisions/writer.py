"""The writer of one request's records, and what all that decide ask of the world first."""

from orchestrator.core.common.errors import RequestError
from orchestrator.core.entries.kinds import advance
from orchestrator.core.log.entry import ZERO_WORD, Entry
from orchestrator.core.log.opening import Opening, Record, payload_of
from orchestrator.core.world.contract import Contract
from orchestrator.core.world.world import Lead, OperatorCode, Surface, World


class Writer:
    """The records of one request; the world is moved past each as it is written."""

    __slots__ = ("now_ms", "received_ms", "records", "world")

    def __init__(self, world: World, received_ms: int) -> None:
        self.world = world
        self.received_ms = received_ms
        self.now_ms = max(received_ms, world.time_ms)
        self.records: list[Record] = []

    def add(
        self,
        kind: str,
        surface: bytes,
        actor: bytes,
        subject: bytes,
        label: str,
        value: int,
        payload: bytes = ZERO_WORD,
        time_ms: int | None = None,
        opening: Opening | None = None,
    ) -> int:
        """Write an entry, at our time if none is given; returns its position.

        Its payload commits to the opening, if there is one.
        """
        position = self.world.size
        at_ms = self.now_ms if time_ms is None else time_ms
        committed = payload if opening is None else payload_of(opening)
        entry = Entry(kind, surface, actor, subject, label, value, at_ms, committed)
        record = Record(entry, opening)
        advance(self.world, record)
        self.records.append(record)
        return position


def register_lead(
    writer: Writer, surface: bytes, lead: bytes, by: OperatorCode | None = None
) -> None:
    """Write that a lead is there, in its surface's initial state, unless the log has it.

    `by` is the code that it came by, if it came by one: its operator has brought the lead.
    """
    if lead in writer.world.leads:
        return
    here = writer.world.surfaces[surface]
    initial = here.policy.initial
    actor, position = (here.owner, 0) if by is None else (by.operator, by.position)
    writer.add("lead.registered", surface, actor, lead, initial, position, ZERO_WORD)


# --- What a request rests on ----------------------------------------------------------------------


def surface_of(world: World, surface: bytes) -> Surface:
    """Return a surface. Raises RequestError if it has published no policy."""
    here = world.surfaces.get(surface)
    if here is None:
        raise RequestError("surface-unknown", f"surface 0x{surface.hex()} has published no policy")
    return here


def owned_surface(world: World, surface: bytes, owner: bytes) -> Surface:
    """Return a surface. Raises RequestError unless it is this owner's."""
    here = surface_of(world, surface)
    if here.owner != owner:
        raise RequestError("surface-taken", f"surface 0x{surface.hex()} belongs to another owner")
    return here


def contract_of(world: World, contract_id: bytes) -> Contract:
    """Return a contract. Raises RequestError if its opening is not in the log."""
    contract = world.contracts.get(contract_id)
    if contract is None:
        raise RequestError("contract-unknown", f"contract 0x{contract_id.hex()} is not in the log")
    return contract


def check_home(lead: Lead | None, surface: bytes, name: bytes) -> None:
    """Raise RequestError for a lead of another surface."""
    if lead is not None and lead.surface != surface:
        raise RequestError(
            "lead-elsewhere", f"lead 0x{name.hex()} belongs to another surface than the request"
        )
