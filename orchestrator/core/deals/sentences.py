"""Terms in plain sentences: all that they say, for the people who sign them.

Two terms that differ in anything have different sentences, so a signer who reads them has read the
terms.
"""

from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.core.common.units import (
    counted,
    format_amount,
    format_duration,
    format_percent,
    format_second,
)
from orchestrator.core.deals.deal import NONE, deal_of
from orchestrator.core.deals.escrow_model import times_of
from orchestrator.core.deals.site import TokenInfo
from orchestrator.core.deals.terms import Domain, Terms
from orchestrator.core.log.entry import ZERO_ADDRESS


def sentences_of(terms: Terms, token: TokenInfo) -> list[str]:
    """Return what terms say, one fact a sentence, the money first."""
    return [
        *_pay(terms, token),
        *_attribution(terms),
        *_payment(terms, token),
        *_disputes(terms),
        *_parties(terms),
    ]


def operator_sentences(terms: Terms, token: TokenInfo) -> list[str]:
    """Return what an operator agrees to by its signature."""
    return [
        f"By signing, {terms.operator} agrees to these terms; it pays nothing and risks its work.",
        (
            f"The signature is good until {format_second(terms.opens_at_s)}, unless it is revoked "
            f"on chain before."
        ),
        f"It can earn {_amount(terms.budget_units, token)} at most, less the fee.",
    ]


def owner_sentences(terms: Terms, token: TokenInfo, domain: Domain) -> list[str]:
    """Return what an owner agrees to by its signature, and what that can cost at most."""
    budget, escrow = _amount(terms.budget_units, token), domain.verifying_contract
    return [
        (
            f"By signing, {terms.owner} agrees to these terms, and lets the escrow {escrow} on "
            f"chain {domain.chain_id} take the budget of {budget} from its allowance."
        ),
        f"It costs {budget} at most, fees in it; the escrow holds all of it from the opening on.",
        (
            f"What is not owed can go back to {terms.owner} after "
            f"{format_second(times_of(terms).claims_until_s)}."
        ),
        (
            f"The signature is good until {format_second(terms.opens_at_s)}, unless it is revoked "
            f"on chain before."
        ),
    ]


def _pay(terms: Terms, token: TokenInfo) -> list[str]:
    parts = []
    if terms.unit_price_units:
        parts.append(_amount(terms.unit_price_units, token))
    if terms.revenue_share_bps:
        parts.append(f"{format_percent(terms.revenue_share_bps)} of the event's value")
    often = "each time that" if terms.repeatable else "for each lead, once, that"
    budget = f"At most {_amount(terms.budget_units, token)} are paid in all, fees in it"
    if not terms.revenue_share_bps and terms.unit_price_units:
        count = terms.budget_units // terms.unit_price_units
        budget += f", which is {counted(count, 'outcome')}"
    return [
        (
            f"Pays {' and '.join(parts)} {often} {'a lead ' * terms.repeatable}enters "
            f"{terms.outcome!r} from {format_second(terms.opens_at_s)} until "
            f"{format_second(terms.deadline_s)}."
        ),
        f"{budget}; an outcome past that is recorded and not paid.",
        f"The token is {token.symbol} at {terms.token}.",
    ]


def _attribution(terms: Terms) -> list[str]:
    wins = (
        "the operator's first touch counts, and the earliest of all operators' wins"
        if terms.attribution == "first_touch"
        else "the operator's latest touch counts, and the latest of all operators' wins"
    )
    sentences = [
        (
            f"An outcome counts if it comes at most {format_duration(terms.attribution_window_s)} "
            f"after the operator's touch of the lead: {wins} ({terms.attribution})."
        ),
        f"Touches before {format_second(terms.opens_at_s)} earn nothing.",
        f"An event may be reported {format_duration(terms.lateness_s)} late.",
    ]
    if terms.exclusive:
        sentences.append("No other contract may pay for this outcome at the same time.")
    return sentences


def _payment(terms: Terms, token: TokenInfo) -> list[str]:
    sentences = [
        (
            f"Earnings can be stated until {format_second(times_of(terms).statements_until_s)}"
            f", which is {format_duration(terms.grace_s)} after the end."
        )
    ]
    if terms.challenge_period_s:
        challenge = format_duration(terms.challenge_period_s)
        sentences.append(f"A statement can be challenged for {challenge} before it is paid.")
    else:
        sentences.append("A statement is paid at once.")
    if terms.holdback_period_s or terms.holdback_bps:
        sentences.append(
            f"{format_percent(terms.holdback_bps)} of what is earned is held for "
            f"{format_duration(terms.holdback_period_s)}; a refund within that time takes its "
            f"outcome back."
        )
    else:
        sentences.append("Nothing is held back, and no refund takes an outcome back.")
    if terms.rate_cap_units or terms.rate_period_s:
        cap, period = _amount(terms.rate_cap_units, token), format_duration(terms.rate_period_s)
        sentences.append(
            f"At most {cap} are paid in {period}."
            if terms.rate_cap_units
            else f"A period of {period} limits nothing, for there is no cap."
        )
    if terms.fee_bps or terms.fee_recipient != ZERO_ADDRESS:
        fee = format_percent(terms.fee_bps)
        sentences.append(f"{fee} of each payment goes to {terms.fee_recipient} as the fee.")
    return sentences


def _disputes(terms: Terms) -> list[str]:
    sentences = []
    if terms.arbiter != ZERO_ADDRESS or terms.arbitration_period_s:
        sentences.append(
            f"Disputes are ruled on by {_or_none(terms.arbiter)} within "
            f"{format_duration(terms.arbitration_period_s)}."
        )
    if terms.claim_period_s:
        sentences.append(
            f"What the verifier does not state, the operator can claim by proof for "
            f"{format_duration(terms.claim_period_s)} after that, and anyone refute for as long "
            f"again."
        )
    return sentences


def _parties(terms: Terms) -> list[str]:
    sentences = [
        f"{terms.owner} pays, {terms.operator} works, and {terms.payee} is paid.",
        f"{terms.verifier} signs what is settled.",
        (
            f"This is on surface {to_hex(terms.surface)} under its policy {to_hex(terms.policy)}, "
            f"by the log {to_hex(terms.log_id)}; salt {to_hex(terms.salt)}."
        ),
    ]
    if terms.agent_id_plus_one:
        agent = deal_of(terms, TokenInfo(terms.token, "", 0))["agent_id"]
        sentences.append(f"The operator is agent {agent} of ERC-8004's registry, or acts for it.")
    return sentences


def _amount(units: int, token: TokenInfo) -> str:
    return f"{format_amount(units, token.decimals)} {token.symbol}"


def _or_none(address: str) -> str:
    return NONE if address == ZERO_ADDRESS else address
