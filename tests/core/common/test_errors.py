"""Domain errors: a code and a message, and codes that a caller can rely on."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from orchestrator.core.common import errors
from orchestrator.core.common.errors import DomainError, TermsError, shorten

ROOT = Path(__file__).resolve().parents[3]
CLASSES = {name for name, found in vars(errors).items() if isinstance(found, type)}


def test_an_error_has_a_code_and_prints_its_message() -> None:
    error = TermsError("price-zero", "no price is set")
    assert isinstance(error, DomainError)
    assert (error.code, error.message, str(error)) == (
        "price-zero",
        "no price is set",
        error.message,
    )


def test_a_long_text_is_shown_in_part() -> None:
    assert shorten("1" * 60) == "1" * 60
    assert shorten("1" * 61) == "1" * 57 + "..."


def codes() -> Iterator[tuple[str, str]]:
    """Yield (file, code) for each domain error with a literal code in the source."""
    for folder in ("orchestrator", "api"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if (
                    isinstance(node, ast.Call)
                    and isinstance(node.func, ast.Name)
                    and node.func.id in CLASSES
                    and isinstance(node.args[0], ast.Constant)
                ):
                    yield str(path.relative_to(ROOT)), str(node.args[0].value)


def test_codes_are_kebab_case() -> None:
    found = list(codes())
    assert len(found) > 200
    wrong = [pair for pair in found if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", pair[1])]
    assert wrong == []
