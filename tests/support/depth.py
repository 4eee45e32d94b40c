"""The number of examples of the property tests, and the profiles of a usual and a deep run."""

import os

from hypothesis import HealthCheck, settings

PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "default")
DEEPER = 10

# Found counterexamples belong in a test of their own, so runs are the same everywhere; the deep
# profile (scripts/test --deep) looks further, at other examples each time. It says all this for
# itself, because a profile inherits from whichever is active. A busy machine is not a failure.
settings.register_profile(
    "default",
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
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
    """Return the settings of a test that tries another number of examples than the profile's.

    A deep run tries ten times as many, or `deep` where each of them costs much.
    """
    if PROFILE == "deep":
        usual = deep or usual * DEEPER
    return settings(max_examples=usual)
