"""The commands with which people act on their contracts in the escrow, and on jobs elsewhere.

Each looks at the contract, says in plain words what it would do and what that costs, and only then
asks to sign. They need a node, and a server of the log; not the one that runs the log, which may be
the one that lies: any server with the same entries will do, and none can forge them.
"""

import os
from collections.abc import Callable
from enum import StrEnum
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli import arguments as given
from orchestrator.client.log_server import served_policy
from orchestrator.core.errors import InputError
from orchestrator.runtime.settings import read_settings

if TYPE_CHECKING:
    from orchestrator.actions.erc8183 import Evaluator
    from orchestrator.actions.plan import Plan
    from orchestrator.cli.session import CommandSession, Endpoints, RunOptions

# What speaks to a chain takes seconds to import; each command imports its own.

NOTHING_DONE = 4
MAX_DAYS = 365

Id = Annotated[
    bytes,
    typer.Argument(
        metavar="ID", parser=given.contract_id, help="The contract: 0x and 64 hex digits."
    ),
]
Amount = Annotated[str, typer.Argument(metavar="AMOUNT", help="In tokens, such as 12.50.")]
Api = Annotated[str | None, typer.Option(help="A server of the log; else TALLYSTICK_PUBLIC_URL.")]
Rpc = Annotated[str | None, typer.Option(help="A node of its chain; else TALLYSTICK_RPC_URL.")]
Escrow = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        parser=given.address,
        help="The escrow's address; else where the server says it is.",
    ),
]
KeyFile = Annotated[
    Path | None,
    typer.Option(help="File with the hex key to sign with; else TALLYSTICK_KEY_FILE."),
]
Yes = Annotated[bool, typer.Option("--yes", help="Sign and send without asking.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Explain only; needs no key.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document to stdout.")]


class About(StrEnum):
    """What a dispute or a ruling is about."""

    STATEMENT = "statement"
    CLAIMS = "claims"


AboutOption = Annotated[
    About | None, typer.Option(help="What is meant, where a statement and claims are both open.")
]

# What finds out, at a desk, what can be done.
Find = Callable[["CommandSession"], "Plan"]


def _options(
    api: Api = None,
    rpc: Rpc = None,
    escrow: Escrow = None,
    key_file: KeyFile = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    json_out: Json = False,
) -> "tuple[Endpoints, RunOptions]":
    """What all commands that act have in common."""
    return _where(api, rpc, escrow), _how(key_file, yes, dry_run, json_out)


def _acting(command: Callable[..., Find]) -> Callable[..., None]:
    """The command that has these parameters and the common options, and does what is found."""
    own = signature(command).parameters

    @wraps(command)
    def run(**said: Any) -> None:
        find = command(**{name: said.pop(name) for name in own})
        _act(*_options(**said), find)

    # Typer builds the command line from these.
    both = [*own.values(), *signature(_options).parameters.values()]
    run.__signature__ = Signature(  # type: ignore[attr-defined]
        [parameter.replace(kind=Parameter.KEYWORD_ONLY) for parameter in both]
    )
    run.__annotations__ = {}
    return run


# --- Contracts in the escrow ----------------------------------------------------------------------


def contract(
    id_: Id, api: Api = None, rpc: Rpc = None, escrow: Escrow = None, json_out: Json = False
) -> None:
    """How a contract stands, and who can do what next, until when."""
    from orchestrator.cli import contract_view as outlook
    from orchestrator.cli.session import CommandSession, Printer, RunOptions

    tell = Printer(RunOptions(None, as_json=json_out))
    with CommandSession(_where(api, rpc, escrow)) as desk:
        found = desk.read(id_)
    if json_out:
        tell.document(outlook.document(found))
        return
    for heading, said in outlook.told(found):
        tell.say(f"{heading:>12}  {said}")
    options = outlook.options(found)
    tell.say("next:" if options else "nothing is left to do", "bold")
    for option in options:
        tell.say(f"  {outlook.choice(found, option)}")


@_acting
def disprove(
    id_: Annotated[
        bytes | None,
        typer.Argument(
            metavar="ID", parser=given.contract_id, help="One contract; else all of the log."
        ),
    ] = None,
) -> Find:
    """Search the log for what refutes a verifier, and show that to the escrow. Anyone can."""
    from orchestrator.actions import evidence as proving

    def find(desk: "CommandSession") -> "Plan":
        with desk.casebook(None if id_ is None else desk.read(id_)) as book:
            return proving.plan_disproofs(desk.chain, book, id_)

    return find


@_acting
def claim(id_: Id) -> Find:
    """Prove by the log what the verifier did not settle. By the operator, in the claim period."""
    from orchestrator.actions import evidence as proving

    def find(desk: "CommandSession") -> "Plan":
        found = desk.read(id_)
        with desk.casebook(found) as book:
            return proving.plan_claims(desk.chain, book, found)

    return find


@_acting
def refute(id_: Id) -> Find:
    """Have claims dropped that the log refutes. Anyone can, until claims are paid."""
    from orchestrator.actions import evidence as proving

    def find(desk: "CommandSession") -> "Plan":
        found = desk.read(id_)
        with desk.casebook(found) as book:
            return proving.plan_refutations(desk.chain, book, found)

    return find


@_acting
def dispute(id_: Id, about: AboutOption = None) -> Find:
    """Put the pending statement, or the claims, before the arbiter. By the owner or operator."""
    from orchestrator.actions import escrow as remedies

    return lambda desk: remedies.plan_dispute(desk.chain, desk.read(id_), about)


@_acting
def rule(id_: Id, amount: Amount, about: AboutOption = None) -> Find:
    """Rule on what is disputed: AMOUNT is payable in all, or of the claims. By the arbiter."""
    from orchestrator.actions import escrow as remedies

    def find(desk: "CommandSession") -> "Plan":
        found = desk.read(id_)
        return remedies.plan_ruling(desk.chain, found, found.parse_amount(amount), about)

    return find


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
    api: Api = None,
    rpc: Rpc = None,
    escrow: Escrow = None,
    key_file: KeyFile = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    json_out: Json = False,
) -> None:
    """End the contract by consent of owner and operator, with AMOUNT payable in all."""
    from orchestrator.actions import escrow as remedies
    from orchestrator.cli import session as desks

    where, how = _where(api, rpc, escrow), _how(key_file, yes, dry_run, json_out)
    if sign == (consent is not None):
        raise InputError(
            "close-how",
            "say --sign to print your signature for the other party, or --consent FILE to send "
            "with theirs",
        )
    if consent is None:
        _check_done(desks.sign_consent(where, how, id_, amount, days))
        return
    given_by_other = desks.read_consent(consent)

    def find(desk: "CommandSession") -> "Plan":
        found = desk.read(id_)
        if found.parse_amount(amount) != given_by_other.payable_units:
            raise InputError(
                "consent-other",
                f"{consent}: the other party has agreed to "
                f"{found.exact_amount(given_by_other.payable_units)}, not to "
                f"{found.exact_amount(found.parse_amount(amount))}",
            )
        return remedies.plan_close(desk.chain, found, given_by_other)

    _act(where, how, find)


@_acting
def refund(id_: Id) -> Find:
    """Give the owner back what can no longer be owed. Anyone can, after the claim period."""
    from orchestrator.actions import escrow as remedies

    return lambda desk: remedies.plan_refund(desk.chain, desk.read(id_))


@_acting
def release(id_: Id) -> Find:
    """Have paid out what is due. Anyone can."""
    from orchestrator.actions import escrow as remedies

    return lambda desk: remedies.plan_release(desk.chain, desk.read(id_))


@_acting
def feedback(
    id_: Id,
    motion: Annotated[
        str | None, typer.Option(help="What it was for, if the policy gives the outcome several.")
    ] = None,
    endpoint: Annotated[
        str, typer.Option(help="A URI of what the agent worked through, if any.")
    ] = "",
    feedback: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            parser=given.address,
            help="The Feedback contract; else where the server says it is.",
        ),
    ] = None,
) -> Find:
    """Write what an ended contract has paid to its agent's ERC-8004 record. By a party."""
    from orchestrator.actions import erc8004 as reputation

    def find(desk: "CommandSession") -> "Plan":
        at, found = desk.beside("feedback", feedback), desk.read(id_)
        policy = served_policy(desk.client, found.terms.policy)
        chosen = _motion(policy.motions_into(found.terms.outcome), motion)
        return reputation.plan_feedback(desk.chain, at, found, chosen, endpoint)

    return find


def _motion(motions: tuple[str, ...], asked: str | None) -> str:
    if asked is None and len(motions) == 1:
        return motions[0]
    if asked not in motions:
        said = "say which with --motion" if asked is None else f"not to {asked}"
        raise InputError(
            "motion-unclear",
            f"the policy counts this outcome to {' and '.join(motions) or 'nothing'}; {said}",
        )
    return asked


ALL = (contract, disprove, claim, refute, dispute, rule, close, refund, release, feedback)

# --- ERC-8183 jobs --------------------------------------------------------------------------------

jobs = typer.Typer(
    name="job",
    no_args_is_help=True,
    help="ERC-8183 jobs that the log decides: their evaluators, completing and rejecting them.",
)

Factory = Annotated[
    str | None,
    typer.Option(
        "--evaluators",
        metavar="ADDRESS",
        parser=given.address,
        help="The factory of evaluators; else where the server says it is.",
    ),
]
Named = Annotated[
    str,
    typer.Option(
        "--evaluator", metavar="ADDRESS", parser=given.address, help="What the job names as such."
    ),
]
Job = Annotated[
    int,
    typer.Argument(metavar="JOB", min=0, max=2**256 - 1, help="The job's id, at its contract."),
]


@jobs.command("evaluator")
@_acting
def job_evaluator(
    id_: Id,
    minimum: Annotated[
        str,
        typer.Argument(metavar="AMOUNT", help="The net value that completes a job, in tokens."),
    ],
    commerce: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            parser=given.address,
            help="The ERC-8183 contract that holds the job.",
        ),
    ],
    until: Annotated[
        int,
        typer.Option(
            metavar="TIME",
            parser=given.time_s,
            help="The last time to complete it: UTC, such as 2027-01-31.",
        ),
    ],
    stated_from: Annotated[
        int | None,
        typer.Option(
            metavar="TIME",
            parser=given.time_s,
            help="Count only statements made from this time on.",
        ),
    ] = None,
    factory: Factory = None,
) -> Find:
    """Which evaluator a job must name to be completed by statements on a contract."""
    from orchestrator.actions import erc8183 as offers

    def find(desk: "CommandSession") -> "Plan":
        found = desk.read(id_)
        return offers.plan_evaluator(
            desk.chain,
            desk.beside("evaluators", factory),
            found,
            commerce,
            found.parse_amount(minimum),
            stated_from_s=stated_from or 0,
            deadline_s=until,
        )

    return find


@jobs.command("complete")
@_acting
def job_complete(job: Job, evaluator: Named, factory: Factory = None) -> Find:
    """Complete a job by a statement that meets its condition. Anyone can, until its deadline."""
    from orchestrator.actions import erc8183 as offers

    return lambda desk: offers.plan_completion(
        desk.chain, desk.client, _evaluator(desk, factory, evaluator), job
    )


@jobs.command("reject")
@_acting
def job_reject(job: Job, evaluator: Named, factory: Factory = None) -> Find:
    """Have a job rejected that nothing completed. Anyone can, after its deadline."""
    from orchestrator.actions import erc8183 as offers

    return lambda desk: offers.plan_rejection(desk.chain, _evaluator(desk, factory, evaluator), job)


@jobs.command("collect")
@_acting
def job_collect(
    evaluator: Named,
    token: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS", parser=given.address, help="The token that was paid to it."
        ),
    ],
    factory: Factory = None,
) -> Find:
    """Send the verifier the fees that a job's contract has paid its evaluator. Anyone can."""
    from orchestrator.actions import erc8183 as offers

    return lambda desk: offers.plan_fee_collection(
        desk.chain, _evaluator(desk, factory, evaluator), token
    )


def _evaluator(desk: "CommandSession", factory: str | None, address: str) -> "Evaluator":
    from orchestrator.actions import erc8183 as offers

    return offers.evaluator_at(desk.chain, desk.beside("evaluators", factory), address)


# --- What all of them need ------------------------------------------------------------------------


def _where(api: str | None, rpc: str | None, escrow: str | None) -> "Endpoints":
    from orchestrator.cli.session import Endpoints

    settings = read_settings(os.environ)
    rpc_url = rpc or settings.rpc_url
    if rpc_url is None:
        raise InputError("rpc-missing", "name a node: give --rpc, or set TALLYSTICK_RPC_URL")
    return Endpoints(rpc_url, api or settings.public_url, escrow)


def _how(key_file: Path | None, yes: bool, dry_run: bool, json_out: bool) -> "RunOptions":
    from orchestrator.cli.session import RunOptions

    return RunOptions(key_file or read_settings(os.environ).key_file, yes, dry_run, json_out)


def _act(where: "Endpoints", how: "RunOptions", find: Find) -> None:
    from orchestrator.cli.session import act

    _check_done(act(where, how, find))


def _check_done(is_done: bool) -> None:
    if not is_done:
        raise typer.Exit(NOTHING_DONE)
