"""The wallet's part against the real service: what is signed, counted, confirmed by a person."""

import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from orchestrator.connect.confirmations import Confirmations
from orchestrator.connect.pins import pinned
from orchestrator.connect.remote import RemoteServer
from orchestrator.connect.signer import Signer, Vault
from orchestrator.core.common.errors import DomainError
from orchestrator.core.deals.mandate import Mandate
from orchestrator.core.deals.site import TokenInfo
from orchestrator.core.deals.terms import Terms, operator_consent_digest, recover
from orchestrator.storage.local.signed_budgets import open_ledger
from tests.support.api_service import ESCROW, TOKEN, ApiService, give_level, wallet

DEAL = {"outcome": "activated", "price": "8.00", "at_most": 5, "closes_in": "14 days"}


class Bench:
    """A signer for a wallet of its own, and what it leaves."""

    def __init__(self, service: ApiService, folder: Path, who: str) -> None:
        self.folder = folder
        self.name = who
        self.account = wallet(who)
        self.remote = RemoteServer(service.url, self.account, who)
        self.remote.scopes = ("operator", "owner")
        self.sent: list[tuple[str, int]] = []
        self._url = service.url

    def signer(self, **rules: str) -> Signer:
        mandate = Mandate(self.account.address, self.account.address, "100", "100")
        vault = Vault(lambda _: 7, self._send, wallet("cold").address)
        return Signer(
            self.remote,
            mandate._replace(**rules),  # type: ignore[arg-type]
            lambda: pinned(self.folder, self._url, self.remote),
            self.folder,
            vault,
        )

    def confirm(self, id_: str) -> None:
        confirmations = Confirmations(self.folder / "waiting")
        confirmations.confirm(confirmations.read(id_, int(time.time())))

    def signed(self) -> list[str]:
        with open_ledger(self.folder / f"signed-{self.account.address.lower()}") as (found, _):
            return [one.contract_id for one in found]

    def _send(self, token: TokenInfo, units: int) -> str:
        self.sent.append((token.symbol, units))
        return "0x" + "ab" * 32


@pytest.fixture
def bench(service: ApiService, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Bench]:
    made = Bench(service, tmp_path, request.node.name[-20:])
    with made.remote:
        yield made


def refused(act: Any, *arguments: Any, **named: Any) -> str:
    with pytest.raises(DomainError) as caught:
        act(*arguments, **named)
    return caught.value.code


def test_nothing_is_signed_before_a_person_has_confirmed_it(bench: Bench, surface: str) -> None:
    signer = bench.signer()
    asked = signer.propose(surface, DEAL)
    assert f"tallystick connect confirm {asked['waits']}" in asked["next"]
    assert any("8.00 TUSD" in line for line in asked["sentences"])
    assert refused(signer.finish, asked["waits"]) == "confirmation-missing"
    assert bench.remote.get("/v1/proposals")["proposals"] == []
    assert bench.signed() == []
    bench.confirm(asked["waits"])
    done = signer.finish(asked["waits"])
    (proposal,) = bench.remote.get("/v1/proposals")["proposals"]
    assert (done["status"], done["contract_id"]) == ("proposed", proposal["contract_id"])
    assert bench.signed() == [done["contract_id"]]
    # What was done is gone, and nothing can be done by it again.
    assert refused(signer.finish, asked["waits"]) == "confirmation-unknown"


def test_what_is_confirmed_is_of_one_wallet(
    bench: Bench, service: ApiService, surface: str
) -> None:
    asked = bench.signer().propose(surface, DEAL)
    bench.confirm(asked["waits"])
    other = Bench(service, bench.folder, "another")
    with other.remote:
        assert refused(other.signer().finish, asked["waits"]) == "confirmation-of-another"


def test_small_budgets_need_no_person(bench: Bench, surface: str) -> None:
    signer = bench.signer(confirm="above=39.99")
    assert "waits" in signer.propose(surface, DEAL)
    assert signer.propose(surface, DEAL | {"at_most": 4})["status"] == "proposed"


def test_ceilings_are_looked_at_again_when_it_is_signed(bench: Bench, surface: str) -> None:
    signer = bench.signer(a_day="60")
    waiting = [signer.propose(surface, DEAL)["waits"] for _ in range(2)]
    for id_ in waiting:
        bench.confirm(id_)
    signer.finish(waiting[0])
    assert refused(signer.finish, waiting[1]) == "ceiling-a-day"


def test_two_at_once_keep_the_ceilings_together(
    bench: Bench, service: ApiService, surface: str
) -> None:
    def one_of_them(_: int) -> str:
        other = Bench(service, bench.folder, bench.name)
        with other.remote:
            try:
                done = other.signer(confirm="never").propose(surface, DEAL)
            except DomainError as error:
                return error.code
        return str(done["status"])

    with ThreadPoolExecutor(4) as pool:
        said = Counter(pool.map(one_of_them, range(4)))
    assert said == {"proposed": 2, "ceiling-outstanding": 2}
    assert len(bench.signed()) == 2


def test_the_signature_binds_the_pinned_escrow_and_never_comes_back(
    bench: Bench, surface: str
) -> None:
    done = bench.signer(confirm="never").propose(surface, DEAL)
    proposal = bench.remote.get(f"/v1/proposals/{done['contract_id']}")
    digest = operator_consent_digest(Terms.from_json(proposal["terms"]), ESCROW)
    signature = proposal["operator_signature"]
    assert recover(digest, bytes.fromhex(signature[2:])) == bench.account.address
    assert signature not in str(done)


def test_an_offer_and_an_owners_answer_are_signed_to_the_payee(
    bench: Bench, service: ApiService, surface: str
) -> None:
    owner = service.sign_in(wallet("owner"), "owner")
    give_level(service, surface, bench.account)
    deal = {"outcome": "subscribed", "price": "2.00", "at_most": 5, "closes_in": "9 days"}
    offer = owner.post(f"/v1/surfaces/{surface}/offers", json={"deal": deal}).json()["offer"]
    cold = wallet("cold").address
    signer = bench.signer(confirm="never", payee=cold)
    taken = signer.propose(surface, offer=offer)
    path = f"/v1/proposals/{taken['contract_id']}"
    assert bench.remote.get(path)["offer"] == offer
    assert bench.remote.get(path)["terms"]["payee"] == cold
    first = signer.propose(surface, DEAL)["contract_id"]
    assert refused(signer.propose, surface, answers=first) == "counter-missing"
    countered = owner.post(
        f"/v1/proposals/{first}/counter", json={"deal": {"outcome": "activated", "price": "7.00"}}
    )
    assert countered.is_success, countered.text
    second = signer.propose(surface, answers=first)["contract_id"]
    terms = bench.remote.get(f"/v1/proposals/{second}")["terms"]
    assert (terms["unit_price_units"], terms["payee"]) == ("7000000", cold)


def test_only_the_owner_of_terms_accepts_them(bench: Bench, surface: str) -> None:
    signer = bench.signer(confirm="never")
    proposed = signer.propose(surface, DEAL)["contract_id"]
    assert refused(signer.accept, proposed) == "owner-differs"


def test_a_credit_goes_to_the_configured_address_once(bench: Bench) -> None:
    signer = bench.signer()
    asked = signer.withdraw("TUSD")
    assert wallet("cold").address in asked["sentences"][0]
    bench.confirm(asked["waits"])
    assert signer.finish(asked["waits"])["to"] == wallet("cold").address
    assert refused(signer.finish, asked["waits"]) == "confirmation-unknown"
    assert bench.sent == [("TUSD", 7)]
    assert refused(signer.withdraw, "OTHER") == "token-unknown"
    assert bench.signer(confirm="never").withdraw(TOKEN)["units"] == "7"
