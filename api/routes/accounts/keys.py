"""The routes of keys: a wallet's key lists, names and ends keys, and makes and rotates delegates.

The row policies hold every rule here once more: a key is made by a wallet's live key alone, with a
subset of its scopes and surfaces, and expires no later.
"""

import secrets
from collections.abc import Collection
from typing import NamedTuple

from fastapi import APIRouter

from api.context import Service, TheService
from api.http import auth
from api.http.answers import next_cursor
from api.http.auth import AnyCaller, Caller, acting, check_surface
from api.http.fields import KeyCursor, KeyId, Limit, checksummed
from api.http.json_input import StrictRoute
from api.http.problems import Refusal, documented, not_found
from api.routes.accounts import answers, bodies
from api.rules import rules
from orchestrator.core.account.scopes import SCOPES, scopes_of
from orchestrator.core.account.sign_in import MOST_KEYS
from orchestrator.core.common.hexadecimal import from_hex, to_hex
from orchestrator.core.common.units import format_ms
from orchestrator.storage.database import DatabaseError, Row, Session
from orchestrator.storage.sql.sqlstates import ACCOUNT_FULL

router = APIRouter(prefix="/v1", tags=["accounts"], route_class=StrictRoute)


class _Delegate(NamedTuple):
    """A delegate to be made. Without surfaces it is limited to none in particular."""

    name: str
    scopes: Collection[str]
    surfaces: Collection[bytes] | None
    expires_ms: int


@router.get("/me", responses=documented(401, 403))
def me(service: TheService, caller: AnyCaller) -> answers.Me:
    """Return whom you act for, what your key may do, and the highest level you have anywhere."""
    with acting(service, caller) as session:
        (trust,) = session.all(
            "api.trust_of",
            log_id=service.log_id,
            operator=caller.word,
            surfaces=None if caller.surfaces is None else list(caller.surfaces),
        )
        (hooks,) = session.all("webhooks.disabled", log_id=service.log_id)
    return answers.Me(
        account=checksummed(caller.account),
        key=to_hex(caller.key),
        scopes=[scope for scope in SCOPES if caller.may(scope)],
        surfaces=None if caller.surfaces is None else sorted(map(to_hex, caller.surfaces)),
        expires_ms=caller.expires_ms,
        highest_level=trust.level,
        acts=trust.acts,
        disabled_webhooks=hooks.count,
    )


@router.get("/keys", responses=documented(401, 403))
def keys(
    service: TheService, caller: AnyCaller, after: KeyCursor | None = None, limit: Limit = 100
) -> answers.Keys:
    """List the keys of the account; a delegate's key lists itself."""
    after_ms, _, after_id = after.partition(".") if after else ("0", "", "0x")
    with acting(service, caller) as session:
        rows = session.all(
            "api.key_page", after_ms=int(after_ms), after=from_hex(after_id), limit=limit
        )
    return answers.Keys(
        keys=[answers.KeyInfo(**_info(row)) for row in rows],
        next=next_cursor(rows, limit, lambda last: f"{last.created_ms}.{to_hex(last.key)}"),
    )


@router.post(
    "/keys",
    status_code=201,
    responses=documented(
        401,
        403,
        409,
        rules(403, "delegate-forbidden"),
        rules(409, "keys-too-many"),
        rules(422, "key-expiry"),
    ),
)
def delegate(service: TheService, caller: AnyCaller, body: bodies.NewKey) -> answers.FreshKey:
    """Make a delegate's key by a wallet's key, with no more than that has."""
    _check_wallet_key(caller)
    surfaces = None if body.surfaces is None else frozenset(map(from_hex, body.surfaces))
    expires_ms = caller.expires_ms if body.expires_ms is None else body.expires_ms
    made = _Delegate(body.name, scopes_of(body.scopes), surfaces or caller.surfaces, expires_ms)
    return _made(service, caller, made)


@router.get("/keys/{key}", responses=documented(401, 403, 404))
def key_detail(service: TheService, caller: AnyCaller, key: KeyId) -> answers.KeyInfo:
    """Return a key, by the id that openings of the log have."""
    with acting(service, caller) as session:
        return answers.KeyInfo(**_info(_known_key(session, caller, key)))


@router.patch("/keys/{key}", responses=documented(401, 403, 404))
def rename(
    service: TheService, caller: AnyCaller, key: KeyId, body: bodies.KeyChange
) -> answers.KeyInfo:
    """Give a key another name."""
    with acting(service, caller) as session:
        row = _known_key(session, caller, key)
        session.run("api.name_key", key=row.key, name=body.name)
        return answers.KeyInfo(**_info(row) | {"name": body.name})


@router.post(
    "/keys/{key}/rotation",
    status_code=201,
    responses=documented(
        401,
        403,
        404,
        409,
        rules(403, "delegate-forbidden"),
        rules(409, "key-ended key-of-a-wallet keys-too-many"),
        rules(422, "key-expiry"),
    ),
)
def rotate(
    service: TheService, caller: AnyCaller, key: KeyId, body: bodies.Rotation
) -> answers.FreshKey:
    """Make a new key in a delegate's place, by a wallet's key; the old one ends after an overlap.

    It is made by the key that asks: so delegates are carried over to a new sign-in without a gap.
    """
    _check_wallet_key(caller)
    with acting(service, caller) as session:
        old = _known_key(session, caller, key)
    if old.parent is None:
        raise Refusal(
            409,
            "key-of-a-wallet",
            "a wallet's own key comes from its signature; sign in again, then revoke this one",
        )
    if old.revoked_ms is not None or old.expires_ms <= service.now_ms():
        raise Refusal(409, "key-ended", "this key has ended; make a new one")
    surfaces = None if old.surfaces is None else frozenset(map(bytes, old.surfaces))
    until_ms = min(old.expires_ms, caller.expires_ms)
    expires_ms = until_ms if body.expires_ms is None else body.expires_ms
    made = _Delegate(old.name, old.scopes, surfaces, expires_ms)
    return _made(service, caller, made, replaced=bytes(old.key), overlap_ms=body.overlap_s * 1000)


@router.delete(
    "/keys", status_code=204, responses=documented(401, 403, rules(403, "delegate-forbidden"))
)
def revoke_all(service: TheService, caller: AnyCaller) -> None:
    """Revoke all keys of the account, by a wallet's key, which is one of them."""
    _check_wallet_key(caller)
    with acting(service, caller) as session:
        session.run("api.revoke_keys")


@router.delete("/keys/{key}", status_code=204, responses=documented(401, 403, 404))
def revoke(service: TheService, caller: AnyCaller, key: KeyId) -> None:
    """Revoke a key, and the delegates that it has made."""
    with acting(service, caller) as session:
        session.run("api.revoke_key", key=_known_key(session, caller, key).key)


def _made(
    service: Service,
    caller: Caller,
    made: _Delegate,
    *,
    replaced: bytes | None = None,
    overlap_ms: int = 0,
) -> answers.FreshKey:
    """Make a delegate's key, and let the one that it replaces end, in one transaction."""
    _check_subset(caller, made, service.now_ms())
    key, id_ = auth.new_key(), secrets.token_bytes(32)
    try:
        with acting(service, caller) as session:
            session.run(
                "api.add_delegate",
                key=id_,
                secret=auth.secret_of(key),
                name=made.name,
                scopes=list(made.scopes),
                surfaces=None if made.surfaces is None else list(made.surfaces),
                expires_ms=made.expires_ms,
            )
            if replaced is not None:
                session.run("api.end_key", key=replaced, overlap_ms=overlap_ms)
            return answers.FreshKey(key=key, **_info(_known_key(session, caller, to_hex(id_))))
    except DatabaseError as error:
        if error.sqlstate != ACCOUNT_FULL:
            raise
        raise Refusal(
            409,
            "keys-too-many",
            f"this account has {MOST_KEYS} live delegates; revoke one of them first",
        ) from None


def _check_wallet_key(caller: Caller) -> None:
    if caller.parent is not None:
        raise Refusal(
            403, "delegate-forbidden", "this needs a wallet's own key; yours is a delegate's"
        )


def _check_subset(caller: Caller, made: _Delegate, now_ms: int) -> None:
    """Raise `Refusal` if a delegate were to have more than the key that makes it."""
    more = sorted(set(made.scopes) - caller.scopes)
    if more:
        raise Refusal(403, "scope-missing", f"your own key has not the scope {', '.join(more)}")
    if caller.surfaces is not None and made.surfaces is None:
        raise Refusal(403, "surface-forbidden", "your own key is not for all surfaces")
    for surface in made.surfaces or ():
        check_surface(caller, surface)
    if not now_ms < made.expires_ms <= caller.expires_ms:
        raise Refusal(
            422,
            "key-expiry",
            f"a delegate's key expires after now, {format_ms(now_ms)}, and no later than your own, "
            f"at {format_ms(caller.expires_ms)}, not at {format_ms(made.expires_ms)}",
        )


def _known_key(session: Session, caller: Caller, key: str) -> Row:
    row = session.one("api.key", key=caller.key if key == "current" else from_hex(key))
    if row is None:
        raise not_found("key of yours")
    return row


def _info(row: Row) -> dict[str, object]:
    return {
        "id": to_hex(row.key),
        "parent": None if row.parent is None else to_hex(row.parent),
        "name": row.name,
        "scopes": row.scopes,
        "surfaces": None if row.surfaces is None else [to_hex(each) for each in row.surfaces],
        "created_ms": row.created_ms,
        "expires_ms": row.expires_ms,
        "revoked_ms": row.revoked_ms,
    }
