"""A stranger's records: the answers to why from them are those that the service gives."""

from collections.abc import Iterator
from typing import Any

import pytest

from orchestrator.client.http import Client
from orchestrator.client.public_records import PublicRecords
from orchestrator.core.common.errors import ReplayError, ServerError
from orchestrator.core.common.hexadecimal import from_hex
from orchestrator.core.deals.terms import contract_id
from orchestrator.core.log.bundle import read_bundle, write_bundle
from orchestrator.core.log.entry import address_word
from orchestrator.core.why.contract import why_contract
from orchestrator.core.why.lead import why_lead
from orchestrator.core.why.level import why_level
from orchestrator.core.why.outcome import why_outcome
from orchestrator.core.why.source import Filter
from orchestrator.core.why.touch import why_touch
from orchestrator.core.world.contract import rules_of
from orchestrator.core.world.requests import OpenContract
from tests.support.api_service import ESCROW, ApiService, draft_terms, wallet
from tests.support.settled_contract import TRANSACTION, SettledContract


@pytest.fixture(scope="module")
def settled(service: ApiService) -> SettledContract:
    owner = service.sign_in(wallet("owner"), "owner")
    return SettledContract(service, owner, service.sign_in(wallet("operator"), "operator"))


@pytest.fixture
def stranger(service: ApiService) -> Iterator[PublicRecords]:
    with Client(service.url) as client:
        yield PublicRecords(client, service.clock.now_ms)


class Liar(Client):
    """A server's client that changes what one path answers."""

    def __init__(self, url: str, path: str, change: Any) -> None:
        super().__init__(url)
        self._path, self._change = path, change

    def get(self, path: str, **query: object) -> Any:
        answer = super().get(path, **query)
        return self._change(answer) if path.startswith(self._path) else answer

    def get_bytes(self, path: str, **query: object) -> bytes:
        answer = super().get_bytes(path, **query)
        return self._change(answer) if path.startswith(self._path) else answer


def test_a_stranger_comes_to_the_same_answers(
    service: ApiService, settled: SettledContract, stranger: PublicRecords
) -> None:
    surface, operator = from_hex(settled.surface), wallet("operator").address
    for position, entry in enumerate(settled.decoded):
        if entry.kind == "touch":
            lead = "0x" + entry.subject.hex()
            told = service.get(f"/v1/touches/{position}/why")
            assert why_touch(stranger, position).to_json() == told
            told = service.get(f"/v1/surfaces/{settled.surface}/leads/{lead}/why")
            assert why_lead(stranger, surface, entry.subject).to_json() == told
        if entry.kind.startswith("outcome"):
            told = service.get(f"/v1/outcomes/{position}/why")
            assert why_outcome(stranger, position).to_json() == told
    told = service.get(f"/v1/contracts/{settled.hex_id}/why")
    assert why_contract(stranger, settled.digest).to_json() == told
    told = service.get(f"/v1/surfaces/{settled.surface}/operators/{operator}/why")
    assert why_level(stranger, surface, address_word(operator)).to_json() == told


def test_a_contract_that_was_not_proposed_here_has_its_rules(
    service: ApiService, settled: SettledContract, stranger: PublicRecords
) -> None:
    parameters = service.http_detail(settled.surface)["terms"]
    terms = draft_terms(parameters, wallet("operator").address, outcome="activated")
    digest = contract_id(terms, ESCROW)
    service.submit("unproposed", OpenContract(rules_of(terms, digest), TRANSACTION))
    service.decide_waiting()
    found = stranger.contract(digest)
    assert found is not None
    assert found.rules == rules_of(terms, digest)._replace(statement_group=b"")


def test_what_is_not_there_is_none(settled: SettledContract, stranger: PublicRecords) -> None:
    assert stranger.at(10**6) is None
    assert stranger.contract(b"\1" * 32) is None
    assert stranger.is_anchored(0) is None
    assert stranger.find(Filter(subject=b"\1" * 32), 10) == []
    assert stranger.cohorts(b"\1" * 32).counts() == {}


def told_twice(answer: Any) -> Any:
    return {**answer, "entries": answer["entries"] * 2}


def told_of_another(answer: Any) -> Any:
    entries = [{**item, "entry": "0x" + "00" * 256} for item in answer["entries"]]
    return {**answer, "entries": entries}


def opened_falsely(answer: Any) -> Any:
    entries = [
        {**item, "opening": {**item["opening"], "key": "0x" + "55" * 32}}
        if item["opening"] and "key" in item["opening"]
        else item
        for item in answer["entries"]
    ]
    return {**answer, "entries": entries}


@pytest.mark.parametrize(
    ("change", "error", "code"),
    [
        (told_twice, ReplayError, "entries-other"),
        (told_of_another, ReplayError, "kind-unknown"),
        (opened_falsely, ReplayError, "opening-false"),
        (lambda _: {}, ServerError, "answer-garbled"),
    ],
)
def test_entries_that_were_not_asked_for_are_refused(
    service: ApiService, settled: SettledContract, change: Any, error: Any, code: str
) -> None:
    lead = settled.decoded[settled.position_of("touch")].subject
    with Liar(service.url, "/v1/log/search", change) as client, pytest.raises(error) as caught:
        PublicRecords(client, 0).find(Filter(subject=lead), 100)
    assert caught.value.code == code


def test_rules_that_the_terms_do_not_say_are_refused(
    service: ApiService, settled: SettledContract
) -> None:
    def dearer(answer: Any) -> Any:
        return {**answer, "rules": {**answer["rules"], "unit_price_units": "9000000"}}

    with (
        Liar(service.url, "/v1/contracts/", dearer) as client,
        pytest.raises(ReplayError) as caught,
    ):
        PublicRecords(client, 0).contract(settled.digest)
    assert caught.value.code == "rules-false"


def test_a_log_without_end_is_not_folded(service: ApiService, settled: SettledContract) -> None:
    def endless(answer: Any) -> Any:
        return {**answer, "size": 10**9}

    with Liar(service.url, "/v1/log", endless) as client, pytest.raises(ServerError) as caught:
        PublicRecords(client, 0).standing(from_hex(settled.surface), b"\1" * 32)
    assert caught.value.code == "log-too-long"


def test_a_withheld_opening_ends_the_fold(service: ApiService, settled: SettledContract) -> None:
    def withheld(bundle: bytes) -> bytes:
        return write_bundle((entry, None) for entry, _ in read_bundle(bundle))

    with (
        Liar(service.url, "/v1/log/bundles", withheld) as client,
        pytest.raises(ReplayError) as caught,
    ):
        PublicRecords(client, 0).standing(from_hex(settled.surface), b"\1" * 32)
    assert caught.value.code == "opening-false"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("opened", -1),
        ("opened", "first"),
        ("closed_at_ms", 1 << 63),
        ("earned_units", "-1"),
        ("reversed_units", str(1 << 80)),
        ("over_units", None),
        ("outcomes", "many"),
        ("reversals", [1]),
        ("last_settlement", 1 << 40),
    ],
)
def test_a_contract_that_none_can_be_is_refused(
    service: ApiService, settled: SettledContract, name: str, value: object
) -> None:
    with (
        Liar(service.url, "/v1/contracts/", lambda told: told | {name: value}) as client,
        pytest.raises(ServerError, match="does not say what its contracts are"),
    ):
        PublicRecords(client, 0).contract(settled.digest)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("attribution", "luck"),
        ("outcome", "a\x1b[2J"),
        ("outcome", "x" * 33),
        ("outcome", 7),
        ("repeatable", "no"),
        ("unit_price_units", "-1"),
        ("deadline_ms", 1 << 90),
        ("holdback_period_ms", -1),
    ],
)
def test_rules_that_none_can_be_are_refused(
    service: ApiService, settled: SettledContract, name: str, value: object
) -> None:
    def change(told: Any) -> Any:
        # As of a contract that was not proposed there: its terms are not compared.
        return told | {"rules": told["rules"] | {name: value}, "terms": None}

    with (
        Liar(service.url, "/v1/contracts/", change) as client,
        pytest.raises(ServerError, match="does not say what its contracts are"),
    ):
        PublicRecords(client, 0).contract(settled.digest)


@pytest.mark.parametrize(
    ("name", "value"), [("decimals", -1), ("decimals", 10**9), ("decimals", "x"), ("address", 7)]
)
def test_a_token_that_none_can_be_is_refused(service: ApiService, name: str, value: object) -> None:
    def change(told: Any) -> Any:
        return told | {"tokens": [token | {name: value} for token in told["tokens"]]}

    with (
        Liar(service.url, "/v1/log", change) as client,
        pytest.raises(ServerError, match="does not say which tokens it knows"),
    ):
        assert PublicRecords(client, 0).tokens
