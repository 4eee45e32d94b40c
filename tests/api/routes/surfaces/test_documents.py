"""The documents that the description shows: each is one that the core takes."""

import json
from typing import Any

from pydantic import TypeAdapter

from api.routes.surfaces.documents import PolicyDocument, SettingsDocument
from orchestrator.core.surface import policy, surface_settings


def shown(document: Any) -> Any:
    """Return the example of a document as a client reads it."""
    (example,) = TypeAdapter(document).json_schema()["examples"]
    return json.loads(json.dumps(example))


def test_the_policy_that_the_description_shows_is_one() -> None:
    assert policy.parse(shown(PolicyDocument)).document()["initial"] == "new"


def test_the_settings_that_the_description_shows_are_some() -> None:
    parsed = surface_settings.parse_settings(shown(SettingsDocument))
    assert parsed.actions.keys() == {"call", "email"}
