"""The reasons for an operator's level on a surface: what counted, and what raises or loses it."""

from typing import NamedTuple

from orchestrator.core.common.errors import WhyError
from orchestrator.core.common.units import BPS, counted
from orchestrator.core.decisions.acts import has_earned_place
from orchestrator.core.log.dispute import is_lost
from orchestrator.core.surface import trust
from orchestrator.core.surface.policy import Policy
from orchestrator.core.surface.surface_settings import Results, SurfaceSettings
from orchestrator.core.surface.trust import Evidence, Judgement, PoolUse, Standing
from orchestrator.core.why.reason import (
    MAX_PARTS,
    Code,
    Reason,
    amount,
    moment,
    party,
    percent,
    short,
    span,
)
from orchestrator.core.why.source import PAGE, Filter, Placed, Source, newest
from orchestrator.core.why.story import Market


class Trust(NamedTuple):
    """The ground on which a level is judged: the standing, and what is in force on the surface.

    `due` is the level that a judgement would give now; `changed` and `published` are the positions
    of the last change and of the settings, 0 for none; `lost` are the newest rulings that it lost.
    """

    market: Market
    operator: bytes
    standing: Standing
    settings: SurfaceSettings | None
    policy: Policy
    pool: PoolUse
    due: Judgement
    changed: int
    published: int
    suspended: int
    lost: tuple[Placed, ...]

    @property
    def now_ms(self) -> int:
        return self.market.now_ms

    def shown(self, units: int) -> str:
        """Write an amount of the settings' token."""
        token = self.settings.token if self.settings else b""
        return amount(units, token, self.market.tokens)


def read_trust(source: Source, market: Market, operator: bytes) -> Trust:
    """Read what an operator's level on a surface is judged by."""
    policy = market.policy_in_force()
    standing = source.standing(market.surface, operator) or Standing()
    pool = source.pool(market.surface)
    settled = newest(source, Filter(surface=market.surface, kind="settings.published"))
    settings = source.settings(settled.entry.subject) if settled else None
    if settled and settings is None:
        raise WhyError(
            "settings-unknown", f"settings 0x{settled.entry.subject.hex()} are not to be had"
        )
    due = Judgement(standing.level, standing.ground)
    if settings is not None:
        has_skill = has_earned_place(settings, pool, standing, operator, market.now_ms)
        due = trust.judge(standing, settings, policy.hash, market.now_ms, has_skill=has_skill)

    def last(kind: str) -> int:
        wanted = Filter(subject=operator, surface=market.surface, kind=kind)
        found = newest(source, wanted)
        return found.position if found else 0

    return Trust(
        market,
        operator,
        standing,
        settings,
        policy,
        pool,
        due,
        last("trust.changed"),
        settled.position if settled else 0,
        last("operator.suspended") if standing.is_suspended else 0,
        _lost_rulings(source, market, operator) if standing.disputes_lost else (),
    )


def _lost_rulings(source: Source, market: Market, operator: bytes) -> tuple[Placed, ...]:
    """Return the newest rulings against an operator on its contracts with the surface's owner."""
    own = {one.rules.contract_id for one in market.contracts if one.rules.operator == operator}
    wanted = Filter(surface=market.surface, kind="dispute.ruled", newest=True)
    ruled = source.find(wanted, PAGE)
    lost = [one for one in ruled if one.entry.subject in own and is_lost(one.entry.label)]
    return tuple(lost[:MAX_PARTS])


def why_level(source: Source, surface: bytes, operator: bytes) -> Reason:
    """Return an operator's level on a surface, what it rests on, and what would change it."""
    found = read_trust(source, Market(source, surface), operator)
    standing, settings, due = found.standing, found.settings, found.due
    parts = []
    if standing.is_suspended:
        parts.append(suspended(found))
    if settings is None:
        parts.append(no_settings(found))
    else:
        evidence = trust.evidence_of(standing, settings, found.now_ms)
        parts += [_counted(found, evidence), *_not_counted(found, settings)]
        if due != (standing.level, standing.ground):
            text = (
                f"a judgement now gives level {due.level} by {due.ground}: the log says so before "
                f"the operator's next act, or when it is asked for"
            )
            parts.append(Reason(Code.LEVEL_DUE, text, _evidence(found)))
        parts += [_raise(found, settings, evidence), _lose(found, settings, evidence)]
        parts += _limits(found, settings)
    since = f" since {moment(standing.changed_ms)}" if standing.changed_ms else ""
    text = f"operator {party(operator)} has level {standing.level} by {standing.ground}{since}"
    positions = (found.changed,) if found.changed else ()
    numbers = {"level": standing.level, "due_level": due.level}
    return Reason(Code.LEVEL, text, positions, tuple(parts), numbers)


def suspended(found: Trust) -> Reason:
    """Return the suspension of an operator that is suspended."""
    text = "the owner has suspended the operator: it acts no more; what it did before still pays"
    return Reason(Code.SUSPENDED, text, (found.suspended,) if found.suspended else ())


def no_settings(found: Trust) -> Reason:
    """Return that a surface without settings offers no action."""
    text = "the surface has published no settings, so it offers no action and counts no results"
    return Reason(Code.NO_SETTINGS, text, (found.market.published[-1].position,))


def _evidence(found: Trust) -> tuple[int, ...]:
    at = (found.published, found.standing.counted_to)
    return tuple(position for position in at if position)


def _counted(found: Trust, evidence: Evidence) -> Reason:
    bps = evidence.reversed_units * BPS // evidence.earned_units if evidence.earned_units else 0
    age = span(evidence.age_s * 1000) if found.standing.partner_since_ms else "none yet"
    text = (
        f"counted are {counted(evidence.outcomes, 'ripe outcome')} worth "
        f"{found.shown(evidence.units)}, {found.shown(evidence.reversed_units)} "
        f"({percent(bps)} of all earned) taken back, "
        f"{evidence.disputes_lost} disputes lost, and a first contract of this age: {age}"
    )
    parts = tuple(_lost_ruling(placed) for placed in found.lost)
    return Reason(Code.COUNTED, text, _evidence(found), parts, evidence._asdict())


def _lost_ruling(placed: Placed) -> Reason:
    entry = placed.entry
    text = (
        f"the arbiter ruled for less than was stated or claimed of contract "
        f"{short(entry.subject)}: {entry.value:,} base units"
    )
    numbers = {"ruled_units": entry.value}
    return Reason(Code.DISPUTE_LOST, text, (placed.position,), (), numbers, entry.subject)


def _not_counted(found: Trust, settings: SurfaceSettings) -> list[Reason]:
    """Return what was earned and is no evidence: not yet, no more, or of another token."""
    wait_ms = (settings.bucket_s + settings.ripening_s) * 1000
    unripe = [one for one in found.standing.buckets if one.began_ms + wait_ms > found.now_ms]
    reasons = []
    outcomes = sum(bucket.outcomes for bucket in unripe)
    if outcomes:
        units = sum(bucket.earned_units for bucket in unripe)
        first_ms = unripe[0].began_ms + wait_ms
        text = (
            f"{counted(outcomes, 'outcome')} worth {found.shown(units)} not counted yet, since "
            f"events may still take them back; the first of them count at {moment(first_ms)}"
        )
        numbers = {"outcomes": outcomes, "units": units, "ripe_ms": first_ms}
        reasons.append(Reason(Code.NOT_COUNTED_YET, text, _evidence(found), numbers=numbers))
    own = [one for one in found.market.contracts if one.rules.operator == found.operator]
    others = sum(one.outcomes for one in own if one.rules.token != settings.token)
    if others:
        text = f"{counted(others, 'outcome')} paid in another token than the settings count in"
        at = tuple(one.opened for one in own if one.rules.token != settings.token)[:1]
        reasons.append(Reason(Code.OTHER_TOKEN, text, at, numbers={"outcomes": others}))
    remembered = sum(bucket.outcomes for bucket in found.standing.buckets)
    lost = sum(one.outcomes for one in own if one.rules.token == settings.token) - remembered
    if lost > 0:
        kept = span(trust.MAX_BUCKETS * settings.bucket_s * 1000)
        text = (
            f"{counted(lost, 'outcome')} older than what is remembered (at least {kept}), or from "
            f"before settings counted in this token"
        )
        reasons.append(Reason(Code.FORGOTTEN, text, numbers={"outcomes": lost}))
    return reasons


# --- What would change it -------------------------------------------------------------------------


def _raise(found: Trust, settings: SurfaceSettings, evidence: Evidence) -> Reason:
    """Return what the next level still needs."""
    number = found.due.level + 1
    level = settings.level(number)
    if level is None:
        text = f"level {found.due.level} is the highest of this surface"
        return Reason(Code.HIGHEST, text, (found.published,))
    missing = (
        _missing_judgement(found, settings)
        if level.results is None
        else _missing_results(found, level.results, evidence)
    )
    changed_ms, pause_ms = found.standing.changed_ms, settings.pause_s * 1000
    if changed_ms and changed_ms + pause_ms > found.now_ms:
        free_ms = changed_ms + pause_ms
        text = f"a level rises no sooner than {moment(free_ms)}, {span(pause_ms)} after its change"
        missing.append(Reason(Code.PAUSE, text, (found.changed,), numbers={"until_ms": free_ms}))
    text = f"level {number} still needs {counted(len(missing), 'thing')}"
    if not missing:
        text = f"nothing is missing for level {number}: it comes with the next judgement"
    return Reason(Code.RAISE, text, (found.published,), tuple(missing), {"level": number})


def _missing_judgement(found: Trust, settings: SurfaceSettings) -> list[Reason]:
    if found.standing.policy == found.policy.hash:
        return []
    text = "the owner has opened no contract with the operator under the policy in force"
    if found.standing.policy:
        text += ": its last one was signed under an earlier policy"
    published = found.market.published[-1].position
    missing = [Reason(Code.MISSING_CONTRACT, text, (published,))]
    pool, forecasts, skill = settings.pool, settings.forecasts, found.standing.skill
    if pool is None or forecasts is None:
        return missing
    rules, reached = forecasts.rules, skill.skill_bps()
    if not skill.passes(rules, found.now_ms):
        said = "none yet" if reached is None else percent(reached)
        text = (
            f"in place of a contract, forecasts: {skill.counted:,} windows of {rules.min_counted:,}"
            f" count, and their skill is {said}, where {percent(rules.skill_bps)} is needed"
        )
        numbers = {"have": skill.counted, "need": rules.min_counted, "need_bps": rules.skill_bps}
        numbers |= {} if reached is None else {"have_bps": reached}
        missing.append(Reason(Code.MISSING_SKILL, text, (found.published,), numbers=numbers))
    elif not found.pool.has_room(pool.places, found.now_ms):
        first_ms = min(found.pool.holders.values())
        text = (
            f"its forecasts have the skill, but all {pool.places} places of the pool are taken; "
            f"the first is free after {moment(first_ms)}"
        )
        numbers = {"places": pool.places, "until_ms": first_ms}
        missing.append(Reason(Code.POOL_FULL, text, (found.published,), numbers=numbers))
    return missing


def _missing_results(found: Trust, results: Results, evidence: Evidence) -> list[Reason]:
    missing = []
    at = (found.published,)
    if evidence.outcomes < results.outcomes:
        more = results.outcomes - evidence.outcomes
        text = f"{more:,} more ripe outcomes: {evidence.outcomes:,} of {results.outcomes:,} count"
        numbers = {"have": evidence.outcomes, "need": results.outcomes}
        missing.append(Reason(Code.MISSING_OUTCOMES, text, at, numbers=numbers))
    if evidence.units < results.units:
        text = (
            f"{found.shown(results.units - evidence.units)} more from ripe outcomes: "
            f"{found.shown(evidence.units)} of {found.shown(results.units)} count"
        )
        numbers = {"have_units": evidence.units, "need_units": results.units}
        missing.append(Reason(Code.MISSING_UNITS, text, at, numbers=numbers))
    if evidence.age_s < results.age_s:
        text = (
            f"{span((results.age_s - evidence.age_s) * 1000)} more since the first contract: "
            f"{span(results.age_s * 1000)} are needed"
        )
        numbers = {"have_s": evidence.age_s, "need_s": results.age_s}
        missing.append(Reason(Code.MISSING_AGE, text, at, numbers=numbers))
    if evidence.reversed_units * BPS > evidence.earned_units * results.reversed_bps:
        text = (
            f"less taken back: {found.shown(evidence.reversed_units)} of "
            f"{found.shown(evidence.earned_units)}, and at most {percent(results.reversed_bps)} may"
        )
        most = evidence.earned_units * results.reversed_bps // BPS
        numbers = {"have_units": evidence.reversed_units, "most_units": most}
        missing.append(Reason(Code.TOO_MUCH_REVERSED, text, at, numbers=numbers))
    if evidence.disputes_lost > results.disputes_lost:
        text = f"{evidence.disputes_lost} disputes are lost, at most {results.disputes_lost} may be"
        numbers = {"have": evidence.disputes_lost, "most": results.disputes_lost}
        lost = tuple(sorted(placed.position for placed in found.lost))
        missing.append(Reason(Code.TOO_MANY_DISPUTES, text, lost or at, numbers=numbers))
    return missing


def _lose(found: Trust, settings: SurfaceSettings, evidence: Evidence) -> Reason:
    """Return what would lose the level."""
    due = found.due
    level = settings.level(due.level)
    if not due.level or level is None:
        return Reason(Code.LOSE, "there is no level to lose", numbers={"level": 0})
    if level.results is None or due.ground != trust.RESULTS:
        text = "a new policy of the owner loses it, until it opens a contract under that"
        if due.ground == trust.FORECASTS:
            until_ms = found.pool.holders.get(found.operator, found.now_ms)
            text = f"it lasts as long as the place in the pool, until {moment(until_ms)}"
        return Reason(Code.LOSE, text, (found.market.published[-1].position,))
    keep = level.results
    left = evidence.earned_units * keep.keep_reversed_bps // BPS - evidence.reversed_units
    text = (
        f"it is lost once more than {percent(keep.keep_reversed_bps)} of what was earned is taken "
        f"back, which {found.shown(max(0, left))} more would not be, or more than "
        f"{keep.disputes_lost} disputes are lost ({evidence.disputes_lost} are)"
    )
    numbers = {"left_units": max(0, left), "disputes_left": keep.disputes_lost}
    return Reason(Code.LOSE, text, (found.published,), numbers=numbers)


def _limits(found: Trust, settings: SurfaceSettings) -> list[Reason]:
    """Return what the level allows today, and what is left of it."""
    level, used = settings.level(found.due.level), found.standing.leads_on(found.now_ms)
    if level is None:
        text = "level 0 reads, forecasts and proposes; it touches no lead"
        return [Reason(Code.LIMITS, text, (found.published,), numbers={"leads_left": 0})]
    left = max(0, level.leads_a_day - used)
    open_to = sum(action.level <= found.due.level for action in settings.actions.values())
    text = (
        f"it allows {counted(open_to, 'action')} on {counted(level.leads_a_day, 'lead')} a day: "
        f"{used:,} are used today and {left:,} are left, until 00:00 UTC"
    )
    numbers = {"leads_a_day": level.leads_a_day, "leads_used": used, "leads_left": left}
    limits = [Reason(Code.LIMITS, text, (found.published,), numbers=numbers)]
    pool = settings.pool
    if pool is not None and found.due.ground == trust.FORECASTS:
        leads, touches = found.pool.used_on(found.now_ms)
        text = (
            f"with all whose level comes from forecasts it shares "
            f"{counted(pool.leads_a_day, 'lead')} and "
            f"{counted(pool.touches_a_day, 'touch', 'touches')} a day: "
            f"{leads:,} and {touches:,} are used"
        )
        numbers = {"leads_used": leads, "touches_used": touches}
        limits.append(Reason(Code.POOL, text, (found.published,), numbers=numbers))
    return limits
