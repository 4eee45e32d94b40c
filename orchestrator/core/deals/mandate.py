"""Mandates: what a wallet lets a program sign for it, up to how much, and who is paid.

A mandate stands on the wallet's own machine, as the pins do: the facts of a deployment that are
taken down at first use, so that no server can have something signed for another chain, escrow, log
or token later. A server's word, and that of a model, add nothing to either.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from orchestrator.core.common.errors import InputError, TermsError
from orchestrator.core.common.hexadecimal import from_hex, to_hex
from orchestrator.core.common.keccak import to_checksum_address
from orchestrator.core.common.units import DAY_S, format_amount, format_percent, parse_amount
from orchestrator.core.deals.escrow_model import times_of
from orchestrator.core.deals.site import TokenInfo
from orchestrator.core.deals.terms import Domain, Terms
from orchestrator.core.log.entry import WORD_BYTES

_SYMBOL = re.compile(r"[!-~]{1,16}")
_MOST_DECIMALS = 36
ALWAYS, NEVER, ABOVE = "always", "never", "above="


class Pins(NamedTuple):
    """The facts of a deployment, as they were at first use."""

    chain_id: int
    escrow: str
    event_log: str
    log_id: str
    verifier: str
    tokens: tuple[TokenInfo, ...]

    @property
    def domain(self) -> Domain:
        return Domain("Tallystick OutcomeEscrow", "1", self.chain_id, self.escrow)

    def token(self, name: str) -> TokenInfo:
        """Return a token by its address or symbol. Raises InputError `token-unknown`."""
        found = [token for token in self.tokens if name in (token.address, token.symbol)]
        if len(found) != 1:
            known = ", ".join(f"{token.symbol} {token.address}" for token in self.tokens)
            raise InputError("token-unknown", f"{name!r} is no pinned token; there are {known}")
        return found[0]

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Pins":
        """Read the facts in a document, and ignore its other members.

        Raises LookupError, TypeError, ValueError or AttributeError for a garbled member.
        """
        return cls(
            chain_id=int(document["chain_id"]),
            escrow=to_checksum_address(document["escrow"]),
            event_log=to_checksum_address(document["event_log"]),
            log_id=to_hex(from_hex(document["log_id"], WORD_BYTES)),
            verifier=to_checksum_address(document["verifier"]),
            tokens=tuple(sorted(map(_token, document["tokens"]))),
        )

    def to_json(self) -> dict[str, object]:
        """Return the JSON object that `from_json` reads."""
        return {**self._asdict(), "tokens": [token._asdict() for token in self.tokens]}

    def check_same(self, now: "Pins", where: str) -> None:
        """Raise InputError `pin-changed` that names what is another; a new token is no change."""
        kept = tuple(token for token in now.tokens if token in self.tokens)
        for name, before, after in zip(self._fields, self, now._replace(tokens=kept), strict=True):
            if before != after:
                raise InputError(
                    "pin-changed",
                    f"{name} was {_shown(before)} and is {_shown(after)} now: nothing is signed. "
                    f"If those who run the service say so too, delete {where}",
                )


class Mandate(NamedTuple):
    """The rules of one wallet. Ceilings are on signed budgets, in whole tokens of each kind.

    `confirm` says what a person confirms: `always`, `never`, or `above=` an amount.
    """

    wallet: str
    payee: str
    outstanding: str
    a_day: str
    confirm: str = ALWAYS
    most_fee_bps: int = 500

    def check(self) -> None:
        """Raise InputError for amounts or a confirmation mode that cannot be read."""
        for name in ("outstanding", "a_day"):
            _units(name, getattr(self, name), 18)
        if self.confirm not in (ALWAYS, NEVER):
            if not self.confirm.startswith(ABOVE):
                raise InputError(
                    "confirm-unknown",
                    f"confirm is {self.confirm!r}; it must be always, never or above=AMOUNT",
                )
            _units("confirm", self.confirm.removeprefix(ABOVE), 18)

    @property
    def signs_terms(self) -> bool:
        """False for a mandate without ceilings, which lets nothing be signed."""
        return all(_units("ceiling", text, 18) for text in (self.outstanding, self.a_day))

    def is_confirmed_by_a_person(self, units: int, token: TokenInfo) -> bool:
        """Return whether a person must confirm something of this worth."""
        if self.confirm in (ALWAYS, NEVER):
            return self.confirm == ALWAYS
        return units > _units("confirm", self.confirm.removeprefix(ABOVE), token.decimals)


class SignedBudget(NamedTuple):
    """A budget that was signed: in which token, when, and until when it can be bound."""

    contract_id: str
    token: str
    budget_units: int
    signed_s: int
    bound_until_s: int


def signed_budget(contract_id: str, terms: Terms, now_s: int) -> SignedBudget:
    """Return the note of a budget that is signed now; it is bound until it can be refunded."""
    until_s = times_of(terms).claims_until_s
    return SignedBudget(contract_id, terms.token, terms.budget_units, now_s, until_s)


def check_mandate(
    mandate: Mandate,
    pins: Pins,
    terms: Terms,
    signed: Iterable[SignedBudget],
    now_s: int,
    *,
    is_owner: bool,
) -> None:
    """Raise TermsError that says why terms are not signed, as their owner or as their operator.

    `signed` is all that was signed before.
    """
    _check_facts(mandate, pins, terms, is_owner=is_owner)
    token = pins.token(terms.token)
    earlier = [one for one in signed if one.token == terms.token]
    spent = {
        "outstanding": sum(one.budget_units for one in earlier if one.bound_until_s >= now_s),
        "a_day": sum(one.budget_units for one in earlier if one.signed_s > now_s - DAY_S),
    }
    for name, units in spent.items():
        most = _units(name, getattr(mandate, name), token.decimals)
        if units + terms.budget_units > most:
            amounts = [format_amount(each, token.decimals) for each in (terms.budget_units, units)]
            raise TermsError(
                f"ceiling-{name.replace('_', '-')}",
                f"a budget of {amounts[0]} {token.symbol}, with {amounts[1]} signed before, is "
                f"above the ceiling {name} of {format_amount(most, token.decimals)}: only the "
                f"person who runs this can raise it",
            )


def _token(document: Mapping[str, Any]) -> TokenInfo:
    """Return a token. Its symbol is shown to people: one that could hide anything is refused."""
    address, symbol = to_checksum_address(document["address"]), document["symbol"]
    decimals = int(document["decimals"])
    if not _SYMBOL.fullmatch(symbol) or not 0 <= decimals <= _MOST_DECIMALS:
        raise ValueError(f"{symbol!r} with {decimals} decimals is no token")
    return TokenInfo(address, symbol, decimals)


def _check_facts(mandate: Mandate, pins: Pins, terms: Terms, *, is_owner: bool) -> None:
    is_known = any(terms.token == token.address for token in pins.tokens)
    facts = {
        "log_id": (terms.log_id, from_hex(pins.log_id)),
        "verifier": (terms.verifier, pins.verifier),
        "token": (terms.token, terms.token if is_known else "one that was pinned at first use"),
    }
    if is_owner:
        facts["owner"] = (terms.owner, mandate.wallet)
    else:
        facts["operator"] = (terms.operator, mandate.wallet)
        facts["payee"] = (terms.payee, mandate.payee)
    for name, (told, wanted) in facts.items():
        if told != wanted:
            raise TermsError(
                f"{name.replace('_', '-')}-differs",
                f"{name} is {_shown(told)}, not {_shown(wanted)}: these terms are not signed",
            )
    if terms.fee_bps > mandate.most_fee_bps:
        raise TermsError(
            "fee-too-high",
            f"the fee is {format_percent(terms.fee_bps)}; at most "
            f"{format_percent(mandate.most_fee_bps)} is signed",
        )


def _units(name: str, text: str, decimals: int) -> int:
    try:
        return parse_amount(text, decimals)
    except ValueError as error:
        raise InputError("amount-malformed", f"{name} {error}") from None


def _shown(value: object) -> str:
    if isinstance(value, bytes):
        return "0x" + value.hex()
    return str(value)
