"""Intents that are numbered: what is asked of the chain for a purpose, again under a new number.

An intent key is `kind:purpose:number`. The relayer carries out each key once, for ever. What failed
is asked for again under the next number, and not before the last one has ended.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from orchestrator.chain.abi import Call
from orchestrator.chain.relayer import Relayer
from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.core.entries.kinds import decode
from orchestrator.settlement.runs import Run
from orchestrator.storage.database import Database, array
from orchestrator.storage.traces import MOST_TRACES, Facts, Tracer, following

# What was refused or reverted six times will not come right by itself.
MAX_NUMBER = 5
DEFERRED = "deferred"
# The most contracts that the span of a settlement names.
MOST_CONTRACTS = 32


class NumberedIntent(NamedTuple):
    """An intent with its number among those of its purpose, and its fate; None while under way.

    It is `deferred` if it would revert now: it is tried on, and refused once that is final.

    The purpose is, by kind: publish and round `old size:new size`, settle `first:count`, release
    `contract:paid units`, refute `contract:key of the claim`.
    """

    kind: str
    purpose: str
    number: int = 0
    fate: str | None = None

    @property
    def key(self) -> str:
        """The intent key that the relayer stores."""
        return f"{self.kind}:{self.purpose}:{self.number}"

    @property
    def next(self) -> "NumberedIntent":
        """The same under the next number."""
        return NumberedIntent(self.kind, self.purpose, self.number + 1)

    @property
    def has_ended(self) -> bool:
        """True if nothing more comes of it."""
        return self.fate not in (None, DEFERRED)

    @property
    def is_exhausted(self) -> bool:
        """True if this was asked for as often as it may be."""
        return self.number >= MAX_NUMBER


class Intents:
    """The relayer's numbered intents, read from the database at every question."""

    def __init__(self, database: Database, relayer: Relayer, chain_id: int, account: str) -> None:
        self._database = database
        self._relayer = relayer
        self._account = account
        self._sender = {"chain_id": chain_id, "sender": relayer.sender.lower()}

    def ask(self, intent: NumberedIntent, call: Call) -> None:
        """Ask for this call to be sent, under the intent's key."""
        with self._database.transaction(self._account) as session:
            self._relayer.request(session, intent.key, call)

    def ask_again(self, kind: str, purpose: str, call: Call) -> bool:
        """Ask for this call under the next number, and return whether it was asked for.

        It is not while the last one is under way, nor after the last number.
        """
        last = self.last(f"{kind}:{purpose}:")
        if last is None:
            intent = NumberedIntent(kind, purpose)
        elif not last.has_ended or last.is_exhausted:
            return False
        else:
            intent = last.next
        self.ask(intent, call)
        return True

    def last(self, prefix: str) -> NumberedIntent | None:
        """Return the newest intent whose key has this prefix."""
        with self._database.transaction(self._account) as session:
            row = session.one("pipeline.last_intent", **self._sender, prefix=prefix)
        if row is None:
            return None
        # A purpose may hold colons itself.
        kind, *purpose, number = row.intent_key.split(":")
        return NumberedIntent(kind, ":".join(purpose), int(number), row.fate)

    def is_under_way(self, kind: str) -> bool:
        """Return whether anything of this kind was asked for that may still go through.

        What would revert now holds up nothing.
        """
        with self._database.transaction(self._account) as session:
            return bool(session.all("pipeline.under_way", **self._sender, prefix=f"{kind}:"))


class SettlementTraces:
    """The spans of settlements: each goes on with the trace of the last request that it pays.

    It is linked to those of the other requests, as many as are kept.
    """

    def __init__(
        self, database: Database, log_id: bytes, account: str, tracer: Tracer | None
    ) -> None:
        self._database = database
        self._log_id = log_id
        self._account = account
        self._tracer = tracer

    @contextmanager
    def settling(self, *runs: Run) -> Iterator[None]:
        """Tell of the signing of runs; what is asked for in the block goes on with that."""
        if self._tracer is None:
            yield
            return
        contracts = [decode(entry).subject for run in runs for entry in run.entries]
        positions = [run.first + place for run in runs for place in range(len(run.entries))]
        with self._database.transaction(self._account) as session:
            rows = session.all(
                "pipeline.statement_traces",
                log_id=self._log_id,
                contracts=contracts,
                positions=array(positions),
                limit=MOST_TRACES,
            )
        parent, *links = dict.fromkeys(row.trace for row in rows) or [""]
        span, is_done = self._tracer.begin(parent=parent, links=links), False
        try:
            with following(span.trace):
                yield
            is_done = True
        finally:
            facts: Facts = {
                "tallystick.position": positions[0],
                "tallystick.statements": len(contracts),
                "tallystick.contracts": [to_hex(name) for name in contracts[:MOST_CONTRACTS]],
            }
            span.end("sign statements", facts, failed=not is_done)
