"""The demonstration's first weeks with all real parts, checked from outside."""

import copy
from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest

from orchestrator.client.http import Client
from orchestrator.client.log_server import served_deployment
from orchestrator.core import receipt
from orchestrator.core.bundle import read_bundle, write_bundle
from orchestrator.core.errors import DomainError, ProofError, ReplayError
from orchestrator.simulation import cdnow
from orchestrator.simulation.demo import Demo, DemoReport
from orchestrator.verify import comparison
from orchestrator.verify.receipt_check import check_receipt, receipt_chain
from tests.support.servers import server_folder

DAYS = 60


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    with (
        server_folder() as folder,
        Demo(folder, lambda _: None, days=islice(cdnow.read_purchases(), DAYS)) as run,
    ):
        run.run()
        yield run


@pytest.fixture(scope="module")
def report(demo: Demo) -> DemoReport:
    return demo.report


def test_operators_are_paid_what_a_stranger_recomputes(report: DemoReport) -> None:
    assert report.comparison is not None
    assert report.comparison.due_units() == report.balances
    assert report.comparison.anchored_size == report.comparison.entries
    assert sum(contract.outcomes for contract in report.contracts) > 100
    assert all(
        contract.paid_units == contract.payable_units for contract in report.comparison.contracts
    )


def test_no_money_is_made_or_lost(demo: Demo, report: DemoReport) -> None:
    chain, token = demo.stack.chain, demo.token
    budgets = sum(contract.budget_units for contract in report.contracts)
    paid = sum(contract.paid_units for contract in report.contracts)
    assert paid == sum(report.balances.values())
    fees = sum(contract.fee_units for contract in report.contracts)
    assert 0 < fees == report.balances[demo.treasury]
    assert report.owner_refund_units == budgets - paid
    assert chain.balance_of(token, chain.addresses.escrow) == 0


def test_disputes_claims_and_disproofs_end_as_the_rules_say(demo: Demo, report: DemoReport) -> None:
    dispute, claimed, forgery = report.dispute, report.claimed, report.forgery
    assert dispute is not None
    assert claimed is not None
    assert forgery is not None
    assert dispute.ruled_units == dispute.stated_units > 0
    guarded = next(one for one in report.contracts if one.contract_id == dispute.contract_id)
    assert guarded.reversals > 0
    assert guarded.paid_units == (guarded.outcomes - guarded.reversals) * 2_000_000
    assert (refund := report.refund) is not None
    # A tenth of the order, and a twentieth of that given back.
    assert refund.given_back_units == refund.order_units // 20
    assert refund.earned_units == refund.order_units // 10
    assert refund.taken_back_units == refund.given_back_units // 10 > 0
    assert (claimed.claims, claimed.paid_units) == (3, 6_000_000)
    assert forgery.kind == "duplicate"
    assert (forgery.stated_units, forgery.paid_units) == (16_000_000, 0)
    assert forgery.refund_units == 400_000_000
    chain = demo.stack.chain
    assert chain.status_of(dispute.contract_id) == "refunded"
    assert chain.status_of(claimed.contract_id) == "paid_out"
    assert chain.is_retired(forgery.contract_id)


def test_every_purchase_is_in_the_log_once(demo: Demo) -> None:
    newest = demo.stack.log.checkpoint()
    assert newest is not None
    entries = [record.entry for record in demo.stack.records(0, newest.size)]
    kinds = [entry.kind for entry in entries]
    bought = sum(len(day) for _, day in islice(cdnow.read_purchases(), DAYS))
    assert kinds.count("lead.transition") == bought
    assert kinds.count("touch") == demo.report.touches
    paid = sum(entry.value for entry in entries if entry.kind == "payout")
    assert paid == sum(contract.paid_units for contract in demo.report.contracts)


def test_a_forged_receipt_is_refused_whatever_is_forged(demo: Demo, report: DemoReport) -> None:
    document = report.receipt
    assert document is not None
    assert {item["role"] for item in document["entries"]} == {
        "touch",
        "transition",
        "outcome",
        "settlement",
        "payout",
    }
    with receipt_chain(document, demo.rpc_url) as chain:
        check_receipt(document, chain)
        for forged in forgeries(document):
            with pytest.raises(DomainError):
                check_receipt(forged, chain)


def forgeries(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the receipt with one value changed, for every value in it."""
    for name in ("format", "position", "log_id", "contract_id"):
        forged = copy.deepcopy(document)
        forged[name] = changed(forged[name])
        yield forged
    for name in ("size", "root"):
        forged = copy.deepcopy(document)
        forged["checkpoint"][name] = changed(forged["checkpoint"][name])
        yield forged
    for number, item in enumerate(document["entries"]):
        for name in ("role", "position", "entry"):
            forged = copy.deepcopy(document)
            forged["entries"][number][name] = changed(item[name])
            yield forged
        for node in range(len(item["path"])):
            forged = copy.deepcopy(document)
            forged["entries"][number]["path"][node] = changed(item["path"][node])
            yield forged
        if item["opening"]:
            forged = copy.deepcopy(document)
            forged["entries"][number]["opening"]["request_hash"] = "0x" + "77" * 32
            yield forged


def changed(value: Any) -> Any:
    if isinstance(value, int):
        return value + 1
    return value[:-1] + ("0" if value[-1] != "0" else "1")


def test_a_receipt_of_another_outcome_does_not_pass_as_this_one(
    demo: Demo, report: DemoReport
) -> None:
    assert report.receipt is not None
    other = next(
        stored.position
        for stored in demo.stack.log.outcomes_of(
            bytes.fromhex(report.receipt["contract_id"][2:]), report.receipt["position"], 10
        )
        if stored.entry.kind == "outcome"
    )
    with Client(demo.url) as client:
        theirs = client.get(f"/v1/receipts/{other}")
    mixed = copy.deepcopy(report.receipt)
    for item in mixed["entries"]:
        if item["role"] == "touch":
            item.update(next(e for e in theirs["entries"] if e["role"] == "touch"))
    mixed["checkpoint"] = theirs["checkpoint"]
    with pytest.raises(ProofError):
        receipt.check(receipt.parse(mixed))


class Lying(Client):
    """A server that changes one entry of the log in its answers."""

    def __init__(self, base_url: str, position: int) -> None:
        super().__init__(base_url)
        self._position = position

    def get_bytes(self, path: str, **query: object) -> bytes:
        items = list(read_bundle(super().get_bytes(path, **query)))
        at = self._position - int(str(query["start"]))
        if 0 <= at < len(items):
            entry, opening = items[at]
            # The last byte of the value word.
            items[at] = (entry[:191] + bytes([entry[191] ^ 1]) + entry[192:], opening)
        return write_bundle(items)


def test_a_server_that_changes_an_entry_is_refused(demo: Demo, report: DemoReport) -> None:
    assert report.receipt is not None
    for item in report.receipt["entries"]:
        with Lying(demo.url, item["position"]) as client:
            chain, log_id, _ = comparison.connect(client, demo.rpc_url)
            with chain, pytest.raises(ReplayError):
                comparison.replay(client, chain, log_id)


class Garbled(Client):
    """A server that answers one path with another document."""

    def __init__(self, base_url: str, path: str, instead: object) -> None:
        super().__init__(base_url)
        self._path, self._instead = path, instead

    def get(self, path: str, **query: object) -> Any:
        return self._instead if path.startswith(self._path) else super().get(path, **query)

    def get_bytes(self, path: str, **query: object) -> bytes:
        if isinstance(self._instead, bytes):
            return self._instead
        return super().get_bytes(path, **query)


@pytest.mark.parametrize(
    ("path", "instead"),
    [
        ("/v1/log/bundles", b""),
        ("/v1/log/bundles", b"null"),
        ("/v1/log/bundles", write_bundle([(bytes(256), b"")])),
        ("/v1/log/checkpoint", []),
        ("/v1/log/checkpoint", {"size": "many", "root": "0x" + "00" * 32}),
        ("/v1/log/checkpoint", {"size": 5, "root": "0x00"}),
        ("/v1/policies", "none"),
        ("/v1/policies", {"document": {"initial": 7}}),
        ("/v1/log", {"log_id": "0x", "chain_id": 1}),
        ("/v1/log", None),
    ],
)
def test_a_garbled_answer_is_an_error_of_one_line(demo: Demo, path: str, instead: object) -> None:
    def ask(client: Client) -> None:
        served_deployment(client)
        comparison.replay(client, chain, log_id)

    with Client(demo.url) as honest:
        chain, log_id, _ = comparison.connect(honest, demo.rpc_url)
    with (
        chain,
        Garbled(demo.url, path, instead) as client,
        pytest.raises(DomainError) as caught,
    ):
        ask(client)
    assert "\n" not in caught.value.message
