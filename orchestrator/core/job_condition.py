"""ERC-8183 jobs that a log decides: under which condition, and whether a statement meets it.

A job's evaluator is an address that the condition alone decides (`JobEvaluators`). What is judged
here word by word, as Solidity judges it, is an entry that somebody else wrote; its place in the log
and the verifier's signature are for the chain to check.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from eth_utils.address import to_checksum_address

from orchestrator.core.entry import address_word
from orchestrator.core.evidence.exhibits import SETTLEMENT, Words, statement


class Condition(NamedTuple):
    """What completes a job; the Solidity struct of this name, in its order.

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
        """The condition of the struct's values, as an ABI decoder returns them."""
        commerce, log_id, verifier, *others = values
        return cls(_address(commerce), log_id, _address(verifier), *others)  # type: ignore[arg-type]

    def to_json(self) -> dict[str, object]:
        """For programs: ids in hex, the amount as text."""
        return self._asdict() | {
            "log_id": f"0x{self.log_id.hex()}",
            "subject": f"0x{self.subject.hex()}",
            "minimum_units": str(self.minimum_units),
        }

    def shortfalls(self, said: Words) -> Iterator[str]:
        """Why this entry does not complete a job, one phrase for each rule; none if it does."""
        stated = statement(said.payload)
        if said.kind != SETTLEMENT:
            yield "it is no statement"
        if said.actor != address_word(self.verifier):
            yield "it is another verifier's"
        if said.subject != self.subject:
            yield "it is about another contract"
        if said.value != stated.earned - stated.reversed:
            yield f"its value is not {stated.earned} earned less {stated.reversed} reversed"
        if said.value < self.minimum_units:
            yield f"it states {said.value} base units, and {self.minimum_units} are asked for"
        if said.time_ms < self.stated_from_s * 1000:
            yield "it was made too early"


def _address(value: object) -> str:
    return to_checksum_address(str(value))
