"""The tools as a client meets them: listed for its key, called through their routes."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from threading import Lock
from typing import Any, NamedTuple

import mcp_types as types
from starlette.concurrency import run_in_threadpool

from api.context import Service
from api.description.schemas import Schema, short_answer, short_arguments, with_definitions
from api.http.auth import secret_of
from api.mcp import confirmations
from api.mcp.catalogue import ABOUT, TOOLS, Tool
from api.mcp.gateway import Answer, Gateway, Origin
from api.mcp.operations import (
    ArgumentError,
    Operation,
    check_json,
    read_operation,
)
from orchestrator.core.common.units import format_ms
from orchestrator.core.common.untrusted import one_line, plain_text, set_apart, set_apart_schema

CONFIRM = "confirm"
# A listing is good for this long; a client that is told of changes asks again at once.
LIST_TTL_MS = 60_000
_CONFIRM_SCHEMA: Schema = {
    "type": "string",
    "description": "Leave it out at first: nothing is done then, and the answer says what will be "
    "and gives a confirmation. Call again with the same arguments and the confirmation to do it.",
}
_ASKED_SCHEMA: Schema = {
    "type": "object",
    "properties": {
        "confirm": {"type": "string"},
        "will": {"type": "string"},
        "expires_ms": {"type": "integer"},
    },
    "required": ["confirm", "will", "expires_ms"],
}


class ToolCaller(NamedTuple):
    """The caller of the server: where its calls come from, and what `GET /v1/me` says of it."""

    origin: Origin
    scopes: frozenset[str]
    acts: frozenset[str]

    @property
    def secret(self) -> bytes:
        return secret_of(self.origin.authorization.partition(" ")[2])


class _Entry(NamedTuple):
    """A tool with its routes, each under the word that chooses it."""

    tool: Tool
    operations: Mapping[str, Operation]
    listed: types.Tool
    # What it answers in full: too long to be listed.
    answer: Schema

    def is_for(self, caller: ToolCaller) -> bool:
        return (self.tool.act is None or self.tool.act in caller.acts) and any(
            not operation.scopes or operation.scopes & caller.scopes
            for operation in self.operations.values()
        )


# What the tools take and answer is the same in all apps of a process, and takes a second to make.
_made: dict[str, _Entry] = {}
_making = Lock()


class Toolbox:
    """All tools over the routes that a description of the API holds.

    It is described when a client first asks for tools: many processes of the API never need it.
    """

    def __init__(
        self, service: Service, gateway: Gateway, describe: Callable[[], Mapping[str, Any]]
    ) -> None:
        self._service = service
        self._gateway = gateway
        self._describe = describe

    async def make_ready(self) -> None:
        """Have the tools described, once in a process and beside the loop that serves others."""
        if not _made:
            await run_in_threadpool(lambda: self._entries)

    @property
    def _entries(self) -> Mapping[str, _Entry]:
        with _making:
            if not _made:
                description = self._describe()
                _made.update({tool.name: _entry(tool, description) for tool in TOOLS})
        return _made

    def listed(self, caller: ToolCaller) -> types.ListToolsResult:
        """Return the tools that the caller's scopes and levels allow on some surface."""
        tools = [entry.listed for entry in self._entries.values() if entry.is_for(caller)]
        return types.ListToolsResult(tools=tools, ttl_ms=LIST_TTL_MS, cache_scope="private")

    def input_schema(self, name: str) -> Schema | None:
        """Return the schema of a tool's arguments, or None if there is no such tool."""
        entry = self._entries.get(name)
        return None if entry is None else entry.listed.input_schema

    def answer_schema(self, name: str) -> Schema | None:
        """Return the whole schema of a tool's answers, or None if there is no such tool."""
        entry = self._entries.get(name)
        return None if entry is None else entry.answer

    async def call(
        self, caller: ToolCaller, name: str, arguments: Mapping[str, Any]
    ) -> types.CallToolResult:
        """Return a tool's result. A wrong call has one too, from which the model can mend it."""
        entry = self._entries.get(name)
        if entry is None:
            return _error(f"there is no tool {name[:60]!r}; list the tools again")
        given = dict(arguments)
        confirm = given.pop(CONFIRM, None) if entry.tool.is_final else None
        try:
            operation = _chosen(entry, given)
            call = operation.call(given)
            check_json(given)
        except ArgumentError as error:
            return _error(f"arguments-wrong: {error}")
        if entry.tool.is_final:
            asked = await self._confirmed(caller, entry.tool, arguments, given, confirm)
            if asked is not None:
                return asked
        answer = await self._gateway.ask(
            caller.origin,
            call.method,
            call.path,
            query=call.query,
            body=call.body,
            idempotency_key=call.intent,
        )
        return _result(entry.tool, answer)

    async def _confirmed(
        self,
        caller: ToolCaller,
        tool: Tool,
        arguments: Mapping[str, Any],
        given: Mapping[str, Any],
        confirm: object,
    ) -> types.CallToolResult | None:
        """Return None for a call that is confirmed, else what to answer in its place."""
        call = {name: value for name, value in arguments.items() if name != CONFIRM}
        if confirm is None:
            asked = await run_in_threadpool(
                confirmations.ask, self._service, caller.secret, tool.name, call
            )
            told = {
                "confirm": asked.token,
                "will": f"{tool.title}: {json.dumps(given, sort_keys=True)}. Nothing was done "
                f"yet. If this is what you want, call again with the same arguments and this "
                f"confirmation, before {format_ms(asked.expires_ms)}.",
                "expires_ms": asked.expires_ms,
            }
            return _content(told)
        taken = isinstance(confirm, str) and await run_in_threadpool(
            confirmations.take, self._service, caller.secret, tool.name, call, confirm
        )
        if taken:
            return None
        return _error(
            "confirm-unknown: this confirmation is used, expired, or for other arguments; call "
            "without it to get another"
        )


def _entry(tool: Tool, description: Mapping[str, Any]) -> _Entry:
    operations = {
        word: read_operation(description, method, path)
        for word, (method, path) in tool.routes.items()
    }
    answers = list(_distinct(operation.output for operation in operations.values()))
    listed = types.Tool(
        name=tool.name,
        title=tool.title,
        description=tool.use,
        input_schema=short_arguments(with_definitions(_input(tool, operations), description)),
        output_schema=_output(tool, [short_answer(each, description) for each in answers]),
        annotations=types.ToolAnnotations(
            read_only_hint=tool.is_read_only, open_world_hint=False, **_effects(tool, operations)
        ),
    )
    answer = with_definitions(_output(tool, answers), description)
    return _Entry(tool, operations, listed, answer)


def _effects(tool: Tool, operations: Mapping[str, Operation]) -> dict[str, bool]:
    """Return what is said of a tool's effects, if it has any."""
    if tool.is_read_only:
        return {}
    # A repeat under one intent, and a repeated PUT or DELETE, change nothing more.
    is_idempotent = all(
        operation.has_intent or operation.method in {"GET", "PUT", "DELETE"}
        for operation in operations.values()
    )
    return {"destructive_hint": tool.is_final, "idempotent_hint": is_idempotent}


def _input(tool: Tool, operations: Mapping[str, Operation]) -> Schema:
    properties: Schema = {}
    if len(operations) > 1:
        needs = "; ".join(
            f"{word}: {', '.join(sorted(operation.required))}"
            for word, operation in operations.items()
        )
        properties[ABOUT] = {
            "type": "string",
            "enum": [*operations],
            "description": f"What is asked about, and what must be given for it: {needs}.",
        }
    for operation in operations.values():
        properties |= operation.properties
    if tool.is_final:
        properties[CONFIRM] = _CONFIRM_SCHEMA
    required = frozenset.intersection(*(operation.required for operation in operations.values()))
    return {
        "type": "object",
        "properties": properties,
        "required": sorted(required | ({ABOUT} if len(operations) > 1 else set())),
        "additionalProperties": False,
    }


def _output(tool: Tool, answers: Sequence[Schema]) -> Schema:
    """Return the schema of what a tool answers, by those of its routes."""
    schemas = list(answers)
    if not tool.is_ours:
        found = schemas[0] if len(schemas) == 1 else {"anyOf": schemas}
        schemas = [set_apart_schema(found)]
    if tool.is_final:
        schemas.append(_ASKED_SCHEMA)
    return schemas[0] if len(schemas) == 1 else {"type": "object", "anyOf": schemas}


def _distinct(schemas: Iterator[Schema]) -> Iterator[Schema]:
    seen: list[Schema] = []
    for schema in schemas:
        if schema not in seen:
            seen.append(schema)
            yield schema


def _chosen(entry: _Entry, given: dict[str, Any]) -> Operation:
    """Return the route that `about` chooses, and take `about` away. Raises `ArgumentError`."""
    if len(entry.operations) == 1:
        (operation,) = entry.operations.values()
        return operation
    about = given.pop(ABOUT, None)
    if not isinstance(about, str) or about not in entry.operations:
        raise ArgumentError(f"{ABOUT} must be one of {', '.join(entry.operations)}")
    return entry.operations[about]


def _result(tool: Tool, answer: Answer) -> types.CallToolResult:
    if not answer.is_success:
        return _refusal(answer)
    body = {"done": True} if answer.body is None else answer.body
    return _content(body if tool.is_ours else set_apart(body))


def _refusal(answer: Answer) -> types.CallToolResult:
    """Return a refused request as a result: the rule, what was wrong, and when to try again."""
    problem = answer.body if isinstance(answer.body, dict) else {}
    lines = [f"{problem.get('code', answer.status)}: {problem.get('detail', 'refused')}"]
    lines += [f"{fault['where']}: {fault['detail']}" for fault in problem.get("errors") or ()]
    wait = answer.headers.get("Retry-After")
    if wait is not None:
        lines.append(f"try again in {wait} s")
    elif problem.get("retry"):
        lines.append("the same call can be tried again, with the same intent")
    return _error("\n".join(lines))


def _content(body: Any) -> types.CallToolResult:
    """Return an answer twice, as the protocol has it: as text, and as a document."""
    content = types.TextContent(type="text", text=one_line(body))
    return types.CallToolResult(content=[content], structured_content=body)


def _error(text: str) -> types.CallToolResult:
    content = types.TextContent(type="text", text=plain_text(text))
    return types.CallToolResult(content=[content], is_error=True)
