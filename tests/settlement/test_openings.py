"""Openings: what is signed is opened as far as it is worth its gas, and the rest is put off."""

from dataclasses import replace
from typing import NamedTuple

import psycopg

from orchestrator.core.limits import Limits
from orchestrator.core.site import Sponsorship
from orchestrator.settlement.openings import LOOK_AGAIN_MS, Openings
from orchestrator.simulation.sandbox import Sandbox
from tests.support.single_contract import PRICE, SingleContract, single_contract


def openings_of(sandbox: Sandbox, limits: Limits, least_units: int | None = None) -> Openings:
    stack = sandbox.stack
    tokens = tuple(t._replace(least_budget_units=least_units) for t in stack.site.tokens)
    sponsorship = Sponsorship(replace(stack.site, tokens=tokens), limits)
    return Openings(
        stack.worker, stack.site.log_id, stack.chain, stack.relayer, sandbox.clock, sponsorship
    )


class PutOff(NamedTuple):
    waits_for: str
    until_ms: int


def put_off(url: str) -> dict[bytes, PutOff]:
    with psycopg.connect(url) as admin:
        rows = admin.execute("SELECT contract_id, waits_for, until_ms FROM deferred_openings")
        return {row[0]: PutOff(*row[1:]) for row in rows.fetchall()}


def look_again(url: str) -> None:
    """Let the time come to look again at all that was put off."""
    with psycopg.connect(url) as admin:
        admin.execute("UPDATE deferred_openings SET until_ms = 0, waits_for = 'nothing'")


def sign_three(market: SingleContract) -> list[bytes]:
    """Have three more contracts of rising budgets signed by both, and opened by nobody."""
    market.fund_owner(60 * PRICE)
    ids = [
        market.propose(market.operator, budget_units=str(budget * PRICE)) for budget in (10, 20, 30)
    ]
    market.owner.accept_all(market.surface, market.sandbox.stack.escrow_domain)
    return ids


def test_openings_beyond_the_limits_wait_and_the_parties_may_not(database_url: str) -> None:
    with single_contract(database_url) as market:
        sandbox, publisher = market.sandbox, market.sandbox.stack.publisher.lower()
        small, middle, large = sign_three(market)

        # Where the parties pay, none is opened.
        assert openings_of(sandbox, Limits(openings_a_day=0)).ask(publisher) == 0
        assert {row.waits_for for row in put_off(database_url).values()} == {"opening_tokens"}
        assert openings_of(sandbox, Limits()).ask(publisher) == 0  # and not looked at again
        look_again(database_url)

        # One a day of all owners, and none that is worth less than twenty prices.
        openings = openings_of(sandbox, Limits(openings_of_all_a_day=1), 20 * PRICE)
        assert openings.ask(publisher) == 1
        waiting = put_off(database_url)
        assert waiting[small].waits_for == "opening_tokens"
        assert waiting[small].until_ms == sandbox.clock() + LOOK_AGAIN_MS
        (late,) = {middle, large} & set(waiting)
        assert waiting[late].waits_for == "openings_of_all_a_day"
        assert sandbox.clock() < waiting[late].until_ms <= sandbox.clock() + LOOK_AGAIN_MS
        assert openings.ask(publisher) == 0

        # And so many of this owner: where it is one, it has been opened above.
        look_again(database_url)
        assert openings_of(sandbox, Limits(openings_a_day=1), 1).ask(publisher) == 0
        assert {row.waits_for for row in put_off(database_url).values()} == {"openings_a_day"}
