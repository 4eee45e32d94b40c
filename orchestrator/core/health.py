"""The health of a service: what its parts have noted of themselves, and what follows from that."""

from collections.abc import Mapping
from typing import Literal, NamedTuple, get_args

from orchestrator.core.common.units import DAY_MS, counted

# A part that works notes it more often than this; a step of the pipeline may take minutes.
PULSE_MS = {"sequencer": 30_000, "registrar": 30_000, "pipeline": 600_000, "webhooks": 30_000}
# The first request that waits is decided within this.
WAITING_MS = 60_000
# A log without new statements is anchored every hour.
UNANCHORED_MS = DAY_MS // 8
# A transaction of ours costs less gas than this, and the relayer should be able to pay for so many.
TRANSACTION_GAS = 1_000_000
LEAST_TRANSACTIONS = 100
LEAST_FREE_BYTES = 1 << 30


PartName = Literal[
    "database", "sequencer", "pipeline", "registrar", "webhooks", "anchor", "relayer", "disk"
]


class Pulse(NamedTuple):
    """A part's last sign of life, at UTC milliseconds of the database, with what it saw then."""

    at_ms: int
    figures: Mapping[str, int]


class Vitals(NamedTuple):
    """The state of a service at one time: what waits, what is anchored, and the parts' pulses.

    `speed` is how many seconds of the service's clock one of real time has; what follows from two
    of its times is real time, by which people and alarms wait.
    """

    now_ms: int
    waiting: int
    waiting_since_ms: int | None
    size: int
    unanchored_since_ms: int | None
    pulses: Mapping[str, Pulse]
    speed: int = 1

    @property
    def waiting_ms(self) -> int:
        """The time for which the first request has waited."""
        since_ms = self.now_ms if self.waiting_since_ms is None else self.waiting_since_ms
        return self._real_ms(since_ms)

    @property
    def unanchored_ms(self) -> int:
        """The time for which the log has had something that is not anchored."""
        since_ms = self.now_ms if self.unanchored_since_ms is None else self.unanchored_since_ms
        return self._real_ms(since_ms)

    def silent_ms(self, part: str) -> int | None:
        """Return the time since a part's pulse; None if it never had one."""
        pulse = self.pulses.get(part)
        return None if pulse is None else self._real_ms(pulse.at_ms)

    def _real_ms(self, since_ms: int) -> int:
        return max(0, self.now_ms - since_ms) // max(1, self.speed)

    @property
    def figures(self) -> Mapping[str, int]:
        """The figures of the pipeline's pulse: what it saw on chain."""
        pulse = self.pulses.get("pipeline")
        return {} if pulse is None else pulse.figures

    def figure(self, name: str) -> int | None:
        """Return a figure of the pipeline's pulse; None if it has none."""
        return self.figures.get(name)

    @property
    def transactions_left(self) -> int | None:
        """The transactions that the relayer can pay at the node's price; None if unknown."""
        balance_wei, price_wei = self.figure("balance_wei"), self.figure("gas_price_wei")
        if balance_wei is None or price_wei is None:
            return None
        return balance_wei // max(1, TRANSACTION_GAS * price_wei)


class PartCondition(NamedTuple):
    """The condition of a part, and for people why."""

    part: PartName
    is_well: bool
    detail: str


JUDGED_PARTS: tuple[PartName, ...] = get_args(PartName)


def judge(vitals: Vitals | None, free_bytes: int) -> tuple[PartCondition, ...]:
    """Return the condition of each part, in the order of `JUDGED_PARTS`.

    Without vitals few are known.
    """
    disk = PartCondition("disk", free_bytes >= LEAST_FREE_BYTES, f"{free_bytes >> 20} MiB are free")
    if vitals is None:
        unknown = "unknown while the database does not answer"
        others = (PartCondition(part, False, unknown) for part in JUDGED_PARTS[1:-1])
        return (PartCondition("database", False, "does not answer"), *others, disk)
    return (
        PartCondition("database", True, "answers"),
        _judge_sequencer(vitals),
        _judge_pulse(vitals, "pipeline"),
        _judge_pulse(vitals, "registrar"),
        _judge_pulse(vitals, "webhooks"),
        PartCondition(
            "anchor",
            vitals.unanchored_ms <= UNANCHORED_MS,
            f"{vitals.figure('anchored') or 0} of {vitals.size} entries are anchored, the next "
            f"one has waited for {_seconds(vitals.unanchored_ms)}",
        ),
        _judge_relayer(vitals),
        disk,
    )


def _judge_pulse(vitals: Vitals, part: PartName) -> PartCondition:
    silent_ms = vitals.silent_ms(part)
    if silent_ms is None:
        return PartCondition(part, False, "has never worked")
    return PartCondition(part, silent_ms <= PULSE_MS[part], f"worked {_seconds(silent_ms)} ago")


def _judge_sequencer(vitals: Vitals) -> PartCondition:
    part, has_pulse, detail = _judge_pulse(vitals, "sequencer")
    if vitals.waiting:
        waiting = counted(vitals.waiting, "request waits", "requests wait")
        detail += f"; {waiting}, for {_seconds(vitals.waiting_ms)}"
    return PartCondition(part, has_pulse and vitals.waiting_ms <= WAITING_MS, detail)


def _judge_relayer(vitals: Vitals) -> PartCondition:
    left = vitals.transactions_left
    if left is None:
        return PartCondition("relayer", False, "its balance was never read")
    return PartCondition("relayer", left >= LEAST_TRANSACTIONS, f"can pay for {left} transactions")


def _seconds(ms: int) -> str:
    return f"{ms // 1000} s"
