"""The named queries: each is described, and fits the schema that migrations make."""

import re
from pathlib import Path

import psycopg
import pytest

from orchestrator.storage import queries as queries_module
from orchestrator.storage.queries import queries


@pytest.mark.parametrize("name", [name for name in queries() if "COPY" not in queries()[name]])
def test_a_named_query_fits_the_schema(module_database_url: str, name: str) -> None:
    """PostgreSQL parses, resolves and types each query as it stands."""
    numbers: dict[str, int] = {}

    def number(found: re.Match[str]) -> str:
        return f"${numbers.setdefault(found[1], len(numbers) + 1)}"

    text = re.sub(r"%\((\w+)\)s", number, queries()[name]).replace("%%", "%")
    text = re.sub(r"\A(--.*\n)+", "", text)
    with psycopg.connect(module_database_url) as admin:
        if text.startswith(("SET ", "CREATE ", "LISTEN ", "DO ", "BEGIN", "COMMIT", "ROLLBACK")):
            admin.execute(text)
        else:
            if "changed_leads" in text:
                admin.execute(queries()["log.prepare_leads"])
            if "pg_temp." in text:
                admin.execute(queries()["log.shadow_projections"].replace("%%", "%"))
            admin.execute(f"PREPARE checked AS {text}".encode())


def test_every_file_of_queries_names_and_describes_each() -> None:
    folder = Path(queries_module.__file__).parent / "sql/queries"
    for file in folder.glob("*.sql"):
        text = file.read_text()
        named = [name for name in queries() if name.startswith(f"{file.stem}.")]
        assert len(named) == text.count("-- name:")
