"""Plans for what the terms let the parties do: dispute, rule, close, release and refund.

Each function returns a `Plan` with the transaction, and raises `EscrowError` for what the escrow
would refuse at this time. Nothing is sent here.
"""

from collections.abc import Iterator
from typing import NamedTuple, Self

from orchestrator.actions.contract_state import ContractState
from orchestrator.actions.plan import Plan, PlannedTransaction
from orchestrator.chain.deployment import Chain
from orchestrator.core.common.errors import EscrowError, InputError
from orchestrator.core.common.hexadecimal import from_hex, to_hex
from orchestrator.core.common.units import counted, format_second
from orchestrator.core.deals.escrow_model import fee_of_payment
from orchestrator.core.deals.terms import close_digest

# --- Disputes and rulings -------------------------------------------------------------------------


def plan_dispute(chain: Chain, state: ContractState, about: str | None) -> Plan:
    """Plan to put the pending statement or the claims before the arbiter.

    `about` is "statement" or "claims"; it is needed only where both can be disputed.
    """
    _check_open(state)
    if not state.has_arbiter:
        raise EscrowError(
            "no-arbiter",
            "its terms name no arbiter: nothing can be disputed; what the log shows to be false "
            "can be disproved",
        )
    parties = (state.terms.owner, state.terms.operator)
    are_claims_open = _is_claims_time(state) and bool(state.claims.open)
    if _choose_subject(state, about, are_claims_open) == "claims":
        return Plan.of(_claims_dispute(chain, state, parties))
    return Plan.of(_statement_dispute(chain, state, parties))


def _statement_dispute(
    chain: Chain, state: ContractState, parties: tuple[str, str]
) -> PlannedTransaction:
    """Return the transaction that disputes the pending statement."""
    pending = state.pending
    if pending is None:
        if state.claims.open and state.now_s <= state.times.claims_until_s:
            later = f"claims can be disputed after {format_second(state.times.claims_until_s)}"
        else:
            later = "a statement can be disputed within its challenge period"
        raise EscrowError("nothing-to-dispute", f"nothing is pending; {later}")
    until_s = state.disputable_until_s
    if state.now_s > until_s:
        raise EscrowError(
            "dispute-too-late",
            f"the statement at entry {pending.position} could be disputed until "
            f"{format_second(until_s)}; the chain is at {format_second(state.now_s)}",
        )
    done = (pending.owner_disputed, pending.operator_disputed)
    left = tuple(party for party, was in zip(parties, done, strict=True) if not was)
    if not left:
        raise EscrowError("already-disputed", "owner and operator have both disputed it")
    resolves_at_s = until_s + state.terms.arbitration_period_s
    lines = (
        *_describe_statement(state),
        (
            f"what it does: the arbiter {state.terms.arbiter} can rule on it until "
            f"{format_second(resolves_at_s)}; if it does not, the statement stands"
        ),
    )
    return PlannedTransaction(
        title=f"dispute the statement at entry {pending.position}",
        lines=lines,
        call=chain.dispute(state.contract_id, pending.position),
        by=left,
        facts={"about": "statement", "position": pending.position},
    )


def _claims_dispute(
    chain: Chain, state: ContractState, parties: tuple[str, str]
) -> PlannedTransaction:
    """Return the transaction that disputes all claims together."""
    claims = state.claims
    if not claims.open:
        raise EscrowError("no-claims", "nothing is claimed")
    if claims.is_disputed or claims.ruled_units is not None:
        raise EscrowError("claims-already-disputed", "the claims were disputed before")
    _check_claims_time(state)
    until_s = state.times.refutable_until_s
    lines = (
        _describe_claims(state),
        (
            f"what it does: the arbiter {state.terms.arbiter} can say until "
            f"{format_second(until_s)} how much of it is paid; if it does not, all of it is"
        ),
    )
    call = chain.dispute_claims(state.contract_id)
    facts: dict[str, object] = {"about": "claims", "amount_units": str(claims.claimed_units)}
    return PlannedTransaction("dispute the claims", lines, call, parties, facts)


def plan_ruling(chain: Chain, state: ContractState, units: int, about: str | None) -> Plan:
    """Plan the arbiter's ruling on the disputed statement or claims: so many units are payable.

    `about` is as in `plan_dispute`.
    """
    _check_open(state)
    claims = state.claims
    are_claims_open = _is_claims_time(state) and claims.is_disputed and claims.ruled_units is None
    if _choose_subject(state, about, are_claims_open) == "claims":
        return Plan.of(_claims_ruling(chain, state, units))
    return Plan.of(_statement_ruling(chain, state, units))


def _statement_ruling(chain: Chain, state: ContractState, units: int) -> PlannedTransaction:
    """Return the transaction that rules how many units are payable under the statement."""
    pending = state.pending
    if pending is None or not state.is_disputed:
        raise EscrowError("not-disputed", "nothing is before the arbiter")
    # What the claims may still be paid is kept for them, whatever is ruled on the statement.
    most_units = state.budget_units - state.claims.claimed_units
    if units > most_units:
        raise InputError(
            "payable-out-of-range",
            f"{state.exact_amount(units)} is more than budget and claims leave, "
            f"{state.amount(most_units)}",
        )
    lines = (
        *_describe_statement(state),
        (
            f"what it does: {state.exact_amount(units)} are payable in all, of which "
            f"{state.amount(state.paid_units)} are paid; what the ruling changes it changes for "
            f"all later statements too"
        ),
    )
    return PlannedTransaction(
        title=(
            f"rule that {state.amount(units)} are payable under the statement at entry "
            f"{pending.position}"
        ),
        lines=lines,
        call=chain.rule(state.contract_id, pending.position, units),
        by=(state.terms.arbiter,),
        facts={"about": "statement", "payable_units": str(units)},
    )


def _claims_ruling(chain: Chain, state: ContractState, units: int) -> PlannedTransaction:
    """Return the transaction that rules how many units of all claims are paid."""
    claimed = state.claims.claimed_units
    if not state.claims.is_disputed or state.claims.ruled_units is not None:
        raise EscrowError("claims-not-disputed", "no claims are before the arbiter")
    _check_claims_time(state)
    if units > claimed:
        raise InputError(
            "more-than-claimed", f"{state.exact_amount(units)} is more than {state.amount(claimed)}"
        )
    until_s = state.times.refutable_until_s
    lines = (
        _describe_claims(state),
        (
            f"what it does: {state.exact_amount(units)} of it are paid after "
            f"{format_second(until_s)}, or what is left of the claims if that is less: until then "
            f"anyone can refute them by the log"
        ),
    )
    title = f"rule that {state.amount(units)} of the claims are paid"
    call = chain.rule_claims(state.contract_id, units)
    facts: dict[str, object] = {"about": "claims", "amount_units": str(units)}
    return PlannedTransaction(title, lines, call, (state.terms.arbiter,), facts)


def _describe_claims(state: ContractState) -> str:
    claims = state.claims
    count = counted(len(claims.open), "claim")
    return f"claimed: {state.amount(claims.claimed_units)}, in {count}"


def _is_claims_time(state: ContractState) -> bool:
    """Return whether claims can be disputed and ruled on.

    No more of them can be filed then, and none are paid yet.
    """
    return state.times.claims_until_s < state.now_s <= state.times.refutable_until_s


def _check_claims_time(state: ContractState) -> None:
    if not _is_claims_time(state):
        times = state.times
        raise EscrowError(
            "claims-not-open",
            f"claims can be disputed after {format_second(times.claims_until_s)}, until "
            f"{format_second(times.refutable_until_s)}; the chain is at "
            f"{format_second(state.now_s)}",
        )


def _choose_subject(state: ContractState, about: str | None, are_claims_open: bool) -> str:
    """Return "statement" or "claims", as asked or as only one of them is open.

    Raises InputError `about-what` where both are open and neither was asked for.
    """
    if about is not None:
        return about
    if are_claims_open and state.pending is not None:
        raise InputError(
            "about-what", "a statement and claims are open; say --about statement or claims"
        )
    return "claims" if are_claims_open else "statement"


def _describe_statement(state: ContractState) -> Iterator[str]:
    pending = state.pending
    if pending is not None:
        net = state.amount(pending.earned_units - pending.reversed_units)
        yield (
            f"the statement at entry {pending.position} says: earned "
            f"{state.amount(pending.earned_units)}, taken back "
            f"{state.amount(pending.reversed_units)}, so {net} in all"
        )
    final, paid = state.amount(state.net_units), state.amount(state.paid_units)
    yield f"final until now: {final}; paid: {paid}"


# --- Closing by consent ---------------------------------------------------------------------------


class Consent(NamedTuple):
    """The signature with which the owner or the operator agrees to end a contract.

    `payable_units` are payable in all, what is paid included.
    """

    contract_id: bytes
    payable_units: int
    expires_at_s: int
    party: str
    signature: bytes = b""

    def to_json(self) -> dict[str, object]:
        """Return the JSON object that `from_json` reads."""
        return {
            "contract_id": to_hex(self.contract_id),
            "payable_units": str(self.payable_units),
            "expires_at_s": self.expires_at_s,
            "party": self.party,
            "signature": to_hex(self.signature),
        }

    @classmethod
    def from_json(cls, document: object) -> Self:
        """Read the object that `to_json` wrote. Raises InputError `consent-malformed`."""
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
            return cls(from_hex(contract_id), int(units), expires_at_s, party, from_hex(signature))
        except ValueError as error:
            raise InputError("consent-malformed", f"the consent is garbled: {error}") from None


def describe_closing(state: ContractState, units: int, expires_at_s: int) -> tuple[str, ...]:
    """Describe what closing the contract at this amount does, to the party that is to sign for it.

    Raises EscrowError or InputError if the escrow would refuse to close it so.
    """
    _check_open(state)
    if not state.paid_units <= units <= state.budget_units:
        raise InputError(
            "payable-out-of-range",
            f"{state.exact_amount(units)} is not between what is paid, "
            f"{state.amount(state.paid_units)}, and the budget, "
            f"{state.amount(state.budget_units)}",
        )
    if state.now_s > expires_at_s:
        raise EscrowError(
            "close-expired",
            f"the consent was good until {format_second(expires_at_s)}; the chain is at "
            f"{format_second(state.now_s)}",
        )
    lines = [
        (
            f"what it does: the contract ends for good, with {state.exact_amount(units)} payable "
            f"in all"
        ),
        (
            f"of that, {state.amount(state.paid_units)} are paid, and "
            f"{state.amount(units - state.paid_units)} are still to pay; "
            f"{state.amount(state.budget_units - units)} go back to the owner at once"
        ),
    ]
    if state.pending is not None or state.claims.open:
        lines.append("what is pending or claimed is dropped, without a decision")
    return (
        *lines,
        f"the consent is good until {format_second(expires_at_s)}",
        *(f"look at this first: {caution}" for caution in state.cautions),
    )


def plan_close(chain: Chain, state: ContractState, consent: Consent) -> Plan:
    """Plan to end the contract with one party's consent, sent by the other party.

    Raises InputError for a consent to another contract, by a stranger, or falsely signed.
    """
    terms, units, expires_at_s = state.terms, consent.payable_units, consent.expires_at_s
    if consent.contract_id != state.contract_id:
        raise InputError(
            "consent-other", f"the consent is for contract {to_hex(consent.contract_id)}"
        )
    if consent.party not in (terms.owner, terms.operator):
        raise InputError(
            "consent-of-stranger", f"the consent is by {consent.party}, which is no party"
        )
    lines = describe_closing(state, units, expires_at_s)
    digest = close_digest(
        chain.escrow_domain, consent.party, state.contract_id, units, expires_at_s
    )
    if not chain.is_signed(consent.party, digest, consent.signature):
        raise InputError(
            "consent-unsigned",
            f"the signature is not {consent.party}'s over these facts; ask for it again",
        )
    is_owner = consent.party == terms.owner
    # The sender needs no signature: sending the transaction is its consent.
    signatures = (consent.signature, b"") if is_owner else (b"", consent.signature)
    return Plan.of(
        PlannedTransaction(
            title=f"close the contract at {state.amount(units)}",
            lines=(f"{consent.party} has agreed to this", *lines),
            call=chain.close_contract(state.contract_id, units, expires_at_s, *signatures),
            by=(terms.operator if is_owner else terms.owner,),
            facts={"payable_units": str(units), "expires_at_s": expires_at_s},
        )
    )


# --- Payouts and the end --------------------------------------------------------------------------


def plan_release(chain: Chain, state: ContractState) -> Plan:
    """Plan to pay out what is due."""
    if not state.releasable_units:
        prospect = "nothing is known to come"
        if state.releasable_at_s:
            prospect = f"more can be released at {format_second(state.releasable_at_s)}"
        raise EscrowError("nothing-to-release", f"nothing is due now; {prospect}")
    after = state.paid_units + state.releasable_units
    fee = fee_of_payment(state.paid_units, after, state.terms.fee_bps)
    fee_to = f", {state.amount(fee)} to the credit of {state.terms.fee_recipient}" if fee else ""
    lines = (
        (
            f"what it does: {state.amount(state.releasable_units - fee)} go to the payee "
            f"{state.terms.payee}{fee_to}"
        ),
        (
            f"paid before: {state.amount(state.paid_units)}; owed after: "
            f"{state.amount(state.owed_units - state.releasable_units)}"
        ),
    )
    return Plan.of(
        PlannedTransaction(
            title=f"release {state.amount(state.releasable_units)}",
            lines=lines,
            call=chain.release(state.contract_id),
            by=(),
            facts={"amount_units": str(state.releasable_units)},
        )
    )


def plan_refund(chain: Chain, state: ContractState) -> Plan:
    """Plan to give the owner back what can no longer become payable."""
    _check_open(state)
    from_s = state.times.claims_until_s
    if state.now_s <= from_s:
        raise EscrowError(
            "refund-too-early",
            f"refunds are possible after {format_second(from_s)}; the chain is at "
            f"{format_second(state.now_s)}. Owner and operator can close the contract by consent "
            f"before",
        )
    reserved = state.reserved_units
    rest = state.budget_units - reserved
    if not rest:
        raise EscrowError(
            "nothing-to-refund",
            f"all that is left is paid or may still be owed: {state.amount(reserved)}",
        )
    lines = (
        f"what it does: {state.amount(rest)} go back to the owner {state.terms.owner}",
        (
            f"paid: {state.amount(state.paid_units)}; kept for what may still be owed: "
            f"{state.amount(reserved - state.paid_units)}"
        ),
    )
    return Plan.of(
        PlannedTransaction(
            title=f"refund {state.amount(rest)}",
            lines=lines,
            call=chain.refund(state.contract_id),
            by=(),
            facts={"amount_units": str(rest)},
        )
    )


def _check_open(state: ContractState) -> None:
    if state.closed_at_s:
        raise EscrowError(
            "already-closed", f"its parties closed it on {format_second(state.closed_at_s)}"
        )
