"""A replay that held, as lines for people and as JSON."""

from typing import Any

from rich.console import Console

from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.core.common.units import counted, format_amount, format_second
from orchestrator.verify.comparison import Comparison


def comparison_to_json(comparison: Comparison) -> dict[str, Any]:
    """Return a replay as JSON; amounts in base units as text."""
    return {
        "entries": comparison.entries,
        "anchored_size": comparison.anchored_size,
        "forked_at_s": comparison.forked_at_s,
        "signer": comparison.signer,
        "contracts": [
            {
                "contract_id": to_hex(contract.contract_id),
                "outcomes": contract.outcomes,
                "payable_units": str(contract.payable_units),
                "paid_units": str(contract.paid_units),
                "owed_units": str(contract.owed_units),
                "status": contract.status,
                "is_ruled": contract.is_ruled,
            }
            for contract in comparison.contracts
        ],
    }


def print_comparison(comparison: Comparison, console: Console) -> None:
    """Print each contract as the public log and the escrow have it, then how far they agree."""
    for contract in comparison.contracts:
        status = contract.status + (", the arbiter ruled" if contract.is_ruled else "")
        text = (
            f"{to_hex(contract.contract_id)}\n"
            f"  {status}; {counted(contract.outcomes, 'outcome')}, "
            f"{format_amount(contract.payable_units)} payable by the log, "
            f"{format_amount(contract.paid_units)} paid, "
            f"{format_amount(contract.owed_units)} still owed"
        )
        console.print(text, markup=False, highlight=False, soft_wrap=True)
    console.print(
        f"[green]{comparison.entries:,} entries are what the rules give[/], and the chain holds "
        f"the root of the first {comparison.anchored_size:,}."
    )
    behind = comparison.entries - comparison.anchored_size
    if behind:
        console.print(
            f"The last {behind:,} are behind the last anchor: the publisher's signature alone "
            f"vouches for them, {comparison.signer}'s.",
            highlight=False,
            soft_wrap=True,
        )
    if comparison.forked_at_s is not None:
        console.print(
            f"But the log was marked as forked at {format_second(comparison.forked_at_s)}: this "
            f"is one of two histories that its publisher has told, and nothing more of it is "
            f"anchored.",
            style="red",
            highlight=False,
            soft_wrap=True,
        )
