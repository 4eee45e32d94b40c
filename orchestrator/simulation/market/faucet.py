"""The sandbox's faucet: test tokens, and gas to send them with, for each account that signs in.

No agent needs it to be paid: openings and payouts are sent by the service. It is for those who open
a surface of their own there.
"""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.http.auth import AnyCaller
from api.http.fields import Address, Units, checksummed
from api.http.json_input import StrictRoute
from api.http.problems import Refusal, documented
from orchestrator.storage.local.files import read_text, write_private

TOKENS = 10_000
GAS_WEI = 10**18
GRANTS = 5
MAX_GRANTS = 20_000
# A line of the file holds an address.
_MAX_BYTES = 50 * MAX_GRANTS


class Grant(BaseModel):
    """The test tokens that an account was given, and the gas that it has now."""

    account: Address
    token: Address
    units: Units
    gas_wei: Units
    left: Annotated[int, Field(description="How often the account may ask again.")]


class Faucet:
    """The giver of tokens: so often to one account, and so often in all, for ever.

    `give` sends so many base units and so much gas to an address. The file has a line for each
    grant.
    """

    def __init__(self, path: Path, token: str, give: Callable[[str, int, int], object]) -> None:
        self._path = path
        self._token = token
        self._give = give
        self._lock = Lock()
        lines = read_text(path, _MAX_BYTES).split() if path.exists() else []
        self._grants = Counter(lines)

    def grant(self, account: str, units: int) -> Grant:
        """Give an account its tokens. Raises Refusal (429) if it has had its share, or all have."""
        with self._lock:
            if self._grants[account] >= GRANTS or self._grants.total() >= MAX_GRANTS:
                raise Refusal(
                    429,
                    "faucet-dry",
                    f"{checksummed(account)} was given tokens {self._grants[account]} times, of "
                    f"{GRANTS}, and all accounts {self._grants.total()} times, of {MAX_GRANTS}; "
                    f"begin another sandbox for more",
                )
            # Counted before it is given: what fails is a grant less.
            self._grants[account] += 1
            write_private(self._path, "\n".join(self._grants.elements()))
            self._give(checksummed(account), units, GAS_WEI)
            left = GRANTS - self._grants[account]
        return Grant(
            account=checksummed(account),
            token=self._token,
            units=str(units),
            gas_wei=str(GAS_WEI),
            left=left,
        )

    def router(self, units: int) -> APIRouter:
        """Return the route by which an account asks, with its key."""
        router = APIRouter(prefix="/v1", tags=["accounts"], route_class=StrictRoute)

        @router.post("/faucet", responses=documented(401))
        def faucet(caller: AnyCaller) -> Grant:
            """Give your account test tokens and gas (in a sandbox alone)."""
            return self.grant(caller.account, units)

        return router
