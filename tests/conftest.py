"""Settings that every Python test shares."""

import os

from hypothesis import settings

# Found counterexamples belong in a test of their own, so runs are the same everywhere; the deep
# profile (scripts/test --deep) looks further. No deadline: a busy machine is not a failure.
settings.register_profile("default", derandomize=True, deadline=None, database=None)
settings.register_profile("deep", deadline=None, database=None, max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))
