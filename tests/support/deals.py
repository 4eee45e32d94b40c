"""Short deals for tests, at random and legal, and the frame that they are drafted in."""

from typing import Any

from hypothesis import strategies as st

from orchestrator.core.common.units import (
    DAY_S,
    NS_PER_S,
    format_amount,
    format_duration,
    format_percent,
    format_time,
)
from orchestrator.core.deals.deal import Frame
from orchestrator.core.deals.site import TokenInfo
from orchestrator.core.surface.policy import parse
from tests.support.terms import (
    ARBITER,
    ESCROW,
    FEES,
    NOW_S,
    OPERATOR,
    OWNER,
    PAYEE,
    TOKEN,
    VERIFIER,
)

SURFACE_POLICY = {
    "initial": "new",
    "states": ["new", "signed_up", "activated", "subscribed"],
    "transitions": [
        {"on": "signup", "from": ["new"], "to": "signed_up", "motion": "acquisition"},
        {"on": "activate", "from": ["signed_up"], "to": "activated", "motion": "activation"},
        {"on": "subscribe", "from": ["activated"], "to": "subscribed", "motion": "conversion"},
    ],
    "reversals": [{"on": "refund", "of": "subscribed"}],
    "attribution": "first_touch",
    "lateness_s": DAY_S,
    "touches_per_lead": 50,
}
USDC = TokenInfo(TOKEN, "USDC", 6)
EIGHTEEN = TokenInfo(PAYEE, "DAI", 18)
FRAME = Frame(
    owner=OWNER,
    log_id=b"\1" * 32,
    surface=b"\2" * 32,
    policy=parse(SURFACE_POLICY),
    verifier=VERIFIER,
    fee_bps=250,
    fee_recipient=FEES,
    tokens=(USDC, EIGHTEEN),
    escrow=ESCROW,
)


def deals() -> st.SearchStrategy[dict[str, Any]]:
    """Return complete deals that the escrow would open, and shorter ones of the same keys."""
    # Of a token with 18 decimals the escrow holds a million and some.
    amounts = st.integers(1, 10**12).map(lambda units: format_amount(units).replace(",", ""))
    moments = st.integers(NOW_S + 10, NOW_S + 100 * DAY_S)
    periods = st.integers(0, 90 * DAY_S).map(format_duration)
    shares = st.integers(1, 10_000).map(format_percent)

    def moment(second: int) -> str:
        return format_time(second * NS_PER_S)

    return st.fixed_dictionaries(
        {
            "outcome": st.sampled_from(["signed_up", "activated", "subscribed"]),
            "price": amounts,
            "budget": amounts,
        },
        optional={
            "share": shares,
            "token": st.sampled_from(["USDC", "DAI", TOKEN]),
            "opens_at": moments.map(moment),
            "closes_at": moments.map(lambda second: moment(second + 100 * DAY_S)),
            "window": periods,
            "repeatable": st.booleans(),
            "exclusive": st.booleans(),
            "hold": periods,
            "hold_share": shares,
            "arbiter": st.just(ARBITER),
            "payee": st.sampled_from([PAYEE, OPERATOR]),
            "agent_id": st.sampled_from(["none", "0", "7"]),
        },
    )
