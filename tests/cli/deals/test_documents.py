"""Deals and rules in YAML: what cannot be read is refused by the file's name."""

from pathlib import Path

import pytest

from orchestrator.cli.deals.documents import read_deal, read_yaml
from orchestrator.core.common.errors import InputError


def test_a_deal_is_read_as_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "deal.yaml"
    path.write_text("outcome: activated\nprice: '8.00'\nat_most: 5\nrepeatable: true\nhold:\n")
    assert read_deal(path) == {
        "outcome": "activated",
        "price": "8.00",
        "at_most": 5,
        "repeatable": True,
        "hold": None,
    }


@pytest.mark.parametrize(
    "text",
    [
        "a: [",
        "[" * 5_000,
        "a: 2026-13-45",
        "a: " + "9" * 5_000,
        "a: *b",
        "{[1]: 2}",
        "\x00",
    ],
)
def test_what_is_no_yaml_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "file.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=r"file\.yaml: is not readable as YAML") as refused:
        read_yaml(path)
    assert refused.value.code == "yaml-invalid"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "a deal is a table"),
        ("- outcome", "a deal is a table"),
        ("7: activated", "7 must be text, a whole number, true or false"),
        ("opens_at: 2026-12-01", "'opens_at' must be text, .* an amount or a time is text"),
        ("price: 8.00", "'price' must be text, .* not 8.0; .* put it in quotes"),
        ("price: .nan", "'price' must be text"),
        ("outcome: [a]", "'outcome' must be text, .* not a list"),
        ("outcome: {a: 1}", "'outcome' must be text, .* not a table"),
        ("outcome: !!binary YQ==", "'outcome' must be text"),
        ('outcome: "\\ud800"', "'outcome' must be text"),
        ("a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]", "'a' must be text, .* not a list"),
    ],
)
def test_what_is_no_deal_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "deal.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=said) as refused:
        read_deal(path)
    assert refused.value.code == "deal-malformed"
