"""The public API of a log, as a stranger reads it: the deployment, entries, openings, policies."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from eth_utils.address import to_checksum_address

from orchestrator.client.http import PAGE, Client
from orchestrator.core import policy as policies
from orchestrator.core.entry import WORD_BYTES
from orchestrator.core.errors import ReplayError, ServerError
from orchestrator.core.hexadecimal import from_hex
from orchestrator.core.kinds import decode, kind_of
from orchestrator.core.opening import Record
from orchestrator.core.policy import Policy
from orchestrator.core.site import Addresses


def served(client: Client) -> tuple[Addresses, bytes]:
    """The deployment and the log that a server names."""
    log = client.get("/v1/log")
    with reading(client, "which log it serves"):
        event_log, escrow = (to_checksum_address(log[name]) for name in ("event_log", "escrow"))
        feedback, evaluators = (
            None if log.get(name) is None else to_checksum_address(log[name])
            for name in ("feedback", "evaluators")
        )
        return (
            Addresses(int(log["chain_id"]), event_log, escrow, 0, feedback, evaluators),
            from_hex(log["log_id"], WORD_BYTES),
        )


@contextmanager
def reading(client: Client, what: str) -> Iterator[None]:
    """Raises ServerError if the server's answer has not the shape that we read it by."""
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError):
        raise ServerError("answer-garbled", f"{client.server} does not say {what}") from None


def _records(client: Client, start: int, stop: int) -> Iterator[Record]:
    while start < stop:
        limit = min(PAGE, stop - start)
        answer = client.get("/v1/log/entries", start=start, limit=limit)
        with reading(client, f"what its entries from {start} on are"):
            page = [_record(item, start + place) for place, item in enumerate(answer["entries"])]
        if not page:
            return
        if len(page) > limit:
            raise ReplayError("entries-many", f"the server gave more than {limit} entries at once")
        yield from page
        start += len(page)


def _record(item: dict[str, Any], position: int) -> Record:
    if item["index"] != position:
        raise ReplayError("entries-gap", f"the server skipped entry {position}")
    entry = decode(from_hex(item["entry"]))
    opened = kind_of(entry).opening
    given = item["opening"]
    # An opening that the entry's kind does not have proves nothing, and is passed over.
    return Record(entry, None if given is None or opened is None else opened.from_json(given))


def served_policy(client: Client, hash_: bytes) -> Policy:
    """The policy of this hash, as a server gives it. Raises ReplayError for another one."""
    answer = client.get(f"/v1/policies/0x{hash_.hex()}")
    with reading(client, f"what policy 0x{hash_.hex()} is"):
        document = answer["document"]
    found = policies.parse(document)
    if found.hash != hash_:
        raise ReplayError("policy-false", f"the server gives another policy for 0x{hash_.hex()}")
    return found
