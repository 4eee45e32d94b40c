"""Short deals become complete terms, and terms the deal that they are."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.common.errors import DocumentError, TermsError
from orchestrator.core.common.units import DAY_S
from orchestrator.core.deals.deal import NONE, TERM_KEYS, changes_between, deal_of, draft_terms
from orchestrator.core.deals.terms import Terms
from orchestrator.core.log.entry import ZERO_ADDRESS
from orchestrator.core.surface.surface_settings import DealDefaults
from tests.support.deals import EIGHTEEN, FRAME, USDC, deals
from tests.support.terms import ARBITER, FULL, NOW_S, OPERATOR, PAYEE

SALT = b"\4" * 32
SHORT = {"outcome": "activated", "from": "signed_up", "price": "8.00 USDC", "at_most": 50}


def drafted(**changes: object) -> Terms:
    return draft_terms(SHORT | changes, FRAME, OPERATOR, NOW_S, SALT).terms


def test_a_short_deal_becomes_complete_terms() -> None:
    draft = draft_terms(
        SHORT | {"window": "7 days", "closes_in": "14 days", "hold": "3 days"},
        FRAME,
        OPERATOR,
        NOW_S,
        SALT,
    )
    assert draft.token == USDC
    assert draft.terms == Terms(
        owner=FRAME.owner,
        operator=OPERATOR,
        payee=OPERATOR,
        token=USDC.address,
        verifier=FRAME.verifier,
        arbiter=ZERO_ADDRESS,
        log_id=FRAME.log_id,
        surface=FRAME.surface,
        policy=FRAME.policy.hash,
        attribution="first_touch",
        outcome="activated",
        repeatable=False,
        exclusive=False,
        unit_price_units=8_000_000,
        revenue_share_bps=0,
        budget_units=400_000_000,
        opens_at_s=NOW_S + DAY_S,
        deadline_s=NOW_S + 14 * DAY_S,
        attribution_window_s=7 * DAY_S,
        lateness_s=DAY_S,
        grace_s=3 * DAY_S,
        claim_period_s=0,
        challenge_period_s=0,
        arbitration_period_s=0,
        holdback_bps=10_000,
        holdback_period_s=3 * DAY_S,
        rate_cap_units=0,
        rate_period_s=0,
        fee_bps=250,
        fee_recipient=FRAME.fee_recipient,
        agent_id_plus_one=0,
        salt=SALT,
    )


def test_every_default_is_told() -> None:
    draft = draft_terms(SHORT, FRAME, OPERATOR, NOW_S, SALT)
    complete = deal_of(draft.terms, USDC)
    told = {"outcome", "price", "budget"}
    assert {one.term for one in draft.defaults} == set(TERM_KEYS) - told
    assert all(one.value == complete[one.term] for one in draft.defaults)
    assert {one.source for one in draft.defaults} == {"usual"}


def test_defaults_come_from_the_settings_where_they_have_them() -> None:
    usual = DealDefaults(window_s=3 * DAY_S, lasts_s=10 * DAY_S, hold_s=DAY_S, hold_bps=2_000)
    frame = FRAME._replace(usual=usual)
    draft = draft_terms(SHORT, frame, OPERATOR, NOW_S, SALT)
    terms = draft.terms
    assert terms.attribution_window_s == 3 * DAY_S
    assert terms.deadline_s == NOW_S + 11 * DAY_S
    assert (terms.holdback_period_s, terms.holdback_bps) == (DAY_S, 2_000)
    by_settings = {one.term for one in draft.defaults if one.source == "settings"}
    assert by_settings == {"window", "closes_at", "hold", "hold_share"}
    # What is told goes before.
    told = draft_terms(SHORT | {"hold": "0 days"}, frame, OPERATOR, NOW_S, SALT).terms
    assert (told.holdback_period_s, told.holdback_bps) == (0, 0)


@given(deals(), st.binary(min_size=32, max_size=32))
def test_terms_and_complete_deals_are_two_forms_of_one(deal: dict[str, Any], salt: bytes) -> None:
    draft = draft_terms(deal, FRAME, OPERATOR, NOW_S, salt)
    complete = deal_of(draft.terms, draft.token)
    assert tuple(complete) == TERM_KEYS
    again = draft_terms(complete, FRAME, OPERATOR, NOW_S, salt)
    assert (again.terms, again.defaults) == (draft.terms, ())
    assert deal_of(again.terms, again.token) == complete
    # No amount ever was a float: what is told is what is signed, to the last unit.
    units = draft.terms.unit_price_units
    assert units * 10**6 == int(deal["price"].replace(".", "").ljust(1)) * 10 ** (
        6 - len(deal["price"].partition(".")[2]) + draft.token.decimals
    )


def test_terms_with_every_feature_have_a_deal() -> None:
    terms = replace(
        FULL,
        owner=FRAME.owner,
        policy=FRAME.policy.hash,
        attribution="first_touch",
        opens_at_s=NOW_S + 60,
        fee_bps=FRAME.fee_bps,
    )
    complete = deal_of(terms, USDC)
    assert complete["claims"] == "8 days"
    assert complete["agent_id"] == "0"
    assert complete["arbiter"] == ARBITER
    assert draft_terms(complete, FRAME, OPERATOR, NOW_S, terms.salt).terms == terms


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"outcome": "delighted"}, "outcome-unknown"),
        ({"outcome": "new"}, "outcome-unknown"),
        ({"from": "activated"}, "from-unknown"),
        ({"price": 8}, "text-missing"),
        ({"price": 8.0}, "text-missing"),
        ({"price": "8.00 EUR"}, "price-malformed"),
        ({"price": "8.0000001"}, "price-malformed"),
        ({"share": "101 %"}, "share-malformed"),
        ({"at_most": 0}, "number-invalid"),
        ({"at_most": True}, "number-invalid"),
        ({"at_most": None}, "budget-missing"),
        ({"budget": "1"}, "deal-twice"),
        ({"share": "1 %"}, "at-most-of-share"),
        ({"window": "a while"}, "window-malformed"),
        ({"opens_at": "2026-01-01T00:00:00.5Z"}, "opens-at-malformed"),
        ({"token": "EUR"}, "token-unknown"),
        ({"payee": OPERATOR.lower()}, "payee-malformed"),
        ({"agent_id": "-1"}, "agent-id-malformed"),
        ({"exclusive": "yes"}, "flag-invalid"),
        ({"colour": "red"}, "key-unknown"),
    ],
)
def test_deals_that_cannot_be_read_are_refused(changes: dict[str, object], code: str) -> None:
    with pytest.raises(DocumentError) as caught:
        drafted(**changes)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"price": "0"}, "price-zero"),
        ({"opens_at": "2020-01-01T00:00:00Z"}, "opens-in-past"),
        ({"opens_in": "0 days"}, "opens-in-past"),
        ({"closes_in": "1 hour"}, "deadline-before-opening"),
        ({"claims": "8 days"}, "arbiter-zero"),
        ({"hold": "1 day", "grace": "1 day"}, "grace-short"),
        ({"price": "1", "rate_cap": "0.000001"}, "rate-cap-small"),
    ],
)
def test_deals_that_no_escrow_would_open_are_refused(changes: dict[str, object], code: str) -> None:
    with pytest.raises(TermsError) as caught:
        drafted(**changes)
    assert caught.value.code == code


def test_a_token_is_named_by_symbol_or_address() -> None:
    for name in ("DAI", EIGHTEEN.address):
        terms = drafted(token=name, price="8.00 DAI")
        assert (terms.token, terms.unit_price_units) == (EIGHTEEN.address, 8 * 10**18)


def test_versions_differ_in_plain_units() -> None:
    before = drafted()
    assert changes_between(before, replace(before, salt=bytes(32)), USDC) == []
    after = drafted(price="7.50", at_most=60, hold="3 days", payee=PAYEE)
    found = {one.term: (one.before, one.after) for one in changes_between(before, after, USDC)}
    assert found == {
        "price": ("8.00", "7.50"),
        "budget": ("400.00", "450.00"),
        "hold": ("0 seconds", "3 days"),
        "hold_share": ("0 %", "100 %"),
        "payee": (OPERATOR, PAYEE),
    }
    other = replace(before, token=EIGHTEEN.address, verifier=PAYEE)
    found = {one.term: (one.before, one.after) for one in changes_between(before, other, EIGHTEEN)}
    assert found == {
        "token": (USDC.address, EIGHTEEN.address),
        "verifier": (before.verifier, PAYEE),
    }
    assert deal_of(before, USDC)["arbiter"] == NONE
