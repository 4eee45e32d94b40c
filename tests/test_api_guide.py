"""The agent of docs/api.md, the owner that accepts, and every call, run as they stand there."""

import json
import re
import secrets
from pathlib import Path
from typing import Any

import httpx
from eth_account import Account
from eth_account.signers.local import LocalAccount

from orchestrator.core.common.hexadecimal import from_hex, to_hex
from orchestrator.core.common.units import DAY_MS, format_ms
from orchestrator.core.deals.terms import sign_digest
from tests.support.api_service import (
    POLICY,
    SETTINGS,
    ApiService,
    event,
    give_level,
    leads,
    ndjson,
    open_surface,
    publish_settings,
    report,
    report_lines,
    running_service,
    signed,
    wallet,
)
from tests.support.intake_payloads import captured, charge, track

PAGE = Path(__file__).parents[1] / "docs/api.md"


def test_the_agent_and_the_owner_of_the_guide_make_a_contract(database_url: str) -> None:
    part = PAGE.read_text().partition("\n## An agent in 40 lines\n")[2].partition("\n## ")[0]
    agent, acceptance = re.findall(r"```python\n(.*?)```", part, re.DOTALL)
    assert len(agent.splitlines()) <= 40
    with running_service(database_url) as service:
        owner = service.sign_in(wallet("owner"), "owner")
        surface = open_surface(owner, "guide", attribution=POLICY["attribution"])
        key = bytes(wallet("operator").key)
        names: dict[str, Any] = {"URL": service.url, "SURFACE": surface, "KEY": key}
        exec(agent, names)  # noqa: S102 - our own page
        assert names["proposal"]["status"] == "proposed"
        names["http"].close()
        # The owner's part is in the same words, with its own wallet and key.
        names |= {"wallet": Account.from_key(wallet("owner").key), "http": owner}
        exec(acceptance, names)  # noqa: S102
        assert names["accepted"]["status"] == "accepted"
        assert names["acceptance"]["costs_at_most_units"] == "400000000"


ROUTE = re.compile(r"`(GET|PUT|POST|PATCH|DELETE)\s+((?:/v1|…)[^`?]*)[^`]*`")
SOURCES: dict[str, Any] = {
    "sources": {
        "segment": {"events": {"Signed Up": "signup"}},
        "stripe": {"events": {"charge.succeeded": "subscribe"}},
        "posthog": {"events": {"signed up": "signup"}},
    },
    "currencies": {"USD": "1"},
}
ASKED = {"from": "signed_up", "to": "activated", "horizon_days": 2}
QUESTIONS: dict[str, Any] = {"forecasts": {"questions": [ASKED]}}
DEAL = {"outcome": "activated", "price": "8.00", "at_most": 50}


def routes_of(text: str) -> set[str]:
    """Return the routes that a page tells, without those of its programs."""
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    found = ROUTE.findall(prose)
    return {f"{method} {path.replace('…', '/v1/surfaces/{surface}')}" for method, path in found}


class Caller:
    """A caller of the guide's routes in the page's own words, which notes each."""

    def __init__(self, service: ApiService, surface: str) -> None:
        self.service = service
        self.made: set[str] = set()
        self.ids = {"surface": surface}

    def call(self, client: httpx.Client, route: str, body: object = None, **told: Any) -> Any:
        """Call a route, which must succeed, and return its answer."""
        route = route.replace("…", "/v1/surfaces/{surface}")
        self.made.add(route)
        method, path = route.split()
        # The same request is one; here none is.
        headers = {"Idempotency-Key": secrets.token_hex(8)}
        query = told.pop("query", {})
        url = path.format(**self.ids | told)
        answer = client.request(method, url, json=body, params=query, headers=headers)
        assert answer.is_success, (route, answer.text)
        return answer.json() if answer.content else None

    def propose(self, client: httpx.Client, by: LocalAccount, terms: Any, digest: str) -> str:
        signature = to_hex(sign_digest(from_hex(digest), bytes(by.key)))
        body = {"terms": terms, "operator_signature": signature}
        contract: str = self.call(client, "POST /v1/proposals", body)["contract_id"]
        return contract


def test_every_call_of_the_guide_does_what_it_says(database_url: str) -> None:
    ann, boss = wallet("operator"), wallet("owner")
    with running_service(database_url) as service:
        owner = service.sign_in(boss, "owner")
        surface = open_surface(owner, "calls", attribution=POLICY["attribution"])
        # The action is the page's own example.
        chapter = PAGE.read_text().partition("\n## Actions that the surface")[2]
        (example, *_) = re.findall(r"```json\n(.*?)```", chapter, re.DOTALL)
        of_page = json.loads(example)["actions"] | {"email": {"level": 1}}
        settings = SETTINGS | SOURCES | QUESTIONS | {"actions": of_page}
        published = publish_settings(owner, surface, settings, "of-the-page")
        assert published.is_success, published.text
        give_level(service, surface, ann)
        guide = Caller(service, surface)
        nonce = {"address": ann.address, "scopes": ["operator"]}
        message = guide.call(service.http, "POST /v1/sign-in/nonce", nonce)["message"]
        proof = {"message": message, "signature": signed(ann, message)}
        key = guide.call(service.http, "POST /v1/sign-in", proof)["key"]
        operator = service.client(key)
        walks = (
            deals,
            codes,
            looks,
            acts,
            actions,
            own_things,
            own_events,
            sources,
            directory,
            keys,
        )
        for walk in walks:
            walk(guide, owner, operator)
        assert guide.made == routes_of(PAGE.read_text())


def deals(guide: Caller, owner: httpx.Client, operator: httpx.Client) -> None:
    ann, boss = wallet("operator"), wallet("owner")
    contracts = []
    for _ in range(2):
        draft = guide.call(operator, "POST …/drafts", {"deal": DEAL})
        digest = draft["operator"]["digest"]
        contracts.append(guide.propose(operator, ann, draft["terms"], digest))
    first, second = contracts
    counter = {"deal": {"outcome": "activated", "price": "7.00"}}
    guide.call(owner, "POST /v1/proposals/{contract}/counter", counter, contract=first)
    countered = guide.call(operator, "GET /v1/proposals/{contract}", contract=first)
    assert (countered["status"], countered["counter"]["unit_price_units"]) == (
        "declined",
        "7000000",
    )
    asked = guide.call(owner, "GET /v1/proposals/{contract}/acceptance", contract=second)
    consent = {"owner_signature": to_hex(sign_digest(from_hex(asked["digest"]), bytes(boss.key)))}
    accepted = guide.call(owner, "POST /v1/proposals/{contract}/accept", consent, contract=second)
    assert accepted["status"] == "accepted"
    offer = guide.call(owner, "POST …/offers", {"deal": DEAL, "level": 1})["offer"]
    (listed,) = guide.call(guide.service.http, "GET …/offers")["offers"]
    assert (listed["offer"], listed["status"]) == (offer, "open")
    made = guide.call(operator, "POST …/offers/{offer}/drafts", {}, offer=offer)
    assert made["terms"]["operator"] == ann.address
    gone = guide.call(owner, "POST …/offers/{offer}/withdraw", offer=offer)
    assert gone["status"] == "withdrawn"


def codes(guide: Caller, owner: httpx.Client, operator: httpx.Client) -> None:
    asked = {"max_uses": 3, "expires_ms": guide.service.clock() + DAY_MS}
    code = guide.call(operator, "POST …/codes", asked)
    other = guide.call(operator, "POST …/codes", asked)["code_id"]
    now = format_ms(guide.service.clock())
    line = event("by-code", time=now) | {"id": "e1", "ref": code["ref"]}
    report_lines(owner, guide.ids["surface"], ndjson(line)).raise_for_status()
    clicks = guide.call(operator, "GET …/codes/{code}/clicks", code=code["code_id"])["clicks"]
    assert [one["is_new_lead"] for one in clicks] == [True]
    guide.call(operator, "POST …/codes/{code}/end", {"reason": "over"}, code=code["code_id"])
    guide.call(owner, "POST …/codes/{code}/revocation", {"reason": "leaked"}, code=other)
    listed = guide.call(operator, "GET …/codes")["codes"]
    assert [(one["leads"], one["is_ended"]) for one in listed] == [(1, True), (0, True)]


def looks(guide: Caller, owner: httpx.Client, operator: httpx.Client) -> None:
    policy = guide.call(operator, "GET /v1/surfaces/{surface}")["policy"]
    assert policy["attribution"] == POLICY["attribution"]
    states = guide.call(operator, "GET …/funnel")["states"]
    assert {"state": "signed_up", "leads": 1} in states
    assert guide.call(operator, "GET …/history")["questions"]
    (lead,) = guide.call(operator, "GET …/leads", query={"outcome": "activated"})["leads"]
    assert lead["state"] == "signed_up"
    address = wallet("operator").address
    standing = guide.call(operator, "GET …/operators/{operator}", operator=address)
    assert {"action": "email", "by": "self"} in standing["allowed"]


def acts(guide: Caller, owner: httpx.Client, operator: httpx.Client) -> None:
    (lead,) = {one["lead"] for one in leads(operator, guide.ids["surface"])}
    answer = guide.call(operator, "POST …/touches", {"lead": lead, "action": "email"})
    later = guide.call(operator, "GET /v1/requests/{request_id}", request_id=answer["request_id"])
    assert (later["status"], later["count"]) == ("done", 1)
    line = ndjson({"id": "t1", "lead": lead, "action": "email"})
    lines = {"Content-Type": "application/x-ndjson"}
    path = f"/v1/surfaces/{guide.ids['surface']}/touches/bulk"
    assert operator.post(path, content=line, headers=lines).is_success
    guide.made.add("POST /v1/surfaces/{surface}/touches/bulk")
    move = {"from_state": "signed_up", "to_state": "activated", "horizon_days": 2}
    guide.call(operator, "POST …/forecasts", move | {"probability_bps": 3_500})
    guide.call(operator, "POST …/judgements")
    contracts = guide.call(guide.service.http, "GET /v1/contracts")["contracts"]
    contract = {"contract": contracts[0]["contract_id"]}
    assert guide.call(operator, "GET /v1/contracts/{contract}", **contract)["paid_units"] == "0"
    assert guide.call(operator, "GET /v1/contracts/{contract}/payouts", **contract) is not None


def actions(guide: Caller, owner: httpx.Client, operator: httpx.Client) -> None:
    (lead,) = {one["lead"] for one in leads(operator, guide.ids["surface"])}
    letter = {"lead": lead, "action": "letter", "parameters": {"template": "welcome"}}
    positions = []
    for _ in range(2):
        asked = guide.call(operator, "POST …/actions", letter)
        positions.append(asked["first_position"] + asked["count"] - 1)
    done, failed = positions
    told = {"result": {"industry": "rail"}}
    guide.call(owner, "POST …/actions/{position}/taken", told, position=done)
    guide.call(owner, "POST …/actions/{position}/failed", {"reason": "bounced"}, position=failed)
    report(owner, guide.ids["surface"], "moves", event("by-code", "activate")).raise_for_status()
    shown = guide.call(operator, "GET …/actions/{position}", position=done)
    assert (shown["state"], shown["result"]) == ("done", {"industry": "rail"})
    (touched,) = guide.service.entries(shown["touch"], 1)
    assert (touched.kind, touched.time_ms) == ("touch.reported", shown["requested_ms"])
    listed = guide.call(owner, "GET …/actions", query={"state": "failed"})["actions"]
    assert [(one["position"], one["reason"]) for one in listed] == [(failed, "bounced")]
    assert listed[0]["external_id"] == "by-code"
    (figures,) = guide.call(guide.service.http, "GET …/answers")["actions"]
    assert (figures["requested"], figures["answered"], figures["failed"]) == (2, 2, 1)
    guide.call(guide.service.http, "GET /v1/actions/{position}/why", position=done)


def own_things(guide: Caller, owner: httpx.Client, operator: httpx.Client) -> None:
    guide.call(operator, "PUT /v1/profile", {"display_name": "Ann", "capabilities": ["email"]})
    address = wallet("operator").address
    seen = guide.call(owner, "GET /v1/operators/{operator}/profile", operator=address)
    assert seen["display_name"] == "Ann"
    guide.call(operator, "DELETE /v1/profile")
    guide.call(operator, "PUT …/memory/{key}", {"value": {"plan": 1}}, key="plan")
    assert guide.call(operator, "GET …/memory/{key}", key="plan")["value"] == {"plan": 1}
    assert len(guide.call(operator, "GET …/memory")["entries"]) == 1
    guide.call(operator, "DELETE …/memory/{key}", key="plan")
    guide.call(operator, "DELETE …/memory")
    board = {"board": guide.ids["surface"]}
    lease = guide.call(operator, "PUT /v1/boards/{board}/leases/{item}", {}, item="a", **board)
    assert len(guide.call(operator, "GET /v1/boards/{board}/leases", **board)["leases"]) == 1
    done = {"fence": lease["fence"]}
    path = "POST /v1/boards/{board}/leases/{item}/release"
    assert guide.call(operator, path, done, item="a", **board) == {"lease": None}
    said = {"kind": "result", "item": "a", "body": {"replied": True}}
    guide.call(operator, "POST /v1/boards/{board}/messages", said, **board)
    read = guide.call(operator, "GET /v1/boards/{board}/messages", **board)
    assert [each["body"] for each in read["messages"]] == [{"replied": True}]
    hook = {"url": "http://127.0.0.1:9/hook", "audience": "owner"}
    assert guide.call(owner, "POST /v1/webhooks", hook)["secret"].startswith("whsec_")


def own_events(guide: Caller, owner: httpx.Client, operator: httpx.Client) -> None:
    """Report the purchase and the refund of the page, the refund first."""
    chapter = PAGE.read_text().partition("\n## Events of your own product\n")[2]
    (example,) = re.findall(r"```json\n(.*?)```", chapter.partition("\n## ")[0], re.DOTALL)
    bought, given_back = map(json.loads, example.splitlines())
    names = {"purchase": "subscribe", "refund": "refund"}
    for line in (bought, given_back):
        line |= {"event": names[line["event"]], "time": format_ms(guide.service.clock())}
    for before in ("signup", "activate"):
        told = event(bought["lead"], before, time=bought["time"])
        report(owner, guide.ids["surface"], before, told).raise_for_status()
    early = report(owner, guide.ids["surface"], "given-back", given_back)
    assert (early.status_code, early.json()["code"], early.json()["retry"]) == (
        409,
        "order-unknown",
        True,
    )
    assert guide.call(owner, "POST …/events", bought)["verdict"] == "accepted"
    again = report(owner, guide.ids["surface"], "given-back", given_back)
    assert again.json()["verdict"] == "accepted"


def sources(guide: Caller, owner: httpx.Client, operator: httpx.Client) -> None:
    now_s = guide.service.clock() // 1000
    at = format_ms(guide.service.clock())
    for source, payload in (
        ("segment", track(1, "Signed Up", "of-segment", at)),
        ("posthog", captured("0190a", "signed up", "of-posthog", at)),
        ("stripe", charge("ch_1", "of-segment", 500, now_s)),
    ):
        answer = guide.call(owner, f"POST …/events/{source}", payload)
        assert [one["status"] for one in answer["results"]] == ["done"], answer
    bulk = report_lines(owner, guide.ids["surface"], ndjson(event("of-bulk") | {"id": "b1"}))
    assert bulk.is_success, bulk.text
    guide.made.add("POST /v1/surfaces/{surface}/events/bulk")
    secret = {"secret": "whsec_a_secret_of_the_guide"}
    assert guide.call(owner, "PUT …/sources/stripe", secret)["source"] == "stripe"
    guide.call(owner, "DELETE …/sources/stripe")


def directory(guide: Caller, owner: httpx.Client, operator: httpx.Client) -> None:
    public, address = guide.service.http, wallet("operator").address
    (here,) = guide.call(public, "GET /v1/surfaces", query={"name": "calls"})["surfaces"]
    assert here["surface"] == guide.ids["surface"]
    assert guide.call(public, "GET /v1/clock")["time_ms"] == guide.service.clock()
    guide.call(public, "GET …/totals")
    guide.call(public, "GET /v1/operators")
    guide.call(public, "GET /v1/operators/{operator}/record", operator=address)
    found = guide.call(public, "GET /v1/contracts", query={"operator": address})["contracts"]
    assert len(found) == 1
    assert guide.call(public, "GET /v1/log/events", query={"after": 0})["events"]
    with public.stream("GET", "/v1/stream", params={"after": 0}) as stream:
        assert next(stream.iter_lines())
    guide.made.add("GET /v1/stream")


def keys(guide: Caller, owner: httpx.Client, operator: httpx.Client) -> None:
    wanted = {"name": "mailer", "scopes": ["operator:touch"], "surfaces": [guide.ids["surface"]]}
    made = guide.call(operator, "POST /v1/keys", wanted)["id"]
    guide.call(operator, "PATCH /v1/keys/{key}", {"name": "mailing"}, key=made)
    assert guide.call(operator, "GET /v1/keys/{key}", key=made)["name"] == "mailing"
    rotated = guide.call(operator, "POST /v1/keys/{key}/rotation", {"overlap_s": 0}, key=made)
    guide.call(operator, "DELETE /v1/keys/{key}", key=rotated["id"])
    assert len(guide.call(operator, "GET /v1/keys")["keys"]) == 3
    guide.call(operator, "DELETE /v1/keys")
    assert operator.get("/v1/me").status_code == 401
