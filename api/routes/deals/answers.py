"""The answers about deals: drafts, proposals, standing offers."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field, JsonValue

from api.http.answers import NEXT_AFTER
from api.http.fields import Address, ProposalCursor, Signature, TimeMs, TimeS, Units, Word
from api.routes.deals.bodies import TermsDocument

# --- Drafts ---------------------------------------------------------------------------------------


class TermDefault(BaseModel):
    """A term that a deal left open, and what it became."""

    term: str
    value: str | bool
    source: Literal["settings", "usual"] = Field(
        description="`settings`: of the surface. `usual`: everywhere."
    )


class Consent(BaseModel):
    """A message that a party signs, ready for any wallet, and what it says in words."""

    digest: Word
    typed_data: dict[str, JsonValue] = Field(description="For `eth_signTypedData_v4`, as it is.")
    sentences: list[str]
    costs_at_most_units: Units = Field(description="The most that the signature can cost.")


class Draft(BaseModel):
    """Complete terms that no party has signed, in every form that one could want."""

    contract_id: Word
    terms: TermsDocument
    deal: dict[str, str | bool] = Field(description="The same in plain units, with all defaults.")
    defaults: list[TermDefault]
    sentences: list[str]
    cautions: list[str] = Field(description="What a signer should look at first.")
    operator: Consent
    owner: Consent


# --- Proposals ------------------------------------------------------------------------------------


class Acceptance(Consent):
    """An owner's consent to a proposal, and whether its budget can be taken."""

    lacking: str | None = Field(
        description="What to do before the escrow can take the budget; null if it can."
    )


class TermChange(BaseModel):
    """A term that differs, in plain units."""

    term: str
    before: str | bool
    after: str | bool


class OpeningState(BaseModel):
    """The state of opening on chain a contract that both parties have signed."""

    tries: int
    reason: str | None = Field(description="Why the last try that ended came to nothing.")
    waits_for: str | None = Field(
        description="The limit for which the service has put it off, if it has."
    )
    next_ms: TimeMs | None = Field(
        description="When it is looked at next; null while a try is under way, and after the last."
    )


class Proposal(BaseModel):
    """Terms that an operator has signed, and what became of them."""

    contract_id: Word
    status: Literal[
        "proposed", "accepted", "declined", "withdrawn", "expired", "lapsed", "opened"
    ] = Field(
        description="`expired`: its time to open has come. `lapsed`: the surface's policy is "
        "another by now. Neither is opened any more."
    )
    terms: TermsDocument
    operator_signature: Signature
    owner_signature: Signature | None
    answers: Word | None = Field(description="The proposal that this is the next version of.")
    version: int
    offer: Word | None = Field(description="The standing offer that it was made from.")
    created_ms: TimeMs
    accepted_ms: TimeMs | None
    declined_ms: TimeMs | None
    withdrawn_ms: TimeMs | None
    opened_by: Literal["service", "parties"] = Field(
        description="Who opens it on chain, and pays for that, once both have signed."
    )
    opening: OpeningState | None = Field(
        description="Null before the service has looked at opening it."
    )


class ReviewedProposal(Proposal):
    """A proposal in words, and what its signers should look at: what nothing on chain checks.

    `cautions` is null once the proposal is decided.
    """

    sentences: list[str]
    deal: dict[str, str | bool]
    cautions: list[str] | None
    since_answered: list[TermChange] | None = Field(
        description="What differs from the version before it; null for the first."
    )
    since_offer: list[TermChange] | None = Field(
        description="What differs from the standing offer that it was made from."
    )
    counter: TermsDocument | None = Field(
        description="The terms that the owner would sign instead, if it has answered: sign them, "
        "and propose them with `answers`."
    )
    counter_changes: list[TermChange] | None
    answered_by: Word | None = Field(description="The next version, if there is one.")


class Proposals(BaseModel):
    proposals: list[Proposal]
    next: Annotated[ProposalCursor | None, NEXT_AFTER]


# --- Offers ---------------------------------------------------------------------------------------


class Offer(BaseModel):
    """An owner's standing offer, and what of it is taken."""

    offer: Word
    surface: Word
    owner: Address
    status: Literal["open", "taken", "ended", "withdrawn", "lapsed"] = Field(
        description="`taken`: no place is free now. `lapsed`: the surface's policy is another."
    )
    deal: dict[str, str | bool]
    terms: dict[str, str | int | bool] = Field(
        description="The terms that every contract from it has, as they are signed."
    )
    lasts_s: TimeS = Field(description="The longest time from a contract's opening to its end.")
    first_budget_units: Units
    budget_units: Units
    places: int
    places_left: int
    leads: int = Field(description="How many are in a state now from which its outcome is entered.")
    level: int
    ends_ms: TimeMs
    created_ms: TimeMs


class Offers(BaseModel):
    offers: list[Offer]
    next: Annotated[ProposalCursor | None, NEXT_AFTER]
