"""A stranger's replay of levels: none omitted, forged, early or late, and no act beyond one."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.common.document import DocumentCache
from orchestrator.core.common.errors import ReplayError
from orchestrator.core.common.units import DAY_MS
from orchestrator.core.decisions import replay as replay_module
from orchestrator.core.decisions.decide import decide
from orchestrator.core.decisions.replay import replay
from orchestrator.core.entries.replay_rules import Documents
from orchestrator.core.log.entry import Entry
from orchestrator.core.log.opening import ActOpening, Opening, Record, TrustOpening, payload_of
from orchestrator.core.surface.surface_settings import SurfaceSettings
from orchestrator.core.world.requests import (
    Genesis,
    JudgeTrust,
    OpenContract,
    ProductEvent,
    PublishPolicy,
    PublishSettings,
    RequestAction,
    RestoreOperator,
    SuspendOperator,
    Touch,
)
from orchestrator.core.world.world import World
from tests.support.depth import examples
from tests.support.worlds import (
    LEADS,
    OPERATORS,
    OWNER,
    SURFACE,
    TOKEN,
    begin,
    contract_lists,
    decided,
    policy,
    request_lists,
    rules,
    seeds,
    settings,
    word,
)

ANN, BOB = OPERATORS
X, Y, Z = LEADS
ZERO = bytes(32)
ASKED = (word("request"), word("commitment"), word("key"))
POLICY = policy()
EARNED = {
    "leads_a_day": 3,
    "outcomes": 2,
    "units": "20",
    "age_s": 10,
    "reversed_bps": 1000,
    "keep_reversed_bps": 2000,
    "disputes_lost": 0,
}
DOCUMENT: dict[str, Any] = {
    "actions": {
        "email": {"level": 1},
        "call": {"level": 2},
        "letter": {"level": 1, "by": "surface"},
        "gift": {"level": 2, "by": "surface"},
    },
    "levels": [{"leads_a_day": 2}, EARNED],
    "bucket_s": 10,
    "ripening_s": 5,
    "pause_s": 60,
}
# The pause after level 1 ends then.
RIPE_MS = 61_000
FALLEN_MS = RIPE_MS + 1000


def documents_of(world: World, *others: SurfaceSettings) -> Documents:
    known = {each.hash: each for each in others}

    def found(hash_: bytes) -> SurfaceSettings:
        return known.get(hash_) or world.settings[hash_]

    return Documents(world.policies.__getitem__, found, world.rules.__getitem__)


def write(world: World, *steps: tuple[int, Any]) -> list[Record]:
    return [record for now_ms, request in steps for record in decide(world, request, now_ms)]


def touch(action: str = "email", lead: bytes = X, operator: bytes = ANN) -> Touch:
    return Touch(SURFACE, lead, operator, action, *ASKED)


def event(name: str, at_ms: int) -> ProductEvent:
    return ProductEvent(SURFACE, X, name, 0, at_ms)


BEGIN: list[tuple[int, Any]] = [
    (0, Genesis(word("log"), word("publisher"))),
    (0, PublishPolicy(SURFACE, OWNER, POLICY)),
    (0, PublishSettings(SURFACE, OWNER, settings(**DOCUMENT))),
    (1000, OpenContract(
        rules("a", POLICY, repeatable=True, token=TOKEN, holdback_period_ms=10**6), word("opening")
    )),
    (1000, touch()),
    (1000, event("signup", 1000)),
    (1000, event("buy", 1000)),
    (1000, event("buy", 1000)),
]  # fmt: skip
CAREER: list[tuple[int, Any]] = [
    *BEGIN,
    (RIPE_MS, touch("call")),
    (FALLEN_MS, event("refund", FALLEN_MS)),
    (FALLEN_MS, touch()),
]


def career() -> tuple[World, list[Record]]:
    """A log in which Ann earns levels 1 and 2, and loses the second."""
    world = World()
    return world, write(world, *CAREER)


WORLD, RECORDS = career()


def at_of(label: str, which: int = 0) -> int:
    """Return the position of a change to this level."""
    found = [
        at
        for at, (entry, _) in enumerate(RECORDS)
        if (entry.kind, entry.label) == ("trust.changed", label)
    ]
    return found[which]


def refused(records: list[Record], *others: SurfaceSettings) -> str:
    with pytest.raises(ReplayError) as caught:
        replay(records, documents_of(WORLD, *others))
    return caught.value.code


def said(kind: str, opening: Opening | None, **fields: Any) -> Record:
    """Return an entry that a publisher writes whether or not the rules give it."""
    payload = ZERO if opening is None else payload_of(opening)
    plain = Entry(kind, SURFACE, ANN, X, "email", 0, FALLEN_MS, payload)
    return Record(plain._replace(**fields), opening)


def forged_touch(action: str = "email", lead: bytes = X, **fields: Any) -> Record:
    """Return a touch of Ann's, whose last one is named as it should be."""
    history = WORLD.leads[lead].touches.get(ANN) if lead in WORLD.leads else None
    value = 1 + history.latest if history is not None and history.count else 0
    plain = {"subject": lead, "label": action, "value": value}
    return said("touch", ActOpening(*ASKED), **{**plain, **fields})


def test_the_career_is_replayed() -> None:
    levels = [entry.label for entry, _ in RECORDS if entry.kind == "trust.changed"]
    assert levels == ["1", "2", "1"]
    assert replay(RECORDS, documents_of(WORLD)) == WORLD


# --- Changes of level -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("label", "which", "code"),
    [
        ("1", 0, "entry-differs"),  # it follows from the opening of the contract
        ("2", 0, "entry-differs"),  # the call is judged by it, and it comes first
        ("1", 1, "entry-differs"),  # the act after a demotion is judged by the lower level
    ],
)
def test_an_omitted_change_is_refused(label: str, which: int, code: str) -> None:
    at = at_of(label, which)
    without = [*RECORDS[:at], *RECORDS[at + 1 :]]
    assert refused(without) == code


def test_a_log_that_ends_before_a_change_that_must_follow_is_refused() -> None:
    assert refused(RECORDS[: at_of("1")]) == "entry-missing"


def test_a_change_that_is_written_twice_is_refused() -> None:
    for label, which in (("2", 0), ("1", 1)):
        at = at_of(label, which)
        assert refused([*RECORDS[: at + 1], *RECORDS[at:]]) == "entry-unfounded"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"label": "3"}, "entry-differs"),
        ({"label": "1"}, "entry-differs"),
        ({"label": "0"}, "entry-differs"),
        ({"actor": OWNER}, "entry-differs"),
        ({"subject": BOB}, "entry-unfounded"),
        ({"surface": word("nowhere")}, "entry-impossible"),
        ({"value": 3}, "entry-differs"),
        ({"time_ms": RIPE_MS - 1}, "entry-unfounded"),  # a moment before it is earned
    ],
)
def test_a_forged_or_early_change_is_refused(changes: dict[str, Any], code: str) -> None:
    at = at_of("2")
    entry, opening = RECORDS[at]
    assert refused([*RECORDS[:at], Record(entry._replace(**changes), opening)]) == code


@pytest.mark.parametrize(
    "changes",
    [
        {"ground": "contract"},
        {"ground": "forecasts"},
        {"level_before": 0},
        {"ripe_outcomes": 3},
        {"ripe_units": 21},
        {"earned_units": 21},
        {"reversed_units": 1},
        {"disputes_lost": 1},
    ],
)
def test_evidence_that_the_log_does_not_give_is_refused(changes: dict[str, Any]) -> None:
    at = at_of("2")
    entry, opening = RECORDS[at]
    assert isinstance(opening, TrustOpening)
    lie = opening._replace(**changes)
    forged = Record(entry._replace(payload=payload_of(lie)), lie)
    assert refused([*RECORDS[:at], forged]) == "entry-differs"


@pytest.mark.parametrize("label", ["1", "2"])
def test_an_opening_is_the_one_that_the_change_commits_to(label: str) -> None:
    """Also of a change that follows from another entry, and so is not judged for itself."""
    at = at_of(label)
    entry, opening = RECORDS[at]
    assert isinstance(opening, TrustOpening)
    lie = Record(entry, opening._replace(disputes_lost=9))
    assert refused([*RECORDS[:at], lie, *RECORDS[at + 1 :]]) == "opening-false"
    assert refused([*RECORDS[:at], Record(entry), *RECORDS[at + 1 :]]) == "opening-false"


def test_a_level_that_is_given_after_the_act_is_refused() -> None:
    at = at_of("2")
    late = [*RECORDS[:at], RECORDS[at + 1], RECORDS[at], *RECORDS[at + 2 :]]
    assert refused(late) == "entry-differs"
    # Nor may a demotion wait until after one more act.
    at = at_of("1", 1)
    late = [*RECORDS[:at], RECORDS[at + 1], RECORDS[at]]
    assert refused(late) == "entry-differs"


def test_a_level_may_be_judged_whenever_it_is_due() -> None:
    world = World()
    records = write(world, *BEGIN, (RIPE_MS, JudgeTrust(SURFACE, ANN)), (RIPE_MS, touch("call")))
    assert replay(records, documents_of(world)) == world


# --- Acts beyond the level ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "record",
    [
        forged_touch("call"),  # needs level 2, which was lost
        forged_touch("fax"),
        forged_touch("click"),
        said("action.requested", ActOpening(*ASKED), label="gift", value=FALLEN_MS + 9),
        said("action.requested", ActOpening(*ASKED), label="fax", value=FALLEN_MS + 9),
        forged_touch(actor=BOB, value=0),  # has no level
        forged_touch(actor=BOB, value=0, surface=word("nowhere")),
    ],
)
def test_an_act_beyond_the_level_is_refused(record: Record) -> None:
    assert refused([*RECORDS, record]) == "entry-impossible"


def test_an_act_beyond_the_days_allowance_is_refused() -> None:
    world = World()
    records = write(world, *BEGIN, (2000, touch(lead=Y)))
    full = [
        *records,
        Record(Entry("lead.registered", SURFACE, OWNER, Z, "new", 0, 2000, ZERO)),
    ]
    lie = forged_touch(lead=Z, time_ms=2000)
    assert refused([*full, lie]) == "entry-impossible"
    # The next day the same entry is lawful, and a moment before it is not.
    tomorrow = Record(lie.entry._replace(time_ms=DAY_MS), lie.opening)
    with_level = [*records, *write(world, (DAY_MS, JudgeTrust(SURFACE, ANN)))]
    lead = Record(Entry("lead.registered", SURFACE, OWNER, Z, "new", 0, DAY_MS, ZERO))
    assert replay([*with_level, lead, tomorrow], documents_of(WORLD)).size == len(with_level) + 2
    assert refused([*full, Record(lie.entry._replace(time_ms=DAY_MS - 1), lie.opening)]) in (
        "entry-differs",  # level 2 is due by then
        "entry-impossible",
    )


def test_an_act_while_suspended_is_refused() -> None:
    stop = SuspendOperator(SURFACE, OWNER, ANN, "complaints", *ASKED)
    back = RestoreOperator(SURFACE, OWNER, ANN, "resolved", *ASKED)
    world = World()
    records = write(world, *CAREER, (FALLEN_MS, stop))
    assert refused([*records, forged_touch()]) == "entry-impossible"
    asked = said("action.requested", ActOpening(*ASKED), label="letter", value=FALLEN_MS + 9)
    assert refused([*records, asked]) == "entry-impossible"
    # Who was not suspended is not restored, and only the owner does either.
    twice = [*records, records[-1]]
    assert refused(twice) == "entry-impossible"
    entry, opening = records[-1]
    assert refused([*records[:-1], Record(entry._replace(actor=ANN), opening)]) == (
        "entry-impossible"
    )
    assert refused([*records[:-1], Record(entry._replace(kind="operator.restored"), opening)]) == (
        "entry-impossible"
    )
    again = write(world, (FALLEN_MS, back), (FALLEN_MS, touch()))
    assert replay([*records, *again], documents_of(world)) == world


def test_an_act_without_the_registration_it_brings_is_refused() -> None:
    at = next(at for at, (entry, _) in enumerate(RECORDS) if entry.kind == "operator.registered")
    assert refused([*RECORDS[:at], *RECORDS[at + 1 :]]) == "entry-differs"


# --- Settings -------------------------------------------------------------------------------------


def test_a_change_of_settings_is_followed_from_its_entry_on() -> None:
    world = World()
    newer = settings(**{**DOCUMENT, "actions": {"fax": {"level": 1}}})
    records = write(
        world,
        *CAREER,
        (FALLEN_MS, PublishSettings(SURFACE, OWNER, newer)),
        (FALLEN_MS, touch("fax")),
    )
    assert replay(records, documents_of(world)) == world
    # What they offer no more is refused after them, and the new action before them.
    published = next(at for at, (entry, _) in enumerate(records) if entry.label == "v2")
    assert refused([*records[: published + 1], forged_touch()], newer) == "entry-impossible"
    assert refused([*records[:published], records[-1]], newer) == "entry-impossible"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"actor": ANN}, "entry-impossible"),
        ({"surface": word("nowhere")}, "entry-impossible"),
        ({"label": "v2"}, "entry-differs"),
        ({"value": 2}, "entry-differs"),
        ({"payload": word("why")}, "entry-differs"),
        ({"subject": word("unknown")}, "entry-impossible"),
    ],
)
def test_forged_settings_are_refused(changes: dict[str, Any], code: str) -> None:
    at = next(at for at, (entry, _) in enumerate(RECORDS) if entry.kind == "settings.published")
    entry = RECORDS[at].entry._replace(**changes)
    assert refused([*RECORDS[:at], Record(entry), *RECORDS[at + 1 :]]) == code


def test_other_settings_under_the_hash_are_refused() -> None:
    lax = settings(**{**DOCUMENT, "levels": [{"leads_a_day": 99}, EARNED]})
    documents = documents_of(WORLD)._replace(settings=lambda _: lax)
    with pytest.raises(ReplayError) as caught:
        replay(RECORDS, documents)
    assert caught.value.code == "entry-differs"


def test_settings_that_change_after_they_were_read_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(replay_module, "DocumentCache", lambda load: DocumentCache(load, 1))
    world = World()
    other = word("elsewhere")
    second = settings(**{**DOCUMENT, "pause_s": 9})
    records = write(
        world,
        *BEGIN,
        (1000, PublishPolicy(other, OWNER, POLICY)),
        (1000, PublishSettings(other, OWNER, second)),
        (1000, touch()),
    )
    first = settings(**DOCUMENT)
    asked: list[bytes] = []

    def changing(hash_: bytes) -> SurfaceSettings:
        asked.append(hash_)
        known = {first.hash: first, second.hash: second}
        return known[hash_] if asked.count(first.hash) < 2 else second

    with pytest.raises(ReplayError) as caught:
        replay(records, documents_of(world)._replace(settings=changing))
    assert caught.value.code == "settings-false"


# --- Whole histories ------------------------------------------------------------------------------


def test_replay_rebuilds_standings_of_any_history() -> None:
    seen: Counter[str] = Counter()

    @examples(200)
    @given(st.data())
    def rebuild(data: st.DataObject) -> None:
        random = data.draw(seeds)
        governing = policy()
        contracts = data.draw(contract_lists(governing))
        world, records = begin(governing, *contracts)
        stricter = settings(levels=[{"leads_a_day": 1}])
        for now_ms, request in data.draw(request_lists(contracts)):
            operator = random.choice(OPERATORS)
            asked: Any = request
            chance = random.random()
            if chance < 0.03:
                asked = SuspendOperator(SURFACE, OWNER, operator, "complaints")
            elif chance < 0.08:
                asked = RestoreOperator(SURFACE, OWNER, operator, "resolved")
            elif chance < 0.15:
                asked = JudgeTrust(SURFACE, operator)
            elif chance < 0.21:
                asked = PublishSettings(SURFACE, OWNER, random.choice([stricter, settings()]))
            elif chance < 0.25:
                asked = RequestAction(SURFACE, X, operator, "letter", 9, *ASKED)
            new = decided(world, asked, now_ms)
            records += new
            for entry, opening in new:
                if entry.kind == "trust.changed":
                    assert isinstance(opening, TrustOpening)
                    seen["rise" if int(entry.label) > opening.level_before else "fall"] += 1
                seen[entry.kind] += 1
        assert replay(records, documents_of(world)) == world
        # No change of level, and no suspension, can be left out before an act that follows it.
        for at, (entry, _) in enumerate(records):
            acts = [
                after
                for after in records[at + 1 :]
                if after.entry.kind in ("touch", "action.requested", "trust.changed")
                and entry.subject in (after.entry.actor, after.entry.subject)
            ]
            if entry.kind == "trust.changed" and acts and at > 11:
                with pytest.raises(ReplayError):
                    replay([*records[:at], *records[at + 1 :]], documents_of(world))
                seen["left out"] += 1
                break

    rebuild()
    needed = ("rise", "fall", "operator.suspended", "operator.restored", "left out", "settlement")
    assert min(seen[name] for name in needed) >= 5, seen
