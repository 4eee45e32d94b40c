"""Forms of single values: read off the types of a NamedTuple, and refused where there is none."""

from typing import NamedTuple

import pytest

from orchestrator.core.errors import RequestError
from orchestrator.core.fields import (
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


from orchestrator.core.fields import EventName, Name, Units, Word, read_fields, write_fields


from orchestrator.core.fields import Name, SpanMs, Units, Word, read_fields, write_fields


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


class Named(NamedTuple):
    event: EventName


class Timed(NamedTuple):
    span_ms: SpanMs


def test_a_field_without_a_form_is_a_mistake_of_ours() -> None:
    with pytest.raises(TypeError, match=r"Formless\.text has no form"):
        write_fields(Formless("x"))
