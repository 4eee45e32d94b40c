"""A second opinion on what contracts pay: the rules, written as plainly as they read.

It keeps everything and scans everything, shares no code with the product, and is only for tests.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any


@dataclass
class Paid:
    contract: dict[str, Any]
    lead: str
    state: str
    time: int
    amount: int
    is_reversed: bool = False


def judge(
    policy: dict[str, Any], contracts: list[dict[str, Any]], rows: list[tuple[Any, ...]]
) -> dict[str, Any]:
    """`rows` in order: ("touch", time, lead, operator) or ("event", time, lead, event, value)."""
    state: dict[str, str] = {}
    touches: list[tuple[int, int, str, str]] = []
    paid: list[Paid] = []
    counted: set[tuple[str, str]] = set()
    lines: list[tuple[Any, ...]] = []
    verdicts = {"accepted": 0, "refused": 0, "ignored": 0}
    over = {c["id"]: 0 for c in contracts}

    def total(contract: dict[str, Any], *, reversed_only: bool = False) -> int:
        mine = [p for p in paid if p.contract is contract]
        return sum(p.amount for p in mine if p.is_reversed or not reversed_only)

    for order, row in enumerate(rows):
        kind, now, lead = row[0], row[1], row[2]
        state.setdefault(lead, policy["initial"])
        if kind == "touch":
            touches.append((order, now, lead, row[3]))
            continue
        event, value = row[3], row[4]
        undone = [r["of"] for r in policy["reversals"] if r["on"] == event]
        named = [t for t in policy["transitions"] if t["on"] == event]
        moves = [t for t in named if state[lead] in t["from"]]
        if not undone and not named:
            verdicts["ignored"] += 1
            continue
        if not undone and not moves:
            verdicts["refused"] += 1
            continue
        verdicts["accepted"] += 1
        for of in undone:
            alive = [p for p in paid if p.lead == lead and p.state == of and not p.is_reversed]
            if alive and now - alive[-1].time <= alive[-1].contract["holdback_s"]:
                alive[-1].is_reversed = True
        if not moves:
            continue
        state[lead] = to = moves[0]["to"]
        claims = []
        for opened, c in enumerate(contracts):
            if c["outcome"] != to or not c["opens_at"] <= now <= c["deadline"]:
                continue
            if not c["repeatable"] and (c["id"], lead) in counted:
                continue
            counting = [
                t
                for t in touches
                if t[2] == lead and t[3] == c["operator"] and c["opens_at"] <= t[1] <= now
            ]
            if not counting:
                continue
            chosen = counting[0] if policy["attribution"] == "first_touch" else counting[-1]
            if now - chosen[1] <= c["attribution_window_s"]:
                sign = 1 if policy["attribution"] == "first_touch" else -1
                claims.append((sign * chosen[0], opened, c, chosen))
        if not claims:
            continue
        _, _, c, chosen = min(claims, key=lambda claim: claim[:2])
        amount = c["unit_price"] + int(Fraction(value * c["revenue_share_bps"], 10_000))
        counted.add((c["id"], lead))
        fits = total(c) - total(c, reversed_only=True) + amount <= c["budget"]
        if fits:
            paid.append(Paid(c, lead, to, now, amount))
        else:
            over[c["id"]] += amount
        lines.append((c["id"], lead, now, chosen[1], value, amount if fits else 0))
    totals = {}
    for c in contracts:
        mine = [p for p in paid if p.contract is c]
        back = [p for p in mine if p.is_reversed]
        earned, taken = sum(p.amount for p in mine), sum(p.amount for p in back)
        totals[c["id"]] = {
            "outcomes": len(mine),
            "reversed": len(back),
            "earned_units": str(earned),
            "reversed_units": str(taken),
            "over_budget_units": str(over[c["id"]]),
            "payable_units": str(earned - taken),
        }
    return {"contracts": totals, "events": verdicts, "outcomes": lines}
