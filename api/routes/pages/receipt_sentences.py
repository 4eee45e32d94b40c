"""The sentences of a receipt's page: what its entries say, for a person who reads it.

They say what the receipt has, and the name of the surface and the token, which the service knows.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple, cast

from api.http.fields import address
from api.routes.pages.markup import Html, tag
from orchestrator.core.common.units import format_amount
from orchestrator.core.deals.site import TokenInfo
from orchestrator.core.entries.kinds import ROLES
from orchestrator.core.entries.receipt import Proven, Receipt
from orchestrator.core.log.entry import (
    CLICK,
    unpack_outcome,
    unpack_reversal,
    unpack_settlement,
)
from orchestrator.core.log.opening import EventOpening, TransitionOpening
from orchestrator.core.world.contract import ContractRules

# Text, and what was made by `tag`.
Sentence = tuple[str, ...]
_SHOWN_DIGITS = 4
_ON_ONE_LINE = "\N{NO-BREAK SPACE}"


class Told(NamedTuple):
    """A receipt with what its sentences need beside it; `token` is None for one that is unknown."""

    receipt: Receipt
    rules: ContractRules
    surface: str
    token: TokenInfo | None

    def amount(self, units: int) -> str:
        """Write base units of the contract's token, on one line: `8.00 TUSD`."""
        if self.token is None:
            return f"{units:,}{_ON_ONE_LINE}base units"
        return f"{format_amount(units, self.token.decimals)}{_ON_ONE_LINE}{self.token.symbol}"


def summary(told: Told) -> Sentence:
    """Return the one sentence that says what the receipt shows."""
    subject = told.receipt.entries[told.receipt.subject].entry
    operator, amount = account(told.rules.operator), told.amount(subject.value)
    outcome: Sentence = (f"“{told.rules.outcome}” on surface ", tag("bdi", told.surface))
    match told.receipt.subject:
        case "outcome":
            said: Sentence = ("earns operator ", operator, f" {amount} for ", *outcome)
        case "reversal":
            said = (f"takes back {amount} that operator ", operator, " had earned for ", *outcome)
        case "settlement":
            said = (
                "states that operator ",
                operator,
                f" has earned {amount} so far for ",
                *outcome,
            )
        case _:
            how = "pays" if subject.label == "paid" else "credits"
            said = (f"{how} operator ", operator, f" {amount} for ", *outcome)
            if subject.actor != told.rules.operator:
                payee = account(subject.actor)
                earned = (" for what operator ", operator, " earned by ")
                said = (f"{how} ", payee, f" {amount}", *earned, *outcome)
    return (f"Entry {told.receipt.position} ", *said, ".")


def sentence(told: Told, role: str) -> Sentence:
    """Return what the entry of a role says."""
    return _SENTENCES[role](told, told.receipt.entries[role])


def money(told: Told) -> Iterator[tuple[str, str]]:
    """Yield what the receipt's money adds up to, each sum after its name."""
    entries = told.receipt.entries
    if "outcome" in entries:
        yield "Earned by the outcome", told.amount(entries["outcome"].entry.value)
    if "reversal" in entries:
        yield "Taken back of it", told.amount(entries["reversal"].entry.value)
    if "settlement" in entries:
        stated = unpack_settlement(entries["settlement"].entry.payload)
        yield "Earned by the contract, as stated", told.amount(stated.earned)
        yield "Taken back of that", told.amount(stated.reversed)
        yield "Payable in all", told.amount(stated.earned - stated.reversed)
    if "payout" in entries:
        entry = entries["payout"].entry
        yield f"{entry.label.capitalize()}, fee included", told.amount(entry.value)


def account(word: bytes) -> Html:
    """Return the account in a word of the log, shortened: the page has it in full elsewhere."""
    full = address(word)
    return tag("code", f"{full[: 2 + _SHOWN_DIGITS]}…{full[-_SHOWN_DIGITS:]}")


# --- By role --------------------------------------------------------------------------------------


def _touch(_: Told, proven: Proven) -> Sentence:
    label, operator = proven.entry.label, account(proven.entry.actor)
    if proven.entry.kind == "touch":
        return ("Operator ", operator, f" acted on the lead: “{label}”.")
    if label == CLICK:
        return ("The lead came by a code of operator ", operator, ".")
    return (f"“{label}” was carried out on the lead, as operator ", operator, " had asked.")


def _transition(told: Told, proven: Proven) -> Sentence:
    entry, before = proven.entry, cast(TransitionOpening, proven.opening).from_state
    brought = f", which brought {told.amount(entry.value)}" if entry.value else ""
    return (f"The owner reported that the lead went from “{before}” to “{entry.label}”{brought}.",)


def _outcome(told: Told, proven: Proven) -> Sentence:
    facts = unpack_outcome(proven.entry.payload)
    rule = told.rules.attribution.replace("_", " ")
    earned = (
        f"This earns {told.amount(proven.entry.value)} by the contract: the touch in entry "
        f"{facts.touch} won the transition in entry {facts.transition} by {rule}. "
    )
    after = told.amount(facts.earned_after)
    return (earned, f"It is outcome {facts.n:,} of the contract, and makes {after} in all.")


def _event(told: Told, proven: Proven) -> Sentence:
    opening = cast(EventOpening, proven.opening)
    units = opening.refunded_after_units - opening.refunded_before_units
    part = "all that was left" if opening.whole else told.amount(units)
    label, of = proven.entry.label, opening.of
    return (
        f"The owner reported “{label}”, which takes back {part} of the transition, entry {of}.",
    )


def _reversal(told: Told, proven: Proven) -> Sentence:
    facts = unpack_reversal(proven.entry.payload)
    amount = told.amount(proven.entry.value)
    taken = f"So {amount} of the outcome, entry {facts.outcome}, is not earned any more. "
    after = told.amount(facts.reversed_after)
    return (taken, f"It is reversal {facts.n:,} of the contract, and makes {after} in all.")


def _settlement(told: Told, proven: Proven) -> Sentence:
    stated = unpack_settlement(proven.entry.payload)
    earned, taken = told.amount(stated.earned), told.amount(stated.reversed)
    said = f" states what the contract has come to: {earned} earned, {taken} taken back."
    return ("Verifier ", account(proven.entry.actor), said)


def _payout(told: Told, proven: Proven) -> Sentence:
    amount, payee = told.amount(proven.entry.value), account(proven.entry.actor)
    if proven.entry.label == "paid":
        return (f"The escrow paid {amount}, fee included, to ", payee, ".")
    kept = ", and keeps it as a credit that the payee can withdraw."
    return (f"The escrow could not transfer {amount}, fee included, to ", payee, kept)


_SENTENCES: dict[str, Callable[[Told, Proven], Sentence]] = dict(
    zip(
        ROLES,
        (_touch, _transition, _event, _outcome, _reversal, _settlement, _payout),
        strict=True,
    )
)
