"""Wrapped signatures are told from all others; what the code does is tried on a real chain."""

import pytest
from eth_abi.abi import encode
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.account.wallet_signature import MAGIC, bare_signature, simulation, unwrap

TARGET = "0x" + "ab" * 20
WALLET = "0x" + "cd" * 20


@given(data=st.binary(max_size=200), signature=st.binary(max_size=200))
def test_a_wrapped_signature_comes_apart(data: bytes, signature: bytes) -> None:
    text = encode(["address", "bytes", "bytes"], [TARGET, data, signature]) + MAGIC
    assert unwrap(text) == (TARGET, data, signature)
    assert bare_signature(text) == signature


@given(st.binary(max_size=200))
def test_any_other_signature_is_itself(signature: bytes) -> None:
    if not signature.endswith(MAGIC):
        assert unwrap(signature) is None
        assert bare_signature(signature) == signature


@given(st.binary(max_size=200))
def test_garbage_before_the_magic_is_no_wrapped_signature(garbage: bytes) -> None:
    found = unwrap(garbage + MAGIC)
    assert found is None or len(found.data) + len(found.signature) <= len(garbage)


@pytest.mark.parametrize("size", [0, 1, 65_536])
def test_data_and_question_stand_behind_the_code(size: int) -> None:
    wrapped = unwrap(encode(["address", "bytes", "bytes"], [TARGET, b"d" * size, b""]) + MAGIC)
    assert wrapped is not None
    code = simulation(WALLET, wrapped, b"question")
    at = len(code) - size - len(b"question")
    assert code[at:] == b"d" * size + b"question"
    assert at.to_bytes(4) in code[:at]
    assert (at + size).to_bytes(4) in code[:at]
