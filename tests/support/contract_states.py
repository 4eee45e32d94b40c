"""States of one contract in the escrow: open, with a pending statement, disputed, with claims."""

import dataclasses
from typing import Any

from orchestrator.actions.contract_state import Claims, ContractState, FiledClaim
from orchestrator.chain.caller import Token
from orchestrator.chain.escrow import PendingStatement
from orchestrator.core.common.units import DAY_S
from orchestrator.core.deals.terms import Terms
from orchestrator.core.evidence.exhibits import Claim
from tests.support.terms import ARBITER, NOW_S, PLAIN

GUARDED = dataclasses.replace(
    PLAIN,
    arbiter=ARBITER,
    grace_s=6 * DAY_S,
    claim_period_s=8 * DAY_S,
    challenge_period_s=2 * DAY_S,
    arbitration_period_s=2 * DAY_S,
)

ESCROW = "0x5FbDB2315678afecb367f032d93F642f64180aa3"

# The ends of the times for outcomes, statements, claims and refutations.
T1 = PLAIN.deadline_s
T2, T3, T4 = T1 + 6 * DAY_S, T1 + 14 * DAY_S, T1 + 22 * DAY_S

PENDING = PendingStatement(16_000_000, 0, 40, NOW_S + 5 * DAY_S, False, False)

# A dispute moves the resolution by the arbitration period.
DISPUTED = PENDING._replace(owner_disputed=True, resolves_at_s=PENDING.resolves_at_s + 2 * DAY_S)

LEAD = b"\7" * 32

CLAIMS = Claims({LEAD: FiledClaim(Claim(LEAD, 8_000_000, 30, 20, NOW_S * 1000))})


def contract_state(terms: Terms = GUARDED, **changes: Any) -> ContractState:
    """Return the state of an open contract without a statement, with these fields changed."""
    state = ContractState(
        contract_id=b"\1" * 32,
        terms=terms,
        token=Token("USDC", 6),
        block_number=7,
        now_s=NOW_S + 4 * DAY_S,
        status="open",
        paid_units=0,
        net_units=0,
        owed_units=0,
        releasable_units=0,
        releasable_at_s=0,
        budget_units=terms.budget_units,
        reserved_units=0,
        pending=None,
        closed_at_s=0,
        is_retired=False,
        claims=Claims({}),
    )
    state = state._replace(**changes)
    return state if "reserved_units" in changes else state._replace(reserved_units=_reserved(state))


def _reserved(state: ContractState) -> int:
    """Return what the lens would say is reserved in this state."""
    if state.pending is not None and state.has_arbiter:
        return state.budget_units
    most = state.net_units + state.claims.claimed_units
    return min(state.budget_units, max(state.paid_units, most))
