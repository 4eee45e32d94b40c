"""The bodies of requests: strict, and silent about their values."""

import json

import pytest
from pydantic import ValidationError

from api.http.bodies import NewSurface, ProductEvent, SignIn, TermsDocument, Touch
from orchestrator.core import policy
from orchestrator.core.terms import Terms
from tests.support.api_service import event
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
