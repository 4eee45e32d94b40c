"""Receipts, format 1: the entries that show one outcome and its payment, checked by anyone alone.

Four questions, asked in order, each function raising `ProofError` at the first false answer:

1. `read_text`        is this text written in the one form of its document?
2. `parse`            is this a receipt: its members and no others, in order, every word canonical,
                      with the entries and openings that its kind always has?
3. `check`            do the entries stand in the checkpoint's tree, and do they tell one story?
4. `check_terms`      is that story what the contract's signed terms pay for?

Whether the checkpoint is the log's own is for the chain to say: compare it with what the event log
contract holds for that size. Offline, a receipt proves only what its root is worth; `signer_of`
says who vouches for it.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, cast

from orchestrator.core.common.document import name_twice
from orchestrator.core.common.errors import EntryError, ProofError, TermsError
from orchestrator.core.common.keccak import to_checksum_address
from orchestrator.core.deals.terms import Domain, Terms, checkpoint_digest, recover
from orchestrator.core.entries.kinds import ROLES, decode, kind_of
from orchestrator.core.log.entry import (
    ZERO_WORD,
    Entry,
    address_word,
    unpack_outcome,
    unpack_reversal,
    unpack_settlement,
)
from orchestrator.core.log.merkle import leaf_hash, verify_inclusion
from orchestrator.core.log.opening import (
    EventOpening,
    Opening,
    ReportedTouchOpening,
    TransitionOpening,
    encode_opening,
    opening_json,
    read_opening,
)
from orchestrator.core.log.origin import ORIGIN_RULE, is_origin
from orchestrator.core.world.contract import ContractRules, rules_of
from orchestrator.core.world.purchase import taken_units

FORMAT = "tallystick-receipt-1"
MAX_PATH = 40
MAX_NUMBER = 2**63 - 1
# The members of each object, in the order in which they are written.
MEMBERS = (
    *("format", "position", "log_id", "origin", "chain_id", "event_log", "escrow", "contract_id"),
    *("checkpoint", "entries", "pending"),
)
CHECKPOINT_MEMBERS = ("size", "root", "signature")
ENTRY_MEMBERS = ("position", "entry", "opening", "role", "path")
PENDING_MEMBERS = ("role", "position")
_HEX = re.compile(r"0x(?:[0-9a-f]{2})*")
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
# A text in quotes, or space outside of one.
_TEXT_OR_SPACE = re.compile(r'("(?:[^"\\]|\\.)*")|[ \t\r\n]+')


class Proven(NamedTuple):
    """An entry with its place in the log and its RFC 9162 inclusion path."""

    position: int
    data: bytes
    entry: Entry
    opening: Opening | None
    path: tuple[bytes, ...]


class Receipt(NamedTuple):
    """A parsed receipt. Addresses are as written in it: compare them with those you trust.

    It is of the entry with the role `subject`, which decides what other roles there are. `pending`
    are the positions, by role, of what the log has and no anchor covers yet.
    """

    position: int
    subject: str
    log_id: bytes
    origin: str
    chain_id: int
    event_log: str
    escrow: str
    contract_id: bytes
    size: int
    root: bytes
    signature: bytes
    entries: Mapping[str, Proven]
    pending: Mapping[str, int]


def read_text(text: str) -> object:
    """Return the document of a receipt's text, which may have spaces and lines of its own.

    Raises ProofError for a member that stands twice, and for another spelling of a text or a
    number; ValueError for what is no JSON, RecursionError for what is too deep.
    """
    document = json.loads(
        text,
        object_pairs_hook=_unique,
        parse_int=_plain_number,
        parse_float=_plain_number,
        parse_constant=_plain_number,
    )
    found = _TEXT_OR_SPACE.sub(lambda match: match[1] or "", text)
    written = json.dumps(document, separators=(",", ":"), ensure_ascii=False)
    if found != written:
        pairs = enumerate(zip(found, written, strict=False))
        at = next((at for at, (one, other) in pairs if one != other), len(written))
        raise ProofError(
            "receipt-spelling",
            f"the receipt spells a value in another way than receipts do: "
            f"{found[at : at + 20]!r} must be {written[at : at + 20]!r}",
        )
    return document


def _plain_number(text: str) -> int:
    """Return the number of these letters. Raises ProofError for any other than plain digits."""
    if not text.isdecimal():
        raise ProofError(
            "receipt-spelling",
            f"the receipt has the number {text:.60}; its numbers are plain digits, as in 31337",
        )
    if len(text) > len(str(MAX_NUMBER)):
        raise ProofError(
            "receipt-malformed",
            f"the receipt has a number of {len(text)} digits, which is too long; numbers are from "
            f"0 to {MAX_NUMBER}",
        )
    return int(text)


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Return the object of these members. Raises ProofError for one that stands twice."""
    twice = name_twice(pairs)
    if twice is not None:
        raise ProofError("receipt-twice", f"the member {twice!r:.60} stands twice in one object")
    return dict(pairs)


def parse(document: object) -> Receipt:
    """Read a receipt from its JSON document."""
    table = _table(document, "the receipt")
    if table.get("format") != FORMAT:
        raise ProofError(
            "receipt-format", f"the receipt's format is {table.get('format')!r:.60}, not {FORMAT}"
        )
    _check_members(table, MEMBERS, "the receipt")
    checkpoint = _table(table["checkpoint"], "checkpoint")
    _check_members(checkpoint, CHECKPOINT_MEMBERS, "checkpoint")
    entries = {
        role: _proven(item, role)
        for role, item in _by_role(table["entries"], ENTRY_MEMBERS, "entries", least=1).items()
    }
    _check_order("entries", [proven.position for proven in entries.values()])
    pending = {
        role: _whole(item, "position")
        for role, item in _by_role(table["pending"], PENDING_MEMBERS, "pending").items()
    }
    _check_order("pending", list(pending.values()))
    both = entries.keys() & pending.keys()
    if both:
        raise ProofError("receipt-role", f"role {min(both)!r} is both proven and pending")
    position = _whole(table, "position")
    size = _whole(checkpoint, "size")
    _check_anchored(pending, size)
    return Receipt(
        position=position,
        subject=_subject(entries, pending, position),
        log_id=_bytes(table, "log_id", 32),
        origin=_origin(table),
        chain_id=_whole(table, "chain_id"),
        event_log=_address(table, "event_log"),
        escrow=_address(table, "escrow"),
        contract_id=_bytes(table, "contract_id", 32),
        size=size,
        root=_bytes(checkpoint, "root", 32),
        signature=_bytes(checkpoint, "signature", None),
        entries=entries,
        pending=pending,
    )


def check(receipt: Receipt) -> None:
    """Check every inclusion proof and opening, and the story that the entries tell together."""
    for role, proven in receipt.entries.items():
        try:
            leaf = leaf_hash(proven.data)
            verify_inclusion(leaf, proven.position, receipt.size, proven.path, receipt.root)
        except ProofError as error:
            raise ProofError(
                error.code,
                f"the {role}, entry {proven.position}, is not in the tree of size {receipt.size}: "
                f"{error.message}",
            ) from None
        _check_opening(role, proven)
    try:
        _check_story(receipt)
    except EntryError as error:
        raise ProofError(error.code, f"a payload in the receipt is none: {error.message}") from None


def _check_story(receipt: Receipt) -> None:
    if "outcome" in receipt.entries:
        _check_outcome(receipt)
    if "reversal" in receipt.entries:
        _check_reversal(receipt)
    if "settlement" in receipt.entries:
        _check_settlement(receipt)
    payout = receipt.entries.get("payout")
    if payout is not None:
        _same("payout", "contract", payout.entry.subject, receipt.contract_id)


def left_open(receipt: Receipt) -> Iterator[str]:
    """Yield what no check of this receipt says anything of."""
    kind = kind_of(receipt.entries[receipt.subject].entry)
    if receipt.subject == "reversal":
        outcome = receipt.entries["outcome"].position
        yield f"the touch that earned the outcome: it is in the receipt of entry {outcome}"
    found = receipt.entries.keys() | receipt.pending.keys()
    missing = [role for role in (kind.receipt.others if kind.receipt else ()) if role not in found]
    if missing == ["settlement", "payout"]:
        yield "what the contract owes and has paid: no statement and no payment is shown"
    else:
        yield from (f"a {role}: the receipt has none" for role in missing)
    yield (
        "that the log's rules give these entries and no others instead; `tallystick replay` judges "
        "the whole log"
    )


def signer_of(receipt: Receipt) -> str:
    """Return the account whose key signed the checkpoint for the event log that is named.

    Raises ProofError for what no key signed, or is not in the one form of a key's signature. A
    contract that publishes may sign in any form (ERC-1271), of which the chain alone can tell.
    """
    domain = Domain("Tallystick EventLog", "1", receipt.chain_id, receipt.event_log)
    digest = checkpoint_digest(domain, receipt.log_id, receipt.size, receipt.root)
    try:
        return recover(digest, receipt.signature)
    except TermsError as error:
        raise ProofError(
            "receipt-signature",
            f"the checkpoint's signature is that of no key: {error.message}; were the publisher a "
            f"contract (ERC-1271), the chain alone could tell: tallystick verify RECEIPT --rpc URL",
        ) from None


def check_terms(receipt: Receipt, terms: Terms) -> None:
    """Check that these terms are of this log, and give what the receipt's entries say of money.

    Of an outcome: its amount, by this touch where the receipt has it. Of a reversal: what it takes
    back. Both rest on what the owner reports. Of a settlement and a payout: whose they are; their
    sums are those of the whole log.
    """
    rules = rules_of(terms, receipt.contract_id)
    _same("terms", "log", terms.log_id, receipt.log_id)
    for role, proven in receipt.entries.items():
        if role in ("transition", "event"):
            _same(role, "owner", proven.entry.actor, rules.owner)
        if kind_of(proven.entry).is_of_contract:
            _same(role, "surface", proven.entry.surface, rules.surface)
            # A payout's label says how it was paid.
            if role != "payout":
                _same(role, "state", proven.entry.label, rules.outcome)
    if "outcome" in receipt.entries:
        _check_earned(receipt, rules)
    if "reversal" in receipt.entries:
        _check_taken(receipt, rules)
    settlement, payout = receipt.entries.get("settlement"), receipt.entries.get("payout")
    if settlement is not None:
        _same("settlement", "verifier", settlement.entry.actor, rules.verifier)
    if payout is not None and payout.entry.actor != address_word(terms.payee):
        raise ProofError("receipt-payee", "the payout went to another payee than the signed one")


def _check_earned(receipt: Receipt, rules: ContractRules) -> None:
    """Check that the outcome earned what these rules give for its transition, and when."""
    outcome, transition = receipt.entries["outcome"], receipt.entries["transition"]
    amount = rules.amount_units(transition.entry.value)
    _same("outcome", "amount by the signed price", outcome.entry.value, amount)
    at_ms, touch = transition.entry.time_ms, receipt.entries.get("touch")
    touched_ms = at_ms if touch is None else touch.entry.time_ms
    if not rules.opens_at_ms <= touched_ms <= at_ms <= rules.deadline_ms:
        raise ProofError("receipt-times", "the touch or the transition is outside the contract")
    if touch is not None:
        _same("touch", "operator", touch.entry.actor, rules.operator)
    if at_ms - touched_ms > rules.attribution_window_ms:
        raise ProofError("receipt-window", "the touch is older than the attribution window")


def _check_taken(receipt: Receipt, rules: ContractRules) -> None:
    """Check that the reversal takes back what the terms give for the refund."""
    outcome, event = receipt.entries["outcome"].entry, receipt.entries["event"]
    told = cast(EventOpening, event.opening)
    value = receipt.entries["transition"].entry.value
    before = 0
    # Nothing was taken back before the first refund, not even of a purchase without a value.
    if told.previous:
        before = taken_units(rules, outcome.value, value, told.refunded_before_units)
    amount = taken_units(rules, outcome.value, value, told.refunded_after_units) - before
    reversal = receipt.entries["reversal"].entry
    _same("reversal", "amount by the signed price", reversal.value, amount)
    # A budget has room for what was paid by then, less no more than was reversed before this one.
    earned = unpack_outcome(outcome.payload).earned_after
    reversed_before = unpack_reversal(reversal.payload).reversed_after - reversal.value
    if earned > rules.budget_units + reversed_before:
        raise ProofError(
            "receipt-budget",
            f"the outcome brings its contract to {earned} units, past the signed budget of "
            f"{rules.budget_units} units and the {reversed_before} that were taken back before",
        )
    if event.entry.time_ms - outcome.time_ms > rules.holdback_period_ms:
        raise ProofError("receipt-late", "the event comes after the holdback period")


def _check_outcome(receipt: Receipt) -> None:
    outcome, transition = receipt.entries["outcome"], receipt.entries["transition"]
    facts = unpack_outcome(outcome.entry.payload)
    _same("outcome", "contract", outcome.entry.actor, receipt.contract_id)
    _same("outcome", "transition's position", facts.transition, transition.position)
    _same("transition", "lead", transition.entry.subject, outcome.entry.subject)
    _same("transition", "surface", transition.entry.surface, outcome.entry.surface)
    _same("transition", "state", transition.entry.label, outcome.entry.label)
    _same("transition", "time", transition.entry.time_ms, outcome.entry.time_ms)
    touch = receipt.entries.get("touch")
    if touch is not None:
        _same("outcome", "touch's position", facts.touch, touch.position)
        _same("touch", "lead", touch.entry.subject, outcome.entry.subject)
        _same("touch", "surface", touch.entry.surface, outcome.entry.surface)
        _check_report(touch)
    if not facts.touch < facts.transition:
        raise ProofError("receipt-order", "the touch does not come before the transition")
    if outcome.position != facts.transition + 1:
        raise ProofError(
            "receipt-order",
            f"the outcome, entry {outcome.position}, does not stand directly behind its "
            f"transition, entry {facts.transition}",
        )
    _check_sum("outcome", outcome, facts.prev, facts.n, facts.earned_after)


def _check_report(touch: Proven) -> None:
    """Check that a reported touch can have been, by what its opening tells of the report."""
    told = touch.opening
    if not isinstance(told, ReportedTouchOpening):
        return
    if touch.entry.time_ms > told.received_ms:
        raise ProofError(
            "receipt-times", f"the touch, entry {touch.position}, was reported before it happened"
        )
    if told.cause >= touch.position:
        raise ProofError(
            "receipt-order",
            f"the touch, entry {touch.position}, names entry {told.cause} as its cause, which does "
            f"not come before it",
        )


def _check_reversal(receipt: Receipt) -> None:
    reversal, outcome, event = (receipt.entries[role] for role in ("reversal", "outcome", "event"))
    facts = unpack_reversal(reversal.entry.payload)
    _same("reversal", "contract", reversal.entry.actor, receipt.contract_id)
    _same("reversal", "outcome's position", facts.outcome, outcome.position)
    if reversal.entry.value > outcome.entry.value:
        raise ProofError("receipt-amount", "the reversal takes back more than was paid")
    _same("reversal", "lead", reversal.entry.subject, outcome.entry.subject)
    _same("reversal", "event's position", facts.event, event.position)
    _same("event", "lead", event.entry.subject, reversal.entry.subject)
    _same("event", "surface", event.entry.surface, reversal.entry.surface)
    _same("event", "time", event.entry.time_ms, reversal.entry.time_ms)
    told, bought = cast(EventOpening, event.opening), unpack_outcome(outcome.entry.payload)
    _same("event", "transition that it takes back from", told.of, bought.transition)
    if not outcome.position < event.position == reversal.position - 1:
        raise ProofError(
            "receipt-order",
            f"the reversal, entry {reversal.position}, does not stand directly behind its event, "
            f"entry {event.position}, and that behind the outcome, entry {outcome.position}",
        )
    _check_sum("reversal", reversal, facts.prev, facts.n, facts.reversed_after)
    _check_refund(event, receipt.entries["transition"], outcome.position)


def _check_sum(role: str, proven: Proven, prev: int, n: int, total: int) -> None:
    """Check that an entry's running count and sum can be, as far as it alone shows."""
    value = proven.entry.value
    can_be = (n, total) == (1, value) if prev == 0 else prev < proven.position and n > 1
    if not can_be or total < value:
        raise ProofError(
            "receipt-sum",
            f"the {role}, entry {proven.position}, is worth {value} units, and cannot be number "
            f"{n} of its contract behind entry {prev} with {total} units in all",
        )


def _check_refund(event: Proven, transition: Proven, outcome: int) -> None:
    """Check that what the event's opening tells of a refund can be, of this transition."""
    told, bought = cast(EventOpening, event.opening), cast(TransitionOpening, transition.opening)
    before, value = told.refunded_before_units, transition.entry.value
    if told.order == ZERO_WORD:
        # Without an order it is all that is left.
        _same("event", "whole", told.whole, True)
    else:
        _same("event", "order", told.order, bought.order)
    if not told.previous:
        _same("event", "refund before the first", before, 0)
    elif not outcome < told.previous < event.position:
        raise ProofError(
            "receipt-order",
            f"the event, entry {event.position}, names entry {told.previous} as the refund before "
            f"it, which does not stand between it and the outcome, entry {outcome}",
        )
    if before > value:
        raise ProofError("receipt-amount", "more was refunded before the event than was bought")
    is_all = told.whole or event.entry.value >= value - before
    after = value if is_all else before + event.entry.value
    _same("event", "refund in all", told.refunded_after_units, after)


def _check_settlement(receipt: Receipt) -> None:
    settlement = receipt.entries["settlement"]
    facts = unpack_settlement(settlement.entry.payload)
    _same("settlement", "contract", settlement.entry.subject, receipt.contract_id)
    _same("settlement", "net", settlement.entry.value, facts.earned - facts.reversed)
    outcome, reversal = receipt.entries.get("outcome"), receipt.entries.get("reversal")
    if outcome is not None:
        earned = unpack_outcome(outcome.entry.payload).earned_after
        _check_covered(settlement, outcome, "outcome", facts.last_outcome, earned, facts.earned)
    if reversal is not None:
        taken = unpack_reversal(reversal.entry.payload).reversed_after
        _check_covered(settlement, reversal, "reversal", facts.last_reversal, taken, facts.reversed)
    for what, last, total in (
        ("outcome", facts.last_outcome, facts.earned),
        ("reversal", facts.last_reversal, facts.reversed),
    ):
        if last >= settlement.position or (last == 0 and total):
            raise ProofError(
                "receipt-sum",
                f"the settlement, entry {settlement.position}, states {total} units up to the "
                f"{what} at entry {last}, which cannot be",
            )
    if receipt.subject == "payout" and settlement.position > receipt.position:
        raise ProofError("receipt-order", "the settlement does not come before the payout")


def _check_covered(
    settlement: Proven, proven: Proven, role: str, last: int, own: int, total: int
) -> None:
    """Check that a settlement, up to its last entry of this role and a total, covers this one."""
    if not proven.position <= last < settlement.position or own > total:
        raise ProofError("receipt-uncovered", f"the settlement does not cover the {role}")
    if proven.position == last and own != total:
        raise ProofError(
            "receipt-sum",
            f"the settlement states {total} units up to the {role}, entry {last}, with which its "
            f"contract has come to {own}",
        )


def _check_opening(role: str, proven: Proven) -> None:
    if not kind_of(proven.entry).fits(proven.entry, proven.opening):
        raise ProofError("receipt-opening", f"the opening of the {role} does not match it")


def _same(role: str, what: str, found: object, wanted: object) -> None:
    if found != wanted:
        raise ProofError(
            "receipt-mismatch",
            f"the {role} contradicts the receipt: {what} is {_shown(found)}, not {_shown(wanted)}",
        )


def _shown(value: object) -> str:
    return f"0x{value.hex()}" if isinstance(value, bytes) else repr(value)


def _proven(item: Mapping[str, object], role: str) -> Proven:
    data = _bytes(item, "entry", 256)
    try:
        entry = decode(data)
    except EntryError as error:
        raise ProofError(error.code, f"the {role} is no entry: {error.message}") from None
    kind = kind_of(entry)
    if kind not in ROLES[role]:
        raise ProofError("receipt-mismatch", f"the {role} is an entry of kind {kind.name}")
    path = item.get("path")
    if not isinstance(path, list) or len(path) > MAX_PATH:
        raise ProofError("receipt-path", f"the {role}'s path must be a list of at most {MAX_PATH}")
    nodes = tuple(_bytes({"path": node}, "path", 32) for node in path)
    opening = _opening(item.get("opening"), role, kind.opening)
    return Proven(_whole(item, "position"), data, entry, opening, nodes)


def _opening(value: object, role: str, opened: type[Opening] | None) -> Opening | None:
    """Return an entry's opening, in the one form in which it is written."""
    if opened is None:
        if value is None:
            return None
        raise ProofError("receipt-opening", f"the {role} has an opening, and its kind has none")
    if value is None:
        raise ProofError(
            "receipt-opening", f"the opening of the {role} is missing; a receipt always has it"
        )
    table = _table(value, "an opening")
    try:
        found = read_opening(opened, table)
        encode_opening(found)  # or a field out of bounds would be found out only when it is hashed
    except (AttributeError, EntryError, LookupError, TypeError, ValueError):
        found = None
    # Hex digits have other spellings, which a receipt does not.
    if found is None or list(opening_json(found).items()) != list(table.items()):
        raise ProofError("receipt-malformed", f"the opening of the {role} is not in its form")
    return found


def _by_role(
    listed: object, members: Sequence[str], what: str, least: int = 0
) -> dict[str, Mapping[str, object]]:
    """Return the objects of a list by their roles, each of which stands once."""
    if not isinstance(listed, list) or not least <= len(listed) <= len(ROLES):
        raise ProofError(
            f"receipt-{what}", f"{what} must be a list of {least} to {len(ROLES)} objects"
        )
    found: dict[str, Mapping[str, object]] = {}
    for number, each in enumerate(listed):
        item = _table(each, f"{what}[{number}]")
        _check_members(item, members, f"{what}[{number}]")
        role = item["role"]
        if not isinstance(role, str) or role not in ROLES:
            raise ProofError(
                "receipt-role",
                f"{what}[{number}] has the role {role!r:.60}; roles are {', '.join(ROLES)}",
            )
        if role in found:
            raise ProofError("receipt-role", f"the role {role!r} stands twice in {what}")
        found[role] = item
    return found


def _subject(entries: Mapping[str, Proven], pending: Mapping[str, int], position: int) -> str:
    """Return the role of the entry that a receipt is of.

    Raises ProofError unless the receipt has the roles that its kind always has, and no others than
    its kind may have.
    """
    role = next((role for role, one in entries.items() if one.position == position), None)
    if role is None:
        raise ProofError(
            "receipt-position", f"no entry of the receipt is at its position, {position}"
        )
    kind = kind_of(entries[role].entry)
    if kind.receipt is None:
        raise ProofError(
            "receipt-position",
            f"the entry at the receipt's position, {position}, is of kind {kind.name}, of which "
            f"there are no receipts",
        )
    always, others = kind.receipt
    for wanted in always:
        if wanted not in entries:
            raise ProofError(
                "receipt-incomplete",
                f"the {wanted} is missing; the receipt of an entry of kind {kind.name} always has "
                f"{', '.join(always)}",
            )
    found = entries.keys() | pending.keys()
    for one in sorted(found.difference(always, others)):
        raise ProofError(
            "receipt-role",
            f"the {one} has no part in the receipt of an entry of kind {kind.name}",
        )
    # Which payout a receipt names follows from what the settlement states.
    if "settlement" not in found and "payout" in found.difference(always):
        raise ProofError(
            "receipt-incomplete", "the settlement is missing, by which the payout was made"
        )
    return role


def _check_anchored(pending: Mapping[str, int], size: int) -> None:
    """Raise ProofError for an entry that the checkpoint covers and the receipt does not prove."""
    for role, position in pending.items():
        if position < size:
            raise ProofError(
                "receipt-pending",
                f"the {role}, entry {position}, is called pending, and the checkpoint of size "
                f"{size} covers it",
            )


def _check_members(table: Mapping[str, object], members: Sequence[str], what: str) -> None:
    """Raise ProofError unless these are the object's members, in this order."""
    unknown = [name for name in table if name not in members]
    missing = [name for name in members if name not in table]
    if unknown:
        fault = f"has a member that receipts do not have, {unknown[0]!r:.60}"
    elif missing:
        fault = f"lacks the member {missing[0]!r}"
    elif list(table) != list(members):
        pairs = zip(table, members, strict=True)
        found, wanted = next(pair for pair in pairs if pair[0] != pair[1])
        fault = f"has the member {found!r} where {wanted!r} must stand"
    else:
        return
    raise ProofError("receipt-members", f"{what} {fault}; its members are {', '.join(members)}")


def _check_order(what: str, positions: Iterable[int]) -> None:
    """Raise ProofError unless the positions rise: one receipt has one order of its entries."""
    before = -1
    for position in positions:
        if position <= before:
            raise ProofError(
                "receipt-unordered",
                f"in {what}, entry {position} stands after entry {before}; they must stand in the "
                f"log's order",
            )
        before = position


def _table(value: object, what: str) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise ProofError("receipt-malformed", f"{what} must be a JSON object")
    return value


def _whole(table: Mapping[str, object], name: str) -> int:
    value = table.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_NUMBER:
        raise ProofError(
            "receipt-malformed",
            f"{name} must be a whole number from 0 to {MAX_NUMBER}, not {value!r:.60}",
        )
    return value


def _origin(table: Mapping[str, object]) -> str:
    value = table["origin"]
    if not is_origin(value):
        raise ProofError("receipt-malformed", f"origin must be {ORIGIN_RULE}, not {value!r:.60}")
    return str(value)


def _address(table: Mapping[str, object], name: str) -> str:
    value = table[name]
    if (
        not isinstance(value, str)
        or not _ADDRESS.fullmatch(value)
        or to_checksum_address(value) != value
    ):
        raise ProofError(
            "receipt-malformed", f"{name} must be an address with its checksum, not {value!r:.60}"
        )
    return value


def _bytes(table: Mapping[str, object], name: str, length: int | None) -> bytes:
    value = table.get(name)
    if not isinstance(value, str) or len(value) > 8194 or not _HEX.fullmatch(value):
        raise ProofError("receipt-malformed", f"{name} must be 0x and lower-case hex")
    data = bytes.fromhex(value[2:])
    if length is not None and len(data) != length:
        raise ProofError("receipt-malformed", f"{name} has {len(data)} bytes, not {length}")
    return data
