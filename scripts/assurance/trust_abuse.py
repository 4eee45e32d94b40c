"""The reach of abuses of trust: farmed forecasts, leads of its own, many wallets, bought outcomes.

    .venv/bin/python scripts/assurance/trust_abuse.py [--write]

Runs each abuse through the core that decides (`decide`, with the writer, the folds and the judge of
levels behind it) on a surface with the example settings, day by day, and counts what the log lets
through. Prints tables; `--write` puts them into docs/security/trust-abuse.md. The seed is fixed, so
that another run gives the same.
"""

import argparse
from collections.abc import Callable, Iterable
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from api.routes.surfaces.documents import SETTINGS_EXAMPLE
from orchestrator.core.common.errors import RequestError
from orchestrator.core.common.units import DAY_MS, DAY_S
from orchestrator.core.decisions.decide import decide
from orchestrator.core.log.entry import address_word
from orchestrator.core.log.opening import Record
from orchestrator.core.surface.policy import parse
from orchestrator.core.surface.surface_settings import parse_settings
from orchestrator.core.world.codec import commitment
from orchestrator.core.world.contract import ContractRules
from orchestrator.core.world.requests import (
    Genesis,
    JudgeTrust,
    MakeForecast,
    OpenContract,
    ProductEvent,
    PublishPolicy,
    PublishSettings,
    RecordRuling,
    Request,
    ScoreForecast,
    Settle,
    Touch,
)
from orchestrator.core.world.world import World

DOCUMENT = Path(__file__).parents[2] / "docs" / "security" / "trust-abuse.md"
BEGIN, END = "<!-- measured -->\n", "<!-- /measured -->\n"
SEED = 0xAB05E
USD = 1_000_000
PRICE_UNITS = 8 * USD  # what the contract pays for a subscription
PRODUCT_UNITS = 29_900_000  # what the owner's product takes for one
BUDGET_UNITS = 10_000 * USD
POLICY: dict[str, Any] = {
    "initial": "new",
    "states": ["new", "signed_up", "activated", "subscribed"],
    "transitions": [
        {"on": "signup", "from": ["new"], "to": "signed_up", "motion": "acquisition"},
        {"on": "activate", "from": ["signed_up"], "to": "activated", "motion": "activation"},
        {"on": "lapse", "from": ["signed_up"], "to": "new", "motion": "activation"},
        {"on": "subscribe", "from": ["activated"], "to": "subscribed", "motion": "conversion"},
    ],
    "reversals": [{"on": "refund", "of": "subscribed"}],
    "attribution": "last_touch",
    "lateness_s": DAY_S,
    "touches_per_lead": 10,
}
# The example has no pool, and so no level by forecasts.
SETTINGS: dict[str, Any] = SETTINGS_EXAMPLE | {
    "pool": {"places": 3, "leads_a_day": 20, "touches_a_day": 40, "lasts_s": 30 * DAY_S},
    "forecasts": {
        "questions": [
            {"from": "signed_up", "to": "activated", "horizon_days": 7},
            {"from": "new", "to": "signed_up", "horizon_days": 7},
        ]
    },
}
WEEKS, LEADS_A_DAY = 52, 40
USUAL_BPS, SHOCK_BPS = 3_000, 800
TRIES = 600  # acts that a wallet tries in a day, more than any level allows
HOUR_MS = DAY_MS // 24


def word(text: str) -> bytes:
    return text.encode().ljust(32, b".")


OWNER, SURFACE, SALT = address_word("0x" + "a" * 40), word("surface"), word("salt")


def wallets(count: int) -> list[bytes]:
    return [address_word(f"0x{number:040x}") for number in range(1, count + 1)]


class Market:
    """A log in memory with one surface, and what its operators were let do, by day."""

    def __init__(self, seed: str) -> None:
        self.world = World()
        self.draw = Random(f"{SEED} {seed}")  # noqa: S311 - a trial is to be repeated
        self.acts: dict[int, list[tuple[bytes, bytes]]] = {}
        policy = parse(POLICY)
        for request in (
            Genesis(word("log"), word("publisher")),
            PublishPolicy(SURFACE, OWNER, policy),
            PublishSettings(SURFACE, OWNER, parse_settings(SETTINGS)),
        ):
            decide(self.world, request, 0)

    def open_contract(self, operator: bytes, at_ms: int) -> bytes:
        """Let the owner open a contract with an operator, for all of the year."""
        policy = self.world.surfaces[SURFACE].policy
        rules = ContractRules(
            contract_id=word(f"contract {int.from_bytes(operator)}"),
            surface=SURFACE,
            owner=OWNER,
            operator=operator,
            verifier=word("verifier"),
            policy_hash=policy.hash,
            attribution=policy.attribution,
            outcome="subscribed",
            repeatable=False,
            unit_price_units=PRICE_UNITS,
            revenue_share_bps=0,
            budget_units=BUDGET_UNITS,
            opens_at_ms=0,
            deadline_ms=2 * 366 * DAY_MS,
            attribution_window_ms=30 * DAY_MS,
            holdback_period_ms=14 * DAY_MS,
            token=address_word(SETTINGS["token"]),
        )
        decide(self.world, OpenContract(rules, word("transaction")), at_ms)
        return rules.contract_id

    def tried(self, request: Request, at_ms: int) -> list[Record]:
        """Return the records of a request, none where the rules turn it away."""
        try:
            return decide(self.world, request, at_ms)
        except RequestError:
            return []

    def report(self, lead: bytes, event: str, at_ms: int, units: int = 0) -> list[Record]:
        return self.tried(ProductEvent(SURFACE, lead, event, units, at_ms), at_ms)

    def act(self, operator: bytes, leads: Iterable[bytes], at_ms: int) -> int:
        """Let an operator touch as many of these leads as it may; return how many."""
        done = 0
        for lead in leads:
            if not self.tried(Touch(SURFACE, lead, operator, "email"), at_ms):
                break
            self.acts.setdefault(at_ms // DAY_MS, []).append((operator, lead))
            done += 1
        return done

    def level(self, operator: bytes) -> int:
        return self.world.standing(SURFACE, operator).level

    def earned_units(self) -> int:
        return sum(contract.earned_units for contract in self.world.contracts.values())

    @property
    def most_touches(self) -> int:
        """The most touches of one day."""
        return max(map(len, self.acts.values()), default=0)

    @property
    def most_leads(self) -> int:
        """The most distinct pairs of operator and lead of one day."""
        return max((len(set(acts)) for acts in self.acts.values()), default=0)


# --- Forecasts that are farmed --------------------------------------------------------------------

Guess = Callable[[Random, int], int]


def by_luck(draw: Random, _rate_bps: int) -> int:
    """Say that this window's rate is high or low, by a coin: the best that ignorance can do."""
    return USUAL_BPS + (SHOCK_BPS if draw.random() < 0.5 else -SHOCK_BPS)


def by_knowledge(_draw: Random, rate_bps: int) -> int:
    return rate_bps


class Farmed(NamedTuple):
    """A year of a farm: wallets that ever had a place, and the most at once, leads and touches."""

    passed: int
    places: int
    leads: int
    touches: int


def farm(count: int, guess: Guess, weeks: int) -> Farmed:
    """Let so many wallets forecast each week, and act as much as they may, every day."""
    market = Market(f"farm {count} {guess.__name__}")
    everyone, ever, most = wallets(count), set[bytes](), 0
    made: list[tuple[bytes, int, int]] = []  # for the window that has begun last
    ended: list[tuple[bytes, int, int]] = []  # for the one before it
    waiting: list[list[bytes]] = []
    rate_bps = USUAL_BPS
    for day in range(1, 7 * weeks + 1):
        start_ms = day * DAY_MS
        # The windows of the week before end at this midnight, and are opened.
        for operator, position, probability in ended if day % 7 == 1 else ():
            market.tried(
                ScoreForecast(SURFACE, operator, position, probability, SALT), start_ms + 1
            )
        if day % 7 == 1:
            ended, made = made, []
            rate_bps = USUAL_BPS + (SHOCK_BPS if market.draw.random() < 0.5 else -SHOCK_BPS)
        # Who came three days ago leaves, so many of them into the state that is asked about.
        for number, lead in enumerate(waiting.pop(0) if len(waiting) == 3 else ()):
            moved = number < (LEADS_A_DAY * rate_bps + 5_000) // 10_000
            market.report(lead, "activate" if moved else "lapse", start_ms + HOUR_MS)
        new = [word(f"lead {day} {number}") for number in range(LEADS_A_DAY)]
        for lead in new:
            market.report(lead, "signup", start_ms + 2 * HOUR_MS)
        waiting.append(new)
        holders = [one for one in everyone if market.level(one)]
        ever.update(holders)
        most = max(most, len(holders))
        for operator in holders:
            twice = [lead for lead in new for _ in range(2)]
            market.act(operator, twice, start_ms + 3 * HOUR_MS)
        if day % 7 == 0:
            # The coin of the coming window is drawn already, for those who know it.
            coming = Random()  # noqa: S311
            coming.setstate(market.draw.getstate())
            next_bps = USUAL_BPS + (SHOCK_BPS if coming.random() < 0.5 else -SHOCK_BPS)
            luck = Random(f"{SEED} luck {count} {day}")  # noqa: S311
            for operator in everyone:
                probability = guess(luck, next_bps)
                sealed = commitment(SALT, probability.to_bytes(32))
                request = MakeForecast(
                    SURFACE, operator, "signed_up", "activated", 7, word("request"), sealed
                )
                if market.tried(request, start_ms + 12 * HOUR_MS):
                    made.append((operator, market.world.size - 1, probability))
    return Farmed(len(ever), most, market.most_leads, market.most_touches)


def farm_table(weeks: int) -> str:
    lines = [
        "| wallets | forecast | ever at level 1 | at once | leads in a day | touches in a day |",
        "|---:|---|---:|---:|---:|---:|",
    ]
    for guess in (by_luck, by_knowledge):
        for count in (1, 10, 100):
            row = farm(count, guess, weeks)
            name = guess.__name__.replace("_", " ")
            lines.append(f"| {count} | {name} | {' | '.join(map(str, row))} |")
    return "\n".join(lines)


# --- Leads of its own -----------------------------------------------------------------------------


def own_leads_table(days: int) -> str:
    """Return what an operator gets by leads that it makes up, at level 1 by a contract."""
    market, (operator,) = Market("own leads"), wallets(1)
    contract = market.open_contract(operator, DAY_MS)
    for day in range(1, days + 1):
        for number in range(LEADS_A_DAY):
            market.report(word(f"real {day} {number}"), "signup", day * DAY_MS + HOUR_MS)
            market.report(word(f"real {day} {number}"), "lapse", day * DAY_MS + HOUR_MS)
        made_up = (word(f"made up {day} {number}") for number in range(TRIES))
        market.act(operator, made_up, day * DAY_MS + 3 * HOUR_MS)
        decide(market.world, Settle(), day * DAY_MS + 4 * HOUR_MS)
    total = sum(map(len, market.acts.values()))
    here = market.world.surfaces[SURFACE].cohorts.counts()["new"]
    outcomes = market.world.contracts[contract].outcomes
    lines = [
        "| days | leads of its own | in one day | outcomes | level | share of the initial state |",
        "|---:|---:|---:|---:|---:|---:|",
        (
            f"| {days} | {total} | {market.most_leads} | {outcomes} | {market.level(operator)} | "
            f"{100 * total // here} % |"
        ),
    ]
    return "\n".join(lines)


# --- Ten wallets ----------------------------------------------------------------------------------


class Split(NamedTuple):
    """A year of an operator with so many wallets, which has one real outcome a day."""

    contracts: int
    leads: int
    second_level_day: int | None
    at_second_level: int
    kept_after_refunds: int


def split(count: int, contracts: int, days: int) -> Split:
    """Let an operator's wallets share its work; in the end all that one sold is refunded."""
    market, everyone = Market(f"split {count} {contracts}"), wallets(count)
    for operator in everyone[:contracts]:
        market.open_contract(operator, DAY_MS)
    second, sold = None, []
    for day in range(1, days + 1):
        start_ms = day * DAY_MS
        lead = word(f"sold {day}")
        # The first wallet sells each tenth, and has all the refunds in the end.
        seller = everyone[day % contracts]
        for event in ("signup", "activate"):
            market.report(lead, event, start_ms + HOUR_MS)
        market.act(seller, [lead], start_ms + 2 * HOUR_MS)
        market.report(lead, "subscribe", start_ms + 3 * HOUR_MS, PRODUCT_UNITS)
        if seller == everyone[0]:
            sold.append(lead)
        for number, operator in enumerate(everyone):
            fresh = (word(f"any {day} {number} {nth}") for nth in range(TRIES))
            market.act(operator, fresh, start_ms + 4 * HOUR_MS)
        decide(market.world, Settle(), start_ms + 5 * HOUR_MS)
        if second is None and any(market.level(one) == 2 for one in everyone):
            second = day
    risen = sum(market.level(one) == 2 for one in everyone)
    for lead in sold:
        market.report(lead, "refund", (days + 1) * DAY_MS)
    for operator in everyone:
        market.tried(JudgeTrust(SURFACE, operator), (days + 1) * DAY_MS)
    kept = sum(market.level(one) == 2 for one in everyone)
    return Split(contracts, market.most_leads, second, risen, kept)


def split_table(days: int) -> str:
    lines = [
        (
            "| wallets | contracts | leads in a day | level 2 after days | wallets at level 2 "
            "| after one wallet's refunds |"
        ),
        "|---:|---:|---:|---:|---:|---:|",
    ]
    for count, contracts in ((1, 1), (10, 1), (10, 10)):
        found = split(count, contracts, days)
        cells = ["never" if cell is None else str(cell) for cell in found]
        lines.append(f"| {count} | {' | '.join(cells)} |")
    return "\n".join(lines)


# --- Bought outcomes ------------------------------------------------------------------------------


def buy(count: int, days: int, then: str) -> tuple[int, Market]:
    """Return the level of an operator that has bought outcomes, after what came then."""
    market, (operator,) = Market(f"buy {count}"), wallets(1)
    contract = market.open_contract(operator, DAY_MS)
    own = [word(f"own {number}") for number in range(count)]
    for number, lead in enumerate(own):
        at_ms = (1 + number // 4) * DAY_MS + number
        for event in ("signup", "activate"):
            market.report(lead, event, at_ms)
        market.act(operator, [lead], at_ms)
        market.report(lead, "subscribe", at_ms, PRODUCT_UNITS)
    for day in range(12, days + 1):
        fresh = (word(f"any {day} {nth}") for nth in range(TRIES))
        market.act(operator, fresh, day * DAY_MS)
    end_ms = (days + 1) * DAY_MS
    if then == "refunds":
        for lead in own:
            market.report(lead, "refund", end_ms)
    elif then == "a ruling":
        ruling = RecordRuling(contract, word("arbiter"), "lowered", 0, word("transaction"))
        decide(market.world, ruling, end_ms)
    market.act(operator, [word("one more")], end_ms)
    return market.level(operator), market


def bought_table(days: int) -> str:
    columns = (
        "outcomes bought",
        "paid for them",
        "paid back by the contract",
        "lost",
        "level",
        "leads in a day",
        "level once all are refunded",
        "level after a lost ruling",
    )
    lines = [f"| {' | '.join(columns)} |", "|" + len(columns) * "---:|"]
    for count in (1, 12, 13, 19, 20, 40):
        level, market = buy(count, days, "nothing")
        cost, earned = count * PRODUCT_UNITS, market.earned_units()
        money = [f"{units / USD:.2f}" for units in (cost, earned, cost - earned)]
        after = [buy(count, days, then)[0] for then in ("refunds", "a ruling")]
        cells = [count, *money, level, market.most_leads, *after]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


# --- The page -------------------------------------------------------------------------------------


def tables(weeks: int = WEEKS, days: int = 300) -> str:
    """Return all that is measured, as Markdown."""
    parts = (
        f"Seed {SEED}; {weeks} weeks of forecasts, {days} days of everything else.",
        "**Farmed forecasts.**\n\n" + farm_table(weeks),
        "**Leads of its own.**\n\n" + own_leads_table(min(days, 60)),
        "**Ten wallets, one real outcome a day.**\n\n" + split_table(days),
        "**Bought outcomes.**\n\n" + bought_table(min(days, 60)),
    )
    return "\n\n".join(parts) + "\n"


def write(measured: str) -> None:
    """Put what was measured into the page."""
    text = DOCUMENT.read_text()
    before, rest = text.split(BEGIN)
    DOCUMENT.write_text(f"{before}{BEGIN}{measured}{END}{rest.split(END)[1]}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="put the tables into the page")
    found = tables()
    print(found)
    if parser.parse_args().write:
        write(found)
