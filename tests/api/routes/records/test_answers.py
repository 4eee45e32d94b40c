"""The log's answers: every opening has its model, and every kind and role its name."""

import re
from typing import Any, get_args

from pydantic import BaseModel

from api.routes.records import answers
from orchestrator.core.common.errors import ProofError
from orchestrator.core.entries.kinds import KINDS, ROLES
from orchestrator.core.entries.receipt import MAX_PATH, _bytes

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


def test_a_number_of_an_opening_is_described_as_what_it_is() -> None:
    said: dict[str, set[str]] = {}
    for model in MODELS.values():
        for name, field in model.model_json_schema()["properties"].items():
            said.setdefault(field.get("description", ""), set()).add(name)
    del said[""]  # words, texts and whether
    assert said == {
        "A position in the log; 0 for none.": {"cause", "counted", "of", "previous"},
        "A whole number.": {
            *("n", "moved", "latest_n", "latest_moved", "pooled_n", "pooled_moved"),
            *("level_before", "ripe_outcomes", "disputes_lost"),
        },
        "Hundredths of a percent.": {"probability_bps"},
        "UTC milliseconds since 1970.": {"expires_ms", "received_ms"},
        "An integer as decimal text: token base units.": {
            *("refunded_before_units", "refunded_after_units"),
            *("ripe_units", "earned_units", "reversed_units"),
        },
    }


def test_lengths_of_time_are_no_times_and_sizes_no_positions() -> None:
    rules = answers.ContractRules.model_json_schema()["properties"]
    for name in ("attribution_window_ms", "holdback_period_ms"):
        assert rules[name]["description"] == "A length of time in milliseconds."
    found: list[Any] = [
        schema["properties"][name]
        for model in vars(answers).values()
        if isinstance(model, type) and issubclass(model, BaseModel) and model is not BaseModel
        for schema in [model.model_json_schema()]
        for name in ("size", "old_size", "new_size")
        if name in schema.get("properties", {})
    ]
    assert len(found) > 8
    assert all("number of entries" in one["description"] for one in found)


def test_the_schema_of_a_receipt_is_as_narrow_as_the_check() -> None:
    longest = answers.ReceiptEntry.model_json_schema()["properties"]["path"]["maxItems"]
    assert longest == MAX_PATH
    signature = answers.ReceiptCheckpoint.model_json_schema()["properties"]["signature"]
    pattern, most = re.compile(signature["pattern"]), signature["maxLength"]
    for text, is_taken in (
        ("0x" + "5f" * 65, True),
        ("0x" + "5F" * 65, False),
        ("0x5", False),
        ("0x" + "5f" * ((most - 2) // 2), True),
        ("0x" + "5f" * (most // 2), False),
    ):
        assert (bool(pattern.match(text)) and len(text) <= most) == is_taken
        assert _is_read(text) == is_taken


def _is_read(signature: str) -> bool:
    """Return whether the check reads this text as a signature, right or wrong."""
    try:
        _bytes({"signature": signature}, "signature", None)
    except ProofError:
        return False
    return True


def test_a_receipt_names_the_roles_of_the_table() -> None:
    role = answers.ReceiptEntry.model_json_schema()["properties"]["role"]
    assert role["enum"] == list(ROLES)
