"""Allowances: spent at once, full again with time, and never spent beyond what there is."""

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from orchestrator.core.common.limits import Limits
from orchestrator.storage.allowances import Admission, Spent, admit, spend
from orchestrator.storage.database import API, WORKER, Database
from tests.support.keys import give_key, secret_of
from tests.support.servers import open_as

ACCOUNT = "0x" + "a" * 40
OTHER = "0x" + "b" * 40
# A day each: nothing comes back while a test runs.
LIMITS = Limits(touches_a_day=10, acts_a_day=1_000, openings_a_day=2)


def api_of(database_url: str) -> Database:
    """Return the database as the API sees it, once both accounts have keys."""
    for account in (ACCOUNT, OTHER):
        give_key(database_url, account)
    return open_as(database_url, API)


def take(database: Database, account: str = ACCOUNT, **costs: int) -> dict[str, Spent]:
    with database.transaction(secret=secret_of(account)) as session:
        return {each.rate.name: each for each in spend(session, account, LIMITS, costs)}


def test_an_allowance_is_spent_once_and_is_each_accounts_own(database_url: str) -> None:
    with api_of(database_url) as database:
        first = take(database, touches=4)["touches"]
        assert (first.wait_us, first.remaining) == (0, 6)
        assert take(database, touches=6)["touches"].remaining == 0
        short = take(database, touches=1)["touches"]
        assert short.remaining == 0
        # A tenth of a day, less what has passed.
        assert 8_600_000_000 < short.wait_us <= 8_640_000_000
        assert take(database, OTHER, touches=10)["touches"].wait_us == 0


def test_of_several_each_that_has_enough_is_spent_from(database_url: str) -> None:
    with api_of(database_url) as database:
        found = take(database, touches=11, acts=1)
        assert found["touches"].wait_us > 0
        assert (found["acts"].wait_us, found["acts"].remaining) == (0, 999)
        # What can never be had takes nothing from what there is.
        assert take(database, touches=10)["touches"].wait_us == 0


def test_many_at_once_spend_no_more_than_there_is(database_url: str) -> None:
    with api_of(database_url) as database, ThreadPoolExecutor(6) as pool:
        taken = list(pool.map(lambda _: take(database, touches=1)["touches"].wait_us, range(30)))
    assert sum(wait_us == 0 for wait_us in taken) == 10


def test_the_worker_counts_openings_of_any_owner_and_nothing_else(database_url: str) -> None:
    with open_as(database_url, WORKER) as database:
        with database.transaction(OTHER) as session:
            found = [spend(session, ACCOUNT, LIMITS, {"openings": 1})[0] for _ in range(3)]
        assert [each.wait_us == 0 for each in found] == [True, True, False]
        with database.transaction(OTHER) as session, pytest.raises(psycopg.Error):
            spend(session, ACCOUNT, LIMITS, {"touches": 1})


def admitted(database: Database, costs: dict[str, int], requests: int) -> Admission:
    return admit(
        database,
        secret_of(ACCOUNT),
        costs,
        [LIMITS],
        requests=requests,
        log_id=b"",
        surface=None,
        scopes=[],
    )


def test_several_requests_are_charged_all_or_not_at_all(database_url: str) -> None:
    costs = {"acts": 1, "touches": 1}
    with api_of(database_url) as database:
        assert [each.remaining for each in admitted(database, costs, 7).spent] == [993, 3]
        short = admitted(database, costs, 4)
        assert (short.is_short, short.spent) == (True, [])
        assert [each.remaining for each in admitted(database, costs, 3).spent] == [990, 0]
        # One alone takes from each that has enough, and is told which has not.
        acts, touches = admitted(database, costs, 1).spent
        assert (acts.remaining, acts.wait_us) == (989, 0)
        assert touches.wait_us > 0


def test_a_key_that_is_not_live_is_told_whatever_several_would_cost(database_url: str) -> None:
    with api_of(database_url) as database, psycopg.connect(database_url, autocommit=True) as admin:
        admin.execute("UPDATE api_keys SET revoked_ms = 1 WHERE account = %s", (ACCOUNT,))
        found = admitted(database, {"touches": 1}, 99)
        assert (found.key and found.key.state, found.spent) == ("revoked", [])
        assert not found.is_short
