"""Amounts and counts as people read and write them; `core.units` writes times."""

from orchestrator.chain.caller import Token
from orchestrator.core.errors import InputError
from orchestrator.core.units import format_amount, parse_amount


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


def count_of(count: int, noun: str) -> str:
    """Write a count of things: one claim, 2 claims."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
