"""The contracts, the honest logs and the form of the cases of tests/vectors/evidence.json."""

from dataclasses import replace
from typing import Any, NamedTuple

from eth_abi.abi import encode as abi_encode
from eth_keys.datatypes import PrivateKey
from eth_utils.crypto import keccak

from orchestrator.core.common.units import DAY_S
from orchestrator.core.deals.terms import Domain, Terms, contract_id
from orchestrator.core.decisions.decide import decide
from orchestrator.core.evidence.exhibits import Claim
from orchestrator.core.log.entry import ZERO_ADDRESS, Entry, address_word, pack_outcome
from orchestrator.core.log.opening import Record, payload_of
from orchestrator.core.surface.policy import parse
from orchestrator.core.surface.surface_settings import parse_settings
from orchestrator.core.world.contract import rules_of
from orchestrator.core.world.requests import (
    AnswerAction,
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

Json = dict[str, Any]

ORIGIN = "vectors.example/evidence"


def word(name: str) -> bytes:
    return keccak(f"tallystick evidence: {name}".encode())


def address(name: str) -> str:
    return PrivateKey(word(name)).public_key.to_checksum_address()


ESCROW = Domain("Tallystick OutcomeEscrow", "1", 31337, address("escrow"))
REGISTRANT = address("registrant")
LOG = keccak(abi_encode(["address", "string"], [REGISTRANT, ORIGIN]))
SURFACE, LEAD, OTHER_LEAD = word("surface"), word("lead"), word("other lead")
OWNER, ANN, BOB = (address(name) for name in ("owner", "ann", "bob"))
VERIFIER = address_word(address("verifier"))
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
    "touches_per_lead": 10_000,
}
POLICIES = {
    model: parse({**DOCUMENT, "attribution": model}) for model in ("first_touch", "last_touch")
}
SETTINGS = parse_settings(
    {
        "token": f"0x{1:040x}",
        "actions": {"email": {"level": 1}, "letter": {"level": 1, "by": "surface"}},
        "levels": [{"leads_a_day": 1000}],
        "codes": {"level": 1, "max_uses": 100, "expires_s": 86_400, "a_day": 1000},
    }
)


# --- Contracts ------------------------------------------------------------------------------------


def _terms(model: str, name: str, **changes: Any) -> Terms:
    plain = Terms(
        owner=OWNER,
        operator=ANN,
        payee=address("payee"),
        token=address("token"),
        verifier=address("verifier"),
        arbiter=address("arbiter"),
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
        salt=word(f"{model} {name}"),
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
    "other_owner": {"owner": address("stranger")},
    "other_log": {"log_id": word("other log")},
    "other_surface": {"surface": word("other surface")},
    "other_outcome": {"outcome": "trial"},
    "other_policy": {"policy": word("other policy")},
    "rich": {"budget_units": 2**80 - 1},
    "bob_once": {"operator": BOB, "repeatable": False},
    "bob_partner": {"operator": BOB, "outcome": "new"},  # gives Bob his level, and never pays
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
        found[name] = Deal(terms, contract_id(terms, ESCROW), number, CLOSED_AT_S.get(name, 0))
    other = "last_touch" if model == "first_touch" else "first_touch"
    terms = _terms(model, "other_model", attribution=other)
    found["other_model"] = Deal(terms, contract_id(terms, ESCROW), len(found) + 1, 0)
    return found


ALL = {model: _deals(model) for model in POLICIES}


# --- Logs -----------------------------------------------------------------------------------------


class Log(NamedTuple):
    """A log's records, and the positions of the entries that cases speak of, by name."""

    model: str
    records: tuple[Record, ...]
    at: dict[str, int]

    def entry(self, name: str) -> Entry:
        return self.records[self.at[name]].entry

    def with_lie(self, name: str, **changes: Any) -> "Log":
        """Return the log with another entry in this one's place."""
        records = list(self.records)
        place = self.at[name]
        records[place] = records[place]._replace(entry=self.entry(name)._replace(**changes))
        return self._replace(records=tuple(records))

    def with_opening(self, name: str, **changes: Any) -> "Log":
        """Return the log in which this entry commits to another opening."""
        records = list(self.records)
        place = self.at[name]
        entry, opening = records[place]
        changed = opening._replace(**changes)  # type: ignore[union-attr]
        records[place] = Record(entry._replace(payload=payload_of(changed)), changed)
        return self._replace(records=tuple(records))

    def with_outcome(self, name: str, contract: str, touch: str, **changes: Any) -> "Log":
        """Return the log in which the outcome of this name is another contract's."""
        transition = self.at[name] - 1
        payload = pack_outcome(transition, self.at[touch], 0, 1, 10)
        fields = {"actor": ALL[self.model][contract].id, "payload": payload} | changes
        return self.with_lie(name, **fields)


def _log(model: str) -> Log:
    """Return an honest log.

    Ann's contract is paid twice by first touch, Bob's by last touch; one outcome is taken back.
    """
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
        request = Touch(SURFACE, LEAD, address_word(operator), "email", word(names[-1]), LEAD)
        write(time_ms, request, *names)

    def event(time_ms: int, name: str, value: int, *names: str) -> None:
        time = start_ms + time_ms
        request = ProductEvent(SURFACE, LEAD, name, value, time, word(names[0]), LEAD)
        write(time_ms, request, *names)

    def opens(time_ms: int, name: str) -> None:
        rules = rules_of(deals[name].terms, deals[name].id)
        write(time_ms, OpenContract(rules, word("transaction")), f"opened {name}")

    write(-1000, Genesis(LOG, address_word(address("publisher"))), "genesis")
    write(-1000, PublishPolicy(SURFACE, address_word(OWNER), POLICIES[model]), "policy")
    write(-1000, PublishSettings(SURFACE, address_word(OWNER), SETTINGS), "settings")
    for operator in (ANN, BOB):
        write(-1000, RegisterOperator(address_word(operator), word("profile")), "operator")
    # Only these contracts are in the log; the others that a case names are on chain alone.
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


def _is_level(record: Record) -> bool:
    return record.entry.kind == "trust.changed"


class _Writer:
    """A log as it is written; the entries that cases speak of get names."""

    def __init__(self, model: str) -> None:
        self.model, self.world = model, World()
        self.records: list[Record] = []
        self.at: dict[str, int] = {}
        self(-1000, Genesis(LOG, address_word(address("publisher"))), "genesis")
        self(-1000, PublishPolicy(SURFACE, address_word(OWNER), POLICIES[model]), "policy")
        self(-1000, PublishSettings(SURFACE, address_word(OWNER), SETTINGS), "settings")
        for operator in (ANN, BOB):
            self(-1000, RegisterOperator(address_word(operator), word("profile")), "operator")

    def __call__(self, time_ms: int, request: Any, *names: str) -> None:
        written = decide(self.world, request, START_S * 1000 + time_ms)
        # A level follows from the first contract, and no case speaks of it.
        levels = [f"level at {self.world.size}" for each in written if _is_level(each)]
        for record, name in zip(written, [*names, *levels], strict=True):
            self.at[name] = len(self.records)
            self.records.append(record)

    def opens(self, time_ms: int, name: str) -> None:
        deal = ALL[self.model][name]
        rules = rules_of(deal.terms, deal.id)
        self(time_ms, OpenContract(rules, word("transaction")), f"opened {name}")

    def event(self, time_ms: int, name: str, value: int, *names: str, **fields: Any) -> None:
        at_ms = START_S * 1000 + time_ms
        request = ProductEvent(SURFACE, LEAD, name, value, at_ms, word(names[0]), LEAD)
        self(time_ms, request._replace(**fields), *names)

    def touch(self, time_ms: int, operator: str, *names: str) -> None:
        request = Touch(SURFACE, LEAD, address_word(operator), "email", word(names[-1]), LEAD)
        self(time_ms, request, *names)

    def report(self, time_ms: int, at_ms: int, action: str, cause: str, name: str) -> None:
        """Report a touch of Ann's, that happened at a time and is received at another."""
        start_ms = START_S * 1000
        self(time_ms, ReportTouch(
            SURFACE, LEAD, address_word(ANN), action, start_ms + at_ms, self.at[cause],
            start_ms + time_ms, word(name), LEAD,
        ), name)  # fmt: skip

    def log(self) -> Log:
        return Log(self.model, tuple(self.records), self.at)


def _orders() -> Log:
    """Return an honest log by first touch, in which Ann is paid 3 and an eighth of each purchase.

    She is credited for a click. The first purchase, of 80, has an order and pays 13: 20 and 30 of
    it are given back, and then the rest. The second, of 40, has none and pays 8; the third has an
    order of its own. An event without an order takes back the second, as the third has gone.
    """
    write, start_ms = _Writer("first_touch"), START_S * 1000
    write.opens(0, "share")
    write.opens(0, "bob_partner")
    write.touch(200, BOB, "lead", "bob 0")
    write(500, IssueCode(SURFACE, word("code"), address_word(ANN), 9, start_ms + 90_000,
                         word("issue"), LEAD, bytes(32)), "code")  # fmt: skip
    write(700, RequestAction(SURFACE, LEAD, address_word(ANN), "letter", 90_000,
                             word("asked"), LEAD, bytes(32)), "request")  # fmt: skip
    write.report(1200, 900, "click", "code", "click")
    write(1300, AnswerAction(SURFACE, LEAD, address_word(OWNER), write.at["request"], "taken"),
          "taken")  # fmt: skip
    write.event(5000, "signup", 0, "answer", "trial")
    first, third = {"order": word("order 1")}, {"order": word("order 3")}
    write.event(6000, "buy", 80, "transition 1", "outcome 1", **first)
    write.event(6100, "buy", 40, "transition 2", "outcome 2")
    write.event(6200, "buy", 8, "transition 3", "outcome 3", **third)
    write.event(7000, "refund", 20, "refund 1", "reversal 1", **first, whole=False)
    write.event(7100, "refund", 30, "refund 2", "reversal 2", **first, whole=False)
    write.event(7200, "refund", 0, "refund 3", "reversal 3", **third)
    write.event(7300, "refund", 0, "refund 4", "reversal 4")
    write.event(7400, "refund", 0, "refund 5", "reversal 5", **first)
    write(8500, Settle(), "settlement")
    return write.log()


def _visits() -> Log:
    """Return an honest log by last touch, in which a lead buys three times.

    Ann is paid first; then Bob's touch is the last, and his contract counts a lead once.
    """
    write = _Writer("last_touch")
    for name in ("ann", "bob_once"):
        write.opens(0, name)
    write.touch(1000, ANN, "lead", "ann 1")
    write.event(1500, "signup", 0, "trial")
    write.event(2000, "buy", 0, "transition 1", "outcome 1")
    write.touch(4000, BOB, "bob 4")
    write.event(6000, "buy", 0, "transition 2", "outcome 2")
    write.event(7000, "buy", 0, "transition 3", "outcome 3")
    write(8500, Settle(), "settlement", "settlement of bob")
    return write.log()


ORDERS, VISITS = _orders(), _visits()


# --- Cases ----------------------------------------------------------------------------------------


class Vector(NamedTuple):
    """One case: the entries that it shows of a log, the contract, and the error that refuses it.

    A name with a plus sign is shown with its opening. `left` is what a refutation leaves, `amount`
    what an event took back of an outcome, and `sum` what the contract had earned with that; all
    are written down by hand like the errors.
    """

    name: str
    error: str
    log: Log
    kind: str
    contract: str
    shown: tuple[str, ...]
    rival: str = ""
    last_signed: str = "settlement"
    last_final: str = "settlement"
    rival_last_final: str = "genesis"
    claim: Claim | None = None
    left: int = 0
    amount: int = 0
    sum: int = 0
