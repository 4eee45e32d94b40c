"""The official conformance suite and the Inspector, through the endpoint that asks for a key.

They take a minute, so a deep run has them. docs/mcp.md says which scenarios do not apply, and why,
and which only warn: one that it lists and that passes fails this test, as any other that fails.
"""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.api_service import (
    ApiService,
    give_level,
    open_surface,
    running_service,
    wallet,
)
from tests.support.depth import deep_only
from tests.support.keyed_proxy import keyed_proxy
from tests.support.mcp_client import key_of
from tests.support.mcp_fixtures import add_fixtures

PAGE = Path(__file__).parents[3] / "docs/mcp.md"
REVISIONS = ("2026-07-28", "2025-11-25")
MOST_S = 600


def on_page(revision: str, column: str) -> list[str]:
    """Return the scenarios that docs/mcp.md names for a revision, in the table with a column."""
    page = PAGE.read_text()
    (table,) = re.findall(rf"^\| scenario \| {column} \|.*\n((?:\|.*\n)+)", page, re.MULTILINE)
    rows = re.findall(r"^\| `([a-z0-9-]+)` \| (both|[0-9-]+) \|", table, re.MULTILINE)
    return [name for name, of in rows if of in ("both", revision)]


def test_the_page_lists_what_does_not_apply() -> None:
    assert "completion-complete" in on_page("2025-11-25", "fails")
    assert [len(on_page(revision, "fails")) for revision in REVISIONS] == [11, 9]
    assert [len(on_page(revision, "warns")) for revision in REVISIONS] == [3, 1]


@pytest.fixture(scope="module")
def suited(module_database_url: str) -> Iterator[ApiService]:
    with running_service(module_database_url, extend=add_fixtures) as service:
        surface = open_surface(service.sign_in(wallet("owner"), "owner"), "suited")
        give_level(service, surface, wallet("operator"))
        yield service


@deep_only
@pytest.mark.parametrize("revision", REVISIONS)
def test_the_official_suite_passes(suited: ApiService, revision: str, tmp_path: Path) -> None:
    baseline = tmp_path / "baseline.yaml"
    warned = on_page(revision, "warns")
    # JSON is YAML.
    baseline.write_text(json.dumps({"server": [*on_page(revision, "fails"), *warned]}))
    operator = suited.sign_in(wallet("operator"), "operator")
    with keyed_proxy(suited.url, key_of(operator)) as url:
        said = run(
            *("conformance", "server", "--url", f"{url}/mcp", "--requirements", revision),
            *("--expected-failures", str(baseline), "--output-dir", str(tmp_path / "found")),
        )
    for scenario in warned:
        (checks,) = (tmp_path / "found").glob(f"server-{scenario}-*/checks.json")
        statuses = {check["status"] for check in json.loads(checks.read_text())}
        assert "FAILURE" not in statuses, scenario
    # It has run, and not only found nothing to run.
    assert len(re.findall(r"^✓ ", said, re.MULTILINE)) >= 15


@deep_only
@pytest.mark.parametrize("role", ["operator", "owner"])
def test_the_inspector_finds_no_fault(suited: ApiService, role: str) -> None:
    key = key_of(suited.sign_in(wallet(role), role))
    to = ("mcp-inspector", "--cli", f"{suited.url}/mcp", "--transport", "http")
    with_key = ("--header", f"Authorization: Bearer {key}")
    listed = json.loads(run(*to, *with_key, "--method", "tools/list", "--strict"))
    assert "whoami" in {tool["name"] for tool in listed["tools"]}
    called = run(*to, *with_key, "--method", "tools/call", "--tool-name", "whoami")
    assert json.loads(called)["structuredContent"]["account"] == wallet(role).address


def run(*command: str) -> str:
    """Return what a tool of Node prints; it must end well."""
    assert shutil.which(command[0]), f"{command[0]} is missing: scripts/test --deep mcp-suites"
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=MOST_S)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout
