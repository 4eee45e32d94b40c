"""Leases against a small model: whatever is tried, an item has one holder, and fences only grow.

The model knows members, boards, items and times, and nothing of SQL. Each step is done as the API
does it: by its login, its queries, and the secret of a member's key.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from orchestrator.core.common.hexadecimal import to_hex
from tests.support.depth import examples
from tests.support.keys import give_key, key_of, secret_of
from tests.support.ledger import CONTRACT, OWNER, Ledger, ledger, open_market
from tests.support.worlds import OPERATORS, SURFACE

OPERATOR = f"0x{OPERATORS[0][12:].hex()}"
# The most leases of an account.
MOST = 2
TTLS_MS = [1, 1_000, 60_000]


class Member(NamedTuple):
    """A key that uses boards."""

    account: str
    name: str

    @property
    def is_wallets(self) -> bool:
        return self.name == "test"

    @property
    def key(self) -> bytes:
        return key_of(self.account, self.name)


WALLET, ANN, BOB, BOSS = MEMBERS = (
    Member(OPERATOR, "test"),
    Member(OPERATOR, "ann"),
    Member(OPERATOR, "bob"),
    Member(OWNER, "test"),
)
RECEIVERS = ["ann", "test", OPERATOR, OWNER, "carl", *(to_hex(each.key) for each in MEMBERS)]
Place = tuple[Member, bytes, str]
# Who tries it: as often as not the one who holds the item, where there is one.
WHO = st.sampled_from([*MEMBERS, None, None, None, None])
BOARDS = st.sampled_from([SURFACE, CONTRACT.contract_id, CONTRACT.contract_id])
# Whether with the fence of the lease, or with an earlier one.
BACK = st.sampled_from([0, 0, 0, 1, 3])
ITEMS = st.sampled_from(["a", "a", "b"])


@dataclass
class Lease:
    """A lease of the model; `key` is None where any key of the holder's may claim it."""

    holder: str
    key: bytes | None
    payer: str
    fence: int
    expires_ms: int


@pytest.fixture(scope="module")
def market(module_database_url: str) -> Iterator[Ledger]:
    with ledger(module_database_url) as log:
        open_market(log)
        for account in (OPERATOR, OWNER):
            give_key(log.url, account)
        for name in ("ann", "bob"):
            give_key(log.url, OPERATOR, ["operator:coordinate"], name=name, parent="test")
        yield log


class Leases(RuleBasedStateMachine):
    """Members of two boards, and whatever they try."""

    log: Ledger

    def __init__(self) -> None:
        super().__init__()
        # What another run has left has ended by now.
        self.log.now_ms += 10 * max(TTLS_MS)
        self.leases: dict[tuple[str, bytes, str], Lease] = {}
        self.fences = [0]

    def where(self, place: Place) -> tuple[str, bytes, str]:
        by, board, item = place
        return (by.account if board == SURFACE else OPERATOR, board, item)

    def live(self, place: Place) -> Lease | None:
        lease = self.leases.get(self.where(place))
        return lease if lease is not None and lease.expires_ms > self.log.now_ms else None

    def held_by(self, place: Place, fence: int) -> Lease | None:
        """Return the lease of a fence, if the member's account holds it and its key may act."""
        lease, by = self.live(place), place[0]
        if lease is None or lease.fence != fence or lease.holder != by.account:
            return None
        return lease if lease.key in (None, by.key) else None

    def is_full(self, place: Place) -> bool:
        others = [each for where, each in self.leases.items() if where != self.where(place)]
        mine = [each for each in others if each.payer == place[0].account]
        return sum(each.expires_ms > self.log.now_ms for each in mine) >= MOST

    def ask(self, place: Place, query: str, **told: object) -> str:
        by, board, item = place
        with self.log.api.transaction(secret=secret_of(*by)) as session:
            which = {"log_id": self.log.log_id, "board": board, "item": item}
            (row,) = session.all(f"boards.{query}", **which, **told)
        return str(row.outcome)

    def listed(self, by: Member, board: bytes) -> list[tuple[object, ...]]:
        with self.log.api.transaction(secret=secret_of(*by)) as session:
            page = {"log_id": self.log.log_id, "board": board, "after": ""}
            rows = session.all("boards.leases", **page, limit=100)
        return [(row.item, row.holder, row.holder_key, row.fence, row.expires_ms) for row in rows]

    @rule(duration_ms=st.sampled_from(TTLS_MS))
    def wait(self, duration_ms: int) -> None:
        self.log.now_ms += duration_ms

    @rule(by=st.sampled_from(MEMBERS), board=BOARDS, item=ITEMS, ttl_ms=st.sampled_from(TTLS_MS))
    def take(self, by: Member, board: bytes, item: str, ttl_ms: int) -> None:
        place = by, board, item
        verdict = self.ask(place, "take", fence=None, for_ms=ttl_ms, most=MOST)
        if self.is_full(place):
            assert verdict == "full"
        elif self.live(place) is not None:
            assert verdict == "held"
        else:
            assert verdict == "taken"
            end_ms = self.log.now_ms + ttl_ms
            fence = self.new_fence(by, board, item)
            self.leases[self.where(place)] = Lease(by.account, by.key, by.account, fence, end_ms)

    @rule(who=WHO, board=BOARDS, item=ITEMS, ttl_ms=st.sampled_from(TTLS_MS), back=BACK)
    def renew(self, who: Member | None, board: bytes, item: str, ttl_ms: int, back: int) -> None:
        by = self.someone(who, board, item)
        place = by, board, item
        fence = self.some_fence(place, back)
        verdict = self.ask(place, "take", fence=fence, for_ms=ttl_ms, most=MOST)
        lease = self.held_by(place, fence)
        if self.is_full(place):
            assert verdict == "full"
        elif lease is None:
            assert verdict == "lost"
        else:
            assert verdict == "taken"
            lease.key, lease.payer = by.key, by.account
            lease.expires_ms = self.log.now_ms + ttl_ms

    @rule(who=WHO, board=BOARDS, item=ITEMS, back=BACK, to=st.sampled_from([None, *RECEIVERS]))
    def release(
        self, who: Member | None, board: bytes, item: str, back: int, to: str | None
    ) -> None:
        by = self.someone(who, board, item)
        place = by, board, item
        fence = self.some_fence(place, back)
        verdict = self.ask(place, "release", fence=fence, to=to)
        lease = self.live(place)
        if lease is None or lease.fence != fence:
            assert verdict == "lost"
        elif lease.holder != by.account or not (by.is_wallets or lease.key in (None, by.key)):
            assert verdict == "held"
        elif to is None:
            assert verdict == "released"
            del self.leases[self.where(place)]
        elif (found := self.receiver(by, board, to)) is None:
            assert verdict == "absent"
        else:
            assert verdict == "handed"
            lease.holder, lease.key = found
            lease.fence = self.new_fence(by, board, item)

    def receiver(self, by: Member, board: bytes, to: str) -> tuple[str, bytes | None] | None:
        """Return the account and the key that a text names, as far as they are on the board."""
        on_it = [each for each in MEMBERS if board != SURFACE or each.account == by.account]
        if to in {each.account for each in on_it}:
            return to, None
        for each in on_it:
            if to == to_hex(each.key) or (each.account, each.name) == (by.account, to):
                return each.account, each.key
        return None

    def someone(self, who: Member | None, board: bytes, item: str) -> Member:
        """Return a member, for None the holder of the item."""
        lease = self.leases.get((OPERATOR, board, item))
        holders = [each for each in MEMBERS if lease and each.account == lease.holder]
        holding = [each for each in holders if lease and lease.key in (None, each.key)]
        return who or (holding or [WALLET])[0]

    def some_fence(self, place: Place, back: int) -> int:
        """Return the fence of the item's lease, or an earlier one."""
        lease = self.leases.get(self.where(place))
        return lease.fence if lease is not None and back == 0 else self.fences[-back:][0]

    def new_fence(self, by: Member, board: bytes, item: str) -> int:
        (fence,) = (int(str(each[3])) for each in self.listed(by, board) if each[0] == item)
        assert fence > max(self.fences)
        self.fences.append(fence)
        return fence

    @invariant()
    def members_see_what_the_model_has(self) -> None:
        for by, board in ((ANN, SURFACE), (BOSS, CONTRACT.contract_id)):
            expected = [
                (item, lease.holder, lease.key, lease.fence, lease.expires_ms)
                for item in ("a", "b")
                if (lease := self.live((by, board, item))) is not None
            ]
            assert self.listed(by, board) == expected


def test_leases_do_what_the_model_says(market: Ledger) -> None:
    Leases.log = market
    depth = settings(
        examples(15, deep=300),
        stateful_step_count=30,
        suppress_health_check=list(HealthCheck),
        deadline=None,
    )
    run_state_machine_as_test(Leases, settings=depth)
