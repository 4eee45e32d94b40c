"""The wallet's part: terms made here, judged by the mandate, confirmed, counted, and signed.

No signature, key or message is ever returned: what is signed goes to the service alone.
"""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from orchestrator.client import deals
from orchestrator.client.accounts import AccountClient
from orchestrator.connect.confirmations import Confirmations, how_to_confirm
from orchestrator.core.common.errors import EscrowError, InputError
from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.core.deals.mandate import Mandate, Pins, check_mandate, signed_budget
from orchestrator.core.deals.sentences import operator_sentences, owner_sentences, sentences_of
from orchestrator.core.deals.site import TokenInfo
from orchestrator.core.deals.terms import Terms, contract_id
from orchestrator.storage.local.signed_budgets import add_budget, open_ledger

PROPOSAL, ACCEPTANCE, WITHDRAWAL = "proposal", "acceptance", "withdrawal"


class Vault(NamedTuple):
    """The way to an account's credit in the escrow: what there is of a token, and sending it."""

    credit_of: Callable[[TokenInfo], int]
    send: Callable[[TokenInfo, int], str]
    to: str


class Signer:
    """The wallet at one service. `pins` asks for the pinned facts, and fails if they changed."""

    def __init__(
        self,
        client: AccountClient,
        mandate: Mandate,
        pins: Callable[[], Pins],
        folder: Path,
        vault: Vault | None = None,
    ) -> None:
        self.mandate = mandate
        self._client = client
        self._pins = pins
        self._ledger = folder / f"signed-{mandate.wallet.lower()}"
        self._confirmations = Confirmations(folder / "waiting")
        self._vault = vault

    @property
    def can_withdraw(self) -> bool:
        return self._vault is not None

    def propose(
        self,
        surface: str,
        deal: Mapping[str, Any] | None = None,
        offer: str | None = None,
        answers: str | None = None,
    ) -> dict[str, Any]:
        """Make terms of a short deal, of an offer or of an owner's answer, and propose them."""
        pins = self._pins()
        told = self._deal(pins, surface, deal, offer, answers)
        made = deals.draft(self._client, pins, surface, told)
        cautions = deals.served_cautions(self._client, surface, told)
        beside = {"offer": offer, "answers": answers}
        return self._release(PROPOSAL, pins, made.terms, beside) | {"cautions": cautions}

    def accept(self, contract: str) -> dict[str, Any]:
        """Accept a proposal as the surface's owner; its budget comes from the allowance."""
        pins = self._pins()
        terms = deals.proposed_terms(self._client, pins, contract)
        return self._release(ACCEPTANCE, pins, terms, {})

    def withdraw(self, token: str) -> dict[str, Any]:
        """Send what the escrow owes the wallet to the address of the configuration."""
        return self._withdraw(self._pins().token(token), None)

    def finish(self, waits: str) -> dict[str, Any]:
        """Do what a person has confirmed."""
        pins = self._pins()
        asked = self._confirmations.confirmed(waits, self.mandate.wallet, int(time.time()))
        if asked.kind == WITHDRAWAL:
            self._confirmations.drop(asked)
            return self._withdraw(pins.token(asked.what["token"]), int(asked.what["units"]))
        terms = Terms.from_json(asked.what["terms"])
        # The same terms again are the same contract, so a try that failed may be made again.
        done = self._sign(asked.kind, pins, terms, asked.what["beside"])
        self._confirmations.drop(asked)
        return done

    def _deal(
        self,
        pins: Pins,
        surface: str,
        deal: Mapping[str, Any] | None,
        offer: str | None,
        answers: str | None,
    ) -> dict[str, Any]:
        """Return the deal that is told or found, with the payee of the configuration."""
        if deal is not None and deal.get("payee", self.mandate.payee) != self.mandate.payee:
            raise InputError(
                "payee-configured",
                f"the payee is {self.mandate.payee}, by the configuration of this machine; leave "
                f"it out of the deal",
            )
        if deal is not None:
            told = dict(deal)
        elif offer is not None:
            told = deals.offered_deal(self._client, surface, offer)
        elif answers is not None:
            told = deals.countered_deal(self._client, pins, answers)
        else:
            raise InputError("deal-missing", "give a deal, or the offer or answer it is from")
        return told | {"payee": self.mandate.payee}

    def _release(
        self, kind: str, pins: Pins, terms: Terms, beside: dict[str, str | None]
    ) -> dict[str, Any]:
        """Sign terms, or have a person confirm them first."""
        now_s, token = int(time.time()), pins.token(terms.token)
        with open_ledger(self._ledger) as (earlier, _):
            check_mandate(self.mandate, pins, terms, earlier, now_s, is_owner=kind == ACCEPTANCE)
        if not self.mandate.is_confirmed_by_a_person(terms.budget_units, token):
            return self._sign(kind, pins, terms, beside)
        lines = [
            *(
                operator_sentences(terms, token)
                if kind == PROPOSAL
                else owner_sentences(terms, token, pins.domain)
            ),
            *sentences_of(terms, token),
        ]
        what = {"terms": terms.to_json(), "beside": beside}
        return self._ask(kind, what, lines)

    def _sign(
        self, kind: str, pins: Pins, terms: Terms, beside: dict[str, str | None]
    ) -> dict[str, Any]:
        """Count the budget, sign, and send. What was signed for these very terms counts once."""
        name, now_s = to_hex(contract_id(terms, pins.domain)), int(time.time())
        with open_ledger(self._ledger) as (earlier, file):
            others = [one for one in earlier if one.contract_id != name]
            check_mandate(self.mandate, pins, terms, others, now_s, is_owner=kind == ACCEPTANCE)
            if len(others) == len(earlier):
                add_budget(file, signed_budget(name, terms, now_s))
        if kind == PROPOSAL:
            done = deals.propose(self._client, pins, terms, **beside)
        else:
            done = deals.accept(self._client, pins, terms)
        sentences = sentences_of(terms, pins.token(terms.token))
        return {"contract_id": done.contract, "status": done.status, "sentences": sentences}

    def _withdraw(self, token: TokenInfo, confirmed_units: int | None) -> dict[str, Any]:
        if self._vault is None:
            raise InputError("rpc-missing", "no node is configured: withdrawals need --rpc")
        units = self._vault.credit_of(token) if confirmed_units is None else confirmed_units
        if not units:
            raise EscrowError(
                "nothing-to-withdraw", f"the escrow owes {self.mandate.wallet} no {token.symbol}"
            )
        if confirmed_units is None and self.mandate.is_confirmed_by_a_person(units, token):
            line = f"Withdraw {units} base units of {token.symbol} {token.address} to "
            what = {"token": token.address, "units": units}
            return self._ask(WITHDRAWAL, what, [line + self._vault.to])
        sent = self._vault.send(token, units)
        return {"to": self._vault.to, "units": str(units), "transaction": sent}

    def _ask(self, kind: str, what: dict[str, Any], lines: list[str]) -> dict[str, Any]:
        asked = self._confirmations.ask(self.mandate.wallet, kind, what, lines, int(time.time()))
        how = how_to_confirm(asked.id)
        return {
            "waits": asked.id,
            "next": f"nothing is signed yet: {how}; then call sign_confirmed with this id",
            "sentences": lines,
        }
