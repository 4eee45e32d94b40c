"""A transaction's fate and its next step, decided by what a node shows. Blocks are the only clock.

An *intent* happens on chain exactly once. It gets one nonce, and every attempt at it (a signed
transaction) uses that nonce, so at most one attempt is ever mined. A node's answer to an attempt
decides only when to raise its fee; the chain's state decides the rest.

| fate | what is known | what follows |
|---|---|---|
| requested | no nonce yet | sign, if the node expects it to succeed |
| signed | an attempt is stored, none was ever sent | send it |
| broadcast | the node holds an attempt in its pool | wait; raise the fee if it is stuck |
| dropped | it was sent, and the node does not hold it | send the same bytes again |
| mined | an attempt has a receipt, in a block that is not final | wait; a reorg takes it back |
| unknown | the nonce is spent, by a transaction not shown yet | wait; never sign it again |
| finalized, reverted | an attempt is in a final block | finish |
| displaced | a final block shows a foreign transaction with the nonce | release, sign anew |

A fate is derived each time and never stored, so a reorg needs no code of its own: the receipt is
gone, and what was mined is dropped. Every function here is pure.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

# A transaction may not ask for more gas (EIP-7825: 2^24), and ours stay below it.
GAS_CAP = 1 << 24
# After so many refusals of the same bytes, for whatever reason, the fee is raised.
REFUSALS = 2


class Fate(StrEnum):
    """The state of an intent; the module's table explains each one."""

    REQUESTED = "requested"
    SIGNED = "signed"
    BROADCAST = "broadcast"
    DROPPED = "dropped"
    MINED = "mined"
    UNKNOWN = "unknown"
    FINALIZED = "finalized"
    REVERTED = "reverted"
    DISPLACED = "displaced"
    REFUSED = "refused"


class Fees(NamedTuple):
    """The most that a unit of gas may cost, and its tip (EIP-1559), in wei."""

    max_fee_wei: int
    priority_fee_wei: int


class Attempt(NamedTuple):
    """One signed transaction. `reply` is the node's answer to its last send, None if never sent.

    `refusals` counts the answers in a row by which a node would not take it;
    `is_underpriced` is true if the last one said that it pays too little.
    """

    tx_hash: bytes
    fees: Fees
    signed_block: int
    reply: str | None
    refusals: int = 0
    is_underpriced: bool = False


class Intent(NamedTuple):
    """An unfinished intent. `attempts` are those with its present nonce, oldest first.

    `refused_block` is the latest block when the node first said that it would revert.
    """

    intent_key: str
    nonce: int | None = None
    gas_limit: int = 0
    attempts: tuple[Attempt, ...] = ()
    refused_block: int | None = None


class RelayerAccount(NamedTuple):
    """The sender as stored: the next nonce to give away, the newest final block seen."""

    next_nonce: int
    finalized_block: int


class Mined(NamedTuple):
    """A receipt whose block is, by its number, the node's block of that hash."""

    tx_hash: bytes
    block_number: int
    block_hash: bytes
    succeeded: bool
    gas_used: int


class View(NamedTuple):
    """One node's answers to one round of questions.

    Nonces count the sender's transactions up to a block. `base_fee_wei` is the next block's.
    `mined` and `pooled` hold our attempts, as far as the node was asked for them: until a nonce is
    spent for good, a receipt decides nothing. `spenders` names for a nonce the transaction that
    spent it in a final block. `gas` holds, for a requested intent, what it would use, or the reason
    why it would revert; an intent that was not tried is in `untried`, with
    the node's words. A chain without EIP-1559
    (`is_legacy`) has no base fee, and its tip is the whole price. `balance_wei` is the sender's.
    """

    latest_block: int
    finalized_block: int
    latest_nonce: int
    finalized_nonce: int
    base_fee_wei: int
    priority_fee_wei: int
    mined: Mapping[bytes, Mined] = {}
    pooled: frozenset[bytes] = frozenset()
    spenders: Mapping[int, bytes] = {}
    gas: Mapping[str, int | str] = {}
    untried: Mapping[str, str] = {}
    is_legacy: bool = False
    balance_wei: int | None = None


class Rules(NamedTuple):
    """Limits on raising fees, and on how many nonces may wait to be mined at once."""

    patience_blocks: int = 8
    fee_ceiling_wei: int = 500 * 10**9
    max_attempts: int = 24
    max_in_flight: int = 16


class Sign(NamedTuple):
    """Sign, store and send: a first attempt, or a replacement under the same nonce."""

    intent_key: str
    nonce: int
    gas_limit: int
    fees: Fees

    @property
    def most_wei(self) -> int:
        """The highest cost possible."""
        return self.gas_limit * self.fees.max_fee_wei


class Send(NamedTuple):
    """Send the stored bytes of this attempt, again if need be."""

    intent_key: str
    tx_hash: bytes


class Defer(NamedTuple):
    """Wait, since it would revert now. It is refused if it still does when this block is final."""

    intent_key: str
    reason: str


class Untried(NamedTuple):
    """Note why it cannot be tried or paid now, which says nothing of the intent itself."""

    intent_key: str
    reason: str


class Release(NamedTuple):
    """Take away its nonce, which a foreign transaction spent: no attempt can be mined any more."""

    intent_key: str


class Finish(NamedTuple):
    """The end: finalized or reverted with the receipt, or refused with the reason."""

    intent_key: str
    fate: Fate
    mined: Mined | None
    reason: str


TxStep = Sign | Send | Defer | Untried | Release | Finish


def fate(intent: Intent, view: View) -> Fate:
    """Return the fate of an unfinished intent in this view."""
    nonce = intent.nonce
    if nonce is None:
        return Fate.REQUESTED
    mined = receipt(intent, view)
    if mined is not None:
        # A node that shows a receipt in a final block but not its nonce spent contradicts itself.
        if mined.block_number > view.finalized_block or view.finalized_nonce <= nonce:
            return Fate.MINED
        return Fate.FINALIZED if mined.succeeded else Fate.REVERTED
    hashes = {attempt.tx_hash for attempt in intent.attempts}
    if max(view.latest_nonce, view.finalized_nonce) > nonce:
        # No receipt proves nothing: only the spender itself shows that it was not one of ours.
        spender = view.spenders.get(nonce)
        return Fate.UNKNOWN if spender is None or spender in hashes else Fate.DISPLACED
    if hashes & view.pooled:
        return Fate.BROADCAST
    sent = any(attempt.reply is not None for attempt in intent.attempts)
    return Fate.DROPPED if sent else Fate.SIGNED


def receipt(intent: Intent, view: View) -> Mined | None:
    """Return the receipt of the attempt that was mined, if any was."""
    receipts = (view.mined.get(attempt.tx_hash) for attempt in intent.attempts)
    return next((mined for mined in receipts if mined is not None), None)


def plan(
    intents: Sequence[Intent], account: RelayerAccount, view: View, rules: Rules
) -> list[TxStep]:
    """Return the next steps of one sender's unfinished intents, lower nonces first.

    A view older than one that was acted on before decides nothing: the node lags.
    """
    # Only final blocks are compared: the head may fall back in a reorg.
    if view.finalized_block < account.finalized_block:
        return []
    steps: list[TxStep] = []
    started = [intent for intent in intents if intent.nonce is not None]
    for intent in sorted(started, key=lambda one: one.nonce or 0):
        step = _step(intent, view, rules)
        if step is not None:
            steps.append(step)
    requested = [intent for intent in intents if intent.nonce is None]
    unmined = sum((intent.nonce or 0) >= view.latest_nonce for intent in started)
    return steps + _start(requested, account, view, rules, rules.max_in_flight - unmined)


def first_fees(view: View, rules: Rules) -> Fees:
    """Return fees for a first attempt, up to the ceiling.

    They leave room for the base fee to double, plus the tip that the node suggests.
    """
    priority_fee_wei = min(max(1, view.priority_fee_wei), rules.fee_ceiling_wei)
    wanted = 2 * view.base_fee_wei + priority_fee_wei
    return Fees(min(wanted, rules.fee_ceiling_wei), priority_fee_wei)


def raised_fees(old: Fees, view: View, rules: Rules) -> Fees | None:
    """Return fees that replace `old` in any pool, or None where they pass the ceiling."""
    fresh = first_fees(view, rules)
    max_fee_wei = max(_raised(old.max_fee_wei), fresh.max_fee_wei)
    priority_fee_wei = max(_raised(old.priority_fee_wei), fresh.priority_fee_wei)
    if max_fee_wei > rules.fee_ceiling_wei:
        return None
    return Fees(max_fee_wei, min(priority_fee_wei, max_fee_wei))


def gas_limit(estimate: int) -> int:
    """Return an estimate, which must be below the cap, with a margin of a quarter below the cap."""
    return min(estimate + estimate // 4, GAS_CAP - 1)


def is_affordable(intent: Intent, fees: Fees, view: View) -> bool:
    """Return whether the sender can pay an attempt at these fees, as far as its balance shows."""
    return view.balance_wei is None or intent.gas_limit * fees.max_fee_wei <= view.balance_wei


def _raised(fee_wei: int) -> int:
    # Pools ask for 10% (go-ethereum) or 12.5% more, and for more than before even from 0.
    return fee_wei + max(1, -(-fee_wei // 8))


def _step(intent: Intent, view: View, rules: Rules) -> TxStep | None:
    """Return the next step for an intent that has its nonce."""
    key = intent.intent_key
    state = fate(intent, view)
    if state in (Fate.FINALIZED, Fate.REVERTED):
        return Finish(key, state, receipt(intent, view), "")
    if state is Fate.DISPLACED:
        return Release(key)
    if state in (Fate.MINED, Fate.UNKNOWN):
        return None
    replacement = _replacement(intent, view, rules)
    if replacement is not None:
        return replacement
    # An older attempt in the pool says nothing of the one that was to replace it.
    last = intent.attempts[-1].tx_hash
    return None if last in view.pooled else Send(key, last)


def _replacement(intent: Intent, view: View, rules: Rules) -> Sign | None:
    """Return an attempt with higher fees if the last one cannot be mined or has waited long."""
    last = intent.attempts[-1]
    # Those with higher nonces wait for this one: only the next to be mined can be passed over.
    passed_over = intent.nonce == view.latest_nonce and last.tx_hash in view.pooled
    stuck = (
        last.fees.max_fee_wei < view.base_fee_wei
        or last.is_underpriced
        or (intent.nonce == view.latest_nonce and _is_outbid(last, view))
        or (passed_over and view.latest_block - last.signed_block >= rules.patience_blocks)
    )
    if not stuck or len(intent.attempts) >= rules.max_attempts:
        return None
    fees = raised_fees(last.fees, view, rules)
    # Without the money a higher fee is refused as well, and each step would leave less.
    if fees is None or intent.nonce is None or not is_affordable(intent, fees, view):
        return None
    return Sign(intent.intent_key, intent.nonce, intent.gas_limit, fees)


def _is_outbid(attempt: Attempt, view: View) -> bool:
    """Return whether nodes refuse an attempt again and again, and none of them holds it.

    Whatever their words are: the nonce is unspent, so what is in the way is another transaction
    with it, or the fee.
    """
    return attempt.refusals >= REFUSALS and attempt.tx_hash not in view.pooled


def _poverty(balance_wei: int, wanted: Sign) -> str:
    return (
        f"the sender has {balance_wei} wei for gas, and this may cost {wanted.most_wei} wei; "
        f"send it more"
    )


def _start(
    requested: Sequence[Intent], account: RelayerAccount, view: View, rules: Rules, room: int
) -> list[TxStep]:
    """Return first attempts under the next nonces, as far as there is room.

    When the chain counts more transactions than nonces were given away, another program uses the
    key. Nothing is signed until its transactions are final: a reorg that dropped them would leave a
    gap below ours.
    """
    steps: list[TxStep] = []
    nonce = max(account.next_nonce, view.finalized_nonce)
    for intent in requested:
        key, gas = intent.intent_key, view.gas.get(intent.intent_key)
        if gas is None:
            if key in view.untried and intent.refused_block is None:
                steps.append(Untried(key, view.untried[key]))
        elif isinstance(gas, int) and gas < GAS_CAP:
            if room > 0 and view.latest_nonce <= nonce:
                first = Sign(key, nonce, gas_limit(gas), first_fees(view, rules))
                if view.balance_wei is None or first.most_wei <= view.balance_wei:
                    steps.append(first)
                    nonce, room = nonce + 1, room - 1
                else:
                    steps.append(Untried(key, _poverty(view.balance_wei, first)))
        elif isinstance(gas, int):
            reason = f"needs {gas} gas; a transaction may use {GAS_CAP - 1}"
            steps.append(Finish(key, Fate.REFUSED, None, reason))
        elif intent.refused_block is None:
            steps.append(Defer(key, gas))
        elif view.finalized_block >= intent.refused_block:
            steps.append(Finish(key, Fate.REFUSED, None, gas))
    return steps
