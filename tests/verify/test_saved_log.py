"""A saved log says what its server said, and what was not finished is no log."""

import math
from pathlib import Path
from typing import Any

import pytest

from orchestrator.client.http import Client
from orchestrator.client.log_server import served_policy, served_records, served_settings
from orchestrator.core.common.errors import InputError, ReplayError, ServerError
from orchestrator.verify.saved_log import SavedLog, save_log
from tests.support.http_server import Request, serving_json
from tests.support.public_log import POLICY, SETTINGS, PublicServer, public_records


def test_a_saved_log_answers_as_its_server(tmp_path: Path) -> None:
    records = public_records()
    server = PublicServer(records)

    def answer(request: Request) -> object:
        return {"log_id": "0x"} if request.path == "/v1/log" else server.answer(request)

    told: list[tuple[int, int]] = []
    with serving_json(answer) as url, Client(url) as client:
        assert save_log(client, tmp_path, lambda *one: told.append(one)) == len(records)
    assert told == [(len(records), len(records))]
    saved = SavedLog(tmp_path)
    assert list(served_records(saved, 0, 10_000)) == records
    assert list(served_records(saved, 3, 5)) == records[3:5]
    assert saved.get("/v1/log/checkpoint")["size"] == len(records)
    assert served_policy(saved, POLICY.hash) == POLICY
    assert served_settings(saved, SETTINGS.hash) == SETTINGS
    with pytest.raises(ServerError, match="cannot be read as saved"):
        saved.get("/v1/operators")


def saved(server: PublicServer, folder: Path, documents: Any, most: float = math.inf) -> None:
    """Save what a server has, with this in place of each document."""

    def answer(request: Request) -> object:
        if request.path == "/v1/log":
            return {}
        is_document = request.path.startswith(("/v1/policies/", "/v1/settings/"))
        return documents if is_document and documents else server.answer(request)

    with serving_json(answer) as url, Client(url) as client:
        save_log(client, folder, most=most)


@pytest.mark.parametrize("document", [{"document": {}}, {"document": "x" * 1_000_000}])
def test_no_other_document_than_is_named_comes_to_the_disk(tmp_path: Path, document: Any) -> None:
    with pytest.raises(ReplayError, match="another document for policy"):
        saved(PublicServer(public_records()), tmp_path, document)
    assert not list(tmp_path.iterdir())


def test_a_log_without_end_is_not_saved(tmp_path: Path) -> None:
    server = PublicServer(public_records())
    saved(server, tmp_path / "all", None, len(public_records()))
    server.size = 10**15
    with pytest.raises(ServerError, match="has 1000000000000000 entries by now") as refused:
        saved(server, tmp_path, None, len(public_records()))
    assert refused.value.code == "log-ahead"
    assert [one.name for one in tmp_path.iterdir()] == ["all"]


def test_a_folder_that_was_not_finished_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="replay --save") as refused:
        SavedLog(tmp_path)
    assert refused.value.code == "copy-unfinished"
