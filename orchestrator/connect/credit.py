"""A wallet's credit in the escrow, read and sent by a node of the pinned chain."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from orchestrator.chain.deployment import Chain
from orchestrator.chain.wallet import TransactionSender, quote
from orchestrator.connect.signer import Vault
from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.core.deals.mandate import Pins
from orchestrator.core.deals.site import Addresses, TokenInfo


def open_vault(
    rpc_url: str, pins: Pins, key: bytes, to: str, report: Callable[[str], None]
) -> Vault:
    """Return the way to a key's credit, which goes to this address and no other.

    The contracts are compared with those that this program was built with at each use.
    """

    @contextmanager
    def chain() -> Iterator[Chain]:
        with Chain(rpc_url, Addresses(pins.chain_id, pins.event_log, pins.escrow)) as found:
            found.check()
            yield found

    def credit_of(token: TokenInfo) -> int:
        with chain() as found:
            return found.credit_of(token.address, TransactionSender(found, key).address)

    def send(token: TokenInfo, units: int) -> str:
        with chain() as found:
            sender, call = TransactionSender(found, key), found.withdraw(token.address, to, units)
            return to_hex(sender.send(call, quote(found, sender.address, call), report).tx_hash)

    return Vault(credit_of, send, to)
