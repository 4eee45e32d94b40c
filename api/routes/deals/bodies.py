"""The bodies of deals: signed terms, drafts, proposals, standing offers."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from api.http.bodies import Body
from api.http.fields import Address, Bps, Name, Signature, TimeS, Units, Word

# --- Terms ----------------------------------------------------------------------------------------


class TermsDocument(Body):
    """An outcome contract's terms, field by field as in the EIP-712 type `Terms`."""

    owner: Address
    operator: Address
    payee: Address
    token: Address
    verifier: Address
    arbiter: Address
    log_id: Word
    surface: Word
    policy: Word
    attribution: Literal["first_touch", "last_touch"]
    outcome: Name = Field(examples=["activated"])
    repeatable: bool
    exclusive: bool
    unit_price_units: Units
    revenue_share_bps: Bps
    budget_units: Units
    opens_at_s: TimeS
    deadline_s: TimeS
    attribution_window_s: TimeS
    lateness_s: TimeS
    grace_s: TimeS
    claim_period_s: TimeS
    challenge_period_s: TimeS
    arbitration_period_s: TimeS
    holdback_bps: Bps
    holdback_period_s: TimeS
    rate_cap_units: Units
    rate_period_s: TimeS
    fee_bps: Bps
    fee_recipient: Address
    agent_id_plus_one: Units
    salt: Word


Words = Annotated[str, Field(min_length=1, max_length=80)]


class Deal(Body):
    """A short deal in plain units: amounts and shares as text, times as durations or RFC 3339.

    Only `outcome`, a price or a share, and a budget are needed. Whatever else is left out has a
    default, and the draft tells each.
    """

    model_config = ConfigDict(populate_by_name=True)

    outcome: Name = Field(examples=["activated"], description="The state that is paid for.")
    from_state: Name | None = Field(
        default=None,
        alias="from",
        examples=["signed_up"],
        description="The state that leads come from, for a check: refused if the policy has no "
        "such transition. Terms hold the outcome alone.",
    )
    price: Words | None = Field(
        default=None, examples=["8.00 USDC"], description="For each outcome, in tokens."
    )
    share: Words | None = Field(
        default=None, examples=["10 %"], description="Of the value of the outcome's event."
    )
    at_most: Annotated[int, Field(ge=1, le=10**12)] | None = Field(
        default=None, examples=[50], description="How many outcomes the budget pays for."
    )
    budget: Words | None = Field(default=None, examples=["400.00"], description="Or the budget.")
    token: Words | None = Field(default=None, examples=["USDC"], description="Symbol or address.")
    opens_in: Words | None = Field(default=None, examples=["1 day"], description="From now.")
    opens_at: Words | None = Field(default=None, description="Or RFC 3339.")
    closes_in: Words | None = Field(default=None, examples=["14 days"], description="From now.")
    closes_at: Words | None = Field(default=None, description="Or RFC 3339.")
    window: Words | None = Field(
        default=None, examples=["7 days"], description="The longest time from touch to outcome."
    )
    repeatable: bool | None = Field(default=None, description="Whether a lead may count again.")
    exclusive: bool | None = None
    hold: Words | None = Field(
        default=None, examples=["3 days"], description="How long earnings are held for refunds."
    )
    hold_share: Words | None = Field(default=None, description="How much of them: all if not told.")
    challenge: Words | None = None
    arbitration: Words | None = None
    arbiter: Words | None = Field(default=None, description="An address, or `none`.")
    claims: Words | None = None
    grace: Words | None = None
    rate_cap: Words | None = None
    rate_period: Words | None = None
    payee: Words | None = Field(default=None, description="The operator if not told.")
    agent_id: Words | None = Field(default=None, description="An ERC-8004 id, or `none`.")


class NewDraft(Body):
    """A short deal to be made into complete terms."""

    deal: Deal
    operator: Address | None = Field(
        default=None, description="The operator it is for; an operator drafts for itself."
    )
    salt: Word | None = Field(
        default=None, description="Thirty-two bytes that make the terms unique; random if null."
    )


# --- Proposals ------------------------------------------------------------------------------------


class NewProposal(Body):
    """Terms that the operator has signed (EIP-712, the escrow's domain)."""

    terms: TermsDocument
    operator_signature: Signature
    answers: Word | None = Field(
        default=None,
        description="The proposal that this is the next version of; that one ends. At most 10.",
    )
    offer: Word | None = Field(
        default=None, description="The standing offer that this is made from."
    )


class NewCounter(Body):
    """An owner's answer to a proposal: a deal that it would sign instead, unsigned as yet."""

    deal: Deal


class Acceptance(Body):
    """The owner's signature over the same digest, the contract id."""

    owner_signature: Signature


# --- Offers ---------------------------------------------------------------------------------------


class NewOffer(Body):
    """A standing offer: a deal for as many operators as it has places.

    The deal's `budget` (or `at_most`) is what an operator may have once it has used its first.
    `closes_in` says how long each contract is open.
    """

    deal: Deal
    first_budget: Words | None = Field(
        default=None,
        examples=["40.00"],
        description="An operator's first budget; a tenth of the other if it is not told, or one "
        "outcome.",
    )
    places: Annotated[int, Field(ge=1, le=1_000)] = Field(
        default=1, description="How many operators can take it."
    )
    level: Annotated[int, Field(ge=1, le=3)] = Field(
        default=1, description="The least trust level of a taker."
    )
    ends_in: Words = Field(default="90 days", examples=["90 days"])


class OfferTaking(Body):
    """A draft from a standing offer: what an operator may choose."""

    payee: Address | None = None
    agent_id: Units | None = None
    opens_in: Words | None = Field(default=None, examples=["1 day"], description="7 days at most.")
    budget: Words | None = Field(default=None, description="The most that you may have, if null.")
    salt: Word | None = None
