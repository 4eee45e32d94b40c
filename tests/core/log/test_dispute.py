"""The words of disputes: which side, about what, and which rulings an operator has lost."""

import pytest

from orchestrator.core.common.names import short_name
from orchestrator.core.log.dispute import (
    DISPUTE_LABELS,
    RULING_LABELS,
    dispute_label,
    is_about_claims,
    is_by_owner,
    is_lost,
    ruling_label,
)

BOTH = (True, False)


def test_every_dispute_has_a_label_that_says_whose_it_is_and_about_what() -> None:
    found = {
        dispute_label(by_owner=by_owner, of_claims=of_claims): (by_owner, of_claims)
        for by_owner in BOTH
        for of_claims in BOTH
    }
    assert set(found) == set(DISPUTE_LABELS)
    for label, (by_owner, of_claims) in found.items():
        assert (is_by_owner(label), is_about_claims(label)) == (by_owner, of_claims)
        assert short_name(label) == label


@pytest.mark.parametrize("of_claims", BOTH)
@pytest.mark.parametrize(("ruled", "lost"), [(0, True), (6, True), (7, False), (8, False)])
def test_a_ruling_for_less_is_lost(ruled: int, lost: bool, of_claims: bool) -> None:
    if of_claims and ruled > 7:
        return  # no ruling raises claims
    label = ruling_label(7, ruled, of_claims=of_claims)
    assert label in RULING_LABELS
    assert (is_lost(label), is_about_claims(label)) == (lost, of_claims)
