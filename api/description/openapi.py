"""The description of the API (OpenAPI 3.1), made once from its routes.

Each operation lists the errors that it can answer, each status with a closed set of codes, and has
examples of its body and its answers.
"""

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api import rules
from api.description.examples import add_examples
from api.http import problems
from api.http.json_input import JSON_TYPE, NDJSON_TYPE
from api.routes.records.answers import Resume, StreamedEntry
from api.routes.records.stream import EVENT_STREAM
from api.routes.surfaces.bodies import BulkProductEvent, BulkTouch
from api.rules import Rules

# FastAPI describes what routes declare; lines of bulk bodies and problems are none of that.
_FURTHER_SCHEMAS = (
    *(BulkProductEvent, BulkTouch, problems.Problem),
    *(StreamedEntry, Resume),
)
_PROBLEM = {"$ref": "#/components/schemas/Problem"}


def describe(app: FastAPI) -> dict[str, Any]:
    """Return the app's OpenAPI description."""
    description = get_openapi(
        title=app.title,
        version=app.version,
        summary="Pays operators for outcomes that a log can prove.",
        routes=app.routes,
    )
    known = description.setdefault("components", {}).setdefault("schemas", {})
    for model in _FURTHER_SCHEMAS:
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
        known |= schema.pop("$defs", {})
        known[model.__name__] = schema
    for path, item in description["paths"].items():
        for method, operation in item.items():
            _set_errors(operation, rules_of(method, path, operation))
    add_examples(description)
    return description


def rules_of(method: str, path: str, operation: dict[str, Any]) -> Rules:
    """Return the rules that an operation may break, by status."""
    responses, sent = operation["responses"], operation.get("requestBody", {}).get("content", {})
    has_key = bool(operation.get("security"))
    is_followed = EVENT_STREAM in responses.get("200", {}).get("content", {})
    families = (
        (rules.WITH_FIELDS, operation.get("parameters") or sent),
        (rules.WITH_BODY, sent),
        (rules.WITH_JSON, JSON_TYPE in sent),
        (rules.WITH_LINES, NDJSON_TYPE in sent),
        (rules.WITH_KEY, has_key),
        (rules.WITH_SURFACE, has_key and "{surface}" in path),
        (rules.PUBLIC_READ, method == "get" and not has_key and not is_followed),
    )
    declared = (
        {int(status): frozenset(problems.codes_of(answer))} for status, answer in responses.items()
    )
    return rules.joined(rules.EVERY, *(each for each, is_so in families if is_so), *declared)


def _set_errors(operation: dict[str, Any], found: Rules) -> None:
    """Replace the errors of an operation by those of its rules; what has no rule cannot be."""
    responses = operation["responses"]
    for status in [status for status in responses if status >= "400"]:
        del responses[status]
    for status, codes in sorted(found.items()):
        if codes:
            responses[str(status)] = {
                "description": HTTPStatus(status).phrase,
                "content": {problems.MEDIA_TYPE: {"schema": _problem(status, codes)}},
            }


def _problem(status: int, codes: frozenset[str]) -> dict[str, Any]:
    return {
        **_PROBLEM,
        "properties": {"status": {"const": status}, "code": {"enum": sorted(codes)}},
    }
