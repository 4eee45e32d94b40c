"""TODO."""

from typing import Any

from rich.console import Console

from orchestrator.core.units import format_amount
from orchestrator.verify.comparison import Comparison


def comparison(found: Comparison) -> dict[str, Any]:
    """A replay that held, as a JSON document."""
    return {
        "entries": found.entries,
        "anchored_size": found.anchored_size,
        "contracts": [
            {
                "contract_id": f"0x{contract.contract_id.hex()}",
                "outcomes": contract.outcomes,
                "payable_units": str(contract.payable_units),
                "paid_units": str(contract.paid_units),
                "owed_units": str(contract.owed_units),
                "status": contract.status,
                "is_ruled": contract.is_ruled,
            }
            for contract in found.contracts
        ],
    }


def show_comparison(found: Comparison, console: Console) -> None:
    """A replay that held: each contract by the public log, and by the escrow."""
    for contract in found.contracts:
        status = contract.status + (", the arbiter ruled" if contract.is_ruled else "")
        told = (
            f"0x{contract.contract_id.hex()}\n"
            f"  {status}; {contract.outcomes:,} outcomes, "
            f"{format_amount(contract.payable_units)} payable by the log, "
            f"{format_amount(contract.paid_units)} paid, "
            f"{format_amount(contract.owed_units)} still owed"
        )
        console.print(told, markup=False, highlight=False, soft_wrap=True)
    console.print(
        f"[green]{found.entries:,} entries are what the rules give[/], and the chain holds the "
        f"root of the first {found.anchored_size:,}."
    )
