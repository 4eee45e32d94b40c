"""Replay rules: the request that an entry was written for, by a function of the kind's name.

Each takes the world before the entry, the record, and the sources of what entries refer to. It
returns the request, or None where nothing gives cause for the entry, and raises ReplayError for an
entry that cannot be. The replay then decides the request anew and compares.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from orchestrator.core.common.errors import ReplayError
from orchestrator.core.common.units import format_ms
from orchestrator.core.log.entry import EXPIRED, ascii_text, described
from orchestrator.core.log.opening import (
    ActOpening,
    AnswerOpening,
    CodeOpening,
    EventOpening,
    ForecastOpening,
    Opening,
    Record,
    ReportedTouchOpening,
    TransitionOpening,
)
from orchestrator.core.surface.policy import Policy, Step, Verdict
from orchestrator.core.surface.surface_settings import SurfaceSettings
from orchestrator.core.world import requests
from orchestrator.core.world.contract import ContractRules
from orchestrator.core.world.world import Lead, World


class Documents(NamedTuple):
    """The sources of what entries refer to: policies and settings by hash, contracts' rules by id.

    All hashes are checked where the documents come from: the entry that follows from the document
    names its hash, and a contract id is the digest of the terms that the chain gives for it.

    `opening_number` (1, 2, … in the order of opening) and `closed_at_s` (None: open) are what the
    escrow says of a contract. A verifier must compare them before it signs for a log: attribution
    rests on both, and the escrow judges by its own. None: there is no chain to ask.
    """

    policy: Callable[[bytes], Policy]
    settings: Callable[[bytes], SurfaceSettings]
    rules: Callable[[bytes], ContractRules]
    opening_number: Callable[[bytes], int] | None = None
    closed_at_s: Callable[[bytes], int | None] | None = None

    def known_policy(self, hash_: bytes) -> Policy:
        """Return a policy that an entry has named. Raises ReplayError if another one is given."""
        policy = self.policy(hash_)
        if policy.hash != hash_:
            raise ReplayError(
                "policy-false", f"the policy given for 0x{hash_.hex()} has another hash"
            )
        return policy

    def known_settings(self, hash_: bytes) -> SurfaceSettings:
        """Return settings that an entry has named. Raises ReplayError if others are given."""
        settings = self.settings(hash_)
        if settings.hash != hash_:
            raise ReplayError(
                "settings-false", f"the settings given for 0x{hash_.hex()} have another hash"
            )
        return settings


def touch(_world: World, record: Record, _documents: Documents) -> requests.Touch:
    entry, opening = record.entry, _opened(record, ActOpening)
    return requests.Touch(entry.surface, entry.subject, entry.actor, entry.label, *opening)


def touch_reported(_world: World, record: Record, _documents: Documents) -> requests.ReportTouch:
    entry, opening = record.entry, _opened(record, ReportedTouchOpening)
    return requests.ReportTouch(
        entry.surface, entry.subject, entry.actor, entry.label, entry.time_ms, *opening
    )


def action_requested(
    _world: World, record: Record, _documents: Documents
) -> requests.RequestAction:
    entry, opening = record.entry, _opened(record, ActOpening)
    lasts_ms = entry.value - entry.time_ms
    return requests.RequestAction(
        entry.surface, entry.subject, entry.actor, entry.label, lasts_ms, *opening
    )


def action_answered(
    _world: World, record: Record, _documents: Documents
) -> requests.AnswerAction | requests.ExpireAction:
    entry, opening = record.entry, _opened(record, AnswerOpening)
    if entry.label == EXPIRED:
        return requests.ExpireAction(entry.surface, entry.subject, entry.value)
    return requests.AnswerAction(
        entry.surface, entry.subject, entry.actor, entry.value, entry.label, *opening
    )


def code_issued(_world: World, record: Record, _documents: Documents) -> requests.IssueCode:
    entry, opening = record.entry, _opened(record, CodeOpening)
    return requests.IssueCode(entry.surface, entry.subject, entry.actor, entry.value, *opening)


def code_ended(
    world: World, record: Record, _documents: Documents
) -> requests.EndCode | requests.EndOwnCode:
    """Return the owner's order, or the operator's own where the owner is not its author."""
    entry = record.entry
    is_owners = world.surfaces[entry.surface].owner == entry.actor
    make = requests.EndCode if is_owners else requests.EndOwnCode
    return make(entry.surface, entry.actor, entry.subject, entry.label)


def lead_registered(_world: World, record: Record, _documents: Documents) -> requests.RegisterLead:
    entry = record.entry
    return requests.RegisterLead(entry.surface, entry.subject, entry.value)


def product_event(world: World, record: Record, _documents: Documents) -> Any:
    """Return the step by which this event takes back; None if the policy names none."""
    opening = _opened(record, EventOpening)
    reported, policy, lead = _reported_event(world, record, opening)
    reported = reported._replace(whole=opening.whole)
    step = policy.step(lead.state, record.entry.label)
    return requests.ApplyStep(reported, record.entry.label, step) if step.reverses else None


def lead_transition(world: World, record: Record, _documents: Documents) -> requests.ApplyStep:
    reported, policy, lead = _reported_event(world, record, _opened(record, TransitionOpening))
    return _lawful_step(world, record, reported, lead, Verdict.ACCEPTED, policy.enters)


def lead_refused(world: World, record: Record, _documents: Documents) -> requests.ApplyStep:
    reported, policy, lead = _reported_event(world, record, _opened(record, TransitionOpening))
    return _lawful_step(world, record, reported, lead, Verdict.REFUSED, policy.refuses)


def _lawful_step(
    world: World,
    record: Record,
    reported: requests.ReportedEvent,
    lead: Lead,
    verdict: Verdict,
    lawful: Callable[[str, str], bool],
) -> requests.ApplyStep:
    to = record.entry.label
    if not lawful(lead.state, to):
        raise ReplayError(
            "transition-unlawful",
            f"entry {world.size} is {described(record.entry)}, which the policy does not give "
            f"to a lead in state {lead.state!r}",
        )
    return requests.ApplyStep(reported, "", Step(verdict, to=to))


def _reported_event(
    world: World, record: Record, opening: EventOpening | TransitionOpening
) -> tuple[requests.ReportedEvent, Policy, Lead]:
    """Return the event behind an entry, its policy and its lead, within the policy's lateness."""
    entry = record.entry
    policy = world.surfaces[entry.surface].policy
    lead = world.leads[entry.subject]
    if lead.surface != entry.surface:
        raise ReplayError(
            "lead-elsewhere",
            f"entry {world.size} is {described(entry)}, which is a lead of another surface",
        )
    earliest_ms = opening.received_ms - policy.lateness_s * 1000
    if not earliest_ms <= entry.time_ms <= opening.received_ms:
        raise ReplayError(
            "event-time",
            f"entry {world.size} is {described(entry)} of {format_ms(entry.time_ms)}, "
            f"received at {format_ms(opening.received_ms)}: too late, or from the future",
        )
    reported = requests.ReportedEvent(
        entry.surface,
        entry.subject,
        entry.value,
        entry.time_ms,
        opening.request_hash,
        opening.commitment,
        opening.received_ms,
        opening.order,
    )
    return reported, policy, lead


def settlement(_world: World, _record: Record, _documents: Documents) -> requests.Settle:
    return requests.Settle()


def payout(_world: World, record: Record, _documents: Documents) -> requests.RecordPayout:
    entry = record.entry
    return requests.RecordPayout(
        entry.subject, entry.actor, entry.label, entry.value, entry.payload
    )


def contract_opened(world: World, record: Record, documents: Documents) -> requests.OpenContract:
    """Compare the opening's place with the escrow's order of openings."""
    entry = record.entry
    if documents.opening_number is not None:
        before = next(reversed(world.contracts), None)
        number = documents.opening_number(entry.subject)
        if before is not None and number <= documents.opening_number(before):
            raise ReplayError(
                "opening-order",
                f"entry {world.size} is {described(entry)}, which the escrow opened before "
                f"0x{before.hex()[:16]}, the last in the log",
            )
    return requests.OpenContract(documents.rules(entry.subject), entry.payload)


def contract_closed(world: World, record: Record, documents: Documents) -> requests.CloseContract:
    """Compare the closing's time with what the escrow says of the contract."""
    entry = record.entry
    if documents.closed_at_s is not None:
        closed_at_s = documents.closed_at_s(entry.subject)
        if closed_at_s is None or entry.value != closed_at_s * 1000:
            raise ReplayError(
                "closing-false",
                f"entry {world.size} is {described(entry)}, which is {format_ms(entry.value)}, but "
                f"the escrow says {_said_of_closing(closed_at_s)}",
            )
    return requests.CloseContract(entry.subject, entry.value, entry.payload)


def dispute_opened(_world: World, record: Record, _documents: Documents) -> requests.RecordDispute:
    entry = record.entry
    return requests.RecordDispute(
        entry.subject, entry.actor, entry.label, entry.value, entry.payload
    )


def dispute_ruled(_world: World, record: Record, _documents: Documents) -> requests.RecordRuling:
    entry = record.entry
    return requests.RecordRuling(
        entry.subject, entry.actor, entry.label, entry.value, entry.payload
    )


def _said_of_closing(closed_at_s: int | None) -> str:
    return "that it is open" if closed_at_s is None else format_ms(closed_at_s * 1000)


def operator_registered(
    _world: World, record: Record, _documents: Documents
) -> requests.RegisterOperator:
    entry = record.entry
    return requests.RegisterOperator(entry.actor, entry.payload)


def policy_published(_world: World, record: Record, documents: Documents) -> requests.PublishPolicy:
    entry = record.entry
    return requests.PublishPolicy(entry.surface, entry.actor, documents.policy(entry.subject))


def settings_published(
    _world: World, record: Record, documents: Documents
) -> requests.PublishSettings:
    entry = record.entry
    return requests.PublishSettings(entry.surface, entry.actor, documents.settings(entry.subject))


def trust_changed(_world: World, record: Record, _documents: Documents) -> requests.JudgeTrust:
    return requests.JudgeTrust(record.entry.surface, record.entry.subject)


def forecast_made(_world: World, record: Record, _documents: Documents) -> requests.MakeForecast:
    entry, opening = record.entry, _opened(record, ActOpening)
    return requests.MakeForecast(
        entry.surface, entry.actor, ascii_text(entry.subject), entry.label, entry.value, *opening
    )


def forecast_scored(_world: World, record: Record, _documents: Documents) -> requests.ScoreForecast:
    entry, opening = record.entry, _opened(record, ForecastOpening)
    return requests.ScoreForecast(
        entry.surface, entry.subject, entry.value, opening.probability_bps, opening.salt
    )


def operator_suspended(
    _world: World, record: Record, _documents: Documents
) -> requests.SuspendOperator:
    entry, opening = record.entry, _opened(record, ActOpening)
    return requests.SuspendOperator(
        entry.surface, entry.actor, entry.subject, entry.label, *opening
    )


def operator_restored(
    _world: World, record: Record, _documents: Documents
) -> requests.RestoreOperator:
    entry, opening = record.entry, _opened(record, ActOpening)
    return requests.RestoreOperator(
        entry.surface, entry.actor, entry.subject, entry.label, *opening
    )


def erasure(_world: World, record: Record, _documents: Documents) -> requests.Erasure:
    entry = record.entry
    return requests.Erasure(entry.surface, entry.subject, entry.actor)


def genesis(_world: World, record: Record, _documents: Documents) -> requests.Genesis:
    return requests.Genesis(record.entry.subject, record.entry.actor)


Opened = TypeVar("Opened", bound=Opening)


def _opened(record: Record, kind: type[Opened]) -> Opened:
    if not isinstance(record.opening, kind):
        raise TypeError(f"{record.entry.kind} has its opening; it was checked")
    return record.opening
