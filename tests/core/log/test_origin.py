"""An origin shows as it is written, and nothing else is one."""

import pytest

from orchestrator.core.log.origin import MAX_ORIGIN_CHARS, is_origin
from tests.support.origins import NO_ORIGINS


@pytest.mark.parametrize("origin", ["x", "growth.example/log", "a b", "~" * MAX_ORIGIN_CHARS])
def test_printable_ascii_is_an_origin(origin: str) -> None:
    assert is_origin(origin)


@pytest.mark.parametrize("value", NO_ORIGINS)
def test_all_else_is_none(value: object) -> None:
    assert not is_origin(value)
