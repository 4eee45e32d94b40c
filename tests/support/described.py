"""Answers held to the description: no error has a code that its operation does not list."""

import re
from typing import Any, NamedTuple

import httpx

from api.http.problems import MEDIA_TYPE


class Operation(NamedTuple):
    """An operation, and the codes of its errors by status."""

    method: str
    path: re.Pattern[str]
    codes: dict[str, list[str]]


def check_described(description: Any, response: httpx.Response) -> None:
    """Raise AssertionError if an error of the API is none that its operation lists.

    What is not described, such as a path that is unknown, has no list.
    """
    if not response.headers.get("Content-Type", "").startswith(MEDIA_TYPE):
        return
    request, code = response.request, _code_of(response)
    for operation in _operations(description):
        if operation.method == request.method and operation.path.fullmatch(request.url.path):
            listed = operation.codes.get(str(response.status_code), [])
            told = f"{request.method} {request.url.path}: {response.status_code} {code}"
            assert code in listed, f"{told} is none of {operation.codes}"
            return


def _code_of(response: httpx.Response) -> str:
    response.read()
    code: str = response.json()["code"]
    return code


def _operations(description: Any) -> list[Operation]:
    """Return the operations of a description, those of the fewest parameters first."""
    paths = sorted(description["paths"].items(), key=lambda item: item[0].count("{"))
    return [
        Operation(method.upper(), _template(path), codes_of(operation))
        for path, item in paths
        for method, operation in item.items()
    ]


def _template(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(path)))


def codes_of(operation: dict[str, Any]) -> dict[str, list[str]]:
    """Return the codes that a described operation lists, by status."""
    return {
        status: answer["content"][MEDIA_TYPE]["schema"]["properties"]["code"]["enum"]
        for status, answer in operation["responses"].items()
        if status >= "400"
    }
