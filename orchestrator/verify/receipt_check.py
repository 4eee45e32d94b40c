"""A stranger's check of a receipt: its proofs, and what the chain says of its log and contract."""

from collections.abc import Iterator
from typing import NamedTuple

from orchestrator.chain.deployment import Chain, SignedCheckpoint
from orchestrator.chain.escrow import MoneyEvents, Payout
from orchestrator.chain.rpc import NodeError
from orchestrator.core.common.errors import ChainError, PendingError, ProofError
from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.core.common.units import DAY_S, format_second
from orchestrator.core.deals.site import Addresses
from orchestrator.core.entries import receipt as receipts
from orchestrator.core.entries.receipt import Proven, Receipt
from orchestrator.core.log.entry import unpack_settlement
from orchestrator.verify.pinned import Named, Pinned
from orchestrator.verify.publisher.registration import find_registrant
from orchestrator.verify.publisher.signer import CheckpointSigner, signer_of

NOTHING_PINNED = Pinned()
# What a chain says of contracts that are none of ours, or not of one deployment.
_OTHER_CONTRACTS = ("code-missing", "code-differs", "domain-differs", "other-event-log")


class CheckedReceipt(NamedTuple):
    """A receipt in which nothing is false: what was shown, what was not, and what is to come.

    `not_checked` is what this receipt, or a check without a node, says nothing of.
    """

    shown: list[str]
    not_checked: list[str]
    on_trust: list[str]
    pending: list[str]


def check_receipt(
    document: object,
    chain: Chain | None,
    pinned: Pinned = NOTHING_PINNED,
    position: int | None = None,
) -> CheckedReceipt:
    """Check a receipt, with the chain where there is one, against the facts that are pinned.

    It must be of the entry at `position`, where that is given.

    Raises `ProofError` at the first thing that is false, `PendingError` for a checkpoint that the
    chain has not come to yet, `NodeError` `payouts-hidden` where all else holds and the node has
    forgotten what the escrow paid.
    """
    receipt = receipts.parse(document)
    on_trust = pinned.compare(_named(receipt), "the receipt")
    if position not in (None, receipt.position):
        raise ProofError(
            "receipt-other", f"this is the receipt of entry {receipt.position}, not of {position}"
        )
    receipts.check(receipt)
    tree = f"the tree of size {receipt.size} with root {to_hex(receipt.root)}"
    shown = [
        f"{len(receipt.entries)} entries stand in {tree}",
        "they tell one story: " + ", ".join(_positions(receipt)),
    ]
    pending = [
        f"the {role}, entry {position}, is not anchored yet; ask for the receipt again later"
        for role, position in receipt.pending.items()
    ]
    not_checked = list(receipts.left_open(receipt))
    if chain is None:
        signer = receipts.signer_of(receipt)
        pinned.check_publisher(
            signer,
            "without a node, which alone can tell of a contract's signature (ERC-1271), the "
            "checkpoint is signed by",
        )
        shown.append(f"the checkpoint is signed by {signer}")
        if not pinned.publishers:
            on_trust.append(
                f"publisher {signer}, whose signature it is; pin it by --publisher, or give --rpc "
                f"to ask the chain"
            )
        on_trust.append("that this root is the log's own; give --rpc to ask the chain")
        return CheckedReceipt(shown, [*_on_chain_alone(receipt), *not_checked], on_trust, pending)
    registrant = find_registrant(chain, _named(receipt), "the receipt")
    shown += _check_on_chain(receipt, chain, pinned)
    unseen = []
    if registrant is None:
        unseen.append(
            f"that the log is registered as {receipt.origin}: {chain.node.name} shows no event of "
            f"it"
        )
    else:
        shown.append(f"the log is registered as {receipt.origin}, by {registrant}")
    shown_of_money, open_of_money = _check_money(receipt, chain)
    shown += shown_of_money
    terms = chain.terms_of(receipt.contract_id)
    on_trust += pinned.check_verifiers([terms.verifier])
    on_trust.append(f"that {chain.node.name} tells what the chain holds")
    return CheckedReceipt(shown, [*unseen, *open_of_money, *not_checked], on_trust, pending)


def receipt_chain(document: object, rpc_url: str) -> Chain:
    """Return the chain that a receipt names, checked to hold our contracts, to be closed."""
    receipt = receipts.parse(document)
    addresses = Addresses(receipt.chain_id, receipt.event_log, receipt.escrow)
    return checked_chain(rpc_url, addresses, "the receipt")


def checked_chain(rpc_url: str, addresses: Addresses, source: str) -> Chain:
    """Return a chain whose contracts at these addresses are ours, to be closed by the caller.

    Raises ChainError for others, with a word on `source`, which names the addresses.
    """
    chain = Chain(rpc_url, addresses)
    try:
        chain.check()
    except ChainError as error:
        chain.close()
        if error.code not in _OTHER_CONTRACTS:
            raise
        raise ChainError(
            error.code,
            f"{error.message}; {source} names the event log {addresses.event_log} and the escrow "
            f"{addresses.escrow}: it is of another version or deployment, or false",
        ) from None
    except BaseException:
        chain.close()
        raise
    return chain


def _named(receipt: Receipt) -> Named:
    return Named(
        receipt.chain_id, receipt.event_log, receipt.escrow, receipt.log_id, receipt.origin
    )


def _check_on_chain(receipt: Receipt, chain: Chain, pinned: Pinned) -> Iterator[str]:
    """Yield what the chain confirms. Raises ProofError for what it contradicts."""
    _check_root(receipt, chain)
    yield f"the chain holds this root: {chain.addresses.event_log} on chain {receipt.chain_id}"
    office, signer = _signer(receipt, chain)
    pinned.check_publisher(signer, f"the checkpoint is signed by {office},")
    yield f"the checkpoint is signed by {office}, {signer}"
    forked_at_s = chain.forked_at(receipt.log_id)
    if forked_at_s is not None:
        yield (
            f"but the log was marked as forked at {format_second(forked_at_s)}: its publisher has "
            f"told two histories, and this root is of one of them"
        )
    terms = chain.terms_of(receipt.contract_id)
    receipts.check_terms(receipt, terms)
    named = f"the signed terms of contract {to_hex(receipt.contract_id)}"
    yield f"{named} {', and '.join(_given_by_terms(receipt))}"


def _check_money(receipt: Receipt, chain: Chain) -> tuple[list[str], list[str]]:
    """Return what the escrow's events show of the settlement and the payout, and what they do not.

    Raises ProofError for what they contradict.
    """
    settlement, payout = (receipt.entries.get(role) for role in ("settlement", "payout"))
    if settlement is None and payout is None:
        return [], []
    events = chain.money_events_of(receipt.contract_id)
    shown, unseen = [], []
    if payout is not None:
        places = _places_of(payout, events, chain)
        transaction = to_hex(payout.entry.payload)
        shown.append(
            f"the escrow has paid: {payout.entry.value} units, fee included, were "
            f"{payout.entry.label} to the payee by transaction {transaction}"
        )
        if settlement is not None and events.hidden_units:
            unseen.append(
                f"that this payout completes what the settlement states: {chain.node.name} shows "
                f"not all that the contract has paid"
            )
        elif settlement is not None:
            _check_completes(receipt, [one.gross_units for one in events.payouts], places)
            shown.append("with this payout the contract had paid what the settlement states")
    if settlement is not None:
        stated = unpack_settlement(settlement.entry.payload)
        taken = events.statements.get(settlement.position)
        if taken is None:
            unseen.append(
                f"that the escrow took the settlement, entry {settlement.position}: "
                f"{chain.node.name} shows no event of it"
            )
        elif taken != (stated.earned, stated.reversed):
            raise ProofError(
                "receipt-settlement",
                f"the escrow took other sums by entry {settlement.position} than the settlement "
                f"states: earned {taken[0]} and reversed {taken[1]} units",
            )
        else:
            shown.append(f"the escrow took the settlement, entry {settlement.position}")
    return shown, unseen


def _places_of(payout: Proven, events: MoneyEvents, chain: Chain) -> list[int]:
    """Return the places, among the contract's payouts on chain, of those that the entry can mean.

    Raises ProofError where there is none, NodeError where the node may have forgotten it.
    """
    entry = payout.entry
    said = Payout(entry.payload, entry.value, entry.label)
    places = [place for place, one in enumerate(events.payouts) if one == said]
    if places:
        return places
    transaction = to_hex(entry.payload)
    there = [one for one in events.payouts if one.transaction == entry.payload]
    if not there and events.hidden_units:
        raise NodeError(
            "payouts-hidden",
            f"all else holds, but the payout was not checked: {chain.node.name} shows no payout of "
            f"the contract in transaction {transaction}, nor of {events.hidden_units} of the units "
            f"that it has paid; ask a node that has the whole history",
        )
    told = ", ".join(f"{one.gross_units} units {one.label}" for one in there)
    raise ProofError(
        "receipt-unpaid",
        f"the payout says {entry.value} units {entry.label} by transaction {transaction}; by the "
        f"chain, what the contract paid there is: {told or 'nothing'}",
    )


def _check_completes(receipt: Receipt, gross_units: list[int], places: list[int]) -> None:
    """Raise ProofError unless a payout at one of these places paid what the settlement states.

    In the receipt of a payout, all that was paid with it is what the settlement states; in others
    it is the first with which so much was paid.
    """
    stated = receipt.entries["settlement"].entry.value
    for place in places:
        before = sum(gross_units[:place])
        after = before + gross_units[place]
        if after == stated or (receipt.subject != "payout" and before < stated < after):
            return
    raise ProofError(
        "receipt-uncovered",
        f"the payout is not the one with which the contract had paid the {stated} units that the "
        f"settlement states",
    )


def _given_by_terms(receipt: Receipt) -> Iterator[str]:
    """Yield what `check_terms` has shown of this receipt's entries."""
    for role, given in (
        ("touch", "credit this touch"),
        ("outcome", "pay for the outcome at this amount"),
        ("reversal", "take back this amount for the event"),
        ("settlement", "name the verifier of the settlement"),
        ("payout", "name the payee of the payout"),
    ):
        if role in receipt.entries:
            yield given


def _on_chain_alone(receipt: Receipt) -> Iterator[str]:
    """Yield what a check without a node says nothing of."""
    yield (
        f"what the signed terms of contract {to_hex(receipt.contract_id)} give, and which verifier "
        f"they name: they stand on the chain; give --rpc to ask it"
    )
    if "settlement" in receipt.entries:
        yield "that the escrow took the settlement; give --rpc to ask the chain"
    if "payout" in receipt.entries:
        yield "that the escrow has paid; give --rpc to ask the chain"


def _check_root(receipt: Receipt, chain: Chain) -> None:
    """Raise ProofError unless the chain holds the root; PendingError if it may yet come to it."""
    root = chain.root_at(receipt.log_id, receipt.size)
    if root == receipt.root:
        return
    if root is not None:
        raise ProofError(
            "receipt-root",
            f"the chain holds root {to_hex(root)} for size {receipt.size}, "
            f"the receipt says {to_hex(receipt.root)}",
        )
    anchored = chain.checkpoint(receipt.log_id).size
    if anchored > receipt.size:
        raise ProofError(
            "receipt-passed-over",
            f"the chain holds no checkpoint of size {receipt.size} for this log, and never will: "
            f"it is at size {anchored}; ask for the receipt again",
        )
    raise PendingError(
        "receipt-unanchored",
        f"not anchored yet: the chain holds this log up to size {anchored}, and the receipt is "
        f"of size {receipt.size}; ask again later",
    )


def _signer(receipt: Receipt, chain: Chain) -> CheckpointSigner:
    """Return who signed the checkpoint: the log's publisher, or one that has handed it over since.

    Raises ProofError for a signature of any other, or of no key at all.
    """
    signed = SignedCheckpoint(receipt.log_id, receipt.size, receipt.root, receipt.signature)
    # A clock of a product may be a day ahead or behind; more events than needed do no harm.
    times_ms = [proven.entry.time_ms for proven in receipt.entries.values()]
    former = chain.publishers_replaced(receipt.log_id, min(times_ms) // 1000 - DAY_S)
    return signer_of(chain, signed, former, "receipt-signature")


def _positions(receipt: Receipt) -> Iterator[str]:
    for role, proven in sorted(receipt.entries.items(), key=lambda item: item[1].position):
        yield f"{role} {proven.position}"
