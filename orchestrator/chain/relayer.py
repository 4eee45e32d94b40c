"""Transactions sent exactly once: the database keeps what was signed, the chain decides its fate.

`core.tx_plan` decides the next steps; here they are carried out: look, sign, store, and only then
send.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from orchestrator.chain.abi import Call, error_text
from orchestrator.chain.deployment import Chain
from orchestrator.chain.rpc import (
    FEE_REQUESTS,
    Json,
    ReplyError,
    block_request,
    members,
    nonce_request,
    quantity,
    read_block,
    read_prices,
    read_receipt,
    result,
)
from orchestrator.chain.wallet import SignedTransaction, SigningKey
from orchestrator.core.common.errors import ChainError
from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.core.refusal import RefusalKind
from orchestrator.core.tx_plan import (
    Attempt,
    Defer,
    Fate,
    Fees,
    Finish,
    Intent,
    Mined,
    RelayerAccount,
    Release,
    Rules,
    Send,
    Sign,
    TxStep,
    Untried,
    View,
    fate,
    plan,
)
from orchestrator.storage.database import Database, Session
from orchestrator.storage.traces import Facts, Tracer, followed


class StoredIntent(NamedTuple):
    """An intent as it is stored. `tx_hash` is the transaction that did it, or the last attempt.

    While it is under way `fate` is requested, signed or broadcast. Block and gas are known at the
    end; `reason` is that of its refusal, or the node's last answer.
    """

    intent_key: str
    fate: Fate
    tx_hash: bytes | None
    block_number: int | None
    gas_used: int | None
    reason: str


class _Work(NamedTuple):
    """The intents under way, the blocks where their nonces were given, and the calls to try out.

    The blocks and the calls are by intent key. At its block an intent's nonce was not spent.
    `traces` are those under which intents were asked for.
    """

    intents: list[Intent]
    floor_blocks: dict[str, int]
    calls: dict[str, Call]
    traces: dict[str, str]


class Relayer:
    """A sender of intents from one key, each exactly once.

    `advance` does one round: look at the database and the chain, plan, sign and store in one
    database transaction, and only then send. A round that dies anywhere leaves either nothing or
    stored bytes, and the next one (start-up is no different) sees their fate on the chain. A round
    stores under the fencing token that it began with, so that of several pipelines with one key one
    acts at a time; bytes that two of them send are the same bytes.
    """

    MOST_UNDER_WAY = 1_000

    def __init__(
        self,
        chain: Chain,
        database: Database,
        key: bytes,
        now_ms: Callable[[], int],
        rules: Rules = Rules(),  # noqa: B008 - immutable
        tracer: Tracer | None = None,
    ) -> None:
        self._chain = chain
        self._database = database
        self._key = SigningKey(key)
        self._now_ms = now_ms
        self._rules = rules
        self.tracer = tracer
        self.sender: str = self._key.address
        # The reason why the last round could begin nothing of what was asked for, if it could not.
        self.hindrance: str | None = None
        self._account_key = {"chain_id": chain.addresses.chain_id, "sender": self.sender.lower()}

    def __repr__(self) -> str:
        return f"Relayer({self.sender})"

    def request(self, session: Session, intent_key: str, call: Call) -> bool:
        """Store that this call is to happen once, in the caller's database transaction.

        Return False if it was stored before. Raises ChainError if the key stands for another call.
        """
        session.run("chain.add_account", **self._account_key)
        asked = {"target": call.to.lower(), "data": call.data, "requested_ms": self._now_ms()}
        asked_as = {**self._account_key, "intent_key": intent_key, "trace": followed()}
        if session.run("chain.add_transaction", **asked_as, **asked):
            return True
        (row,) = session.all("chain.transaction", **self._account_key, intent_key=intent_key)
        if (row.target, row.data) != (asked["target"], asked["data"]):
            raise ChainError(
                "intent-conflict",
                f"intent {intent_key!r} already stands for another call; use a new key",
            )
        return False

    def find(self, session: Session, intent_key: str) -> StoredIntent | None:
        """Return an intent as it is stored, or None."""
        row = session.one("chain.transaction", **self._account_key, intent_key=intent_key)
        if row is None:
            return None
        if row.fate is not None:
            stored = Fate(row.fate)
        elif row.tx_hash is None:
            stored = Fate.REQUESTED
        else:
            stored = Fate.SIGNED if row.reply is None or row.refusals else Fate.BROADCAST
        reason = row.reason if row.reason is not None else row.reply or ""
        return StoredIntent(intent_key, stored, row.tx_hash, row.block_number, row.gas_used, reason)

    def under_way(self) -> int:
        """Return the number of intents that have no end yet."""
        with self._database.transaction() as session:
            ((count,),) = session.all("chain.count_under_way", **self._account_key)
        return int(count)

    def advance(self) -> list[StoredIntent]:
        """Do one round, and return the intents that it finished.

        Raises NodeError if the node did not show enough to decide on: try again later. The answer
        to a *send*, or its absence, never raises.
        """
        with self._database.transaction() as session:
            # The token first: a row that is stored while we read the rest is newer, and fails the
            # fence.
            stored = session.one("chain.account", **self._account_key)
            work = self._work(session)
        if stored is None or not work.intents:
            return []
        account = RelayerAccount(stored.next_nonce, stored.finalized_block)
        view = self._observe(work)
        steps = plan(work.intents, account, view, self._rules)
        # Told only where it holds up all: what is signed in the same round goes on.
        idle = [step.reason for step in steps if isinstance(step, Untried)]
        has_begun = any(isinstance(step, Sign) for step in steps)
        self.hindrance = idle[0] if idle and not has_begun else None
        if not steps:
            return []
        began_ns = time.time_ns()
        next_nonces = [step.nonce + 1 for step in steps if isinstance(step, Sign)]
        with self._database.transaction() as session:
            if not session.run(
                "chain.fence",
                **self._account_key,
                token=stored.token,
                next_nonce=max([account.next_nonce, *next_nonces]),
                finalized_block=view.finalized_block,
            ):
                return []  # another orchestrator acted for this key since we read
            stored_sends = [
                (step, send) for step in steps for send in self._store(session, step, view)
            ]
            finished = [
                self._stored(session, step.intent_key) for step in steps if isinstance(step, Finish)
            ]
        sent = [(step.intent_key, _facts_of(send.tx_hash)) for step, send in stored_sends]
        signed = [
            told
            for told, (step, _) in zip(sent, stored_sends, strict=True)
            if isinstance(step, Sign)
        ]
        self._tell(work, "sign transaction", began_ns, signed)
        sends_ns = time.time_ns()
        # Only after the commit: bytes that are sent and not stored could not be recognized again.
        self._send([send for _, send in stored_sends])
        self._tell(work, "send transaction", sends_ns, sent)
        ends = [(each.intent_key, _end_facts(each)) for each in finished]
        self._tell(work, "end transaction", began_ns, ends)
        return finished

    def _tell(
        self, work: _Work, name: str, since_ns: int, told: Sequence[tuple[str, Facts]]
    ) -> None:
        """Tell of intents that were asked for under a trace, by their keys."""
        if self.tracer is None:
            return
        for intent_key, facts in told:
            if trace := work.traces.get(intent_key):
                kind = {"tallystick.intent.kind": intent_key.split(":")[0]}
                self.tracer.begin(parent=trace, since_ns=since_ns).end(name, kind | dict(facts))

    # --- Looking ----------------------------------------------------------------------------------

    def _work(self, session: Session) -> _Work:
        """Return every intent with a nonce, and the next of those without, while there is room."""
        started: dict[str, Intent] = {}
        floor_blocks, traces = {}, {}
        # Intents and their attempts in one query: two would show two moments.
        for row in session.all("chain.under_way", **self._account_key, limit=self.MOST_UNDER_WAY):
            key, fees = row.intent_key, Fees(row.max_fee_wei, row.priority_fee_wei)
            told = (row.reply, row.refusals, row.is_underpriced)
            attempt = Attempt(row.tx_hash, fees, row.signed_block, *told)
            known = started.get(key, Intent(key, row.nonce, row.gas_limit))
            started[key] = known._replace(attempts=(*known.attempts, attempt))
            floor_blocks[key], traces[key] = row.floor_block, row.trace
        room = min(self._rules.max_in_flight, self.MOST_UNDER_WAY - len(started))
        requested = session.all("chain.requested", **self._account_key, limit=room)
        fresh = [Intent(row.intent_key, refused_block=row.refused_block) for row in requested]
        calls = {row.intent_key: Call(row.target, row.data) for row in requested}
        traces |= {row.intent_key: row.trace for row in requested}
        return _Work([*started.values(), *fresh], floor_blocks, calls, traces)

    def _observe(self, work: _Work) -> View:
        """Return the node's view of our account, our attempts, and the calls not yet signed."""
        latest, final, balance, latest_nonce, final_nonce, *market = self._chain.batch(
            [
                block_request("latest"),
                block_request("finalized"),
                ("eth_getBalance", [self.sender, "latest"]),
                nonce_request(self.sender, "latest"),
                nonce_request(self.sender, "finalized"),
                *FEE_REQUESTS,
            ]
        )
        prices = read_prices(market)
        view = View(
            latest_block=read_block(latest).number,
            finalized_block=read_block(final).number,
            latest_nonce=quantity(latest_nonce),
            finalized_nonce=0,
            base_fee_wei=prices.base_fee_wei,
            priority_fee_wei=prices.tip_wei,
            is_legacy=prices.is_legacy,
            balance_wei=quantity(balance),
        )
        if isinstance(final_nonce, ReplyError) and final_nonce.kind is RefusalKind.STATE:
            spent = self._proven_nonce(work, view)
        else:
            spent = quantity(final_nonce)
        return self._observe_attempts(work, view._replace(finalized_nonce=spent))

    def _proven_nonce(self, work: _Work, view: View) -> int:
        """Return the nonce that our own receipts prove at the final block, whose state is not kept.

        It is one too low where a foreign transaction spent a nonce: that shows only in the state.
        """
        attempts = {
            attempt.tx_hash: intent.nonce
            for intent in work.intents
            if intent.nonce is not None and intent.nonce < view.latest_nonce
            for attempt in intent.attempts
        }
        replies = self._chain.batch(
            [("eth_getTransactionReceipt", [to_hex(tx_hash)]) for tx_hash in attempts]
        )
        return max(
            (
                attempts[mined.tx_hash] + 1
                for mined in self._mined(list(attempts), replies).values()
                if mined.block_number <= view.finalized_block
            ),
            default=0,
        )

    def _observe_attempts(self, work: _Work, view: View) -> View:
        """Add receipts where a nonce is spent for good, and the pool where it is unspent.

        In between, where a nonce is spent in a block that is not final, nothing is to be decided.
        """
        started = [intent for intent in work.intents if intent.nonce is not None]
        spent = [
            attempt.tx_hash
            for intent in started
            if (intent.nonce or 0) < view.finalized_nonce
            for attempt in intent.attempts
        ]
        unspent = [
            intent.attempts[-1].tx_hash
            for intent in started
            if (intent.nonce or 0) >= view.latest_nonce
        ]
        candidate_calls = [call.from_account(self.sender) for call in work.calls.values()]
        replies = self._chain.batch(
            [
                *[("eth_getTransactionReceipt", [to_hex(tx_hash)]) for tx_hash in spent],
                *[("eth_getTransactionByHash", [to_hex(tx_hash)]) for tx_hash in unspent],
                *[("eth_estimateGas", [call, "pending"]) for call in candidate_calls],
            ]
        )
        receipts, rest = replies[: len(spent)], replies[len(spent) :]
        held, estimates = rest[: len(unspent)], rest[len(unspent) :]
        view = view._replace(
            mined=self._mined(spent, receipts),
            pooled=frozenset(
                tx_hash for tx_hash, reply in zip(unspent, held, strict=True) if _is_pooled(reply)
            ),
            **self._gas(work, estimates),
        )
        return view._replace(spenders=self._spenders(work, view))

    def _mined(self, attempts: Sequence[bytes], replies: Sequence[Json]) -> dict[bytes, Mined]:
        """Return the receipts whose block is the chain's: a lagging or lying node names others."""
        receipts = [
            read_receipt(reply, tx_hash) for tx_hash, reply in zip(attempts, replies, strict=True)
        ]
        found = [receipt for receipt in receipts if receipt is not None]
        blocks = self._chain.blocks({mined.block_number for mined in found})
        return {
            mined.tx_hash: mined
            for mined in found
            if mined.block_number in blocks
            and blocks[mined.block_number].block_hash == mined.block_hash
        }

    def _gas(self, work: _Work, estimates: Sequence[Json]) -> dict[str, Any]:
        """Return what the calls would use, or why they revert, and those that were not tried.

        A node that cannot try a call on the pending block is asked to try it on the latest.
        """
        replies = dict(zip(work.calls, estimates, strict=True))
        unclear = [key for key, reply in replies.items() if not _is_clear(reply)]
        again = self._chain.batch(
            [("eth_estimateGas", [work.calls[key].from_account(self.sender)]) for key in unclear]
        )
        replies |= zip(unclear, again, strict=True)
        return {
            "gas": {key: _gas_of(reply) for key, reply in replies.items() if _is_tried(reply)},
            "untried": {
                key: reply.message
                for key, reply in replies.items()
                if isinstance(reply, ReplyError) and not _is_tried(reply)
            },
        }

    def _spenders(self, work: _Work, view: View) -> dict[int, bytes]:
        """Return the transactions that spent a nonce for good and that no receipt explains."""
        found = {}
        for intent in work.intents:
            nonce = intent.nonce
            if nonce is None or view.finalized_nonce <= nonce:
                continue
            if fate(intent, view) is Fate.UNKNOWN:
                floor_block = work.floor_blocks[intent.intent_key]
                spender = self._chain.transaction_with_nonce(
                    self.sender, nonce, floor_block, view.finalized_block
                )
                if spender is not None:
                    found[nonce] = spender
        return found

    # --- Storing, then sending --------------------------------------------------------------------

    def _store(self, session: Session, step: TxStep, view: View) -> list[SignedTransaction]:
        """Store a step, and return the transactions that are to be sent for it."""
        intent = {**self._account_key, "intent_key": step.intent_key}
        match step:
            case Sign():
                return [self._sign(session, step, view)]
            case Send(_, tx_hash):
                ((raw,),) = session.all("chain.raw", **self._account_key, tx_hash=tx_hash)
                return [SignedTransaction(tx_hash, raw)]
            case Defer(_, reason):
                session.run("chain.defer", **intent, refused_block=view.latest_block, reason=reason)
            case Untried(_, reason):
                session.run("chain.note_untried", **intent, reason=reason)
            case Release():
                session.run("chain.release", **intent)
            case Finish(_, end, mined, reason):
                session.run(
                    "chain.finish",
                    **intent,
                    fate=end.value,
                    reason=reason,
                    tx_hash=mined and mined.tx_hash,
                    block_number=mined and mined.block_number,
                    block_hash=mined and mined.block_hash,
                    gas_used=mined and mined.gas_used,
                    finished_ms=self._now_ms(),
                )
        return []

    def _sign(self, session: Session, step: Sign, view: View) -> SignedTransaction:
        """Sign an attempt and store it, with the intent's nonce if it is the first."""
        intent = {**self._account_key, "intent_key": step.intent_key}
        (row,) = session.all("chain.transaction", **intent)
        signed = self._key.sign(
            self._chain.chain_id,
            step.nonce,
            row.target,
            row.data,
            step.gas_limit,
            step.fees,
            is_legacy=view.is_legacy,
        )
        if row.nonce is None:
            session.run(
                "chain.give_nonce",
                **intent,
                nonce=step.nonce,
                gas_limit=step.gas_limit,
                floor_block=view.finalized_block,
            )
        session.run(
            "chain.add_attempt",
            **intent,
            **signed._asdict(),
            nonce=step.nonce,
            max_fee_wei=step.fees.max_fee_wei,
            priority_fee_wei=step.fees.priority_fee_wei,
            signed_block=view.latest_block,
            signed_ms=self._now_ms(),
        )
        return signed

    def _send(self, sends: Sequence[SignedTransaction]) -> None:
        """Send, and store each answer, which decides nothing but a fee."""
        if not sends:
            return
        replies: Sequence[Json]
        try:
            replies = self._chain.batch(
                [("eth_sendRawTransaction", [to_hex(send.raw)]) for send in sends]
            )
        except ChainError as error:
            replies = [error] * len(sends)
        with self._database.transaction() as session:
            for send, reply in zip(sends, replies, strict=True):
                session.run(
                    "chain.note_reply",
                    **self._account_key,
                    tx_hash=send.tx_hash,
                    reply=reply.message if isinstance(reply, ChainError) else "sent",
                    is_refused=_is_refused(reply),
                    is_underpriced=isinstance(reply, ReplyError) and reply.kind is RefusalKind.FEE,
                )

    def _stored(self, session: Session, intent_key: str) -> StoredIntent:
        found = self.find(session, intent_key)
        if found is None:
            raise ChainError("intent-lost", f"intent {intent_key!r} is gone from the database")
        return found


def _facts_of(tx_hash: bytes) -> Facts:
    return {"tallystick.tx_hash": to_hex(tx_hash)}


def _end_facts(intent: StoredIntent) -> Facts:
    """Return what is told of the end of an intent."""
    facts: dict[str, str | int] = {"tallystick.intent.fate": intent.fate.value}
    if intent.tx_hash is not None:
        facts["tallystick.tx_hash"] = to_hex(intent.tx_hash)
    if intent.block_number is not None and intent.gas_used is not None:
        facts |= {"tallystick.block": intent.block_number, "tallystick.gas": intent.gas_used}
    return facts


def _is_pooled(reply: Json) -> bool:
    """Return whether the node holds a transaction that is in no block."""
    return result(reply) is not None and members(reply, "it").get("blockHash") is None


def _is_refused(reply: Json) -> bool | None:
    """Return whether a node would not take a transaction; None where its answer does not tell.

    A node that has seen another nonce than we do tells nothing of the transaction.
    """
    if not isinstance(reply, ChainError):
        return False
    if not isinstance(reply, ReplyError) or reply.is_of_node or reply.kind is RefusalKind.NONCE:
        return None
    return reply.kind is not RefusalKind.KNOWN


def _is_tried(reply: Json) -> bool:
    """Return whether a node tried a call out, with whatever result.

    A refusal in words that we do not know counts as the call's: it is refused for good only if it
    still is once today's block is final, and other calls were answered meanwhile.
    """
    return not (isinstance(reply, ReplyError) and reply.is_of_node)


def _is_clear(reply: Json) -> bool:
    """Return whether a reply needs no second try: gas, or a revert."""
    return not isinstance(reply, ReplyError) or reply.kind is RefusalKind.REVERT


def _gas_of(reply: Json) -> int | str:
    """Return the gas of a call, or the reason why it reverts."""
    if not isinstance(reply, ReplyError):
        return quantity(reply)
    return error_text(reply.data) if reply.data else reply.message
