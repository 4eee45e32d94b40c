"""Spending from allowances, which refill with time (GCRA): one row for each account and rate."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from orchestrator.core.common.limits import Limits, Rate, rate_of
from orchestrator.storage.database import Database, Row, Session


class Spent(NamedTuple):
    """An allowance after a charge: what is left of it, and when it is full again."""

    rate: Rate
    wait_us: int  # 0 if it was enough; else the time until it will be
    full_in_us: int

    @property
    def remaining(self) -> int:
        left_us = max(0, self.rate.window_us - self.full_in_us)
        return left_us * self.rate.quota // self.rate.window_us


class Admission(NamedTuple):
    """The facts of a key, None if it is unknown; what its account was charged, by which limits."""

    key: Row | None
    spent: list[Spent]
    limits: Limits

    @property
    def is_short(self) -> bool:
        """True if several requests were not charged, since there was not enough for all."""
        return self.key is not None and self.key.state == "live" and not self.spent


def spend(session: Session, account: str, limits: Limits, costs: Mapping[str, int]) -> list[Spent]:
    """Spend from those allowances of an account that have enough; `costs` are by name of rate."""
    rows = session.all("api.spend_allowances", account=account, **_priced(costs, [limits]))
    return _spent(rows, limits, costs)


def admit(
    database: Database,
    secret: bytes,
    costs: Mapping[str, int],
    limits: Sequence[Limits],
    *,
    requests: int = 1,
    **of: object,
) -> Admission:
    """Charge the account of the key that has this secret, in a transaction of its own.

    `costs` are those of each of so many requests. Several are charged all or, where an allowance
    has not enough, not at all: then the admission is short.

    Return what is known of the key (None: nothing), what was spent if it is live, and by which of
    the limits: the first or, where the key has one of the scopes for the surface, those of its
    account's level there, which follow from level 0 on. `of` are `log_id`, `surface` and `scopes`.
    """
    charged_costs = {name: units * requests for name, units in costs.items()}
    rows = database.ask(
        "api.admit",
        secret=secret,
        undivided=requests > 1,
        **of,
        **_priced(charged_costs, limits),
    )
    if not rows:
        return Admission(None, [], limits[0])
    used = limits[rows[0].place]
    charged = [row for row in rows if row.bucket is not None]
    return Admission(rows[0], _spent(charged, used, costs), used)


def _priced(costs: Mapping[str, int], limits: Sequence[Limits]) -> dict[str, list[object]]:
    """Return the arguments that charge costs: by each of the limits in turn, in order of names."""
    names = sorted(costs)
    rates = [rate_of(limits[0], name) for name in names]
    return {
        "buckets": list(names),
        "costs_us": [rate_of(each, name).cost_us(costs[name]) for each in limits for name in names],
        "windows_us": [rate.window_us for rate in rates],
    }


def _spent(rows: Sequence[Row], limits: Limits, costs: Mapping[str, int]) -> list[Spent]:
    """Return allowances by the rows of a charge."""
    found = []
    for row in rows:
        rate = rate_of(limits, row.bucket)
        missing_us = row.full_in_us + rate.cost_us(costs[row.bucket]) - rate.window_us
        found.append(Spent(rate, 0 if row.is_spent else max(1, missing_us), row.full_in_us))
    return found
