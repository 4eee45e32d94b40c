"""Parameters of OAuth's requests, each at most once, and its errors (RFC 6749)."""

from collections.abc import Mapping
from typing import Literal
from urllib.parse import parse_qsl

from fastapi import Request, Response
from starlette.responses import JSONResponse

from api.http.problems import RETRY_S

FORM_TYPE = "application/x-www-form-urlencoded"
MAX_PARAMETERS = 32

Code = Literal[
    "invalid_client_metadata",
    "invalid_grant",
    "invalid_redirect_uri",
    "invalid_request",
    "invalid_scope",
    "invalid_target",
    "temporarily_unavailable",
    "unsupported_grant_type",
    "unsupported_response_type",
]


class OAuthError(Exception):
    """A request that is refused by a rule of OAuth; `code` is the protocol's name of it."""

    def __init__(self, code: Code, description: str) -> None:
        super().__init__(description)
        self.code = code
        # What may stand in a description (RFC 6749, 4.1.2.1).
        printable = (one if " " <= one <= "~" else "?" for one in description)
        self.description = "".join(printable).replace('"', "'").replace("\\", "/")


def error_response(fault: OAuthError) -> Response:
    """Return a fault as the protocol's answer to a client."""
    told = {"error": fault.code, "error_description": fault.description}
    if fault.code == "temporarily_unavailable":
        return JSONResponse(told, 503, headers={"Retry-After": str(RETRY_S)})
    return JSONResponse(told, 400)


def read_parameters(text: str) -> dict[str, str]:
    """Return the parameters of a query or a form; empty ones are none. Raises `OAuthError`.

    One that stands twice would be one thing to us and another to the next reader.
    """
    try:
        pairs = parse_qsl(text, errors="strict", max_num_fields=MAX_PARAMETERS)
    except ValueError:
        raise OAuthError(
            "invalid_request", f"the parameters are not UTF-8, or more than {MAX_PARAMETERS}"
        ) from None
    found: dict[str, str] = {}
    for name, value in pairs:
        if name in found:
            raise OAuthError("invalid_request", f"the parameter {name[:60]} stands more than once")
        found[name] = value
    return found


def unavailable() -> Response:
    """Return the answer to a client while the service cannot answer."""
    return error_response(
        OAuthError("temporarily_unavailable", "the service cannot answer just now; try again")
    )


async def read_form(request: Request) -> dict[str, str]:
    """Return the parameters of a form's body. Raises `OAuthError`."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != FORM_TYPE:
        raise OAuthError("invalid_request", f"the body must be {FORM_TYPE}")
    try:
        text = (await request.body()).decode("ascii")
    except UnicodeDecodeError:
        raise OAuthError("invalid_request", "the body holds what a form must escape") from None
    return read_parameters(text)


def needed(parameters: Mapping[str, str], name: str) -> str:
    """Return a parameter that must be there. Raises `OAuthError`."""
    if name not in parameters:
        raise OAuthError("invalid_request", f"the parameter {name} is missing")
    return parameters[name]
