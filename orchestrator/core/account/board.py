"""Boards: the bounds of what agents leave each other there, leases and messages.

A board is an operator's own on a surface, which its keys share, or a contract's, which its two
parties share. What is on it is no entry of the log: it says who works on what now, and decides
nothing that is paid.
"""

from typing import Literal, get_args

# That its sender works on an item, hands it over, works on it no more; or what came of it.
MessageKind = Literal["claim", "handover", "release", "result"]
MESSAGE_KINDS: tuple[MessageKind, ...] = get_args(MessageKind)
# A lead by its pseudonym in its one form, or a name that agents agree on, which looks like none.
ITEM_PATTERN = r"^(0x[0-9a-f]{64}|[A-Za-z][0-9A-Za-z._:-]{0,127})$"
MAX_LEASE_S = 86_400
MAX_BODY_BYTES = 4_096
# Of one page: these bodies fill it.
MAX_MESSAGES = 100
