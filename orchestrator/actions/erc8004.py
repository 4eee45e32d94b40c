"""ERC-8004 feedback that only a settlement can write: what a contract has paid an agent, for good.

The registry shows the `Feedback` contract as the client, and that writes what the escrow has paid,
once, after the end. What goes with it (the motion, an endpoint, a document) is the word of the
party that sends it, so the document stands inside the transaction: nobody can change or lose it.
"""

import json
from base64 import b64encode
from datetime import UTC, datetime

from eth_utils.crypto import keccak

from orchestrator.actions.contract_state import ContractState
from orchestrator.actions.plan import Plan, PlannedTransaction
from orchestrator.actions.wording import many
from orchestrator.chain.abi import Credited, Paid
from orchestrator.chain.caller import contract_at
from orchestrator.chain.deployment import Chain
from orchestrator.chain.event_scan import events_of
from orchestrator.core.entry import ascii_word
from orchestrator.core.errors import ChainError, EscrowError, InputError
from orchestrator.core.hexadecimal import to_hex
from orchestrator.core.units import DAY_S

TAG = "outcomes"
MAX_ENDPOINT = 1_000


def feedback(chain: Chain, at: str, found: ContractState, motion: str, endpoint: str) -> Plan:
    """Have what a contract has paid written to its agent's record. By the owner or the operator.

    `at` is the `Feedback` contract; `endpoint` a URI of what the agent worked through, or empty.
    """
    if not (endpoint.isascii() and endpoint.isprintable() and len(endpoint) <= MAX_ENDPOINT):
        raise InputError(
            "endpoint-malformed",
            f"an endpoint is a URI of at most {MAX_ENDPOINT} printable ASCII characters",
        )
    registry = chain.registry_of(at)
    if not found.terms.agent_id_plus_one:
        raise EscrowError("no-agent", "its terms name no agent of ERC-8004's registry")
    if not found.has_ended:
        said = f"it is {found.status}, and owes {found.amount(found.owed_units)}"
        if found.pending is not None:
            said += f"; the statement at entry {found.pending.position} is pending"
        if found.status == "refundable":
            said += "; anyone can have the rest refunded first"
        raise EscrowError(
            "feedback-too-early", f"feedback is given when a contract has ended: {said}"
        )
    if chain.read(contract_at("Feedback", at), "isGiven", found.contract_id):
        raise EscrowError("feedback-given", "feedback about this contract was given before")
    terms, agent = found.terms, found.terms.agent_id_plus_one - 1
    document = _document(chain, at, found, motion, endpoint)
    data = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
    call = chain.call(
        contract_at("Feedback", at),
        "give",
        found.contract_id,
        ascii_word(motion),
        endpoint,
        "data:application/json;base64," + b64encode(data).decode("ascii"),
        keccak(data),
    )
    lines = (
        (
            f"what it does: in ERC-8004's registry {registry} agent {agent} gets feedback that "
            f"this contract has paid {found.amount(found.paid_units)} for {motion}; everybody can "
            f"see it, and nobody can write it a second time"
        ),
        f"tags: {TAG}, {motion}; endpoint: {endpoint or 'none'}",
        f"with it, inside the transaction, goes a document of {many(len(data), 'byte')}:",
        *(f"  {name}: {value}" for name, value in document.items()),
    )
    facts: dict[str, object] = {
        "agent_id": str(agent),
        "registry": registry,
        "value": str(found.paid_units),
        "document": document,
    }
    title = f"give agent {agent} feedback of {found.amount(found.paid_units)}"
    return Plan((), (PlannedTransaction(title, lines, call, (terms.owner, terms.operator), facts),))


def _document(
    chain: Chain, at: str, found: ContractState, motion: str, endpoint: str
) -> dict[str, object]:
    """The off-chain file of ERC-8004's feedback, with where the proof of it is."""
    terms, chain_id = found.terms, chain.addresses.chain_id
    made = datetime.fromtimestamp(found.now_s, UTC).isoformat().replace("+00:00", "Z")
    document: dict[str, object] = {
        "agentRegistry": f"eip155:{chain_id}:{chain.identities}",
        "agentId": terms.agent_id_plus_one - 1,
        "clientAddress": f"eip155:{chain_id}:{at}",
        "createdAt": made,
        "value": found.paid_units,
        "valueDecimals": found.token.decimals,
        "tag1": TAG,
        "tag2": motion,
        **({"endpoint": endpoint} if endpoint else {}),
    }
    last = _last_payment(chain, found)
    if last is not None:
        document["proofOfPayment"] = {
            "fromAddress": chain.addresses.escrow,
            "toAddress": terms.payee,
            "chainId": str(chain_id),
            "txHash": to_hex(last),
        }
    return document | {
        "contractId": to_hex(found.contract_id),
        "token": f"eip155:{chain_id}:{terms.token}",
        "logId": to_hex(terms.log_id),
        "outcome": terms.outcome,
    }


def _last_payment(chain: Chain, found: ContractState) -> bytes | None:
    """The transaction that last paid the payee, if the node shows it: nothing rests on it."""
    # A day is for clocks that disagree: nothing is earned before the contract opens.
    since_s = found.terms.opens_at_s - DAY_S
    paid: list[bytes] = []
    try:
        for event in events_of(chain, [found.contract_id], since_s, found.block_number):
            if isinstance(event.event, Paid):
                paid.append(event.tx_hash)
            elif isinstance(event.event, Credited) and paid and paid[-1] == event.tx_hash:
                paid.pop()
    except ChainError as error:
        if error.code not in ("events-many", "node-refused", "reply-too-large"):
            raise
        return None
    return paid[-1] if paid else None
