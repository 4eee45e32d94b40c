"""Two operators who share one payee: they agree, terms name the split, and both are paid by it."""

import json
from pathlib import Path

from orchestrator.actions.contract_state import read_cautions
from orchestrator.core.deals.split import Agreement
from orchestrator.simulation.sandbox import address_of, key_of
from tests.support.market import BAD, DONE, NOTHING, PLAIN, PRICE_UNITS, Market

STRANGER = "0x00000000000000000000000000000000000000AA"


def test_operators_agree_on_a_split_and_both_are_paid(market: Market, tmp_path: Path) -> None:
    token = market.sandbox.token
    agreement = _agreed(market, tmp_path)
    split = agreement.address
    # Named before it is there: what is paid to it waits.
    contract_id = market.open("ada", payee=split, **PLAIN)
    market.advance_to(market.sandbox.clock() // 1000 + 3700)
    market.win("ada", "first")
    market.sandbox.settle("first")
    release = ("split release", split, "--token", token)
    market.refused(BAD, "there is no split at", *release, by="ada")
    paper = tmp_path / "signed.json"
    done = market.run("split deploy", str(paper), "--yes", "--json", by="stranger")
    assert done.code == DONE, done
    assert json.loads(done.stdout)["address"] == split
    assert market.chain.split_at(split, agreement.factory) == agreement.split
    again = json.loads(market.run("split deploy", str(paper), "--yes", "--json", by="bo").stdout)
    assert (again["transactions"], again["looked"][-1]) == ([], "it is on the chain already")
    # Who is asked for terms is told who shares.
    terms = market.chain.terms_of(contract_id)
    assert terms is not None
    (said,) = (one for one in read_cautions(market.chain, terms) if "split" in one)
    assert f"{address_of('ada')} gets 66.67 %" in said

    shown = json.loads(market.run("split show", split, "--token", token, "--json").stdout)
    due = {one["payee"]: int(one["due_units"]) for one in shown["shares"]}
    ada, bo = (address_of(name) for name in ("ada", "bo"))
    assert due == {ada: PRICE_UNITS * 6_667 // 10_000, bo: PRICE_UNITS * 3_333 // 10_000}
    before = {name: market.balance_of(name) for name in ("ada", "bo")}
    # One is paid by a stranger, the other sends its part elsewhere.
    done = market.run(*release, "--part-of", ada, "--yes", by="stranger")
    assert done.code == DONE, done
    market.refused(BAD, f"only {bo} can", *release, "--part-of", bo, "--to", STRANGER, by="ada")
    done = market.run(*release, "--part-of", bo, "--to", STRANGER, "--yes", by="bo")
    assert done.code == DONE, done
    assert market.balance_of("ada") - before["ada"] == due[ada]
    assert market.chain.balance_of(token, STRANGER) == due[bo]
    assert market.balance_of("bo") == before["bo"]
    assert market.chain.balance_of(token, split) == 0
    market.refused(NOTHING, "owes any of its payees nothing", *release, by="ada")

    market.win("ada", "second")
    market.sandbox.settle("second")
    market.refused(BAD, "is no payee", *release, "--part-of", STRANGER, by="ada")
    market.refused(BAD, "name one payee", *release, "--to", STRANGER, by="ada")
    assert market.run(*release, "--yes", by="ada").code == DONE
    assert market.balance_of("ada") - before["ada"] == 2 * due[ada]
    assert market.balance_of("bo") - before["bo"] == due[bo]


def _agreed(market: Market, folder: Path) -> Agreement:
    """Let both operators sign by the command line; return the agreement, kept in `signed.json`."""
    ada, bo = (address_of(name) for name in ("ada", "bo"))
    paper = folder / "signed.json"
    done = market.run("split propose", f"{bo}=33.33", f"{ada}=66.67 %")
    assert done.code == DONE, done
    assert "not signed yet by " in done.stderr
    paper.write_text(done.stdout)
    market.refused(
        BAD, "is no payee of this split", "split", "sign", str(paper), "--yes", by="arbiter"
    )
    for name in ("ada", "bo"):
        market.refused(
            NOTHING, "not signed yet by", "split", "deploy", str(paper), "--yes", by="stranger"
        )
        done = market.run("split sign", str(paper), "--yes", by=name)
        assert done.code == DONE, done
        paper.write_text(done.stdout)
    agreement = Agreement.from_json(json.loads(paper.read_text()))
    assert agreement.unsigned == []
    forged = agreement.signed(ada, agreement.signatures[bo])
    false = folder / "forged.json"
    false.write_text(json.dumps(forged.to_json()))
    market.refused(
        BAD, f"{ada} has not made the signature", "split", "deploy", str(false), "--yes", by="bo"
    )
    other = folder / "other.json"
    other.write_text(json.dumps(Agreement(1, agreement.factory, agreement.split, {}).to_json()))
    market.refused(BAD, "is about chain 1", "split", "sign", str(other), "--yes", by="ada")
    assert key_of("ada").hex() not in paper.read_text()
    return agreement
