"""Plans for splits: to create one that all payees have signed, and to pay out what is due in it.

Each function returns a `Plan` with the transactions, and raises `EscrowError` for what the chain
would refuse at this time. Nothing is sent here.
"""

from collections.abc import Sequence
from typing import NamedTuple

from orchestrator.actions.contract_state import token_of
from orchestrator.actions.plan import (
    Plan,
    PlannedTransaction,
    describe_amount,
    describe_exact_amount,
)
from orchestrator.chain.abi import Call
from orchestrator.chain.caller import Token, contract_at
from orchestrator.chain.deployment import Chain
from orchestrator.core.common.errors import EscrowError, InputError
from orchestrator.core.common.units import format_percent
from orchestrator.core.deals.split import Agreement, Split
from orchestrator.core.log.entry import ZERO_ADDRESS


class Due(NamedTuple):
    """A payee, and the amount of one token that its split owes it now."""

    payee: str
    amount_units: int


def check_agreement(chain: Chain, agreement: Agreement) -> None:
    """Raise ChainError or InputError unless the agreement is about a split of our code here."""
    if agreement.chain_id != chain.chain_id:
        raise InputError(
            "chain-of-another",
            f"the agreement is about chain {agreement.chain_id}, and this is {chain.chain_id}",
        )
    chain.check_splits(agreement.factory)


def describe_agreement(agreement: Agreement) -> tuple[str, ...]:
    """Return what payees agree on, and who has not signed yet."""
    lines = [
        f"the split is {agreement.address}, of the factory {agreement.factory}",
        *agreement.split.sentences(),
        "of every token that is sent there, for good: no one can change or stop it",
    ]
    if agreement.unsigned:
        lines.append(f"not signed yet by {', '.join(agreement.unsigned)}")
        lines.append("what is paid to it before all have signed waits there for the last of them")
    return tuple(lines)


# --- Creating -------------------------------------------------------------------------------------


def plan_creation(chain: Chain, agreement: Agreement) -> Plan:
    """Plan to put a split on the chain that all of its payees have signed."""
    check_agreement(chain, agreement)
    lines, facts = describe_agreement(agreement), agreement.to_json()
    if chain.accounts([agreement.address])[agreement.address].code:
        return Plan((*lines, "it is on the chain already"), facts=facts)
    if agreement.unsigned:
        raise EscrowError(
            "agreement-unsigned", f"not signed yet by {', '.join(agreement.unsigned)}"
        )
    check_signatures(chain, agreement)
    creation = PlannedTransaction(
        title="put the split on the chain",
        lines=("needed once, before anything can be paid out of it",),
        call=chain.call(
            contract_at("Splits", agreement.factory),
            "create",
            agreement.split.to_abi(),
            agreement.split.salt,
            [agreement.signatures[share.payee] for share in agreement.split.shares],
        ),
        by=(),
        facts={},
    )
    return Plan(lines, (creation,), facts=facts)


def check_signatures(chain: Chain, agreement: Agreement) -> None:
    """Raise InputError for a signature in an agreement that is not its payee's."""
    for payee, signature in agreement.signatures.items():
        if not chain.is_signed(payee, agreement.digest(payee), signature):
            raise InputError("signature-false", f"{payee} has not made the signature beside it")


# --- Paying out -----------------------------------------------------------------------------------


def split_at(chain: Chain, factory: str, address: str) -> Split:
    """Return the split at an address. Raises InputError unless the factory has made it."""
    chain.check_splits(factory)
    found = chain.split_at(address, factory)
    if found is None:
        raise InputError("split-missing", f"there is no split at {address}, made by {factory}")
    return found


def read_due(chain: Chain, address: str, split: Split, token: str) -> list[Due]:
    """Return what a split owes each of its payees of a token."""
    at = contract_at("Split", address)
    return [
        Due(share.payee, int(chain.read(at, "due", token, share.payee))) for share in split.shares
    ]


def describe_due(split: Split, due: Sequence[Due], token: Token) -> list[str]:
    """Return a line on each payee: its share, and what it can be paid now."""
    return [
        f"{share.payee}, {format_percent(share.bps)}: "
        f"{describe_amount(one.amount_units, token)} due"
        for share, one in zip(split.shares, due, strict=True)
    ]


def plan_release(
    chain: Chain,
    factory: str,
    address: str,
    token: str,
    payee: str | None = None,
    to: str | None = None,
) -> Plan:
    """Plan to pay out what is due of a token: to all payees, or to one.

    With `to`, one payee sends its own part there.
    """
    split, described = split_at(chain, factory, address), token_of(chain, token)
    due = read_due(chain, address, split, token)
    wanted = [one for one in due if payee in (None, one.payee)]
    if not wanted:
        raise InputError("payee-unknown", f"{payee} is no payee of the split {address}")
    units = sum(one.amount_units for one in wanted)
    if not units:
        whom = payee or "any of its payees"
        raise EscrowError(
            "nothing-due", f"the split {address} owes {whom} nothing in {described.symbol}"
        )
    facts: dict[str, object] = {
        "split": address,
        "token": token,
        "due": [{"payee": one.payee, "amount_units": str(one.amount_units)} for one in wanted],
    }
    call, by, further = _release(chain, address, token, payee, to)
    lines = (f"what it does: {describe_exact_amount(units, described)} go out", further)
    title = f"pay out {describe_amount(units, described)}"
    planned = PlannedTransaction(title, lines, call, by, facts)
    return Plan(tuple(describe_due(split, due, described)), (planned,))


def _release(
    chain: Chain, address: str, token: str, payee: str | None, to: str | None
) -> tuple[Call, tuple[str, ...], str]:
    """Return the call that pays out, the accounts that may make it, and where the money goes."""
    at = contract_at("Split", address)
    if to is None and payee is None:
        further = "to all payees; one that the token refuses stops no other, its part stays due"
        return chain.call(at, "releaseAll", token), (), further
    if to is None:
        return chain.call(at, "release", token, payee), (), f"to {payee}"
    if payee is None or to in (ZERO_ADDRESS, address):
        raise InputError("recipient-invalid", f"name one payee, and not {to} as recipient")
    return chain.call(at, "releaseTo", token, to), (payee,), f"to {to}, as {payee} wants it"
