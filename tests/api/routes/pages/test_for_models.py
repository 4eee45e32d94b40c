"""The page for models: a short text whose every link is a route of this service."""

import re

import httpx

from api.routes.pages.for_models import _SECTIONS
from tests.support.api_service import ApiService

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
        with service.http.stream("GET", path, params={"after": 0}) as shown:
            # A POST's door is there, and says so; the MCP endpoint asks for a key.
            assert shown.status_code in ((405,) if "nonce" in path else (401, 405, 200, 422)), path


def test_it_says_that_a_sandbox_is_one(service: ApiService) -> None:
    plain: httpx.Response = service.http.get("/llms.txt")
    assert "as fast as yours" not in plain.text
