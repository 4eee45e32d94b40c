"""Signatures: Stripe's header with its tolerance, Segment's, and what is neither."""

import hashlib
import hmac

import pytest

from orchestrator.core.intake.found import IntakeError
from orchestrator.core.intake.signature import (
    check_segment_signature,
    check_stripe_signature,
    read_stripe_signature,
)

SECRET, BODY, NOW_S = b"whsec_test", b'{"id":"evt_1"}', 1_768_000_000


def signed(time_s: int, body: bytes = BODY, secret: bytes = SECRET) -> str:
    digest = hmac.new(secret, f"{time_s}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={time_s},v1={digest}"


def test_a_signature_of_stripe_holds_within_its_tolerance() -> None:
    for off in (-300, 0, 300):
        check_stripe_signature(signed(NOW_S + off), BODY, SECRET, NOW_S)
    # While a secret is exchanged there is one for each; `v0` is of tests.
    both = f"{signed(NOW_S, secret=b'old')},{signed(NOW_S).split(',')[1]},v0={'0' * 64}"
    check_stripe_signature(both, BODY, SECRET, NOW_S)
    for off in (-301, 301):
        with pytest.raises(IntakeError) as caught:
            check_stripe_signature(signed(NOW_S + off), BODY, SECRET, NOW_S)
        assert caught.value.code == "signature-old"


@pytest.mark.parametrize(
    "header",
    [
        signed(NOW_S, BODY + b" "),
        signed(NOW_S, secret=b"whsec_other"),
        signed(NOW_S).replace(f"t={NOW_S}", f"t={NOW_S + 1}"),
        signed(NOW_S)[:-1] + ("0" if signed(NOW_S)[-1] != "0" else "1"),
    ],
)
def test_what_is_signed_otherwise(header: str) -> None:
    with pytest.raises(IntakeError) as caught:
        check_stripe_signature(header, BODY, SECRET, NOW_S)
    assert caught.value.code == "signature-wrong"


@pytest.mark.parametrize(
    "header",
    [
        "",
        "t=1",
        f"v1={'0' * 64}",
        f"t=1,t=2,v1={'0' * 64}",
        f"t=-1,v1={'0' * 64}",
        f"t={'9' * 13},v1={'0' * 64}",
        f"t=\u0661,v1={'0' * 64}",
        f"t=1,v1={'0' * 63}",
        f"t=1,v1={'G' * 64}",
        "t=1," + ",".join([f"v1={'0' * 64}"] * 9),
        f"t=1,v1={'0' * 64}" + " " * 3_000,
    ],
)
def test_what_is_no_header_of_stripe(header: str) -> None:
    with pytest.raises(IntakeError) as caught:
        read_stripe_signature(header)
    assert caught.value.code == "signature-malformed"


def test_a_signature_of_segment() -> None:
    digest = hmac.new(SECRET, BODY, hashlib.sha1).hexdigest()
    check_segment_signature(digest, BODY, SECRET)
    for header in ("", digest[:-1], digest.upper(), "\u00e9" * 40):
        with pytest.raises(IntakeError, match="x-signature is not"):
            check_segment_signature(header, BODY, SECRET)
