"""The routes of webhooks: URLs of an account that are told of what the log says.

Those who may read what a webhook is told may list it. Only a wallet's own key makes, changes and
removes one: what a stolen delegate left behind would otherwise outlive it. The row policies hold
every rule here once more.
"""

import base64
import secrets
from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Query

from api.context import Service, TheService
from api.http.auth import Caller, acting, needs
from api.http.fields import (
    DeliveryState,
    MessageId,
    WebhookId,
)
from api.http.json_input import StrictRoute
from api.http.problems import Refusal, documented, not_found
from api.routes.accounts import answers, bodies
from api.routes.surfaces.operators import known_surface
from api.routes.surfaces.owners import own_surface
from api.rules import OWNERS, rules
from orchestrator.core.account.outward_url import read_outward_url
from orchestrator.core.common.hexadecimal import from_hex, to_hex
from orchestrator.core.entries.kinds import Side
from orchestrator.core.entries.webhook import events_of, message_id, position_in
from orchestrator.storage.database import DatabaseError, Row, Session
from orchestrator.storage.sql.sqlstates import ACCOUNT_FULL

SECRET_PREFIX = "whsec_"  # noqa: S105 - it is public
SECRET_BYTES = 32

router = APIRouter(prefix="/v1", tags=["accounts"], route_class=StrictRoute)

_OF_A_WALLET = rules(403, "delegate-forbidden")
_URL = rules(422, "event-of-another url-closed url-malformed")

Hearer = Annotated[Caller, needs("operator:read", "owner:read")]


@router.post(
    "/webhooks",
    status_code=201,
    responses=documented(
        401, 403, 404, 409, OWNERS, _OF_A_WALLET, _URL, rules(409, "webhooks-too-many")
    ),
)
def add_webhook(
    service: TheService, caller: Hearer, body: bodies.NewWebhook
) -> answers.FreshWebhook:
    """Have a URL told of what the log says from now on."""
    _check_may(caller, body.audience)
    read_outward_url(body.url, service.info.webhook_networks)
    events = _events(body.audience, body.events)
    webhook, secret = secrets.token_bytes(32), secrets.token_bytes(SECRET_BYTES)
    try:
        with acting(service, caller) as session:
            if body.surface is not None:
                known = own_surface if body.audience == "owner" else _known
                known(service, session, caller, body.surface)
            session.run(
                "webhooks.add",
                webhook=webhook,
                log_id=service.log_id,
                account=caller.account,
                audience=body.audience,
                surface=None if body.surface is None else from_hex(body.surface),
                events=events,
                url=body.url,
            )
            session.run("webhooks.add_secret", webhook=webhook, secret=secret)
            return _fresh(service, session, webhook, secret)
    except DatabaseError as error:
        if error.sqlstate != ACCOUNT_FULL:
            raise
        raise Refusal(
            409,
            "webhooks-too-many",
            f"this account has {service.limits.webhooks} webhooks; remove one of them first",
        ) from None


@router.get("/webhooks", responses=documented(401, 403))
def webhooks(service: TheService, caller: Hearer) -> answers.Webhooks:
    """List the account's webhooks, as far as your key may read what they are told."""
    with acting(service, caller) as session:
        rows = session.all("webhooks.of_account", log_id=service.log_id, webhook=None)
    return answers.Webhooks(webhooks=[answers.Webhook(**_facts(row)) for row in rows])


@router.get("/webhooks/{webhook}", responses=documented(401, 403, 404))
def webhook_detail(service: TheService, caller: Hearer, webhook: WebhookId) -> answers.Webhook:
    """Return a webhook: whether it works, and since when it does not."""
    with acting(service, caller) as session:
        return answers.Webhook(**_facts(_known_webhook(service, session, webhook)))


@router.patch("/webhooks/{webhook}", responses=documented(401, 403, 404, _OF_A_WALLET, _URL))
def change_webhook(
    service: TheService, caller: Hearer, webhook: WebhookId, body: bodies.WebhookChange
) -> answers.Webhook:
    """Change a webhook's URL or events; one that was disabled goes on where it stopped."""
    if body.url is not None:
        read_outward_url(body.url, service.info.webhook_networks)
    with acting(service, caller) as session:
        row = _changeable(service, session, caller, webhook)
        events = None if body.events is None else _events(row.audience, body.events)
        session.run("webhooks.change", webhook=row.webhook, url=body.url, events=events)
        return answers.Webhook(**_facts(_known_webhook(service, session, webhook)))


@router.post("/webhooks/{webhook}/rotation", responses=documented(401, 403, 404, _OF_A_WALLET))
def rotate_webhook_secret(
    service: TheService, caller: Hearer, webhook: WebhookId, body: bodies.SecretRotation
) -> answers.FreshWebhook:
    """Make a new secret; until the overlap ends messages bear signatures by both."""
    secret = secrets.token_bytes(SECRET_BYTES)
    with acting(service, caller) as session:
        row = _changeable(service, session, caller, webhook)
        session.run("webhooks.drop_secrets", webhook=row.webhook)
        overlap_ms = body.overlap_s * 1000
        session.run("webhooks.end_secrets", webhook=row.webhook, overlap_ms=overlap_ms)
        session.run("webhooks.add_secret", webhook=row.webhook, secret=secret)
        return _fresh(service, session, bytes(row.webhook), secret)


@router.delete(
    "/webhooks/{webhook}", status_code=204, responses=documented(401, 403, 404, _OF_A_WALLET)
)
def remove_webhook(service: TheService, caller: Hearer, webhook: WebhookId) -> None:
    """Remove a webhook, with its secrets and its deliveries."""
    with acting(service, caller) as session:
        row = _changeable(service, session, caller, webhook)
        session.run("webhooks.remove", webhook=row.webhook)


@router.get("/webhooks/{webhook}/deliveries", responses=documented(401, 403, 404))
def deliveries(
    service: TheService,
    caller: Hearer,
    webhook: WebhookId,
    state: Annotated[DeliveryState | None, Query(description="Only those in this state.")] = None,
) -> answers.Deliveries:
    """List a webhook's deliveries, newest first: those that wait, and the last that are over."""
    with acting(service, caller) as session:
        row = _known_webhook(service, session, webhook)
        rows = session.all("webhooks.deliveries", webhook=row.webhook, state=state, position=None)
    return answers.Deliveries(deliveries=[_delivery(bytes(row.webhook), each) for each in rows])


@router.post(
    "/webhooks/{webhook}/deliveries/{message}/repeat",
    status_code=202,
    responses=documented(401, 403, 404, 409, _OF_A_WALLET, rules(409, "deliveries-waiting")),
)
def repeat_delivery(
    service: TheService, caller: Hearer, webhook: WebhookId, message: MessageId
) -> answers.Delivery:
    """Send a message once more that was given up, or that was delivered."""
    with acting(service, caller) as session:
        row = _changeable(service, session, caller, webhook)
        which = {"webhook": row.webhook, "position": position_in(message)}
        if message_id(bytes(row.webhook), which["position"]) != message:
            raise not_found("message of this webhook")
        known, most = _delivery_of(session, which), service.limits.webhook_waiting
        if known.state != "waiting" and not session.run("webhooks.send_again", **which, most=most):
            raise Refusal(
                409,
                "deliveries-waiting",
                f"{most} deliveries of this webhook wait, as many as may; send it again "
                f"when some have arrived",
            )
        session.run("webhooks.wake", webhooks=[row.webhook])
        return _delivery(bytes(row.webhook), _delivery_of(session, which))


def _check_may(caller: Caller, audience: Side) -> None:
    """Raise `Refusal` unless this is a wallet's own key that may hear, and take, what is told."""
    if caller.parent is not None:
        raise Refusal(
            403, "delegate-forbidden", "this needs a wallet's own key; yours is a delegate's"
        )
    wanted = {"owner": {"owner:read", "owner:answer"}, "operator": {"operator:read"}}[audience]
    missing = sorted(wanted - caller.scopes)
    if missing:
        raise Refusal(403, "scope-missing", f"this needs a key with the scope {missing[0]}")


def _known(service: Service, session: Session, _: Caller, surface: str) -> Row:
    return known_surface(service, session, surface)


def _events(audience: Side, named: list[str] | None) -> list[str]:
    """Return the events that a webhook is told of. Raises `Refusal` for one of the other side."""
    offered = events_of(audience)
    for event in named or ():
        if event not in offered:
            raise Refusal(
                422,
                "event-of-another",
                f"body/events: {event} is not told to an {audience}; there are "
                f"{', '.join(offered)}",
            )
    return sorted(set(named or offered))


def _known_webhook(service: Service, session: Session, webhook: str) -> Row:
    row = session.one("webhooks.of_account", log_id=service.log_id, webhook=from_hex(webhook))
    if row is None:
        raise not_found("webhook of yours")
    return row


def _changeable(service: Service, session: Session, caller: Caller, webhook: str) -> Row:
    row = _known_webhook(service, session, webhook)
    _check_may(caller, row.audience)
    return row


def _fresh(
    service: Service, session: Session, webhook: bytes, secret: bytes
) -> answers.FreshWebhook:
    shown = SECRET_PREFIX + base64.b64encode(secret).decode()
    row = _known_webhook(service, session, to_hex(webhook))
    return answers.FreshWebhook(secret=shown, **_facts(row))


def _facts(row: Row) -> dict[str, object]:
    surface = None if row.surface is None else to_hex(row.surface)
    facts: dict[str, object] = row._asdict()
    return facts | {"webhook": to_hex(row.webhook), "surface": surface}


def _delivery_of(session: Session, which: Mapping[str, object]) -> Row:
    row = session.one("webhooks.deliveries", **which, state=None)
    if row is None:
        raise not_found("delivery of this webhook that is kept")
    return row


def _delivery(webhook: bytes, row: Row) -> answers.Delivery:
    facts: dict[str, object] = row._asdict()
    facts["message"] = message_id(webhook, row.position)
    facts["offer"] = None if row.offer is None else to_hex(row.offer)
    facts["position"] = row.position if row.offer is None else None
    return answers.Delivery(**facts)
