"""Reports by signature: the secrets of Segment and Stripe, and whose report a signature makes it.

The database keeps a secret with a delegate's key, compares signatures with it, and hands the key
out for a report whose signature holds. Once a surface has a source's secret, that source's door
takes what is signed by it and nothing else.
"""

import secrets
from collections.abc import Callable, Mapping
from hashlib import sha1, sha256
from typing import Annotated, Any, Literal, NamedTuple

from fastapi import APIRouter, Depends, Header, Path, Request, Response
from fastapi.security import HTTPAuthorizationCredentials
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from api.context import Service, TheService
from api.http import allowances
from api.http.auth import (
    REALM,
    AnyCaller,
    BearerKey,
    Caller,
    acting,
    admit,
    caller_of,
    new_key,
    secret_of,
)
from api.http.bodies import Body
from api.http.fields import SECRET_PATTERN, SurfaceId, TimeMs, Word
from api.http.json_input import StrictRoute
from api.http.problems import Refusal, documented, not_found
from api.http.submissions import MAX_WAIT_S, CallerInbox, WaitS
from api.routes.surfaces.owners import own_surface
from api.rules import OWNERS, rules
from orchestrator.core.account.scopes import Scope
from orchestrator.core.common.hexadecimal import from_hex, to_hex
from orchestrator.core.intake.signature import read_segment_signature, read_stripe_signature

REPORT: Scope = "owner:report"
# Segment takes no longer message itself, but for what it adds.
MAX_SEGMENT_BYTES = 65_536
_BLOCK_BYTES = 64

router = APIRouter(prefix="/v1/surfaces/{surface}", tags=["owner"], route_class=StrictRoute)
Signing = Annotated[
    Literal["segment", "stripe"], Path(description="The source that signs its reports.")
]


# --- Signatures -----------------------------------------------------------------------------------


class SigningSource(NamedTuple):
    """A source that signs: its header and that's reader, the hash of its HMAC, the query for it."""

    header: str
    form: str
    read: Callable[[str], Mapping[str, object]]
    hash_of: Callable[[bytes], bytes]
    query: str
    wrong: str


def _read_stripe(header: str) -> Mapping[str, object]:
    signed_s, signatures = read_stripe_signature(header)
    return {"signed_s": signed_s, "signatures": [sha256(one).digest() for one in signatures]}


def _read_segment(header: str) -> Mapping[str, object]:
    return {"signature": sha256(read_segment_signature(header)).digest()}


SIGNERS = {
    "segment": SigningSource(
        "X-Signature",
        "As Segment writes it: 40 hex digits.",
        _read_segment,
        # Segment's own choice.
        lambda secret: sha1(secret).digest(),  # noqa: S324
        "api.segment_key",
        "no secret of this surface made this signature; of a batch Segment signs the first event "
        f"alone, so have it send one by one, each of at most {MAX_SEGMENT_BYTES} bytes",
    ),
    "stripe": SigningSource(
        "Stripe-Signature",
        "As Stripe writes it: `t=…,v1=…`.",
        _read_stripe,
        lambda secret: sha256(secret).digest(),
        "api.stripe_key",
        "no secret of this surface made this signature in the last 300 s",
    ),
}


def signed_inbox(source: str) -> Any:
    """Return the dependency of a door that takes a source's signature, or a key without one."""
    signer = SIGNERS[source]

    async def open_inbox(
        service: TheService,
        surface: SurfaceId,
        wait_s: WaitS,
        request: Request,
        response: Response,
        key: BearerKey,
        signature: Annotated[
            str | None, Header(alias=signer.header, description=signer.form)
        ] = None,
    ) -> CallerInbox:
        body = await request.body()

        def caller() -> Caller:
            if signature is None:
                return _unsigned(service, request, source, surface, key)
            return _signed(service, request, signer, surface, signature, body)

        # A source by itself asks no second time what became of a report that it sees taken.
        patience_s = MAX_WAIT_S if signature is not None else wait_s
        return CallerInbox(service, await run_in_threadpool(caller), patience_s, request, response)

    return Depends(open_inbox)


def _signed(
    service: Service,
    request: Request,
    signer: SigningSource,
    surface: str,
    signature: str,
    body: bytes,
) -> Caller:
    """Return the caller that a signature stands for; a key beside it has no say.

    Raises `Refusal` (401), or `IntakeError`.
    """
    signed = signer.read(signature)
    with service.database.transaction() as session:
        row = session.one(
            signer.query, log_id=service.log_id, surface=from_hex(surface), report=body, **signed
        )
    if row is None or row.secret is None:
        # Who signs wrongly has no account: it is charged by where it comes from.
        allowances.charge_sign_in(service, request)
        raise Refusal(401, "signature-wrong", signer.wrong, headers={"WWW-Authenticate": REALM})
    return admit(service, request, bytes(row.secret), [REPORT])


def _unsigned(
    service: Service,
    request: Request,
    source: str,
    surface: str,
    key: HTTPAuthorizationCredentials | None,
) -> Caller:
    """Return the caller behind a key. Raises `Refusal` (401) where a signature is needed."""
    caller = caller_of(service, request, key, [REPORT])
    with acting(service, caller) as session:
        row = session.one("api.source_key", **_named(service, surface, source))
    if row is not None:
        raise Refusal(
            401,
            "signature-missing",
            f"this surface has a secret of {source}, so its reports need the header "
            f"{SIGNERS[source].header}; DELETE …/sources/{source} takes them by key again",
            headers={"WWW-Authenticate": REALM},
        )
    return caller


# --- Secrets --------------------------------------------------------------------------------------


class SourceSecret(Body):
    """The secret that a source signs its reports to this surface with."""

    secret: Annotated[
        str,
        Field(
            pattern=SECRET_PATTERN,
            description="Stripe's signing secret of the webhook endpoint, or the shared secret of "
            "Segment's webhook. It is kept apart, and no answer shows it.",
            examples=["whsec_8KqJ2vTnGm4XyZ0aBcDeFgHi"],
        ),
    ]


class SourceKey(BaseModel):
    """The key that a source's signed reports come by: a delegate of the wallet's own key."""

    source: str
    key: Word
    expires_ms: TimeMs


@router.put(
    "/sources/{source}",
    responses=documented(401, 403, 404, 409, OWNERS, rules(403, "delegate-forbidden")),
)
def set_source_secret(
    service: TheService,
    caller: AnyCaller,
    surface: SurfaceId,
    source: Signing,
    body: SourceSecret,
) -> SourceKey:
    """Set the secret that a source signs reports to this surface with, in place of an earlier one.

    From then on it takes no reports of that source without a signature. They come by a delegate's
    key that is made for it: it is listed among your keys, ends with the key that you use now, and
    can be revoked.
    """
    _check_wallet_key(caller)
    key, id_ = secret_of(new_key()), secrets.token_bytes(32)
    inner, outer = _padded(body.secret.encode(), SIGNERS[source].hash_of)
    with acting(service, caller) as session:
        own_surface(service, session, caller, surface)
        named = _named(service, surface, source)
        earlier = session.one("api.source_key", **named)
        if earlier is not None:
            session.run("api.revoke_key", key=bytes(earlier.key))
            session.run("api.drop_source_secret", **named)
        session.run(
            "api.add_delegate",
            key=id_,
            secret=key,
            name=source,
            scopes=[REPORT],
            surfaces=[from_hex(surface)],
            expires_ms=caller.expires_ms,
        )
        session.run(
            "api.add_source_secret",
            **named,
            key=id_,
            secret=key,
            inner_pad=inner,
            outer_pad=outer,
        )
    return SourceKey(source=source, key=to_hex(id_), expires_ms=caller.expires_ms)


@router.delete(
    "/sources/{source}",
    status_code=204,
    responses=documented(401, 403, 404, rules(403, "delegate-forbidden")),
)
def drop_source_secret(
    service: TheService, caller: AnyCaller, surface: SurfaceId, source: Signing
) -> None:
    """Forget the secret, and revoke the key that the source's reports came by."""
    _check_wallet_key(caller)
    named = _named(service, surface, source)
    with acting(service, caller) as session:
        row = session.one("api.source_key", **named)
        if row is None:
            raise not_found("secret of this surface")
        session.run("api.revoke_key", key=bytes(row.key))
        session.run("api.drop_source_secret", **named)


def _named(service: Service, surface: str, source: str) -> dict[str, object]:
    return {"log_id": service.log_id, "surface": from_hex(surface), "source": source}


def _check_wallet_key(caller: Caller) -> None:
    if caller.parent is not None or REPORT not in caller.scopes:
        raise Refusal(
            403,
            "delegate-forbidden",
            f"this needs a wallet's own key with the scope {REPORT}",
        )


def _padded(secret: bytes, hash_of: Callable[[bytes], bytes]) -> tuple[bytes, bytes]:
    """Return the two blocks of an HMAC by this secret (RFC 2104)."""
    block = hash_of(secret) if len(secret) > _BLOCK_BYTES else secret
    block = block.ljust(_BLOCK_BYTES, b"\0")
    return bytes(one ^ 0x36 for one in block), bytes(one ^ 0x5C for one in block)
