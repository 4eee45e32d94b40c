"""The commands that carry what the log proves to ERC-8004 registries and ERC-8183 jobs."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.arguments import parse_number, parse_time_s
from orchestrator.cli.options import Action, Id, address_option, send_plan, signing_command
from orchestrator.core.common.errors import InputError

if TYPE_CHECKING:
    from orchestrator.actions.erc8183 import Evaluator
    from orchestrator.actions.plan import Plan
    from orchestrator.cli.session import CommandSession

# --- ERC-8004 feedback ----------------------------------------------------------------------------


@signing_command
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
        address_option(help_text="The Feedback contract; else where the server says it is."),
    ] = None,
) -> Action:
    """Write what an ended contract has paid to its agent's ERC-8004 record. By a party."""
    from orchestrator.actions import erc8004
    from orchestrator.client.log_server import served_policy

    def plan(session: "CommandSession") -> "Plan":
        # Before anything is read: without this address there is nothing to do.
        address = session.integration_address("feedback", feedback)
        state = session.read_contract(id_)
        policy = served_policy(session.client, state.terms.policy)
        chosen = choose_motion(policy.motions_into(state.terms.outcome), motion)
        return erc8004.plan_feedback(session.chain, address, state, chosen, endpoint)

    return send_plan(plan)


def choose_motion(motions: tuple[str, ...], asked: str | None) -> str:
    """Return the motion that was asked for, or the only one. Raises InputError `motion-unclear`."""
    if asked is None and len(motions) == 1:
        return motions[0]
    if asked not in motions:
        hint = "say which with --motion" if asked is None else f"not to {asked}"
        raise InputError(
            "motion-unclear",
            f"the policy counts this outcome to {' and '.join(motions) or 'nothing'}; {hint}",
        )
    return asked


# --- ERC-8183 jobs --------------------------------------------------------------------------------

jobs = typer.Typer(
    name="job",
    no_args_is_help=True,
    help="ERC-8183 jobs that the log decides: their evaluators, completing and rejecting them.",
)

Factory = Annotated[
    str | None,
    address_option(
        "--evaluators", help_text="The factory of evaluators; else where the server says it is."
    ),
]
EvaluatorAddress = Annotated[
    str,
    address_option("--evaluator", help_text="What the job names as such."),
]
Job = Annotated[
    int,
    typer.Argument(metavar="JOB", parser=parse_number, help="The job's id, at its contract."),
]


@jobs.command(
    "evaluator",
    help="Which evaluator a job must name to be completed by statements on a contract.",
)
@signing_command
def job_evaluator(
    id_: Id,
    minimum: Annotated[
        str,
        typer.Argument(metavar="AMOUNT", help="The net value that completes a job, in tokens."),
    ],
    commerce: Annotated[
        str,
        address_option(help_text="The ERC-8183 contract that holds the job."),
    ],
    until: Annotated[
        int,
        typer.Option(
            metavar="TIME",
            parser=parse_time_s,
            help="The last time to complete it: UTC, such as 2027-01-31.",
        ),
    ],
    stated_from: Annotated[
        int | None,
        typer.Option(
            metavar="TIME",
            parser=parse_time_s,
            help="Count only statements made from this time on.",
        ),
    ] = None,
    factory: Factory = None,
) -> Action:
    """Name the evaluator for jobs that a contract's statements complete, and create it."""
    from orchestrator.actions import erc8183

    def plan(session: "CommandSession") -> "Plan":
        state = session.read_contract(id_)
        return erc8183.plan_evaluator(
            session.chain,
            session.integration_address("evaluators", factory),
            state,
            commerce,
            state.parse_amount(minimum),
            stated_from_s=stated_from or 0,
            deadline_s=until,
        )

    return send_plan(plan)


@jobs.command("complete")
@signing_command
def job_complete(job: Job, evaluator: EvaluatorAddress, factory: Factory = None) -> Action:
    """Complete a job by a statement that meets its condition. Anyone can, until its deadline."""
    from orchestrator.actions import erc8183

    return _plan_for_evaluator(
        factory,
        evaluator,
        lambda session, target: erc8183.plan_completion(session.chain, session.client, target, job),
    )


@jobs.command("reject")
@signing_command
def job_reject(job: Job, evaluator: EvaluatorAddress, factory: Factory = None) -> Action:
    """Have a job rejected that nothing completed. Anyone can, after its deadline."""
    from orchestrator.actions import erc8183

    return _plan_for_evaluator(
        factory,
        evaluator,
        lambda session, target: erc8183.plan_rejection(session.chain, target, job),
    )


@jobs.command("collect")
@signing_command
def job_collect(
    evaluator: EvaluatorAddress,
    token: Annotated[
        str,
        address_option(help_text="The token that was paid to it."),
    ],
    factory: Factory = None,
) -> Action:
    """Send the verifier the fees that a job's contract has paid its evaluator. Anyone can."""
    from orchestrator.actions import erc8183

    return _plan_for_evaluator(
        factory,
        evaluator,
        lambda session, target: erc8183.plan_fee_collection(session.chain, target, token),
    )


def _plan_for_evaluator(
    factory: str | None,
    address: str,
    make_plan: "Callable[[CommandSession, Evaluator], Plan]",
) -> Action:
    """Return an action that sends the plan for an evaluator of the factory."""

    def plan(session: "CommandSession") -> "Plan":
        from orchestrator.actions import erc8183

        factory_address = session.integration_address("evaluators", factory)
        # Any contract can call itself an evaluator; this takes only those that the factory made.
        return make_plan(session, erc8183.evaluator_at(session.chain, factory_address, address))

    return send_plan(plan)
