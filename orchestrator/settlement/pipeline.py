"""The pipeline from the log to the chain and back, which turns a written outcome into money.

Each step is a function:

1. `accept`   signed proposals become transactions that open their contracts.
2. `publish`  the newest checkpoint goes on chain, with the proof that it extends the last one.
3. `settle`   statements that an anchor covers go to the escrow, signed by the verifier.
4. `release`  what the escrow held back and time has freed is paid out.
5. `endorse`  the same statements are signed for ERC-8183 jobs, and stored.
6. `refute`   claims that the log refutes are lowered or dropped.
7. `submit`   every transaction moves on: it is signed, sent, replaced, or finished.
8. `watch`    what the chain made final comes back into the log as requests.

A step reads what is durable, decides, and asks for something under a key that names it. So a step
that runs twice, or dies halfway, does nothing twice.
"""

from collections.abc import Callable, Iterator

from orchestrator.chain.abi import ChainEvent, Closed, Credited, Opened, Paid
from orchestrator.chain.deployment import Anchor, Chain
from orchestrator.chain.escrow import Progress
from orchestrator.chain.indexer import Indexer
from orchestrator.chain.relayer import Relayer
from orchestrator.core.contract import rules_of
from orchestrator.core.entry import address_word
from orchestrator.core.errors import LogError, TermsError
from orchestrator.core.kinds import decode
from orchestrator.core.names import is_short_name
from orchestrator.core.requests import CloseContract, OpenContract, RecordPayout, Request, Settle
from orchestrator.core.terms import Terms
from orchestrator.core.units import DAY_MS
from orchestrator.log.inbox import MAX_BULK, Submission, submit
from orchestrator.log.reader import LogReader, StoredEntry
from orchestrator.settlement.endorser import Endorser
from orchestrator.settlement.intents import Intents, NumberedIntent
from orchestrator.settlement.refuter import Refuter
from orchestrator.settlement.runs import Run, runs_of
from orchestrator.settlement.verifier import Verifier
from orchestrator.storage.database import Database

MAX_PROPOSALS = 100
STATEMENTS_PAGE = 1_000
# A part of what is owed is released once a day at most.
RELEASE_EVERY_MS = DAY_MS
# How many contracts are examined for a release in one step.
RELEASES_PAGE = 100
# A log without new statements is anchored this often all the same.
ANCHOR_EVERY_MS = 3_600_000
# The values of `statusOf` for contracts that pay nothing more.
_PAID_UP = ("paid_out", "refunded")


class Pipeline:
    """The mover of one log and one escrow. Run `step` again and again, one at a time.

    `account` is the address under which the log's own requests are made. `serves` is true for terms
    of contracts whose gas we pay: a stranger can open a contract that names our verifier too.
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
        serves: Callable[[Terms], bool],
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
        self._serves = serves
        self._refuter = Refuter(log, chain, indexer, now_ms, self._is_served)
        self._endorser = Endorser(database, log, chain, verifier)
        self._intents = Intents(database, relayer, chain.addresses.chain_id, self._account)
        # What follows is a cache of the log and the chain: a restart finds all of it again.
        # By contract, the newest anchored statement that the escrow may still lack.
        self._unsent: dict[bytes, StoredEntry] = {}
        # The guarded contracts that may still pay, with the time of our last release; the one that
        # was not examined for longest comes first.
        self._guarded: dict[bytes, int] = {}
        # The place of the last opening whose terms were remembered.
        self._opened_to = (-1, -1)
        # The position up to which statements were read.
        self._read_to = 0

    def step(self) -> bool:
        """Run all steps once, in order; return whether anything was done or is still under way."""
        try:
            asked = self.accept() + bool(self.publish()) + self.settle() + self.release()
            asked += self.endorse() + self.refute()
        finally:
            # Transactions move on, and events are read, even if nothing new can be asked for.
            self.submit()
            seen = self.watch()
        return bool(asked + seen + self._relayer.under_way())

    def tick(self, key: str) -> None:
        """Ask the log to state the totals of every contract; `key` names this tick."""
        self._request([(f"settle-{key}", Settle())])

    def accept(self) -> int:
        """Ask the chain to open the contracts that both parties have signed; return how many."""
        with self._database.transaction(self._account) as session:
            rows = session.all(
                "pipeline.accepted",
                log_id=self._log_id,
                chain_id=self._chain.addresses.chain_id,
                limit=MAX_PROPOSALS,
            )
            for row in rows:
                call = self._chain.open(
                    Terms.from_json(row.terms), row.owner_signature, row.operator_signature
                )
                self._relayer.request(session, f"open:{row.contract_id.hex()}", call)
        return len(rows)

    def publish(self) -> int | None:
        """Ask for the newest checkpoint to be anchored; return its size, or None.

        It is None if the chain has the checkpoint, if an earlier one is on its way, or if there is
        no new statement in it and the last anchor is recent.
        """
        anchored = self._chain.checkpoint(self._log_id)
        last = self._intents.last("publish:")
        # Anchors go one after the other, for each is proven against the last.
        if last is not None and last.fate is None:
            asked_size = int(last.purpose.split(":")[1])
            if asked_size > anchored.size:
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
        call = self._chain.publish(
            self._log_id, checked.size, checked.root, proof, checked.signature
        )
        intent = NumberedIntent("publish", f"{anchored.size}:{checked.size}")
        if last is not None and last.purpose == intent.purpose:
            intent = last.next
        self._intents.ask(intent, call)
        return checked.size

    def settle(self) -> int:
        """Ask for the newest statements that the escrow lacks to be settled; return how many.

        A statement must be covered by the anchor of a safe block, and waits while its contract has
        another pending. Older ones need not be sent: totals are cumulative.
        """
        anchor = self._chain.checkpoint(self._log_id, "safe")
        self._remember_terms()
        self._read_statements(anchor.size)
        if not self._unsent or self._intents.is_under_way("settle"):
            return 0
        progress = self._chain.progress(list(self._unsent))
        taken = [name for name, one in progress.items() if self._is_settled(name, one)]
        # A reorganization may undo it, so a statement is dropped only once that is final.
        for name, one in self._chain.progress(taken, "finalized").items():
            if self._is_settled(name, one):
                del self._unsent[name]
        sendable = [
            stored
            for name, stored in self._unsent.items()
            if name not in taken and progress[name].snapshot.pending is None
        ]
        sent = 0
        in_order = sorted(sendable, key=lambda stored: stored.position)
        for run in runs_of(in_order, self._chain.terms_of):
            sent += self._send(run, anchor)
        return sent

    def _is_settled(self, contract_id: bytes, one: Progress) -> bool:
        """Return whether the escrow has the statement, or takes none of this verifier any more."""
        snapshot = one.snapshot
        is_taken = snapshot.last_signed >= self._unsent[contract_id].position
        return is_taken or snapshot.is_retired

    def _send(self, run: Run, anchor: Anchor) -> int:
        """Ask for one run to be settled, unless that was tried too often; return how many."""
        count = len(run.entries)
        intent = NumberedIntent("settle", f"{run.first}:{count}")
        last = self._intents.last(f"settle:{intent.purpose}:")
        if last is not None:
            if last.fate is None:
                return 0
            if last.fate != "finalized" and count > 1:
                # It failed as a whole, as for its gas. In halves no contract's statement depends on
                # another's for long.
                return sum(self._send(half, anchor) for half in run.halves)
            if last.is_exhausted:
                for entry in run.entries:
                    del self._unsent[decode(entry).subject]
                return 0
            intent = last.next
        proof = self._log.run_proof(run.first, count, anchor.size)
        domain = self._chain.escrow_domain
        signature = self._verifier.sign(domain, anchor.size, anchor.root, run.first, count)
        rules = [word for words in run.rules for word in words]
        call = self._chain.settle(
            run.group, anchor.size, run.first, run.entries, rules, proof, signature
        )
        self._intents.ask(intent, call)
        return count

    def release(self) -> int:
        """Ask for what became due since the last payment to be paid; return how many contracts.

        What comes in trickles, as from a rate cap or from many small holdbacks, is collected until
        it is worth its gas.
        """
        # Settling pays too, so this waits for it.
        if not self._guarded or self._intents.is_under_way("settle"):
            return 0
        asked, page = 0, list(self._guarded)[:RELEASES_PAGE]
        for contract_id, one in self._chain.progress(page).items():
            if _is_over(one) and _is_over(self._final_progress(contract_id)):
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

    def _final_progress(self, contract_id: bytes) -> Progress:
        return self._chain.progress([contract_id], "finalized")[contract_id]

    def _is_worth_its_gas(self, contract_id: bytes, one: Progress) -> bool:
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
        refutations = self._refuter.find_refutations()
        return sum(
            self._intents.ask_again("refute", purpose, call) for purpose, call in refutations
        )

    def submit(self) -> None:
        """Move every transaction on, by what the chain shows now."""
        self._relayer.advance()

    def watch(self) -> int:
        """Bring what became final on chain into the log; return how many events."""
        seen = 0
        for events in self._indexer.poll():
            self._request(list(self._requests_of(events)))
            seen += len(events)
        return seen

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

    def _requests_of(self, events: list[ChainEvent]) -> Iterator[tuple[str, Request]]:
        """Yield the requests that record final events, under keys that name the events for ever."""
        # The escrow says Paid also where the transfer failed and the payee was credited instead.
        failed = {
            (event.tx_hash, event.event.contract_id, event.event.account)
            for event in events
            if isinstance(event.event, Credited)
        }
        for event in events:
            key = f"{event.block_hash.hex()}-{event.log_index}"
            happened = event.event
            if isinstance(happened, Opened):
                self._chain.remember(happened.contract_id, happened.terms)
            if isinstance(happened, Opened) and self._is_ours(happened.contract_id):
                terms = self._chain.terms_of(happened.contract_id)
                yield key, OpenContract(rules_of(terms, happened.contract_id), event.tx_hash)
            elif isinstance(happened, Closed) and self._is_ours(happened.contract_id):
                closed_at_ms = event.time_s * 1000
                yield key, CloseContract(happened.contract_id, closed_at_ms, event.tx_hash)
            elif isinstance(happened, Paid) and self._is_ours(happened.contract_id):
                payee = self._chain.terms_of(happened.contract_id).payee
                credited = (event.tx_hash, happened.contract_id, payee) in failed
                payout = RecordPayout(
                    happened.contract_id,
                    address_word(payee),
                    "credited" if credited else "paid",
                    happened.gross_units,
                    event.tx_hash,
                )
                yield key, payout

    def _is_ours(self, contract_id: bytes) -> bool:
        """Return whether a contract is on our log, under terms that a log can record.

        A stranger may open a contract that names our log. One whose outcome is no state's name can
        count nothing, and must not stop us.
        """
        try:
            terms = self._chain.terms_of(contract_id)
        except TermsError:
            return False
        return terms.log_id == self._log_id and is_short_name(terms.outcome)

    def _is_served(self, contract_id: bytes) -> bool:
        """Return whether a contract is on our log and we pay its gas."""
        return self._is_ours(contract_id) and self._serves(self._chain.terms_of(contract_id))

    def _request(self, requests: list[tuple[str, Request]]) -> None:
        """Submit requests to the log under their keys, all in one transaction."""
        submissions = [Submission(key, request, key.encode()) for key, request in requests]
        with self._database.transaction(self._account) as session:
            for start in range(0, len(submissions), MAX_BULK):
                page = submissions[start : start + MAX_BULK]
                submit(session, self._log_id, self._account, page)


def _is_over(one: Progress) -> bool:
    """Return whether a contract pays nothing more."""
    return one.status in _PAID_UP or (one.status == "closed" and not one.owed_units)
