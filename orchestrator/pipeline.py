"""From the log to the chain and back: what turns a written outcome into money, one step a function.

1. `accept`   signed proposals become transactions that open their contracts.
2. `publish`  the newest checkpoint goes on chain, with the proof that it extends the last one.
3. `settle`   statements that an anchor covers go to the escrow, signed by the verifier.
4. `submit`   whatever was asked for moves on: signed, sent, replaced, finished.
5. `watch`    what the chain made final comes back into the log as requests.

Each step reads what is durable, decides, and asks for something under a key that names it, so a
step that is run twice, or dies halfway, does nothing twice.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from orchestrator.chain import Chain
from orchestrator.contracts import Call, ChainEvent, Credited, Group, Opened, Paid
from orchestrator.core.decide import OpenContract, RecordPayout, Request, Settle
from orchestrator.core.entry import address_word
from orchestrator.core.errors import LogError, TermsError
from orchestrator.core.settlement import rules_of
from orchestrator.core.terms import Terms
from orchestrator.database import Database
from orchestrator.inbox import Submission, submit
from orchestrator.reader import LogReader, StoredEntry
from orchestrator.submitter import Submitter
from orchestrator.verifier import Verifier
from orchestrator.watcher import Watcher

MAX_PROPOSALS = 100
# A statement costs the escrow about 20k gas and 256 bytes of calldata; a transaction may use 2^24.
MAX_RUN = 256
STATEMENTS_PAGE = 1_000
MAX_TERMS_KEPT = 10_000
MAX_ATTEMPTS = 5
# A log without new statements is anchored this often all the same.
ANCHOR_EVERY_MS = 3_600_000


class Run(NamedTuple):
    """Neighbouring statements that the escrow takes in one call."""

    group: Group
    first: int
    entries: list[bytes]


class Pipeline:
    """Moves one log and one escrow. Run `step` again and again; run only one of it at a time.

    `account` is the address that the log's own requests are made under.
    """

    def __init__(
        self,
        *,
        database: Database,
        log: LogReader,
        log_id: bytes,
        chain: Chain,
        submitter: Submitter,
        watcher: Watcher,
        verifier: Verifier,
        now_ms: Callable[[], int],
        account: str,
    ) -> None:
        self._database = database
        self._log = log
        self._log_id = log_id
        self._chain = chain
        self._submitter = submitter
        self._watcher = watcher
        self._verifier = verifier
        self._now_ms = now_ms
        self._account = account.lower()
        self._terms: dict[bytes, Terms] = {}

    def step(self) -> bool:
        """All steps once, in order; whether anything was done or is still under way."""
        asked = self.accept() + bool(self.publish()) + self.settle()
        self.submit()
        return bool(asked + self.watch() + self._submitter.under_way())

    def tick(self, key: str) -> None:
        """Ask the log to state every contract's totals; `key` names this tick."""
        self._request([(f"settle-{key}", Settle())])

    def accept(self) -> int:
        """Ask the chain to open what both parties have signed; returns how many."""
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
                self._submitter.request(session, f"open:{row.contract_id.hex()}", call)
        return len(rows)

    def publish(self) -> int | None:
        """Ask for the newest checkpoint to be anchored; returns its size.

        None if the chain has it, if an earlier one is on its way (anchors go one after the other,
        each proven against the last), or if it holds no new statement and the last one is recent.
        """
        anchored = self._chain.checkpoint(self._log_id)
        last = self._last_intent("publish")
        if last is not None and last.fate is None and last.second > anchored.size:
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
        attempt = 0
        if last is not None and (last.first, last.second) == (anchored.size, checked.size):
            attempt = last.attempt + 1
        self._ask(_Intent("publish", anchored.size, checked.size, attempt), call)
        return checked.size

    def settle(self) -> int:
        """Send the statements that a safe block's anchor covers to the escrow; returns how many."""
        anchor = self._chain.checkpoint(self._log_id, "safe")
        last = self._last_intent("settle")
        after, attempt = 0, 0
        if last is not None and last.has_failed and last.attempt < MAX_ATTEMPTS:
            after, attempt = last.first - 1, last.attempt + 1
        elif last is not None:
            after = last.first + last.second - 1
        sent = 0
        for run in self._runs(after, anchor.size):
            count = len(run.entries)
            proof = self._log.run_proof(run.first, count, anchor.size)
            signature = self._verifier.sign(anchor.size, anchor.root, run.first, count)
            call = self._chain.settle(
                run.group, anchor.size, run.first, run.entries, proof, signature
            )
            self._ask(_Intent("settle", run.first, count, attempt), call)
            sent, attempt = sent + count, 0
        return sent

    def submit(self) -> None:
        """Move every transaction on by what the chain shows now."""
        self._submitter.advance()

    def watch(self) -> int:
        """Bring what became final on chain into the log; returns how many events."""
        seen = 0
        for events in self._watcher.poll():
            requests = list(self._requests(events))
            self._request(requests)
            seen += len(events)
        return seen

    def _runs(self, after: int, size: int) -> Iterator[Run]:
        """The statements in (after, size) that our verifier may sign, neighbours together."""
        run: Run | None = None
        for stored in self._statements(after, size):
            if stored.entry.actor != self._verifier.word:
                continue
            group = Group.of(self._terms_of(stored.entry.subject))
            if (
                run is not None
                and run.group == group
                and stored.position == run.first + len(run.entries)
                and len(run.entries) < MAX_RUN
            ):
                run.entries.append(stored.data)
                continue
            if run is not None:
                yield run
            run = Run(group, stored.position, [stored.data])
        if run is not None:
            yield run

    def _statements(self, after: int, size: int) -> Iterator[StoredEntry]:
        while page := self._log.of_kind("settlement", after, STATEMENTS_PAGE):
            for stored in page:
                if stored.position >= size:
                    return
                yield stored
            after = page[-1].position

    def _terms_of(self, contract_id: bytes) -> Terms:
        """A contract's terms; they never change, so they are asked for once."""
        if contract_id not in self._terms:
            if len(self._terms) >= MAX_TERMS_KEPT:
                self._terms.clear()
            self._terms[contract_id] = self._chain.terms_of(contract_id)
        return self._terms[contract_id]

    def _requests(self, events: list[ChainEvent]) -> Iterator[tuple[str, Request]]:
        """What the log is asked to say about final events, under keys that name them for ever."""
        failed = {
            (event.tx_hash, event.event.contract_id, event.event.account)
            for event in events
            if isinstance(event.event, Credited)
        }
        for event in events:
            key = f"{event.block_hash.hex()}-{event.log_index}"
            happened = event.event
            if isinstance(happened, Opened) and self._is_ours(happened.contract_id):
                terms = self._terms_of(happened.contract_id)
                yield key, OpenContract(rules_of(terms, happened.contract_id), event.tx_hash)
            elif isinstance(happened, Paid) and self._is_ours(happened.contract_id):
                credited = (event.tx_hash, happened.contract_id, happened.payee) in failed
                payout = RecordPayout(
                    happened.contract_id,
                    address_word(happened.payee),
                    "credited" if credited else "paid",
                    happened.gross_units,
                    event.tx_hash,
                )
                yield key, payout

    def _is_ours(self, contract_id: bytes) -> bool:
        """Whether a contract is on our log, under terms that a log can speak of.

        Anybody may open a contract that names our log; one whose outcome is no ASCII label can
        count nothing, and must not stop us.
        """
        try:
            return self._terms_of(contract_id).log_id == self._log_id
        except TermsError:
            return False

    def _request(self, requests: list[tuple[str, Request]]) -> None:
        with self._database.transaction(self._account) as session:
            submissions = [Submission(key, request, key.encode()) for key, request in requests]
            submit(session, self._log_id, self._account, submissions, self._now_ms())

    def _ask(self, intent: "_Intent", call: Call) -> None:
        with self._database.transaction(self._account) as session:
            self._submitter.request(session, intent.key, call)

    def _last_intent(self, kind: str) -> "_Intent | None":
        with self._database.transaction(self._account) as session:
            row = session.one(
                "pipeline.last_intent",
                chain_id=self._chain.addresses.chain_id,
                sender=self._submitter.sender.lower(),
                prefix=f"{kind}:",
            )
        if row is None:
            return None
        first, second, attempt = (int(part) for part in row.intent_key.split(":")[1:])
        return _Intent(kind, first, second, attempt, row.fate)


class _Intent(NamedTuple):
    """What the chain is asked for: anchoring (old size, new size) or settling (first, count)."""

    kind: str
    first: int
    second: int
    attempt: int
    fate: str | None = None

    @property
    def key(self) -> str:
        return f"{self.kind}:{self.first}:{self.second}:{self.attempt}"

    @property
    def has_failed(self) -> bool:
        return self.fate in ("refused", "reverted")
