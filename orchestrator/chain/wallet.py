"""One transaction from a person's own key: tried out first, priced, sent once, waited for.

For commands that a person runs and watches. It keeps no books, so it refuses to send while an
earlier transaction of the key is under way, and says what it knows when it must stop waiting.
A service sends through a `Submitter`, which does keep them.
"""

import time
from collections.abc import Callable
from typing import NamedTuple

from eth_account import Account as Keys
from eth_utils.address import to_checksum_address

from orchestrator.chain.abi import Call, error_text
from orchestrator.chain.deployment import Chain
from orchestrator.chain.rpc import Json, NodeError, ReplyError, members, octets, quantity, result
from orchestrator.core.errors import ChainError, EscrowError
from orchestrator.core.hexadecimal import to_hex
from orchestrator.core.tx_plan import GAS_CAP, Fees, Rules, View, first_fees, gas_limit

MAX_TIP_WEI = 50 * 10**9  # per gas: what a node suggests is not taken beyond that
WAIT_S = 180
_POLL_S = 0.5


class Quote(NamedTuple):
    """What a call would use and cost now: gas as the node estimates it, prices in wei per gas."""

    gas: int
    base_fee_wei: int
    fees: Fees

    @property
    def likely_wei(self) -> int:
        """What it costs if the base fee stays as it is."""
        return self.gas * (self.base_fee_wei + self.fees.priority_fee_wei)

    @property
    def most_wei(self) -> int:
        """What it can cost at most."""
        return gas_limit(self.gas) * self.fees.max_fee_wei


class Sent(NamedTuple):
    """A transaction that is in a block and succeeded; the block need not be final yet."""

    tx_hash: bytes
    block_number: int
    gas_used: int


def quote(chain: Chain, sender: str, call: Call) -> Quote:
    """Try the call out as this account would make it, on the block to come, and price it.

    Raises EscrowError `would-revert` with the contract's own reason if it would fail.
    """
    request = {"from": sender, "to": call.to, "data": to_hex(call.data)}
    tried, estimate, history, tip = chain.ask(
        [
            ("eth_call", [request, "pending"]),
            ("eth_estimateGas", [request, "pending"]),
            ("eth_feeHistory", ["0x1", "latest", []]),
            ("eth_maxPriorityFeePerGas", []),
        ]
    )
    for reply in (tried, estimate):
        if isinstance(reply, ReplyError) and reply.data:
            said = error_text(reply.data)
            raise EscrowError("would-revert", f"the chain would refuse this now: {said}")
    gas = quantity(result(estimate))
    if gas >= GAS_CAP:
        raise ChainError("gas-too-much", f"it needs {gas} gas; a transaction may use {GAS_CAP - 1}")
    base_fees = members(result(history), "its fees").get("baseFeePerGas")
    if not isinstance(base_fees, list) or not base_fees:
        raise NodeError("node-unreadable", f"{chain.node.name} sent no base fee")
    base_fee_wei = quantity(base_fees[-1])
    tip_wei = min(quantity(result(tip)), MAX_TIP_WEI)
    fees = first_fees(View(0, 0, 0, 0, base_fee_wei, tip_wei), Rules())
    if fees.max_fee_wei < base_fee_wei:
        raise ChainError(
            "gas-too-dear",
            f"gas costs {base_fee_wei} wei, more than the {fees.max_fee_wei} that we would pay; "
            f"try again later",
        )
    return Quote(gas, base_fee_wei, fees)


class Sender:
    """Sends from one key, which it never shows. `wait_s` bounds every wait for a block."""

    def __init__(self, chain: Chain, key: bytes, wait_s: float = WAIT_S) -> None:
        self._chain = chain
        self._keys = Keys.from_key(key)
        self._wait_s = wait_s
        self.address: str = self._keys.address

    def __repr__(self) -> str:
        return f"Sender({self.address})"

    def send(self, call: Call, price: Quote, say: Callable[[str], None]) -> Sent:
        """Sign, send once, and wait until the transaction is in a block.

        Raises ChainError: `under-way` and `gas-unaffordable` before anything is sent,
        `send-refused` if the node says that it did not take it, `call-reverted` if it failed in a
        block, `fate-unknown` if the wait is over and nobody knows yet.
        """
        nonce = self._free_nonce(price)
        signed = self._keys.sign_transaction(
            {
                "type": 2,
                "chainId": self._chain.addresses.chain_id,
                "nonce": nonce,
                "to": to_checksum_address(call.to),
                "value": 0,
                "data": call.data,
                "gas": gas_limit(price.gas),
                "maxFeePerGas": price.fees.max_fee_wei,
                "maxPriorityFeePerGas": price.fees.priority_fee_wei,
            }
        )
        tx_hash, raw = bytes(signed.hash), bytes(signed.raw_transaction)
        # Said before it is sent: whatever happens to us, the hash tells what became of it.
        say(f"sending transaction {to_hex(tx_hash)}")
        try:
            (reply,) = self._chain.ask([("eth_sendRawTransaction", [to_hex(raw)])])
        except NodeError:
            reply = None  # it may have arrived
        if isinstance(reply, ReplyError) and not self._is_known(tx_hash):
            raise ChainError(
                "send-refused",
                f"{reply.message}; the node says that it has no transaction {to_hex(tx_hash)}. If "
                f"that is not true it may still come: look for it before you send anything again",
            )
        return self._wait(tx_hash)

    def _free_nonce(self, price: Quote) -> int:
        """The key's next nonce, if nothing is under way and the account can pay."""
        latest, pending, balance = self._chain.ask(
            [
                ("eth_getTransactionCount", [self.address, "latest"]),
                ("eth_getTransactionCount", [self.address, "pending"]),
                ("eth_getBalance", [self.address, "latest"]),
            ]
        )
        nonce, under_way = quantity(result(latest)), quantity(result(pending))
        if under_way != nonce:
            raise ChainError(
                "under-way",
                f"{under_way - nonce} transactions of {self.address} are not in a block yet; "
                f"wait until they are",
            )
        if quantity(result(balance)) < price.most_wei:
            raise ChainError(
                "gas-unaffordable",
                f"{self.address} has {wei(quantity(result(balance)))} for gas, and this may cost "
                f"{wei(price.most_wei)}; send it more",
            )
        return nonce

    def _is_known(self, tx_hash: bytes) -> bool:
        """Whether the node holds the transaction after all; in doubt it does."""
        try:
            (found,) = self._chain.ask([("eth_getTransactionByHash", [to_hex(tx_hash)])])
        except NodeError:
            return True
        return isinstance(found, ReplyError) or found is not None

    def _wait(self, tx_hash: bytes) -> Sent:
        deadline = time.monotonic() + self._wait_s
        while True:
            receipt = self._receipt(tx_hash)
            if receipt is not None:
                return self._read(tx_hash, receipt)
            if time.monotonic() > deadline:
                raise ChainError(
                    "fate-unknown",
                    f"transaction {to_hex(tx_hash)} was sent and is in no block that the node "
                    f"shows; look for it before you send anything again",
                )
            time.sleep(_POLL_S)

    def _receipt(self, tx_hash: bytes) -> Json:
        try:
            (reply,) = self._chain.ask([("eth_getTransactionReceipt", [to_hex(tx_hash)])])
        except NodeError:
            return None
        return None if isinstance(reply, ReplyError) else reply

    def _read(self, tx_hash: bytes, reply: Json) -> Sent:
        receipt = members(reply, "that receipt")
        if octets(receipt.get("transactionHash"), 32) != tx_hash:
            raise NodeError("node-unreadable", f"{self._chain.node.name} mixed up receipts")
        sent = Sent(tx_hash, quantity(receipt.get("blockNumber")), quantity(receipt.get("gasUsed")))
        if quantity(receipt.get("status")) != 1:
            raise ChainError(
                "call-reverted",
                f"transaction {to_hex(tx_hash)} failed in block {sent.block_number}: something "
                f"came before it; look at the contract again",
            )
        return sent


def wei(amount: int) -> str:
    """An amount of wei in ether, rounded up to a gwei."""
    whole, rest = divmod(-(-amount // 10**9), 10**9)
    return f"{whole}.{rest:09} ETH"
