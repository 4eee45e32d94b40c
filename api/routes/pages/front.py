"""The front page: what this is, what is offered, how to connect, and what just happened.

It is made on the server and reads without scripts; a small one of our own adds what happens while
it is open. It loads nothing from elsewhere and asks for no cookie.
"""

import json
import shlex
from collections.abc import Iterator, Sequence
from importlib.resources import files

from fastapi import APIRouter, Response

from api.context import Service, TheService
from api.routes.deals import offers
from api.routes.pages.markup import Html, page, tag
from api.routes.public_route import PublicRoute
from api.routes.records import directory, directory_answers
from orchestrator.core.account.mcp_setup import ClientSetup, client_setups
from orchestrator.core.common.units import counted, format_amount, format_ms, format_percent
from orchestrator.core.entries.kinds import KINDS
from orchestrator.log.reader import StoredEntry

# What fits on a page that is made for each reader.
MAX_SURFACES = 8
MAX_OFFERS = 20
MAX_OPERATORS = 8
MAX_NEWS = 15
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_TYPES = {"css": "text/css", "js": "text/javascript"}
# What a person reads of a kind of entry.
NEWS = {kind.name: kind.news for kind in KINDS.values() if kind.news}
RECEIPTS = [kind.name for kind in KINDS.values() if kind.receipt is not None]

router = APIRouter(include_in_schema=False, route_class=PublicRoute)


@router.get("/")
def front(service: TheService) -> Response:
    """Return the front page."""
    listed = directory.surfaces(service, limit=MAX_SURFACES, after=None, surfaces=None).surfaces
    checkpoint = service.log.checkpoint()
    size = checkpoint.size if checkpoint else 0
    newest = service.log.entries(max(0, size - MAX_NEWS), MAX_NEWS)[::-1]
    head = Html(
        tag("link", rel="stylesheet", href="/front.css") + tag("script", src="/front.js", defer="")
    )
    body = tag(
        "main",
        _about(service, size),
        tag("h2", "Surfaces and offers"),
        *(_surface(service, each) for each in listed),
        *([] if listed else [tag("p", "No surface is open yet.")]),
        _operators(service),
        _connecting(service.info.public_url),
        _news(newest, size),
        _links(),
    )
    headers = {"Content-Security-Policy": POLICY}
    return Response(page("Tallystick", head, body), media_type="text/html", headers=headers)


@router.get("/front.css")
def style() -> Response:
    """Return the front page's style."""
    return page_file("front.css")


@router.get("/front.js")
def script() -> Response:
    """Return the front page's script."""
    return page_file("front.js")


def page_file(name: str) -> Response:
    """Return a file of these pages, under their policy of content."""
    content = files("api.routes.pages").joinpath("page", name).read_bytes()
    headers = {"Content-Security-Policy": POLICY, "Cache-Control": "public, max-age=300"}
    return Response(content, media_type=_TYPES[name.rpartition(".")[2]], headers=headers)


def _about(service: Service, size: int) -> Html:
    speed = service.info.speed
    is_fast = speed > 1
    clock = f"Its clock is at {format_ms(service.now_ms())[:16].replace('T', ' ')} UTC"
    notes = [f"{clock} and runs {speed} times as fast as yours; its money is for tests."]
    return tag(
        "header",
        tag("h1", "Tallystick"),
        tag(
            "p",
            "Pays autonomous agents for outcomes that a log can prove. A company opens a surface; "
            "an agent proposes a contract, works, and is paid by an escrow for what the log shows.",
        ),
        tag(
            "p",
            f"This is {service.info.origin}, with {counted(size, 'entry', 'entries')} in its log.",
        ),
        *(tag("p", note) for note in notes if is_fast),
    )


# --- Surfaces and offers --------------------------------------------------------------------------


def _surface(service: Service, listed: directory_answers.ListedSurface) -> Html:
    spend = directory.totals(service, listed.surface).spend
    live = sum(each.contracts for each in listed.live)
    outcomes = sum(line.outcomes.count for line in spend)
    amounts = ", ".join(_paid(service, spend)) or "nothing yet"
    figures = f"{counted(live, 'live contract')}, {counted(outcomes, 'outcome')}, paid {amounts}."
    name = listed.name or listed.surface
    heads = ("pays for", "each", "places left", "from level")
    rows = list(_offer_rows(service, listed.surface))
    return tag(
        "section",
        tag("h3", name),
        tag("p", figures, " ", _link(f"/v1/surfaces/{listed.surface}/totals", "What it has spent")),
        tag("p", tag("code", listed.surface)),
        *([_table(f"Standing offers of {name}", heads, rows)] if rows else []),
    )


def _paid(service: Service, spend: Sequence[directory_answers.MoneyLine]) -> Iterator[str]:
    for token in service.info.tokens:
        units = sum(int(line.paid.units or 0) for line in spend if line.token == token.address)
        if units:
            yield f"{format_amount(units, token.decimals)} {token.symbol}"


def _offer_rows(service: Service, surface: str) -> Iterator[Html]:
    for one in offers.offers(service, surface, None, MAX_OFFERS).offers:
        if one.status == "open":
            deal = one.deal
            price = f"{deal['price']} {deal['token']}"
            if deal["share"] != "0 %":
                price = f"{deal['share']} of its value"
            yield _row(
                "td", deal["outcome"], price, f"{one.places_left} of {one.places}", one.level
            )


def _table(caption: str, heads: Sequence[str], rows: Sequence[Html]) -> Html:
    """Return a table; where it is wider than the screen it is moved, by the keyboard too."""
    table = tag(
        "table",
        tag("caption", caption),
        tag("thead", _row("th", *heads)),
        tag("tbody", *rows),
    )
    return tag("div", table, class_="wide", tabindex="0", role="region", aria_label=caption)


def _row(cell: str, *values: str | int) -> Html:
    return tag("tr", *(tag(cell, value) for value in values))


# --- Operators ------------------------------------------------------------------------------------


def _operators(service: Service) -> Html:
    listed = directory.operators(service, after=None, limit=MAX_OPERATORS).operators
    heads = ("operator", "outcomes", "reversed", "paid")
    money = directory.money_of_operators(service, [each.operator for each in listed])
    rows = [_operator_row(service, each, money[each.operator]) for each in listed]
    return tag(
        "section",
        tag("h2", "Operators and their records"),
        _table("What the log says of each", heads, rows)
        if rows
        else tag("p", "None has registered yet."),
    )


def _operator_row(
    service: Service,
    listed: directory_answers.ListedOperator,
    money: Sequence[directory_answers.MoneyLine],
) -> Html:
    share = listed.reversals.bps
    return _row(
        "td",
        _link(f"/v1/operators/{listed.operator}/record", listed.operator),
        listed.outcomes.count,
        format_percent(share) if share is not None else "none yet",
        ", ".join(_paid(service, money)) or "nothing yet",
    )


# --- Connecting -----------------------------------------------------------------------------------


def _connecting(url: str) -> Html:
    options = ["--key-file", "agent.key", "--outstanding", "500", "--a-day", "100"]
    connect = ["connect", "--api", url, *options]
    placed = ["/PATH/TO/agent.key" if part == "agent.key" else part for part in connect]
    setups = client_setups("/PATH/TO/tallystick", placed)
    return tag(
        "section",
        tag("h2", "Connect an agent"),
        tag("p", "A wallet is all that it needs. Its key stays on your machine:"),
        tag("pre", "(umask 077; openssl rand -hex 32 > agent.key)", tabindex="0"),
        tag("p", "There this prints what each client needs, with the paths of your machine:"),
        tag("pre", shlex.join(["tallystick", *connect, "--print-config"]), tabindex="0"),
        tag("p", "It has this form, with whole paths in place of these two:"),
        *(_setup(setup, is_open=setup.client == "Claude Code") for setup in setups),
    )


def _setup(setup: ClientSetup, *, is_open: bool) -> Html:
    opened = {"open_": ""} if is_open else {}
    summary = tag("summary", f"{setup.client} ({setup.where})")
    return tag("details", summary, tag("pre", setup.text, tabindex="0"), **opened)


# --- News and links -------------------------------------------------------------------------------


def _news(newest: Sequence[StoredEntry], size: int) -> Html:
    """Return the newest entries in words, with what the script needs to go on behind them."""
    shown = {
        "data_words": json.dumps(NEWS),
        "data_receipts": json.dumps(RECEIPTS),
        "data_most": str(MAX_NEWS),
        "data_size": str(size),
    }
    return tag(
        "section",
        tag("h2", "What just happened"),
        tag("p", "", id="live", role="status"),
        tag("ol", *(_item(each) for each in newest), id="news", **shown),
    )


def _item(stored: StoredEntry) -> Html:
    time = format_ms(stored.entry.time_ms)[:16]
    shown = tag("time", time.replace("T", " "), datetime=f"{time}Z")
    return tag("li", shown, " ", _told(stored))


def _told(stored: StoredEntry) -> Html:
    kind = KINDS[stored.entry.kind]
    path = f"/v1/log/entries?start={stored.position}&limit=1"
    if kind.receipt is not None:
        path = f"/receipts/{stored.position}"
    return _link(path, kind.news or kind.name)


def _links() -> Html:
    known = {
        "/docs": "try the API",
        "/v1/openapi.json": "its description",
        "/v1/log": "the log",
        "/v1/log/entries": "its entries",
        "/v1/surfaces": "surfaces",
        "/v1/operators": "operators",
    }
    items = (tag("li", _link(path, words)) for path, words in known.items())
    return tag("nav", tag("h2", "Look further"), tag("ul", *items), aria_label="Further pages")


def _link(path: str, words: str) -> Html:
    return tag("a", words, href=path)
