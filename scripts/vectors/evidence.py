"""The cases of tests/vectors/evidence.json: what proves a lie, backs a claim, or refutes one.

scripts/vectors/write.py writes the file. Every case stands in a tree of its own: an honest log, in
which one or two entries may be replaced by lies. `error` is the name of the error by which the
Evidence contract refuses the case (core/evidence.py has the same names, hyphenated), "" if it
holds; it is written down here by hand and computed by nobody.

All lists hold flat objects of one shape: `entries`, `indexes` and `proofs` are parallel, exhibit
by exhibit. `contracts` are those of every case; a log is registered by `registrant` under
`origin`.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from eth_abi.abi import encode as abi_encode
from eth_keys.datatypes import PrivateKey
from eth_utils.crypto import keccak

from orchestrator.core import merkle
from orchestrator.core import policy as policies
from orchestrator.core import terms as deal
from orchestrator.core.contract import rules_of
from orchestrator.core.decide import decide
from orchestrator.core.entry import (
    WORD_BYTES,
    ZERO_ADDRESS,
    Entry,
    address_word,
    ascii_word,
    pack_outcome,
    pack_reversal,
    pack_settlement,
)
from orchestrator.core.evidence.exhibits import NO_OPENING, Case, Claim, Exhibit, opening_abi
from orchestrator.core.hexadecimal import to_hex
from orchestrator.core.kinds import KINDS, encode
from orchestrator.core.opening import EventOpening, Record
from orchestrator.core.requests import (
    Genesis,
    OpenContract,
    ProductEvent,
    PublishPolicy,
    RegisterOperator,
    Request,
    Settle,
    Touch,
)
from orchestrator.core.terms import Domain, Terms
from orchestrator.core.units import DAY_S
from orchestrator.core.world import World

Json = dict[str, Any]

ORIGIN = "vectors.example/evidence"


def encoded(entry: Entry) -> bytes:
    """Return an entry's 256 bytes. A lie may be of a kind that no log of ours has."""
    if entry.kind in KINDS:
        return encode(entry)
    return ascii_word(entry.kind) + encode(entry._replace(kind="genesis"))[WORD_BYTES:]


def _word(name: str) -> bytes:
    return keccak(f"tallystick evidence: {name}".encode())


def _address(name: str) -> str:
    return PrivateKey(_word(name)).public_key.to_checksum_address()


ESCROW = Domain("Tallystick OutcomeEscrow", "1", 31337, _address("escrow"))
REGISTRANT = _address("registrant")
LOG = keccak(abi_encode(["address", "string"], [REGISTRANT, ORIGIN]))
SURFACE, LEAD, OTHER_LEAD = _word("surface"), _word("lead"), _word("other lead")
OWNER, ANN, BOB = (_address(name) for name in ("owner", "ann", "bob"))
VERIFIER = address_word(_address("verifier"))
# Terms speak in whole seconds.
START_S = 1_900_000_000

DOCUMENT = {
    "initial": "new",
    "states": ["new", "trial", "paid"],
    "transitions": [
        {"on": "signup", "from": ["new"], "to": "trial", "motion": "acquisition"},
        {"on": "buy", "from": ["trial", "paid"], "to": "paid", "motion": "conversion"},
    ],
    "reversals": [{"on": "refund", "of": "paid"}],
}
POLICIES = {
    model: policies.parse({**DOCUMENT, "attribution": model})
    for model in ("first_touch", "last_touch")
}


# --- Contracts ------------------------------------------------------------------------------------


def _terms(model: str, name: str, **changes: Any) -> Terms:
    plain = Terms(
        owner=OWNER,
        operator=ANN,
        payee=_address("payee"),
        token=_address("token"),
        verifier=_address("verifier"),
        arbiter=_address("arbiter"),
        log_id=LOG,
        surface=SURFACE,
        policy=POLICIES[model].hash,
        attribution=model,
        outcome="paid",
        repeatable=True,
        exclusive=False,
        unit_price_units=10,
        revenue_share_bps=0,
        budget_units=1000,
        opens_at_s=START_S,
        deadline_s=START_S + 100,
        attribution_window_s=50,
        lateness_s=DAY_S,
        grace_s=8 * DAY_S,
        claim_period_s=8 * DAY_S,
        challenge_period_s=DAY_S,
        arbitration_period_s=DAY_S,
        holdback_bps=2000,
        holdback_period_s=3,
        rate_cap_units=0,
        rate_period_s=0,
        fee_bps=0,
        fee_recipient=ZERO_ADDRESS,
        agent_id_plus_one=0,
        salt=_word(f"{model} {name}"),
    )
    return replace(plain, **changes)


# Whose purchase it is by first touch: Ann touches at 1 and 3 s, Bob at 4 s, and the lead buys at 6
# and at 7 s. The names of Ann's say what sets them apart; "after" opens when all is over.
DEALS: dict[str, dict[str, Any]] = {
    "ann": {},
    "bob": {"operator": BOB},
    "once": {"repeatable": False},
    "young": {"attribution_window_s": 3},
    "late": {"opens_at_s": START_S + 2, "attribution_window_s": 3},
    "late_once": {"opens_at_s": START_S + 2, "attribution_window_s": 3, "repeatable": False},
    "ended": {"deadline_s": START_S + 5},
    "closed_then": {},
    "later": {"opens_at_s": START_S + 2, "attribution_window_s": 3},
    "after": {},
    "unopened": {"opens_at_s": START_S + 7},
    "closed": {},
    "share": {"revenue_share_bps": 1250, "unit_price_units": 3},
    "bob_tight": {"operator": BOB, "budget_units": 15},
    "other_owner": {"owner": _address("stranger")},
    "other_log": {"log_id": _word("other log")},
    "other_surface": {"surface": _word("other surface")},
    "other_outcome": {"outcome": "trial"},
    "other_policy": {"policy": _word("other policy")},
    "rich": {"budget_units": 2**80 - 1},
}
CLOSED_AT_S = {"closed": START_S + 5, "closed_then": START_S + 6}


class Deal(NamedTuple):
    terms: Terms
    id: bytes
    number: int
    closed_at_s: int


def _deals(model: str) -> dict[str, Deal]:
    found = {}
    for number, (name, changes) in enumerate(DEALS.items(), 1):
        terms = _terms(model, name, **changes)
        found[name] = Deal(terms, deal.contract_id(terms, ESCROW), number, CLOSED_AT_S.get(name, 0))
    other = "last_touch" if model == "first_touch" else "first_touch"
    terms = _terms(model, "other_model", attribution=other)
    found["other_model"] = Deal(terms, deal.contract_id(terms, ESCROW), len(found) + 1, 0)
    return found


ALL = {model: _deals(model) for model in POLICIES}


# --- Logs -----------------------------------------------------------------------------------------


class Log(NamedTuple):
    """A log's records, and where the entries that cases speak of stand, by name."""

    model: str
    records: tuple[Record, ...]
    at: dict[str, int]

    def entry(self, name: str) -> Entry:
        return self.records[self.at[name]].entry

    def with_lie(self, name: str, **changes: Any) -> "Log":
        """The log with another entry in this one's place."""
        records = list(self.records)
        place = self.at[name]
        records[place] = records[place]._replace(entry=self.entry(name)._replace(**changes))
        return self._replace(records=tuple(records))

    def with_outcome(self, name: str, contract: str, touch: str, **changes: Any) -> "Log":
        """The log in which the outcome of this name is another contract's."""
        at = self.at["transition" if name == "outcome" else "again"]
        payload = pack_outcome(at, self.at[touch], 0, 1, 10)
        fields = {"actor": ALL[self.model][contract].id, "payload": payload} | changes
        return self.with_lie(name, **fields)


def _log(model: str) -> Log:
    """Honest: Ann's contract is paid twice by first touch, Bob's by last; one is taken back."""
    world, records = World(), list[Record]()
    deals, start_ms = ALL[model], START_S * 1000
    at: dict[str, int] = {}

    def write(time_ms: int, request: Request, *names: str) -> None:
        for record, name in zip(
            decide(world, request, start_ms + time_ms), [*names, *[""] * 9], strict=False
        ):
            at[name] = len(records)
            records.append(record)

    def touch(time_ms: int, operator: str, *names: str) -> None:
        request = Touch(SURFACE, LEAD, address_word(operator), "email", _word(names[-1]), LEAD)
        write(time_ms, request, *names)

    def event(time_ms: int, name: str, value: int, *names: str) -> None:
        time = start_ms + time_ms
        request = ProductEvent(SURFACE, LEAD, name, value, time, _word(names[0]), LEAD)
        write(time_ms, request, *names)

    def opens(time_ms: int, name: str) -> None:
        rules = rules_of(deals[name].terms, deals[name].id)
        write(time_ms, OpenContract(rules, _word("transaction")), f"opened {name}")

    write(-1000, Genesis(LOG, address_word(_address("publisher"))), "genesis")
    write(-1000, PublishPolicy(SURFACE, address_word(OWNER), POLICIES[model]), "policy")
    for operator in (ANN, BOB):
        write(-1000, RegisterOperator(address_word(operator), "0", _word("profile")), "operator")
    # Only the log's own know of each other; whoever else is named in a case is on chain alone.
    for name in ("ann", "bob", "once", "young", "late", "late_once", "ended", "closed_then"):
        opens(0, name)
    touch(1000, ANN, "lead", "ann 1")
    opens(1500, "later")
    touch(3000, ANN, "ann 3")
    touch(4000, BOB, "bob 4")
    event(5000, "signup", 0, "trial")
    event(6000, "buy", 70, "transition", "outcome")
    event(7000, "buy", 80, "again", "outcome again")
    event(8000, "refund", 0, "refund", "reversal")
    write(8500, Settle(), "settlement")
    touch(8600, ANN, "ann 8")
    opens(8700, "after")
    return Log(model, tuple(records), at)


LOGS = {model: _log(model) for model in POLICIES}
FIRST, LAST = LOGS["first_touch"], LOGS["last_touch"]


# --- Cases ----------------------------------------------------------------------------------------


class Vector(NamedTuple):
    """One case: what it shows of which log, about whom, and the error that refuses it."""

    name: str
    error: str
    log: Log
    kind: str
    contract: str
    shown: tuple[str, ...]
    rival: str = ""
    opening: str = ""
    reach: str = "settlement"
    floor: str = "settlement"
    rival_floor: str = "genesis"
    claim: Claim | None = None


def disproofs() -> Iterator[Vector]:
    """Against the verifier of a contract: each kind, first what holds, then what does not."""
    yield from _of_duplicate()
    yield from _of_transition()
    yield from _of_touch()
    yield from _of_rival()
    yield from _of_sum()
    yield from _of_statement()
    yield from _of_budget()
    yield from _of_over()
    yield from _of_reversal()
    yield from _of_older_outcome()
    yield from _of_second_reversal()
    yield from _of_clock()
    yield from _of_nothing_signed()


def _of_duplicate() -> Iterator[Vector]:
    at = FIRST.at

    def case(name: str, error: str, log: Log, contract: str, *shown: str) -> Vector:
        return Vector(name, error, log, "duplicate", contract, shown)

    again = pack_outcome(at["transition"], at["ann 1"], at["outcome"], 2, 20)
    twice = FIRST.with_lie("outcome again", payload=again)
    yield case("one transition twice", "", twice, "ann", "outcome again", "outcome")
    yield case("the earlier of two", "NoContradiction", twice, "ann", "outcome", "outcome again")
    for_bob = twice.with_lie("outcome again", actor=ALL["first_touch"]["bob"].id)
    yield case("one transition for two contracts", "", for_bob, "bob", "outcome again", "outcome")
    over = twice.with_lie("outcome", kind="outcome.over")
    yield case("once over, then paid", "", over, "ann", "outcome again", "outcome")
    then_over = twice.with_lie("outcome again", kind="outcome.over")
    yield case("once paid, then over", "", then_over, "ann", "outcome again", "outcome")
    refused = twice.with_lie("outcome", kind="outcome.refused")
    yield case("once refused, then paid", "NoContradiction", refused, "ann", "outcome again",
               "outcome")  # fmt: skip
    once = FIRST.with_outcome("outcome", "once", "ann 1")
    once = once.with_outcome("outcome again", "once", "ann 1")
    yield case("one lead twice", "", once, "once", "outcome again", "outcome")
    yield case("one lead twice, repeatable", "NoContradiction", FIRST, "ann", "outcome again",
               "outcome")  # fmt: skip
    one = FIRST.with_outcome("outcome again", "once", "ann 1")
    yield case("one lead for two contracts", "NoContradiction", one, "once", "outcome again",
               "outcome")  # fmt: skip
    leads = once.with_lie("outcome", subject=OTHER_LEAD)
    yield case("two leads", "NoContradiction", leads, "once", "outcome again", "outcome")
    yield case("an outcome beside itself", "NoContradiction", FIRST, "ann", "outcome", "outcome")
    yield case("no second exhibit", "MissingExhibit", FIRST, "ann", "outcome")
    yield case("another's outcome", "NotOfContract", FIRST, "bob", "outcome again", "outcome")
    yield case("no outcome", "NotOfContract", FIRST, "ann", "reversal", "outcome")


def _of_transition() -> Iterator[Vector]:
    at = FIRST.at

    def case(name: str, error: str, log: Log, *shown: str, contract: str = "ann") -> Vector:
        return Vector(name, error, log, "transition", contract, shown or ("outcome",))

    def payload(transition: int, touch: int) -> bytes:
        return pack_outcome(transition, touch, 0, 1, 10)

    yield case("honest, alone", "NoContradiction", FIRST)
    yield case("honest, with its transition", "NoContradiction", FIRST, "outcome", "transition")
    yield case("with another transition", "WrongExhibit", FIRST, "outcome", "again")
    waited = FIRST.with_lie("outcome again", payload=payload(at["transition"], at["ann 1"]))
    yield case("an outcome that waited", "", waited, "outcome again")
    over = FIRST.with_lie("outcome", kind="outcome.over")
    yield case("over", "NoContradiction", over)
    yield case("over, with its transition", "NoContradiction", over, "outcome", "transition")
    yield case("over, at another price", "", over.with_lie("outcome", value=11))
    yield case("over, of another lead", "", over.with_lie("outcome", subject=OTHER_LEAD), "outcome",
               "transition")  # fmt: skip
    refused = FIRST.with_lie("outcome", kind="outcome.refused", value=11)
    yield case("refused", "NotOfContract", refused)

    def opened(name: str, error: str, log: Log, *shown: str, **fields: Any) -> Vector:
        fields = {"contract": "after", "reach": "opened after"} | fields
        return Vector(name, error, log, "transition", fields.pop("contract"), shown, **fields)

    pair = ("opened after", "outcome")
    early = FIRST.with_outcome("outcome", "after", "ann 1")
    yield opened("below the contract's opening", "", early, *pair)
    yield opened("below the opening, over", "", early.with_lie("outcome", kind="outcome.over"),
                 *pair)  # fmt: skip
    yield opened("below the opening, refused", "NoContradiction",
                 early.with_lie("outcome", kind="outcome.refused"), *pair)  # fmt: skip
    yield opened("below the opening, another's", "NoContradiction", FIRST, *pair)
    yield opened("below another's opening", "NoContradiction", FIRST, *pair, contract="ann")
    yield opened("above the opening", "NoContradiction", FIRST, "opened ann", "outcome",
                 contract="ann")  # fmt: skip
    yield opened("an opening alone", "MissingExhibit", early, "opened after")
    yield opened("an opening that nobody signed for", "NotVouchedFor", early, *pair,
                 reach="settlement")  # fmt: skip
    alone: dict[str, Json] = {
        "another label": {"label": "trial"},
        "another surface": {"surface": _word("other surface")},
        "before the opening": {"time_ms": START_S * 1000 - 1},
        "after the deadline": {"time_ms": (START_S + 100) * 1000 + 1},
        "another price": {"value": 11},
        "itself as transition": {"payload": payload(at["outcome"], at["ann 1"])},
        "a touch behind its transition": {"payload": payload(at["transition"], at["again"])},
        "the transition as its touch": {"payload": payload(at["transition"], at["transition"])},
        "dirty padding": {"payload": payload(at["transition"], at["ann 1"])[:31] + b"\1"},
    }
    for name, lie in alone.items():
        yield case(name, "", FIRST.with_lie("outcome", **lie))
    for name, time_ms in (("at the opening", 0), ("at the deadline", 100_000)):
        edge = FIRST.with_lie("outcome", time_ms=START_S * 1000 + time_ms)
        yield case(name, "NoContradiction", edge)
        yield case(f"{name}, unlike its transition", "", edge, "outcome", "transition")
    named: dict[str, Json] = {
        "a refused transition": {"kind": "lead.refused"},
        "a transition elsewhere": {"surface": _word("other surface")},
        "a stranger's transition": {"actor": address_word(ANN)},
        "another lead's transition": {"subject": OTHER_LEAD},
        "a transition into another state": {"label": "trial"},
        "a transition at another time": {"time_ms": START_S * 1000 + 6001},
    }
    for name, lie in named.items():
        yield case(name, "", FIRST.with_lie("transition", **lie), "outcome", "transition")
    worth = "transition", {"value": 2**256 - 1}
    yield case("any value where there is no share", "NoContradiction",
               FIRST.with_lie(worth[0], **worth[1]), "outcome", "transition")  # fmt: skip
    share = {"contract": "share"}
    both = ("outcome", "transition")
    for amount, error in ((11, "NoContradiction"), (12, ""), (10, ""), (2**256 - 1, "")):
        log = FIRST.with_outcome("outcome", "share", "ann 1", value=amount)
        yield case(f"a share of 8.75 and 3 as {amount % 99}", error, log, *both, **share)
        yield case(f"a share and 3 as {amount % 99}, alone", "NoContradiction", log, **share)
    log = FIRST.with_outcome("outcome", "share", "ann 1", value=0)
    log = log.with_lie("transition", value=2**256 - 1)
    yield case("a share of all there is", "", log, *both, **share)


def _of_touch() -> Iterator[Vector]:
    def case(name: str, error: str, log: Log, *shown: str, contract: str = "ann") -> Vector:
        return Vector(name, error, log, "touch", contract, shown or ("outcome", "ann 1"))

    yield case("honest", "NoContradiction", FIRST)
    yield case("with another touch", "WrongExhibit", FIRST, "outcome", "ann 3")
    over = FIRST.with_outcome("outcome", "ann", "bob 4", kind="outcome.over")
    yield case("over, by another's touch", "", over, "outcome", "bob 4")
    lies: dict[str, Json] = {
        "no touch": {"kind": "trust.changed"},
        "a touch elsewhere": {"surface": _word("other surface")},
        "another operator's": {"actor": address_word(BOB)},
        "on another lead": {"subject": OTHER_LEAD},
        "before the opening": {"time_ms": START_S * 1000 - 1},
        "after the transition": {"time_ms": START_S * 1000 + 6001},
        "at the end of time": {"time_ms": 2**63 - 1},
    }
    for name, lie in lies.items():
        yield case(name, "", FIRST.with_lie("ann 1", **lie))
    for name, time_ms in (("at the opening", 0), ("at the transition", 6000)):
        yield case(name, "NoContradiction",
                   FIRST.with_lie("ann 1", time_ms=START_S * 1000 + time_ms))  # fmt: skip
    old = FIRST.with_outcome("outcome", "young", "ann 3")
    shown = ("outcome", "ann 3")
    yield case("as old as the window", "NoContradiction", old, *shown, contract="young")
    older = old.with_lie("ann 3", time_ms=START_S * 1000 + 2999)
    yield case("older than the window", "", older, *shown, contract="young")
    behind = FIRST.with_outcome("outcome", "ann", "again")
    yield case("behind the transition", "", behind, "outcome", "again")

    def order(name: str, error: str, log: Log, other: str, contract: str = "ann") -> Vector:
        return Vector(name, error, log, "touch_order", contract, ("outcome", other))

    third = FIRST.with_outcome("outcome", "ann", "ann 3")
    yield order("an earlier touch", "", third, "ann 1")
    yield order("an earlier touch, over", "", third.with_lie("outcome", kind="outcome.over"),
                "ann 1")  # fmt: skip
    yield order("an earlier touch, too old to qualify", "",
                FIRST.with_outcome("outcome", "young", "ann 3"), "ann 1", "young")  # fmt: skip
    yield order("an earlier touch, before the opening", "TouchDoesNotCount",
                FIRST.with_outcome("outcome", "late", "ann 3"), "ann 1", "late")  # fmt: skip
    yield order("the later touch, by first touch", "TouchDoesNotBeat", FIRST, "ann 3")
    yield order("the touch itself", "TouchDoesNotBeat", FIRST, "ann 1")
    yield order("another operator's touch", "TouchDoesNotCount", FIRST, "bob 4")
    yield order("a touch above the outcome", "TouchDoesNotCount", third, "ann 8")
    yield order("no touch", "TouchDoesNotCount", third, "trial")
    first = LAST.with_outcome("outcome", "ann", "ann 1")
    yield order("a later touch", "", first, "ann 3")
    yield order("the earlier touch, by last touch", "TouchDoesNotBeat",
                LAST.with_outcome("outcome", "ann", "ann 3"), "ann 1")  # fmt: skip
    yield order("a later touch, after the transition's time", "TouchDoesNotCount",
                first.with_lie("ann 3", time_ms=START_S * 1000 + 6001), "ann 3")  # fmt: skip
    yield order("a touch of the future", "TouchDoesNotCount", first, "ann 8")


def _of_rival() -> Iterator[Vector]:
    bobs = FIRST.with_outcome("outcome", "bob", "bob 4")

    def case(
        name: str, error: str, rival: str, *shown: str, log: Log = bobs, **fields: Any
    ) -> Vector:
        opened = f"opened {rival}" if f"opened {rival}" in log.at else "opened ann"
        contract, accused = fields.pop("contract", "bob"), fields.pop("accused", "outcome")
        places = (accused, shown[0], opened, *shown[1:])
        return Vector(name, error, log, "rival", contract, places, rival, **fields)

    yield case("the first of all touches", "", "ann", "ann 1")
    yield case("the first of all touches, over", "", "ann", "ann 1",
               log=bobs.with_lie("outcome", kind="outcome.over"))  # fmt: skip
    yield case("a later one, all since the opening being young", "", "ann", "ann 3")
    yield case("one that is too old", "TouchDoesNotQualify", "young", "ann 1")
    yield case("the second, the first being too old", "RivalTouchedBefore", "young", "ann 3",
               "ann 1")  # fmt: skip
    below = bobs.at["ann 3"]  # an entry is the first touch that names none below itself
    for value, error in ((2**256 - 1, ""), (below + 1, ""), (below, "MissingExhibit")):
        yield case(f"the second, following on {value % 97}", error, "young", "ann 3",
                   log=bobs.with_lie("ann 3", value=value))  # fmt: skip
    shields: dict[str, tuple[str, Json]] = {
        "no touch": ("", {"kind": "lead.registered"}),
        "another's touch": ("", {"actor": address_word(BOB)}),
        "another lead's touch": ("", {"subject": OTHER_LEAD}),
        "a touch elsewhere": ("", {"surface": _word("other surface")}),
        "a touch that is said to be old": ("", {"time_ms": START_S * 1000 - 1}),
        "a touch with another label": ("RivalTouchedBefore", {"label": "call"}),
    }
    for name, (error, lie) in shields.items():
        yield case(f"the second, following on {name}", error, "young", "ann 3", "ann 1",
                   log=bobs.with_lie("ann 1", **lie))  # fmt: skip
    yield case("the first since it opened, before shown", "", "late", "ann 3", "ann 1")
    yield case("the first since it opened, before not shown", "MissingExhibit", "late", "ann 3")
    yield case("the first since it opened, another shown", "WrongExhibit", "late", "ann 3", "bob 4")
    yield case("one before it opened", "TouchDoesNotQualify", "late", "ann 1")
    yield case("opened in the log behind the touch before", "", "later", "ann 3")
    second = _second(bobs)
    yield case("opened in the log behind it, but too late", "RivalTouchedBefore", "later", "ann 3",
               "ann 1", log=second)  # fmt: skip
    yield case("not repeatable, the lead's first", "", "once", "ann 1", "transition",
               opening="transition")  # fmt: skip
    yield case("not repeatable, no transition", "MissingExhibit", "once", "ann 1")
    yield case("not repeatable, another transition", "WrongExhibit", "once", "ann 1", "trial",
               opening="trial")  # fmt: skip
    yield case("not repeatable, no opening", "WrongOpening", "once", "ann 1", "transition")
    again = FIRST.with_outcome("outcome again", "bob", "bob 4")
    yield case("not repeatable, the lead's second", "NotTheFirstEntry", "once", "ann 1", "again",
               log=again, accused="outcome again", opening="again")  # fmt: skip
    yield case("five exhibits would decide", "MissingExhibit", "late_once", "ann 3", "transition",
               opening="transition")  # fmt: skip
    yield case("past its deadline", "NotARival", "ended", "ann 1")
    yield case("not yet open", "NotARival", "unopened", "ann 1")
    yield case("closed before", "RivalClosed", "closed", "ann 1")
    yield case("closed at that second", "", "closed_then", "ann 1")
    late = bobs.with_lie("outcome", time_ms=START_S * 1000 + 6001)
    yield case("closed a millisecond before", "RivalClosed", "closed_then", "ann 1", log=late)
    for other in ("owner", "log", "surface", "outcome", "policy", "model"):
        yield case(f"another {other}", "NotARival", f"other_{other}", "ann 1")
    yield case("opened above the transition", "RivalUnknownToLog", "after", "ann 1")
    yield Vector("another's opening", "RivalUnknownToLog", bobs, "rival", "bob",
                 ("outcome", "ann 1", "opened once"), "ann")  # fmt: skip
    yield Vector("no opening", "RivalUnknownToLog", bobs, "rival", "bob",
                 ("outcome", "ann 1", "ann 3"), "ann")  # fmt: skip
    yield case("nobody's contract", "UnknownContract", "", "ann 1")
    yield case("not the rival's operator", "TouchDoesNotQualify", "ann", "bob 4")
    yield case("behind, by first touch", "TouchDoesNotBeat", "bob", "bob 4", log=FIRST,
               contract="ann")  # fmt: skip
    yield case("itself", "TouchDoesNotBeat", "ann", "ann 1", log=FIRST, contract="ann")
    tied = FIRST.with_outcome("outcome", "closed_then", "ann 1")
    yield case("the same touch, opened before", "", "ann", "ann 1", log=tied,
               contract="closed_then")  # fmt: skip
    yield case("the same touch, opened after", "TouchDoesNotBeat", "closed_then", "ann 1",
               log=FIRST, contract="ann")  # fmt: skip
    anns = LAST.with_outcome("outcome", "ann", "ann 3")
    yield case("the last of all touches", "", "bob", "bob 4", log=anns, contract="ann")
    yield case("behind, by last touch", "TouchDoesNotBeat", "ann", "ann 3", log=LAST)
    yield case("above the transition", "TouchDoesNotQualify", "ann", "ann 8", log=LAST)


def _second(log: Log) -> Log:
    """Ann's first touch comes when the contracts that open at 2 s are open already."""
    return log.with_lie("ann 1", time_ms=START_S * 1000 + 2000).with_lie(
        "opened later", time_ms=START_S * 1000 + 2000
    )


def _of_sum() -> Iterator[Vector]:
    at = FIRST.at

    def case(name: str, error: str, log: Log, *shown: str, **fields: Any) -> Vector:
        return Vector(name, error, log, "sum", fields.pop("contract", "ann"), shown, **fields)

    def first(prev: int, n: int, total: int) -> Log:
        payload = pack_outcome(at["transition"], at["ann 1"], prev, n, total)
        return FIRST.with_lie("outcome", payload=payload)

    def second(prev: int, n: int, total: int) -> Log:
        payload = pack_outcome(at["again"], at["ann 1"], prev, n, total)
        return FIRST.with_lie("outcome again", payload=payload)

    yield case("the first outcome", "NoContradiction", FIRST, "outcome")
    yield case("the first outcome and the genesis", "NoContradiction", FIRST, "outcome", "genesis")
    yield case("the first as a second", "", first(0, 2, 10), "outcome")
    yield case("the first with more", "", first(0, 1, 11), "outcome")
    yield case("itself before it", "", first(at["outcome"], 1, 10), "outcome")
    yield case("the future before it", "", first(at["outcome again"], 1, 10), "outcome")
    yield case("a touch before it", "", first(at["ann 1"], 2, 20), "outcome", "ann 1")
    yield case("a touch before it, alone", "NoContradiction", first(at["ann 1"], 2, 20), "outcome")
    pair = ("outcome again", "outcome")
    before = at["outcome"]
    yield case("the second", "NoContradiction", FIRST, *pair)
    yield case("the second as a third", "", second(before, 3, 20), *pair)
    yield case("the second with more", "", second(before, 2, 21), *pair)
    yield case("the second with less than before", "", second(before, 2, 9), *pair)
    yield case("the first skipped", "", second(0, 1, 10), *pair)
    yield case("the second alone", "NoContradiction", second(before, 3, 21), "outcome again")
    yield case("the one behind it", "NoContradiction", FIRST, "outcome", "outcome again")
    other = FIRST.with_lie("outcome", actor=ALL["first_touch"]["bob"].id)
    yield case("another contract's before it", "", other, *pair)
    over = FIRST.with_lie("outcome", kind="outcome.over")
    yield case("one that was over before it", "", over, *pair)
    apart = over.with_lie("outcome again", payload=second(0, 1, 10).entry("outcome again").payload)
    much = apart.with_lie("outcome", value=1001)
    yield case("one that was over skipped", "NoContradiction", much, *pair)
    huge = second(before, 2, 20).with_lie("outcome again", value=2**256 - 10)
    yield case("a sum that wraps around", "", huge, *pair)


def _of_statement() -> Iterator[Vector]:
    at = FIRST.at
    before, last, back = at["outcome"], at["outcome again"], at["reversal"]

    def case(name: str, error: str, log: Log, *shown: str, **fields: Any) -> Vector:
        return Vector(name, error, log, "sum", fields.pop("contract", "ann"), shown, **fields)

    def said(*facts: int) -> Log:
        return FIRST.with_lie("settlement", payload=pack_settlement(*facts))

    yield case("an honest statement", "NoContradiction", FIRST, "settlement")
    for name in ("outcome again", "reversal", "outcome", "genesis", "touch"):
        shown = "ann 1" if name == "touch" else name
        yield case(f"an honest statement and {name}", "NoContradiction", FIRST, "settlement", shown)
    yield case("earned from nothing", "", said(20, 10, 0, back), "settlement")
    yield case("reversed from nothing", "", said(20, 10, last, 0), "settlement")
    yield case("nothing from nothing", "NoContradiction", said(0, 0, 0, 0), "settlement")
    yield case("an outcome left out", "", said(0, 0, 0, 0), "settlement", "outcome")
    yield case("a reversal left out", "", said(20, 0, last, 0), "settlement", "reversal")
    yield case("the last outcome left out", "", said(10, 10, before, back), "settlement",
               "outcome again")  # fmt: skip
    yield case("itself as its last outcome", "", said(20, 10, at["settlement"], back), "settlement")
    yield case("the future as its last reversal", "", said(20, 10, last, 2**48 - 1), "settlement")
    yield case("earned more", "", said(30, 10, last, back), "settlement", "outcome again")
    yield case("reversed less", "", said(20, 9, last, back), "settlement", "reversal")
    yield case("a touch as its last outcome", "", said(20, 10, at["ann 1"], back), "settlement",
               "ann 1")  # fmt: skip
    yield case("the reversal as its last outcome", "", said(10, 10, back, back), "settlement",
               "reversal")  # fmt: skip
    yield case("another contract's statement", "NotOfContract", FIRST, "settlement", contract="bob")
    by_ann = FIRST.with_lie("settlement", actor=address_word(ANN))
    yield case("an operator's statement", "NotOfContract", by_ann, "settlement")
    yield case("no total at all", "NotOfContract", FIRST, "ann 1")
    yield case("above what was signed", "NotVouchedFor", said(30, 10, last, back), "settlement",
               "outcome again", reach="reversal")  # fmt: skip


def _of_budget() -> Iterator[Vector]:
    at = FIRST.at

    def case(name: str, error: str, log: Log, *shown: str) -> Vector:
        return Vector(name, error, log, "sum", "bob_tight", shown)

    tight = FIRST.with_outcome("outcome", "bob_tight", "bob 4")
    paid = pack_outcome(at["again"], at["bob 4"], at["outcome"], 2, 20)
    tight = tight.with_outcome("outcome again", "bob_tight", "bob 4", payload=paid)
    tight = tight.with_lie("reversal", actor=ALL["first_touch"]["bob_tight"].id)
    yield case("past the budget until a reversal", "", tight, "reversal", "outcome again")
    yield case("within the budget", "NoContradiction", tight, "reversal", "outcome")
    room = pack_reversal(at["outcome again"], at["refund"], at["ann 1"], 2, 15)
    yield case("within the budget by an earlier reversal", "NoContradiction",
               tight.with_lie("reversal", payload=room), "reversal", "outcome again")  # fmt: skip
    more = tight.with_lie("reversal", value=11)
    yield case("a reversal of more than its sum", "", more, "reversal", "outcome")
    yield case("a reversal and no outcome", "NoContradiction", tight, "reversal", "ann 1")


def _of_over() -> Iterator[Vector]:
    """An outcome that was over though it fits, shown by what is said above it."""
    at = FIRST.at

    def over(value: int, earned: int = 10) -> Log:
        """One outcome was over, then one was paid, and a statement sums up."""
        log = FIRST.with_lie("outcome", kind="outcome.over", value=value)
        payload = pack_outcome(at["again"], at["ann 1"], 0, 1, earned)
        log = log.with_lie("outcome again", payload=payload)
        said = pack_settlement(earned, 0, at["outcome again"], 0)
        return log.with_lie("settlement", payload=said)

    def case(name: str, error: str, log: Log, *shown: str, contract: str = "ann") -> Vector:
        return Vector(name, error, log, "sum", contract, shown)

    stated = ("settlement", "outcome")
    yield case("over, and it fits below a statement", "", over(990), *stated)
    yield case("over, and it does not", "NoContradiction", over(991), *stated)
    yield case("over, and nothing would", "NoContradiction", over(2**256 - 1), *stated)
    yield case("over, and more was earned than there is", "NoContradiction", over(0, 1001), *stated)
    paid = ("outcome again", "outcome")
    yield case("over, and it fits below an outcome", "", over(1000), *paid)
    yield case("over, and it does not, below an outcome", "NoContradiction", over(1001), *paid)
    yield case("over, and less was earned than the outcome", "NoContradiction", over(0, 9), *paid)
    others = over(990).with_lie("outcome", actor=ALL["first_touch"]["bob"].id)
    yield case("another's that was over", "NoContradiction", others, *stated)
    later = FIRST.with_lie("outcome again", kind="outcome.over")
    yield case("one that was over above it", "NoContradiction", later, "outcome", "outcome again")

    # The entry at "outcome" becomes a reversal, the one at "outcome again" is over.
    def back(value: int, earned: int = 10, contract: str = "ann") -> Log:
        id_ = ALL["first_touch"][contract].id
        first = pack_reversal(at["ann 1"], at["ann 3"], 0, 1, 10)
        log = FIRST.with_lie("outcome", kind="outcome.reversed", actor=id_, payload=first)
        log = log.with_lie("outcome again", kind="outcome.over", actor=id_, value=value)
        said = pack_settlement(earned, 10, at["ann 1"], at["outcome"])
        return log.with_lie("settlement", subject=id_, payload=said)

    three = ("settlement", "outcome again", "outcome")
    yield case("over, and it fits by a reversal", "", back(1000), *three)
    yield case("over, and it does not by a reversal", "NoContradiction", back(1001), *three)
    yield case("over, and the reversal is not shown", "NoContradiction", back(1000), *three[:2])
    yield case("over, and the reversal is above it", "NoContradiction", back(1000), *three[:2],
               "reversal")  # fmt: skip
    wrong = back(1000).with_lie("outcome", actor=ALL["first_touch"]["bob"].id)
    yield case("over, and the reversal is another's", "NoContradiction", wrong, *three)
    none = back(1000).with_lie("outcome", kind="outcome")
    yield case("over, and it is no reversal", "NoContradiction", none, *three)
    yield case("over, and a sum has 80 bits", "NoContradiction", back(10, 2**80 - 10, "rich"),
               *three, contract="rich")  # fmt: skip
    yield case("over, and a sum has just 80 bits", "", back(9, 2**80 - 10, "rich"), *three,
               contract="rich")  # fmt: skip


def _of_clock() -> Iterator[Vector]:
    def case(name: str, error: str, log: Log, *shown: str, **fields: Any) -> Vector:
        return Vector(name, error, log, "clock", "ann", shown, **fields)

    def at_ms(name: str, time_ms: int) -> Log:
        return FIRST.with_lie(name, time_ms=START_S * 1000 + time_ms)

    pair = ("ann 3", "ann 1")
    yield case("honest", "NoContradiction", FIRST, *pair)
    yield case("a touch at the same time", "NoContradiction", at_ms("ann 3", 1000), *pair)
    yield case("a touch before one below it", "", at_ms("ann 3", 999), *pair)
    yield case("the one below it", "NoContradiction", at_ms("ann 3", 999), "ann 1", "ann 3")
    yield case("a touch beside itself", "NoContradiction", FIRST, "ann 1", "ann 1")
    yield case("an opening before a touch below it", "", at_ms("opened later", 999), "opened later",
               "ann 1")  # fmt: skip
    yield case("a touch before an opening below it", "", at_ms("ann 3", 1499), "ann 3",
               "opened later")  # fmt: skip
    yield case("a statement before a touch below it", "", at_ms("settlement", 3999), "settlement",
               "bob 4")  # fmt: skip
    yield case("a product's time", "NoContradiction", at_ms("transition", 999), "transition",
               "ann 1")  # fmt: skip
    yield case("before a product's time", "NoContradiction", at_ms("settlement", 4500),
               "settlement", "outcome")  # fmt: skip
    yield case("one alone", "MissingExhibit", FIRST, "ann 1")
    yield case("above what was signed", "NotVouchedFor", at_ms("ann 3", 999), *pair,
               reach="ann 1")  # fmt: skip


def _of_nothing_signed() -> Iterator[Vector]:
    """A log may begin with anything; index 0 is no statement."""
    lie: Json = {"kind": "outcome", "actor": ALL["first_touch"]["ann"].id}
    log = FIRST.with_lie("genesis", **lie)
    yield Vector("the first entry, where nothing was signed", "NotVouchedFor", log, "transition",
                 "ann", ("genesis",), reach="genesis")  # fmt: skip
    yield Vector("the first entry, where something was", "", log, "transition", "ann",
                 ("genesis",))  # fmt: skip


def _of_reversal() -> Iterator[Vector]:
    at = FIRST.at
    outcome, event, place = at["outcome again"], at["refund"], at["reversal"]

    def case(name: str, error: str, log: Log, *others: str) -> Vector:
        return Vector(name, error, log, "reversal", "ann", ("reversal", *others))

    def back(*facts: int) -> Log:
        return FIRST.with_lie("reversal", payload=pack_reversal(*facts))

    yield case("honest, alone", "NoContradiction", FIRST)
    for other in ("outcome again", "refund", "outcome", "genesis", "ann 1"):
        yield case(f"honest, with {other}", "NoContradiction", FIRST, other)
    yield case("behind its event", "", back(outcome, outcome, 0, 1, 10))
    yield case("itself as its event", "", back(outcome, place, 0, 1, 10))
    yield case("the event as its outcome", "", back(event, event, 0, 1, 10))
    yield case("the first as a second", "", back(outcome, event, 0, 2, 10))
    yield case("the first with more", "", back(outcome, event, 0, 1, 11))
    yield case("itself before it", "", back(outcome, event, place, 2, 20))
    yield case("a touch before it", "", back(outcome, event, at["ann 1"], 2, 20), "ann 1")
    padded = FIRST.entry("reversal").payload[:31] + b"\1"
    yield case("dirty padding", "", FIRST.with_lie("reversal", payload=padded))
    yield case("elsewhere", "", FIRST.with_lie("reversal", surface=_word("other surface")))
    taken: dict[str, Json] = {
        "an outcome that was over": {"kind": "outcome.over"},
        "another contract's outcome": {"actor": ALL["first_touch"]["bob"].id},
        "another lead's outcome": {"subject": OTHER_LEAD},
        "an outcome into another state": {"label": "trial"},
        "another amount": {"value": 11},
        "an outcome too long ago": {"time_ms": START_S * 1000 + 4999},
    }
    for name, lie in taken.items():
        yield case(name, "", FIRST.with_lie("outcome again", **lie), "outcome again")
    edge = FIRST.with_lie("outcome again", time_ms=START_S * 1000 + 5000)
    yield case("at the end of the holdback period", "NoContradiction", edge, "outcome again")
    future = FIRST.with_lie("outcome again", time_ms=2**63 - 1)
    yield case("before its outcome", "NoContradiction", future, "outcome again")
    happened: dict[str, Json] = {
        "no event": {"kind": "lead.refused"},
        "an event elsewhere": {"surface": _word("other surface")},
        "a stranger's event": {"actor": address_word(ANN)},
        "another lead's event": {"subject": OTHER_LEAD},
        "an event at another time": {"time_ms": START_S * 1000 + 8001},
    }
    for name, lie in happened.items():
        yield case(name, "", FIRST.with_lie("refund", **lie), "refund")


def _of_older_outcome() -> Iterator[Vector]:
    """An event takes back the latest outcome that stands."""
    at = FIRST.at
    event, place = at["refund"], at["reversal"]

    def case(name: str, error: str, log: Log, *others: str) -> Vector:
        return Vector(name, error, log, "reversal", "ann", ("reversal", *others))

    def back(*facts: int) -> Log:
        return FIRST.with_lie("reversal", payload=pack_reversal(*facts))

    older = back(at["outcome"], event, 0, 1, 10)
    yield case("of an older outcome than the latest", "", older, "outcome again")
    yield case("of an older outcome, shown itself", "NoContradiction", older, "outcome")
    later: dict[str, Json] = {
        "was over": {"kind": "outcome.over"},
        "is another contract's": {"actor": ALL["first_touch"]["bob"].id},
        "is another lead's": {"subject": OTHER_LEAD},
        "is into another state": {"label": "trial"},
    }
    for name, lie in later.items():
        yield case(f"the later {name}", "NoContradiction", older.with_lie("outcome again", **lie),
                   "outcome again")  # fmt: skip
    yield case("a reversal between the later and this", "NoContradiction",
               back(at["outcome"], event, at["refund"], 2, 20), "outcome again")  # fmt: skip
    yield case("the later behind the event", "NoContradiction",
               back(at["outcome"], at["again"], 0, 1, 10), "outcome again")  # fmt: skip

    # The entry at "settlement" becomes a reversal of the first outcome, behind the one there is.
    both = ("outcome again", "reversal")
    honest = FIRST.entry("reversal")
    fields = honest._asdict() | {"payload": pack_reversal(at["outcome"], event, place, 2, 20)}

    def shown(name: str, error: str, *others: str, **lie: Any) -> Vector:
        log = FIRST.with_lie("settlement", **fields).with_lie("reversal", **lie)
        return Vector(name, error, log, "reversal", "ann", ("settlement", *others))

    third = {"payload": pack_reversal(5, at["ann 3"], 0, 1, 10)}
    yield shown("the later stands, by the reversals since", "", *both, **third)
    yield shown("the later was taken back since", "NoContradiction", *both)
    yield shown("the reversals since are not shown", "NoContradiction", "outcome again", **third)
    yield shown("no reversal is shown", "NoContradiction", "outcome again", "refund", **third)
    yield shown("another's reversal is shown", "NoContradiction", *both,
                actor=ALL["first_touch"]["bob"].id, **third)  # fmt: skip
    fourth = {"payload": pack_reversal(5, at["ann 3"], event, 2, 20)}
    yield shown("not all reversals are shown", "NoContradiction", *both, **fourth)


def _of_second_reversal() -> Iterator[Vector]:
    """Every outcome is taken back once, and by one event one of each state."""
    at = FIRST.at
    outcome, event = at["outcome again"], at["refund"]

    def case(name: str, error: str, log: Log, *others: str) -> Vector:
        return Vector(name, error, log, "reversal", "ann", ("reversal", *others))

    # The entry at "outcome" becomes an earlier reversal of the same contract.
    def earlier(target: int, *now: int, cause: int = at["ann 3"], **lie: Any) -> Log:
        payload = pack_reversal(target, cause, 0, 1, 10)
        log = FIRST.with_lie("outcome", kind="outcome.reversed", payload=payload, **lie)
        return log.with_lie("reversal", payload=pack_reversal(outcome, event, *now))

    first = at["outcome"]
    yield case("twice", "", earlier(outcome, first, 2, 20), "outcome")
    yield case("another before it", "NoContradiction", earlier(5, first, 2, 20), "outcome")
    same = earlier(5, first, 2, 20, cause=event)
    yield case("two by one event", "", same, "outcome")
    yield case("two by one event, in two states", "NoContradiction",
               same.with_lie("outcome", label="trial"), "outcome")  # fmt: skip
    bobs: Json = {"actor": ALL["first_touch"]["bob"].id}
    yield case("two by one event, of two contracts", "",
               earlier(5, 0, 1, 10, cause=event, **bobs), "outcome")  # fmt: skip
    yield case("one outcome twice, says another contract", "NoContradiction",
               earlier(outcome, 0, 1, 10, **bobs), "outcome")  # fmt: skip
    yield case("another before it, and more", "", earlier(5, first, 2, 21), "outcome")
    yield case("another before it, as a third", "", earlier(5, first, 3, 20), "outcome")
    yield case("another skipped", "", earlier(5, 0, 1, 10), "outcome")
    yield Vector("no reversal", "NotOfContract", FIRST, "reversal", "ann", ("outcome",))
    yield Vector("another's reversal", "NotOfContract", FIRST, "reversal", "bob", ("reversal",))
    yield Vector("no kind", "UnknownKind", FIRST, "nonsense", "ann", ("outcome",))


class ClaimVector(NamedTuple):
    name: str
    error: str
    log: Log
    contract: str
    transition: str
    touch: str


def claims() -> Iterator[ClaimVector]:
    """What an operator can and cannot claim with two entries."""

    def case(name: str, error: str, log: Log, contract: str, *shown: str) -> ClaimVector:
        return ClaimVector(name, error, log, contract, *shown)

    yield case("first touch", "", FIRST, "ann", "transition", "ann 1")
    yield case("not repeatable", "", FIRST, "once", "again", "ann 1")
    yield case("with a share", "", FIRST, "share", "transition", "ann 1")
    yield case("any touch that qualifies", "", FIRST, "bob", "transition", "bob 4")
    yield case("into another state", "TransitionDoesNotCount", FIRST, "ann", "trial", "ann 1")
    yield case("no transition", "TransitionDoesNotCount", FIRST, "ann", "outcome", "ann 1")
    yield case("after the deadline", "TransitionDoesNotCount", FIRST, "ended", "transition",
               "ann 1")  # fmt: skip
    yield case("before the opening", "TransitionDoesNotCount", FIRST, "unopened", "transition",
               "ann 1")  # fmt: skip
    yield case("another owner's", "TransitionDoesNotCount", FIRST, "other_owner", "transition",
               "ann 1")  # fmt: skip
    yield case("another's touch", "TouchDoesNotQualify", FIRST, "ann", "transition", "bob 4")
    yield case("a touch behind it", "TouchDoesNotQualify", FIRST, "ann", "transition", "ann 8")
    yield case("a touch too old", "TouchDoesNotQualify", FIRST, "young", "transition", "ann 1")
    yield case("a touch before the opening", "TouchDoesNotQualify", FIRST, "late", "transition",
               "ann 1")  # fmt: skip
    yield case("no touch", "TouchDoesNotQualify", FIRST, "ann", "transition", "trial")
    huge = FIRST.with_lie("transition", value=2**256 - 1)
    yield case("more than an amount", "AmountTooLarge", huge, "share", "transition", "ann 1")
    most = FIRST.with_lie("transition", value=(2**80 - 4) * 8)
    yield case("as much as an amount", "", most, "share", "transition", "ann 1")
    more = FIRST.with_lie("transition", value=(2**80 - 3) * 8)
    yield case("one more than an amount", "AmountTooLarge", more, "share", "transition", "ann 1")


def _refutation(
    name: str, error: str, kind: str, contract: str, touch: str, *shown: str, **fields: Any
) -> Vector:
    log: Log = fields.pop("log", FIRST)
    claimed = fields.pop("claimed", "transition")
    entry = log.entry(claimed)
    claim = Claim(entry.subject, 10, log.at[claimed], log.at[touch], entry.time_ms)
    return Vector(name, error, log, kind, contract, shown, claim=claim, **fields)


def refutations() -> Iterator[Vector]:
    """Against a claim, whose facts are the transition's and this touch's."""
    yield from _by_answer()
    yield from _by_gift()
    yield from _by_touch()


def _by_answer() -> Iterator[Vector]:
    def case(name: str, error: str, contract: str, *shown: str, **fields: Any) -> Vector:
        return _refutation(name, error, "answered", contract, *shown, **fields)

    yield case("the outcome", "", "ann", "ann 1", "outcome")
    yield case("another outcome", "NotAnswered", "ann", "ann 1", "outcome again")
    yield case("another's outcome", "NotAnswered", "bob", "bob 4", "outcome")
    yield case("no outcome", "NotAnswered", "ann", "ann 1", "transition")
    yield case("above the final statement", "NotAnswered", "ann", "ann 1",
               "outcome", floor="transition")  # fmt: skip
    for kind in ("outcome.over", "outcome.refused"):
        log = FIRST.with_lie("outcome", kind=kind)
        yield case(f"an {kind}", "", "ann", "ann 1", "outcome", log=log)
    once = FIRST.with_outcome("outcome again", "once", "ann 1")
    yield case("the lead's outcome", "", "once", "ann 1", "outcome again", log=once)
    leads = once.with_lie("outcome again", subject=OTHER_LEAD)
    yield case("another lead's outcome", "NotAnswered", "once", "ann 1",
               "outcome again", log=leads)  # fmt: skip
    said = FIRST.with_lie("genesis", kind="outcome.refused", subject=LEAD,
                      actor=ALL["first_touch"]["once"].id)  # fmt: skip
    yield case("the first entry, where nothing is final", "NotAnswered", "once",
               "ann 1", "genesis", log=said, floor="genesis")  # fmt: skip
    yield case("the first entry, where something is", "", "once", "ann 1",
               "genesis", log=said)  # fmt: skip


def _by_gift() -> Iterator[Vector]:
    def taken(
        name: str, error: str, log: Log = FIRST, first: str = "outcome", **fields: Any
    ) -> Vector:
        fields = {"rival": "ann", "floor": "genesis", "rival_floor": "settlement"} | fields
        contract, touch = fields.pop("contract", "bob"), fields.pop("touch", "bob 4")
        opened = f"opened {fields['rival']}"
        others = (fields.pop("by", "ann 1"), opened if opened in log.at else "opened ann")
        return _refutation(name, error, "taken", contract, touch, first,
                           *fields.pop("others", others), log=log, **fields)  # fmt: skip

    yield taken("paid to another", "")
    yield taken("paid to another, by the claimant's own verifier", "", floor="settlement",
                rival_floor="genesis")  # fmt: skip
    yield taken("paid to another, and nothing is final", "NotTaken", rival_floor="genesis")
    yield taken("paid to another, above what is final", "NotTaken", rival_floor="transition",
                floor="transition")  # fmt: skip
    yield taken("over for another", "", FIRST.with_lie("outcome", kind="outcome.over"))
    yield taken("refused to another", "NotTaken", FIRST.with_lie("outcome", kind="outcome.refused"))
    yield taken("another transition", "NotTaken", first="outcome again")
    later = pack_outcome(FIRST.at["transition"], FIRST.at["ann 1"], 0, 1, 10)
    yield taken("paid to another afterwards", "NotTaken",
                FIRST.with_lie("outcome again", payload=later), "outcome again")  # fmt: skip
    apart = pack_outcome(FIRST.at["again"], FIRST.at["ann 1"], 0, 1, 10)
    yield taken("paid to another, for another transition", "NotTaken",
                FIRST.with_lie("outcome", payload=apart))  # fmt: skip
    yield taken("paid to a third", "NotTaken", rival="once")
    yield taken("paid to nobody", "UnknownContract", rival="")
    yield taken("no outcome", "NotTaken", first="transition")
    yield from _by_whose_touch(taken)


def _by_whose_touch(taken: Callable[..., Vector]) -> Iterator[Vector]:
    """The contract that got it, and the touch by which it could."""
    yield taken("without its touch", "MissingExhibit", others=())
    yield taken("without its opening", "MissingExhibit", others=("ann 1",))
    yield taken("with another touch", "WrongExhibit", by="ann 3")
    yield taken("with another's opening", "RivalUnknownToLog", others=("ann 1", "opened bob"))
    yield taken("with no opening", "RivalUnknownToLog", others=("ann 1", "ann 3"))
    after = FIRST.with_outcome("outcome", "after", "ann 1")
    yield taken("opened above the transition", "RivalUnknownToLog", after, rival="after")
    young = FIRST.with_outcome("outcome", "young", "ann 1")
    yield taken("by a touch too old", "TouchDoesNotQualify", young, rival="young")
    none = FIRST.with_outcome("outcome", "ann", "genesis")
    yield taken("by no touch", "TouchDoesNotQualify", none, by="genesis")
    bobs = FIRST.with_outcome("outcome", "bob", "bob 4")
    yield taken("by a touch that comes later", "TouchDoesNotBeat", bobs, rival="bob", by="bob 4",
                contract="ann", touch="ann 1")  # fmt: skip
    yield taken("by the same touch, opened later", "TouchDoesNotBeat",
                FIRST.with_outcome("outcome", "closed_then", "ann 1"), rival="closed_then",
                contract="ann", touch="ann 1")  # fmt: skip
    yield taken("by the same touch, opened before", "", rival="ann", contract="closed_then",
                touch="ann 1")  # fmt: skip
    for other in ("owner", "log", "surface", "outcome"):
        name = f"other_{other}"
        yield taken(f"for another {other}", "NotARival",
                    FIRST.with_outcome("outcome", name, "ann 1"), rival=name)  # fmt: skip
    for other in ("policy", "model"):  # these are on chain alone
        name = f"other_{other}"
        log = FIRST.with_outcome("outcome", name, "ann 3").with_lie(
            "opened ann", subject=ALL["first_touch"][name].id
        )
        yield taken(f"by another {other}", "", log, rival=name, by="ann 3", touch="ann 1",
                    contract="ann")  # fmt: skip
    for name, error in (("ended", "NotARival"), ("unopened", "NotARival"),
                        ("closed", "RivalClosed"), ("closed_then", "")):  # fmt: skip
        yield taken(f"to one that is {name}", error,
                    FIRST.with_outcome("outcome", name, "ann 1"), rival=name)  # fmt: skip


def _by_touch() -> Iterator[Vector]:
    case = _refutation
    yield case("an earlier touch", "", "touch_order", "ann", "ann 3", "ann 1")
    yield case("the later touch", "TouchDoesNotBeat", "touch_order", "ann", "ann 1", "ann 3")
    yield case("another's touch", "TouchDoesNotCount", "touch_order", "ann", "ann 3", "bob 4")
    yield case("a later touch", "", "touch_order", "ann", "ann 1", "ann 3", log=LAST)
    yield case("a rival's touch", "", "rival", "bob", "bob 4", "ann 1", "opened ann", rival="ann")
    yield case("a rival's touch behind it", "TouchDoesNotBeat", "rival", "ann", "ann 1", "bob 4",
               "opened bob", rival="bob")  # fmt: skip
    # Without the outcome there is room for all that any rival needs.
    yield case("a rival that needs four", "", "rival", "bob", "bob 4", "ann 3", "opened late_once",
               "transition", "ann 1", rival="late_once", opening="transition")  # fmt: skip
    yield case("a rival that needs four, in another order", "WrongExhibit", "rival", "bob", "bob 4",
               "ann 3", "opened late_once", "ann 1", "transition", rival="late_once",
               opening="transition")  # fmt: skip
    yield case("no kind", "UnknownKind", "duplicate", "ann", "ann 1", "outcome")


# --- As JSON --------------------------------------------------------------------------------------


def table() -> Json:
    """The whole file."""
    return {
        "claims": [_claim(vector) for vector in claims()],
        "contracts": [
            {
                "closed_at_s": found.closed_at_s,
                "contract_id": to_hex(found.id),
                "name": f"{name} {model}",
                "opening_number": found.number,
                "terms": to_hex(_terms_abi(found.terms)),
            }
            for model, deals in ALL.items()
            for name, found in deals.items()
        ],
        "disproofs": [_case(vector) for vector in disproofs()],
        "origin": ORIGIN,
        "refutations": [_case(vector) | _claimed(vector) for vector in refutations()],
        "registrant": REGISTRANT,
    }


def case_of(vector: Vector) -> Case:
    """The case that a vector describes, without proofs."""
    log, deals = vector.log, ALL[vector.log.model]
    opening = NO_OPENING
    if vector.opening:
        given = log.records[log.at[vector.opening]].opening
        if isinstance(given, EventOpening):
            opening = given
    return Case(
        deals[vector.contract].id,
        vector.kind,
        tuple(Exhibit(log.at[name], encoded(log.entry(name))) for name in vector.shown),
        deals[vector.rival].id if vector.rival in deals else bytes(32),
        opening,
    )


def _case(vector: Vector) -> Json:
    case, log = case_of(vector), vector.log
    from_state, nth, received_ms, request_hash, commitment = opening_abi(case.opening)
    return {
        "contract_id": to_hex(case.contract_id),
        "error": vector.error,
        "floor": log.at[vector.floor],
        "kind": case.kind,
        "name": vector.name,
        "opening_commitment": to_hex(commitment),
        "opening_from_state": to_hex(from_state),
        "opening_nth": nth,
        "opening_received_ms": received_ms,
        "opening_request_hash": to_hex(request_hash),
        "reach": log.at[vector.reach],
        "rival_id": to_hex(case.rival),
        **_shown(log, vector.shown),
    }


def _claimed(vector: Vector) -> Json:
    claim = vector.claim
    if claim is None:
        raise ValueError(f"{vector.name} refutes nothing")
    rules = rules_of(ALL[vector.log.model][vector.contract].terms, bytes(32))
    return {
        "claim_amount": to_hex(claim.amount.to_bytes(32)),
        "claim_key": to_hex(claim.key(rules)),
        "claim_lead": to_hex(claim.lead),
        "claim_time_ms": claim.time_ms,
        "claim_touch": claim.touch,
        "claim_transition": claim.transition,
        "rival_floor": vector.log.at[vector.rival_floor],
    }


# What each claim is worth, written down by hand like the errors.
AMOUNTS = {"with a share": 3 + 8, "as much as an amount": 2**80 - 1}


def _claim(vector: ClaimVector) -> Json:
    log, terms = vector.log, ALL[vector.log.model][vector.contract].terms
    lead, transition = log.entry(vector.transition).subject, log.at[vector.transition]
    return {
        "amount": to_hex(AMOUNTS.get(vector.name, 0 if vector.error else 10).to_bytes(32)),
        "contract_id": to_hex(ALL[log.model][vector.contract].id),
        "error": vector.error,
        "key": to_hex(transition.to_bytes(32) if terms.repeatable else lead),
        "name": vector.name,
        "operator": terms.operator,
        **_shown(log, (vector.transition, vector.touch)),
    }


def _shown(log: Log, names: tuple[str, ...]) -> Json:
    leaves = [merkle.leaf_hash(encoded(record.entry)) for record in log.records]

    def node(level: int, position: int) -> bytes:
        return merkle.root_of(leaves[position << level : (position + 1) << level])

    places = [log.at[name] for name in names]
    return {
        "entries": [to_hex(encoded(log.records[place].entry)) for place in places],
        "indexes": places,
        "proofs": [
            [to_hex(hash_) for hash_ in merkle.inclusion_proof(place, len(leaves), node)]
            for place in places
        ],
        "root": to_hex(merkle.root_of(leaves)),
        "size": len(leaves),
    }


def _terms_abi(terms: Terms) -> bytes:
    members = deal.TERMS_TYPE.removeprefix("Terms(").removesuffix(")").split(",")
    return abi_encode([member.split(" ")[0] for member in members], list(terms.to_abi()))
