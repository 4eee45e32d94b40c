"""The answers about a surface: its pages, and how to go on."""

import pytest
from pydantic import BaseModel

from api.routes.surfaces.answers import Actions, CodeClicks, IssuedCodes, Leads, Standings


@pytest.mark.parametrize("page", [Actions, CodeClicks, IssuedCodes, Leads, Standings])
def test_a_page_says_how_to_go_on(page: type[BaseModel]) -> None:
    described = page.model_json_schema()["properties"]["next"]
    assert described["description"] == "Give it as `after` to go on; null at the end."
