"""A replay as lines for people and as JSON."""

import io

from rich.console import Console

from orchestrator.cli.checks.view import comparison_to_json, print_comparison
from orchestrator.verify.comparison import Comparison, ContractComparison
from tests.support.terms import PLAIN, VERIFIER

COMPARISON = Comparison(
    entries=1_234,
    anchored_size=1_200,
    forked_at_s=None,
    signer=VERIFIER,
    contracts=[
        ContractComparison(
            contract_id=b"\x12" * 32,
            terms=PLAIN,
            outcomes=1_000,
            payable_units=8_000_000_000,
            paid_units=7_500_000_000,
            owed_units=500_000_000,
            status="open",
            is_ruled=is_ruled,
        )
        for is_ruled in (False, True)
    ],
)


def test_amounts_are_base_units_as_text_in_json() -> None:
    document = comparison_to_json(COMPARISON)
    assert (document["entries"], document["anchored_size"]) == (1_234, 1_200)
    assert (document["forked_at_s"], document["signer"]) == (None, VERIFIER)
    assert document["contracts"][0] == {
        "contract_id": "0x" + "12" * 32,
        "outcomes": 1_000,
        "payable_units": "8000000000",
        "paid_units": "7500000000",
        "owed_units": "500000000",
        "status": "open",
        "is_ruled": False,
    }


def test_each_contract_is_shown_by_the_log_and_by_the_escrow() -> None:
    output = io.StringIO()
    print_comparison(COMPARISON, Console(file=output, width=200))
    amounts = "8,000.00 payable by the log, 7,500.00 paid, 500.00 still owed"
    assert output.getvalue() == (
        f"0x{'12' * 32}\n  open; 1,000 outcomes, {amounts}\n"
        f"0x{'12' * 32}\n  open, the arbiter ruled; 1,000 outcomes, {amounts}\n"
        "1,234 entries are what the rules give, and the chain holds the root of the first 1,200.\n"
        "The last 34 are behind the last anchor: the publisher's signature alone vouches for them, "
        f"{VERIFIER}'s.\n"
    )
    output = io.StringIO()
    print_comparison(COMPARISON._replace(entries=1_200), Console(file=output, width=200))
    assert "signature" not in output.getvalue()


def test_a_forked_log_is_said_to_be_one() -> None:
    forked = COMPARISON._replace(forked_at_s=1_800_000_000)
    assert comparison_to_json(forked)["forked_at_s"] == 1_800_000_000
    output = io.StringIO()
    print_comparison(forked, Console(file=output, width=200))
    assert output.getvalue().endswith(
        "But the log was marked as forked at 2027-01-15 08:00:00 UTC: this is one of two histories "
        "that its publisher has told, and nothing more of it is anchored.\n"
    )
