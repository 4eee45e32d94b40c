"""The life of a sandbox: its clock, its market, its residents and its faucet.

All live beside the parts of a deployment.
"""

import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from orchestrator.chain.deployment import Chain
from orchestrator.chain.nodes.node import Node
from orchestrator.client.accounts import OperatorClient, OwnerClient, wallet
from orchestrator.core.common.units import UNITS_PER_TOKEN
from orchestrator.runtime.local_chain import GAS_FUNDS_WEI, send_local
from orchestrator.runtime.serve import Worker
from orchestrator.runtime.stack import Stack
from orchestrator.simulation.market.faucet import TOKENS, Faucet
from orchestrator.simulation.market.market import LivingMarket
from orchestrator.simulation.market.owner import MarketOwner
from orchestrator.simulation.market.residents import Population, Resident, Strategy
from orchestrator.simulation.market.running_clock import RunningClock
from orchestrator.simulation.market.surfaces import SHOP, TRIAL
from orchestrator.simulation.market.teams import Partner, Team
from orchestrator.storage.local.files import read_key, write_private

# At a day a minute a step is a minute and a half of the clock's time.
CLOCK_S = 0.06
BLOCK_S = 1.0
MARKET_S = 0.5
# One of the residents has its turn.
RESIDENT_S = 1.5
# What the owner has, and lets the escrow take: more than it can ever sign for.
OWNER_UNITS = 10**9 * UNITS_PER_TOKEN
# The accounts of the sandbox itself, beside those of the deployment.
OWNER, FAUCET = "owner", "faucet"
# Those that there are by default, in the order in which they come. The third is a team, and the
# fourth shares its pay with the fifth.
RESIDENTS = (
    Strategy("resident-1", "Postbox (a resident)", TRIAL, ("email",)),
    Strategy("resident-2", "Long Trial (a resident)", TRIAL, ("extend_trial",)),
    Strategy("resident-3", "Scout and Closer (a resident)", SHOP, ("call", "email")),
    Strategy("resident-4", "Elder Partner (a resident)", TRIAL, ("call", "email")),
    Strategy("resident-5", "Junior Partner (a resident)", SHOP, ("email",)),
)
TEAM, PARTNER, OTHER = 2, 3, 4


class SandboxPlace(NamedTuple):
    """The place of a sandbox: its folder, the URL that it calls itself, and its node's."""

    folder: Path
    url: str
    rpc_url: str


@contextmanager
def living(
    stack: Stack,
    clock: RunningClock,
    place: SandboxPlace,
    seed: str | None = None,
    residents: int = len(RESIDENTS),
) -> Iterator[list[Worker]]:
    """Prepare accounts, faucet and market; yield the workers by which they live until the end."""
    keys = {name: _key(place.folder / "keys", name) for name in (OWNER, FAUCET)}
    token = stack.site.tokens[0].address
    with ExitStack() as exits:
        client = exits.enter_context(OwnerClient(place.url, wallet(keys[OWNER]), OWNER))
        node = exits.enter_context(Node(place.rpc_url))
        for account in (stack.relayer.sender, *(wallet(key).address for key in keys.values())):
            clock.fund(str(account), GAS_FUNDS_WEI)
        for call in (
            stack.chain.mint(token, client.address, OWNER_UNITS),
            stack.chain.approve(token, OWNER_UNITS),
        ):
            send_local(node, keys[OWNER], call.to, call.data)

        def give(account: str, units: int, gas_wei: int) -> None:
            node.call("anvil_setBalance", account, hex(gas_wei))
            call = stack.chain.mint(token, account, units)
            send_local(node, keys[FAUCET], call.to, call.data)

        faucet = Faucet(place.folder / "faucet", token, give)
        stack.app.include_router(faucet.router(TOKENS * UNITS_PER_TOKEN))
        owner = MarketOwner(client, stack.escrow_domain, token, place.folder)
        market = LivingMarket(owner, place.folder / "market.json", seed)
        workers = [
            Worker("clock", clock.move, CLOCK_S),
            Worker("chain", clock.move_chain, BLOCK_S),
            Worker("market", lambda: market.step(clock()), MARKET_S),
        ]
        if residents:
            population = Population(_settled(exits, stack.chain, place, market.seed, residents))
            exits.callback(population.close)
            workers.append(Worker("residents", lambda: population.step(clock()), RESIDENT_S))
        yield workers


def _settled(
    exits: ExitStack, chain: Chain, place: SandboxPlace, seed: str, count: int
) -> list[Resident]:
    """Return so many residents, each with its own wallet, the same after a restart."""
    clients = []
    for strategy in RESIDENTS[:count]:
        account = wallet(_key(place.folder / "keys", strategy.name))
        clients.append(exits.enter_context(OperatorClient(place.url, account, strategy.name)))
    found = [
        (Team if at == TEAM else Resident)(client, strategy, seed)
        for at, (client, strategy) in enumerate(zip(clients, RESIDENTS, strict=False))
    ]
    if count > OTHER:
        client, other = clients[PARTNER], clients[OTHER]
        found[PARTNER] = Partner(client, RESIDENTS[PARTNER], seed, other=other, chain=chain)
    return found


def _key(folder: Path, name: str) -> bytes:
    """Return the key of a test account, which is made at first use."""
    path = folder / name
    if not path.exists():
        write_private(path, secrets.token_hex(32) + "\n")
    return read_key(path)
