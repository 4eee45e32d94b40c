"""The reasons for the fate of a request: the rule that refused it, and what would change that."""

from collections.abc import Mapping
from typing import NamedTuple

from orchestrator.core.common.units import counted
from orchestrator.core.why.reason import MAX_PARTS, Code, Reason
from orchestrator.core.world.requests import RETRYABLE


class Rule(NamedTuple):
    """A rule that refuses requests, and what its caller can do."""

    text: str
    remedy: str


class Decided(NamedTuple):
    """A request's fate as its account is told it: the entries that it caused, or its refusal."""

    kind: str
    status: str
    first_position: int | None
    entries: int
    code: str | None
    message: str | None


# What every rule of the log that refuses a request demands, and what helps, by its code.
RULES: Mapping[str, Rule] = {
    "action-by-another": Rule(
        "the settings say who carries an action out",
        "request it where the surface does, and report it as a touch where you do",
    ),
    "action-closed": Rule(
        "an answer is to a request on this lead that is open",
        "nothing is needed: it has failed, expired or counts as done",
    ),
    "action-early": Rule(
        "a request expires when its time has passed, and no sooner",
        "nothing is needed: the service notes it then",
    ),
    "action-expired": Rule(
        "a request is taken before it expires",
        "take requests sooner, or let settings give them longer",
    ),
    "action-expiry": Rule(
        "a request lasts no longer than the settings let the action",
        "send a new request that expires sooner",
    ),
    "action-limit": Rule(
        "so many requested actions are open at one time",
        "send it again when some are taken, have failed or expired",
    ),
    "action-taken": Rule("a request is taken once", "nothing is needed: it is taken"),
    "action-unknown": Rule(
        "an action must be one that the surface's settings offer",
        "take one that they offer, or send a new request once settings that offer it are published",
    ),
    "cause-false": Rule(
        "a reported touch needs a code or a request of the same operator, action and time",
        "name the position of the cause, and a time between its issue and its end",
    ),
    "contract-known": Rule("a contract opens once", "nothing is needed: the log has it"),
    "contract-unknown": Rule(
        "a contract must have its opening in the log",
        "send it again after the entry contract.opened of this contract",
    ),
    "event-ahead": Rule(
        "an event cannot be dated ahead of its receipt",
        "send it again when its time has come, or correct the product's clock",
    ),
    "event-late": Rule(
        "an event must be reported within the policy's lateness",
        "report events sooner; a policy with a longer lateness binds later contracts alone",
    ),
    "forecast-false": Rule(
        "a forecast is opened with the probability and salt that it was sealed with",
        "nothing is needed of the operator: the pipeline opens forecasts with what it was sent",
    ),
    "forecast-overlaps": Rule(
        "the windows of an operator's forecasts on a surface do not overlap",
        "send it again on the day before the last one's window ends",
    ),
    "forecast-unknown": Rule(
        "a forecast is opened once, and only one that is in the log",
        "nothing is needed: what can be opened is opened by the pipeline",
    ),
    "code-ended": Rule("a code ends once", "nothing is needed: it brings no lead any more"),
    "code-expiry": Rule(
        "a code expires within what the settings allow", "name an expiry within that span"
    ),
    "code-known": Rule("each code is issued once", "ask for another one"),
    "code-limit": Rule(
        "an operator is given so many codes a day", "send it again from 00:00 UTC on"
    ),
    "code-of-another": Rule(
        "a code is ended by its operator or the surface's owner", "name a code of your own"
    ),
    "code-unknown": Rule(
        "only a code that was issued on the surface can be ended", "name its random id"
    ),
    "code-uses": Rule(
        "a code has as many uses as the settings allow", "ask for fewer, or for several codes"
    ),
    "codes-unoffered": Rule(
        "codes are given where the settings offer them",
        "send it again after the entry settings.published that offers codes",
    ),
    "genesis-twice": Rule("a log begins once", "nothing is needed: it has begun"),
    "lead-elsewhere": Rule(
        "a lead belongs to one surface", "name the surface that the lead was registered on"
    ),
    "lead-limit": Rule(
        "a level allows so many leads a day",
        "send it again from 00:00 UTC on, or rise to a level that allows more",
    ),
    "log-unbegun": Rule(
        "a log takes requests once it has its genesis",
        "send it again in a moment",
    ),
    "lead-unknown": Rule(
        "an action or a report must be about a lead in the log",
        "wait for the entry lead.registered, which the lead's first event brings",
    ),
    "level-too-low": Rule(
        "an act needs the level that the settings demand",
        "send it again after the entry trust.changed that gives this level; what the level still "
        "needs is said by the operator's own why on the surface",
    ),
    "operator-known": Rule("an operator registers once", "nothing is needed: the log has it"),
    "party-false": Rule(
        "a dispute is of the side that its label names", "name that party of the contract"
    ),
    "operator-restored": Rule(
        "only a suspension can be ended", "nothing is needed: the operator is not suspended"
    ),
    "operator-suspended": Rule(
        "an operator that is suspended does not act, and is not suspended twice",
        "send it again after the entry operator.restored, which the surface's owner brings",
    ),
    "opening-early": Rule("a forecast is opened when its window has passed", "send it again then"),
    "opening-late": Rule(
        "a forecast is opened within seven days of its window's end",
        "make the next one: what counted before is forfeit",
    ),
    "order-ambiguous": Rule(
        "an event that takes a purchase back and is one cannot name an order",
        "report the two as two events, or without an order",
    ),
    "order-limit": Rule(
        "a lead has a bounded number of orders", "send further purchases without an order"
    ),
    "order-taken": Rule("a purchase founds its own order", "give each purchase its own order id"),
    "order-unknown": Rule(
        "a refund's order must be founded by a purchase in the log",
        "send it again after the entry lead.transition of the purchase",
    ),
    "policy-drops-state": Rule(
        "a new policy keeps all states of the last", "add the state that the message names"
    ),
    "policy-in-force": Rule(
        "a policy stays while contracts signed under it can still earn or lose",
        "send it again when their deadlines and holdback periods have passed, or after their "
        "entries contract.closed",
    ),
    "pool-limit": Rule(
        "operators whose level comes from forecasts share one allowance a day",
        "send it again from 00:00 UTC on, or get a contract under the policy in force",
    ),
    "question-state-unknown": Rule(
        "settings ask about states of the policy in force alone",
        "publish settings whose questions name its states",
    ),
    "question-unknown": Rule(
        "a forecast answers a question that the surface's settings ask",
        "forecast one that they ask, or send a new request once they ask this one",
    ),
    "ref-unusable": Rule(
        "an event without an id of its lead needs a code that is good at its time",
        "send it with your own id of the lead: it counts as an event without a code then",
    ),
    "settings-missing": Rule(
        "a surface offers actions by its settings",
        "send it again after the surface's first entry settings.published",
    ),
    "reason-needless": Rule(
        "only an action that failed has a reason", "send the answer again without one"
    ),
    "surface-taken": Rule(
        "only its owner changes a surface", "sign in as the owner, or use a surface of your own"
    ),
    "surface-unknown": Rule(
        "a surface must have published a policy",
        "send it again after the surface's first entry policy.published",
    ),
    "transition-missing": Rule(
        "a lead's actions become touches before its transition alone",
        "nothing is needed: no request brings this about",
    ),
    "touch-limit": Rule(
        "a policy allows an operator so many touches of one lead",
        "touch other leads; a policy that allows more binds later contracts alone",
    ),
}


def why_request(decided: Decided) -> Reason:
    """Return why a request came to its fate, and from when on it would come to another."""
    if decided.status == "waiting":
        text = "the request waits: it is decided in the order of receipt, as of its receipt"
        return Reason(Code.REQUEST_WAITS, text)
    if decided.status == "done":
        return _done(decided)
    code, message = decided.code or "refused", decided.message or "no reason was kept"
    parts = [Reason(Code.RULE, message)]
    rule = RULES.get(code)
    if rule is not None:
        parts = [Reason(Code.RULE, f"{rule.text}: {message}"), Reason(Code.REMEDY, rule.remedy)]
    if code not in RETRYABLE:
        text = (
            "time does not change this refusal: the same key always gets it; what is to be decided "
            "anew needs a new key"
        )
        parts.append(Reason(Code.FINAL, text))
    return Reason(Code.REQUEST_REFUSED, f"the log refused it by rule {code}", (), tuple(parts))


def _done(decided: Decided) -> Reason:
    first = decided.first_position
    if not decided.entries or first is None:
        texts = {
            "product_event": "the policy in force then names no such event, so it was taken and "
            "ignored",
            "judge_trust": "the level was right already, so the log has nothing to say",
            "erasure": "the log knew nothing of the lead, so it has nothing to say",
            "settle": "no contract had anything new to state",
        }
        text = texts.get(decided.kind, "the log has nothing to say to it")
        return Reason(Code.REQUEST_IGNORED, text)
    positions = tuple(range(first, first + min(decided.entries, MAX_PARTS)))
    text = (
        f"it was taken, and caused {counted(decided.entries, 'entry', 'entries')} from {first} on"
    )
    return Reason(Code.REQUEST_DONE, text, positions)
