"""The commands that check what a server says, and what they say of it."""

import json
import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from orchestrator.cli.checks.cards import card
from orchestrator.cli.checks.options import checking_command
from orchestrator.cli.options import Api, Json, Rpc, ShowProgress, find_endpoints
from orchestrator.cli.output import Progress, printable
from orchestrator.core.common.errors import InputError
from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.core.common.units import format_second
from orchestrator.core.entries.receipt import read_text
from orchestrator.storage.local.files import read_bytes
from orchestrator.verify.pinned import Pinned

if TYPE_CHECKING:
    from orchestrator.verify.receipt_check import CheckedReceipt

MAX_RECEIPT_BYTES = 1_048_576

_console = Console()


def add_check_commands(app: typer.Typer) -> None:
    """Add the commands of this module."""
    for command in (verify, receipt, replay, anchors, card):
        app.command()(command)


@checking_command
def verify(
    pinned: Pinned,
    receipt: Annotated[
        Path, typer.Argument(help="A receipt (JSON, format 1); - reads it from stdin.")
    ],
    rpc: Rpc = None,
    json_out: Json = False,
) -> None:
    """Check a receipt: proofs, story, and with a node the anchor, the terms and the payout."""
    from orchestrator.runtime.settings import read_settings
    from orchestrator.verify.receipt_check import check_receipt, receipt_chain

    document = _read_receipt(receipt)
    node = rpc or read_settings(os.environ).rpc_url
    with receipt_chain(document, node) if node else nullcontext() as chain:
        checked = check_receipt(document, chain, pinned)
    if json_out:
        found = {"valid": True, "on_chain": chain is not None, **checked._asdict()}
        typer.echo(json.dumps(found))
    else:
        _print_checked(checked)
        held = "the receipt holds"
        if chain is None:
            held = "the receipt is consistent; nothing was asked of the chain"
        _console.print(held, style="green")


@checking_command
def receipt(
    pinned: Pinned,
    position: Annotated[int, typer.Argument(min=0, help="The position of the entry in the log.")],
    api: Api = None,
    json_out: Json = False,
) -> None:
    """Fetch the receipt of an entry, check it, and print it; `verify` asks the chain as well."""
    from orchestrator.client.http import Client
    from orchestrator.client.receipts import served_document
    from orchestrator.runtime.settings import read_settings
    from orchestrator.verify.receipt_check import check_receipt

    with Client(api or read_settings(os.environ).public_url) as client:
        document = served_document(client, position)
    checked = check_receipt(document, None, pinned, position)
    typer.echo(json.dumps(document, indent=None if json_out else 2))
    if not json_out:
        for line in _aside(checked.on_trust, checked.not_checked, checked.pending):
            typer.echo(printable(line), err=True)


@checking_command
def replay(
    pinned: Pinned,
    api: Api = None,
    rpc: Rpc = None,
    save: Annotated[
        Path | None, typer.Option(help="A folder to save the public log in, to restore from.")
    ] = None,
    progress: ShowProgress = None,
    json_out: Json = False,
) -> None:
    """Judge a public log from its first entry, and compare payouts with the chain."""
    from orchestrator.cli.checks.view import comparison_to_json, print_comparison
    from orchestrator.client.http import Client
    from orchestrator.verify import comparison
    from orchestrator.verify.saved_log import save_log

    endpoints = find_endpoints(api, rpc, None)
    told = Progress("entries judged", progress)
    with Client(endpoints.api) as client:
        chain, log_id, on_trust = comparison.connect(client, endpoints.rpc_url, pinned)
        with chain:
            now_ms, by_clock = comparison.clock_of(client)
            result = comparison.replay(client, chain, log_id, now_ms, told=told, pinned=pinned)
        if save is not None:
            # What was judged, and what may have come since.
            most = result.entries + comparison.MAX_UNANCHORED
            save_log(client, save, Progress("entries saved", progress), most)
    on_trust += by_clock
    on_trust += pinned.check_verifiers(one.terms.verifier for one in result.contracts)
    if json_out:
        typer.echo(json.dumps({**comparison_to_json(result), "on_trust": on_trust}))
    else:
        print_comparison(result, _console)
        _print_lines(_aside(on_trust))


@checking_command
def anchors(
    pinned: Pinned,
    api: Api = None,
    rpc: Rpc = None,
    progress: ShowProgress = None,
    json_out: Json = False,
) -> None:
    """List a log's anchors with their places on chain, each compared with what the chain holds."""
    from orchestrator.client.http import Client
    from orchestrator.verify import comparison
    from orchestrator.verify.served_anchors import checked_anchors

    endpoints = find_endpoints(api, rpc, None)
    told = Progress("anchors checked", progress)
    with Client(endpoints.api) as client:
        chain, log_id, on_trust = comparison.connect(client, endpoints.rpc_url, pinned)
        with chain:
            found, not_checked = checked_anchors(client, chain, log_id, told)
    if json_out:
        listed = [anchor.to_json() for anchor in found]
        asides = {"on_trust": on_trust, "not_checked": not_checked}
        typer.echo(json.dumps({"anchors": listed, **asides}))
        return
    for anchor in found:
        _print_lines(
            [
                f"{format_second(anchor.time_s)}  size {anchor.size:,}  root {to_hex(anchor.root)}",
                f"  transaction {to_hex(anchor.transaction)} in block {anchor.block_number}",
            ]
        )
    held = f"the chain holds the roots of these {len(found):,} anchors"
    if not not_checked:
        held = f"the chain holds these {len(found):,} anchors, and no other in a final block"
    _console.print(held, style="green")
    _print_lines(_aside(on_trust, not_checked))


def _read_receipt(path: Path) -> object:
    """Return the document of a receipt. Raises InputError for a file that is none of any format."""
    try:
        if str(path) != "-":
            document = read_text(read_bytes(path, MAX_RECEIPT_BYTES).decode())
        else:
            text = sys.stdin.read(MAX_RECEIPT_BYTES + 1)
            if len(text) > MAX_RECEIPT_BYTES:
                raise InputError(
                    "file-too-large", f"stdin: has more than {MAX_RECEIPT_BYTES} letters"
                )
            document = read_text(text)
    except (ValueError, RecursionError):
        raise InputError("json-invalid", f"{path}: is not readable as JSON") from None
    # What claims to be no receipt is not a false one.
    if not isinstance(document, dict) or "format" not in document:
        raise InputError("receipt-none", f"{path}: is no receipt")
    return document


def _print_checked(checked: "CheckedReceipt") -> None:
    _print_lines([f"  {line}" for line in checked.shown])
    _print_lines(_aside(checked.on_trust, checked.not_checked, checked.pending))


def _aside(
    on_trust: Sequence[str], not_checked: Sequence[str] = (), pending: Sequence[str] = ()
) -> list[str]:
    """Return the lines about what was not shown."""
    return [
        *(f"  taken on trust: {line}" for line in on_trust),
        *(f"  not checked: {line}" for line in not_checked),
        *(f"  still to come: {line}" for line in pending),
    ]


def _print_lines(lines: Sequence[str]) -> None:
    for line in lines:
        _console.print(printable(line), markup=False, highlight=False, soft_wrap=True)
