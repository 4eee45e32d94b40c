"""The commands by which payees agree on a split, put it on the chain, and are paid by it."""

import json
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.arguments import parse_address, parse_word
from orchestrator.cli.options import (
    Action,
    Api,
    Escrow,
    Json,
    Lens,
    Rpc,
    address_option,
    find_endpoints,
    send_plan,
    signing_command,
)
from orchestrator.core.common.errors import InputError
from orchestrator.core.common.units import parse_percent_bps
from orchestrator.core.log.entry import WORD_BYTES

if TYPE_CHECKING:
    from orchestrator.actions.plan import Plan
    from orchestrator.cli.session import CommandSession, Endpoints, RunOptions
    from orchestrator.core.deals.split import Agreement

splits = typer.Typer(
    name="split",
    no_args_is_help=True,
    help="Payees that share: agree on shares, put the split on the chain, pay out what is due.",
)

Factory = Annotated[
    str | None,
    address_option(
        "--splits", help_text="The factory of splits; else where the server says it is."
    ),
]
File = Annotated[
    Path, typer.Argument(metavar="FILE", help="The agreement, as `propose` prints it.")
]
At = Annotated[
    str, typer.Argument(metavar="ADDRESS", parser=parse_address, help="The split's address.")
]


def parse_share(text: str) -> "tuple[str, int]":
    """Return the payee and the basis points of a share such as `0x…=60`.

    Raises InputError `share-malformed`.
    """
    payee, _, percent = text.partition("=")
    try:
        return parse_address(payee), parse_percent_bps(percent)
    except ValueError as error:
        raise InputError("share-malformed", f"{text!r}: a share {error}") from None


@splits.command("propose")
def split_propose(
    shares: Annotated[
        list[str],
        typer.Argument(metavar="PAYEE=PERCENT...", help="Each payee with its share, 100 % in all."),
    ],
    salt: Annotated[
        str | None, typer.Option(help="Tells splits of the same shares apart; else a random word.")
    ] = None,
    factory: Factory = None,
    api: Api = None,
    rpc: Rpc = None,
    escrow: Escrow = None,
    lens: Lens = None,
    json_out: Json = False,
) -> None:
    """Print an agreement on a split for its payees to sign, with the address that it will have."""
    from orchestrator.actions.payout.split import describe_agreement
    from orchestrator.cli.session import CommandSession
    from orchestrator.core.deals.split import Agreement, Share, Split

    word = secrets.token_bytes(WORD_BYTES) if salt is None else parse_word(salt, "salt")
    split = Split.of([Share(*parse_share(one)) for one in shares], word)
    with CommandSession(find_endpoints(api, rpc, escrow, lens)) as session:
        address = session.integration_address("splits", factory)
        session.chain.check_splits(address)
        agreement = Agreement(session.chain.chain_id, address, split, {})
    _print_agreement(agreement, () if json_out else describe_agreement(agreement))


def _print_agreement(agreement: "Agreement", lines: "tuple[str, ...]") -> None:
    """Print the agreement as JSON, for which the command is run, and its words on stderr."""
    for line in lines:
        typer.echo(line, err=True)
    typer.echo(json.dumps(agreement.to_json()))


@splits.command("sign")
@signing_command
def split_sign(file: File) -> Action:
    """Sign an agreement as one of its payees, and print it with the signature."""

    def run(endpoints: "Endpoints", options: "RunOptions") -> bool:
        from orchestrator.cli.session import sign_agreement

        return sign_agreement(endpoints, options, file)

    return run


@splits.command("deploy")
@signing_command
def split_deploy(file: File) -> Action:
    """Put a split on the chain that all of its payees have signed. Anyone can."""
    from orchestrator.actions.payout.split import plan_creation
    from orchestrator.cli.session import read_agreement

    agreement = read_agreement(file)
    return send_plan(lambda session: plan_creation(session.chain, agreement))


@splits.command("release")
@signing_command
def split_release(
    address: At,
    token: Annotated[str, address_option(help_text="The token that was paid to it.")],
    part_of: Annotated[
        str | None, address_option(help_text="The payee whose part is paid; else all of them.")
    ] = None,
    to: Annotated[
        str | None, address_option(help_text="Who gets it; with --part-of alone, and by its key.")
    ] = None,
    factory: Factory = None,
) -> Action:
    """Pay out what a split owes its payees. Anyone can; a payee alone may send it elsewhere."""

    def plan(session: "CommandSession") -> "Plan":
        from orchestrator.actions.payout.split import plan_release

        made_by = session.integration_address("splits", factory)
        return plan_release(session.chain, made_by, address, token, part_of, to)

    return send_plan(plan)


@splits.command("show")
def split_show(
    address: At,
    token: Annotated[str, address_option(help_text="The token that was paid to it.")],
    factory: Factory = None,
    api: Api = None,
    rpc: Rpc = None,
    escrow: Escrow = None,
    lens: Lens = None,
    json_out: Json = False,
) -> None:
    """Print a split's shares, and what is due to each of its payees."""
    from orchestrator.actions.contract_state import token_of
    from orchestrator.actions.payout.split import describe_due, read_due, split_at
    from orchestrator.cli.session import CommandSession

    with CommandSession(find_endpoints(api, rpc, escrow, lens)) as session:
        chain, made_by = session.chain, session.integration_address("splits", factory)
        split = split_at(chain, made_by, address)
        due, described = read_due(chain, address, split, token), token_of(chain, token)
    if not json_out:
        for line in describe_due(split, due, described):
            typer.echo(line)
        return
    parts = [
        {"payee": one.payee, "bps": share.bps, "due_units": str(one.amount_units)}
        for share, one in zip(split.shares, due, strict=True)
    ]
    typer.echo(json.dumps({"split": address, "token": token, "shares": parts}))
