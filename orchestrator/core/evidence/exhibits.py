"""What a case at the escrow is made of: exhibits, what the chain says of contracts, claims.

Entries are read here word by word as Solidity reads them, not decoded: a log that somebody wrote
to deceive may hold any 256 bytes.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from orchestrator.core.contract import ContractRules, rules_of
from orchestrator.core.entry import ENTRY_BYTES, WORD_BYTES, ZERO_WORD, ascii_word
from orchestrator.core.errors import EvidenceError
from orchestrator.core.opening import EventOpening
from orchestrator.core.terms import Terms

MAX_EXHIBITS = 4
NO_OPENING = EventOpening("", 0, 0, ZERO_WORD, ZERO_WORD)

# What each kind of case says, for the person who is about to sign for it.
DISPROOFS = {
    "duplicate": "a lead or a transition was counted twice",
    "transition": "an outcome contradicts its transition, the terms, or the contract's opening",
    "touch": "the touch that an outcome names is wrong, too old, or not before it",
    "touch_order": "another touch of the same operator should have been credited",
    "rival": "the touch of another contract's operator should have won",
    "sum": "running totals or counts do not add up",
    "reversal": "a reversal names the wrong outcome or event, is late, or happened twice",
    "clock": "the log's own clock went back",
}
REFUTATIONS = {
    "answered": "the verifier's final statement covers an answer for this lead or transition",
    "taken": "the log gave the transition to another contract, and a final statement covers that",
    "touch_order": DISPROOFS["touch_order"],
    "rival": DISPROOFS["rival"],
}


class Exhibit(NamedTuple):
    """A log entry as evidence: its index, its 256 bytes, and its RFC 9162 inclusion path.

    The path is added by whoever knows the anchored tree; nothing in the core reads it.
    """

    position: int
    entry: bytes
    proof: tuple[bytes, ...] = ()


class Case(NamedTuple):
    """What somebody says against a contract's verifier, or against a claim.

    The accused entry of a disproof comes first. `rival` is the id of the contract that should have
    won; `opening` opens the transition where a rival that is not repeatable needs it.
    """

    contract_id: bytes
    kind: str
    exhibits: tuple[Exhibit, ...]
    rival: bytes = ZERO_WORD
    opening: EventOpening = NO_OPENING

    def with_proofs(self, prove: Callable[[int], Sequence[bytes]]) -> "Case":
        """The case with the inclusion path that `prove` gives for each exhibit's index."""
        shown = (item._replace(proof=tuple(prove(item.position))) for item in self.exhibits)
        return self._replace(exhibits=tuple(shown))


def opening_abi(opening: EventOpening) -> tuple[bytes, int, int, bytes, bytes]:
    """The values of the Solidity struct `Opening`."""
    return (ascii_word(opening.from_state), *opening[1:])


class EscrowRecord(NamedTuple):
    """What the escrow says of a contract.

    `opening_number` counts contracts in the order of opening, from 1. `closed_at_s` is 0 unless the
    parties closed it, `reach` the highest index of a statement that its verifier has signed there,
    `floor` the index of the last final one.
    """

    rules: ContractRules
    log_id: bytes
    opening_number: int
    closed_at_s: int = 0
    reach: int = 0
    floor: int = 0

    @property
    def occupied(self) -> tuple[bytes, bytes, bytes, str]:
        """What an exclusive contract has for itself alone."""
        rules = self.rules
        return rules.owner, self.log_id, rules.surface, rules.outcome

    @property
    def market(self) -> tuple[tuple[bytes, bytes, bytes, str], bytes, str]:
        """What contracts have in common that compete for the same outcomes by the same rules."""
        return self.occupied, self.rules.policy_hash, self.rules.attribution

    def is_final(self, position: int) -> bool:
        """Whether a final statement of the contract stands on or above this entry."""
        return position <= self.floor != 0

    def is_closed_before(self, at_ms: int) -> bool:
        """Whether its parties had closed it by then; a second that closes is still open."""
        return self.closed_at_s != 0 and at_ms > self.closed_at_s * 1000

    def covers(self, at_ms: int) -> bool:
        """Whether a transition at this time can count for it, closed or not."""
        return self.rules.opens_at_ms <= at_ms <= self.rules.deadline_ms


ContractIndex = Mapping[bytes, EscrowRecord]  # by contract id


def escrow_record_of(
    terms: Terms,
    contract_id: bytes,
    opening_number: int,
    closed_at_s: int = 0,
    reach: int = 0,
    floor: int = 0,
) -> EscrowRecord:
    """The standing of signed terms; the rest is what the escrow's functions of these names say."""
    rules = rules_of(terms, contract_id)
    return EscrowRecord(rules, terms.log_id, opening_number, closed_at_s, reach, floor)


class Claim(NamedTuple):
    """An outcome that the operator proves itself, as the escrow keeps it. `amount` in base units.

    `transition` and `touch` are log indexes, `time_ms` is the transition's.
    """

    lead: bytes
    amount: int
    transition: int
    touch: int
    time_ms: int

    def key(self, rules: ContractRules) -> bytes:
        """What can be claimed only once: the lead, or each transition of a repeatable contract."""
        return self.transition.to_bytes(WORD_BYTES) if rules.repeatable else self.lead


# --- Entries, word by word ------------------------------------------------------------------------

TOUCH = ascii_word("touch")
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
OWN_TIMED = (TOUCH, OPENED, SETTLEMENT)

_U40 = (1 << 40) - 1
_U48 = (1 << 48) - 1
_U80 = (1 << 80) - 1


class Words(NamedTuple):
    """An entry with its index, its text words as they stand; any 256 bytes are some."""

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
        """Whether this is an entry of this kind by this contract."""
        return self.kind == kind and self.actor == contract_id


class Link(NamedTuple):
    """The payload of an outcome and of a reversal, which have one layout.

    `target` is the transition, or the outcome that is taken back; `cause` the touch, or the event;
    `total` the running sum. `padding` is what an honest one leaves zero.
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


def words(exhibit: Exhibit) -> Words:
    """The words of an entry. Raises EvidenceError unless it has 256 bytes."""
    return read(exhibit.position, exhibit.entry)


def read(position: int, entry: bytes) -> Words:
    """The words of the entry at this index. Raises EvidenceError unless it has 256 bytes."""
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


def link(payload: int) -> Link:
    """target u40, cause u40, prev u40, n u40, total u80, padding u16; high bits first."""
    return Link(
        payload >> 216,
        payload >> 176 & _U40,
        payload >> 136 & _U40,
        payload >> 96 & _U40,
        payload >> 16 & _U80,
        payload & 0xFFFF,
    )


def statement(payload: int) -> Statement:
    """earned u80, reversed u80, last_outcome u48, last_reversal u48; high bits first."""
    return Statement(payload >> 176, payload >> 96 & _U80, payload >> 48 & _U48, payload & _U48)
