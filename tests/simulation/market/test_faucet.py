"""The faucet: bounded for each account and in all, counted before it gives, and after a restart."""

from pathlib import Path

import pytest

from api.http.problems import Refusal
from orchestrator.core.common.errors import ChainError
from orchestrator.simulation.market import faucet as module
from orchestrator.simulation.market.faucet import GRANTS, Faucet

TOKEN, ANN, BEN = ("0x" + digit * 40 for digit in "789")


def test_an_account_is_given_so_much_also_after_a_restart(tmp_path: Path) -> None:
    given: list[tuple[str, int, int]] = []

    def faucet() -> Faucet:
        return Faucet(tmp_path / "faucet", TOKEN, lambda *what: given.append(what))

    lefts = [faucet().grant(ANN, 5).left for _ in range(GRANTS)]
    assert lefts == [*range(GRANTS)][::-1]
    with pytest.raises(Refusal) as refused:
        faucet().grant(ANN, 5)
    assert (refused.value.code, refused.value.status_code) == ("faucet-dry", 429)
    assert faucet().grant(BEN, 6).units == "6"
    assert given == [(ANN, 5, module.GAS_WEI)] * GRANTS + [(BEN, 6, module.GAS_WEI)]


def test_all_accounts_together_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_GRANTS", 1)
    faucet = Faucet(tmp_path / "faucet", TOKEN, lambda *_: None)
    faucet.grant(ANN, 1)
    with pytest.raises(Refusal, match="all accounts 1 times, of 1"):
        faucet.grant(BEN, 1)


def test_what_fails_is_counted(tmp_path: Path) -> None:
    def fail(*_: object) -> None:
        raise ChainError("node-away", "no node")

    faucet = Faucet(tmp_path / "faucet", TOKEN, fail)
    for _ in range(GRANTS):
        with pytest.raises(ChainError):
            faucet.grant(ANN, 1)
    with pytest.raises(Refusal):
        faucet.grant(ANN, 1)
