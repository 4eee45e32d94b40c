"""The order of disproofs, the time for claims, and openings that a server withholds."""

import dataclasses
import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from orchestrator.actions import evidence
from orchestrator.actions.contract_state import read_contract_state
from orchestrator.actions.plan import Plan, PlannedTransaction
from orchestrator.chain.caller import Token
from orchestrator.chain.deployment import Chain
from orchestrator.chain.escrow import ContractProgress, PendingStatement, Snapshot
from orchestrator.client.http import Client
from orchestrator.core.common.errors import EscrowError, ReplayError
from orchestrator.core.common.units import DAY_S
from orchestrator.core.deals.escrow_model import EscrowedContract
from orchestrator.core.evidence.exhibits import Case, Claim, escrow_record_of
from orchestrator.verify.comparison import replay
from orchestrator.verify.log_copy import LogCopy
from tests.support.contract_states import CLAIMS, GUARDED, T2, T3, contract_state
from tests.support.market import NOTHING, Market
from tests.support.terms import NOW_S, OPERATOR, OWNER

COIN, DOLLAR = OWNER, OPERATOR  # tokens of 18 and of 6 decimals


def pending(earned: int, taken_back: int = 0) -> PendingStatement:
    return PendingStatement(earned, taken_back, 20, T2 + 3 * DAY_S, False, False)


# --- Claims ---------------------------------------------------------------------------------------


def test_a_statement_that_only_takes_back_stops_no_claim() -> None:
    """The escrow compares with what was earned finally, not with what is left of it."""
    terms = dataclasses.replace(GUARDED, unit_price_units=1, holdback_period_s=30 * DAY_S)
    escrow, now_s = EscrowedContract(terms), T2 + 20
    escrow.settle(NOW_S, 10, 100, 30)
    escrow.release(NOW_S + 3 * DAY_S)
    escrow.settle(T2 + 10, 20, 100, 40)
    escrow.file_claim(now_s, b"key", 5)
    net = escrow.net_units(now_s)
    assert net == 70
    assert (
        evidence._obstacle_to_claims(
            contract_state(terms, now_s=now_s, net_units=net, pending=pending(100, 40))
        )
        is None
    )


@pytest.mark.parametrize(
    ("now_s", "is_blocked"), [(T2, True), (T2 + 1, False), (T3, False), (T3 + 1, True)]
)
def test_when_claims_can_be_filed(now_s: int, is_blocked: bool) -> None:
    obstacle = evidence._obstacle_to_claims(contract_state(now_s=now_s))
    assert (obstacle is not None) is is_blocked


# --- The order of disproofs -----------------------------------------------------------------------


class Escrow:
    """An escrow whose contracts have these pending statements, in these tokens."""

    def __init__(self, *stated: tuple[PendingStatement | None, str]) -> None:
        self.stated = {bytes([n]) * 32: one for n, one in enumerate(stated, 1)}
        self.contracts = {
            name: escrow_record_of(GUARDED, name, n, last_signed=9)
            for n, name in enumerate(self.stated, 1)
        }

    def progress(self, names: list[bytes], _: int) -> dict[bytes, ContractProgress]:
        return {
            name: ContractProgress(
                Snapshot(
                    name, 0, 0, 0, False, False, 0, 0, self.stated[name][0], 0, 0, 0, 0
                ),
                "open", 0, 0, 0, 0,
            )
            for name in names
        }  # fmt: skip

    def terms_of(self, name: bytes) -> object:
        return SimpleNamespace(token=self.stated[name][1])

    def token(self, address: str) -> Token:
        return Token("T", 18 if address == COIN else 6)

    def plan(self, monkeypatch: pytest.MonkeyPatch, unopened: int | None = None) -> Plan:
        def lies(
            _: object, contracts: dict[bytes, Any], __: object, kept: set[int]
        ) -> Iterator[Case]:
            if unopened is not None:
                kept.add(unopened)
                return iter(())
            return iter([Case(name, "sum", ()) for name in contracts])

        def transaction(_: object, __: object, case: Case) -> PlannedTransaction:
            return PlannedTransaction(str(case.contract_id[0]), (), cast(Any, None), (), {})

        monkeypatch.setattr(evidence, "find_disproofs", lies)
        monkeypatch.setattr(evidence, "_disproof_transaction", transaction)
        log = SimpleNamespace(
            contracts=self.contracts, block_number=7, size=9, left_out=False, entries=list, at=None
        )
        return evidence.plan_disproofs(cast(Chain, self), cast(LogCopy, log), None)


def test_what_is_at_stake_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a false statement could hide behind many that are about nothing."""
    escrow = Escrow(
        (None, DOLLAR),
        (pending(5 * 10**18), COIN),
        (pending(9_000_000, 8_000_000), DOLLAR),
        (pending(6_000_000), DOLLAR),
    )
    assert [one.title for one in escrow.plan(monkeypatch).transactions] == ["4", "2", "3", "1"]
    monkeypatch.setattr(evidence, "MAX_TRANSACTIONS", 2)
    assert [one.title for one in escrow.plan(monkeypatch).transactions] == ["4", "2"]


# --- Withheld openings ----------------------------------------------------------------------------


def test_no_log_is_called_sound_while_an_opening_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(ReplayError, match=r"keeps back what entry 5 commits to.*ask another"):
        Escrow((None, DOLLAR)).plan(monkeypatch, unopened=5)


def test_no_claim_is_called_founded_while_an_opening_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    passes = 0

    def entries() -> Iterator[object]:
        nonlocal passes
        passes += 1
        return iter(())

    def refutations(*asked: Any) -> Iterator[tuple[bytes, Case]]:
        list(asked[0])
        asked[4].update(unopened)
        return iter(())

    claims = CLAIMS._replace(
        filed={
            bytes([n]) * 32: CLAIMS.filed[b"\7" * 32]._replace(
                claim=Claim(bytes([n]) * 32, 1, 30, 20, NOW_S * 1000)
            )
            for n in range(1, 5)
        }
    )
    monkeypatch.setattr(evidence, "find_refutations", refutations)
    log = cast(LogCopy, SimpleNamespace(entries=entries, contracts={}, at=None, size=9))
    state = contract_state(now_s=T3, claims=claims)
    for missing, error in (({5}, ReplayError), (set[int](), EscrowError)):
        unopened = missing
        with pytest.raises(error):
            evidence.plan_refutations(cast(Chain, None), log, state)
    assert passes == 2  # one for all four claims


# --- Reversals by proof ---------------------------------------------------------------------------


def test_a_refund_that_no_statement_has_is_proven_and_a_claim_lowered(market: Market) -> None:
    """A tenth of an order of 100.00, of which 5.00 were given back, is 9.50; of all, nothing."""
    share: dict[str, object] = {
        "unit_price_units": "0",
        "revenue_share_bps": 1000,
        "holdback_bps": 5000,
        "holdback_period_s": 30 * DAY_S,
    }
    contract_id = market.open("ada", **share)
    asked = f"0x{contract_id.hex()}"
    market.advance_to(market.sandbox.clock() // 1000 + 3600)
    for lead in ("stated", "silent"):
        _win_order(market, lead)
        if lead == "stated":
            market.sandbox.settle("one")
            market.advance_to(market.sandbox.clock() // 1000 + 2 * DAY_S + 1)
    market.refused(NOTHING, "there is nothing to prove", "prove-reversal", asked, by="owner")
    # From here on the verifier states nothing.
    market.report("refund", ["stated", "silent"], "5.00", "first")
    market.sandbox.come_to_rest()
    proven = market.run("prove-reversal", asked, "--yes", "--json", by="stranger")
    assert proven.code == 0, proven
    (sent,) = json.loads(proven.stdout)["transactions"]
    assert sent["amount_units"] == "500000"
    state = read_contract_state(market.chain, contract_id)
    assert state.net_units == 9_500_000
    market.refused(NOTHING, "there is nothing to prove", "prove-reversal", asked, by="owner")

    market.advance_to(state.times.statements_until_s + 1)
    assert market.run("claim", asked, "--yes", by="ada").code == 0
    (claim,) = read_contract_state(market.chain, contract_id).claims.open.values()
    assert claim.amount == 10_000_000
    explained = market.run("refute", asked, "--dry-run")
    assert "9.50 TEST are left of the claim" in explained.stdout
    # Our own pipeline does it, once.
    market.sandbox.come_to_rest()
    (claim,) = read_contract_state(market.chain, contract_id).claims.open.values()
    assert claim.amount == 9_500_000
    market.refused(NOTHING, "there is nothing to refute", "refute", asked, by="owner")

    # A second refund takes all that was left of the stated order.
    market.report("refund", ["stated"], "", "first")
    market.sandbox.come_to_rest()
    assert market.run("prove-reversal", asked, "--yes", by="owner").code == 0
    state = read_contract_state(market.chain, contract_id)
    assert state.net_units == 0
    with Client(market.sandbox.url) as client:
        compared = replay(client, market.chain, market.sandbox.stack.site.log_id)
    (contract,) = compared.contracts
    assert contract.paid_units == state.paid_units == 5_000_000


def _win_order(market: Market, lead: str) -> None:
    """Let ada bring a lead to buy for 100.00."""
    market.report_hourly(lead, "signup")
    ada = market.operators["ada"]
    ada.touch(market.surface, ada.leads(market.surface, "trial"), "email", lead)
    market.sandbox.stack.drain()
    market.sandbox.pass_time(3600)
    market.report("buy", [lead], "100.00", "first")
