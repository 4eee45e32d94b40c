"""The API's reference: a page to try it, and the text that docs/reference.md has.

Both are made from the OpenAPI description. The page is our own and loads nothing from elsewhere,
which its Content-Security-Policy holds.
"""

import json
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any

from fastapi import APIRouter, Request, Response

from api.routes.public_route import PublicRoute
from api.rules import COMMON

_FILES = {"": ("index.html", "text/html"), "page.css": ("page.css", "text/css")}
_FILES["page.js"] = ("page.js", "text/javascript")
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

router = APIRouter(include_in_schema=False)
description_router = APIRouter(prefix="/v1", route_class=PublicRoute, include_in_schema=False)


@description_router.get("/openapi.json")
def description(request: Request) -> Response:
    """Return the description of all routes, written once: that takes longer than any read."""
    state = request.app.state
    if not hasattr(state, "description"):
        state.description = json.dumps(request.app.openapi()).encode()
    return Response(state.description, media_type="application/json")


@router.get("/docs")
def page() -> Response:
    """Return the page on which the API can be tried."""
    return _file("")


@router.get("/docs/page.css")
def style() -> Response:
    """Return the page's style."""
    return _file("page.css")


@router.get("/docs/page.js")
def script() -> Response:
    """Return the page's script."""
    return _file("page.js")


def _file(name: str) -> Response:
    file, media_type = _FILES[name]
    content = files("api.routes.pages").joinpath("page", file).read_bytes()
    headers = {"Content-Security-Policy": _POLICY, "Cache-Control": "public, max-age=300"}
    return Response(content, media_type=media_type, headers=headers)


# --- The text -------------------------------------------------------------------------------------

_HEAD = """# Reference of the API

Made from the OpenAPI description (`/v1/openapi.json`), which has the bodies' schemas as well; a
test compares them. `/docs` of a server is a page to try all of this. How it is used is in
[api](api.md).
"""


def reference_of(description: Mapping[str, Any]) -> str:
    """Return the reference of an OpenAPI description, in Markdown."""
    return "\n".join([_HEAD, *_common_codes(), *_sections(description)]) + "\n"


def _sections(description: Mapping[str, Any]) -> Iterator[str]:
    by_tag: dict[str, list[tuple[str, str, Mapping[str, Any]]]] = {}
    for path, item in description["paths"].items():
        for method, operation in item.items():
            by_tag.setdefault(operation["tags"][0], []).append((method, path, operation))
    for tag, operations in by_tag.items():
        yield f"## {tag.capitalize()}\n"
        for method, path, operation in operations:
            yield from _operation(method, path, operation)


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> Iterator[str]:
    yield f"### {method.upper()} {path}\n"
    yield f"{operation['description']}\n"
    scopes = [scope for need in operation.get("security", ()) for scope in need.get("key", ())]
    if operation.get("security"):
        yield f"A key with: {', '.join(f'`{scope}`' for scope in scopes) or 'any scope'}.\n"
    else:
        yield "No key.\n"
    parameters = operation.get("parameters", ())
    if parameters:
        yield "| parameter | in | |\n|---|---|---|"
        for one in parameters:
            about = one.get("description") or one.get("schema", {}).get("description") or ""
            needed = " (required)" if one.get("required") else ""
            yield f"| `{one['name']}`{needed} | {one['in']} | {_cell(about)} |"
        yield ""
    if "requestBody" in operation:
        for media_type, content in operation["requestBody"]["content"].items():
            yield f"Body, `{media_type}`: {_name(content['schema'])}.\n"
    errors = [status for status in sorted(operation["responses"]) if status >= "400"]
    for status, answer in sorted(operation["responses"].items()):
        models = [_name(each["schema"]) for each in answer.get("content", {}).values()]
        if status not in errors:
            yield f"{status}: {', '.join(models) or 'nothing'}. {_cell(answer['description'])}\n"
    yield f"Errors (`Problem`): {', '.join(errors)}.\n"
    own = list(_own_codes(operation["responses"]))
    if own:
        yield f"Of its own: {'; '.join(own)}.\n"


def _own_codes(responses: Mapping[str, Any]) -> Iterator[str]:
    """Yield each status with those codes that only some operations have."""
    for status, answer in sorted(responses.items()):
        for content in answer.get("content", {}).values():
            listed = content["schema"].get("properties", {}).get("code", {}).get("enum", [])
            own = [code for code in listed if code not in COMMON.get(int(status), ())]
            if own:
                yield f"{status} {', '.join(f'`{code}`' for code in own)}"


def _common_codes() -> Iterator[str]:
    """Yield the table of the codes that every operation has, or every one of its sort."""
    yield "| status | codes of every operation, of those with a key, a surface, a body or lines |"
    yield "|---|---|"
    for status, codes in sorted(COMMON.items()):
        yield f"| {status} | {', '.join(f'`{code}`' for code in sorted(codes))} |"
    yield ""


def _name(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        return f"`{schema['$ref'].rpartition('/')[2]}`"
    if "items" in schema:
        return f"list of {_name(schema['items'])}"
    return str(schema.get("type", "any"))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
