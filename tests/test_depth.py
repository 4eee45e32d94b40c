"""tests/support/depth.py: a deep run tries more examples, and other ones each time."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import depth

TESTS = Path(__file__).resolve().parent


@pytest.mark.parametrize(("profile", "repeats"), [("default", True), ("deep", False)])
def test_only_a_usual_run_repeats_its_examples(profile: str, repeats: bool) -> None:
    tried: list[list[bytes]] = []

    @settings(settings.get_profile(profile), max_examples=20)
    @given(st.binary(min_size=8, max_size=8))
    def try_one(value: bytes) -> None:
        tried[-1].append(value)

    for _ in range(2):
        tried.append([])
        try_one()
    assert len(tried[0]) == len(tried[1]) == 20
    assert (tried[0] == tried[1]) is repeats


def test_a_deep_run_tries_more_and_says_how_to_repeat_it(monkeypatch: pytest.MonkeyPatch) -> None:
    usual, deep = settings.get_profile("default"), settings.get_profile("deep")
    assert deep.max_examples >= 10 * usual.max_examples
    assert deep.print_blob
    for profile, counts in (("default", (20, 20)), ("deep", (200, 30))):
        monkeypatch.setattr(depth, "PROFILE", profile)
        found = depth.examples(20), depth.examples(20, deep=30)
        assert tuple(each.max_examples for each in found) == counts


def test_a_usual_run_has_the_cases_that_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for profile, found in (("default", ["c", "a"]), ("deep", ["a", "b", "c"])):
        monkeypatch.setattr(depth, "PROFILE", profile)
        assert depth.cases({"a": 1, "b": 2, "c": 3}, "c", "a") == found
    for usual in (["d"], []):
        with pytest.raises(ValueError, match="cases of a usual run"):
            depth.cases("abc", *usual)


def test_every_test_can_go_deeper() -> None:
    """A test's own number of examples would be the same in a deep run."""
    files = [file for file in TESTS.rglob("*.py") if not file.name.endswith("depth.py")]
    assert len(files) > 50
    own = [file.name for file in files if re.search(r"max_examples\s*=[^=]", file.read_text())]
    assert own == []
