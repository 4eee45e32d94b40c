"""Calldata for contracts of one chain, and typed reads of them through its nodes.

Nothing else imports web3. It encodes; the requests go through `NodePool`, since web3 repeats
`eth_sendRawTransaction` on its own and reads replies of any length.
"""

from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from typing import Any, NamedTuple

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError, EncodingError
from eth_utils.abi import (
    function_abi_to_4byte_selector,
    get_abi_input_types,
    get_abi_output_types,
)
from web3 import Web3
from web3.contract import Contract
from web3.exceptions import Web3Exception
from web3.providers import BaseProvider

from orchestrator.chain.abi import Call, artifact, error_text
from orchestrator.chain.nodes.node import Node
from orchestrator.chain.nodes.pool import NodePool
from orchestrator.chain.rpc import (
    Block,
    Json,
    NodeError,
    ReplyError,
    Request,
    Tag,
    block_request,
    members,
    nonce_request,
    octets,
    quantity,
    read_block,
    result,
    tag_text,
)
from orchestrator.core.account.wallet_signature import simulation, unwrap
from orchestrator.core.common.errors import ChainError, TermsError
from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.core.common.keccak import to_checksum_address
from orchestrator.core.deals.terms import Domain, recover
from orchestrator.core.resource import Resource

# It has no node: it encodes.
_OFFLINE = Web3(BaseProvider())
_KEPT_CONTRACTS, _KEPT_FUNCTIONS = 256, 1024
# The errors, beside a `ReplyError`, of a call to a contract of another kind.
_MISMATCH_CODES = ("call-reverted", "call-malformed", "node-unreadable")
_PAGE_BLOCKS = 1_000
FINAL = "finalized"
# The tags that stand for blocks which a reorganization does not reach.
_FINAL_TAGS = ("safe", FINAL)
_SHOWN_CHARS = 200
# ERC-1271: the selector of isValidSignature(bytes32,bytes), and what it returns for yes.
_IS_VALID_SIGNATURE = bytes.fromhex("1626ba7e")
_YES = _IS_VALID_SIGNATURE.ljust(32, b"\0")
# The most gas of a stranger's wallet that answers, of one that is deployed too, and of a byte.
_WALLET_GAS = 1_000_000
_DEPLOYMENT_GAS = 6_000_000
_GAS_PER_BYTE = 48
# EIP-7702: the code of an account that has delegated to another's.
_DELEGATION = bytes.fromhex("ef0100")


class _Layout(NamedTuple):
    """The layout of a function's calls: its selector, and the types of its arguments and values."""

    selector: bytes
    inputs: list[str]
    outputs: list[str]


class Token(NamedTuple):
    """A token's own description: a name for people, and how many decimals a unit has."""

    symbol: str
    decimals: int


class AccountFacts(NamedTuple):
    """The facts of an account on one chain: its code, and how many transactions it has sent.

    Neither shows that its key has a holder, but an account without both may have none here.
    """

    code: bytes
    transactions: int

    @property
    def is_unused(self) -> bool:
        """True if nothing shows that the account has a holder on this chain."""
        return not self.code and not self.transactions

    @property
    def is_delegated(self) -> bool:
        """True for a key that acts as a wallet as well, by the code of another (EIP-7702)."""
        return self.code.startswith(_DELEGATION)


class Caller(Resource):
    """A reader of one chain's contracts through its nodes, and a writer of calldata for them.

    Reads take a block tag and default to `latest`. They raise `NodeError` if no node answers,
    `ReplyError` if the contract reverts, `ChainError` if a node is on another chain. On a chain
    whose nodes know no final block, those count as safe and final that lie `final_depth` blocks
    below the latest.
    """

    def __init__(self, rpc_url: str, chain_id: int, final_depth: int | None = None) -> None:
        self.chain_id = chain_id
        self.final_depth = final_depth
        self.node = NodePool(rpc_url)

    def close(self) -> None:
        self.node.close()

    def batch(self, requests: Sequence[Request]) -> list[Json]:
        """Return the node's replies, as `Node.batch` does, once it has shown to be on our chain.

        The chain's id is asked for in the same request: behind a load balancer another request may
        reach another node.
        """
        return self._batch(self.node, requests)

    def _batch(self, node: Node | NodePool, requests: Sequence[Request]) -> list[Json]:
        if not requests:
            return []
        named = any(_names_final(request) for request in requests)
        if named and self.final_depth is not None:
            (reply,) = self._checked(node, [("eth_blockNumber", [])])
            final = hex(max(0, quantity(reply) - self.final_depth))
            requests = [_with_final(request, final) for request in requests]
        return self._checked(node, requests)

    def _checked(self, node: Node | NodePool, requests: Sequence[Request]) -> list[Json]:
        chain_id, *replies = node.batch([("eth_chainId", []), *requests])
        found = quantity(chain_id)
        if found != self.chain_id:
            raise ChainError(
                "wrong-chain",
                f"{node.name} is on chain {found}, and the deployment is on "
                f"{self.chain_id}; ask another node",
            )
        return replies

    def check_agreement(self) -> None:
        """Raise ChainError `nodes-disagree` if two of our nodes show two final chains.

        They are compared at the highest block that is final for all; a node that does not answer
        says nothing. Raises `wrong-chain` for a node of another chain.
        """
        nodes = self.node.nodes
        if len(nodes) < 2:
            return
        heads = {node.name: (node, head) for node in nodes if (head := self._block_of(node, FINAL))}
        height = min((head.number for _, head in heads.values()), default=0)
        shown = {
            name: block.block_hash
            for name, (node, _) in heads.items()
            if (block := self._block_of(node, height))
        }
        if len(set(shown.values())) > 1:
            said = ", ".join(f"{name} shows {to_hex(one)}" for name, one in shown.items())
            raise ChainError(
                "nodes-disagree",
                f"at final block {height} {said}; nothing is signed, sent or recorded until they "
                f"agree: find out which is on the right chain, and leave out the other",
            )

    def _block_of(self, node: Node, tag: Tag) -> Block | None:
        """Return a block as one node shows it, or None if it shows none."""
        try:
            (reply,) = self._batch(node, [block_request(tag)])
            return read_block(reply)
        except (NodeError, ReplyError):
            return None

    # --- Blocks and transactions ------------------------------------------------------------------

    def block(self, tag: Tag = "latest") -> Block:
        """Return a block."""
        (reply,) = self.batch([block_request(tag)])
        return read_block(reply)

    def blocks(self, numbers: Iterable[int]) -> dict[int, Block]:
        """Return the blocks of these numbers, as far as the node has them."""
        wanted, found = sorted(set(numbers)), {}
        for at in range(0, len(wanted), _PAGE_BLOCKS):
            page = wanted[at : at + _PAGE_BLOCKS]
            replies = self.batch([block_request(number) for number in page])
            for number, reply in zip(page, replies, strict=True):
                if result(reply) is not None:
                    found[number] = read_block(reply)
        return found

    def transaction_with_nonce(
        self, sender: str, nonce: int, after: int, until: int
    ) -> bytes | None:
        """Return the hash of the sender's transaction with this nonce, in blocks (after, until].

        The nonce must be unspent at `after` and spent at `until`. None if the node has forgotten
        the states in between, or if no transaction spent it.
        """
        try:
            while until - after > 1:
                middle = (after + until) // 2
                (reply,) = self.batch([nonce_request(sender, middle)])
                if quantity(reply) > nonce:
                    until = middle
                else:
                    after = middle
            (reply,) = self.batch([("eth_getBlockByNumber", [hex(until), True])])
            transactions = members(reply, "that block").get("transactions")
        except ReplyError:
            return None
        # There may be none: an EIP-7702 authorization spends a nonce inside another's transaction.
        for item in transactions if isinstance(transactions, list) else []:
            transaction = members(item, "that transaction")
            if (
                str(transaction.get("from")).lower() == sender.lower()
                and quantity(transaction.get("nonce")) == nonce
            ):
                return octets(transaction.get("hash"), 32)
        return None

    def accounts(self, addresses: Iterable[str], block: Tag = "latest") -> dict[str, AccountFacts]:
        """Return the facts of these accounts."""
        wanted, at = list(dict.fromkeys(addresses)), tag_text(block)
        replies = self.batch(
            [
                (method, [address, at])
                for address in wanted
                for method in ("eth_getCode", "eth_getTransactionCount")
            ]
        )
        return {
            address: AccountFacts(octets(replies[2 * n]), quantity(replies[2 * n + 1]))
            for n, address in enumerate(wanted)
        }

    # --- Views ------------------------------------------------------------------------------------

    def read(
        self, contract: Contract, function: str, *arguments: object, block: Tag = "latest"
    ) -> Any:
        """Return the only value of a view."""
        (value,) = self.read_all(contract, function, *arguments, block=block)
        return value

    def read_all(
        self, contract: Contract, function: str, *arguments: object, block: Tag = "latest"
    ) -> tuple[Any, ...]:
        """Return all values of a view."""
        (reply,) = self.batch([self.view_request(contract, function, *arguments, block=block)])
        return self.view_values(contract, function, reply)

    def view_request(
        self, contract: Contract, function: str, *arguments: object, block: Tag = "latest"
    ) -> Request:
        """Return the request for a view, to be sent together with others."""
        call = self.call(contract, function, *arguments)
        return "eth_call", [{"to": call.to, "data": to_hex(call.data)}, tag_text(block)]

    def view_values(self, contract: Contract, function: str, reply: Json) -> tuple[Any, ...]:
        """Return the values in the reply to such a request."""
        if isinstance(reply, ReplyError) and reply.data:
            raise ChainError("call-reverted", f"{function} reverted: {error_text(reply.data)}")
        try:
            return decode(_layout(contract, function).outputs, octets(reply))
        except (DecodingError, UnicodeDecodeError):
            raise NodeError(
                "node-unreadable", f"{self.node.name} answered {function} with something else"
            ) from None

    # --- Calldata ---------------------------------------------------------------------------------

    def call(self, contract: Contract, function: str, *arguments: object) -> Call:
        """Return the call of a function. Raises ChainError for arguments of other types."""
        try:
            layout = _layout(contract, function)
            data = layout.selector + _OFFLINE.codec.encode(layout.inputs, arguments)
        except (EncodingError, Web3Exception, ValueError, TypeError) as error:
            reason = " ".join(str(error).split())[:_SHOWN_CHARS]
            raise ChainError(
                "call-malformed", f"no call of {function} can be made of this: {reason}"
            ) from None
        return Call(contract.address, data)

    # --- Our contracts' code ----------------------------------------------------------------------

    def check_code(self, name: str, address: str) -> None:
        """Raise ChainError unless our contract of this name is at the address."""
        (reply,) = self.batch([("eth_getCode", [address, "latest"])])
        code = octets(reply)
        if not code:
            raise ChainError(
                "code-missing", f"there is no contract at {address}, where the {name} should be"
            )
        if artifact(name).differs(code):
            raise ChainError(
                "code-differs",
                f"the code at {address} is not the {name} that this program was built with",
            )
        for library, library_address in artifact(name).libraries_in(code).items():
            self.check_code(library, library_address)

    def domain_of(self, name: str, contract: Contract) -> Domain:
        """Return the domain that our contract of this name signs under, by EIP-5267.

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

    # --- Tokens -----------------------------------------------------------------------------------

    def token(self, address: str) -> Token:
        """Return the token contract's description of itself."""
        token = token_at(address)
        symbol, decimals = self.read(token, "symbol"), self.read(token, "decimals")
        return Token(str(symbol), int(decimals))

    def balance_of(self, token: str, account: str, block: Tag = "latest") -> int:
        return int(self.read(token_at(token), "balanceOf", account, block=block))

    def mint(self, token: str, to: str, amount_units: int) -> Call:
        """Return the call that makes tokens out of nothing: a TestStablecoin only."""
        return self.call(token_at(token), "mint", to, amount_units)

    # --- Signatures -------------------------------------------------------------------------------

    def is_signed(self, account: str, digest: bytes, signature: bytes) -> bool:
        """Return whether this is the account's signature: by its key, or as a wallet (ERC-1271)."""
        try:
            is_own = recover(digest, signature) == account
        except TermsError:
            is_own = False
        return is_own or self.is_signed_by_wallet(account, digest, signature)

    def is_signed_by_wallet(self, wallet: str, digest: bytes, signature: bytes) -> bool:
        """Return whether a contract account says that this is its signature (ERC-1271).

        A signature may come with the call that deploys the wallet, or prepares it (ERC-6492): then
        the wallet is asked as it is, and if that is no, as it would be after the call.
        """
        wrapped = unwrap(signature)
        if wrapped is None:
            return self._accepts(wallet, digest, signature)
        if self._accepts(wallet, digest, wrapped.signature):
            return True
        data = simulation(wallet, wrapped, _wallet_question(digest, wrapped.signature))
        request = {"data": to_hex(data), "gas": hex(_DEPLOYMENT_GAS + _GAS_PER_BYTE * len(data))}
        (answer,) = self.batch([("eth_call", [request, "latest"])])
        return not _has_failed(answer) and octets(answer) == _YES + (1).to_bytes(32)

    def _accepts(self, wallet: str, digest: bytes, signature: bytes) -> bool:
        """Return whether a wallet that is there accepts a signature."""
        data = _wallet_question(digest, signature)
        # The wallet's code is a stranger's: it may burn no more than this.
        gas = hex(_WALLET_GAS + _GAS_PER_BYTE * len(data))
        request = {"to": to_checksum_address(wallet), "data": to_hex(data), "gas": gas}
        code, answer = self.batch(
            [("eth_getCode", [wallet, "latest"]), ("eth_call", [request, "latest"])]
        )
        if _has_failed(answer):
            return False
        # An account without code answers every call, with nothing.
        return bool(octets(code)) and octets(answer) == _YES


def _names_final(request: Request) -> bool:
    return any(parameter in _FINAL_TAGS for parameter in request[1] if isinstance(parameter, str))


def _with_final(request: Request, block: str) -> Request:
    method, parameters = request
    return method, [
        block if isinstance(one, str) and one in _FINAL_TAGS else one for one in parameters
    ]


def _has_failed(answer: Json) -> bool:
    """Return whether a call of a stranger's code failed. Raises what is the node's own trouble."""
    return isinstance(answer, ReplyError) and not (answer.is_of_node and result(answer))


def _wallet_question(digest: bytes, signature: bytes) -> bytes:
    return _IS_VALID_SIGNATURE + encode(["bytes32", "bytes"], [digest, signature])


@lru_cache(maxsize=_KEPT_CONTRACTS)
def contract_at(name: str, address: str) -> Contract:
    """Return one of our contracts at an address, to encode calls of it."""
    return _contract(name)(Web3.to_checksum_address(address))


@cache
def _contract(name: str) -> type[Contract]:
    return _OFFLINE.eth.contract(abi=artifact(name).abi)


@lru_cache(maxsize=_KEPT_FUNCTIONS)
def _layout(contract: Contract, function: str) -> _Layout:
    """Return the layout of a function, by its name or signature. Raises if there is no one such.

    web3 finds it anew for each call, which takes ten times as long as to encode the arguments.
    """
    find = contract.get_function_by_signature if "(" in function else contract.get_function_by_name
    abi = find(function).abi
    return _Layout(
        function_abi_to_4byte_selector(abi), get_abi_input_types(abi), get_abi_output_types(abi)
    )


def token_at(address: str) -> Contract:
    """Return any ERC-20 token at an address: the functions that we call are in the standard."""
    return contract_at("TestStablecoin", address)


def is_mismatch(error: ChainError) -> bool:
    """Return whether a call failed as it does when the contract is of another kind, or none."""
    if isinstance(error, ReplyError):
        return not error.is_of_node
    return error.code in _MISMATCH_CODES
