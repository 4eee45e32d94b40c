"""ERC-8004 feedback that only a settlement can write: what a contract has paid to an agent.

The registry names the `Feedback` contract as the client. That contract writes what the escrow has
paid to the payee, fees apart, once, after the contract's end. The motion, the endpoint and the
document are the sender's own statements. The document stands inside the transaction, so that it can
be neither changed nor lost.
"""

import json
from base64 import b64encode

from orchestrator.actions.contract_state import ContractState
from orchestrator.actions.plan import Plan, PlannedTransaction
from orchestrator.chain.abi import Credited, Paid
from orchestrator.chain.caller import contract_at
from orchestrator.chain.deployment import Chain
from orchestrator.chain.event_scan import events_of
from orchestrator.core.common.errors import ChainError, EscrowError, InputError
from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.core.common.keccak import keccak
from orchestrator.core.common.units import DAY_S, NS_PER_S, counted, format_time
from orchestrator.core.log.entry import ascii_word

TAG = "outcomes"
MAX_ENDPOINT_CHARS = 1_000


def plan_feedback(
    chain: Chain, feedback: str, state: ContractState, motion: str, endpoint: str
) -> Plan:
    """Plan to write what a contract has paid to its agent's record, by the owner or the operator.

    `feedback` is the address of the `Feedback` contract; `endpoint` is the URI of the service that
    the agent worked through, or empty.
    """
    if not (endpoint.isascii() and endpoint.isprintable() and len(endpoint) <= MAX_ENDPOINT_CHARS):
        raise InputError(
            "endpoint-malformed",
            f"an endpoint is a URI of at most {MAX_ENDPOINT_CHARS} printable ASCII characters",
        )
    registry = chain.registry_of(feedback)
    if not state.terms.agent_id_plus_one:
        raise EscrowError("no-agent", "its terms name no agent of ERC-8004's registry")
    if not state.has_ended:
        reason = f"it is {state.status}, and owes {state.amount(state.owed_units)}"
        if state.pending is not None:
            reason += f"; the statement at entry {state.pending.position} is pending"
        if state.status == "refundable":
            reason += "; anyone can have the rest refunded first"
        raise EscrowError(
            "feedback-too-early", f"feedback is given when a contract has ended: {reason}"
        )
    if not state.earnings_units:
        raise EscrowError("nothing-paid", "it has paid nothing, so there is nothing to write")
    if chain.read(contract_at("Feedback", feedback), "isGiven", state.contract_id):
        raise EscrowError("feedback-given", "feedback about this contract was given before")
    terms, agent = state.terms, state.terms.agent_id_plus_one - 1
    document = _document(chain, feedback, state, motion, endpoint)
    data = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
    call = chain.call(
        contract_at("Feedback", feedback),
        "give",
        state.terms.to_abi(),
        ascii_word(motion),
        endpoint,
        "data:application/json;base64," + b64encode(data).decode("ascii"),
        keccak(data),
    )
    lines = (
        (
            f"what it does: in ERC-8004's registry {registry} agent {agent} gets feedback that "
            f"this contract has paid {state.amount(state.earnings_units)}, fees apart, for "
            f"{motion}; it is public, and cannot be written a second time"
        ),
        f"tags: {TAG}, {motion}; endpoint: {endpoint or 'none'}",
        f"with it, inside the transaction, goes a document of {counted(len(data), 'byte')}:",
        *(f"  {name}: {value}" for name, value in document.items()),
    )
    facts: dict[str, object] = {
        "agent_id": str(agent),
        "registry": registry,
        "value": str(state.earnings_units),
        "document": document,
    }
    title = f"give agent {agent} feedback of {state.amount(state.earnings_units)}"
    return Plan.of(PlannedTransaction(title, lines, call, (terms.owner, terms.operator), facts))


def _document(
    chain: Chain, feedback: str, state: ContractState, motion: str, endpoint: str
) -> dict[str, object]:
    """Return the off-chain file of ERC-8004's feedback, which names the payment as its proof."""
    terms, chain_id = state.terms, chain.addresses.chain_id
    document: dict[str, object] = {
        "agentRegistry": f"eip155:{chain_id}:{chain.identities}",
        "agentId": terms.agent_id_plus_one - 1,
        "clientAddress": f"eip155:{chain_id}:{feedback}",
        "createdAt": format_time(state.now_s * NS_PER_S),
        "value": state.earnings_units,
        "valueDecimals": state.token.decimals,
        "tag1": TAG,
        "tag2": motion,
        **({"endpoint": endpoint} if endpoint else {}),
    }
    last = _last_payment(chain, state)
    if last is not None:
        document["proofOfPayment"] = {
            "fromAddress": chain.addresses.escrow,
            "toAddress": terms.payee,
            "chainId": str(chain_id),
            "txHash": to_hex(last),
        }
    return document | {
        "contractId": to_hex(state.contract_id),
        "token": f"eip155:{chain_id}:{terms.token}",
        "logId": to_hex(terms.log_id),
        "outcome": terms.outcome,
    }


# Failures of a node at a range of blocks that is too much for it, even in parts.
_UNABLE = ("events-many", "node-refused", "reply-too-large", "node-silent", "node-garbled")


def _last_payment(chain: Chain, state: ContractState) -> bytes | None:
    """Return the hash of the transaction that last paid the payee, or None if the node is unable.

    The document is valid without it.
    """
    # Nothing is earned before the contract opens; a day is for clocks that disagree.
    since_s = state.terms.opens_at_s - DAY_S
    paid: list[bytes] = []
    try:
        for event in events_of(
            chain, chain.addresses.escrow, [state.contract_id], since_s, state.block_number
        ):
            if isinstance(event.event, Paid):
                paid.append(event.tx_hash)
            elif isinstance(event.event, Credited) and paid and paid[-1] == event.tx_hash:
                # The token refused the transfer: the sum is only owed to the payee.
                paid.pop()
    except ChainError as error:
        if error.code not in _UNABLE:
            raise
        return None
    return paid[-1] if paid else None
