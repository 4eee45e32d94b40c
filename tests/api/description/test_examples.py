"""Examples: each fits its schema, and each body is one that the API's own model takes."""

import json
from typing import Any

import jsonschema_rs
import pytest

from api.description.examples import Examples
from tests.support.api_service import ApiService
from tests.support.bodies import body_models


@pytest.fixture(scope="module")
def description(service: ApiService) -> Any:
    return service.get("/v1/openapi.json")


def shown(description: Any) -> list[tuple[str, Any]]:
    """Return every media type that has an example, after the name of its operation."""
    found = []
    for path, item in description["paths"].items():
        for method, operation in item.items():
            answers = operation["responses"].values()
            for part in (operation.get("requestBody", {}), *answers):
                media_types = part.get("content", {}).values()
                found += [(f"{method} {path}", one) for one in media_types if "example" in one]
    return found


def test_every_example_fits_its_schema(description: Any) -> None:
    examples = shown(description)
    assert len(examples) > 100
    for name, media in examples:
        schema = {**media["schema"], "components": description["components"]}
        validator = jsonschema_rs.Draft202012Validator(schema)
        faults = [fault.message for fault in validator.iter_errors(media["example"])]
        assert not faults, (name, faults, media["example"])


def test_every_body_and_every_answer_has_an_example(description: Any) -> None:
    for path, item in description["paths"].items():
        for method, operation in item.items():
            for media in operation.get("requestBody", {}).get("content", {}).values():
                assert "example" in media, (method, path)
            for status, answer in operation["responses"].items():
                media = answer.get("content", {}).get("application/json")
                assert status >= "300" or media is None or "example" in media, (method, path)


def test_every_body_of_an_example_is_taken(description: Any) -> None:
    taken, models = set(), body_models()
    for path, item in description["paths"].items():
        for method, operation in item.items():
            for media in operation.get("requestBody", {}).get("content", {}).values():
                named = media["schema"].get("$ref") or media["schema"].get("items", {}).get("$ref")
                if named:
                    model = models[named.rpartition("/")[2].removesuffix("-Input")]
                    lines = media["example"] if "items" in media["schema"] else [media["example"]]
                    for line in lines:
                        model.model_validate_json(json.dumps(line))
                    taken.add((method, path))
    assert len(taken) > 30


def test_what_is_sent_needs_what_is_required() -> None:
    schema = {
        "required": ["must"],
        "properties": {
            "must": {"type": "integer", "minimum": 3},
            "may": {"type": "string"},
            "shown": {"type": "string", "examples": ["so"]},
        },
    }
    make = Examples({})
    assert make.of(schema, is_sent=True) == {"must": 3, "shown": "so"}
    assert make.of(schema) == {"must": 3, "may": "text", "shown": "so"}
    with pytest.raises(KeyError, match="forgotten"):
        make.of({"type": "string", "pattern": "forgotten"})
