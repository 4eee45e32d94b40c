"""The demonstration: eighteen months of a real market, on a real chain, in a few minutes.

1. Start PostgreSQL and a local chain a day before the first purchase, deploy, open the log.
2. The owner opens a surface and lets the escrow take its budget.
3. Operators sign in and propose contracts; the owner accepts; the escrow opens them. A client that
   has no part in the market posts an ERC-8183 job that the log is to decide.
4. Day by day the owner reports purchases. Every week agents look at their leads and act. Every four
   weeks the log is anchored, statements are settled and payouts come back into the log.
   One agent brings customers by a code, one has the owner's endpoint send gifts, which our webhooks
   ask it for; two take a standing offer. Two keys of one agent share its leads by leases. What
   else they do is in `work`.
   On the way, a verifier stays silent and its operator claims by proof; the owner disputes a
   statement and the arbiter decides by the log; what customers send back is reversed, order by
   order, in whole or in part.
5. What is left goes back to the owner, and what was paid goes to an agent's ERC-8004 record. A
   customer is erased, and all proofs still hold.
6. Publisher and verifier of another log forge a statement, and a stranger disproves it.
7. A stranger replays the public log with the terms from the chain and compares with the wallets.
   Then what came to a payee that two operators share is paid out to both.
8. One receipt is checked, then tampered with and refused.

All parties speak HTTP to the real server. One clock moves the API, the log and the chain.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from orchestrator.client.accounts import EventReport, OperatorClient, OwnerClient, wallet
from orchestrator.client.http import Client
from orchestrator.core.common.errors import ChainError, ReplayError
from orchestrator.core.common.hexadecimal import from_hex, to_hex
from orchestrator.core.common.units import DAY_MS, DAY_S, format_amount
from orchestrator.core.log.entry import address_word
from orchestrator.core.resource import ResourceGroup
from orchestrator.core.surface.policy import parse
from orchestrator.runtime.serve import Progress
from orchestrator.runtime.stack import SentTransaction
from orchestrator.simulation import cdnow, disputes, integrations
from orchestrator.simulation.cdnow import (
    CONTRACTS,
    DEADLINE_S,
    OPENS_S,
    SILENT_CONTRACT,
    START_MS,
    Day,
    PlannedContract,
)
from orchestrator.simulation.disputes import ARBITER, ClaimedOutcomes, Dispute
from orchestrator.simulation.forgery import (
    Forgery,
    TamperedReceipt,
    check_tampered_receipt,
    forge_and_disprove,
)
from orchestrator.simulation.integrations import JobReport, ReputationRecord, SharedPay
from orchestrator.simulation.outcomes import MotionResult, Outcomes, PartialRefund
from orchestrator.simulation.sandbox import Sandbox, SandboxOptions, address_of, key_of
from orchestrator.simulation.trust import Forecaster, LevelChange, McpOperator, level_changes
from orchestrator.simulation.work import OwnerEndpoint, SurfaceWork, Teamwork, Work, work_by_leases
from orchestrator.storage.database import NO_URLS, DatabaseUrls
from orchestrator.verify.comparison import Comparison, connect, replay
from orchestrator.verify.receipt_check import check_receipt, receipt_chain

GRACE_S = 7 * DAY_S
WEEK_MS = 7 * DAY_MS
ROUND_MS = 28 * DAY_MS
ORIGIN = "demo.tallystick/cdnow"
FEE_BPS = 200
OWNER_FUNDS_UNITS = 20_000_000_000
OPERATORS = ("ada", "bo", "cy", "dee", "eve", cdnow.FORECASTER, cdnow.BRINGER, cdnow.REQUESTER)
ERASED_CUSTOMER = "customer-0001"
# One is an agent of ERC-8004's registry; another works on an ERC-8183 job at the same time.
AGENT, PROVIDER = "ada", "bo"
# The owner answers its proposal with a lower price.
BARGAIN = next(
    planned for planned in CONTRACTS if planned.unit_price_units and planned.operator != AGENT
)
# What the agent with a code earns by it is shared with one that helped, in basis points.
SHARES = {cdnow.BRINGER: 7_000, cdnow.REQUESTER: 3_000}
SHARED = next(planned for planned in CONTRACTS if planned.operator == cdnow.BRINGER)
# So many leads of one look are worked on by two keys of an agent.
TEAM_LEADS = 6
SILENT_DEADLINE_S = OPENS_S + cdnow.SILENT_DAYS * DAY_S
# Claims open when the time for statements is over.
CLAIMS_OPEN_MS = (SILENT_DEADLINE_S + disputes.SILENT_GRACE_S) * 1000
DISPUTED_ROUND = 2
# The last payouts wait for a challenge period and a holdback, and a day for events that come late.
LAST_PAYOUT_S = DAY_S + max(
    (planned.safeguards.challenge_days + planned.safeguards.holdback_days) * DAY_S
    for planned in CONTRACTS
    if planned.safeguards
)


class Bargain(NamedTuple):
    """A proposal that the owner answered with a lower price, and the version that was opened."""

    asked_id: bytes
    agreed_id: bytes
    asked_price_units: int
    agreed_price_units: int


class ContractResult(NamedTuple):
    """The outcomes and payments of one contract; amounts in token base units."""

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
    """The results of a demonstration, as far as it has come."""

    contracts: list[ContractResult] = field(default_factory=list)
    motions: dict[str, MotionResult] = field(default_factory=dict)
    bargain: Bargain | None = None
    work: Work | None = None
    teamwork: Teamwork | None = None
    shared: SharedPay | None = None
    events: int = 0
    touches: int = 0
    forecasts: int = 0
    levels: list[LevelChange] = field(default_factory=list)
    entries: int = 0
    rounds: int = 0
    transactions: list[SentTransaction] = field(default_factory=list)
    balances: dict[str, int] = field(default_factory=dict)
    owner_refund_units: int = 0
    refund: PartialRefund | None = None
    dispute: Dispute | None = None
    claimed: ClaimedOutcomes | None = None
    forgery: Forgery | None = None
    job: JobReport | None = None
    reputation: ReputationRecord | None = None
    comparison: Comparison | None = None
    receipt: dict[str, Any] | None = None
    receipt_lines: list[str] = field(default_factory=list)
    tampered: TamperedReceipt | None = None
    urls: dict[str, str] = field(default_factory=dict)


class Demo(ResourceGroup):
    """One demonstration on the events of `days`, the whole sample's if they are not given.

    The constructor starts the servers. They stay up after `run`, until this is closed.
    """

    def __init__(
        self,
        folder: Path,
        report_progress: Progress,
        *,
        rpc_url: str | None = None,
        databases: DatabaseUrls = NO_URLS,
        days: Iterable[Day] | None = None,
    ) -> None:
        super().__init__()
        self._report_progress = report_progress
        purchases = list(cdnow.read_purchases() if days is None else days)
        self._purchases = purchases
        self._days = cdnow.add_arrivals(cdnow.add_returns(purchases))
        self._routines = cdnow.agent_routines()
        # When the forecaster was hired, UTC milliseconds.
        self._has_risen: int | None = None
        self.report = DemoReport()
        with self._opening():
            options = SandboxOptions(folder, START_MS, ORIGIN, FEE_BPS, databases, rpc_url)
            self._sandbox = self._exits.enter_context(Sandbox(options, report_progress))
            self.stack, self.clock = self._sandbox.stack, self._sandbox.clock
            self.url, self.rpc_url = self._sandbox.url, self._sandbox.rpc_url
            self.token, self.treasury = self._sandbox.token, self._sandbox.treasury
            self.owner = self._exits.enter_context(
                OwnerClient(self.url, wallet(key_of("owner")), "owner")
            )
            self.operators = {
                name: self._exits.enter_context(self._operator(name)) for name in OPERATORS
            }
            self._endpoint = self._exits.enter_context(OwnerEndpoint())

    def _operator(self, name: str) -> OperatorClient:
        account = wallet(key_of(name))
        if name == cdnow.FORECASTER:
            return McpOperator(self.url, account, name, self.stack.drain)
        return OperatorClient(self.url, account, name)

    def run(self) -> DemoReport:
        """Run the whole demonstration, and return its results."""
        self._open_surface()
        self._open_contracts()
        self._run_market()
        self._end_contracts()
        self._erase_customer()
        self._disprove_forgery()
        self._replay()
        self._pay_out_shares()
        self._check_receipt()
        return self.report

    def _open_surface(self) -> None:
        self._report_progress("the owner opens its surface and lets the escrow take its budget")
        self.owner.sign_in()
        self.surface = self.owner.open_surface(cdnow.SURFACE_NAME, cdnow.POLICY)
        self.stack.drain()
        self.owner.publish_settings(self.surface, cdnow.settings(self.token))
        self.stack.drain()
        chain = self.stack.chain
        self._sandbox.send("owner", chain.mint(self.token, self.owner.address, OWNER_FUNDS_UNITS))
        self._sandbox.send("owner", chain.approve(self.token, OWNER_FUNDS_UNITS))

    def _open_contracts(self) -> None:
        self._report_progress(f"{len(OPERATORS)} operators propose {len(CONTRACTS) + 1} contracts")
        for operator in self.operators.values():
            operator.sign_in()
        self._forecaster = Forecaster(
            self.operators[cdnow.FORECASTER], self.surface, self._purchases
        )
        agent_id = integrations.register_agent(self._sandbox, AGENT)
        self._agreement = integrations.agree_on_shares(self._sandbox, SHARES)
        self.contracts: dict[bytes, PlannedContract] = {}
        for number, planned in enumerate(CONTRACTS):
            terms = planned.terms(DEADLINE_S, GRACE_S, address_of(ARBITER))
            # Of one operator's contracts the first to be opened wins, in the order of their ids,
            # which are the same in every run.
            terms["salt"] = to_hex(number.to_bytes(32))
            if planned.operator == AGENT:
                terms["agent_id_plus_one"] = str(agent_id + 1)
            if planned is SHARED:
                terms["payee"] = self._agreement.address
            operator = self.operators[planned.operator]
            asked = dict(terms)
            if planned is BARGAIN:
                # It asks for twice the price first, and the owner answers with the one that holds.
                asked["unit_price_units"] = str(2 * int(str(terms["unit_price_units"])))
            proposed = operator.propose(self.surface, self.stack.escrow_domain, **asked)
            if planned is BARGAIN:
                proposed = self._bargain(proposed)
            self.contracts[proposed] = planned
        self.owner.accept_all(self.surface, self.stack.escrow_domain)
        self._sandbox.come_to_rest()
        self._open_with_silent_verifier()
        self._begin_work(agent_id)
        opened = len(self.stack.log.contracts(-1, len(self.contracts) + 1))
        if opened != len(self.contracts):
            raise ChainError(
                "open-failed", f"{opened} of {len(self.contracts)} contracts were opened"
            )
        self._guarded_id = next(
            id_ for id_, planned in self.contracts.items() if planned.safeguards
        )
        self._report_progress(
            "a client who is no party posts a job that the log is to decide (ERC-8183)"
        )
        watched_id = next(
            id_ for id_, planned in self.contracts.items() if planned.operator == PROVIDER
        )
        minimum_units = self.contracts[watched_id].budget_units // 2
        self.report.job = integrations.post_job(
            self._sandbox, PROVIDER, watched_id, minimum_units, DEADLINE_S
        )

    def _bargain(self, proposed: bytes) -> bytes:
        """Have the owner answer with a lower price and the operator sign it; return the new id."""
        price_units = BARGAIN.unit_price_units
        price = format_amount(price_units).replace(",", "")
        self.owner.counter(proposed, outcome=BARGAIN.outcome, price=price)
        agreed = self.operators[BARGAIN.operator].sign_counter(proposed, self.stack.escrow_domain)
        self.report.bargain = Bargain(proposed, agreed, 2 * price_units, price_units)
        return agreed

    def _begin_work(self, agent_id: int) -> None:
        self._report_progress("two operators take a standing offer; webhooks go to an endpoint")
        parties = self.owner, self.operators
        self._work = SurfaceWork(self._sandbox, *parties, self.surface, self._endpoint)
        self._work.begin(AGENT, agent_id)
        self.contracts |= self._work.take_offer()
        self.owner.accept_all(self.surface, self.stack.escrow_domain)
        self._sandbox.come_to_rest()

    def _open_with_silent_verifier(self) -> None:
        operator = self.operators[SILENT_CONTRACT.operator]
        terms = SILENT_CONTRACT.terms(
            SILENT_DEADLINE_S, disputes.SILENT_GRACE_S, address_of(ARBITER)
        )
        self._silent_id = disputes.open_with_silent_verifier(
            self._sandbox, operator, self.surface, **terms
        )
        self.contracts[self._silent_id] = SILENT_CONTRACT
        self._sandbox.come_to_rest()

    def _run_market(self) -> None:
        """Let the days pass, with the agents' weeks and the rounds of settlement between them."""
        next_look_ms, next_round_ms = START_MS + DAY_MS, START_MS + ROUND_MS
        for day_ms, events in self._days:
            # Days without purchases are not among them, so several weeks may have passed.
            while next_look_ms <= day_ms:
                self._let_agents_act(next_look_ms)
                next_look_ms += WEEK_MS
            self._report_events(day_ms, events)
            if self.report.claimed is None and day_ms > CLAIMS_OPEN_MS:
                self._claim_outcomes()
            if day_ms >= next_round_ms:
                self._settle(day_ms)
                next_round_ms += ROUND_MS
        self.clock.set_to(DEADLINE_S * 1000)
        self._settle(DEADLINE_S * 1000)

    def _let_agents_act(self, now_ms: int) -> None:
        self.clock.set_to(now_ms)
        # What can be opened of the forecasts is scored, and the next one is made.
        self.stack.pipeline.score()
        self.report.forecasts += self._forecaster.forecast(now_ms)
        self.stack.drain()
        self._share_leads(now_ms)
        for name, operator in self.operators.items():
            # Without a level, or suspended, it sees no leads, and there is nothing to do.
            routines = self._routines[name]
            self.report.touches += cdnow.touch_due_leads(operator, self.surface, routines, now_ms)
        self.stack.drain()
        self._work.act(now_ms)
        if self._has_risen is None and self._forecaster.level:
            self._hire_forecaster(now_ms)

    def _share_leads(self, now_ms: int) -> None:
        """Have two keys of an agent share by leases what it does on its first look at leads."""
        if self.report.teamwork is not None:
            return
        operator, (routine,) = self.operators[AGENT], self._routines[AGENT]
        due = routine.choose_due(operator.leads(self.surface, routine.state), now_ms)
        if not due:
            return
        team, others = due[:TEAM_LEADS], due[TEAM_LEADS:]
        self._report_progress(f"two keys of {AGENT} share {len(team)} leads by leases")
        self.report.teamwork = work_by_leases(operator, self.surface, team, routine.action)
        operator.touch(self.surface, others, routine.action, f"{routine.state}-{now_ms}")
        self.report.touches += len(due)

    def _hire_forecaster(self, now_ms: int) -> None:
        """Open a contract with the agent that has risen by its forecasts alone."""
        name = cdnow.FORECASTER
        self._has_risen = now_ms
        self._report_progress(f"{name} has forecast well enough to touch leads, and is hired")
        terms = cdnow.FORECASTER_CONTRACT.terms(DEADLINE_S, GRACE_S, address_of(ARBITER))
        terms["opens_at_s"] = now_ms // 1000 + DAY_S
        domain = self.stack.escrow_domain
        proposed = self.operators[name].propose(self.surface, domain, **terms)
        self.contracts[proposed] = cdnow.FORECASTER_CONTRACT
        self.owner.accept_all(self.surface, domain)
        self._sandbox.come_to_rest()

    def _report_events(self, day_ms: int, events: list[EventReport]) -> None:
        """Report a day's events at its end: the API takes none from the future."""
        self.clock.set_to(day_ms + DAY_MS - 1)
        self.owner.report_events(self.surface, self._work.with_code(events))
        self.stack.drain()
        self.report.events += len(events)

    def _settle(self, at_ms: int) -> None:
        """State, anchor, settle, and do what has become due on chain since the last round."""
        self.report.rounds += 1
        day = datetime.fromtimestamp(at_ms // 1000, UTC)
        self._sandbox.settle(f"{at_ms}")
        self._report_progress(f"settled up to {day.day} {day:%B %Y}")
        suspended = self.operators[cdnow.SUSPENDED].address
        if self.report.rounds == cdnow.SUSPENDED_ROUND:
            self._report_progress(f"the owner suspends {cdnow.SUSPENDED} for four weeks")
            self.owner.suspend(self.surface, suspended, "complaints")
        elif self.report.rounds == cdnow.SUSPENDED_ROUND + 1:
            self.owner.restore(self.surface, suspended, "agreed")
        self.stack.drain()
        claimed = self.report.claimed
        if claimed is not None and not claimed.paid_units:
            self.report.claimed = disputes.collect_claims(
                self._sandbox, SILENT_CONTRACT.operator, claimed
            )
        if self.report.job is not None:
            self.report.job = integrations.complete_job_if_met(
                self._sandbox, PROVIDER, self.report.job
            )
        if self.report.rounds == DISPUTED_ROUND:
            self._report_progress(
                "the owner disputes a statement; the arbiter replays the log and rules"
            )
            self.report.dispute = disputes.dispute_statement(self._sandbox, self._guarded_id)
            self._sandbox.come_to_rest()

    def _claim_outcomes(self) -> None:
        """Claim the outcomes of the contract whose verifier has stated nothing in time."""
        operator = SILENT_CONTRACT.operator
        self._report_progress(f"{operator}'s verifier said nothing: claiming by proof")
        # The contract is over, so its operator works on no more leads.
        self._routines[operator].clear()
        # The entries must be anchored before they can be proven.
        self._sandbox.come_to_rest()
        self.report.claimed = disputes.claim_outcomes(self._sandbox, operator, self._silent_id)
        self._sandbox.come_to_rest()

    def _end_contracts(self) -> None:
        """Pay what was held back, refund the rest, and write an agent's record."""
        self._report_progress(
            "the contracts have ended: what is left is refunded, fees are withdrawn"
        )
        for wait_s in (GRACE_S + 1, LAST_PAYOUT_S):
            self._sandbox.pass_time(wait_s)
            self._sandbox.come_to_rest()
        chain = self.stack.chain
        before = chain.balance_of(self.token, self.owner.address)
        for contract_id, planned in self.contracts.items():
            if chain.paid_of(contract_id) < planned.budget_units:
                self._sandbox.send("owner", chain.refund(contract_id))
        credit_units = chain.credit_of(self.token, self.treasury)
        if credit_units:
            self._sandbox.send("treasury", chain.withdraw(self.token, self.treasury, credit_units))
        self._sandbox.come_to_rest()
        self.report.owner_refund_units = chain.balance_of(self.token, self.owner.address) - before
        (motion,) = parse(cdnow.POLICY).motions_into(self.contracts[self._guarded_id].outcome)
        self._report_progress(
            "the owner writes what an agent was paid to its public record (ERC-8004)"
        )
        self.report.reputation = integrations.write_reputation(
            self._sandbox, self._guarded_id, motion
        )

    def _erase_customer(self) -> None:
        self._report_progress(
            f"{ERASED_CUSTOMER} asks to be forgotten: its rows go, and the log proves on"
        )
        self.owner.erase(self.surface, ERASED_CUSTOMER)
        self.stack.drain()
        self._sandbox.pass_time(DAY_S)  # long enough for the log to be anchored without a statement
        self._sandbox.come_to_rest()

    def _disprove_forgery(self) -> None:
        self._report_progress(
            "a publisher and a verifier lie together; a stranger shows it by the log"
        )
        self.report.forgery = forge_and_disprove(self._sandbox)
        self._sandbox.come_to_rest()

    def _replay(self) -> None:
        """Compare a stranger's replay with the wallets, and put both in the report."""
        self._report_progress("a stranger replays the public log with the terms from the chain")
        with Client(self.url) as client:
            chain, log_id, _ = connect(client, self.rpc_url)
            with chain:
                comparison = replay(client, chain, log_id)
        balances = self._balances()
        due = comparison.due_units()
        job = self.report.job
        if job is not None and job.is_completed:
            due[job.provider] += job.budget_units
        if due != balances:
            raise ReplayError(
                "payouts-differ", f"the replay gives {due}, the wallets hold {balances}"
            )
        unpaid = [c for c in comparison.contracts if c.paid_units != c.payable_units]
        if unpaid:
            raise ReplayError("payouts-missing", f"{len(unpaid)} contracts were not paid in full")
        self.report.comparison, self.report.balances = comparison, balances
        self.report.contracts = self._contract_results(comparison)
        newest = self.stack.log.checkpoint()
        self.report.entries = newest.size if newest else 0
        outcomes = Outcomes(parse(cdnow.POLICY))
        outcomes.take_all(self.stack.records(0, self.report.entries))
        self.report.motions, self.report.refund = outcomes.motions, outcomes.refund
        self._compare_levels(comparison)
        self.report.work = self._work.result()
        names = {operator.address: name for name, operator in self.operators.items()}
        self.report.levels = level_changes(self.stack.log, names)
        self.report.transactions = self.stack.transactions()
        self.report.urls = {"api": self.url, "rpc": self.rpc_url}

    def _pay_out_shares(self) -> None:
        self._report_progress(f"what {' and '.join(SHARES)} share is paid out to both")
        self.report.shared = integrations.pay_out_shares(
            self._sandbox, "treasury", self._agreement, SHARES
        )

    def _balances(self) -> dict[str, int]:
        """Return what operators' wallets, a shared payee and the treasury hold, by address."""
        hired = dict.fromkeys(planned.operator for planned in self.contracts.values())
        addresses = [*(self.operators[name].address for name in hired), self.treasury]
        addresses.append(self._agreement.address)
        return {address: self.stack.chain.balance_of(self.token, address) for address in addresses}

    def _contract_results(self, comparison: Comparison) -> list[ContractResult]:
        """Return the log's counts with the amounts that the replay has found to be paid."""
        compared = {contract.contract_id: contract for contract in comparison.contracts}
        results = []
        for contract in self.stack.log.contracts(-1, len(self.contracts) + 1):
            contract_id = contract.rules.contract_id
            planned, paid_units = self.contracts[contract_id], compared[contract_id].paid_units
            results.append(
                ContractResult(
                    planned.operator,
                    planned.outcome,
                    contract_id,
                    contract.outcomes,
                    contract.reversals,
                    contract.over_units,
                    paid_units,
                    compared[contract_id].fee_units,
                    planned.budget_units,
                    planned.budget_units - paid_units,
                )
            )
        return results

    def _compare_levels(self, comparison: Comparison) -> None:
        """Compare the levels that the replay gives with what the service says of each operator."""
        here = from_hex(self.surface)
        found = {one.operator: one for one in comparison.levels if one.surface == here}
        for name, operator in self.operators.items():
            told, replayed = operator.standing(self.surface), found[address_word(operator.address)]
            if (replayed.level, replayed.is_suspended) != (told["level"], told["is_suspended"]):
                raise ReplayError(
                    "levels-differ", f"the replay gives {replayed} for {name}, the service {told}"
                )

    def _check_receipt(self) -> None:
        self._report_progress("checking a receipt, then one that was tampered with")
        with Client(self.url) as client:
            document = client.get(f"/v1/receipts/{self._first_paid_outcome()}")
        with receipt_chain(document, self.rpc_url) as chain:
            self.report.receipt = document
            self.report.receipt_lines = check_receipt(document, chain).shown
            self.report.tampered = check_tampered_receipt(document, chain)

    def _first_paid_outcome(self) -> int:
        for contract_id in self.contracts:
            for stored in self.stack.log.outcomes_of(contract_id, 0, 1000):
                if stored.entry.kind == "outcome":
                    return stored.position
        raise ReplayError("nothing-paid", "no outcome was paid")
