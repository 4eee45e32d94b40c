"""The commands with which people act on their contracts in the escrow.

Each looks at the contract, says in plain words what it would do and what that costs, and only then
asks to sign. They need a node, and a server of the log; not the one that runs the log, which may be
the one that lies: any server with the same entries will do, and none can forge them.
"""

import os
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.core.errors import InputError
from orchestrator.settings import read as read_settings

if TYPE_CHECKING:
    from orchestrator.desk import Desk, How, Where
    from orchestrator.jobs import Evaluator as KnownEvaluator
    from orchestrator.situation import Brief

# What speaks to a chain takes seconds to import; each command imports its own.

NOTHING_DONE = 4
MAX_DAYS = 365

Id = Annotated[str, typer.Argument(metavar="ID", help="The contract: 0x and 64 hex digits.")]
Amount = Annotated[str, typer.Argument(metavar="AMOUNT", help="In tokens, such as 12.50.")]
Api = Annotated[str | None, typer.Option(help="A server of the log; else TALLYSTICK_PUBLIC_URL.")]
Rpc = Annotated[str | None, typer.Option(help="A node of its chain; else TALLYSTICK_RPC_URL.")]
Escrow = Annotated[
    str | None, typer.Option(help="The escrow's address; else where the server says it is.")
]
KeyFile = Annotated[
    Path | None,
    typer.Option(help="File with the hex key to sign with; else TALLYSTICK_KEY_FILE."),
]
Yes = Annotated[bool, typer.Option("--yes", help="Sign and send without asking.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Explain only; needs no key.")]
Evaluators = Annotated[
    str | None, typer.Option(help="The factory of evaluators; else where the server says it is.")
]
Evaluator = Annotated[str, typer.Option(help="The evaluator that the job names.")]
Job = Annotated[int, typer.Argument(metavar="JOB", min=0, help="The job's id, at its contract.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document to stdout.")]


class About(StrEnum):
    """What a dispute or a ruling is about."""

    STATEMENT = "statement"
    CLAIMS = "claims"


AboutOption = Annotated[
    About | None, typer.Option(help="What is meant, where a statement and claims are both open.")
]


def contract(
    id_: Id, api: Api = None, rpc: Rpc = None, escrow: Escrow = None, json_out: Json = False
) -> None:
    """How a contract stands, and who can do what next."""
    from orchestrator import outlook
    from orchestrator.desk import Desk, How, Teller, contract_id_of

    contract_id, tell = contract_id_of(id_), Teller(How(None, as_json=json_out))
    with Desk(_where(api, rpc, escrow)) as desk:
        found = desk.read(contract_id)
    if json_out:
        tell.document(outlook.document(found))
        return
    for heading, said in outlook.told(found):
        tell.say(f"{heading:>12}  {said}")
    options = outlook.options(found)
    tell.say("next:" if options else "nothing is left to do", "bold")
    for option in options:
        tell.say(f"  {outlook.choice(found, option)}")


def disprove(
    id_: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="One contract; else all of the log.")
    ] = None,
    api: Api = None,
    rpc: Rpc = None,
    escrow: Escrow = None,
    key_file: KeyFile = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    json_out: Json = False,
) -> None:
    """Search the log for what refutes a verifier, and show that to the escrow. Anyone can."""
    from orchestrator import proving
    from orchestrator.desk import contract_id_of

    asked = None if id_ is None else contract_id_of(id_)

    def find(desk: "Desk") -> "Brief":
        with desk.casebook(None if asked is None else desk.read(asked)) as book:
            return proving.disprove(desk.chain, book, asked)

    _act(_where(api, rpc, escrow), _how(key_file, yes, dry_run, json_out), find)


def claim(
    id_: Id,
    api: Api = None,
    rpc: Rpc = None,
    escrow: Escrow = None,
    key_file: KeyFile = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    json_out: Json = False,
) -> None:
    """Prove by the log what the verifier did not settle. By the operator, in the claim period."""
    from orchestrator import proving
    from orchestrator.desk import contract_id_of

    asked = contract_id_of(id_)

    def find(desk: "Desk") -> "Brief":
        found = desk.read(asked)
        with desk.casebook(found) as book:
            return proving.claim(desk.chain, book, found)

    _act(_where(api, rpc, escrow), _how(key_file, yes, dry_run, json_out), find)


def refute(
    id_: Id,
    api: Api = None,
    rpc: Rpc = None,
    escrow: Escrow = None,
    key_file: KeyFile = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    json_out: Json = False,
) -> None:
    """Have claims dropped that the log refutes. Anyone can, until claims are paid."""
    from orchestrator import proving
    from orchestrator.desk import contract_id_of

    asked = contract_id_of(id_)

    def find(desk: "Desk") -> "Brief":
        found = desk.read(asked)
        with desk.casebook(found) as book:
            return proving.refute(desk.chain, book, found)

    _act(_where(api, rpc, escrow), _how(key_file, yes, dry_run, json_out), find)


def dispute(
    id_: Id,
    about: AboutOption = None,
    api: Api = None,
    rpc: Rpc = None,
    escrow: Escrow = None,
    key_file: KeyFile = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    json_out: Json = False,
) -> None:
    """Put the pending statement, or the claims, before the arbiter. By the owner or operator."""
    from orchestrator import remedies
    from orchestrator.desk import contract_id_of

    asked = contract_id_of(id_)
    _act(
        _where(api, rpc, escrow),
        _how(key_file, yes, dry_run, json_out),
        lambda desk: remedies.dispute(desk.chain, desk.read(asked), about),
    )


def rule(
    id_: Id,
    amount: Amount,
    about: AboutOption = None,
    api: Api = None,
    rpc: Rpc = None,
    escrow: Escrow = None,
    key_file: KeyFile = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    json_out: Json = False,
) -> None:
    """Rule on what is disputed: AMOUNT is payable in all, or of the claims. By the arbiter."""
    from orchestrator import remedies
    from orchestrator.desk import contract_id_of

    asked = contract_id_of(id_)

    def find(desk: "Desk") -> "Brief":
        found = desk.read(asked)
        return remedies.rule(desk.chain, found, found.units(amount), about)

    _act(_where(api, rpc, escrow), _how(key_file, yes, dry_run, json_out), find)


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
    from orchestrator import desk as desks
    from orchestrator import remedies

    asked, how = desks.contract_id_of(id_), _how(key_file, yes, dry_run, json_out)
    if sign == (consent is not None):
        raise InputError(
            "close-how",
            "say --sign to print your signature for the other party, or --consent FILE to send "
            "with theirs",
        )
    if consent is None:
        _check_done(desks.sign_consent(_where(api, rpc, escrow), how, asked, amount, days))
        return
    given = desks.read_consent(consent)

    def find(desk: "Desk") -> "Brief":
        found = desk.read(asked)
        if found.units(amount) != given.payable_units:
            raise InputError(
                "consent-other",
                f"{consent}: the other party has agreed to {found.exact(given.payable_units)}, "
                f"not to {found.exact(found.units(amount))}",
            )
        return remedies.close(desk.chain, found, given)

    _act(_where(api, rpc, escrow), how, find)


def refund(
    id_: Id,
    api: Api = None,
    rpc: Rpc = None,
    escrow: Escrow = None,
    key_file: KeyFile = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    json_out: Json = False,
) -> None:
    """Give the owner back what can no longer be owed. Anyone can, after the claim period."""
    from orchestrator import remedies
    from orchestrator.desk import contract_id_of

    asked = contract_id_of(id_)
    _act(
        _where(api, rpc, escrow),
        _how(key_file, yes, dry_run, json_out),
        lambda desk: remedies.refund(desk.chain, desk.read(asked)),
    )


def release(
    id_: Id,
    api: Api = None,
    rpc: Rpc = None,
    escrow: Escrow = None,
    key_file: KeyFile = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    json_out: Json = False,
) -> None:
    """Have paid out what is due. Anyone can."""
    from orchestrator import remedies
    from orchestrator.desk import contract_id_of

    asked = contract_id_of(id_)
    _act(
        _where(api, rpc, escrow),
        _how(key_file, yes, dry_run, json_out),
        lambda desk: remedies.release(desk.chain, desk.read(asked)),
    )


def feedback(
    id_: Id,
    motion: Annotated[
        str | None, typer.Option(help="What it was for, if the policy gives the outcome several.")
    ] = None,
    endpoint: Annotated[
        str, typer.Option(help="A URI of what the agent worked through, if any.")
    ] = "",
    feedback: Annotated[
        str | None, typer.Option(help="The Feedback contract; else where the server says it is.")
    ] = None,
    api: Api = None,
    rpc: Rpc = None,
    escrow: Escrow = None,
    key_file: KeyFile = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    json_out: Json = False,
) -> None:
    """Write what an ended contract has paid to its agent's ERC-8004 record. By a party."""
    from orchestrator import checks, reputation
    from orchestrator.desk import contract_id_of

    asked = contract_id_of(id_)

    def find(desk: "Desk") -> "Brief":
        at, found = desk.feedback(feedback), desk.read(asked)
        policy = checks.served_policy(desk.client, found.terms.policy)
        chosen = _motion(policy.motions_into(found.terms.outcome), motion)
        return reputation.feedback(desk.chain, at, found, chosen, endpoint)

    _act(_where(api, rpc, escrow), _how(key_file, yes, dry_run, json_out), find)


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


@jobs.command("evaluator")
def job_evaluator(
    id_: Id,
    minimum: Annotated[
        str, typer.Argument(help="The net value that completes a job, in tokens, such as 100.")
    ],
    commerce: Annotated[str, typer.Option(help="The ERC-8183 contract that holds the job.")],
    until: Annotated[
        str, typer.Option(help="The last time to complete it: UTC, such as 2027-01-31.")
    ],
    stated_from: Annotated[
        str | None, typer.Option(help="Count only statements made from this time on.")
    ] = None,
    evaluators: Evaluators = None,
    api: Api = None,
    rpc: Rpc = None,
    escrow: Escrow = None,
    key_file: KeyFile = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    json_out: Json = False,
) -> None:
    """Which evaluator a job must name to be completed by statements on a contract."""
    from orchestrator import desk as desks
    from orchestrator import jobs as offers

    asked, deadline_s = desks.contract_id_of(id_), desks.time_given(until)
    since_s = 0 if stated_from is None else desks.time_given(stated_from)
    held_by = desks.address_given(commerce)

    def find(desk: "Desk") -> "Brief":
        found = desk.read(asked)
        return offers.offer(
            desk.chain,
            desk.evaluators(evaluators),
            found,
            held_by,
            found.units(minimum),
            stated_from_s=since_s,
            deadline_s=deadline_s,
        )

    _act(_where(api, rpc, escrow), _how(key_file, yes, dry_run, json_out), find)


@jobs.command("complete")
def job_complete(
    job: Job,
    evaluator: Evaluator,
    evaluators: Evaluators = None,
    api: Api = None,
    rpc: Rpc = None,
    escrow: Escrow = None,
    key_file: KeyFile = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    json_out: Json = False,
) -> None:
    """Complete a job by a statement that meets its condition. Anyone can, until its deadline."""
    from orchestrator import jobs as offers

    find = _of_evaluator(
        evaluator,
        evaluators,
        lambda desk, known: offers.complete(desk.chain, desk.client, known, job),
    )
    _act(_where(api, rpc, escrow), _how(key_file, yes, dry_run, json_out), find)


@jobs.command("reject")
def job_reject(
    job: Job,
    evaluator: Evaluator,
    evaluators: Evaluators = None,
    api: Api = None,
    rpc: Rpc = None,
    escrow: Escrow = None,
    key_file: KeyFile = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    json_out: Json = False,
) -> None:
    """Have a job rejected that nothing completed. Anyone can, after its deadline."""
    from orchestrator import jobs as offers

    find = _of_evaluator(
        evaluator, evaluators, lambda desk, known: offers.reject(desk.chain, known, job)
    )
    _act(_where(api, rpc, escrow), _how(key_file, yes, dry_run, json_out), find)


@jobs.command("collect")
def job_collect(
    evaluator: Evaluator,
    token: Annotated[str, typer.Option(help="The token that the job's contract pays in.")],
    evaluators: Evaluators = None,
    api: Api = None,
    rpc: Rpc = None,
    escrow: Escrow = None,
    key_file: KeyFile = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    json_out: Json = False,
) -> None:
    """Send the verifier the fees that a job's contract has paid its evaluator. Anyone can."""
    from orchestrator import jobs as offers
    from orchestrator.desk import address_given

    paid_in = address_given(token)
    find = _of_evaluator(
        evaluator, evaluators, lambda desk, known: offers.collect(desk.chain, known, paid_in)
    )
    _act(_where(api, rpc, escrow), _how(key_file, yes, dry_run, json_out), find)


def _of_evaluator(
    named: str, factory: str | None, then: "Callable[[Desk, KnownEvaluator], Brief]"
) -> "Callable[[Desk], Brief]":
    """What to do with the evaluator at an address, once it is known to be one."""
    from orchestrator import jobs as offers
    from orchestrator.desk import address_given

    address = address_given(named)

    def find(desk: "Desk") -> "Brief":
        known = offers.evaluator_at(desk.chain, desk.evaluators(factory), address)
        return then(desk, known)

    return find


# --- What all of them need ------------------------------------------------------------------------


def _where(api: str | None, rpc: str | None, escrow: str | None) -> "Where":
    from orchestrator.desk import Where

    settings = read_settings(os.environ)
    rpc_url = rpc or settings.rpc_url
    if rpc_url is None:
        raise InputError("rpc-missing", "name a node: give --rpc, or set TALLYSTICK_RPC_URL")
    return Where(rpc_url, api or settings.public_url, escrow)


def _how(key_file: Path | None, yes: bool, dry_run: bool, json_out: bool) -> "How":
    from orchestrator.desk import How

    return How(key_file or read_settings(os.environ).key_file, yes, dry_run, json_out)


def _act(where: "Where", how: "How", find: "Callable[[Desk], Brief]") -> None:
    from orchestrator.desk import act

    _check_done(act(where, how, find))


def _check_done(is_done: bool) -> None:
    if not is_done:
        raise typer.Exit(NOTHING_DONE)
