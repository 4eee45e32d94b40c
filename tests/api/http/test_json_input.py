"""Hostile input: JSON with one meaning or none, its media type, and query parameters."""

import json

import httpx
import pytest

from api.http.json_input import MalformedError, parse_json
from tests.support.api_service import NDJSON, ApiService, event, problem_of, wallet


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "",
        "nul",
        "[1] [2]",
        '{"a": 1, "a": 2}',
        '{"a": {"b": 1, "b": 1}}',
        "1.0",
        "1e3",
        "-0.0",
        "NaN",
        "Infinity",
        "9223372036854775808",
        "-9223372036854775808",
        "9" * 5000,
        '"\\u0000"',
        '{"\\u0000": 1}',
        '["x\\u0000y"]',
        '"\\ud800"',
        '"\\udc00\\ud800"',
        '"\0"',
        '"a\nb"',
        "[" * 100_000,
        '{"a":' * 100_000,
    ],
)
def test_json_without_exactly_one_meaning_is_refused(text: str) -> None:
    with pytest.raises(MalformedError):
        parse_json(text.encode())


def test_bytes_that_are_no_text_are_refused() -> None:
    for data in (b'"\xff"', b'"\xed\xa0\x80"', b'\xff\xfe"\x00a\x00"\x00'):
        with pytest.raises(MalformedError):
            parse_json(data)


def test_json_that_means_something_is_read() -> None:
    text = '{"a": [1, -9223372036854775807, "\\u00e9\\ud83d\\ude00", null, true]}'
    assert parse_json(text.encode()) == {"a": [1, -(2**63) + 1, "é😀", None, True]}


def test_a_body_says_that_it_is_json(service: ApiService) -> None:
    body = json.dumps({"address": wallet("x").address, "scopes": ["owner"]}).encode()
    path = "/v1/sign-in/nonce"
    for media_type in ("text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""):
        answer = service.http.post(path, content=body, headers={"Content-Type": media_type})
        problem_of(answer, 415, "media-type")
    charset = {"Content-Type": "Application/JSON; charset=utf-8"}
    assert service.http.post(path, content=body, headers=charset).status_code == 200


def test_a_malformed_body_is_refused_and_not_repeated(service: ApiService) -> None:
    headers = {"Content-Type": "application/json"}
    body = b'{"message": "hunter2", "signature": "0x00", "extra": "hunter2"}'
    answer = service.http.post("/v1/sign-in", content=body[:-1], headers=headers)
    problem_of(answer, 400, "json-malformed")
    answer = service.http.post("/v1/sign-in", content=body, headers=headers)
    problem_of(answer, 422, "invalid")
    assert "hunter2" not in answer.text


def test_a_query_has_known_parameters_once(service: ApiService) -> None:
    problem_of(service.http.get("/v1/log/entries?lmit=1"), 422, "query-invalid")
    problem_of(service.http.get("/v1/log/entries?limit=1&limit=2"), 422, "query-invalid")
    assert service.http.get("/v1/log/entries?limit=1").status_code == 200


def test_a_bulk_body_says_what_it_is(owner: httpx.Client) -> None:
    path = f"/v1/surfaces/0x{'00' * 32}/events/bulk"
    assert owner.post(path, json=event(id="x")).status_code == 415
    empty = owner.post(path, content=b"\n", headers=NDJSON)
    assert (empty.status_code, empty.json()["code"]) == (422, "lines-missing")
