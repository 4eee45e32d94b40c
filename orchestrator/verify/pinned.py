"""The facts of a deployment that a reader has from elsewhere, and what is taken on trust instead.

A receipt, or a server, names its own chain, contracts and log. Compared with nothing, they show
only that its author is consistent: so each fact that is not pinned is said to be taken on trust.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from orchestrator.core.common.document import name_twice
from orchestrator.core.common.errors import InputError, ProofError
from orchestrator.core.common.hexadecimal import from_hex, to_hex
from orchestrator.core.common.keccak import is_checksum_address
from orchestrator.core.log.entry import WORD_BYTES
from orchestrator.core.log.origin import ORIGIN_RULE, is_origin

MAX_ACCOUNTS = 100


class Named(NamedTuple):
    """The facts that a receipt or a server names itself by."""

    chain_id: int
    event_log: str
    escrow: str
    log_id: bytes
    origin: str


class Pinned(NamedTuple):
    """The facts that a reader knows; None where they are not known.

    Without verifiers, or publishers, any will do.
    """

    chain_id: int | None = None
    event_log: str | None = None
    escrow: str | None = None
    log_id: bytes | None = None
    origin: str | None = None
    verifiers: tuple[str, ...] = ()
    publishers: tuple[str, ...] = ()

    def compare(self, named: Named, source: str) -> list[str]:
        """Return a line for each fact that is taken on the word of `source`.

        Raises ProofError `pin-differs` for one that is another than the pinned.
        """
        return list(self._compared(named, source))

    def _compared(self, named: Named, source: str) -> Iterator[str]:
        for name, found in zip(named._fields, named, strict=True):
            wanted, option = getattr(self, name), "--" + name.replace("_", "-")
            if wanted is None:
                yield f"{_words(name)} {_shown(found)}, as {source} names it; pin it by {option}"
            elif found != wanted:
                raise ProofError(
                    "pin-differs",
                    f"{source} names the {_words(name)} {_shown(found)}, but the pinned one is "
                    f"{_shown(wanted)}; it is of another deployment, or false",
                )

    def check_verifiers(self, verifiers: Iterable[str]) -> list[str]:
        """Return a line for each of these keys that is taken on trust.

        Raises ProofError `pin-differs` for one that is none of the pinned.
        """
        lines = []
        for verifier in sorted(set(verifiers)):
            if not self.verifiers:
                lines.append(f"verifier {verifier}, as the terms name it; pin it by --verifier")
            elif verifier not in self.verifiers:
                raise ProofError(
                    "pin-differs",
                    f"the terms name the verifier {verifier}, which is none of the pinned: "
                    f"{', '.join(self.verifiers)}",
                )
        return lines

    def check_publisher(self, publisher: str | None, where: str) -> None:
        """Raise ProofError `pin-differs` unless this account is a pinned publisher, if any is.

        It is the one that `where` names, None where that names none.
        """
        if self.publishers and publisher not in self.publishers:
            raise ProofError(
                "pin-differs",
                f"{where} {publisher or 'nobody'}, which is none of the pinned publishers: "
                f"{', '.join(self.publishers)}",
            )

    def completed(self, other: "Pinned") -> "Pinned":
        """Return these facts, with those of another where one is missing here."""
        known: dict[str, Any] = {name: one for name, one in self._asdict().items() if one}
        return other._replace(**known)


def read_pinned(text: str) -> Pinned:
    """Return the facts in the text of a trust file.

    Raises InputError `trust-malformed` that names the member which is unknown, garbled or there
    twice; ValueError for what is no JSON, RecursionError for what is too deep.
    """
    document = json.loads(text, object_pairs_hook=_unique)
    if not isinstance(document, dict):
        raise InputError("trust-malformed", "a trust file is one JSON object")
    unknown = sorted(document.keys() - set(Pinned._fields))
    if unknown:
        raise InputError(
            "trust-malformed",
            f"{unknown[0]!r:.60} is no member of a trust file; they are "
            f"{', '.join(Pinned._fields)}",
        )
    known: dict[str, Any] = {name: _READERS[name](name, one) for name, one in document.items()}
    return Pinned(**known)


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Return the object of these members. Raises InputError for one that stands twice."""
    twice = name_twice(pairs)
    if twice is not None:
        raise InputError("trust-malformed", f"{twice!r:.60} stands twice; keep one of them")
    return dict(pairs)


def _whole(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 2**63:
        raise _garbled(name, value, "a whole number above 0")
    return value


def _address(name: str, value: object) -> str:
    if not isinstance(value, str) or not is_checksum_address(value):
        raise _garbled(name, value, "an address with its checksum (EIP-55)")
    return value


def _word(name: str, value: object) -> bytes:
    if value != str(value).lower():
        raise _garbled(name, value, "0x and 64 lower-case hex digits")
    try:
        return from_hex(str(value), WORD_BYTES)
    except ValueError:
        raise _garbled(name, value, "0x and 64 lower-case hex digits") from None


def _origin(name: str, value: object) -> str:
    if not is_origin(value):
        raise _garbled(name, value, ORIGIN_RULE)
    return str(value)


def _addresses(name: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_ACCOUNTS:
        raise _garbled(name, value, f"a list of 1 to {MAX_ACCOUNTS} addresses")
    return tuple(_address(f"{name}[{number}]", each) for number, each in enumerate(value))


_READERS = {
    "chain_id": _whole,
    "event_log": _address,
    "escrow": _address,
    "log_id": _word,
    "origin": _origin,
    "verifiers": _addresses,
    "publishers": _addresses,
}


def _garbled(name: str, value: object, wanted: str) -> InputError:
    return InputError("trust-malformed", f"{name} must be {wanted}, not {value!r:.80}")


def _words(name: str) -> str:
    return {"chain_id": "chain", "log_id": "log"}.get(name, name.replace("_", " "))


def _shown(value: object) -> str:
    return to_hex(value) if isinstance(value, bytes) else str(value)
