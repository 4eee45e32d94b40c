"""How the command tells what was found: tables for people, JSON for programs."""

import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from orchestrator.cli.replay_view import comparison
from orchestrator.core.units import format_amount
from orchestrator.simulation.demo import ContractResult, DemoReport
from orchestrator.simulation.disputes import ClaimedOutcomes, Dispute
from orchestrator.simulation.forgery import Forgery
from orchestrator.simulation.integrations import JobReport, ReputationRecord

# As it was called, so that what we print can be run as it stands.
COMMAND = sys.argv[0]


def show(story: DemoReport, console: Console) -> None:
    """The whole story of a demonstration."""
    _show_contracts(story.contracts, console)
    _show_transactions(story, console)
    console.print(
        f"{story.events:,} purchases and returns and {story.touches:,} touches became "
        f"{story.entries:,} log entries, settled in {story.rounds} rounds.\n"
        f"The owner got {format_amount(story.owner_refund_units)} TEST back."
    )
    _show_trials(story, console)
    _show_elsewhere(story, console)
    if story.comparison is not None:
        too = " and the job paid" if story.job is not None and story.job.is_completed else ""
        console.print(
            f"\n[green]Replayed[/] {story.comparison.entries:,} public entries (anchored up to "
            f"{story.comparison.anchored_size:,}) with the terms from the chain:\n"
            f"what {len(story.balances)} wallets hold is what the rules give{too}, to the last "
            f"unit."
        )
    console.print("\n[green]A receipt, checked:[/]")
    for line in story.receipt_lines:
        console.print(f"  {line}", markup=False, soft_wrap=True)
    if story.tampered is not None:
        console.print(f"\n[red]A receipt, tampered with[/] ({story.tampered.what}): refused:")
        console.print(f"  {story.tampered.refusal}", markup=False, soft_wrap=True)


def how_to_use(story: DemoReport) -> str:
    """What to do with servers that were left up."""
    api, rpc = story.urls["api"], story.urls["rpc"]
    position = story.receipt["position"] if story.receipt else 0
    contract = story.receipt["contract_id"] if story.receipt else "ID"
    return (
        f"\nThe servers stay up until you interrupt (Ctrl-C).\n"
        f"  API    {api}/v1/log   (its description: {api}/v1/openapi.json)\n"
        f"  chain  {rpc}\n"
        f"In another terminal:\n"
        f"  {COMMAND} replay --url {api} --rpc {rpc}\n"
        f"  curl -s {api}/v1/receipts/{position} > receipt.json\n"
        f"  {COMMAND} verify receipt.json --rpc {rpc}\n"
        f"  {COMMAND} contract {contract} --api {api} --rpc {rpc}\n"
        f"  {COMMAND} disprove --dry-run --api {api} --rpc {rpc}\n"
    )


def document(story: DemoReport) -> dict[str, Any]:
    """The story as a JSON document; money in token base units as text."""
    return {
        "contracts": [
            {
                "contract_id": f"0x{earned.contract_id.hex()}",
                "operator": earned.operator,
                "outcome": earned.outcome,
                "outcomes": earned.outcomes,
                "reversals": earned.reversals,
                "over_budget_units": str(earned.over_units),
                "paid_units": str(earned.paid_units),
                "fee_units": str(earned.fee_units),
                "budget_units": str(earned.budget_units),
            }
            for earned in story.contracts
        ],
        "events": story.events,
        "touches": story.touches,
        "entries": story.entries,
        "rounds": story.rounds,
        "owner_refund_units": str(story.owner_refund_units),
        "balances": {address: str(units) for address, units in story.balances.items()},
        "dispute": _plain(story.dispute),
        "silence": _plain(story.claimed),
        "fraud": _plain(story.forgery),
        "job": _plain(story.job),
        "record": _plain(story.reputation),
        "transactions": [
            {"intent": t.intent_key, "hash": f"0x{t.tx_hash.hex()}", "gas": t.gas_used}
            for t in story.transactions
        ],
        "replay": comparison(story.comparison) if story.comparison else None,
        "receipt": story.receipt,
        "tampered": story.tampered._asdict() if story.tampered else None,
    }


def _plain(
    found: Dispute | ClaimedOutcomes | Forgery | JobReport | ReputationRecord | None,
) -> dict[str, Any] | None:
    """A part of the story in JSON's own types: ids in hex, amounts as text."""
    if found is None:
        return None
    fields = found._asdict().items()
    return {name: _value(name, value) for name, value in fields}


def _value(name: str, value: object) -> object:
    if isinstance(value, bytes):
        return f"0x{value.hex()}"
    return str(value) if name.endswith("_units") else value


def _show_trials(story: DemoReport, console: Console) -> None:
    """What went wrong on the way, and what came of it."""
    table = Table(title="What went wrong, and what came of it", box=box.SIMPLE, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column()
    for what, told in _trials(story):
        table.add_row(what, told)
    console.print(table)


def _trials(story: DemoReport) -> Iterator[tuple[str, str]]:
    reversals = sum(earned.reversals for earned in story.contracts)
    yield "sent back", f"{reversals} outcomes were taken back while their contract held back for it"
    dispute, silence, fraud = story.dispute, story.claimed, story.forgery
    if dispute is not None:
        stated, ruled = format_amount(dispute.stated_units), format_amount(dispute.ruled_units)
        told = f"the owner disputed a statement of {stated} TEST; the arbiter replayed the log and"
        yield "disputed", f"{told} ruled {ruled} ({dispute.gas_used:,} gas)"
    if silence is not None:
        told = f"a verifier said nothing; its operator proved {silence.claims} outcomes by the log"
        paid = format_amount(silence.paid_units)
        yield "never stated", f"{told} and was paid {paid} TEST ({silence.gas_used:,} gas)"
    if fraud is not None:
        stated, paid = format_amount(fraud.stated_units), format_amount(fraud.paid_units)
        told = f"publisher and verifier of another log stated {stated} TEST; a stranger showed its"
        shown = f"entries {' and '.join(map(str, fraud.exhibits))}: {fraud.kind}"
        back = f"{paid} was paid, {format_amount(fraud.refund_units)} went back"
        yield "lied", f"{told} {shown} ({fraud.gas_used:,} gas); {back}"


def _show_elsewhere(story: DemoReport, console: Console) -> None:
    """What other places took from the log."""
    job, record = story.job, story.reputation
    if job is not None and job.is_completed:
        console.print(
            f"An ERC-8183 job of {format_amount(job.budget_units)} TEST named the log as its "
            f"evaluator: the statement at entry {job.position} completed it."
        )
    if record is not None:
        console.print(
            f"ERC-8004's registry says that agent {record.agent_id} was paid "
            f"{format_amount(record.units)} TEST for {record.motion}: a settlement wrote it."
        )


def _show_contracts(contracts: list[ContractResult], console: Console) -> None:
    table = Table(
        title="What each contract earned, was paid, and had no budget for (TEST)",
        box=None,
        pad_edge=False,
    )
    for heading in ("operator", "entering"):
        table.add_column(heading, no_wrap=True)
    for heading in ("outcomes", "reversed", "paid", "of it fee", "over"):
        table.add_column(heading, justify="right", no_wrap=True)
    for earned in contracts:
        table.add_row(
            earned.operator,
            earned.outcome,
            f"{earned.outcomes:,}",
            f"{earned.reversals:,}",
            format_amount(earned.paid_units),
            format_amount(earned.fee_units),
            format_amount(earned.over_units),
        )
    console.print(table)


def _show_transactions(story: DemoReport, console: Console) -> None:
    console.print("[bold]Transactions[/], with the gas that each used:")
    gas = Counter[str]()
    for transaction in story.transactions:
        kind = transaction.intent_key.split(":")[0]
        gas[kind] += transaction.gas_used
        line = f"  {kind:8}{transaction.gas_used:>10,}  0x{transaction.tx_hash.hex()}"
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    outcomes = sum(earned.outcomes for earned in story.contracts)
    if outcomes:
        spent = gas["publish"] + gas["settle"] + gas["release"]
        console.print(
            f"\nAnchoring, settling and releasing cost {-(-spent // outcomes):,} gas for each of "
            f"{outcomes:,} outcomes; what people did about single contracts comes on top."
        )
