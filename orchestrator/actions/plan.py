"""Plans: what can be sent to the chain, explained to people and to programs before it is signed."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple, Self

from orchestrator.chain.abi import Call
from orchestrator.chain.caller import Token
from orchestrator.core.common.errors import EscrowError, InputError
from orchestrator.core.common.units import format_amount, parse_amount


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


# --- The words of plans ---------------------------------------------------------------------------


def describe_amount(units: int, token: Token) -> str:
    """Write an amount exactly, with the token's decimals and symbol: `12.50 USDC`."""
    return f"{format_amount(units, token.decimals)} {token.symbol}"


def describe_exact_amount(units: int, token: Token) -> str:
    """Write an amount also in the base units that are signed.

    It belongs wherever a token that lies about its decimals would cost money.
    """
    return f"{describe_amount(units, token)} ({units} base units)"


def parse_token_amount(text: str, token: Token) -> int:
    """Return the base units of an amount in tokens, such as 12.50.

    Raises InputError `amount-malformed`.
    """
    try:
        return parse_amount(text, token.decimals)
    except ValueError as error:
        raise InputError("amount-malformed", f"the amount of {token.symbol} {error}") from None
