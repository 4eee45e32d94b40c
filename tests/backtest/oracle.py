"""A second opinion on what contracts pay: the rules, written as plainly as they read.

It keeps everything and scans everything, shares no code with the product, and is only for tests.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any


@dataclass
class Paid:
    contract: dict[str, Any]
    time: int
    amount: int
    taken: int = 0
    times_taken: int = 0


@dataclass
class Bought:
    lead: str
    state: str
    value: int
    order: str | None
    paid: Paid | None = None
    refunded: int = 0
    is_spent: bool = False

    def give_back(self, now: int, value: int | None) -> None:
        """Give back a part of the value, or all of it."""
        paid = self.paid
        if self.is_spent or (paid and now - paid.time > paid.contract["holdback_s"]):
            return
        self.refunded = self.value if value is None else min(self.value, self.refunded + value)
        self.is_spent = self.refunded == self.value
        if paid is None:
            return
        due = paid.amount
        if not self.is_spent:
            due = int(Fraction(self.refunded * paid.contract["revenue_share_bps"], 10_000))
        paid.times_taken += due > paid.taken or self.is_spent
        paid.taken = due


def judge(
    policy: dict[str, Any], contracts: list[dict[str, Any]], rows: list[tuple[Any, ...]]
) -> dict[str, Any]:
    """`rows` in order: ("touch", time, lead, operator) or
    ("event", time, lead, event, value or None, order or None)."""
    state: dict[str, str] = {}
    touches: list[tuple[int, int, str, str]] = []
    paid: list[Paid] = []
    bought: list[Bought] = []
    counted: set[tuple[str, str]] = set()
    lines: list[tuple[Any, ...]] = []
    verdicts = {"accepted": 0, "refused": 0, "ignored": 0}
    turned_away = {"order-unknown": 0, "order-taken": 0, "order-ambiguous": 0}
    reversible = {r["of"] for r in policy["reversals"]}
    selling = {t["on"] for t in policy["transitions"] if t["to"] in reversible}
    sold_into = {t["to"] for t in policy["transitions"] if t["on"] in selling}
    unfounded: dict[str, list[str]] = {}
    over = {c["id"]: 0 for c in contracts}

    for place, row in enumerate(rows):
        kind, now, lead = row[0], row[1], row[2]
        state.setdefault(lead, policy["initial"])
        if kind == "touch":
            touches.append((place, now, lead, row[3]))
            continue
        event, value, order = row[3], row[4], row[5]
        undone = [r["of"] for r in policy["reversals"] if r["on"] == event]
        named = [t for t in policy["transitions"] if t["on"] == event]
        moves = [t for t in named if state[lead] in t["from"]]
        if not undone and not named:
            verdicts["ignored"] += 1
            continue
        entered = moves[0]["to"] if moves else named[0]["to"] if named else None
        if not undone and not moves:
            verdicts["refused"] += 1
            if order and entered in sold_into:
                unfounded.setdefault(lead, []).append(order)
            continue
        ordered = [b for b in bought if b.lead == lead and order and b.order == order]
        if undone and order and moves and moves[0]["to"] in reversible:
            turned_away["order-ambiguous"] += 1
            continue
        if undone and order and not ordered and order not in unfounded.get(lead, [])[-100:]:
            turned_away["order-unknown"] += 1
            continue
        if not undone and moves[0]["to"] in reversible and ordered:
            turned_away["order-taken"] += 1
            continue
        verdicts["accepted"] += 1
        if undone and ordered and ordered[0].state in undone:
            ordered[0].give_back(now, value)
        for of in [] if order else undone:
            alive = [b for b in bought if b.lead == lead and b.state == of and b.paid]
            alive = [b for b in alive if not b.is_spent]
            if alive:
                alive[-1].give_back(now, None)
        if not moves:
            continue
        value = value or 0
        state[lead] = to = moves[0]["to"]
        if order and to in sold_into - reversible:
            unfounded.setdefault(lead, []).append(order)
        if to in reversible:
            bought.append(Bought(lead, to, value, None if undone else order))
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
        mine = [p for p in paid if p.contract is c]
        fits = sum(p.amount - p.taken for p in mine) + amount <= c["budget"]
        if fits:
            paid.append(Paid(c, now, amount))
            if to in reversible:
                bought[-1].paid = paid[-1]
        else:
            over[c["id"]] += amount
        lines.append((c["id"], lead, now, chosen[1], value, amount if fits else 0))
    totals = {}
    for c in contracts:
        mine = [p for p in paid if p.contract is c]
        earned, taken = sum(p.amount for p in mine), sum(p.taken for p in mine)
        totals[c["id"]] = {
            "outcomes": len(mine),
            "reversed": sum(p.times_taken for p in mine),
            "earned_units": str(earned),
            "reversed_units": str(taken),
            "over_budget_units": str(over[c["id"]]),
            "payable_units": str(earned - taken),
        }
    return {
        "contracts": totals,
        "events": verdicts,
        "turned_away": {code: count for code, count in turned_away.items() if count},
        "refunded": {
            c["id"]: sum(b.refunded for b in bought if b.paid and b.paid.contract is c)
            for c in contracts
        },
        "outcomes": lines,
    }
