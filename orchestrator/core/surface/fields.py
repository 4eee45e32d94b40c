"""Fields: the single values of requests and stored rules, each in exactly one JSON form.

A field's type says its form: it is read off the annotations of a NamedTuple. Bytes are
lower-case hex, amounts and times whole JSON numbers. What is read back is held to the same rules as
what is written.
"""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Annotated, Any, NamedTuple, TypeVar, cast, get_type_hints

from orchestrator.core.common import names
from orchestrator.core.common.errors import RequestError, shown
from orchestrator.core.common.units import AMOUNT_LIMIT, BPS, WHOLE_SECOND_MS
from orchestrator.core.log.dispute import DISPUTE_LABELS, RULING_LABELS
from orchestrator.core.log.entry import FAILED, POSITION_LIMIT, TAKEN, TIME_MS_LIMIT, WORD_BYTES
from orchestrator.core.surface.policy import MODELS, Policy, parse
from orchestrator.core.surface.surface_settings import SurfaceSettings, parse_settings

T = TypeVar("T")


class Form(NamedTuple):
    """The JSON form of a field: a writer and a reader that refuse what is out of bounds."""

    write: Callable[[str, Any], Any]
    read: Callable[[str, Any], Any]


def write_fields(value: Any) -> dict[str, Any]:
    """Return a NamedTuple as a JSON object. Raises RequestError for a value out of bounds."""
    make: Any = type(value)
    return {name: form.write(name, getattr(value, name)) for name, form in _forms_of(make)}


def read_fields(make: Callable[..., T], document: object, what: str) -> T:
    """Return the NamedTuple of such an object; `what` names it in messages.

    Raises RequestError, or DocumentError for a document in it.
    """
    forms = _forms_of(cast(Any, make))
    if not isinstance(document, Mapping) or len(document) != len(forms):
        raise RequestError("request-malformed", f"{what} has {len(forms)} fields")
    try:
        return make(*[form.read(name, document[name]) for name, form in forms])
    except KeyError as error:
        raise RequestError("request-malformed", f"{what} lacks {error}") from None


@cache
def _forms_of(make: Any) -> tuple[tuple[str, Form], ...]:
    hints = get_type_hints(make, include_extras=True)
    return tuple((name, _form_of(hints[name], f"{make.__name__}.{name}")) for name in make._fields)


def _form_of(hint: Any, where: str) -> Form:
    if hasattr(hint, "_fields"):
        return Form(
            lambda _, value: write_fields(value),
            lambda name, value: read_fields(hint, value, name),
        )
    forms = [extra for extra in getattr(hint, "__metadata__", ()) if isinstance(extra, Form)]
    if len(forms) != 1:
        raise TypeError(f"{where} has no form: give it a type of {__name__}")
    return forms[0]


def _write_word(name: str, value: bytes) -> str:
    if len(value) != WORD_BYTES:
        raise RequestError("word-length", f"{name} has {len(value)} bytes; a word has 32")
    return value.hex()


def _read_word(name: str, value: Any) -> bytes:
    try:
        word = bytes.fromhex(value)
    except (TypeError, ValueError):
        word = _unhex(name, value)
    if len(word) != WORD_BYTES or len(value) != 2 * WORD_BYTES:
        raise RequestError("word-length", f"{name} must be 64 hex digits, not {shown(value)}")
    return word


def _read_bytes(name: str, value: Any) -> bytes:
    found = _unhex(name, value)
    if len(found) > WORD_BYTES:
        raise RequestError("word-length", f"{name} must be at most 64 hex digits")
    return found


def _unhex(name: str, value: Any) -> bytes:
    try:
        return bytes.fromhex(value)
    except (TypeError, ValueError):
        raise RequestError("not-hex", f"{name} must be hex digits, not {shown(value)}") from None


def _text(rule: Callable[[str], str]) -> Form:
    """Return the form of a text that a rule of names takes and leaves as it is."""

    def check(name: str, value: Any) -> str:
        if not isinstance(value, str):
            raise RequestError("name-invalid", f"{name} must be a text, not {shown(value)}")
        try:
            normal = rule(value)
        except ValueError as error:
            raise RequestError("name-invalid", f"{name} {error}") from None
        if normal != value:
            raise RequestError(
                "name-invalid", f"{name} must be in the form NFC, unlike {names.escaped(value)}"
            )
        return value

    return Form(check, check)


def _whole_below(limit: int) -> Form:
    def check(name: str, value: Any) -> int:
        # `True` is an `int` to Python; a type check by identity leaves it out.
        if type(value) is not int or not 0 <= value < limit:
            raise RequestError(
                "number-range", f"{name} must be a whole number below {limit}: {shown(value)}"
            )
        return value

    return Form(check, check)


def _truth(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise RequestError("not-a-truth", f"{name} must be true or false, not {shown(value)}")
    return value


def _span_ms(name: str, value: Any) -> int:
    if type(value) is not int or value not in (0, WHOLE_SECOND_MS):
        raise RequestError(
            "span-unknown", f"{name} must be 0 or {WHOLE_SECOND_MS}, not {shown(value)}"
        )
    return value


def _one_of(choices: tuple[str, ...]) -> Form:
    def check(name: str, value: Any) -> str:
        if value not in choices:
            raise RequestError("choice-unknown", f"{name} must be one of {choices}: {shown(value)}")
        return str(value)

    return Form(check, check)


Word = Annotated[bytes, Form(_write_word, _read_word)]
ShortBytes = Annotated[bytes, Form(lambda _, value: value.hex(), _read_bytes)]
Name = Annotated[str, _text(names.short_name)]
NameOrNone = Annotated[str, _text(lambda value: value and names.short_name(value))]
EventName = Annotated[str, _text(names.event_name)]
Units = Annotated[int, _whole_below(AMOUNT_LIMIT)]
Count = Annotated[int, _whole_below(POSITION_LIMIT)]
# Times are added to periods; both stay far from the 63 bits of a stored time.
TimeMs = Annotated[int, _whole_below(TIME_MS_LIMIT >> 2)]
SpanMs = Annotated[int, Form(_span_ms, _span_ms)]
Share = Annotated[int, _whole_below(BPS + 1)]
Truth = Annotated[bool, Form(_truth, _truth)]
Model = Annotated[str, _one_of(MODELS)]
Answer = Annotated[str, _one_of((TAKEN, FAILED))]
PayoutLabel = Annotated[str, _one_of(("paid", "credited"))]
DisputeLabel = Annotated[str, _one_of(DISPUTE_LABELS)]
RulingLabel = Annotated[str, _one_of(RULING_LABELS)]
PolicyDocument = Annotated[
    Policy, Form(lambda _, value: value.document(), lambda _, value: parse(value))
]
SettingsDocument = Annotated[
    SurfaceSettings, Form(lambda _, value: value.document(), lambda _, value: parse_settings(value))
]
