"""Terms that Python refuses are those that the escrow refuses, at every bound, and no others."""

import dataclasses
from collections.abc import Iterator

import pytest

from orchestrator.chain.abi import error_text
from orchestrator.chain.deployment import Chain
from orchestrator.chain.rpc import ReplyError
from orchestrator.core.common.errors import TermsError
from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.core.deals.terms import Terms, check_terms
from orchestrator.runtime.local_chain import LocalChainClock, deploy_local
from orchestrator.runtime.local_servers import LocalAnvil
from tests.support.terms import ESCROW, ILLEGAL, LEGAL, NOW_S

# The contract's error for each of our codes; the zero token it finds on no list.
ERRORS = {
    "party-zero": ("ZeroOwner", "ZeroOperator", "ZeroPayee", "ZeroVerifier", "TokenNotAllowed"),
    "owner-is-operator": ("OwnerIsOperator",),
    "escrow-as-payee": ("EscrowAsPayee", "EscrowAsFeeRecipient"),
    "fee-recipient-zero": ("ZeroFeeRecipient",),
    "arbiter-zero": ("ClaimsNeedArbiter",),
    "amount-range": ("AmountTooLarge",),
    "bps-range": ("BpsTooLarge",),
    "price-zero": ("ZeroPrice",),
    "budget-zero": ("ZeroBudget",),
    "rate-cap-small": ("RateCapTooSmall",),
    "rate-period-zero": ("ZeroRatePeriod",),
    "opens-in-past": ("OpensInThePast",),
    "deadline-before-opening": ("DeadlineBeforeOpening",),
    "times-range": ("TimesTooLarge",),
    "grace-short": ("GraceTooShort",),
    "claim-period-short": ("ClaimPeriodTooShort",),
}


@pytest.fixture(scope="module")
def chain(module_anvil: LocalAnvil) -> Iterator[Chain]:
    made = deploy_local(module_anvil.rpc_url, b"\1" * 32)
    with Chain(module_anvil.rpc_url, made.addresses) as chain:
        yield chain


@pytest.fixture(scope="module")
def now_s(module_anvil: LocalAnvil, chain: Chain) -> int:
    """The chain's time, to which `moved` takes the tables' terms."""
    with LocalChainClock(module_anvil.rpc_url) as clock:
        return clock.now_s()


def refusal_of(chain: Chain, terms: Terms) -> str:
    """Return the name of the error with which the escrow refuses these terms, unsigned."""
    call = chain.open(terms, b"", b"")
    (reply,) = chain.batch([("eth_call", [{"to": call.to, "data": to_hex(call.data)}, "latest"])])
    assert isinstance(reply, ReplyError), "terms without signatures were opened"
    return error_text(reply.data).partition("(")[0]


def moved(chain: Chain, terms: Terms, fields: dict[str, object], now_s: int) -> Terms:
    """Return the terms with these changes, as far from now as they were from `NOW_S`."""
    ahead_s = now_s - NOW_S
    terms = dataclasses.replace(
        terms, opens_at_s=terms.opens_at_s + ahead_s, deadline_s=terms.deadline_s + ahead_s
    )
    escrow = chain.addresses.escrow
    changes = {name: escrow if value == ESCROW else value for name, value in fields.items()}
    for name in ("opens_at_s", "deadline_s"):
        value = changes.get(name)
        if isinstance(value, int) and abs(value - NOW_S) < 2**31:
            changes[name] = value + ahead_s
    return dataclasses.replace(terms, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(("code", "terms", "fields"), ILLEGAL)
def test_what_python_refuses_the_escrow_refuses_too(
    chain: Chain, now_s: int, code: str, terms: Terms, fields: dict[str, object]
) -> None:
    changed = moved(chain, terms, fields, now_s)
    with pytest.raises(TermsError) as refused:
        check_terms(changed, now_s, chain.addresses.escrow)
    assert refused.value.code == code
    assert refusal_of(chain, changed) in ERRORS[code]


@pytest.mark.parametrize(("terms", "fields"), LEGAL)
def test_what_python_takes_the_escrow_refuses_for_other_reasons_only(
    chain: Chain, now_s: int, terms: Terms, fields: dict[str, object]
) -> None:
    changed = moved(chain, terms, fields, now_s)
    check_terms(changed, now_s, chain.addresses.escrow)
    # The rules come first, then the agent, which has no owner, and the list of tokens, which does
    # not have this one.
    expected = "PayeeIsNotAgentWallet" if changed.agent_id_plus_one else "TokenNotAllowed"
    assert refusal_of(chain, changed) == expected
