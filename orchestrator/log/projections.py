"""Projections: the stored tables that are a cache of the fold, loaded at the start of a writer and
brought up to date in the transaction that appends entries.

The table of kinds says which rows an entry changes.
"""

from collections.abc import Collection, Iterator, Sequence

from orchestrator.core import policy
from orchestrator.core.codec import decode_lead, decode_rules, encode_lead, encode_rules, json_text
from orchestrator.core.contract import Contract
from orchestrator.core.entry import Entry
from orchestrator.core.errors import DomainError, LogError
from orchestrator.core.hexadecimal import to_hex
from orchestrator.core.kinds import Kind, Projection
from orchestrator.core.policy import Policy
from orchestrator.core.world import Lead, Operator, Surface, World
from orchestrator.storage.database import Row, Session


class Changes:
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


def write_leads(session: Session, log_id: bytes, world: World, changes: Changes) -> None:
    """Bring changed leads up to date: many a drain, so they are copied to a table of their own."""
    names = changes.of(Projection.LEAD)
    if not names:
        return
    session.copy(
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
    session.run("log.put_leads", log_id=log_id)


def write_rest(session: Session, log_id: bytes, world: World, changes: Changes) -> None:
    """Bring all else up to date: few rows a drain, save after a settlement tick."""
    for hash_ in changes.of(Projection.POLICY):
        document = json_text(world.policies[hash_].document())
        session.run("log.put_policy", log_id=log_id, hash=hash_, document=document)
    for surface in changes.of(Projection.SURFACE):
        here = world.surfaces[surface]
        session.run(
            "log.put_surface",
            log_id=log_id,
            surface=surface,
            owner=here.owner,
            policy_hash=here.policy.hash,
            version=here.version,
            received_ms=here.received_ms,
        )
    for operator in changes.of(Projection.OPERATOR):
        session.run(
            "log.put_operator",
            log_id=log_id,
            operator=operator,
            level=world.operators[operator].level,
            registered=world.operators[operator].registered,
        )
    contract_ids = changes.of(Projection.CONTRACT)
    if contract_ids:
        session.run_each(
            "log.put_contract",
            [_contract_row(log_id, world.contracts[contract_id]) for contract_id in contract_ids],
        )


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
    )


def load_policies(session: Session, log_id: bytes) -> dict[bytes, Policy]:
    """Return all policies by hash. Raises `LogError` for one whose document has another."""
    policies = {}
    for row in session.all("log.policies", log_id=log_id):
        try:
            parsed = policy.parse(row.document)
        except DomainError:
            parsed = None
        if parsed is None or parsed.hash != row.hash:
            raise LogError("policy-altered", f"policy {to_hex(row.hash)} has another document")
        policies[row.hash] = parsed
    return policies


def load_world(session: Session, log_id: bytes, size: int, time_ms: int) -> World:
    """Return the fold as its projections keep it, without leads: they are loaded as needed."""
    world = World(size, time_ms, policies=load_policies(session, log_id))
    for row in session.all("log.surfaces", log_id=log_id):
        governing = world.policies.get(row.policy_hash)
        if governing is None:
            raise LogError("policy-missing", f"policy {to_hex(row.policy_hash)} is not stored")
        world.surfaces[row.surface] = Surface(row.owner, governing, row.version, row.received_ms)
    for row in session.all("log.operators", log_id=log_id):
        world.operators[row.operator] = Operator(row.level, row.registered)
    for row in session.all("log.contracts", log_id=log_id):
        world.add_contract(contract_of(row))
    return world


def load_leads(
    session: Session, log_id: bytes, leads: Sequence[bytes]
) -> Iterator[tuple[bytes, Lead]]:
    """Yield (pseudonym, lead) of those of these leads that are known."""
    for row in session.all("log.leads", log_id=log_id, leads=leads):
        yield row.lead, decode_lead(row.surface, row.state, row.since_ms, row.document)
