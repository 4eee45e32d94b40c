"""Two forgeries, tried and stopped: a log that counts a lead twice, and a tampered receipt.

The first is a log of its own beside the demonstration's, on the same escrow. Its publisher,
verifier and operator work together: the log counts one lead twice, and the verifier signs the sum.
The chain cannot know that yet: the entry is anchored, the signature is good, price and budget hold.
But the statement waits for its challenge period, and a stranger who reads the log brings the two
entries that contradict each other.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from orchestrator.chain.deployment import Chain, log_id_of
from orchestrator.chain.escrow import Group, SignedRun, settlement_rules
from orchestrator.client.accounts import PLAIN_TERMS
from orchestrator.core.common.errors import DomainError, ReplayError
from orchestrator.core.common.hexadecimal import from_hex, to_hex
from orchestrator.core.common.units import DAY_S
from orchestrator.core.deals.terms import (
    Terms,
    checkpoint_digest,
    contract_id,
    operator_consent_digest,
    sign_digest,
    verified_digest,
)
from orchestrator.core.decisions.decide import decide
from orchestrator.core.entries.kinds import decode, encode
from orchestrator.core.evidence.disproof_search import find_disproof
from orchestrator.core.evidence.exhibits import Case, ContractIndex
from orchestrator.core.evidence.history import PublicEntry, public_entry
from orchestrator.core.log.entry import (
    ZERO_ADDRESS,
    ZERO_WORD,
    Entry,
    address_word,
    pack_outcome,
    pack_settlement,
    unpack_outcome,
)
from orchestrator.core.log.merkle import inclusion_proof, leaf_hash, root_of, run_proof
from orchestrator.core.surface.policy import parse
from orchestrator.core.surface.surface_settings import parse_settings
from orchestrator.core.world.contract import rules_of
from orchestrator.core.world.requests import (
    Genesis,
    OpenContract,
    ProductEvent,
    PublishPolicy,
    PublishSettings,
    RegisterOperator,
    Request,
    Touch,
)
from orchestrator.core.world.world import World
from orchestrator.simulation.sandbox import Sandbox, address_of, key_of
from orchestrator.verify.receipt_check import check_receipt

# The wallets of the forged log's parties, by name; a stranger's brings the evidence.
OWNER, OPERATOR, PUBLISHER, VERIFIER = "mark", "shill", "liar", "liar's friend"
STRANGER = "stranger"
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
    "touches_per_lead": 10,
}


class Forgery(NamedTuple):
    """A forged statement and what became of it; amounts in token base units."""

    contract_id: bytes
    kind: str
    exhibits: tuple[int, ...]
    stated_units: int
    paid_units: int
    gas_used: int
    refund_units: int


class _Tree:
    """A small log in memory: its entries and its Merkle tree."""

    def __init__(self, entries: Sequence[PublicEntry]) -> None:
        self.entries = entries
        self._leaves = [leaf_hash(item.data) for item in entries]
        self.size, self.root = len(entries), root_of(self._leaves)

    def node(self, level: int, number: int) -> bytes:
        """Return the hash of a whole subtree: number 0 is the leftmost of its level."""
        return root_of(self._leaves[number << level : (number + 1) << level])

    def prove(self, position: int) -> list[bytes]:
        return inclusion_proof(position, self.size, self.node)


def forge_and_disprove(sandbox: Sandbox) -> Forgery:
    """Settle a forged statement, disprove it as a stranger, and refund the owner.

    Raises ReplayError if the search finds no contradiction, or if the statement is not voided.
    """
    chain = sandbox.stack.chain
    for name in (OWNER, PUBLISHER, STRANGER):
        sandbox.fund(name)
    sandbox.send(PUBLISHER, chain.register(ORIGIN, address_of(PUBLISHER)))
    terms = _terms(sandbox)
    id_ = _open(sandbox, terms)
    sandbox.pass_time(60)
    tree = _Tree(_forged_log(sandbox, terms, id_))
    _settle(sandbox, terms, tree)
    pending = chain.pending_of(id_)

    case = _find_contradiction(chain, id_, tree)
    gas = sandbox.send(STRANGER, chain.disprove(tree.size, case))
    if pending is None or not chain.is_retired(id_) or chain.pending_of(id_) is not None:
        raise ReplayError("forgery-stands", "the disproof did not void the false statement")

    sandbox.pass_time(terms.deadline_s + terms.grace_s + 1 - sandbox.clock() // 1000)
    before = chain.balance_of(terms.token, terms.owner)
    sandbox.send(OWNER, chain.refund(id_))
    return Forgery(
        contract_id=id_,
        kind=case.kind,
        exhibits=tuple(exhibit.position for exhibit in case.exhibits),
        stated_units=pending.earned_units,
        paid_units=chain.paid_of(id_),
        gas_used=gas,
        refund_units=chain.balance_of(terms.token, terms.owner) - before,
    )


def _terms(sandbox: Sandbox) -> Terms:
    now_s = sandbox.clock() // 1000
    operator = address_of(OPERATOR)
    return Terms.from_json(
        {
            **PLAIN_TERMS,
            "owner": address_of(OWNER),
            "operator": operator,
            "payee": operator,
            "token": sandbox.token,
            "verifier": address_of(VERIFIER),
            "log_id": to_hex(log_id_of(address_of(PUBLISHER), ORIGIN)),
            "surface": to_hex(ZERO_WORD[:-1] + b"\1"),
            "policy": to_hex(parse(POLICY).hash),
            "attribution": "last_touch",
            "outcome": "activated",
            "unit_price_units": str(PRICE_UNITS),
            "budget_units": str(BUDGET_UNITS),
            "opens_at_s": now_s + 60,
            "deadline_s": now_s + 14 * DAY_S,
            "attribution_window_s": 7 * DAY_S,
            "lateness_s": DAY_S,
            "grace_s": 5 * DAY_S,
            # Without a challenge period the statement would be paid at once.
            "challenge_period_s": 3 * DAY_S,
            "fee_bps": 0,
            "fee_recipient": ZERO_ADDRESS,
            "salt": to_hex(ZERO_WORD),
        }
    )


def _open(sandbox: Sandbox, terms: Terms) -> bytes:
    chain, domain = sandbox.stack.chain, sandbox.stack.escrow_domain
    sandbox.send(OWNER, chain.mint(terms.token, terms.owner, terms.budget_units))
    sandbox.send(OWNER, chain.approve(terms.token, terms.budget_units))
    signature = sign_digest(operator_consent_digest(terms, domain), key_of(OPERATOR))
    sandbox.send(OWNER, chain.open(terms, b"", signature))
    return contract_id(terms, domain)


def _forged_log(sandbox: Sandbox, terms: Terms, id_: bytes) -> list[PublicEntry]:
    """Return an honest log of one outcome, the same lead once more, and a statement of both."""
    world, now_ms = World(), sandbox.clock()
    settings = {
        "token": terms.token,
        "actions": {"email": {"level": 1}},
        "levels": [{"leads_a_day": 100}],
    }
    operator, lead = address_word(terms.operator), b"\2" * 32
    requests: tuple[Request, ...] = (
        Genesis(terms.log_id, address_word(address_of(PUBLISHER))),
        RegisterOperator(operator, ZERO_WORD),
        PublishPolicy(terms.surface, address_word(terms.owner), parse(POLICY)),
        PublishSettings(terms.surface, address_word(terms.owner), parse_settings(settings)),
        OpenContract(rules_of(terms, id_), ZERO_WORD),
        Touch(terms.surface, lead, operator, "email"),
        ProductEvent(terms.surface, lead, "activate", 0, now_ms),
    )
    records = [record for request in requests for record in decide(world, request, now_ms)]
    honest = records[-1].entry
    outcome = unpack_outcome(honest.payload)
    first, again = len(records) - 1, len(records)
    total_units = 2 * terms.unit_price_units
    # It continues the running count and sum, so nothing but the lead itself is wrong with it.
    payload = pack_outcome(outcome.transition, outcome.touch, first, 2, total_units)
    forged = honest._replace(payload=payload)
    statement = Entry(
        kind="settlement",
        surface=terms.surface,
        actor=address_word(terms.verifier),
        subject=id_,
        label=terms.outcome,
        value=total_units,
        time_ms=now_ms,
        payload=pack_settlement(total_units, 0, again, 0),
    )
    return [
        *map(public_entry, records),
        PublicEntry(encode(forged)),
        PublicEntry(encode(statement)),
    ]


def _settle(sandbox: Sandbox, terms: Terms, tree: _Tree) -> None:
    """Anchor the forged log and settle its statement, with its publisher's and verifier's keys."""
    chain, stack = sandbox.stack.chain, sandbox.stack
    statement = tree.size - 1
    checkpoint = checkpoint_digest(chain.event_log_domain, terms.log_id, tree.size, tree.root)
    signature = sign_digest(checkpoint, key_of(PUBLISHER))
    sandbox.send(PUBLISHER, chain.publish(terms.log_id, tree.size, tree.root, [], signature))
    verified = verified_digest(
        stack.escrow_domain, terms.log_id, tree.size, tree.root, statement, 1
    )
    proof = run_proof(statement, 1, tree.size, tree.node)
    signature = sign_digest(verified, key_of(VERIFIER))
    run = [tree.entries[statement].data]
    rules = settlement_rules(terms)
    settle = chain.settle(
        SignedRun(Group.of(terms), tree.size, statement, run, rules, proof, signature)
    )
    sandbox.send(PUBLISHER, settle)


def _find_contradiction(chain: Chain, id_: bytes, tree: _Tree) -> Case:
    """Search the public entries, with nothing but what the chain says of the contract."""
    contracts: ContractIndex = chain.escrow_records([id_])
    # The same search as for any log: it has not been told which entry is forged.
    case = find_disproof(tree.entries, contracts, lambda position: tree.entries[position])
    if case is None:
        raise ReplayError("forgery-unseen", "the log contradicts itself, and the search missed it")
    return case.with_proofs(tree.prove)


class TamperedReceipt(NamedTuple):
    """A receipt with one thing changed, and the reason why it was refused."""

    what: str
    refusal: str


def check_tampered_receipt(document: dict[str, Any], chain: Chain) -> TamperedReceipt:
    """Raise the amount in a receipt's outcome by one unit, and check that this is refused."""
    forged = {**document, "entries": [dict(item) for item in document["entries"]]}
    outcome = next(item for item in forged["entries"] if item["role"] == "outcome")
    entry = decode(from_hex(outcome["entry"]))
    units = entry.value
    outcome["entry"] = to_hex(encode(entry._replace(value=units + 1)))
    try:
        check_receipt(forged, chain)
    except DomainError as error:
        return TamperedReceipt(f"the outcome's amount, {units}, made {units + 1}", error.message)
    raise ReplayError("forgery-taken", "a forged receipt was taken for a true one")
