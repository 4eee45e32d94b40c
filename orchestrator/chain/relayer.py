"""Transactions sent exactly once: the books are in the database, the truth is on the chain.

What to do is decided by `core.submission`; here it is looked up, signed, stored and only then sent.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from eth_account import Account as Keys
from eth_utils.address import to_checksum_address

from orchestrator.chain.abi import Call, error_text
from orchestrator.chain.deployment import Chain
from orchestrator.chain.rpc import (
    Json,
    NodeError,
    ReplyError,
    members,
    octets,
    quantity,
    read_block,
    result,
)
from orchestrator.core.errors import ChainError
from orchestrator.core.hexadecimal import to_hex
from orchestrator.core.tx_plan import (
    Account,
    Attempt,
    Defer,
    Fate,
    Fees,
    Finish,
    Intent,
    Mined,
    Release,
    Rules,
    Send,
    Sign,
    TxStep,
    View,
    fate,
    plan,
)
from orchestrator.storage.database import Database, Session


class StoredIntent(NamedTuple):
    """An intent as far as it is stored. `tx_hash` is the transaction that did it, or the last try.

    While it is under way `fate` is requested, signed or broadcast. Block and gas are known at the
    end; `reason` says why it was refused, or what the node said last.
    """

    intent_key: str
    fate: Fate
    tx_hash: bytes | None
    block_number: int | None
    gas_used: int | None
    reason: str


class _Work(NamedTuple):
    """What is under way: the machine's view of it, its floor blocks, and the calls to try out."""

    transactions: list[Intent]
    floor_blocks: dict[str, int]
    calls: dict[str, Call]


class Submitter:
    """Makes every intent happen exactly once, from one key.

    `advance` does one round: look at the books and the chain, plan, sign and store in one database
    transaction, and only then send. A round that dies anywhere leaves either nothing or stored
    bytes, and the next one (start-up is no different) sees from the chain what became of them.
    What a round stores is fenced by the token it began with, so that of several orchestrators with
    one key one acts at a time; bytes that two of them send are the same bytes.
    """

    MOST_UNDER_WAY = 1_000

    def __init__(
        self,
        chain: Chain,
        database: Database,
        key: bytes,
        now_ms: Callable[[], int],
        rules: Rules = Rules(),  # noqa: B008 - immutable
    ) -> None:
        self._chain = chain
        self._database = database
        self._keys = Keys.from_key(key)
        self._now_ms = now_ms
        self._rules = rules
        self.sender: str = self._keys.address
        self._us = {"chain_id": chain.addresses.chain_id, "sender": self.sender.lower()}

    def __repr__(self) -> str:
        return f"Submitter({self.sender})"

    def request(self, session: Session, intent_key: str, call: Call) -> bool:
        """Ask for this call to happen once, in the caller's transaction; False if it was before.

        Raises ChainError if the key stands for another call.
        """
        session.run("chain.add_account", **self._us)
        asked = {"target": call.to.lower(), "data": call.data, "requested_ms": self._now_ms()}
        if session.run("chain.add_transaction", **self._us, intent_key=intent_key, **asked):
            return True
        (row,) = session.all("chain.transaction", **self._us, intent_key=intent_key)
        if (row.target, row.data) != (asked["target"], asked["data"]):
            raise ChainError(
                "intent-conflict",
                f"intent {intent_key!r} already stands for another call; use a new key",
            )
        return False

    def find(self, session: Session, intent_key: str) -> StoredIntent | None:
        """What is stored of an intent."""
        row = session.one("chain.transaction", **self._us, intent_key=intent_key)
        if row is None:
            return None
        if row.fate is not None:
            where = Fate(row.fate)
        elif row.tx_hash is None:
            where = Fate.REQUESTED
        else:
            where = Fate.SIGNED if row.reply is None else Fate.BROADCAST
        reason = row.reason if row.reason is not None else row.reply or ""
        return StoredIntent(intent_key, where, row.tx_hash, row.block_number, row.gas_used, reason)

    def under_way(self) -> int:
        """How many intents have no end yet."""
        with self._database.transaction() as session:
            ((count,),) = session.all("chain.count_under_way", **self._us)
        return int(count)

    def advance(self) -> list[StoredIntent]:
        """One round; returns the intents that it finished.

        Raises NodeError if the node did not show enough to decide on: try again later. What a
        *send* is answered, or whether it is, never raises.
        """
        with self._database.transaction() as session:
            # The token first: what is stored while we read the rest is newer, and fails the fence.
            books = session.one("chain.account", **self._us)
            work = self._work(session)
        if books is None or not work.transactions:
            return []
        account = Account(books.next_nonce, books.finalized_block)
        view = self._look(work)
        steps = plan(work.transactions, account, view, self._rules)
        if not steps:
            return []
        next_nonces = [step.nonce + 1 for step in steps if isinstance(step, Sign)]
        with self._database.transaction() as session:
            if not session.run(
                "chain.fence",
                **self._us,
                token=books.token,
                next_nonce=max([account.next_nonce, *next_nonces]),
                finalized_block=view.finalized_block,
            ):
                return []  # another orchestrator acted on these books since we read them
            sends = [send for step in steps for send in self._store(session, step, view)]
            finished = [
                self._found(session, step.intent_key) for step in steps if isinstance(step, Finish)
            ]
        self._send(sends)
        return finished

    # Looking

    def _work(self, session: Session) -> _Work:
        """Every intent with a nonce, and the next of those without, as far as there is room."""
        started: dict[str, Intent] = {}
        floor_blocks = {}
        # Intents and their attempts in one query: two would show two moments.
        for row in session.all("chain.under_way", **self._us, limit=self.MOST_UNDER_WAY):
            key, fees = row.intent_key, Fees(row.max_fee_wei, row.priority_fee_wei)
            attempt = Attempt(row.tx_hash, fees, row.signed_block, row.reply)
            known = started.get(key, Intent(key, row.nonce, row.gas_limit))
            started[key] = known._replace(attempts=(*known.attempts, attempt))
            floor_blocks[key] = row.floor_block
        room = min(self._rules.max_in_flight, self.MOST_UNDER_WAY - len(started))
        requested = session.all("chain.requested", **self._us, limit=room)
        fresh = [Intent(row.intent_key, refused_block=row.refused_block) for row in requested]
        calls = {row.intent_key: Call(row.target, row.data) for row in requested}
        return _Work([*started.values(), *fresh], floor_blocks, calls)

    def _look(self, work: _Work) -> View:
        """What the node shows of our account, of our attempts, and of the calls not yet signed."""
        latest, final, latest_nonce, final_nonce, fees, tip = self._chain.ask(
            [
                ("eth_getBlockByNumber", ["latest", False]),
                ("eth_getBlockByNumber", ["finalized", False]),
                ("eth_getTransactionCount", [self.sender, "latest"]),
                ("eth_getTransactionCount", [self.sender, "finalized"]),
                ("eth_feeHistory", ["0x1", "latest", []]),
                ("eth_maxPriorityFeePerGas", []),
            ]
        )
        base_fees = members(result(fees), "its fees").get("baseFeePerGas")
        if not isinstance(base_fees, list) or not base_fees:
            raise NodeError("node-unreadable", f"{self._chain.node.name} sent no base fee")
        view = View(
            latest_block=read_block(latest).number,
            finalized_block=read_block(final).number,
            latest_nonce=quantity(result(latest_nonce)),
            finalized_nonce=quantity(result(final_nonce)),
            base_fee_wei=quantity(base_fees[-1]),
            priority_fee_wei=quantity(result(tip)),
        )
        return self._look_closer(work, view)

    def _look_closer(self, work: _Work, view: View) -> View:
        """Receipts where a nonce is spent for good, the pool where it is unspent; else we wait."""
        started = [t for t in work.transactions if t.nonce is not None]
        spent = [
            attempt.tx_hash
            for transaction in started
            if (transaction.nonce or 0) < view.finalized_nonce
            for attempt in transaction.attempts
        ]
        unspent = [
            transaction.attempts[-1].tx_hash
            for transaction in started
            if (transaction.nonce or 0) >= view.latest_nonce
        ]
        replies = self._chain.ask(
            [
                *[("eth_getTransactionReceipt", [to_hex(tx_hash)]) for tx_hash in spent],
                *[("eth_getTransactionByHash", [to_hex(tx_hash)]) for tx_hash in unspent],
                *[("eth_estimateGas", [self._trial(c), "pending"]) for c in work.calls.values()],
            ]
        )
        receipts, rest = replies[: len(spent)], replies[len(spent) :]
        held, estimates = rest[: len(unspent)], rest[len(unspent) :]
        view = view._replace(
            mined=self._mined(spent, receipts),
            pooled=frozenset(
                tx_hash for tx_hash, reply in zip(unspent, held, strict=True) if _is_pooled(reply)
            ),
            gas=_gas(dict(zip(work.calls, estimates, strict=True))),
        )
        return view._replace(spenders=self._spenders(work, view))

    def _trial(self, call: Call) -> Json:
        return {"from": self.sender, "to": call.to, "data": to_hex(call.data)}

    def _mined(self, attempts: Sequence[bytes], replies: Sequence[Json]) -> dict[bytes, Mined]:
        """The receipts whose block is the chain's: a node that lags, or lies, may name another."""
        found = []
        for tx_hash, reply in zip(attempts, replies, strict=True):
            if result(reply) is None:
                continue
            receipt = members(reply, "that receipt")
            if octets(receipt.get("transactionHash"), 32) != tx_hash:
                raise NodeError("node-unreadable", f"{self._chain.node.name} mixed up receipts")
            found.append(
                Mined(
                    tx_hash,
                    quantity(receipt.get("blockNumber")),
                    octets(receipt.get("blockHash"), 32),
                    quantity(receipt.get("status")) == 1,
                    quantity(receipt.get("gasUsed")),
                )
            )
        blocks = self._chain.blocks({mined.block_number for mined in found})
        return {
            mined.tx_hash: mined
            for mined in found
            if mined.block_number in blocks
            and blocks[mined.block_number].block_hash == mined.block_hash
        }

    def _spenders(self, work: _Work, view: View) -> dict[int, bytes]:
        """Who spent the nonces that are spent for good and that no receipt of ours explains."""
        found = {}
        for transaction in work.transactions:
            nonce = transaction.nonce
            if nonce is None or view.finalized_nonce <= nonce:
                continue
            if fate(transaction, view) is Fate.UNKNOWN:
                floor_block = work.floor_blocks[transaction.intent_key]
                spender = self._chain.spender(self.sender, nonce, floor_block, view.finalized_block)
                if spender is not None:
                    found[nonce] = spender
        return found

    # Storing, then sending

    def _store(self, session: Session, step: TxStep, view: View) -> list[tuple[bytes, bytes]]:
        """Store a step; returns what it wants sent: (hash, bytes)."""
        intent = {**self._us, "intent_key": step.intent_key}
        match step:
            case Sign():
                return [self._sign(session, step, view)]
            case Send(_, tx_hash):
                ((raw,),) = session.all("chain.raw", **self._us, tx_hash=tx_hash)
                return [(tx_hash, raw)]
            case Defer(_, reason):
                session.run("chain.defer", **intent, refused_block=view.latest_block, reason=reason)
            case Release():
                session.run("chain.release", **intent)
            case Finish(_, where, mined, reason):
                session.run(
                    "chain.finish",
                    **intent,
                    fate=where.value,
                    reason=reason,
                    tx_hash=mined and mined.tx_hash,
                    block_number=mined and mined.block_number,
                    block_hash=mined and mined.block_hash,
                    gas_used=mined and mined.gas_used,
                    finished_ms=self._now_ms(),
                )
        return []

    def _sign(self, session: Session, step: Sign, view: View) -> tuple[bytes, bytes]:
        intent = {**self._us, "intent_key": step.intent_key}
        (row,) = session.all("chain.transaction", **intent)
        signed = self._keys.sign_transaction(
            {
                "type": 2,
                "chainId": self._chain.addresses.chain_id,
                "nonce": step.nonce,
                "to": to_checksum_address(row.target),
                "value": 0,
                "data": row.data,
                "gas": step.gas_limit,
                "maxFeePerGas": step.fees.max_fee_wei,
                "maxPriorityFeePerGas": step.fees.priority_fee_wei,
            }
        )
        if row.nonce is None:
            session.run(
                "chain.give_nonce",
                **intent,
                nonce=step.nonce,
                gas_limit=step.gas_limit,
                floor_block=view.finalized_block,
            )
        tx_hash, raw = bytes(signed.hash), bytes(signed.raw_transaction)
        session.run(
            "chain.add_attempt",
            **intent,
            nonce=step.nonce,
            tx_hash=tx_hash,
            raw=raw,
            max_fee_wei=step.fees.max_fee_wei,
            priority_fee_wei=step.fees.priority_fee_wei,
            signed_block=view.latest_block,
            signed_ms=self._now_ms(),
        )
        return tx_hash, raw

    def _send(self, sends: Sequence[tuple[bytes, bytes]]) -> None:
        """Send, and note what was answered; an answer decides nothing but a fee."""
        if not sends:
            return
        try:
            replies = self._chain.ask(
                [("eth_sendRawTransaction", [to_hex(raw)]) for _, raw in sends]
            )
        except ChainError as error:
            replies = [error] * len(sends)
        with self._database.transaction() as session:
            for (tx_hash, _), reply in zip(sends, replies, strict=True):
                said = reply.message if isinstance(reply, ChainError) else "sent"
                session.run("chain.note_reply", **self._us, tx_hash=tx_hash, reply=said)

    def _found(self, session: Session, intent_key: str) -> StoredIntent:
        found = self.find(session, intent_key)
        if found is None:
            raise ChainError("intent-lost", f"intent {intent_key!r} is gone from the database")
        return found


def _is_pooled(reply: Json) -> bool:
    """Whether the node holds a transaction that is in no block."""
    return result(reply) is not None and members(reply, "it").get("blockHash") is None


def _gas(estimates: Mapping[str, Json]) -> dict[str, int | str]:
    """Gas, or why a call reverts; what the node did not try for reasons of its own is left out."""
    found: dict[str, int | str] = {}
    for key, reply in estimates.items():
        if not isinstance(reply, ReplyError):
            found[key] = quantity(reply)
        elif reply.data:
            found[key] = error_text(reply.data)
        elif reply.number == 3 or any(
            words in reply.message.lower() for words in ("revert", "out of gas", "gas required")
        ):
            found[key] = reply.message
    return found
