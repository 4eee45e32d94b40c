"""One node's contracts: calldata, and typed reads.

Nothing else imports web3. It encodes; the requests go through `Node`, since web3 by itself repeats
`eth_sendRawTransaction` and reads replies of any length.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Self

from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError
from eth_utils.abi import get_abi_output_types
from eth_utils.address import to_checksum_address
from web3 import Web3
from web3.contract import Contract
from web3.exceptions import Web3Exception
from web3.providers import BaseProvider

from orchestrator.chain.abi import Call, artifact, error_text
from orchestrator.chain.rpc import (
    Ask,
    Block,
    Json,
    Node,
    NodeError,
    ReplyError,
    octets,
    quantity,
    read_block,
    result,
)
from orchestrator.core.errors import ChainError
from orchestrator.core.hexadecimal import to_hex
from orchestrator.core.terms import Domain

Tag = str | int  # "latest", "safe", "finalized" or a block's number

# How it fails, beside a `ReplyError`, to ask a contract of another kind.
UNLIKE = ("call-reverted", "call-malformed", "node-unreadable")
_PAGE_BLOCKS = 100
_SHOWN_CHARS = 200


class Caller:
    """Reads contracts of one chain through one node, and writes calldata for them.

    Reads take a block tag and default to `latest`. They raise `NodeError` if the node does not
    answer, `ReplyError` if the contract reverts, `ChainError` if the node is on another chain.
    """

    def __init__(self, rpc_url: str, chain_id: int) -> None:
        self.chain_id = chain_id
        self.node = Node(rpc_url)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.node.close()

    def ask(self, asks: Sequence[Ask]) -> list[Json]:
        """What the node answers to all of these at once, once it has shown to be on our chain."""
        chain_id, *replies = self.node.batch([("eth_chainId", []), *asks])
        found = quantity(result(chain_id))
        if found != self.chain_id:
            raise ChainError(
                "wrong-chain",
                f"{self.node.name} is on chain {found}, and the deployment is on "
                f"{self.chain_id}; ask another node",
            )
        return replies

    def block(self, tag: Tag = "latest") -> Block:
        (reply,) = self.ask([("eth_getBlockByNumber", [tag_text(tag), False])])
        return read_block(reply)

    def blocks(self, numbers: Iterable[int]) -> dict[int, Block]:
        """The blocks of these numbers, as far as the node has them."""
        wanted, found = sorted(set(numbers)), {}
        for at in range(0, len(wanted), _PAGE_BLOCKS):
            page = wanted[at : at + _PAGE_BLOCKS]
            asks: list[Ask] = [("eth_getBlockByNumber", [hex(n), False]) for n in page]
            for number, reply in zip(page, self.ask(asks), strict=True):
                if result(reply) is not None:
                    found[number] = read_block(reply)
        return found

    def check_code(self, name: str, address: str) -> None:
        """Raise ChainError unless our contract of this name is at the address."""
        (reply,) = self.ask([("eth_getCode", [address, "latest"])])
        code = octets(result(reply))
        if not code:
            raise ChainError(
                "code-missing", f"there is no contract at {address}, where the {name} should be"
            )
        if artifact(name).differs(code):
            raise ChainError(
                "code-differs",
                f"the code at {address} is not the {name} that this program was built with",
            )
        for library, home in artifact(name).libraries(code).items():
            self.check_code(library, home)

    def call(self, contract: Contract, function: str, *arguments: object) -> Call:
        """The transaction that calls a function; ChainError if its arguments are of other types."""
        try:
            data = contract.encode_abi(function, args=arguments)
        except (Web3Exception, ValueError, TypeError) as error:
            reason = " ".join(str(error).split())[:_SHOWN_CHARS]
            raise ChainError(
                "call-malformed", f"no call of {function} can be made of this: {reason}"
            ) from None
        return Call(contract.address, octets(data))

    def read(
        self, contract: Contract, function: str, *arguments: object, block: Tag = "latest"
    ) -> Any:
        """The only value that a view returns."""
        (value,) = self.read_all(contract, function, *arguments, block=block)
        return value

    def read_all(
        self, contract: Contract, function: str, *arguments: object, block: Tag = "latest"
    ) -> tuple[Any, ...]:
        """All values that a view returns."""
        (reply,) = self.ask([self.asking(contract, function, *arguments, block=block)])
        return self.values(contract, function, reply)

    def asking(
        self, contract: Contract, function: str, *arguments: object, block: Tag = "latest"
    ) -> Ask:
        """The request for a view, to be asked for together with others."""
        call = self.call(contract, function, *arguments)
        return "eth_call", [{"to": call.to, "data": to_hex(call.data)}, tag_text(block)]

    def values(self, contract: Contract, function: str, reply: Json) -> tuple[Any, ...]:
        """The values in the reply to such a request."""
        if isinstance(reply, ReplyError) and reply.data:
            raise ChainError("call-reverted", f"{function} reverted: {error_text(reply.data)}")
        types = get_abi_output_types(contract.get_function_by_name(function).abi)
        try:
            return decode(types, octets(result(reply)))
        except (DecodingError, UnicodeDecodeError):
            raise NodeError(
                "node-unreadable", f"{self.node.name} answered {function} with something else"
            ) from None

    def domain_of(self, name: str, contract: Contract) -> Domain:
        """What is signed for our contract of this name, as it says by EIP-5267.

        Raises ChainError `domain-differs` for any other than its name, chain and address give.
        """
        _, title, version, chain_id, address, _, _ = self.read_all(contract, "eip712Domain")
        found = Domain(title, version, chain_id, to_checksum_address(address))
        expected = Domain(f"Tallystick {name}", "1", self.chain_id, contract.address)
        if found != expected:
            raise ChainError(
                "domain-differs",
                f"the {name} at {contract.address} signs as {tuple(found)}, not as "
                f"{tuple(expected)}; is its address right?",
            )
        return found


def contract_at(name: str, address: str) -> Contract:
    """One of our contracts at an address, to encode calls of it."""
    offline = Web3(BaseProvider()).eth
    return offline.contract(address=to_checksum_address(address), abi=artifact(name).abi)


def token_at(address: str) -> Contract:
    """Any ERC-20: the functions that we call are in the standard."""
    return contract_at("TestStablecoin", address)


def tag_text(block: Tag) -> str:
    """A block as a node is asked for it."""
    return hex(block) if isinstance(block, int) else block
