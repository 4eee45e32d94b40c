"""Agent cards: their form and bounds, and signatures checked by the standards' own steps."""

import base64
import json
from hashlib import sha256
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from orchestrator.core.account.agent_card import (
    MAX_SKILLS,
    Card,
    CardKey,
    CardSkill,
    card_of,
    check_card,
    plain,
    thumbprint,
)
from orchestrator.core.common.errors import InputError, ReplayError

URL = "https://growth.example"
KEY = CardKey(b"\x05" * 32, f"{URL}/.well-known/jwks.json")
SKILL = CardSkill("act", "Act", "Acts on leads.", ("leads",))


def card(**changes: Any) -> Card:
    given: dict[str, Any] = {
        "url": URL,
        "provider": "log.example",
        "name": "Härvest",
        "description": "An operator.",
        "skills": [SKILL],
        "record": {"wallet": "0x12", "erc8004AgentId": ""},
        "page": "/v1/operators/0x12/record",
    }
    return card_of(**(given | changes))


def decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def is_signed(signed: Card, jwk: dict[str, str]) -> bool:
    """Check a signature by RFC 7515 and RFC 8785, without the code under test."""
    (signature,) = signed["signatures"]
    rest = {name: value for name, value in signed.items() if name != "signatures"}
    # Of a card, whose keys are ASCII and which has no numbers, this is the canonical form.
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    payload = base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()
    raw = decoded(signature["signature"])
    assert len(raw) == 64
    x, y = (int.from_bytes(decoded(jwk[name])) for name in ("x", "y"))
    numbers = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1())
    try:
        numbers.public_key().verify(
            encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:])),
            f"{signature['protected']}.{payload}".encode(),
            ec.ECDSA(hashes.SHA256()),
        )
    except InvalidSignature:
        return False
    return True


def test_a_signature_holds_by_the_standards_own_steps() -> None:
    signed = KEY.sign(card())
    assert is_signed(signed, KEY.jwk)
    header = json.loads(decoded(signed["signatures"][0]["protected"]))
    assert header == {
        "alg": "ES256",
        "typ": "JOSE",
        "kid": KEY.jwk["kid"],
        "jku": f"{URL}/.well-known/jwks.json",
    }
    check_card(signed, KEY.jwk)
    assert not is_signed(signed | {"name": "Another"}, KEY.jwk)


def test_a_key_is_named_by_its_thumbprint() -> None:
    needed = {name: KEY.jwk[name] for name in ("crv", "kty", "x", "y")}
    text = json.dumps(needed, sort_keys=True, separators=(",", ":"))
    digest = base64.urlsafe_b64encode(sha256(text.encode()).digest()).rstrip(b"=").decode()
    assert KEY.jwk["kid"] == thumbprint(KEY.jwk) == digest
    # Nothing of the secret is in what is published.
    assert set(KEY.jwk) == {"kty", "crv", "x", "y", "kid", "alg", "use"}


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "Another"},
        {"skills": []},
        {"signatures": []},
        {"signatures": [{"protected": "e30", "signature": "AA"}]},
        {"signatures": [{"protected": "!", "signature": "AA"}]},
        {"signatures": None},
        {"more": 1},
    ],
)
def test_a_card_that_was_changed_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ReplayError) as refused:
        check_card(KEY.sign(card()) | changes, KEY.jwk)
    assert refused.value.code == "card-signature"


def test_a_card_of_another_key_is_refused() -> None:
    other = CardKey(b"\x06" * 32, URL)
    with pytest.raises(ReplayError):
        check_card(other.sign(card()), KEY.jwk)
    signed = KEY.sign(card())
    # Another algorithm, named in the header, is not taken.
    none = base64.urlsafe_b64encode(
        json.dumps({"alg": "none", "kid": KEY.jwk["kid"]}).encode()
    ).decode()
    signed["signatures"][0]["protected"] = none.rstrip("=")
    with pytest.raises(ReplayError):
        check_card(signed, KEY.jwk)


def test_no_member_of_a_card_is_empty() -> None:
    def members(value: Any) -> list[Any]:
        if isinstance(value, dict):
            return [value, *(each for one in value.values() for each in members(one))]
        if isinstance(value, list):
            return [value, *(each for one in value for each in members(one))]
        return [value]

    found = members(card())
    assert all(each not in ("", [], {}, None, 0) or each is False for each in found)
    # False stands only where the protocol tells an absent member from a false one.
    assert [each for each in found if each is False] == [False] * 3
    with pytest.raises(InputError) as refused:
        card(skills=[])
    assert refused.value.code == "card-skills"


def test_names_are_bounded_and_plain() -> None:
    hostile = "\u202eevil\x00\n" + "x" * 10_000
    assert plain(hostile) == "?evil??" + "x" * 121
    assert plain("") == "?"
    shown = card(name=hostile, skills=[CardSkill(hostile, hostile, hostile, ("a",))] * 100)
    assert len(shown["skills"]) == MAX_SKILLS
    assert len(json.dumps(shown)) < 65_536


def test_a_key_out_of_range_is_refused() -> None:
    for secret in (bytes(32), b"\xff" * 32):
        with pytest.raises(InputError) as refused:
            CardKey(secret, URL)
        assert refused.value.code == "card-key"
