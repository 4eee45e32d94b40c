"""Terms for tests: plain and full ones, legal ones at every bound, and illegal ones."""

import dataclasses
from typing import Any

from eth_account import Account

from orchestrator.core.common.units import DAY_S
from orchestrator.core.deals.terms import Domain, Terms
from orchestrator.core.log.entry import ZERO_ADDRESS

OWNER, OPERATOR, PAYEE, TOKEN, VERIFIER, ARBITER, FEES, ESCROW, LOG = (
    Account.from_key(bytes([i]) * 32).address for i in range(1, 10)
)
OPERATOR_KEY = b"\x02" * 32
DOMAIN = Domain("Tallystick OutcomeEscrow", "1", 31337, ESCROW)
LOG_DOMAIN = Domain("Tallystick EventLog", "1", 31337, LOG)
NOW_S = 1_900_000_000

PLAIN = Terms(
    owner=OWNER,
    operator=OPERATOR,
    payee=PAYEE,
    token=TOKEN,
    verifier=VERIFIER,
    arbiter=ZERO_ADDRESS,
    log_id=b"\x01" * 32,
    surface=b"\x02" * 32,
    policy=b"\x03" * 32,
    attribution="first_touch",
    outcome="activated",
    repeatable=False,
    exclusive=False,
    unit_price_units=8_000_000,
    revenue_share_bps=0,
    budget_units=400_000_000,
    opens_at_s=NOW_S,
    deadline_s=NOW_S + 14 * DAY_S,
    attribution_window_s=7 * DAY_S,
    lateness_s=DAY_S,
    grace_s=DAY_S,
    claim_period_s=0,
    challenge_period_s=0,
    arbitration_period_s=0,
    holdback_bps=0,
    holdback_period_s=0,
    rate_cap_units=0,
    rate_period_s=0,
    fee_bps=0,
    fee_recipient=ZERO_ADDRESS,
    agent_id_plus_one=0,
    salt=b"\x04" * 32,
)


# All that terms can hold: challenge, arbitration, claims, holdback, cap, fee.
FULL = dataclasses.replace(
    PLAIN,
    arbiter=ARBITER,
    attribution="last_touch",
    revenue_share_bps=1_000,
    grace_s=7 * DAY_S,
    claim_period_s=8 * DAY_S,
    challenge_period_s=2 * DAY_S,
    arbitration_period_s=3 * DAY_S,
    holdback_bps=2_000,
    holdback_period_s=15 * DAY_S,
    rate_cap_units=50_000_000,
    rate_period_s=DAY_S,
    fee_bps=250,
    fee_recipient=FEES,
    agent_id_plus_one=1,
)


AMOUNT_MOST = 2**80 - 1
TIME_MOST = 2**40 - 1
PERIODS_S = PLAIN.attribution_window_s + PLAIN.lateness_s + PLAIN.grace_s

ILLEGAL: list[tuple[str, Terms, dict[str, object]]] = [
    ("party-zero", PLAIN, {"owner": ZERO_ADDRESS}),
    ("party-zero", PLAIN, {"operator": ZERO_ADDRESS}),
    ("party-zero", PLAIN, {"payee": ZERO_ADDRESS}),
    ("party-zero", PLAIN, {"token": ZERO_ADDRESS}),
    ("party-zero", PLAIN, {"verifier": ZERO_ADDRESS}),
    ("owner-is-operator", PLAIN, {"operator": OWNER}),
    ("escrow-as-payee", PLAIN, {"payee": ESCROW}),
    ("escrow-as-payee", PLAIN, {"fee_recipient": ESCROW}),
    ("fee-recipient-zero", PLAIN, {"fee_bps": 1}),
    ("arbiter-zero", FULL, {"arbiter": ZERO_ADDRESS}),
    ("amount-range", PLAIN, {"unit_price_units": AMOUNT_MOST + 1}),
    ("amount-range", PLAIN, {"budget_units": AMOUNT_MOST + 1}),
    ("amount-range", FULL, {"rate_cap_units": AMOUNT_MOST + 1}),
    ("bps-range", PLAIN, {"revenue_share_bps": 10_001}),
    ("bps-range", FULL, {"holdback_bps": 10_001}),
    ("bps-range", FULL, {"fee_bps": 10_001}),
    ("price-zero", PLAIN, {"unit_price_units": 0}),
    ("budget-zero", PLAIN, {"budget_units": 0}),
    ("rate-cap-small", FULL, {"rate_cap_units": 1}),
    ("rate-period-zero", FULL, {"rate_period_s": 0}),
    ("opens-in-past", PLAIN, {"opens_at_s": NOW_S - 1}),
    ("deadline-before-opening", PLAIN, {"deadline_s": NOW_S - 1}),
    ("times-range", PLAIN, {"deadline_s": TIME_MOST - PERIODS_S + 1}),
    ("times-range", PLAIN, {"deadline_s": 2**64 - 1}),
    ("times-range", PLAIN, {"grace_s": 2**64 - 1}),
    ("times-range", FULL, {"rate_period_s": 2**40}),
    ("times-range", FULL, {"claim_period_s": 2**39}),
    ("grace-short", FULL, {"grace_s": 7 * DAY_S - 1}),
    ("grace-short", FULL, {"arbitration_period_s": 3 * DAY_S + 1}),
    ("grace-short", FULL, {"lateness_s": DAY_S + 1}),
    ("grace-short", FULL, {"holdback_period_s": 0, "lateness_s": DAY_S + 1}),
    ("grace-short", FULL, {"challenge_period_s": 0, "grace_s": 2 * DAY_S - 1}),
    ("grace-short", PLAIN, {"holdback_period_s": 1}),
    ("claim-period-short", FULL, {"claim_period_s": 8 * DAY_S - 1}),
    ("claim-period-short", FULL, {"claim_period_s": 1}),
]


LEGAL: list[tuple[Terms, dict[str, object]]] = [
    (PLAIN, {}),
    (FULL, {}),
    (PLAIN, {"payee": OPERATOR}),
    (PLAIN, {"verifier": OWNER}),
    (PLAIN, {"unit_price_units": AMOUNT_MOST, "budget_units": AMOUNT_MOST}),
    (PLAIN, {"unit_price_units": 0, "revenue_share_bps": 10_000}),
    (PLAIN, {"fee_bps": 10_000, "fee_recipient": FEES}),
    (PLAIN, {"fee_recipient": FEES}),
    (PLAIN, {"budget_units": 1}),
    (PLAIN, {"deadline_s": NOW_S}),
    (PLAIN, {"deadline_s": TIME_MOST - PERIODS_S}),
    (PLAIN, {"grace_s": 0}),
    (FULL, {"claim_period_s": 0, "arbiter": ZERO_ADDRESS}),
    (FULL, {"lateness_s": 0, "grace_s": 6 * DAY_S}),
    (FULL, {"challenge_period_s": 0, "grace_s": 2 * DAY_S}),
    (FULL, {"challenge_period_s": 0, "holdback_period_s": 0, "grace_s": 0}),
    (PLAIN, {"holdback_period_s": 1, "lateness_s": 0}),
    (FULL, {"holdback_bps": 10_000}),
    (FULL, {"rate_cap_units": 2, "rate_period_s": 1}),
    (FULL, {"rate_cap_units": 0, "rate_period_s": 0}),
]


def terms(**changes: Any) -> Terms:
    """Return terms that open at 0, end at 900 with 100 s of grace, and pay 1 a piece out of 100."""
    plain = dataclasses.replace(
        PLAIN,
        opens_at_s=0,
        deadline_s=900,
        grace_s=100,
        lateness_s=0,
        unit_price_units=1,
        revenue_share_bps=0,
        budget_units=100,
        fee_bps=0,
        fee_recipient=ZERO_ADDRESS,
    )
    return dataclasses.replace(plain, **changes)
