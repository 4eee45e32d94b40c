"""Rules: each family has the codes that its modules raise, so none is forgotten or left behind."""

import ast
from pathlib import Path

import pytest

from api import rules

CORE = Path(__file__).parents[2] / "orchestrator/core"


def raised_in(*modules: str) -> set[str]:
    """Return the codes that these modules of the core raise as errors of documents or terms."""
    return {
        str(call.args[0].value)
        for module in modules
        for call in ast.walk(ast.parse((CORE / f"{module}.py").read_text()))
        if isinstance(call, ast.Call)
        and getattr(call.func, "id", "") in ("DocumentError", "TermsError")
        and isinstance(call.args[0], ast.Constant)
    }


# Of what is sent as typed fields, its form is judged before any of these.
TYPED = {"fields-count", "key-malformed", "key-missing", "key-unknown", "not-a-table"}


@pytest.mark.parametrize(
    ("family", "modules", "elsewhere"),
    [
        (rules.DOCUMENT, ("common/document",), set[str]()),
        (rules.POLICY, ("common/document", "surface/policy"), set[str]()),
        (rules.QUALIFICATION, ("surface/qualification",), {"key-missing"}),
        (
            rules.SETTINGS,
            (
                *("common/document", "common/parameters"),
                *("surface/surface_settings", "surface/qualification"),
                *("intake/mapping", "intake/currency", "intake/moment"),
            ),
            set[str](),
        ),
        (rules.joined(rules.TERMS, rules.SIGNATURE), ("deals/terms",), TYPED),
        (rules.DEAL, ("common/document", "deals/deal"), set[str]()),
    ],
)
def test_a_family_has_the_codes_of_its_modules(
    family: rules.Rules, modules: tuple[str, ...], elsewhere: set[str]
) -> None:
    assert raised_in(*modules) - elsewhere <= family[422]


def test_families_are_joined_by_status() -> None:
    assert rules.joined(rules.rules(404, "a b"), rules.rules(404, "c"), rules.rules(409, "a")) == {
        404: {"a", "b", "c"},
        409: {"a"},
    }
