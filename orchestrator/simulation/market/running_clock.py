"""A clock that runs by itself, faster than the machine's if it is told to: the sandbox's.

API, log and database have one value of it, which moves in small steps; the chain follows it with a
block each time. A restart goes on where it stood: what passed in between did not happen.
"""

import time
from collections.abc import Callable
from contextlib import closing

from orchestrator.core.common.errors import InputError, LogError
from orchestrator.core.common.units import DAY_S
from orchestrator.core.resource import ResourceGroup
from orchestrator.runtime.local_chain import LocalChainClock
from orchestrator.simulation.sandbox import SimulatedClock
from orchestrator.storage.database import connect_as_owner

# A day a minute. Faster, and a day is over before a client has answered.
MAX_SPEED = DAY_S // 60


class RunningClock(ResourceGroup):
    """The clock of a deployment with servers of its own, UTC milliseconds.

    It stands still between two calls of `move`, and so does the chain between two of `move_chain`.
    Each is for one thread.
    """

    def __init__(
        self, database_url: str, rpc_url: str, speed: int, now_s: Callable[[], float] = time.time
    ) -> None:
        super().__init__()
        if not 1 <= speed <= MAX_SPEED:
            raise InputError(
                "speed-range",
                f"the speed must be from 1 to {MAX_SPEED} (a day a minute), not {speed}",
            )
        with self._opening():
            self._chain = self._exits.enter_context(LocalChainClock(rpc_url))
            # The chain is behind on a first start and may be ahead by a block after a crash.
            start_ms = max(_last_ms(database_url, int(now_s() * 1000)), self._chain.now_s() * 1000)
            self._clock = self._exits.enter_context(SimulatedClock(database_url, start_ms))
        self._speed = speed
        self._began_ms, self._began_s = start_ms, time.monotonic()

    def __call__(self) -> int:
        return self._clock()

    def move(self) -> None:
        """Set the clock to what it should show by now."""
        passed_ms = int((time.monotonic() - self._began_s) * 1000) * self._speed
        self._clock.set_to(self._began_ms + passed_ms)

    def move_chain(self) -> None:
        """Set the chain to the clock's second, with a block that makes earlier ones final."""
        # A node that was started again makes its own time until it is told once more.
        self._chain.node.call("anvil_setBlockTimestampInterval", 0)
        self._chain.set_to(max(self() // 1000, self._chain.now_s()))

    def fund(self, account: str, amount_wei: int) -> None:
        """Set an account's balance on the chain, which pays for its gas."""
        self._chain.fund(account, amount_wei)


def _last_ms(database_url: str, first_ms: int) -> int:
    """Return where the clock stood last; `first_ms` if it never ran."""
    with closing(connect_as_owner(database_url)) as owner, owner.transaction() as session:
        row = session.one("database.clock")
    if row is None:
        raise LogError("clock-missing", "the database tells no time; run tallystick migrate")
    return int(row.now_ms) if row.is_simulated else first_ms
