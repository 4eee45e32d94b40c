"""Prompts: a text for each, with what it asks for filled in."""

import re

import pytest
from mcp.shared.exceptions import MCPError

from api.mcp import prompts
from api.mcp.catalogue import TOOLS
from tests.support.mcp_client import text_of_content


def test_each_prompt_is_filled_with_its_arguments_and_names_tools_that_are() -> None:
    tools = {tool.name for tool in TOOLS}
    for prompt in prompts.listed().prompts:
        given = {argument.name: f"<{argument.name}>" for argument in prompt.arguments or ()}
        (message,) = prompts.filled(prompt.name, given).messages
        text = text_of_content(message.content)
        assert all(value in text for value in given.values())
        assert set(re.findall(r"\b[a-z]+_[a-z]+\b", text)) <= tools


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [("none", {}, "there is no prompt 'none'"), ("study_surface", {}, "missing: surface")],
)
def test_what_cannot_be_filled_is_refused(name: str, arguments: dict[str, str], said: str) -> None:
    with pytest.raises(MCPError, match=said):
        prompts.filled(name, arguments)


def test_arguments_are_cut_and_not_expanded() -> None:
    (message,) = prompts.filled("study_surface", {"surface": "{contract}" + "x" * 999}).messages
    text = text_of_content(message.content)
    assert "{contract}" in text
    assert "x" * 201 not in text
