"""Cautions about terms: one for each thing that nothing on chain checks, and none without cause."""

import dataclasses
from typing import Any

import pytest

from orchestrator.actions.cautions import (
    SHORTEST_CHALLENGE_S,
    describe_account,
    find_cautions,
    named_accounts,
)
from orchestrator.chain.caller import AccountFacts, Token
from orchestrator.core.log.entry import ZERO_ADDRESS
from tests.support.contract_states import GUARDED
from tests.support.terms import ARBITER

USED, WALLET, UNUSED = AccountFacts(b"", 7), AccountFacts(b"\x60" * 100, 1), AccountFacts(b"", 0)
DELEGATED = AccountFacts(bytes.fromhex("ef0100") + b"\x11" * 20, 3)
ETHEREUM, BASE = 1, 8453
FEES = ARBITER
PRESENT = dict.fromkeys(("payee", "verifier", "arbiter", "fee recipient", "publisher"), USED)


def cautions(
    accounts: dict[str, AccountFacts] | None = None,
    decimals: int = 6,
    chain_id: int = BASE,
    **changes: Any,
) -> list[str]:
    terms = dataclasses.replace(GUARDED, **changes)
    token = Token("USDC", decimals)
    return list(find_cautions(terms, token, PRESENT | (accounts or {}), chain_id))


def test_ordinary_terms_give_none() -> None:
    assert cautions() == []
    assert cautions(dict.fromkeys(PRESENT, WALLET)) == []


@pytest.mark.parametrize("role", PRESENT)
def test_an_address_that_may_have_no_holder_is_told(role: str) -> None:
    # A publisher may sign all its checkpoints without a transaction, and registered the log.
    found = cautions({role: UNUSED}, fee_recipient=FEES)
    if role == "publisher":
        assert found == []
        return
    address = (named_accounts(GUARDED, None) | {"fee recipient": FEES})[role]
    assert found == [
        f"the {role} {address} was never used on this chain: check that its holder controls it here"
    ]


def test_a_party_that_signs_and_who_asks_are_there() -> None:
    new = {"payee": UNUSED, "verifier": UNUSED}
    assert len(cautions(new)) == 2
    assert [text[:12] for text in cautions(new, payee=GUARDED.operator)] == ["the verifier"]
    token, known = Token("USDC", 6), (GUARDED.verifier,)
    found = list(find_cautions(GUARDED, token, PRESENT | new, BASE, known))
    assert [text[:9] for text in found] == ["the payee"]


@pytest.mark.parametrize("role", PRESENT)
def test_a_key_that_is_also_a_wallet_is_told_where_keys_must_be_changed(role: str) -> None:
    is_told = role in ("verifier", "arbiter", "publisher")
    found = cautions({role: DELEGATED})
    assert [text.startswith(f"the {role} is a key and a wallet (EIP-7702)") for text in found] == (
        [True] if is_told else []
    )


@pytest.mark.parametrize(
    ("challenge_s", "chain_id", "is_told"),
    [
        (0, BASE, False),
        (1, BASE, True),
        (SHORTEST_CHALLENGE_S - 1, BASE, True),
        (SHORTEST_CHALLENGE_S, BASE, False),
        (1, ETHEREUM, False),
        (1, 11_155_111, False),
    ],
)
def test_a_challenge_that_an_outage_outlasts_is_told(
    challenge_s: int, chain_id: int, is_told: bool
) -> None:
    found = cautions(chain_id=chain_id, challenge_period_s=challenge_s)
    assert [f"for {challenge_s:,} s only" in text for text in found] == ([True] if is_told else [])


def test_tokens_of_many_decimals_are_told_with_the_most_they_can_be() -> None:
    assert cautions(decimals=18) == []
    (text,) = cautions(decimals=24)
    assert text.endswith("no amount can be more than 1.208925819614629174706175 USDC")


def test_roles_without_an_account_are_left_out() -> None:
    terms = dataclasses.replace(GUARDED, arbiter=ARBITER, fee_recipient=ZERO_ADDRESS)
    assert named_accounts(terms, None) == {
        "payee": terms.payee,
        "verifier": terms.verifier,
        "arbiter": ARBITER,
    }


@pytest.mark.parametrize(
    ("account", "text"),
    [
        (UNUSED, "no code, no transactions sent"),
        (WALLET, "100 bytes of code, 1 transaction sent"),
        (DELEGATED, "a key with the code of a wallet (EIP-7702), 3 transactions sent"),
        (AccountFacts(b"", 1_234), "no code, 1,234 transactions sent"),
    ],
)
def test_an_account_in_words(account: AccountFacts, text: str) -> None:
    assert describe_account(account) == text
