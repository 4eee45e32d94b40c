"""A contract in lines and options for people: its terms, its state, who can act, until when."""

import dataclasses
from typing import Any, cast

import pytest

from orchestrator.chain.caller import AccountFacts
from orchestrator.cli import contract_view
from orchestrator.core.common.units import DAY_S, format_second
from tests.support.contract_states import (
    CLAIMS,
    DISPUTED,
    GUARDED,
    PENDING,
    T2,
    T3,
    T4,
    contract_state,
)
from tests.support.terms import NOW_S, OWNER, PLAIN

# --- Options --------------------------------------------------------------------------------------


def test_who_can_do_what_when() -> None:
    now_s = NOW_S + 4 * DAY_S
    ruled = CLAIMS._replace(ruled_units=5)
    anyone, owner, operator, arbiter = "anyone", "the owner", "the operator", "the arbiter"
    either, both, verifier = "the owner or the operator", "owner and operator", "the verifier"
    disprove, filing = (anyone, "disprove", 0, T2), (operator, "claim", T2 + 1, T3)
    refund, close = (anyone, "refund", T3 + 1, None), (both, "close", 0, None)
    refute, contest = (anyone, "refute", 0, T4), (either, "dispute", T3 + 1, T4)
    state, release = (verifier, "", NOW_S, T2), (anyone, "release", 0, None)
    prove = (anyone, "prove-reversal", 0, None)
    ends_s = PENDING.resolves_at_s
    plain_end_s = PLAIN.deadline_s + PLAIN.grace_s
    state_of_plain, stop_plain = (verifier, "", NOW_S, plain_end_s), (*disprove[:3], plain_end_s)
    refund_plain = (anyone, "refund", plain_end_s + 1, None)
    for changes, expected in (
        ({}, {state, disprove, filing, refund, close}),
        ({"now_s": NOW_S - 1, "status": "scheduled"}, {state, disprove, filing, refund, close}),
        (
            {"pending": PENDING},
            {disprove, (owner, "dispute", 0, ends_s), (operator, "dispute", 0, ends_s), filing,
             refund, close},
        ),
        (
            {"pending": DISPUTED},
            {disprove, (operator, "dispute", 0, ends_s), (arbiter, "rule", 0, ends_s + 2 * DAY_S),
             filing, refund, close},
        ),
        (  # The time to dispute is over, the arbiter's is not.
            {"pending": DISPUTED, "now_s": ends_s + 1},
            {disprove, (arbiter, "rule", 0, ends_s + 2 * DAY_S), filing, refund, close},
        ),
        ({"is_retired": True}, {filing, refund, close}),
        ({"releasable_units": 5}, {state, disprove, filing, refund, close, release}),
        (
            {"releasable_at_s": now_s + 9},
            {state, disprove, filing, refund, close, (anyone, "release", now_s + 9, None)},
        ),
        ({"now_s": T2 + 1, "status": "claimable"}, {filing, refund, close}),
        ({"now_s": T3, "claims": CLAIMS}, {filing, refute, contest, refund, close}),
        ({"now_s": T3 + 1, "claims": CLAIMS}, {refute, contest, refund, close}),
        (
            {"now_s": T3 + 1, "claims": CLAIMS._replace(is_disputed=True)},
            {refute, (arbiter, "rule", T3 + 1, T4), refund, close},
        ),
        ({"now_s": T3 + 1, "claims": ruled}, {refute, refund, close}),
        ({"now_s": T4 + 1, "claims": CLAIMS, "status": "refundable"}, {refund, close}),
        (
            {"now_s": T4 + 1, "net_units": GUARDED.budget_units, "status": "releasing"},
            {close},
        ),
        (
            {
                "now_s": T4 + 1,
                "net_units": GUARDED.budget_units,
                "status": "releasing",
                "terms": dataclasses.replace(GUARDED, holdback_bps=1),
            },
            {prove, close},
        ),
        ({"net_units": 9, "paid_units": 9}, {state, disprove, filing, refund, close}),
        ({"net_units": 9, "terms": PLAIN}, {state_of_plain, stop_plain, refund_plain, close}),
        ({"now_s": T4 + 1, "status": "refunded"}, set()),
        ({"status": "paid_out"}, set()),
        ({"status": "closed", "closed_at_s": 5, "releasable_units": 5}, {release}),
    ):  # fmt: skip
        options = contract_view.options(contract_state(**cast(dict[str, Any], changes)))
        offered = [(one.who, one.command, one.from_s, one.until_s) for one in options]
        assert set(offered) == expected, changes
        assert len(offered) == len(expected)


def test_options_come_in_the_order_of_time() -> None:
    state = contract_state(pending=PENDING)
    lines = [contract_view.format_option(state, one) for one in contract_view.options(state)]
    assert lines[0].startswith("now until ")
    assert lines[0].endswith("the owner can put the pending statement before the arbiter  "
                             "(tallystick dispute)")  # fmt: skip
    assert lines[-1].startswith(f"from {format_second(T3 + 1)}: anyone can give the owner back")


def test_what_the_terms_say() -> None:
    terms = dataclasses.replace(
        GUARDED, revenue_share_bps=250, repeatable=True, holdback_bps=1000,
        holdback_period_s=30 * DAY_S, rate_cap_units=50_000_000, rate_period_s=3600, fee_bps=200,
        fee_recipient=OWNER,
    )  # fmt: skip
    lines = dict(
        contract_view.format_contract(contract_state(terms, claims=CLAIMS, pending=PENDING))
    )
    assert lines["pays"] == '8.00 USDC and 2.50% of its value, each time a lead enters "activated"'
    assert lines["held back"] == "10.00% of what became final in the last 31 d"
    assert lines["paid out"] == "at most 50.00 USDC in any 1 h"
    assert lines["fee"] == f"2.00% of what is paid, to {OWNER}"
    assert lines["claimed"] == "8.00 USDC, in 1 claim"
    for ruled_units, claimed in ((3_000_000, "3.00"), (9_000_000, "8.00")):
        ruled = CLAIMS._replace(is_disputed=True, ruled_units=ruled_units)
        claimed_line = dict(contract_view.format_contract(contract_state(claims=ruled)))["claimed"]
        assert claimed_line == f"{claimed} USDC, in 1 claim, as the arbiter ruled"
    assert lines["pending"].startswith("the statement at entry 40, 16.00 USDC in all, until 20")
    assert (
        dict(contract_view.format_contract(contract_state(PLAIN)))["arbiter"]
        == "none: nothing can be disputed"
    )


@pytest.mark.parametrize(("status", "has_ended"), [("closed", True), ("refundable", False)])
def test_feedback_is_offered_once_after_the_end_to_an_agent(status: str, has_ended: bool) -> None:
    agent = dataclasses.replace(GUARDED, agent_id_plus_one=1)
    for terms, is_given in ((GUARDED, False), (agent, True), (agent, None), (agent, False)):
        for paid_units in (0, 5):
            state = contract_state(
                terms, status=status, is_feedback_given=is_given, paid_units=paid_units
            )
            is_offered = any(one.command == "feedback" for one in contract_view.options(state))
            is_due = has_ended and terms is agent and is_given is False and paid_units > 0
            assert is_offered is is_due


# --- Accounts that nothing on chain checks --------------------------------------------------------


def test_what_the_chain_has_of_each_account_is_shown_with_the_cautions() -> None:
    accounts = {
        "payee": AccountFacts(b"", 0),
        "verifier": AccountFacts(bytes.fromhex("ef0100") + bytes(20), 4),
        "arbiter": AccountFacts(b"\x60" * 50, 1),
        "fee recipient": AccountFacts(b"", 2),
    }
    terms = dataclasses.replace(GUARDED, fee_bps=250, fee_recipient=OWNER)
    state = contract_state(terms, accounts=accounts, cautions=("one thing", "another"))
    lines = list(contract_view.format_contract(state))
    shown = dict(lines)
    assert shown["payee"].endswith(" (no code, no transactions sent)")
    assert shown["verifier"].endswith(
        " (a key with the code of a wallet (EIP-7702), 4 transactions sent)"
    )
    assert shown["arbiter"].endswith(" (50 bytes of code, 1 transaction sent)")
    assert shown["fee"].endswith(" (no code, 2 transactions sent)")
    assert [text for heading, text in lines if heading == "caution"] == ["one thing", "another"]
    document = contract_view.contract_to_json(state)
    assert document["cautions"] == ["one thing", "another"]
    found = cast(dict[str, Any], document["accounts"])
    assert found["verifier"] == {"code_bytes": 23, "transactions": 4, "is_delegated": True}


def test_a_contract_on_a_forked_log_says_so() -> None:
    state = contract_state(forked_at_s=1_800_000_000)
    expected = "marked as forked at 2027-01-15 08:00:00 UTC: nothing more of it is anchored"
    assert dict(contract_view.format_contract(state))["log"] == expected
    assert contract_view.contract_to_json(state)["log_forked_at_s"] == 1_800_000_000
    plain = contract_state()
    assert "log" not in dict(contract_view.format_contract(plain))
    assert contract_view.contract_to_json(plain)["log_forked_at_s"] is None
