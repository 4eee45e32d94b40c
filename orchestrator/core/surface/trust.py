"""Trust: an operator's level on a surface, a pure function of the log and the surface's settings.

* Level 0 reads, forecasts and proposes; it touches nothing.
* Level 1 is earned by judgement: the surface's owner opened a contract with the operator under the
  policy in force, or its forecasts have skill (then it shares one pooled allowance).
* Levels 2 and 3 are earned by results on this surface alone: ripe outcomes, their worth in the
  settings' token, the share of it that was reversed, the age of the first contract, disputes lost.

Evidence is kept in at most twelve buckets of time, so that judging costs the same however long the
history is; what is older is forgotten. A reversal counts by its event, whether or not it took any
money back. Levels rise one at a time, no sooner than the settings' pause after the last change, and
fall at once.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from orchestrator.core.common.units import BPS, DAY_MS
from orchestrator.core.surface.forecast import Question, Skill
from orchestrator.core.surface.surface_settings import Results, SurfaceSettings

MAX_BUCKETS = 12
NO_DAY = -1

# The grounds of a level, as entries name them.
NONE, CONTRACT, FORECASTS, RESULTS = "none", "contract", "forecasts", "results"


@dataclass(slots=True)
class Bucket:
    """The evidence of one span of time; the last outcome in it stands at `last_ms`.

    Amounts are in base units of the settings' token, before any fee.
    """

    began_ms: int
    last_ms: int
    outcomes: int = 0
    earned_units: int = 0
    reversed_units: int = 0


class PendingForecast(NamedTuple):
    """A forecast that is not opened yet: the position of its entry, and what it is about."""

    position: int
    question: Question
    day: int
    commitment: bytes


@dataclass(slots=True)
class Standing:
    """The log's word of one operator on one surface. Times are of the log's own clock.

    `level` and `ground` are those of the last `trust.changed` entry, at `changed_ms`. `policy` is
    that of the last contract that the owner opened with the operator, `partner_since_ms` the time
    of the first (0: none). `leads_today` counts the distinct leads that it acted on on `day`, in
    days since 1970. `counted_to` is the position of the newest evidence. `forecasts` are those that
    are not opened yet, in the order of their windows, and `skill` is that of all that were.
    `codes_today` counts the codes that it was given on `code_day`, and `errands` the actions that
    it has requested of the surface and that wait to be taken.
    """

    level: int = 0
    ground: str = NONE
    changed_ms: int = 0
    is_suspended: bool = False
    policy: bytes = b""
    partner_since_ms: int = 0
    disputes_lost: int = 0
    day: int = NO_DAY
    leads_today: int = 0
    counted_to: int = 0
    buckets: list[Bucket] = field(default_factory=list)
    skill: Skill = field(default_factory=Skill)
    forecasts: list[PendingForecast] = field(default_factory=list)
    code_day: int = NO_DAY
    codes_today: int = 0
    errands: int = 0

    def add_outcome(self, position: int, now_ms: int, amount_units: int, bucket_s: int) -> None:
        """Count an outcome that was written now."""
        bucket = self._bucket(now_ms, bucket_s)
        bucket.outcomes += 1
        bucket.earned_units += amount_units
        bucket.last_ms = now_ms
        self.counted_to = position

    def add_reversal(self, position: int, now_ms: int, amount_units: int, bucket_s: int) -> None:
        """Count what an event of now took, or would have taken, of an outcome."""
        self._bucket(now_ms, bucket_s).reversed_units += amount_units
        self.counted_to = position

    def count_lead(self, now_ms: int) -> None:
        """Count a lead that the operator has not acted on today."""
        today = day_of(now_ms)
        if self.day != today:
            self.day, self.leads_today = today, 0
        self.leads_today += 1

    def leads_on(self, now_ms: int) -> int:
        """Return how many leads it has acted on today."""
        return self.leads_today if self.day == day_of(now_ms) else 0

    def count_code(self, now_ms: int) -> None:
        """Count a code that the operator was given."""
        self.codes_today = self.codes_on(now_ms) + 1
        self.code_day = day_of(now_ms)

    def codes_on(self, now_ms: int) -> int:
        """Return how many codes it was given today."""
        return self.codes_today if self.code_day == day_of(now_ms) else 0

    def _bucket(self, now_ms: int, bucket_s: int) -> Bucket:
        if not self.buckets or now_ms >= self.buckets[-1].began_ms + bucket_s * 1000:
            self.buckets.append(Bucket(now_ms, now_ms))
            del self.buckets[:-MAX_BUCKETS]
        return self.buckets[-1]


@dataclass(slots=True)
class PoolUse:
    """The use of a surface's pool: who holds a place until when, and what was done on `day`."""

    holders: dict[bytes, int] = field(default_factory=dict)
    day: int = NO_DAY
    leads: int = 0
    touches: int = 0

    def has_place(self, operator: bytes, now_ms: int) -> bool:
        """Return whether this operator holds a place."""
        return self.holders.get(operator, -1) >= now_ms

    def has_room(self, places: int, now_ms: int) -> bool:
        """Return whether a place is free."""
        return sum(until_ms >= now_ms for until_ms in self.holders.values()) < places

    def take_place(self, operator: bytes, now_ms: int, until_ms: int) -> None:
        """Give an operator a place, and clear away those whose time has passed."""
        for holder in [name for name, ends_ms in self.holders.items() if ends_ms < now_ms]:
            del self.holders[holder]
        self.holders[operator] = until_ms

    def leave(self, operator: bytes) -> None:
        """Free an operator's place, if it holds one."""
        self.holders.pop(operator, None)

    def count_touch(self, now_ms: int, *, is_new_lead: bool, touches: int = 1) -> None:
        """Count a touch by one of the holders, or as many as a code of theirs may bring."""
        today = day_of(now_ms)
        if self.day != today:
            self.day, self.leads, self.touches = today, 0, 0
        self.touches += touches
        self.leads += is_new_lead

    def used_on(self, now_ms: int) -> tuple[int, int]:
        """Return the leads and the touches of today."""
        return (self.leads, self.touches) if self.day == day_of(now_ms) else (0, 0)


def day_of(now_ms: int) -> int:
    """Return the day of a time, UTC, in days since 1970."""
    return now_ms // DAY_MS


# --- Judging --------------------------------------------------------------------------------------


class Evidence(NamedTuple):
    """The evidence of a standing at some time, as a change of level states it."""

    outcomes: int
    units: int
    earned_units: int
    reversed_units: int
    disputes_lost: int
    age_s: int

    def earns(self, results: Results) -> bool:
        """Return whether it reaches these results."""
        return (
            self.outcomes >= results.outcomes
            and self.units >= results.units
            and self.age_s >= results.age_s
            and self.reversed_units * BPS <= self.earned_units * results.reversed_bps
            and self.disputes_lost <= results.disputes_lost
        )

    def keeps(self, results: Results) -> bool:
        """Return whether a level that was earned by such results is not lost."""
        return (
            self.reversed_units * BPS <= self.earned_units * results.keep_reversed_bps
            and self.disputes_lost <= results.disputes_lost
        )


def evidence_of(standing: Standing, settings: SurfaceSettings, now_ms: int) -> Evidence:
    """Return what counts now: outcomes of ripe buckets alone, reversals of all."""
    ripe = [
        bucket
        for bucket in standing.buckets
        if bucket.began_ms + (settings.bucket_s + settings.ripening_s) * 1000 <= now_ms
    ]
    since_ms = standing.partner_since_ms
    return Evidence(
        outcomes=sum(bucket.outcomes for bucket in ripe),
        units=sum(bucket.earned_units for bucket in ripe),
        earned_units=sum(bucket.earned_units for bucket in standing.buckets),
        reversed_units=sum(bucket.reversed_units for bucket in standing.buckets),
        disputes_lost=standing.disputes_lost,
        age_s=(now_ms - since_ms) // 1000 if since_ms else 0,
    )


class Judgement(NamedTuple):
    """A level and its ground."""

    level: int
    ground: str


def judge(
    standing: Standing,
    settings: SurfaceSettings,
    policy: bytes,
    now_ms: int,
    *,
    has_skill: bool,
) -> Judgement:
    """Return the level that a standing has from now on; the same as before if nothing changes it.

    `policy` is the one in force. `has_skill` says that its forecasts have earned a place in the
    pool that it holds, or that is free.
    """
    evidence = evidence_of(standing, settings, now_ms)
    if standing.policy == policy:
        base = Judgement(1, CONTRACT)
    elif has_skill:
        base = Judgement(1, FORECASTS)
    else:
        base = Judgement(0, NONE)
    kept = _kept(standing.level, evidence, settings)
    held = Judgement(kept, RESULTS) if kept > base.level else base
    # A level of results is left for another ground only where that gives as much.
    may_rise = not standing.changed_ms or now_ms >= standing.changed_ms + settings.pause_s * 1000
    if held.level > standing.level:
        return held if may_rise else Judgement(standing.level, standing.ground)
    if held.level == standing.level and may_rise:
        higher = settings.level(held.level + 1)
        if held.level and higher and higher.results and evidence.earns(higher.results):
            return Judgement(held.level + 1, RESULTS)
    return held


def _kept(level: int, evidence: Evidence, settings: SurfaceSettings) -> int:
    """Return the level of results that is kept of `level`: 0 where none is."""
    for number in range(min(level, len(settings.levels)), 1, -1):
        results = settings.levels[number - 1].results
        if results is not None and evidence.keeps(results):
            return number
    return 0
