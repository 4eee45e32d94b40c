"""Traces of requests, told when these are decided, and kept with the contracts they count for."""

from collections.abc import Sequence

import psycopg
import pytest

from orchestrator.core.world.requests import Settle, Touch
from orchestrator.log.sequencing import decision_traces
from orchestrator.storage.traces import Facts, following
from tests.support.ledger import Ledger, journey
from tests.support.worlds import LEADS, OPERATORS, SURFACE, word


def trace_of(number: int) -> str:
    return f"00-{number + 1:032x}-{1:016x}-01"


class Told:
    """A tracer, and each of its spans, that keeps what it is told: parent, name and facts."""

    def __init__(self, told: list[tuple[str, str, Facts]], parent: str = "") -> None:
        self.told = told
        self._parent = parent

    @property
    def trace(self) -> str:
        return self._parent

    def begin(
        self,
        *,
        parent: str = "",
        links: Sequence[str] = (),
        since_ns: int | None = None,
        answers: bool = False,
    ) -> "Told":
        assert (tuple(links), answers) == ((), False)
        assert since_ns is not None
        return Told(self.told, parent)

    def end(self, name: str, facts: Facts, *, failed: bool = False) -> None:
        assert not failed
        self.told.append((self._parent, name, facts))


def drained(log: Ledger) -> list[tuple[str, str, Facts]]:
    """Have all that waits decided by one drain, and return what its tracer was told."""
    tracer = Told([])
    with log.sequencer() as sequencer:
        sequencer.tracer = tracer
        sequencer.drain()
    return tracer.told


def traces_of_contracts(log: Ledger) -> list[tuple[list[str], list[str]]]:
    """Return for each contract the traces that are kept, and those of its last statement."""
    with psycopg.connect(log.url) as admin:
        return admin.execute(
            "SELECT traces::text[], stated::text[] FROM contract_traces"
        ).fetchall()


def test_a_decision_is_told_with_its_trace_its_entries_or_its_refusal(running: Ledger) -> None:
    size = len(running.entries())
    with following(trace_of(0)):
        running.submit(Touch(SURFACE, LEADS[0], OPERATORS[0], "email"))
    running.submit(Touch(SURFACE, LEADS[1], OPERATORS[0], "email"))
    with following(trace_of(1)):
        running.submit(Touch(word("nowhere"), LEADS[2], OPERATORS[0], "email"))
    touched = {"tallystick.request.kind": "touch"}
    taken = touched | {"tallystick.entries": 2, "tallystick.position": size}
    refused = touched | {"tallystick.entries": 0, "tallystick.refusal": "surface-unknown"}
    assert drained(running) == [
        (trace_of(0), "decide touch", taken),
        (trace_of(1), "decide touch", refused),
    ]


def test_of_a_full_drain_the_first_decisions_are_told(
    running: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decision_traces, "MOST_TOLD", 2)
    for number, lead in enumerate(LEADS[:3]):
        with following(trace_of(number)):
            running.submit(Touch(SURFACE, lead, OPERATORS[0], "email"))
    assert [parent for parent, *_ in drained(running)] == [trace_of(0), trace_of(1)]


def test_a_contract_keeps_the_last_traces_of_what_counts_until_its_statement(
    running: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decision_traces, "MOST_TRACES", 2)
    # The newest first. One that comes again, as that of a bulk does, is kept once.
    for number, lead in zip((0, 1, 2, 1, 0), (word(f"lead {n}") for n in range(5)), strict=True):
        with following(trace_of(number)):
            running.submit(*journey(lead))
    drained(running)
    assert traces_of_contracts(running) == [([trace_of(0), trace_of(1)], [])]
    running.submit(Settle())
    drained(running)
    assert traces_of_contracts(running) == [([], [trace_of(0), trace_of(1)])]
