"""The catalogue: every tool stands for routes that exist, and tells a model when to use it."""

from api.mcp.catalogue import ABOUT, TOOLS
from tests.support.api_service import ApiService


def test_names_are_a_verb_and_a_noun_and_stand_once() -> None:
    names = [tool.name for tool in TOOLS]
    assert len({*names}) == len(names)
    assert all(
        name.count("_") == 1 or name in {"whoami", "explain", "draft_from_offer"} for name in names
    )


def test_every_route_exists(service: ApiService) -> None:
    paths = service.get("/v1/openapi.json")["paths"]
    for tool in TOOLS:
        for method, path in tool.routes.values():
            assert method.lower() in paths[path], tool.name


def test_descriptions_fit_a_context_window() -> None:
    for tool in TOOLS:
        assert 40 <= len(tool.use) <= 440, tool.name
    assert sum(len(tool.use) for tool in TOOLS) < 13_000


def test_what_is_read_only_changes_nothing() -> None:
    for tool in TOOLS:
        methods = {method for method, _ in tool.routes.values()}
        is_drafting = all(path.endswith("/drafts") for _, path in tool.routes.values())
        assert tool.is_read_only == (methods == {"GET"} or is_drafting)
        assert not (tool.is_read_only and tool.is_final)
        if len(tool.routes) > 1:
            assert "" not in tool.routes
    assert ABOUT == "about"
