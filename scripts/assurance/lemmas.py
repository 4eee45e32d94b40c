"""Consequences of the formulas of a payout, proven over the integers by Z3.

Halmos proves, in tests/contracts/symbolic, that the contracts compute exactly these formulas; its
solvers of fixed-size words do not decide products of two unknowns, and Z3's integers do.
scripts/assurance/prove.py runs this in halmos's own environment. `--with-fault` leaves out the
premise of each lemma, which must then have a counterexample: so it shows that the premise is used.
A lemma that Z3 does not decide in time fails in both.
"""

import sys
from typing import Any, NamedTuple

import z3

BPS = 10_000
TIMEOUT_MS = 20_000


class Lemma(NamedTuple):
    """A lemma on all integers: where `assumptions` and `premise` hold, so does all of `follows`."""

    name: str
    assumptions: list[Any]
    premise: Any
    follows: list[Any]


def _floor(product: Any, called: str) -> tuple[Any, list[Any]]:
    """Return floor(product / 10^4) and the constraints that define it."""
    share, rest = z3.Ints(f"{called} {called}_rest")
    return share, [product == BPS * share + rest, rest >= 0, rest < BPS]


def lemmas() -> list[Lemma]:
    # F(x) = floor(x * bps / 10^4), before and after `more` is paid; the products of two unknowns
    # are `paid * bps` and `more * bps`, of which only the first lemma knows that they are products.
    more, bps, paid_bps, more_bps = z3.Ints("more bps paid_bps more_bps")
    before, is_before = _floor(paid_bps, "before")
    after, is_after = _floor(paid_bps + more_bps, "after")
    held, is_held = _floor(more_bps, "held")

    # A bucket of half the cap: it held `level`, `leak` of it is gone, and `amount` is paid now.
    # Since some moment `sum_paid` was paid and `leaked` leaked.
    half, level, leak, amount = z3.Ints("half level leak amount")
    sum_paid, leaked = z3.Ints("sum_paid leaked")
    left = z3.If(leak < level, level - leak, 0)
    bucket = [half >= 0, level >= 0, level <= half, leak >= 0, amount >= 0, leaked >= 0]

    # A split: the parts of some payees, together `parts`, of products that come to `products`, and
    # the next payee's.
    parts, products, product, received = z3.Ints("parts products product received")
    part, is_part = _floor(product, "part")
    return [
        Lemma(
            "a share of at most the whole is at most the whole, and not negative",
            [more >= 0, bps >= 0, more_bps == more * bps],
            bps <= BPS,
            [more_bps >= 0, more_bps <= BPS * more],
        ),
        Lemma(
            "so a fee is part of the payment, and not negative",
            [more >= 0, paid_bps >= 0, *is_before, *is_after],
            z3.And(more_bps >= 0, more_bps <= BPS * more),
            [after - before >= 0, after - before <= more],
        ),
        Lemma(
            "and what is held back is part of what is young, and not negative",
            [more >= 0, *is_held],
            z3.And(more_bps >= 0, more_bps <= BPS * more),
            [held >= 0, held <= more],
        ),
        Lemma(
            "since a bucket was looked at, no more was paid than is in it now and has leaked",
            [*bucket, sum_paid <= level + leaked],
            amount <= half - left,
            [sum_paid + amount <= left + amount + leaked + leak, left + amount <= half],
        ),
        Lemma(
            "so within a period, in which half of the cap leaks, no more than the cap is paid",
            [*bucket, sum_paid <= level + leaked],
            leaked <= half,
            [sum_paid <= 2 * half],
        ),
        Lemma(
            "with each payee, the parts of a split stay at most what they are rounded from",
            is_part,
            BPS * parts <= products,
            [BPS * (parts + part) <= products + product],
        ),
        Lemma(
            "so if the shares are the whole, all parts are at most what was received",
            [BPS * parts <= products],
            products == BPS * received,
            [parts <= received],
        ),
    ]


def verdict(lemma: Lemma, *, with_fault: bool) -> str:
    """Return PROVEN, REFUTED if there is a counterexample, or UNKNOWN.

    With a fault, the verdict is on the lemma without its premise.
    """
    answers = []
    for conclusion in lemma.follows:
        solver = z3.Solver()
        solver.set("timeout", TIMEOUT_MS)
        solver.add(*lemma.assumptions, z3.Not(conclusion))
        if not with_fault:
            solver.add(lemma.premise)
        answers.append(solver.check())
    if z3.sat in answers:
        return "REFUTED"
    return "UNKNOWN" if z3.unknown in answers else "PROVEN"


def main(arguments: list[str]) -> int:
    with_fault = arguments == ["--with-fault"]
    wanted = "REFUTED" if with_fault else "PROVEN"
    results = {lemma.name: verdict(lemma, with_fault=with_fault) for lemma in lemmas()}
    for name, found in results.items():
        print(f"[{found}] {name}")
    return any(found != wanted for found in results.values())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
