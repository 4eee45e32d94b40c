"""Spending from allowances, which refill with time (GCRA): one row for each account and rate."""

from collections.abc import Mapping
from typing import NamedTuple

from orchestrator.core.limits import Limits, Rate, rate_of
from orchestrator.storage.database import Session


class Spent(NamedTuple):
    """An allowance after a charge: what is left of it, and when it is full again."""

    rate: Rate
    wait_us: int  # 0 if it was enough; else the time until it will be
    full_in_us: int

    @property
    def remaining(self) -> int:
        left_us = max(0, self.rate.window_us - self.full_in_us)
        return left_us * self.rate.quota // self.rate.window_us


def spend(session: Session, account: str, limits: Limits, costs: Mapping[str, int]) -> list[Spent]:
    """Spend from those allowances of an account that have enough; `costs` are by name of rate."""
    rates = {name: rate_of(limits, name) for name in costs}
    rows = session.all(
        "api.spend_allowances",
        account=account,
        buckets=list(rates),
        costs_us=[rate.cost_us(costs[name]) for name, rate in rates.items()],
        windows_us=[rate.window_us for rate in rates.values()],
    )
    found = []
    for row in rows:
        rate = rates[row.bucket]
        missing_us = row.full_in_us + rate.cost_us(costs[row.bucket]) - rate.window_us
        found.append(Spent(rate, 0 if row.is_spent else max(1, missing_us), row.full_in_us))
    return found
