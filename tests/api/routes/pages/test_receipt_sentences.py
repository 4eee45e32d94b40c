"""The sentences of a receipt's page: each role says what its entry has, and no more."""

from collections.abc import Callable

import pytest

from api.routes.pages.receipt_sentences import Told, money, sentence, summary
from orchestrator.core.deals.site import TokenInfo
from orchestrator.core.entries.kinds import ROLES
from orchestrator.core.entries.receipt import Proven, parse
from orchestrator.core.log.entry import Entry, address_word
from orchestrator.core.log.opening import EventOpening
from orchestrator.core.world.contract import rules_of
from tests.support.anchors import checkpoints_beyond, note_anchor
from tests.support.api_service import TOKEN, VERIFIER, ApiService, wallet
from tests.support.receipts import KINDS_WITH_RECEIPTS
from tests.support.settled_contract import OPERATOR, SettledContract

TUSD = TokenInfo(TOKEN, "TUSD", 6)
OTHER = wallet("other").address


def short(address: str) -> str:
    return f"<code>{address[:6]}…{address[-4:]}</code>"


@pytest.fixture(scope="module")
def told(service: ApiService, settled: SettledContract) -> dict[str, Told]:
    """The receipts of a settled contract, by the kinds of their entries."""
    note_anchor(service, 0, checkpoints_beyond(service, settled.position_of("payout"))[-1])
    rules = rules_of(settled.terms, settled.digest)
    documents = {
        kind: service.get(f"/v1/receipts/{settled.position_of(kind)}")
        for kind in KINDS_WITH_RECEIPTS
    }
    return {
        kind: Told(parse(document), rules, "Shop <1>", TUSD) for kind, document in documents.items()
    }


def changed(told: Told, role: str, change: Callable[[Proven], Proven]) -> Told:
    """Return a receipt of which one entry was changed."""
    entries = {**told.receipt.entries}
    entries[role] = change(entries[role])
    return told._replace(receipt=told.receipt._replace(entries=entries))


def with_entry(told: Told, role: str, **fields: object) -> Told:
    return changed(
        told, role, lambda one: one._replace(entry=Entry(**{**one.entry._asdict(), **fields}))
    )


def said(sentence: tuple[str, ...]) -> str:
    return "".join(sentence).replace("\N{NO-BREAK SPACE}", " ")


def position(told: Told, role: str) -> int:
    return told.receipt.entries[role].position


def test_every_role_has_its_sentence(told: dict[str, Told]) -> None:
    outcome, reversal = told["outcome"], told["outcome.reversed"]
    places: Callable[[str], int] = lambda role: position(outcome, role)  # noqa: E731
    operator, verifier = short(OPERATOR.address), short(VERIFIER.address)
    expected = {
        "touch": f"Operator {operator} acted on the lead: “email”.",
        "transition": "The owner reported that the lead went from “activated” to “subscribed”, "
        "which brought 29.90 TUSD.",
        "outcome": f"This earns 10.99 TUSD by the contract: the touch in entry {places('touch')} "
        f"won the transition in entry {places('transition')} by last touch. It is outcome 1 of the "
        "contract, and makes 10.99 TUSD in all.",
        "settlement": f"Verifier {verifier} states what the contract has come to: 10.99 TUSD "
        "earned, 0.00 TUSD taken back.",
        "payout": f"The escrow paid 10.99 TUSD, fee included, to {operator}.",
    }
    assert {role: said(sentence(outcome, role)) for role in outcome.receipt.entries} == expected
    assert said(sentence(reversal, "event")) == (
        "The owner reported “refund”, which takes back all that was left of the transition, entry "
        f"{places('transition')}."
    )
    assert said(sentence(reversal, "reversal")) == (
        f"So 10.99 TUSD of the outcome, entry {places('outcome')}, is not earned any more. It is "
        "reversal 1 of the contract, and makes 10.99 TUSD in all."
    )
    assert expected.keys() | {"event", "reversal"} == ROLES.keys()


def test_a_touch_that_others_report_is_told_as_theirs(told: dict[str, Told]) -> None:
    for label, expected in (
        ("click", f"The lead came by a code of operator {short(OPERATOR.address)}."),
        (
            "call",
            f"“call” was carried out on the lead, as operator {short(OPERATOR.address)} had asked.",
        ),
    ):
        one = with_entry(told["outcome"], "touch", kind="touch.reported", label=label)
        assert said(sentence(one, "touch")) == expected


def test_a_part_that_was_taken_back_is_told_in_money(told: dict[str, Told]) -> None:
    def partly(one: Proven) -> Proven:
        assert isinstance(one.opening, EventOpening)
        opening = one.opening._replace(
            refunded_before_units=2_000_000, refunded_after_units=5_500_000, whole=False
        )
        return one._replace(opening=opening)

    one = changed(told["outcome.reversed"], "event", partly)
    assert "takes back 3.50 TUSD of the transition" in said(sentence(one, "event"))


def test_a_transition_that_brought_nothing_says_nothing_of_money(told: dict[str, Told]) -> None:
    one = with_entry(told["outcome"], "transition", value=0)
    assert said(sentence(one, "transition")).endswith("to “subscribed”.")


def test_a_credit_is_not_told_as_paid(told: dict[str, Told]) -> None:
    one = with_entry(told["payout"], "payout", label="credited")
    assert said(summary(one)).startswith(f"Entry {position(one, 'payout')} credits operator ")
    assert said(sentence(one, "payout")) == (
        f"The escrow could not transfer 10.99 TUSD, fee included, to {short(OPERATOR.address)}, "
        "and keeps it as a credit that the payee can withdraw."
    )
    assert list(money(one))[-1][0] == "Credited, fee included"


def test_a_payee_that_is_not_the_operator_is_named(told: dict[str, Told]) -> None:
    one = with_entry(told["payout"], "payout", actor=address_word(OTHER))
    assert said(summary(one)) == (
        f"Entry {position(one, 'payout')} pays {short(OTHER)} 10.99 TUSD for what operator "
        f"{short(OPERATOR.address)} earned by “subscribed” on surface <bdi>Shop &lt;1&gt;</bdi>."
    )


def test_a_token_that_is_unknown_is_counted_in_base_units(told: dict[str, Told]) -> None:
    one = told["payout"]._replace(token=None)
    assert "10,990,000 base units" in said(summary(one))
    cents = told["payout"]._replace(token=TokenInfo(TOKEN, "CENT", 2))
    assert "109,900.00 CENT" in said(summary(cents))
