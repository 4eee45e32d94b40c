"""An owner's rules by which a program may sign for it, and the judging of a proposal by them.

The rules stand on the owner's own machine. They pin every term that a contract from an offer has,
so that no server can have another one signed, and bound the budgets that are signed.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from orchestrator.core.common.document import check_keys, read_integer, read_table
from orchestrator.core.common.errors import DocumentError
from orchestrator.core.common.units import AMOUNT_LIMIT, DAY_S
from orchestrator.core.deals.mandate import SignedBudget
from orchestrator.core.deals.terms import TERM_NAMES, TIME_S_LIMIT, Terms

# What each contract from an offer has of its own. All other terms are pinned.
OWN_TERMS = frozenset(
    {
        "operator",
        "payee",
        "budget_units",
        "opens_at_s",
        "deadline_s",
        "agent_id_plus_one",
        "salt",
    }
)
_CEILINGS = ("per_contract_units", "outstanding_units", "a_day_units")
_MOST_CHAIN_ID = 2**63 - 1


class PinnedOffer(NamedTuple):
    """An offer as its owner knows it: the fixed terms, and how long a contract from it lasts."""

    terms: Mapping[str, object]
    lasts_s: int


class AcceptanceRules(NamedTuple):
    """The rules of one owner. Ceilings are on signed budgets, in base units."""

    chain_id: int
    escrow: str
    level: int
    per_contract_units: int
    outstanding_units: int
    a_day_units: int
    offers: Mapping[str, PinnedOffer]


def parse_rules(document: object) -> AcceptanceRules:
    """Read a rules document. Raises `DocumentError` for one that leaves anything open."""
    table = read_table(document, "the rules")
    check_keys(table, {*AcceptanceRules._fields}, set(), "the rules")
    escrow = table["escrow"]
    if not isinstance(escrow, str):
        raise DocumentError("escrow-malformed", "escrow must be an address, as text")
    most = AMOUNT_LIMIT - 1
    ceilings = {name: read_integer(table[name], name, 0, most) for name in _CEILINGS}
    return AcceptanceRules(
        chain_id=read_integer(table["chain_id"], "chain_id", 1, _MOST_CHAIN_ID),
        escrow=escrow,
        level=read_integer(table["level"], "level", 1, 3),
        offers={
            name: _pinned(offer, f"offer {name}")
            for name, offer in read_table(table["offers"], "offers").items()
        },
        **ceilings,
    )


def _pinned(value: object, where: str) -> PinnedOffer:
    table = read_table(value, where)
    check_keys(table, {"terms", "lasts_s"}, set(), where)
    terms = read_table(table["terms"], f"{where}: terms")
    check_keys(terms, set(TERM_NAMES) - OWN_TERMS, set(), f"{where}: terms")
    lasts_s = read_integer(table["lasts_s"], f"{where}: lasts_s", 0, TIME_S_LIMIT - 1)
    return PinnedOffer(terms, lasts_s)


def reasons_against(
    rules: AcceptanceRules,
    terms: Terms,
    offer: str | None,
    level: int,
    signed: Iterable[SignedBudget],
    now_s: int,
) -> list[str]:
    """Return why these terms are not signed: nothing if the rules cover them wholly.

    `signed` is all that was signed before, by these rules.
    """
    pinned = rules.offers.get(offer or "")
    if pinned is None:
        return [f"it is from {f'offer {offer}' if offer else 'no offer'}, which the rules lack"]
    told = terms.to_json()
    reasons = [
        f"{name} is {told[name]}; the rules say {wanted}"
        for name, wanted in pinned.terms.items()
        if told[name] != wanted or type(told[name]) is not type(wanted)
    ]
    if terms.deadline_s - terms.opens_at_s > pinned.lasts_s:
        reasons.append(
            f"it lasts {terms.deadline_s - terms.opens_at_s} s; the rules allow {pinned.lasts_s} s"
        )
    if level < rules.level:
        reasons.append(f"the operator has level {level}; the rules ask for {rules.level}")
    earlier = list(signed)
    spent = {
        "per_contract_units": 0,
        "outstanding_units": sum(one.budget_units for one in earlier if one.bound_until_s >= now_s),
        "a_day_units": sum(one.budget_units for one in earlier if one.signed_s > now_s - DAY_S),
    }
    reasons += [
        f"{name} would be {spent[name] + terms.budget_units}; the rules allow "
        f"{getattr(rules, name)}"
        for name in _CEILINGS
        if spent[name] + terms.budget_units > getattr(rules, name)
    ]
    return reasons
