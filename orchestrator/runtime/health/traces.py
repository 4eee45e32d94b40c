"""The way of spans to a collector: OpenTelemetry's SDK, which is imported only where it is used.

Spans wait in a queue of bounded length, and a thread of its own sends them; when the queue is full
the oldest are lost. So a collector that is away, or slow, costs spans and nothing else.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from orchestrator.storage.traces import Facts, Span, Tracer

if TYPE_CHECKING:
    from opentelemetry import trace as otel

SERVICE = "tallystick"
# How long the last spans have at the end.
STOP_S = 2.0
# The most of one span, whatever its part names.
MOST_LINKS = 32
MOST_FACTS = 16


@contextmanager
def open_tracer() -> Iterator[Tracer]:
    """Open the way to the collector that the OTEL variables name, until the block ends."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
        OTLPSpanExporter,
    )
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import SpanLimits, TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    resource = Resource.create()
    if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
        resource = resource.merge(Resource({SERVICE_NAME: SERVICE}))
    provider = TracerProvider(
        resource=resource,
        shutdown_on_exit=False,
        span_limits=SpanLimits(max_links=MOST_LINKS, max_span_attributes=MOST_FACTS),
    )
    exporter = OTLPSpanExporter()
    processor = BatchSpanProcessor(exporter)
    give_up: Callable[[], object] = exporter.shutdown
    provider.add_span_processor(processor)
    try:
        yield _OtlpTracer(provider.get_tracer(SERVICE))
    finally:
        # By a thread, for the SDK waits for a collector that does not answer.
        last = threading.Thread(target=processor.shutdown, name="last-spans", daemon=True)
        last.start()
        last.join(STOP_S)
        if last.is_alive():
            give_up()


class _OtlpTracer:
    """The way of spans to a collector, through the SDK."""

    def __init__(self, tracer: "otel.Tracer") -> None:
        self._tracer = tracer

    def begin(
        self,
        *,
        parent: str = "",
        links: Sequence[str] = (),
        since_ns: int | None = None,
        answers: bool = False,
    ) -> Span:
        from opentelemetry import trace as otel  # noqa: PLC0415
        from opentelemetry.context import Context  # noqa: PLC0415

        context = Context()
        if parent:
            context = otel.set_span_in_context(otel.NonRecordingSpan(_named(parent)), context)
        span = self._tracer.start_span(
            "unnamed",
            context,
            otel.SpanKind.SERVER if answers else otel.SpanKind.INTERNAL,
            links=[otel.Link(_named(link)) for link in links],
            start_time=since_ns,
        )
        return _OtlpSpan(span)


class _OtlpSpan:
    """A span of the SDK."""

    def __init__(self, span: "otel.Span") -> None:
        self._span = span

    @property
    def trace(self) -> str:
        """The span's name in its trace, as a `traceparent`."""
        named = self._span.get_span_context()
        return f"00-{named.trace_id:032x}-{named.span_id:016x}-{named.trace_flags & 1:02x}"

    def end(self, name: str, facts: Facts, *, failed: bool = False) -> None:
        from opentelemetry.trace import StatusCode  # noqa: PLC0415

        self._span.update_name(name)
        self._span.set_attributes(facts)
        if failed:
            self._span.set_status(StatusCode.ERROR)
        self._span.end()


def _named(trace: str) -> "otel.SpanContext":
    """Return the span that a well-formed `traceparent` names."""
    from opentelemetry.trace import SpanContext, TraceFlags  # noqa: PLC0415

    _, trace_id, span_id, flags = trace.split("-")
    is_sampled = int(flags, 16) & 1
    return SpanContext(int(trace_id, 16), int(span_id, 16), True, TraceFlags(is_sampled))
