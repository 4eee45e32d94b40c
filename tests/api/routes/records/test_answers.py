"""The log's answers: every opening has its model, and every kind and role its name."""

from typing import Any, get_args

from api.routes.records import answers
from orchestrator.core.entries.kinds import KINDS, ROLES

MODELS: dict[str, Any] = {model.__name__: model for model in get_args(answers.Opening)}


def test_every_opening_of_the_table_has_a_model_with_its_fields() -> None:
    openings = {kind.opening for kind in KINDS.values() if kind.opening}
    assert {name: {*model.model_fields} for name, model in MODELS.items()} == {
        opening.__name__: {*opening._fields} for opening in openings
    }


def test_amounts_of_an_opening_are_text_and_times_are_not() -> None:
    types = {
        name: field.get("type")
        for model in MODELS.values()
        for name, field in model.model_json_schema()["properties"].items()
    }
    amounts = {name for name in types if name.endswith("_units")}
    assert amounts
    assert {types[name] for name in amounts} == {"string"}
    assert {types[name] for name in types if name.endswith("_ms")} == {"integer"}


def test_a_receipt_names_the_roles_of_the_table() -> None:
    role = answers.ReceiptEntry.model_json_schema()["properties"]["role"]
    assert role["enum"] == list(ROLES)
