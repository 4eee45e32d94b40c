"""A fraud, staged and stopped: publisher, verifier and operator of a log lie together.

They own a log of their own beside the demonstration's, with its own publisher, on the same escrow.
The log counts one lead twice; its verifier signs the sum. Nothing on chain can know that yet: the
entry is anchored, the signature is good, price and budget hold. The statement waits for its
challenge period, and a stranger who reads the log shows the two entries that contradict each other.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from orchestrator.chain.abi import Group
from orchestrator.chain.deployment import Chain, log_id_of
from orchestrator.core import requests
from orchestrator.core.contract import rules_of
from orchestrator.core.decide import decide
from orchestrator.core.entry import (
    ZERO_ADDRESS,
    ZERO_WORD,
    Entry,
    address_word,
    pack_outcome,
    pack_settlement,
    unpack_outcome,
)
from orchestrator.core.errors import DomainError, ReplayError
from orchestrator.core.evidence.disproof_search import find_disproof
from orchestrator.core.evidence.exhibits import Case, ContractIndex, escrow_record_of
from orchestrator.core.evidence.history import PublicEntry, public_entry
from orchestrator.core.kinds import encode
from orchestrator.core.merkle import inclusion_proof, leaf_hash, root_of, run_proof
from orchestrator.core.policy import parse
from orchestrator.core.terms import (
    Terms,
    checkpoint_digest,
    contract_id,
    sign_digest,
    verified_digest,
)
from orchestrator.core.units import DAY_S
from orchestrator.core.world import World
from orchestrator.simulation.sandbox import Sandbox, address_of, key_of
from orchestrator.verify.receipt_check import check_receipt

PRICE_UNITS = 8_000_000
BUDGET_UNITS = 400_000_000
ORIGIN = "demo.tallystick/fraud"
POLICY: dict[str, object] = {
    "initial": "visitor",
    "states": ["visitor", "activated"],
    "transitions": [
        {"on": "activate", "from": ["visitor"], "to": "activated", "motion": "activation"}
    ],
    "reversals": [],
    "attribution": "last_touch",
    "actions": {"email": 0},
}


class Fraud(NamedTuple):
    """What was tried and what became of it; amounts in token base units."""

    contract_id: bytes
    kind: str
    exhibits: tuple[int, ...]
    stated_units: int
    paid_units: int
    gas_used: int
    refund_units: int


class _Tree:
    """A whole small log in memory: its entries and its Merkle tree."""

    def __init__(self, entries: Sequence[PublicEntry]) -> None:
        self.entries = entries
        self._leaves = [leaf_hash(item.data) for item in entries]
        self.size, self.root = len(entries), root_of(self._leaves)

    def node(self, level: int, position: int) -> bytes:
        return root_of(self._leaves[position << level : (position + 1) << level])

    def prove(self, index: int) -> list[bytes]:
        return inclusion_proof(index, self.size, self.node)


def stage(scene: Sandbox) -> Fraud:
    """Try the fraud on the scene's chain, have a stranger stop it, and refund the owner.

    Raises `ReplayError` if the stranger finds nothing, or if anything was paid.
    """
    chain = scene.stack.chain
    for name in ("mark", "liar", "stranger"):
        scene.fund(name)
    scene.send("liar", chain.register(ORIGIN, address_of("liar")))
    terms = _terms(scene)
    id_ = _open(scene, terms)
    scene.pass_time(60)
    tree = _Tree(_forged_log(scene, terms, id_))
    _settle(scene, terms, tree)
    pending = chain.pending_of(id_)

    case = _investigate(chain, terms, id_, tree)
    gas = scene.send("stranger", chain.disprove(tree.size, case))
    if pending is None or not chain.is_retired(id_) or chain.pending_of(id_) is not None:
        raise ReplayError("fraud-stands", "the disproof did not void the false statement")

    scene.pass_time(terms.deadline_s + terms.grace_s + 1 - scene.clock() // 1000)
    before = chain.balance_of(terms.token, terms.owner)
    scene.send("mark", chain.refund(id_))
    return Fraud(
        contract_id=id_,
        kind=case.kind,
        exhibits=tuple(exhibit.position for exhibit in case.exhibits),
        stated_units=pending.earned_units,
        paid_units=chain.paid_of(id_),
        gas_used=gas,
        refund_units=chain.balance_of(terms.token, terms.owner) - before,
    )


def _terms(scene: Sandbox) -> Terms:
    now_s = scene.clock() // 1000
    return Terms(
        owner=address_of("mark"),
        operator=address_of("shill"),
        payee=address_of("shill"),
        token=scene.token,
        verifier=address_of("liar's friend"),
        arbiter=ZERO_ADDRESS,
        log_id=log_id_of(address_of("liar"), ORIGIN),
        surface=ZERO_WORD[:-1] + b"\1",
        policy=parse(POLICY).hash,
        attribution="last_touch",
        outcome="activated",
        repeatable=False,
        exclusive=False,
        unit_price_units=PRICE_UNITS,
        revenue_share_bps=0,
        budget_units=BUDGET_UNITS,
        opens_at_s=now_s + 60,
        deadline_s=now_s + 14 * DAY_S,
        attribution_window_s=7 * DAY_S,
        lateness_s=DAY_S,
        grace_s=5 * DAY_S,
        claim_period_s=0,
        challenge_period_s=3 * DAY_S,
        arbitration_period_s=0,
        holdback_bps=0,
        holdback_period_s=0,
        rate_cap_units=0,
        rate_period_s=0,
        fee_bps=0,
        fee_recipient=ZERO_ADDRESS,
        agent_id_plus_one=0,
        salt=ZERO_WORD,
    )


def _open(scene: Sandbox, terms: Terms) -> bytes:
    chain, id_ = scene.stack.chain, contract_id(terms, scene.stack.escrow_domain)
    scene.send("mark", chain.mint(terms.token, terms.owner, terms.budget_units))
    scene.send("mark", chain.approve(terms.token, terms.budget_units))
    scene.send("mark", chain.open(terms, b"", sign_digest(id_, key_of("shill"))))
    return id_


def _forged_log(scene: Sandbox, terms: Terms, id_: bytes) -> list[PublicEntry]:
    """An honest log of one outcome, and then the same lead once more."""
    world, now_ms = World(), scene.clock()
    operator, lead = address_word(terms.operator), b"\2" * 32
    policy = parse(POLICY)
    asked: tuple[requests.Request, ...] = (
        requests.Genesis(terms.log_id, address_word(address_of("liar"))),
        requests.RegisterOperator(operator, "newcomer", ZERO_WORD),
        requests.PublishPolicy(terms.surface, address_word(terms.owner), policy),
        requests.OpenContract(rules_of(terms, id_), ZERO_WORD),
        requests.Touch(terms.surface, lead, operator, "email"),
        requests.ProductEvent(terms.surface, lead, "activate", 0, now_ms),
    )
    records = [record for request in asked for record in decide(world, request, now_ms)]
    honest = records[-1].entry
    facts = unpack_outcome(honest.payload)
    first, again = len(records) - 1, len(records)
    twice = 2 * terms.unit_price_units
    forged = honest._replace(payload=pack_outcome(facts.transition, facts.touch, first, 2, twice))
    statement = Entry(
        kind="settlement",
        surface=terms.surface,
        actor=address_word(terms.verifier),
        subject=id_,
        label=terms.outcome,
        value=twice,
        time_ms=now_ms,
        payload=pack_settlement(twice, 0, again, 0),
    )
    return [
        *map(public_entry, records),
        PublicEntry(encode(forged)),
        PublicEntry(encode(statement)),
    ]


def _settle(scene: Sandbox, terms: Terms, tree: _Tree) -> None:
    """Anchor the forged log and bring its statement, both signed by those who lie."""
    chain, stack = scene.stack.chain, scene.stack
    first = tree.size - 1
    checkpoint = checkpoint_digest(chain.event_log_domain, terms.log_id, tree.size, tree.root)
    scene.send(
        "liar",
        chain.publish(
            terms.log_id, tree.size, tree.root, [], sign_digest(checkpoint, key_of("liar"))
        ),
    )
    verified = verified_digest(stack.escrow_domain, terms.log_id, tree.size, tree.root, first, 1)
    proof = run_proof(first, 1, tree.size, tree.node)
    signature = sign_digest(verified, key_of("liar's friend"))
    run = [tree.entries[first].data]
    scene.send("liar", chain.settle(Group.of(terms), tree.size, first, run, proof, signature))


def _investigate(chain: Chain, terms: Terms, id_: bytes, tree: _Tree) -> Case:
    """What a stranger makes of the public entries and what the chain says of the contract."""
    docket: ContractIndex = {
        id_: escrow_record_of(
            terms,
            id_,
            chain.opening_number_of(id_),
            chain.closed_at(id_) or 0,
            chain.reach_of(id_),
            chain.floor_of(id_),
        )
    }
    case = find_disproof(tree.entries, docket, lambda index: tree.entries[index])
    if case is None:
        raise ReplayError("fraud-unseen", "the log contradicts itself, and nobody saw it")
    return case.with_proofs(tree.prove)


class Tampered(NamedTuple):
    """A receipt with one thing changed, and how it was refused."""

    what: str
    refusal: str


def tamper(document: dict[str, Any], chain: Chain) -> Tampered:
    """Raise the amount in a receipt's outcome by one unit, and show that it is refused."""
    forged = {**document, "entries": [dict(item) for item in document["entries"]]}
    outcome = next(item for item in forged["entries"] if item["role"] == "outcome")
    data = bytearray.fromhex(outcome["entry"][2:])
    units = int.from_bytes(data[160:192])
    data[160:192] = (units + 1).to_bytes(32)
    outcome["entry"] = "0x" + data.hex()
    try:
        check_receipt(forged, chain)
    except DomainError as error:
        return Tampered(f"the outcome's amount, {units}, made {units + 1}", error.message)
    raise ReplayError("forgery-taken", "a forged receipt was taken for a true one")
