"""Adapters: the payloads of Segment, Stripe and PostHog, and rows of CSV, as events of a surface.

The shapes relied on, by those companies' own documentation:

* **Segment** (Spec: Common Fields; HTTP API): a message has `type`, `messageId`, `timestamp`
  (corrected for the device's clock), `userId`; a `track` has `event` and `properties`. A batch has
  its messages under `batch`. Other types than `track` are known as `$identify`, `$page` and so on.
* **Stripe** (Event object; Charge; Currencies): see `orchestrator.core.intake.stripe`.
* **PostHog** (webhook destination; batch exports; capture and events API): an event has `uuid` (or
  `id`), `event`, `distinct_id`, `timestamp` and `properties`, the last as a table or, in some
  exports, as JSON text. A webhook has it under `event`, a batch under `batch`, a page of the API
  under `results`.
"""

from collections.abc import Callable, Mapping
from typing import TypeGuard

from orchestrator.core.common.errors import shown
from orchestrator.core.intake.currency import Currencies
from orchestrator.core.intake.found import FoundEvent, IntakeError
from orchestrator.core.intake.mapping import ANY_EVENT, SourceMapping
from orchestrator.core.intake.payload import read_payload, text_of, value_at
from orchestrator.core.intake.stripe import stripe_event

MAX_BATCH = 5_000
# Where a document of a source has its list of payloads.
_LISTS = {"segment": ("batch",), "stripe": ("data",), "posthog": ("batch", "results")}


def payloads_of(source: str, document: object, most: int | None = MAX_BATCH) -> list[object]:
    """Return the payloads of a document: itself, or the items of a list or a source's envelope.

    Raises `IntakeError` for more than `most`.
    """
    items: object = document
    if isinstance(document, dict):
        for key in _LISTS.get(source, ()):
            items = document.get(key)
            if isinstance(items, list):
                break
        else:
            return [document]
    if not isinstance(items, list):
        raise IntakeError("payload-invalid", f"it must be a table or a list, not {shown(document)}")
    if most is not None and len(items) > most:
        raise IntakeError("batch-too-long", f"it has {len(items)} events; at most {most}")
    return items


def event_of(mapping: SourceMapping, currencies: Currencies, payload: object) -> FoundEvent:
    """Return the event that a payload is. Raises `SkippedError` or `IntakeError`."""
    # JSON's tables are dicts, of which it is told at once that they are mappings.
    if not isinstance(payload, dict):
        raise IntakeError("payload-invalid", f"an event must be a table, not {shown(payload)}")
    if mapping.source == "stripe":
        return stripe_event(mapping, currencies, payload)
    if mapping.source == "posthog":
        payload = _posthog_event(payload)
    name = _name_of(mapping, payload)
    mapped = mapping.mapped(name)
    return mapping.read(mapped, payload, currencies)


def is_single(source: str, document: object) -> TypeGuard[dict[str, object]]:
    """Return whether a document is one payload itself, as most lines of an export are."""
    return type(document) is dict and document.keys().isdisjoint(_LISTS.get(source, ()))


def ignored_names(mapping: SourceMapping) -> Callable[[object], str | None]:
    """Return what names an event that a Segment mapping leaves out, and is None for all else.

    Most rows of an export are such, and to raise an error for each costs more than to read it.
    """
    events, (key, *further) = mapping.events, mapping.event[0]
    if mapping.source != "segment" or further or ANY_EVENT in events:
        return lambda _: None

    def ignored(payload: object) -> str | None:
        if type(payload) is not dict:
            return None
        sort = payload.get("type", "track")
        if type(sort) is not str:
            return None
        name = payload.get(key) if sort == "track" else f"${sort}"
        # A text that is none, that stands elsewhere or may be written in another way is looked at
        # as any other.
        if type(name) is not str or not name or name in events:
            return None
        is_plain = name.isascii() and name.isprintable() and " " not in (name[0], name[-1])
        return name if is_plain else None

    return ignored


def _name_of(mapping: SourceMapping, payload: Mapping[str, object]) -> str:
    """Return the source's own name of an event; of a Segment message that is no track, its type."""
    if mapping.source == "segment":
        sort = payload.get("type", "track")
        if not isinstance(sort, str):
            raise IntakeError("event-missing", f"type must be a text, not {shown(sort)}")
        if sort != "track":
            return f"${sort}"
    for path in mapping.event:
        name = text_of(value_at(payload, path))
        if name is not None:
            return name
    if ANY_EVENT in mapping.events:
        return ANY_EVENT
    raise IntakeError(
        "event-missing",
        f"it does not say what happened: no text at "
        f"{' or '.join('.'.join(path) for path in mapping.event)}",
    )


def _posthog_event(payload: Mapping[str, object]) -> Mapping[str, object]:
    event = payload.get("event")
    found: Mapping[str, object] = event if isinstance(event, Mapping) else payload
    properties = found.get("properties")
    if isinstance(properties, str) and properties:
        return {**found, "properties": read_payload(properties)}
    return found
