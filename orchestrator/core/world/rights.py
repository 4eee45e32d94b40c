"""Rights: which part of the service may make which requests, for which account, by which keys.

`RIGHTS` is the one table; a kind of request that is missing from it is refused. The database holds
every request to it when it takes it (`take_requests` and `take_request` read a copy, which
`migrate` writes), and the sequencer holds it to it again before it decides: what came into the
inbox by any other way never becomes an entry. What the key itself may do, only the database judges,
to which it is presented.
"""

from typing import Any, NamedTuple, cast

from orchestrator.core.account.scopes import Scope
from orchestrator.core.common.errors import RequestError
from orchestrator.core.log.entry import address_word
from orchestrator.core.world import requests
from orchestrator.core.world.requests import Request
from orchestrator.core.world.world import World

API, WORKER = "api", "worker"


class Right(NamedTuple):
    """The right to make requests of a kind: by which part, and what must be the account's own.

    `scope` is what the key must have by which a request comes to the API; the worker has no key.
    `actor` is the field that must hold the account as a word, if any. Where `is_surface_owners`,
    the surface must be the account's; where `is_publishers`, the account must be the log's
    publisher.
    """

    sender: str
    scope: Scope | None = None
    actor: str | None = None
    is_surface_owners: bool = False
    is_publishers: bool = False


RIGHTS: dict[type[Request], Right] = {
    requests.Genesis: Right(WORKER, actor="publisher", is_publishers=True),
    requests.RegisterOperator: Right(API, "operator:touch", "operator"),
    requests.PublishPolicy: Right(API, "owner:publish", "owner", is_surface_owners=True),
    requests.PublishSettings: Right(API, "owner:publish", "owner", is_surface_owners=True),
    requests.SuspendOperator: Right(API, "owner:review", "owner", is_surface_owners=True),
    requests.RestoreOperator: Right(API, "owner:review", "owner", is_surface_owners=True),
    requests.JudgeTrust: Right(API, "operator:touch", "operator"),
    requests.MakeForecast: Right(API, "operator:forecast", "operator"),
    requests.Touch: Right(API, "operator:touch", "operator"),
    requests.RequestAction: Right(API, "operator:request", "operator"),
    requests.AnswerAction: Right(API, "owner:answer", "owner", is_surface_owners=True),
    requests.ProductEvent: Right(API, "owner:report", is_surface_owners=True),
    requests.Arrival: Right(API, "owner:report", is_surface_owners=True),
    requests.IssueCode: Right(API, "operator:issue", "operator"),
    requests.EndOwnCode: Right(API, "operator:issue", "operator"),
    requests.EndCode: Right(API, "owner:review", "owner", is_surface_owners=True),
    requests.Erasure: Right(API, "owner:erase", "owner", is_surface_owners=True),
    # What happened on chain, and when totals are stated.
    requests.OpenContract: Right(WORKER, is_publishers=True),
    requests.CloseContract: Right(WORKER, is_publishers=True),
    requests.RecordPayout: Right(WORKER, is_publishers=True),
    requests.RecordDispute: Right(WORKER, is_publishers=True),
    requests.RecordRuling: Right(WORKER, is_publishers=True),
    requests.Settle: Right(WORKER, is_publishers=True),
    # What the owner's endpoint has taken, and what was taken by no one in time.
    requests.ConfirmAction: Right(WORKER, is_publishers=True),
    requests.ExpireAction: Right(WORKER, is_publishers=True),
    requests.ScoreForecast: Right(WORKER, is_publishers=True),
}


def names_key(make: type[Request]) -> bool:
    """Return whether requests of a kind name the delegate's key that they came by.

    Such a request must name the key that it comes by, and zero for a wallet's own.
    """
    return "key" in make._fields


class Sender(NamedTuple):
    """The part of the service by which a request came, and the account (`0x…`) that made it."""

    part: str
    account: str


def check_right(world: World, request: Request, sender: Sender, publisher: str) -> None:
    """Raise RequestError unless the sender may make this request of the log of this publisher.

    Nothing is taken before the genesis. Whose a surface is that the log does not have, the database
    has asked; and no event of such a surface is taken.
    """
    if not world.size and not isinstance(request, requests.Genesis):
        raise RequestError("log-unbegun", "the log has no genesis yet; send it again in a moment")
    right = RIGHTS.get(type(request))
    if right is None or right.sender != sender.part:
        raise RequestError(
            "request-of-another-part",
            f"a {type(request).__name__} came by the login of {sender.part!r:.60}, which may make "
            f"none",
        )
    account = address_word(sender.account)
    owned = [] if right.actor is None else [getattr(request, right.actor)]
    if right.is_publishers:
        owned.append(address_word(publisher))
    if right.is_surface_owners:
        here = world.surfaces.get(cast(Any, request).surface)
        owned += [] if here is None else [here.owner]
    others = [owner for owner in owned if owner != account]
    if others:
        raise RequestError(
            "request-of-another-account",
            f"a {type(request).__name__} came from account {sender.account}, and names as its "
            f"author 0x{others[0].hex()}",
        )
