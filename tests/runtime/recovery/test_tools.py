"""The database that settings name is checked, and restored, beside a service that runs."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import psycopg
import pytest

from orchestrator.core.common.errors import InputError
from orchestrator.core.common.units import DAY_S
from orchestrator.core.deals.terms import checkpoint_digest, sign_digest
from orchestrator.runtime.recovery.restore import Restored
from orchestrator.runtime.recovery.tools import check_deployment, restore_deployment
from orchestrator.runtime.settings import Settings, read_settings, read_site
from orchestrator.simulation.sandbox import Sandbox, address_of, key_of
from orchestrator.storage.database import connect_as_owner
from tests.support.recovery import environment_of
from tests.support.sandboxes import running_sandbox
from tests.support.servers import urls_of


@pytest.fixture
def sandbox(database_url: str) -> Iterator[Sandbox]:
    with running_sandbox("tools.example", database_url) as running:
        yield running


@pytest.fixture
def settings(sandbox: Sandbox, database_url: str, tmp_path: Path) -> Settings:
    return read_settings(environment_of(sandbox, urls_of(database_url), tmp_path))


def test_a_whole_log_has_no_finding_and_an_altered_one_has(
    settings: Settings, database_url: str
) -> None:
    told: list[str] = []
    assert check_deployment(settings, lambda what, _: told.append(what)) == (1, [])
    assert set(told) == {"hashed", "folded"}
    connection = connect_as_owner(database_url)
    with connection.transaction() as session:
        session.run("webhooks.begin_courier", log_id=read_log_id(settings))
        session.run("webhooks.put_courier", log_id=read_log_id(settings), cursor=5, offer=None)
    connection.close()
    ((code, message),) = check_deployment(settings, lambda *_: None)[1]
    assert (code, message) == ("cursor-beyond", "couriers: 5 is past the log of 1")


def test_what_publishers_have_signed_that_handed_the_log_over_is_signed(
    settings: Settings, sandbox: Sandbox, database_url: str
) -> None:
    chain, log_id = sandbox.stack.chain, sandbox.stack.site.log_id
    publishers = ("publisher", "second", "third")
    for giver, taker in pairwise(publishers):
        sandbox.pass_time(8 * DAY_S)  # a log is handed over once in seven days
        sandbox.fund(taker)
        offer = chain.call(chain._event_log, "offerPublisher", log_id, address_of(taker))
        sandbox.transact(giver, offer)
        sandbox.transact(taker, chain.call(chain._event_log, "acceptPublisher", log_id))
    assert chain.publisher_of(log_id) == address_of("third")
    assert chain.previous_publisher_of(log_id) == address_of("second")
    assert check_deployment(settings, lambda *_: None) == (1, [])
    with psycopg.connect(database_url) as admin:
        admin.execute("ALTER TABLE checkpoints DISABLE TRIGGER USER")
        row = admin.execute("SELECT root, tableoid::regclass::text FROM checkpoints").fetchone()
        assert row is not None
        digest = checkpoint_digest(chain.event_log_domain, log_id, 1, row[0])
        admin.execute(f"ALTER TABLE {row[1]} DISABLE TRIGGER USER")
        admin.execute(
            "UPDATE checkpoints SET signature = %s", (sign_digest(digest, key_of("stranger")),)
        )
    assert [one.code for one in check_deployment(settings, lambda *_: None)[1]] == [
        "signature-false"
    ]


def test_a_home_without_a_deployment_is_refused_and_not_made(tmp_path: Path) -> None:
    home, keys = tmp_path / "typo", tmp_path / "keys"
    keys.mkdir()
    (keys / "publisher").touch(0o600)
    (keys / "publisher").write_text(key_of("publisher").hex())
    settings = read_settings({"TALLYSTICK_HOME": str(home), "TALLYSTICK_KEYS": str(keys)})
    for work, missing in (
        (lambda: check_deployment(settings, lambda *_: None), "postgres/data"),
        (lambda: restore_deployment(settings, str(tmp_path), lambda *_: None), "site.json"),
    ):
        with pytest.raises(InputError) as refused:
            work()
        assert refused.value.code == "home-empty"
        assert f"{home}/{missing} is not there" in refused.value.message
        assert not home.exists()


def read_log_id(settings: Settings) -> bytes:
    assert settings.site is not None
    return read_site(settings.site).log_id


def test_a_server_is_saved_first_and_what_is_there_is_not_written_twice(
    settings: Settings, sandbox: Sandbox
) -> None:
    sandbox.stack.sequencer.close()
    done = restore_deployment(settings, sandbox.url, lambda *_: None)
    assert done == Restored(1, 1, 0)
    folder = settings.home / "saved-log"
    assert restore_deployment(settings, str(folder), lambda *_: None) == done
    with pytest.raises(InputError, match="holds no whole saved log"):
        restore_deployment(settings, str(settings.home), lambda *_: None)
