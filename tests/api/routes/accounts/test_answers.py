"""The answers to accounts: errors about those with a secret are silent about it."""

import pytest
from pydantic import BaseModel, ValidationError

from api.routes.accounts.answers import FreshKey, FreshWebhook, SignedIn


@pytest.mark.parametrize(
    ("model", "secret"), [(SignedIn, "key"), (FreshKey, "key"), (FreshWebhook, "secret")]
)
def test_an_error_about_an_answer_does_not_repeat_its_secret(
    model: type[BaseModel], secret: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        model.model_validate({secret: ["hunter2"]})
    assert (secret,) in [error["loc"] for error in caught.value.errors()]
    assert "hunter2" not in str(caught.value)
