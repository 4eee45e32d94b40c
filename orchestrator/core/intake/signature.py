"""Signatures of other systems' reports: Stripe's header, and Segment's."""

import hashlib
import hmac
import re

from orchestrator.core.intake.found import IntakeError
from orchestrator.core.units import format_second

TOLERANCE_S = 300
MAX_SIGNATURES = 8
MAX_HEADER_CHARS = 2_048
_PART = re.compile(r"([a-z][a-z0-9]{0,9})=([0-9a-f]{1,128})")


def read_stripe_signature(header: str) -> tuple[int, tuple[bytes, ...]]:
    """Return the time in a `Stripe-Signature` header, in seconds, and its signatures `v1`.

    It is `t=…,v1=…`, with a `v1` for each secret while one is exchanged. Raises `IntakeError`.
    """
    times: list[int] = []
    signatures: list[bytes] = []
    if len(header) <= MAX_HEADER_CHARS:
        for part in header.split(",")[: 2 * MAX_SIGNATURES]:
            match = _PART.fullmatch(part.strip())
            if match is None:
                continue
            if match[1] == "t" and match[2].isdecimal() and len(match[2]) <= 12:
                times.append(int(match[2]))
            elif match[1] == "v1" and len(match[2]) == 64:
                signatures.append(bytes.fromhex(match[2]))
    if len(times) != 1 or not 1 <= len(signatures) <= MAX_SIGNATURES:
        raise IntakeError(
            "signature-malformed",
            "the header Stripe-Signature must be t=SECONDS,v1=64 HEX DIGITS, as Stripe writes it",
        )
    return times[0], tuple(signatures)


def check_stripe_signature(header: str, body: bytes, secret: bytes, now_s: int) -> None:
    """Raise `IntakeError` unless a secret's holder signed this body within the tolerance."""
    time_s, signatures = read_stripe_signature(header)
    signed = hmac.new(secret, f"{time_s}.".encode() + body, hashlib.sha256).digest()
    # Each comparison takes the same time, whatever the bytes are.
    if not any(hmac.compare_digest(signed, one) for one in signatures):
        raise IntakeError("signature-wrong", "the signature is not this surface's secret's")
    check_tolerance(time_s, now_s)


def check_tolerance(time_s: int, now_s: int) -> None:
    """Raise `IntakeError` for a signature made too long ago, or too far ahead."""
    if abs(now_s - time_s) > TOLERANCE_S:
        raise IntakeError(
            "signature-old",
            f"the signature is of {format_second(time_s)} and our clock says "
            f"{format_second(now_s)}; at most {TOLERANCE_S} s may lie between",
        )


def check_segment_signature(header: str, body: bytes, secret: bytes) -> None:
    """Raise `IntakeError` unless the header is the HMAC-SHA1 of this body in hex."""
    signed = hmac.new(secret, body, hashlib.sha1).hexdigest()
    if not hmac.compare_digest(signed.encode(), header.strip().encode("utf-8", "replace")):
        raise IntakeError("signature-wrong", "x-signature is not this surface's secret's")
