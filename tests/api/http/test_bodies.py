"""The bodies of requests: strict, and silent about their values."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from api.http.bodies import NewSurface, ProductEvent, SignIn, TermsDocument, Touch
from orchestrator.core import policy
from orchestrator.core.terms import Terms
from tests.support.api_service import event, problem_of
from tests.support.terms import FULL

TOUCH = {"lead": "0x" + "0a" * 32, "action": "email"}


@pytest.mark.parametrize(
    "body", [TOUCH | {"extra": 1}, TOUCH | {"action": 7}, {"lead": TOUCH["lead"]}]
)
def test_a_body_holds_its_own_members_in_their_own_types(body: dict[str, object]) -> None:
    assert Touch.model_validate(TOUCH).action == "email"
    with pytest.raises(ValidationError):
        Touch.model_validate(body)


def test_a_refused_body_does_not_repeat_its_secrets() -> None:
    with pytest.raises(ValidationError) as caught:
        SignIn.model_validate({"message": 7, "signature": "hunter2"})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("field", ["lead", "event"])
def test_a_refused_name_is_shown_with_what_cannot_be_seen(field: str) -> None:
    with pytest.raises(ValidationError, match=r"U\+200B ZERO WIDTH SPACE in 'buy\\u200b'"):
        ProductEvent.model_validate(event() | {field: "buy\u200b"})
    assert getattr(ProductEvent.model_validate(event() | {field: "e\u0301"}), field) == "\u00e9"


def test_terms_keep_every_field_on_their_way() -> None:
    document = FULL.to_json()
    assert Terms.from_json(TermsDocument.model_validate(document).model_dump()) == FULL


def test_the_policy_that_the_description_shows_is_one() -> None:
    (example,) = NewSurface.model_json_schema()["properties"]["policy"]["examples"]
    assert policy.parse(json.loads(json.dumps(example))).document()["initial"] == "new"


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
