"""A transaction's fate: tables of what a node shows, and a simulated chain that misbehaves."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.tx_plan import (
    GAS_CAP,
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
    first_fees,
    gas_limit,
    plan,
    raised_fees,
)

GWEI = 10**9
RULES = Rules()
FEES = Fees(3 * GWEI, GWEI)
OLD, NEW, FOREIGN = b"\1" * 32, b"\2" * 32, b"\3" * 32
VIEW = View(
    latest_block=10,
    finalized_block=8,
    latest_nonce=5,
    finalized_nonce=5,
    base_fee_wei=GWEI,
    priority_fee_wei=GWEI,
)
ACCOUNT = RelayerAccount(next_nonce=6, finalized_block=8)


def attempt(tx_hash: bytes = OLD, *, reply: str | None = "ok", block: int = 10) -> Attempt:
    return Attempt(tx_hash, FEES, block, reply)


def started(*attempts: Attempt) -> Intent:
    return Intent("pay", 5, 100_000, attempts or (attempt(),))


def mined(block: int, tx_hash: bytes = OLD, *, succeeded: bool = True) -> dict[bytes, Mined]:
    return {tx_hash: Mined(tx_hash, block, b"\xb0" * 32, succeeded, 50_000)}


SPENT = VIEW._replace(latest_nonce=6)
SPENT_FINAL = SPENT._replace(finalized_nonce=6)


@pytest.mark.parametrize(
    ("intent", "view", "expected"),
    [
        (Intent("pay"), VIEW, Fate.REQUESTED),
        (started(attempt(reply=None)), VIEW, Fate.SIGNED),
        (started(), VIEW, Fate.DROPPED),
        (started(), VIEW._replace(pooled=frozenset({OLD})), Fate.BROADCAST),
        # Sent, no reply came, and yet it arrived.
        (started(attempt(reply=None)), VIEW._replace(pooled=frozenset({OLD})), Fate.BROADCAST),
        (started(), SPENT._replace(mined=mined(9)), Fate.MINED),
        # A receipt counts even where the node's nonce still lags behind it.
        (started(), VIEW._replace(mined=mined(9)), Fate.MINED),
        (started(), SPENT_FINAL._replace(mined=mined(8)), Fate.FINALIZED),
        (started(), SPENT_FINAL._replace(mined=mined(8, succeeded=False)), Fate.REVERTED),
        # A node that contradicts itself: the receipt is final, the spent nonce is not.
        (started(), SPENT._replace(mined=mined(8)), Fate.MINED),
        # The replaced attempt is the one that was mined.
        (
            started(attempt(OLD), attempt(NEW)),
            SPENT_FINAL._replace(mined=mined(8, OLD)),
            Fate.FINALIZED,
        ),
        (started(), SPENT, Fate.UNKNOWN),
        (started(), SPENT_FINAL, Fate.UNKNOWN),
        # One of ours spent it, and its receipt has not reached this node.
        (started(), SPENT_FINAL._replace(spenders={5: OLD}), Fate.UNKNOWN),
        (started(), SPENT_FINAL._replace(spenders={5: FOREIGN}), Fate.DISPLACED),
    ],
)
def test_fate(intent: Intent, view: View, expected: Fate) -> None:
    assert fate(intent, view) is expected


@pytest.mark.parametrize(
    ("intent", "view", "expected"),
    [
        (started(attempt(reply=None)), VIEW, [Send("pay", OLD)]),
        (started(), VIEW, [Send("pay", OLD)]),
        (started(attempt(OLD), attempt(NEW)), VIEW, [Send("pay", NEW)]),
        (started(), VIEW._replace(pooled=frozenset({OLD})), []),
        # The replacement never arrived, and the pool still holds what it replaces.
        (
            started(attempt(OLD), attempt(NEW, reply=None)),
            VIEW._replace(pooled=frozenset({OLD})),
            [Send("pay", NEW)],
        ),
        (started(), SPENT._replace(mined=mined(9)), []),
        (started(), SPENT_FINAL, []),
        (
            started(),
            SPENT_FINAL._replace(mined=mined(8)),
            [Finish("pay", Fate.FINALIZED, mined(8)[OLD], "")],
        ),
        (
            started(),
            SPENT_FINAL._replace(mined=mined(8, succeeded=False)),
            [Finish("pay", Fate.REVERTED, mined(8, succeeded=False)[OLD], "")],
        ),
        (
            started(),
            SPENT_FINAL._replace(spenders={5: FOREIGN}),
            [Release("pay")],
        ),
    ],
)
def test_next_step(intent: Intent, view: View, expected: list[TxStep]) -> None:
    assert plan([intent], ACCOUNT, view, RULES) == expected


HELD = VIEW._replace(pooled=frozenset({OLD}))
BELOW = VIEW._replace(latest_nonce=4, finalized_nonce=4)


@pytest.mark.parametrize(
    ("intent", "view", "replaces"),
    [
        (started(attempt(block=3)), HELD, False),
        (started(attempt(block=2)), HELD, True),
        # It waits for a lower nonce: a copy with higher fees would not help.
        (started(attempt(block=2)), HELD._replace(latest_nonce=4, finalized_nonce=4), False),
        # Not in the pool: the same bytes first, whatever their age.
        (started(attempt(block=2)), VIEW, False),
        (started(), HELD._replace(base_fee_wei=FEES.max_fee_wei), False),
        (started(), HELD._replace(base_fee_wei=FEES.max_fee_wei + 1), True),
        (started(attempt()._replace(refusals=1, is_underpriced=True)), VIEW, True),
        # In words that we do not know: the same bytes once more, then a higher fee.
        (started(attempt()._replace(refusals=1)), VIEW, False),
        (started(attempt()._replace(refusals=2)), VIEW, True),
        # The older one is still held, and the one that was to replace it is refused.
        (started(attempt(), attempt(NEW)._replace(refusals=2)), HELD, True),
        (started(attempt()._replace(refusals=2)), HELD, False),
        (started(attempt()._replace(refusals=9)), BELOW, False),
        # Without the money for it, raising would only make it worse.
        (started(attempt()._replace(refusals=2)), VIEW._replace(balance_wei=10**14), False),
        (started(attempt()._replace(refusals=2)), VIEW._replace(balance_wei=10**15), True),
        (started(*[attempt(block=2)] * RULES.max_attempts), HELD, False),
        (started(attempt(block=2)), SPENT._replace(mined=mined(9)), False),
        (started(attempt(block=2)), SPENT, False),
    ],
)
def test_replacement_keeps_nonce_and_gas(intent: Intent, view: View, replaces: bool) -> None:
    steps = plan([intent], ACCOUNT, view, RULES)
    signed = [step for step in steps if isinstance(step, Sign)]
    if not replaces:
        assert signed == []
        return
    fees = raised_fees(FEES, view, RULES)
    assert fees is not None
    assert signed == [Sign("pay", 5, 100_000, fees)]


def test_same_bytes_when_no_higher_fee_is_allowed() -> None:
    spike = VIEW._replace(base_fee_wei=10 * GWEI)
    rules = Rules(fee_ceiling_wei=FEES.max_fee_wei)
    assert plan([started()], ACCOUNT, spike, rules) == [Send("pay", OLD)]


@pytest.mark.parametrize(
    ("gas", "refused_block", "expected"),
    [
        (None, None, []),
        (80_000, None, [Sign("new", 6, 100_000, first_fees(VIEW, RULES))]),
        (80_000, 8, [Sign("new", 6, 100_000, first_fees(VIEW, RULES))]),
        ("SizeMustGrow", None, [Defer("new", "SizeMustGrow")]),
        ("SizeMustGrow", 9, []),
        ("SizeMustGrow", 8, [Finish("new", Fate.REFUSED, None, "SizeMustGrow")]),
        (GAS_CAP - 1, None, [Sign("new", 6, GAS_CAP - 1, first_fees(VIEW, RULES))]),
        (
            GAS_CAP,
            None,
            [
                Finish(
                    "new",
                    Fate.REFUSED,
                    None,
                    "needs 16777216 gas; a transaction may use 16777215",
                )
            ],
        ),
    ],
)
def test_start(gas: int | str | None, refused_block: int | None, expected: list[TxStep]) -> None:
    view = VIEW._replace(gas={} if gas is None else {"new": gas})
    intent = Intent("new", refused_block=refused_block)
    assert plan([intent], ACCOUNT, view, RULES) == expected


def requested(*keys: str) -> list[Intent]:
    return [Intent(key) for key in keys]


def nonces(steps: list[TxStep]) -> list[int]:
    return [step.nonce for step in steps if isinstance(step, Sign)]


def test_nonces_follow_one_another_past_a_refusal() -> None:
    view = VIEW._replace(gas={"a": 1, "b": "no", "c": 1})
    steps = plan(requested("a", "b", "c"), ACCOUNT, view, RULES)
    assert nonces(steps) == [6, 7]
    assert [type(step) for step in steps] == [Sign, Defer, Sign]


def test_what_could_not_be_tried_or_paid_is_told_and_holds_up_nothing() -> None:
    view = VIEW._replace(
        gas={"dear": 10**7, "fit": 100_000}, untried={"odd": "no such method"}, balance_wei=10**15
    )
    odd, dear, fit = plan(requested("odd", "dear", "fit"), ACCOUNT, view, RULES)
    assert odd == Untried("odd", "no such method")
    assert isinstance(dear, Untried)
    assert f"has {10**15} wei for gas" in dear.reason
    assert isinstance(fit, Sign)
    assert fit.nonce == 6


def test_no_more_in_flight_than_the_rules_allow() -> None:
    view = VIEW._replace(gas={"a": 1, "b": 1, "c": 1}, pooled=frozenset({OLD}))
    steps = plan([started(), *requested("a", "b", "c")], ACCOUNT, view, Rules(max_in_flight=3))
    assert nonces(steps) == [6, 7]


def test_what_is_mined_leaves_room_for_more() -> None:
    view = SPENT._replace(gas={"a": 1, "b": 1})
    steps = plan([started(), *requested("a", "b")], ACCOUNT, view, Rules(max_in_flight=1))
    assert nonces(steps) == [6]


@pytest.mark.parametrize(
    ("latest", "final", "expected"),
    [
        (6, 6, [6]),
        (7, 6, []),  # a foreign transaction is mined and could still be taken back
        (7, 7, [7]),  # ... and is final: the next nonce follows it
        (3, 3, [6]),  # a lagging count never lowers what was given away
    ],
)
def test_another_program_with_our_key_is_waited_out(
    latest: int, final: int, expected: list[int]
) -> None:
    view = VIEW._replace(latest_nonce=latest, finalized_nonce=final, gas={"a": 1})
    assert nonces(plan(requested("a"), ACCOUNT, view, RULES)) == expected


def test_lagging_view_decides_nothing() -> None:
    lagging = VIEW._replace(finalized_block=7, gas={"new": 1})
    assert plan([started(), *requested("new")], ACCOUNT, lagging, RULES) == []


def test_lower_nonces_are_sent_first() -> None:
    later = Intent("later", 6, 1, (attempt(NEW),))
    sends = plan([later, started()], RelayerAccount(7, 8), VIEW, RULES)
    assert sends == [Send("pay", OLD), Send("later", NEW)]


wei = st.integers(0, 400 * GWEI)


@given(wei, wei, wei, wei)
def test_fees_stay_below_the_ceiling_and_replace_in_any_pool(
    base: int, tip: int, later_base: int, later_tip: int
) -> None:
    old = first_fees(VIEW._replace(base_fee_wei=base, priority_fee_wei=tip), RULES)
    assert 0 < old.priority_fee_wei <= old.max_fee_wei <= RULES.fee_ceiling_wei
    view = VIEW._replace(base_fee_wei=later_base, priority_fee_wei=later_tip)
    new = raised_fees(old, view, RULES)
    if new is None:
        assert old.max_fee_wei + max(1, -(-old.max_fee_wei // 8)) > RULES.fee_ceiling_wei
        return
    assert 0 < new.priority_fee_wei <= new.max_fee_wei <= RULES.fee_ceiling_wei
    for before, after in zip(old, new, strict=True):
        assert after > before
        assert after * 1000 >= before * 1125 or after == new.max_fee_wei


@given(st.integers(21_000, GAS_CAP - 1))
def test_gas_limit_covers_the_estimate_below_the_cap(estimate: int) -> None:
    assert estimate <= gas_limit(estimate) < GAS_CAP


# --- a simulated chain ----------------------------------------------------------------------------


class Signed(NamedTuple):
    tx_hash: bytes
    intent_key: str
    nonce: int
    fees: Fees


@dataclass
class Chain:
    """Blocks of transactions, a pool, a base fee. `finalized` trails the head by DEPTH blocks."""

    DEPTH = 3

    blocks: list[list[Signed]] = field(default_factory=lambda: [[] for _ in range(8)])
    pool: dict[bytes, Signed] = field(default_factory=dict)
    base_fee_wei: int = GWEI

    @property
    def final(self) -> int:
        return len(self.blocks) - 1 - self.DEPTH

    def nonce_at(self, block: int) -> int:
        return sum(len(block) for block in self.blocks[: block + 1])

    def send(self, signed: Signed) -> str:
        if signed.nonce < self.nonce_at(len(self.blocks) - 1):
            return "nonce too low"
        rivals = [s for s in self.pool.values() if s.nonce == signed.nonce]
        for rival in rivals:
            if rival.tx_hash == signed.tx_hash:
                return "already known"
            if signed.fees.max_fee_wei * 8 < rival.fees.max_fee_wei * 9:
                return "refused"
            del self.pool[rival.tx_hash]
        self.pool[signed.tx_hash] = signed
        return "ok"

    def mine(self) -> None:
        block: list[Signed] = []
        nonce = self.nonce_at(len(self.blocks) - 1)
        while True:
            fitting = [
                s
                for s in self.pool.values()
                if s.nonce == nonce and s.fees.max_fee_wei >= self.base_fee_wei
            ]
            if not fitting:
                break
            block.append(self.pool.pop(fitting[0].tx_hash))
            nonce += 1
        self.blocks.append(block)
        # What a mined rival overtook leaves the pool.
        self.pool = {h: s for h, s in self.pool.items() if s.nonce >= nonce}

    def reorg(self, depth: int) -> None:
        """Replace the last blocks by empty ones; like anvil's, their transactions are lost."""
        self.blocks[-depth:] = [[] for _ in range(depth)]

    def view(self, hashes: set[bytes], behind: int = 0) -> View:
        """Return the view of a node that has not seen the last `behind` blocks."""
        latest = len(self.blocks) - 1 - behind
        final = min(self.final, latest)
        spent = [(n, s) for n, block in enumerate(self.blocks[: latest + 1]) for s in block]
        return View(
            latest,
            final,
            self.nonce_at(latest),
            self.nonce_at(final),
            self.base_fee_wei,
            GWEI,
            {s.tx_hash: Mined(s.tx_hash, n, b"", True, 1) for n, s in spent if s.tx_hash in hashes},
            frozenset(hashes & self.pool.keys()),
            {s.nonce: s.tx_hash for n, s in spent if n <= final},
        )


class CrashError(Exception):
    """The death of the process."""


@dataclass
class Sender:
    """Stored facts and the driver's order: observe, plan, store, only then send."""

    chain: Chain
    ids: Iterator[int]
    account: RelayerAccount
    token: int = 0
    open: dict[str, Intent] = field(default_factory=dict)
    stored: dict[bytes, Signed] = field(default_factory=dict)
    finished: dict[str, Finish] = field(default_factory=dict)

    def observe(self, behind: int = 0) -> tuple[int, View]:
        hashes = {a.tx_hash for t in self.open.values() for a in t.attempts}
        gas = {key: 80_000 for key, t in self.open.items() if t.nonce is None}
        return self.token, self.chain.view(hashes, behind)._replace(gas=gas)

    def act(self, token: int, view: View, send: Callable[[Signed], str | None]) -> None:
        steps = plan(list(self.open.values()), self.account, view, RULES)
        if token != self.token:
            return  # a step was taken since: what was seen no longer belongs to what is stored
        self.token += 1
        sends: list[Signed] = []
        for step in steps:
            sends += self.store(step, view)
        self.account = self.account._replace(
            finalized_block=max(self.account.finalized_block, view.finalized_block)
        )
        for signed in sends:
            self.note(signed, send(signed))

    def store(self, step: TxStep, view: View) -> list[Signed]:
        intent = self.open[step.intent_key]
        match step:
            case Sign(key, nonce, gas, fees):
                signed = Signed(next(self.ids).to_bytes(32, "big"), key, nonce, fees)
                new = Attempt(signed.tx_hash, fees, view.latest_block, None)
                attempts = (*intent.attempts, new)
                self.open[key] = Intent(key, nonce, gas, attempts)
                self.stored[signed.tx_hash] = signed
                next_nonce = max(self.account.next_nonce, nonce + 1)
                self.account = self.account._replace(next_nonce=next_nonce)
                return [signed]
            case Send(_, tx_hash):
                return [self.stored[tx_hash]]
            case Release(key):
                self.open[key] = Intent(key)
            case Finish(key):
                del self.open[key]
                self.finished[key] = step
            case Defer() | Untried():
                raise AssertionError("nothing reverts here, and all can be paid")
        return []

    def note(self, signed: Signed, reply: str | None) -> None:
        intent = self.open[signed.intent_key]
        attempts = tuple(
            # Whatever its words mean, a refusal is counted.
            a._replace(reply=reply or "", refusals=a.refusals + 1 if reply == "refused" else 0)
            if a.tx_hash == signed.tx_hash
            else a
            for a in intent.attempts
        )
        self.open[signed.intent_key] = intent._replace(attempts=attempts)


@dataclass
class World:
    chain: Chain
    sender: Sender
    held: tuple[int, View]
    requests: int = 0
    # A node that answers from memory it should have dropped: duplicates delivered much later.
    heard: list[Signed] = field(default_factory=list)

    def request(self) -> None:
        self.requests += 1
        key = f"intent-{self.requests}"
        self.sender.open[key] = Intent(key)

    def deliver(self, signed: Signed) -> str | None:
        self.heard.append(signed)
        return self.chain.send(signed)

    def advance(self) -> None:
        self.sender.act(*self.sender.observe(), self.deliver)

    def reply_lost(self) -> None:
        def send(signed: Signed) -> str | None:
            self.deliver(signed)
            return None

        self.sender.act(*self.sender.observe(), send)

    def never_arrives(self) -> None:
        self.sender.act(*self.sender.observe(), lambda _: None)

    def crash_before_send(self) -> None:
        def send(signed: Signed) -> str | None:
            raise CrashError

        with_crash = self.sender.observe()
        try:
            self.sender.act(*with_crash, send)
        except CrashError:
            return

    def delivered_again(self) -> None:
        for signed in self.heard[-3:]:
            self.chain.send(signed)

    def lagging(self) -> None:
        self.sender.act(*self.sender.observe(behind=2), self.deliver)

    def other_orchestrator_looks(self) -> None:
        self.held = self.sender.observe()

    def other_orchestrator_acts(self) -> None:
        self.sender.act(*self.held, self.deliver)

    def mine(self) -> None:
        self.chain.mine()

    def drop(self) -> None:
        if self.chain.pool:
            self.chain.pool.pop(min(self.chain.pool))

    def reorg_shallow(self) -> None:
        self.chain.reorg(1)

    def reorg_deep(self) -> None:
        self.chain.reorg(Chain.DEPTH)

    def spike(self) -> None:
        self.chain.base_fee_wei = min(self.chain.base_fee_wei * 5, 100 * GWEI)

    def stranger(self) -> None:
        nonce = self.chain.nonce_at(len(self.chain.blocks) - 1)
        tx_hash = next(self.sender.ids).to_bytes(32, "big")
        self.chain.send(Signed(tx_hash, "stranger", nonce, Fees(499 * GWEI, GWEI)))


ACTIONS = (
    World.request,
    World.advance,
    World.mine,
    World.reply_lost,
    World.never_arrives,
    World.crash_before_send,
    World.delivered_again,
    World.lagging,
    World.other_orchestrator_looks,
    World.other_orchestrator_acts,
    World.drop,
    World.reorg_shallow,
    World.reorg_deep,
    World.spike,
    World.stranger,
)


@given(st.lists(st.sampled_from(ACTIONS), max_size=60))
def test_every_intent_succeeds_exactly_once(actions: list[Callable[[World], None]]) -> None:
    """After any faults, a calm stretch ends with one success an intent and no gap."""
    chain = Chain()
    sender = Sender(chain, count(1), RelayerAccount(0, 0))
    world = World(chain, sender, sender.observe())
    world.request()
    for action in actions:
        action(world)
    for _ in range(200):
        if not sender.open:
            break
        world.advance()
        world.mine()
    for _ in range(Chain.DEPTH + 1):
        world.mine()
    assert sender.open == {}
    assert len(sender.finished) == world.requests
    on_chain = [s for block in chain.blocks for s in block]
    assert [s.nonce for s in on_chain] == list(range(len(on_chain)))
    for key, finish in sender.finished.items():
        successes = [s.tx_hash for s in on_chain if s.intent_key == key]
        assert finish.fate is Fate.FINALIZED
        assert finish.mined is not None
        assert successes == [finish.mined.tx_hash]
    assert sender.account.next_nonce <= len(on_chain)
