"""The digests and signatures of tests/vectors/signatures.json."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from eth_abi.abi import encode as abi_encode
from eth_keys.constants import SECPK1_N
from eth_utils.crypto import keccak

from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.core.common.units import DAY_S
from orchestrator.core.deals.terms import (
    CHECKPOINT_TYPE,
    CLOSE_TYPE,
    DOMAIN_TYPE,
    FUNDINGS,
    OPERATOR_CONSENT_TYPE,
    OWNER_CONSENT_TYPE,
    TERMS_TYPE,
    VERIFIED_TYPE,
    WITHDRAWAL_TYPE,
    Domain,
    Terms,
    sign_digest,
)
from orchestrator.core.log.entry import ZERO_ADDRESS
from scripts.vectors.made_up import Json, address, key, word

TERMS_ABI = [
    member.split(" ")[0]
    for member in TERMS_TYPE.removeprefix("Terms(").removesuffix(")").split(",")
]
ESCROW = Domain("Tallystick OutcomeEscrow", "1", 31337, address("escrow"))
EVENT_LOG = Domain("Tallystick EventLog", "1", 31337, address("event log"))
SIGNERS = ("owner", "operator", "verifier", "publisher")
EXPIRES_AT_S = 1_901_300_000


def table() -> Json:
    """Return digests in fixed domains and signatures by the keys of `signers`."""
    escrow, event_log = _separator(ESCROW), _separator(EVENT_LOG)
    log_id, size, root, first, count = word("log"), 1_234_567, word("root"), 1_234_500, 60
    verified = _struct(
        VERIFIED_TYPE,
        ["bytes32", "uint64", "bytes32", "uint64", "uint64"],
        [log_id, size, root, first, count],
    )
    checkpoint = _struct(CHECKPOINT_TYPE, ["bytes32", "uint64", "bytes32"], [log_id, size, root])
    place = {"log_id": to_hex(log_id), "root": to_hex(root), "size": size}
    return {
        "checkpoint": place | _signed(event_log, checkpoint, CHECKPOINT_TYPE, "publisher"),
        "closes": [_close(escrow, party) for party in ("owner", "operator")],
        "escrow_domain": _domain(ESCROW),
        "event_log_domain": _domain(EVENT_LOG),
        "invalid_signatures": [
            {"digest": to_hex(digest), "reason": reason, "signature": to_hex(signature)}
            for reason, digest, signature in _no_signatures()
        ],
        "signers": [
            {"address": address(name), "name": name, "private_key": to_hex(key(name))}
            for name in SIGNERS
        ],
        "terms": [_terms(name, terms, escrow) for name, terms in _deals().items()],
        "verified": place
        | {"count": count, "first": first}
        | _signed(escrow, verified, VERIFIED_TYPE, "verifier"),
        "withdrawal": _withdrawal(escrow),
    }


def _close(separator: bytes, party: str) -> Json:
    """Return what a party signs to end a contract."""
    contract, payable = word("contract"), 2**80 - 3
    struct_hash = _struct(
        CLOSE_TYPE,
        ["address", "bytes32", "uint256", "uint64"],
        [address(party), contract, payable, EXPIRES_AT_S],
    )
    return {
        "contract_id": to_hex(contract),
        "expires_at": EXPIRES_AT_S,
        "party": address(party),
        "payable_amount": to_hex(payable.to_bytes(32)),
    } | _signed(separator, struct_hash, CLOSE_TYPE, party)


def _withdrawal(separator: bytes) -> Json:
    """Return what the holder of a credit signs to have a part of it sent."""
    token, to, amount, nonce = address("token"), address("payee"), 2**80 - 4, 7
    struct_hash = _struct(
        WITHDRAWAL_TYPE,
        ["address", "address", "address", "uint256", "uint256", "uint64"],
        [address("operator"), token, to, amount, nonce, EXPIRES_AT_S],
    )
    return {
        "account": address("operator"),
        "amount": to_hex(amount.to_bytes(32)),
        "expires_at": EXPIRES_AT_S,
        "nonce": nonce,
        "to": to,
        "token": token,
    } | _signed(separator, struct_hash, WITHDRAWAL_TYPE, "operator")


def _deals() -> dict[str, Terms]:
    """Return terms in which no two fields are alike, and terms that settle at once."""
    full = Terms(
        owner=address("owner"),
        operator=address("operator"),
        payee=address("payee"),
        token=address("token"),
        verifier=address("verifier"),
        arbiter=address("arbiter"),
        log_id=word("log"),
        surface=word("surface"),
        policy=word("policy"),
        attribution="last_touch",
        outcome="activated",
        repeatable=True,
        exclusive=False,
        unit_price_units=8_000_001,
        revenue_share_bps=1_250,
        budget_units=2**80 - 2,
        opens_at_s=1_900_000_000,
        deadline_s=1_901_209_600,
        attribution_window_s=604_800,
        lateness_s=DAY_S,
        grace_s=777_600,
        claim_period_s=950_400,
        challenge_period_s=172_800,
        arbitration_period_s=432_000,
        holdback_bps=2_000,
        holdback_period_s=1_296_000,
        rate_cap_units=50_000_003,
        rate_period_s=86_401,
        fee_bps=250,
        fee_recipient=address("fee recipient"),
        agent_id_plus_one=2**256 - 4,
        salt=word("salt"),
    )
    plain = replace(
        full,
        arbiter=ZERO_ADDRESS,
        attribution="first_touch",
        repeatable=False,
        exclusive=True,
        unit_price_units=8_000_000,
        revenue_share_bps=0,
        budget_units=400_000_000,
        claim_period_s=0,
        challenge_period_s=0,
        arbitration_period_s=0,
        holdback_bps=0,
        holdback_period_s=0,
        rate_cap_units=0,
        rate_period_s=0,
        fee_bps=0,
        fee_recipient=ZERO_ADDRESS,
        agent_id_plus_one=0,
    )
    return {"full": full, "plain": plain}


def _terms(name: str, terms: Terms, separator: bytes) -> Json:
    """Return terms with the contract's id, and with what each party signs."""
    struct_hash = _struct(TERMS_TYPE, TERMS_ABI, list(terms.to_abi()))
    operators = _struct(OPERATOR_CONSENT_TYPE, ["bytes32"], [struct_hash])
    return {
        "abi": to_hex(encode_terms(terms)),
        "contract_id": to_hex(_digest(separator, struct_hash)),
        "name": name,
        "operator_consent": _signed(separator, operators, OPERATOR_CONSENT_TYPE, "operator"),
        "owner_consents": [
            {"funding": funding, "path": path}
            | _signed(
                separator,
                _struct(OWNER_CONSENT_TYPE, ["uint8", "bytes32"], [path, struct_hash]),
                OWNER_CONSENT_TYPE,
                "owner",
            )
            for path, funding in enumerate(FUNDINGS)
        ],
        "struct_hash": to_hex(struct_hash),
        "terms": terms.to_json(),
        "type": TERMS_TYPE,
        "type_hash": to_hex(keccak(TERMS_TYPE.encode())),
    }


def encode_terms(terms: Terms) -> bytes:
    """Encode terms as the contracts' ABI does."""
    return abi_encode(TERMS_ABI, list(terms.to_abi()))


def _struct(encoded_type: str, abi_types: list[str], values: list[Any]) -> bytes:
    """Return an EIP-712 struct hash by an ABI encoder, which core/deals/terms.py does without."""
    return keccak(abi_encode(["bytes32", *abi_types], [keccak(encoded_type.encode()), *values]))


def _separator(domain: Domain) -> bytes:
    name, version = (keccak(text.encode()) for text in (domain.name, domain.version))
    return _struct(
        DOMAIN_TYPE,
        ["bytes32", "bytes32", "uint256", "address"],
        [name, version, domain.chain_id, domain.verifying_contract],
    )


def _domain(domain: Domain) -> Json:
    return {"separator": to_hex(_separator(domain)), **domain._asdict()}


def _digest(separator: bytes, struct_hash: bytes) -> bytes:
    return keccak(b"\x19\x01" + separator + struct_hash)


def _signed(separator: bytes, struct_hash: bytes, encoded_type: str, signer: str) -> Json:
    digest = _digest(separator, struct_hash)
    return {
        "digest": to_hex(digest),
        "signature": to_hex(sign_digest(digest, key(signer))),
        "struct_hash": to_hex(struct_hash),
        "type": encoded_type,
        "type_hash": to_hex(keccak(encoded_type.encode())),
    }


def _no_signatures() -> Iterator[tuple[str, bytes, bytes]]:
    """Yield signatures by the owner of a digest that the chain does not take."""
    digest = word("digest")
    good = sign_digest(digest, key("owner"))
    r, s, v = good[:32], int.from_bytes(good[32:64]), good[64]
    high_s = r + (SECPK1_N - s).to_bytes(32) + bytes([55 - v])
    yield "signature-high-s", digest, high_s
    yield "signature-v", digest, good[:64] + bytes([v - 27])
    yield "signature-v", digest, good[:64] + bytes([29])
    yield "signature-length", digest, b""
    yield "signature-length", digest, good[:64]
    yield "signature-length", digest, good + b"\0"
    # The 64-byte form of EIP-2098.
    yield "signature-length", digest, r + (s | (v - 27) << 255).to_bytes(32)
    yield "signature-range", digest, bytes(32) + good[32:]
    yield "signature-range", digest, r + bytes(32) + good[64:]
    yield "signature-range", digest, SECPK1_N.to_bytes(32) + good[32:]
    # No point of the curve has this x coordinate.
    yield "signature-invalid", digest, (5).to_bytes(32) + good[32:]
