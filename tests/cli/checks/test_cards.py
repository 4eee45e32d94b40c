"""The command that checks agent cards: true ones pass, and every lie of a server has its name."""

import json
from typing import Any

import pytest

from orchestrator.cli.checks.cards import path_of
from orchestrator.core.account.agent_card import CardKey, CardSkill, card_of
from orchestrator.core.common.errors import InputError
from tests.support.http_server import Request, serving_json
from tests.support.market import BAD, DONE, FALSE, MISSING, Run

KEY, OTHER = (CardKey(bytes([n]) * 32, "https://growth.example/keys") for n in (5, 6))
CARD = KEY.sign(
    card_of(
        url="https://growth.example",
        provider="log.example",
        name="Growth",
        description="A service.",
        skills=[CardSkill("act", "Act", "Acts.", ("leads",))],
        record={"log": "0x12"},
        page="/v1/log",
    )
)
SURFACE = "0x" + 64 * "1"
OPERATOR = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"


def test_each_subject_has_its_path() -> None:
    assert path_of(None) == "/.well-known/agent-card.json"
    assert path_of(OPERATOR) == f"/v1/operators/{OPERATOR}/agent-card.json"
    assert path_of(SURFACE) == f"/v1/surfaces/{SURFACE}/agent-card.json"
    with pytest.raises(InputError):
        path_of("Harvest")


@pytest.mark.parametrize(
    ("card", "keys", "options", "code", "said"),
    [
        (CARD, [KEY.jwk], [], DONE, "taken on trust: the key"),
        (CARD, [OTHER.jwk, KEY.jwk], ["--kid", KEY.jwk["kid"]], DONE, ""),
        (CARD, [OTHER.jwk], [], FALSE, "is not signed by the key"),
        (CARD | {"name": "Other"}, [KEY.jwk], [], FALSE, "is not signed by the key"),
        (CARD, [KEY.jwk], ["--kid", OTHER.jwk["kid"]], FALSE, "does not name the key"),
        (CARD, [KEY.jwk, OTHER.jwk], [], FALSE, "does not name one key"),
        (CARD, [], [], FALSE, "does not name one key"),
        (CARD, [OTHER.jwk | {"kid": KEY.jwk["kid"]}], [], FALSE, "is another"),
        (CARD, [{"kid": "x"}], [], MISSING, "does not say which keys"),
        (CARD, [KEY.jwk], ["0x12"], BAD, "is neither a surface's id nor"),
        (CARD, [KEY.jwk], ["Trial"], DONE, "taken on trust: the key"),
        (CARD, [KEY.jwk], ["Harvest"], BAD, "no surface is named 'Harvest'; there are: Trial"),
    ],
)
def test_a_card_is_printed_if_its_signature_holds(
    run: Run, card: dict[str, Any], keys: list[Any], options: list[str], code: int, said: str
) -> None:
    def answer(request: Request) -> object:
        if request.path == "/v1/surfaces":
            return {"surfaces": [{"surface": SURFACE, "name": "Trial"}], "next": None}
        return card if request.path.endswith("agent-card.json") else {"keys": keys}

    with serving_json(answer) as url:
        done = run(["card", *options, "--api", url, "--json"], "")
    assert done.code == code, done
    assert said in done.stderr
    if code == DONE:
        assert json.loads(done.stdout) == card
