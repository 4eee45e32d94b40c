"""What the terms let people do at the escrow: dispute, rule, close, have paid out or paid back.

Each function gives a `Plan` in plain words with the transaction for it, and raises `EscrowError`
for what the escrow would refuse at this time. Nothing is sent here.
"""

from collections.abc import Iterator
from typing import NamedTuple, Self

from orchestrator.actions.contract_state import ContractState
from orchestrator.actions.plan import Plan, PlannedTransaction
from orchestrator.actions.wording import many, utc
from orchestrator.chain.deployment import Chain
from orchestrator.core.errors import EscrowError, InputError
from orchestrator.core.escrow_model import fee_units
from orchestrator.core.terms import close_digest

# --- Disputes and rulings -------------------------------------------------------------------------


def dispute(chain: Chain, found: ContractState, about: str | None) -> Plan:
    """Put what can be disputed now before the arbiter: the pending statement, or the claims."""
    _check_open(found)
    if not found.has_arbiter:
        raise EscrowError(
            "no-arbiter",
            "its terms name no arbiter: nothing can be disputed; what the log shows to be false "
            "can be disproved",
        )
    parties = (found.terms.owner, found.terms.operator)
    if _subject(found, about, _is_claims_time(found) and bool(found.claims.open)) == "claims":
        return Plan((), (_claims_dispute(chain, found, parties),))
    pending = found.pending
    if pending is None:
        raise EscrowError("nothing-to-dispute", f"nothing is pending; {_next_dispute(found)}")
    until_s = found.disputable_until_s
    if found.now_s > until_s:
        raise EscrowError(
            "dispute-too-late",
            f"the statement at entry {pending.position} could be disputed until {utc(until_s)}; "
            f"the chain is at {utc(found.now_s)}",
        )
    done = (pending.owner_disputed, pending.operator_disputed)
    left = tuple(party for party, was in zip(parties, done, strict=True) if not was)
    if not left:
        raise EscrowError("already-disputed", "owner and operator have both disputed it")
    resolves_at_s = until_s + found.terms.arbitration_period_s
    lines = (
        *_stated(found),
        (
            f"what it does: the arbiter {found.terms.arbiter} can rule on it until "
            f"{utc(resolves_at_s)}; if it does not, the statement stands"
        ),
    )
    title = f"dispute the statement at entry {pending.position}"
    facts: dict[str, object] = {"about": "statement", "position": pending.position}
    call = chain.dispute(found.contract_id, pending.position)
    return Plan((), (PlannedTransaction(title, lines, call, left, facts),))


def _claims_dispute(
    chain: Chain, found: ContractState, parties: tuple[str, str]
) -> PlannedTransaction:
    claims = found.claims
    if not claims.open:
        raise EscrowError("no-claims", "nothing is claimed")
    if claims.is_disputed or claims.ruled_units is not None:
        raise EscrowError("claims-already-disputed", "the claims were disputed before")
    _check_claims_time(found)
    until_s = found.times.refutable_until_s
    lines = (
        _claimed(found),
        (
            f"what it does: the arbiter {found.terms.arbiter} can say until {utc(until_s)} how "
            f"much of it is paid; if it does not, all of it is"
        ),
    )
    call = chain.dispute_claims(found.contract_id)
    facts: dict[str, object] = {"about": "claims", "amount_units": str(claims.claimed_units)}
    return PlannedTransaction("dispute the claims", lines, call, parties, facts)


def rule(chain: Chain, found: ContractState, units: int, about: str | None) -> Plan:
    """The arbiter's word on what is disputed."""
    _check_open(found)
    claims = found.claims
    is_open = _is_claims_time(found) and claims.is_disputed and claims.ruled_units is None
    if _subject(found, about, is_open) == "claims":
        return Plan((), (_claims_ruling(chain, found, units),))
    pending = found.pending
    if pending is None or not found.is_disputed:
        raise EscrowError("not-disputed", "nothing is before the arbiter")
    if units > found.budget_units - claims.claimed_units:
        raise InputError(
            "payable-out-of-range",
            f"{found.exact(units)} is more than budget and claims leave, "
            f"{found.amount(found.budget_units - claims.claimed_units)}",
        )
    lines = (
        *_stated(found),
        (
            f"what it does: {found.exact(units)} are payable in all, of which "
            f"{found.amount(found.paid_units)} are paid; what the ruling changes it changes for "
            f"all later statements too"
        ),
    )
    title = f"rule that {found.amount(units)} are payable under the statement at entry "
    facts: dict[str, object] = {"about": "statement", "payable_units": str(units)}
    call = chain.rule(found.contract_id, pending.position, units)
    deed = PlannedTransaction(
        title + str(pending.position), lines, call, (found.terms.arbiter,), facts
    )
    return Plan((), (deed,))


def _claims_ruling(chain: Chain, found: ContractState, units: int) -> PlannedTransaction:
    claimed = found.claims.claimed_units
    if not found.claims.is_disputed or found.claims.ruled_units is not None:
        raise EscrowError("claims-not-disputed", "no claims are before the arbiter")
    _check_claims_time(found)
    if units > claimed:
        raise InputError(
            "more-than-claimed", f"{found.exact(units)} is more than {found.amount(claimed)}"
        )
    until_s = found.times.refutable_until_s
    lines = (
        _claimed(found),
        (
            f"what it does: {found.exact(units)} of it are paid after {utc(until_s)}, or what is "
            f"left of the claims if that is less: until then anyone can refute them by the log"
        ),
    )
    title = f"rule that {found.amount(units)} of the claims are paid"
    call = chain.rule_claims(found.contract_id, units)
    facts: dict[str, object] = {"about": "claims", "amount_units": str(units)}
    return PlannedTransaction(title, lines, call, (found.terms.arbiter,), facts)


def _claimed(found: ContractState) -> str:
    claims = found.claims
    return f"claimed: {found.amount(claims.claimed_units)}, in {many(len(claims.open), 'claim')}"


def _is_claims_time(found: ContractState) -> bool:
    """Whether claims can be disputed and ruled on: no more can be filed, none are paid yet."""
    return found.times.claims_until_s < found.now_s <= found.times.refutable_until_s


def _check_claims_time(found: ContractState) -> None:
    if not _is_claims_time(found):
        times = found.times
        raise EscrowError(
            "claims-not-open",
            f"claims can be disputed after {utc(times.claims_until_s)}, until "
            f"{utc(times.refutable_until_s)}; the chain is at {utc(found.now_s)}",
        )


def _subject(found: ContractState, about: str | None, are_claims_open: bool) -> str:
    """What is meant where both a statement and claims could be."""
    if about is not None:
        return about
    if are_claims_open and found.pending is not None:
        raise InputError(
            "about-what", "a statement and claims are open; say --about statement or claims"
        )
    return "claims" if are_claims_open else "statement"


def _next_dispute(found: ContractState) -> str:
    if found.claims.open and found.now_s <= found.times.claims_until_s:
        return f"claims can be disputed after {utc(found.times.claims_until_s)}"
    return "a statement can be disputed within its challenge period"


def _stated(found: ContractState) -> Iterator[str]:
    pending = found.pending
    if pending is not None:
        net = found.amount(pending.earned_units - pending.reversed_units)
        yield (
            f"the statement at entry {pending.position} says: earned "
            f"{found.amount(pending.earned_units)}, taken back "
            f"{found.amount(pending.reversed_units)}, so {net} in all"
        )
    final, paid = found.amount(found.net_units), found.amount(found.paid_units)
    yield f"final until now: {final}; paid: {paid}"


# --- Closing by consent ---------------------------------------------------------------------------


class Consent(NamedTuple):
    """What one party, owner or operator, signs to end a contract: so much is payable in all."""

    contract_id: bytes
    payable_units: int
    expires_at_s: int
    party: str
    signature: bytes = b""

    def to_json(self) -> dict[str, object]:
        return {
            "contract_id": f"0x{self.contract_id.hex()}",
            "payable_units": str(self.payable_units),
            "expires_at_s": self.expires_at_s,
            "party": self.party,
            "signature": f"0x{self.signature.hex()}",
        }

    @classmethod
    def from_json(cls, document: object) -> Self:
        """What `to_json` wrote. Raises InputError for anything else."""
        match document:
            case {
                "contract_id": str(contract_id),
                "payable_units": str(units),
                "expires_at_s": int(expires_at_s),
                "party": str(party),
                "signature": str(signature),
            }:
                pass
            case _:
                raise InputError("consent-malformed", "that is no consent of `close --sign`")
        try:
            return cls(
                bytes.fromhex(contract_id.removeprefix("0x")),
                int(units),
                expires_at_s,
                party,
                bytes.fromhex(signature.removeprefix("0x")),
            )
        except ValueError as error:
            raise InputError("consent-malformed", f"the consent is garbled: {error}") from None


def closing(found: ContractState, units: int, expires_at_s: int) -> tuple[str, ...]:
    """What closing the contract at this does, for whoever is about to sign for it.

    Raises `EscrowError` or `InputError` if the escrow would not close it so.
    """
    _check_open(found)
    if not found.paid_units <= units <= found.budget_units:
        raise InputError(
            "payable-out-of-range",
            f"{found.exact(units)} is not between what is paid, {found.amount(found.paid_units)}, "
            f"and the budget, {found.amount(found.budget_units)}",
        )
    if found.now_s > expires_at_s:
        raise EscrowError(
            "close-expired",
            f"the consent was good until {utc(expires_at_s)}; the chain is at {utc(found.now_s)}",
        )
    lines = [
        f"what it does: the contract ends for good, with {found.exact(units)} payable in all",
        (
            f"of that, {found.amount(found.paid_units)} are paid, and "
            f"{found.amount(units - found.paid_units)} are still to pay; "
            f"{found.amount(found.budget_units - units)} go back to the owner at once"
        ),
    ]
    if found.pending is not None or found.claims.open:
        lines.append("what is pending or claimed is dropped, without a decision")
    return (*lines, f"the consent is good until {utc(expires_at_s)}")


def close(chain: Chain, found: ContractState, consent: Consent) -> Plan:
    """End the contract with the other party's consent, by the party that has not signed."""
    terms, units, expires_at_s = found.terms, consent.payable_units, consent.expires_at_s
    if consent.contract_id != found.contract_id:
        raise InputError(
            "consent-other", f"the consent is for contract 0x{consent.contract_id.hex()}"
        )
    if consent.party not in (terms.owner, terms.operator):
        raise InputError(
            "consent-of-stranger", f"the consent is by {consent.party}, which is no party"
        )
    lines = closing(found, units, expires_at_s)
    digest = close_digest(chain.escrow_domain, found.contract_id, units, expires_at_s)
    if not chain.is_signed(consent.party, digest, consent.signature):
        raise InputError(
            "consent-unsigned",
            f"the signature is not {consent.party}'s over these facts; ask for it again",
        )
    is_owner = consent.party == terms.owner
    signatures = (consent.signature, b"") if is_owner else (b"", consent.signature)
    deed = PlannedTransaction(
        title=f"close the contract at {found.amount(units)}",
        lines=(f"{consent.party} has agreed to this", *lines),
        call=chain.close_contract(found.contract_id, units, expires_at_s, *signatures),
        by=(terms.operator if is_owner else terms.owner,),
        facts={"payable_units": str(units), "expires_at_s": expires_at_s},
    )
    return Plan((), (deed,))


# --- Payouts and the end --------------------------------------------------------------------------


def release(chain: Chain, found: ContractState) -> Plan:
    """Have paid out what is due."""
    if not found.releasable_units:
        when = f"more can be released at {utc(found.releasable_at_s)}"
        said = when if found.releasable_at_s else "nothing is known to come"
        raise EscrowError("nothing-to-release", f"nothing is due now; {said}")
    after = found.paid_units + found.releasable_units
    fee = fee_units(found.paid_units, after, found.terms.fee_bps)
    fee_to = f", {found.amount(fee)} to the credit of {found.terms.fee_recipient}" if fee else ""
    lines = (
        (
            f"what it does: {found.amount(found.releasable_units - fee)} go to the payee "
            f"{found.terms.payee}{fee_to}"
        ),
        (
            f"paid before: {found.amount(found.paid_units)}; owed after: "
            f"{found.amount(found.owed_units - found.releasable_units)}"
        ),
    )
    facts: dict[str, object] = {"amount_units": str(found.releasable_units)}
    title = f"release {found.amount(found.releasable_units)}"
    return Plan(
        (), (PlannedTransaction(title, lines, chain.release(found.contract_id), (), facts),)
    )


def refund(chain: Chain, found: ContractState) -> Plan:
    """Give the owner back what can no longer become payable."""
    _check_open(found)
    from_s = found.times.claims_until_s
    if found.now_s <= from_s:
        raise EscrowError(
            "refund-too-early",
            f"refunds are possible after {utc(from_s)}; the chain is at {utc(found.now_s)}. Owner "
            f"and operator can close the contract by consent before",
        )
    reserved = found.reserved_units
    rest = found.budget_units - reserved
    if not rest:
        raise EscrowError(
            "nothing-to-refund",
            f"all that is left is paid or may still be owed: {found.amount(reserved)}",
        )
    lines = (
        f"what it does: {found.amount(rest)} go back to the owner {found.terms.owner}",
        (
            f"paid: {found.amount(found.paid_units)}; kept for what may still be owed: "
            f"{found.amount(reserved - found.paid_units)}"
        ),
    )
    facts: dict[str, object] = {"amount_units": str(rest)}
    title = f"refund {found.amount(rest)}"
    return Plan((), (PlannedTransaction(title, lines, chain.refund(found.contract_id), (), facts),))


def _check_open(found: ContractState) -> None:
    if found.closed_at_s:
        raise EscrowError("already-closed", f"its parties closed it on {utc(found.closed_at_s)}")
