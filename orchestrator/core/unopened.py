"""The reasons why a contract that was proposed is not open on chain, and what happens next."""

from typing import NamedTuple

from orchestrator.core.common.units import counted
from orchestrator.core.why.reason import Code, Reason, moment, short


class ProposalState(NamedTuple):
    """A proposal as its parties are told it, with what became of opening it.

    `is_ours` where the service opens it, `failure` says why the last try came to nothing,
    `waits_for` names the limit for which it was put off, and `next_ms` when it is looked at again.
    """

    contract_id: bytes
    status: str
    opens_at_ms: int
    is_ours: bool
    tries: int = 0
    failure: str | None = None
    waits_for: str | None = None
    next_ms: int | None = None


# What each status leaves to be done, or not.
STANDING = {
    "proposed": "its owner has not accepted it",
    "accepted": "both parties have signed it",
    "declined": "its owner has declined it",
    "withdrawn": "its operator has withdrawn it",
    "expired": "its time to open has come, and the escrow opens nothing that is late",
    "lapsed": "the surface has another policy by now than the one that it was proposed under",
    "opened": "it was opened just now",
}


def why_unopened(found: ProposalState) -> Reason:
    """Return why a contract is not open, what its openings came to, and when one is tried again."""
    parts = []
    if found.failure:
        text = f"it was tried {counted(found.tries, 'time')}, the last one failed: {found.failure}"
        numbers = {"tries": found.tries}
        parts.append(Reason(Code.OPENING_FAILED, text, numbers=numbers))
    if found.status == "accepted":
        parts.append(_next(found))
    text = f"contract {short(found.contract_id)} is not open: {STANDING[found.status]}"
    return Reason(Code.UNOPENED, text, (), tuple(parts), subject=found.contract_id)


def _next(found: ProposalState) -> Reason:
    """Return what happens next to a proposal that both parties have signed."""
    until = f"it can be opened until {moment(found.opens_at_ms)}"
    if not found.is_ours:
        return Reason(Code.OPENING_LEFT, f"its parties open it themselves; {until}")
    if found.next_ms is None:
        text = "a try is under way, or was the last" if found.tries else "it is to be tried soon"
        return Reason(Code.OPENING_TRIED, f"{text}; {until}")
    numbers, at = {"next_ms": found.next_ms}, moment(found.next_ms)
    if found.waits_for:
        text = (
            f"the service's limit {found.waits_for} puts it off until {at}; its parties may open "
            f"it themselves; {until}"
        )
        return Reason(Code.OPENING_PUT_OFF, text, numbers=numbers)
    return Reason(Code.OPENING_AGAIN, f"it is tried again at {at}; {until}", numbers=numbers)
