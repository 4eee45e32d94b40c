"""Webhooks: which entries of the log are told to whom, in which words, and how often it is tried.

A message is known by the webhook that it goes to and the position of its entry, however often it is
sent. Its form, its headers and its signature are those of Standard Webhooks.
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from orchestrator.core.common.document import canonical_json
from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.core.common.keccak import to_checksum_address
from orchestrator.core.common.units import DAY_MS, format_ms
from orchestrator.core.entries.kinds import KINDS, Side, kind_of
from orchestrator.core.log.entry import Entry

# Offers are no entries: the log is followed for the others alone.
OFFER_EVENT = "offer.published"
# By kind of entry, who is told of it: the owner of its surface, the operator that it is about.
WEBHOOK_EVENTS: Mapping[str, tuple[Side, ...]] = {
    kind.name: kind.told_to for kind in KINDS.values() if kind.told_to
} | {OFFER_EVENT: ("operator",)}
# The event that asks for something, which the first 2xx takes.
REQUEST_EVENT = "action.requested"
# The event that says what became of it, and names it by its position.
ANSWER_EVENT = "action.answered"

# The time after which a try counts as lost whose outcome was never stored.
LEASE_MS = 120_000
# A webhook that fails for so long without one success is disabled.
FAILING_MS = 5 * DAY_MS

_FIRST_WAIT_MS = 10_000
_MOST_WAIT_MS = 12 * 3_600_000
# By then the wait is the longest.
_MOST_POWER = 12


def events_of(audience: Side) -> tuple[str, ...]:
    """Return the events that are told to this side."""
    return tuple(event for event, told in WEBHOOK_EVENTS.items() if audience in told)


def wait_ms(seed: bytes, tries: int) -> int:
    """Return the time to wait after so many tries: three times as long each time, give or take.

    The part given or taken, a quarter, is another for each seed and try, so that what failed
    together is not tried again together. A seed has the same waits on every machine.
    """
    whole_ms: int = min(_FIRST_WAIT_MS * 3 ** min(tries - 1, _MOST_POWER), _MOST_WAIT_MS)
    chance = int.from_bytes(sha256(seed + tries.to_bytes(4)).digest()[:4])
    return whole_ms * 3 // 4 + whole_ms // 2 * chance // 2**32


def message_id(webhook: bytes, position: int) -> str:
    """Return the id of a message, the same for each try.

    The position of a message about an offer is minus the offer's number.
    """
    subject = str(position) if position >= 0 else f"offer_{-position}"
    return f"msg_{webhook[:8].hex()}_{subject}"


def position_in(message: str) -> int:
    """Return the position in a message's id."""
    *rest, number = message.split("_")
    return -int(number) if rest[-1] == "offer" else int(number)


def message(
    log_id: bytes,
    position: int,
    entry: Entry,
    parties: Mapping[str, bytes | None],
    request: Mapping[str, Any] | None = None,
) -> bytes:
    """Return the body of a message about an entry, canonical JSON.

    `parties` are the `contract` and the `operator` that it is about, as words. `request` is what an
    owner is told besides of an action that it is to carry out.
    """
    operator = parties.get("operator")
    contract = parties.get("contract")
    data = {
        "log_id": to_hex(log_id),
        "position": position,
        "surface": to_hex(entry.surface),
        "contract": None if contract is None else to_hex(contract),
        "operator": None if operator is None else to_checksum_address(operator[12:]),
        "lead": to_hex(entry.subject) if kind_of(entry).words.subject == "lead" else None,
        "label": entry.label,
        "value": str(entry.value),
    }
    return _written(entry.kind, entry.time_ms, data | dict(request or {}))


def offer_message(
    log_id: bytes, surface: bytes, created_ms: int, offer: Mapping[str, Any]
) -> bytes:
    """Return the body of a message about a standing offer."""
    data = {"log_id": to_hex(log_id), "surface": to_hex(surface)} | dict(offer)
    return _written(OFFER_EVENT, created_ms, data)


def _written(event: str, time_ms: int, data: Mapping[str, Any]) -> bytes:
    return canonical_json({"type": event, "timestamp": format_ms(time_ms), "data": data})
