"""The text of tests/vectors/evidence.json: disproofs, claims, refutations, proven reversals.

Every case stands in a tree of its own: an honest log, in which one or two entries may be replaced
by lies. `error` is the name of the error by which the Evidence contract refuses the case
(core/evidence has the same names, hyphenated), "" if it holds; it is written down here by hand and
computed nowhere.

All lists hold flat objects of one shape: `entries`, `openings`, `positions` and `proofs` are
parallel, exhibit by exhibit; an opening that is not shown is empty. `contracts` are those of every
case, with ids in `escrow_domain`; a log is registered by `registrant` under `origin`.
"""

from collections.abc import Iterator

from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.core.entries.kinds import KINDS, encode
from orchestrator.core.evidence.exhibits import Case, Exhibit
from orchestrator.core.log import merkle
from orchestrator.core.log.entry import WORD_BYTES, Entry, ascii_word
from orchestrator.core.log.opening import encode_opening
from orchestrator.core.world.contract import rules_of
from scripts.vectors.cases import outcomes, reversals, totals
from scripts.vectors.cases.claims import ClaimVector, claims, refutations
from scripts.vectors.cases.model import ALL, ESCROW, ORIGIN, REGISTRANT, Json, Log, Vector
from scripts.vectors.signatures import encode_terms


def table() -> Json:
    """Return the whole file."""
    return {
        "claims": [_claim(vector) for vector in claims()],
        "contracts": [
            {
                "closed_at_s": found.closed_at_s,
                "contract_id": to_hex(found.id),
                "name": f"{name} {model}",
                "opening_number": found.number,
                "terms": to_hex(encode_terms(found.terms)),
            }
            for model, deals in ALL.items()
            for name, found in deals.items()
        ],
        "disproofs": [_case(vector) for vector in disproofs()],
        "escrow_domain": ESCROW._asdict(),
        "origin": ORIGIN,
        "refutations": [_case(vector) | _claimed(vector) for vector in refutations()],
        "registrant": REGISTRANT,
        "reversals": [_proven(vector) for vector in reversals.proven()],
    }


def disproofs() -> Iterator[Vector]:
    """Yield cases against the verifier of a contract."""
    yield from outcomes.disproofs()
    yield from totals.sums()
    yield from totals.statements()
    yield from totals.budgets()
    yield from totals.over_budget()
    yield from reversals.disproofs()
    yield from totals.clocks()
    yield from totals.nothing_signed()


def case_of(vector: Vector) -> Case:
    """Return the case that a vector describes, without proofs."""
    deals = ALL[vector.log.model]
    return Case(
        deals[vector.contract].id,
        vector.kind,
        tuple(_exhibit(vector.log, name) for name in vector.shown),
        deals[vector.rival].id if vector.rival in deals else bytes(32),
    )


def _exhibit(log: Log, name: str) -> Exhibit:
    """Return the entry of this name; with its opening, if there is a plus sign behind the name."""
    place = log.at[name.removesuffix("+")]
    entry, opening = log.records[place]
    words = b"" if opening is None or not name.endswith("+") else encode_opening(opening)
    return Exhibit(place, _encoded(entry), words)


def _encoded(entry: Entry) -> bytes:
    """Return an entry's 256 bytes; that of a lie may be of a kind that no log of ours has."""
    if entry.kind in KINDS:
        return encode(entry)
    return ascii_word(entry.kind) + encode(entry._replace(kind="genesis"))[WORD_BYTES:]


def _case(vector: Vector) -> Json:
    case, log = case_of(vector), vector.log
    return {
        "contract_id": to_hex(case.contract_id),
        "error": vector.error,
        "last_final": log.at[vector.last_final],
        "kind": case.kind,
        "name": vector.name,
        "last_signed": log.at[vector.last_signed],
        "rival_id": to_hex(case.rival),
        **_shown(log, vector.shown),
    }


def _claimed(vector: Vector) -> Json:
    claim = vector.claim
    if claim is None:
        raise ValueError(f"{vector.name} refutes nothing")
    rules = rules_of(ALL[vector.log.model][vector.contract].terms, bytes(32))
    return {
        "claim_amount": to_hex(claim.amount.to_bytes(32)),
        "claim_key": to_hex(claim.key(rules)),
        "claim_lead": to_hex(claim.lead),
        "claim_time_ms": claim.time_ms,
        "claim_touch": claim.touch,
        "claim_transition": claim.transition,
        "left": vector.left,
        "rival_last_final": vector.log.at[vector.rival_last_final],
    }


def _proven(vector: Vector) -> Json:
    return {
        "amount": vector.amount,
        "contract_id": to_hex(ALL[vector.log.model][vector.contract].id),
        "error": vector.error,
        "last_final": vector.log.at[vector.last_final],
        "name": vector.name,
        "sum": vector.sum,
        **_shown(vector.log, vector.shown),
    }


# What each claim is worth, written down by hand like the errors.
AMOUNTS = {"with a share": 3 + 8, "as much as an amount": 2**80 - 1}


def _claim(vector: ClaimVector) -> Json:
    log, terms = vector.log, ALL[vector.log.model][vector.contract].terms
    lead, transition = log.entry(vector.transition).subject, log.at[vector.transition]
    return {
        "amount": to_hex(AMOUNTS.get(vector.name, 0 if vector.error else 10).to_bytes(32)),
        "contract_id": to_hex(ALL[log.model][vector.contract].id),
        "error": vector.error,
        "key": to_hex(transition.to_bytes(32) if terms.repeatable else lead),
        "name": vector.name,
        "operator": terms.operator,
        **_shown(log, (vector.transition, vector.touch)),
    }


def _shown(log: Log, names: tuple[str, ...]) -> Json:
    leaves = [merkle.leaf_hash(_encoded(record.entry)) for record in log.records]

    def node(level: int, position: int) -> bytes:
        return merkle.root_of(leaves[position << level : (position + 1) << level])

    shown = [_exhibit(log, name) for name in names]
    return {
        "entries": [to_hex(one.entry) for one in shown],
        "openings": [to_hex(one.opening) for one in shown],
        "positions": [one.position for one in shown],
        "proofs": [
            [to_hex(hash_) for hash_ in merkle.inclusion_proof(one.position, len(leaves), node)]
            for one in shown
        ],
        "root": to_hex(merkle.root_of(leaves)),
        "size": len(leaves),
    }
