"""A surface's policy: its lead lifecycle, the effect of events, how outcomes are attributed.

A policy is a plain document (YAML or JSON). It is parsed once, strictly, into an immutable
`Policy`; its hash, SHA-256 over canonical JSON, is what both parties of a contract sign.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from orchestrator.core.errors import PolicyError, shorten
from orchestrator.core.units import DAY_S

MOTIONS = ("acquisition", "activation", "conversion", "expansion")
MODELS = ("first_touch", "last_touch")
MAX_STATES = 256
MAX_TRANSITIONS = 1024
MAX_ACTIONS = 256
DEFAULT_LATENESS_S = DAY_S
MAX_LATENESS_S = 90 * DAY_S
MAX_TRUST_LEVEL = 5
# A name becomes one 32-byte ASCII word of a log entry, readable on an explorer.
_NAME = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,30}[\x21-\x7e])?")
_DIGITS = re.compile(r"[0-9]{1,18}")


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


@dataclass(frozen=True, slots=True)
class Policy:
    """A surface's rules. Build it with `parse`; equal documents have equal hashes.

    `actions` maps an action's name to the lowest trust level that may take it. `lateness_s` bounds
    how long after it happened a product event may still be reported. `touches_per_lead` bounds one
    operator's touches on one lead (None: unbounded, for backtests of history).
    """

    initial: str
    states: tuple[str, ...]
    transitions: tuple[Transition, ...]
    reversals: tuple[Reversal, ...]
    attribution: str
    actions: tuple[tuple[str, int], ...]
    lateness_s: int
    touches_per_lead: int | None
    hash: bytes
    _steps: Mapping[tuple[str, str], str]
    _named: Mapping[str, str]
    _reverses: Mapping[str, tuple[str, ...]]

    def step(self, state: str, event: str) -> Step:
        """Return the effect of `event` on a lead in `state`.

        An event that the policy does not name is ignored. One that it names only as transitions,
        none of them from this state, is refused. Every other is accepted, and reverses first.
        """
        reverses = self._reverses.get(event, ())
        to = self._steps.get((event, state))
        if to is None and not reverses:
            would = self._named.get(event)
            return _IGNORED if would is None else Step(Verdict.REFUSED, to=would)
        return Step(Verdict.ACCEPTED, reverses, to)

    def motions_into(self, state: str) -> tuple[str, ...]:
        """Return the motions of the transitions into a state, each once."""
        return tuple(dict.fromkeys(move.motion for move in self.transitions if move.to == state))

    def enters(self, state: str, to: str) -> bool:
        """Return whether an event that reverses nothing moves a lead from `state` into `to`."""
        return any(
            source == state and entered == to and event not in self._reverses
            for (event, source), entered in self._steps.items()
        )

    def refuses(self, state: str, to: str) -> bool:
        """Return whether an event that leads into `to` can be refused to a lead in `state`."""
        return any(
            named == to and (event, state) not in self._steps and event not in self._reverses
            for event, named in self._named.items()
        )

    def is_reversible(self, state: str) -> bool:
        """Return whether any event can take back an outcome into `state`."""
        return any(reversal.of == state for reversal in self.reversals)

    def document(self) -> dict[str, object]:
        """Return the canonical document whose hash is `hash`."""
        return _document(self)


def parse(document: object) -> Policy:
    """Read a policy document: the keys of `Policy`, numbers as integers or decimal text.

    Raises `PolicyError`, naming the rule and the value, for anything that could not govern a
    surface: unknown or missing keys, unknown states, an event with two ways out of one state.
    """
    table = _table(document, "the policy")
    _known_keys(
        table,
        {"initial", "states", "transitions", "attribution"},
        {"reversals", "actions", "lateness_s", "touches_per_lead"},
        "the policy",
    )
    states = _states(table["states"])
    initial = _state(table["initial"], states, "initial")
    transitions = _transitions(table["transitions"], states)
    reversals = _reversals(table.get("reversals") or [], states)
    attribution = _one_of(table["attribution"], MODELS, "attribution")
    actions = _actions(table.get("actions") or {})
    lateness_s = _integer(
        table.get("lateness_s", DEFAULT_LATENESS_S), "lateness_s", 0, MAX_LATENESS_S
    )
    limit = table.get("touches_per_lead")
    touches_per_lead = None if limit is None else _integer(limit, "touches_per_lead", 1, 10_000)

    # An event and a state decide the next state, so two ways out of one state are an error.
    steps: dict[tuple[str, str], str] = {}
    named: dict[str, str] = {}
    for transition in transitions:
        named.setdefault(transition.on, transition.to)
        for state in transition.from_states:
            if (transition.on, state) in steps:
                raise PolicyError(
                    "transition-ambiguous",
                    f"event {transition.on!r} leaves state {state!r} twice; keep one transition",
                )
            steps[transition.on, state] = transition.to
    reverses: dict[str, tuple[str, ...]] = {}
    for reversal in reversals:
        reverses[reversal.on] = (*reverses.get(reversal.on, ()), reversal.of)

    policy = Policy(
        initial=initial,
        states=states,
        transitions=transitions,
        reversals=reversals,
        attribution=attribution,
        actions=actions,
        lateness_s=lateness_s,
        touches_per_lead=touches_per_lead,
        hash=b"",
        _steps=steps,
        _named=named,
        _reverses=reverses,
    )
    # The hash is over the parsed policy, so that documents that mean the same have the same hash.
    digest = hashlib.sha256(canonical_json(policy.document())).digest()
    object.__setattr__(policy, "hash", digest)
    return policy


def canonical_json(value: object) -> bytes:
    """Return JSON with sorted keys, no spaces and only ASCII: equal values have equal bytes."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.encode("ascii")


def is_name(text: str) -> bool:
    """Return whether `text` fits a log word: 1 to 32 printable ASCII characters, trimmed."""
    return _NAME.fullmatch(text) is not None


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
        "actions": dict(policy.actions),
        "lateness_s": policy.lateness_s,
    }
    if policy.touches_per_lead is not None:
        document["touches_per_lead"] = policy.touches_per_lead
    return document


def _table(value: object, where: str) -> Mapping[str, object]:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise PolicyError("not-a-table", f"{where} must be a table of keys and values")
    return value


def _list(value: object, where: str, most: int) -> Sequence[object]:
    if not isinstance(value, list | tuple):
        raise PolicyError("not-a-list", f"{where} must be a list, not {_format_value(value)}")
    if len(value) > most:
        raise PolicyError("list-too-long", f"{where} has {len(value)} items; at most {most}")
    return value


def _known_keys(
    table: Mapping[str, object], required: set[str], optional: set[str], where: str
) -> None:
    # Sorted, so that the same document is refused with the same message everywhere.
    missing = sorted(required - table.keys())
    if missing:
        raise PolicyError("key-missing", f"{where} lacks {missing[0]!r}")
    unknown = sorted(table.keys() - required - optional)
    if unknown:
        allowed = ", ".join(sorted(required | optional))
        raise PolicyError(
            "key-unknown", f"{where} has an unknown key {unknown[0]!r}; it may have {allowed}"
        )


def _name(value: object, where: str) -> str:
    if not isinstance(value, str) or not is_name(value):
        raise PolicyError(
            "name-invalid",
            f"{where} must be 1 to 32 printable ASCII characters, not {_format_value(value)}",
        )
    return value


def _one_of(value: object, choices: Sequence[str], where: str) -> str:
    if not isinstance(value, str) or value not in choices:
        raise PolicyError(
            "choice-unknown",
            f"{where} must be one of {', '.join(choices)}, not {_format_value(value)}",
        )
    return value


def _integer(value: object, where: str, least: int, most: int) -> int:
    # Decimal text too, since a form or a CSV file has no other numbers. A bool is an int in Python.
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise PolicyError(
            "number-invalid",
            f"{where} must be a whole number from {least} to {most}, not {_format_value(value)}",
        )
    return value


def _states(value: object) -> tuple[str, ...]:
    states = tuple(_name(item, "a state") for item in _list(value, "states", MAX_STATES))
    if not states:
        raise PolicyError("states-empty", "states must name at least one state")
    # Quadratic, and bounded by MAX_STATES.
    for state in states:
        if states.count(state) > 1:
            raise PolicyError("state-twice", f"state {state!r} stands twice in states")
    return states


def _state(value: object, states: Sequence[str], where: str) -> str:
    if not isinstance(value, str) or value not in states:
        raise PolicyError(
            "state-unknown", f"{where} names {_format_value(value)}, which is no state"
        )
    return value


def _transitions(value: object, states: Sequence[str]) -> tuple[Transition, ...]:
    found = []
    for item in _list(value, "transitions", MAX_TRANSITIONS):
        table = _table(item, "a transition")
        _known_keys(table, {"on", "from", "to", "motion"}, set(), "a transition")
        on = _name(table["on"], "a transition's event")
        where = f"the transition on {on!r}"
        sources = tuple(
            _state(source, states, f"{where}: from")
            for source in _list(table["from"], f"{where}: from", MAX_STATES)
        )
        if not sources:
            raise PolicyError("from-empty", f"{where} must start from at least one state")
        motion = _one_of(table["motion"], MOTIONS, f"{where}: motion")
        found.append(Transition(on, sources, _state(table["to"], states, f"{where}: to"), motion))
    return tuple(found)


def _reversals(value: object, states: Sequence[str]) -> tuple[Reversal, ...]:
    found: list[Reversal] = []
    for item in _list(value, "reversals", MAX_TRANSITIONS):
        table = _table(item, "a reversal")
        _known_keys(table, {"on", "of"}, set(), "a reversal")
        on = _name(table["on"], "a reversal's event")
        reversal = Reversal(on, _state(table["of"], states, f"the reversal on {on!r}: of"))
        if reversal in found:
            raise PolicyError(
                "reversal-twice", f"the reversal on {on!r} of {reversal.of!r} stands twice"
            )
        found.append(reversal)
    return tuple(found)


def _actions(value: object) -> tuple[tuple[str, int], ...]:
    table = _table(value, "actions")
    if len(table) > MAX_ACTIONS:
        raise PolicyError("list-too-long", f"actions has {len(table)} items; at most {MAX_ACTIONS}")
    return tuple(
        (_name(name, "an action"), _integer(level, f"action {name!r}", 0, MAX_TRUST_LEVEL))
        for name, level in sorted(table.items())
    )


def _format_value(value: object) -> str:
    # YAML's aliases let a small document describe a table that no memory could hold written out.
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, list | tuple):
        return "a list"
    return shorten(repr(value))
