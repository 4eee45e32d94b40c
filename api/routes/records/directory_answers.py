"""The directory's answers: figures of surfaces and operators, each with the entries behind it."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from api.http.answers import NEXT_AFTER
from api.http.fields import Address, Bps, Position, Units, Word
from api.routes.surfaces.answers import Surface

# --- Figures --------------------------------------------------------------------------------------


class Figure(BaseModel):
    """A number of the directory, and the entries behind it."""

    count: int
    units: Units | None = Field(description="The sum, in base units; null where there is none.")
    positions: list[Position] = Field(description="The newest of the entries, the last first.")
    href: str = Field(description="The stream of all of them.")


class Share(BaseModel):
    """A part of a whole, in basis points; null of nothing."""

    part: Figure
    whole: Figure
    bps: Bps | None


class Delay(BaseModel):
    """The median of times, by the bounds of the class that holds it: an eighth apart at most."""

    at_least_s: int
    at_most_s: int
    times: Figure


class Disputes(BaseModel):
    """The contracts, of the newest 200, that a party has disputed on chain, in final blocks."""

    contracts: int
    disputed: int
    bps: Bps | None
    transactions: list[Word] = Field(description="Transactions that disputed, at most 5.")


class BudgetSize(BaseModel):
    """A class of contracts by their budgets: those of one number of digits."""

    at_least_units: Units
    below_units: Units


class MoneyLine(BaseModel):
    """The sums of contracts of one motion, token and size."""

    motion: Literal["acquisition", "activation", "conversion", "expansion", "several"] = Field(
        description="Of the transitions into the state that they pay for."
    )
    token: Address
    size: BudgetSize | None = Field(description="Null where all sizes are together.")
    opened: Figure = Field(description="Contracts, with their budgets.")
    closed: Figure = Field(description="Contracts that both parties closed.")
    outcomes: Figure
    over: Figure = Field(description="Outcomes that were over a budget.")
    reversed: Figure
    stated: Figure = Field(description="Statements; their sum is what they say is payable.")
    paid: Figure = Field(description="Payouts, gross.")


class LiveContracts(BaseModel):
    """The live ones of a surface's newest 200 contracts. Each budget is escrowed in full."""

    token: Address
    contracts: int
    budget_units: Units
    owed_units: Units = Field(description="Earned less reversed, whether stated or paid or not.")
    positions: list[Position] = Field(description="The newest openings, the last first.")


class Keeping(BaseModel):
    """The keeping of contracts, by the log and the chain alone."""

    verification: Delay | None = Field(
        description="From the receipt of the oldest outcome that a statement newly states, to it."
    )
    payout: Delay | None = Field(
        description="From the receipt of the oldest outcome that was stated and followed by no "
        "payout, to the next payout."
    )
    reversals: Share
    disputes: Disputes


# --- Surfaces -------------------------------------------------------------------------------------


class ListedSurface(Surface, Keeping):
    """A surface of the directory."""

    motions: list[Literal["acquisition", "activation", "conversion", "expansion"]]
    live: list[LiveContracts]
    acknowledged: Share = Field(description="Requested actions that the owner's side carried out.")


class Surfaces(BaseModel):
    surfaces: list[ListedSurface]
    next: Annotated[Word | None, NEXT_AFTER]


class SurfaceTotals(BaseModel):
    """The spending of a surface by motion, and the counts of what happened on it."""

    surface: Word
    spend: list[MoneyLine]
    events: dict[str, Figure] = Field(description="By kind of entry.")


# --- Operators ------------------------------------------------------------------------------------


class ListedOperator(Keeping):
    """An operator of the directory."""

    operator: Address
    registered: Position
    outcomes: Figure = Field(description="Of all motions and tokens: units of different tokens.")
    acts: dict[str, Figure] = Field(description="By kind of entry.")


class Operators(BaseModel):
    operators: list[ListedOperator]
    next: Annotated[Word | None, NEXT_AFTER]


class RecordOnSurface(BaseModel):
    """The work of an operator on a surface, and its level there."""

    surface: Word
    level: int = Field(ge=0, le=3)
    ground: Literal["none", "contract", "forecasts", "results"]
    is_suspended: bool
    forecasts_counted: int
    skill_bps: int | None
    money: list[MoneyLine]
    acts: dict[str, Figure] = Field(description="By kind of entry.")


class OperatorRecord(ListedOperator):
    """An operator's record: all surfaces together, and a page of them one by one."""

    money: list[MoneyLine]
    surfaces: list[RecordOnSurface]
    next: Annotated[Word | None, NEXT_AFTER]
