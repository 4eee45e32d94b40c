"""Small worlds for tests of the fold: one surface, words for ids, and drawn requests."""

from hashlib import sha256
from typing import Any

from hypothesis import strategies as st

from orchestrator.core.common.errors import RequestError
from orchestrator.core.decisions.decide import decide
from orchestrator.core.log.entry import address_word, ascii_word
from orchestrator.core.log.opening import Record
from orchestrator.core.surface.policy import Policy, parse
from orchestrator.core.surface.surface_settings import SurfaceSettings, parse_settings
from orchestrator.core.world.contract import ContractRules
from orchestrator.core.world.requests import (
    CloseContract,
    Erasure,
    Genesis,
    OpenContract,
    ProductEvent,
    PublishPolicy,
    PublishSettings,
    RecordPayout,
    RegisterOperator,
    Request,
    Settle,
    Touch,
)
from orchestrator.core.world.world import World


def word(text: str) -> bytes:
    return text.encode().ljust(32, b".")


OWNER, VERIFIER = address_word("0x" + "a" * 40), word("verifier")
OPERATORS = [address_word("0x" + digit * 40) for digit in "be"]
# The names of the owner's surfaces, by their ids.
SURFACE_NAMES: dict[bytes, str] = {}


def surface_named(name: str) -> bytes:
    """Return the id of the owner's surface of this name."""
    surface = sha256(OWNER + ascii_word(name)).digest()
    SURFACE_NAMES[surface] = name
    return surface


SURFACE = surface_named("surface")
LEADS = [word("x"), word("y"), word("z")]
ORDERS = [word(f"order {n}") for n in range(6)]
EVENTS = ["signup", "buy", "refund", "lapse", "noise"]
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
    "attribution": "first_touch",
    "lateness_s": 5,
    "touches_per_lead": 10_000,
}
TOKEN = bytes(31) + b"\1"
# Periods of seconds, in which drawn histories earn levels and lose them.
_EARNED = {"age_s": 0, "reversed_bps": 2000, "keep_reversed_bps": 5000, "disputes_lost": 0}
SETTINGS: dict[str, Any] = {
    "token": f"0x{TOKEN[12:].hex()}",
    "actions": {
        "email": {"level": 1},
        "call": {"level": 1},
        "letter": {"level": 1, "by": "surface"},
    },
    "levels": [
        {"leads_a_day": 1000},
        {"leads_a_day": 1000, "outcomes": 1, "units": "1", **_EARNED},
        {"leads_a_day": 1000, "outcomes": 2, "units": "10", **_EARNED},
    ],
    "codes": {"level": 1, "max_uses": 100, "expires_s": 366 * 86_400, "a_day": 1000},
    "bucket_s": 2,
    "ripening_s": 1,
    "pause_s": 3,
}


def policy(**changes: Any) -> Policy:
    return parse({**DOCUMENT, **changes})


def settings(**changes: Any) -> SurfaceSettings:
    return parse_settings({**SETTINGS, **changes})


def rules(name: str, governing: Policy, **changes: Any) -> ContractRules:
    plain = ContractRules(
        contract_id=word(name),
        surface=SURFACE,
        owner=OWNER,
        operator=OPERATORS[0],
        verifier=VERIFIER,
        policy_hash=governing.hash,
        attribution=governing.attribution,
        outcome="paid",
        repeatable=False,
        unit_price_units=10,
        revenue_share_bps=0,
        budget_units=1000,
        opens_at_ms=0,
        deadline_ms=1_000_000,
        attribution_window_ms=100_000,
        holdback_period_ms=0,
    )
    return plain._replace(**changes)


def begin(governing: Policy, *contracts: ContractRules) -> tuple[World, list[Record]]:
    """Return a world with a genesis, the surface, its operators at level 1, and these contracts.

    The first of these contracts opens at entry 11.
    """
    world = World()
    records = decide(world, Genesis(word("log"), word("publisher")), 0)
    requests: list[Request] = [
        PublishPolicy(SURFACE, OWNER, governing),
        PublishSettings(SURFACE, OWNER, settings()),
        *(RegisterOperator(operator, word("profile")) for operator in OPERATORS),
        *(request for operator in OPERATORS for request in partnership(governing, operator)),
        *(OpenContract(contract, word("transaction")) for contract in contracts),
    ]
    records += [record for request in requests for record in decide(world, request, 0)]
    return world, records


def partner(governing: Policy, operator: bytes, **changes: Any) -> ContractRules:
    """Return a contract that gives an operator level 1, and never pays."""
    plain = {
        "operator": operator,
        "outcome": governing.initial,
        "budget_units": 1,
        "opens_at_ms": 0,
        "deadline_ms": 0,
    }
    terms = rules("partner", governing, **{**plain, **changes})
    if "contract_id" in changes:
        return terms
    return terms._replace(contract_id=sha256(terms.surface + operator).digest())


def partnership(
    governing: Policy, operator: bytes, at_ms: int = 0, **changes: Any
) -> tuple[Request, Request]:
    """Return such a contract's opening, and its closing, so that it binds no policy."""
    contract = partner(governing, operator, **changes)
    return (
        OpenContract(contract, word("opening")),
        CloseContract(contract.contract_id, at_ms, word("closing")),
    )


def open_surface(
    world: World, surface: bytes, governing: Policy, at_ms: int = 0, owner: bytes = OWNER
) -> list[Record]:
    """Publish another surface on which the operators have level 1."""
    requests: list[Request] = [
        PublishPolicy(surface, owner, governing),
        PublishSettings(surface, owner, settings()),
    ]
    for operator in OPERATORS:
        requests += partnership(governing, operator, at_ms, surface=surface, owner=owner)
    return [record for request in requests for record in decide(world, request, at_ms)]


def decided(world: World, request: Request, now: int) -> list[Record]:
    """Return the records of a request, or none where the rules turn it away."""
    try:
        return decide(world, request, now)
    except RequestError:
        return []


# A strategy's own draws are mostly small and alike, and a history in which nothing is paid agrees
# with any rule. So these draw a seed, and the rest evenly from it.
seeds = st.randoms(use_true_random=True)


@st.composite
def contract_lists(draw: st.DrawFn, governing: Policy) -> list[ContractRules]:
    random = draw(seeds)
    found = []
    for number in range(random.randint(2, 5)):
        opens = random.choice([0, 0, 2000, 12_000])
        found.append(
            rules(
                f"c{number}",
                governing,
                operator=random.choice(OPERATORS),
                outcome=random.choice(["paid", "paid", "paid", *governing.states]),
                repeatable=random.choice([True, False]),
                unit_price_units=random.randint(0, 9),
                revenue_share_bps=random.choice([1, 500, 10_000]),
                budget_units=random.choice([0, 15, 40, 1000]),
                opens_at_ms=opens,
                deadline_ms=opens + random.choice([0, 9000, 90_000, 90_000]),
                attribution_window_ms=random.choice([0, 4000, 90_000, 90_000]),
                holdback_period_ms=random.choice([0, 2000, 50_000]),
                statement_group=random.choice([b"g", b"h"]),
                token=random.choice([TOKEN, TOKEN, bytes(32)]),
            )
        )
    return found


@st.composite
def request_lists(
    draw: st.DrawFn, contracts: list[ContractRules], owner: bytes = OWNER
) -> list[tuple[int, Request]]:
    """Draw (now, request) in time order; events may be late by up to the policy's bound."""
    random = draw(seeds)
    now = 0
    found: list[tuple[int, Request]] = []
    for _ in range(random.choice([5, 40, 80])):
        now += random.choice([0, 1, 1000, 2000])
        lead = random.choice([*LEADS, LEADS[0], LEADS[0]])
        kind = random.choice(["touch"] * 4 + ["event"] * 6 + ["tick"] * 2 + ["pay"] * 2 + ["erase"])
        request: Request
        if kind == "touch":
            request = Touch(SURFACE, lead, random.choice(OPERATORS), "email")
        elif kind == "event":
            event = random.choice(["signup", "signup", "buy", "buy", "buy", *EVENTS])
            at = max(0, now - random.choice([0, 0, 1, 4000]))
            value, order = random.randint(0, 9), random.choice([bytes(32), *ORDERS])
            whole = random.choice([True, False, False])
            value = 0 if whole and event in ("refund", "lapse") else value
            request = ProductEvent(SURFACE, lead, event, value, at, order=order, whole=whole)
        elif kind == "tick":
            request = Settle()
        elif kind == "erase":
            request = Erasure(SURFACE, lead, owner)
        else:
            paid = random.choice(contracts).contract_id
            request = RecordPayout(paid, word("payee"), "paid", 1, word("transaction"))
        found.append((now, request))
    return found
