"""Suggested terms: the price at which a history would have paid within a budget, in plain words.

What a contract would have paid for is counted by the rules themselves: all operators of the history
as one, under a contract that pays for a state.
"""

from typing import NamedTuple

from orchestrator.core.common.units import BPS, DAY_S, TOKEN_DECIMALS, counted, format_amount
from orchestrator.core.growth.report import Lift, format_share, nearest
from orchestrator.core.surface.policy import Policy

_CENT_UNITS = 10 ** (TOKEN_DECIMALS - 2)


class Target(NamedTuple):
    """A state that transitions of a motion lead into, as a contract would pay for it."""

    state: str
    repeatable: bool


class Suggestion(NamedTuple):
    """The terms that a history suggests for one target, and the figures that they rest on.

    `entered` counts all transitions into the state, `outcomes` those that a touch won. `price`
    is None where there is none to pay for, or the budget is too small for any price.
    """

    motion: str
    target: Target
    window_s: int
    budget_units: int
    entered: int
    outcomes: int
    revenue_units: int
    refunded_units: int
    lift: Lift
    price_units: int | None

    def to_json(self) -> dict[str, object]:
        return {
            "motion": self.motion,
            "outcome": self.target.state,
            "repeatable": self.target.repeatable,
            "attribution_window_s": self.window_s,
            "budget_units": str(self.budget_units),
            "transitions": self.entered,
            "outcomes": self.outcomes,
            "unit_price_units": None if self.price_units is None else str(self.price_units),
            "words": self.words(),
        }

    def words(self) -> list[str]:
        """Return the suggestion in sentences."""
        days = nearest(self.window_s, DAY_S) or 0
        all_entries = (
            f"Leads entered {self.target.state!r} {counted(self.entered, 'time')} in this history, "
            f"{self.outcomes:,} of them within {counted(days, 'day')} of a touch: these a "
            f"contract would "
            f"have paid for."
        )
        said = [all_entries]
        if self.price_units is None:
            said.append(
                "There is nothing to set a price by: give the touches of the history, or a longer "
                "window."
                if not self.outcomes
                else f"A budget of {format_amount(self.budget_units)} is too small for that many."
            )
            return said
        spent = self.price_units * self.outcomes
        said.append(
            f"With a budget of {format_amount(self.budget_units)}, a price of "
            f"{format_amount(self.price_units)} for an outcome pays all of them: "
            f"{format_amount(spent)} in all."
        )
        net = self.revenue_units - self.refunded_units
        if net > 0:
            each = nearest(net, self.outcomes) or 0
            share = nearest(spent * BPS, net)
            said.append(
                f"One brought {format_amount(each)} on average after refunds, so that "
                f"{format_share(share)} of the revenue would have been paid out"
                + (", which is more than all of it." if spent > net else ".")
            )
        gained, expected = self.lift.gained, self.lift.expected
        if expected is not None and gained is not None:
            said.append(
                f"Of untouched leads {format_share(self.lift.organic_bps)} entered it as well, of "
                f"touched ones {format_share(self.lift.touched_bps)}: of "
                f"{self.lift.touched_entered:,} touched leads about {expected:,} would have come "
                f"anyway."
            )
            if gained > 0:
                said.append(
                    f"Each of the {gained:,} that came on top would have cost "
                    f"{format_amount(nearest(spent, gained) or 0)}."
                )
        return said


def targets_of(policy: Policy, motion: str) -> list[Target]:
    """Return the states that a motion leads into; one that it comes back to pays repeatedly."""
    found: dict[str, bool] = {}
    for move in policy.transitions:
        if move.motion == motion:
            found[move.to] = found.get(move.to, False) or move.to in move.from_states
    return [Target(*one) for one in found.items()]


def price_within(budget_units: int, outcomes: int) -> int | None:
    """Return the highest price for an outcome that pays so many within a budget, in whole cents.

    Where that is less than a cent it is in units. None where there is no such price.
    """
    if not outcomes:
        return None
    price = budget_units // outcomes
    if price >= _CENT_UNITS:
        price -= price % _CENT_UNITS
    return price or None
