"""The recorder: what the chain made final comes into the log, as requests.

Each is named by its event for ever, so that one which is read again is recorded once.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator

from orchestrator.chain.abi import (
    ChainEvent,
    Closed,
    Credited,
    Opened,
    Paid,
    Settled,
)
from orchestrator.chain.deployment import Chain
from orchestrator.chain.indexer import Indexer
from orchestrator.core.common.errors import ReplayError, TermsError
from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.core.common.names import is_short_name
from orchestrator.core.log.entry import address_word
from orchestrator.core.world.contract import rules_of
from orchestrator.core.world.requests import (
    CloseContract,
    OpenContract,
    RecordDispute,
    RecordPayout,
    RecordRuling,
    Request,
)
from orchestrator.log.inbox import MAX_BULK, Submission, submit
from orchestrator.log.stored_records import ChainEntry, chain_entry, count_logged
from orchestrator.storage.database import Database
from orchestrator.verify.recount import DISPUTES, ToldDispute, Totals, recount

_log = logging.getLogger("tallystick.pipeline")


class Recorder:
    """The way from the chain's final events into a log, whose own requests `account` makes."""

    def __init__(
        self, database: Database, log_id: bytes, chain: Chain, indexer: Indexer, account: str
    ) -> None:
        self._database = database
        self._log_id = log_id
        self._chain = chain
        self._indexer = indexer
        self._account = account

    def record(self) -> int:
        """Bring what became final on chain into the log; return how many events."""
        seen = 0
        for events in self._indexer.poll():
            self.request(self._unlogged(self._requests_of(events)))
            seen += len(events)
        return seen

    def request(self, requests: list[tuple[str, Request]]) -> None:
        """Make requests to the log under their keys, all in one transaction."""
        submissions = [Submission(key, request, key.encode()) for key, request in requests]
        with self._database.transaction(self._account) as session:
            for start in range(0, len(submissions), MAX_BULK):
                page = submissions[start : start + MAX_BULK]
                submit(session, self._log_id, self._account, page)

    def is_ours(self, contract_id: bytes) -> bool:
        """Return whether a contract is on our log, under terms that a log can record.

        A stranger may open a contract that names our log. One whose outcome is no state's name can
        count nothing, and must not stop us.
        """
        try:
            terms = self._chain.terms_of(contract_id)
        except TermsError:
            return False
        return terms.log_id == self._log_id and is_short_name(terms.outcome)

    def _unlogged(self, requests: Iterable[tuple[str, Request]]) -> list[tuple[str, Request]]:
        """Return the requests whose entries the log has not got.

        It has them, and the inbox has forgotten their keys, where the database was restored.
        """
        asked: Counter[ChainEntry] = Counter()
        missing = []
        with self._database.transaction(self._account) as session:
            for key, request in requests:
                entry = chain_entry(request)
                if entry is not None:
                    asked[entry] += 1
                    if count_logged(session, self._log_id, entry) >= asked[entry]:
                        continue
                missing.append((key, request))
        return missing

    def _requests_of(self, events: list[ChainEvent]) -> Iterator[tuple[str, Request]]:
        """Yield the requests that record final events, under keys that name the events for ever."""
        told: dict[bytes, list[ToldDispute]] = {}
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
            if isinstance(happened, Opened) and self.is_ours(happened.contract_id):
                terms = self._chain.terms_of(happened.contract_id)
                yield key, OpenContract(rules_of(terms, happened.contract_id), event.tx_hash)
            elif isinstance(happened, Closed) and self.is_ours(happened.contract_id):
                closed_at_ms = event.time_s * 1000
                yield key, CloseContract(happened.contract_id, closed_at_ms, event.tx_hash)
            elif isinstance(happened, Paid) and self.is_ours(happened.contract_id):
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
            elif isinstance(happened, DISPUTES) and self.is_ours(happened.contract_id):
                contract_id = happened.contract_id
                if contract_id not in told:
                    told[contract_id] = self._told_disputes(contract_id, events)
                for one in told[contract_id]:
                    if one.event == event:
                        yield key, _dispute_request(contract_id, one)

    def _told_disputes(self, contract_id: bytes, batch: list[ChainEvent]) -> list[ToldDispute]:
        """Return what the chain tells of a contract's disputes up to a batch of its final events.

        What is disputed no event says: it follows from all that the escrow was told before.
        """
        first = batch[0].block_number, batch[0].log_index
        events = [
            event
            for event in self._indexer.final_about(contract_id)
            if (event.block_number, event.log_index) < first
        ]
        events += [event for event in batch if event.contract_id == contract_id]
        # The escrow has compared what it settled by with the log.
        statements = {
            settled.position: Totals(settled.earned_units, settled.reversed_units)
            for event in events
            if isinstance(settled := event.event, Settled)
        }
        try:
            return recount(
                contract_id, self._chain.terms_of(contract_id), events, statements
            ).disputes
        except ReplayError as error:
            # The money of others must not wait for it; every replay shows that it is missing.
            _log.warning("no dispute of contract %s is recorded: %s", to_hex(contract_id), error)
            return []


def _dispute_request(contract_id: bytes, told: ToldDispute) -> Request:
    make = RecordDispute if told.kind == "dispute.opened" else RecordRuling
    return make(contract_id, told.actor, told.label, told.units, told.event.tx_hash)
