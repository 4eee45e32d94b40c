"""Splits: shares and their address, what payees sign, and the agreement that goes round."""

from typing import Any

import pytest
from eth_account import Account

from orchestrator.core.common.errors import InputError
from orchestrator.core.deals.split import (
    MAX_PAYEES,
    Agreement,
    Share,
    Split,
    consent_digest,
    consent_typed_data,
    factory_domain,
    implementation_of,
)
from orchestrator.core.deals.terms import address_of, recover

FACTORY = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
SALT = b"\x07" * 32
KEYS = sorted((bytes([n]) * 32 for n in (1, 2, 3)), key=lambda key: address_of(key).lower())
PAYEES = [address_of(key) for key in KEYS]
SPLIT = Split.of([Share(PAYEES[2], 5_000), Share(PAYEES[0], 2_000), Share(PAYEES[1], 3_000)], SALT)
AGREEMENT = Agreement(31337, FACTORY, SPLIT, {})


def test_shares_stand_in_the_order_of_their_payees() -> None:
    assert [share.payee for share in SPLIT.shares] == PAYEES
    assert SPLIT.sentences()[0] == f"{PAYEES[0]} gets 20 %"


@pytest.mark.parametrize(
    ("code", "shares"),
    [
        ("payees-count", []),
        ("payees-count", [Share(f"0x{n:040}", 1) for n in range(MAX_PAYEES + 1)]),
        ("payee-malformed", [Share("0x12", 10_000)]),
        ("payee-malformed", [Share(PAYEES[0].lower(), 10_000)]),
        ("payee-malformed", [Share("0x" + 40 * "0", 10_000)]),
        ("payee-twice", [Share(PAYEES[0], 5_000), Share(PAYEES[0], 5_000)]),
        ("share-range", [Share(PAYEES[0], 0), Share(PAYEES[1], 10_000)]),
        ("share-range", [Share(PAYEES[0], 10_001)]),
        ("shares-not-whole", [Share(PAYEES[0], 9_999)]),
        ("shares-not-whole", [Share(PAYEES[0], 5_000), Share(PAYEES[1], 5_001)]),
    ],
)
def test_shares_that_no_split_has_are_refused(code: str, shares: list[Share]) -> None:
    with pytest.raises(InputError) as refused:
        Split.of(shares, SALT)
    assert refused.value.code == code


def test_payees_out_of_order_and_short_salts_are_refused() -> None:
    for code, shares, salt in (
        ("payees-unsorted", tuple(reversed(SPLIT.shares)), SALT),
        ("salt-length", SPLIT.shares, SALT[1:]),
    ):
        with pytest.raises(InputError) as refused:
            Split(shares, salt)
        assert refused.value.code == code


def test_the_address_follows_from_factory_shares_and_salt() -> None:
    others = [
        Split(SPLIT.shares, bytes(32)),
        Split.of([Share(PAYEES[0], 9_999), Share(PAYEES[1], 1)], SALT),
    ]
    addresses = {one.address(FACTORY) for one in (SPLIT, *others)} | {SPLIT.address(PAYEES[0])}
    assert len(addresses) == 4
    # As `cast compute-address --nonce 1` has it.
    assert implementation_of("0x3fAB184622Dc19b6109349B94811493BF2a45362") == (
        "0x636c049BE420c0BaeD49b3e2ad983F5aF719F4Cf"
    )


def test_what_is_signed_is_what_wallets_are_shown() -> None:
    domain = factory_domain(31337, FACTORY)
    for key, payee in zip(KEYS, PAYEES, strict=True):
        shown = consent_typed_data(domain, payee, SPLIT)
        signature = Account.sign_typed_data(key, full_message=shown).signature
        assert recover(consent_digest(domain, payee, SPLIT), bytes(signature)) == payee
        assert AGREEMENT.signed_by(key).signatures == {payee: bytes(signature)}
    digests = {consent_digest(domain, payee, SPLIT) for payee in PAYEES}
    assert len(digests) == len(PAYEES)


def test_an_agreement_gathers_signatures_on_its_way() -> None:
    assert AGREEMENT.unsigned == PAYEES
    once = Agreement.from_json(AGREEMENT.signed_by(KEYS[1]).to_json())
    assert once.unsigned == [PAYEES[0], PAYEES[2]]
    both = Agreement.from_json(once.signed_by(KEYS[0]).to_json())
    assert both.unsigned == [PAYEES[2]]
    assert both.address == AGREEMENT.address == AGREEMENT.to_json()["address"]
    with pytest.raises(InputError) as refused:
        AGREEMENT.signed_by(b"\x09" * 32)
    assert refused.value.code == "key-of-another"


@pytest.mark.parametrize(
    "changes",
    [
        {"chain_id": "one"},
        {"splits": "0x12"},
        {"splits": PAYEES[0]},
        {"salt": "0x12"},
        {"salt": "0x" + 64 * "0"},
        {"shares": 7},
        {"shares": [{"payee": PAYEES[0]}] * (MAX_PAYEES + 1)},
        {"shares": [{"payee": PAYEES[0], "bps": 10_000}]},
        {"shares": [{"payee": PAYEES[0], "bps": 10_000, "signature": "0x"}]},
        {"shares": [{"payee": PAYEES[0], "bps": 10_000, "signature": None}]},
        {"address": None},
    ],
)
def test_a_garbled_agreement_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InputError) as refused:
        Agreement.from_json(AGREEMENT.to_json() | changes)
    assert refused.value.code == "agreement-malformed"
    with pytest.raises(InputError):
        Agreement.from_json([])


def test_code_that_is_no_split_has_none() -> None:
    for code in (b"", b"\x60\x80", bytes(45), bytes(200)):
        assert Split.in_code(code, FACTORY) is None
