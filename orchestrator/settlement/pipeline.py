"""From the log to the chain and back: what turns a written outcome into money, one step a function.

1. `accept`   signed proposals become transactions that open their contracts.
2. `publish`  the newest checkpoint goes on chain, with the proof that it extends the last one.
3. `settle`   statements that an anchor covers go to the escrow, signed by the verifier.
4. `release`  what the escrow held back and time has freed is paid out.
5. `endorse`  the same statements are signed for ERC-8183 jobs, and kept for whoever needs that.
6. `refute`   claims that the log refutes are dropped.
7. `submit`   whatever was asked for moves on: signed, sent, replaced, finished.
8. `watch`    what the chain made final comes back into the log as requests.

Each step reads what is durable, decides, and asks for something under a key that names it, so a
step that is run twice, or dies halfway, does nothing twice.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from orchestrator.chain.abi import Call, ChainEvent, Closed, Credited, Group, Opened, Paid
from orchestrator.chain.deployment import Anchor, Chain, Progress
from orchestrator.chain.indexer import Watcher
from orchestrator.chain.relayer import Submitter
from orchestrator.core.contract import rules_of
from orchestrator.core.entry import address_word
from orchestrator.core.errors import LogError, TermsError
from orchestrator.core.kinds import decode
from orchestrator.core.policy import is_name
from orchestrator.core.requests import CloseContract, OpenContract, RecordPayout, Request, Settle
from orchestrator.core.terms import Terms
from orchestrator.core.units import DAY_MS
from orchestrator.log.inbox import MAX_BULK, Submission, submit
from orchestrator.log.reader import LogReader, StoredEntry
from orchestrator.settlement.refuter import Refuter
from orchestrator.settlement.verifier import Verifier
from orchestrator.storage.database import Database

MAX_PROPOSALS = 100
# A statement costs the escrow about 20k gas and 256 bytes of calldata, and up to 200k gas where a
# contract is not plain; a transaction may use 2^24.
MAX_RUN = 256
MAX_GUARDED_RUN = 48
STATEMENTS_PAGE = 1_000
MAX_TERMS_KEPT = 10_000
MAX_ATTEMPTS = 5
# Nothing more is paid by a contract in one of these, as `statusOf` has them.
_DONE = ("paid_out", "refunded")
# What is released before all of it can be is released once a day, and so many contracts are looked
# at in a step.
RELEASE_EVERY_MS = DAY_MS
RELEASES_PAGE = 100
# A log without new statements is anchored this often all the same.
ANCHOR_EVERY_MS = 3_600_000


class Run(NamedTuple):
    """Neighbouring statements that the escrow takes in one call."""

    group: Group
    first: int
    entries: list[bytes]


class Pipeline:
    """Moves one log and one escrow. Run `step` again and again; run only one of it at a time.

    `account` is the address that the log's own requests are made under. `serves` says for which
    terms we pay the gas, of all that name our verifier: anybody can open a contract that does.
    """

    def __init__(
        self,
        *,
        database: Database,
        log: LogReader,
        chain: Chain,
        submitter: Submitter,
        watcher: Watcher,
        verifier: Verifier,
        now_ms: Callable[[], int],
        account: str,
        serves: Callable[[Terms], bool],
    ) -> None:
        self._database = database
        self._log = log
        self._log_id = log.log_id
        self._chain = chain
        self._submitter = submitter
        self._watcher = watcher
        self._verifier = verifier
        self._now_ms = now_ms
        self._account = account.lower()
        self._serves = serves
        self._refuter = Refuter(log, chain, watcher, now_ms, self._is_served)
        self._us = {
            "chain_id": chain.addresses.chain_id,
            "sender": submitter.sender.lower(),
        }
        self._terms: dict[bytes, Terms] = {}
        # The newest anchored statement of every contract that the escrow may still lack it for, the
        # guarded contracts that may still have something to pay, with the time when we last had
        # them pay (those we have not looked at for longest come first), and how far statements were
        # read. All of it is found again after a restart.
        self._unsent: dict[bytes, StoredEntry] = {}
        self._guarded: dict[bytes, int] = {}
        self._read_to = 0
        # How far statements were signed for jobs; None: not yet looked up.
        self._endorsed_to: int | None = None

    def step(self) -> bool:
        """All steps once, in order; whether anything was done or is still under way.

        What is under way moves on, and what happened is seen, even if nothing new can be asked for.
        """
        try:
            asked = self.accept() + bool(self.publish()) + self.settle() + self.release()
            asked += self.endorse() + self.refute()
        finally:
            self.submit()
            seen = self.watch()
        return bool(asked + seen + self._submitter.under_way())

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
        last = self._last_intent("publish:")
        if last is not None and last.fate is None and int(last.name.split(":")[1]) > anchored.size:
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
        name = f"{anchored.size}:{checked.size}"
        attempt = last.attempt + 1 if last is not None and last.name == name else 0
        self._ask(_Intent("publish", name, attempt), call)
        return checked.size

    def settle(self) -> int:
        """Send what the escrow lacks of the contracts' newest statements; returns how many.

        A statement must be covered by a safe block's anchor, and waits while its contract has
        another pending. Older ones need not be sent: totals are cumulative.
        """
        anchor = self._chain.checkpoint(self._log_id, "safe")
        self._read_statements(anchor.size)
        if not self._unsent or self._is_under_way("settle"):
            return 0
        progress = self._chain.progress(list(self._unsent))
        taken = [name for name, one in progress.items() if self._is_behind_us(name, one)]
        # Forgotten for good only once it is final.
        for name, one in self._chain.progress(taken, "finalized").items():
            if self._is_behind_us(name, one):
                del self._unsent[name]
        sendable = [
            stored
            for name, stored in self._unsent.items()
            if name not in taken and progress[name].pending is None
        ]
        sent = 0
        for run in self._runs(sorted(sendable, key=lambda stored: stored.position)):
            sent += self._send(run, anchor)
        return sent

    def _is_behind_us(self, contract_id: bytes, one: Progress) -> bool:
        """Whether the escrow has the statement, or takes none of this verifier any more."""
        return one.reach >= self._unsent[contract_id].position or one.is_retired

    def _send(self, run: Run, anchor: Anchor) -> int:
        """Ask for one run to be settled, unless that was tried too often; returns how many.

        A run that failed as a whole, as for its gas, is tried in halves, so that no contract's
        statement depends on another's.
        """
        count, attempt = len(run.entries), 0
        last = self._last_intent(f"settle:{run.first}:{count}:")
        if last is not None:
            if last.fate is None:
                return 0
            if last.fate != "finalized" and count > 1:
                middle = count // 2
                left = run._replace(entries=run.entries[:middle])
                right = run._replace(first=run.first + middle, entries=run.entries[middle:])
                return self._send(left, anchor) + self._send(right, anchor)
            if last.attempt == MAX_ATTEMPTS:
                for entry in run.entries:
                    del self._unsent[decode(entry).subject]
                return 0
            attempt = last.attempt + 1
        proof = self._log.run_proof(run.first, count, anchor.size)
        domain = self._chain.escrow_domain
        signature = self._verifier.sign(domain, anchor.size, anchor.root, run.first, count)
        call = self._chain.settle(run.group, anchor.size, run.first, run.entries, proof, signature)
        self._ask(_Intent("settle", f"{run.first}:{count}", attempt), call)
        return count

    def release(self) -> int:
        """Have the escrow pay what became due since its last payment; returns how many contracts.

        Settling pays too, so this waits for it. What comes in trickles, as from a rate cap or from
        many small holdbacks, is collected until it is worth its gas.
        """
        if not self._guarded or self._is_under_way("settle"):
            return 0
        asked, page = 0, list(self._guarded)[:RELEASES_PAGE]
        for contract_id, one in self._chain.progress(page).items():
            if _is_over(one) and _is_over(self._final(contract_id)):
                del self._guarded[contract_id]
                continue
            self._guarded[contract_id] = self._guarded.pop(contract_id)  # behind the others
            if one.releasable_units and self._is_worth_it(contract_id, one):
                name = f"{contract_id.hex()}:{one.paid_units}"
                attempt = self._next_attempt("release", name)
                if attempt is not None:
                    self._ask(_Intent("release", name, attempt), self._chain.release(contract_id))
                    self._guarded[contract_id] = self._now_ms()
                    asked += 1
        return asked

    def _final(self, contract_id: bytes) -> Progress:
        """How far the escrow is with a contract in the final block."""
        return self._chain.progress([contract_id], "finalized")[contract_id]

    def _is_worth_it(self, contract_id: bytes, one: Progress) -> bool:
        """Whether all that is owed can be paid; or, once a day, a quarter of it or of the cap."""
        if one.releasable_units == one.owed_units:
            return True
        portion = (self._terms_of(contract_id).rate_cap_units or one.owed_units) // 4
        is_time = self._now_ms() - self._guarded[contract_id] >= RELEASE_EVERY_MS
        return is_time and one.releasable_units >= portion

    def endorse(self) -> int:
        """Sign for ERC-8183 jobs what a final anchor covers; returns how many statements it saw.

        A job is completed for good, so it takes a signature of its own. Every statement of ours
        gets one: who waits for which is nothing that we can know.
        """
        domain = self._chain.evaluators_domain
        if domain is None:
            return 0
        if self._endorsed_to is None:
            with self._database.transaction() as session:
                (row,) = session.all("pipeline.endorsed", log_id=self._log_id)
            self._endorsed_to = row.until - 1
        page = self._log.of_kind("settlement", self._endorsed_to, STATEMENTS_PAGE)
        if not page:
            return 0
        # Final, for nothing here is ever signed again under another root.
        anchor = self._chain.checkpoint(self._log_id, "finalized")
        covered = [stored for stored in page if stored.position < anchor.size]
        ours = [stored.position for stored in covered if stored.entry.actor == self._verifier.word]
        signed = [
            (first, count, self._verifier.sign(domain, anchor.size, anchor.root, first, count))
            for first, count in _neighbours(ours)
        ]
        is_alone = True
        with self._database.transaction() as session:
            for first, count, signature in signed:
                is_alone = bool(
                    session.run(
                        "pipeline.endorse",
                        log_id=self._log_id,
                        first=first,
                        count=count,
                        size=anchor.size,
                        root=anchor.root,
                        signature=signature,
                    )
                )
                if not is_alone:
                    break  # another orchestrator was here: go on from where it is
        if covered:
            self._endorsed_to = covered[-1].position if is_alone else None
        return len(covered)

    def refute(self) -> int:
        """Have the escrow drop claims that the log refutes; returns how many were asked for.

        In all contracts that we serve, whoever is their verifier. Somebody else may be faster; then
        ours is refused, and nothing is wrong.
        """
        asked = 0
        for name, call in self._refuter.look():
            attempt = self._next_attempt("refute", name)
            if attempt is not None:
                self._ask(_Intent("refute", name, attempt), call)
                asked += 1
        return asked

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

    def _runs(self, statements: Iterable[StoredEntry]) -> Iterator[Run]:
        """Statements in the log's order, neighbours that the escrow takes in one call together."""
        run: Run | None = None
        for stored in statements:
            contract_id = stored.entry.subject
            group = Group.of(self._terms_of(contract_id))
            most = MAX_GUARDED_RUN if contract_id in self._guarded else MAX_RUN
            if (
                run is not None
                and run.group == group
                and stored.position == run.first + len(run.entries)
                and len(run.entries) < most
            ):
                run.entries.append(stored.data)
                continue
            if run is not None:
                yield run
            run = Run(group, stored.position, [stored.data])
        if run is not None:
            yield run

    def _read_statements(self, size: int) -> None:
        """Take note of the statements below an anchor that are ours to sign and to send."""
        while page := self._log.of_kind("settlement", self._read_to, STATEMENTS_PAGE):
            for stored in page:
                if stored.position >= size:
                    return
                self._read_to, contract_id = stored.position, stored.entry.subject
                terms = self._terms_of(contract_id)
                if stored.entry.actor == self._verifier.word and self._serves(terms):
                    self._unsent[contract_id] = stored
                    if not terms.is_plain:
                        self._guarded.setdefault(contract_id, 0)

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
            elif isinstance(happened, Closed) and self._is_ours(happened.contract_id):
                closed_at_ms = event.time_s * 1000
                yield key, CloseContract(happened.contract_id, closed_at_ms, event.tx_hash)
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

        Anybody may open a contract that names our log; one whose outcome is no state's name can
        count nothing, and must not stop us.
        """
        try:
            terms = self._terms_of(contract_id)
        except TermsError:
            return False
        return terms.log_id == self._log_id and is_name(terms.outcome)

    def _is_served(self, contract_id: bytes) -> bool:
        """Whether a contract is on our log, and we pay the gas for it."""
        return self._is_ours(contract_id) and self._serves(self._terms_of(contract_id))

    def _request(self, requests: list[tuple[str, Request]]) -> None:
        submissions = [Submission(key, request, key.encode()) for key, request in requests]
        with self._database.transaction(self._account) as session:
            for start in range(0, len(submissions), MAX_BULK):
                page = submissions[start : start + MAX_BULK]
                submit(session, self._log_id, self._account, page, self._now_ms())

    def _ask(self, intent: "_Intent", call: Call) -> None:
        with self._database.transaction(self._account) as session:
            self._submitter.request(session, intent.key, call)

    def _is_under_way(self, kind: str) -> bool:
        """Whether anything of this kind was asked for and has no fate yet."""
        with self._database.transaction(self._account) as session:
            return bool(session.all("pipeline.under_way", **self._us, prefix=f"{kind}:"))

    def _next_attempt(self, kind: str, name: str) -> int | None:
        """Which attempt at this the next one is; None if there were enough, or one is under way."""
        last = self._last_intent(f"{kind}:{name}:")
        if last is None:
            return 0
        return last.attempt + 1 if last.fate is not None and last.attempt < MAX_ATTEMPTS else None

    def _last_intent(self, prefix: str) -> "_Intent | None":
        with self._database.transaction(self._account) as session:
            row = session.one("pipeline.last_intent", **self._us, prefix=prefix)
        if row is None:
            return None
        kind, *name, attempt = row.intent_key.split(":")
        return _Intent(kind, ":".join(name), int(attempt), row.fate)


def _neighbours(positions: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Ascending positions as runs without a gap: the first of each, and how many they are."""
    first = count = 0
    for position in positions:
        if count and position == first + count:
            count += 1
            continue
        if count:
            yield first, count
        first, count = position, 1
    if count:
        yield first, count


def _is_over(one: Progress) -> bool:
    """Whether a contract pays nothing more."""
    return one.status in _DONE or (one.status == "closed" and not one.owed_units)


class _Intent(NamedTuple):
    """What the chain is asked for, for which time, and what became of it.

    `name` says what: anchoring `old size:new size`, settling `first:count`, releasing
    `contract:paid units`, or refuting `contract:key of the claim`.
    """

    kind: str
    name: str
    attempt: int
    fate: str | None = None

    @property
    def key(self) -> str:
        return f"{self.kind}:{self.name}:{self.attempt}"
