"""How a contract is told: amounts to the unit, who can do what when, what is refused before a node
is asked for it. And the sender, on a real chain."""

import dataclasses
from collections.abc import Callable
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.actions import contract_state as situation
from orchestrator.actions import escrow as remedies
from orchestrator.actions.contract_state import Claims
from orchestrator.actions.wording import many, utc
from orchestrator.chain.deployment import Chain, Token
from orchestrator.chain.wallet import Quote, Sender, quote, wei
from orchestrator.cli import contract_view
from orchestrator.cli import main as cli
from orchestrator.core.errors import ChainError, DomainError, EscrowError, InputError
from orchestrator.core.site import Addresses
from orchestrator.core.units import DAY_S
from orchestrator.runtime.local_chain import Deployment, deploy_local
from orchestrator.runtime.local_servers import LocalAnvil
from tests.support.contract_states import (
    CLAIMS,
    DISPUTED,
    ESCROW,
    GUARDED,
    LEAD,
    PENDING,
    T2,
    T3,
    T4,
    found,
)
from tests.support.terms import NOW_S, OPERATOR, OWNER, PLAIN


@pytest.fixture
def chain() -> Chain:
    """It encodes calls; nobody answers it."""
    return Chain("http://127.0.0.1:1", Addresses(1, ESCROW, ESCROW))


# --- Amounts and times ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("units", "decimals", "said"),
    [
        (0, 6, "0.00 USDC"),
        (1, 6, "0.000001 USDC"),
        (1_500_000, 6, "1.50 USDC"),
        (1_234_567_890_000, 6, "1,234,567.89 USDC"),
        (12, 0, "12.00 USDC"),
        (2**80 - 1, 18, "1,208,925.819614629174706175 USDC"),
    ],
)
def test_amounts_are_told_to_the_unit(units: int, decimals: int, said: str) -> None:
    assert found(token=Token("USDC", decimals)).amount(units) == said


@given(st.integers(0, 2**80 - 1), st.integers(0, 36))
def test_what_is_told_can_be_typed(units: int, decimals: int) -> None:
    one = found(token=Token("USDC", decimals))
    typed = one.amount(units).removesuffix(" USDC").replace(",", "")
    if not decimals:
        typed = typed.removesuffix(".00")
    elif decimals == 1:
        typed = typed.removesuffix("0")
    assert one.units(typed) == units


@pytest.mark.parametrize(
    "typed", ["", "-1", "+1", "1,000", "1e3", ".5", "5.", "0x10", "1.0000001", "٣", "1 ", "9" * 41]
)
def test_what_is_no_amount(typed: str) -> None:
    with pytest.raises(InputError, match="is no amount of USDC"):
        found().units(typed)


def test_times_and_counts() -> None:
    assert utc(1_767_225_600) == "2026-01-01 00:00:00 UTC"
    assert utc(2**64) == "second 18446744073709551616"
    assert (many(1, "claim"), many(2, "claim"), many(0, "claim")) == (
        "1 claim", "2 claims", "0 claims",
    )  # fmt: skip
    assert (wei(0), wei(1), wei(10**18)) == (
        "0.000000000 ETH",
        "0.000000001 ETH",
        "1.000000000 ETH",
    )


@pytest.mark.parametrize("symbol", ["\x1b[31mUSDC", "US DC", "ÜSD", "A" * 13, ""])
def test_a_token_cannot_write_on_the_terminal(symbol: str) -> None:
    class Named:
        def token(self, _: str) -> Token:
            return Token(symbol, 6)

    assert situation.token_of(cast(Chain, Named()), ESCROW).symbol == "tokens"


def test_a_server_cannot_write_on_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    cli._print_error("the API said: \x1b[2J\x1b]0;paid\x07 \u202e all\nis well")
    assert capsys.readouterr().err == "tallystick: the API said: ?[2J?]0;paid? ? all is well\n"


# --- Who can do what, when ------------------------------------------------------------------------


def test_who_can_do_what_when() -> None:
    now_s = NOW_S + 4 * DAY_S
    ruled = CLAIMS._replace(ruled_units=5)
    anyone, owner, operator, arbiter = "anyone", "the owner", "the operator", "the arbiter"
    either, both, verifier = "the owner or the operator", "owner and operator", "the verifier"
    disprove, filing = (anyone, "disprove", 0, T2), (operator, "claim", T2 + 1, T3)
    refund, close = (anyone, "refund", T3 + 1, None), (both, "close", 0, None)
    refute, contest = (anyone, "refute", 0, T4), (either, "dispute", T3 + 1, T4)
    state, release = (verifier, "", NOW_S, T2), (anyone, "release", 0, None)
    ends_s = PENDING.resolves_at_s
    for changes, expected in (
        ({}, {state, disprove, filing, refund, close}),
        ({"now_s": NOW_S - 1, "status": "scheduled"}, {state, disprove, filing, refund, close}),
        (
            {"pending": PENDING},
            {disprove, (owner, "dispute", 0, ends_s), (operator, "dispute", 0, ends_s), filing,
             refund, close},
        ),
        (
            {"pending": DISPUTED},
            {disprove, (operator, "dispute", 0, ends_s), (arbiter, "rule", 0, ends_s + 2 * DAY_S),
             filing, refund, close},
        ),
        (  # The time to dispute is over, the arbiter's is not.
            {"pending": DISPUTED, "now_s": ends_s + 1},
            {disprove, (arbiter, "rule", 0, ends_s + 2 * DAY_S), filing, refund, close},
        ),
        ({"is_retired": True}, {filing, refund, close}),
        ({"releasable_units": 5}, {state, disprove, filing, refund, close, release}),
        (
            {"releasable_at_s": now_s + 9},
            {state, disprove, filing, refund, close, (anyone, "release", now_s + 9, None)},
        ),
        ({"now_s": T2 + 1, "status": "claimable"}, {filing, refund, close}),
        ({"now_s": T3, "claims": CLAIMS}, {filing, refute, contest, refund, close}),
        ({"now_s": T3 + 1, "claims": CLAIMS}, {refute, contest, refund, close}),
        (
            {"now_s": T3 + 1, "claims": CLAIMS._replace(is_disputed=True)},
            {refute, (arbiter, "rule", T3 + 1, T4), refund, close},
        ),
        ({"now_s": T3 + 1, "claims": ruled}, {refute, refund, close}),
        ({"now_s": T4 + 1, "claims": CLAIMS, "status": "refundable"}, {refund, close}),
        ({"now_s": T4 + 1, "net_units": GUARDED.budget_units, "status": "releasing"}, {close}),
        ({"now_s": T4 + 1, "status": "refunded"}, set()),
        ({"status": "paid_out"}, set()),
        ({"status": "closed", "closed_at_s": 5, "releasable_units": 5}, {release}),
    ):  # fmt: skip
        options = contract_view.options(found(**cast(dict[str, Any], changes)))
        said = [(one.who, one.command, one.from_s, one.until_s) for one in options]
        assert set(said) == expected, changes
        assert len(said) == len(expected)


def test_options_come_in_the_order_of_time() -> None:
    found_ = found(pending=PENDING)
    lines = [contract_view.format_option(found_, one) for one in contract_view.options(found_)]
    assert lines[0].startswith("now until ")
    assert lines[0].endswith("the owner can put the pending statement before the arbiter  "
                             "(tallystick dispute)")  # fmt: skip
    assert lines[-1].startswith(f"from {utc(T3 + 1)}: anyone can give the owner back")


def test_what_the_terms_say() -> None:
    terms = dataclasses.replace(
        GUARDED, revenue_share_bps=250, repeatable=True, holdback_bps=1000,
        holdback_period_s=30 * DAY_S, rate_cap_units=50_000_000, rate_period_s=3600, fee_bps=200,
        fee_recipient=OWNER,
    )  # fmt: skip
    told = dict(contract_view.format_contract(found(terms, claims=CLAIMS, pending=PENDING)))
    assert told["pays"] == '8.00 USDC and 2.50% of its value, each time a lead enters "activated"'
    assert told["held back"] == "10.00% of what became final in the last 31 d"
    assert told["paid out"] == "at most 50.00 USDC in any 1 h"
    assert told["fee"] == f"2.00% of what is paid, to {OWNER}"
    assert told["claimed"] == "8.00 USDC, in 1 claim"
    for ruled_units, claimed in ((3_000_000, "3.00"), (9_000_000, "8.00")):
        ruled = CLAIMS._replace(is_disputed=True, ruled_units=ruled_units)
        claims_told = dict(contract_view.format_contract(found(claims=ruled)))["claimed"]
        assert claims_told == f"{claimed} USDC, in 1 claim, as the arbiter ruled"
    assert told["pending"].startswith("the statement at entry 40, 16.00 USDC in all, until 20")
    assert (
        dict(contract_view.format_contract(found(PLAIN)))["arbiter"]
        == "none: nothing can be disputed"
    )


# --- What is refused without asking a node --------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "act", "changes"),
    [
        ("already-closed", "dispute", {"closed_at_s": 5}),
        ("no-arbiter", "dispute", {"terms": PLAIN}),
        ("nothing-to-dispute", "dispute", {}),
        ("dispute-too-late", "dispute", {"pending": PENDING, "now_s": PENDING.resolves_at_s + 1}),
        ("already-disputed", "dispute", {"pending": DISPUTED._replace(operator_disputed=True)}),
        ("nothing-to-dispute", "dispute", {"claims": CLAIMS, "now_s": T3}),
        ("claims-already-disputed", "dispute",
         {"claims": CLAIMS._replace(is_disputed=True), "now_s": T3 + 1}),
        ("claims-already-disputed", "dispute",
         {"claims": CLAIMS._replace(ruled_units=1), "now_s": T3 + 1}),
        ("about-what", "dispute", {"claims": CLAIMS, "pending": PENDING, "now_s": T3 + 1}),
        ("already-closed", "rule", {"closed_at_s": 5}),
        ("not-disputed", "rule", {}),
        ("not-disputed", "rule", {"pending": PENDING}),
        ("not-disputed", "rule", {"claims": CLAIMS, "now_s": T3 + 1}),
        ("payable-out-of-range", "rule",
         {"pending": DISPUTED, "claims": CLAIMS, "units": 392_000_001}),
        ("more-than-claimed", "rule",
         {"claims": CLAIMS._replace(is_disputed=True), "now_s": T4, "units": 8_000_001}),
        ("nothing-to-release", "release", {}),
        ("refund-too-early", "refund", {"now_s": T3}),
        ("nothing-to-refund", "refund", {"now_s": T3 + 1, "net_units": 400_000_000}),
        ("nothing-to-refund", "refund", {"now_s": T3 + 1, "pending": PENDING}),
        ("payable-out-of-range", "close", {"units": 400_000_001}),
        ("payable-out-of-range", "close", {"units": 1, "paid_units": 2}),
        ("close-expired", "close", {"units": 1, "now_s": NOW_S + 30 * DAY_S}),
        ("already-closed", "close", {"closed_at_s": 5}),
    ],
)  # fmt: skip
def test_refusals(chain: Chain, code: str, act: str, changes: dict[str, Any]) -> None:
    units = changes.get("units", 1)
    one = found(**{name: value for name, value in changes.items() if name != "units"})
    acts: dict[str, Callable[[], object]] = {
        "dispute": lambda: remedies.dispute(chain, one, None),
        "rule": lambda: remedies.rule(chain, one, units, None),
        "release": lambda: remedies.release(chain, one),
        "refund": lambda: remedies.refund(chain, one),
        "close": lambda: remedies.closing(one, units, NOW_S + 20 * DAY_S),
    }
    with pytest.raises(DomainError) as refused:
        acts[act]()
    assert refused.value.code == code
    is_input = code in ("about-what", "payable-out-of-range", "more-than-claimed")
    assert isinstance(refused.value, InputError if is_input else EscrowError)


@pytest.mark.parametrize(
    ("changes", "by", "function"),
    [
        ({"pending": PENDING}, (OWNER, OPERATOR), "dispute"),
        ({"pending": DISPUTED}, (OPERATOR,), "dispute"),
        ({"claims": CLAIMS, "now_s": T3 + 1}, (OWNER, OPERATOR), "disputeClaims"),
        ({"claims": CLAIMS, "now_s": T4}, (OWNER, OPERATOR), "disputeClaims"),
    ],
)
def test_what_a_dispute_is_about(
    chain: Chain, changes: dict[str, Any], by: tuple[str, ...], function: str
) -> None:
    (deed,) = remedies.dispute(chain, found(**changes), None).deeds
    assert set(deed.by) == set(by)
    asked = b"\1" * 32
    calls = {"dispute": chain.dispute(asked, 40), "disputeClaims": chain.dispute_claims(asked)}
    assert deed.call == calls[function]


def test_what_is_reserved() -> None:
    without = dataclasses.replace(GUARDED, arbiter="0x" + "00" * 20)
    assert found(without, pending=PENDING).reserved_units == 16_000_000
    assert found(pending=PENDING).reserved_units == GUARDED.budget_units
    assert found(net_units=3, claims=CLAIMS).reserved_units == 8_000_003
    dropped = Claims({LEAD: CLAIMS.filed[LEAD]._replace(is_dropped=True)})
    assert found(net_units=3, claims=dropped).reserved_units == 3
    assert found(paid_units=9, net_units=3).reserved_units == 9


def test_a_consent_is_read_as_it_was_written() -> None:
    consent = remedies.Consent(b"\1" * 32, 7, NOW_S, OWNER, b"\2" * 65)
    assert remedies.Consent.from_json(consent.to_json()) == consent
    garbled: list[object] = [None, [], {}, consent.to_json() | {"expires_at_s": "1"}, "consent"]
    for document in garbled:
        with pytest.raises(InputError, match="is no consent"):
            remedies.Consent.from_json(document)


@pytest.mark.parametrize(
    ("changes", "has_ended"),
    [
        ({"status": "closed"}, True),
        ({"status": "paid_out"}, True),
        ({"status": "refunded"}, True),
        *(
            ({"status": status}, False)
            for status in (
                "scheduled", "open", "settling", "claimable", "refutable", "refundable",
                "releasing",
            )
        ),
        ({"status": "closed", "owed_units": 1}, False),
        # A reversal that takes nothing back any more.
        ({"status": "refunded", "pending": PENDING}, True),
    ],
)  # fmt: skip
def test_when_a_contract_has_ended(changes: dict[str, Any], has_ended: bool) -> None:
    one = found(**changes)
    assert one.has_ended is has_ended
    agent = dataclasses.replace(GUARDED, agent_id_plus_one=1)
    for terms, is_given in ((GUARDED, False), (agent, True), (agent, None), (agent, False)):
        options = contract_view.options(one._replace(terms=terms, is_feedback_given=is_given))
        offered = any(option.command == "feedback" for option in options)
        assert offered is (has_ended and terms is agent and is_given is False)


# --- Sending --------------------------------------------------------------------------------------

KEY = b"\5" * 32


def test_sending_once(anvil: LocalAnvil) -> None:
    deployment = deploy_local(anvil.rpc_url, b"\6" * 32)
    with Chain(anvil.rpc_url, deployment.addresses) as chain:
        _sends(chain, deployment)


def _sends(chain: Chain, deployment: Deployment) -> None:
    said: list[str] = []
    sender = Sender(chain, KEY, wait_s=0)
    assert repr(sender) == f"Sender({sender.address})"
    call = chain.register("mine.example", sender.address)
    price = quote(chain, sender.address, call)
    assert 0 < price.likely_wei < price.most_wei

    def refused(code: str, price: Quote = price) -> str:
        with pytest.raises(ChainError) as found:
            sender.send(call, price, said.append)
        assert found.value.code == code, found.value
        return found.value.message

    assert refused("gas-unaffordable").startswith(f"{sender.address} has 0.000000000 ETH")
    assert said == []
    chain.node.call("anvil_setBalance", sender.address, hex(10**18))

    # A price that no node takes: nothing is left behind.
    free = price._replace(fees=price.fees._replace(max_fee_wei=0, priority_fee_wei=0))
    assert "it may still come" in refused("send-refused", free)

    # No block comes: the hash was said, and nothing more is sent on top of it.
    chain.node.call("evm_setAutomine", False)
    message = refused("fate-unknown")
    assert said[-1].removeprefix("sending transaction ") in message
    assert "1 transactions of" in refused("under-way")
    chain.node.call("evm_setAutomine", True)
    chain.node.call("anvil_mine", "0x1")

    # What the escrow would refuse is known before it is sent, or else told as it failed.
    with pytest.raises(EscrowError, match="the chain would refuse this now: AlreadyRegistered"):
        quote(chain, sender.address, call)
    assert "failed in block" in refused("call-reverted")

    fresh = chain.register("other.example", sender.address)
    sent = sender.send(fresh, quote(chain, sender.address, fresh), said.append)
    receipt = chain.node.call("eth_getTransactionReceipt", f"0x{sent.tx_hash.hex()}")
    assert (int(receipt["blockNumber"], 16), int(receipt["gasUsed"], 16)) == sent[1:]
    assert not any(KEY.hex() in line for line in said)
