"""The resources: documents of surfaces, contracts and receipts, by the routes that serve them.

One kind is our own: what a tool answers, in full, which a list of tools says only in short.
"""

import re
from collections.abc import Callable
from http import HTTPStatus
from typing import NamedTuple

import mcp_types as types
from mcp.shared.exceptions import MCPError

from api.description.schemas import Schema
from api.mcp.gateway import Answer, Gateway, Origin
from orchestrator.core.common.untrusted import one_line, plain_text, set_apart

SCHEME = "tallystick://"
_PART = r"([0-9A-Za-z]{1,66})"
# What a hash or a position names never changes; the rest does.
_FIXED_TTL_MS = 86_400_000
_TTL_MS = 5_000


class _Kind(NamedTuple):
    """A kind of resource: the tail of its URI, which is the tail of its route as well."""

    name: str
    tail: str
    description: str
    is_fixed: bool = False

    @property
    def pattern(self) -> re.Pattern[str]:
        return re.compile(re.escape(SCHEME) + re.sub(r"\{\w+\}", lambda _: _PART, self.tail))


_KINDS = (
    _Kind("surface", "surfaces/{surface}", "A surface: its policy, settings and terms."),
    _Kind("funnel", "surfaces/{surface}/funnel", "How many leads are in each state."),
    _Kind(
        "standing",
        "surfaces/{surface}/operators/{operator}",
        "An operator's trust level on a surface, and the evidence.",
    ),
    _Kind("policy", "policies/{hash}", "A policy by its hash.", is_fixed=True),
    _Kind("settings", "settings/{hash}", "A surface's settings by their hash.", is_fixed=True),
    _Kind("contract", "contracts/{contract}", "An opened contract."),
    _Kind("receipt", "receipts/{position}", "The proof of an entry, to be checked offline."),
)


# The tool's name stands in it; its text is ours, and so is not set apart.
_SCHEMA = re.compile(re.escape(SCHEME) + r"schemas/([a-z_]{1,64})")


def templates() -> types.ListResourceTemplatesResult:
    """Return the kinds of resources."""
    told = [(kind.name, kind.tail, kind.description) for kind in _KINDS]
    told.append(("schema", "schemas/{tool}", "The whole JSON Schema of what a tool answers."))
    return types.ListResourceTemplatesResult(
        resource_templates=[
            types.ResourceTemplate(
                name=name,
                uri_template=SCHEME + tail,
                description=description,
                mime_type="application/json",
            )
            for name, tail, description in told
        ],
        ttl_ms=_FIXED_TTL_MS,
        cache_scope="public",
    )


class Library:
    """The resources, read through the routes; `answer_schema` has those of tools by name."""

    def __init__(self, gateway: Gateway, answer_schema: Callable[[str], Schema | None]) -> None:
        self._gateway = gateway
        self._answer_schema = answer_schema

    async def listed(self, origin: Origin) -> types.ListResourcesResult:
        """Return the first page of surfaces as resources; the others are read by template.

        Raises `MCPError` while the service cannot answer.
        """
        answer = await self._gateway.ask(origin, "GET", "/v1/surfaces", query={"limit": "50"})
        _check_answered(answer)
        found = answer.body["surfaces"] if answer.is_success else []
        return types.ListResourcesResult(
            resources=[
                types.Resource(
                    name=surface["surface"],
                    uri=f"{SCHEME}surfaces/{surface['surface']}",
                    mime_type="application/json",
                )
                for surface in found
            ],
            ttl_ms=_TTL_MS,
            cache_scope="private",
        )

    async def read(self, origin: Origin, uri: str) -> types.ReadResourceResult:
        """Return a resource as JSON, set apart as words of others. Raises `MCPError`."""
        if named := _SCHEMA.fullmatch(uri):
            schema = self._answer_schema(named[1])
            if schema is None:
                raise _not_found(uri, f"{uri}: there is no such tool")
            return _contents(uri, schema, _FIXED_TTL_MS)
        for kind in _KINDS:
            found = kind.pattern.fullmatch(uri)
            if found is not None:
                break
        else:
            raise _not_found(uri, f"there is no resource {uri[:120]!r}")
        answer = await self._gateway.ask(origin, "GET", "/v1/" + uri.removeprefix(SCHEME))
        _check_answered(answer)
        if not answer.is_success:
            problem = answer.body if isinstance(answer.body, dict) else {}
            detail = plain_text(str(problem.get("detail", "not found")))
            raise _not_found(uri, f"{uri}: {detail}")
        return _contents(uri, set_apart(answer.body), _FIXED_TTL_MS if kind.is_fixed else _TTL_MS)


def _contents(uri: str, document: object, ttl_ms: int) -> types.ReadResourceResult:
    content = types.TextResourceContents(
        uri=uri, mime_type="application/json", text=one_line(document)
    )
    return types.ReadResourceResult(contents=[content], ttl_ms=ttl_ms, cache_scope="private")


def _check_answered(answer: Answer) -> None:
    """Raise `MCPError` for an answer that says nothing of what was asked: the service is at fault.

    A client would take it for an empty list, or for a resource that is gone.
    """
    if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise MCPError(types.INTERNAL_ERROR, answer.body["detail"], answer.body)


def _not_found(uri: str, message: str) -> MCPError:
    return MCPError(types.INVALID_PARAMS, message, {"uri": uri})
