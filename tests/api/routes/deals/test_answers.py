"""The answers about deals: the terms in them are those that were signed."""

from api.routes.deals.answers import Proposal
from orchestrator.core.deals.terms import Terms
from tests.support.terms import FULL


def test_terms_keep_every_field_on_their_way_back() -> None:
    undecided = "owner_signature answers offer opening accepted_ms declined_ms withdrawn_ms"
    proposal = Proposal.model_validate(
        {
            "contract_id": "0x" + "0a" * 32,
            "status": "proposed",
            "terms": FULL.to_json(),
            "operator_signature": "0x" + "5f" * 65,
            "version": 1,
            "created_ms": 1,
            "opened_by": "service",
            **dict.fromkeys(undecided.split()),
        }
    )
    assert Terms.from_json(proposal.model_dump()["terms"]) == FULL
