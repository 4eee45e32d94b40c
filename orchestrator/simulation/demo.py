"""The demonstration: eighteen months of a real market, on a real chain, in a few minutes.

1. Start PostgreSQL and a local chain a day before the first purchase, deploy, open the log.
2. The owner opens a surface and lets the escrow take its budget.
3. Operators sign in, propose contracts; the owner accepts; the escrow opens them. A client who is
   no party posts an ERC-8183 job that the log is to decide.
4. Day by day the owner reports purchases; week by week agents look and act; every four weeks the
   log is anchored, statements are settled and payouts come back into the log.
   On the way, a verifier stays silent and its operator claims by proof; the owner disputes a
   statement and the arbiter decides by the log; what customers send back is taken back.
5. What is left goes back to the owner, and what was paid to an agent's ERC-8004 record. A customer
   is forgotten; what the log proves it proves on.
6. Publisher and verifier of another log lie together, and a stranger stops them.
7. A stranger replays the public log with the terms from the chain and compares with the wallets.
8. One receipt is checked, then tampered with and refused.

Everybody speaks HTTP to the real server. One clock moves the API, the log and the chain.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from orchestrator.client.accounts import OperatorClient, OwnerClient, wallet
from orchestrator.client.http import Client
from orchestrator.core.errors import ChainError, ReplayError
from orchestrator.core.policy import parse
from orchestrator.core.units import BPS, DAY_MS, DAY_S
from orchestrator.runtime.stack import SentTransaction
from orchestrator.simulation import cdnow
from orchestrator.simulation import disputes as trials
from orchestrator.simulation import integrations as elsewhere
from orchestrator.simulation.cdnow import (
    OFFERS,
    POLICY,
    SILENT_DAYS,
    SILENT_OFFER,
    SURFACE_NAME,
    Day,
    Offer,
)
from orchestrator.simulation.forgery import Fraud, Tampered, tamper
from orchestrator.simulation.forgery import stage as stage_fraud
from orchestrator.simulation.sandbox import Sandbox, SandboxOptions, Say, address_of, key_of
from orchestrator.verify import comparison as checks
from orchestrator.verify.receipt_check import check_receipt, receipt_chain

START_MS = int(datetime(1996, 12, 31, tzinfo=UTC).timestamp()) * 1000
OPENS_S = START_MS // 1000 + DAY_S
DEADLINE_S = int(datetime(1998, 7, 1, tzinfo=UTC).timestamp()) - 1
GRACE_S = 7 * DAY_S
WEEK_MS = 7 * DAY_MS
ROUND_MS = 28 * DAY_MS
ORIGIN = "demo.tallystick/cdnow"
FEE_BPS = 200
OWNER_FUNDS_UNITS = 20_000_000_000
OPERATORS = ("ada", "bo", "cy", "dee", "eve")
FORGOTTEN = "customer-0001"
# One is an agent of ERC-8004's registry; another works on an ERC-8183 job at the same time.
AGENT, PROVIDER = "ada", "bo"
SILENT_DEADLINE_S = OPENS_S + SILENT_DAYS * DAY_S
# Claims open when nobody may state anything any more.
CLAIMS_OPEN_MS = (SILENT_DEADLINE_S + trials.SILENCE_S) * 1000
DISPUTED_ROUND = 2
# The last payouts wait for holdbacks and challenges, a day longer for events that come late.
PATIENCE_S = DAY_S + max(
    (offer.guard.challenge_days + offer.guard.holdback_days) * DAY_S
    for offer in OFFERS
    if offer.guard
)


class Earned(NamedTuple):
    """What became of one contract; amounts in token base units."""

    operator: str
    outcome: str
    contract_id: bytes
    outcomes: int
    reversals: int
    over_units: int
    paid_units: int
    fee_units: int
    budget_units: int
    refund_units: int


@dataclass(slots=True)
class DemoReport:
    """What the demonstration found out, for whoever prints it."""

    contracts: list[Earned] = field(default_factory=list)
    events: int = 0
    touches: int = 0
    entries: int = 0
    rounds: int = 0
    transactions: list[SentTransaction] = field(default_factory=list)
    balances: dict[str, int] = field(default_factory=dict)
    owner_refund_units: int = 0
    dispute: trials.Dispute | None = None
    silence: trials.Silence | None = None
    fraud: Fraud | None = None
    job: elsewhere.JobReport | None = None
    record: elsewhere.ReputationRecord | None = None
    replay: checks.Comparison | None = None
    receipt: dict[str, Any] | None = None
    shown: list[str] = field(default_factory=list)
    tampered: Tampered | None = None
    urls: dict[str, str] = field(default_factory=dict)


class Demo:
    """One run. `with` starts the servers and stops them; `run` tells the story of `days`."""

    def __init__(
        self,
        folder: Path,
        say: Say,
        *,
        rpc_url: str | None = None,
        database_url: str | None = None,
        days: Iterable[Day] | None = None,
    ) -> None:
        self._say = say
        self._days = cdnow.with_returns(cdnow.purchases() if days is None else days)
        self.story = DemoReport()
        self._scene = Sandbox(
            SandboxOptions(folder, START_MS, ORIGIN, FEE_BPS, database_url, rpc_url), say
        )
        self.stack, self.clock = self._scene.stack, self._scene.clock
        self.url, self.rpc_url = self._scene.url, self._scene.rpc_url
        self.token, self.treasury = self._scene.token, self._scene.treasury
        self.owner = OwnerClient(self.url, wallet(key_of("owner")), "owner")
        self.operators = {
            name: OperatorClient(self.url, wallet(key_of(name)), name) for name in OPERATORS
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for actor in (self.owner, *self.operators.values()):
            actor.close()
        self._scene.__exit__(kind, error, trace)

    def run(self) -> DemoReport:
        """Tell the whole story; the servers stay up until the `with` block ends."""
        self._open_surface()
        self._open_contracts()
        self._live()
        self._refund()
        self._forget()
        self._stop_a_fraud()
        self._tell()
        self._replay()
        self._check_receipt()
        return self.story

    # 2

    def _open_surface(self) -> None:
        self._say("the owner opens its surface and lets the escrow take its budget")
        self.owner.sign_in()
        self.surface = self.owner.open_surface(SURFACE_NAME, POLICY)
        self.stack.drain()
        chain = self.stack.chain
        self._scene.send("owner", chain.mint(self.token, self.owner.address, OWNER_FUNDS_UNITS))
        self._scene.send("owner", chain.approve(self.token, OWNER_FUNDS_UNITS))

    # 3

    def _open_contracts(self) -> None:
        self._say(f"{len(OPERATORS)} operators propose {len(OFFERS) + 1} contracts")
        for operator in self.operators.values():
            operator.sign_in()
        self.stack.drain()
        agent_id = elsewhere.register_agent(self._scene, AGENT)
        self.offers = {}
        for offer in OFFERS:
            deal = _deal(offer, DEADLINE_S, GRACE_S)
            if offer.operator == AGENT:
                deal["agent_id_plus_one"] = str(agent_id + 1)
            operator = self.operators[offer.operator]
            proposed = operator.propose(self.surface, self.stack.escrow_domain, **deal)
            self.offers[proposed] = offer
        self.owner.accept_all(self.surface, self.stack.escrow_domain)
        self._scene.come_to_rest()
        operator = self.operators[SILENT_OFFER.operator]
        deal = _deal(SILENT_OFFER, SILENT_DEADLINE_S, trials.SILENCE_S)
        self._silent = trials.open_silent(self._scene, operator, self.surface, **deal)
        self.offers[self._silent] = SILENT_OFFER
        self._scene.come_to_rest()
        opened = len(self.stack.log.contracts(-1, len(self.offers) + 1))
        if opened != len(self.offers):
            raise ChainError("open-failed", f"{opened} of {len(self.offers)} contracts were opened")
        self._guarded = next(name for name, offer in self.offers.items() if offer.guard)
        self._say("a client who is no party posts a job that the log is to decide (ERC-8183)")
        watched = next(name for name, offer in self.offers.items() if offer.operator == PROVIDER)
        self.story.job = elsewhere.post_job(
            self._scene, PROVIDER, watched, self.offers[watched].budget_units // 2, DEADLINE_S
        )

    # 4

    def _live(self) -> None:
        self._doing = cdnow.habits()
        next_look_ms, next_round_ms = START_MS + DAY_MS, START_MS + ROUND_MS
        for day_ms, bought in self._days:
            while next_look_ms <= day_ms:
                self.clock.set_to(next_look_ms)
                for name, operator in self.operators.items():
                    self.story.touches += cdnow.work(
                        operator, self.surface, self._doing[name], next_look_ms
                    )
                self.stack.drain()
                next_look_ms += WEEK_MS
            self.clock.set_to(day_ms + DAY_MS - 1)
            self.owner.report_events(self.surface, bought)
            self.stack.drain()
            self.story.events += len(bought)
            if self.story.silence is None and day_ms > CLAIMS_OPEN_MS:
                self._claim()
            if day_ms >= next_round_ms:
                self._round(day_ms)
                next_round_ms += ROUND_MS
        self.clock.set_to(DEADLINE_S * 1000)
        self._round(DEADLINE_S * 1000)

    def _round(self, at_ms: int) -> None:
        """State, anchor, settle, and bring the payouts back into the log."""
        self.story.rounds += 1
        month = datetime.fromtimestamp(at_ms // 1000, UTC).strftime("%B %Y")
        self._scene.settle(f"{at_ms}")
        self._say(f"settled up to {month}")
        silence = self.story.silence
        if silence is not None and not silence.paid_units:
            self.story.silence = trials.collect(self._scene, SILENT_OFFER.operator, silence)
        if self.story.job is not None:
            self.story.job = elsewhere.try_job(self._scene, PROVIDER, self.story.job)
        if self.story.rounds == DISPUTED_ROUND:
            self._say("the owner disputes a statement; the arbiter replays the log and rules")
            self.story.dispute = trials.dispute(self._scene, self._guarded)
            self._scene.come_to_rest()

    def _claim(self) -> None:
        """The contract's time for statements is over, and its verifier never made one."""
        self._say(f"{SILENT_OFFER.operator}'s verifier said nothing: claiming by proof")
        # Her contract is over: she looks at no more leads.
        self._doing[SILENT_OFFER.operator].clear()
        self._scene.come_to_rest()
        self.story.silence = trials.claim(self._scene, SILENT_OFFER.operator, self._silent)
        self._scene.come_to_rest()

    # 5

    def _refund(self) -> None:
        self._say("the contracts have ended: what is left is refunded, fees are withdrawn")
        for wait_s in (GRACE_S + 1, PATIENCE_S):
            self._scene.pass_time(wait_s)
            self._scene.come_to_rest()
        chain = self.stack.chain
        before = chain.balance_of(self.token, self.owner.address)
        for contract_id, offer in self.offers.items():
            if chain.paid_of(contract_id) < offer.budget_units:
                self._scene.send("owner", chain.refund(contract_id))
        if chain.credit_of(self.token, self.treasury):
            self._scene.send("treasury", chain.withdraw(self.token, self.treasury))
        self._scene.come_to_rest()
        self.story.owner_refund_units = chain.balance_of(self.token, self.owner.address) - before
        (motion,) = parse(POLICY).motions_into(self.offers[self._guarded].outcome)
        self._say("the owner writes what an agent was paid to its public record (ERC-8004)")
        self.story.record = elsewhere.give_feedback(self._scene, self._guarded, motion)

    def _forget(self) -> None:
        self._say(f"{FORGOTTEN} asks to be forgotten: its rows go, and the log proves on")
        self.owner.erase(self.surface, FORGOTTEN)
        self.stack.drain()
        self._scene.pass_time(DAY_S)  # long enough for the log to be anchored without a statement
        self._scene.come_to_rest()

    # 6

    def _stop_a_fraud(self) -> None:
        self._say("a publisher and a verifier lie together; a stranger shows it by the log")
        self.story.fraud = stage_fraud(self._scene)
        self._scene.come_to_rest()

    def _tell(self) -> None:
        story, chain, log = self.story, self.stack.chain, self.stack.log
        newest = log.checkpoint()
        story.entries = newest.size if newest else 0
        for contract in log.contracts(-1, len(self.offers) + 1):
            contract_id = contract.rules.contract_id
            offer, paid = self.offers[contract_id], chain.paid_of(contract_id)
            story.contracts.append(
                Earned(
                    offer.operator,
                    offer.outcome,
                    contract_id,
                    contract.outcomes,
                    contract.reversals,
                    contract.over_units,
                    paid,
                    paid * FEE_BPS // BPS,
                    offer.budget_units,
                    offer.budget_units - paid,
                )
            )
        story.transactions = self.stack.transactions()
        story.balances = {
            actor.address: chain.balance_of(self.token, actor.address)
            for actor in self.operators.values()
        } | {self.treasury: chain.balance_of(self.token, self.treasury)}
        story.urls = {"api": self.url, "rpc": self.rpc_url}

    # 7

    def _replay(self) -> None:
        self._say("a stranger replays the public log with the terms from the chain")
        with Client(self.url) as client:
            chain, log_id = checks.connect(client, self.rpc_url)
            try:
                found = checks.replay(client, chain, log_id)
            finally:
                chain.close()
        due = found.due_units()
        job = self.story.job
        if job is not None and job.is_completed:
            due[job.provider] += job.budget_units
        if due != self.story.balances:
            raise ReplayError(
                "payouts-differ", f"the replay gives {due}, the wallets hold {self.story.balances}"
            )
        unpaid = [c for c in found.contracts if c.paid_units != c.payable_units]
        if unpaid:
            raise ReplayError("payouts-missing", f"{len(unpaid)} contracts were not paid in full")
        self.story.replay = found

    # 8

    def _check_receipt(self) -> None:
        self._say("checking a receipt, then one that was tampered with")
        with Client(self.url) as client:
            document = client.get(f"/v1/receipts/{self._first_paid_outcome()}")
        chain = receipt_chain(document, self.rpc_url)
        try:
            self.story.receipt = document
            self.story.shown = check_receipt(document, chain)
            self.story.tampered = tamper(document, chain)
        finally:
            chain.close()

    def _first_paid_outcome(self) -> int:
        for contract_id in self.offers:
            for stored in self.stack.log.outcomes_of(contract_id, 0, 1000):
                if stored.entry.kind == "outcome":
                    return stored.position
        raise ReplayError("nothing-paid", "no outcome was paid")


def _deal(offer: Offer, deadline_s: int, grace_s: int) -> dict[str, object]:
    """What an offer's terms say of their own."""
    deal: dict[str, object] = {
        "outcome": offer.outcome,
        "repeatable": offer.repeatable,
        "unit_price_units": str(offer.unit_price_units),
        "revenue_share_bps": offer.revenue_share_bps,
        "budget_units": str(offer.budget_units),
        "opens_at_s": OPENS_S,
        "deadline_s": deadline_s,
        "attribution_window_s": offer.window_days * DAY_S,
        "grace_s": grace_s,
    }
    if offer.guard is not None:
        deal |= {
            "arbiter": address_of(trials.ARBITER),
            "challenge_period_s": offer.guard.challenge_days * DAY_S,
            "arbitration_period_s": offer.guard.arbitration_days * DAY_S,
            "holdback_bps": offer.guard.holdback_bps,
            "holdback_period_s": offer.guard.holdback_days * DAY_S,
        }
    return deal
