"""The demonstration's first weeks with all real parts, checked from outside."""

import copy
from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

import pytest

from orchestrator.client.http import Client
from orchestrator.client.log_server import served_deployment
from orchestrator.core.common.errors import DomainError, ProofError, ReplayError
from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.core.common.units import DAY_MS
from orchestrator.core.entries import receipt
from orchestrator.core.log.bundle import read_bundle, write_bundle
from orchestrator.core.log.entry import address_word
from orchestrator.simulation import cdnow
from orchestrator.simulation.demo import ContractResult, Demo, DemoReport
from orchestrator.simulation.outcomes import MotionResult
from orchestrator.simulation.trust import McpOperator
from orchestrator.simulation.work import Teamwork, Work
from orchestrator.verify import comparison
from orchestrator.verify.receipt_check import check_receipt, receipt_chain
from tests.support.depth import PROFILE
from tests.support.servers import server_folder


class Figures(NamedTuple):
    """The results of a run; amounts in token base units."""

    motions: dict[str, MotionResult]
    work: Work
    # The outcomes and the pay of the agent that requests gifts, and of both with the offer.
    gifts: tuple[int, int]
    offer: list[tuple[int, int]]
    levels: list[tuple[str, str]]


BY_CONTRACT = [
    (name, "level 0 → 1 by contract") for name in ("ada", "bo", "cy", "dee", "eve", "gil", "hana")
]
FIRST_WEEKS = Figures(
    {
        "acquisition": MotionResult(84, 42_000_000, 0, 0),
        "activation": MotionResult(128, 206_500_000, 2, 4_000_000),
        "conversion": MotionResult(71, 173_808_500, 0, 0),
        "expansion": MotionResult(40, 163_630_000, 7, 4_063_750),
    },
    Work(84, 38, 38, 1, 13, 8, 18, 17),
    (17, 51_000_000),
    [(1, 1_000_000), (20, 20_000_000)],
    [
        *BY_CONTRACT,
        ("bo", "suspended (complaints)"),
        ("bo", "level 1 → 2 by results"),
        ("bo", "restored (agreed)"),
    ],
)
# A deep run lives all of it, in which one rises by forecasts, and one falls by what is sent back.
ALL_DAYS = Figures(
    {
        "acquisition": MotionResult(118, 59_000_000, 0, 0),
        "activation": MotionResult(466, 846_500_000, 12, 24_000_000),
        "conversion": MotionResult(528, 1_121_631_500, 0, 0),
        "expansion": MotionResult(2272, 7_166_594_500, 560, 514_207_950),
    },
    Work(118, 191, 191, 21, 113, 8, 18, 17),
    (61, 183_000_000),
    [(6, 6_000_000), (20, 20_000_000)],
    [
        *BY_CONTRACT,
        ("bo", "suspended (complaints)"),
        ("bo", "level 1 → 2 by results"),
        ("bo", "restored (agreed)"),
        ("ada", "level 1 → 2 by results"),
        ("dee", "level 1 → 2 by results"),
        ("fay", "level 0 → 1 by forecasts"),
        ("fay", "level 1 → 1 by contract"),
        ("hana", "level 1 → 2 by results"),
        ("cy", "level 1 → 2 by results"),
        ("dee", "level 2 → 3 by results"),
        ("dee", "level 3 → 2 by results"),
        ("dee", "level 2 → 1 by contract"),
        ("cy", "level 2 → 1 by contract"),
    ],
)
DAYS, FIGURES = (545, ALL_DAYS) if PROFILE == "deep" else (60, FIRST_WEEKS)


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


def test_two_keys_share_leads_and_two_operators_a_payee(demo: Demo, report: DemoReport) -> None:
    assert report.teamwork == Teamwork("ada", 6, 3, 6)
    entries = [record.entry for record in demo.stack.records(0, report.entries)]
    ada = address_word(demo.operators["ada"].address)
    first = [one for one in entries if one.kind == "touch" and one.actor == ada][:6]
    # Each lead was written to once, by whichever of the keys had its lease.
    assert len({one.subject for one in first}) == 6
    shared = report.shared
    assert shared is not None
    assert shared.paid_units == report.balances[shared.address] > 0
    assert sum(shared.parts.values()) == shared.paid_units
    assert shared.parts["gil"] == shared.paid_units * 7_000 // 10_000
    assert demo.stack.chain.balance_of(demo.token, shared.address) == 0


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


def contracts_of(report: DemoReport, operator: str) -> list[ContractResult]:
    return [one for one in report.contracts if one.operator == operator]


def test_all_four_motions_earn_and_add_up_to_the_contracts(report: DemoReport) -> None:
    assert report.motions == FIGURES.motions
    results = report.motions.values()
    assert sum(one.outcomes for one in results) == sum(one.outcomes for one in report.contracts)
    earned = sum(one.earned_units - one.reversed_units for one in results)
    assert earned == sum(one.paid_units for one in report.contracts)


def test_customers_who_come_by_a_code_are_paid_for(demo: Demo, report: DemoReport) -> None:
    bought = [event.lead for _, day in islice(cdnow.read_purchases(), DAYS) for event in day]
    brought = {lead for lead in bought if int(lead[-4:]) % cdnow.COMES_EVERY == cdnow.COMES_REST}
    work = report.work
    assert work is not None
    assert work.arrived == len(brought) > 50
    bringing = next(one for one in contracts_of(report, "gil") if one.outcome == "buyer")
    assert bringing.outcomes == work.arrived
    assert bringing.paid_units == work.arrived * 500_000
    assert report.motions["acquisition"].earned_units == bringing.paid_units
    # The log names who brought a lead, and the owner sees each click.
    (code,) = demo.owner.pages(f"/v1/surfaces/{demo.surface}/codes", "codes")
    assert (code["clicks"], code["repeats"], code["ref"]) == (work.arrived, 0, None)
    entries = [record.entry for record in demo.stack.records(0, report.entries)]
    gil = address_word(demo.operators["gil"].address)
    registered = [one for one in entries if one.kind == "lead.registered"]
    assert sum(one.actor == gil for one in registered) == work.arrived
    assert all(one.value == code["position"] for one in registered if one.actor == gil)


def test_gifts_are_requested_by_webhook_and_count_unless_they_came_back(
    demo: Demo, report: DemoReport
) -> None:
    work = report.work
    assert work is not None
    assert work == FIGURES.work
    owner, path = demo.owner, f"/v1/surfaces/{demo.surface}"
    actions = list(owner.pages(f"{path}/actions", "actions"))
    for one in actions:
        came_back = int(one["external_id"][-4:]) % cdnow.RETURNED_EVERY == 0
        assert (one["state"], one["reason"]) == (
            ("failed", "came_back") if came_back else (one["state"], None)
        )
        # What was carried out is a touch of the time of its request.
        if one["state"] == "done":
            (touch,) = demo.stack.log.entries(one["touch"], 1)
            assert touch.entry.kind == "touch.reported"
            assert touch.entry.time_ms == one["requested_ms"]
    (answered,) = owner.get(f"{path}/answers")["actions"]
    assert answered == {
        "action": "gift",
        "requested": work.requested,
        "answered": work.taken,
        "failed": work.failed,
        "expired": 0,
        "median_ms": 0,
    }
    (paid,) = [one for one in contracts_of(report, "hana") if one.outcome == "regular"]
    assert (paid.outcomes, paid.paid_units) == FIGURES.gifts
    assert paid.paid_units == (paid.outcomes - paid.reversals) * 3_000_000


def test_an_endpoint_that_was_down_for_a_day_gets_all_that_it_missed(
    demo: Demo, report: DemoReport
) -> None:
    work = report.work
    assert work is not None
    (webhook,) = demo.owner.get("/v1/webhooks")["webhooks"]
    assert (webhook["waiting"], webhook["dead"], webhook["failing_since_ms"]) == (0, 0, None)
    path = f"/v1/webhooks/{webhook['webhook']}/deliveries"
    sent = demo.owner.get(path)["deliveries"]
    assert len(sent) == work.requested
    assert {one["state"] for one in sent} == {"delivered"}
    late = [one for one in sent if one["tried_ms"] - one["created_ms"] > DAY_MS // 2]
    assert work.missed == len(late) > 0
    # At midnight and at three later hours it was down.
    assert max(one["tries"] for one in late) == 5
    assert all(one["tries"] == 1 for one in sent if one not in late)


def test_two_operators_have_both_places_of_the_standing_offer(
    demo: Demo, report: DemoReport
) -> None:
    (offer,) = demo.owner.get(f"/v1/surfaces/{demo.surface}/offers")["offers"]
    assert (offer["status"], offer["places"], offer["places_left"]) == ("ended", 2, 0)
    found = {one.operator: one for one in report.contracts if one.outcome == "repeat_buyer"}
    assert [
        (found[name].outcomes, found[name].paid_units) for name in ("gil", "hana")
    ] == FIGURES.offer
    assert {found[name].budget_units for name in ("gil", "hana")} == {20_000_000}


def test_a_counter_offer_is_answered_by_the_next_version(demo: Demo, report: DemoReport) -> None:
    bargain = report.bargain
    assert bargain is not None
    operator = demo.operators["bo"]
    asked = operator.get(f"/v1/proposals/{to_hex(bargain.asked_id)}")
    agreed = operator.get(f"/v1/proposals/{to_hex(bargain.agreed_id)}")
    assert (asked["status"], agreed["status"]) == ("declined", "opened")
    assert asked["answered_by"] == to_hex(bargain.agreed_id)
    prices = [one["terms"]["unit_price_units"] for one in (asked, agreed)]
    assert prices == ["3000000", "1500000"]
    assert bargain[2:] == (3_000_000, 1_500_000)
    (paid,) = [one for one in report.contracts if one.contract_id == bargain.agreed_id]
    assert paid.paid_units == (paid.outcomes - paid.reversals) * 1_500_000


def test_levels_rise_from_nothing_and_the_stranger_finds_each(
    demo: Demo, report: DemoReport
) -> None:
    assert report.comparison is not None
    told = [(one.operator, one.what) for one in report.levels]
    # Those that a first judgement gave come in the order of their registration, by random ids.
    first = len(BY_CONTRACT)
    assert sorted(told[:first]) + told[first:] == FIGURES.levels
    wrong = [one._replace(level=one.level + 1) for one in report.comparison.levels]
    with pytest.raises(ReplayError, match="the replay gives"):
        demo._compare_levels(report.comparison._replace(levels=tuple(wrong)))


def test_one_forecasts_by_mcp_first(demo: Demo, report: DemoReport) -> None:
    forecaster = demo.operators[cdnow.FORECASTER]
    assert isinstance(forecaster, McpOperator)
    (result,) = forecaster.results
    assert result["status"] == "done"
    entries = [record.entry for record in demo.stack.records(0, report.entries)]
    made = [number for number, one in enumerate(entries) if one.kind == "forecast.made"]
    assert len(made) == report.forecasts > 1
    assert made[0] == result["first_position"] + result["count"] - 1
    (key,) = [one for one in forecaster.pages("/v1/keys", "keys") if one["parent"]]
    assert (key["scopes"], key["surfaces"]) == (["operator:forecast"], [demo.surface])


def test_an_erasure_takes_the_note_about_the_lead_and_no_other(
    demo: Demo, report: DemoReport
) -> None:
    work = report.work
    assert work is not None
    assert work.notes_left == work.notes - 1 > 0
    profile = demo.owner.get(f"/v1/operators/{demo.operators['ada'].address}/profile")
    assert profile["display_name"] == "Ada"
    assert report.reputation is not None
    assert profile["agent"]["agent_id"] == str(report.reputation.agent_id)


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
