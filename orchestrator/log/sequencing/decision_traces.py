"""Traces of requests, followed through their decisions to the statements that they count for."""

from collections.abc import Sequence
from typing import Any

from orchestrator.core.entries.kinds import decode
from orchestrator.core.world.codec import request_kind
from orchestrator.core.world.requests import Settle
from orchestrator.log.sequencing.batch import Batch
from orchestrator.storage.database import Row, Session, array
from orchestrator.storage.traces import MOST_TRACES, Tracer

# The spans of one drain: of a full one the first decisions are told.
MOST_TOLD = 500
# The kinds of entries that count for the contract which their first word names.
_COUNTING = ("outcome", "outcome.reversed")
_SETTLE = request_kind(Settle)


def follow_contracts(session: Session, log_id: bytes, rows: Sequence[Row], batch: Batch) -> None:
    """Keep with contracts, and with their statements, the traces of what counted for them last."""
    counted, stated, positions = _Counted(), _Counted(), dict[bytes, int]()
    base = batch.entries[0][0] if batch.entries else 0
    for row, result in zip(rows, batch.results, strict=True):
        if row.trace is None and row.kind != _SETTLE:
            continue
        first, count = result[1], result[2]
        for position, data, *_ in batch.entries[first - base : first - base + count]:
            entry = decode(data)
            if entry.kind == "settlement":
                positions[entry.subject] = position
                stated[entry.subject] = counted.pop(entry.subject, [])
            elif entry.kind in _COUNTING and row.trace is not None:
                counted.add(entry.actor, row.trace)
    if positions:
        session.run(
            "log.follow_statements",
            log_id=log_id,
            contracts=list(positions),
            positions=array(positions.values()),
            **stated.as_arguments(),
        )
    if counted:
        session.run("log.follow_contracts", log_id=log_id, **counted.as_arguments())


class _Counted(dict[bytes, list[str]]):
    """By contract the traces of what counted for it, each once, the newest last."""

    def add(self, contract: bytes, trace: str) -> None:
        traces = self.setdefault(contract, [])
        # A bulk has one trace and many lines.
        if trace in traces:
            traces.remove(trace)
        traces.append(trace)
        del traces[:-MOST_TRACES]

    def as_arguments(self) -> dict[str, list[Any]]:
        """Return a contract and a trace for each of them."""
        pairs = [(contract, trace) for contract, traces in self.items() for trace in traces]
        return {"counted": [one for one, _ in pairs], "traces": [trace for _, trace in pairs]}


def tell_decisions(tracer: Tracer, since_ns: int, rows: Sequence[Row], batch: Batch) -> None:
    """Tell of the requests that came with a trace what was decided, in the time of their drain."""
    results = {seq: result for seq, *result in batch.results}
    for row in [row for row in rows if row.trace is not None][:MOST_TOLD]:
        first, count, code, _ = results[row.seq]
        facts = {"tallystick.request.kind": row.kind, "tallystick.entries": count}
        if count:
            facts["tallystick.position"] = first
        if code is not None:
            facts["tallystick.refusal"] = code
        tracer.begin(parent=row.trace, since_ns=since_ns).end(f"decide {row.kind}", facts)
