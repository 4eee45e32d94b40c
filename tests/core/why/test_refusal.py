"""The reasons of refusals: every rule of the log that refuses has its words."""

import ast
from pathlib import Path

import pytest

from orchestrator.core.why.reason import Code
from orchestrator.core.why.refusal import RULES, Decided, why_request
from orchestrator.core.world.requests import RETRYABLE

DECISIONS = Path(__file__).parents[3] / "orchestrator/core/decisions"


def refused(code: str) -> Decided:
    return Decided("touch", "refused", None, 0, code, "operator 0xaa has level 0")


def raised_codes(*modules: str) -> set[str]:
    """Return the codes of the RequestErrors that these modules raise."""
    found = set()
    for module in modules:
        for node in ast.walk(ast.parse((DECISIONS / f"{module}.py").read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "RequestError":
                assert isinstance(node.args[0], ast.Constant)
                found.add(str(node.args[0].value))
    return found


def test_every_rule_that_the_log_refuses_by_has_its_words() -> None:
    assert raised_codes("decide", "acts", "codes", "writer") <= RULES.keys()
    assert RULES.keys() >= RETRYABLE


@pytest.mark.parametrize("code", sorted(RULES))
def test_a_refusal_names_rule_numbers_and_remedy(code: str) -> None:
    answer = why_request(refused(code))
    assert answer.code is Code.REQUEST_REFUSED
    assert answer.find(Code.RULE).text == f"{RULES[code].text}: operator 0xaa has level 0"
    assert answer.find(Code.REMEDY).text == RULES[code].remedy
    assert (Code.FINAL in answer.codes()) == (code not in RETRYABLE)


def test_a_refusal_by_a_rule_of_the_form_says_what_it_can() -> None:
    answer = why_request(refused("number-range"))
    assert [part.code for part in answer.parts] == [Code.RULE, Code.FINAL]


def test_a_request_that_waits_says_so() -> None:
    assert why_request(Decided("touch", "waiting", None, 0, None, None)).code is Code.REQUEST_WAITS


def test_a_request_that_is_done_names_its_entries() -> None:
    answer = why_request(Decided("product_event", "done", 7, 3, None, None))
    assert (answer.code, answer.positions) == (Code.REQUEST_DONE, (7, 8, 9))
    assert answer.text == "it was taken, and caused 3 entries from 7 on"
    many = why_request(Decided("settle", "done", 7, 10_000, None, None))
    assert len(many.positions) == 25


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("product_event", "names no such event"),
        ("judge_trust", "right already"),
        ("erasure", "knew nothing of the lead"),
        ("touch", "nothing to say to it"),
    ],
)
def test_a_request_that_wrote_nothing_says_why(kind: str, text: str) -> None:
    answer = why_request(Decided(kind, "done", 7, 0, None, None))
    assert answer.code is Code.REQUEST_IGNORED
    assert text in answer.text
