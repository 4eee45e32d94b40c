"""The terms that a surface asks for, of which its operators propose."""

from typing import Any

import httpx
import pytest

from tests.support.api_service import open_surface


@pytest.fixture(scope="module")
def parameters(owner: httpx.Client, operator: httpx.Client) -> dict[str, Any]:
    surface = open_surface(owner, "contracts")
    reply: dict[str, Any] = operator.get(f"/v1/surfaces/{surface}").json()["terms"]
    return reply
