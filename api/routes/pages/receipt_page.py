"""The page of a receipt: what it shows, step by step, for a person, and how it is checked.

It is made on the server of the receipt alone, which `/v1/receipts/{position}` gives as JSON, and
needs no script. It is no check: it says where one is made.
"""

import re
import shlex
from collections.abc import Iterable, Iterator

from fastapi import APIRouter, Response

from api.context import Service, TheService
from api.http.fields import Position, address
from api.http.problems import Refusal
from api.routes.pages.front import POLICY, page_file
from api.routes.pages.markup import Html, page, tag
from api.routes.pages.receipt_sentences import Sentence, Told, money, sentence, summary
from api.routes.public_route import PublicRoute
from api.routes.records import receipts
from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.core.common.units import format_ms, format_second
from orchestrator.core.entries.kinds import kind_of
from orchestrator.core.entries.receipt import Proven, Receipt, left_open, parse
from orchestrator.core.world.contract import ContractRules

router = APIRouter(include_in_schema=False, route_class=PublicRoute)


@router.get("/receipts/{position}")
def receipt(service: TheService, position: Position) -> Response:
    """Return the page of a receipt, or one that says why there is none."""
    try:
        built = receipts.build(service, position)
    except Refusal as refusal:
        return _refused(refusal, position)
    told = _told(service, parse(built.model_dump(mode="json")))
    subject = told.receipt.subject
    title = f"Receipt of {'an' if subject == 'outcome' else 'a'} {subject}"
    return _page(
        f"{title}, entry {position}",
        tag("h1", title),
        tag("p", *summary(told), class_="summary"),
        *_sandbox(service),
        _section("What the log says", tag("ol", *_steps(told), class_="steps")),
        _section("What the money adds up to", *_money(told)),
        _section("Check it yourself", *_checking(service, position)),
        _section("What a receipt does not show", *_left_open(told.receipt)),
        _section("Identifiers in full", _facts(_named(told))),
    )


@router.get("/receipt.css")
def style() -> Response:
    """Return the style that the page of a receipt has beside the front page's."""
    return page_file("receipt.css")


def _told(service: Service, found: Receipt) -> Told:
    contract = service.log.contract(found.contract_id)
    if contract is None:
        raise TypeError(f"entry {found.position} is about a contract that the log has not")
    rules = contract.rules
    with service.database.transaction() as session:
        row = session.one("api.surface", log_id=service.log_id, surface=rules.surface)
    name = row.name if row is not None else None
    token = address(rules.token)
    known = (each for each in service.info.tokens if each.address == token)
    return Told(found, rules, name or to_hex(rules.surface), next(known, None))


def _page(title: str, *body: Html, status: int = 200, retry: str | None = None) -> Response:
    files = (tag("link", rel="stylesheet", href=f"/{name}.css") for name in ("front", "receipt"))
    home = tag("nav", _link("/", "Tallystick"), aria_label="Home")
    content = page(f"{title} - Tallystick", Html("".join(files)), tag("main", home, *body))
    headers = {"Content-Security-Policy": POLICY} | ({"Retry-After": retry} if retry else {})
    return Response(content, status, media_type="text/html", headers=headers)


def _refused(refusal: Refusal, position: int) -> Response:
    """Return the page that says why there is no receipt, and what to do."""
    said, _, more = refusal.detail.partition("; ")
    if refusal.code == "receipt-unanchored":
        proof = _link(
            f"/v1/log/proofs/inclusion?position={position}", "proof under the newest checkpoint"
        )
        title = "Not anchored yet"
        todo: Sentence = ("Load this page again in some minutes, or look at its ", proof, ".")
    elif refusal.code == "no-receipt":
        entries = _link(f"/v1/log/entries?start={position}&limit=1", "the entry itself")
        title, todo = "No receipt", (f"{_begun(more)}. Look at ", entries, ".")
    else:
        entries = _link("/v1/log/entries", "the entries of the log")
        title, todo = "No such entry", ("Look for it among ", entries, ".")
    return _page(
        title,
        tag("h1", title),
        tag("p", f"{_begun(said)}.", class_="summary"),
        tag("p", *todo),
        status=refusal.status_code,
        retry=(refusal.headers or {}).get("Retry-After"),
    )


def _begun(words: str) -> str:
    """Return words as a sentence begins."""
    return words[:1].upper() + words[1:]


def _sandbox(service: Service) -> Iterator[Html]:
    speed = service.info.speed
    if speed > 1:
        words = f"The clock runs {speed} times as fast as yours, and its money is for tests."
        yield tag("p", words)


# --- Steps ----------------------------------------------------------------------------------------


def _steps(told: Told) -> Iterator[Html]:
    """Yield the steps in the log's order; what is pending stands behind what is anchored."""
    for role, proven in told.receipt.entries.items():
        yield tag(
            "li",
            tag("h3", role.capitalize()),
            tag("p", _time(proven.entry.time_ms), " · ", *_links(told, proven), class_="at"),
            tag("p", *sentence(told, role)),
            class_="subject" if role == told.receipt.subject else "other",
        )
    for role, position in told.receipt.pending.items():
        yield tag(
            "li",
            tag("h3", role.capitalize()),
            tag("p", "not anchored yet · ", _entry_link(position), class_="at"),
            tag("p", "It belongs here, and no final block is known to hold a root that covers it."),
            class_="pending",
        )


def _links(told: Told, proven: Proven) -> Iterator[Html | str]:
    yield _entry_link(proven.position)
    has_own = kind_of(proven.entry).receipt is not None
    if has_own and proven.position != told.receipt.position:
        yield " · "
        yield _link(f"/receipts/{proven.position}", f"receipt of {proven.position}")


def _entry_link(position: int) -> Html:
    return _link(f"/v1/log/entries?start={position}&limit=1", f"entry {position}")


def _time(time_ms: int) -> Html:
    return tag("time", format_second(time_ms // 1000), datetime=format_ms(time_ms))


# --- Sums, checks, names --------------------------------------------------------------------------


def _money(told: Told) -> Iterator[Html]:
    rows = (tag("div", tag("dt", name), tag("dd", sum_)) for name, sum_ in money(told))
    yield tag("dl", *rows, class_="sums")
    payout = told.receipt.entries.get("payout")
    if payout is not None:
        yield _facts([("Transaction", to_hex(payout.entry.payload))])
    if told.receipt.entries.keys() & {"settlement", "payout"}:
        yield tag(
            "p",
            "A statement says what the contract came to from its beginning. Terms may hold some of "
            "it back for a time, and a payout may pay for many outcomes.",
        )


def _checking(service: Service, position: int) -> Iterator[Html]:
    path, url = f"/v1/receipts/{position}", service.info.public_url
    yield tag(
        "p",
        "This page is written by the service that keeps the log. You need not believe it: ",
        _link(f"/check#{path}", "check this receipt in your browser"),
        ", or take ",
        _link(path, "its JSON"),
        " and check that on your machine, against a node of your choice:",
    )
    fetch = shlex.join(["tallystick", "receipt", str(position), "--api", url])
    command = f"{fetch} > receipt.json;\ntallystick verify receipt.json --rpc YOUR-NODE"
    yield tag("pre", command)


def _left_open(found: Receipt) -> Iterator[str]:
    yield tag(
        "p",
        "Without the chain a check shows only that the author of the root, who signed it, tells a "
        "consistent story. Take the addresses of the contracts from a source that you trust, not "
        "from the receipt. And no check of this receipt shows:",
    )
    yield tag("ul", *(tag("li", *_with_code(each)) for each in left_open(found)))


def _with_code(text: str) -> Iterator[str]:
    """Yield a text in which what stands between backticks is code."""
    for number, part in enumerate(re.split("`", text)):
        yield tag("code", part) if number % 2 else part


def _named(told: Told) -> Iterator[tuple[str, str | int]]:
    found, rules = told.receipt, told.rules
    yield "Contract", to_hex(found.contract_id)
    yield "Surface", to_hex(rules.surface)
    yield "Owner", address(rules.owner)
    yield "Operator", address(rules.operator)
    yield from _of_entries(found, rules)
    yield "Log", to_hex(found.log_id)
    yield "Origin", found.origin
    yield "Checkpoint, size", found.size
    yield "Checkpoint, root", to_hex(found.root)
    yield "Chain id", found.chain_id
    yield "Event log", found.event_log
    yield "Escrow", found.escrow


def _of_entries(found: Receipt, rules: ContractRules) -> Iterator[tuple[str, str]]:
    entries = found.entries
    if "transition" in entries:
        yield "Lead", to_hex(entries["transition"].entry.subject)
    if "settlement" in entries:
        yield "Verifier", address(entries["settlement"].entry.actor)
    if "payout" in entries:
        yield "Payee", address(entries["payout"].entry.actor)
    yield "Token", address(rules.token)


def _facts(facts: Iterable[tuple[str, str | int]]) -> Html:
    rows = (tag("div", tag("dt", name), tag("dd", tag("code", value))) for name, value in facts)
    return tag("dl", *rows, class_="facts")


def _section(heading: str, *content: str) -> Html:
    return tag("section", tag("h2", heading), *content)


def _link(path: str, words: str) -> Html:
    return tag("a", words, href=path)
