"""Allowances: what a request costs its account, or its source, and what the answer says of that.

An account is charged by its key, a caller without one by its network address. Both are told in the
fields `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers) of every answer.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from hashlib import sha256

from fastapi import Request
from starlette.types import Scope

from api.context import Network, Service, TheService
from api.http.fields import MAX_PAGE
from api.http.problems import Refusal
from orchestrator.core.account.sources import NetworkSource, address_of, source_of_host
from orchestrator.core.common.limits import Limits, Rate, limits_of_wide, rate_of
from orchestrator.core.log.bundle import MAX_BUNDLE
from orchestrator.storage.allowances import Spent, spend
from orchestrator.storage.database import Session

# By the name of a rate, so many units of it.
Costs = Mapping[str, int]

# The most hops of a forwarded request that are looked at; the rest is what its sender made up.
MAX_HOPS = 16
# The fields in which a proxy says whom it serves.
FORWARDED = ("x-forwarded-for", "forwarded")
# In a request's scope: what is undone once it is answered, the allowances it was charged to, and by
# which limits.
EXITS = "tallystick.exits"
_TOLD = "tallystick.allowances"
_LIMITS = "tallystick.limits"
_DEFAULT_PAGE = 100
# The resources that have a rate of their own, by its name.
_PRICED = ("touches", "events", "memory", "leases", "messages")
# An answer to why reads as much of the log as a long page.
# A bundle's entries are copied as they are stored: each costs an eighth of a row of JSON or less.
BUNDLE_ROWS = MAX_BUNDLE // 8
ANSWER_ROWS = MAX_PAGE


# --- Costs ----------------------------------------------------------------------------------------


def costs_of(request: Request) -> Costs:
    """Return the costs of a request with a key; a bulk's lines are charged when they are read."""
    if request.method == "GET":
        return {"requests": 1, "rows": _rows_of(request)}
    if request.scope["path"].endswith("/bulk"):
        return {"requests": 1}
    return {"requests": 1, act_of(request): 1}


def act_of(request: Request) -> str:
    """Return the rate that a request, or a line of it, is charged to, by the route that takes it.

    What a caller writes into the path itself, such as the key of a memory, has no say.
    """
    resources = request.scope["route"].path.split("/")
    return next((name for name in _PRICED if name in resources), "acts")


def _rows_of(request: Request) -> int:
    """Return the number of rows that a page was asked for; one where none was."""
    asked = request.query_params.get("limit")
    if asked is None:
        is_page = "after" in request.query_params or "start" in request.query_params
        return _DEFAULT_PAGE if is_page else 1
    # The route itself refuses what is no number.
    return min(int(asked), MAX_PAGE) if asked.isdecimal() and len(asked) < 10 else 1


# --- Charging -------------------------------------------------------------------------------------


def charge(
    transaction: AbstractContextManager[Session],
    request: Request,
    account: str,
    limits: Limits,
    costs: Costs,
) -> None:
    """Charge an account in a transaction. Raises `Refusal` (429, or 413 for more than ever)."""
    for name, units in costs.items():
        rate = rate_of(limits, name)
        if units > rate.quota:
            raise Refusal(
                413,
                "lines-too-many",
                f"{units} {rate.unit} at once, and no more than {rate.quota} are taken in "
                f"{rate.window_s} s",
            )
    with transaction as session:
        session.run("api.commit_unflushed")
        spent = spend(session, account, limits, costs)
    note(request, spent, limits)


def limits_in(request: Request) -> Limits:
    """Return the limits by which a request was charged."""
    limits: Limits = request.scope[_LIMITS]
    return limits


def note(request: Request, spent: Sequence[Spent], limits: Limits) -> None:
    """Note what is left, for the answer's headers. Raises `Refusal` (429) if it was not enough.

    The charge is committed by then: a refusal must not undo it.
    """
    request.scope[_LIMITS] = limits
    told = request.scope.setdefault(_TOLD, {})
    told |= {each.rate.name: each for each in spent}
    short = max(spent, key=lambda each: each.wait_us)
    if short.wait_us:
        seconds = -(-short.wait_us // 1_000_000)
        rate = short.rate
        raise Refusal(
            429,
            "rate-limited",
            f"more than {rate.quota} {rate.unit} in {rate.window_s} s; wait {seconds} s",
            headers={"Retry-After": str(seconds)},
        )


def headers_of(scope: Scope) -> dict[str, str]:
    """Return the fields that tell the allowances which a request was charged to."""
    told: dict[str, Spent] = scope.get(_TOLD, {})
    if not told:
        return {}
    return {
        "RateLimit-Policy": ", ".join(_policy(each.rate) for each in told.values()),
        "RateLimit": ", ".join(
            f'"{each.rate.name}";r={each.remaining};t={-(-each.full_in_us // 1_000_000)}'
            for each in told.values()
        ),
    }


def _policy(rate: Rate) -> str:
    unit = "" if rate.unit == "requests" else f';qu="{rate.unit}"'
    return f'"{rate.name}";q={rate.quota};w={rate.window_s}{unit}'


# --- Concurrency ----------------------------------------------------------------------------------


def occupy(service: Service, request: Request, account: str) -> None:
    """Take one of an account's places for requests at once, until this one is answered.

    Raises `Refusal` (429) if it has none left.
    """
    if not service.at_once.acquire(account):
        raise Refusal(
            429,
            "too-many-at-once",
            f"{service.limits.requests_at_once} requests of yours are being answered; wait for one",
            headers={"Retry-After": "1"},
        )
    exits: ExitStack = request.scope[EXITS]
    exits.callback(service.at_once.release, account)


# --- Sources --------------------------------------------------------------------------------------


def charge_sign_in(service: TheService, request: Request) -> None:
    """Charge a caller who has no account yet, by its source. Raises `Refusal` (429)."""
    _charge_source(service, request, source_of(service, request), {"sign-ins": 1})


def charge_read(service: Service, request: Request, source: NetworkSource) -> None:
    """Charge a source for a public read. Raises `Refusal` (429)."""
    path: str = request.scope["route"].path
    if path.endswith("/log/bundles"):
        rows = BUNDLE_ROWS
    else:
        rows = ANSWER_ROWS if request.scope["path"].endswith("/why") else _rows_of(request)
    _charge_source(service, request, source, {"reads": 1, "read-rows": rows})


def _charge_source(service: Service, request: Request, source: NetworkSource, costs: Costs) -> None:
    """Charge a network, and the wide one if that had enough: its floods cost the others nothing."""
    account, transaction = source_account(source.network), service.database.transaction()
    charge(transaction, request, account, service.limits, costs)
    if source.wide is not None:
        limits = limits_of_wide(service.limits)
        with service.database.transaction() as session:
            session.run("api.commit_unflushed")
            spent = spend(session, source_account(source.wide), limits, costs)
        if any(each.wait_us for each in spent):
            note(request, spent, limits)


def spend_on_replay(service: Service, source: NetworkSource) -> int:
    """Spend on a page of the stored log, and return 0 or the time until there is enough, in us."""
    with service.database.transaction() as session:
        session.run("api.commit_unflushed")
        for network, limits in zip(
            source, (service.limits, limits_of_wide(service.limits)), strict=True
        ):
            if network is not None:
                (spent,) = spend(session, source_account(network), limits, {"replays": 1})
                if spent.wait_us:
                    return spent.wait_us
    return 0


def source_account(network: str) -> str:
    """Return the address that a network's allowances are kept under; no key is known for it."""
    return "0x" + sha256(f"tallystick source {network}".encode()).hexdigest()[:40]


def source_of(service: Service, request: Request) -> NetworkSource:
    """Return the source that a request comes from, as far as proxies that we trust say so.

    From its right, the first hop that is no trusted proxy: what stands further left, that hop may
    have made up. A request with both fields says nothing, for a proxy that writes one of them may
    hand on the other as it came.
    """
    hop = request.client.host if request.client else ""
    fields = [_forwarded_for(request, name) for name in FORWARDED]
    hops = next((each for each in fields if each), []) if not all(fields) else []
    for earlier in reversed(hops[-MAX_HOPS:]):
        if not is_trusted(hop, service.info.trusted_proxies):
            break
        if address_of(earlier) is None:
            break
        hop = earlier
    return source_of_host(hop)


def is_trusted(hop: str, proxies: Iterable[Network]) -> bool:
    """Return whether a hop is a proxy that we trust."""
    address = address_of(hop)
    return address is not None and any(address in network for network in proxies)


def _forwarded_for(request: Request, name: str) -> list[str]:
    """Return the hops that a field names, the nearest last."""
    elements = ",".join(request.headers.getlist(name)).split(",")
    if name == "x-forwarded-for":
        return [_host(element) for element in elements if element.strip()]
    hops = []
    for element in elements:
        for pair in element.split(";"):
            key, _, value = pair.partition("=")
            if key.strip().lower() == "for":
                hops.append(_host(value))
    return hops


def _host(node: str) -> str:
    """Return the address of a node such as `192.0.2.1:80` or `"[2001:db8::1]:80"`."""
    text = node.strip().strip('"')
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text
