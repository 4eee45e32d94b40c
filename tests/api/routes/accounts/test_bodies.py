"""The bodies that accounts send: silent about the secrets in them."""

import pytest
from pydantic import ValidationError

from api.routes.accounts.bodies import SignIn


def test_a_refused_body_does_not_repeat_its_secrets() -> None:
    with pytest.raises(ValidationError) as caught:
        SignIn.model_validate({"message": 7, "signature": "hunter2"})
    assert "hunter2" not in str(caught.value)
