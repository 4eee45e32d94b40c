"""The commands with which the parties, the arbiter and strangers act on contracts and on logs."""

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.arguments import parse_address, parse_contract_id
from orchestrator.cli.options import (
    Action,
    Amount,
    Api,
    Escrow,
    Id,
    Json,
    KeyFile,
    Lens,
    Rpc,
    address_option,
    find_endpoints,
    plan_for,
    send_plan,
    signing_command,
)
from orchestrator.core.common.errors import InputError

if TYPE_CHECKING:
    from orchestrator.actions.contract_state import ContractState
    from orchestrator.actions.escrow import Consent
    from orchestrator.actions.plan import Plan
    from orchestrator.chain.deployment import Chain
    from orchestrator.cli.session import CommandSession, Endpoints, RunOptions
    from orchestrator.verify.log_copy import LogCopy

MAX_DAYS = 365


class Subject(StrEnum):
    """The subject of a dispute or a ruling."""

    STATEMENT = "statement"
    CLAIMS = "claims"


About = Annotated[
    Subject | None, typer.Option(help="What is meant, where a statement and claims are both open.")
]


def contract(
    id_: Id,
    api: Api = None,
    rpc: Rpc = None,
    escrow: Escrow = None,
    lens: Lens = None,
    key_file: KeyFile = None,
    json_out: Json = False,
) -> None:
    """Print the state of a contract and the steps that are open to each party."""
    from orchestrator.cli import contract_view
    from orchestrator.cli.session import CommandSession, Printer, RunOptions
    from orchestrator.cli.why.unopened import explain_unopened
    from orchestrator.cli.why.view import format_reason

    printer = Printer(RunOptions(None, as_json=json_out))
    with CommandSession(find_endpoints(api, rpc, escrow, lens)) as session:
        try:
            state = session.read_contract(id_)
        except InputError as error:
            unopened = explain_unopened(error, key_file, api, id_)
            if json_out:
                printer.print_json(unopened.to_json())
            for line in [] if json_out else format_reason(unopened):
                printer.print_line(line)
            return
    if json_out:
        printer.print_json(contract_view.contract_to_json(state))
        return
    for heading, text in contract_view.format_contract(state):
        printer.print_line(f"{heading:>12}  {text}")
    options = contract_view.options(state)
    printer.print_line("next:" if options else "nothing is left to do", "bold")
    for option in options:
        printer.print_line(f"  {contract_view.format_option(state, option)}")


@signing_command
def disprove(
    id_: Annotated[
        bytes | None,
        typer.Argument(
            metavar="ID", parser=parse_contract_id, help="One contract; else all of the log."
        ),
    ] = None,
) -> Action:
    """Search the log for what refutes a verifier, and show that to the escrow. Anyone can."""
    from orchestrator.actions import evidence

    def plan(session: "CommandSession") -> "Plan":
        # Without a contract, all that name the server's log are searched.
        state = None if id_ is None else session.read_contract(id_)
        with session.open_log_copy(state) as log_copy:
            return evidence.plan_disproofs(session.chain, log_copy, id_)

    return send_plan(plan)


@signing_command
def claim(id_: Id) -> Action:
    """Prove by the log what the verifier did not settle. By the operator, in the claim period."""
    from orchestrator.actions import evidence

    return _plan_by_log(id_, evidence.plan_claims)


@signing_command
def refute(id_: Id) -> Action:
    """Have claims lowered or dropped that the log refutes. Anyone can, until claims are paid."""
    from orchestrator.actions import evidence

    return _plan_by_log(id_, evidence.plan_refutations)


@signing_command
def prove_reversal(id_: Id) -> Action:
    """Prove by the log what was taken back of settled outcomes. Anyone can."""
    from orchestrator.actions import evidence

    return _plan_by_log(id_, evidence.plan_reversals)


def _plan_by_log(
    contract_id: bytes, make_plan: "Callable[[Chain, LogCopy, ContractState], Plan]"
) -> Action:
    """Return an action that sends the plan for a contract, made of its state and its log."""

    def plan(session: "CommandSession") -> "Plan":
        state = session.read_contract(contract_id)
        with session.open_log_copy(state) as log_copy:
            return make_plan(session.chain, log_copy, state)

    return send_plan(plan)


@signing_command
def dispute(id_: Id, about: About = None) -> Action:
    """Put the pending statement, or the claims, before the arbiter. By the owner or operator."""
    from orchestrator.actions import escrow

    return plan_for(id_, lambda chain, state: escrow.plan_dispute(chain, state, about))


@signing_command
def rule(id_: Id, amount: Amount, about: About = None) -> Action:
    """Rule on what is disputed: AMOUNT is payable in all, or of the claims. By the arbiter."""
    from orchestrator.actions import escrow

    return plan_for(
        id_,
        lambda chain, state: escrow.plan_ruling(chain, state, state.parse_amount(amount), about),
    )


@signing_command
def close(
    id_: Id,
    amount: Amount,
    sign: Annotated[
        bool, typer.Option("--sign", help="Print a signature for the other party; send nothing.")
    ] = False,
    consent: Annotated[
        Path | None, typer.Option(help="The file with what the other party's --sign printed.")
    ] = None,
    days: Annotated[
        int, typer.Option(min=1, max=MAX_DAYS, help="How long the signature is good.")
    ] = 7,
) -> Action:
    """End the contract by consent of owner and operator, with AMOUNT payable in all."""
    from orchestrator.actions import escrow
    from orchestrator.cli.session import read_consent, sign_consent

    # Exactly one of both: a party signs for the other, or sends with what the other has signed.
    if sign == (consent is not None):
        raise InputError(
            "close-how",
            "say --sign to print your signature for the other party, or --consent FILE to send "
            "with theirs",
        )
    if consent is None:
        return lambda endpoints, options: sign_consent(endpoints, options, id_, amount, days)
    path, agreed = consent, read_consent(consent)

    def plan(chain: "Chain", state: "ContractState") -> "Plan":
        # The amount is typed again, so that a consent to another one is not sent by mistake.
        _check_amount_agreed(state, amount, agreed, path)
        return escrow.plan_close(chain, state, agreed)

    return plan_for(id_, plan)


def _check_amount_agreed(
    state: "ContractState", amount: str, agreed: "Consent", path: Path
) -> None:
    """Raise InputError where the command line and the consent name different amounts."""
    units = state.parse_amount(amount)
    if units != agreed.payable_units:
        raise InputError(
            "consent-other",
            f"{path}: the other party has agreed to {state.exact_amount(agreed.payable_units)}, "
            f"not to {state.exact_amount(units)}",
        )


@signing_command
def refund(id_: Id) -> Action:
    """Give the owner back what can no longer be owed. Anyone can, after the claim period."""
    from orchestrator.actions import escrow

    return plan_for(id_, escrow.plan_refund)


@signing_command
def release(id_: Id) -> Action:
    """Have paid out what is due. Anyone can."""
    from orchestrator.actions import escrow

    return plan_for(id_, escrow.plan_release)


# --- What is an account's own ---------------------------------------------------------------------

Account = Annotated[
    str | None, address_option(help_text="Whose; the key's account if it is not named.")
]


@signing_command
def withdraw(
    token: Annotated[
        str, typer.Argument(metavar="TOKEN", parser=parse_address, help="The token's address.")
    ],
    amount: Annotated[
        str | None, typer.Option(metavar="AMOUNT", help="In tokens; else all of the credit.")
    ] = None,
    to: Annotated[
        str | None, address_option(help_text="Who gets it; the account itself if not named.")
    ] = None,
    account: Account = None,
) -> Action:
    """Have a failed payout, or fees, sent out of the escrow. By the account that it is owed to."""
    from orchestrator.actions.account import plan_withdrawal

    return _plan_for_account(
        account, lambda chain, owed_to: plan_withdrawal(chain, owed_to, token, to, amount)
    )


@signing_command
def revoke(
    signed: Annotated[
        str,
        typer.Argument(
            metavar="DIGEST|FILE",
            help="What was signed: its digest, terms or a proposal (JSON), or a close --sign.",
        ),
    ],
    account: Account = None,
) -> Action:
    """Take back a signature that was not used: to terms, to a closing. By its signer."""
    from orchestrator.actions.account import plan_revocation
    from orchestrator.cli.session import read_signed

    found = read_signed(signed)
    return _plan_for_account(account, lambda chain, signer: plan_revocation(chain, signer, found))


def _plan_for_account(named: str | None, make_plan: "Callable[[Chain, str], Plan]") -> Action:
    """Return an action that sends the plan for the named account, or for that of the key."""

    def run(endpoints: "Endpoints", options: "RunOptions") -> bool:
        from orchestrator.cli.session import execute_plan, signing_account

        account = named or signing_account(options)
        return execute_plan(endpoints, options, lambda session: make_plan(session.chain, account))

    return run


# --- The log on chain -----------------------------------------------------------------------------

logs = typer.Typer(
    name="log",
    no_args_is_help=True,
    help="The log as the chain has it: what its publisher has told twice.",
)


@logs.command("report-fork")
@signing_command
def report_fork(
    first: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="A signed checkpoint, as /v1/log/checkpoint gives it."),
    ],
    second: Annotated[
        Path | None,
        typer.Argument(metavar="FILE", help="Another of that size; else the anchored root."),
    ] = None,
) -> Action:
    """Have a log marked as forked, by two roots of one size. Anyone can; it cannot be undone."""
    from orchestrator.actions import fork
    from orchestrator.cli.session import read_checkpoint

    told = read_checkpoint(first)
    other = None if second is None else read_checkpoint(second)
    return send_plan(lambda session: fork.plan_fork_report(session.chain, told, other))


def add_contract_commands(app: typer.Typer) -> None:
    """Add the commands of this module to the command line, in the order of its help."""
    app.command(help="How a contract stands, and who can do what next, until when.")(contract)
    for command in (disprove, claim, refute, prove_reversal, dispute, rule, close, refund, release):
        app.command()(command)
    for command in (withdraw, revoke):
        app.command()(command)
    app.add_typer(logs)
