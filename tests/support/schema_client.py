"""A scripted MCP client that knows no tool of any server: it goes by what the server says.

It takes the prompt that the server's instructions name and that needs no argument, and does its
steps in their order. A step is a line with a number; it calls the first tool that it names. An
argument is what the step sets, a field of an earlier answer with its name, a default of its schema,
or, for text of the caller's own, a name for the call. It tells a tool nothing that its schema does
not admit.
"""

import json
import re
from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any, NamedTuple

import jsonschema_rs
from mcp import Client
from mcp_types import Tool

from tests.support.mcp_client import text_of, text_of_content

# Of one step that says "again": ten minutes of waiting calls.
MOST_REPEATS = 60
Facts = dict[str, list[Any]]


class Step(NamedTuple):
    """One line of a plan: what it names, what it sets, and how often it is done."""

    names: list[str]
    settings: dict[str, str]
    each: str | None
    # A field of an answer, and the one beside it by which the highest is chosen.
    choose: tuple[str, str] | None
    until: tuple[str, str] | None


def read_steps(text: str) -> list[Step]:
    """Return the numbered lines of a prompt."""
    return [_step(line) for line in text.splitlines() if re.match(r"\d+\. ", line)]


def _step(line: str) -> Step:
    each = re.search(r"for each `(\w+)`", line)
    choose = re.search(r"the `(\w+)` with the most `(\w+)`", line)
    until = re.search(r"until `(\w+)` is `([^`]+)`", line)
    return Step(
        re.findall(r"`([^`]+)`", line),
        dict(re.findall(r"`(\w+)`=`([^`]+)`", line)),
        each and each[1],
        (choose[1], choose[2]) if choose else None,
        (until[1], until[2]) if until else None,
    )


class SchemaClient:
    """The client, and what it was told: by name, the values in the newest answer that had it."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.called: list[str] = []
        self._facts: Facts = {}
        # By tool, where its pages go on.
        self._cursors: dict[str, Any] = {}

    async def follow(self) -> Facts:
        """Do all steps; return what the last of them found."""
        found: Facts = {}
        async with self._client.listen(tools_list_changed=True):
            for step in read_steps(await self._plan()):
                found = await self._do(step)
        return found

    async def _plan(self) -> str:
        """Return the text of the prompt that the instructions name and that needs nothing."""
        instructions = self._client.instructions or ""
        for prompt in (await self._client.list_prompts()).prompts:
            if not prompt.arguments and prompt.name in instructions:
                found = await self._client.get_prompt(prompt.name)
                return text_of_content(found.messages[0].content)
        raise AssertionError("the instructions name no prompt to begin with")

    async def _do(self, step: Step) -> Facts:
        tools = {tool.name: tool for tool in (await self._client.list_tools()).tools}
        tool = next((tools[name] for name in step.names if name in tools), None)
        assert tool is not None, f"no tool of {step.names} is listed"
        subjects = [{step.each: one} for one in self._facts[step.each]] if step.each else [{}]
        found: Facts = {}
        for subject in subjects:
            found = await self._repeat(step, tool, subject)
        return found

    async def _repeat(self, step: Step, tool: Tool, subject: Mapping[str, Any]) -> Facts:
        for _ in range(MOST_REPEATS):
            found = await self._call(step, tool, subject)
            if step.until is None:
                return found
            name, value = step.until
            if any(value == _as_text(one) for one in found.get(name, ())):
                return found
        raise AssertionError(f"{tool.name}: {step.until} did not come")

    async def _call(self, step: Step, tool: Tool, subject: Mapping[str, Any]) -> Facts:
        arguments = self._arguments(step, tool, subject)
        jsonschema_rs.validator_for(tool.input_schema).validate(arguments)
        result = await self._client.call_tool(tool.name, arguments)
        assert not result.is_error, f"{tool.name} {arguments}: {text_of(result)}"
        self.called.append(tool.name)
        found: Facts = {}
        for name, value in _fields(result.structured_content):
            found.setdefault(name, []).append(value)
        if step.choose is not None:
            self._choose(found, *step.choose)
        self._facts |= found
        if found.get("next", [None])[0] is not None:
            self._cursors[tool.name] = found["next"][0]
        return found

    def _choose(self, found: Facts, name: str, by: str) -> None:
        """Put the one first that has the most of something."""
        pairs = zip(found[name], found[by], strict=True)
        best, _ = max(pairs, key=lambda pair: pair[1])
        found[name] = [best]

    def _arguments(self, step: Step, tool: Tool, subject: Mapping[str, Any]) -> dict[str, Any]:
        known: dict[str, Any] = {name: values[0] for name, values in self._facts.items()}
        known |= {"after": self._cursors.get(tool.name), **subject}
        told, needed = tool.input_schema["properties"], tool.input_schema.get("required", ())
        arguments: dict[str, Any] = {}
        for name, schema in told.items():
            if name in step.settings:
                arguments[name] = _typed(
                    schema, known.get(step.settings[name], step.settings[name])
                )
            elif name in step.names or name in needed:
                arguments[name] = known.get(name, schema.get("default"))
        # What may be left out and has no value yet is left out.
        arguments = {
            name: value for name, value in arguments.items() if value is not None or name in needed
        }
        digest = sha256(json.dumps([tool.name, arguments], sort_keys=True).encode()).hexdigest()
        for name in needed:
            if arguments[name] is None and told[name]["type"] == "string":
                arguments[name] = digest[: told[name]["maxLength"]]
        return arguments


def _fields(document: Any) -> Iterator[tuple[str, Any]]:
    """Yield every field of a document, outer ones first, with its value."""
    if isinstance(document, dict):
        yield from document.items()
        for value in document.values():
            yield from _fields(value)
    elif isinstance(document, list):
        for value in document:
            yield from _fields(value)


def _typed(schema: Mapping[str, Any], value: Any) -> Any:
    """Return a value of a step as the type that a schema asks for."""
    return int(value) if "integer" in json.dumps(schema) else value


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
