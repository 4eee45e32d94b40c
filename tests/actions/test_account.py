"""Accounts and their own: credits that are withdrawn in parts, and signatures taken back."""

import json
from pathlib import Path
from typing import cast

import pytest

from orchestrator.actions import account
from orchestrator.actions.plan import PlannedTransaction
from orchestrator.chain.abi import Call
from orchestrator.chain.caller import Token
from orchestrator.chain.deployment import Chain
from orchestrator.chain.wallet import quote
from orchestrator.cli import session
from orchestrator.core.common.errors import EscrowError, InputError
from orchestrator.core.common.units import DAY_S
from orchestrator.core.deals.site import Addresses
from orchestrator.core.deals.terms import (
    close_digest,
    operator_consent_digest,
    owner_consent_digest,
    sign_digest,
)
from orchestrator.core.log.entry import ZERO_ADDRESS
from orchestrator.simulation.sandbox import address_of, key_of
from tests.support.market import BAD, DONE, NOTHING, Market
from tests.support.terms import OPERATOR, OWNER
from tests.support.terms import PLAIN as TERMS

ACCOUNT, TOKEN, ESCROW = OWNER, TERMS.token, OPERATOR
PAYEE = TERMS.verifier


class Credits:
    """An escrow that owes an account so many units of a token of six decimals."""

    addresses = Addresses(1, ESCROW, ESCROW)

    def __init__(self, units: int) -> None:
        self.units = units

    def credit_of(self, token: str, account: str) -> int:
        assert (token, account) == (TOKEN, ACCOUNT)
        return self.units

    def token(self, _: str) -> Token:
        return Token("USDC", 6)

    def withdraw(self, *arguments: object) -> Call:
        return Call(ESCROW, repr(arguments).encode())


def withdrawal(units: int, to: str | None = None, amount: str | None = None) -> PlannedTransaction:
    chain = cast(Chain, Credits(units))
    (planned,) = account.plan_withdrawal(chain, ACCOUNT, TOKEN, to, amount).transactions
    return planned


def test_a_credit_is_withdrawn_whole_or_in_part() -> None:
    whole = withdrawal(5_000_000)
    assert whole.call.data == repr((TOKEN, ACCOUNT, 5_000_000)).encode()
    assert (whole.title, whole.by) == ("withdraw 5.00 USDC", (ACCOUNT,))
    assert whole.lines[1].endswith(": 0.00 USDC")
    part = withdrawal(5_000_000, PAYEE, "0.000001")
    assert part.call.data == repr((TOKEN, PAYEE, 1)).encode()
    assert part.facts == {"token": TOKEN, "to": PAYEE, "amount_units": "1"}
    assert part.lines[1].endswith(": 4.999999 USDC")
    assert withdrawal(5_000_000, amount="5").facts["amount_units"] == "5000000"


@pytest.mark.parametrize(
    ("code", "units", "to", "amount"),
    [
        ("nothing-to-withdraw", 0, None, None),
        ("nothing-to-withdraw", 0, None, "1"),
        ("credit-too-small", 5_000_000, None, "5.000001"),
        ("credit-too-small", 5_000_000, None, "0"),
        ("amount-malformed", 5_000_000, None, "1e3"),
        ("amount-malformed", 5_000_000, None, "0.0000001"),
        ("recipient-invalid", 5_000_000, ZERO_ADDRESS, None),
        ("recipient-invalid", 5_000_000, ESCROW, None),
    ],
)
def test_what_cannot_be_withdrawn(
    code: str, units: int, to: str | None, amount: str | None
) -> None:
    with pytest.raises((EscrowError, InputError)) as refused:
        withdrawal(units, to, amount)
    assert refused.value.code == code


def test_an_account_without_a_credit_is_told_so(market: Market) -> None:
    token = market.sandbox.token
    market.refused(NOTHING, "owes", "withdraw", token, by="bo")
    market.refused(BAD, "there is no key to tell the account", "withdraw", token, "--dry-run")
    named = ("withdraw", token, "--dry-run", "--account", address_of("bo"))
    market.refused(NOTHING, f"the escrow owes {address_of('bo')} nothing in TEST", *named)


def test_a_consent_is_revoked_before_it_is_used(market: Market, tmp_path: Path) -> None:
    chain, domain = market.chain, market.sandbox.stack.escrow_domain
    now_s = market.sandbox.clock() // 1000
    deal = {
        "outcome": "paid",
        "unit_price_units": "1",
        "budget_units": "5",
        "opens_at_s": now_s + 3600,
        "deadline_s": now_s + DAY_S,
        "attribution_window_s": DAY_S,
        "grace_s": 3 * DAY_S,
    }
    terms = market.operators["ada"].draft(market.surface, **deal)
    path = tmp_path / "terms.json"
    path.write_text(json.dumps({"terms": terms.to_json()}))
    market.refused(BAD, "is no party of", "revoke", str(path), by="bo")
    market.refused(BAD, "No such file", "revoke", str(tmp_path / "none"), by="ada")
    for text, words in (("{", "is not readable as JSON"), ("[7]", "must be a JSON object")):
        broken = tmp_path / "broken.json"
        broken.write_text(text)
        market.refused(BAD, words, "revoke", str(broken), by="ada")

    # Both parties have signed; each takes its own consent back, by what it has of it.
    for name, what in (("ada", str(path)), ("owner", _hex(owner_consent_digest(terms, domain)))):
        done = market.run("revoke", what, "--yes", by=name)
        assert done.code == DONE, done
        market.refused(NOTHING, "has revoked this before", "revoke", what, by=name)
    assert chain.is_revoked(address_of("ada"), operator_consent_digest(terms, domain))
    signature = sign_digest(operator_consent_digest(terms, domain), key_of("ada"))
    # What is revoked opens nothing, not even in a transaction of the other party.
    call = chain.open(terms, b"", signature)
    with pytest.raises(EscrowError, match="ConsentRevoked"):
        quote(chain, address_of("owner"), call)

    # What was used is not taken back.
    contract_id = market.open("bo")
    opened = tmp_path / "opened.json"
    opened.write_text(json.dumps(chain.terms_of(contract_id).to_json()))
    market.refused(NOTHING, "is open: the signatures were used", "revoke", str(opened), by="bo")


def test_a_consent_to_close_is_revoked(
    market: Market, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "local_time_s", lambda: market.sandbox.clock() // 1000)
    contract_id = market.open("ada")
    asked = f"0x{contract_id.hex()}"
    signed = market.run("close", asked, "5", "--sign", "--yes", by="ada")
    assert "until then `tallystick revoke` takes it back" in signed.stderr
    path = tmp_path / "consent.json"
    path.write_text(signed.stdout)
    market.refused(BAD, "this was signed by", "revoke", str(path), by="owner")
    revoked = market.run("revoke", str(path), "--yes", by="ada")
    assert revoked.code == DONE, revoked
    assert f"the consent to close contract {asked}" in revoked.stdout
    closing = market.run("close", asked, "5", "--consent", str(path), "--yes", by="owner")
    assert "ConsentRevoked" in closing.stdout + closing.stderr
    # Another consent is good, and used up by the closing.
    again = market.run("close", asked, "6", "--sign", "--yes", by="ada")
    path.write_text(again.stdout)
    closed = market.run("close", asked, "6", "--consent", str(path), "--yes", by="owner")
    assert closed.code == DONE, closed
    market.refused(NOTHING, "is closed: the signature was used", "revoke", str(path), by="ada")
    document = json.loads(again.stdout)
    digest = close_digest(
        market.chain.escrow_domain, address_of("ada"), contract_id, 6_000_000,
        document["expires_at_s"],
    )  # fmt: skip
    assert document["signature"] == "0x" + sign_digest(digest, key_of("ada")).hex()


def _hex(data: bytes) -> str:
    return f"0x{data.hex()}"
