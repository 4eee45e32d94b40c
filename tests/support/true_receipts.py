"""Receipts that hold, of each kind of entry that has one, with the terms that they are held to."""

import copy
import dataclasses
from functools import cache
from typing import Any

from orchestrator.core.common.keccak import to_checksum_address
from orchestrator.core.deals.terms import Terms
from orchestrator.core.decisions.decide import decide
from orchestrator.core.log.entry import address_word
from orchestrator.core.log.opening import Record
from orchestrator.core.world.contract import rules_of
from orchestrator.core.world.requests import (
    Arrival,
    IssueCode,
    OpenContract,
    ProductEvent,
    RecordPayout,
    Settle,
    Touch,
)
from tests.support.receipts import KINDS_WITH_RECEIPTS, receipt_of
from tests.support.terms import PLAIN
from tests.support.worlds import LEADS, OWNER, SURFACE, begin, policy, word

CONTRACT = word("contract")
GOVERNING = policy()
TERMS: Terms = dataclasses.replace(
    PLAIN,
    owner=to_checksum_address(f"0x{OWNER[12:].hex()}"),
    log_id=word("log"),
    surface=SURFACE,
    policy=GOVERNING.hash,
    outcome="paid",
    opens_at_s=0,
    deadline_s=100,
    attribution_window_s=10,
)
SHARED = dataclasses.replace(
    TERMS, unit_price_units=0, revenue_share_bps=1000, holdback_period_s=5, grace_s=10**6
)
TRIAL = dataclasses.replace(TERMS, outcome="trial")


@cache
def refunded() -> list[Record]:
    """A purchase of 500 by order, for a tenth of it, of which 100 and then 40 are given back."""
    world, records = begin(GOVERNING)
    rules = rules_of(SHARED, CONTRACT)
    order = word("order")
    for now_ms, request in (
        (1000, OpenContract(rules, word("transaction"))),
        (2000, Touch(SURFACE, LEADS[0], rules.operator, "email")),
        (2500, ProductEvent(SURFACE, LEADS[0], "signup", 0, 2500)),
        (3000, ProductEvent(SURFACE, LEADS[0], "buy", 500, 3000, order=order)),
        (3500, ProductEvent(SURFACE, LEADS[0], "refund", 100, 3500, order=order, whole=False)),
        (4000, ProductEvent(SURFACE, LEADS[0], "refund", 40, 4000, order=order, whole=False)),
        (4500, Settle()),
    ):
        records += decide(world, request, now_ms)
    return records


@cache
def paid() -> list[Record]:
    """A purchase that was paid, refunded in part, and stated and paid again."""
    world, records = begin(GOVERNING)
    rules = rules_of(SHARED, CONTRACT)
    order, payee = word("order"), address_word(SHARED.payee)
    for now_ms, request in (
        (1000, OpenContract(rules, word("transaction"))),
        (2000, Touch(SURFACE, LEADS[0], rules.operator, "email")),
        (2500, ProductEvent(SURFACE, LEADS[0], "signup", 0, 2500)),
        (3000, ProductEvent(SURFACE, LEADS[0], "buy", 500, 3000, order=order)),
        (3500, ProductEvent(SURFACE, LEADS[0], "refund", 100, 3500, order=order, whole=False)),
        (4500, Settle()),
        (5000, RecordPayout(CONTRACT, payee, "paid", 40, word("payout"))),
    ):
        records += decide(world, request, now_ms)
    return records


@cache
def clicked() -> list[Record]:
    """A lead that came by a code, and signed up with that."""
    world, records = begin(GOVERNING)
    rules = rules_of(TRIAL, CONTRACT)
    code, asked = word("code"), (word("request"), word("commitment"))
    for now_ms, request in (
        (1000, OpenContract(rules, word("transaction"))),
        (2000, IssueCode(SURFACE, code, rules.operator, 2, 50_000, *asked)),
        (4000, Arrival(SURFACE, LEADS[0], code, False, False, "signup", 0, 3000, *asked)),
    ):
        records += decide(world, request, now_ms)
    return records


def true_receipts() -> list[tuple[dict[str, Any], Terms]]:
    """Return receipts with their terms: of each kind, of a second refund, of a click."""
    found = [(receipt_of(paid(), CONTRACT, kind), SHARED) for kind in KINDS_WITH_RECEIPTS]
    found.append((receipt_of(refunded(), CONTRACT, "outcome.reversed"), SHARED))
    found.append((receipt_of(clicked(), CONTRACT, outcome="trial"), TRIAL))
    return copy.deepcopy(found)
