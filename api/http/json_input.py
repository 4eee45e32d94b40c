"""A reader of hostile input: JSON with exactly one meaning, and newline-delimited JSON.

It refuses, each with its reason: bytes that are not UTF-8, NUL and half surrogates, a key that
stands twice, numbers that are not whole or do not fit 64 bits, nesting without end.
"""

import json
from collections.abc import Callable, Coroutine, Sequence
from io import BytesIO
from typing import Any, NoReturn, TypeVar

from fastapi import Request, Response
from fastapi.dependencies.utils import get_flat_params
from fastapi.params import Query
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.concurrency import run_in_threadpool

from api.http.problems import MAX_FAULTS, Fault, Refusal, faults_of

M = TypeVar("M", bound=BaseModel)

JSON_TYPE = "application/json"
NDJSON_TYPE = "application/x-ndjson"
_MAX_DIGITS = 19
# So much is read in well under a millisecond, which no thread is worth.
_QUICK_BYTES = 16_384
_INTEGER_LIMIT = 1 << 63


class MalformedError(ValueError):
    """The fault of bytes that are refused; its phrase follows the name of what was read."""


def parse_json(data: bytes) -> object:
    """Return the value of a JSON text. Raises `MalformedError`."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedError(f"is not UTF-8 at byte {error.start}") from None
    try:
        value = _DECODER.decode(text)
        # A raw NUL or surrogate cannot have got here; only an escape can hide one.
        if "\\u" in text:
            _check_text(value)
    except json.JSONDecodeError as error:
        raise MalformedError(f"is not JSON at character {error.pos}: {error.msg}") from None
    # The decoder recurses into nested arrays and objects; Python's own limit stops it in time.
    except RecursionError:
        raise MalformedError("is nested too deeply") from None
    return value


def split_lines(request: Request, data: bytes, most: int) -> list[tuple[int, bytes]]:
    """Return the lines of a newline-delimited JSON body, unread, each after its number from 1.

    Blank lines are counted and left out. Raises `Refusal` for too many lines, or none.
    """
    require_media_type(request, NDJSON_TYPE)
    lines: list[tuple[int, bytes]] = []
    for number, line in enumerate(BytesIO(data), start=1):
        if number > most:
            raise Refusal(413, "lines-too-many", f"at most {most} lines are taken at once")
        if line.strip():
            lines.append((number, line))
    if not lines:
        raise Refusal(422, "lines-missing", "the body has no line")
    return lines


def read_lines(lines: Sequence[tuple[int, bytes]], model: type[M]) -> list[tuple[int, M]]:
    """Return the contents of lines, each after its number; all are read before any is used.

    Raises `Refusal` that names the lines at fault.
    """
    items: list[tuple[int, M]] = []
    faults: list[Fault] = []
    for number, line in lines:
        if len(faults) >= MAX_FAULTS:
            break
        try:
            items.append((number, model.model_validate(parse_json(line))))
        except MalformedError as error:
            faults.append(Fault(where=f"line {number}", detail=f"the line {error}"))
        except ValidationError as error:
            faults += faults_of(error.errors(include_input=False), f"line {number}")
    if faults:
        first = faults[0]
        raise Refusal(
            422, "line-invalid", f"{first.where}: {first.detail}", faults=faults[:MAX_FAULTS]
        )
    return items


def ndjson_body(model: type[BaseModel], most: int) -> dict[str, Any]:
    """Return the OpenAPI description of a body of newline-delimited JSON."""
    return {
        "requestBody": {
            "required": True,
            "description": f"At most {most} lines, each a `{model.__name__}` as JSON.",
            "content": {
                NDJSON_TYPE: {
                    "schema": {
                        "type": "array",
                        "description": "One item to a line.",
                        "items": {"$ref": f"#/components/schemas/{model.__name__}"},
                        "minItems": 1,
                    }
                }
            },
        }
    }


class StrictRoute(APIRoute):
    """A route that reads JSON by `parse_json`, and refuses query parameters it does not know."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        takes_json = self.body_field is not None
        # Those of its dependencies, too.
        fields = get_flat_params(self.dependant)
        known = {field.alias for field in fields if isinstance(field.field_info, Query)}

        async def strict(request: Request) -> Response:
            _check_query(request, known)
            if takes_json:
                # FastAPI reads the body by the request's own `json`, so ours is put in its place.
                request = _StrictRequest(request.scope, request.receive)
                if await request.body():
                    require_media_type(request, JSON_TYPE)
            return await handle(request)

        return strict


def _check_query(request: Request, known: set[str]) -> None:
    """Raise `Refusal` for a misspelt or doubled parameter, which FastAPI would ignore."""
    seen: set[str] = set()
    for name, _ in request.query_params.multi_items():
        if name not in known or name in seen:
            problem = "stands twice" if name in known else "is not known here"
            detail = f"query parameter {name[:40]!r} {problem}"
            raise Refusal(422, "query-invalid", detail)
        seen.add(name)


class _StrictRequest(Request):
    async def json(self) -> object:
        body = await self.body()
        try:
            if len(body) <= _QUICK_BYTES:
                return parse_json(body)
            # Others must not wait until it is read.
            return await run_in_threadpool(parse_json, body)
        except MalformedError as error:
            raise Refusal(400, "json-malformed", f"the body {error}") from None


def require_media_type(request: Request, wanted: str) -> None:
    """Raise `Refusal` (415) unless the request says that its body is of this type."""
    declared = request.headers.get("content-type", "")
    if declared.split(";", 1)[0].strip().lower() != wanted:
        raise Refusal(415, "media-type", f"Content-Type must be {wanted}, not {declared[:60]!r}")


def _unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    table: dict[str, object] = {}
    for key, value in pairs:
        if key in table:
            raise MalformedError(f"has the key {key[:60]!r} twice")
        table[key] = value
    return table


def _bounded_integer(text: str) -> int:
    # The digits are counted first: int() of a very long text is slow, and refused by Python.
    if len(text.removeprefix("-")) > _MAX_DIGITS or not abs(int(text)) < _INTEGER_LIMIT:
        raise MalformedError(f"has the number {text[:24]}…, which does not fit 64 bits")
    return int(text)


def _refuse_float(text: str) -> NoReturn:
    raise MalformedError(f'has the number {text[:24]}; send decimals as text, such as "8.10"')


def _check_text(value: object) -> None:
    if isinstance(value, str):
        if "\0" in value:
            raise MalformedError("has a NUL character in a text")
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            raise MalformedError("has half a surrogate pair in a text") from None
    elif isinstance(value, dict):
        for key, item in value.items():
            _check_text(key)
            _check_text(item)
    elif isinstance(value, list):
        for item in value:
            _check_text(item)


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique_keys,
    parse_int=_bounded_integer,
    parse_float=_refuse_float,
    parse_constant=_refuse_float,
)
