"""Plans: what can be sent to the chain, explained to people and to programs before it is signed."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple, Self

from orchestrator.chain.abi import Call
from orchestrator.core.errors import EscrowError


class PlannedTransaction(NamedTuple):
    """A transaction with what it does, in a line and in more, and the addresses that may send it.

    Anyone may send it if `by` is empty. `facts` state to programs what `lines` state to people.
    """

    title: str
    lines: tuple[str, ...]
    call: Call
    by: tuple[str, ...]
    facts: dict[str, object]


class Plan(NamedTuple):
    """The transactions that can be sent, and what was examined to find them.

    `obstacle` is the reason why they cannot be sent now, though they can at another time. `facts`
    state to programs what `lines` state to people.
    """

    lines: tuple[str, ...]
    transactions: tuple[PlannedTransaction, ...] = ()
    obstacle: EscrowError | None = None
    facts: Mapping[str, object] = MappingProxyType({})

    @classmethod
    def of(cls, transaction: PlannedTransaction) -> Self:
        """Return the plan of one transaction that explains itself."""
        return cls((), (transaction,))
