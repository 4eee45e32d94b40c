"""The work of agents on the demonstration's surface besides touches, each over the public API.

One brings customers by the code that it hands out. One has the owner send gifts: our webhooks tell
the owner's endpoint, which carries them out, is down for a day, and then gets all that it missed.
Both take the owner's standing offer. A third has a profile, keeps notes in its private memory, and
once has two keys of its own share its leads by leases.
"""

from collections.abc import Iterable, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import NamedTuple

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from orchestrator.client.accounts import (
    DelegateClient,
    EventReport,
    LeadSummary,
    OperatorClient,
    OwnerClient,
)
from orchestrator.client.boards import Board, Lease
from orchestrator.client.deals import propose, served_pins
from orchestrator.core.common.errors import ServerError
from orchestrator.core.common.hexadecimal import from_hex
from orchestrator.core.common.units import DAY_MS, NS_PER_S, format_amount, format_time
from orchestrator.core.deals.terms import Terms
from orchestrator.core.resource import Resource
from orchestrator.simulation import cdnow
from orchestrator.simulation.sandbox import Sandbox

HOUR_MS = DAY_MS // 24
# On this look of the agents, about so many weeks after the start, the endpoint goes down.
DOWN_LOOK = 7
# It is tried again at these hours, and up again at the last.
DOWN_HOURS, UP_HOUR = (6, 12, 18), 23
# An agent keeps notes on those who bought on the first day.
NOTES_LOOK = 1
# Two keys of one operator, and how long one has a lead for itself.
FIRST, SECOND, LEASE_S = "first", "second", 3_600
# Of one message, as our webhooks are.
MAX_BODY_BYTES = 65_536
_POLL_S = 0.1


class Work(NamedTuple):
    """The results of it; `arrived` are leads by the code, the next five numbers are of gifts.

    `missed` were requested while the endpoint was down, and taken when it was up again. Of so many
    `notes` on leads so many are left after an erasure.
    """

    arrived: int
    requested: int
    taken: int
    failed: int
    done: int
    missed: int
    notes: int
    notes_left: int


class Teamwork(NamedTuple):
    """The work of two keys of one operator on leads that they leased, and what was handed over."""

    operator: str
    leads: int
    handed_over: int
    results: int


class TakenErrand(NamedTuple):
    """A requested action as the endpoint took it: the request's position, for whom, and what."""

    position: int
    customer: str
    action: str


class OwnerEndpoint(Resource):
    """The owner's endpoint, a server of its own on this machine, for one webhook.

    It takes what bears a signature by `secret` alone, each message once, however often it is sent.
    A 2xx takes an action. While it is down it takes nothing.
    """

    def __init__(self) -> None:
        self.secret = ""
        self.is_down = False
        self.refused = 0
        self._errands: dict[str, TakenErrand] = {}
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                body = self.rfile.read(min(length, MAX_BODY_BYTES))
                self.send_response(endpoint.status_of(headers, body))
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Say nothing: each request is in the report."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = Thread(target=self._server.serve_forever, args=(_POLL_S,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/webhooks"

    @property
    def errands(self) -> list[TakenErrand]:
        """All that it has taken, in the order of its messages."""
        return list(self._errands.values())

    def status_of(self, headers: dict[str, str], body: bytes) -> int:
        """Take a message, and return the status to answer it with."""
        try:
            told = Webhook(self.secret).verify(body, headers)
        except WebhookVerificationError:
            return 401
        if self.is_down:
            self.refused += 1
            return 503
        if told["type"] == "action.requested":
            data = told["data"]
            errand = TakenErrand(data["position"], data["external_id"], data["label"])
            self._errands.setdefault(headers["webhook-id"], errand)
        return 204

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class SurfaceWork:
    """The work on one surface. `endpoint` is the owner's, and `operators` are there by name."""

    def __init__(
        self,
        sandbox: Sandbox,
        owner: OwnerClient,
        operators: Mapping[str, OperatorClient],
        surface: str,
        endpoint: OwnerEndpoint,
    ) -> None:
        self._sandbox = sandbox
        self._owner = owner
        self._operators = operators
        self._surface = surface
        self._path = f"/v1/surfaces/{surface}"
        self._endpoint = endpoint
        self._routine = cdnow.gift_routine()
        self._code = ""
        self._looks = self._requested = self._missed = self._answered = self._notes = 0

    def begin(self, writer: str, agent_id: int) -> None:
        """Register the endpoint for requests of actions, and write an agent's profile."""
        told = {"url": self._endpoint.url, "audience": "owner", "surface": self._surface}
        made = self._owner.post("/v1/webhooks", told | {"events": ["action.requested"]})
        self._endpoint.secret = made["secret"]
        # What webhooks are told begins where the log is read for them first.
        self._send()
        self._writer = self._operators[writer]
        profile = {"display_name": writer.capitalize(), "capabilities": ["email"]}
        self._writer.put("/v1/profile", profile | {"agent_id": str(agent_id)})

    def take_offer(self) -> dict[bytes, cdnow.PlannedContract]:
        """Publish the standing offer and have its takers propose it; return the proposals."""
        takers = (cdnow.BRINGER, cdnow.REQUESTER)
        for name in takers:
            # A contract was opened with them, and the log says so once it is asked.
            self._operators[name].ask_for_judgement(self._surface)
        self._sandbox.stack.drain()
        offer = self._publish_offer(len(takers))
        found = {}
        for name in takers:
            operator = self._operators[name]
            made = operator.post(f"{self._path}/offers/{offer}/drafts", {})
            terms = Terms.from_json(made["terms"])
            proposed = propose(operator, served_pins(operator), terms, offer=offer)
            found[from_hex(proposed.contract)] = cdnow.STANDING_OFFER._replace(operator=name)
        return found

    def _publish_offer(self, places: int) -> str:
        offer = cdnow.STANDING_OFFER
        deal = {
            "outcome": offer.outcome,
            "price": format_amount(offer.unit_price_units),
            "budget": format_amount(5 * offer.budget_units),
            "window": f"{offer.window_days} days",
            "closes_at": format_time(cdnow.DEADLINE_S * NS_PER_S),
            "grace": "7 days",
        }
        body = {
            "deal": deal,
            "first_budget": format_amount(offer.budget_units),
            "places": places,
            "level": 1,
        }
        made: str = self._owner.post(f"{self._path}/offers", body)["offer"]
        return made

    def act(self, now_ms: int) -> None:
        """Do what is due on this look at the surface."""
        if not self._code:
            bringer = self._operators[cdnow.BRINGER]
            expires_ms = now_ms + cdnow.CODE_LASTS_S * 1000
            self._code = bringer.issue_code(
                self._surface, cdnow.CODE_USES, expires_ms, "for-customers"
            )
        if self._looks == NOTES_LOOK:
            self._take_notes()
        self._endpoint.is_down = self._looks == DOWN_LOOK
        self._looks += 1
        self._request_gifts(now_ms)
        if self._endpoint.is_down:
            self._wait_until_up(now_ms)

    def with_code(self, events: Iterable[EventReport]) -> list[EventReport]:
        """Return the events with the code of the agent that each names."""
        return [event._replace(ref=self._code) if event.ref else event for event in events]

    def _request_gifts(self, now_ms: int) -> None:
        operator = self._operators[cdnow.REQUESTER]
        leads = operator.leads(self._surface, self._routine.state)
        due = self._routine.choose_due(leads, now_ms)
        for lead in due:
            occasion = f"{self._routine.action}-{lead.lead}-{lead.since_ms}"
            operator.request_action(self._surface, lead.lead, self._routine.action, occasion)
        self._requested += len(due)
        if due:
            self._send()

    def _send(self) -> None:
        """Have our webhooks sent that are due, and the owner say which gifts came back."""
        stack = self._sandbox.stack
        stack.drain()
        stack.webhooks.send_due()
        stack.drain()
        errands = self._endpoint.errands
        for errand in errands[self._answered :]:
            if int(errand.customer.rpartition("-")[2]) % cdnow.RETURNED_EVERY == 0:
                path = f"{self._path}/actions/{errand.position}/failed"
                self._owner.post(path, {"reason": "came_back"})
        self._answered = len(errands)
        stack.drain()

    def _wait_until_up(self, now_ms: int) -> None:
        """Let a day pass on which the endpoint is down, and see that it gets what it missed."""
        before = self._answered
        for hour in DOWN_HOURS:
            self._sandbox.clock.set_to(now_ms + hour * HOUR_MS)
            self._send()
        if self._answered != before:
            raise ServerError("endpoint-up", "an endpoint that is down has taken a request")
        self._endpoint.is_down = False
        self._sandbox.clock.set_to(now_ms + UP_HOUR * HOUR_MS)
        self._send()
        self._missed = self._answered - before

    def _take_notes(self) -> None:
        """Have an agent note in its memory who bought on the first day, each with its lead."""
        first_ms = cdnow.OPENS_S * 1000 + DAY_MS
        for lead in self._writer.leads(self._surface, "buyer"):
            if lead.since_ms < first_ms:
                self._notes += 1
                note = {"value": {"plan": "email in the second week"}, "lead": lead.lead}
                self._writer.put(f"{self._path}/memory/first-{self._notes}", note)

    def result(self) -> Work:
        """Return what came of all of it."""
        (code,) = self._operators[cdnow.BRINGER].codes(self._surface)
        actions = list(self._owner.pages(f"{self._path}/actions", "actions"))
        states = [one["state"] for one in actions]
        answered = [one for one in actions if one["answered_ms"] is not None]
        return Work(
            arrived=code["leads"],
            requested=self._requested,
            taken=len(answered),
            failed=states.count("failed"),
            done=states.count("done"),
            missed=self._missed,
            notes=self._notes,
            notes_left=len(list(self._writer.pages(f"{self._path}/memory", "entries"))),
        )


# --- Two keys of one operator ---------------------------------------------------------------------


def work_by_leases(
    operator: OperatorClient, surface: str, leads: Sequence[LeadSummary], action: str
) -> Teamwork:
    """Have two delegates act on leads, each on those that it holds; one hands half of them over."""
    with _delegate(operator, surface, FIRST) as one, _delegate(operator, surface, SECOND) as other:
        ours, theirs = Board(one, surface), Board(other, surface)
        leases = [_take(ours, theirs, lead.lead) for lead in leads]
        half = len(leases) // 2
        for lease in leases[half:]:
            ours.hand_over(lease, SECOND, {"action": action})
        told, _ = theirs.messages()
        handed = [said["item"] for said in told if said["kind"] == "handover"]
        # As they are by now: a lead that was handed over has another fence.
        held = one.get(f"/v1/boards/{surface}/leases")["leases"]
        fences = {each["item"]: each["fence"] for each in held}
        for lease in leases[:half]:
            _act(one, surface, lease.item, action, fences[lease.item])
        for item in handed:
            _act(other, surface, item, action, fences[item])
    said, _ = Board(operator, surface).messages()
    results = sum(each["kind"] == "result" for each in said)
    return Teamwork(operator.name, len(leads), len(handed), results)


def _delegate(operator: OperatorClient, surface: str, name: str) -> DelegateClient:
    scopes = ["operator:touch", "operator:coordinate"]
    made = operator.post("/v1/keys", {"name": name, "scopes": scopes, "surfaces": [surface]})
    return DelegateClient(operator.server_url, made["key"])


def _take(ours: Board, theirs: Board, lead: str) -> Lease:
    """Return our lease of a lead; another key of the operator's must not get one beside it."""
    lease = ours.take(lead, LEASE_S)
    if lease is None or theirs.take(lead, LEASE_S) is not None:
        raise ServerError("lease-doubled", f"{lead} was leased twice, or not at all")
    return lease


def _act(client: DelegateClient, surface: str, lead: str, action: str, fence: int) -> None:
    """Touch a lead that is held, and tell the others on the board that it is done."""
    told = {"lead": lead, "action": action, "fence": fence}
    client.post(f"/v1/surfaces/{surface}/touches", told, key=f"{action}-{lead}")
    Board(client, surface).send("result", lead, {"action": action})
