"""Routes as tools see them: flat arguments, a request made of them, schemas that stand alone."""

import math
from typing import Any

import pytest

from api.mcp.operations import (
    ArgumentError,
    Call,
    check_json,
    read_operation,
)

DESCRIPTION: dict[str, Any] = {
    "paths": {
        "/v1/things/{thing}": {
            "put": {
                "parameters": [
                    {"name": "thing", "in": "path", "required": True, "schema": {"type": "string"}},
                    {
                        "name": "Idempotency-Key",
                        "in": "header",
                        "required": True,
                        "schema": {"type": "string"},
                    },
                    {"name": "prefer", "in": "header", "schema": {"type": "string"}},
                ],
                "requestBody": {
                    "content": {
                        "application/json": {"schema": {"$ref": "#/components/schemas/Body"}}
                    }
                },
                "responses": {
                    "200": {
                        "content": {
                            "application/json": {"schema": {"$ref": "#/components/schemas/Tree"}}
                        }
                    }
                },
                "security": [{"key": ["a", "b"]}],
            },
            "get": {
                "parameters": [
                    {"name": "thing", "in": "path", "required": True, "schema": {"type": "string"}},
                    {"name": "deep", "in": "query", "schema": {"type": "boolean"}},
                    {"name": "limit", "in": "query", "schema": {"type": "integer"}},
                ],
                "responses": {"204": {}, "404": {}},
            },
            "post": {
                "parameters": [
                    {"name": "size", "in": "query", "schema": {"type": "integer"}},
                ],
                "requestBody": {
                    "content": {
                        "application/json": {"schema": {"$ref": "#/components/schemas/Body"}}
                    }
                },
                "responses": {"204": {}},
            },
        },
        "/v1/things/{thing}/leaves/bulk": {
            "post": {
                "parameters": [
                    {"name": "thing", "in": "path", "required": True, "schema": {"type": "string"}}
                ],
                "requestBody": {
                    "content": {
                        "application/x-ndjson": {
                            "schema": {
                                "type": "array",
                                "items": {"$ref": "#/components/schemas/Body"},
                                "minItems": 1,
                            }
                        }
                    }
                },
                "responses": {"204": {}},
            }
        },
    },
    "components": {
        "schemas": {
            "Body": {
                "type": "object",
                "properties": {"size": {"type": "integer"}, "note": {"type": "string"}},
                "required": ["size"],
            },
            "Tree": {
                "type": "object",
                "properties": {
                    "leaves": {"type": "array", "items": {"$ref": "#/components/schemas/Tree"}}
                },
                "required": ["leaves"],
            },
        }
    },
}
PATH = "/v1/things/{thing}"


def test_arguments_of_path_query_and_body_are_one_flat_object() -> None:
    operation = read_operation(DESCRIPTION, "PUT", PATH)
    assert set(operation.properties) == {"thing", "size", "note", "intent"}
    assert operation.required == {"thing", "size", "intent"}
    assert operation.scopes == {"a", "b"}
    made = operation.call({"thing": "a/b?c", "size": 3, "intent": "grow"})
    assert made == Call("PUT", "/v1/things/a%2Fb%3Fc", {}, {"size": 3}, "grow")


def test_a_page_is_small_unless_asked() -> None:
    operation = read_operation(DESCRIPTION, "GET", PATH)
    assert operation.properties["limit"]["maximum"] == 50
    made = operation.call({"thing": "x", "deep": True})
    assert made == Call("GET", "/v1/things/x", {"deep": "true", "limit": "20"}, None, None)
    assert operation.output["properties"] == {"done": {"const": True}}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"size": 1, "intent": "x"}, "missing: thing"),
        ({"thing": "x", "size": 1, "intent": "x", "why": 1}, "no argument 'why'"),
        ({"thing": "..", "size": 1, "intent": "x"}, "thing must be an id, not '..'"),
        ({"thing": ".", "size": 1, "intent": "x"}, "thing must be an id, not '.'"),
        ({"thing": "", "size": 1, "intent": "x"}, "thing must be an id, not ''"),
        ({"thing": None, "size": 1, "intent": "x"}, "thing must be text"),
        ({"thing": ["x"], "size": 1, "intent": "x"}, "thing must be text"),
        ({"thing": "x", "size": 1, "intent": 1.5}, "intent must be text"),
    ],
)
def test_arguments_that_are_none_are_refused(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(ArgumentError, match=said):
        read_operation(DESCRIPTION, "PUT", PATH).call(arguments)


def test_lines_of_a_body_are_one_argument_of_so_many_items() -> None:
    operation = read_operation(DESCRIPTION, "POST", f"{PATH}/leaves/bulk")
    assert operation.properties["leaves"]["maxItems"] == 50
    assert operation.required == {"thing", "leaves"}
    made = operation.call({"thing": "x", "leaves": [{"size": 1}, {"size": 2}]})
    assert made == Call("POST", "/v1/things/x/leaves/bulk", {}, [{"size": 1}, {"size": 2}], None)
    wrongs: list[object] = [[], [{}] * 51, {"size": 1}, "leaf"]
    for wrong in wrongs:
        with pytest.raises(ArgumentError, match="leaves must be a list of 1 to 50 items"):
            operation.call({"thing": "x", "leaves": wrong})


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_numbers_that_json_has_not_are_refused(number: float) -> None:
    with pytest.raises(ArgumentError, match="must be finite"):
        check_json({"one": {"two": [number]}})


def test_one_name_in_two_places_is_a_fault_of_ours() -> None:
    with pytest.raises(ValueError, match="size stands in body and path"):
        read_operation(DESCRIPTION, "POST", PATH)
