"""Rights: each request is its sender's to make, for its own account, or is refused."""

from typing import get_args

import pytest

from orchestrator.core.account.scopes import SCOPES
from orchestrator.core.common.errors import RequestError
from orchestrator.core.log.entry import address_word
from orchestrator.core.world.codec import request_kind
from orchestrator.core.world.requests import (
    RETRYABLE,
    AnswerAction,
    Arrival,
    CloseContract,
    ConfirmAction,
    EndCode,
    EndOwnCode,
    Erasure,
    ExpireAction,
    Genesis,
    IssueCode,
    JudgeTrust,
    MakeForecast,
    OpenContract,
    ProductEvent,
    PublishPolicy,
    PublishSettings,
    RecordDispute,
    RecordPayout,
    RecordRuling,
    RegisterOperator,
    Request,
    RequestAction,
    RestoreOperator,
    ScoreForecast,
    Settle,
    SuspendOperator,
    Touch,
)
from orchestrator.core.world.rights import API, RIGHTS, WORKER, Sender, check_right, names_key
from orchestrator.core.world.world import World
from tests.support.worlds import (
    LEADS,
    OPERATORS,
    OWNER,
    SURFACE,
    begin,
    policy,
    rules,
    settings,
    word,
)

POLICY = policy()
WORLD, _ = begin(POLICY, rules("contract", POLICY))
PUBLISHER = "0x" + "d" * 40
OPERATOR, OTHER = (f"0x{operator[12:].hex()}" for operator in OPERATORS)
OWNERS = f"0x{OWNER[12:].hex()}"

# Each request with its only sender.
RIGHTFUL: list[tuple[Request, Sender]] = [
    (Genesis(word("log"), address_word(PUBLISHER)), Sender(WORKER, PUBLISHER)),
    (RegisterOperator(OPERATORS[0], word("profile")), Sender(API, OPERATOR)),
    (PublishPolicy(SURFACE, OWNER, POLICY), Sender(API, OWNERS)),
    (PublishSettings(SURFACE, OWNER, settings()), Sender(API, OWNERS)),
    (SuspendOperator(SURFACE, OWNER, OPERATORS[0], "complaints"), Sender(API, OWNERS)),
    (RestoreOperator(SURFACE, OWNER, OPERATORS[0], "resolved"), Sender(API, OWNERS)),
    (JudgeTrust(SURFACE, OPERATORS[0]), Sender(API, OPERATOR)),
    (
        MakeForecast(SURFACE, OPERATORS[0], "new", "trial", 7, word("r"), word("sealed")),
        Sender(API, OPERATOR),
    ),
    (ScoreForecast(SURFACE, OPERATORS[0], 9, 1, word("salt")), Sender(WORKER, PUBLISHER)),
    (Touch(SURFACE, LEADS[0], OPERATORS[0], "email"), Sender(API, OPERATOR)),
    (ProductEvent(SURFACE, LEADS[0], "buy", 1, 0), Sender(API, OWNERS)),
    (
        Arrival(SURFACE, LEADS[0], word("code"), False, False, "buy", 1, 0),
        Sender(API, OWNERS),
    ),
    (
        IssueCode(SURFACE, word("code"), OPERATORS[0], 1, 9, word("r"), word("sealed")),
        Sender(API, OPERATOR),
    ),
    (EndOwnCode(SURFACE, OPERATORS[0], word("code"), "spent"), Sender(API, OPERATOR)),
    (EndCode(SURFACE, OWNER, word("code"), "leaked"), Sender(API, OWNERS)),
    (RequestAction(SURFACE, LEADS[0], OPERATORS[0], "letter", 9), Sender(API, OPERATOR)),
    (AnswerAction(SURFACE, LEADS[0], OWNER, 9, "taken"), Sender(API, OWNERS)),
    (ConfirmAction(SURFACE, LEADS[0], 9), Sender(WORKER, PUBLISHER)),
    (ExpireAction(SURFACE, LEADS[0], 9), Sender(WORKER, PUBLISHER)),
    (Erasure(SURFACE, LEADS[0], OWNER), Sender(API, OWNERS)),
    (OpenContract(rules("new", POLICY), word("tx")), Sender(WORKER, PUBLISHER)),
    (CloseContract(word("contract"), 0, word("tx")), Sender(WORKER, PUBLISHER)),
    (RecordPayout(word("contract"), word("p"), "paid", 1, word("tx")), Sender(WORKER, PUBLISHER)),
    (
        RecordDispute(word("contract"), OWNER, "owner", 1, word("tx")),
        Sender(WORKER, PUBLISHER),
    ),
    (
        RecordRuling(word("contract"), word("arbiter"), "kept", 1, word("tx")),
        Sender(WORKER, PUBLISHER),
    ),
    (Settle(), Sender(WORKER, PUBLISHER)),
]
by_kind = pytest.mark.parametrize(
    ("request_", "sender"), RIGHTFUL, ids=[request_kind(type(one)) for one, _ in RIGHTFUL]
)


def refusal(world: World, request: Request, sender: Sender) -> str:
    """Require a refusal; return its code."""
    with pytest.raises(RequestError) as refused:
        check_right(world, request, sender, PUBLISHER)
    return refused.value.code


def test_every_kind_of_request_is_one_parts_to_make_and_tested_here() -> None:
    kinds = set(get_args(Request))
    assert RIGHTS.keys() == kinds
    assert {type(request) for request, _ in RIGHTFUL} == kinds
    for right in RIGHTS.values():
        assert right.sender in (API, WORKER)
        # A key must have a scope for it; the worker has no key.
        assert (right.scope in SCOPES) == (right.sender == API)
        # Of none may the account be just any.
        assert right.actor or right.is_surface_owners or right.is_publishers


def test_what_an_owner_and_an_operator_may_ask_is_told_apart_by_scopes() -> None:
    asked = {make: right for make, right in RIGHTS.items() if right.sender == API}
    of_operators = {make for make, right in asked.items() if right.actor == "operator"}
    for make, right in asked.items():
        audience = "operator" if make in of_operators else "owner"
        assert (right.scope or "").startswith(f"{audience}:"), make
        assert right.is_surface_owners == (audience == "owner")


def test_the_acts_that_name_a_delegates_key_are_those_whose_openings_do() -> None:
    named = {make for make in RIGHTS if names_key(make)}
    assert named == {
        *(Touch, MakeForecast, SuspendOperator, RestoreOperator),
        *(IssueCode, RequestAction),
    }


@by_kind
def test_a_request_is_taken_from_its_own_sender(request_: Request, sender: Sender) -> None:
    check_right(WORLD, request_, sender, PUBLISHER)


@by_kind
@pytest.mark.parametrize("part", ["api", "worker", "sequencer", "registrar", "", "api "])
def test_a_request_is_refused_from_another_part(
    request_: Request, sender: Sender, part: str
) -> None:
    if part != sender.part:
        assert refusal(WORLD, request_, Sender(part, sender.account)) == "request-of-another-part"


@by_kind
@pytest.mark.parametrize("account", [PUBLISHER, OPERATOR, OTHER, OWNERS])
def test_a_request_is_refused_from_another_account(
    request_: Request, sender: Sender, account: str
) -> None:
    if account != sender.account:
        code = refusal(WORLD, request_, Sender(sender.part, account))
        assert code == "request-of-another-account"


def test_the_publisher_has_the_log_it_publishes_and_no_other() -> None:
    with pytest.raises(RequestError) as refused:
        check_right(WORLD, Settle(), Sender(WORKER, PUBLISHER), OPERATOR)
    assert refused.value.code == "request-of-another-account"


@by_kind
def test_before_the_genesis_nothing_else_is_taken(request_: Request, sender: Sender) -> None:
    if isinstance(request_, Genesis):
        check_right(World(), request_, sender, PUBLISHER)
    else:
        assert refusal(World(), request_, sender) == "log-unbegun"
    assert "log-unbegun" in RETRYABLE


def test_an_event_of_a_surface_that_the_log_has_not_is_left_to_its_rules() -> None:
    nowhere = ProductEvent(word("nowhere"), LEADS[0], "buy", 1, 0)
    check_right(WORLD, nowhere, Sender(API, OTHER), PUBLISHER)
