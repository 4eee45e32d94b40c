"""TODO."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from orchestrator.chain.abi import (
    Call,
)
from orchestrator.core.errors import EscrowError


class PlannedTransaction(NamedTuple):
    """One transaction: what it does, in a line and in more, and by whom; empty: by anyone.

    `facts` says the same to programs.
    """

    title: str
    lines: tuple[str, ...]
    call: Call
    by: tuple[str, ...]
    facts: dict[str, object]


class Plan(NamedTuple):
    """What was looked at, and what can be sent for it.

    `obstacle` is why it cannot be sent now, though it can at another time; `facts` say to programs
    what `lines` say.
    """

    lines: tuple[str, ...]
    deeds: tuple[PlannedTransaction, ...] = ()
    obstacle: EscrowError | None = None
    facts: Mapping[str, object] = MappingProxyType({})
