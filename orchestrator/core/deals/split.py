"""Splits: the shares that payees sign together, the address that follows, and what goes round.

Each payee signs `SplitConsent`, in its own name, under the domain of the factory (`Splits`). The
address follows from the shares and the salt, so terms can name it before the split is there. What
payees hand to each other is an agreement: the shares, with the signatures that there are.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from eth_account.messages import encode_typed_data

from orchestrator.core.common.errors import InputError
from orchestrator.core.common.hexadecimal import from_hex, to_hex
from orchestrator.core.common.keccak import is_checksum_address, keccak, to_checksum_address
from orchestrator.core.common.units import BPS, format_percent
from orchestrator.core.deals.terms import Domain, address_of, sign_digest
from orchestrator.core.log.entry import WORD_BYTES, ZERO_ADDRESS

MAX_PAYEES = 32
MAX_SIGNATURE_BYTES = 4_096
_ADDRESS_BYTES = 20
_SHARE_BYTES = 22
# The code of a clone (EIP-1167) around the address of what it runs; its arguments follow.
_CODE_HEAD = bytes.fromhex("363d3d373d3d3d363d73")
_CODE_TAIL = bytes.fromhex("5af43d82803e903d91602b57fd5bf3")
_TYPES = {
    "EIP712Domain": [
        {"name": "name", "type": "string"},
        {"name": "version", "type": "string"},
        {"name": "chainId", "type": "uint256"},
        {"name": "verifyingContract", "type": "address"},
    ],
    "SplitConsent": [
        {"name": "payee", "type": "address"},
        {"name": "shares", "type": "Share[]"},
        {"name": "salt", "type": "bytes32"},
    ],
    "Share": [{"name": "payee", "type": "address"}, {"name": "bps", "type": "uint16"}],
}


class Share(NamedTuple):
    """A payee, and its part of all that a split gets, in basis points."""

    payee: str
    bps: int


@dataclass(frozen=True, slots=True)
class Split:
    """The shares of a split, in ascending order of their payees, and its salt.

    Those that no split can have are refused at construction, with InputError.
    """

    shares: tuple[Share, ...]
    salt: bytes

    def __post_init__(self) -> None:
        if not 0 < len(self.shares) <= MAX_PAYEES:
            raise InputError(
                "payees-count", f"a split has 1 to {MAX_PAYEES} payees, not {len(self.shares)}"
            )
        if len(self.salt) != WORD_BYTES:
            raise InputError("salt-length", f"a salt has {WORD_BYTES} bytes, not {len(self.salt)}")
        before = ZERO_ADDRESS
        for payee, bps in self.shares:
            _check_share(payee, bps, before)
            before = payee
        total = sum(bps for _, bps in self.shares)
        if total != BPS:
            raise InputError(
                "shares-not-whole",
                f"the shares come to {format_percent(total)}; they must come to 100 %",
            )

    @classmethod
    def of(cls, shares: Iterable[Share], salt: bytes) -> "Split":
        """Return the split of these shares, given in any order."""
        return cls(tuple(sorted(shares, key=lambda share: share.payee.lower())), salt)

    @classmethod
    def in_code(cls, code: bytes, factory: str) -> "Split | None":
        """Return the split whose code this is, as the factory makes it; None for other code."""
        head = _code(factory, b"")
        packed = code[len(head) + WORD_BYTES :]
        if not code.startswith(head) or not packed or len(packed) % _SHARE_BYTES:
            return None
        salt = code[len(head) :][:WORD_BYTES]
        places = range(0, len(packed), _SHARE_BYTES)
        try:
            return cls(tuple(_unpack(packed[at : at + _SHARE_BYTES]) for at in places), salt)
        except InputError:
            return None

    @classmethod
    def of_account(cls, address: str, code: bytes, factory: str) -> "Split | None":
        """Return the split that an account with this code is, if the factory made it; else None."""
        found = cls.in_code(code, factory)
        # Any account can put such code on the chain; at this address only the factory can.
        return found if found is not None and found.address(factory) == address else None

    def address(self, factory: str) -> str:
        """Return the address of this split, as this factory makes it (EIP-1014)."""
        packed = b"".join(
            from_hex(payee, _ADDRESS_BYTES) + bps.to_bytes(2) for payee, bps in self.shares
        )
        code = _code(factory, self.salt + packed)
        creation = b"\x61" + len(code).to_bytes(2) + bytes.fromhex("3d81600a3d39f3") + code
        made_by = b"\xff" + from_hex(factory, _ADDRESS_BYTES) + bytes(WORD_BYTES)
        return to_checksum_address(keccak(made_by + keccak(creation))[12:])

    def to_abi(self) -> list[tuple[str, int]]:
        """Return the shares as the factory takes them."""
        return [(share.payee, share.bps) for share in self.shares]

    def sentences(self) -> list[str]:
        """Return what each payee gets, one a sentence."""
        return [f"{share.payee} gets {format_percent(share.bps)}" for share in self.shares]


def _check_share(payee: str, bps: int, before: str) -> None:
    if not is_checksum_address(payee) or payee == ZERO_ADDRESS:
        raise InputError("payee-malformed", f"{payee!r} can be no payee")
    if payee.lower() <= before.lower():
        code = "payee-twice" if payee == before else "payees-unsorted"
        raise InputError(code, f"{payee} stands behind {before}: each payee once, ascending")
    if not 0 < bps <= BPS:
        raise InputError("share-range", f"{payee} has {bps} basis points; give it 1 to {BPS}")


def _unpack(packed: bytes) -> Share:
    payee, bps = packed[:_ADDRESS_BYTES], packed[_ADDRESS_BYTES:]
    return Share(to_checksum_address(payee), int.from_bytes(bps))


def implementation_of(factory: str) -> str:
    """Return the address of what all splits of a factory run: the first contract that it made."""
    return to_checksum_address(
        keccak(b"\xd6\x94" + from_hex(factory, _ADDRESS_BYTES) + b"\x01")[12:]
    )


def _code(factory: str, arguments: bytes) -> bytes:
    implementation = from_hex(implementation_of(factory), _ADDRESS_BYTES)
    return _CODE_HEAD + implementation + _CODE_TAIL + arguments


# --- What payees sign -----------------------------------------------------------------------------


def consent_typed_data(domain: Domain, payee: str, split: Split) -> dict[str, object]:
    """Return what a payee signs by `eth_signTypedData_v4`. `domain` is the factory's."""
    return {
        "types": _TYPES,
        "primaryType": "SplitConsent",
        "domain": {
            "name": domain.name,
            "version": domain.version,
            "chainId": domain.chain_id,
            "verifyingContract": domain.verifying_contract,
        },
        "message": {
            "payee": payee,
            "shares": [share._asdict() for share in split.shares],
            "salt": to_hex(split.salt),
        },
    }


def consent_digest(domain: Domain, payee: str, split: Split) -> bytes:
    """Return the digest that a payee signs. `domain` is the factory's."""
    message = encode_typed_data(full_message=consent_typed_data(domain, payee, split))
    return keccak(b"\x19" + message.version + message.header + message.body)


def factory_domain(chain_id: int, factory: str) -> Domain:
    """Return the domain under which the payees of a factory's splits sign."""
    return Domain("Tallystick Splits", "1", chain_id, factory)


# --- What goes round ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Agreement:
    """A split on one chain, of one factory, with the signatures that its payees have given."""

    chain_id: int
    factory: str
    split: Split
    signatures: Mapping[str, bytes]

    @property
    def domain(self) -> Domain:
        return factory_domain(self.chain_id, self.factory)

    @property
    def address(self) -> str:
        return self.split.address(self.factory)

    @property
    def unsigned(self) -> list[str]:
        """The payees that have not signed yet."""
        payees = (share.payee for share in self.split.shares)
        return [payee for payee in payees if payee not in self.signatures]

    def digest(self, payee: str) -> bytes:
        """Return the digest that a payee signs: its key, or its wallet (ERC-1271)."""
        return consent_digest(self.domain, payee, self.split)

    def signed(self, payee: str, signature: bytes) -> "Agreement":
        """Return the agreement with a payee's signature."""
        return replace(self, signatures={**self.signatures, payee: signature})

    def signed_by(self, key: bytes) -> "Agreement":
        """Return the agreement with the signature of a key. Raises InputError for no payee's."""
        payee = address_of(key)
        if payee not in [share.payee for share in self.split.shares]:
            raise InputError("key-of-another", f"{payee} is no payee of this split")
        return self.signed(payee, sign_digest(self.digest(payee), key))

    def to_json(self) -> dict[str, object]:
        """Return the JSON object that `from_json` reads; it names the address beside it."""
        given = self.signatures
        return {
            "chain_id": self.chain_id,
            "splits": self.factory,
            "salt": to_hex(self.split.salt),
            "shares": [
                {
                    **share._asdict(),
                    "signature": to_hex(given[share.payee]) if share.payee in given else None,
                }
                for share in self.split.shares
            ],
            "address": self.address,
        }

    @classmethod
    def from_json(cls, document: Any) -> "Agreement":
        """Read such an object. Raises InputError `agreement-malformed` for anything else."""
        try:
            shares = document["shares"][: MAX_PAYEES + 1]
            payees = [to_checksum_address(one["payee"]) for one in shares]
            parts = [int(one["bps"]) for one in shares]
            given = [one["signature"] for one in shares]
            found = cls(
                int(document["chain_id"]),
                to_checksum_address(document["splits"]),
                Split(tuple(map(Share, payees, parts)), from_hex(document["salt"], WORD_BYTES)),
                {
                    payee: _signature(signature)
                    for payee, signature in zip(payees, given, strict=True)
                    if signature is not None
                },
            )
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise InputError(
                "agreement-malformed",
                f"this is no agreement on a split; it lacks or garbles {error}",
            ) from None
        if document.get("address") != found.address:
            raise InputError(
                "agreement-malformed",
                f"these shares have the address {found.address}, not the one beside them",
            )
        return found


def _signature(text: str) -> bytes:
    signature = from_hex(text)
    if not 0 < len(signature) <= MAX_SIGNATURE_BYTES:
        raise ValueError(f"a signature of {len(signature)} bytes")
    return signature
