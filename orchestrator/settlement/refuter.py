"""The search for claims that the log refutes, so that none is paid unexamined.

An operator can claim by proof what was stated and paid before, or what an event has taken back, and
only the log shows that. The refuter finds it by the same rules as a stranger who runs
`tallystick refute`.

Anyone may open contracts and claim in them for nothing but gas, so many sham claims must not hide
one: the contract whose time to refute ends first is examined first, and one copy of the log, read
once, serves many contracts.
"""

from collections.abc import Callable
from heapq import nsmallest
from itertools import islice
from typing import NamedTuple

from orchestrator.actions.contract_state import claims_of
from orchestrator.chain.abi import Call, Claimed
from orchestrator.chain.deployment import Chain
from orchestrator.chain.indexer import Indexer
from orchestrator.core.deals.escrow_model import times_of
from orchestrator.core.deals.terms import Terms
from orchestrator.core.evidence.claim_search import find_refutations
from orchestrator.core.evidence.exhibits import Case, Claim
from orchestrator.core.evidence.history import PublicEntry
from orchestrator.core.evidence.rules import check_refutation
from orchestrator.log.reader import LogReader
from orchestrator.settlement.troubles import Troubles
from orchestrator.verify.log_copy import LogCopy

# A contract is examined when a claim in it became final, and again this often: what answers the
# claim may become final after it.
CHECK_EVERY_MS = 3_600_000
# What one copy of the log serves at most, and the most that is asked for after one.
MAX_CONTRACTS = 1_000
MAX_CLAIMS = 10_000
MAX_REFUTATIONS = 100
# The contracts with claims that are kept in memory: those whose time ends first.
MAX_WATCHED = 100_000
# Claims are read a page of the chain's events at a time.
PAGE = 1_000


class _Found(NamedTuple):
    """A false claim, and the call that lowers it, with a name of its own."""

    contract_id: bytes
    key: bytes
    name: str
    call: Call


class _Watched(NamedTuple):
    """A contract with claims: the last second to refute them, and when they were examined.

    That is 0 if they were not since the last one of them became final.
    """

    until_s: int
    examined_ms: int = 0


class Refuter:
    """A reader of the claims in all contracts for which `served` gives the terms."""

    def __init__(
        self,
        log: LogReader,
        chain: Chain,
        indexer: Indexer,
        now_ms: Callable[[], int],
        served: Callable[[bytes], Terms | None],
    ) -> None:
        self._log = log
        self._chain = chain
        self._indexer = indexer
        self._now_ms = now_ms
        self._served = served
        # A restart finds all of this again: the contracts with claims; those whose terms the node
        # has not told; and the place of the last event that was read.
        self._watched: dict[bytes, _Watched] = {}
        self._untold: dict[bytes, None] = {}
        self._read_to = (-1, -1)
        self._has_left_out = False
        # By contract with more false claims than are refuted at once: those that were asked for.
        self._asked: dict[bytes, set[bytes]] = {}

    def find_refutations(self, troubles: Troubles) -> list[tuple[str, Call]]:
        """Return the calls that lower false claims, each with a name of its own.

        A contract whose terms cannot be had now is left to the next time, noted in `troubles`.
        """
        self._read_claims()
        self._look_up(troubles)
        now_ms = self._now_ms()
        if not self._due(now_ms):
            return []
        self._forget_ended()
        claims = self._claims_of(self._due(now_ms))
        found = self._search({name: own for name, own in claims.items() if own})
        # If there are more, the last contract and those behind it are still due.
        is_cut = len(found) == MAX_REFUTATIONS
        for contract_id in claims:
            if is_cut and contract_id == found[-1].contract_id:
                asked = {one.key for one in found if one.contract_id == contract_id}
                self._asked[contract_id] = asked | self._asked.get(contract_id, set())
                break
            self._asked.pop(contract_id, None)
            self._watched[contract_id] = self._watched[contract_id]._replace(examined_ms=now_ms)
        return [(one.name, one.call) for one in found]

    def _due(self, now_ms: int) -> list[bytes]:
        """Return the contracts that are to be examined now, those whose time ends first."""
        due = (
            (one.until_s, name)
            for name, one in self._watched.items()
            if now_ms - one.examined_ms >= CHECK_EVERY_MS
        )
        return [name for _, name in nsmallest(MAX_CONTRACTS, due)]

    def _claims_of(self, names: list[bytes]) -> dict[bytes, dict[bytes, Claim]]:
        """Return what stands of the claims of these contracts, or of the first of them."""
        found: dict[bytes, dict[bytes, Claim]] = {}
        for name in names:
            claims = claims_of(self._indexer.final_about(name)).open
            asked = self._asked.get(name, ())
            found[name] = {key: one for key, one in claims.items() if key not in asked}
            if sum(map(len, found.values())) >= MAX_CLAIMS:
                break
        return found

    def _search(self, claims: dict[bytes, dict[bytes, Claim]]) -> list[_Found]:
        """Return what the log refutes of these claims, in their order."""
        if not claims:
            return []
        with LogCopy(self._pages, self._chain, self._log.log_id, claims) as log:
            refuted = find_refutations(log.entries(), log.contracts, claims, log.at)
            return [
                self._found(log, key, claims[case.contract_id][key], case)
                for key, case in islice(refuted, MAX_REFUTATIONS)
            ]

    def _found(self, log: LogCopy, key: bytes, claim: Claim, case: Case) -> _Found:
        # A claim can be lowered more than once: what it is lowered to is part of the name.
        left_units = check_refutation(case, claim, log.contracts)
        name = f"{case.contract_id.hex()}:0x{key.hex()}:{left_units}"
        return _Found(
            case.contract_id, key, name, self._chain.refute(log.size, log.proven(case), key)
        )

    def _read_claims(self) -> None:
        """Note the contracts whose claims became final since the last call, a page at a time."""
        if self._has_left_out and len(self._watched) <= MAX_WATCHED // 2:
            self._has_left_out, self._read_to = False, (-1, -1)
        if len(self._untold) < PAGE:
            for event in self._indexer.final(Claimed, self._read_to, PAGE):
                self._read_to = event.block_number, event.log_index
                self._untold[event.contract_id] = None

    def _look_up(self, troubles: Troubles) -> None:
        """Watch those that are ours, and not too old to refute, of those whose claims were read."""
        now_s = self._chain.block().time_s if self._untold else 0
        for contract_id in [*self._untold]:
            # It goes behind the others before anything can fail, so that it cannot block them.
            self._untold[contract_id] = self._untold.pop(contract_id)
            with troubles.noted():
                terms = self._served(contract_id)
                if terms is not None and now_s <= times_of(terms).refutable_until_s:
                    self._watched[contract_id] = _Watched(times_of(terms).refutable_until_s)
                del self._untold[contract_id]
            if troubles.are_of_all:
                break
        if len(self._watched) > MAX_WATCHED:
            kept = nsmallest(MAX_WATCHED, self._watched.items(), key=lambda one: one[1])
            self._watched, self._has_left_out = dict(kept), True

    def _forget_ended(self) -> None:
        now_s = self._chain.block().time_s
        self._watched = {name: one for name, one in self._watched.items() if now_s <= one.until_s}
        self._asked = {name: keys for name, keys in self._asked.items() if name in self._watched}

    def _pages(self, start: int, limit: int) -> list[PublicEntry]:
        return [
            PublicEntry(one.data, one.opening or b"") for one in self._log.entries(start, limit)
        ]
