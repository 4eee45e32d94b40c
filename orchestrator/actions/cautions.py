"""Cautions about terms: what nothing on chain checks, and signers should look at first.

Owner and operator sign, so they are there. Payee, verifier, arbiter and fee recipient are addresses
that were not proven: a wallet of another chain may have no holder here, or a stranger tomorrow.
"""

from collections.abc import Collection, Iterator, Mapping

from orchestrator.chain.caller import AccountFacts, Token
from orchestrator.core.common.units import format_amount
from orchestrator.core.deals.terms import Terms
from orchestrator.core.log.entry import ZERO_ADDRESS

# Ethereum and its test networks, which have no sequencer.
_ETHEREUM_CHAINS = (1, 11_155_111, 17_000, 560_048)
# Where one sequencer makes the blocks, it has been down for hours, and its clock may drift by half
# an hour. A challenge must outlast that with time left to look and to act. Getting past a sequencer
# that refuses a transaction takes longer still: half a day on OP chains, a day on Arbitrum.
SHORTEST_CHALLENGE_S = 6 * 3600
# The escrow keeps amounts in 80 bits.
_MOST_UNITS = 2**80 - 1
_MOST_DECIMALS = 18
# For these a leaked key must be able to lose its power.
_ROTATED = ("verifier", "arbiter", "publisher")


def named_accounts(terms: Terms, publisher: str | None) -> dict[str, str]:
    """Return the accounts, by their roles, that terms rely on and that have signed nothing."""
    named = {
        "payee": terms.payee,
        "verifier": terms.verifier,
        "arbiter": terms.arbiter,
        "fee recipient": terms.fee_recipient,
        "publisher": publisher or ZERO_ADDRESS,
    }
    return {role: address for role, address in named.items() if address != ZERO_ADDRESS}


def describe_account(account: AccountFacts) -> str:
    """Write what the chain has of an account: its code and its transactions."""
    size = f"{len(account.code):,} bytes of code" if account.code else "no code"
    if account.is_delegated:
        size = "a key with the code of a wallet (EIP-7702)"
    sent = f"{account.transactions:,}" if account.transactions else "no"
    return f"{size}, {sent} transaction{'' if account.transactions == 1 else 's'} sent"


def find_cautions(
    terms: Terms,
    token: Token,
    accounts: Mapping[str, AccountFacts],
    chain_id: int,
    known: Collection[str] = (),
) -> Iterator[str]:
    """Yield what to look at before relying on terms; `accounts` holds facts by role.

    `known` are addresses that whoever asks has the keys of, beside the parties that sign.
    """
    shown, named = {terms.owner, terms.operator, *known}, named_accounts(terms, None)
    for role, account in accounts.items():
        if account.is_unused and role != "publisher" and named[role] not in shown:
            yield (
                f"the {role} {named[role]} was never used on this chain: check that its holder "
                f"controls it here"
            )
        if account.is_delegated and role in _ROTATED:
            yield (
                f"the {role} is a key and a wallet (EIP-7702): either one signs, and other code "
                f"does not end a key that has leaked; a contract wallet can change its keys"
            )
    is_short = 0 < terms.challenge_period_s < SHORTEST_CHALLENGE_S
    if is_short and chain_id not in _ETHEREUM_CHAINS:
        yield (
            f"a statement can be challenged for {terms.challenge_period_s:,} s only: where one "
            f"sequencer makes the blocks it may be down for as long; agree on "
            f"{SHORTEST_CHALLENGE_S:,} s or more"
        )
    if token.decimals > _MOST_DECIMALS:
        most = format_amount(_MOST_UNITS, token.decimals)
        yield (
            f"the token has {token.decimals} decimals, so no amount can be more than {most} "
            f"{token.symbol}"
        )
