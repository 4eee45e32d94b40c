"""Mappings: what of another system's events is an event of the surface, and where its values are.

An owner writes them into the surface's settings, so that the live doors and a backtest read alike:

    sources:
      segment:
        lead: [userId]
        events:
          Signed Up: signup
          Order Completed: {event: purchase, value: properties.revenue, order: properties.order_id}

A path is the keys that lead to a value from the top, with dots between them; for CSV it is a
column's name as it stands. Of a list of paths the first that has a value counts. What a mapping
does not name is left out, and counted.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from orchestrator.core.common import names
from orchestrator.core.common.document import (
    check_keys,
    read_choice,
    read_list,
    read_table,
    shown_value,
)
from orchestrator.core.common.errors import DocumentError, shown
from orchestrator.core.intake.currency import (
    Currencies,
    currencies_document,
    currency_code,
    exponent_of,
    parse_currencies,
    token_units,
)
from orchestrator.core.intake.found import FoundEvent, IntakeError, SkippedError
from orchestrator.core.intake.moment import UTC_ZONE, parse_moment, parse_zone
from orchestrator.core.intake.payload import MAX_PATH_STEPS, Path, text_of, value_at

SOURCES = ("segment", "stripe", "posthog", "csv")
MAX_MAPPED_EVENTS = 500
MAX_PATHS = 8
MAX_PATH_CHARS = 200
MAX_ID_CHARS = 128
# In CSV: every row, where no column says what it is about.
ANY_EVENT = "*"

_FIELDS = ("id", "time", "lead", "value", "currency", "order")


class FieldPaths(NamedTuple):
    """The places of an event's fields in a payload; of several paths the first with a value."""

    id: tuple[Path, ...]
    time: tuple[Path, ...]
    lead: tuple[Path, ...]
    value: tuple[Path, ...]
    currency: tuple[Path, ...]
    order: tuple[Path, ...]


class MappedEvent(NamedTuple):
    """An event of the surface that stands for one of the source's, and where its fields are."""

    event: str
    paths: FieldPaths


@dataclass(frozen=True, slots=True)
class SourceMapping:
    """The mapping of one source.

    `event` is where the source's own name of an event is. Amounts without a currency are in
    `default_currency`, or of tokens if there is none. `minor_units`: amounts count in the smallest
    unit of their currency. `takes_tests`: what the source marks as a test is taken as well.
    """

    source: str
    event: tuple[Path, ...]
    events: Mapping[str, MappedEvent]
    defaults: FieldPaths
    own: Mapping[str, object]
    default_currency: str | None = None
    zone: str = UTC_ZONE
    minor_units: bool = False
    takes_tests: bool = False

    def mapped(self, name: str) -> MappedEvent:
        """Return what stands for one of the source's events.

        Raises `SkippedError` if nothing does, and `IntakeError` for a name that is no name and
        looks like one that is mapped.
        """
        found = self.events.get(name)
        if found is None:
            try:
                found = self.events.get(names.event_name(name))
            except ValueError as error:
                if names.visible(name) in self.events:
                    raise IntakeError("name-invalid", f"event {error}") from None
            found = found or self.events.get(ANY_EVENT)
        if found is None:
            raise SkippedError("event-unmapped", name)
        return found

    def read(
        self,
        mapped: MappedEvent,
        payload: object,
        currencies: Currencies,
        *,
        row_id: str | None = None,
    ) -> FoundEvent:
        """Return the event in a payload. `row_id` is its id where the payload does not say it.

        Raises `IntakeError`.
        """
        paths = mapped.paths
        lead = _text_at(payload, paths.lead, "lead")
        if lead is None:
            raise IntakeError(
                "lead-missing", f"lead-missing: it has no value at {_shown_paths(paths.lead)}"
            )
        moment = _first_at(payload, paths.time)
        if moment is None:
            raise IntakeError("time-missing", f"it has no time at {_shown_paths(paths.time)}")
        time_ns, is_whole_second = parse_moment(moment, self.zone)
        own_id = row_id if row_id is not None else _text_at(payload, paths.id, "id")
        try:
            return FoundEvent(
                id=event_id(own_id) if own_id is not None else "",
                lead=names.own_id(lead),
                event=mapped.event,
                value_units=self._value(payload, paths, currencies, time_ns),
                order=_order(payload, paths.order),
                time_ns=time_ns,
                is_whole_second=is_whole_second,
            )
        except ValueError as error:
            raise IntakeError("name-invalid", f"lead {error}") from None

    def amount_units(
        self, amount: object, currency: object, currencies: Currencies, time_ns: int
    ) -> int:
        """Return the token units of an amount as the source writes it. Raises `IntakeError`."""
        code = self.default_currency if currency is None else currency_code(currency)
        if self.minor_units:
            if type(amount) is not int:
                raise IntakeError(
                    "value-invalid",
                    f"value must be a whole number of the currency's smallest unit, not "
                    f"{shown(amount)}",
                )
            exponent = exponent_of(code) if code is not None else 2
            return token_units(amount, code, currencies, time_ns, exponent)
        return token_units(amount, code, currencies, time_ns)

    def _value(
        self, payload: object, paths: FieldPaths, currencies: Currencies, time_ns: int
    ) -> int | None:
        amount = _first_at(payload, paths.value)
        if amount is None or amount == "":
            return None
        currency = _first_at(payload, paths.currency) or None
        if currency is None and paths.currency and self.default_currency is None:
            raise IntakeError(
                "currency-missing",
                f"currency-missing: it has a value and no currency at "
                f"{_shown_paths(paths.currency)}; set default_currency, or take currency out",
            )
        return self.amount_units(amount, currency, currencies, time_ns)


class IntakeSettings(NamedTuple):
    """The part of settings about other systems' events: rates, and a mapping for each source."""

    currencies: Currencies
    sources: Mapping[str, SourceMapping]

    def mapping(self, source: str) -> SourceMapping:
        """Return the mapping of a source. Raises `IntakeError` if there is none."""
        found = self.sources.get(source)
        if found is None:
            known = ", ".join(self.sources) or "none"
            raise IntakeError(
                "source-unmapped",
                f"the settings map no events of {source} (they map {known}); add sources: "
                f"{{{source}: {{events: …}}}}",
            )
        return found

    def document(self) -> dict[str, object]:
        """Return the canonical documents, by the keys that the settings have them under."""
        document: dict[str, object] = {}
        if self.currencies:
            document["currencies"] = currencies_document(self.currencies)
        if self.sources:
            document["sources"] = {name: dict(one.own) for name, one in self.sources.items()}
        return document


# --- Reading a document ---------------------------------------------------------------------------


def parse_intake(table: Mapping[str, object]) -> IntakeSettings:
    """Read the keys `currencies` and `sources` of a settings document. Raises `DocumentError`."""
    currencies = parse_currencies(_or_empty(table.get("currencies")))
    sources = read_table(_or_empty(table.get("sources")), "sources")
    found = {}
    for name in sorted(sources):
        source = read_choice(name, SOURCES, "a key of sources")
        found[source] = _source(source, sources[name], currencies)
    return IntakeSettings(currencies, found)


def _or_empty(value: object) -> object:
    return {} if value is None else value


def event_id(text: str) -> str:
    """Return an id of an event as an idempotency key is written. Raises `IntakeError`."""
    if not (1 <= len(text) <= MAX_ID_CHARS and text.isascii() and text.isprintable()) or (
        " " in text
    ):
        raise IntakeError(
            "id-invalid",
            f"id must be 1 to {MAX_ID_CHARS} visible ASCII characters without spaces, not "
            f"{names.escaped(text)}",
        )
    return text


def _plain_paths(*texts: str) -> tuple[Path, ...]:
    return tuple(tuple(text.split(".")) for text in texts)


# Where the sources have what they call by these names themselves.
_USUAL: dict[str, tuple[tuple[str, ...], dict[str, tuple[str, ...]]]] = {
    "segment": (
        ("event",),
        {"id": ("messageId",), "time": ("timestamp",), "lead": ("userId",)},
    ),
    "stripe": (
        ("type",),
        {"lead": ("customer",), "currency": ("currency",)},
    ),
    "posthog": (
        ("event",),
        {
            "id": ("uuid", "id"),
            "time": ("timestamp",),
            "lead": ("distinct_id", "properties.distinct_id"),
        },
    ),
    "csv": (
        ("event",),
        {
            "id": ("id",),
            "time": ("time",),
            "lead": ("lead",),
            "value": ("value",),
            "order": ("order",),
        },
    ),
}
# What Stripe's events say in their own way is not for a mapping to move.
_FIXED = {"stripe": frozenset({"id", "time", "value", "currency", "order", "event", "zone"})}


def _source(source: str, value: object, currencies: Currencies) -> SourceMapping:
    where = f"sources: {source}"
    table = read_table(value, where)
    optional = {*_FIELDS, "event", "default_currency", "zone", "takes_tests"}
    check_keys(table, {"events"}, optional - _FIXED.get(source, frozenset()), where)
    own_name, usual = _USUAL[source]
    dotted = source != "csv"
    defaults = FieldPaths(
        *(
            _paths(table[field], f"{where}: {field}", dotted=dotted)
            if field in table
            else _plain_paths(*usual.get(field, ()))
            for field in _FIELDS
        )
    )
    events = _events(table["events"], where, defaults, source)
    mapping = SourceMapping(
        source=source,
        event=_paths(table["event"], f"{where}: event", dotted=dotted)
        if "event" in table
        else _plain_paths(*own_name),
        events=events,
        defaults=defaults,
        own=_own(table),
        default_currency=_default_currency(table.get("default_currency"), currencies, where),
        zone=parse_zone(table.get("zone", UTC_ZONE)),
        minor_units=source == "stripe",
        takes_tests=_flag(table.get("takes_tests", False), f"{where}: takes_tests"),
    )
    if source == "stripe":
        _check_stripe(mapping, where)
    return mapping


def _events(value: object, where: str, defaults: FieldPaths, source: str) -> dict[str, MappedEvent]:
    table = read_table(value, f"{where}: events")
    if not 1 <= len(table) <= MAX_MAPPED_EVENTS:
        raise DocumentError(
            "list-too-long",
            f"{where}: events has {len(table)} items; 1 to {MAX_MAPPED_EVENTS} are taken",
        )
    found = {}
    for name, item in table.items():
        here = f"{where}: event {names.escaped(name)}"
        paths = defaults
        if isinstance(item, Mapping):
            moved = {"value", "currency", "order"} - _FIXED.get(source, frozenset())
            row = read_table(item, here)
            check_keys(row, {"event"}, moved, here)
            changed = {
                key: _paths(row[key], f"{here}: {key}", dotted=source != "csv")
                for key in row
                if key != "event"
            }
            paths = defaults._replace(**changed)
        event = item["event"] if isinstance(item, Mapping) else item
        try:
            own_name = names.event_name(name)
        except ValueError as error:
            raise DocumentError("name-invalid", f"{here}: the name {error}") from None
        if own_name in found:
            raise DocumentError(
                "event-twice", f"{here} stands twice, written in two ways; keep one of them"
            )
        found[own_name] = MappedEvent(_event_name(event, here), paths)
    return found


def _event_name(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise DocumentError(
            "name-invalid", f"{where} must be an event of the policy, not {shown_value(value)}"
        )
    try:
        return names.event_name(value)
    except ValueError as error:
        raise DocumentError("name-invalid", f"{where}: its event {error}") from None


def _paths(value: object, where: str, *, dotted: bool) -> tuple[Path, ...]:
    texts = [value] if isinstance(value, str) else read_list(value, where, MAX_PATHS)
    found = []
    for text in texts:
        steps = tuple(text.split(".")) if isinstance(text, str) and dotted else (text,)
        if (
            not isinstance(text, str)
            or not 1 <= len(text) <= MAX_PATH_CHARS
            or len(steps) > MAX_PATH_STEPS
            or not all(steps)
        ):
            raise DocumentError(
                "path-invalid",
                f"{where} must be a path of 1 to {MAX_PATH_STEPS} keys such as properties.revenue, "
                f"or a column's name, not {shown_value(text)}",
            )
        found.append(steps)
    return tuple(found)  # type: ignore[arg-type] # each step is text: checked above


def _own(table: Mapping[str, object]) -> dict[str, object]:
    """Return a mapping's table as plain lists and tables, as its hash is over."""

    def plain(value: object) -> object:
        if isinstance(value, Mapping):
            return {key: plain(item) for key, item in value.items()}
        return list(value) if isinstance(value, list | tuple) else value

    return {key: plain(value) for key, value in table.items()}


def _default_currency(value: object, currencies: Currencies, where: str) -> str | None:
    if value is None:
        return None
    try:
        code = currency_code(value)
    except IntakeError as error:
        raise DocumentError(error.code, f"{where}: default_currency: {error.message}") from None
    if code not in currencies:
        raise DocumentError(
            "currency-unknown", f"{where}: default_currency {code!r} has no rate in currencies"
        )
    return code


def _flag(value: object, where: str) -> bool:
    if value in (True, "true"):
        return True
    if value in (False, "false"):
        return False
    raise DocumentError("flag-invalid", f"{where} must be true or false, not {shown_value(value)}")


def _check_stripe(mapping: SourceMapping, where: str) -> None:
    """Raise DocumentError where one payment, or one refund, would be told twice."""
    for group, what in (
        (
            (
                "charge.succeeded",
                "payment_intent.succeeded",
                "invoice.paid",
                "checkout.session.completed",
            ),
            "payment",
        ),
        (("charge.refunded", "refund.created"), "refund"),
    ):
        both = [name for name in group if name in mapping.events]
        if len(both) > 1:
            raise DocumentError(
                "source-twice",
                f"{where}: {' and '.join(both)} tell of one {what}; map one of them",
            )


# --- Reading a payload ----------------------------------------------------------------------------


def _first_at(payload: object, paths: tuple[Path, ...]) -> object:
    for path in paths:
        value = value_at(payload, path)
        if value is not None and value != "":
            return value
    return None


def _text_at(payload: object, paths: tuple[Path, ...], what: str) -> str | None:
    value = _first_at(payload, paths)
    if value is None:
        return None
    text = text_of(value)
    if text is None:
        raise IntakeError(f"{what}-invalid", f"{what} must be a text, not {shown(value)}")
    return text


def _order(payload: object, paths: tuple[Path, ...]) -> str:
    order = _text_at(payload, paths, "order")
    return "" if order is None else own_order(order)


def own_order(text: str) -> str:
    """Return an id of an order, normalised. Raises `IntakeError`."""
    try:
        return names.own_id(text)
    except ValueError as error:
        raise IntakeError("order-invalid", f"order {error}") from None


def _shown_paths(paths: tuple[Path, ...]) -> str:
    return " or ".join(".".join(path) for path in paths) or "no path that the mapping has"
