"""The authorization server: its description (RFC 8414), its registration, and all of its routes."""

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from starlette.responses import JSONResponse

from api.context import Service, TheService
from api.http import allowances, problems
from api.http.json_input import MalformedError, parse_json
from api.oauth import authorizing, tokens
from api.oauth.authorizing import AUTHORIZE_PATH, issuer_of
from api.oauth.clients import Clients, register
from api.oauth.page import unavailable_page
from api.oauth.parameters import OAuthError, error_response, unavailable
from api.oauth.tokens import REVOCATION_PATH, TOKEN_PATH
from api.route_table import add_routes
from orchestrator.client.outward import DocumentReader
from orchestrator.core.account.scopes import SCOPES

METADATA_PATH = "/.well-known/oauth-authorization-server"
REGISTRATION_PATH = "/oauth/register"

router = APIRouter(include_in_schema=False)


def install(app: FastAPI, service: Service) -> None:
    """Add the routes to the application."""
    app.state.clients = Clients(DocumentReader(service.info.client_networks))
    for part in (router, authorizing.opening, authorizing.router, tokens.router):
        add_routes(app, part)
    problems.say_unavailable(app, AUTHORIZE_PATH, unavailable_page)
    for path in (TOKEN_PATH, REVOCATION_PATH, REGISTRATION_PATH):
        problems.say_unavailable(app, path, unavailable)


@router.get(METADATA_PATH)
def metadata(service: TheService) -> dict[str, object]:
    """Describe the authorization server."""
    url = issuer_of(service)
    return {
        "issuer": url,
        "authorization_endpoint": url + AUTHORIZE_PATH,
        "token_endpoint": url + TOKEN_PATH,
        "registration_endpoint": url + REGISTRATION_PATH,
        "revocation_endpoint": url + REVOCATION_PATH,
        "scopes_supported": list(SCOPES),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code"],
        "token_endpoint_auth_methods_supported": ["none"],
        "revocation_endpoint_auth_methods_supported": ["none"],
        "code_challenge_methods_supported": ["S256"],
        "client_id_metadata_document_supported": True,
        "authorization_response_iss_parameter_supported": True,
    }


@router.post(REGISTRATION_PATH, dependencies=[Depends(allowances.charge_sign_in)])
async def registration(request: Request) -> Response:
    """Register a client: return the id that says what it is."""
    try:
        return JSONResponse(register(parse_json(await request.body())), 201)
    except MalformedError as error:
        return error_response(OAuthError("invalid_client_metadata", f"the body {error}"))
    except OAuthError as fault:
        return error_response(fault)
