"""Local chains: their clock, their deployment, and a plain way to send transactions on them.

For tests, demonstrations and development. Nothing here is used on a chain that others share.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from eth_abi.abi import encode
from eth_account import Account

from orchestrator.chain.abi import LIBRARIES, artifact, error_text
from orchestrator.chain.deployment import Chain, log_id_of
from orchestrator.chain.nodes.node import Node
from orchestrator.chain.nodes.pool import NodePool
from orchestrator.chain.rpc import (
    Block,
    Json,
    NodeError,
    ReplyError,
    members,
    nonce_request,
    octets,
    quantity,
    read_block,
)
from orchestrator.chain.wallet import SigningKey
from orchestrator.core.common.errors import ChainError
from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.core.common.keccak import to_checksum_address
from orchestrator.core.deals.site import Addresses
from orchestrator.core.resource import Resource
from orchestrator.core.tx_plan import Fees, gas_limit

# An account's balance for gas on a local chain: more than any test or demonstration uses.
GAS_FUNDS_WEI = 10**20


class StandIns(NamedTuple):
    """Addresses of what a public chain has already: ERC-8004's registries, an ERC-8183 contract."""

    identities: str
    reputations: str
    commerce: str


class Deployment(NamedTuple):
    """The result of `deploy_local`: contracts, a test stablecoin (6 decimals), a registered log."""

    addresses: Addresses
    token: str
    log_id: bytes
    stand_ins: StandIns


class LocalChainClock(Resource):
    """The clock of a local chain, which stands still from now on unless it is set or released.

    The constructor raises ChainError for a node whose clock cannot be set: any but a test node.
    """

    MOST_BLOCKS = 1_000

    def __init__(self, rpc_url: str) -> None:
        self.node = Node(rpc_url)
        try:
            self.node.call("anvil_setBlockTimestampInterval", 0)
        except ReplyError:
            self.close()
            raise ChainError(
                "clock-fixed", f"{self.node.name} does not let its clock be set; use anvil"
            ) from None
        except NodeError:
            self.close()
            raise

    def close(self) -> None:
        self.node.close()

    def now_s(self) -> int:
        """Return the latest block's time (UTC seconds)."""
        return self._block("latest").time_s

    def set_to(self, time_s: int) -> None:
        """Mine a block at this time (UTC seconds); time stands still there."""
        now_s = self.now_s()
        if time_s < now_s:
            raise ChainError(
                "clock-backwards", f"the chain is at {now_s} and cannot go back to {time_s}"
            )
        self.node.call("evm_setNextBlockTimestamp", time_s)
        self.mine()

    def mine(self, blocks: int = 1) -> None:
        self.node.call("anvil_mine", hex(blocks))

    def finalize(self) -> None:
        """Mine until every transaction that was sent before is in a final block."""
        pool = members(self.node.call("txpool_status"), "the pool's status")
        if quantity(pool.get("pending")):
            self.mine()  # it would be mined by itself, and only some time after the answer
        target = self._block("latest").number
        for _ in range(self.MOST_BLOCKS):
            if self._block("finalized").number >= target:
                return
            self.mine()
        raise ChainError("never-final", f"{self.node.name} makes no block final")

    def release(self) -> None:
        """Let the clock run by itself again."""
        self.node.call("anvil_removeBlockTimestampInterval")

    def fund(self, account: str, amount_wei: int) -> None:
        """Set an account's balance, which pays for its gas."""
        self.node.call("anvil_setBalance", account, hex(amount_wei))

    def _block(self, tag: str) -> Block:
        return read_block(self.node.call("eth_getBlockByNumber", tag, False))


def send_local(
    node: Node | NodePool, key: bytes, to: str | None, data: bytes
) -> Mapping[str, Json]:
    """Send one transaction on a local chain and return its receipt. To None deploys `data`.

    Nothing is stored before it is sent, so a crash loses it: all that must survive one goes
    through the relayer. Raises ChainError if the transaction reverts.
    """
    sender = SigningKey(key)
    request = {"from": sender.address, "data": to_hex(data), **({"to": to} if to else {})}
    chain_id, nonce, price, estimate = node.batch(
        [
            ("eth_chainId", []),
            nonce_request(sender.address, "latest"),
            ("eth_gasPrice", []),
            ("eth_estimateGas", [request, "latest"]),
        ]
    )
    if isinstance(estimate, ReplyError) and estimate.data:
        raise ChainError("call-reverted", f"it would revert: {error_text(estimate.data)}")
    gas, fees = gas_limit(quantity(estimate)), Fees(2 * quantity(price), 1)
    tx_hash, raw = sender.sign(quantity(chain_id), quantity(nonce), to, data, gas, fees)
    node.call("eth_sendRawTransaction", to_hex(raw))
    receipt = node.call("eth_getTransactionReceipt", to_hex(tx_hash))
    # A chain with a block time has not mined it yet.
    if receipt is None:
        node.call("anvil_mine", "0x1")
        receipt = node.call("eth_getTransactionReceipt", to_hex(tx_hash))
    mined = members(receipt, "that transaction")
    if quantity(mined.get("status")) != 1:
        raise ChainError("call-reverted", f"transaction {to_hex(tx_hash)} reverted")
    return mined


def deploy_local(
    rpc_url: str, key: bytes, *, origin: str = "local.tallystick", publisher: str | None = None
) -> Deployment:
    """Deploy all contracts on a local chain, register a log there, and make both final.

    The account of `key` is given gas and becomes the log's registrant, and its publisher if no
    other is named. Raises ChainError if the chain is not local.
    """
    account = Account.from_key(key).address
    # By name, for the libraries that later contracts are linked with.
    addresses_by_name: dict[str, str] = {}

    def deploy(name: str, types: Sequence[str] = (), arguments: Sequence[object] = ()) -> str:
        code = artifact(name).link(addresses_by_name) + encode(types, arguments)
        receipt = send_local(clock.node, key, None, code)
        address = to_checksum_address(octets(receipt.get("contractAddress"), 20))
        addresses_by_name[name] = address
        return address

    with LocalChainClock(rpc_url) as clock:
        clock.fund(account, 10**24)
        start_block = quantity(clock.node.call("eth_blockNumber"))
        token = deploy("TestStablecoin")
        event_log = deploy("EventLog")
        identities = deploy("IdentityRegistry")
        evidence = deploy("Evidence")
        for library in LIBRARIES:
            deploy(library)
        escrow = deploy(
            "OutcomeEscrow",
            ["address", "address", "address", "address[]"],
            [event_log, evidence, identities, [token]],
        )
        rounds = deploy("Rounds", ["address", "address"], [escrow, event_log])
        reputations = deploy("ReputationRegistry", ["address"], [identities])
        lens = deploy("EscrowLens", ["address"], [escrow])
        feedback = deploy("Feedback", ["address", "address"], [lens, reputations])
        evaluators = deploy("JobEvaluators", ["address"], [event_log])
        splits = deploy("Splits")
        commerce = deploy("AgenticCommerce", ["address", "uint256"], [token, 0])
        chain_id = quantity(clock.node.call("eth_chainId"))
        addresses = Addresses(
            *(chain_id, event_log, escrow, start_block),
            *(lens, feedback, evaluators, rounds, splits),
        )
        with Chain(rpc_url, addresses) as chain:
            # What was deployed must be what the program takes for its own contracts.
            chain.check()
            call = chain.register(origin, publisher or account)
        send_local(clock.node, key, call.to, call.data)
        clock.finalize()
    stand_ins = StandIns(identities, reputations, commerce)
    return Deployment(addresses, token, log_id_of(account, origin), stand_ins)
