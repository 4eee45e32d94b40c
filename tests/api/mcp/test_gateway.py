"""The gateway asks the application itself, as the caller and from its address."""

import json

import anyio
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from api.mcp.gateway import Answer, Gateway, Origin


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    request = Request(scope, receive)
    if request.url.path == "/none":
        await Response(status_code=204)(scope, receive, send)
        return
    body = await request.body()
    told = {
        "method": request.method,
        "path": request.url.path,
        "query": dict(request.query_params),
        "headers": dict(request.headers),
        "body": [json.loads(line) for line in body.splitlines()],
        "client": list(scope["client"]),
    }
    await JSONResponse(told, 418)(scope, receive, send)


def test_a_call_carries_key_address_and_intent() -> None:
    async def ask() -> tuple[Answer, Answer]:
        gateway = Gateway(echo)
        origin = Origin("Bearer tsk_x", ("192.0.2.7", 5))
        told = await gateway.ask(
            origin, "PUT", "/a%2Fb", query={"q": "é &"}, body={"n": 1}, idempotency_key="grow"
        )
        lines = await gateway.ask(origin, "POST", "/", body=["a\nb", 2])
        assert lines.body["body"] == ["a\nb", 2]
        assert lines.body["headers"]["content-type"] == "application/x-ndjson"
        return told, await gateway.ask(Origin("", ("::1", 0)), "GET", "/none")

    told, none = anyio.run(ask)
    assert (told.status, told.is_success) == (418, False)
    assert told.body["method"] == "PUT"
    assert told.body["path"] == "/a/b"
    assert told.body["query"] == {"q": "é &"}
    assert told.body["body"] == [{"n": 1}]
    assert told.body["client"] == ["192.0.2.7", 5]
    headers = told.body["headers"]
    assert headers["authorization"] == "Bearer tsk_x"
    assert headers["idempotency-key"] == "grow"
    assert headers["prefer"] == "wait=10"
    assert (none.status, none.body, none.is_success) == (204, None, True)
