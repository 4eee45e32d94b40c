"""The bodies of deals: terms arrive as they were signed, and a deal by its own words."""

from api.routes.deals.bodies import Deal, TermsDocument
from orchestrator.core.deals.terms import Terms
from tests.support.terms import FULL


def test_terms_keep_every_field_on_their_way() -> None:
    document = FULL.to_json()
    assert Terms.from_json(TermsDocument.model_validate(document).model_dump()) == FULL


def test_a_deal_says_from_which_state_by_a_word_that_python_keeps_for_itself() -> None:
    deal = Deal.model_validate({"outcome": "activated", "from": "signed_up"})
    assert deal.model_dump(by_alias=True, exclude_none=True) == {
        "outcome": "activated",
        "from": "signed_up",
    }
