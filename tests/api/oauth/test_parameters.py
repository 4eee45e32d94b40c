"""Parameters: each once, in ASCII of a form, and errors that a client can read."""

import pytest

from api.oauth.parameters import OAuthError, error_response, needed, read_parameters


def test_parameters_are_read_once_each() -> None:
    assert read_parameters("a=1&b=%20x&empty=") == {"a": "1", "b": " x"}
    for text in ("a=1&a=1", "a=%ff", "&".join(f"a{n}=1" for n in range(33))):
        with pytest.raises(OAuthError) as caught:
            read_parameters(text)
        assert caught.value.code == "invalid_request"


def test_what_is_missing_is_named() -> None:
    with pytest.raises(OAuthError, match="state"):
        needed({}, "state")


def test_a_description_holds_what_the_protocol_lets_it() -> None:
    error = OAuthError("invalid_scope", 'no "scope"\\ \n\u00e9')
    assert error.description == "no 'scope'/ ??"
    assert error_response(error).status_code == 400
    assert error_response(OAuthError("temporarily_unavailable", "full")).status_code == 503
