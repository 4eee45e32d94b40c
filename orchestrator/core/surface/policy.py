"""A surface's policy: its lead lifecycle, the effect of events, how outcomes are attributed.

A policy is a plain document (YAML or JSON). It is parsed once, strictly, into an immutable
`Policy`; its hash, SHA-256 over canonical JSON, is what both parties of a contract sign.
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from orchestrator.core.common import names
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
from orchestrator.core.common.units import DAY_S

MOTIONS = ("acquisition", "activation", "conversion", "expansion")
MODELS = ("first_touch", "last_touch")
MAX_STATES = 256
MAX_TRANSITIONS = 1024
MAX_EVENTS = 1024
# A step is an event that moves a lead from one state: what a policy costs in memory grows with
# them, and with its document. Within both bounds a policy takes some 340 kB at most.
MAX_STEPS = 4096
DEFAULT_LATENESS_S = DAY_S
# A time written in whole seconds is up to a second older than it looks: with less than that, events
# that are reported at once would be late.
MIN_LATENESS_S = 1
MAX_LATENESS_S = 90 * DAY_S
MAX_TOUCHES_PER_LEAD = 10_000


class Verdict(StrEnum):
    """A policy's answer to a product event."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    IGNORED = "ignored"


@dataclass(frozen=True, slots=True)
class Transition:
    """On event `on`, a lead in one of `from_states` enters `to`; the move belongs to `motion`."""

    on: str
    from_states: tuple[str, ...]
    to: str
    motion: str


@dataclass(frozen=True, slots=True)
class Reversal:
    """On event `on`, the lead's latest paid outcome into state `of` is taken back."""

    on: str
    of: str


@dataclass(frozen=True, slots=True)
class Step:
    """The effect of one event on a lead: it reverses outcomes first, then it enters a state.

    `to` is the state entered, or the one that a refused event would have entered, or None if no
    transition on the event applies.
    """

    verdict: Verdict
    reverses: tuple[str, ...] = ()
    to: str | None = None


_IGNORED = Step(Verdict.IGNORED)
_NO_MOVES: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Policy:
    """A surface's rules. Build it with `parse`; equal documents have equal hashes.

    `lateness_s` bounds how long after it happened a product event may still be reported.
    `touches_per_lead` bounds one operator's touches of one lead. `events` maps names of the
    product's own, which may be long and in any script, to the short names that transitions and
    reversals are on. All of it is pinned by the terms of contracts; what an owner changes freely
    stands in the surface's settings.
    """

    initial: str
    states: tuple[str, ...]
    transitions: tuple[Transition, ...]
    reversals: tuple[Reversal, ...]
    attribution: str
    lateness_s: int
    touches_per_lead: int
    events: tuple[tuple[str, str], ...]
    hash: bytes
    document_bytes: int
    # By event, the state entered from each state; the first is that of its first transition.
    _steps: Mapping[str, Mapping[str, str]]
    _reverses: Mapping[str, tuple[str, ...]]
    _reversible: frozenset[str]
    _of_purchases: frozenset[str]
    _short_names: Mapping[str, str]

    def short_name(self, event: str) -> str:
        """Return the short name of a product's event: the one that `events` gives, or its own."""
        return self._short_names.get(event, event)

    def step(self, state: str, event: str) -> Step:
        """Return the effect of an event, by its short name, on a lead in `state`.

        An event that the policy does not name is ignored. One that it names only as transitions,
        none of them from this state, is refused. Every other is accepted, and reverses first.
        """
        reverses = self._reverses.get(event, ())
        moves = self._steps.get(event, _NO_MOVES)
        to = moves.get(state)
        if to is None and not reverses:
            return Step(Verdict.REFUSED, to=next(iter(moves.values()))) if moves else _IGNORED
        return Step(Verdict.ACCEPTED, reverses, to)

    def names(self, event: str) -> bool:
        """Return whether a transition or a reversal is on an event, by its short name."""
        return event in self._steps or event in self._reverses

    def reverses(self, event: str) -> tuple[str, ...]:
        """Return the states whose outcomes an event, by its short name, takes back."""
        return self._reverses.get(event, ())

    def states_before(self, to: str) -> tuple[str, ...]:
        """Return the states from which a state is entered, each once."""
        moves = (move.from_states for move in self.transitions if move.to == to)
        return tuple(dict.fromkeys(state for states in moves for state in states))

    def motions_into(self, state: str) -> tuple[str, ...]:
        """Return the motions of the transitions into a state, each once."""
        return tuple(dict.fromkeys(move.motion for move in self.transitions if move.to == state))

    def enters(self, state: str, to: str) -> bool:
        """Return whether an event that reverses nothing moves a lead from `state` into `to`."""
        return any(
            moves.get(state) == to and event not in self._reverses
            for event, moves in self._steps.items()
        )

    def refuses(self, state: str, to: str) -> bool:
        """Return whether an event that leads into `to` can be refused to a lead in `state`."""
        return any(
            state not in moves and next(iter(moves.values())) == to and event not in self._reverses
            for event, moves in self._steps.items()
        )

    def is_reversible(self, state: str) -> bool:
        """Return whether any event can take back an outcome into `state`."""
        return state in self._reversible

    def is_of_purchase(self, state: str) -> bool:
        """Return whether an event that leads into `state` leads elsewhere into a reversible one.

        It is the same thing for the product then, such as a customer's first purchase and the next.
        """
        return state in self._of_purchases

    def document(self) -> dict[str, object]:
        """Return the canonical document whose hash is `hash`."""
        return _document(self)


def parse(document: object) -> Policy:
    """Read a policy document: the keys of `Policy`, numbers as integers or decimal text.

    Raises `DocumentError`, naming the rule and the value, for anything that could not govern a
    surface: unknown or missing keys, unknown states, an event with two ways out of one state, a
    document beyond its bounds.
    """
    table = read_table(document, "the policy")
    if "actions" in table:
        raise DocumentError(
            "actions-moved",
            "the policy has 'actions', which terms do not pin; publish them in the surface's "
            "settings, as actions: {name: {level: 1}}",
        )
    check_keys(
        table,
        {"initial", "states", "transitions", "attribution", "touches_per_lead"},
        {"reversals", "lateness_s", "events"},
        "the policy",
    )
    states = {state: state for state in _states(table["states"])}
    initial = _state(table["initial"], states, "initial")
    transitions = _transitions(table["transitions"], states)
    reversals = _reversals(table.get("reversals") or [], states)
    attribution = read_choice(table["attribution"], MODELS, "attribution")
    lateness_s = _lateness_s(table.get("lateness_s", DEFAULT_LATENESS_S))
    touches_per_lead = read_integer(
        table["touches_per_lead"], "touches_per_lead", 1, MAX_TOUCHES_PER_LEAD
    )

    steps = _steps_of(transitions)
    reverses: dict[str, tuple[str, ...]] = {}
    for reversal in reversals:
        reverses[reversal.on] = (*reverses.get(reversal.on, ()), reversal.of)
    reversible = frozenset(reversal.of for reversal in reversals)
    events = _events(table.get("events") or {}, steps.keys() | reverses.keys())

    policy = Policy(
        initial=initial,
        states=tuple(states),
        transitions=transitions,
        reversals=reversals,
        attribution=attribution,
        lateness_s=lateness_s,
        touches_per_lead=touches_per_lead,
        events=tuple(sorted(events.items())),
        hash=b"",
        document_bytes=0,
        _steps=steps,
        _reverses=reverses,
        _reversible=reversible,
        _of_purchases=frozenset(
            to
            for moves in steps.values()
            if not reversible.isdisjoint(moves.values())
            for to in moves.values()
        ),
        _short_names=events,
    )
    # The hash is over the parsed policy, so that documents that mean the same have the same hash.
    data = canonical_json(policy.document())
    if len(data) > MAX_DOCUMENT_BYTES:
        raise DocumentError(
            "policy-too-long",
            f"the policy has {len(data)} bytes as canonical JSON; at most {MAX_DOCUMENT_BYTES}: "
            f"shorten names, or leave out what no contract needs",
        )
    object.__setattr__(policy, "hash", hashlib.sha256(data).digest())
    object.__setattr__(policy, "document_bytes", len(data))
    return policy


def _steps_of(transitions: Iterable[Transition]) -> dict[str, dict[str, str]]:
    """Return by event and state the next state, which these two decide.

    Raises `DocumentError` for two ways out of one state.
    """
    steps: dict[str, dict[str, str]] = {}
    for transition in transitions:
        moves = steps.setdefault(transition.on, {})
        for state in transition.from_states:
            if state in moves:
                raise DocumentError(
                    "transition-ambiguous",
                    f"event {transition.on!r} leaves state {state!r} twice; keep one transition",
                )
            moves[state] = transition.to
    return steps


def _document(policy: Policy) -> dict[str, object]:
    document: dict[str, object] = {
        "initial": policy.initial,
        "states": list(policy.states),
        "transitions": [
            {"on": t.on, "from": list(t.from_states), "to": t.to, "motion": t.motion}
            for t in policy.transitions
        ],
        "reversals": [{"on": r.on, "of": r.of} for r in policy.reversals],
        "attribution": policy.attribution,
        "lateness_s": policy.lateness_s,
        "touches_per_lead": policy.touches_per_lead,
    }
    if policy.events:
        document["events"] = dict(policy.events)
    return document


def _lateness_s(value: object) -> int:
    if value == "0" or (type(value) is int and value == 0):
        raise DocumentError(
            "lateness-zero",
            "with lateness_s 0 every event is late, since no report arrives the moment that it "
            "tells of; write the longest delay of your reports in seconds, "
            f"at least {MIN_LATENESS_S}, or leave it out for {DEFAULT_LATENESS_S}",
        )
    return read_integer(value, "lateness_s", MIN_LATENESS_S, MAX_LATENESS_S)


def _states(value: object) -> tuple[str, ...]:
    states = tuple(read_name(item, "a state") for item in read_list(value, "states", MAX_STATES))
    if not states:
        raise DocumentError("states-empty", "states must name at least one state")
    # Quadratic, and bounded by MAX_STATES.
    for state in states:
        if states.count(state) > 1:
            raise DocumentError("state-twice", f"state {state!r} stands twice in states")
    return states


def _state(value: object, states: Mapping[str, str], where: str) -> str:
    """Return the one text that stands for this state everywhere: a policy names it in each step."""
    if not isinstance(value, str) or value not in states:
        raise DocumentError(
            "state-unknown", f"{where} names {shown_value(value)}, which is no state"
        )
    return states[value]


def _transitions(value: object, states: Mapping[str, str]) -> tuple[Transition, ...]:
    found = []
    steps = 0
    for item in read_list(value, "transitions", MAX_TRANSITIONS):
        table = read_table(item, "a transition")
        check_keys(table, {"on", "from", "to", "motion"}, set(), "a transition")
        on = read_name(table["on"], "a transition's event")
        where = f"the transition on {on!r}"
        sources = tuple(
            _state(source, states, f"{where}: from")
            for source in read_list(table["from"], f"{where}: from", MAX_STATES)
        )
        if not sources:
            raise DocumentError("from-empty", f"{where} must start from at least one state")
        steps += len(sources)
        if steps > MAX_STEPS:
            raise DocumentError(
                "steps-too-many",
                f"the policy has more than {MAX_STEPS} steps, counting each state that a "
                f"transition starts from; {where} passes that",
            )
        motion = read_choice(table["motion"], MOTIONS, f"{where}: motion")
        found.append(Transition(on, sources, _state(table["to"], states, f"{where}: to"), motion))
    return tuple(found)


def _reversals(value: object, states: Mapping[str, str]) -> tuple[Reversal, ...]:
    found: list[Reversal] = []
    for item in read_list(value, "reversals", MAX_TRANSITIONS):
        table = read_table(item, "a reversal")
        check_keys(table, {"on", "of"}, set(), "a reversal")
        on = read_name(table["on"], "a reversal's event")
        reversal = Reversal(on, _state(table["of"], states, f"the reversal on {on!r}: of"))
        if reversal in found:
            raise DocumentError(
                "reversal-twice", f"the reversal on {on!r} of {reversal.of!r} stands twice"
            )
        found.append(reversal)
    return tuple(found)


def _events(value: object, used: Collection[str]) -> dict[str, str]:
    """Return short names, which must be among those `used`, by the product's own names."""
    table = read_table(value, "events")
    if len(table) > MAX_EVENTS:
        raise DocumentError("list-too-long", f"events has {len(table)} items; at most {MAX_EVENTS}")
    found: dict[str, str] = {}
    for text, short in table.items():
        try:
            name = names.event_name(text)
        except ValueError as error:
            raise DocumentError("name-invalid", f"a name in events {error}") from None
        where = f"events: {names.escaped(name)}"
        if name in used:
            raise DocumentError(
                "event-ambiguous",
                f"{where} is an event of the policy already; leave it out of events",
            )
        if name in found:
            raise DocumentError(
                "event-twice", f"{where} stands twice, written with other characters; keep one"
            )
        found[name] = read_name(short, f"{where}: its short name")
        if found[name] not in used:
            raise DocumentError(
                "event-unknown",
                f"{where} stands for {found[name]!r}, which no transition and no reversal is on",
            )
    return found
