"""The password of a part, in the hands of an attacker: nothing of another account's moves.

Each attack is raw SQL by the part's real login. With the API's password alone the attacker acts for
no account; it has a key of its own besides, as anyone may. All that its own key may do is left out,
and what it does by keys that it has seen is what those keys may do.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from hashlib import sha256
from threading import Barrier
from typing import Any

import psycopg
import pytest
from psycopg import sql

from orchestrator.core.account.scopes import SCOPES
from orchestrator.core.common.limits import Limits, inbox_limits
from orchestrator.core.log.entry import address_word, ascii_word
from orchestrator.core.world.codec import encode_request, request_kind
from orchestrator.core.world.requests import (
    AnswerAction,
    Arrival,
    CloseContract,
    ConfirmAction,
    EndCode,
    EndOwnCode,
    Erasure,
    ExpireAction,
    Genesis,
    IssueCode,
    JudgeTrust,
    MakeForecast,
    OpenContract,
    ProductEvent,
    PublishPolicy,
    PublishSettings,
    RecordDispute,
    RecordPayout,
    RecordRuling,
    RegisterOperator,
    Request,
    RequestAction,
    RestoreOperator,
    ScoreForecast,
    Settle,
    SuspendOperator,
    Touch,
)
from orchestrator.core.world.rights import RIGHTS, names_key
from orchestrator.runtime.local_servers import LocalPostgres
from orchestrator.storage.database import API, LOGINS, REGISTRAR, SEQUENCER, WORKER
from orchestrator.storage.sql.sqlstates import LOCK_LATE, NO_PLACE
from tests.support.keys import give_key, key_of, secret_of
from tests.support.ledger import (
    CONTRACT,
    OPERATOR,
    OWNER,
    OWNER_WORD,
    POLICY,
    PUBLISHER,
    SETTINGS,
    STRANGER,
    Ledger,
    ledger,
)
from tests.support.servers import fresh_database, hold_inbox_to, urls_of
from tests.support.tenants import populate
from tests.support.worlds import LEADS, SURFACE, word

# The attacker is an operator with an account of its own; the victim is the owner of the surface.
ATTACKER, VICTIM = OPERATOR, OWNER
ATTACKER_WORD = address_word(ATTACKER)
CODE = word("code")
Login = psycopg.Connection[tuple[Any, ...]]


@pytest.fixture(scope="module")
def populated(postgres: LocalPostgres) -> Iterator[Ledger]:
    """Something of two tenants, an owner and an operator, in every table."""
    with fresh_database(postgres) as url, ledger(url) as log:
        populate(log)
        yield log


def connected(log: Ledger, login: str, account: str = "") -> Login:
    """Return a connection of a login, in a transaction that speaks for an account.

    It names the account, as a worker does, and presents its key where the login is the API's.
    """
    connection = psycopg.connect(urls_of(log.url).by_login[login])
    connection.execute("SELECT set_config('tallystick.account', %s, true)", (account,))
    if login == API and account:
        connection.execute("SELECT present(%s)", (secret_of(account),))
    return connection


# --- Logins ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LOGINS)
def test_a_login_has_nothing_to_switch_to(populated: Ledger, name: str) -> None:
    with psycopg.connect(urls_of(populated.url).by_login[name], autocommit=True) as login:
        roles = login.execute(
            "SELECT rolname FROM pg_roles WHERE rolname NOT IN (%s, 'pg_database_owner')", (name,)
        )
        others = [str(role) for (role,) in roles.fetchall()]
        assert {"tallystick", "tallystick_definer", *LOGINS} - {name} <= set(others)
        for role in others:
            for change in ("SET ROLE {}", "SET SESSION AUTHORIZATION {}", "GRANT {} TO {me}"):
                text = sql.SQL(change).format(sql.Identifier(role), me=sql.Identifier(name))
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    login.execute(text)
        for back in (
            "SET ROLE NONE",
            "RESET ROLE",
            "RESET ALL",
            "DISCARD ALL",
            "SET SESSION AUTHORIZATION DEFAULT",
            "RESET SESSION AUTHORIZATION",
            "SET row_security = off",
        ):
            login.execute(back.encode())
            assert login.execute("SELECT current_user, session_user").fetchone() == (name, name)
        for more in ("SUPERUSER", "BYPASSRLS", "CREATEROLE", "CREATEDB", "REPLICATION"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                login.execute(f"ALTER ROLE {name} {more}".encode())
        for setting in ("session_replication_role = replica", "allow_system_table_mods = on"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                login.execute(f"SET {setting}".encode())


# --- Requests -------------------------------------------------------------------------------------


def offered(*requests: Request) -> str:
    """Return requests as `take_requests` is offered them."""
    rows = []
    for number, request in enumerate(requests):
        kind, body = encode_request(request)
        rows.append(
            {"idempotency_key": f"{number}", "kind": kind, "body": body, "body_hash": "00" * 32}
        )
    return json.dumps(rows)


def take(log: Ledger, login: Login, offer: str) -> list[tuple[Any, ...]]:
    """Take requests; one of the API's by the function for one, once that for many is tried."""
    many = "SELECT is_fresh FROM take_requests(%s, %s, '{}')"
    asked = json.loads(offer)
    if len(asked) != 1 or login.info.user != API:
        return login.execute(many, (log.log_id, offer)).fetchall()
    expected = outcome(login, many, (log.log_id, offer))
    one, row = "SELECT is_fresh FROM take_request(%s, %s, '{}')", json.dumps(asked[0])
    found = outcome(login, one, (log.log_id, row))
    # Others may hold the lock, or take the last places, in between.
    assert found == expected or {found, expected} & {NO_PLACE, LOCK_LATE}
    return login.execute(one, (log.log_id, row)).fetchall()


def outcome(login: Login, query: str, arguments: tuple[object, ...]) -> str | None:
    """Return the rows of a query that is undone, as text, or the state of its error."""
    try:
        with login.transaction(force_rollback=True):
            return str(login.execute(query, arguments).fetchall())
    except psycopg.Error as error:
        return error.sqlstate


def own_surface(name: str) -> bytes:
    return sha256(ATTACKER_WORD + ascii_word(name)).digest()


def code_of(operator: bytes, surface: bytes = SURFACE) -> IssueCode:
    """Return a request for a code that an operator gives out."""
    return IssueCode(surface, word("new code"), operator, 5, 1, bytes(32), bytes(32))


def arrival_on(surface: bytes) -> Arrival:
    return Arrival(surface, LEADS[0], CODE, False, False, "buy", 7, 0)


FORGED: dict[str, Request] = {
    "an event on another's surface": ProductEvent(SURFACE, LEADS[0], "buy", 7, 0),
    "an event on a surface of nobody": ProductEvent(word("nowhere"), LEADS[0], "buy", 7, 0),
    "a touch by another operator": Touch(SURFACE, LEADS[0], address_word(STRANGER), "email"),
    "another owner's policy": PublishPolicy(SURFACE, OWNER_WORD, POLICY),
    "a policy of mine on another's surface": PublishPolicy(SURFACE, ATTACKER_WORD, POLICY),
    "a surface that another could open": PublishPolicy(word("soon"), ATTACKER_WORD, POLICY),
    "another owner's erasure": Erasure(SURFACE, LEADS[0], OWNER_WORD),
    "an erasure of mine on another's surface": Erasure(SURFACE, LEADS[0], ATTACKER_WORD),
    "another's registration": RegisterOperator(address_word(STRANGER), bytes(32)),
    "another owner's settings": PublishSettings(SURFACE, OWNER_WORD, SETTINGS),
    "settings of mine on another's surface": PublishSettings(SURFACE, ATTACKER_WORD, SETTINGS),
    "another owner's suspension": SuspendOperator(SURFACE, OWNER_WORD, ATTACKER_WORD, "spam"),
    "a restoration of mine": RestoreOperator(SURFACE, ATTACKER_WORD, ATTACKER_WORD, "free"),
    "a judgement of another": JudgeTrust(SURFACE, address_word(STRANGER)),
    "another's forecast": MakeForecast(
        SURFACE, address_word(STRANGER), "new", "trial", 1, bytes(32), bytes(32)
    ),
    "a score": ScoreForecast(SURFACE, ATTACKER_WORD, 1, 1, bytes(32)),
    "an arrival on another's surface": arrival_on(SURFACE),
    "another's wish for an action": RequestAction(
        SURFACE, LEADS[0], address_word(STRANGER), "email", 1000
    ),
    "another owner's answer": AnswerAction(SURFACE, LEADS[0], OWNER_WORD, 1, "taken"),
    "an answer of mine on another's surface": AnswerAction(
        SURFACE, LEADS[0], ATTACKER_WORD, 1, "taken"
    ),
    "another's code": code_of(address_word(STRANGER)),
    "the end of a code by another": EndOwnCode(SURFACE, address_word(STRANGER), CODE, "spam"),
    "the end of a code by another owner": EndCode(SURFACE, OWNER_WORD, CODE, "spam"),
    "the end of a code of mine on another's surface": EndCode(SURFACE, ATTACKER_WORD, CODE, "spam"),
    "an endpoint's word": ConfirmAction(SURFACE, LEADS[0], 1),
    "an action's end": ExpireAction(SURFACE, LEADS[0], 1),
    "a genesis": Genesis(word("log"), ATTACKER_WORD),
    "a contract's opening": OpenContract(CONTRACT, word("transaction")),
    "a contract's closing": CloseContract(CONTRACT.contract_id, 0, word("transaction")),
    "a payout": RecordPayout(CONTRACT.contract_id, ATTACKER_WORD, "paid", 1, word("transaction")),
    "a dispute": RecordDispute(CONTRACT.contract_id, OWNER_WORD, "owner", 1, word("transaction")),
    "a ruling": RecordRuling(CONTRACT.contract_id, OWNER_WORD, "lowered", 0, word("transaction")),
    "a settlement": Settle(),
}


@pytest.mark.parametrize("what", FORGED)
def test_the_api_makes_no_request_of_another(populated: Ledger, what: str) -> None:
    with connected(populated, API, ATTACKER) as login:
        mine = Touch(SURFACE, LEADS[0], ATTACKER_WORD, "email")
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="is not for 0xbbb"):
            # One that is forged takes those with it that are not.
            take(populated, login, offered(mine, FORGED[what]))
        login.rollback()


def test_the_api_makes_requests_of_its_own_account(populated: Ledger) -> None:
    """The test above proves nothing if none is ever taken."""
    here = own_surface("mine")
    with connected(populated, API, ATTACKER) as login:
        login.execute(
            "INSERT INTO surface_names VALUES (%s, %s, %s, 'mine')",
            (populated.log_id, here, ATTACKER_WORD),
        )
        mine: list[Request] = [
            Touch(SURFACE, LEADS[0], ATTACKER_WORD, "email"),
            RegisterOperator(ATTACKER_WORD, bytes(32)),
            JudgeTrust(SURFACE, ATTACKER_WORD),
            PublishPolicy(here, ATTACKER_WORD, POLICY),
            ProductEvent(here, LEADS[0], "buy", 7, 0),
            Erasure(here, LEADS[0], ATTACKER_WORD),
            arrival_on(here),
            RequestAction(SURFACE, LEADS[0], ATTACKER_WORD, "email", 1000),
            AnswerAction(here, LEADS[0], ATTACKER_WORD, 1, "taken"),
            code_of(ATTACKER_WORD),
            EndOwnCode(SURFACE, ATTACKER_WORD, CODE, "spam"),
            EndCode(here, ATTACKER_WORD, CODE, "spam"),
        ]
        assert take(populated, login, offered(*mine)) == [(True,)] * len(mine)
        login.rollback()


SCOPED: dict[str, Request] = {
    "register_operator": RegisterOperator(ATTACKER_WORD, bytes(32)),
    "touch": Touch(SURFACE, LEADS[0], ATTACKER_WORD, "email"),
    "judge_trust": JudgeTrust(SURFACE, ATTACKER_WORD),
    "make_forecast": MakeForecast(SURFACE, ATTACKER_WORD, "new", "trial", 1, bytes(32), bytes(32)),
    "product_event": ProductEvent(SURFACE, LEADS[0], "buy", 7, 0),
    "erasure": Erasure(SURFACE, LEADS[0], OWNER_WORD),
    "publish_policy": PublishPolicy(SURFACE, OWNER_WORD, POLICY),
    "publish_settings": PublishSettings(SURFACE, OWNER_WORD, SETTINGS),
    "suspend_operator": SuspendOperator(SURFACE, OWNER_WORD, ATTACKER_WORD, "spam"),
    "restore_operator": RestoreOperator(SURFACE, OWNER_WORD, ATTACKER_WORD, "free"),
    "arrival": arrival_on(SURFACE),
    "request_action": RequestAction(SURFACE, LEADS[0], ATTACKER_WORD, "email", 1000),
    "answer_action": AnswerAction(SURFACE, LEADS[0], OWNER_WORD, 1, "taken"),
    "issue_code": code_of(ATTACKER_WORD),
    "end_own_code": EndOwnCode(SURFACE, ATTACKER_WORD, CODE, "spam"),
    "end_code": EndCode(SURFACE, OWNER_WORD, CODE, "spam"),
}


def account_of(request: Request) -> str:
    """Return whose request this is: the operator's, or the owner's of the surface."""
    return ATTACKER if RIGHTS[type(request)].actor == "operator" else VICTIM


def is_taken(log: Ledger, secret: bytes, request: Request) -> bool:
    """Have the API's login present a secret and offer a request, and undo it."""
    with connected(log, API) as login:
        return is_taken_by(log, login, secret, request)


def is_taken_by(log: Ledger, login: Login, secret: bytes, request: Request) -> bool:
    login.execute("SELECT present(%s)", (secret,))
    try:
        return take(log, login, offered(request)) == [(True,)]
    except psycopg.errors.InsufficientPrivilege:
        return False
    finally:
        login.rollback()


def test_every_request_of_the_api_is_tried_with_every_scope() -> None:
    kinds = {request_kind(make) for make, right in RIGHTS.items() if right.sender == "api"}
    assert kinds == SCOPED.keys()
    assert all(RIGHTS[type(request)].scope in SCOPES for request in SCOPED.values())


@pytest.fixture(scope="module")
def of_one_scope(populated: Ledger) -> dict[tuple[str, str], bytes]:
    """The secrets of keys of both parties that have a scope each, or what is none."""
    return {
        (account, scope): give_key(populated.url, account, [scope], name=f"only {scope}")
        for account in (ATTACKER, VICTIM)
        for scope in (*SCOPES, "operator", "owner", "*", "")
    }


@pytest.mark.parametrize("kind", SCOPED)
def test_a_key_makes_the_requests_of_its_scope_alone(
    populated: Ledger, of_one_scope: dict[tuple[str, str], bytes], kind: str
) -> None:
    request = SCOPED[kind]
    with connected(populated, API) as login:
        taken = [
            scope
            for (account, scope), secret in of_one_scope.items()
            if account == account_of(request) and is_taken_by(populated, login, secret, request)
        ]
    assert taken == [RIGHTS[type(request)].scope]


@pytest.mark.parametrize("kind", SCOPED)
def test_a_key_makes_requests_about_its_surfaces_alone(populated: Ledger, kind: str) -> None:
    request, account = SCOPED[kind], account_of(SCOPED[kind])
    here = give_key(populated.url, account, name="here", surfaces=[word("else"), SURFACE])
    elsewhere = give_key(populated.url, account, name="elsewhere", surfaces=[word("else")])
    assert is_taken(populated, here, request)
    assert is_taken(populated, elsewhere, request) == (kind == "register_operator")


@pytest.mark.parametrize("kind", [kind for kind, one in SCOPED.items() if names_key(type(one))])
def test_an_act_names_the_key_that_it_came_by(populated: Ledger, kind: str) -> None:
    """An act of a delegate is not put down to its wallet, nor to another delegate."""
    request: Any = SCOPED[kind]
    account = account_of(request)
    wallet = secret_of(account)
    delegate, other = (
        give_key(populated.url, account, name=name, parent="test") for name in ("one", "two")
    )
    by_one = request._replace(key=key_of(account, "one"))
    assert is_taken(populated, delegate, by_one)
    assert not is_taken(populated, delegate, request)
    assert not is_taken(populated, other, by_one)
    assert is_taken(populated, wallet, request)
    assert not is_taken(populated, wallet, by_one)
    assert not is_taken(populated, wallet, request._replace(key=key_of(account)))


def test_without_a_keys_secret_no_account_is_acted_for(populated: Ledger) -> None:
    """Whatever the API's login sets, only the secret of a live key speaks for an account."""
    for name, more in {
        "revoked": {"revoked_ms": 1},
        "expired": {"expires_ms": 0},
        "of the revoked": {"parent": "revoked"},
        "of the expired": {"parent": "expired"},
    }.items():
        give_key(populated.url, VICTIM, name=name, **more)  # type: ignore[arg-type]
    with psycopg.connect(populated.url) as admin:
        kept = admin.execute(
            "SELECT key, secret_hash FROM api_keys WHERE account = %s", (VICTIM,)
        ).fetchall()
    stolen = [bytes(value) for row in kept for value in row]
    assert len(stolen) >= 10
    stolen += [secret_of(VICTIM, f"of the {state}") for state in ("revoked", "expired")]
    stolen += [secret_of(VICTIM, state) for state in ("revoked", "expired")]
    stolen += [b"", bytes(32), VICTIM.encode(), OWNER_WORD, word(VICTIM)]  # the last asks for a key
    event = ProductEvent(SURFACE, LEADS[0], "buy", 7, 0)
    for secret in stolen:
        assert not is_taken(populated, secret, event)
        with connected(populated, API) as login:
            login.execute("SELECT present(%s)", (secret,))
            assert_speaks_for_none(login)
    for setting in ("account", "presented", "current_account", "word", "key", "scopes"):
        for value in (VICTIM, stolen[0].hex(), stolen[1].hex(), OWNER_WORD.hex()):
            with connected(populated, API) as login:
                login.execute("SELECT set_config(%s, %s, false)", (f"tallystick.{setting}", value))
                try:
                    assert_speaks_for_none(login)
                except psycopg.errors.InvalidParameterValue:
                    # An address is no secret in hex: then no statement finds any account at all.
                    assert (setting, value) == ("presented", VICTIM)
    # It would prove nothing if the right secret were refused as well.
    assert is_taken(populated, secret_of(VICTIM), event)


def assert_speaks_for_none(login: Login) -> None:
    asked = "SELECT current_account(), current_word(), current_key(), current_scopes()"
    assert login.execute(asked.encode()).fetchone() == (None,) * 4
    for table in ("requests", "results", "accounts", "leads", "lead_identities", "proposals"):
        count = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))
        assert login.execute(count).fetchone() == (0,)


@pytest.mark.parametrize("name", [WORKER, SEQUENCER, REGISTRAR])
def test_a_key_is_presented_to_the_api_alone(populated: Ledger, name: str) -> None:
    with (
        connected(populated, name) as login,
        pytest.raises(psycopg.errors.InsufficientPrivilege, match="permission denied"),
    ):
        login.execute("SELECT present(%s)", (secret_of(VICTIM),))


NAMING_AN_ORDER = (
    "INSERT INTO order_identities VALUES (%(log)s, %(surface)s, sha256('l'), 'x', sha256('o'))"
)
NAMING_A_SURFACE = (
    "INSERT INTO surface_names VALUES"
    " (%(log)s, sha256(%(victim_word)s || %(name)s), %(victim_word)s, 'theirs')"
)


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ("UPDATE proposals SET declined_ms = 1", "owner:review"),
        ("UPDATE proposals SET owner_signature = 's', accepted_ms = 1", "owner:review"),
        ("DELETE FROM lead_identities", "owner:erase"),
        ("DELETE FROM order_identities", "owner:erase"),
        ("DELETE FROM private_payloads", "owner:erase"),
        ("DELETE FROM action_results", "owner:erase"),
        ("UPDATE offers SET withdrawn_ms = 1", "owner:review"),
        (NAMING_AN_ORDER, "owner:report"),
        (NAMING_A_SURFACE, "owner:publish"),
    ],
)
def test_a_key_changes_the_rows_of_its_scope_alone(
    populated: Ledger, of_one_scope: dict[tuple[str, str], bytes], change: str, wanted: str
) -> None:
    changed = []
    with connected(populated, API) as login:
        for scope in SCOPES:
            login.execute("SELECT present(%s)", (of_one_scope[VICTIM, scope],))
            with suppress(psycopg.errors.InsufficientPrivilege):
                if login.execute(change.encode(), NAMES | {"log": populated.log_id}).rowcount:
                    changed.append(scope)
            login.rollback()
    assert changed == [wanted]


@pytest.mark.parametrize("scope", SCOPES)
def test_a_pseudonym_is_given_for_what_a_key_may_do_there(populated: Ledger, scope: str) -> None:
    for surfaces, may in ((None, True), ([word("else")], False)):
        name = f"only {scope} {may}"
        secret = give_key(populated.url, ATTACKER, [scope], name=name, surfaces=surfaces)
        with connected(populated, API) as login:
            login.execute("SELECT present(%s)", (secret,))
            asked = "SELECT lead FROM assign_pseudonyms(%s, %s, '{new}', ARRAY[sha256('new')])"
            try:
                given = login.execute(asked.encode(), (populated.log_id, SURFACE)).rowcount
            except psycopg.errors.InsufficientPrivilege:
                given = 0
            login.rollback()
        assert (given == 1) == (may and scope in ("operator:touch", "owner:report"))


@pytest.mark.parametrize("offer", ["[{}]", '[{"kind": "touch"}]', '[{"kind": "report_touch"}]'])
def test_what_is_no_request_is_not_taken(populated: Ledger, offer: str) -> None:
    with connected(populated, API, ATTACKER) as login:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            take(populated, login, offer)
        login.rollback()


def test_no_account_makes_no_request(populated: Ledger) -> None:
    with connected(populated, API) as login:
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="for no account"):
            take(populated, login, offered(Touch(SURFACE, LEADS[0], ATTACKER_WORD, "email")))
        login.rollback()


@pytest.mark.parametrize("account", [PUBLISHER, OWNER])
def test_the_worker_makes_its_own_requests_as_the_publisher_alone(
    populated: Ledger, account: str
) -> None:
    own: list[Request] = [
        OpenContract(CONTRACT, word("transaction")),
        CloseContract(CONTRACT.contract_id, 0, word("transaction")),
        RecordPayout(CONTRACT.contract_id, ATTACKER_WORD, "paid", 1, word("transaction")),
        RecordDispute(CONTRACT.contract_id, OWNER_WORD, "owner", 1, word("transaction")),
        RecordRuling(CONTRACT.contract_id, OWNER_WORD, "lowered", 0, word("transaction")),
        Settle(),
        ConfirmAction(SURFACE, LEADS[0], 1),
        ExpireAction(SURFACE, LEADS[0], 1),
    ]
    others: list[Request] = [
        ProductEvent(SURFACE, LEADS[0], "buy", 7, 0),
        Touch(SURFACE, LEADS[0], address_word(account), "email"),
        Erasure(SURFACE, LEADS[0], address_word(account)),
        RegisterOperator(address_word(account), bytes(32)),
    ]
    for request in own + others:
        with connected(populated, WORKER, account) as login:
            if request in own and account == PUBLISHER:
                assert take(populated, login, offered(request)) == [(True,)]
            else:
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    take(populated, login, offered(request))
            login.rollback()


@pytest.mark.parametrize("name", [SEQUENCER, REGISTRAR])
def test_the_other_logins_make_no_request_at_all(populated: Ledger, name: str) -> None:
    with connected(populated, name, PUBLISHER) as login:
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="permission denied"):
            take(populated, login, offered(Settle()))
        login.rollback()


# --- Rows -----------------------------------------------------------------------------------------

_PROPOSED = (
    "INSERT INTO proposals (log_id, contract_id, surface, operator, owner, terms,"
    " operator_signature, created_ms{more}) VALUES"
    " (%(log)s, sha256('new'), %(surface)s, {operator}, {owner}, '{{}}', 's', 0{values})"
)


def _proposing(operator: str, owner: str, more: str = "", values: str = "") -> str:
    return _PROPOSED.format(operator=operator, owner=owner, more=more, values=values)


_KEYED = (
    "INSERT INTO api_keys (key, account, secret_hash, parent, name, scopes, created_ms, expires_ms)"
    " VALUES (sha256('new'), {account}, sha256('s'), {parent}, 'n', '{{owner:read}}', clock_ms(),"
    " clock_ms() + 9)"
)


def _keying(account: str, parent: str) -> str:
    return _KEYED.format(account=account, parent=parent)


# What an attacker with the API's password tries, on rows that are another's or that move money.
ATTACKS = {
    # the log, and what is folded from it
    "entries": "INSERT INTO entries VALUES (%(log)s, 999, decode(repeat('00', 256), 'hex'))",
    "subtrees": "INSERT INTO subtrees VALUES (%(log)s, 8, 9, sha256('h'))",
    "checkpoints": "INSERT INTO checkpoints VALUES (%(log)s, 999, 1, sha256('r'), 0, '{}', 's')",
    "a policy's document": "INSERT INTO policies VALUES (%(log)s, sha256('p'), '{}')",
    "a log": "INSERT INTO logs VALUES (sha256('l'), 'o', 1, %(me)s, %(me)s, %(me)s)",
    "the owner of a surface": "UPDATE surfaces SET owner = %(my_word)s",
    "an operator's registration": "UPDATE operators SET registered = 5",
    "an operator": "INSERT INTO operators VALUES (%(log)s, sha256('o'), 1)",
    "an operator's level": "UPDATE standings SET level = 3",
    "a suspension": "UPDATE standings SET is_suspended = false",
    "a standing": "INSERT INTO standings VALUES"
    " (%(log)s, sha256('s'), sha256('o'), 3, 'results', false, NULL, NULL, '{}')",
    "settings": "INSERT INTO settings VALUES (%(log)s, sha256('s'), '{}')",
    "a surface's settings": "UPDATE surfaces SET settings_hash = sha256('s'), settings_version = 9",
    "a contract's totals": "UPDATE contracts SET earned_units = 10",
    "a lead's state": "UPDATE leads SET state = 'paid'",
    # requests, by hand
    "a request": "INSERT INTO requests (log_id, request_id, turn, account, idempotency_key, kind,"
    " body_hash, received_ms) VALUES"
    " (%(log)s, gen_random_uuid(), 1, %(me)s, 'k', 'touch', sha256(''), clock_ms())",
    "a request that waits": "INSERT INTO inbox VALUES (%(log)s, 999, %(victim)s, 'tallystick_api',"
    " 'product_event', clock_ms(), '{}', 0)",
    "requests that wait, seen": "SELECT * FROM inbox",
    "requests that wait, removed": "DELETE FROM inbox",
    "requests that wait, earlier": "UPDATE inbox SET received_ms = 0",
    "a result": "INSERT INTO results VALUES (%(log)s, 999, %(me)s, 0, 0)",
    "another's requests": "SELECT * FROM requests WHERE account <> %(me)s",
    "another's results": "SELECT * FROM results WHERE account <> %(me)s",
    "the rights of requests": "UPDATE request_rights SET sender = 'tallystick_api'",
    "a right of requests": "INSERT INTO request_rights VALUES"
    " ('x', 'tallystick_api', 'owner:read', 'x', false, false, false)",
    "the scope of a right": "UPDATE request_rights SET scope = 'owner:read'",
    # keys, accounts and limits
    "the limits": "UPDATE inbox_limits SET waiting_requests = 9223372036854775807",
    "no limits": "DELETE FROM inbox_limits",
    "limits of the attacker's": "INSERT INTO inbox_limits VALUES (true, 9, 9, 1, 9, 9, 9)",
    "another's count": "UPDATE account_requests SET requests = 1000000",
    "a count of what is taken": "DELETE FROM account_requests",
    "the count of all": "UPDATE log_requests SET requests = 0",
    "a count of what is decided": "UPDATE account_decisions SET requests = 1000000",
    "the rank that is served": "UPDATE log_decisions SET rank = 0",
    "the counts": "SELECT * FROM account_requests",
    "another surface's turn": "UPDATE inbox_lanes SET next_place = 0",
    "another's room": "SELECT * FROM room_of(%(log)s, %(victim)s, true)",
    "places": "SELECT * FROM take_places(%(log)s, %(victim)s, ARRAY[%(surface)s::bytea],"
    " ARRAY[-9::bigint], 0, true)",
    "another's keys": "SELECT key FROM api_keys WHERE account <> %(me)s",
    "the hashes of secrets": "SELECT secret_hash FROM api_keys",
    "keys as they are looked up": "SELECT * FROM key_presented",
    "another's keys, revoked": "UPDATE api_keys SET revoked_ms = 1 WHERE account <> %(me)s",
    "another's keys, ended": "UPDATE api_keys SET expires_ms = 0 WHERE account <> %(me)s",
    "a wallet's key for another": _keying("%(victim)s", "NULL"),
    "a wallet's key of one's own": _keying("%(me)s", "NULL"),
    "a delegate of another's key": _keying("%(victim)s", "%(victims_key)s"),
    "a delegate of another account by one's own key": _keying("%(victim)s", "%(my_key)s"),
    "a delegate of one's own account by another's key": _keying("%(me)s", "%(victims_key)s"),
    "a key that is back": "UPDATE api_keys SET revoked_ms = NULL WHERE account <> %(me)s",
    "a key's scopes": "UPDATE api_keys SET scopes = '{owner:read}'",
    "a key's surfaces": "UPDATE api_keys SET surfaces = NULL",
    "a key's account": "UPDATE api_keys SET account = %(victim)s",
    "a key's secret": "UPDATE api_keys SET secret_hash = sha256('mine')",
    "a key, removed": "DELETE FROM api_keys",
    "an account": "INSERT INTO accounts VALUES ('0x' || repeat('e', 40), 0)",
    "another's account": "SELECT * FROM accounts WHERE account <> %(me)s",
    "what a wallet has signed": "SELECT message FROM sign_ins",
    "another's sign-in": "SELECT code FROM sign_ins",
    "a sign-in that was refused": "UPDATE sign_ins SET code = NULL",
    "a sign-in, removed": "DELETE FROM sign_ins",
    "another's authorization": "SELECT message FROM authorizations",
    "an authorization, declined": "DELETE FROM authorizations",
    "a code of the attacker's": "UPDATE authorizations SET code_hash = sha256('c'),"
    " code_expires_ms = 9223372036854775807",
    "a code, unused again": "UPDATE authorizations SET used_ms = NULL",
    "an authorization of another's": "INSERT INTO authorizations (request_hash, browser_hash,"
    " client, redirect_uri, challenge, scopes, nonce, created_ms, expires_ms) VALUES (sha256('r'),"
    " sha256('b'), 'c', 'u', repeat('c', 43), '{owner:read}', 'n', clock_ms(), clock_ms())",
    "another's nonce": "DELETE FROM signin_nonces",
    "the nonces": "SELECT * FROM signin_nonces",
    "a nonce, unused again": "UPDATE signin_nonces SET used_ms = NULL",
    "another's allowance, spent": "UPDATE rate_limits SET full_at_us = 9223372036854775807"
    " WHERE account <> %(me)s",
    "another's allowance, begun": "INSERT INTO rate_limits VALUES (%(victim)s, 'new', 99)",
    "another's allowance, gone": "DELETE FROM rate_limits",
    "another's places for surfaces": "INSERT INTO surface_names VALUES"
    " (%(log)s, sha256(%(victim_word)s || %(name)s), %(victim_word)s, 'theirs')",
    # what operators keep
    "another's profile": "SELECT * FROM operator_profiles WHERE account <> %(me)s",
    "another's profile, erased": "DELETE FROM operator_profiles WHERE account <> %(me)s",
    "another's memory": "SELECT * FROM operator_memory WHERE account <> %(me)s",
    "another's memory, erased": "DELETE FROM operator_memory WHERE account <> %(me)s",
    # what can be erased
    "another's names of leads": "SELECT * FROM lead_identities",
    "another's names of leads, erased": "DELETE FROM lead_identities",
    "a name for a lead": "INSERT INTO lead_identities VALUES"
    " (%(log)s, %(surface)s, 'x', sha256('x'))",
    "another's names of orders": "SELECT * FROM order_identities",
    "a name for an order": "INSERT INTO order_identities VALUES"
    " (%(log)s, %(surface)s, sha256('l'), 'x', sha256('o'))",
    "another's bodies": "SELECT * FROM private_payloads WHERE account <> %(me)s",
    "another's bodies, erased": "DELETE FROM private_payloads",
    "a body": "INSERT INTO private_payloads VALUES (%(log)s, sha256(sha256('s')), NULL, NULL,"
    " %(victim)s, sha256('s'), '')",
    # what operators say and note
    "another's profile, changed": "UPDATE operator_profiles SET contact = 'me'"
    " WHERE account <> %(me)s",
    "a profile for another": "INSERT INTO operator_profiles (account, display_name, capabilities,"
    " updated_ms) VALUES (%(stranger)s, 'x', '{}', 1)",
    "another's memory, changed": "UPDATE operator_memory SET value = '1' WHERE account <> %(me)s",
    "a memory for another": "INSERT INTO operator_memory (log_id, account, surface, key, value,"
    " bytes, updated_ms) VALUES (%(log)s, %(victim)s, %(surface)s, 'k', '1', 2, 1)",
    # what is on boards
    "another's leases": "SELECT * FROM leases",
    "another's leases, ended": "DELETE FROM leases",
    "a lease for another": "INSERT INTO leases (log_id, account, board, item, surface, holder,"
    " payer, fence, taken_ms, expires_ms) VALUES (%(log)s, %(victim)s, %(surface)s, 'x',"
    " %(surface)s, %(victim)s, %(victim)s, 9, 0, 9)",
    "the next fence": "SELECT nextval('lease_fences')",
    "another's messages": "SELECT * FROM messages",
    "a message of another's": "INSERT INTO messages (log_id, account, board, number, kind, item,"
    " surface, sender, sender_key, body, created_ms) VALUES (%(log)s, %(victim)s, %(surface)s, 9,"
    " 'claim', 'x', %(surface)s, %(victim)s, sha256('k'), '{}', 0)",
    "another's confirmations": "SELECT * FROM confirmations WHERE key <> %(my_key)s",
    "another's confirmations, used": "DELETE FROM confirmations WHERE key <> %(my_key)s",
    "a confirmation for another": "INSERT INTO confirmations VALUES"
    " (sha256('t'), %(victims_key)s, sha256('d'), 9223372036854775807)",
    # codes and actions
    "another's code, as it is handed out": "SELECT name FROM code_names WHERE account <> %(me)s",
    "a code for another": "INSERT INTO code_names"
    " (log_id, code, surface, account, name, request_id) VALUES"
    " (%(log)s, sha256('c'), %(surface)s, %(stranger)s, repeat('1', 32), gen_random_uuid())",
    "the lead that waits by a code": "UPDATE code_names SET waiting_lead = sha256('l')",
    "the names of a surface's codes": "SELECT * FROM codes_named"
    " (%(log)s, %(surface)s, ARRAY[repeat('0', 32)])",
    "who waits by a surface's codes": "SELECT let_wait(%(log)s, %(surface)s,"
    " ARRAY[sha256('c')], ARRAY[sha256('l')])",
    "who waits, forgotten": "SELECT forget_waiting(%(log)s, %(surface)s, repeat('0', 32))",
    "a code's uses": "UPDATE codes SET uses = 0",
    "a code's end": "UPDATE codes SET is_ended = false",
    "a click": "INSERT INTO clicks VALUES (%(log)s, sha256('code'), 9, sha256('l'), 0, true)",
    "an action's state": "UPDATE actions SET state = 'done', done_position = 1",
    "an action": "DELETE FROM actions",
    "the result of an action": "INSERT INTO action_results"
    " SELECT log_id, position + 1, surface, lead, '{}' FROM actions",
    "another's results of actions, erased": "DELETE FROM action_results",
    # what other systems sign with, and what is counted
    "another's source": "SELECT key FROM source_secrets WHERE account <> %(me)s",
    "another's source, gone": "DELETE FROM source_secrets WHERE account <> %(me)s",
    "a source's secret": "SELECT secret FROM source_secrets",
    "a source of another's surface": "INSERT INTO source_secrets VALUES (%(log)s, %(surface)s,"
    " 'stripe', %(me)s, %(my_key)s, sha256('s'), repeat('i', 64)::bytea, repeat('o', 64)::bytea)",
    "a tally": "UPDATE tallies SET count = 1000",
    # proposals
    "a proposal with the owner's words": _proposing(
        "%(me)s", "%(victim)s", ", owner_signature, accepted_ms", ", 's', 1"
    ),
    "a proposal that the owner has declined": _proposing(
        "%(me)s", "%(victim)s", ", declined_ms", ", 1"
    ),
    "another operator's proposal": _proposing("%(stranger)s", "%(victim)s"),
    "a proposal to an owner of nothing": _proposing("%(me)s", "%(stranger)s"),
    "the owner's signature": "UPDATE proposals SET owner_signature = 's', accepted_ms = 1",
    "the owner's no": "UPDATE proposals SET declined_ms = 1",
    "the terms of a proposal": "UPDATE proposals SET terms = '{}'",
    "the operator's signature": "UPDATE proposals SET operator_signature = 't'",
    "the owner of a proposal": "UPDATE proposals SET owner = %(me)s",
    "a proposal, removed": "DELETE FROM proposals",
    "an answer in the owner's name": "INSERT INTO counters SELECT log_id, sha256('c'), '{}', 1"
    " FROM proposals",
    "another's offer": "INSERT INTO offers VALUES"
    " (%(log)s, sha256('o'), %(surface)s, %(victim)s, '{}', 0, 1, 1, 1, 1, 1, 0)",
    "another's offer, withdrawn": "UPDATE offers SET withdrawn_ms = 1",
    "another's opening, put off": "UPDATE openings SET next_ms = 9",
    # webhooks
    "another's webhooks": "SELECT * FROM webhooks WHERE account <> %(me)s",
    "where another's webhook leads": "UPDATE webhooks SET url = 'https://mine.example'"
    " WHERE account <> %(me)s",
    "another's webhook, removed": "DELETE FROM webhooks WHERE account <> %(me)s",
    "a webhook for another": "INSERT INTO webhooks (webhook, log_id, account, audience, events,"
    " url, created_ms) VALUES (sha256('w'), %(log)s, %(victim)s, 'owner', '{action.requested}',"
    " 'https://mine.example', clock_ms())",
    "whose a webhook is": "UPDATE webhooks SET account = %(me)s",
    "how far a webhook has heard": "UPDATE webhooks SET cursor = 0",
    "the secrets of webhooks": "SELECT secret FROM webhook_secrets",
    "a secret for another's webhook": "INSERT INTO webhook_secrets VALUES"
    " (%(victims_webhook)s, sha256('s'), 0, NULL)",
    "another's secret, ended": "UPDATE webhook_secrets SET expires_ms = 0"
    " WHERE webhook = %(victims_webhook)s",
    "another's deliveries": "SELECT * FROM deliveries WHERE webhook = %(victims_webhook)s",
    "another's delivery, sent again": "UPDATE deliveries SET state = 'waiting', tries = 0,"
    " next_ms = clock_ms() WHERE webhook = %(victims_webhook)s",
    "a delivery, made up": "INSERT INTO deliveries (webhook, position, event, created_ms, next_ms)"
    " VALUES (%(victims_webhook)s, 5, 'payout', 0, 0)",
    "how far the courier has read": "UPDATE couriers SET cursor = 0",
    "what an owner is told": "SELECT * FROM requested_action(%(log)s, 1, %(victims_webhook)s)",
    "jobs": "SELECT * FROM jobs.procrastinate_jobs",
    # the chain
    "the chain's events": "DELETE FROM chain_events",
    "an event of the chain": "INSERT INTO chain_events VALUES (1, %(me)s, sha256('b'),"
    " sha256('t'), 0, 0, 0, %(me)s, '{}', '', true)",
    "a transaction": "INSERT INTO chain_transactions (chain_id, sender, intent_key, target, data,"
    " requested_ms) VALUES (1, %(me)s, 'k', %(me)s, '', 0)",
    "the chain's accounts": "UPDATE chain_accounts SET next_nonce = 0",
    "an endorsement": "INSERT INTO endorsements VALUES"
    " (%(log)s, 1, 1, 9, sha256('r'), decode(repeat('00', 65), 'hex'))",
    # the service itself
    "a pulse": "INSERT INTO pulses VALUES (%(log)s, 'sequencer', 9, '{}')",
    "another's pulse": "UPDATE pulses SET at_ms = 9",
    "traces": "SELECT * FROM contract_traces",
    "a trace for a contract": "INSERT INTO contract_traces (log_id, contract_id)"
    " VALUES (%(log)s, sha256('c'))",
    "the trace of what another asked for": "UPDATE inbox SET trace = NULL",
    # the schema
    "the clock": "UPDATE simulated_clock SET now_ms = 9",
    "a log of the attacker's": "CALL create_log(sha256('l'), 'o', 1, %(me)s, %(me)s, %(me)s)",
    "a table": "CREATE TABLE mine ()",
    "a function": "CREATE FUNCTION mine() RETURNS int LANGUAGE sql RETURN 1",
    "a policy of rows": "CREATE POLICY mine ON leads USING (true)",
    "row security": "ALTER TABLE leads DISABLE ROW LEVEL SECURITY",
    "a trigger": "ALTER TABLE requests DISABLE TRIGGER ALL",
    "all rows of a table": "TRUNCATE proposals",
    "a table, gone": "DROP TABLE proposals",
    "a grant": "GRANT ALL ON entries TO tallystick_api",
    "a function's account": "ALTER FUNCTION current_account RENAME TO other",
    # the machine
    "a program": "COPY (SELECT 1) TO PROGRAM 'true'",
    "a file": "SELECT pg_read_file('PG_VERSION')",
    "passwords": "SELECT * FROM pg_authid",
    "the server's settings": "SELECT pg_reload_conf()",
}
NAMES = {
    "me": ATTACKER,
    "my_word": ATTACKER_WORD,
    "victim": VICTIM,
    "victim_word": OWNER_WORD,
    "stranger": STRANGER,
    "my_key": key_of(ATTACKER),
    "victims_key": key_of(VICTIM),
    "victims_webhook": sha256(word(VICTIM)).digest(),
    "surface": SURFACE,
    "name": ascii_word("theirs"),
}


@pytest.fixture(scope="module")
def unmoved(populated: Ledger) -> dict[str, tuple[Any, ...]]:
    """The database's contents before the first of the attacks, which follow one another."""
    return contents(populated)


@pytest.mark.parametrize("what", ATTACKS)
def test_the_apis_password_moves_nothing_of_anothers(
    populated: Ledger, unmoved: dict[str, tuple[Any, ...]], what: str
) -> None:
    with connected(populated, API, ATTACKER) as login:
        try:
            met = login.execute(ATTACKS[what].encode(), NAMES | {"log": populated.log_id})
            # Rows that were seen, or changed; -1 where it is no matter of rows, as for a grant.
            assert met.rowcount <= 0
        except psycopg.errors.InsufficientPrivilege:
            login.rollback()
    assert contents(populated) == unmoved


def contents(log: Ledger) -> dict[str, tuple[Any, ...]]:
    """Return a digest of each table's rows, with its rights and its row policies."""
    found: dict[str, tuple[Any, ...]] = {}
    with psycopg.connect(log.url) as admin:
        tables = admin.execute(
            """
            SELECT relname, relacl::text, relrowsecurity, relforcerowsecurity,
                (SELECT count(*) FROM pg_policy WHERE polrelid = pg_class.oid)
            FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
            """
        ).fetchall()
        digest = sql.SQL("SELECT md5(string_agg(t::text, ',' ORDER BY t::text)) FROM {} AS t")
        with admin.pipeline():
            asked = [admin.execute(digest.format(sql.Identifier(str(one[0])))) for one in tables]
            for (name, *rights), rows in zip(tables, asked, strict=True):
                found[str(name)] = (rows.fetchone(), *rights)
    return found


def test_every_table_is_attacked(populated: Ledger) -> None:
    with psycopg.connect(populated.url) as admin:
        rows = admin.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
            " AND relkind IN ('r', 'p', 'v', 'm') AND NOT relispartition"
        ).fetchall()
    attacks = " ".join(ATTACKS.values())
    unharmed = {"migrations", "chain_attempts", "chain_cursors"}  # no login of ours may look
    missing = {str(name) for (name,) in rows if f" {name}" not in attacks} - unharmed
    assert missing == set()


# --- Places in the inbox --------------------------------------------------------------------------

WAITING = 40  # of operators' requests half: a quarter of what is left of it is an account's share
PLACES = 4


def touches(name: str, count: int, surfaces: int = 1) -> str:
    """Return touches of the attacker as `take_requests` is offered them, under keys of a name."""
    rows = json.loads(
        offered(
            *(
                Touch(
                    SURFACE if surfaces == 1 else sha256(b"%d" % (number % surfaces)).digest(),
                    LEADS[0],
                    ATTACKER_WORD,
                    "email",
                )
                for number in range(count)
            )
        )
    )
    return json.dumps([row | {"idempotency_key": f"{name} {n}"} for n, row in enumerate(rows)])


def named(log: Ledger, name: str, count: int) -> str:
    """Return touches on a surface of this name, which thus has a lane of its own."""
    surface = own_surface(name)
    with psycopg.connect(log.url) as admin:
        admin.execute(
            "INSERT INTO surface_names VALUES (%s, %s, %s, %s)",
            (log.log_id, surface, ATTACKER_WORD, name),
        )
    return touches(name, count).replace(SURFACE.hex(), surface.hex())


def tries(log: Ledger, *offers: str, before: str = "SELECT 1") -> None:
    """Take these offers in a transaction, as far as the database lets the attacker."""
    with connected(log, API) as login, suppress(psycopg.Error):
        login.rollback()
        login.execute(before.encode())
        login.execute("SELECT present(%s)", (secret_of(ATTACKER),))
        for offer in offers:
            take(log, login, offer)


def side_by_side(log: Ledger) -> None:
    """Take one by one in more transactions at a time than there are places, and commit them all."""
    offers = [named(log, f"surface {number}", 1) for number in range(3 * PLACES)]
    with ThreadPoolExecutor(3 * PLACES) as pool:
        all_taken = Barrier(3 * PLACES)

        def one(number: int) -> None:
            with connected(log, API, ATTACKER) as login, suppress(psycopg.Error):
                login.execute("SET lock_timeout = '200ms'")
                try:
                    take(log, login, offers[number])
                finally:
                    all_taken.wait()

        list(pool.map(one, range(3 * PLACES)))


def by_an_old_snapshot(log: Ledger) -> None:
    """See the inbox as it was when it was empty, and take from it once it is full."""
    with connected(log, API, ATTACKER) as login, suppress(psycopg.Error):
        login.rollback()
        login.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        login.execute("SELECT present(%s)", (secret_of(ATTACKER),))
        tries(log, named(log, "before", PLACES))
        take(log, login, named(log, "after", PLACES))


def one_by_one(log: Ledger, offers: Iterable[str]) -> None:
    """Take these offers, each in a transaction of its own."""
    for offer in offers:
        tries(log, offer)


WAYS: dict[str, Callable[[Ledger], None]] = {
    "one call of many": lambda log: tries(log, touches("a", 50)),
    "many calls": lambda log: one_by_one(log, (touches(f"{n}", 1) for n in range(9))),
    "many calls of a transaction": lambda log: tries(log, *(touches(f"{n}", 1) for n in range(9))),
    "surfaces that are made up": lambda log: one_by_one(
        log, (touches(f"{n}", 3, 3) for n in range(4))
    ),
    "a setting": lambda log: tries(
        log, touches("a", 50), before="SET tallystick.waiting_requests = '1000000'"
    ),
    "another account's name": lambda log: tries(
        log, touches("a", 50), before=f"SET tallystick.account = '{PUBLISHER}'"
    ),
    "a schema of the attacker's": lambda log: tries(
        log, touches("a", 50), before="SET search_path = pg_temp, public"
    ),
    "an old snapshot": by_an_old_snapshot,
    "transactions side by side": side_by_side,
}


@pytest.mark.parametrize("way", WAYS)
def test_the_inbox_takes_no_more_than_a_share(populated: Ledger, way: str) -> None:
    """By whatever way: an operator has no more than a quarter of its half of the places waiting."""
    log = populated.another()
    hold_inbox_to(log.url, waiting_requests=WAITING, waiting_of_operators=WAITING // 2)
    try:
        WAYS[way](log)
        with psycopg.connect(log.url) as admin:
            (row,) = admin.execute(
                "SELECT count(*), count(DISTINCT account) FROM inbox WHERE log_id = %s",
                (log.log_id,),
            ).fetchall()
            # All that was taken is counted, so the next finds that much less.
            counted = admin.execute(
                "SELECT sum(requests) FROM account_requests WHERE log_id = %s", (log.log_id,)
            ).fetchone()
            lanes = admin.execute(
                "SELECT count(*) FROM inbox_lanes LEFT JOIN surface_names USING (log_id, surface)"
                " WHERE log_id = %s AND name IS NULL",
                (log.log_id,),
            ).fetchone()
    finally:
        hold_inbox_to(log.url, **inbox_limits(Limits())._asdict())
    assert row[0] <= PLACES
    assert counted == (row[0] or None,)
    # What is about surfaces without a name waits in one lane.
    assert lanes is not None
    assert lanes[0] <= 1


def test_without_limits_nothing_is_taken(populated: Ledger) -> None:
    with psycopg.connect(populated.url) as admin:
        admin.execute("DELETE FROM inbox_limits")
        admin.execute("SELECT set_config('role', 'tallystick_definer', true)")
        with pytest.raises(psycopg.errors.NoDataFound):
            admin.execute("SELECT * FROM room_of(%s, %s, true)", (populated.log_id, OWNER))
        admin.rollback()


# --- Proposals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("account", "change", "changed"),
    [
        (OWNER, "owner_signature = 's', accepted_ms = 1", 1),
        (OWNER, "declined_ms = 1", 1),
        (OPERATOR, "withdrawn_ms = 1", 1),
        (OWNER, "withdrawn_ms = 1", None),
        (OPERATOR, "declined_ms = 1", None),
        (OPERATOR, "owner_signature = 's', accepted_ms = 1", None),
        (STRANGER, "declined_ms = 1", 0),
        ("", "declined_ms = 1", 0),
    ],
)
def test_a_proposal_is_ended_by_the_party_whose_word_it_is_and_once(
    populated: Ledger, account: str, change: str, changed: int | None
) -> None:
    update = sql.SQL("UPDATE proposals SET {}").format(sql.SQL(change))
    with connected(populated, API, account) as login:
        if changed is None:
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
                login.execute(update)
        else:
            assert login.execute(update).rowcount == changed
            for later in ("declined_ms = NULL", "accepted_ms = 2", "withdrawn_ms = 2"):
                # What is ended is out of every login's reach, its own party's too.
                again = sql.SQL("UPDATE proposals SET {}").format(sql.SQL(later))
                assert login.execute(again).rowcount == 0
        login.rollback()


# --- What is said of leads ------------------------------------------------------------------------


def assigned(log: Ledger, login: Login, external_id: str, offered_lead: bytes) -> bytes:
    """Return the pseudonym that an identity on the victim's surface has, or is given."""
    rows = login.execute(
        "SELECT lead FROM assign_pseudonyms(%s, %s, %s, %s)",
        (log.log_id, SURFACE, [external_id], [offered_lead]),
    ).fetchall()
    return bytes(rows[0][0])


def on_own_surface(log: Ledger, name: str, lead: bytes) -> str:
    """Return an event of the attacker's own surface about a lead, as it is offered."""
    surface = own_surface(name)
    with psycopg.connect(log.url) as admin:
        admin.execute(
            "INSERT INTO surface_names VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING",
            (log.log_id, surface, ATTACKER_WORD, name),
        )
    return offered(ProductEvent(surface, lead, "buy", 7, 0))


def test_no_operator_chooses_the_pseudonym_of_anothers_lead(populated: Ledger) -> None:
    """The owner's events about a lead that the log knows elsewhere would all be refused."""
    chosen = word("known on the attacker's surface")
    with connected(populated, API, ATTACKER) as login:
        assert assigned(populated, login, "bob", chosen) != chosen
        login.rollback()
    with connected(populated, API, VICTIM) as login:
        assert assigned(populated, login, "bob", chosen) == chosen
        login.rollback()


@pytest.mark.parametrize("is_committed", [True, False])
def test_a_lead_of_another_surface_is_not_registered_first(
    populated: Ledger, is_committed: bool
) -> None:
    log = populated
    offer = on_own_surface(log, f"early {is_committed}", word(f"lead {is_committed}"))
    with connected(log, API, ATTACKER) as login, connected(log, API, ATTACKER) as other:
        lead = assigned(log, login, f"bob {is_committed}", bytes(32))
        offer = offer.replace(word(f"lead {is_committed}").hex(), lead.hex())
        if is_committed:
            login.commit()
        else:
            other.execute("SET LOCAL lock_timeout = '200ms'")
        # While it is being given the request waits for what becomes of that.
        waits = psycopg.errors.LockNotAvailable
        with pytest.raises(psycopg.errors.InsufficientPrivilege if is_committed else waits):
            take(log, other, offer)
        login.rollback()
        other.rollback()


def test_a_lead_that_waits_by_a_code_is_given_to_no_other_surface(populated: Ledger) -> None:
    """The log shows its pseudonym before it has an identity."""
    log, surface = populated.another(), own_surface("takes")
    with psycopg.connect(log.url) as admin:
        for owner, here in ((OWNER_WORD, SURFACE), (ATTACKER_WORD, surface)):
            admin.execute(
                "INSERT INTO surfaces SELECT %s, %s, %s, policy_hash, version, received_ms,"
                " settings_hash, settings_version, pool, cohorts, errands FROM surfaces"
                " WHERE log_id = %s AND surface = %s",
                (log.log_id, here, owner, populated.log_id, SURFACE),
            )
        admin.execute(
            "INSERT INTO leads VALUES (%s, %s, %s, 'new', 0, 0, '{}')",
            (log.log_id, word("waiting"), SURFACE),
        )
    found = []
    for account, here in ((ATTACKER, surface), (VICTIM, SURFACE)):
        with connected(log, API, account) as login:
            row = login.execute(
                "SELECT lead FROM assign_pseudonyms(%s, %s, %s, %s)",
                (log.log_id, here, ["bob"], [word("waiting")]),
            ).fetchone()
            assert row is not None
            found.append(bytes(row[0]) == word("waiting"))
            login.rollback()
    assert found == [False, True]


@pytest.mark.parametrize("conflict", ["", " ON CONFLICT DO NOTHING"])
def test_what_a_trigger_does_for_a_row_of_another_is_undone_with_it(
    populated: Ledger, conflict: str
) -> None:
    """The triggers act as the definer, before the policy says no."""
    before = contents(populated)
    with connected(populated, API, ATTACKER) as login:
        for text in (
            (
                "INSERT INTO api_keys (key, account, secret_hash, name, scopes, created_ms,"
                " expires_ms) VALUES (sha256('k'), %(victim)s, sha256('s'), 'n', '{owner:read}',"
                " clock_ms(), 9e15)"
            ),
            (
                "INSERT INTO proposals (log_id, contract_id, surface, operator, owner, terms,"
                " operator_signature, created_ms, answers) SELECT log_id, sha256('next'), surface,"
                " %(stranger)s, owner, '{}', 's', 0, contract_id FROM proposals"
            ),
        ):
            login.execute("SAVEPOINT tried")
            with suppress(psycopg.errors.InsufficientPrivilege, psycopg.errors.DatabaseError):
                assert login.execute((text + conflict).encode(), NAMES).rowcount == 0
            login.execute("ROLLBACK TO tried")
        login.commit()
    assert contents(populated) == before


def test_a_body_says_to_the_database_what_it_says_to_the_sequencer(populated: Ledger) -> None:
    """Of two fields of a name both take the last, however it is written."""
    mine, other = ATTACKER_WORD.hex(), address_word(STRANGER).hex()
    offer = offered(Touch(SURFACE, LEADS[0], ATTACKER_WORD, "email"))
    field = f'"operator": "{mine}"'
    for name in ("operator", "\\u006fperator"):
        twice = offer.replace(field, f'{field}, "{name}": "{other}"')
        assert twice != offer
        assert json.loads(twice)[0]["body"]["operator"] == other
        with connected(populated, API, ATTACKER) as login:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                take(populated, login, twice)
            login.rollback()


def private_of(log: Ledger, kept: str) -> tuple[bytes, bytes]:
    """Return the account's word and the commitment of something that is kept apart."""
    with psycopg.connect(log.url) as admin:
        row = admin.execute(
            "SELECT account, commitment FROM private_payloads WHERE log_id = %s LIMIT 1",
            (log.log_id,),
        ).fetchone()
    assert row is not None, kept
    return address_word(str(row[0])), bytes(row[1])


def test_what_is_kept_apart_is_what_the_request_commits_to(populated: Ledger) -> None:
    row = json.loads(offered(Touch(SURFACE, LEADS[0], ATTACKER_WORD, "email")))[0]
    row["body"]["commitment"] = word("another's").hex()
    offer = json.dumps([row | {"salt": "00" * 32, "private": "7b7d"}])
    with connected(populated, API, ATTACKER) as login:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            take(populated, login, offer)
        login.rollback()


def test_an_action_that_names_anothers_commitment_shows_nothing_of_it(populated: Ledger) -> None:
    """The log shows commitments, and an action on the attacker's own surface can name any."""
    log, webhook = populated, sha256(b"attacker's").digest()
    owner, committed = private_of(log, "a touch of the victim's")
    surface, lead = own_surface("shows"), word("own lead")
    with psycopg.connect(log.url) as admin:
        admin.execute(
            "INSERT INTO surfaces SELECT log_id, %s, %s, policy_hash, version, received_ms,"
            " settings_hash, settings_version, pool, cohorts, errands FROM surfaces"
            " WHERE log_id = %s LIMIT 1",
            (surface, address_word(STRANGER), log.log_id),
        )
        admin.execute(
            "INSERT INTO actions VALUES (%s, 900, %s, %s, %s, 'letter', 0, 9, %s)",
            (log.log_id, surface, lead, address_word(STRANGER), committed),
        )
        admin.execute(
            "INSERT INTO webhooks (webhook, log_id, account, audience, events, url, created_ms)"
            " VALUES (%s, %s, %s, 'owner', '{action.requested}', 'https://a.example', 0)",
            (webhook, log.log_id, STRANGER),
        )
        admin.execute(
            "INSERT INTO deliveries (webhook, position, event, created_ms, next_ms)"
            " VALUES (%s, 900, 'action.requested', 0, 0)",
            (webhook,),
        )
        admin.execute("SET LOCAL ROLE tallystick_definer")
        shown = "SELECT parameters FROM requested_action(%s, 900, %s)"
        assert admin.execute(shown, (log.log_id, webhook)).fetchall() == []
        admin.rollback()
    assert owner != address_word(STRANGER)


def test_a_forecast_is_opened_by_what_its_operator_sealed(populated: Ledger) -> None:
    """A copy of another's sealed forecast is not opened, and brings no level."""
    log = populated
    owner, committed = private_of(log, "sealed")
    with connected(log, WORKER, PUBLISHER) as worker, psycopg.connect(log.url) as admin:
        found = []
        for operator in (owner, address_word(STRANGER)):
            admin.execute("DELETE FROM standings WHERE log_id = %s", (log.log_id,))
            admin.execute(
                "INSERT INTO standings VALUES (%s, %s, %s, 0, '', false, %s, -1, '{}')",
                (log.log_id, SURFACE, operator, committed),
            )
            admin.execute("SET LOCAL ROLE tallystick_worker")
            seen = admin.execute("SELECT count(*) FROM private_payloads").fetchone()
            found.append(seen)
            admin.execute("RESET ROLE")
        admin.rollback()
        worker.rollback()
    assert found == [(1,), (0,)]


# --- What the sequencer and the pipeline read -----------------------------------------------------


def test_a_body_larger_than_its_kind_can_need_is_not_taken(populated: Ledger) -> None:
    row = json.loads(offered(Touch(SURFACE, LEADS[0], ATTACKER_WORD, "email")))[0]
    row["body"]["more"] = "x" * 9_000
    with connected(populated, API, ATTACKER) as login:
        with pytest.raises(psycopg.errors.CheckViolation):
            take(populated, login, json.dumps([row]))
        login.rollback()


def test_what_is_no_amount_is_not_kept(populated: Ledger) -> None:
    with connected(populated, API, VICTIM) as login:
        with pytest.raises(psycopg.errors.CheckViolation):
            login.execute(
                "INSERT INTO offers (log_id, offer, surface, owner, terms, lasts_s,"
                " first_budget_units, budget_units, places, level, ends_ms, created_ms) VALUES"
                " (%s, sha256('nan'), %s, %s, '{}', 0, 'NaN', 'NaN', 1, 1, 1, clock_ms())",
                (populated.log_id, SURFACE, VICTIM),
            )
        login.rollback()


UNREADABLE = {
    "a time out of bounds": '{"opens_at_s": 9223372036854775807}',
    "a long text": json.dumps({"salt": "x" * 20_000}),
    "a number that Python does not read": '{"salt": %s}' % ("1" * 8_000),
    "a list that Python does not read": '{"salt": %s}' % ("[" * 3_000 + "]" * 3_000),
    "no object": "[]",
}


@pytest.mark.parametrize("terms", UNREADABLE.values(), ids=UNREADABLE)
def test_a_proposal_that_no_one_could_count_with_is_not_kept(populated: Ledger, terms: str) -> None:
    """The pipeline reads the terms of all that both parties have signed, be both the attacker's."""
    with connected(populated, API, ATTACKER) as login:
        with pytest.raises(psycopg.errors.CheckViolation):
            login.execute(
                "INSERT INTO proposals (log_id, contract_id, surface, operator, owner, terms,"
                " operator_signature, created_ms) VALUES (%s, sha256('c'), %s, %s, %s, %s, 's', 0)",
                (populated.log_id, SURFACE, ATTACKER, VICTIM, terms),
            )
        login.rollback()
