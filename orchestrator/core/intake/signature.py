"""Signatures of other systems' reports, as their headers have them: Stripe's, and Segment's.

The database compares them, where the secrets are.
"""

import re

from orchestrator.core.intake.found import IntakeError

MAX_SIGNATURES = 8
MAX_HEADER_CHARS = 2_048
_PART = re.compile(r"([a-z][a-z0-9]{0,9})=([0-9a-f]{1,128})")
_SHA1 = re.compile(r"[0-9a-f]{40}")


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


def read_segment_signature(header: str) -> bytes:
    """Return the HMAC-SHA1 in an `X-Signature` header. Raises `IntakeError`."""
    if not _SHA1.fullmatch(header):
        raise IntakeError(
            "signature-malformed",
            "the header X-Signature must be 40 hex digits, as Segment writes it",
        )
    return bytes.fromhex(header)
