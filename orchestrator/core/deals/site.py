"""The description of a deployment: its contracts, the log it keeps, and the terms it asks for."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from orchestrator.core.common.errors import InputError
from orchestrator.core.common.hexadecimal import from_hex, to_hex
from orchestrator.core.common.keccak import to_checksum_address
from orchestrator.core.common.limits import Limits
from orchestrator.core.common.units import format_amount
from orchestrator.core.deals.terms import Terms
from orchestrator.core.log.entry import ZERO_ADDRESS
from orchestrator.core.log.origin import ORIGIN_RULE, is_origin


class Addresses(NamedTuple):
    """A deployment's contracts: checksummed addresses, and the block where their events begin.

    `lens` tells people what the escrow's contracts owe, `feedback` writes to ERC-8004's registry,
    `evaluators` deploys ERC-8183's evaluators, `rounds` anchors and settles in one transaction,
    `splits` makes payees that share what they get.
    What only moves money needs none of them.
    """

    chain_id: int
    event_log: str
    escrow: str
    start_block: int = 0
    lens: str | None = None
    feedback: str | None = None
    evaluators: str | None = None
    rounds: str | None = None
    splits: str | None = None

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Addresses":
        """Read the addresses in a document, and ignore its other members.

        Raises LookupError, TypeError, ValueError or AttributeError for a garbled member.
        """
        return cls(
            int(document["chain_id"]),
            to_checksum_address(document["event_log"]),
            to_checksum_address(document["escrow"]),
            int(document.get("start_block", 0)),
            _optional_address(document, "lens"),
            _optional_address(document, "feedback"),
            _optional_address(document, "evaluators"),
            _optional_address(document, "rounds"),
            _optional_address(document, "splits"),
        )


class TokenInfo(NamedTuple):
    """A token that the escrow takes.

    `least_budget_units` is the least budget in it whose opening this deployment pays; None leaves
    that to `Limits.opening_tokens`.
    """

    address: str
    symbol: str
    decimals: int
    least_budget_units: int | None = None

    def least_budget(self, limits: Limits) -> int:
        """Return the least budget, in base units, whose opening this deployment pays."""
        if self.least_budget_units is not None:
            return self.least_budget_units
        units: int = limits.opening_tokens * 10**self.decimals
        return units


class Funds(NamedTuple):
    """An account's tokens, and how many of them it lets the escrow take."""

    balance_units: int
    allowance_units: int

    def shortage(
        self, needed_units: int, account: str, token: TokenInfo, spender: str
    ) -> str | None:
        """Return what is to be done before so much can be taken, or None if it can be."""

        def amount(units: int) -> str:
            shown = f"{format_amount(units, token.decimals)} {token.symbol}"
            return f"{shown} ({units} base units)"

        steps = []
        if self.balance_units < needed_units:
            lacking = needed_units - self.balance_units
            steps.append(f"{account} lacks {amount(lacking)}: send it that much of {token.address}")
        if self.allowance_units < needed_units:
            steps.append(
                f"the escrow may take {amount(self.allowance_units)} only: have {account} call "
                f"approve({spender}, {needed_units}) on {token.address}"
            )
        return "; ".join(steps) or None


@dataclass(frozen=True, slots=True)
class Site:
    """A deployment: its contracts, its log, and the terms that it asks for.

    `fee_bps` and `fee_recipient` are what its contracts must pay, `verifier` the key that signs its
    statements, `registrant` the wallet that registered the log.
    """

    addresses: Addresses
    log_id: bytes
    origin: str
    registrant: str
    verifier: str
    tokens: tuple[TokenInfo, ...]
    fee_bps: int = 0
    fee_recipient: str = ZERO_ADDRESS

    def serves(self, terms: Terms) -> bool:
        """Return whether this deployment settles a contract with this token and fee."""
        is_token_listed = any(terms.token == token.address for token in self.tokens)
        is_fee_paid = (terms.fee_bps, terms.fee_recipient) == (self.fee_bps, self.fee_recipient)
        return is_token_listed and is_fee_paid

    def to_json(self) -> dict[str, object]:
        """Return the JSON object that `from_json` reads."""
        return {
            **self.addresses._asdict(),
            "log_id": to_hex(self.log_id),
            "origin": self.origin,
            "registrant": self.registrant,
            "verifier": self.verifier,
            "tokens": [token._asdict() for token in self.tokens],
            "fee_bps": self.fee_bps,
            "fee_recipient": self.fee_recipient,
        }

    @classmethod
    def from_json(cls, document: Any) -> "Site":
        """Read a site's JSON object. Raises InputError `site-malformed` for anything else."""
        try:
            return cls(
                addresses=Addresses.from_json({"start_block": None} | document),
                log_id=from_hex(document["log_id"]),
                origin=_origin(document["origin"]),
                registrant=to_checksum_address(document["registrant"]),
                verifier=to_checksum_address(document["verifier"]),
                tokens=tuple(
                    TokenInfo(
                        to_checksum_address(token["address"]),
                        str(token["symbol"]),
                        int(token["decimals"]),
                        _optional_units(token, "least_budget_units"),
                    )
                    for token in document["tokens"]
                ),
                fee_bps=int(document["fee_bps"]),
                fee_recipient=to_checksum_address(document["fee_recipient"]),
            )
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise InputError(
                "site-malformed",
                f"this is no site description; it lacks or garbles {error}. See docs/operating.md",
            ) from None


class Sponsorship(NamedTuple):
    """A deployment and its limits: which contracts it serves, and which openings it pays."""

    site: Site
    limits: Limits

    def serves(self, terms: Terms) -> bool:
        return self.site.serves(terms)

    def pays_opening(self, terms: Terms) -> bool:
        return pays_opening(self.site.tokens, terms, self.limits)


def pays_opening(tokens: Iterable[TokenInfo], terms: Terms, limits: Limits) -> bool:
    """Return whether a deployment with these tokens pays for opening a contract of these terms."""
    return limits.openings_are_paid and any(
        terms.budget_units >= token.least_budget(limits)
        for token in tokens
        if token.address == terms.token
    )


def _origin(value: object) -> str:
    if not is_origin(value):
        raise ValueError(f"origin, which must be {ORIGIN_RULE}")
    return str(value)


def _optional_units(document: Mapping[str, Any], name: str) -> int | None:
    units = document.get(name)
    return None if units is None else int(units)


def _optional_address(document: Mapping[str, Any], name: str) -> str | None:
    address = document.get(name)
    return None if address is None else to_checksum_address(address)
