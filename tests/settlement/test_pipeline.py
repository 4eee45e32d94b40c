"""Contracts that do not pay at once, from the log to the wallet: nothing early, nothing lost."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from orchestrator.chain.deployment import log_id_of
from orchestrator.client.accounts import EventReport, Operator, Owner, wallet
from orchestrator.client.http import Client
from orchestrator.core import tx_plan as submission
from orchestrator.core.contract import rules_of
from orchestrator.core.entry import address_word
from orchestrator.core.errors import ReplayError
from orchestrator.core.requests import OpenContract
from orchestrator.core.terms import close_digest, contract_id, sign_digest
from orchestrator.runtime.stack import Keys, Stack
from orchestrator.settlement import pipeline
from orchestrator.simulation.sandbox import Sandbox, SandboxOptions, address_of, key_of
from orchestrator.verify import comparison as checks
from orchestrator.verify.comparison import Comparison
from tests.support.servers import server_folder

START_MS = 1_700_000_000_000
DAY_S = 86_400
PRICE = 8_000_000
POLICY: dict[str, object] = {
    "initial": "visitor",
    "states": ["visitor", "trial", "active"],
    "transitions": [
        {"on": "signup", "from": ["visitor"], "to": "trial", "motion": "acquisition"},
        {"on": "activate", "from": ["trial"], "to": "active", "motion": "activation"},
    ],
    "reversals": [{"on": "refund", "of": "active"}],
    "attribution": "last_touch",
    "actions": {"email": 0},
}
LIST = "endorsements"
CHALLENGE: dict[str, object] = {"challenge_period_s": 2 * DAY_S}


class Market:
    """An owner, one operator, and one contract between them."""

    def __init__(self, scene: Sandbox, **deal: object) -> None:
        self.scene, self.chain = scene, scene.stack.chain
        self._people = 0
        self.owner = Owner(scene.url, wallet(key_of("owner")), "owner")
        self.operator = Operator(scene.url, wallet(key_of("ada")), "ada")
        for actor in (self.owner, self.operator):
            actor.sign_in()
        self.surface = self.owner.open_surface("trials", POLICY)
        scene.stack.drain()
        scene.send("owner", self.chain.mint(scene.token, self.owner.address, 100 * PRICE))
        scene.send("owner", self.chain.approve(scene.token, 100 * PRICE))
        self.contract = self.propose(self.operator, **deal)
        self.owner.accept_all(self.surface, scene.stack.escrow_domain)
        scene.pass_time(30)
        scene.come_to_rest()
        scene.pass_time(60)

    def propose(self, operator: Operator, **deal: object) -> bytes:
        now_s = self.scene.clock() // 1000
        return operator.propose(
            self.surface,
            self.scene.stack.escrow_domain,
            **{
                "outcome": "active",
                "unit_price_units": str(PRICE),
                "budget_units": str(100 * PRICE),
                "opens_at_s": now_s + 60,
                "deadline_s": now_s + 60 * DAY_S,
                "attribution_window_s": 7 * DAY_S,
                "grace_s": 7 * DAY_S,
                **deal,
            },
        )

    def close(self) -> None:
        self.owner.close()
        self.operator.close()

    def convert(self, people: int, operator: Operator | None = None) -> None:
        """New leads sign up, are touched, and become active."""
        operator = operator or self.operator
        names = [f"person-{self._people + n}" for n in range(people)]
        self._people += people
        self.report("signup", names)
        fresh = operator.leads(self.surface, "trial")
        operator.touch(self.surface, fresh, "email", f"round-{self._people}")
        self.scene.stack.drain()
        self.report("activate", names)

    def report(self, event: str, names: list[str]) -> None:
        now_ms = self.scene.clock()
        rows = [EventReport(f"{event}-{name}", name, event, "0", now_ms) for name in names]
        self.owner.report(self.surface, rows)
        self.scene.stack.drain()

    def paid_outcomes(self) -> int:
        """In outcomes' prices, and the wallet has it."""
        held = self.chain.balance_of(self.scene.token, self.operator.address)
        assert held == self.chain.paid_of(self.contract)
        return held // PRICE if held % PRICE == 0 else -1

    def settlements(self) -> int:
        return sum(t.intent_key.startswith("settle:") for t in self.scene.stack.transactions())

    def replayed(self) -> Comparison:
        with Client(self.scene.url) as client:
            return checks.replay(client, self.chain, self.scene.stack.site.log_id)

    def entries(self, kind: str) -> list[Any]:
        return [stored.entry for stored in self.scene.stack.log.of_kind(kind, 0, 1000)]


@contextmanager
def market(database_url: str, **deal: object) -> Iterator[Market]:
    with server_folder() as folder:
        plan = SandboxOptions(folder, START_MS, "guarded.tallystick", database_url=database_url)
        with Sandbox(plan, lambda _: None) as scene:
            there = Market(scene, **deal)
            try:
                yield there
            finally:
                there.close()


def test_statements_wait_for_each_other_and_the_newest_goes(database_url: str) -> None:
    with market(database_url, **CHALLENGE) as there:
        scene = there.scene
        for number in range(3):
            there.convert(1)
            scene.settle(f"day {number}")
        first = there.chain.pending_of(there.contract)
        assert first is not None
        assert first.earned_units == PRICE
        assert (there.settlements(), there.paid_outcomes()) == (1, 0)
        scene.pass_time(2 * DAY_S)
        scene.come_to_rest()
        assert there.paid_outcomes() == 0
        scene.pass_time(1)
        scene.come_to_rest()
        # The first is final and paid; of the two behind it the newest stands for both.
        second = there.chain.pending_of(there.contract)
        assert second is not None
        assert second.earned_units == 3 * PRICE
        assert (there.settlements(), there.paid_outcomes()) == (2, 1)
        scene.pass_time(2 * DAY_S + 1)
        scene.come_to_rest()
        assert (there.settlements(), there.paid_outcomes()) == (2, 3)
        assert not [entry for entry in there.entries("payout") if entry.label != "paid"]
        (compared,) = there.replayed().contracts
        assert (compared.paid_units, compared.owed_units) == (3 * PRICE, 0)


def test_a_pipeline_that_starts_anew_sends_what_is_missing_and_nothing_twice(
    database_url: str,
) -> None:
    with market(database_url, **CHALLENGE) as there:
        scene = there.scene
        for number in range(2):
            there.convert(1)
            scene.settle(f"day {number}")
        scene.pass_time(2 * DAY_S + 1)
        keys = Keys(key_of("publisher"), key_of("verifier"), key_of("relayer"))
        again = Stack(
            database_url=database_url,
            rpc_url=scene.rpc_url,
            site=scene.stack.site,
            keys=keys,
            now_ms=scene.clock,
            public_url=scene.url,
        )
        with again:
            scene.stack.pipeline = again.pipeline
            scene.come_to_rest()
            assert (there.settlements(), there.paid_outcomes()) == (2, 1)
            scene.come_to_rest()
            assert (there.settlements(), there.paid_outcomes()) == (2, 1)


def test_anchored_statements_of_ours_are_endorsed_once(database_url: str) -> None:
    """Whoever has a job elsewhere finds every statement signed for it: not too early, not twice."""
    with market(database_url, deadline_s=START_MS // 1000 + DAY_S) as there:
        scene, word = there.scene, address_word(address_of("verifier"))
        strange = there.operator.draft(
            there.surface,
            outcome="active",
            unit_price_units=str(PRICE),
            budget_units=str(PRICE),
            opens_at_s=scene.clock() // 1000 + 60,
            deadline_s=scene.clock() // 1000 + 3 * DAY_S,
            attribution_window_s=DAY_S,
            grace_s=DAY_S,
            verifier=address_of("somebody else"),
        )
        signed = contract_id(strange, scene.stack.escrow_domain)
        signature = sign_digest(signed, bytes(there.operator.account.key))
        scene.send("owner", there.chain.mint(scene.token, there.owner.address, 200 * PRICE))
        scene.send("owner", there.chain.approve(scene.token, 200 * PRICE))
        scene.send("owner", there.chain.open(strange, b"", signature))
        other = there.propose(there.operator)
        there.owner.accept_all(there.surface, scene.stack.escrow_domain)
        scene.pass_time(30)
        scene.come_to_rest()
        scene.pass_time(60)
        moving, log_id = scene.stack.pipeline, scene.stack.site.log_id
        there.convert(1)
        scene.pass_time(pipeline.ANCHOR_EVERY_MS // 1000)
        scene.come_to_rest()
        size = there.chain.checkpoint(log_id, "finalized").size

        def states() -> None:
            scene.pass_time(1)
            moving.tick(f"{scene.clock()}")
            scene.stack.drain()

        states()
        (first,) = scene.stack.log.of_kind("settlement", 0, 10)
        assert first.position == size  # the first that the anchor does not cover
        assert moving.endorse() == 0
        moving.publish()
        moving.submit()
        assert there.chain.checkpoint(log_id, "latest").size > size
        scene._chain_clock.mine()
        assert there.chain.checkpoint(log_id, "safe").size > size
        assert moving.endorse() == 0  # anchored, and not for good yet
        scene.finalize()
        there.convert(1)
        states()
        assert moving.endorse() == 1  # that one, and not the next
        scene.come_to_rest()
        for number in range(2):  # one contract after the other ends
            scene.pass_time(2 * DAY_S)
            there.convert(1)
            scene.settle(f"{number}")

        stated = scene.stack.log.of_kind("settlement", 0, 1000)
        ours = [one.position for one in stated if one.entry.actor == word]
        assert {one.entry.subject for one in stated} == {there.contract, signed, other}
        found = {
            one["position"]: one
            for name in {one.entry.subject for one in stated}
            for one in there.operator.pages(f"/v1/contracts/0x{name.hex()}/endorsements", LIST)
        }
        assert sorted(found) == ours
        assert all(one["size"] > one["position"] for one in found.values())

        keys = Keys(key_of("publisher"), key_of("verifier"), key_of("relayer"))
        again = Stack(
            database_url=database_url,
            rpc_url=scene.rpc_url,
            site=scene.stack.site,
            keys=keys,
            now_ms=scene.clock,
            public_url=scene.url,
        )
        with again:
            assert again.pipeline.endorse() == 0
        site = scene.stack.site
        alone = replace(site, addresses=site.addresses._replace(evaluators=None))
        without = Stack(
            database_url=database_url,
            rpc_url=scene.rpc_url,
            site=alone,
            keys=keys,
            now_ms=scene.clock,
            public_url=scene.url,
        )
        with without:
            there.convert(1)
            scene.stack.pipeline.tick("three")
            scene.stack.drain()
            scene.stack.pipeline.publish()
            assert without.pipeline.endorse() == 0


@pytest.mark.parametrize(
    ("positions", "runs"),
    [
        ([], []),
        ([7], [(7, 1)]),
        ([7, 8, 9], [(7, 3)]),
        ([7, 9], [(7, 1), (9, 1)]),
        ([1, 2, 5, 6, 7, 10], [(1, 2), (5, 3), (10, 1)]),
    ],
)
def test_neighbours_are_signed_together(positions: list[int], runs: list[tuple[int, int]]) -> None:
    assert list(pipeline._neighbours(positions)) == runs


def test_a_cap_lets_the_pay_through_in_portions_worth_their_gas(database_url: str) -> None:
    cap = {"rate_cap_units": str(4 * PRICE), "rate_period_s": 4 * DAY_S}
    with market(database_url, **cap) as there:
        scene = there.scene
        there.convert(5)
        scene.settle("all")
        assert there.paid_outcomes() == 2
        # Half a price leaks a day; a quarter of the cap, one price, is worth a transaction.
        seen = []
        for _ in range(6):
            scene.pass_time(DAY_S)
            scene.come_to_rest()
            seen.append(there.paid_outcomes())
        assert seen == [2, 3, 3, 4, 4, 5]
        assert len(there.entries("payout")) == 4
        (compared,) = there.replayed().contracts
        assert (compared.paid_units, compared.owed_units) == (5 * PRICE, 0)


def test_what_comes_back_is_taken_from_what_was_held(database_url: str) -> None:
    holdback = {"holdback_bps": 5000, "holdback_period_s": 10 * DAY_S}
    with market(database_url, **holdback) as there:
        scene = there.scene
        there.convert(4)
        scene.settle("first")
        assert there.paid_outcomes() == 2
        there.report("refund", ["person-0"])
        scene.settle("second")
        # Half of the three that are left is less than what was paid.
        assert there.paid_outcomes() == 2
        (compared,) = there.replayed().contracts
        freed_s = 10 * DAY_S + compared.terms.lateness_s
        scene.pass_time(freed_s - 100)
        scene.come_to_rest()
        assert there.paid_outcomes() == 2
        scene.pass_time(101)
        scene.come_to_rest()
        assert there.paid_outcomes() == 3
        (compared,) = there.replayed().contracts
        assert (compared.payable_units, compared.paid_units) == (3 * PRICE, 3 * PRICE)


@pytest.mark.parametrize("deal", [{}, CHALLENGE], ids=["plain", "guarded"])
def test_a_contract_that_both_parties_closed_counts_nothing_more(
    database_url: str, deal: dict[str, object]
) -> None:
    with market(database_url, **deal) as there:
        scene, chain = there.scene, there.chain
        there.convert(2)
        scene.settle("before")
        expires_s = scene.clock() // 1000 + DAY_S
        digest = close_digest(scene.stack.escrow_domain, there.contract, 5 * PRICE, expires_s)
        signature = sign_digest(digest, key_of("ada"))
        call = chain.close_contract(there.contract, 5 * PRICE, expires_s, b"", signature)
        scene.send("owner", call)
        scene.come_to_rest()
        assert chain.status_of(there.contract) == "closed"
        assert there.paid_outcomes() == 5
        (closed,) = there.entries("contract.closed")
        assert closed.value == 1000 * (chain.closed_at(there.contract) or 0)
        settled = there.settlements()
        scene.pass_time(60)
        there.convert(1)
        scene.settle("after")
        assert there.settlements() == settled
        (compared,) = there.replayed().contracts
        assert (compared.outcomes, compared.paid_units) == (2, 5 * PRICE)


CROWD = ("ada", "bo", "cy", "dee", "eli")


def test_a_run_that_is_too_much_for_a_transaction_is_settled_in_parts(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever shares a group with many others is paid all the same, in batches of any size."""
    cap = {"rate_cap_units": str(4 * PRICE), "rate_period_s": DAY_S}
    with market(database_url, **cap) as there:
        scene, chain = there.scene, there.chain
        budgets = 100 * PRICE * len(CROWD)
        scene.send("owner", chain.mint(scene.token, there.owner.address, budgets))
        scene.send("owner", chain.approve(scene.token, budgets))
        contracts = {"ada": there.contract}
        for name in CROWD[1:]:
            with Operator(scene.url, wallet(key_of(name)), name) as operator:
                operator.sign_in()
                scene.stack.drain()
                contracts[name] = there.propose(operator, **cap)
        there.owner.accept_all(there.surface, scene.stack.escrow_domain)
        scene.come_to_rest()
        scene.pass_time(61)
        for name in CROWD:
            with Operator(scene.url, wallet(key_of(name)), name) as operator:
                operator.sign_in()
                there.convert(1, operator)
        # Five statements need more gas than this, and one or two do not.
        monkeypatch.setattr(submission, "GAS_CAP", 700_000)
        monkeypatch.setattr(pipeline, "MAX_BULK", 2)
        scene.settle("everybody")
        assert [chain.paid_of(contract) for contract in contracts.values()] == [PRICE] * len(CROWD)
        counts = sorted(
            int(sent.intent_key.split(":")[2])
            for sent in scene.stack.transactions()
            if sent.intent_key.startswith("settle:")
        )
        assert sum(counts) == len(CROWD)
        assert max(counts) < len(CROWD)
        assert len(there.entries("payout")) == len(CROWD)
        assert all(one.paid_units == PRICE for one in there.replayed().contracts)


@pytest.mark.parametrize(
    ("deal", "is_logged"),
    [({"fee_bps": 1, "fee_recipient": "0x" + "00" * 19 + "01"}, True), ({"outcome": " a"}, False)],
    ids=["another fee", "no state's name"],
)
def test_contracts_that_nobody_agreed_with_us_cost_us_nothing(
    database_url: str, deal: dict[str, object], is_logged: bool
) -> None:
    """Anybody can open a contract that names our log and verifier, and must not stop us by it."""
    with market(database_url) as there:
        scene, chain = there.scene, there.chain
        now_s = scene.clock() // 1000
        with Operator(scene.url, wallet(key_of("mallory")), "mallory") as mallory:
            mallory.sign_in()
            scene.stack.drain()
            terms = mallory.draft(
                there.surface,
                **{
                    "outcome": "active",
                    "unit_price_units": "1",
                    "budget_units": "1",
                    "opens_at_s": now_s + 60,
                    "deadline_s": now_s + DAY_S,
                    "attribution_window_s": DAY_S,
                    "grace_s": DAY_S,
                    **deal,
                },
            )
            sham = contract_id(terms, scene.stack.escrow_domain)
            scene.send("owner", chain.mint(terms.token, terms.owner, 1))
            scene.send("owner", chain.approve(terms.token, 1))
            scene.send("owner", chain.open(terms, b"", sign_digest(sham, key_of("mallory"))))
            scene.come_to_rest()
            scene.pass_time(61)
            there.convert(1, mallory)
        there.convert(1)
        scene.settle("both")
        logged = [contract.rules.contract_id for contract in scene.stack.log.contracts(-1, 10)]
        assert (sham in logged) is is_logged
        assert chain.paid_of(sham) == 0
        assert there.paid_outcomes() == 1


def test_a_log_that_lets_a_contract_of_another_log_compete_is_not_signed(
    database_url: str,
) -> None:
    """It would take outcomes that it is never paid for, though ours be exclusive."""
    with market(database_url, exclusive=True) as there:
        scene, chain = there.scene, there.chain
        scene.send("owner", chain.register("another.example", address_of("somebody else")))
        another = log_id_of(there.owner.address, "another.example")
        now_s = scene.clock() // 1000
        terms = there.operator.draft(
            there.surface,
            outcome="active",
            unit_price_units="1",
            budget_units="1",
            opens_at_s=now_s + 60,
            deadline_s=now_s + DAY_S,
            attribution_window_s=DAY_S,
            grace_s=DAY_S,
            log_id=f"0x{another.hex()}",
        )
        foreign = contract_id(terms, scene.stack.escrow_domain)
        scene.send("owner", chain.mint(terms.token, terms.owner, 1))
        scene.send("owner", chain.approve(terms.token, 1))
        scene.send("owner", chain.open(terms, b"", sign_digest(foreign, key_of("ada"))))
        scene.come_to_rest()
        assert there.replayed().contracts
        opening = OpenContract(rules_of(terms, foreign), b"t" * 32)
        scene.stack.pipeline._request([("a lie", opening)])
        scene.stack.drain()
        assert foreign in [one.rules.contract_id for one in scene.stack.log.contracts(-1, 10)]
        with pytest.raises(
            ReplayError, match=f"0x{foreign.hex()} .* name log 0x{another.hex()}"
        ) as refused:
            there.replayed()
        assert refused.value.code == "contract-elsewhere"
        there.convert(1)
        with pytest.raises(ReplayError) as refused:
            scene.settle("all")
        assert refused.value.code == "contract-elsewhere"
        assert there.paid_outcomes() == 0


def test_statements_for_another_verifier_are_left_alone(database_url: str) -> None:
    with market(database_url) as there:
        scene, chain = there.scene, there.chain
        now_s = scene.clock() // 1000
        terms = there.operator.draft(
            there.surface,
            outcome="active",
            unit_price_units=str(PRICE),
            budget_units=str(PRICE),
            opens_at_s=now_s + 60,
            deadline_s=now_s + DAY_S,
            attribution_window_s=DAY_S,
            grace_s=DAY_S,
            verifier=address_of("somebody else"),
        )
        scene.send("owner", chain.approve(terms.token, PRICE))
        scene.send("owner", chain.mint(terms.token, terms.owner, PRICE))
        foreign = contract_id(terms, scene.stack.escrow_domain)
        scene.send("owner", chain.open(terms, b"", sign_digest(foreign, key_of("ada"))))
        scene.come_to_rest()
        scene.pass_time(61)
        there.convert(2)
        scene.settle("both")
        assert len(scene.stack.log.contracts(-1, 10)) == 2
        assert chain.paid_of(foreign) == 0
        assert {entry.subject for entry in there.entries("settlement")} >= {there.contract}
        assert there.paid_outcomes() == 2
