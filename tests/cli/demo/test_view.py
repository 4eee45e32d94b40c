"""The report of a demonstration, as text for people and as JSON."""

import io
import json
from dataclasses import replace

from rich.console import Console

from orchestrator.cli.demo.view import format_usage, print_report, report_to_json
from orchestrator.runtime.stack import SentTransaction
from orchestrator.simulation.demo import Bargain, ContractResult, DemoReport
from orchestrator.simulation.disputes import ClaimedOutcomes, Dispute
from orchestrator.simulation.forgery import Forgery, TamperedReceipt
from orchestrator.simulation.integrations import JobReport, ReputationRecord, SharedPay
from orchestrator.simulation.outcomes import MotionResult, PartialRefund
from orchestrator.simulation.work import Teamwork, Work
from orchestrator.verify.comparison import Comparison

ID = b"\x12" * 32
REPORT = DemoReport(
    contracts=[
        ContractResult(
            "ada", "bought", ID, 1_200, 30, 5_000_000, 60_000_000, 1_200_000, 90_000_000, 0
        )
    ],
    motions={"acquisition": MotionResult(1_100, 55_000_000, 30, 1_500_000)},
    bargain=Bargain(ID, b"\x34" * 32, 3_000_000, 1_500_000),
    work=Work(118, 190, 188, 19, 70, 8, 18, 17),
    teamwork=Teamwork("ada", 6, 3, 6),
    shared=SharedPay("0xsplit", 10_000_000, {"gil": 7_000_000, "hana": 3_000_000}, 9),
    events=2_000,
    touches=3_000,
    entries=5_500,
    rounds=18,
    transactions=[
        SentTransaction("publish:1", b"\1" * 32, 60_000),
        SentTransaction("settle:1", b"\2" * 32, 59_999),
        SentTransaction("dispute:1", b"\3" * 32, 10**9),
    ],
    balances={"0xada": 58_800_000},
    owner_refund_units=30_000_000,
    refund=PartialRefund(ID, 100_000_000, 5_000_000, 10_000_000, 500_000),
    dispute=Dispute(ID, 77, 9_000_000, 8_000_000, 50_000),
    claimed=ClaimedOutcomes(ID, 3, 6_000_000, 6_000_000, 40_000),
    forgery=Forgery(ID, "duplicate", (4, 9), 16_000_000, 0, 30_000, 400_000_000),
    job=JobReport(7, "0xeva", "0xbo", 1, 150_000_000, 20_000, position=88),
    reputation=ReputationRecord(5, "conversion", 60_000_000, 10_000),
    comparison=Comparison(5_500, 5_400, None, "0x12", []),
    receipt={"position": 42, "contract_id": "0x1234"},
    receipt_lines=["entry 42 is an outcome"],
    tampered=TamperedReceipt("one unit more", "the proof is wrong"),
    urls={"api": "http://api", "rpc": "http://rpc"},
)


def _printed(report: DemoReport, *, is_verbose: bool = True, width: int = 300) -> str:
    output = io.StringIO()
    print_report(report, Console(file=output, width=width), is_verbose=is_verbose)
    return output.getvalue()


def test_its_ending_is_on_one_screen() -> None:
    report = replace(REPORT, contracts=REPORT.contracts * 9)
    text = _printed(report, is_verbose=False, width=100)
    assert len(text.splitlines()) <= 30
    for part in ("What happened", "Who was paid", "What was proved", "What to do next"):
        assert part in text
    assert "a lie of 16.00 TEST stopped" in text
    assert "Two keys of ada shared 6 leads by leases; 3 were handed over, and 6 results" in text
    assert "of 10.00 TEST the chain paid gil 7.00, hana 3.00." in text
    assert "settle" not in text.split("What to do next")[0].replace("settled in", "")


def test_every_part_of_the_report_is_printed() -> None:
    text = _printed(REPORT)
    assert "ada bought 1,200 30 60.00 1.20 5.00" in " ".join(text.split())
    assert "acquisition 1,100 55.00 1.50" in " ".join(text.split())
    for part in (
        "2,000 purchases and returns and 3,000 touches became 5,500 log entries",
        "The owner got 30.00 TEST back.",
        "118 customers came by a code. 190 gifts were requested by webhook and 188 taken, 8 of ",
        "them a day late; 19 came back.",
        "5.00 of an order of 100.00 TEST was given back: of the 10.00 that it had earned, 0.50",
        " were taken back and 9.50 are left",
        "disputed a statement of 9.00 TEST; the arbiter replayed the log and ruled 8.00",
        "its operator proved 3 outcomes by the log and was paid 6.00 TEST (40,000 gas)",
        "stated 16.00 TEST; a stranger showed its entries 4 and 9: duplicate (30,000 gas); ",
        "0.00 was paid, 400.00 went back",
        "An ERC-8183 job of 150.00 TEST named the log as its evaluator: the statement at entry 88",
        "agent 5 was paid 60.00 TEST for conversion",
        "what 1 wallet holds is what the rules give and the job paid, to the last unit.",
        "  entry 42 is an outcome",
        "(one unit more): refused:\n    the proof is wrong",
    ):
        assert part in text


def test_the_gas_of_an_outcome_is_that_of_the_service_alone() -> None:
    """119,999 gas over 1,200 outcomes, rounded up; the dispute's is not in it."""
    assert "cost 100 gas for each of 1,200 outcomes" in _printed(REPORT)


def test_parts_that_did_not_happen_are_left_out() -> None:
    text = _printed(DemoReport())
    for part in (
        "disputed",
        "never stated",
        "lied",
        "ERC-",
        "Replayed",
        "tampered",
        "gas for each",
    ):
        assert part not in text


def test_json_has_ids_in_hex_and_amounts_as_text() -> None:
    document = report_to_json(REPORT)
    assert json.loads(json.dumps(document))["receipt"] == REPORT.receipt
    assert document["contracts"][0]["contract_id"] == "0x" + "12" * 32
    assert document["contracts"][0]["over_budget_units"] == "5000000"
    assert document["dispute"] == {
        "contract_id": "0x" + "12" * 32,
        "position": 77,
        "stated_units": "9000000",
        "ruled_units": "8000000",
        "gas_used": 50_000,
    }
    assert document["motions"]["acquisition"] == {
        "outcomes": 1_100,
        "earned_units": "55000000",
        "reversals": 30,
        "reversed_units": "1500000",
    }
    assert document["bargain"]["agreed_id"] == "0x" + "34" * 32
    assert document["work"]["notes_left"] == 17
    assert document["transactions"][0] == {
        "intent": "publish:1",
        "hash": "0x" + "01" * 32,
        "gas": 60_000,
    }
    assert document["balances"] == {"0xada": "58800000"}
    assert report_to_json(DemoReport())["fraud"] is None


def test_the_printed_commands_name_the_servers_that_are_up() -> None:
    usage = format_usage(REPORT)
    assert " replay --api http://api --rpc http://rpc\n" in usage
    assert "curl -s http://api/v1/receipts/42 > receipt.json\n" in usage
    assert " contract 0x1234 --api http://api --rpc http://rpc\n" in usage
    assert " contract ID " in format_usage(DemoReport(urls=REPORT.urls))
