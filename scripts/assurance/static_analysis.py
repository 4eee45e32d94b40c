"""The command that runs Slither over the contracts and compares its findings with a table.

Every accepted finding has a row, by detector and place, with its reason, in
docs/security/static-analysis.md; nothing is switched off as a whole. A finding without a row fails,
and so does a row without a finding, code that Slither could not read, and a compiler warning.
`.venv/bin/python scripts/assurance/static_analysis.py`; needs `forge` on the PATH or in
node_modules/.bin.
"""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from scripts.assurance.tools import ROOT, run_tool

ACCEPTED = ROOT / "docs" / "security" / "static-analysis.md"
OUT = "build/forge-slither"
TIMEOUT_S = 900
# Slither goes on without the code that it cannot translate, and says so in its log alone.
_LEFT_OUT = re.compile(r"^(?:ERROR:.*|.*Impossible to generate IR.*)$", re.MULTILINE)
_ROW = re.compile(r"\| `([a-z0-9-]+)` \| (.+?) \| (.+?) \|")

Json = dict[str, Any]
Place = tuple[str, str]  # a detector's name, and Contract.function or Contract.function.variable


class AnalysisError(Exception):
    """Slither or forge gave no result that can be relied on."""


class Finding(NamedTuple):
    """A detector's report: the place, the impact and the text."""

    place: Place
    impact: str
    text: str


def accepted(document: str) -> set[Place]:
    """Return the places that the table names. Raises `AnalysisError` for one named twice."""
    found: set[Place] = set()
    for row in _ROW.finditer(document):
        for where in re.findall(r"`([^`]+)`", row[2]):
            place = (row[1], where)
            if place in found:
                raise AnalysisError(f"{ACCEPTED.name} accepts {row[1]} at {where} twice")
            found.add(place)
    return found


def _qualified(element: Json) -> str:
    parent = element.get("type_specific_fields", {}).get("parent")
    outer = _qualified(parent) if parent and parent["type"] in ("contract", "function") else ""
    return f"{outer}.{element['name']}" if outer else str(element["name"])


def require_whole(output: str) -> None:
    """Raise `AnalysisError` if Slither's log says that it left code out."""
    if errors := _LEFT_OUT.findall(output):
        raise AnalysisError("\n".join(["Slither left code out, and found nothing there:", *errors]))


def analyse(project: Path) -> list[Finding]:
    """Return all findings in a project's own contracts.

    Raises `AnalysisError` where they do not compile without a warning, or where Slither fails or
    leaves code out.
    """
    # From nothing, into a folder of its own: so no earlier build is analyzed, and every warning is
    # there, which a build that finds its code in the cache does not repeat.
    shutil.rmtree(project / OUT, ignore_errors=True)
    # Slither reads syntax trees, which the optimizer leaves as they are; it takes most of the time.
    build = [
        *("forge", "build", "contracts", "--build-info", "--deny", "warnings", "--force"),
        "--optimize=false",
    ]
    built = run_tool([*build, "--out", OUT, "--cache-path", f"{OUT}-cache"], project, TIMEOUT_S)
    if built.returncode != 0:
        raise AnalysisError(
            f"the contracts do not compile without a warning:\n{built.stdout}{built.stderr}"
        )
    report = project / OUT / "slither.json"
    options = ["--ignore-compile", "--foundry-out-directory", OUT, "--exclude-dependencies"]
    done = run_tool(["slither", ".", *options, "--json", str(report)], project, TIMEOUT_S)
    output = done.stdout + done.stderr
    require_whole(output)
    result: Json = json.loads(report.read_text()) if report.is_file() else {}
    if not result.get("success"):
        raise AnalysisError(f"Slither failed:\n{output}")
    return [
        Finding(
            (item["check"], _qualified(item["elements"][0])), item["impact"], item["description"]
        )
        for item in result["results"].get("detectors", ())
    ]


def objections(findings: list[Finding], rows: set[Place]) -> Mapping[Place, str]:
    """Return the change that each finding without a row and each row without a finding needs."""
    todo = {
        finding.place: f"{finding.impact}: {finding.text.strip()}\n"
        f"  mend it, or give its reason in {ACCEPTED.name}:"
        f" | `{finding.place[0]}` | `{finding.place[1]}` | … |"
        for finding in findings
        if finding.place not in rows
    }
    for place in sorted(rows - {finding.place for finding in findings}):
        todo[place] = f"{ACCEPTED.name} accepts {place[0]} at {place[1]}, which is gone: delete it"
    return todo


def main() -> int:
    try:
        todo = objections(analyse(ROOT), accepted(ACCEPTED.read_text()))
    except (AnalysisError, subprocess.TimeoutExpired) as error:
        print(f"static_analysis.py: {error}", file=sys.stderr)
        return 1
    for text in todo.values():
        print(text, end="\n\n")
    print(f"{len(todo)} open finding(s)")
    return bool(todo)


if __name__ == "__main__":
    sys.exit(main())
