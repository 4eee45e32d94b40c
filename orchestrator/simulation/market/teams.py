"""Residents that work with others: keys that share customers by leases, operators that share pay.

A team is one operator with two delegates, which tell each other on its board who works on what. A
partner is an operator whose pay goes to a split that two wallets have signed; it puts the split on
the chain and pays it out, as anyone could.
"""

from collections.abc import Iterator
from typing import Any

from orchestrator.actions.payout.split import plan_creation, plan_release
from orchestrator.actions.plan import Plan
from orchestrator.chain.deployment import Chain
from orchestrator.chain.rpc import quantity
from orchestrator.client.accounts import DelegateClient, OperatorClient
from orchestrator.client.boards import Board, Lease
from orchestrator.client.http import PAGE
from orchestrator.core.common.errors import ServerError
from orchestrator.core.common.units import BPS, DAY_MS, DAY_S, UNITS_PER_TOKEN
from orchestrator.core.deals.mandate import Pins
from orchestrator.core.deals.split import Agreement, Share, Split
from orchestrator.runtime.local_chain import send_local
from orchestrator.simulation.market.residents import Resident, Strategy

SCOUT, CLOSER = "scout", "closer"
_SCOPES = {
    SCOUT: ["operator:read", "operator:coordinate"],
    CLOSER: ["operator:touch", "operator:coordinate"],
}
# A lease lasts for so many seconds of ours, whatever the clock's speed.
LEASE_S = 60
# How long the closer waits until the log has an act, before it gives the customer back.
WAIT_S = 5
# What the first of two partners gets of what it earns, and from which sum on it is paid out.
FIRST_BPS = 7_000
LEAST_UNITS = UNITS_PER_TOKEN


class Team(Resident):
    """An operator with two keys: the scout finds customers and hands them to the closer."""

    def __init__(self, client: OperatorClient, strategy: Strategy, seed: str) -> None:
        super().__init__(client, strategy, seed)
        self._delegates: dict[str, DelegateClient] = {}
        self._closer, self._read_to, self._lease_s = "", 0, LEASE_S

    def work(self, now_ms: int, *, has_room: bool) -> None:
        """Have the closer act on what it was handed, and then the scout look for more."""
        action = self.chosen_action()
        if action is None:
            return
        if not self._delegates:
            self._make_delegates()
        try:
            self._close(has_room=has_room)
            if has_room:
                self._scout(now_ms, action["action"])
        except ServerError as error:
            if error.code != "http-401":
                raise
            self.close()  # their keys have ended with the wallet's: others are made

    def close(self) -> None:
        for delegate in self._delegates.values():
            delegate.close()
        self._delegates = {}

    def _make_delegates(self) -> None:
        """Make keys for both, in place of those that a run before this one has left."""
        clock = self.client.get("/v1/clock")
        for key in list(self.client.pages("/v1/keys", "keys", limit=PAGE)):
            is_live = key["revoked_ms"] is None and key["expires_ms"] > clock["time_ms"]
            if key["name"] in _SCOPES and is_live:
                self.client.delete(f"/v1/keys/{key['id']}")
        self._lease_s = min(DAY_S, LEASE_S * max(1, clock["speed"]))
        for name, scopes in _SCOPES.items():
            body = {"name": name, "scopes": scopes, "surfaces": [self.surface]}
            made = self.client.post("/v1/keys", body)
            self._delegates[name] = DelegateClient(self.client.server_url, made["key"])
            self._closer = made["id"]

    def _scout(self, now_ms: int, action: str) -> None:
        scout = self._delegates[SCOUT]
        board = Board(scout, self.surface)
        for lead in self.chosen_leads(scout, now_ms):
            lease = board.take(lead, self._lease_s)
            if lease is not None:
                board.send("claim", lead, {"for": action})
                board.hand_over(lease, self._closer, {"action": action})

    def _close(self, *, has_room: bool) -> None:
        """Act on the customers that were handed over, or give them back."""
        closer = self._delegates[CLOSER]
        board = Board(closer, self.surface)
        for lease, action in list(self._handed(closer, board)):
            held = board.renew(lease, self._lease_s)
            if has_room:
                told = {"lead": held.item, "action": action, "fence": held.fence}
                path, key = f"/v1/surfaces/{self.surface}/touches", f"{held.fence}-{held.item}"
                closer.post(path, told, key=key, wait_s=WAIT_S)
                board.send("result", held.item, {"action": action})
            else:
                board.send("release", held.item, {"why": "the contract's budget is used"})
            board.release(held)

    def _handed(self, closer: DelegateClient, board: Board) -> Iterator[tuple[Lease, str]]:
        """Yield the leases that were handed over since the last look, and what each is for."""
        messages, self._read_to = board.messages(self._read_to)
        notes = {each["item"]: each["body"] for each in messages if each["kind"] == "handover"}
        leases: list[Any] = []
        if notes:
            leases = closer.get(f"/v1/boards/{self.surface}/leases", limit=PAGE)["leases"]
        for each in leases:
            if each["is_yours"] and each["item"] in notes:
                lease = Lease(each["item"], each["fence"], each["expires_ms"])
                yield lease, str(notes[each["item"]]["action"])


class Partner(Resident):
    """An operator that shares what it earns with another resident, by a split both have signed."""

    def __init__(
        self,
        client: OperatorClient,
        strategy: Strategy,
        seed: str,
        *,
        other: OperatorClient,
        chain: Chain,
    ) -> None:
        super().__init__(client, strategy, seed)
        self._other, self._chain = other, chain
        self._agreement: Agreement | None = None
        self._token, self._paid_ms = "", 0

    def begin(self, pins: Pins) -> None:
        """Have both sign, and be paid at the address that follows from their shares."""
        factory = self.client.get("/v1/log")["splits"]
        if factory is not None:
            self._agreement = agreed(pins.chain_id, factory, self.client, self._other)
            self.deal |= {"payee": self._agreement.address}
            self._token = pins.tokens[0].address

    def work(self, now_ms: int, *, has_room: bool) -> None:
        """Act as others do, and once a day pay out what the split has got."""
        super().work(now_ms, has_room=has_room)
        agreement = self._agreement
        if agreement is None or now_ms - self._paid_ms < DAY_MS:
            return
        if self._chain.balance_of(self._token, agreement.address) >= LEAST_UNITS:
            self._pay_out(agreement)
            self._paid_ms = now_ms

    def _pay_out(self, agreement: Agreement) -> None:
        """Put the split on the chain, if it is not there, and send both their shares."""
        chain, at = self._chain, agreement.address
        gas_wei = chain.node.call("eth_getBalance", self.client.address, "latest")
        if quantity(gas_wei) == 0:
            self.client.post("/v1/faucet", {})
        self._send(plan_creation(chain, agreement))
        self._send(plan_release(chain, agreement.factory, at, self._token))

    def _send(self, plan: Plan) -> None:
        key = bytes(self.client.account.key)
        for planned in plan.transactions:
            send_local(self._chain.node, key, planned.call.to, planned.call.data)


def agreed(chain_id: int, factory: str, *partners: OperatorClient) -> Agreement:
    """Return what two operators agree on, each with its own wallet, from what the other sends."""
    first, second = (str(each.address) for each in partners)
    split = Split.of((Share(first, FIRST_BPS), Share(second, BPS - FIRST_BPS)), bytes(32))
    sent = Agreement(chain_id, factory, split, {}).to_json()
    for each in partners:
        sent = Agreement.from_json(sent).signed_by(bytes(each.account.key)).to_json()
    return Agreement.from_json(sent)
