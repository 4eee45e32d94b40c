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
from orchestrator.core.policies import CACHED_BYTES, PolicyCache
from orchestrator.core.policy import Policy
from orchestrator.core.world import Lead, Operator, Surface, World
from orchestrator.storage.database import Row, Session

# The most policies that a check of them all holds at once.
PAGE_POLICIES = 100


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
            policy_hash=here.policy_hash,
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


class PolicySource:
    """The source of a fold's policies: those that are about to be stored, and all stored ones.

    `session` is the transaction at hand, and `coming` the policies that it may store at its end.
    """

    def __init__(self, session: Session, log_id: bytes) -> None:
        self.session = session
        self.coming: dict[bytes, Policy] = {}
        self._log_id = log_id

    def load(self, hash_: bytes) -> Policy:
        """Return the policy of a hash. Raises `LogError` if there is none, or it was altered."""
        coming = self.coming.get(hash_)
        if coming is not None:
            return coming
        row = self.session.one("log.policy", log_id=self._log_id, hash=hash_)
        if row is None:
            raise LogError("policy-missing", f"policy {to_hex(hash_)} is not stored")
        return _policy_of(hash_, row.document)


def check_policies(session: Session, log_id: bytes) -> None:
    """Raise `LogError` for a stored policy whose document has another hash."""
    after = b""
    while rows := session.all(
        "log.policies_after", log_id=log_id, after=after, limit=PAGE_POLICIES
    ):
        for row in rows:
            _policy_of(row.hash, row.document)
        after = rows[-1].hash


def _policy_of(hash_: bytes, document: object) -> Policy:
    try:
        parsed = policy.parse(document)
    except DomainError:
        parsed = None
    if parsed is None or parsed.hash != hash_:
        raise LogError("policy-altered", f"policy {to_hex(hash_)} has another document")
    return parsed


def load_world(
    session: Session,
    log_id: bytes,
    size: int,
    time_ms: int,
    source: PolicySource,
    policy_bytes: int = CACHED_BYTES,
) -> World:
    """Return the fold as its projections keep it, but for what is loaded as it is needed.

    That is the leads, which the caller loads, and the policies, of which at most so many bytes of
    documents stay in memory.
    """
    world = World(size, time_ms, policies=PolicyCache(source.load, policy_bytes))
    for row in session.all("log.surfaces", log_id=log_id):
        world.surfaces[row.surface] = Surface(
            row.owner, row.policy_hash, row.version, world.policies, row.received_ms
        )
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
