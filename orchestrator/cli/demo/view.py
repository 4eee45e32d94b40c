"""The report of a demonstration, as tables for people and as JSON."""

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from orchestrator.cli.checks.view import comparison_to_json
from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.core.common.units import counted, format_amount, format_ms
from orchestrator.simulation.demo import ContractResult, DemoReport

# As it was called, so that the printed commands can be run as they stand.
COMMAND = sys.argv[0]


def print_report(report: DemoReport, console: Console, *, is_verbose: bool = False) -> None:
    """Print a demonstration's report: on one screen, or all of it with each transaction."""
    if is_verbose:
        _print_transactions(report, console)
        _print_motions(report, console)
        _print_levels(report, console)
        _print_disputes(report, console)
        _print_integrations(report, console)
    console.print("\n[bold]What happened[/]")
    console.print(
        f"  {report.events:,} purchases and returns and {report.touches:,} touches became "
        f"{report.entries:,} log entries, settled in {counted(report.rounds, 'round')}.\n"
        f"  {_on_the_way(report)}The owner got {_amount(report.owner_refund_units)} back."
    )
    for line in _together(report):
        console.print(f"  {line}")
    console.print("[bold]Who was paid[/]")
    _print_contracts(report.contracts, console)
    console.print("[bold]What was proved[/]")
    _print_proofs(report, console, is_verbose=is_verbose)
    if not is_verbose:
        console.print(_NEXT, markup=False, highlight=False, soft_wrap=True)


_NEXT = (
    f"What to do next\n"
    f"  {COMMAND} sandbox         a living market, in which an agent of yours is paid\n"
    f"  {COMMAND} demo --keep     this market, to be looked at\n"
    f"  {COMMAND} demo --verbose  each transaction, each dispute and each level"
)


def _on_the_way(report: DemoReport) -> str:
    """Return what went wrong and was put right, as far as it happened."""
    parts = [
        *([f"{counted(count, 'outcome')} taken back"] if (count := _reversals(report)) else []),
        *(["a statement disputed and ruled by the log"] if report.dispute else []),
        *(
            [f"{counted(report.claimed.claims, 'outcome')} claimed by proof"]
            if report.claimed
            else []
        ),
        *([f"a lie of {_amount(report.forgery.stated_units)} stopped"] if report.forgery else []),
        *(["an ERC-8183 job completed"] if report.job and report.job.is_completed else []),
    ]
    return f"On the way: {', '.join(parts)}. " if parts else ""


def _together(report: DemoReport) -> Iterator[str]:
    """Yield how agents worked together, and how they shared their pay."""
    team, shared = report.teamwork, report.shared
    if team is not None:
        yield (
            f"Two keys of {team.operator} shared {counted(team.leads, 'lead')} by leases; "
            f"{team.handed_over} were handed over, and {team.results} results told."
        )
    if shared is not None:
        parts = ", ".join(f"{name} {format_amount(units)}" for name, units in shared.parts.items())
        yield (
            f"One payee was shared by signed shares: of {_amount(shared.paid_units)} "
            f"the chain paid {parts}."
        )


def _reversals(report: DemoReport) -> int:
    return sum(result.reversals for result in report.contracts)


def _amount(units: int) -> str:
    return f"{format_amount(units)} TEST"


def _print_proofs(report: DemoReport, console: Console, *, is_verbose: bool) -> None:
    """Print what a stranger's replay and a receipt have shown."""
    if report.comparison is not None:
        has_job = report.job is not None and report.job.is_completed
        job = " and the job paid" if has_job else ""
        hold = counted(len(report.balances), "wallet holds", "wallets hold")
        console.print(
            f"  [green]Replayed[/] {report.comparison.entries:,} public entries (anchored up to "
            f"{report.comparison.anchored_size:,}) with the terms from the chain:\n"
            f"  what {hold} is what the rules give{job}, to the last unit."
        )
    if is_verbose:
        console.print("  [green]A receipt, checked:[/]")
        for line in report.receipt_lines:
            console.print(f"    {line}", markup=False, soft_wrap=True)
    elif report.receipt_lines:
        console.print(f"  [green]A receipt, checked[/] in {len(report.receipt_lines)} steps.")
    if report.tampered is not None:
        console.print(f"  [red]The same, tampered with[/] ({report.tampered.what}): refused:")
        console.print(f"    {report.tampered.refusal}", markup=False, soft_wrap=True)


def format_usage(report: DemoReport) -> str:
    """Return what can be done with servers that were left up."""
    api, rpc = report.urls["api"], report.urls["rpc"]
    position = report.receipt["position"] if report.receipt else 0
    contract = report.receipt["contract_id"] if report.receipt else "ID"
    return (
        f"\nThe servers stay up until you interrupt (Ctrl-C).\n"
        f"  API    {api}/v1/log   (its description: {api}/v1/openapi.json)\n"
        f"  chain  {rpc}\n"
        f"In another terminal:\n"
        f"  {COMMAND} replay --api {api} --rpc {rpc}\n"
        f"  curl -s {api}/v1/receipts/{position} > receipt.json\n"
        f"  {COMMAND} verify receipt.json --rpc {rpc}\n"
        f"  {COMMAND} contract {contract} --api {api} --rpc {rpc}\n"
        f"  {COMMAND} disprove --dry-run --api {api} --rpc {rpc}\n"
    )


def report_to_json(report: DemoReport) -> dict[str, Any]:
    """Return the report as JSON; amounts in token base units as text."""
    return {
        "contracts": [
            {
                "contract_id": to_hex(result.contract_id),
                "operator": result.operator,
                "outcome": result.outcome,
                "outcomes": result.outcomes,
                "reversals": result.reversals,
                "over_budget_units": str(result.over_units),
                "paid_units": str(result.paid_units),
                "fee_units": str(result.fee_units),
                "budget_units": str(result.budget_units),
            }
            for result in report.contracts
        ],
        "motions": {name: _part_to_json(one) for name, one in report.motions.items()},
        "bargain": _part_to_json(report.bargain),
        "work": _part_to_json(report.work),
        "teamwork": _part_to_json(report.teamwork),
        "shared": _part_to_json(report.shared),
        "events": report.events,
        "touches": report.touches,
        "entries": report.entries,
        "rounds": report.rounds,
        "forecasts": report.forecasts,
        "levels": [change._asdict() for change in report.levels],
        "owner_refund_units": str(report.owner_refund_units),
        "balances": {address: str(units) for address, units in report.balances.items()},
        "refund": _part_to_json(report.refund),
        "dispute": _part_to_json(report.dispute),
        "silence": _part_to_json(report.claimed),
        "fraud": _part_to_json(report.forgery),
        "job": _part_to_json(report.job),
        "record": _part_to_json(report.reputation),
        "transactions": [
            {"intent": t.intent_key, "hash": to_hex(t.tx_hash), "gas": t.gas_used}
            for t in report.transactions
        ],
        "replay": comparison_to_json(report.comparison) if report.comparison else None,
        "receipt": report.receipt,
        "tampered": report.tampered._asdict() if report.tampered else None,
    }


def _part_to_json(part: Any) -> dict[str, Any] | None:
    """Return a part of the report, a named tuple, in JSON's own types.

    Ids are in hex and amounts text.
    """
    if part is None:
        return None
    return {name: _value(name, value) for name, value in part._asdict().items()}


def _value(name: str, value: object) -> object:
    if isinstance(value, bytes):
        return to_hex(value)
    return str(value) if name.endswith("_units") else value


def _print_motions(report: DemoReport, console: Console) -> None:
    """Print what each motion earned, and what was done besides touches."""
    table = _figures(
        "What each motion earned (TEST)", ("motion",), ("outcomes", "earned", "taken back")
    )
    for motion, result in report.motions.items():
        earned, reversed_ = map(format_amount, (result.earned_units, result.reversed_units))
        table.add_row(motion, f"{result.outcomes:,}", earned, reversed_)
    console.print(table)
    work = report.work
    if work is not None:
        console.print(
            f"{counted(work.arrived, 'customer')} came by a code. "
            f"{counted(work.requested, 'gift was', 'gifts were')} requested by webhook and "
            f"{work.taken} taken, {work.missed} of them a day late; {work.failed} came back."
        )


def _print_levels(report: DemoReport, console: Console) -> None:
    """Print whom the log came to trust, and why."""
    table = Table(title="Whom the log came to trust, and why", box=box.SIMPLE, show_header=False)
    for _ in range(4):
        table.add_column(no_wrap=True)
    for change in report.levels:
        entry = f"entry {change.position:,}"
        table.add_row(format_ms(change.time_ms)[:10], change.operator, change.what, entry)
    console.print(table)


def _print_disputes(report: DemoReport, console: Console) -> None:
    """Print a table of what went wrong on the way, and what came of it."""
    table = Table(title="What went wrong, and what came of it", box=box.SIMPLE, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column()
    for event, result in _dispute_rows(report):
        table.add_row(event, result)
    console.print(table)


def _dispute_rows(report: DemoReport) -> Iterator[tuple[str, str]]:
    yield (
        "sent back",
        f"{_reversals(report)} outcomes were taken back while their contract held back for it",
    )
    dispute, claimed, forgery = report.dispute, report.claimed, report.forgery
    if report.refund is not None:
        order, given, earned, taken = map(format_amount, report.refund[1:])
        left = format_amount(report.refund.earned_units - report.refund.taken_back_units)
        result = (
            f"{given} of an order of {order} TEST was given back: of the {earned} that it had "
            f"earned, {taken} were taken back and {left} are left"
        )
        yield "sent back in part", result
    if dispute is not None:
        stated, ruled = format_amount(dispute.stated_units), format_amount(dispute.ruled_units)
        result = (
            f"the owner disputed a statement of {stated} TEST; the arbiter replayed the log and "
            f"ruled {ruled} ({dispute.gas_used:,} gas)"
        )
        yield "disputed", result
    if claimed is not None:
        paid = format_amount(claimed.paid_units)
        result = (
            f"a verifier said nothing; its operator proved {counted(claimed.claims, 'outcome')} by "
            f"the log and was paid {paid} TEST ({claimed.gas_used:,} gas)"
        )
        yield "never stated", result
    if forgery is not None:
        stated, paid = format_amount(forgery.stated_units), format_amount(forgery.paid_units)
        result = (
            f"publisher and verifier of another log stated {stated} TEST; a stranger showed its "
            f"entries {' and '.join(map(str, forgery.exhibits))}: {forgery.kind} "
            f"({forgery.gas_used:,} gas); {paid} was paid, "
            f"{format_amount(forgery.refund_units)} went back"
        )
        yield "lied", result


def _print_integrations(report: DemoReport, console: Console) -> None:
    """Print what an ERC-8183 job and ERC-8004's registry took from the log."""
    job, reputation = report.job, report.reputation
    if job is not None and job.is_completed:
        console.print(
            f"An ERC-8183 job of {format_amount(job.budget_units)} TEST named the log as its "
            f"evaluator: the statement at entry {job.position} completed it."
        )
    if reputation is not None:
        console.print(
            f"ERC-8004's registry says that agent {reputation.agent_id} was paid "
            f"{format_amount(reputation.units)} TEST for {reputation.motion}: a settlement "
            f"wrote it."
        )


def _print_contracts(contracts: list[ContractResult], console: Console) -> None:
    table = _figures(
        "What each contract earned, was paid, and had no budget for (TEST)",
        ("operator", "entering"),
        ("outcomes", "reversed", "paid", "of it fee", "over"),
    )
    for result in contracts:
        table.add_row(
            result.operator,
            result.outcome,
            f"{result.outcomes:,}",
            f"{result.reversals:,}",
            format_amount(result.paid_units),
            format_amount(result.fee_units),
            format_amount(result.over_units),
        )
    console.print(table)


def _figures(title: str, names: Sequence[str], numbers: Sequence[str]) -> Table:
    """Return an empty table with columns of names, and of numbers to their right."""
    table = Table(title=title, box=None, pad_edge=False)
    for heading in names:
        table.add_column(heading, no_wrap=True)
    for heading in numbers:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _print_transactions(report: DemoReport, console: Console) -> None:
    console.print("[bold]Transactions[/], with the gas that each used:")
    gas = Counter[str]()
    for transaction in report.transactions:
        kind = transaction.intent_key.split(":")[0]
        gas[kind] += transaction.gas_used
        line = f"  {kind:8}{transaction.gas_used:>10,}  {to_hex(transaction.tx_hash)}"
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    outcomes = sum(result.outcomes for result in report.contracts)
    if outcomes:
        # What people sent about single contracts is left out: it is no cost of an outcome.
        spent = sum(gas[kind] for kind in ("publish", "settle", "round", "release"))
        console.print(
            f"\nAnchoring, settling and releasing cost {-(-spent // outcomes):,} gas for each of "
            f"{outcomes:,} outcomes; what people did about single contracts comes on top."
        )
