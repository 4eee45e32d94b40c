"""Keys that sign transactions, and one transaction from a person's own key.

The transaction is tried out first, priced, sent once and waited for: for commands that a person
runs and watches. Nothing about it is stored, so it is refused while an earlier one of the key is
under way, and an unknown fate is reported as such. A service sends through a `Relayer`, which does
store what it sends.
"""

import time
from collections.abc import Callable
from typing import NamedTuple

from eth_account import Account

from orchestrator.chain.abi import Call, error_text
from orchestrator.chain.deployment import Chain
from orchestrator.chain.rpc import (
    FEE_REQUESTS,
    Json,
    NodeError,
    ReplyError,
    nonce_request,
    quantity,
    read_prices,
    read_receipt,
)
from orchestrator.core.common.errors import ChainError, EscrowError
from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.core.common.keccak import to_checksum_address
from orchestrator.core.refusal import RefusalKind
from orchestrator.core.tx_plan import GAS_CAP, Fees, Mined, Rules, View, first_fees, gas_limit

MAX_TIP_WEI = 50 * 10**9  # per gas: a node's suggestion is not followed beyond that
WAIT_S = 180
_POLL_S = 0.5
_WEI_PER_GWEI = 10**9


# --- Keys -----------------------------------------------------------------------------------------


class SignedTransaction(NamedTuple):
    """A transaction's hash, and the bytes to send."""

    tx_hash: bytes
    raw: bytes


class SigningKey:
    """A private key that signs transactions, and is never shown."""

    def __init__(self, key: bytes) -> None:
        self._account = Account.from_key(key)
        self.address: str = self._account.address

    def __repr__(self) -> str:
        return f"SigningKey({self.address})"

    def sign(
        self,
        chain_id: int,
        nonce: int,
        to: str | None,
        data: bytes,
        gas: int,
        fees: Fees,
        *,
        is_legacy: bool = False,
    ) -> SignedTransaction:
        """Sign a transaction that moves no ether. Without `to` it deploys `data`.

        It is of EIP-1559, or a legacy one of EIP-155 for a chain that has no base fee.
        """
        transaction = {"chainId": chain_id, "nonce": nonce, "value": 0, "data": data, "gas": gas}
        if is_legacy:
            transaction["gasPrice"] = fees.max_fee_wei
        else:
            transaction |= {
                "type": 2,
                "maxFeePerGas": fees.max_fee_wei,
                "maxPriorityFeePerGas": fees.priority_fee_wei,
            }
        if to is not None:
            transaction["to"] = to_checksum_address(to)
        signed = self._account.sign_transaction(transaction)
        return SignedTransaction(bytes(signed.hash), bytes(signed.raw_transaction))


# --- A person's transaction -----------------------------------------------------------------------


class Quote(NamedTuple):
    """A call's gas, as the node estimates it, and its present prices in wei per gas."""

    gas: int
    base_fee_wei: int
    fees: Fees
    is_legacy: bool = False

    @property
    def likely_wei(self) -> int:
        """The cost if the base fee stays as it is."""
        return self.gas * (self.base_fee_wei + self.fees.priority_fee_wei)

    @property
    def most_wei(self) -> int:
        """The highest cost possible."""
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
    tried, estimate, *market = _trial(chain, call.from_account(sender))
    for reply in (tried, estimate):
        if isinstance(reply, ReplyError) and reply.kind is RefusalKind.REVERT:
            reason = error_text(reply.data) if reply.data else reply.message
            raise EscrowError("would-revert", f"the chain would refuse this now: {reason}")
    gas = quantity(estimate)
    if gas >= GAS_CAP:
        raise ChainError("gas-too-much", f"it needs {gas} gas; a transaction may use {GAS_CAP - 1}")
    base_fee_wei, tip_wei, is_legacy = read_prices(market)
    # The tip is paid whatever the base fee: a node that lies must not make it a fortune.
    if not is_legacy:
        tip_wei = min(tip_wei, MAX_TIP_WEI)
    fees = first_fees(View(0, 0, 0, 0, base_fee_wei, tip_wei), Rules())
    if fees.max_fee_wei < base_fee_wei:
        raise ChainError(
            "gas-too-dear",
            f"gas costs {base_fee_wei} wei, more than the {fees.max_fee_wei} that we would pay; "
            f"try again later",
        )
    return Quote(gas, base_fee_wei, fees, is_legacy)


def _trial(chain: Chain, request: Json) -> list[Json]:
    """Return the replies to a call, its estimate and the prices, on the block to come.

    Nodes without a pending block try it on the latest.
    """

    def on(block: str) -> list[Json]:
        return chain.batch(
            [("eth_call", [request, block]), ("eth_estimateGas", [request, block]), *FEE_REQUESTS]
        )

    replies = on("pending")
    tried = replies[0]
    is_clear = not isinstance(tried, ReplyError) or tried.kind is RefusalKind.REVERT
    return replies if is_clear else on("latest")


class TransactionSender:
    """A sender of single transactions from one key. `wait_s` bounds every wait for a block."""

    def __init__(self, chain: Chain, key: bytes, wait_s: float = WAIT_S) -> None:
        self._chain = chain
        self._key = SigningKey(key)
        self._wait_s = wait_s
        self.address: str = self._key.address

    def __repr__(self) -> str:
        return f"Sender({self.address})"

    def send(self, call: Call, price: Quote, report: Callable[[str], None]) -> Sent:
        """Sign, send once, and wait until the transaction is in a block.

        Raises ChainError: `under-way` and `gas-unaffordable` before anything is sent,
        `send-refused` if the node says that it did not take it, `call-reverted` if it failed in a
        block, `fate-unknown` if the wait is over and the node shows no receipt.
        """
        nonce = self._free_nonce(price)
        gas = gas_limit(price.gas)
        chain_id = self._chain.chain_id
        tx_hash, raw = self._key.sign(
            chain_id, nonce, call.to, call.data, gas, price.fees, is_legacy=price.is_legacy
        )
        # Reported before it is sent: if this process dies, the hash still leads to its fate.
        report(f"sending transaction {to_hex(tx_hash)}")
        try:
            (reply,) = self._chain.batch([("eth_sendRawTransaction", [to_hex(raw)])])
        except NodeError:
            reply = None  # it may have arrived
        # A node answers "already known" with an error too, so its refusal alone says nothing.
        if isinstance(reply, ReplyError) and not self._is_known(tx_hash):
            raise ChainError(
                "send-refused",
                f"{reply.message}; the node says that it has no transaction {to_hex(tx_hash)}. If "
                f"that is not true it may still come: look for it before you send anything again",
            )
        return self._wait(tx_hash)

    def _free_nonce(self, price: Quote) -> int:
        """Return the key's next nonce. Raises ChainError if one is under way, or funds lack."""
        latest, pending, balance = self._chain.batch(
            [
                nonce_request(self.address, "latest"),
                nonce_request(self.address, "pending"),
                ("eth_getBalance", [self.address, "latest"]),
            ]
        )
        nonce, balance_wei = quantity(latest), quantity(balance)
        # A node without a pending block shows none under way.
        next_nonce = nonce if isinstance(pending, ReplyError) else quantity(pending)
        # Another transaction now could take the place of one whose fate is not known yet.
        if next_nonce != nonce:
            raise ChainError(
                "under-way",
                f"{next_nonce - nonce} transactions of {self.address} are not in a block yet; "
                f"wait until they are",
            )
        if balance_wei < price.most_wei:
            raise ChainError(
                "gas-unaffordable",
                f"{self.address} has {format_ether(balance_wei)} for gas, and this may cost "
                f"{format_ether(price.most_wei)}; send it more",
            )
        return nonce

    def _is_known(self, tx_hash: bytes) -> bool:
        """Return whether the node holds the transaction after all; in doubt it does."""
        try:
            (found,) = self._chain.batch([("eth_getTransactionByHash", [to_hex(tx_hash)])])
        except NodeError:
            return True
        return isinstance(found, ReplyError) or found is not None

    def _wait(self, tx_hash: bytes) -> Sent:
        deadline = time.monotonic() + self._wait_s
        while True:
            receipt = self._receipt(tx_hash)
            if receipt is not None:
                return _sent(receipt)
            if time.monotonic() > deadline:
                raise ChainError(
                    "fate-unknown",
                    f"transaction {to_hex(tx_hash)} was sent and is in no block that the node "
                    f"shows; look for it before you send anything again",
                )
            time.sleep(_POLL_S)

    def _receipt(self, tx_hash: bytes) -> Mined | None:
        """Return the receipt, or None as long as the node cannot be asked or has none."""
        try:
            (reply,) = self._chain.batch([("eth_getTransactionReceipt", [to_hex(tx_hash)])])
        except NodeError:
            return None
        return None if isinstance(reply, ReplyError) else read_receipt(reply, tx_hash)


def _sent(receipt: Mined) -> Sent:
    if not receipt.succeeded:
        raise ChainError(
            "call-reverted",
            f"transaction {to_hex(receipt.tx_hash)} failed in block {receipt.block_number}: "
            f"something came before it; look at the contract again",
        )
    return Sent(receipt.tx_hash, receipt.block_number, receipt.gas_used)


def format_ether(amount_wei: int) -> str:
    """Write an amount of wei in ether, rounded up to a gwei."""
    whole, rest = divmod(-(-amount_wei // _WEI_PER_GWEI), 10**9)
    return f"{whole}.{rest:09} ETH"
