"""Forms of single values: read off the types of a NamedTuple, and refused where there is none."""

from typing import NamedTuple

import pytest

from orchestrator.core.common.errors import RequestError
from orchestrator.core.surface.fields import (
    EventName,
    Name,
    SpanMs,
    Units,
    Word,
    read_fields,
    write_fields,
)


class Inner(NamedTuple):
    name: Name


class Outer(NamedTuple):
    word: Word
    amount: Units
    inner: Inner


class Named(NamedTuple):
    event: EventName


class Timed(NamedTuple):
    span_ms: SpanMs


class Formless(NamedTuple):
    text: str


def test_nested_values_are_read_as_they_were_written() -> None:
    value = Outer(b"\1" * 32, 7, Inner("signup"))
    document = write_fields(value)
    assert document == {"word": "01" * 32, "amount": 7, "inner": {"name": "signup"}}
    assert read_fields(Outer, document, "it") == value


@pytest.mark.parametrize(
    "document",
    [None, [], {}, {"name": "x", "more": 1}, {"other": "x"}],
)
def test_another_shape_is_refused(document: object) -> None:
    with pytest.raises(RequestError, match="an inner value") as refused:
        read_fields(Inner, document, "an inner value")
    assert refused.value.code == "request-malformed"


@pytest.mark.parametrize("event", ["x", "Bestellung über 100 €", "x" * 255])
def test_an_event_may_have_any_name_of_the_product(event: str) -> None:
    assert read_fields(Named, write_fields(Named(event)), "it") == Named(event)


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (7, "event must be a text"),
        ("", "event must not be empty"),
        ("x" * 256, "event must have at most 255 bytes"),
        ("buy ", "event must not begin or end with a space"),
        ("b\u200buy", "U\\+200B ZERO WIDTH SPACE"),
        ("re\u0301", "event must be in the form NFC, unlike 're.u0301'"),
    ],
)
def test_a_name_that_a_door_would_not_give_is_refused(event: object, said: str) -> None:
    with pytest.raises(RequestError, match=said) as refused:
        read_fields(Named, {"event": event}, "it")
    assert refused.value.code == "name-invalid"
    with pytest.raises(RequestError, match=said):
        write_fields(Named(event))  # type: ignore[arg-type]


@pytest.mark.parametrize("span_ms", [1, 998, 1000, -1, True, False, 999.0, "999", None])
def test_a_span_is_none_or_a_second(span_ms: object) -> None:
    for known in (0, 999):
        assert read_fields(Timed, {"span_ms": known}, "it") == Timed(known)
    with pytest.raises(RequestError, match="must be 0 or 999") as refused:
        read_fields(Timed, {"span_ms": span_ms}, "it")
    assert refused.value.code == "span-unknown"


def test_a_field_without_a_form_is_a_mistake_of_ours() -> None:
    with pytest.raises(TypeError, match=r"Formless\.text has no form"):
        write_fields(Formless("x"))
