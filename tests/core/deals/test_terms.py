"""Terms, their digests and signatures: against eth_account's own EIP-712, and rule by rule."""

import contextlib
import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest
from eth_abi.abi import decode as abi_decode
from eth_abi.abi import encode as abi_encode
from eth_account import Account
from eth_account.messages import SignableMessage, encode_typed_data
from eth_keys.constants import SECPK1_N
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.common.errors import TermsError
from orchestrator.core.deals.terms import (
    FUNDINGS,
    OPERATOR_CONSENT_TYPE,
    OWNER_CONSENT_TYPE,
    TERMS_TYPE,
    Domain,
    Terms,
    check_terms,
    checkpoint_digest,
    close_digest,
    contract_id,
    operator_consent_digest,
    operator_consent_typed_data,
    owner_consent_digest,
    owner_consent_typed_data,
    recover,
    sign_digest,
    verified_digest,
    withdrawal_digest,
)
from orchestrator.core.log.entry import ZERO_ADDRESS
from tests.support.terms import (
    ARBITER,
    DOMAIN,
    ESCROW,
    FULL,
    ILLEGAL,
    LEGAL,
    LOG,
    LOG_DOMAIN,
    NOW_S,
    OPERATOR,
    OPERATOR_KEY,
    OWNER,
    PAYEE,
    PLAIN,
    TOKEN,
    VERIFIER,
)

words = st.binary(min_size=32, max_size=32)
addresses = st.sampled_from([OWNER, OPERATOR, PAYEE, TOKEN, VERIFIER, ARBITER, ZERO_ADDRESS])
u16 = st.integers(0, 2**16 - 1)
u64 = st.integers(0, 2**64 - 1)
u256 = st.integers(0, 2**256 - 1)
labels = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=32)
any_terms = st.builds(
    Terms,
    owner=addresses,
    operator=addresses,
    payee=addresses,
    token=addresses,
    verifier=addresses,
    arbiter=addresses,
    log_id=words,
    surface=words,
    policy=words,
    attribution=st.sampled_from(["first_touch", "last_touch"]),
    outcome=labels,
    repeatable=st.booleans(),
    exclusive=st.booleans(),
    unit_price_units=u256,
    revenue_share_bps=u16,
    budget_units=u256,
    opens_at_s=u64,
    deadline_s=u64,
    attribution_window_s=u64,
    lateness_s=u64,
    grace_s=u64,
    claim_period_s=u64,
    challenge_period_s=u64,
    arbitration_period_s=u64,
    holdback_bps=u16,
    holdback_period_s=u64,
    rate_cap_units=u256,
    rate_period_s=u64,
    fee_bps=u16,
    fee_recipient=addresses,
    agent_id_plus_one=u256,
    salt=words,
)
domains = st.builds(
    Domain, name=st.text(max_size=40), version=labels, chain_id=u256, verifying_contract=addresses
)
ABI_TYPES = [
    member.split(" ")[0]
    for member in TERMS_TYPE.removeprefix("Terms(").removesuffix(")").split(",")
]


def changed(terms: Terms, **fields: Any) -> Terms:
    return dataclasses.replace(terms, **fields)


def refused(code: str, action: Callable[..., object], *arguments: object, **named: object) -> str:
    with pytest.raises(TermsError) as caught:
        action(*arguments, **named)
    assert caught.value.code == code
    return str(caught.value)


def digest_of(message: SignableMessage) -> bytes:
    return keccak(b"\x19" + message.version + message.header + message.body)


# --- Digests --------------------------------------------------------------------------------------


def test_the_type_is_the_signed_one() -> None:
    """Spelled out once more: every wallet and both contracts depend on these bytes."""
    assert TERMS_TYPE == (
        "Terms(address owner,address operator,address payee,address token,address verifier,"
        "address arbiter,bytes32 logId,bytes32 surface,bytes32 policy,uint8 attribution,"
        "bytes32 outcome,bool repeatable,bool exclusive,uint256 unitPrice,uint16 revenueShareBps,"
        "uint256 budget,uint64 opensAt,uint64 deadline,uint64 attributionWindow,uint64 lateness,"
        "uint64 grace,uint64 claimPeriod,uint64 challengePeriod,uint64 arbitrationPeriod,"
        "uint16 holdbackBps,uint64 holdbackPeriod,uint256 rateCap,uint64 ratePeriod,"
        "uint16 feeBps,address feeRecipient,uint256 agentIdPlusOne,bytes32 salt)"
    )
    assert OWNER_CONSENT_TYPE == "OwnerConsent(uint8 funding,Terms terms)" + TERMS_TYPE
    assert OPERATOR_CONSENT_TYPE == "OperatorConsent(Terms terms)" + TERMS_TYPE


@given(any_terms, domains, st.sampled_from(FUNDINGS))
def test_consents_are_the_digests_that_wallets_sign(
    terms: Terms, domain: Domain, funding: str
) -> None:
    typed = owner_consent_typed_data(terms, domain, funding)
    message = encode_typed_data(full_message=json.loads(json.dumps(typed)))
    assert owner_consent_digest(terms, domain, funding) == digest_of(message)
    typed = operator_consent_typed_data(terms, domain)
    message = encode_typed_data(full_message=json.loads(json.dumps(typed)))
    assert operator_consent_digest(terms, domain) == digest_of(message)


@given(any_terms, domains)
def test_no_party_signs_the_id(terms: Terms, domain: Domain) -> None:
    """Not two parties, nor two ways to pay, consent by one signature."""
    digests = {owner_consent_digest(terms, domain, funding) for funding in FUNDINGS}
    digests |= {operator_consent_digest(terms, domain), contract_id(terms, domain)}
    assert len(digests) == len(FUNDINGS) + 2
    assert owner_consent_digest(terms, domain) == owner_consent_digest(terms, domain, "allowance")


def test_an_unknown_way_to_pay_is_refused() -> None:
    for funding in ("", "Allowance", "transfer", 0):
        refused("field-malformed", owner_consent_digest, PLAIN, DOMAIN, funding)


@given(words, u64, words, u64, u64)
def test_verified_digest(log_id: bytes, size: int, root: bytes, first: int, count: int) -> None:
    message = encode_typed_data(
        DOMAIN_DATA,
        {
            "Verified": [
                {"name": "logId", "type": "bytes32"},
                {"name": "size", "type": "uint64"},
                {"name": "root", "type": "bytes32"},
                {"name": "first", "type": "uint64"},
                {"name": "count", "type": "uint64"},
            ]
        },
        {"logId": log_id, "size": size, "root": root, "first": first, "count": count},
    )
    assert verified_digest(DOMAIN, log_id, size, root, first, count) == digest_of(message)


@given(words, u64, words)
def test_checkpoint_digest(log_id: bytes, size: int, root: bytes) -> None:
    message = encode_typed_data(
        DOMAIN_DATA | {"name": LOG_DOMAIN.name, "verifyingContract": LOG},
        {
            "Checkpoint": [
                {"name": "logId", "type": "bytes32"},
                {"name": "size", "type": "uint64"},
                {"name": "root", "type": "bytes32"},
            ]
        },
        {"logId": log_id, "size": size, "root": root},
    )
    assert checkpoint_digest(LOG_DOMAIN, log_id, size, root) == digest_of(message)


@given(addresses, words, st.integers(0, 2**256 - 1), u64)
def test_close_digest(party: str, contract: bytes, payable_units: int, expires_at_s: int) -> None:
    message = encode_typed_data(
        DOMAIN_DATA,
        {
            "Close": [
                {"name": "party", "type": "address"},
                {"name": "contractId", "type": "bytes32"},
                {"name": "payableAmount", "type": "uint256"},
                {"name": "expiresAt", "type": "uint64"},
            ]
        },
        {
            "party": party,
            "contractId": contract,
            "payableAmount": payable_units,
            "expiresAt": expires_at_s,
        },
    )
    assert close_digest(DOMAIN, party, contract, payable_units, expires_at_s) == digest_of(message)


def test_close_digest_takes_whole_words() -> None:
    for arguments in ((b"", 1, 1), (bytes(32), -1, 1), (bytes(32), 2**256, 1), (bytes(32), 1, -1)):
        refused("field-malformed", close_digest, DOMAIN, PLAIN.owner, *arguments)
    refused("field-malformed", close_digest, DOMAIN, "0x12", bytes(32), 1, 1)


@given(addresses, addresses, addresses, u256, u256, u64)
def test_withdrawal_digest(
    account: str, token: str, to: str, amount: int, nonce: int, expires_at_s: int
) -> None:
    message = encode_typed_data(
        DOMAIN_DATA,
        {
            "Withdrawal": [
                {"name": "account", "type": "address"},
                {"name": "token", "type": "address"},
                {"name": "to", "type": "address"},
                {"name": "amount", "type": "uint256"},
                {"name": "nonce", "type": "uint256"},
                {"name": "expiresAt", "type": "uint64"},
            ]
        },
        {
            "account": account,
            "token": token,
            "to": to,
            "amount": amount,
            "nonce": nonce,
            "expiresAt": expires_at_s,
        },
    )
    made = withdrawal_digest(DOMAIN, account, token, to, amount, nonce, expires_at_s)
    assert made == digest_of(message)


DOMAIN_DATA = {
    "name": DOMAIN.name,
    "version": DOMAIN.version,
    "chainId": DOMAIN.chain_id,
    "verifyingContract": DOMAIN.verifying_contract,
}


def test_the_id_binds_every_field_and_the_whole_domain() -> None:
    ids = {contract_id(FULL, DOMAIN)}
    for field in dataclasses.fields(Terms):
        ids.add(contract_id(changed(FULL, **{field.name: other(field.name)}), DOMAIN))
    for domain in (
        DOMAIN._replace(name="x"),
        DOMAIN._replace(version="2"),
        DOMAIN._replace(chain_id=1),
        DOMAIN._replace(verifying_contract=LOG),
    ):
        ids.add(contract_id(FULL, domain))
    assert len(ids) == 1 + 32 + 4


def other(name: str) -> object:
    """Return another legal value of this field."""
    value = getattr(FULL, name)
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, bytes):
        return b"\x09" * 32
    return {"attribution": "first_touch", "outcome": "paid"}.get(name, LOG)


@pytest.mark.parametrize(
    ("code", "arguments"),
    [
        ("word-length", (b"\x01" * 31, 1, b"\x02" * 32)),
        ("word-length", (b"\x01" * 32, 1, b"\x02" * 33)),
        ("field-malformed", (b"\x01" * 32, -1, b"\x02" * 32)),
        ("field-malformed", (b"\x01" * 32, 2**64, b"\x02" * 32)),
    ],
)
def test_digests_take_whole_words(code: str, arguments: tuple[bytes, int, bytes]) -> None:
    log_id, size, root = arguments
    refused(code, checkpoint_digest, LOG_DOMAIN, log_id, size, root)
    refused(code, verified_digest, DOMAIN, log_id, size, root, 0, 1)


def test_domains_are_checked() -> None:
    for wrong in ({"chain_id": -1}, {"chain_id": 2**256}, {"verifying_contract": LOG.lower()}):
        domain = DOMAIN._replace(**wrong)
        refused("field-malformed", contract_id, PLAIN, domain)


# --- Forms ----------------------------------------------------------------------------------------


@given(any_terms)
def test_terms_survive_json_and_abi(terms: Terms) -> None:
    document = json.loads(json.dumps(terms.to_json()))
    assert Terms.from_json(document) == terms
    assert Terms.from_abi(terms.to_abi()) == terms
    decoded = abi_decode(ABI_TYPES, abi_encode(ABI_TYPES, terms.to_abi()))
    assert Terms.from_abi(decoded) == terms


def test_json_is_flat_and_exact() -> None:
    document = FULL.to_json()
    assert list(document) == [field.name for field in dataclasses.fields(Terms)]
    assert document["owner"] == OWNER
    assert document["log_id"] == "0x" + "01" * 32
    assert document["outcome"] == "activated"
    assert document["attribution"] == "last_touch"
    assert document["unit_price_units"] == "8000000"
    assert document["agent_id_plus_one"] == "1"
    assert document["opens_at_s"] == NOW_S
    assert document["repeatable"] is False


@pytest.mark.parametrize(
    ("code", "name", "value"),
    [
        ("field-malformed", "owner", OWNER.lower()),
        ("field-malformed", "owner", OWNER[2:]),
        ("field-malformed", "owner", OWNER + "0"),
        ("field-malformed", "owner", OWNER.swapcase()),
        ("field-malformed", "owner", None),
        ("field-malformed", "owner", 5),
        ("field-malformed", "owner", [OWNER]),
        ("field-malformed", "log_id", "0x" + "01" * 31),
        ("field-malformed", "log_id", "0x" + "AB" * 32),
        ("field-malformed", "log_id", "01" * 32),
        ("field-malformed", "log_id", 5),
        ("field-malformed", "log_id", "0x" + " 1" * 32),
        ("field-malformed", "attribution", "middle_touch"),
        ("field-malformed", "attribution", 0),
        ("field-malformed", "attribution", []),
        ("field-malformed", "outcome", None),
        ("label-too-long", "outcome", "x" * 33),
        ("label-not-ascii", "outcome", "aktiviert ✓"),
        ("label-not-ascii", "outcome", "a\0"),
        ("field-malformed", "repeatable", 1),
        ("field-malformed", "repeatable", "true"),
        ("field-malformed", "unit_price_units", 8_000_000),
        ("field-malformed", "unit_price_units", "08"),
        ("field-malformed", "unit_price_units", "-8"),
        ("field-malformed", "unit_price_units", "8.0"),
        ("field-malformed", "unit_price_units", "8_0"),
        ("field-malformed", "unit_price_units", " 8"),
        ("field-malformed", "unit_price_units", "٣"),
        ("field-malformed", "unit_price_units", ""),
        ("field-malformed", "unit_price_units", str(2**256)),
        pytest.param("field-malformed", "unit_price_units", "9" * 10_000, id="long-text"),
        ("field-malformed", "opens_at_s", str(NOW_S)),
        ("field-malformed", "opens_at_s", float(NOW_S)),
        ("field-malformed", "opens_at_s", True),
        ("field-malformed", "opens_at_s", -1),
        ("field-malformed", "opens_at_s", 2**64),
        pytest.param("field-malformed", "opens_at_s", 10**5000, id="past-what-python-prints"),
        ("field-malformed", "fee_bps", 2**16),
    ],
)
def test_json_takes_one_form_only(code: str, name: str, value: object) -> None:
    message = refused(code, Terms.from_json, PLAIN.to_json() | {name: value})
    assert message.startswith(name)
    assert len(message) < 200


def test_json_has_all_keys_and_no_other() -> None:
    document = PLAIN.to_json()
    for name in document:
        short = {key: value for key, value in document.items() if key != name}
        assert refused("key-missing", Terms.from_json, short) == f"terms lack {name}"
    refused("key-unknown", Terms.from_json, document | {"unitPrice": "8"})
    refused("key-unknown", Terms.from_json, dict[object, object](document) | {5: 5})
    for no_table in (None, [document], "terms", 5):
        refused("not-a-table", Terms.from_json, no_table)


@pytest.mark.parametrize(
    ("at", "value"),
    [
        (0, "0x12"),
        (0, b"\x01" * 20),
        (0, None),
        (6, b"\x01" * 31),
        (9, 2),
        (9, -1),
        (9, 1.0),
        (9, True),
        (10, "activated"),
        (11, 1),
        (13, "8000000"),
        (13, 2**256),
        (16, -5),
    ],
)
def test_abi_values_are_checked(at: int, value: object) -> None:
    values = [*PLAIN.to_abi()]
    values[at] = value
    refused("field-malformed", Terms.from_abi, values)


def test_abi_outcomes_are_canonical_and_fields_complete() -> None:
    values = [*PLAIN.to_abi()]
    refused("fields-count", Terms.from_abi, values[:-1])
    refused("fields-count", Terms.from_abi, [*values, 0])
    values[10] = b"a\0b".ljust(32, b"\0")
    refused("label-not-ascii", Terms.from_abi, values)


def test_abi_addresses_get_their_checksum() -> None:
    values = [*PLAIN.to_abi()]
    values[0] = OWNER.lower()
    assert Terms.from_abi(values) == PLAIN


def test_terms_that_could_not_be_hashed_cannot_be_built() -> None:
    for fields in (
        {"owner": OWNER.lower()},
        {"salt": b""},
        {"salt": "0x" + "00" * 32},
        {"budget_units": -1},
        {"opens_at_s": 2**64},
        {"exclusive": 0},
        {"attribution": "none"},
        {"outcome": b"activated"},
    ):
        with pytest.raises(TermsError):
            changed(PLAIN, **fields)


# --- Signatures -----------------------------------------------------------------------------------


@given(words, st.integers(1, SECPK1_N - 1))
def test_a_signature_leads_back_to_its_key(digest: bytes, secret: int) -> None:
    key = secret.to_bytes(32)
    signature = sign_digest(digest, key)
    assert len(signature) == 65
    assert int.from_bytes(signature[32:64]) <= SECPK1_N // 2
    assert signature[64] in (27, 28)
    assert recover(digest, signature) == Account.from_key(key).address
    assert signature == bytes(Account.unsafe_sign_hash(digest, key).signature)


@given(words, words, st.integers(0, 64 * 8 - 1))
def test_a_signature_of_something_else_leads_elsewhere(
    digest: bytes, another: bytes, bit: int
) -> None:
    signature = sign_digest(digest, OPERATOR_KEY)
    forged = int.from_bytes(signature[:64]) ^ 1 << bit
    for what, how in ((another, signature), (digest, forged.to_bytes(64) + signature[64:])):
        if (what, how) == (digest, signature):
            continue
        with contextlib.suppress(TermsError):
            assert recover(what, how) != OPERATOR


def test_signatures_are_strict() -> None:
    digest = contract_id(PLAIN, DOMAIN)
    good = sign_digest(digest, OPERATOR_KEY)
    r, s, v = good[:32], int.from_bytes(good[32:64]), good[64]
    assert recover(digest, good) == OPERATOR
    high_s = (SECPK1_N - s).to_bytes(32)
    refused("signature-high-s", recover, digest, r + high_s + bytes([55 - v]))
    refused("signature-high-s", recover, digest, r + b"\xff" * 32 + bytes([v]))
    for wrong_v in (0, 1, 26, 29, 255):
        refused("signature-v", recover, digest, good[:64] + bytes([wrong_v]))
    for wrong in (b"", good[:64], good + b"\0"):
        refused("signature-length", recover, digest, wrong)
    for wrong_r in (0, SECPK1_N, 2**256 - 1):
        refused("signature-range", recover, digest, wrong_r.to_bytes(32) + good[32:])
    refused("signature-range", recover, digest, r + bytes(32) + good[64:])
    refused("signature-invalid", recover, digest, (5).to_bytes(32) + good[32:])
    refused("digest-length", recover, digest[:31], good)


def test_a_refused_key_is_not_shown() -> None:
    digest = b"\x01" * 32
    for key in (b"", b"\x07" * 31, b"\x07" * 33, bytes(32), SECPK1_N.to_bytes(32)):
        message = refused("key-malformed", sign_digest, digest, key)
        assert "7" not in message
        assert key.hex() not in message or not key
    refused("digest-length", sign_digest, b"", OPERATOR_KEY)


# --- Rules ----------------------------------------------------------------------------------------


def test_plain_and_full_terms_are_in_order() -> None:
    for terms in (PLAIN, FULL):
        check_terms(terms, NOW_S, ESCROW)


@pytest.mark.parametrize(("code", "terms", "fields"), ILLEGAL)
def test_check_refuses(code: str, terms: Terms, fields: dict[str, object]) -> None:
    refused(code, check_terms, changed(terms, **fields), NOW_S, ESCROW)


@pytest.mark.parametrize(("terms", "fields"), LEGAL)
def test_check_accepts_terms_at_a_bound(terms: Terms, fields: dict[str, object]) -> None:
    check_terms(changed(terms, **fields), NOW_S, ESCROW)


def test_terms_open_until_their_opening_time() -> None:
    check_terms(PLAIN, PLAIN.opens_at_s, ESCROW)
    refused("opens-in-past", check_terms, PLAIN, PLAIN.opens_at_s + 1, ESCROW)


@pytest.mark.parametrize(
    ("fields", "is_plain"),
    [
        ({}, True),
        ({"arbiter": ARBITER, "arbitration_period_s": 1, "rate_period_s": 1}, True),
        ({"agent_id_plus_one": 1, "fee_bps": 1}, True),
        ({"challenge_period_s": 1}, False),
        ({"holdback_bps": 1}, False),
        ({"holdback_period_s": 1}, False),
        ({"rate_cap_units": 2}, False),
        ({"claim_period_s": 1}, False),
    ],
)
def test_what_is_plain(fields: dict[str, object], is_plain: bool) -> None:
    assert changed(PLAIN, **fields).is_plain is is_plain


@given(any_terms, u64)
def test_no_terms_raise_anything_but_a_terms_error(terms: Terms, now_s: int) -> None:
    with contextlib.suppress(TermsError):
        check_terms(terms, now_s, ESCROW)
