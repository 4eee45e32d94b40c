"""Plans for what an account does with what is its own: its credit, and what it has signed.

Each function returns a `Plan` with the transaction, and raises `EscrowError` where there is nothing
to do, `InputError` for what the escrow would refuse at any time. Nothing is sent here.
"""

from orchestrator.actions.contract_state import token_of
from orchestrator.actions.escrow import Consent
from orchestrator.actions.plan import (
    Plan,
    PlannedTransaction,
    describe_amount,
    describe_exact_amount,
    parse_token_amount,
)
from orchestrator.chain.deployment import Chain
from orchestrator.core.common.errors import EscrowError, InputError
from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.core.deals.terms import (
    Terms,
    close_digest,
    contract_id,
    operator_consent_digest,
    owner_consent_digest,
)
from orchestrator.core.log.entry import ZERO_ADDRESS

# --- Credits --------------------------------------------------------------------------------------


def plan_withdrawal(
    chain: Chain, account: str, address: str, to: str | None = None, amount: str | None = None
) -> Plan:
    """Plan to send an account's credit of the token at `address`, or an amount of it.

    It goes to the account itself where `to` is None. `amount` is in tokens, such as 12.50.
    """
    token = token_of(chain, address)
    credit = chain.credit_of(address, account)
    if not credit:
        raise EscrowError(
            "nothing-to-withdraw", f"the escrow owes {account} nothing in {token.symbol}"
        )
    units = credit if amount is None else parse_token_amount(amount, token)
    if not 0 < units <= credit:
        raise InputError(
            "credit-too-small",
            f"{describe_exact_amount(units, token)} is not between nothing and the credit, "
            f"{describe_exact_amount(credit, token)}",
        )
    recipient = account if to is None else to
    if recipient in (ZERO_ADDRESS, chain.addresses.escrow):
        raise InputError("recipient-invalid", f"nothing can be sent to {recipient}")
    lines = (
        f"what it does: {describe_exact_amount(units, token)} go to {recipient}",
        f"what stays as a credit of {account}: {describe_amount(credit - units, token)}",
    )
    facts: dict[str, object] = {"token": address, "to": recipient, "amount_units": str(units)}
    call = chain.withdraw(address, recipient, units)
    title = f"withdraw {describe_amount(units, token)}"
    return Plan.of(PlannedTransaction(title, lines, call, (account,), facts))


# --- Signatures -----------------------------------------------------------------------------------


def plan_revocation(chain: Chain, account: str, signed: bytes | Terms | Consent) -> Plan:
    """Plan to take back what an account has signed and no one has used.

    That is a digest, its consent to terms, or its consent to end a contract. The owner's consent to
    terms is the one to pay from its allowance.
    """
    digest, what = _digest_of(chain, account, signed)
    if chain.is_revoked(account, digest):
        raise EscrowError("already-revoked", f"{account} has revoked this before")
    lines = (
        f"what is revoked: {what}",
        f"its digest: {to_hex(digest)}",
        (
            f"what it does: the escrow takes no signature of {account} over this any more; what "
            f"was done by it stays, and what is signed otherwise is good"
        ),
    )
    facts: dict[str, object] = {"digest": to_hex(digest)}
    title = f"revoke {what}"
    return Plan.of(PlannedTransaction(title, lines, chain.revoke(digest), (account,), facts))


def _digest_of(chain: Chain, account: str, signed: bytes | Terms | Consent) -> tuple[bytes, str]:
    """Return the digest of what was signed, and what that is in words.

    Raises EscrowError where the signature was used already, InputError if the account is no party.
    """
    domain = chain.escrow_domain
    if isinstance(signed, bytes):
        return signed, "whatever has this digest"
    if isinstance(signed, Consent):
        if account != signed.party:
            raise InputError("key-of-another", f"this was signed by {signed.party}, not {account}")
        if chain.closed_at(signed.contract_id) is not None:
            raise EscrowError("already-closed", "the contract is closed: the signature was used")
        asked, until_s = signed.contract_id, signed.expires_at_s
        digest = close_digest(domain, account, asked, signed.payable_units, until_s)
        return digest, f"the consent to close contract {to_hex(asked)}"
    opened = contract_id(signed, domain)
    if account not in (signed.owner, signed.operator):
        raise InputError("key-of-another", f"{account} is no party of contract {to_hex(opened)}")
    if chain.is_open(opened):
        raise EscrowError(
            "already-open", f"contract {to_hex(opened)} is open: the signatures were used"
        )
    is_owner = account == signed.owner
    make_digest = owner_consent_digest if is_owner else operator_consent_digest
    return make_digest(signed, domain), f"the consent to the terms of contract {to_hex(opened)}"
