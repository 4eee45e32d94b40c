"""Traces: one from a request to the transaction that pays, told by OTLP to a collector."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Condition

import httpx
import psycopg
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from orchestrator.client.accounts import EventReport
from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.runtime.health import traces
from orchestrator.runtime.health.traces import open_tracer
from tests.support.http_server import Request, serving_json
from tests.support.single_contract import SingleContract, single_contract

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TRACE_ID = bytes.fromhex(CALLER.split("-")[1])
PATIENCE_S = 30
SECRET = "person-0"  # a lead's name, which no span may hold


class Collector:
    """A receiver of spans by OTLP/HTTP."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.services: set[str] = set()
        self.bodies = b""
        self._changed = Condition()

    def take(self, request: Request) -> bytes:
        assert (request.method, request.path) == ("POST", "/v1/traces")
        sent = ExportTraceServiceRequest.FromString(request.body)
        with self._changed:
            self.bodies += request.body
            for one in sent.resource_spans:
                told = {each.key: each.value.string_value for each in one.resource.attributes}
                self.services.add(told["service.name"])
                self.spans += [span for scope in one.scope_spans for span in scope.spans]
            self._changed.notify_all()
        return b""

    def named(self, name: str, trace_id: bytes) -> Span:
        """Return the first span of a trace with this name, once it came."""
        return self._first(lambda span: (span.name, span.trace_id) == (name, trace_id))

    def after(self, count: int, name: str) -> Span:
        """Return the first span with this name after so many others, once it came."""
        return self._first(lambda span: span.name == name and self.spans.index(span) >= count)

    def _first(self, is_meant: Callable[[Span], bool]) -> Span:
        def found() -> list[Span]:
            return list(filter(is_meant, self.spans))

        with self._changed:
            assert self._changed.wait_for(found, PATIENCE_S), {each.name for each in self.spans}
            return found()[0]


@contextmanager
def variables(**values: str) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("OTEL_")]:
            patch.delenv(name)
        for name, value in values.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    taken = Collector()
    with (
        serving_json(taken.take) as url,
        variables(OTEL_EXPORTER_OTLP_ENDPOINT=url, OTEL_BSP_SCHEDULE_DELAY="20"),
    ):
        yield taken


@pytest.fixture(scope="module")
def market(module_database_url: str, collector: Collector) -> Iterator[SingleContract]:
    with open_tracer() as tracer, single_contract(module_database_url, tracer) as market:
        yield market


def facts_of(span: Span) -> dict[str, object]:
    def plain(value: object) -> object:
        kind = value.WhichOneof("value")  # type: ignore[attr-defined]
        told = getattr(value, kind)
        return [plain(each) for each in told.values] if kind == "array_value" else told

    return {each.key: plain(each.value) for each in span.attributes}


def test_one_trace_leads_from_a_request_to_the_transaction_that_pays(
    market: SingleContract, collector: Collector
) -> None:
    with_caller(market, CALLER)
    market.convert(1)
    with_caller(market, "")
    market.sandbox.settle("traced")
    market.sandbox.pass_time(60)
    market.sandbox.come_to_rest()
    assert market.paid_outcomes() == 1

    asked = collector.named("POST /v1/surfaces/{surface}/events/bulk", TRACE_ID)
    assert asked.kind == Span.SPAN_KIND_SERVER
    assert asked.parent_span_id.hex() == CALLER.split("-")[2]
    assert facts_of(asked) == {
        "http.request.method": "POST",
        "http.route": "/v1/surfaces/{surface}/events/bulk",
        "http.response.status_code": 202,
    }
    decided = collector.named("decide product_event", TRACE_ID)
    assert facts_of(decided)["tallystick.request.kind"] == "product_event"
    signed = collector.named("sign statements", TRACE_ID)
    assert facts_of(signed)["tallystick.contracts"] == [to_hex(market.contract)]
    for name in ("sign transaction", "send transaction", "end transaction"):
        told = collector.named(name, TRACE_ID)
        assert told.parent_span_id == signed.span_id
        paying = market.sandbox.stack.transactions()[-1]
        assert facts_of(told)["tallystick.tx_hash"] == to_hex(paying.tx_hash)
    assert collector.services == {"tallystick"}
    # Nothing that a caller wrote, or shows as its key.
    assert SECRET.encode() not in collector.bodies
    assert b"Bearer" not in collector.bodies
    # Each follows from the one before it.
    by_id = {span.span_id: span for span in collector.spans}
    assert by_id[signed.parent_span_id].name == "POST /v1/surfaces/{surface}/events/bulk"
    assert by_id[decided.parent_span_id].trace_id == TRACE_ID


def test_a_tools_call_is_above_the_request_that_it_makes(
    market: SingleContract, collector: Collector
) -> None:
    count = len(collector.spans)
    headers = {
        "Authorization": market.owner._http.headers["Authorization"],
        "Accept": "application/json, text/event-stream",
    }
    asked_for = {"name": "list_surfaces", "arguments": {}}
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": asked_for}
    url = f"{market.sandbox.url}/mcp"
    assert httpx.post(url, json=call, headers=headers, trust_env=False).status_code == 200
    asked = collector.after(count, "GET /v1/surfaces")
    above = collector.named("POST /mcp", asked.trace_id)
    assert asked.parent_span_id == above.span_id
    assert not above.parent_span_id


def test_what_counts_and_is_stated_in_one_drain_is_followed_too(
    market: SingleContract, collector: Collector, module_database_url: str
) -> None:
    stack, operator = market.sandbox.stack, market.operator
    market.report("signup", ["another"])
    operator.touch(market.surface, operator.leads(market.surface, "trial"), "email", "another")
    stack.drain()
    other = CALLER.replace("0af7", "1bf8")
    with_caller(market, other)
    now_ms = market.sandbox.clock()
    activated = EventReport("another", "another", "activate", "0", now_ms, "")
    market.owner.report_events(market.surface, [activated])
    with_caller(market, "")
    market.sandbox.settle("at once")
    told = collector.named("sign statements", bytes.fromhex(other.split("-")[1]))
    assert facts_of(told)["tallystick.statements"] == 1
    # It is kept for the next statement no more.
    with psycopg.connect(module_database_url) as admin:
        kept = admin.execute(
            "SELECT cardinality(traces), stated[1] LIKE '00-1bf8%' FROM contract_traces"
        )
        assert kept.fetchall() == [(0, True)]


def test_a_settlement_is_linked_to_all_requests_that_it_pays(
    market: SingleContract, collector: Collector
) -> None:
    """Counted in drains of their own and in that of the statement; the last is the parent."""
    stack, operator, leads = market.sandbox.stack, market.operator, ["link-1", "link-2", "link-3"]
    market.report("signup", leads)
    operator.touch(market.surface, operator.leads(market.surface, "trial"), "email", "linked")
    stack.drain()
    traces = [CALLER.replace("0af7", f"2ca{number}") for number in range(3)]
    for trace, lead in zip(traces, leads, strict=True):
        with_caller(market, trace)
        now_ms = market.sandbox.clock()
        done = EventReport(lead, lead, "activate", "0", now_ms, "")
        market.owner.report_events(market.surface, [done])
        if lead != leads[-1]:
            stack.drain()
    with_caller(market, "")
    market.sandbox.settle("linked")
    ids = [bytes.fromhex(trace.split("-")[1]) for trace in traces]
    signed = collector.named("sign statements", ids[-1])
    assert [link.trace_id for link in signed.links] == [ids[1], ids[0]]


def with_caller(market: SingleContract, trace: str) -> None:
    """Have the owner send this trace with each of its requests."""
    headers = market.owner._http.headers
    if trace:
        headers["traceparent"] = trace
    else:
        del headers["traceparent"]


@pytest.mark.parametrize(
    "sent",
    [
        [CALLER, CALLER],
        ["00-" + "0" * 32 + "-b7ad6b7169203331-01"],
        ["00-0af7651916cd43dd8448eb211c80319c-" + "0" * 16 + "-01"],
        ["ff" + CALLER[2:]],
        [CALLER.upper()],
        [CALLER + "-" + "a" * 4000],
        [CALLER + "'); DROP TABLE inbox; --"],
        ["\u00e9" * 55],
    ],
)
def test_a_trace_that_is_not_well_formed_is_not_taken(
    market: SingleContract, collector: Collector, sent: list[str]
) -> None:
    headers = [("traceparent", each.encode("latin-1")) for each in sent]
    count = len(collector.spans)
    answer = httpx.get(f"{market.sandbox.url}/nothing/of/this", headers=headers, trust_env=False)  # type: ignore[arg-type]
    assert answer.status_code == 404
    told = collector.after(count, "GET of no route")
    assert told.trace_id != TRACE_ID
    assert not told.parent_span_id
    assert "http.route" not in facts_of(told)


def test_a_collector_that_never_answers_slows_nothing() -> None:
    held = Condition()
    is_over = False

    def hold(_: Request) -> bytes:
        with held:
            held.wait_for(lambda: is_over, PATIENCE_S)
        return b""

    with pytest.MonkeyPatch.context() as patch, serving_json(hold) as url:
        patch.setattr(traces, "STOP_S", 0.1)
        with variables(OTEL_EXPORTER_OTLP_ENDPOINT=url, OTEL_BSP_MAX_QUEUE_SIZE="600"):
            began_s = time.monotonic()
            with open_tracer() as tracer:
                # More than the queue has room for.
                for _ in range(2000):
                    tracer.begin(parent=CALLER).end("told", {"n": 1}, failed=True)
            assert time.monotonic() - began_s < 5
        with held:
            is_over = True
            held.notify_all()


def test_the_last_spans_are_sent_at_the_end_and_bounded() -> None:
    taken = Collector()
    with (
        serving_json(taken.take) as url,
        variables(
            OTEL_EXPORTER_OTLP_ENDPOINT=url,
            OTEL_SERVICE_NAME="market one",
            OTEL_BSP_SCHEDULE_DELAY="60000",
        ),
        open_tracer() as tracer,
    ):
        span = tracer.begin(links=[CALLER] * 100, answers=True)
        child = tracer.begin(parent=span.trace)
        child.end("child", {"n": 1})
        span.end("parent", {f"fact {n}": n for n in range(100)}, failed=True)
        # A caller that has its request told to no one has ours told to no one either.
        silent = tracer.begin(parent=CALLER[:-1] + "0")
        silent.end("silent", {})
    assert silent.trace.endswith("-00")
    assert [each.name for each in taken.spans] == ["child", "parent"]
    below, above = taken.spans
    assert below.parent_span_id == above.span_id
    assert (len(above.links), len(above.attributes)) == (traces.MOST_LINKS, traces.MOST_FACTS)
    assert above.status.code == Status.STATUS_CODE_ERROR
    assert taken.services == {"market one"}


def test_nothing_of_the_sdk_is_imported_where_it_is_not_asked_for() -> None:
    # No other module imports any of it: import-linter holds that.
    program = (
        "import sys, orchestrator.runtime.health.traces as traces\n"
        "from orchestrator.runtime.settings import read_settings\n"
        "def is_there(): return any(name.startswith('opentelemetry.') for name in sys.modules)\n"
        "print(read_settings({}).traces, is_there())\n"
        "with traces.open_tracer(): print(is_there())"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == ["False", "False", "True"]
