"""The names that the official conformance suite asks a server for, put beside ours on one wiring.

The suite calls tools, resources and prompts of its own names. They are put before the handlers of
the product's server, which answers all else; endpoint, keys and transport are the product's.
"""

import base64
import json
from collections.abc import Awaitable, Callable
from typing import Any

import mcp_types as types
from fastapi import FastAPI
from mcp.server.lowlevel.server import Server
from mcp.shared.exceptions import MCPError

Handler = Callable[[Any, Any], Awaitable[Any]]
_PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAA"
    "AABJRU5ErkJggg=="
)
_WAV = base64.b64encode(
    b"RIFF$\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0D\xac\0\0\x88X\1\0\2\0\x10\0data\0\0\0\0"
).decode()
_TEXT = "This is the content of the static text resource."
_SCHEMA_2020 = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}


def _text(text: str) -> types.TextContent:
    return types.TextContent(type="text", text=text)


def _image() -> types.ImageContent:
    return types.ImageContent(type="image", data=_PNG, mime_type="image/png")


def _embedded(uri: str, text: str, mime_type: str = "text/plain") -> types.EmbeddedResource:
    resource = types.TextResourceContents(uri=uri, mime_type=mime_type, text=text)
    return types.EmbeddedResource(type="resource", resource=resource)


_CONTENTS: dict[str, list[Any]] = {
    "test_simple_text": [_text("This is a simple text response for testing.")],
    "test_image_content": [_image()],
    "test_audio_content": [types.AudioContent(type="audio", data=_WAV, mime_type="audio/wav")],
    "test_embedded_resource": [
        _embedded("test://embedded-resource", "This is an embedded resource content.")
    ],
    "test_multiple_content_types": [
        _text("Multiple content types test:"),
        _image(),
        _embedded(
            "test://mixed-content-resource",
            '{"test":"data","value":123}',
            "application/json",
        ),
    ],
    "test_error_handling": [_text("This tool intentionally returns an error for testing")],
    "test_tool_with_progress": [_text("done")],
    "json_schema_2020_12_tool": [_text("called")],
    "test_missing_capability": [],
}
_PROMPTS: dict[str, tuple[str, ...]] = {
    "test_simple_prompt": (),
    "test_prompt_with_arguments": ("arg1", "arg2"),
    "test_prompt_with_embedded_resource": ("resourceUri",),
    "test_prompt_with_image": (),
}


def add_fixtures(app: FastAPI) -> None:
    """Have the application's MCP server answer for the suite's names, too."""
    server: Server[Any] = app.state.mcp
    product = {
        method: entry.handler
        for method in (
            *("tools/list", "tools/call", "resources/list", "resources/templates/list"),
            *("resources/read", "prompts/list", "prompts/get"),
        )
        if (entry := server.get_request_handler(method)) is not None
    }
    for method, params, handler in _handlers(product):
        server.add_request_handler(method, params, handler)
    known = server.get_tool_input_schema
    server.get_tool_input_schema = lambda name: (
        None if name in _CONTENTS or known is None else known(name)
    )


def _handlers(product: dict[str, Handler]) -> list[tuple[str, type[Any], Handler]]:
    async def list_tools(ctx: Any, params: Any) -> types.ListToolsResult:
        found: types.ListToolsResult = await product["tools/list"](ctx, params)
        mine = [
            types.Tool(
                name=name,
                description=f"A fixture of the conformance suite: {name}.",
                input_schema=_SCHEMA_2020 if name.startswith("json") else {"type": "object"},
            )
            for name in _CONTENTS
        ]
        return found.model_copy(update={"tools": [*found.tools, *mine]})

    async def call_tool(ctx: Any, params: types.CallToolRequestParams) -> Any:
        if params.name not in _CONTENTS:
            return await product["tools/call"](ctx, params)
        if params.name == "test_missing_capability":
            needed: dict[str, Any] = {"requiredCapabilities": {"sampling": {}}}
            raise MCPError(types.MISSING_REQUIRED_CLIENT_CAPABILITY, "no sampling", needed)
        if params.name == "test_tool_with_progress":
            for done in (0, 50, 100):
                await ctx.session.report_progress(done, 100)
        is_error = params.name == "test_error_handling"
        return types.CallToolResult(content=_CONTENTS[params.name], is_error=is_error)

    return [
        ("tools/list", types.PaginatedRequestParams, list_tools),
        ("tools/call", types.CallToolRequestParams, call_tool),
        *_resource_handlers(product),
        *_prompt_handlers(product),
    ]


def _resource_handlers(product: dict[str, Handler]) -> list[tuple[str, type[Any], Handler]]:
    async def list_resources(ctx: Any, params: Any) -> types.ListResourcesResult:
        found: types.ListResourcesResult = await product["resources/list"](ctx, params)
        mine = [
            types.Resource(name=name, uri=f"test://{name}", mime_type=kind)
            for name, kind in (("static-text", "text/plain"), ("static-binary", "image/png"))
        ]
        return found.model_copy(update={"resources": [*found.resources, *mine]})

    async def read(ctx: Any, params: types.ReadResourceRequestParams) -> Any:
        uri = str(params.uri)
        contents: list[types.TextResourceContents | types.BlobResourceContents]
        if uri == "test://static-text":
            contents = [types.TextResourceContents(uri=uri, mime_type="text/plain", text=_TEXT)]
        elif uri == "test://static-binary":
            contents = [types.BlobResourceContents(uri=uri, mime_type="image/png", blob=_PNG)]
        elif uri.startswith("test://template/"):
            text = json.dumps({"id": uri.split("/")[3], "templateTest": True})
            kind = "application/json"
            contents = [types.TextResourceContents(uri=uri, mime_type=kind, text=text)]
        else:
            return await product["resources/read"](ctx, params)
        return types.ReadResourceResult(contents=contents, ttl_ms=1, cache_scope="private")

    async def templates(ctx: Any, params: Any) -> types.ListResourceTemplatesResult:
        found: types.ListResourceTemplatesResult = await product["resources/templates/list"](
            ctx, params
        )
        mine = types.ResourceTemplate(name="template", uri_template="test://template/{id}/data")
        return found.model_copy(update={"resource_templates": [*found.resource_templates, mine]})

    return [
        ("resources/list", types.PaginatedRequestParams, list_resources),
        ("resources/templates/list", types.PaginatedRequestParams, templates),
        ("resources/read", types.ReadResourceRequestParams, read),
    ]


def _prompt_handlers(product: dict[str, Handler]) -> list[tuple[str, type[Any], Handler]]:
    async def list_prompts(ctx: Any, params: Any) -> types.ListPromptsResult:
        found: types.ListPromptsResult = await product["prompts/list"](ctx, params)
        mine = [
            types.Prompt(
                name=name,
                description=f"A fixture of the conformance suite: {name}.",
                arguments=[types.PromptArgument(name=each, required=True) for each in arguments],
            )
            for name, arguments in _PROMPTS.items()
        ]
        return found.model_copy(update={"prompts": [*found.prompts, *mine]})

    async def get_prompt(ctx: Any, params: types.GetPromptRequestParams) -> Any:
        if params.name not in _PROMPTS:
            return await product["prompts/get"](ctx, params)
        given = params.arguments or {}
        contents: list[Any] = [_text(f"A prompt with {', '.join(given.values()) or 'nothing'}.")]
        if params.name == "test_prompt_with_embedded_resource":
            contents = [_embedded(given["resourceUri"], "Embedded resource content"), *contents]
        elif params.name == "test_prompt_with_image":
            contents = [_image(), *contents]
        messages = [types.PromptMessage(role="user", content=each) for each in contents]
        return types.GetPromptResult(messages=messages)

    return [
        ("prompts/list", types.PaginatedRequestParams, list_prompts),
        ("prompts/get", types.GetPromptRequestParams, get_prompt),
    ]
