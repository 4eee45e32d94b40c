"""The things that the pipeline needs from a node, each tried.

Nothing is sent that a node could take for a transaction.
"""

from collections.abc import Callable
from typing import NamedTuple

from orchestrator.chain.caller import FINAL
from orchestrator.chain.deployment import Chain
from orchestrator.chain.event_scan import EventScan
from orchestrator.chain.rpc import (
    FEE_REQUESTS,
    NodeError,
    ReplyError,
    nonce_request,
    quantity,
    read_prices,
    result,
)
from orchestrator.core.common.errors import ChainError
from orchestrator.core.log.entry import ZERO_ADDRESS
from orchestrator.core.refusal import RefusalKind

# As many requests as a step of the pipeline may send at once, and blocks as a page of events has.
TRIED_AT_ONCE = 100
TRIED_BLOCKS = 2_000
# A relayer should be able to pay this much gas, some thirty settlements, at today's highest price.
LEAST_GAS = 5_000_000
_NO_HASH = "0x" + "00" * 32


class Need(NamedTuple):
    """One thing that is needed of a node, and how it stands with it."""

    what: str
    ok: bool
    detail: str


def examine_node(chain: Chain, payer: str | None) -> list[Need]:
    """Try all that is needed of the one node of this chain, and what the gas is paid from."""
    try:
        chain.block()
    except ChainError as error:
        return [Need("answers", ok=False, detail=error.message)]
    tried: list[tuple[str, Callable[[Chain], str]]] = [
        ("batches", _batches),
        ("final blocks", _final_blocks),
        ("final state", _final_state),
        ("events", _events),
        ("fees", _fees),
        ("trying calls out", _estimates),
        ("transactions", _transactions),
    ]
    if payer is not None:
        tried.append(("gas money", lambda chain: _gas_money(chain, payer)))
    return [_need(chain, what, attempt) for what, attempt in tried]


def _need(chain: Chain, what: str, attempt: Callable[[Chain], str]) -> Need:
    try:
        return Need(what, ok=True, detail=attempt(chain))
    except ChainError as error:
        return Need(what, ok=False, detail=error.message)


def _batches(chain: Chain) -> str:
    chain.batch([("eth_chainId", [])] * TRIED_AT_ONCE)
    (node,) = chain.node.nodes
    if node.most_at_once == 1:
        return "takes none; each request goes alone, and behind a load balancer to any of its nodes"
    return f"takes {node.most_at_once} requests at once"


def _final_blocks(chain: Chain) -> str:
    depth = chain.final_depth
    try:
        safe, final = chain.block("safe"), chain.block(FINAL)
    except (NodeError, ReplyError) as error:
        raise ChainError(
            "tag-missing",
            f"shows no safe and final block ({error.message}); if its chain has none, set "
            f"TALLYSTICK_FINAL_DEPTH to a number of blocks that no reorganization passes",
        ) from None
    if depth is not None:
        return f"block {final.number} counts as final, {depth} below the latest"
    return f"safe is block {safe.number}, final is block {final.number}"


def _final_state(chain: Chain) -> str:
    (reply,) = chain.batch([nonce_request(ZERO_ADDRESS, FINAL)])
    if isinstance(reply, ReplyError) and reply.kind is RefusalKind.STATE:
        return "is not kept; final events and our receipts stand for it"
    quantity(reply)
    return "is kept"


def _events(chain: Chain) -> str:
    addresses = chain.addresses
    scan = EventScan(chain, [addresses.event_log, addresses.escrow], TRIED_BLOCKS)
    first, latest = addresses.start_block, chain.block().number
    # Old ones first: a node that has left history out answers for new blocks alone.
    for start in (first, max(first, latest - TRIED_BLOCKS + 1)):
        scan.page(start, min(latest, start + TRIED_BLOCKS - 1))
    return f"from block {first} on, {scan.span_blocks} blocks at once"


def _fees(chain: Chain) -> str:
    prices = read_prices(chain.batch(FEE_REQUESTS))
    if prices.is_legacy:
        return f"gas costs {prices.tip_wei} wei; there is no base fee, and transactions are legacy"
    return f"the base fee is {prices.base_fee_wei} wei, the tip {prices.tip_wei} wei"


def _estimates(chain: Chain) -> str:
    call = {"from": ZERO_ADDRESS, "to": ZERO_ADDRESS}
    pending, latest = chain.batch(
        [("eth_estimateGas", [call, "pending"]), ("eth_estimateGas", [call])]
    )
    if isinstance(pending, ReplyError):
        quantity(latest)
        return "on the latest block; the node has no pending one"
    quantity(pending)
    return "on the pending block"


def _transactions(chain: Chain) -> str:
    # What cannot be decoded is refused by every node that takes transactions.
    sent, *found = chain.batch(
        [
            ("eth_sendRawTransaction", ["0x00"]),
            ("eth_getTransactionByHash", [_NO_HASH]),
            ("eth_getTransactionReceipt", [_NO_HASH]),
        ]
    )
    if isinstance(sent, ReplyError) and sent.kind is RefusalKind.METHOD:
        raise sent
    for reply in found:
        result(reply)
    return "are taken and found"


def _gas_money(chain: Chain, payer: str) -> str:
    balance, *market = chain.batch([("eth_getBalance", [payer, "latest"]), *FEE_REQUESTS])
    prices, has_wei = read_prices(market), quantity(balance)
    least_wei = LEAST_GAS * (2 * prices.base_fee_wei + prices.tip_wei)
    if has_wei < least_wei:
        raise ChainError(
            "gas-unaffordable",
            f"the relayer {payer} has {has_wei} wei for gas, and should have {least_wei} or more; "
            f"send it more",
        )
    return f"the relayer {payer} has {has_wei} wei"
