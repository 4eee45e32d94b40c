"""What happened to contracts, read from the chain by whoever wants to know, without a database."""

from collections.abc import Iterator, Sequence

from orchestrator.chain.abi import ChainEvent, decode_event, event_topics
from orchestrator.chain.deployment import Chain
from orchestrator.chain.rpc import (
    Json,
    NodeError,
    ReplyError,
    members,
    octets,
    quantity,
    read_block,
    result,
)
from orchestrator.core.hexadecimal import to_hex

SPAN_BLOCKS = 10_000
MAX_PAGES = 10_000
MAX_CONTRACTS = 100


def events_of(
    chain: Chain, contract_ids: Sequence[bytes], after_s: int, last: int
) -> Iterator[ChainEvent]:
    """The escrow's events of these contracts, in its order, in blocks later than a UTC second.

    Up to block `last`. Raises NodeError if the node does not give them all.
    """
    first, span = _first_block(chain, after_s, last), SPAN_BLOCKS
    for _ in range(MAX_PAGES):
        if first > last:
            return
        end = min(last, first + span - 1)
        try:
            page = _page(chain, contract_ids, first, end)
        except (NodeError, ReplyError) as error:
            # The node finds that too much: ask for less.
            if error.code not in ("node-refused", "reply-too-large") or span == 1:
                raise
            span //= 2
            continue
        yield from page
        first = end + 1
    raise NodeError(
        "events-many", f"{chain.node.name} shows {span} blocks at a time; ask another node"
    )


def _first_block(chain: Chain, after_s: int, last: int) -> int:
    """The first block later than this second; `last` + 1 if there is none yet."""
    low, high = 0, last + 1
    while low < high:
        middle = (low + high) // 2
        if chain.block(middle).time_s > after_s:
            high = middle
        else:
            low = middle + 1
    return low


def _page(chain: Chain, contract_ids: Sequence[bytes], first: int, last: int) -> list[ChainEvent]:
    found = []
    for at in range(0, len(contract_ids), MAX_CONTRACTS):
        found += _some(chain, contract_ids[at : at + MAX_CONTRACTS], first, last)
    return sorted(found, key=lambda event: (event.block_number, event.log_index))


def _some(chain: Chain, contract_ids: Sequence[bytes], first: int, last: int) -> list[ChainEvent]:
    escrow = chain.addresses.escrow.lower()
    wanted = {
        "fromBlock": hex(first),
        "toBlock": hex(last),
        "address": escrow,
        "topics": [
            [to_hex(topic) for topic in event_topics()],
            [to_hex(one) for one in contract_ids],
        ],
    }
    # In one request: a node that lacks the last block would leave events out without a word.
    last_block, reply = chain.ask(
        [("eth_getBlockByNumber", [hex(last), False]), ("eth_getLogs", [wanted])]
    )
    read_block(last_block)
    if not isinstance(result(reply), list):
        raise NodeError("node-unreadable", f"{chain.node.name} sent no list of events")
    logs = [members(item, "that event") for item in reply]
    blocks = chain.blocks(quantity(log.get("blockNumber")) for log in logs)
    found = []
    for log in logs:
        number, topics = quantity(log.get("blockNumber")), _topics(log.get("topics"))
        block, block_hash = blocks.get(number), octets(log.get("blockHash"), 32)
        is_asked = to_hex(octets(log.get("address"), 20)) == escrow and first <= number <= last
        if not is_asked or len(topics) < 2 or topics[1] not in contract_ids:
            raise NodeError("node-unreadable", f"{chain.node.name} sent other events")
        if block is None or block.block_hash != block_hash:
            raise NodeError("node-lags", f"block {number} changed while it was read; try again")
        found.append(
            ChainEvent(
                number,
                block_hash,
                octets(log.get("transactionHash"), 32),
                quantity(log.get("logIndex")),
                block.time_s,
                decode_event(topics, octets(log.get("data"))),
            )
        )
    return found


def _topics(value: Json) -> list[bytes]:
    return [octets(topic, 32) for topic in value] if isinstance(value, list) else []
