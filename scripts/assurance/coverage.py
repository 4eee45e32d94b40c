"""The command that measures the contracts' coverage, and fails where it is too little.

    .venv/bin/python scripts/assurance/coverage.py [--write]

Runs `forge coverage` over every Solidity test but the invariants, the proofs and the measurements
of gas, which would only repeat what the others reach. Prints one row for each file of contracts/
and then every branch that no test takes. `--write` puts the table into docs/security/coverage.md.
"""

import argparse
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from scripts.assurance.tools import ROOT, run_tool

DOCUMENT = ROOT / "docs" / "security" / "coverage.md"
LEAST_BRANCHES_BPS = 9_800
TIMEOUT_S = 3_600
LEFT_OUT = ("invariant", "symbolic", "gas")
BEGIN, END = "<!-- measured -->\n", "<!-- /measured -->\n"


class Reach(NamedTuple):
    """A file's coverage: pairs of (reached, all)."""

    branches: tuple[int, int]
    lines: tuple[int, int]
    functions: tuple[int, int]
    missed: tuple[int, ...]  # lines of branches that no test takes


class CoverageError(Exception):
    """A run without a result, or too few branches reached."""


def measure(project: Path) -> str:
    """Return the LCOV report of one run over a project; every test must pass."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "lcov.info"
        command = ["forge", "coverage", "--report", "lcov", "--report-file", str(report)]
        command += ["--skip", *(f"tests/contracts/{name}/**" for name in LEFT_OUT)]
        # A test holds the code that it deploys, so that constructors are counted, too.
        done = run_tool(command, project, TIMEOUT_S, FOUNDRY_DYNAMIC_TEST_LINKING="false")
        failed = sorted({line for line in done.stdout.splitlines() if line.startswith("[FAIL")})
        if done.returncode or failed or not report.is_file():
            reason = "\n".join(failed) or done.stderr[-4000:]
            raise CoverageError(f"forge coverage failed:\n{reason}")
        return report.read_text()


def parse(report: str) -> dict[str, Reach]:
    """Read an LCOV report's figures on the files of contracts/."""
    found: dict[str, Reach] = {}
    for record in report.split("end_of_record"):
        fields = defaultdict(list)
        for line in record.strip().splitlines():
            name, _, value = line.partition(":")
            fields[name].append(value)
        file = next(iter(fields["SF"]), "")
        if not file.startswith("contracts/"):
            continue
        branches = [value.split(",") for value in fields["BRDA"]]
        found[file] = Reach(
            _reached([taken for *_, taken in branches]),
            _reached([value.split(",")[1] for value in fields["DA"]]),
            _reached([value.split(",")[0] for value in fields["FNDA"]]),
            tuple(int(line) for line, *_, taken in branches if taken in ("0", "-")),
        )
    return found


def _reached(counts: list[str]) -> tuple[int, int]:
    return sum(count not in ("0", "-") for count in counts), len(counts)


def _sum(pairs: list[tuple[int, int]]) -> tuple[int, int]:
    return sum(reached for reached, _ in pairs), sum(total for _, total in pairs)


def _share(pair: tuple[int, int]) -> str:
    reached, total = pair
    if not total:
        return "none"
    hundredths = reached * 10_000 // total
    return f"{hundredths // 100}.{hundredths % 100:02} % ({reached}/{total})"


def rows(found: dict[str, Reach]) -> Iterator[str]:
    """Yield the table's lines, in Markdown; files without code are left out."""
    yield "| file | branches | lines | functions |"
    yield "|---|---|---|---|"
    shown = {file: reach for file, reach in sorted(found.items()) if reach.lines[1]}
    for file, reach in shown.items():
        name = file.removeprefix("contracts/")
        shares = " | ".join(map(_share, (reach.branches, reach.lines, reach.functions)))
        yield f"| `{name}` | {shares} |"
    columns = zip(*((r.branches, r.lines, r.functions) for r in shown.values()), strict=True)
    totals = " | ".join(_share(_sum(list(column))) for column in columns)
    yield f"| **all** | {totals} |"


def missed(found: dict[str, Reach]) -> Iterator[str]:
    """Yield a line for each branch that no test takes."""
    for file, reach in sorted(found.items()):
        for line in reach.missed:
            yield f"{file}:{line}: no test takes a branch here"


def require_enough(found: dict[str, Reach]) -> None:
    """Raise CoverageError where too few branches are reached, or there are none."""
    reached, total = _sum([reach.branches for reach in found.values()])
    if not total or reached * 10_000 < LEAST_BRANCHES_BPS * total:
        least = LEAST_BRANCHES_BPS // 100
        raise CoverageError(
            f"{reached} of {total} branches are reached; at least {least} % must be"
        )


def write(document: Path, table: str) -> None:
    """Put the table between the two marks of the document."""
    head, begin, rest = document.read_text().partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise CoverageError(f"{document} has no place for the table: {BEGIN.strip()} {END.strip()}")
    document.write_text(f"{head}{begin}{table}{end}{tail}")


def main() -> None:
    """Measure, print, and fail where too few branches are reached."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help=f"write the table to {DOCUMENT.name}")
    wanted = parser.parse_args()

    try:
        found = parse(measure(ROOT))
        table = "\n".join(rows(found)) + "\n"
        print(table, *missed(found), sep="\n")
        if wanted.write:
            write(DOCUMENT, table)
        require_enough(found)
    except CoverageError as error:
        sys.exit(f"scripts/assurance/coverage.py: {error}")


if __name__ == "__main__":
    main()
