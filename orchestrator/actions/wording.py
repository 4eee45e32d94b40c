"""TODO."""

from datetime import UTC, datetime

from orchestrator.chain.caller import Token


def told_amount(units: int, token: Token) -> str:
    """An amount with the token's decimals and symbol, exactly."""
    whole, rest = divmod(units, 10**token.decimals)
    decimals = f"{rest:0{token.decimals}}" if token.decimals else ""
    return f"{whole:,}.{decimals.rstrip('0').ljust(2, '0')} {token.symbol}"


def many(count: int, noun: str) -> str:
    """A count of things: one claim, 2 claims."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def utc(time_s: int) -> str:
    """A UTC second as people read it."""
    try:
        return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, ValueError, OSError):
        return f"second {time_s}"
