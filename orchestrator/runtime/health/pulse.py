"""The pulses of a running service: each part notes that it works, and what it sees."""

import time
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from orchestrator.chain.deployment import Chain
from orchestrator.chain.rpc import quantity
from orchestrator.storage.database import Database
from orchestrator.storage.pulses import beat

BEAT_S = 5.0

Figures = Callable[[], Mapping[str, int]]
T = TypeVar("T")


def no_figures() -> Mapping[str, int]:
    return {}


class Heart(Generic[T]):
    """A part's work, which notes from time to time that it goes well.

    A part that waits its turn, as a standby does, fails at its work and has no pulse.
    """

    def __init__(
        self,
        act: Callable[[], T],
        database: Database,
        log_id: bytes,
        part: str,
        figures: Figures = no_figures,
    ) -> None:
        self._act = act
        self._database = database
        self._log_id = log_id
        self._part = part
        self._figures = figures
        self._due_s = time.monotonic()

    def __call__(self) -> T:
        """Do the work, and return what it gives."""
        done = self._act()
        if time.monotonic() >= self._due_s:
            figures = self._figures()
            with self._database.transaction() as session:
                beat(session, self._log_id, self._part, figures)
            self._due_s = time.monotonic() + BEAT_S
        return done


def chain_figures(chain: Chain, log_id: bytes, relayer: str) -> Mapping[str, int]:
    """Return what the pipeline sees on chain: the last anchor, and what its account can pay."""
    anchor = chain.checkpoint(log_id)
    balance, price = chain.batch([("eth_getBalance", [relayer, "latest"]), ("eth_gasPrice", [])])
    return {
        "anchored": anchor.size,
        "anchored_at_s": anchor.published_at_s,
        "block": chain.block("latest").number,
        "balance_wei": quantity(balance),
        "gas_price_wei": quantity(price),
    }
