"""Requests: each field has a form, each has a decider, and those of a replay are in no inbox."""

from typing import get_args

import pytest

from orchestrator.core import decide, requests
from orchestrator.core.codec import decode_request, encode_request
from orchestrator.core.errors import RequestError
from orchestrator.core.opening import EventOpening
from orchestrator.core.requests import ApplyStep, RegisterLead, ReportedEvent, Request, Settle
from tests.support.worlds import LEADS, SURFACE, word

OF_A_REPLAY = (RegisterLead, ApplyStep)


def test_each_has_a_decider() -> None:
    assert set(decide._DECIDE) == {*get_args(Request), *OF_A_REPLAY}


def test_those_of_a_replay_have_no_stored_form() -> None:
    assert not {*OF_A_REPLAY} & {*get_args(Request)}
    for name in ("register_lead", "apply_step"):
        with pytest.raises(RequestError) as refused:
            decode_request(name, {})
        assert refused.value.code == "request-malformed"


def test_the_name_in_the_inbox_is_the_class_in_snake_case() -> None:
    assert encode_request(Settle()) == ("settle", {})
    closing = requests.CloseContract(word("a"), 7, word("transaction"))
    assert encode_request(closing)[0] == "close_contract"


def test_an_event_says_what_its_entry_commits_to() -> None:
    reported = ReportedEvent(SURFACE, LEADS[0], 5, 6, word("request"), word("body"), 7)
    assert reported.opening("trial", 2) == EventOpening(
        "trial", 2, 7, word("request"), word("body")
    )
