"""Sign-in messages: what is written is read, by ours and by another implementation of EIP-4361."""

from typing import cast

import pytest
from eth_account import Account
from eth_account.messages import encode_defunct
from hypothesis import given
from hypothesis import strategies as st
from siwe import SiweMessage

from orchestrator.core.account.scopes import SCOPES, Scope, scopes_of
from orchestrator.core.account.sign_in import (
    MAX_MESSAGE_BYTES,
    Audience,
    SignIn,
    is_signed_by_key,
    message_digest,
    read_message,
    write_message,
)
from orchestrator.core.common.errors import SignInError

AUDIENCE = Audience("api.example:8443", "https://api.example:8443", 8453)
ACCOUNT = Account.from_key(b"\1" * 32)
NOW_MS = 1_767_225_600_123
ASKED = SignIn(ACCOUNT.address, ("owner:read", "owner:review"), "f" * 32, NOW_MS, NOW_MS + 600_000)
TEXT = write_message(AUDIENCE, ASKED)


def refusal(text: str, now_ms: int = NOW_MS) -> str:
    with pytest.raises(SignInError) as caught:
        read_message(AUDIENCE, text, now_ms)
    return caught.value.code


@given(
    scopes=st.lists(st.sampled_from(SCOPES), min_size=1),
    nonce=st.text("0123456789abcdefXYZ", min_size=8, max_size=64),
    issued_ms=st.integers(0, 2**41),
    life_ms=st.integers(1, 2**31),
)
def test_what_is_written_is_read_by_everyone(
    scopes: list[Scope], nonce: str, issued_ms: int, life_ms: int
) -> None:
    granted = tuple(scopes_of(scopes))
    asked = SignIn(ACCOUNT.address, granted, nonce, issued_ms, issued_ms + life_ms)
    text = write_message(AUDIENCE, asked)
    assert len(text) <= MAX_MESSAGE_BYTES
    assert read_message(AUDIENCE, text, issued_ms) == asked
    other = SiweMessage.from_message(text, abnf=False)
    assert cast(str, other.prepare_message()) == text
    assert (other.address, other.nonce) == (asked.address, nonce)
    assert other.resources == [f"urn:tallystick:scope:{scope}" for scope in granted]


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("api.example:8443 wants", "api.example wants", "domain-differs"),
        ("URI: https", "URI: http", "uri-differs"),
        ("Chain ID: 8453", "Chain ID: 1", "chain-id-differs"),
        ("Version: 1", "Version: 1\nVersion: 1", "message-malformed"),
        (ACCOUNT.address, ACCOUNT.address.lower(), "message-malformed"),
        ("Sign in to", "Please sign in to", "statement-differs"),
        ("a key for owner:read, owner:review", "a key for owner:review", "statement-differs"),
        ("\n- urn:tallystick:scope:owner:review", "", "statement-differs"),
        ("scope:owner:review", "scope:owner:erase", "scopes-unknown"),
        ("scope:owner:review", "scope:owner:report", "statement-differs"),
        ("scope:owner:review", "scope:owner:all", "scopes-unknown"),
        ("scope:owner:review", "scope:owner:review\n- https://evil.example", "scopes-unknown"),
        ("scope:owner:review", "scope:owner:review\n", "message-malformed"),
        ("Issued At: 2026", "Issued At: 2026-", "message-malformed"),
        ("Issued At: 2026", "Issued At: 2027", "message-early"),
        ("\nResources", "\nNot Before: 2026-01-01T00:01:00Z\nResources", "message-early"),
        ("Resources:", "Request ID: r1\nRequest ID: r2\nResources:", "message-malformed"),
    ],
)
def test_a_message_that_differs_in_one_thing_is_refused_for_it(
    old: str, new: str, code: str
) -> None:
    assert old in TEXT
    assert refusal(TEXT.replace(old, new)) == code


def test_a_message_is_valid_until_it_expires() -> None:
    assert read_message(AUDIENCE, TEXT, ASKED.expires_ms - 1) == ASKED
    assert refusal(TEXT, ASKED.expires_ms) == "message-expired"


def test_a_request_id_and_a_past_start_change_nothing() -> None:
    more = "\nNot Before: 2026-01-01T00:00:00Z\nRequest ID: r-1\nResources"
    assert read_message(AUDIENCE, TEXT.replace("\nResources", more), NOW_MS) == ASKED


def test_a_signature_is_by_the_key_of_the_address() -> None:
    signed = ACCOUNT.sign_message(encode_defunct(text=TEXT))
    assert bytes(signed.message_hash) == message_digest(TEXT)
    signature = bytes(signed.signature)
    assert is_signed_by_key(ACCOUNT.address, TEXT, signature)
    assert is_signed_by_key(ACCOUNT.address, TEXT, signature[:64] + bytes([signature[64] - 27]))
    for other in (b"", signature[:64], signature + b"\0", bytes(65)):
        assert not is_signed_by_key(ACCOUNT.address, TEXT, other)
    assert not is_signed_by_key(ACCOUNT.address, TEXT + " ", signature)
