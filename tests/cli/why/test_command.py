"""`tallystick why`: what a subject stands for, and the answer as text and as JSON."""

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from orchestrator.cli.main import app
from orchestrator.cli.why import command
from orchestrator.cli.why.command import parse_question
from orchestrator.core.common.errors import InputError, WhyError
from orchestrator.core.why.reason import Code, Reason
from orchestrator.core.world.requests import Erasure, Settle
from tests.support.api_service import ApiService, wallet
from tests.support.settled_contract import SettledContract
from tests.support.why_market import (
    SIGNUP,
    SmallLog,
    deal,
    reported,
    touched,
)
from tests.support.worlds import LEADS, OWNER, SURFACE, word

ADDRESS = "0x" + "11" * 20


@pytest.fixture(scope="module")
def settled(service: ApiService) -> SettledContract:
    owner = service.sign_in(wallet("owner"), "owner")
    return SettledContract(service, owner, service.sign_in(wallet("operator"), "operator"))


def why(service: ApiService, *arguments: str) -> Any:
    """Return the JSON that the command prints, as of the log's own day."""
    found = CliRunner().invoke(
        app,
        ["why", *arguments, "--api", service.url, "--at", "2026-01-01", "--json"],
        catch_exceptions=False,
    )
    assert found.exit_code == 0, found.output
    return json.loads(found.stdout)


def test_every_subject_is_answered_over_http(service: ApiService, settled: SettledContract) -> None:
    touch = settled.position_of("touch")
    assert why(service, str(touch))["code"] == "touch-won"
    assert why(service, str(settled.position_of("outcome")))["code"] == "outcome-pays"
    assert why(service, settled.hex_id)["code"] == "contract"
    assert why(service, "0x" + settled.decoded[touch].subject.hex())["code"] == "lead"
    operator = wallet("operator").address
    for surface in (settled.surface, "settled"):
        assert why(service, operator, "--surface", surface)["code"] == "level"


def test_it_answers_for_now_by_the_services_clock(
    service: ApiService, settled: SettledContract, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def answered(source: Any) -> Reason:
        asked.append(source.now_ms)
        return Reason(Code.LEVEL, "a level")

    monkeypatch.setattr(command, "parse_question", lambda *_: answered)
    for more in ([], ["--at", "2026-01-01"]):
        arguments = ["why", "1", "--api", service.url, "--json", *more]
        assert CliRunner().invoke(app, arguments, catch_exceptions=False).exit_code == 0
    assert 0 <= asked[0] - service.clock() < 60_000
    assert asked[1:] == [1_767_225_600_000]


def test_an_answer_is_printed_as_lines(service: ApiService, settled: SettledContract) -> None:
    position = settled.position_of("outcome")
    arguments = ["why", str(position), "--api", service.url, "--at", "2026-01-01"]
    found = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert found.exit_code == 0
    first, *rest = found.stdout.splitlines()
    assert first.startswith(f"outcome {position} of contract 0x")
    assert all(line.lstrip().startswith("- ") for line in rest)
    assert any("10 % of 29.90 TUSD" in line for line in rest)


# --- What a subject stands for --------------------------------------------------------------------


def asked(log: SmallLog, subject: str, surface: str | None = None) -> Reason:
    return parse_question(subject, surface)(log.source)


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("touch", Code.TOUCH_WON),
        ("outcome", Code.OUTCOME_PAYS),
        ("outcome.reversed", Code.OUTCOME_PAYS),
        ("lead.transition", Code.TRANSITION_UNPAID),
        ("lead.refused", Code.TRANSITION_REFUSED),
        ("product.event", Code.EVENT_TOOK),
        ("erasure", Code.LEAD),
        ("lead.registered", Code.LEAD),
        ("settlement", Code.CONTRACT),
        ("contract.opened", Code.CONTRACT),
        ("trust.changed", Code.LEVEL),
    ],
)
def test_an_entry_is_answered_by_its_kind(kind: str, code: Code) -> None:
    steps = [touched(500), SIGNUP, reported(1500, "signup"), reported(2000)]
    steps += [reported(2500, "refund"), (2600, Settle()), (2700, Erasure(SURFACE, LEADS[0], OWNER))]
    log = SmallLog([deal(holdback_period_ms=5000)], *steps)
    assert asked(log, str(log.position(kind))).code is code


def test_a_word_is_a_contract_or_a_lead() -> None:
    log = SmallLog([deal()], SIGNUP)
    assert asked(log, "0x" + word("ann").hex()).code is Code.CONTRACT
    assert asked(log, "0x" + LEADS[0].hex()).code is Code.LEAD
    with pytest.raises(WhyError) as caught:
        asked(log, "0x" + "ab" * 32)
    assert caught.value.code == "subject-unknown"


def test_an_address_is_an_operator_on_a_surface() -> None:
    log = SmallLog([deal()])
    assert asked(log, ADDRESS, f"0x{SURFACE.hex()}").code is Code.LEVEL


@pytest.mark.parametrize(
    ("subject", "code"),
    [("lead", "subject-malformed"), ("-1", "subject-malformed"), (ADDRESS, "surface-missing")],
)
def test_what_stands_for_nothing_is_refused(subject: str, code: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_question(subject, None)
    assert caught.value.code == code


def test_entries_without_an_answer_are_refused() -> None:
    with pytest.raises(WhyError) as caught:
        asked(SmallLog([deal()]), "0")
    assert caught.value.code == "no-answer"
