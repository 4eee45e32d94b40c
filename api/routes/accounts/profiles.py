"""The routes of profiles: what operators say of themselves, off the log."""

from typing import Annotated

from fastapi import APIRouter

from api.context import Service, TheService
from api.http import auth
from api.http.auth import Caller
from api.http.fields import OperatorAddress, checksummed
from api.http.json_input import StrictRoute
from api.http.problems import Refusal, documented, not_found
from api.routes.accounts import answers, bodies
from api.rules import rules
from orchestrator.storage.database import Row, Session

Describer = Annotated[Caller, auth.needs("operator:profile")]
OwnerReader = Annotated[Caller, auth.needs("owner:read", "owner:review")]

router = APIRouter(prefix="/v1", tags=["accounts"], route_class=StrictRoute)


@router.get("/profile", responses=documented(401, 403, 404))
def own_profile(service: TheService, caller: Describer) -> answers.Profile:
    """Return the caller's own profile."""
    with auth.acting(service, caller) as session:
        return _own_profile(session, caller)


@router.put(
    "/profile", responses=documented(401, 403, rules(422, "agent-of-another agent-unknown"))
)
def put_profile(service: TheService, caller: Describer, body: bodies.Profile) -> answers.Profile:
    """Set the caller's profile as an operator. It stays off the log."""
    agent_id = None if body.agent_id is None else int(body.agent_id)
    if agent_id is not None:
        # The chain is asked before a transaction is opened.
        _check_agent(service, agent_id, checksummed(caller.account))
    with auth.acting(service, caller) as session:
        session.run(
            "api.put_profile",
            display_name=body.display_name,
            contact=body.contact,
            capabilities=sorted(set(body.capabilities)),
            agent_id=agent_id,
            is_public=body.is_public,
        )
        return _own_profile(session, caller)


@router.delete("/profile", status_code=204, responses=documented(401, 403))
def erase_profile(service: TheService, caller: Describer) -> None:
    """Erase the caller's profile."""
    with auth.acting(service, caller) as session:
        session.run("api.erase_profile")


@router.get("/operators/{operator}/profile", responses=documented(401, 403, 404))
def profile(service: TheService, caller: OwnerReader, operator: OperatorAddress) -> answers.Profile:
    """Return an operator's profile, to owners of surfaces."""
    account = operator.lower()
    with auth.acting(service, caller) as session:
        row = session.one("api.public_profile", log_id=service.log_id, account=account)
    if row is None:
        raise not_found("profile that you may see")
    return _profile(account, row)


def _check_agent(service: Service, agent_id: int, account: str) -> None:
    """Raise `Refusal` (422) unless the account holds this ERC-8004 agent."""
    holders = service.agent_accounts(agent_id)
    if not holders:
        raise Refusal(422, "agent-unknown", f"ERC-8004's identity registry has no agent {agent_id}")
    if account not in holders:
        raise Refusal(
            422,
            "agent-of-another",
            f"agent {agent_id} is held by {' and '.join(dict.fromkeys(holders))}, not {account}",
        )


def _own_profile(session: Session, caller: Caller) -> answers.Profile:
    row = session.one("api.own_profile")
    if row is None:
        raise not_found("profile of yours")
    return _profile(caller.account, row)


def _profile(account: str, row: Row) -> answers.Profile:
    agent = None
    if row.agent_id is not None:
        agent = answers.Agent(agent_id=str(row.agent_id), checked_ms=row.agent_checked_ms)
    return answers.Profile(
        operator=checksummed(account),
        display_name=row.display_name,
        contact=row.contact,
        capabilities=row.capabilities,
        agent=agent,
        is_public=row.is_public,
        updated_ms=row.updated_ms,
    )
