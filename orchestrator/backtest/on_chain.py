"""A backtest through a real log, chain and escrow, with real payouts.

Its result must be that of the evaluation in memory, and what the payees' wallets hold.
"""

import secrets
from collections import Counter
from collections.abc import Iterable, Iterator
from hashlib import sha256
from itertools import groupby
from uuid import UUID

from orchestrator.backtest.evaluate import (
    HISTORY_ACTION,
    HISTORY_SETTINGS,
    OutcomeLine,
    Report,
    Spool,
)
from orchestrator.backtest.inputs import ContractPlan, EventRow, TouchRow
from orchestrator.client.accounts import PLAIN_TERMS, OperatorClient, OwnerClient, wallet
from orchestrator.client.http import Client
from orchestrator.core.common.errors import InputError, ReplayError
from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.core.common.units import DAY_MS, NS_PER_MS, NS_PER_S
from orchestrator.core.deals.terms import Terms, contract_id, operator_consent_digest, sign_digest
from orchestrator.core.log.entry import (
    ZERO_ADDRESS,
    ZERO_WORD,
    address_word,
    ascii_word,
    unpack_outcome,
)
from orchestrator.core.log.opening import EventOpening, TransitionOpening
from orchestrator.core.surface.policy import Policy, Verdict
from orchestrator.core.surface.surface_settings import MAX_CODE_PERIOD_S, MAX_CODE_USES
from orchestrator.core.world.requests import (
    Arrival,
    IssueCode,
    ProductEvent,
    PublishPolicy,
    PublishSettings,
    Request,
    Touch,
)
from orchestrator.log.inbox import MAX_BULK, Submission, results_of, submit
from orchestrator.simulation.sandbox import Sandbox, address_of, key_of
from orchestrator.verify.comparison import ContractComparison, replay

# Settled at least this often, and before any contract's time for statements ends.
ROUND_MS = 28 * DAY_MS
GRACE_S = 2 * ROUND_MS // 1000
SURFACE_NAME = "history"


def check_plans(plans: Iterable[ContractPlan]) -> None:
    """Refuse contracts that the escrow cannot hold, before anything is started."""
    for plan in plans:
        if not plan.budget_units:
            raise InputError("settle-budget", f"contract {plan.id!r} has no budget to escrow")
        if plan.opens_at_ns % NS_PER_S or plan.deadline_ns % NS_PER_S:
            raise InputError(
                "settle-seconds", f"contract {plan.id!r}: the chain's times are whole seconds"
            )


def chain_start_ms(plans: Iterable[ContractPlan], first_row_ns: int | None) -> int:
    """Return the time at which a chain must begin: a day before any contract or row."""
    moments = [plan.opens_at_ns for plan in plans]
    if first_row_ns is not None:
        moments.append(first_row_ns)
    earliest_ms = min(moments, default=DAY_MS * NS_PER_MS) // NS_PER_MS
    if earliest_ms < 2 * DAY_MS:
        raise InputError("settle-early", "a chain cannot begin before 1970; move the times on")
    return earliest_ms // 1000 * 1000 - DAY_MS


class OnChainBacktest:
    """One history in one sandbox. Leads and operators get pseudonyms and wallets of their own."""

    def __init__(self, sandbox: Sandbox, policy: Policy, plans: list[ContractPlan]) -> None:
        self._sandbox = sandbox
        self._stack = sandbox.stack
        self._policy = policy
        self._plans = plans
        self._contract_ids: dict[str, bytes] = {}
        self._plan_ids: dict[bytes, str] = {}
        self._leads: dict[str, bytes] = {}
        self._lead_names: dict[bytes, str] = {}
        self._orders: dict[tuple[str, str], bytes] = {}
        self._codes: dict[str, bytes] = {}  # by operator
        self._turned_away: Counter[str] = Counter()
        self._events = 0
        # By contract, what was paid and reversed later, beyond what was held back.
        self.overpaid_units: dict[str, int] = {}
        self._owner = address_of("owner")
        # By account: the name of its wallet, and the secret of its key with the end of that.
        names = ["owner", *(f"operator {plan.operator}" for plan in plans)]
        self._wallets = {address_of(name).lower(): name for name in names}
        self._secrets: dict[str, tuple[bytes, int]] = {}
        owner_word = address_word(self._owner)
        self._surface = sha256(owner_word + ascii_word(SURFACE_NAME)).digest()

    def run(self, rows: Iterable[EventRow | TouchRow], spool: Spool) -> Report:
        """Submit `rows` at their times and settle them; write their outcomes to the spool.

        Raises `ReplayError` if a wallet holds another sum than the rules give.
        """
        self._open()
        next_round_ms = self._sandbox.clock() + ROUND_MS
        number = 0
        for time_ns, moment in groupby(rows, key=lambda row: row.time_ns):
            if time_ns % NS_PER_MS:
                raise InputError("settle-milliseconds", "the log's times are whole milliseconds")
            now_ms = time_ns // NS_PER_MS
            # A round stands between two moments: a reversal at an outcome's own time is in it.
            while next_round_ms <= now_ms:
                self._sandbox.settle(f"{next_round_ms}")
                self._sandbox.clock.set_to(next_round_ms)
                next_round_ms += ROUND_MS
            self._sandbox.clock.set_to(now_ms)
            requests = [(f"row-{number + n}", self._request(row)) for n, row in enumerate(moment)]
            ids = self._submit(requests)
            self._stack.drain()
            self._count_turned_away(requests, ids)
            number += len(requests)
        self._sandbox.settle("end")
        # No entry frees what is held back: time does.
        longest_s = max((plan.holdback_s for plan in self._plans), default=0)
        if longest_s:
            self._sandbox.pass_time(longest_s + self._policy.lateness_s + 1)
            self._sandbox.come_to_rest()
        return self._report(spool)

    def _open(self) -> None:
        """Publish policy and settings, and open the contracts in their order."""
        chain, domain = self._stack.chain, self._stack.escrow_domain
        owner_word = address_word(self._owner)
        with self._stack.api.transaction(secret=self._secret_of(self._owner)) as session:
            session.run(
                "api.add_surface_name",
                log_id=self._stack.site.log_id,
                surface=self._surface,
                owner=owner_word,
                name=SURFACE_NAME,
            )
        policy = PublishPolicy(self._surface, owner_word, self._policy)
        settings = PublishSettings(self._surface, owner_word, HISTORY_SETTINGS)
        self._submit([("policy", policy), ("settings", settings)])
        self._stack.drain()
        budget = sum(plan.budget_units for plan in self._plans)
        token = self._sandbox.token
        self._sandbox.send("owner", chain.mint(token, self._owner, budget))
        self._sandbox.send("owner", chain.approve(token, budget))
        for plan in self._plans:
            terms = self._terms(plan)
            digest = contract_id(terms, domain)
            consent = operator_consent_digest(terms, domain)
            operator_signature = sign_digest(consent, key_of(f"operator {plan.operator}"))
            self._sandbox.send("owner", chain.open(terms, b"", operator_signature))
            self._contract_ids[plan.id] = digest
            self._plan_ids[digest] = plan.id
        self._sandbox.come_to_rest()
        self._issue_codes()

    def _issue_codes(self) -> None:
        """Give each operator the code by which the leads come that it brings."""
        expires_ms = self._sandbox.clock() + MAX_CODE_PERIOD_S * 1000
        requests: list[tuple[str, Request]] = []
        names = dict.fromkeys(plan.operator for plan in self._plans)
        for number, name in enumerate(names):
            code = self._codes[name] = secrets.token_bytes(32)
            request = IssueCode(
                self._surface,
                code,
                self._operator(name),
                MAX_CODE_USES,
                expires_ms,
                ZERO_WORD,
                ZERO_WORD,
            )
            requests.append((f"code-{number}", request))
        self._submit(requests)
        self._stack.drain()

    def _terms(self, plan: ContractPlan) -> Terms:
        return Terms.from_json(
            {
                **PLAIN_TERMS,
                "owner": self._owner,
                "operator": address_of(f"operator {plan.operator}"),
                "payee": address_of(f"payee {plan.id}"),
                "token": self._sandbox.token,
                "verifier": address_of("verifier"),
                "log_id": to_hex(self._stack.site.log_id),
                "surface": to_hex(self._surface),
                "policy": to_hex(self._policy.hash),
                "attribution": self._policy.attribution,
                "outcome": plan.outcome,
                "repeatable": plan.repeatable,
                "unit_price_units": str(plan.unit_price_units),
                "revenue_share_bps": plan.revenue_share_bps,
                "budget_units": str(plan.budget_units),
                "opens_at_s": plan.opens_at_ns // NS_PER_S,
                "deadline_s": plan.deadline_ns // NS_PER_S,
                "attribution_window_s": plan.attribution_window_s,
                "lateness_s": self._policy.lateness_s,
                "grace_s": GRACE_S + self._policy.lateness_s,
                "holdback_bps": plan.holdback_bps,
                "holdback_period_s": plan.holdback_s,
                "fee_bps": 0,
                "fee_recipient": ZERO_ADDRESS,
                "salt": to_hex(secrets.token_bytes(32)),
            }
        )

    def _operator(self, name: str) -> bytes:
        address = address_of(f"operator {name}")
        self._wallets[address.lower()] = f"operator {name}"
        return address_word(address)

    def _request(self, row: EventRow | TouchRow) -> Request:
        lead = self._leads.get(row.lead)
        if lead is None:
            lead = self._leads[row.lead] = secrets.token_bytes(32)
            self._lead_names[lead] = row.lead
        # A mark of each row's own, since the log's entries of one event share it.
        mark = secrets.token_bytes(32)
        if isinstance(row, TouchRow):
            return Touch(self._surface, lead, self._operator(row.operator), HISTORY_ACTION, mark)
        self._events += 1
        order = ZERO_WORD
        if row.order:
            order = self._orders.setdefault((row.lead, row.order), secrets.token_bytes(32))
        event = ProductEvent(
            self._surface,
            lead,
            row.event,
            row.value_units or 0,
            row.time_ns // NS_PER_MS,
            mark,
            order=order,
            whole=row.value_units is None,
        )
        code = self._codes.get(row.ref)
        if code is None:
            return event
        return Arrival(**event._asdict(), ref=code, is_alone=False, is_alias=False)

    def _submit(self, requests: list[tuple[str, Request]]) -> list[UUID]:
        ids: list[UUID] = []
        for account, part in self._by_account(requests):
            asked = [Submission(key, request, key.encode()) for key, request in part]
            with self._stack.api.transaction(secret=self._secret_of(account)) as session:
                ids += submit(session, self._stack.site.log_id, account, asked).ids
        return ids

    def _secret_of(self, account: str) -> bytes:
        """Return the secret of an account's key, by which the database knows it; it signs in anew.

        Keys live for a month at most, and a history may be years long.
        """
        secret, until_ms = self._secrets.get(account.lower(), (b"", 0))
        if until_ms <= self._sandbox.clock():
            name = self._wallets[account.lower()]
            make = OwnerClient if name == "owner" else OperatorClient
            with make(self._sandbox.url, wallet(key_of(name)), name) as client:
                answer = client.sign_in()
            secret = sha256(answer["key"].encode()).digest()
            self._secrets[account.lower()] = secret, answer["expires_ms"]
        return secret

    def _by_account(
        self, requests: list[tuple[str, Request]]
    ) -> Iterator[tuple[str, list[tuple[str, Request]]]]:
        """Yield the requests in their order, in runs of one account that one bulk takes."""
        for account, run in groupby(requests, key=lambda named: self._account_of(named[1])):
            part = list(run)
            for start in range(0, len(part), MAX_BULK):
                yield account, part[start:][:MAX_BULK]

    def _account_of(self, request: Request) -> str:
        """Return the account whose request this is: an operator's touch, or else the owner's."""
        operator = getattr(request, "operator", None)
        return self._owner.lower() if operator is None else f"0x{operator[12:].hex()}"

    def _count_turned_away(self, requests: list[tuple[str, Request]], ids: list[UUID]) -> None:
        """Count the events that the log did not take, by the rules that they broke."""
        account = self._owner.lower()
        events = [
            name
            for name, (_, request) in zip(ids, requests, strict=True)
            if isinstance(request, ProductEvent | Arrival)
        ]
        for start in range(0, len(events), MAX_BULK):
            part = events[start:][:MAX_BULK]
            with self._stack.api.transaction(secret=self._secret_of(account)) as session:
                results = results_of(session, self._stack.site.log_id, part)
            for name in part:
                code = results[name].code
                if code is not None:
                    self._turned_away[code] += 1
                    self._events -= 1

    def _report(self, spool: Spool) -> Report:
        """Return what the log says, after a replay has recomputed what the wallets must hold."""
        stack = self._stack
        with Client(self._sandbox.url) as client:
            replayed = replay(client, stack.chain, stack.site.log_id)
        compared = {contract.contract_id: contract for contract in replayed.contracts}
        contracts = {}
        for plan in self._plans:
            digest = self._contract_ids[plan.id]
            contract, comparison = stack.log.contract(digest), compared.get(digest)
            if contract is None or comparison is None:
                raise ReplayError("contract-missing", f"the log has lost contract {plan.id!r}")
            contracts[plan.id] = contract
            self._check_paid(plan, comparison)
        report = Report(contracts, turned_away=self._turned_away)
        self._count(report, spool)
        return report

    def _check_paid(self, plan: ContractPlan, comparison: ContractComparison) -> None:
        """Raise ReplayError unless nothing is owed and the payee's wallet holds what is payable.

        More than is payable was paid only where more was reversed than was held back.
        """
        # The terms of a backtest have no fee, so that the wallet holds the gross amount.
        held = self._stack.chain.balance_of(self._sandbox.token, address_of(f"payee {plan.id}"))
        over = held - comparison.payable_units
        is_explained = over == 0 or (over > 0 and plan.holdback_s > 0)
        if held != comparison.paid_units or comparison.owed_units or not is_explained:
            raise ReplayError(
                "payouts-differ",
                f"contract {plan.id!r} owes {comparison.payable_units} units, "
                f"{comparison.paid_units} were paid by the rules, but its payee's wallet holds "
                f"{held}",
            )
        if over:
            self.overpaid_units[plan.id] = over

    def _count(self, report: Report, spool: Spool) -> None:
        """Count the log's verdicts, and write its outcomes to the spool as an evaluation does."""
        mark, value_units = b"", 0
        report.events[Verdict.IGNORED] = self._events
        newest = self._stack.log.checkpoint()
        for entry, opening in self._stack.records(0, newest.size if newest else 0):
            kind = entry.kind
            if isinstance(opening, EventOpening | TransitionOpening):
                # One event may give several entries, all of one request hash: count it once. An
                # event without any entry was ignored.
                is_new = opening.request_hash != mark
                mark, value_units = opening.request_hash, entry.value
                verdict = Verdict.REFUSED if kind == "lead.refused" else Verdict.ACCEPTED
                report.events[verdict] += is_new
                report.events[Verdict.IGNORED] -= is_new
            elif kind in ("outcome", "outcome.over"):
                touch = self._stack.log.entries(unpack_outcome(entry.payload).touch, 1)[0].entry
                spool.add(
                    OutcomeLine(
                        contract=self._plan_ids[entry.actor],
                        lead=self._lead_names[entry.subject],
                        time_ns=entry.time_ms * NS_PER_MS,
                        touch_time_ns=touch.time_ms * NS_PER_MS,
                        value_units=value_units,
                        earned_units=entry.value if kind == "outcome" else 0,
                    )
                )


def check_equal(
    pure: Report, settled: Report, pure_lines: Iterator[str], settled_lines: Iterator[str]
) -> None:
    """Raise ReplayError unless both reports have the same totals, verdicts and outcome lines."""
    for what, one, other in (
        ("totals", pure.totals(), settled.totals()),
        ("events", pure.verdicts(), settled.verdicts()),
        ("events turned away", pure.turned_away, settled.turned_away),
    ):
        if one != other:
            raise ReplayError("settled-differs", f"{what} differ: {one} pure, {other} settled")
    for number, (one_line, other_line) in enumerate(zip(pure_lines, settled_lines, strict=True), 1):
        if one_line != other_line:
            raise ReplayError(
                "settled-differs",
                f"outcome {number} differs: {one_line} pure, {other_line} settled",
            )
