"""Signatures: Stripe's header, Segment's, and what is neither."""

import hashlib
import hmac

import pytest

from orchestrator.core.intake.found import IntakeError
from orchestrator.core.intake.signature import read_segment_signature, read_stripe_signature

SECRET, BODY, NOW_S = b"whsec_test", b'{"id":"evt_1"}', 1_768_000_000


def test_a_header_of_stripe_has_a_signature_for_each_secret() -> None:
    old, new = (
        hmac.new(secret, f"{NOW_S}.".encode() + BODY, hashlib.sha256) for secret in (b"old", SECRET)
    )
    # `v0` is of tests.
    header = f"t={NOW_S},v1={old.hexdigest()},v1={new.hexdigest()},v0={'0' * 64}"
    assert read_stripe_signature(header) == (NOW_S, (old.digest(), new.digest()))


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


def test_a_header_of_segment_is_one_signature() -> None:
    signed = hmac.new(SECRET, BODY, hashlib.sha1)
    assert read_segment_signature(signed.hexdigest()) == signed.digest()
    digits = signed.hexdigest()
    for header in ("", digits[:-1], f"{digits}0", digits.upper(), "\u00e9" * 40, f"{digits}\n"):
        with pytest.raises(IntakeError, match="X-Signature must be 40 hex digits"):
            read_segment_signature(header)
