"""The reference: its page loads nothing from elsewhere, and docs/reference.md is fresh.

After a change of the API that is meant, write it anew and review the difference:

    WRITE_REFERENCE=1 .venv/bin/pytest tests/api/routes/pages/test_reference.py
"""

import os
import re
import subprocess
from pathlib import Path

import pytest

from api.routes.pages.reference import reference_of
from tests.support.api_service import ApiService

PAGE = Path(__file__).parents[4] / "docs/reference.md"


def test_the_reference_is_that_of_the_description(service: ApiService) -> None:
    made = reference_of(service.get("/v1/openapi.json"))
    if os.environ.get("WRITE_REFERENCE"):
        PAGE.write_text(made)
    assert PAGE.read_text() == made


def test_every_operation_is_in_the_reference(service: ApiService) -> None:
    made = reference_of(service.get("/v1/openapi.json"))
    for path, item in service.get("/v1/openapi.json")["paths"].items():
        for method in item:
            assert f"### {method.upper()} {path}\n" in made


@pytest.mark.parametrize(
    ("path", "media_type"),
    [("/docs", "text/html"), ("/docs/page.css", "text/css"), ("/docs/page.js", "text/javascript")],
)
def test_the_page_is_our_own(service: ApiService, path: str, media_type: str) -> None:
    answer = service.http.get(path)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith(media_type)
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert "unsafe" not in policy
    # Nothing is loaded from another origin, no script or style stands in the page, no text becomes
    # markup.
    assert not re.findall(r"(?:src|href)=\"(?!/)|https?://", answer.text)
    assert not re.findall(r"<script>|<style|style=|\son\w+=|innerHTML|eval\(", answer.text)


def test_what_the_page_names_is_there(service: ApiService) -> None:
    for name in re.findall(r"(?:src|href)=\"([^\"]+)\"", service.http.get("/docs").text):
        assert service.http.get(name).status_code == 200


def test_the_script_is_one(service: ApiService, tmp_path: Path) -> None:
    script = tmp_path / "page.js"
    script.write_text(service.http.get("/docs/page.js").text)
    subprocess.run(["node", "--check", str(script)], check=True)
