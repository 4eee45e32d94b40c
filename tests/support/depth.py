"""Profiles of the tests: how many examples, if they are the same each time, what runs at all."""

import os
from collections.abc import Iterable
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, settings

PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "default")
DEEPER = 10
Case = TypeVar("Case")

# A counterexample belongs in a test of its own, so a usual run tries the same examples everywhere.
# The deep profile (scripts/test --deep) tries more, and others each time. Each sets every option,
# because a profile inherits from the one that is active. A busy machine is not a failure.
settings.register_profile(
    "default",
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
    max_examples=25,
)
settings.register_profile(
    "deep",
    derandomize=False,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
    max_examples=2000,
    print_blob=True,
)


def examples(usual: int, *, deep: int | None = None) -> settings:
    """Return settings with another number of examples than the profile's.

    A deep run tries ten times as many, or `deep` where each of them costs much.
    """
    if PROFILE == "deep":
        usual = deep or usual * DEEPER
    return settings(max_examples=usual)


def cases(every: Iterable[Case], *usual: Case) -> list[Case]:
    """Return the cases that a test has: in a deep run all, in a usual one those named here.

    It is for tests that take long and whose cases go one way: those that a usual run has should
    differ most.
    """
    found = list(every)
    missing = [one for one in usual if one not in found]
    if missing or not usual:
        raise ValueError(f"the cases of a usual run are among all, and there are some: {missing}")
    return found if PROFILE == "deep" else list(usual)


# For what takes long and tells little that a usual run does not: such as tests of tools that a deep
# run alone starts, or that have compiled by themselves.
deep_only = pytest.mark.skipif(PROFILE != "deep", reason="takes long; scripts/test --deep")
