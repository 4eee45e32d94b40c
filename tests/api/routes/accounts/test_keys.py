"""Keys over HTTP: delegates have no more than their parents, and end with them."""

from typing import Any

import httpx
import psycopg
import pytest
from eth_account.signers.local import LocalAccount

from orchestrator.core.account.scopes import SCOPE_SETS
from orchestrator.core.common.hexadecimal import from_hex
from orchestrator.core.entries.kinds import KINDS
from tests.support.api_service import (
    ApiService,
    event,
    give_level,
    leads,
    open_surface,
    problem_of,
    report,
    touch,
    wallet,
)

OTHER_SURFACE = "0x" + "77" * 32


def made(client: httpx.Client, **body: object) -> Any:
    """Return the answer to a new delegate's key."""
    wanted = {"name": "mailer", "scopes": ["owner:read"]} | body
    answer = client.post("/v1/keys", json=wanted)
    assert answer.status_code == 201, answer.text
    return answer.json()


def listed(client: httpx.Client) -> list[Any]:
    answer = client.get("/v1/keys")
    assert answer.status_code == 200, answer.text
    keys: list[Any] = answer.json()["keys"]
    return keys


def is_live(service: ApiService, key: str) -> bool:
    return service.client(key).get("/v1/keys").status_code == 200


@pytest.fixture
def parent(someone: httpx.Client) -> httpx.Client:
    """A wallet's own key, from which delegates come."""
    return someone


def test_a_delegate_does_what_its_scopes_say_and_no_more(
    service: ApiService, parent: httpx.Client
) -> None:
    surface = open_surface(parent, "delegated")
    report(parent, surface, "first", event())
    reviewer = service.client(made(parent, scopes=["reviewer"])["key"])
    assert len(leads(reviewer, surface)) == 1
    assert reviewer.get(f"/v1/surfaces/{surface}/proposals").status_code == 200
    problem_of(report(reviewer, surface, "second", event()), 403, "scope-missing")
    policy = reviewer.post("/v1/surfaces", json={}, headers={"Idempotency-Key": "p"})
    problem_of(policy, 403, "scope-missing")


def test_a_delegate_is_held_to_its_surfaces(service: ApiService, parent: httpx.Client) -> None:
    ours, theirs = open_surface(parent, "ours"), open_surface(parent, "theirs")
    for surface in (ours, theirs):
        report(parent, surface, f"first {surface}"[:60].replace(" ", "-"), event())
    delegate = service.client(
        made(parent, scopes=["owner:read", "owner:report"], surfaces=[ours])["key"]
    )
    assert len(leads(delegate, ours)) == 1
    assert report(delegate, ours, "e1", event(what="activate")).status_code == 200
    for answer in (
        delegate.get(f"/v1/surfaces/{theirs}/leads"),
        report(delegate, theirs, "e2", event()),
    ):
        problem_of(answer, 403, "surface-forbidden")


def test_the_log_names_the_delegate_that_touched(
    service: ApiService, parent: httpx.Client, own_wallet: LocalAccount
) -> None:
    surface = open_surface(parent, "touched")
    give_level(service, surface, own_wallet)
    report(parent, surface, "first", event())
    (lead,) = leads(parent, surface)
    delegate = made(parent, name="night shift", scopes=["operator:touch"])
    acts = {"by-wallet": parent, "by-delegate": service.client(delegate["key"])}
    keys = {}
    for key, client in acts.items():
        answer = touch(client, surface, key, lead["lead"], "email")
        assert answer.status_code == 200, answer.text
        # A first act is behind the registration that it brings about.
        written = answer.json()
        last = written["first_position"] + written["count"] - 1
        (item,) = service.get("/v1/log/entries", start=last, limit=1)["entries"]
        keys[key] = item["opening"]["key"]
    assert keys == {"by-wallet": "0x" + "00" * 32, "by-delegate": delegate["id"]}
    # The operator's own view has the name, also once the key has ended.
    parent.delete(f"/v1/keys/{delegate['id']}")
    found = parent.get(f"/v1/keys/{keys['by-delegate']}").json()
    assert found["name"] == "night shift"
    assert found["revoked_ms"] == service.clock.now_ms


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"scopes": ["operator:touch"]}, 403, "scope-missing"),
        ({"scopes": ["owner"], "surfaces": [OTHER_SURFACE]}, 201, ""),
        ({"expires_ms": 0}, 422, "key-expiry"),
        ({"expires_ms": 1 << 50}, 422, "key-expiry"),
        ({"scopes": ["owner:all"]}, 422, "invalid"),
        ({"scopes": []}, 422, "invalid"),
        ({"surfaces": []}, 422, "invalid"),
        ({"name": ""}, 422, "invalid"),
    ],
)
def test_a_delegate_never_has_more_than_its_parent(
    service: ApiService, body: dict[str, object], status: int, code: str
) -> None:
    parent = service.sign_in(wallet("owner alone"), "owner")
    answer = parent.post("/v1/keys", json={"name": "n", "scopes": ["owner:read"]} | body)
    assert answer.status_code == status, answer.text
    if code:
        problem_of(answer, status, code)


def test_a_delegate_makes_and_ends_none_but_itself(
    service: ApiService, parent: httpx.Client
) -> None:
    first, second = made(parent), made(parent)
    delegate = service.client(first["key"])
    body = {"name": "n", "scopes": ["owner:read"]}
    for answer in (
        delegate.post("/v1/keys", json=body),
        delegate.post(f"/v1/keys/{first['id']}/rotation", json={}),
        delegate.delete("/v1/keys"),
    ):
        problem_of(answer, 403, "delegate-forbidden")
    problem_of(delegate.delete(f"/v1/keys/{second['id']}"), 404, "not-found")
    assert [key["id"] for key in listed(delegate)] == [first["id"]]
    assert delegate.delete("/v1/keys/current").status_code == 204
    assert not is_live(service, first["key"])
    assert is_live(service, second["key"])


def test_a_key_is_listed_named_and_revoked(service: ApiService, parent: httpx.Client) -> None:
    delegate = made(parent, scopes=["reader"])
    assert delegate["scopes"] == list(SCOPE_SETS["reader"])
    by_id = {key["id"]: key for key in listed(parent)}
    assert by_id[delegate["id"]] | {"key": delegate["key"]} == delegate
    assert by_id[delegate["id"]]["parent"] in by_id
    assert not [key for key in by_id.values() if "key" in key]
    answer = parent.patch(f"/v1/keys/{delegate['id']}", json={"name": "reporter"})
    assert answer.json()["name"] == "reporter"
    assert parent.delete(f"/v1/keys/{delegate['id']}").status_code == 204
    problem_of(service.client(delegate["key"]).get("/v1/keys"), 401, "key-revoked")
    assert parent.delete(f"/v1/keys/{delegate['id']}").status_code == 204
    problem_of(parent.delete(f"/v1/keys/{OTHER_SURFACE}"), 404, "not-found")


def test_a_delegate_ends_with_its_parent(service: ApiService, parent: httpx.Client) -> None:
    delegate = made(parent)
    assert parent.delete("/v1/keys/current").status_code == 204
    problem_of(service.client(delegate["key"]).get("/v1/keys"), 401, "key-revoked")


def test_all_keys_end_at_once(service: ApiService, parent: httpx.Client) -> None:
    delegate = made(parent)
    other = service.sign_in(wallet("bystander"), "owner")
    assert parent.delete("/v1/keys").status_code == 204
    problem_of(parent.get("/v1/keys"), 401, "key-revoked")
    assert not is_live(service, delegate["key"])
    assert other.get("/v1/keys").status_code == 200


def test_a_delegate_is_carried_to_a_new_sign_in_without_a_gap(service: ApiService) -> None:
    account = wallet("rotated")
    old_parent = service.sign_in(account, "owner")
    old = made(old_parent)
    new_parent = service.sign_in(account, "owner")
    answer = new_parent.post(f"/v1/keys/{old['id']}/rotation", json={"overlap_s": 60})
    assert answer.status_code == 201
    new = answer.json()
    assert (new["scopes"], new["name"]) == (old["scopes"], old["name"])
    assert is_live(service, old["key"])
    assert is_live(service, new["key"])
    with service.clock.moved_by(59_999):
        assert is_live(service, old["key"])
    with service.clock.moved_by(60_000):
        problem_of(service.client(old["key"]).get("/v1/keys"), 401, "key-expired")
        assert is_live(service, new["key"])
        again = new_parent.post(f"/v1/keys/{old['id']}/rotation", json={})
        problem_of(again, 409, "key-ended")
    old_parent.delete("/v1/keys/current")
    assert is_live(service, new["key"])


def test_a_wallets_own_key_is_not_rotated(parent: httpx.Client) -> None:
    (own,) = listed(parent)
    problem_of(parent.post(f"/v1/keys/{own['id']}/rotation", json={}), 409, "key-of-a-wallet")


def test_delegates_are_bounded(service: ApiService) -> None:
    parent = service.sign_in(wallet("many"), "owner")
    ids = [made(parent)["id"] for _ in range(100)]
    answer = parent.post("/v1/keys", json={"name": "n", "scopes": ["owner:read"]})
    problem_of(answer, 409, "keys-too-many")
    parent.delete(f"/v1/keys/{ids[-1]}")
    made(parent)
    page = parent.get("/v1/keys", params={"limit": 60}).json()
    rest = parent.get("/v1/keys", params={"limit": 60, "after": page["next"]}).json()
    assert len({key["id"] for key in page["keys"] + rest["keys"]}) == 102


def test_keys_that_have_ended_are_bounded(service: ApiService) -> None:
    parent = service.sign_in(wallet("ended"), "owner")
    (own,) = listed(parent)
    with service.admin() as admin:
        admin.execute(
            "INSERT INTO api_keys (key, account, secret_hash, parent, name, scopes, created_ms,"
            " expires_ms) SELECT sha256(('k' || n)::bytea), account, sha256(('s' || n)::bytea),"
            " key, 'ended', scopes, n, n FROM api_keys, generate_series(1, 600) AS n"
            " WHERE key = %s",
            (from_hex(own["id"]),),
        )
        made(parent)
        ended = admin.execute("SELECT count(*) FROM api_keys WHERE name = 'ended'").fetchone()
    assert ended == (500,)


def test_openings_of_acts_have_a_place_for_the_key() -> None:
    named = {
        kind.opening.__name__
        for kind in KINDS.values()
        if kind.opening is not None and "key" in kind.opening._fields
    }
    assert {"ActOpening", "CodeOpening"} <= named


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE api_keys SET expires_ms = expires_ms + 1",
        "UPDATE api_keys SET revoked_ms = NULL WHERE revoked_ms IS NOT NULL",
        "UPDATE api_keys SET revoked_ms = 1 WHERE revoked_ms IS NOT NULL",
    ],
)
def test_a_key_only_ends(service: ApiService, change: str) -> None:
    client = service.sign_in(wallet("mortal"), "owner")
    client.delete("/v1/keys/current")
    with service.admin() as admin, pytest.raises(psycopg.errors.RestrictViolation):
        admin.execute(change.encode())
