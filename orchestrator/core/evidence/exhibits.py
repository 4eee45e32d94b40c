"""The parts of a case at the escrow: exhibits, what the escrow says of contracts, claims.

Entries are read here word by word as Solidity reads them, not decoded: a dishonest log may hold any
256 bytes.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from hashlib import sha256
from typing import NamedTuple, TypeVar

from orchestrator.core.common.errors import EvidenceError
from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.core.deals.terms import Terms
from orchestrator.core.log.entry import ENTRY_BYTES, WORD_BYTES, ZERO_WORD, ascii_word
from orchestrator.core.world.contract import ContractRules, rules_of

MAX_EXHIBITS = 16
_KEPT_EXHIBITS = 4096

# The meaning of each kind of case, for the person who is about to sign for it.
DISPROOFS = {
    "duplicate": "a lead or a transition was counted twice",
    "transition": "an outcome contradicts its transition, the terms, or the contract's opening",
    "touch": "the touch that an outcome names is wrong, too old, or not before it",
    "cause": "the touch was reported, and what it is reported from does not bear it",
    "touch_order": "another touch of the same operator should have been credited",
    "rival": "the touch of another contract's operator should have won",
    "sum": "running totals or counts do not add up",
    "reversal": "a reversal names the wrong outcome or event, is late, or takes another amount",
    "clock": "the log's own clock went back",
}
REFUTATIONS = {
    "answered": "the verifier's final statement covers an answer for this lead or transition",
    "taken": "the log gave the transition to another contract, and a final statement covers that",
    "earlier": "the log counted this lead for the contract before, which counts a lead once",
    "reversed": "an event took the outcome back, or a part of it",
    "cause": DISPROOFS["cause"],
    "touch_order": DISPROOFS["touch_order"],
    "rival": DISPROOFS["rival"],
}
PROVEN = "proven"  # the kind of a case that shows what was taken back of a settled outcome


class Exhibit(NamedTuple):
    """A log entry as evidence: its position, 256 bytes, opening, and RFC 9162 inclusion path.

    The opening's words are shown only where a case needs them. The caller who knows the anchored
    tree adds the path; nothing in the core reads it.
    """

    position: int
    entry: bytes
    opening: bytes = b""
    proof: tuple[bytes, ...] = ()


class Case(NamedTuple):
    """Evidence against a contract's verifier (a disproof), or against a claim (a refutation).

    A disproof's first exhibit is the entry that it shows to be false. `rival` is the id of the
    contract that should have won. A case of kind `PROVEN` is against no party: it shows what was
    taken back of an outcome.
    """

    contract_id: bytes
    kind: str
    exhibits: tuple[Exhibit, ...]
    rival: bytes = ZERO_WORD

    def with_proofs(self, prove: Callable[[int], Sequence[bytes]]) -> "Case":
        """Return the case with the inclusion path that `prove` gives for each position."""
        proven = (item._replace(proof=tuple(prove(item.position))) for item in self.exhibits)
        return self._replace(exhibits=tuple(proven))


# --- Contracts and claims in the escrow -----------------------------------------------------------


class EscrowRecord(NamedTuple):
    """The escrow's record of a contract.

    `lateness_ms` is how late events may be reported. `opening_number` counts contracts in the order
    of opening, from 1. `closed_at_s` is 0 unless the parties closed it. `last_signed` is the
    position of the last statement that its verifier signed there, `last_final` that of the last
    final one; 0 for none.
    """

    rules: ContractRules
    log_id: bytes
    lateness_ms: int
    opening_number: int
    closed_at_s: int = 0
    last_signed: int = 0
    last_final: int = 0

    @property
    def exclusive_key(self) -> tuple[bytes, bytes, bytes, str]:
        """The key that an exclusive contract shares with no other."""
        rules = self.rules
        return rules.owner, self.log_id, rules.surface, rules.outcome

    @property
    def market(self) -> tuple[tuple[bytes, bytes, bytes, str], bytes, str]:
        """The key that contracts share if they compete for the same outcomes by the same rules."""
        return self.exclusive_key, self.rules.policy_hash, self.rules.attribution

    def is_final(self, position: int) -> bool:
        """Return whether a final statement of the contract stands on or above this entry."""
        return position <= self.last_final != 0

    def is_closed_before(self, at_ms: int) -> bool:
        """Return whether its parties had closed it; the second of the closing is still open."""
        return self.closed_at_s != 0 and at_ms > self.closed_at_s * 1000

    def covers(self, at_ms: int) -> bool:
        """Return whether a transition at this time can count for it, closed or not."""
        return self.rules.opens_at_ms <= at_ms <= self.rules.deadline_ms


ContractIndex = Mapping[bytes, EscrowRecord]  # by contract id


def escrow_record_of(
    terms: Terms,
    contract_id: bytes,
    opening_number: int,
    closed_at_s: int = 0,
    last_signed: int = 0,
    last_final: int = 0,
) -> EscrowRecord:
    """Return the record of signed terms; the rest is as the escrow's views return it."""
    deal = rules_of(terms, contract_id), terms.log_id, terms.lateness_s * 1000
    return EscrowRecord(*deal, opening_number, closed_at_s, last_signed, last_final)


class Claim(NamedTuple):
    """An outcome that the operator proves itself, as the escrow keeps it. `amount` in base units.

    `transition` and `touch` are positions in the log, `time_ms` is the transition's.
    """

    lead: bytes
    amount: int
    transition: int
    touch: int
    time_ms: int

    def key(self, rules: ContractRules) -> bytes:
        """Return what can be claimed only once: the lead, or the transition if repeatable."""
        return claim_key(rules, self.lead, self.transition)


def claim_key(rules: ContractRules, lead: bytes, transition: int) -> bytes:
    """Return the key of a claim to this transition of the lead."""
    return transition.to_bytes(WORD_BYTES) if rules.repeatable else lead


# --- Entries, word by word ------------------------------------------------------------------------

TOUCH = ascii_word("touch")
REPORTED = ascii_word("touch.reported")
REQUESTED = ascii_word("action.requested")
CODE = ascii_word("code.issued")
CODE_END = ascii_word("code.ended")
TRANSITION = ascii_word("lead.transition")
PRODUCT_EVENT = ascii_word("product.event")
OUTCOME = ascii_word("outcome")
OVER = ascii_word("outcome.over")
REFUSED = ascii_word("outcome.refused")
REVERSAL = ascii_word("outcome.reversed")
SETTLEMENT = ascii_word("settlement")
OPENED = ascii_word("contract.opened")
PUBLISHED = ascii_word("policy.published")
# Of the entries whose time is the log's own, those whose time decides anything.
OWN_TIMED = (TOUCH, REQUESTED, CODE, OPENED, SETTLEMENT)
TOUCHES = (TOUCH, REPORTED)
CLICK = ascii_word("click")

_U40 = (1 << 40) - 1
_U48 = (1 << 48) - 1
_U80 = (1 << 80) - 1


class Words(NamedTuple):
    """An entry's position and its words, with text words as bytes; any 256 bytes are some."""

    position: int
    kind: bytes
    surface: bytes
    actor: bytes
    subject: bytes
    label: bytes
    value: int
    time_ms: int
    payload: int

    def is_of(self, contract_id: bytes, kind: bytes) -> bool:
        """Return whether this is an entry of this kind by this contract."""
        return self.kind == kind and self.actor == contract_id


class Link(NamedTuple):
    """The payload of an outcome and of a reversal, which have one layout.

    `target` is the position of the transition, or of the outcome that is reversed; `cause` that of
    the touch, or of the event; `prev` that of the entry before in the chain. `n` is the running
    count, `total` the running sum. `padding` is zero in an honest entry.
    """

    target: int
    cause: int
    prev: int
    n: int
    total: int
    padding: int


class Statement(NamedTuple):
    """The payload of a settlement: cumulative base units and the last entries that they cover."""

    earned: int
    reversed: int
    last_outcome: int
    last_reversal: int


def words_of(exhibit: Exhibit) -> Words:
    """Return the words of an exhibit. Raises EvidenceError unless it has 256 bytes."""
    return read_words(exhibit.position, exhibit.entry)


def read_words(position: int, entry: bytes) -> Words:
    """Return the words of the entry at this position. Raises EvidenceError unless 256 bytes."""
    if len(entry) != ENTRY_BYTES:
        raise EvidenceError("entries-not-whole", f"an entry has 256 bytes, not {len(entry)}")
    return Words(
        position,
        entry[:32],
        entry[32:64],
        entry[64:96],
        entry[96:128],
        entry[128:160],
        int.from_bytes(entry[160:192]),
        int.from_bytes(entry[192:224]),
        int.from_bytes(entry[224:]),
    )


# The two layouts are those of `core.entry`, whose readers refuse bits in the padding. Here they are
# read, because the padding of a dishonest entry is evidence.


def unpack_link(payload: int) -> Link:
    """Return target u40, cause u40, prev u40, n u40, total u80, padding u16; high bits first."""
    return Link(
        payload >> 216,
        payload >> 176 & _U40,
        payload >> 136 & _U40,
        payload >> 96 & _U40,
        payload >> 16 & _U80,
        payload & 0xFFFF,
    )


def unpack_statement(payload: int) -> Statement:
    """Return earned u80, reversed u80, last_outcome u48, last_reversal u48; high bits first."""
    return Statement(payload >> 176, payload >> 96 & _U80, payload >> 48 & _U48, payload & _U48)


# --- Openings, word by word -----------------------------------------------------------------------


class TransitionWords(NamedTuple):
    """The words of a transition's opening. `counted` is a position; `order` is zero for none."""

    from_state: int
    counted: int
    received_ms: int
    order: int
    request_hash: int
    commitment: int


class EventWords(NamedTuple):
    """The words of a product event's opening; `of` and `previous` are positions, 0 for none."""

    received_ms: int
    order: int
    of: int
    previous: int
    refunded_before: int
    refunded_after: int
    whole: int
    request_hash: int
    commitment: int


class ReportWords(NamedTuple):
    """The words of a reported touch's opening; `cause` is a position."""

    cause: int
    received_ms: int
    request_hash: int
    commitment: int


class CodeWords(NamedTuple):
    """The words of the opening of a code's issue; `expires_ms` is the last time of a click."""

    expires_ms: int
    request_hash: int
    commitment: int
    key: int


OpeningWords = TypeVar("OpeningWords", TransitionWords, EventWords, ReportWords, CodeWords)


def opening_words(make: type[OpeningWords], opening: bytes) -> OpeningWords | None:
    """Return the words of an opening of this type, or None for any other bytes, or none."""
    if len(opening) != len(make._fields) * WORD_BYTES:
        return None
    starts = range(0, len(opening), WORD_BYTES)
    return make(*(int.from_bytes(opening[start : start + WORD_BYTES]) for start in starts))


# --- A case being decided -------------------------------------------------------------------------


class OpenedCase(NamedTuple):
    """A case with its exhibits read, its contract's record, and those of all contracts."""

    case: Case
    entries: Sequence[Words]
    record: EscrowRecord
    contracts: ContractIndex

    @property
    def rules(self) -> ContractRules:
        return self.record.rules

    def record_of(self, contract_id: bytes) -> EscrowRecord:
        """Return the record of any contract in the escrow."""
        return _record_of(self.contracts, contract_id)

    def exhibit(self, place: int) -> Words:
        """Return an exhibit by its place in the case, from 0."""
        if place >= len(self.entries):
            raise EvidenceError("missing-exhibit", f"exhibit {place + 1} is needed and not there")
        return self.entries[place]

    def exhibit_at(self, place: int, position: int) -> Words:
        """Return an exhibit that must stand at this position in the log."""
        entry = self.exhibit(place)
        if entry.position != position:
            raise EvidenceError(
                "wrong-exhibit", f"entry {entry.position} is shown where {position} is meant"
            )
        return entry

    def opening(self, make: type[OpeningWords], place: int) -> OpeningWords:
        """Return the words of an exhibit's opening, which must be shown."""
        shown = self.case.exhibits[place]
        found = opening_words(make, shown.opening)
        if found is None:
            expected = len(make._fields) * WORD_BYTES
            raise EvidenceError(
                "opening-length",
                f"the opening of entry {shown.position} has {expected} bytes, "
                f"not {len(shown.opening)}",
            )
        return found

    def has_opening(self, place: int) -> bool:
        """Return whether an exhibit's opening is shown."""
        return bool(self.case.exhibits[place].opening)

    def first_exhibit(self, *kinds: bytes) -> Words:
        """Return the first exhibit, which must be one of the contract's entries of these kinds."""
        entry = self.entries[0]
        if not any(entry.is_of(self.rules.contract_id, kind) for kind in kinds):
            raise EvidenceError(
                "not-of-contract",
                f"entry {entry.position} is none of the contract that this case could disprove",
            )
        return entry


def open_case(case: Case, contracts: ContractIndex) -> OpenedCase:
    """Read a case's exhibits and find its contract."""
    if not 1 <= len(case.exhibits) <= MAX_EXHIBITS:
        raise EvidenceError(
            "exhibit-count", f"{len(case.exhibits)} exhibits are not 1 to {MAX_EXHIBITS}"
        )
    record = _record_of(contracts, case.contract_id)
    return OpenedCase(case, [_read(exhibit) for exhibit in case.exhibits], record, contracts)


@lru_cache(maxsize=_KEPT_EXHIBITS)
def _read(exhibit: Exhibit) -> Words:
    """Return the words of an exhibit whose opening, if it is shown, is the right one.

    A search for evidence shows the same entries in one case after another.
    """
    entry = words_of(exhibit)
    if exhibit.opening and sha256(exhibit.opening).digest() != exhibit.entry[-WORD_BYTES:]:
        raise EvidenceError("wrong-opening", f"this is not what entry {entry.position} commits to")
    return entry


def _record_of(contracts: ContractIndex, contract_id: bytes) -> EscrowRecord:
    record = contracts.get(contract_id)
    if record is None:
        raise EvidenceError("unknown-contract", f"the escrow has no {to_hex(contract_id)}")
    return record
