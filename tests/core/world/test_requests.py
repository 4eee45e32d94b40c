"""Requests: each field has a form, each has a decider, and those of a replay are in no inbox."""

from typing import get_args

import pytest

from orchestrator.core.common.errors import RequestError
from orchestrator.core.decisions import decide
from orchestrator.core.world import requests
from orchestrator.core.world.codec import decode_request, encode_request
from orchestrator.core.world.requests import OfEntries, Request, Settle
from tests.support.worlds import word

OF_A_REPLAY = get_args(OfEntries)


def test_each_has_a_decider() -> None:
    assert set(decide._DECIDE) == {*get_args(Request), *OF_A_REPLAY}


def test_those_of_a_replay_have_no_stored_form() -> None:
    assert not {*OF_A_REPLAY} & {*get_args(Request)}
    for name in ("register_lead", "apply_step", "report_touch", "request_action", "issue_code"):
        with pytest.raises(RequestError) as refused:
            decode_request(name, {})
        assert refused.value.code == "request-malformed"


def test_the_name_in_the_inbox_is_the_class_in_snake_case() -> None:
    assert encode_request(Settle()) == ("settle", {})
    closing = requests.CloseContract(word("a"), 7, word("transaction"))
    assert encode_request(closing)[0] == "close_contract"
