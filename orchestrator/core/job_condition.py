"""The condition under which a log completes an ERC-8183 job.

A job's evaluator is an address that the condition alone decides (`JobEvaluators`). An entry is
checked here word by word, as Solidity checks it, since any publisher may have written it. That it
stands in the log, and that the verifier signed, is for the chain to check.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.core.common.keccak import to_checksum_address
from orchestrator.core.evidence.exhibits import SETTLEMENT, Words, unpack_statement
from orchestrator.core.log.entry import address_word

# How far a statement may be dated ahead of the chain; CLOCK_TOLERANCE of `JobEvaluator`.
CLOCK_TOLERANCE_S = 60


class Condition(NamedTuple):
    """The condition that completes a job; the Solidity struct of this name, in its order.

    `subject` is the id of a contract in the log `log_id`, `minimum_units` the net value that its
    statement must reach, `commerce` the ERC-8183 contract that holds the job. Until `deadline_s`
    (UTC) a job can only be completed, afterwards only rejected; statements made before
    `stated_from_s` do not count.
    """

    commerce: str
    log_id: bytes
    verifier: str
    subject: bytes
    minimum_units: int
    stated_from_s: int
    deadline_s: int

    @classmethod
    def from_abi(cls, values: Sequence[object]) -> "Condition":
        """Build the condition from the struct's values, as an ABI decoder returns them."""
        commerce, log_id, verifier, *others = values
        return cls(_address(commerce), log_id, _address(verifier), *others)  # type: ignore[arg-type]

    def to_json(self) -> dict[str, object]:
        """Return a JSON object: ids in hex, the amount as decimal text."""
        return self._asdict() | {
            "log_id": to_hex(self.log_id),
            "subject": to_hex(self.subject),
            "minimum_units": str(self.minimum_units),
        }

    def shortfalls(self, entry: Words, now_s: int) -> Iterator[str]:
        """Yield a phrase for each rule by which this entry does not complete a job now.

        `now_s` is the chain's time: what is dated ahead of it waits.
        """
        stated = unpack_statement(entry.payload)
        if entry.kind != SETTLEMENT:
            yield "it is no statement"
        if entry.actor != address_word(self.verifier):
            yield "it is another verifier's"
        if entry.subject != self.subject:
            yield "it is about another contract"
        # Where more is reversed than earned, no value equals the difference: words have no sign.
        if entry.value != stated.earned - stated.reversed:
            yield f"its value is not {stated.earned} earned less {stated.reversed} reversed"
        if entry.value < self.minimum_units:
            yield f"it states {entry.value} base units, and {self.minimum_units} are asked for"
        if entry.time_ms < self.stated_from_s * 1000:
            yield "it was made too early"
        if entry.time_ms > (now_s + CLOCK_TOLERANCE_S) * 1000:
            yield "it is dated ahead of the chain"


def _address(value: object) -> str:
    return to_checksum_address(str(value))
