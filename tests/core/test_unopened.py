"""A contract that is not open: each status, the last failure, and the next try."""

import pytest

from orchestrator.core.unopened import ProposalState, why_unopened
from orchestrator.core.why.reason import Code

SIGNED = ProposalState(b"\xab" * 32, "accepted", 1_772_368_200_000, is_ours=True)


def test_a_failed_opening_says_why_and_when_it_is_tried_again() -> None:
    failed = SIGNED._replace(tries=3, failure="the escrow may take 0.00", next_ms=1_772_368_140_000)
    answer = why_unopened(failed)
    assert answer.subject == failed.contract_id
    assert answer.text == "contract 0xabababab… is not open: both parties have signed it"
    assert [part.text for part in answer.parts] == [
        "it was tried 3 times, the last one failed: the escrow may take 0.00",
        (
            "it is tried again at 2026-03-01 12:29:00 UTC; it can be opened until "
            "2026-03-01 12:30:00 UTC"
        ),
    ]
    assert answer.find(Code.OPENING_FAILED).numbers == {"tries": 3}
    assert answer.find(Code.OPENING_AGAIN).numbers == {"next_ms": 1_772_368_140_000}


@pytest.mark.parametrize(
    ("found", "code", "said"),
    [
        (SIGNED, Code.OPENING_TRIED, "it is to be tried soon"),
        (SIGNED._replace(tries=1), Code.OPENING_TRIED, "a try is under way, or was the last"),
        (SIGNED._replace(is_ours=False), Code.OPENING_LEFT, "its parties open it themselves"),
        (
            SIGNED._replace(waits_for="openings_a_day", next_ms=1_772_368_140_000),
            Code.OPENING_PUT_OFF,
            "the service's limit openings_a_day puts it off until 2026-03-01 12:29:00 UTC",
        ),
    ],
)
def test_what_happens_next(found: ProposalState, code: Code, said: str) -> None:
    assert said in why_unopened(found).find(code).text


@pytest.mark.parametrize(
    "status", ["proposed", "declined", "withdrawn", "expired", "lapsed", "opened"]
)
def test_what_is_not_signed_or_is_over_is_tried_no_more(status: str) -> None:
    over = SIGNED._replace(status=status, tries=1, failure="Revoked")
    assert why_unopened(over).codes() == {Code.UNOPENED, Code.OPENING_FAILED}
