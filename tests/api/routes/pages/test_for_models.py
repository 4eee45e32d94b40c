"""The page for models: a short text whose every link is a route of this service."""

import re
from dataclasses import replace

import httpx
from fastapi import FastAPI

from api.context import Service
from api.routes.pages.for_models import _SECTIONS
from tests.support.api_service import ApiService, another_api, open_surface, wallet

LINK = re.compile(r"^- \[(/[^\]]*)\]\(([^)]*)\): \S.*$")


def test_every_link_of_the_page_is_there(service: ApiService) -> None:
    answer = service.http.get("/llms.txt")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    title, _, summary, *rest = answer.text.splitlines()
    assert (title, summary[:2]) == ("# Tallystick", "> ")
    found = [match.groups() for match in map(LINK.match, rest) if match]
    assert [path for path, _ in found] == [path for part in _SECTIONS.values() for path in part]
    for path, url in found:
        assert url == f"{service.url}{path}"
        with service.http.stream("GET", path) as shown:
            # A POST's door is there, and says so; the MCP endpoint asks for a key.
            wanted = {"/mcp": 401, "/v1/sign-in/nonce": 405}.get(path, 200)
            assert shown.status_code == wanted, path


def test_it_says_where_policy_actions_and_levels_are(service: ApiService) -> None:
    surface = open_surface(service.sign_in(wallet("owner"), "owner"), "shown")
    (listed,) = service.get("/v1/surfaces")["surfaces"]
    (line,) = (
        line for line in service.http.get("/llms.txt").text.splitlines() if "[/v1/surfaces]" in line
    )
    own, _, of_one = line.partition("; with a key GET ")
    assert of_one == "/v1/surfaces/{surface} has policy, actions and levels of one"
    detail = service.http_detail(surface)
    assert detail["policy"]
    assert {"actions", "levels"} <= detail["settings"].keys()
    assert {"motions", "payout", "reversals"} <= listed.keys()
    assert not re.search("polic|action|level", own)


def test_it_says_that_a_sandbox_is_one(service: ApiService) -> None:
    def hasten(app: FastAPI) -> None:
        known: Service = app.state.service
        app.state.service = replace(known, info=known.info._replace(speed=1440))

    plain = service.http.get("/llms.txt").text
    with another_api(service, 0, hasten) as url:
        fast = httpx.get(f"{url}/llms.txt").text
    words = "The clock runs 1440 times as fast as yours, and its money is for tests."
    assert words in fast.splitlines()
    assert "as fast as yours" not in plain
