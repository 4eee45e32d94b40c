"""One contract in the deployed escrow and in the model of it, moved side by side.

Each step goes to both. They must refuse it for the same reason, or take it and agree to the unit
afterwards: on all that the escrow holds of the contract, what its lens makes of that, and the
balances of all who are paid.
"""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from orchestrator.chain.abi import Call, Refused
from orchestrator.chain.caller import contract_at, token_at
from orchestrator.chain.deployment import Chain
from orchestrator.chain.escrow import PendingStatement, Snapshot
from orchestrator.chain.event_scan import EventScan
from orchestrator.core.common.errors import ChainError, DomainError, EscrowError
from orchestrator.core.common.units import BPS
from orchestrator.core.deals import escrow_model
from orchestrator.core.deals.escrow_model import EscrowedContract
from orchestrator.core.deals.terms import Terms, close_digest, sign_digest
from orchestrator.core.evidence.exhibits import (
    PROVEN,
    Case,
    EscrowRecord,
    Exhibit,
    escrow_record_of,
)
from orchestrator.core.evidence.rules import (
    check_disproof,
    check_proven_reversal,
    claim_of,
)
from orchestrator.core.log.entry import ZERO_WORD, Entry, address_word, pack_outcome
from orchestrator.core.log.merkle import inclusion_proof
from orchestrator.core.log.opening import (
    EventOpening,
    Opening,
    TransitionOpening,
    encode_opening,
    payload_of,
)
from orchestrator.core.world.contract import rules_of
from orchestrator.runtime.local_chain import LocalChainClock, send_local
from orchestrator.verify.recount import Totals, recount
from tests.support.chain_deal import (
    DEPLOYER,
    FEE_KEY,
    FEES,
    OPERATOR_KEY,
    OWNER,
    OWNER_KEY,
    PAYEE,
    STRANGER_KEY,
    AnchoredLog,
    open_contract,
    send,
)

ARBITER_KEY = STRANGER_KEY
_LENS_VIEWS = ("owed", "releasable", "releasableAt", "reservedOf")
_EXPIRES_S = 2**39  # far behind every time of these contracts


class Refund(NamedTuple):
    """A product event that takes back from a purchase, and how much of an outcome it and all before
    it say they take.
    """

    position: int
    purchase: "Purchase"
    opening: EventOpening


@dataclass
class Purchase:
    """A transition that is to be paid for, and its refunds in their order.

    Its touch stands directly below it, its outcome directly above.
    """

    position: int
    lead: bytes
    value_units: int
    amount_units: int
    time_ms: int
    opening: TransitionOpening
    refunds: list[Refund] = field(default_factory=list)

    @property
    def outcome(self) -> int:
        """The position of the outcome."""
        return self.position + 1


class EscrowPair:
    """A contract in both escrows.

    `shown` has the events that were tried as proof, `seen` counts what was taken and refused.
    """

    def __init__(
        self, chain: Chain, clock: LocalChainClock, log: AnchoredLog, terms: Terms
    ) -> None:
        self.chain, self.clock, self.log, self.terms = chain, clock, log, terms
        self.contract_id = open_contract(chain, terms)
        # Their calldata is always the same, and takes longer to make than the node to answer.
        escrow = contract_at("OutcomeEscrow", chain.addresses.escrow)
        lens = contract_at("EscrowLens", str(chain.addresses.lens))
        token = token_at(terms.token)
        asked: list[tuple[Any, str, tuple[object, ...]]] = [
            (escrow, "snapshotOf", (terms.to_abi(),)),
            *((lens, view, (terms.to_abi(),)) for view in _LENS_VIEWS),
            (token, "balanceOf", (PAYEE,)),
            (token, "balanceOf", (OWNER,)),
            (escrow, "creditOf", (terms.token, FEES)),
        ]
        self.views = [
            (contract, view, chain.view_request(contract, view, *arguments))
            for contract, view, arguments in asked
        ]
        self.before_units = self._read()[len(_LENS_VIEWS) + 1 :]
        self.rules = rules_of(terms, self.contract_id)
        self.number = chain.opening_number_of(self.contract_id)
        self.model = EscrowedContract(terms)
        self.now_s = clock.now_s()
        self.withdrawn_units = 0
        self.purchases: list[Purchase] = []
        self.statements: dict[int, Totals] = {}
        self.shown: set[int] = set()
        self.seen: Counter[str] = Counter()

    @property
    def refunds(self) -> list[Refund]:
        return [refund for purchase in self.purchases for refund in purchase.refunds]

    @property
    def record(self) -> EscrowRecord:
        """The escrow's record of the contract, as the model has it."""
        model = self.model
        signed = model.last_signed(), model.last_final(self.now_s)
        return escrow_record_of(
            self.terms, self.contract_id, self.number, model.closed_at_s, *signed
        )

    # --- The log ----------------------------------------------------------------------------------

    def buy(self, value_units: int, time_ms: int, lead: bytes) -> Purchase:
        """Append a touch, a purchase with an order, and the outcome that it is."""
        terms, amount = self.terms, self.rules.amount_units(value_units)
        operator = address_word(terms.operator)
        self.log.append(
            Entry("touch", terms.surface, operator, lead, "email", 0, time_ms, ZERO_WORD)
        )
        order, zero = bytes([len(self.purchases) + 1]) * 32, ZERO_WORD
        opening = TransitionOpening("trial", 0, time_ms, order, zero, zero)
        actor, label = address_word(terms.owner), terms.outcome
        position = self.log.append(
            Entry(
                "lead.transition", terms.surface, actor, lead, label, value_units, time_ms,
                payload_of(opening),
            )
        )  # fmt: skip
        last, earned = 0, amount
        if self.purchases:
            last = self.purchases[-1].outcome
            earned += self.earned_units
        payload = pack_outcome(position, position - 1, last, len(self.purchases) + 1, earned)
        self.log.append(
            Entry("outcome", terms.surface, self.contract_id, lead, label, amount, time_ms, payload)
        )
        purchase = Purchase(position, lead, value_units, amount, time_ms, opening)
        self.purchases.append(purchase)
        return purchase

    def give_back(
        self,
        purchase: Purchase,
        value_units: int,
        time_ms: int,
        received_ms: int,
        *,
        has_order: bool = True,
        forgets: bool = False,
    ) -> Refund:
        """Append an event that takes back from a purchase: all of it if it names no order.

        One that `forgets` says that nothing was taken back before it, as only a lie can.
        """
        terms, said = self.terms, [] if forgets else purchase.refunds
        before = said[-1].opening.refunded_after_units if said else 0
        after = min(purchase.value_units, before + value_units)
        opening = EventOpening(
            received_ms,
            purchase.opening.order if has_order else ZERO_WORD,
            purchase.position,
            said[-1].position if said else 0,
            before,
            after if has_order else purchase.value_units,
            not has_order,
            ZERO_WORD,
            ZERO_WORD,
        )
        position = self.log.append(
            Entry(
                "product.event", terms.surface, address_word(terms.owner), purchase.lead, "refund",
                value_units, time_ms, payload_of(opening),
            )
        )  # fmt: skip
        refund = Refund(position, purchase, opening)
        purchase.refunds.append(refund)
        return refund

    def state(self, earned_units: int, reversed_units: int) -> int:
        """Append a statement of these totals."""
        position = self.log.state(self.contract_id, earned_units, reversed_units)
        self.statements[position] = Totals(earned_units, reversed_units)
        return position

    @property
    def earned_units(self) -> int:
        return sum(purchase.amount_units for purchase in self.purchases)

    # --- Steps ------------------------------------------------------------------------------------

    def pass_to(self, time_s: int) -> None:
        """Let both clocks run to this second."""
        self.clock.set_to(time_s)
        self.now_s = time_s
        self.compare()

    def settle(self, position: int) -> str:
        """Bring a statement, anchored and signed."""
        self._anchor()
        return self._step(
            "settle",
            STRANGER_KEY,
            lambda: self.log.settle(self.terms, position, 1),
            lambda: self.model.settle(self.now_s, position, *self.statements[position]).refusal,
        )

    def prove(self, refund: Refund) -> str:
        """Show what a refund takes back."""
        self._anchor()
        self.shown.add(refund.position)
        purchase = refund.purchase
        exhibits = [
            Exhibit(purchase.outcome, self.log.entries[purchase.outcome]),
            self._opened(refund.position, refund.opening),
        ]
        if refund.opening.order != ZERO_WORD or refund.opening.previous:
            exhibits.append(self._opened(purchase.position, purchase.opening))
        case = self._proven(Case(self.contract_id, PROVEN, tuple(exhibits)))

        def on_model() -> None:
            proven = check_proven_reversal(case, {self.contract_id: self.record})
            self.model.record_reversal(self.now_s, proven)

        size = len(self.log.entries)
        return self._step(
            "prove", STRANGER_KEY, lambda: self.chain.prove_reversal(size, case), on_model
        )

    def disprove(self, position: int) -> str:
        """Show that a statement contradicts itself, and retire the verifier if it has signed it."""
        self._anchor()
        exhibits = (Exhibit(position, self.log.entries[position]),)
        case = self._proven(Case(self.contract_id, "sum", exhibits))

        def on_model() -> None:
            check_disproof(case, {self.contract_id: self.record})
            self.model.retire(self.now_s)

        size = len(self.log.entries)
        return self._step(
            "disprove", STRANGER_KEY, lambda: self.chain.disprove(size, case), on_model
        )

    def claim(self, purchase: Purchase) -> str:
        """Claim a purchase, as the operator."""
        self._anchor()
        size, at = len(self.log.entries), purchase.position
        shown = (Exhibit(at, self.log.entries[at]), Exhibit(at - 1, self.log.entries[at - 1]))
        transition, touch = self._proven(Case(self.contract_id, "", shown)).exhibits

        def on_model() -> None:
            claim = claim_of(self.record, transition, touch)
            self.model.file_claim(self.now_s, claim.key(self.rules), claim.amount)

        return self._step(
            "claim",
            OPERATOR_KEY,
            lambda: self.chain.claim(self.contract_id, size, transition, touch),
            on_model,
        )

    def release(self) -> str:
        return self._step(
            "release",
            STRANGER_KEY,
            lambda: self.chain.release(self.contract_id),
            lambda: self.model.release(self.now_s),
        )

    def refund(self) -> str:
        return self._step(
            "refund",
            STRANGER_KEY,
            lambda: self.chain.refund(self.contract_id),
            lambda: self.model.refund(self.now_s),
        )

    def dispute(self, position: int, *, by_owner: bool) -> str:
        return self._step(
            "dispute",
            OWNER_KEY if by_owner else OPERATOR_KEY,
            lambda: self.chain.dispute(self.contract_id, position),
            lambda: self.model.dispute(self.now_s, position, by_owner=by_owner),
        )

    def rule(self, position: int, payable_units: int) -> str:
        return self._step(
            "rule",
            ARBITER_KEY,
            lambda: self.chain.rule(self.contract_id, position, payable_units),
            lambda: self.model.rule(self.now_s, position, payable_units),
        )

    def close(self, payable_units: int) -> str:
        """Close the contract by consent: the owner sends what the operator has signed."""
        asked = self.terms.operator, self.contract_id, payable_units, _EXPIRES_S
        signature = sign_digest(close_digest(self.chain.escrow_domain, *asked), OPERATOR_KEY)
        return self._step(
            "close",
            OWNER_KEY,
            lambda: self.chain.close_contract(*asked[1:], b"", signature),
            lambda: self.model.close(self.now_s, payable_units),
        )

    def withdraw(self, amount_units: int) -> str:
        """Withdraw this much of the fees, of which the model knows the sum alone."""
        credit = self._fees_units() - self.withdrawn_units

        def on_model() -> None:
            if not amount_units:
                raise EscrowError("zero-amount", "nothing is withdrawn")
            if amount_units > credit:
                raise EscrowError("credit-too-small", f"{amount_units} is more than {credit}")
            self.withdrawn_units += amount_units

        return self._step(
            "withdraw",
            FEE_KEY,
            lambda: self.chain.withdraw(self.terms.token, FEES, amount_units),
            on_model,
        )

    def _step(
        self, name: str, key: bytes, call: Callable[[], Call], act: Callable[[], object]
    ) -> str:
        """Do one step on both; return the reason for which both refuse it, "" for none."""
        deployed = self._send(key, call())
        try:
            answer = act()
        except DomainError as error:
            answer = error.code
        modelled = answer if isinstance(answer, str) else ""
        assert deployed == modelled, f"{name}: refused as {deployed!r}, by the model {modelled!r}"
        self.seen[f"{name} {modelled}".strip()] += 1
        self.compare()
        return modelled

    def _send(self, key: bytes, call: Call) -> str:
        """Send a call; return the name of the error, or the reason in `Refused`, with hyphens."""
        try:
            receipt = send_local(self.chain.node, key, call.to, call.data)
        except ChainError as error:
            name = error.message.removeprefix("it would revert: ").partition("(")[0]
            return re.sub(r"(?<=.)(?=[A-Z])", "-", name).lower()
        block = int(str(receipt["blockNumber"]), 16)
        refused = [event for event in self._events(block) if isinstance(event, Refused)]
        return refused[0].reason.replace("_", "-") if refused else ""

    def _anchor(self) -> None:
        if self.chain.checkpoint(self.log.log_id).size < len(self.log.entries):
            send(self.chain, DEPLOYER, self.log.publish())

    def _opened(self, position: int, opening: Opening) -> Exhibit:
        return Exhibit(position, self.log.entries[position], encode_opening(opening))

    def _proven(self, case: Case) -> Case:
        size = len(self.log.entries)
        return case.with_proofs(lambda at: inclusion_proof(at, size, self.log.subtree))

    # --- Agreement --------------------------------------------------------------------------------

    def compare(self) -> None:
        """Require that both hold the same, and that all balances are what follows from it."""
        model, now_s = self.model, self.now_s
        words, *amounts = self._read()
        held, expected = Snapshot.of(words), self._snapshot()
        assert held == expected, f"held {held}, by the model {expected}"
        fees, moved = self._fees_units(), amounts[len(_LENS_VIEWS) :]
        assert amounts[: len(_LENS_VIEWS)] == [
            model.owed_units(now_s),
            model.releasable_units(now_s),
            model.releasable_at_s(now_s),
            model.reserved_units(now_s),
        ]
        assert [after - before for after, before in zip(moved, self.before_units, strict=True)] == [
            model.paid_units - fees,
            model.refunded_units,
            fees - self.withdrawn_units,
        ]

    def _read(self) -> list[Any]:
        """Return what the views answer at the latest block."""
        replies = self.chain.batch([request for _, _, request in self.views])
        return [
            self.chain.view_values(contract, view, reply)[0]
            for (contract, view, _), reply in zip(self.views, replies, strict=True)
        ]

    def recount(self) -> None:
        """Require that a stranger's recount by the events comes to the same contract."""
        block = self.chain.block().number
        events = list(self._scan().page(self.chain.addresses.start_block, block).events)
        decoded = [raw.decode() for raw in events]
        counted = recount(self.contract_id, self.terms, decoded, self.statements).contract
        for each in (counted, self.model):
            each._mature(self.now_s)  # a release that pays nothing leaves no payment to count
        assert counted == self.model

    def _snapshot(self) -> Snapshot:
        """Return what the deployed escrow must hold, by the model."""
        model, now_s, terms = self.model, self.now_s, self.terms
        pending = None if model._is_matured(now_s) else model.pending
        held = model._held_back(now_s)
        since_s = 0
        if held and model._is_matured(now_s) and model.pending:
            since_s = model.pending.resolves_at_s
        elif held:
            since_s = model.final_totals[-1].since_s
        return Snapshot(
            contract_id=self.contract_id,
            paid_units=model.paid_units,
            budget_units=model.budget_units,
            last_final=model.last_final(now_s),
            is_closed=model.closed_at_s != 0,
            is_retired=model.is_retired,
            net_units=model.net_units(now_s),
            pending_net_units=model._pending_net(pending) if pending else 0,
            pending=_as_deployed(pending) if pending else None,
            held_units=held,
            final_since_s=since_s,
            claims_units=model.claimable_units,
            cap_level_units=model._level(now_s) if terms.rate_cap_units else 0,
        )

    def _fees_units(self) -> int:
        """Return the fees inside all that was paid."""
        return self.model.paid_units * self.terms.fee_bps // BPS

    def _events(self, block: int) -> list[object]:
        return [raw.decode().event for raw in self._scan().page(block, block).events]

    def _scan(self) -> EventScan:
        return EventScan(self.chain, [self.chain.addresses.escrow], 10_000, [self.contract_id])


def _as_deployed(pending: escrow_model.PendingStatement) -> PendingStatement:
    """Return the model's pending statement as the deployed escrow holds it."""
    return PendingStatement(
        pending.earned_units,
        pending.reversed_units,
        pending.position,
        pending.resolves_at_s,
        pending.disputed_by_owner,
        pending.disputed_by_operator,
    )
