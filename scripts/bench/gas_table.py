"""The command that measures the gas of every transaction, beside peers and the chain's floor.

    scripts/bench/gas [--check]

Runs the gas tests (tests/contracts/gas), which leave every figure in tests/contracts/snapshots, and
writes the table between the two marks of docs/benchmarks.md. With --check nothing is written: the
tests compare with the snapshots, and the page must be the one that they give.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/benchmarks.md"
SNAPSHOTS = ROOT / "tests/contracts/snapshots"
BEGIN, END = "<!-- gas: begin -->\n", "<!-- gas: end -->\n"
TESTS = "tests/contracts/gas/*.t.sol"

# EIP-2929 and EIP-2200: two cold words, one of them written.
TWO_WORDS = 2_100 + 2_900 + 2_100
# A log with three topics and three words of data.
PAID_EVENT = 375 + 3 * 375 + 8 * 96
PAYEES = 100


class Figures(NamedTuple):
    """Whole-transaction gas by name, and EIP-7623's floor for the same calldata."""

    gas: dict[str, int]
    floor: dict[str, int]

    def calldata(self, name: str) -> int:
        """Return the gas of the calldata apart from the floor: 4 a token instead of 10."""
        return (self.floor[name] - 21_000) // 10 * 4


class Row(NamedTuple):
    """A settlement: its name in the snapshots, its outcomes and its payees."""

    name: str
    outcomes: int
    payees: str  # names a payment of the floor; of a round, the settlement alone
    target: int  # gas an outcome; zero: none


# For payees that are known; a fresh one's balance costs 17,100 more, from any contract.
AIMS = {1: 95_000, 10: 0, 50: 1_900, 256: 0, 1000: 0}
SETTLEMENTS = [
    *(
        Row(
            f"settle {n} outcome{'s' if n > 1 else ''}, payee {payee}",
            n,
            f"1, payee {payee}",
            aim if payee == "known" else 0,
        )
        for payee in ("known", "fresh")
        for n, aim in AIMS.items()
    ),
    Row("settle 50 x 1 outcomes, one payee known", 50, "1, payee known", 0),
    Row("settle 100 x 100 outcomes, one payee known", 10_000, "1, payee known", 200),
    Row("settle 100 x 100 outcomes, 100 payees known", 10_000, "100, payee known", 200),
    Row("settle 100 x 100 outcomes, 100 payees fresh", 10_000, "100, payee fresh", 0),
]
# The same with the anchor in it: one transaction, where the rows above need one more.
ROUNDS = [
    Row("round of 1 outcome, payee known", 1, "settle 1 outcome, payee known", 150_000),
    Row(
        "round of 100 x 100 outcomes, 100 payees known",
        10_000,
        "settle 100 x 100 outcomes, 100 payees known",
        240,
    ),
]
OTHERS = {
    "Anchoring": [
        "publish",
        "publish by signature",
        "publish, 22 hashes",
    ],
    "Opening and ending": [
        "open",
        "open, first of its outcome",
        "open, guarded",
        "open with permit",
        "close",
        "refund",
        "withdraw fees",
    ],
    "Splits, whose payees are known": [
        f"{what} of {count}{when}"
        for count in (2, 32)
        for what, whens in (
            ("create a split", ("",)),
            ("release a part", (", first time", ", again")),
            ("release all parts", (", first time", ", again")),
        )
        for when in whens
    ],
    "Contracts that do not pay at once": [
        "settle 50 outcomes, challenged",
        "release, payee known",
        "release, payee fresh",
        "settle 50 outcomes, holdback",
        "release of what was held back",
        "settle 50 outcomes, rate cap",
        "dispute",
        "rule",
    ],
    "Evidence, in a log of 2^30 entries": [
        "disprove duplicate, 2 entries",
        "disprove transition, 2 entries",
        "disprove touch, 2 entries",
        "disprove touch_order, 2 entries",
        "disprove sum, 2 entries",
        "disprove reversal, 2 entries",
        "disprove reversal, 3 entries",
        "disprove reversal, 4 entries",
        "disprove clock, 2 entries",
        "disprove cause, 3 entries",
        "disprove rival, 4 entries",
        "disprove rival, 5 entries",
        "disprove with 16 entries",
        "claim",
        "refute rival, 3 entries",
        "refute taken, 3 entries",
        "refute earlier, 4 entries",
        "refute reversed, 1 entry",
        "prove a reversal, 2 entries",
        "prove a partial reversal, 3 entries",
        "release of a claim, payee known",
        "release of a claim, payee fresh",
    ],
}
TARGETS = {
    "publish": 90_000,
    "open, first of its outcome": 300_000,
    "release, payee known": 120_000,
    "disprove rival, 4 entries": 270_000,
}
# Name, what one transaction pays.
PEERS = {
    "transfer": 1,
    "bare payment of 1": 1,
    "bare payment of 100": PAYEES,
    "batch payment of 100": PAYEES,
    "claim from a Merkle distributor": 1,
}
ROOTS = ["bare root, the last alone", "bare root, all kept", "root of a Merkle distributor"]
# Base's Flywheel with the same compiler and token, measured apart from this run: the case, gas a
# transaction there over the variants of the case, and our row for it.
FLYWHEEL = [
    ("one conversion", "95,000 to 124,000", "settle 1 outcome, payee known"),
    ("50 conversions of one operator", "617,000 to 1,147,000", "settle 50 outcomes, payee known"),
    (
        "50 conversions, each of a contract of its own",
        "not known",
        "settle 50 x 1 outcomes, one payee known",
    ),
]
# Gas a payment, payee known, as authors or chains have published it; not measured here.
PUBLISHED = [
    ("plain ERC-20 transfer, payee known", "34,300"),
    ("Disperse, a batch of 100 known payees", "9,700"),
    ("x402, batch claim and settle", "45,000"),
    ("1inch Merkle drop: set root / claim", "30,000 / 52,000 to 57,000"),
    ("Morpho rewards claim", "54,000 to 60,000"),
    ("Merkl claim", "84,000"),
    ("commerce-payments, authorize and capture", "180,000"),
    ("ERC-8183 job, five calls", "481,000"),
    ("EAS timestamp of a root", "46,000"),
    ("Morpho root behind a timelock", "136,000"),
]

INTRO = """\
Whole transactions as `forge test --isolate` measures them: 21,000, calldata, all storage cold, and
EIP-7623's floor where that is more; a test of its own holds the measure to those rules. The log is
a million entries long, and statements are its last entries, as the pipeline anchors them. Every
heading says whether the anchor is in its figures. Payees
are *known* if they have the token already; the fee recipient is known, and every contract has a fee
of 2.5 %. `forge test` fails where gas differs from the committed snapshot by one unit.
`scripts/bench/gas` measures again and writes this section.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure gas and write docs/benchmarks.md.")
    parser.add_argument("--check", action="store_true", help="write nothing, fail on a difference")
    is_check = parser.parse_args().check
    if measure(is_check).returncode != 0:
        sys.exit("scripts/bench/gas: the gas tests failed")
    page = PAGE.read_text()
    written = with_section(page, section(read_figures()))
    if is_check and written != page:
        sys.exit(
            f"scripts/bench/gas: {PAGE.name} is not what the snapshots give; run scripts/bench/gas"
        )
    if not is_check:
        PAGE.write_text(written)
        print(section(read_figures()))


def measure(is_check: bool) -> "subprocess.CompletedProcess[bytes]":
    """Run the gas tests; they write the snapshots, or compare with them."""
    switches = {"FORGE_SNAPSHOT_CHECK": is_check, "FORGE_SNAPSHOT_EMIT": not is_check}
    environment = os.environ | {name: str(value).lower() for name, value in switches.items()}
    command = ["forge", "test", "--match-path", TESTS]
    return subprocess.run(command, env=environment, cwd=ROOT, check=False)


def read_figures() -> Figures:
    """Read the committed figures."""
    return Figures(*map(_snapshot, ("gas", "calldata_floor")))


def _snapshot(group: str) -> dict[str, int]:
    figures: dict[str, str] = json.loads((SNAPSHOTS / f"{group}.json").read_text())
    return {name: int(value) for name, value in figures.items()}


def with_section(page: str, text: str) -> str:
    """Return the page with this text between its marks. Raises `ValueError` if one is missing."""
    begin, end = page.index(BEGIN) + len(BEGIN), page.index(END)
    return page[:begin] + "\n" + text + "\n" + page[end:]


def section(figures: Figures) -> str:
    """Return the whole section in Markdown."""
    parts = [
        INTRO,
        "### Settling and paying at once, without the anchor\n",
        _settlements(figures),
        _verdicts(figures),
        _rounds(figures),
        *(_group(title, names, figures) for title, names in OTHERS.items()),
        _peers(figures),
        _published(figures),
    ]
    return "\n".join(parts)


def _settlements(figures: Figures) -> str:
    transfer = figures.gas["transfer, payee known"]
    rows = []
    for row in SETTLEMENTS:
        gas = figures.gas[row.name]
        bare = figures.gas[f"bare payment of {row.payees}"]
        each = round(gas / row.outcomes)
        aim = ""
        if row.target:
            aim = f"≤ {row.target:,} {'met' if gas <= row.target * row.outcomes else '**missed**'}"
        rows.append(
            [row.name, f"{gas:,}", f"{each:,}", aim, f"{bare:,}", f"{row.outcomes * transfer:,}"]
        )
    head = ["transaction", "gas", "an outcome", "target", "bare payment", "a transfer an outcome"]
    worst = figures.gas["settle 1 outcome, payee known, 20 hashes"]
    return (
        _table(head, rows)
        + f"""
*Bare payment*: what a contract without any rules needs to pay the same payees, the floor of all
that pay them. *A transfer an outcome*: as many plain ERC-20 transfers to a known payee. "100 x 100"
is 100 contracts with 100 outcomes each in one call, "50 x 1" 50 contracts of one outcome. One entry
settles any number of outcomes of its contract, because statements are cumulative: 1,000 cost what
one costs. A fresh payee's balance costs 17,100 more, from any contract. The millionth entry has a
path of 12 hashes; in the worst place of 2^20 entries it has 20, and one outcome costs {worst:,}.
"""
    )


def _rounds(figures: Figures) -> str:
    rows = []
    anchor = figures.gas["publish by signature"]
    worst = figures.gas["round of 1 outcome, payee known, 20 hashes"]
    for row in ROUNDS:
        gas, apart = figures.gas[row.name], figures.gas[row.payees] + anchor
        verdict = "met" if gas <= row.target * row.outcomes else "**missed**"
        aim = f"≤ {row.target:,} {verdict}"
        each = round(gas / row.outcomes)
        rows.append([row.name, f"{gas:,}", f"{each:,}", aim, f"{apart:,}", f"{apart - gas:,}"])
    head = ["transaction", "gas", "an outcome", "target", "anchor and settlement apart", "saved"]
    return f"""\
### Rounds: settling and paying at once, with the anchor

One transaction of `Rounds` anchors a signed checkpoint and settles under it. *Apart* is the anchor
by signature and the settlement above it, in two transactions. The target is of an entry whose path
has 12 hashes, as the millionth's; in the worst place of 2^20 entries it has 20, and a round of one
outcome costs {worst:,}.

{_table(head, rows)}"""


def _verdicts(figures: Figures) -> str:
    many, one = (
        figures.gas[f"settle 100 x 100 outcomes, {whose} known"]
        for whose in ("100 payees", "one payee")
    )
    bare = "bare payment of 100, payee known"
    parts = {
        "21,000, by the hundredth": 21_000 // PAYEES,
        "the statement's calldata": figures.calldata("settle 100 x 100 outcomes, 100 payees known")
        // PAYEES,
        "two cold words of the contract, one of them written": TWO_WORDS,
        "the token's transfer, to a balance of its own": (
            figures.gas[bare] - 21_000 - figures.calldata(bare)
        )
        // PAYEES,
        "the event `Paid`": PAID_EVENT,
    }
    total = many // PAYEES
    parts["hashing, checks, arithmetic"] = total - sum(parts.values())
    least = total - parts["hashing, checks, arithmetic"]
    rows = [[name, f"{gas:,}"] for name, gas in parts.items()] + [
        ["**one contract**", f"{total:,}"]
    ]
    four = "disprove rival, 4 entries"
    return f"""\
**200 an outcome** is met where one payee has all contracts ({one / 10_000:.0f}), and missed where
each contract has a known payee of its own ({many / 10_000:.0f}): every balance is then one more
cold word to write. What one of the hundred contracts costs:

{_table(["part", "gas"], rows)}
All but the last part is the price of having an entry, a state, a payment and a record of it, by
the chain's own schedule: {least:,}, or {least / PAYEES:.0f} an outcome, before a rule is checked.
So no change to the checks alone brings distinct payees below 200. More outcomes a contract do: with
120 of them the same transaction costs {many / 12_000:.0f} an outcome.

**A disproof of four entries** costs {figures.gas[four]:,}, against a target of {TARGETS[four]:,}:
{"met" if figures.gas[four] <= TARGETS[four] else "missed"}. The floor for its calldata alone is
{figures.floor[four]:,}; what exceeds it is 120 hashes and the escrow's own work. Every transaction
here is below EIP-7825's limit of 16,777,216.
"""


def _group(title: str, names: list[str], figures: Figures) -> str:
    rows = []
    for name in names:
        gas, aim = figures.gas[name], ""
        if name in TARGETS:
            aim = f"≤ {TARGETS[name]:,} {'met' if gas <= TARGETS[name] else '**missed**'}"
        rows.append([name, f"{gas:,}", f"{figures.floor[name]:,}", aim])
    head = ["transaction", "gas", "floor for its calldata", "target"]
    included = "the anchor alone" if title == "Anchoring" else "without an anchor"
    return f"### {title}, {included}\n\n{_table(head, rows)}"


def _peers(figures: Figures) -> str:
    rows = []
    for name, payments in PEERS.items():
        known, fresh = (figures.gas[f"{name}, payee {payee}"] for payee in ("known", "fresh"))
        each = f"{known // payments:,} / {fresh // payments:,}"
        rows.append([name, f"{known:,}", f"{fresh:,}", each])
    head = ["transaction", "known", "fresh", "a payment"]
    roots = [[name, f"{figures.gas[name]:,}"] for name in ROOTS]
    return f"""\
### Beside it, measured in the same run

The same token, compiler and settings; the code is in `tests/contracts/gas/Peers.sol`. None of these
has terms, a history or anything to dispute: the caller is trusted with the amounts.

{_table(head, rows)}
{_table(["root", "gas"], roots)}"""


def _published(figures: Figures) -> str:
    rows = [
        [case, there, f"{figures.gas[ours]:,}", f"{_with_anchor(figures, ours):,}"]
        for case, there, ours in FLYWHEEL
    ]
    return f"""\
### Base's Flywheel, the same compiler and token

Measured apart from this run, a whole transaction each. There an attribution provider is trusted
with the amounts, and nothing is anchored; a range is over the variants of the case. Ours with an
anchor of its own is the round where one was measured, else the two transactions.

{_table(["case", "Flywheel", "ours without the anchor", "ours with an anchor of its own"], rows)}
### Peers, as published

Not measured here: other tokens, compilers and chains. Gas a payment, payee known.

{_table(["what", "gas"], [list(row) for row in PUBLISHED])}"""


def _with_anchor(figures: Figures, name: str) -> int:
    """Return the gas of a settlement with an anchor for it alone."""
    apart = figures.gas[name] + figures.gas["publish by signature"]
    return next((figures.gas[row.name] for row in ROUNDS if row.payees == name), apart)


def _table(head: list[str], rows: list[list[str]]) -> str:
    rule = "|---|" + "---:|" * (len(head) - 1)
    lines = [f"| {' | '.join(head)} |", rule]
    return "\n".join(lines + [f"| {' | '.join(row)} |" for row in rows]) + "\n"


if __name__ == "__main__":
    main()
