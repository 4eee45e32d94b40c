"""Openings: what is signed is opened as far as it is worth its gas; what fails is tried again."""

from dataclasses import replace
from typing import NamedTuple

import psycopg
import pytest

from orchestrator.core.common.errors import ServerError
from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.core.common.limits import Limits
from orchestrator.core.common.units import DAY_S
from orchestrator.core.deals.site import Sponsorship
from orchestrator.core.deals.terms import owner_consent_digest
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
    next_ms: int


def put_off(url: str) -> dict[bytes, PutOff]:
    with psycopg.connect(url) as admin:
        rows = admin.execute(
            "SELECT contract_id, waits_for, next_ms FROM openings WHERE waits_for IS NOT NULL"
        )
        return {row[0]: PutOff(*row[1:]) for row in rows.fetchall()}


def look_again(url: str) -> None:
    """Let the time come to look again at all that was put off."""
    with psycopg.connect(url) as admin:
        admin.execute(
            "UPDATE openings SET next_ms = 0, waits_for = 'nothing' WHERE waits_for IS NOT NULL"
        )


def sign_three(market: SingleContract) -> list[bytes]:
    """Have three more contracts of rising budgets signed by both, and opened by neither."""
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
        limited = openings_of(sandbox, Limits(openings_of_all_a_day=1), 20 * PRICE)
        assert limited.ask(publisher) == 1
        waiting = put_off(database_url)
        assert waiting[small].waits_for == "opening_tokens"
        assert waiting[small].next_ms == sandbox.clock() + LOOK_AGAIN_MS
        (late,) = {middle, large} & set(waiting)
        assert waiting[late].waits_for == "openings_of_all_a_day"
        assert sandbox.clock() < waiting[late].next_ms <= sandbox.clock() + LOOK_AGAIN_MS
        assert limited.ask(publisher) == 0

        # And so many of this owner: where it is one, it has been opened above.
        look_again(database_url)
        assert openings_of(sandbox, Limits(openings_a_day=1), 1).ask(publisher) == 0
        assert {row.waits_for for row in put_off(database_url).values()} == {"openings_a_day"}


def test_an_opening_that_fails_says_why_and_is_tried_again(database_url: str) -> None:
    with single_contract(database_url) as market:
        sandbox, chain, operator = market.sandbox, market.chain, market.operator
        now_s = sandbox.clock() // 1000
        proposed = market.propose(operator, opens_at_s=now_s + DAY_S)
        path = f"/v1/proposals/{to_hex(proposed)}"

        # Without funds it is not even accepted, and the owner is told what to do.
        sandbox.send("owner", chain.approve(sandbox.token, 0))
        with pytest.raises(ServerError, match=r"approve\(0x[0-9a-fA-F]{40}, 800000000\)"):
            market.accept()
        market.fund_owner(100 * PRICE)
        # The allowance goes between the acceptance and the opening.
        market.owner.accept_all(market.surface, sandbox.stack.escrow_domain)
        sandbox.send("owner", chain.approve(sandbox.token, 0))
        sandbox.come_to_rest()
        for client in (operator, market.owner):
            seen = client.get(path)
            assert (seen["status"], seen["opening"]["tries"]) == ("accepted", 1)
            assert "the escrow may take 0.00" in seen["opening"]["reason"]
            assert seen["opening"]["next_ms"] > sandbox.clock()
        # It is looked at again no sooner than it says.
        sandbox.come_to_rest()
        assert operator.get(path)["opening"]["tries"] == 1
        market.fund_owner(100 * PRICE)
        sandbox.pass_time(120)
        sandbox.come_to_rest()
        assert operator.get(path)["status"] == "opened"


def test_terms_that_are_none_are_given_up_and_hold_up_no_other(database_url: str) -> None:
    """Both parties of a proposal may be one attacker, with the API's password."""
    with single_contract(database_url) as market:
        bad, *good = sign_three(market)
        with psycopg.connect(database_url) as admin:
            admin.execute(
                "UPDATE proposals SET terms = terms - 'salt' WHERE contract_id = %s", (bad,)
            )
        openings = openings_of(market.sandbox, Limits())
        assert openings.ask(market.sandbox.stack.publisher.lower()) == len(good)
        with psycopg.connect(database_url) as admin:
            rows = admin.execute(
                "SELECT reason, next_ms FROM openings WHERE contract_id = %s", (bad,)
            ).fetchall()
        assert rows == [("terms lack salt", None)]


def test_an_opening_that_the_escrow_refuses_is_tried_again_until_it_expires(
    database_url: str,
) -> None:
    with single_contract(database_url) as market:
        sandbox, chain, operator = market.sandbox, market.chain, market.operator
        now_s = sandbox.clock() // 1000
        market.fund_owner(100 * PRICE)
        terms = operator.draft(market.surface, **market.deal(opens_at_s=now_s + 3600))
        proposed = market.propose(operator, opens_at_s=now_s + 3600, salt=to_hex(terms.salt))
        digest = owner_consent_digest(terms, sandbox.stack.escrow_domain)
        market.owner.accept_all(market.surface, sandbox.stack.escrow_domain)
        sandbox.send("owner", chain.revoke(digest))
        path = f"/v1/proposals/{to_hex(proposed)}"
        tries = []
        for _ in range(8):
            sandbox.pass_time(600)
            sandbox.come_to_rest()
            tries.append(operator.get(path)["opening"]["tries"])
        seen = operator.get(path)
        assert seen["status"] == "expired"
        assert "Revoked" in seen["opening"]["reason"]
        # Twice as long after each: a few tries in an hour, and none once it has expired.
        assert 3 <= tries[-1] <= 7
        assert tries[-1] == tries[-2]
