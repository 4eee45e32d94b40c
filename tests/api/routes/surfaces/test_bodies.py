"""The bodies that are sent to a surface: names in their normal form, and one name of a lead."""

import pytest
from pydantic import ValidationError

from api.routes.surfaces.bodies import BulkProductEvent, Erasure, ProductEvent
from tests.support.api_service import event


@pytest.mark.parametrize("field", ["lead", "event"])
def test_a_refused_name_is_shown_with_what_cannot_be_seen(field: str) -> None:
    with pytest.raises(ValidationError, match=r"U\+200B ZERO WIDTH SPACE in 'buy\\u200b'"):
        ProductEvent.model_validate(event() | {field: "buy\u200b"})
    assert getattr(ProductEvent.model_validate(event() | {field: "e\u0301"}), field) == "\u00e9"


def test_an_event_names_its_lead_on_a_line_as_by_itself() -> None:
    nameless = event() | {"lead": None}
    for model, body in ((ProductEvent, nameless), (BulkProductEvent, nameless | {"id": "1"})):
        with pytest.raises(ValidationError, match="names its lead"):
            model.model_validate(body)
        assert model.model_validate(body | {"ref": "code"}).ref == "code"


@pytest.mark.parametrize("body", [{}, {"lead": "user-1", "ref": "code"}])
def test_an_erasure_names_its_lead_once(body: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="by one of them alone"):
        Erasure.model_validate(body)
