"""A stranger's replay through a server: its statements, its bounds, and what is due to whom."""

import dataclasses
from collections.abc import Callable
from typing import cast

import pytest

from orchestrator.chain.deployment import Chain
from orchestrator.client.http import Client
from orchestrator.core.errors import DomainError
from orchestrator.core.escrow_model import fee_of_payment
from orchestrator.verify.comparison import (
    MAX_UNANCHORED,
    Comparison,
    ContractComparison,
    statement,
)
from orchestrator.verify.recount import Totals
from tests.support.http_server import serving_json
from tests.support.public_log import (
    CONTRACT_ID,
    LOG_ID,
    TERMS,
    PublicChain,
    PublicServer,
    public_records,
)
from tests.support.terms import ARBITER, FEES
from tests.support.worlds import word

RECORDS = public_records()
(SETTLEMENT,) = (n for n, record in enumerate(RECORDS) if record.entry.kind == "settlement")


def stated(server: PublicServer, chain: PublicChain, position: int = SETTLEMENT) -> Totals:
    with serving_json(server.answer) as url, Client(url) as client:
        return statement(client, cast(Chain, chain), LOG_ID, CONTRACT_ID, position)


@pytest.mark.parametrize("anchored", [0, 5, len(RECORDS)])
def test_a_statement_is_what_the_whole_log_gives(anchored: int) -> None:
    totals = stated(PublicServer(RECORDS), PublicChain(RECORDS, anchored))
    assert totals == Totals(8_000_000, 0)


def change_entry(server: PublicServer) -> None:
    """Change the last digit of the price that the outcome is of, and the root with it."""
    item = next(item for item in server.items if item["position"] == SETTLEMENT - 1)
    item["entry"] = item["entry"][:385] + "7" + item["entry"][386:]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda server: setattr(server, "size", 5 + MAX_UNANCHORED + 1), "log-ahead"),
        (lambda server: setattr(server, "size", len(RECORDS) + 1), "entries-short"),
        (lambda server: setattr(server, "root", word("root")), "root-differs"),
        (lambda server: setattr(server, "size", "many"), "answer-garbled"),
        (change_entry, "entry-differs"),
    ],
)
def test_a_server_that_lies_beyond_the_anchor_is_found_out(
    change: Callable[[PublicServer], None], code: str
) -> None:
    server = PublicServer(RECORDS)
    change(server)
    with pytest.raises(DomainError) as refused:
        stated(server, PublicChain(RECORDS, 5))
    assert refused.value.code == code


def test_an_entry_that_is_no_statement_about_the_contract_is_refused() -> None:
    with pytest.raises(DomainError) as refused:
        stated(PublicServer(RECORDS), PublicChain(RECORDS), SETTLEMENT - 1)
    assert refused.value.code == "statement-missing"


def test_what_is_due_is_paid_less_the_fee_that_the_escrow_takes() -> None:
    """Fees round down over each contract's whole sum; payees and fee recipients may coincide."""
    plain = ContractComparison(CONTRACT_ID, TERMS, 1, 10, 10, 0, "open", is_ruled=False)
    terms = dataclasses.replace(TERMS, fee_bps=2_500, fee_recipient=FEES)
    with_fee = plain._replace(terms=terms, paid_units=11)
    own = dataclasses.replace(terms, payee=FEES, fee_recipient=ARBITER)
    found = Comparison(9, 9, None, [plain, with_fee, with_fee._replace(terms=own, paid_units=5)])
    assert [one.fee_units for one in found.contracts] == [0, 2, 1]
    assert with_fee.fee_units == fee_of_payment(0, 4, 2_500) + fee_of_payment(4, 11, 2_500)
    assert found.due_units() == {TERMS.payee: 10 + 9, FEES: 2 + 4, ARBITER: 1}
