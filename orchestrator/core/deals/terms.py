"""The signed deal: terms, the EIP-712 digests that keys sign, and the signatures themselves.

A contract's id is the EIP-712 digest of its terms under the escrow's domain, so it binds the chain
and the escrow. Neither signs the id: the owner signs `OwnerConsent`, which holds the terms and the
way in which it pays the budget, and the operator `OperatorConsent`. Both sign `Close`, each in its
own name, the holder of a credit `Withdrawal`, and the verifier `Verified`, all under the escrow's
domain; the log's publisher signs `Checkpoint` under the event log's.

Every function here raises `TermsError` and nothing else.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, TypeGuard, TypeVar

from coincurve import PrivateKey, PublicKey

from orchestrator.core.common.errors import EntryError, TermsError, shorten
from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.core.common.keccak import keccak, to_checksum_address
from orchestrator.core.common.units import AMOUNT_LIMIT, BPS, DAY_S
from orchestrator.core.log.entry import ZERO_ADDRESS, address_word, ascii_text, ascii_word

T = TypeVar("T")
R = TypeVar("R")

ATTRIBUTIONS = ("first_touch", "last_touch")  # by their uint8 on chain
# The ways in which an owner pays a budget, by their uint8: what it allowed the escrow to take, a
# permit (EIP-2612) for that, or an authorization (EIP-3009).
FUNDINGS = ("allowance", "permit", "authorization")
# The number of keys on the curve secp256k1.
_ORDER = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141
# The escrow keeps times in 40 bits of seconds.
TIME_S_LIMIT = 1 << 40

# Python's name, Solidity's name and ABI type of every field, in the order of the EIP-712 type.
_FIELDS = (
    ("owner", "owner", "address"),
    ("operator", "operator", "address"),
    ("payee", "payee", "address"),
    ("token", "token", "address"),
    ("verifier", "verifier", "address"),
    ("arbiter", "arbiter", "address"),
    ("log_id", "logId", "bytes32"),
    ("surface", "surface", "bytes32"),
    ("policy", "policy", "bytes32"),
    ("attribution", "attribution", "uint8"),
    ("outcome", "outcome", "bytes32"),
    ("repeatable", "repeatable", "bool"),
    ("exclusive", "exclusive", "bool"),
    ("unit_price_units", "unitPrice", "uint256"),
    ("revenue_share_bps", "revenueShareBps", "uint16"),
    ("budget_units", "budget", "uint256"),
    ("opens_at_s", "opensAt", "uint64"),
    ("deadline_s", "deadline", "uint64"),
    ("attribution_window_s", "attributionWindow", "uint64"),
    ("lateness_s", "lateness", "uint64"),
    ("grace_s", "grace", "uint64"),
    ("claim_period_s", "claimPeriod", "uint64"),
    ("challenge_period_s", "challengePeriod", "uint64"),
    ("arbitration_period_s", "arbitrationPeriod", "uint64"),
    ("holdback_bps", "holdbackBps", "uint16"),
    ("holdback_period_s", "holdbackPeriod", "uint64"),
    ("rate_cap_units", "rateCap", "uint256"),
    ("rate_period_s", "ratePeriod", "uint64"),
    ("fee_bps", "feeBps", "uint16"),
    ("fee_recipient", "feeRecipient", "address"),
    ("agent_id_plus_one", "agentIdPlusOne", "uint256"),
    ("salt", "salt", "bytes32"),
)
_NAMES = tuple(name for name, _, _ in _FIELDS)
TERM_NAMES = _NAMES

# The terms that a surface and its service set; a proposal with others is refused.
SET_BY_SURFACE = (
    "owner",
    "log_id",
    "surface",
    "policy",
    "attribution",
    "lateness_s",
    "verifier",
    "fee_bps",
    "fee_recipient",
)

DOMAIN_TYPE = "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
TERMS_TYPE = f"Terms({','.join(f'{abi_type} {name}' for _, name, abi_type in _FIELDS)})"
VERIFIED_TYPE = "Verified(bytes32 logId,uint64 size,bytes32 root,uint64 first,uint64 count)"
CHECKPOINT_TYPE = "Checkpoint(bytes32 logId,uint64 size,bytes32 root)"
CLOSE_TYPE = "Close(address party,bytes32 contractId,uint256 payableAmount,uint64 expiresAt)"
WITHDRAWAL_TYPE = (
    "Withdrawal(address account,address token,address to,uint256 amount,uint256 nonce,"
    "uint64 expiresAt)"
)
# The types of the consents, without that of the terms in them, which EIP-712 appends.
_OWNER_CONSENT = "OwnerConsent(uint8 funding,Terms terms)"
_OPERATOR_CONSENT = "OperatorConsent(Terms terms)"
OWNER_CONSENT_TYPE = _OWNER_CONSENT + TERMS_TYPE
OPERATOR_CONSENT_TYPE = _OPERATOR_CONSENT + TERMS_TYPE

_WORD_TEXT = re.compile(r"0x[0-9a-f]{64}")
_ADDRESS_TEXT = re.compile(r"0x[0-9a-fA-F]{40}")
_INTEGER_TEXT = re.compile(r"0|[1-9][0-9]{0,77}")


class Domain(NamedTuple):
    """An EIP-712 domain, as its contract states it by EIP-5267. The address is checksummed."""

    name: str
    version: str
    chain_id: int
    verifying_contract: str


@dataclass(frozen=True, slots=True)
class Terms:
    """An outcome contract's terms. Values that could not be hashed are refused at construction.

    Addresses are `0x` strings with their EIP-55 checksum, ids 32 bytes, amounts token base units,
    times UTC seconds, shares hundredths of a percent. Zero means none for `arbiter`,
    `fee_recipient`, `agent_id_plus_one` (ERC-8004's first id is 0), periods and the rate cap.
    """

    owner: str
    operator: str
    payee: str
    token: str
    verifier: str
    arbiter: str
    log_id: bytes
    surface: bytes
    policy: bytes
    attribution: str
    outcome: str
    repeatable: bool
    exclusive: bool
    unit_price_units: int
    revenue_share_bps: int
    budget_units: int
    opens_at_s: int
    deadline_s: int
    attribution_window_s: int
    lateness_s: int
    grace_s: int
    claim_period_s: int
    challenge_period_s: int
    arbitration_period_s: int
    holdback_bps: int
    holdback_period_s: int
    rate_cap_units: int
    rate_period_s: int
    fee_bps: int
    fee_recipient: str
    agent_id_plus_one: int
    salt: bytes

    def __post_init__(self) -> None:
        for (name, _, abi_type), value in zip(_FIELDS, self.to_abi(), strict=True):
            _check_abi(name, abi_type, value)

    @property
    def is_plain(self) -> bool:
        """True if statements pay at once: no challenge, holdback, rate cap or claim period."""
        return not (
            self.challenge_period_s
            or self.holdback_bps
            or self.holdback_period_s
            or self.rate_cap_units
            or self.claim_period_s
        )

    def to_abi(self) -> tuple[object, ...]:
        """Return the values of the Solidity struct, in its order."""
        return tuple(_to_abi(name, getattr(self, name)) for name in _NAMES)

    @classmethod
    def from_abi(cls, values: Sequence[object]) -> "Terms":
        """Build terms from a Solidity struct's values, as an ABI decoder returns them."""
        if len(values) != len(_FIELDS):
            raise TermsError("fields-count", f"terms have {len(_FIELDS)} fields, not {len(values)}")
        fields = zip(_FIELDS, values, strict=True)
        return cls(**{name: _from_abi(name, kind, value) for (name, _, kind), value in fields})

    def to_json(self) -> dict[str, str | int | bool]:
        """Return a flat JSON object: ids in lower-case hex, 256-bit integers as decimal text."""
        return {name: _to_json(abi_type, getattr(self, name)) for name, _, abi_type in _FIELDS}

    @classmethod
    def from_json(cls, document: object) -> "Terms":
        """Build terms from such an object, each value in the one form that `to_json` writes."""
        if not isinstance(document, Mapping):
            raise TermsError(
                "not-a-table", f"terms must be a JSON object, not {_format_value(document)}"
            )
        missing = [name for name in _NAMES if name not in document]
        if missing:
            raise TermsError("key-missing", f"terms lack {', '.join(missing)}")
        unknown = [key for key in document if key not in _NAMES]
        if unknown:
            raise TermsError(
                "key-unknown", f"terms have an unknown key {_format_value(unknown[0])}"
            )
        return cls(**{name: _from_json(name, kind, document[name]) for name, _, kind in _FIELDS})


# --- Digests and signatures -----------------------------------------------------------------------


def contract_id(terms: Terms, domain: Domain) -> bytes:
    """Return the EIP-712 digest of the terms: the contract's id, which no party signs.

    `domain` is the escrow's.
    """
    return _digest(domain, terms_hash(terms))


def owner_consent_digest(terms: Terms, domain: Domain, funding: str = "allowance") -> bytes:
    """Return the digest by which the owner agrees to the terms, and to pay the budget this way.

    `domain` is the escrow's.
    """
    words = (_word(_funding_number(funding)), terms_hash(terms))
    return _digest(domain, _struct_hash(OWNER_CONSENT_TYPE, *words))


def operator_consent_digest(terms: Terms, domain: Domain) -> bytes:
    """Return the digest by which the operator agrees to the terms. `domain` is the escrow's."""
    return _digest(domain, _struct_hash(OPERATOR_CONSENT_TYPE, terms_hash(terms)))


def terms_hash(terms: Terms) -> bytes:
    """Return the EIP-712 struct hash of the terms."""
    return _struct_hash(TERMS_TYPE, *map(_word, terms.to_abi()))


def verified_digest(
    domain: Domain, log_id: bytes, size: int, root: bytes, first: int, count: int
) -> bytes:
    """Return the digest that a verifier signs for entries [first, first + count) under this root.

    `domain` is the escrow's.
    """
    words = (log_id, _uint64("size", size), root, _uint64("first", first), _uint64("count", count))
    return _digest(domain, _struct_hash(VERIFIED_TYPE, *words))


def close_digest(
    domain: Domain, party: str, contract_id: bytes, payable_units: int, expires_at_s: int
) -> bytes:
    """Return the digest that this party signs to end a contract with this payable in all.

    `domain` is the escrow's.
    """
    _check_abi("party", "address", party)
    _check_abi("contract_id", "bytes32", contract_id)
    _check_abi("payable_units", "uint256", payable_units)
    words = (_word(payable_units), _uint64("expires_at_s", expires_at_s))
    return _digest(domain, _struct_hash(CLOSE_TYPE, _word(party), contract_id, *words))


def withdrawal_digest(
    domain: Domain,
    account: str,
    token: str,
    to: str,
    amount_units: int,
    nonce: int,
    expires_at_s: int,
) -> bytes:
    """Return the digest that an account signs so that anyone can send this much of its credit.

    `domain` is the escrow's, and `nonce` what the escrow gives for the account. Our commands
    withdraw by a transaction of the account: this mirrors the contract for whoever signs instead.
    """
    accounts = {"account": account, "token": token, "to": to}
    numbers = {"amount_units": amount_units, "nonce": nonce}
    for name, address in accounts.items():
        _check_abi(name, "address", address)
    for name, number in numbers.items():
        _check_abi(name, "uint256", number)
    words = map(_word, (*accounts.values(), *numbers.values()))
    expires = _uint64("expires_at_s", expires_at_s)
    return _digest(domain, _struct_hash(WITHDRAWAL_TYPE, *words, expires))


# The topic of the event by which the event log tells an anchored checkpoint.
ANCHOR_TOPIC = keccak(b"Published(bytes32,uint64,bytes32)")


def checkpoint_digest(domain: Domain, log_id: bytes, size: int, root: bytes) -> bytes:
    """Return the digest that the log's publisher signs, so that anyone can anchor the checkpoint.

    `domain` is the event log's.
    """
    return _digest(domain, _struct_hash(CHECKPOINT_TYPE, log_id, _uint64("size", size), root))


def owner_consent_typed_data(
    terms: Terms, domain: Domain, funding: str = "allowance"
) -> dict[str, object]:
    """Return what the owner signs by `eth_signTypedData_v4`, with digest `owner_consent_digest`."""
    message = {"funding": _funding_number(funding), "terms": _terms_message(terms)}
    return _consent_typed_data(_OWNER_CONSENT, domain, message)


def operator_consent_typed_data(terms: Terms, domain: Domain) -> dict[str, object]:
    """Return what the operator signs likewise, with digest `operator_consent_digest`."""
    return _consent_typed_data(_OPERATOR_CONSENT, domain, {"terms": _terms_message(terms)})


def _consent_typed_data(
    encoded_type: str, domain: Domain, message: Mapping[str, object]
) -> dict[str, object]:
    """Return a message with terms in it as JSON values only."""
    primary = encoded_type[: encoded_type.index("(")]
    types = {"EIP712Domain": DOMAIN_TYPE, primary: encoded_type, "Terms": TERMS_TYPE}
    return {
        "types": {name: _type_members(one) for name, one in types.items()},
        "primaryType": primary,
        "domain": {
            "name": domain.name,
            "version": domain.version,
            "chainId": domain.chain_id,
            "verifyingContract": domain.verifying_contract,
        },
        "message": message,
    }


def _terms_message(terms: Terms) -> dict[str, object]:
    values = zip(_FIELDS, terms.to_abi(), strict=True)
    return {name: _to_json(abi_type, value) for (_, name, abi_type), value in values}


def _funding_number(funding: str) -> int:
    if funding not in FUNDINGS:
        raise _malformed("funding", funding, ", ".join(FUNDINGS[:-1]) + f" or {FUNDINGS[-1]}")
    return FUNDINGS.index(funding)


def sign_digest(digest: bytes, key: bytes) -> bytes:
    """Sign a digest: 65 bytes r ‖ s ‖ v, deterministic (RFC 6979), with low s and v 27 or 28."""
    _check_length("digest", digest, 32)
    if len(key) != 32 or not 0 < int.from_bytes(key) < _ORDER:
        raise TermsError("key-malformed", "a private key is 32 bytes, between 1 and the order - 1")
    signature = PrivateKey(key).sign_recoverable(digest, hasher=None)
    return signature[:64] + bytes([27 + signature[64]])


def address_of(key: bytes) -> str:
    """Return the checksummed address of a private key of 32 bytes."""
    return _address_of(PrivateKey(key).public_key)


def recover(digest: bytes, signature: bytes) -> str:
    """Return the checksummed address whose key made this signature of a digest.

    Only signatures that the chain takes pass: 65 bytes, s in the lower half (EIP-2), v 27 or 28.
    """
    _check_length("digest", digest, 32)
    _check_length("signature", signature, 65)
    r, s, v = int.from_bytes(signature[:32]), int.from_bytes(signature[32:64]), signature[64]
    if v not in (27, 28):
        raise TermsError("signature-v", f"v is {v}; it must be 27 or 28")
    # With a high s, every signature would have a second valid form.
    if s > _ORDER // 2:
        raise TermsError("signature-high-s", "s is in the upper half of the curve's order")
    if not (0 < r < _ORDER and s):
        raise TermsError("signature-range", "r or s is zero, or r is not below the curve's order")
    try:
        compact = signature[:64] + bytes([v - 27])
        key = PublicKey.from_signature_and_message(compact, digest, hasher=None)
    except ValueError:
        raise TermsError("signature-invalid", "no key made this signature") from None
    return _address_of(key)


def _address_of(key: PublicKey) -> str:
    return to_checksum_address(keccak(key.format(compressed=False)[1:])[12:])


# --- The rules of the escrow's `open` -------------------------------------------------------------


def check_terms(terms: Terms, now_s: int, escrow: str) -> None:
    """Raise TermsError unless the escrow at this address may open these terms at this time.

    The rules of `open`, but for those that only the chain can decide: the signatures, that the
    token is on the allow-list and the log registered, that the same terms are not open already,
    that exclusive terms have no rival, and that the payee is the wallet of the agent that the
    terms name (ERC-8004).
    """
    _check_parties(terms, escrow)
    _check_amounts(terms)
    _check_times(terms, now_s)


def _check_parties(terms: Terms, escrow: str) -> None:
    for name in ("owner", "operator", "payee", "token", "verifier"):
        if getattr(terms, name) == ZERO_ADDRESS:
            raise TermsError("party-zero", f"{name} is the zero address")
    if terms.owner == terms.operator:
        raise TermsError("owner-is-operator", f"owner and operator are both {terms.owner}")
    for name in ("payee", "fee_recipient"):
        if getattr(terms, name) == escrow:
            raise TermsError("escrow-as-payee", f"{name} {escrow} is the escrow itself")
    if terms.fee_bps and terms.fee_recipient == ZERO_ADDRESS:
        raise TermsError("fee-recipient-zero", f"fee_bps is {terms.fee_bps}, with no recipient")
    if terms.claim_period_s and terms.arbiter == ZERO_ADDRESS:
        raise TermsError("arbiter-zero", "claims need an arbiter; name one, or allow no claims")


def _check_amounts(terms: Terms) -> None:
    for name in ("unit_price_units", "budget_units", "rate_cap_units"):
        value = getattr(terms, name)
        if value >= AMOUNT_LIMIT:
            raise TermsError("amount-range", f"{name} {value} is not below 2^80")
    for name in ("revenue_share_bps", "holdback_bps", "fee_bps"):
        value = getattr(terms, name)
        if value > BPS:
            raise TermsError("bps-range", f"{name} {value} is more than {BPS}")
    if not (terms.unit_price_units or terms.revenue_share_bps):
        raise TermsError("price-zero", "neither a unit price nor a revenue share is set")
    if not terms.budget_units:
        raise TermsError("budget-zero", "budget_units is 0; nothing could ever be paid")
    # Half of the cap is paid at once, half in the course of a period: half of 1 is nothing.
    if terms.rate_cap_units == 1:
        raise TermsError("rate-cap-small", "rate_cap_units is 1; it must be at least 2, or 0")
    if terms.rate_cap_units and not terms.rate_period_s:
        raise TermsError("rate-period-zero", "a rate cap needs a rate_period_s")


def _check_times(terms: Terms, now_s: int) -> None:
    if terms.opens_at_s < now_s:
        raise TermsError("opens-in-past", f"opens_at_s {terms.opens_at_s} is before now, {now_s}")
    if terms.deadline_s < terms.opens_at_s:
        raise TermsError(
            "deadline-before-opening",
            f"deadline_s {terms.deadline_s} is before opens_at_s {terms.opens_at_s}",
        )
    # No time that follows from the terms comes later than the deadline and all periods together;
    # the claim period counts twice, since claims can be refuted for as long as they can be made.
    total_s = terms.claim_period_s + sum(
        getattr(terms, name) for name in _NAMES if name.endswith("_s") and name != "opens_at_s"
    )
    if total_s >= TIME_S_LIMIT:
        raise TermsError("times-range", f"deadline and periods add up to {total_s} s, past 2^40")
    # Outcomes are reported until deadline + lateness. A statement of that moment is decided before
    # the time for statements ends, with a day left to state the rest. After it only reversals can
    # be stated, and none together with an outcome.
    dispute_s = terms.challenge_period_s + terms.arbitration_period_s
    if terms.challenge_period_s or terms.holdback_period_s:
        least_s = terms.lateness_s + DAY_S + (dispute_s if terms.challenge_period_s else 0)
        if terms.grace_s < least_s:
            raise TermsError("grace-short", f"grace_s {terms.grace_s} must be at least {least_s}")
    if terms.claim_period_s and terms.claim_period_s < dispute_s + 3 * DAY_S:
        raise TermsError(
            "claim-period-short",
            f"claim_period_s {terms.claim_period_s} must be at least {dispute_s + 3 * DAY_S}",
        )


# --- Hashing --------------------------------------------------------------------------------------


def _digest(domain: Domain, struct_hash: bytes) -> bytes:
    return keccak(b"\x19\x01" + _domain_separator(domain) + struct_hash)


@lru_cache(maxsize=64)
def _domain_separator(domain: Domain) -> bytes:
    _check_abi("chain_id", "uint256", domain.chain_id)
    _check_abi("verifying_contract", "address", domain.verifying_contract)
    return _struct_hash(
        DOMAIN_TYPE,
        keccak(domain.name.encode()),
        keccak(domain.version.encode()),
        _word(domain.chain_id),
        _word(domain.verifying_contract),
    )


def _struct_hash(encoded_type: str, *words: bytes) -> bytes:
    for word in words:
        _check_length("word", word, 32)
    return keccak(_type_hash(encoded_type) + b"".join(words))


@lru_cache(maxsize=8)
def _type_hash(encoded_type: str) -> bytes:
    return keccak(encoded_type.encode())


def _type_members(encoded_type: str) -> list[dict[str, str]]:
    """Return the members of an encoded type, as a wallet's typed data lists them."""
    members = encoded_type[encoded_type.index("(") + 1 : -1].split(",")
    return [dict(zip(("type", "name"), member.split(" "), strict=True)) for member in members]


def _uint64(name: str, value: int) -> bytes:
    _check_abi(name, "uint64", value)
    return _word(value)


def _word(value: object) -> bytes:
    """Return the ABI word of a checked value."""
    if isinstance(value, int):
        return value.to_bytes(32)
    return value if isinstance(value, bytes) else address_word(str(value))


# --- One value at a time --------------------------------------------------------------------------


def _to_abi(name: str, value: Any) -> object:
    if name == "attribution":
        if value not in ATTRIBUTIONS:
            raise _malformed(name, value, " or ".join(ATTRIBUTIONS))
        return ATTRIBUTIONS.index(value)
    if name == "outcome":
        if not isinstance(value, str):
            raise _malformed(name, value, "a state's name")
        return _convert(name, ascii_word, value)
    return value


def _from_abi(name: str, abi_type: str, value: Any) -> Any:
    if abi_type == "address":
        value = _checksummed(value)
    _check_abi(name, abi_type, value)
    if name == "attribution":
        if value >= len(ATTRIBUTIONS):
            raise _malformed(name, value, "0 or 1")
        return ATTRIBUTIONS[value]
    if name == "outcome":
        return _convert(name, ascii_text, value)
    return value


def _convert(name: str, convert: Callable[[T], R], value: T) -> R:
    """Return `convert(value)`; a refusal is one of the field `name`."""
    try:
        return convert(value)
    except EntryError as error:
        raise TermsError(error.code, f"{name}: {error.message}") from None


def _to_json(abi_type: str, value: Any) -> Any:
    if isinstance(value, bytes):
        return to_hex(value)
    return str(value) if abi_type == "uint256" else value


def _from_json(name: str, abi_type: str, value: Any) -> Any:
    if abi_type == "bytes32" and name != "outcome":
        if not (isinstance(value, str) and _WORD_TEXT.fullmatch(value)):
            raise _malformed(name, value, "0x and 64 lower-case hex digits")
        return bytes.fromhex(value[2:])
    if abi_type == "uint256":
        if not (isinstance(value, str) and _INTEGER_TEXT.fullmatch(value)):
            raise _malformed(name, value, "an integer as decimal text")
        return int(value)
    return value


def _check_abi(name: str, abi_type: str, value: object) -> None:
    """Raise TermsError unless the value is one of this ABI type, in its one form."""
    if abi_type == "address":
        if not (_is_address(value) and _checksummed(value) == value):
            raise _malformed(name, value, "0x and 40 hex digits with the EIP-55 checksum")
    elif abi_type == "bytes32":
        if not (isinstance(value, bytes) and len(value) == 32):
            raise _malformed(name, value, "32 bytes")
    elif abi_type == "bool":
        if not isinstance(value, bool):
            raise _malformed(name, value, "true or false")
    else:
        bits = int(abi_type.removeprefix("uint"))
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << bits:
            raise _malformed(name, value, f"an integer in [0, 2^{bits})")


def _checksummed(value: object) -> object:
    """Return the address with its EIP-55 checksum; any other value unchanged."""
    return _eip55(value) if _is_address(value) else value


def _is_address(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and _ADDRESS_TEXT.fullmatch(value) is not None


# A checksum costs a Keccak; the same few addresses come again and again.
_eip55 = lru_cache(maxsize=4096)(to_checksum_address)


def _check_length(name: str, value: bytes, length: int) -> None:
    if len(value) != length:
        raise TermsError(f"{name}-length", f"a {name} has {length} bytes, not {len(value)}")


def _malformed(name: str, value: object, wanted: str) -> TermsError:
    return TermsError("field-malformed", f"{name} is {_format_value(value)}; it must be {wanted}")


def _format_value(value: object) -> str:
    """Write a value in at most 60 characters."""
    # A large integer in hex, since Python refuses to print that many decimals.
    text = hex(value) if isinstance(value, int) and value.bit_length() > 256 else repr(value)
    return shorten(text)
