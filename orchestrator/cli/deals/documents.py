"""The YAML files of deals: an owner's rules, and a short deal."""

from pathlib import Path
from typing import Any

import yaml

from orchestrator.core.common.document import shown_value
from orchestrator.core.common.errors import InputError
from orchestrator.storage.local.files import read_text


def read_yaml(path: Path) -> Any:
    """Return what a YAML file holds. Raises InputError `yaml-invalid` for what is none."""
    try:
        return yaml.safe_load(read_text(path))
    # A time that no calendar has is a ValueError, and deep nesting a RecursionError.
    except (yaml.YAMLError, ValueError, RecursionError):
        raise InputError("yaml-invalid", f"{path}: is not readable as YAML") from None


def read_deal(path: Path) -> dict[str, object]:
    """Return a short deal in a YAML file. Raises InputError `deal-malformed` for what is none."""
    deal = read_yaml(path)
    if not isinstance(deal, dict):
        raise InputError("deal-malformed", f"{path}: a deal is a table of names and values")
    for name, value in deal.items():
        if not isinstance(name, str) or not _is_plain(value):
            raise InputError(
                "deal-malformed",
                f"{path}: {name!r:.60} must be text, a whole number, true or false, not "
                f"{shown_value(value)}; an amount or a time is text: put it in quotes",
            )
    return deal


def _is_plain(value: object) -> bool:
    """Return whether a value of a deal is one that JSON has as it is written."""
    if isinstance(value, str):
        # YAML can write halves of a letter, which no request has a place for.
        return value.isprintable()
    return value is None or isinstance(value, int)
