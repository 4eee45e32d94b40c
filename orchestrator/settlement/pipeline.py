"""The pipeline from the log to the chain and back, which turns a written outcome into money.

Each step is a function:

1. `accept`        signed proposals become transactions that open their contracts.
2. `settle_round`  the newest checkpoint goes on chain, and statements that it covers to the escrow,
                   in one transaction; where that cannot be, by the next two.
3. `publish`       the newest checkpoint goes on chain, with the proof that it extends the last one.
4. `settle`        statements that an anchor covers go to the escrow, signed by the verifier.
5. `release`       what the escrow held back and time has freed is paid out.
6. `endorse`       the same statements are signed for ERC-8183 jobs, and stored.
7. `refute`        claims that the log refutes are lowered or dropped.
8. `submit`        every transaction moves on: it is signed, sent, replaced, or finished.
9. `watch`         what the chain made final comes back into the log as requests.

Of a log that is marked as forked nothing more is anchored, signed or opened; the rest goes on.

A step reads what is durable, decides, and asks for something under a key that names it. So a step
that runs twice, or dies halfway, does nothing twice.
"""

from collections.abc import Callable
from typing import NamedTuple

from orchestrator.chain.abi import Opened
from orchestrator.chain.deployment import Chain, SignedCheckpoint
from orchestrator.chain.escrow import ContractProgress, SignedRun
from orchestrator.chain.indexer import Indexer
from orchestrator.chain.relayer import Relayer
from orchestrator.core.common.errors import ChainError, LogError, ReplayError
from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.core.common.units import DAY_MS, format_second
from orchestrator.core.deals.site import Sponsorship
from orchestrator.core.deals.terms import Terms
from orchestrator.core.entries.kinds import decode
from orchestrator.core.surface.forecast import OPENING_DAYS
from orchestrator.core.world.requests import ExpireAction, ScoreForecast, Settle
from orchestrator.log.reader import LogReader, StoredEntry
from orchestrator.settlement.endorser import Endorser
from orchestrator.settlement.intents import DEFERRED, Intents, NumberedIntent, SettlementTraces
from orchestrator.settlement.openings import Openings
from orchestrator.settlement.recorder import Recorder
from orchestrator.settlement.refuter import Refuter
from orchestrator.settlement.runs import GUARDED_WEIGHT, Run, first_of_round, runs_of
from orchestrator.settlement.troubles import Troubles, kept
from orchestrator.settlement.verifier import Verifier
from orchestrator.storage.database import Database

MAX_FORECASTS = 1_000
MAX_EXPIRIES = 1_000
STATEMENTS_PAGE = 1_000
# How long the agreement of our nodes counts.
AGREED_FOR_MS = 12_000
# A part of what is owed is released once a day at most.
RELEASE_EVERY_MS = DAY_MS
# How many contracts are examined for a release in one step.
RELEASES_PAGE = 100
# A log without new statements is anchored this often all the same.
ANCHOR_EVERY_MS = 3_600_000
# The values of `statusOf` for contracts that pay nothing more.
_PAID_UP = ("paid_out", "refunded")


class _DueCheckpoint(NamedTuple):
    """The newest checkpoint, which is to be anchored, with the proof from the last anchor."""

    anchored_size: int
    signed: SignedCheckpoint
    proof: list[bytes]

    @property
    def purpose(self) -> str:
        """The purpose of the intents that anchor it."""
        return f"{self.anchored_size}:{self.signed.size}"


class Pipeline:
    """The mover of one log and one escrow. Run `step` again and again, one at a time.

    `account` is the address under which the log's own requests are made. `sponsorship` says whose
    gas we pay: a stranger can open a contract that names our verifier too.
    """

    def __init__(
        self,
        *,
        database: Database,
        log: LogReader,
        chain: Chain,
        relayer: Relayer,
        indexer: Indexer,
        verifier: Verifier,
        now_ms: Callable[[], int],
        account: str,
        sponsorship: Sponsorship,
    ) -> None:
        self._database = database
        self._log = log
        self._log_id = log.log_id
        self._chain = chain
        self._relayer = relayer
        self._indexer = indexer
        self._verifier = verifier
        self._now_ms = now_ms
        self._account = account.lower()
        self._serves = sponsorship.serves
        self._openings = Openings(database, self._log_id, chain, relayer, now_ms, sponsorship)
        self._recorder = Recorder(database, self._log_id, chain, indexer, self._account)
        self._refuter = Refuter(log, chain, indexer, now_ms, self._served_terms)
        self._endorser = Endorser(database, log, chain, indexer, verifier)
        self._intents = Intents(database, relayer, chain.addresses.chain_id, self._account)
        self._traces = SettlementTraces(database, self._log_id, self._account, relayer.tracer)
        # What follows is a cache of the log and the chain: a restart finds all of it again.
        # By contract, the newest anchored statement that the escrow may still lack.
        self._unsent: dict[bytes, StoredEntry] = {}
        # The guarded contracts that may still pay, with the time of our last release; the one that
        # was not examined for longest comes first.
        self._guarded: dict[bytes, int] = {}
        # The place of the last opening whose terms were remembered.
        self._opened_to = (-1, -1)
        # The time up to which our nodes' agreement counts.
        self._agreed_until_ms = 0
        # The position up to which statements were read.
        self._read_to = 0

    def step(self) -> bool:
        """Run all steps once, in order; return whether anything was done or was under way.

        Whatever fails in it stops nothing else, and the first failure is raised at its end; so is
        LogError `log-forked` with a forked log. Nothing at all is done while two nodes of ours show
        two final chains (ChainError `nodes-disagree`).
        """
        self._check_nodes()
        forked_at_s, asked, moving, seen = None, 0, 0, 0
        with Troubles() as troubles:
            with troubles.noted():
                forked_at_s = self._chain.forked_at(self._log_id)
                asked += self._ask_all(troubles, is_forked=forked_at_s is not None)
            # Transactions move on, and events are read, even if nothing new can be asked for. What
            # ends now may be answered by the next step, as a round that fails is by an anchor.
            with troubles.noted():
                moving = self._relayer.under_way()
                self.submit()
            with troubles.noted():
                seen = self.watch()
            if troubles.are_of_node:
                self._chain.node.turn()
        if forked_at_s is not None:
            raise LogError(
                "log-forked",
                f"log {to_hex(self._log_id)} was marked as forked at {format_second(forked_at_s)}: "
                f"nothing more is anchored, signed or opened; what is owed by earlier anchors is "
                f"still paid; find out who holds the publisher's key, and begin another log",
            )
        return bool(asked + seen + moving)

    def _check_nodes(self) -> None:
        """Raise ChainError while our nodes disagree; they are compared every few seconds."""
        if self._now_ms() >= self._agreed_until_ms:
            self._chain.check_agreement()
            self._agreed_until_ms = self._now_ms() + AGREED_FOR_MS

    def _ask_all(self, troubles: Troubles, *, is_forked: bool) -> int:
        """Ask for all that is due, each kind apart from the others; return how much."""
        for_a_log = (
            self.accept,
            self.settle_round,
            lambda: bool(self.publish()),
            self.settle,
            self.endorse,
        )
        asked = 0
        for ask in (*(() if is_forked else for_a_log), self.release, self.refute):
            with troubles.noted():
                asked += ask()
            if troubles.are_of_all:
                break  # the others would wait as long for the same
        return asked

    def tick(self, key: str) -> None:
        """Ask the log to score what can be, to end what was not taken, and to state all totals.

        `key` names this tick.
        """
        self.score()
        self.expire()
        self._recorder.request([(f"settle-{key}", Settle())])

    def score(self) -> int:
        """Have the forecasts opened whose windows have passed; return how many were asked for."""
        now_ms = self._now_ms()
        with self._database.transaction(self._account) as session:
            rows = session.all(
                "pipeline.forecasts_to_score",
                log_id=self._log_id,
                now_ms=now_ms,
                since_ms=now_ms - OPENING_DAYS * DAY_MS,
                limit=MAX_FORECASTS,
            )
        self._recorder.request(
            [
                (
                    f"score-{row.forecast}",
                    ScoreForecast(
                        row.surface, row.operator, row.forecast, int.from_bytes(row.body), row.salt
                    ),
                )
                for row in rows
            ]
        )
        return len(rows)

    def expire(self) -> int:
        """Note the actions that no surface took in their time; return how many were asked for."""
        with self._database.transaction(self._account) as session:
            rows = session.all(
                "actions.to_expire",
                log_id=self._log_id,
                now_ms=self._now_ms(),
                limit=MAX_EXPIRIES,
            )
        self._recorder.request(
            [
                (f"expire-{row.position}", ExpireAction(row.surface, row.lead, row.position))
                for row in rows
            ]
        )
        return len(rows)

    def accept(self) -> int:
        """Ask the chain to open the contracts that both parties have signed; return how many."""
        return self._openings.ask(self._account)

    def settle_round(self) -> int:
        """Ask for a due checkpoint and statements under it in one transaction; return how many.

        The statements are signed before their root is anchored. No reorganization can part them
        from it: the signatures name the root, and where the anchor goes they go with it. So a round
        need not wait for a safe block, as statements do that come after their anchor.

        It returns 0 where the deployment has no contract for rounds, or there is not both to do;
        and after a round that failed, until a checkpoint is anchored alone.
        """
        if self._chain.addresses.rounds is None or self._is_settling():
            return 0
        due = self._due_checkpoint()
        last = self._intents.last("round:")
        if due is None or (last is not None and _has_failed_from(last, due.anchored_size)):
            return 0
        size, root = due.signed.size, due.signed.root
        self._read_statements(size)
        runs = first_of_round(runs_of(self._sendable(size), self._chain.terms_of), self._weight_of)
        if not runs:
            return 0
        with self._traces.settling(*runs):
            try:
                signed = [self._signed(run, size, root) for run in runs]
            except ReplayError:
                return 0  # the anchor does not wait for the verifier; `settle` reports its refusal
            call = self._chain.settle_round(due.signed, due.proof, signed)
            self._intents.ask(NumberedIntent("round", due.purpose), call)
        return sum(len(run.entries) for run in runs)

    def publish(self) -> int | None:
        """Ask for the newest checkpoint to be anchored; return its size, or None if it is not due.

        It is due if the chain has not got it, no earlier one is on its way, and there is a new
        statement in it or the last anchor is old.
        """
        due = self._due_checkpoint()
        if due is None:
            return None
        log_id, size, root, signature = due.signed
        call = self._chain.publish(log_id, size, root, due.proof, signature)
        intent, last = NumberedIntent("publish", due.purpose), self._intents.last("publish:")
        if last is not None and last.purpose == intent.purpose:
            intent = last.next
        self._intents.ask(intent, call)
        return size

    def _due_checkpoint(self) -> _DueCheckpoint | None:
        """Return the newest checkpoint if it is to be anchored now."""
        anchored = self._chain.checkpoint(self._log_id)
        if self._is_anchoring(anchored.size):
            return None
        newest = self._log.checkpoint()
        if newest is None or newest.size <= anchored.size:
            return None
        age_ms = self._now_ms() - anchored.published_at_s * 1000
        if age_ms < ANCHOR_EVERY_MS and not self._log.of_kind("settlement", anchored.size - 1, 1):
            return None
        checked = self._log.rehashed(anchored.size)
        if checked is None:
            raise LogError("checkpoint-missing", "the log has lost its newest checkpoint")
        proof = self._log.consistency_proof(anchored.size, checked.size) if anchored.size else []
        signed = SignedCheckpoint(self._log_id, checked.size, checked.root, checked.signature)
        return _DueCheckpoint(anchored.size, signed, proof)

    def _is_anchoring(self, anchored_size: int) -> bool:
        """Return whether an anchor is on its way: they go one after the other, each proven by the
        last.

        A round that would revert now is done in two, so the anchor does not wait for it.
        """
        for kind in ("publish", "round"):
            last = self._intents.last(f"{kind}:")
            if last is None or last.has_ended:
                continue
            old, new = (int(size) for size in last.purpose.split(":"))
            if last.fate is None and new > anchored_size:
                return True
            if kind == "publish" and last.fate == DEFERRED and old == anchored_size:
                return True
        return False

    def settle(self) -> int:
        """Ask for the newest statements that the escrow lacks to be settled; return how many.

        A statement must be covered by the anchor of a safe block, and waits while its contract has
        another pending. Older ones need not be sent: totals are cumulative.
        """
        anchor = kept(lambda: self._chain.checkpoint(self._log_id, "safe"))
        if anchor is None:
            anchor = self._indexer.final_anchor(self._log_id)
        self._remember_terms()
        self._read_statements(anchor.size)
        if self._is_settling():
            return 0
        sendable = self._sendable(anchor.size)
        runs = runs_of(sendable, self._chain.terms_of)
        return sum(self._send(run, anchor.size, anchor.root) for run in runs)

    def _is_settling(self) -> bool:
        """Return whether statements are on their way to the escrow."""
        return any(self._intents.is_under_way(kind) for kind in ("settle", "round"))

    def _sendable(self, size: int) -> list[StoredEntry]:
        """Return the statements below a size that the escrow lacks and can take, in log order."""
        if not self._unsent:
            return []
        progress = self._chain.progress(list(self._unsent))
        taken = [name for name, one in progress.items() if self._is_settled(name, one)]
        # A reorganization may undo it, so a statement is dropped only once that is final; where no
        # node keeps final states, it is looked at as long as we run.
        for name, one in (kept(lambda: self._chain.progress(taken, "finalized")) or {}).items():
            if self._is_settled(name, one):
                del self._unsent[name]
        # Those at or above the size were read for a round that could not be.
        sendable = [
            stored
            for name, stored in self._unsent.items()
            if name not in taken
            and progress[name].snapshot.pending is None
            and stored.position < size
        ]
        return sorted(sendable, key=lambda stored: stored.position)

    def _weight_of(self, entry: bytes) -> int:
        return 1 if self._chain.terms_of(decode(entry).subject).is_plain else GUARDED_WEIGHT

    def _signed(self, run: Run, size: int, root: bytes) -> SignedRun:
        """Return a run with its proof in the tree (size, root), and signed for there."""
        count, domain = len(run.entries), self._chain.escrow_domain
        # The verifier comes first: it replays the log before anything of it is used.
        signature = self._verifier.sign(domain, size, root, run.first, count)
        proof = self._log.run_proof(run.first, count, size)
        rules = [word for words in run.rules for word in words]
        return SignedRun(run.group, size, run.first, run.entries, rules, proof, signature)

    def _is_settled(self, contract_id: bytes, one: ContractProgress) -> bool:
        """Return whether the escrow has the statement, or takes none of this verifier any more."""
        snapshot = one.snapshot
        is_taken = snapshot.last_signed >= self._unsent[contract_id].position
        return is_taken or snapshot.is_retired

    def _send(self, run: Run, size: int, root: bytes) -> int:
        """Ask for one run to be settled, unless that was tried too often; return how many."""
        count = len(run.entries)
        intent = NumberedIntent("settle", f"{run.first}:{count}")
        last = self._intents.last(f"settle:{intent.purpose}:")
        if last is not None:
            if last.fate is None or (last.fate == DEFERRED and count == 1):
                return 0
            if last.fate != "finalized" and count > 1:
                # It failed, or would fail, as a whole, as for its gas. In halves no contract's
                # statement depends on another's for long.
                return sum(self._send(half, size, root) for half in run.halves)
            if last.is_exhausted:
                for entry in run.entries:
                    del self._unsent[decode(entry).subject]
                return 0
            intent = last.next
        with self._traces.settling(run):
            self._intents.ask(intent, self._chain.settle(self._signed(run, size, root)))
        return count

    def release(self) -> int:
        """Ask for what became due since the last payment to be paid; return how many contracts.

        What comes in trickles, as from a rate cap or from many small holdbacks, is collected until
        it is worth its gas.
        """
        # Settling pays too, so this waits for it.
        if not self._guarded or self._is_settling():
            return 0
        asked, page = 0, list(self._guarded)[:RELEASES_PAGE]
        for contract_id, one in self._chain.progress(page).items():
            if _is_over(one) and self._is_finally_over(contract_id):
                del self._guarded[contract_id]
                continue
            # It goes behind the others, so that every contract gets its turn.
            self._guarded[contract_id] = self._guarded.pop(contract_id)
            if one.releasable_units and self._is_worth_its_gas(contract_id, one):
                purpose = f"{contract_id.hex()}:{one.snapshot.paid_units}"
                if self._intents.ask_again("release", purpose, self._chain.release(contract_id)):
                    self._guarded[contract_id] = self._now_ms()
                    asked += 1
        return asked

    def _is_finally_over(self, contract_id: bytes) -> bool:
        final = kept(lambda: self._chain.progress([contract_id], "finalized"))
        return final is not None and _is_over(final[contract_id])

    def _is_worth_its_gas(self, contract_id: bytes, one: ContractProgress) -> bool:
        """Return whether all that is owed is payable or, once a day, a quarter of it or the cap."""
        if one.releasable_units == one.owed_units:
            return True
        portion = (self._chain.terms_of(contract_id).rate_cap_units or one.owed_units) // 4
        is_time = self._now_ms() - self._guarded[contract_id] >= RELEASE_EVERY_MS
        return is_time and one.releasable_units >= portion

    def endorse(self) -> int:
        """Sign for ERC-8183 jobs what a final anchor covers; return how many statements."""
        return self._endorser.endorse()

    def refute(self) -> int:
        """Ask for claims to be lowered that the log refutes, in every contract that we serve.

        Returns how many. A stranger may be faster; then ours is refused, and nothing is wrong.
        """
        with Troubles() as troubles:
            refutations = self._refuter.find_refutations(troubles)
            return sum(
                self._intents.ask_again("refute", purpose, call) for purpose, call in refutations
            )

    def submit(self) -> None:
        """Move every transaction on, by what the chain shows now.

        Raises ChainError `intents-untried` where nothing new can begin, as without money for gas.
        """
        self._relayer.advance()
        if self._relayer.hindrance is not None:
            raise ChainError(
                "intents-untried",
                f"the relayer {self._relayer.sender} can begin nothing: {self._relayer.hindrance}",
            )

    def watch(self) -> int:
        """Bring what became final on chain into the log; return how many events."""
        return self._recorder.record()

    def _remember_terms(self) -> None:
        """Tell the chain the terms that the database has, a page at a time after a restart."""
        for event in self._indexer.final(Opened, self._opened_to):
            self._opened_to = event.block_number, event.log_index
            if isinstance(event.event, Opened):
                self._chain.remember(event.contract_id, event.event.terms)

    def _read_statements(self, size: int) -> None:
        """Note the statements below an anchor's size that are ours to sign and to send."""
        while page := self._log.of_kind("settlement", self._read_to, STATEMENTS_PAGE):
            for stored in page:
                if stored.position >= size:
                    return
                self._read_to, contract_id = stored.position, stored.entry.subject
                terms = self._chain.terms_of(contract_id)
                is_ours_to_sign = stored.entry.actor == self._verifier.address_word
                if is_ours_to_sign and self._serves(terms):
                    self._unsent[contract_id] = stored
                    if not terms.is_plain:
                        self._guarded.setdefault(contract_id, 0)

    def _served_terms(self, contract_id: bytes) -> Terms | None:
        """Return the terms of a contract that is on our log and whose gas we pay, or None."""
        if not self._recorder.is_ours(contract_id):
            return None
        terms = self._chain.terms_of(contract_id)
        return terms if self._serves(terms) else None


def _is_over(one: ContractProgress) -> bool:
    """Return whether a contract pays nothing more."""
    return one.status in _PAID_UP or (one.status == "closed" and not one.owed_units)


def _has_failed_from(last: NumberedIntent, anchored_size: int) -> bool:
    """Return whether the last round failed, and the anchor that it began from is still the last."""
    has_failed = last.fate not in (None, "finalized")
    return has_failed and last.purpose.split(":")[0] == str(anchored_size)
