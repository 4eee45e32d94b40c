"""Signatures of wallets that are not deployed yet (ERC-6492), and code that simulates them.

A wrapped signature is the ABI encoding of (address to call, data, signature), followed by 32 bytes
that no other signature ends with. The call deploys the wallet, or prepares it to answer.
"""

from typing import NamedTuple

from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError

from orchestrator.core.common.hexadecimal import from_hex

MAGIC = bytes.fromhex("6492" * 16)
_LT, _AND, _POP, _MSTORE, _GAS = b"\x10", b"\x16", b"\x50", b"\x52", b"\x5a"
_CODECOPY, _RETURNDATASIZE, _PUSH0, _PUSH4, _PUSH20 = b"\x39", b"\x3d", b"\x5f", b"\x63", b"\x73"
_CALL, _RETURN, _STATICCALL = b"\xf1", b"\xf3", b"\xfa"


class WrappedSignature(NamedTuple):
    """A wallet's signature, and the call after which the wallet accepts it."""

    target: str
    data: bytes
    signature: bytes


def unwrap(signature: bytes) -> WrappedSignature | None:
    """Return the parts of a wrapped signature; None for any other."""
    if not signature.endswith(MAGIC):
        return None
    try:
        parts = decode(["address", "bytes", "bytes"], signature[: -len(MAGIC)])
    except DecodingError:
        return None
    return WrappedSignature(*parts)


def bare_signature(signature: bytes) -> bytes:
    """Return the signature as a wallet that is deployed takes it."""
    wrapped = unwrap(signature)
    return signature if wrapped is None else wrapped.signature


def simulation(wallet: str, wrapped: WrappedSignature, question: bytes) -> bytes:
    """Return code to be run in place of a deployment, by `eth_call`, which keeps nothing.

    It makes the call, whatever comes of it, then asks the wallet the question, and returns two
    words: the first of the answer, and 1 if there was one.
    """
    data = wrapped.data
    # A push of a size is as long whatever it pushes, so the second pass knows where the data begin.
    at = len(_simulation(wallet, wrapped.target, 0, len(data), len(question)))
    return _simulation(wallet, wrapped.target, at, len(data), len(question)) + data + question


def _simulation(wallet: str, target: str, at: int, data: int, question: int) -> bytes:
    """Return the code; the data and the question, of these many bytes, stand at `at` behind it.

    An operation takes its arguments from the top of the stack, so the last one is pushed first.
    """
    return b"".join(
        [
            *(_size(data), _size(at), _PUSH0, _CODECOPY),
            *(_PUSH0, _PUSH0, _size(data), _PUSH0, _PUSH0, _address(target), _GAS, _CALL, _POP),
            *(_size(question), _size(at + data), _PUSH0, _CODECOPY),
            *(_size(32), _PUSH0, _size(question), _PUSH0, _address(wallet), _GAS, _STATICCALL),
            # Without a whole word of answer, what stands in memory is the question.
            *(_RETURNDATASIZE, _size(31), _LT, _AND, _size(32), _MSTORE),
            *(_size(64), _PUSH0, _RETURN),
        ]
    )


def _size(value: int) -> bytes:
    return _PUSH4 + value.to_bytes(4)


def _address(address: str) -> bytes:
    return _PUSH20 + from_hex(address, 20)
