"""A surface's settings: what its owner changes freely, each version with an entry of its own.

They say which actions operators may take and from which trust level on, what each level allows,
what earns it, and how events of the owner's other systems are read. No contract pins them: a change
holds from its entry on, and takes back no touch that was made. Their hash, SHA-256 over canonical
JSON, is what the entry names.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from orchestrator.core.common.document import (
    MAX_DOCUMENT_BYTES,
    canonical_json,
    check_keys,
    read_choice,
    read_integer,
    read_list,
    read_name,
    read_table,
    shown_value,
)
from orchestrator.core.common.errors import DocumentError
from orchestrator.core.common.parameters import read_schema
from orchestrator.core.common.units import AMOUNT_LIMIT, BPS, DAY_S
from orchestrator.core.intake.mapping import IntakeSettings, parse_intake
from orchestrator.core.log.entry import CLICK, address_word
from orchestrator.core.surface.forecast import (
    MAX_HORIZON_DAYS,
    MAX_QUESTIONS,
    ForecastRules,
    Question,
)
from orchestrator.core.surface.qualification import parse_fields

MAX_LEVEL = 3
MAX_ACTIONS = 256
MAX_LEADS_A_DAY = 1_000_000
MAX_OUTCOMES = 1_000_000
MAX_PLACES = 100
MAX_PERIOD_S = 366 * DAY_S
MAX_CODES_A_DAY = 10_000
MAX_CODE_USES = 1_000_000_000
MAX_CODE_PERIOD_S = 100 * MAX_PERIOD_S
DEFAULT_RIPENING_S = 7 * DAY_S
DEFAULT_BUCKET_S = 30 * DAY_S
DEFAULT_PAUSE_S = DAY_S
# Who carries an action out.
SELF, SURFACE = "self", "surface"
CARRIERS = (SELF, SURFACE)
DEFAULT_EXPIRY_S = DAY_S
MAX_EXPIRY_S = 30 * DAY_S
MAX_RETURNS = 32
MAX_OPEN = {"lead": 16, "operator": 10_000, "surface": 100_000}

_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
_AMOUNT = re.compile(r"0|[1-9][0-9]{0,24}")


class Action(NamedTuple):
    """An action that operators of this level, and of those above, may take.

    `by` says who carries it out: the operator itself, or the surface's owner, whom it then requests
    it of. The owner has `expires_s` to take a request. `parameters` is the schema of what a request
    says beside its lead; `returns` names what the owner may tell the operator of the lead.
    """

    level: int
    by: str = SELF
    expires_s: int = DEFAULT_EXPIRY_S
    parameters: Mapping[str, object] | None = None
    returns: tuple[str, ...] = ()


class OpenActions(NamedTuple):
    """The most actions that wait for the surface at one time.

    `lead` bounds those of one operator for one lead, also such as are taken and may yet fail;
    `operator` and `surface` those that wait to be taken, of one operator and of all.
    """

    lead: int = 4
    operator: int = 100
    surface: int = 1_000


class Results(NamedTuple):
    """The results that earn a level, counted from ripe outcomes, and what loses it again.

    The level is earned by so many `outcomes` that are worth `units` together, a first contract so
    old, a share of what was earned that was reversed of at most `reversed_bps`, and no more
    disputes lost. It goes once the share is above `keep_reversed_bps`, or more disputes are lost.
    """

    outcomes: int
    units: int
    age_s: int
    reversed_bps: int
    keep_reversed_bps: int
    disputes_lost: int


class Level(NamedTuple):
    """A level: what it allows, and the results that earn it; the first is earned otherwise."""

    leads_a_day: int
    results: Results | None


class ForecastSettings(NamedTuple):
    """The questions that operators may forecast, and the skill that earns level 1."""

    questions: tuple[Question, ...]
    rules: ForecastRules


class CodeSettings(NamedTuple):
    """The codes that operators of this level, and of those above, are given.

    Each has at most so many uses and expires after so long; an operator is given so many a day.
    `fields` is the schema of what the owner's product must say of a lead that comes by one.
    """

    level: int
    max_uses: int
    expires_s: int
    a_day: int
    fields: Mapping[str, object] | None = None


class Pool(NamedTuple):
    """The allowance of all operators whose level comes from forecasts alone, and its duration.

    Luck, and many wallets, can earn such a level: so they get no more together than one would.
    """

    places: int
    leads_a_day: int
    touches_a_day: int
    lasts_s: int


class DealDefaults(NamedTuple):
    """The terms that drafts and offers on the surface have where they say nothing; None: not set.

    A contract is open for `lasts_s`; of what it earns `hold_bps` are held back for `hold_s`.
    """

    window_s: int | None = None
    lasts_s: int | None = None
    hold_s: int | None = None
    hold_bps: int | None = None
    challenge_s: int | None = None


@dataclass(frozen=True, slots=True)
class SurfaceSettings:
    """A surface's settings. Build them with `parse_settings`; equal documents have equal hashes.

    `levels` are those that can be reached, from 1 on. Outcomes are evidence if their contract pays
    in `token`; they are ripe once the bucket of time that they fell into ended `ripening_s` ago. A
    level rises no sooner than `pause_s` after its last change, and falls at once.
    """

    token: bytes
    actions: Mapping[str, Action]
    levels: tuple[Level, ...]
    ripening_s: int
    bucket_s: int
    pause_s: int
    pool: Pool | None
    forecasts: ForecastSettings | None
    codes: CodeSettings | None
    deals: DealDefaults
    open_actions: OpenActions
    intake: IntakeSettings
    hash: bytes
    document_bytes: int

    def level(self, number: int) -> Level | None:
        """Return what a level says; None for level 0 and for one that cannot be reached."""
        return self.levels[number - 1] if 1 <= number <= len(self.levels) else None

    def document(self) -> dict[str, object]:
        """Return the canonical document whose hash is `hash`."""
        return _document(self)


def parse_settings(document: object) -> SurfaceSettings:
    """Read a settings document: the keys of `SurfaceSettings`, numbers as integers or decimal text.

    Raises `DocumentError`, naming the rule and the value, for anything that could not govern a
    surface.
    """
    table = read_table(document, "the settings")
    check_keys(
        table,
        {"token", "actions", "levels"},
        {
            *("ripening_s", "bucket_s", "pause_s"),
            *("pool", "forecasts", "codes", "open_actions", "deals"),
            *("currencies", "sources"),
        },
        "the settings",
    )
    levels = _levels(table["levels"])
    pool, forecasts, codes = table.get("pool"), table.get("forecasts"), table.get("codes")
    settings = SurfaceSettings(
        token=_token(table["token"]),
        actions=_actions(table["actions"], len(levels)),
        levels=levels,
        ripening_s=_period_s(table.get("ripening_s", DEFAULT_RIPENING_S), "ripening_s"),
        bucket_s=_period_s(table.get("bucket_s", DEFAULT_BUCKET_S), "bucket_s", 1),
        pause_s=_period_s(table.get("pause_s", DEFAULT_PAUSE_S), "pause_s"),
        pool=None if pool is None else _pool(pool),
        forecasts=None if forecasts is None else _forecast_settings(forecasts),
        codes=None if codes is None else _codes(codes, len(levels)),
        deals=_deal_defaults(table.get("deals")),
        open_actions=_open_actions(table.get("open_actions", {})),
        intake=parse_intake(table),
        hash=b"",
        document_bytes=0,
    )
    data = canonical_json(settings.document())
    if len(data) > MAX_DOCUMENT_BYTES:
        raise DocumentError(
            "settings-too-long",
            f"the settings have {len(data)} bytes as canonical JSON; at most {MAX_DOCUMENT_BYTES}: "
            f"shorten names, or leave out actions",
        )
    object.__setattr__(settings, "hash", hashlib.sha256(data).digest())
    object.__setattr__(settings, "document_bytes", len(data))
    return settings


def _document(settings: SurfaceSettings) -> dict[str, object]:
    document: dict[str, object] = {
        "token": f"0x{settings.token[12:].hex()}",
        "actions": {name: _action_document(action) for name, action in settings.actions.items()},
        "levels": [_level_document(level) for level in settings.levels],
        "ripening_s": settings.ripening_s,
        "bucket_s": settings.bucket_s,
        "pause_s": settings.pause_s,
    }
    if settings.open_actions != OpenActions():
        document["open_actions"] = settings.open_actions._asdict()
    if settings.pool is not None:
        document["pool"] = settings.pool._asdict()
    deals = {name: value for name, value in settings.deals._asdict().items() if value is not None}
    if deals:
        document["deals"] = deals
    if settings.forecasts is not None:
        questions, rules = settings.forecasts
        document["forecasts"] = {
            "questions": [
                {"from": one.from_state, "to": one.to_state, "horizon_days": one.horizon_days}
                for one in questions
            ],
            "min_counted": rules.min_counted,
            "min_leads": rules.min_n,
            "skill_bps": rules.skill_bps,
        }
    if settings.codes is not None:
        offered = settings.codes._asdict()
        document["codes"] = {key: value for key, value in offered.items() if value is not None}
    return document | settings.intake.document()


def _action_document(action: Action) -> dict[str, object]:
    document: dict[str, object] = {"level": action.level}
    if action.by == SURFACE:
        document |= {"by": action.by, "expires_s": action.expires_s}
        if action.parameters is not None:
            document["parameters"] = action.parameters
        if action.returns:
            document["returns"] = list(action.returns)
    return document


def _level_document(level: Level) -> dict[str, object]:
    results = level.results
    if results is None:
        return {"leads_a_day": level.leads_a_day}
    # Amounts are text in JSON: readers there have 53 bits.
    return {"leads_a_day": level.leads_a_day} | results._asdict() | {"units": str(results.units)}


def _token(value: object) -> bytes:
    if not isinstance(value, str) or not _ADDRESS.fullmatch(value):
        raise DocumentError(
            "token-malformed",
            f"token must be the address of the token in which results are counted, 0x and 40 hex "
            f"digits, not {shown_value(value)}",
        )
    return address_word(value)


def _actions(value: object, levels: int) -> dict[str, Action]:
    table = read_table(value, "actions")
    if len(table) > MAX_ACTIONS:
        raise DocumentError(
            "list-too-long", f"actions has {len(table)} items; at most {MAX_ACTIONS}"
        )
    found = {}
    for text, item in sorted(table.items()):
        name = read_name(text, "an action")
        where = f"action {name!r}"
        if name == CLICK:
            raise DocumentError(
                "action-reserved", f"{where} is the name of touches by code; choose another"
            )
        described = read_table(item, where)
        by = read_choice(described.get("by", SELF), CARRIERS, f"{where}: by")
        of_surface = {"expires_s", "parameters", "returns"} if by == SURFACE else set()
        check_keys(described, {"level"}, {"by"} | of_surface, where)
        if described["level"] in (0, "0"):
            raise DocumentError(
                "action-level-zero",
                f"{where} is given to level 0, which reads, forecasts and proposes but touches "
                f"nothing; give it to level 1 or above",
            )
        parameters = described.get("parameters")
        found[name] = Action(
            read_integer(described["level"], f"{where}: level", 1, levels),
            by,
            read_integer(
                described.get("expires_s", DEFAULT_EXPIRY_S), f"{where}: expires_s", 1, MAX_EXPIRY_S
            ),
            None if parameters is None else read_schema(parameters, f"{where}: parameters"),
            tuple(
                read_name(one, f"{where}: returns")
                for one in read_list(described.get("returns", ()), f"{where}: returns", MAX_RETURNS)
            ),
        )
    return found


def _open_actions(value: object) -> OpenActions:
    table = read_table(value, "open_actions")
    check_keys(table, set(), set(OpenActions._fields), "open_actions")
    return OpenActions(
        **{
            name: read_integer(table.get(name, plain), f"open_actions: {name}", 1, MAX_OPEN[name])
            for name, plain in OpenActions()._asdict().items()
        }
    )


def _levels(value: object) -> tuple[Level, ...]:
    items = read_list(value, "levels", MAX_LEVEL)
    if not items:
        raise DocumentError("levels-empty", "levels must say what level 1 allows")
    return tuple(_level(number, item) for number, item in enumerate(items, 1))


def _level(number: int, value: object) -> Level:
    where = f"level {number}"
    table = read_table(value, where)
    earned = set() if number == 1 else set(Results._fields)
    check_keys(table, {"leads_a_day"} | earned, set(), where)
    leads = read_integer(table["leads_a_day"], f"{where}: leads_a_day", 1, MAX_LEADS_A_DAY)
    if number == 1:
        return Level(leads, None)
    results = Results(
        outcomes=read_integer(table["outcomes"], f"{where}: outcomes", 1, MAX_OUTCOMES),
        units=_units(table["units"], f"{where}: units"),
        age_s=_period_s(table["age_s"], f"{where}: age_s"),
        reversed_bps=read_integer(table["reversed_bps"], f"{where}: reversed_bps", 0, BPS),
        keep_reversed_bps=read_integer(
            table["keep_reversed_bps"], f"{where}: keep_reversed_bps", 0, BPS
        ),
        disputes_lost=read_integer(
            table["disputes_lost"], f"{where}: disputes_lost", 0, MAX_OUTCOMES
        ),
    )
    if results.keep_reversed_bps < results.reversed_bps:
        raise DocumentError(
            "thresholds-crossed",
            f"{where} is lost above keep_reversed_bps {results.keep_reversed_bps} and earned up to "
            f"reversed_bps {results.reversed_bps}: it would change to and fro; keep the first at "
            f"least as high",
        )
    return Level(leads, results)


def _pool(value: object) -> Pool:
    table = read_table(value, "pool")
    check_keys(table, set(Pool._fields), set(), "pool")
    return Pool(
        places=read_integer(table["places"], "pool: places", 1, MAX_PLACES),
        leads_a_day=read_integer(table["leads_a_day"], "pool: leads_a_day", 1, MAX_LEADS_A_DAY),
        touches_a_day=read_integer(
            table["touches_a_day"], "pool: touches_a_day", 1, MAX_LEADS_A_DAY
        ),
        lasts_s=_period_s(table["lasts_s"], "pool: lasts_s", 1),
    )


def _deal_defaults(value: object) -> DealDefaults:
    if value is None:
        return DealDefaults()
    table = read_table(value, "deals")
    check_keys(table, set(), set(DealDefaults._fields), "deals")
    return DealDefaults(
        **{
            name: read_integer(table[name], f"deals: {name}", 0, BPS)
            if name.endswith("_bps")
            else _period_s(table[name], f"deals: {name}")
            for name in sorted(table)
        }
    )


def _forecast_settings(value: object) -> ForecastSettings:
    table = read_table(value, "forecasts")
    check_keys(table, {"questions"}, {"min_counted", "min_leads", "skill_bps"}, "forecasts")
    questions: list[Question] = []
    for item in read_list(table["questions"], "forecasts: questions", MAX_QUESTIONS):
        where = f"question {len(questions) + 1}"
        asked = read_table(item, where)
        check_keys(asked, {"from", "to", "horizon_days"}, set(), where)
        question = Question(
            read_name(asked["from"], f"{where}: from"),
            read_name(asked["to"], f"{where}: to"),
            read_integer(asked["horizon_days"], f"{where}: horizon_days", 1, MAX_HORIZON_DAYS),
        )
        if question in questions:
            raise DocumentError("question-twice", f"{where} is asked before; leave one of them out")
        questions.append(question)
    plain = ForecastRules()
    counted = read_integer(
        table.get("min_counted", plain.min_counted), "forecasts: min_counted", 1, 1_000
    )
    rules = ForecastRules(
        min_counted=counted,
        # So much a window, as it is by default.
        min_denominator=plain.min_denominator * counted // plain.min_counted,
        skill_bps=read_integer(
            table.get("skill_bps", plain.skill_bps), "forecasts: skill_bps", 1, BPS
        ),
        min_n=read_integer(table.get("min_leads", plain.min_n), "forecasts: min_leads", 30, 10_000),
    )
    return ForecastSettings(tuple(questions), rules)


def _codes(value: object, levels: int) -> CodeSettings:
    table = read_table(value, "codes")
    check_keys(table, {"level", "max_uses", "expires_s", "a_day"}, {"fields"}, "codes")
    if table["level"] in (0, "0"):
        raise DocumentError(
            "codes-level-zero",
            "codes are given to level 0, which touches nothing; give them to level 1 or above",
        )
    return CodeSettings(
        level=read_integer(table["level"], "codes: level", 1, levels),
        max_uses=read_integer(table["max_uses"], "codes: max_uses", 1, MAX_CODE_USES),
        expires_s=read_integer(table["expires_s"], "codes: expires_s", 1, MAX_CODE_PERIOD_S),
        a_day=read_integer(table["a_day"], "codes: a_day", 1, MAX_CODES_A_DAY),
        fields=parse_fields(table["fields"]) if "fields" in table else None,
    )


def _period_s(value: object, where: str, least: int = 0) -> int:
    return read_integer(value, where, least, MAX_PERIOD_S)


def _units(value: object, where: str) -> int:
    # Text, as everywhere in JSON; a whole number is understood, too.
    text = str(value) if type(value) is int else value
    if not isinstance(text, str) or not _AMOUNT.fullmatch(text) or int(text) >= AMOUNT_LIMIT:
        raise DocumentError(
            "amount-invalid",
            f"{where} must be a whole number of the token's base units, not {shown_value(value)}",
        )
    return int(text)
