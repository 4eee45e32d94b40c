"""The client of a board, against a running service, and against a server that lies."""

import pytest

from orchestrator.client.accounts import DelegateClient, OperatorClient, wallet
from orchestrator.client.boards import Board
from orchestrator.core.common.errors import ServerError
from tests.support.api_service import ApiService, open_surface
from tests.support.api_service import wallet as account
from tests.support.http_server import serving_json


def delegates_key(service: ApiService, key: bytes) -> str:
    body = {"name": "two", "scopes": ["operator:coordinate"]}
    made = service.sign_in(wallet(key), "operator").post("/v1/keys", json=body)
    return str(made.json()["key"])


def test_a_wallet_and_its_delegate_share_a_board(service: ApiService) -> None:
    surface = open_surface(service.sign_in(account("owner"), "owner"), "shared")
    key = b"\2" * 32
    with (
        OperatorClient(service.url, wallet(key), "one") as one,
        DelegateClient(service.url, delegates_key(service, key)) as two,
    ):
        mine, yours = Board(one, surface), Board(two, surface)
        lease = mine.take("a", 60)
        assert lease is not None
        assert yours.take("a", 60) is None
        assert mine.renew(lease, 120).expires_ms == lease.expires_ms + 60_000
        mine.hand_over(lease, "two", {"done": "half"})
        (told,), cursor = yours.messages()
        assert (told["kind"], told["item"], told["body"]) == ("handover", "a", {"done": "half"})
        with pytest.raises(ServerError, match="Lease lost"):
            mine.renew(lease, 60)
        mine.release(lease)
        yours.send("result", "a", {"paid": True})
        (said,), _ = mine.messages(cursor, wait_s=5)
        assert (said["kind"], said["body"]) == ("result", {"paid": True})
        with pytest.raises(ServerError, match="board"):
            Board(one, "0x" + "31" * 32).take("a", 60)


@pytest.mark.parametrize("lie", [{}, [], {"cursor": 1, "messages": []}, {"cursor": 9}])
def test_a_server_that_says_something_else_is_not_believed(lie: object) -> None:
    with serving_json(lambda _: lie) as url, OperatorClient(url, wallet(b"\2" * 32), "x") as client:
        board = Board(client, "0x" + "31" * 32)
        with pytest.raises(ServerError, match="does not say"):
            board.messages(after=5)
