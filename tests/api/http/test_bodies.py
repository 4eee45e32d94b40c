"""The bodies of requests: strict, and silent about their values."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from api.routes.surfaces.bodies import BulkTouch, Touch
from tests.support.api_service import problem_of
from tests.support.terms import FULL

TOUCH = {"lead": "0x" + "0a" * 32, "action": "email"}


@pytest.mark.parametrize(
    "body", [TOUCH | {"extra": 1}, TOUCH | {"action": 7}, {"lead": TOUCH["lead"]}]
)
def test_a_body_holds_its_own_members_in_their_own_types(body: dict[str, object]) -> None:
    assert Touch.model_validate(TOUCH).action == "email"
    with pytest.raises(ValidationError):
        Touch.model_validate(body)


def test_a_line_is_a_body_with_an_id_of_its_own() -> None:
    assert BulkTouch.model_validate(TOUCH | {"id": "touch-1"}).id == "touch-1"
    with pytest.raises(ValidationError, match="id"):
        BulkTouch.model_validate(TOUCH)


@pytest.mark.parametrize(
    ("path", "wrap", "where"),
    [
        ("/v1/sign-in/nonce", lambda many: many, "body"),
        ("/v1/sign-in", lambda many: many, "body"),
        (
            "/v1/proposals",
            lambda many: {"terms": FULL.to_json() | many, "operator_signature": "0x00"},
            "body/terms",
        ),
    ],
)
def test_a_flood_of_unknown_members_is_one_fault(
    operator: httpx.Client, path: str, wrap: Callable[[Any], Any], where: str
) -> None:
    """As many faults would cost many times what reading them does."""
    many = {f"unknown-{number:06}": 0 for number in range(10_000)}
    problem = problem_of(operator.post(path, json=wrap(many)), 422, "invalid")
    faults = problem["errors"]
    assert isinstance(faults, list)
    assert [fault["where"] for fault in faults if "10000 members" in fault["detail"]] == [where]
    assert len(faults) <= 2
    few = {f"unknown-{number}": 0 for number in range(3)}
    problem = problem_of(operator.post(path, json=wrap(few)), 422, "invalid")
    assert f"{where}/unknown-0" in str(problem["errors"])
