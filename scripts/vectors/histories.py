"""The logs of tests/vectors/histories.json, as the core writes them, honest and dishonest.

A dishonest log is what the core writes for other terms than those that were signed: all its own
books agree, and only the signed terms show the lie. Each history lists every lie that entries can
prove, as (position of the accused entry, kind); an honest one lists none. They are found here
from the rules themselves, not from proofs: each outcome is compared with the signed terms.

Keys are in alphabetical order, so that forge decodes each list in one go. Times are those of the
log, milliseconds, except in a contract's terms, where they are seconds.
"""

import random
from collections.abc import Iterator
from typing import Any, NamedTuple

from orchestrator.core.common.errors import RequestError
from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.core.decisions.decide import decide
from orchestrator.core.entries.kinds import encode
from orchestrator.core.log.entry import (
    ZERO_WORD,
    Entry,
    address_word,
    ascii_word,
    unpack_outcome,
    unpack_reversal,
)
from orchestrator.core.log.opening import EventOpening, Record, encode_opening
from orchestrator.core.surface.attribution import TouchAt, qualifying_touch
from orchestrator.core.surface.policy import MODELS, parse
from orchestrator.core.surface.surface_settings import parse_settings
from orchestrator.core.world.contract import ContractRules
from orchestrator.core.world.requests import (
    AnswerAction,
    CloseContract,
    Genesis,
    IssueCode,
    OpenContract,
    ProductEvent,
    PublishPolicy,
    PublishSettings,
    RegisterOperator,
    ReportTouch,
    Request,
    RequestAction,
    Settle,
    Touch,
)
from orchestrator.core.world.world import World

OWNER, VERIFIER, ANN, BOB = (address_word(f"0x{digit * 40}") for digit in "1234")


def _word(text: str) -> bytes:
    return text.encode().ljust(32, b".")


SURFACE = _word("surface")
LEADS = [_word(name) for name in ("x", "y")]
DOCUMENT: dict[str, Any] = {
    "initial": "new",
    "states": ["new", "trial", "paid"],
    "transitions": [
        {"on": "signup", "from": ["new"], "to": "trial", "motion": "acquisition"},
        {"on": "buy", "from": ["trial"], "to": "paid", "motion": "conversion"},
        {"on": "buy", "from": ["paid"], "to": "paid", "motion": "expansion"},
        {"on": "lapse", "from": ["paid"], "to": "new", "motion": "activation"},
    ],
    "reversals": [{"on": "refund", "of": "paid"}, {"on": "lapse", "of": "paid"}],
    "lateness_s": 5,
    "touches_per_lead": 10_000,
}
SETTINGS = parse_settings(
    {
        "token": f"0x{1:040x}",
        "actions": {
            "email": {"level": 1},
            "call": {"level": 1},
            "letter": {"level": 1, "by": "surface"},
        },
        "levels": [{"leads_a_day": 1000}],
        "codes": {"level": 1, "max_uses": 100, "expires_s": 86_400, "a_day": 1000},
    }
)
STEPS, SEEDS = 44, 30
Lie = tuple[int, str]


class History(NamedTuple):
    """A log, and the terms that were signed for its contracts, in the order of opening."""

    name: str
    model: str
    signed: list[ContractRules]
    closed_s: dict[bytes, int]
    records: list[Record]


def altered(name: str, rules: ContractRules) -> ContractRules:
    """Return the terms by which the writer of this name goes, instead of the signed ones."""
    if name == "partial":  # bob's contracts are not paid
        is_bobs = rules.operator == BOB
        return rules._replace(deadline_ms=rules.opens_at_ms) if is_bobs else rules
    changes: dict[str, dict[str, Any]] = {
        "dear": {"unit_price_units": rules.unit_price_units + 1},
        "greedy": {"revenue_share_bps": rules.revenue_share_bps + 4000},
        "early": {"opens_at_ms": 0},
        "late": {"deadline_ms": rules.deadline_ms + 50_000},
        "patient": {"attribution_window_ms": 90_000},
        "again": {"repeatable": True},
        "spendthrift": {"budget_units": rules.budget_units + 30},
        "remorseful": {"holdback_period_ms": 90_000},
    }
    return rules._replace(**changes.get(name, {}))


# These lies do not depend on the model of attribution: one history of each is enough.
MODEL_FREE_LIARS = ("dear", "greedy", "early", "late", "spendthrift", "remorseful")
# The last three go by other rules than terms: the other model, another order of opening, a false
# closing.
LIARS = ("patient", "again", "partial", "backwards", "disorderly", "closing")


def write(name: str, model: str, seed: int) -> History:
    """Write the history of this writer: honest, or one of the liars."""
    chance = random.Random(f"{name} {model} {seed}")  # noqa: S311 (made-up histories)
    used = MODELS[1 - MODELS.index(model)] if name == "backwards" else model
    policy = parse({**DOCUMENT, "attribution": used})
    signed = [_contract(chance, number, policy.hash, used) for number in range(5)]
    history = History(name, model, signed, {}, [])
    world = World()
    opening = [OpenContract(altered(name, rules), _word("tx")) for rules in signed]
    if name == "disorderly":
        opening.reverse()
    requests: list[Request] = [
        Genesis(_word("log"), _word("publisher")),
        PublishPolicy(SURFACE, OWNER, policy),
        PublishSettings(SURFACE, OWNER, SETTINGS),
        *(RegisterOperator(operator, _word("profile")) for operator in (ANN, BOB)),
        *(OpenContract(_partner(signed[0], operator), _word("tx")) for operator in (ANN, BOB)),
        *opening[:3],
    ]
    now = 0
    for request in requests:
        history.records.extend(decide(world, request, now))
    later: list[Request] = [*opening[3:]]
    for step in range(STEPS):
        now += chance.choice([0, 1, 500, 1000, 2000])
        if later and step in (8, 16):
            history.records.extend(decide(world, later.pop(0), now))
        if step == 20:
            closed = signed[chance.randrange(5)].contract_id
            history.closed_s[closed] = now // 1000 - chance.choice([0, 2, 4])
            known_ms = history.closed_s[closed] * 1000
            if name == "closing":
                history.closed_s[closed] += 60
                known_ms = 1
            history.records.extend(decide(world, CloseContract(closed, known_ms, _word("tx")), now))
        try:
            history.records.extend(decide(world, _request(chance, now, world), now))
        except RequestError:
            continue
    history.records.extend(decide(world, Settle(), now))
    return history


def _contract(chance: random.Random, number: int, policy: bytes, model: str) -> ContractRules:
    opens = chance.choice([0, 0, 4000])
    return ContractRules(
        contract_id=_word(f"c{number}"),
        surface=SURFACE,
        owner=OWNER,
        operator=chance.choice([ANN, BOB]),
        verifier=VERIFIER,
        policy_hash=policy,
        attribution=model,
        outcome=chance.choice(["paid", "paid", "paid", "paid", "trial"]),
        repeatable=chance.choice([True, False]),
        unit_price_units=chance.randint(0, 9),
        revenue_share_bps=chance.choice([0, 500, 5000]),
        budget_units=chance.choice([8, 15, 1000]),
        opens_at_ms=opens,
        deadline_ms=opens + chance.choice([15_000, 60_000]),
        attribution_window_ms=chance.choice([2000, 6000, 60_000]),
        holdback_period_ms=chance.choice([1000, 5000, 50_000]),
    )


def _partner(like: ContractRules, operator: bytes) -> ContractRules:
    """Return a contract that gives an operator its level from the beginning, and never pays."""
    name = _word("partner of " + ("ann" if operator == ANN else "bob"))
    return like._replace(contract_id=name, operator=operator, outcome="new", deadline_ms=0)


def _request(chance: random.Random, now: int, world: World) -> Any:
    lead = chance.choice([*LEADS, LEADS[0]])
    kind = chance.choice(["touch", "touch", "report", "event", "event", "event", "event", "tick"])
    operator = chance.choice([ANN, BOB])
    if kind == "touch":
        return Touch(SURFACE, lead, operator, "email")
    if kind == "tick":
        return Settle()
    if kind == "report":
        return _report(chance, now, world, lead, operator)
    event = chance.choice(["signup", "buy", "buy", "buy", "refund", "refund", "lapse"])
    at = max(0, now - chance.choice([0, 0, 1, 4000]))
    request = ProductEvent(SURFACE, lead, event, chance.randint(0, 9), at)
    orders = [one.order for one in world.leads[lead].purchases] if lead in world.leads else []
    if event == "buy" and chance.random() < 0.7:
        return request._replace(order=_word(f"order {now} {lead.decode()[0]}"))
    if event == "refund" and orders and chance.random() < 0.8:
        return request._replace(order=chance.choice(orders), whole=chance.random() < 0.3)
    return request


def _report(
    chance: random.Random, now: int, world: World, lead: bytes, operator: bytes
) -> IssueCode | RequestAction | AnswerAction | ReportTouch:
    """Return a code or a request, an answer to one, or a touch by a code."""
    waiting = [
        (name, errand)
        for name, known in world.leads.items()
        for errand in known.errands
        if not errand.is_taken
    ]
    if waiting and chance.random() < 0.5:
        name, errand = chance.choice(waiting)
        return AnswerAction(SURFACE, name, OWNER, errand.position, "taken")
    if not world.causes or chance.random() < 0.5:
        if chance.random() < 0.4:
            code = _word(f"code {now}")
            return IssueCode(SURFACE, code, operator, 9, now + 60_000, *(ZERO_WORD,) * 3)
        return RequestAction(SURFACE, lead, operator, "letter", 60_000, *(ZERO_WORD,) * 3)
    position, cause = chance.choice(list(world.causes.items()))
    at = max(cause.since_ms, now - chance.choice([0, 1, 4000]))
    told = (position, now, ZERO_WORD, ZERO_WORD)
    return ReportTouch(SURFACE, lead, cause.operator, "click", at, *told)


# --- The lies that entries can prove --------------------------------------------------------------


def lies(history: History) -> list[Lie]:
    """Return every lie that entries can prove."""
    return sorted(set(_lies(history)))


def _lies(history: History) -> Iterator[Lie]:
    entries = [record.entry for record in history.records]
    signed = {rules.contract_id: rules for rules in history.signed}
    for position, entry in enumerate(entries):
        if entry.kind == "outcome":
            for kind in _outcome_lies(history, signed[entry.actor], position):
                yield position, kind
        elif entry.kind == "outcome.reversed":
            rules = signed[entry.actor]
            facts = unpack_reversal(entry.payload)
            if _is_reversal_false(history, rules, position):
                yield position, "reversal"
            before = facts.reversed_after - entry.value
            for earlier in entries[:position]:
                if (
                    earlier.kind == "outcome"
                    and earlier.actor == entry.actor
                    and unpack_outcome(earlier.payload).earned_after - before > rules.budget_units
                ):
                    yield position, "sum"


def _is_reversal_false(history: History, rules: ContractRules, position: int) -> bool:
    """Return whether the signed terms make another reversal of the event, or none."""
    entry = history.records[position].entry
    facts = unpack_reversal(entry.payload)
    outcome = history.records[facts.outcome].entry
    said = history.records[facts.event].opening
    if not isinstance(said, EventOpening):
        raise TypeError(f"position {facts.event} of {history.name} is no event's")
    value = history.records[said.of].entry.value

    def taken(units: int) -> int:
        return outcome.value if units >= value else rules.share_units(units)

    before = taken(said.refunded_before_units) if said.previous else 0
    is_late = entry.time_ms - outcome.time_ms > rules.holdback_period_ms
    return is_late or taken(said.refunded_after_units) - before != entry.value


def _outcome_lies(history: History, rules: ContractRules, position: int) -> Iterator[str]:
    entries = [record.entry for record in history.records]
    entry = entries[position]
    facts = unpack_outcome(entry.payload)
    at_ms = entry.time_ms
    if (
        entry.value != rules.amount_units(entries[facts.transition].value)
        or not rules.opens_at_ms <= at_ms <= rules.deadline_ms
    ):
        yield "transition"
    touched = entries[facts.touch].time_ms
    if not (rules.opens_at_ms <= touched and at_ms - touched <= rules.attribution_window_ms):
        yield "touch"
    for earlier in entries[:position]:
        if (
            earlier.kind in ("outcome", "outcome.over")
            and earlier.actor == entry.actor
            and earlier.subject == entry.subject
            and not rules.repeatable
        ):
            yield "duplicate"

    def trail(operator: bytes) -> list[TouchAt]:
        return [
            TouchAt(place, touch.time_ms)
            for place, touch in enumerate(entries[: facts.transition])
            if touch.kind in ("touch", "touch.reported")
            and touch.actor == operator
            and touch.subject == entry.subject
        ]

    first = history.model == "first_touch"
    # By first touch one that is too old to qualify still keeps others from it.
    own = rules._replace(attribution_window_ms=10**9) if first else rules
    best = qualifying_touch(trail(rules.operator), own, at_ms, history.model)
    if best is not None and _better(first, best.position, facts.touch):
        yield "touch_order"
    numbers = {known.contract_id: number for number, known in enumerate(history.signed)}
    for rival in history.signed:
        closed_s = history.closed_s.get(rival.contract_id)
        opened = [
            TouchAt(place, known.time_ms)
            for place, known in enumerate(entries[: facts.transition])
            if known.kind == "contract.opened" and known.subject == rival.contract_id
        ]
        if (
            not opened
            or rival.outcome != rules.outcome
            or not rival.opens_at_ms <= at_ms <= rival.deadline_ms
            or (closed_s is not None and at_ms > closed_s * 1000)
            or (not rival.repeatable and _has_counted(entries, rival, facts.transition))
        ):
            continue
        touches = trail(rival.operator)
        chosen = qualifying_touch(touches, rival, at_ms, history.model)
        if chosen is None:
            continue
        sooner = numbers[rival.contract_id] < numbers[rules.contract_id]
        beats = _better(first, chosen.position, facts.touch) or (
            chosen.position == facts.touch and sooner
        )
        if beats:
            yield "rival"


def _better(first: bool, position: int, than: int) -> bool:
    return position < than if first else position > than


def _has_counted(entries: list[Entry], rival: ContractRules, transition: int) -> bool:
    lead = entries[transition].subject
    return any(
        entry.kind in ("outcome", "outcome.over")
        and entry.actor == rival.contract_id
        and entry.subject == lead
        for entry in entries[:transition]
    )


# --- The file -------------------------------------------------------------------------------------


def histories() -> list[History]:
    """Return each writer's histories with the most outcomes or lies.

    First come an honest one of each model and one of every liar, then the further liars and the
    further honest ones.
    """
    honest = []
    for model in MODELS:
        made = [write("honest", model, seed) for seed in range(SEEDS)]
        made.sort(key=lambda history: -sum(r.entry.kind == "outcome" for r in history.records))
        honest.append(made[:4])
    liars = [
        _with_most_lies(name, MODELS[number % 2])
        for number, name in enumerate((*MODEL_FREE_LIARS, *LIARS))
    ]
    others = [_with_most_lies(name, MODELS[1 - number % 2]) for number, name in enumerate(LIARS)]
    first, second = honest
    return [first[0], second[0], *liars, *others, *first[1:], *second[1:]]


def _with_most_lies(name: str, model: str) -> History:
    return max((write(name, model, seed) for seed in range(SEEDS)), key=lambda s: len(lies(s)))


def table() -> dict[str, Any]:
    """Return the whole file."""
    return {"histories": [_history(history) for history in histories()]}


def _history(history: History) -> dict[str, Any]:
    """Describe a history; `entries` holds the numbers of each entry's eight words in `words`."""
    data = b"".join(encode(record.entry) for record in history.records)
    written = [data[place : place + 32] for place in range(0, len(data), 32)]
    numbers = {word: number for number, word in enumerate(dict.fromkeys(written))}
    return {
        "contracts": [_terms(history, rules) for rules in history.signed],
        "entries": [numbers[word] for word in written],
        "lies": [
            {"position": position, "kind": to_hex(ascii_word(kind))}
            for position, kind in lies(history)
        ],
        "name": history.name,
        "openings": [
            {"opening": to_hex(encode_opening(opening)), "position": position}
            for position, (_, opening) in enumerate(history.records)
            if opening is not None
        ],
        "words": [to_hex(word) for word in numbers],
    }


def _terms(history: History, rules: ContractRules) -> dict[str, Any]:
    return {
        "attribution": MODELS.index(history.model),
        "bps": rules.revenue_share_bps,
        "budget": rules.budget_units,
        "closed_at": history.closed_s.get(rules.contract_id, 0),
        "deadline": rules.deadline_ms // 1000,
        "holdback_period": rules.holdback_period_ms // 1000,
        "id": to_hex(rules.contract_id),
        "opens_at": rules.opens_at_ms // 1000,
        "operator": f"0x{rules.operator[12:].hex()}",
        "outcome": to_hex(ascii_word(rules.outcome)),
        "price": rules.unit_price_units,
        "repeatable": rules.repeatable,
        "window": rules.attribution_window_ms // 1000,
    }
