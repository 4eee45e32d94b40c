"""Pinned facts are compared, and those that are not pinned are said to be taken on trust."""

import json
from typing import Any

import pytest

from orchestrator.core.common.errors import InputError, ProofError
from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.verify.pinned import Named, Pinned, read_pinned
from tests.support.origins import NO_ORIGINS
from tests.support.terms import OWNER, VERIFIER
from tests.support.worlds import word

NAMED = Named(31337, OWNER, VERIFIER, word("log"), "growth.example/log")
PINNED = Pinned(*NAMED, verifiers=(VERIFIER,), publishers=(OWNER,))
DOCUMENT: dict[str, Any] = {
    **NAMED._asdict(),
    "log_id": to_hex(NAMED.log_id),
    "verifiers": [VERIFIER],
    "publishers": [OWNER],
}


def test_each_fact_that_is_not_pinned_has_a_line() -> None:
    lines = Pinned().compare(NAMED, "the receipt")
    assert lines == [
        "chain 31337, as the receipt names it; pin it by --chain-id",
        f"event log {OWNER}, as the receipt names it; pin it by --event-log",
        f"escrow {VERIFIER}, as the receipt names it; pin it by --escrow",
        f"log {to_hex(NAMED.log_id)}, as the receipt names it; pin it by --log-id",
        "origin growth.example/log, as the receipt names it; pin it by --origin",
    ]
    assert PINNED.compare(NAMED, "the receipt") == []


@pytest.mark.parametrize("name", Named._fields)
def test_a_fact_that_differs_is_refused_by_its_name(name: str) -> None:
    changed: Any = {"chain_id": 1, "log_id": word("other")}.get(name, "other")
    other = NAMED._replace(**{name: changed})
    with pytest.raises(ProofError) as refused:
        PINNED.compare(other, "the receipt")
    assert refused.value.code == "pin-differs"
    what = {"chain_id": "chain", "log_id": "log"}.get(name, name.replace("_", " "))
    assert refused.value.message.startswith(f"the receipt names the {what} ")


def test_verifiers_are_compared_or_taken_on_trust() -> None:
    assert PINNED.check_verifiers([VERIFIER, VERIFIER]) == []
    assert len(Pinned().check_verifiers([VERIFIER, OWNER, VERIFIER])) == 2
    with pytest.raises(ProofError, match="none of the pinned"):
        PINNED.check_verifiers([VERIFIER, OWNER])


def test_a_publisher_is_compared_where_any_is_pinned() -> None:
    PINNED.check_publisher(OWNER, "the log's publisher is")
    Pinned().check_publisher(VERIFIER, "the log's publisher is")
    for other in (VERIFIER, None):
        with pytest.raises(ProofError, match="none of the pinned publishers") as refused:
            PINNED.check_publisher(other, "the log's publisher is")
        assert refused.value.code == "pin-differs"
        assert f"the log's publisher is {other or 'nobody'}, " in refused.value.message


def test_a_trust_file_gives_all_of_them() -> None:
    assert read_pinned(json.dumps(DOCUMENT)) == PINNED
    assert read_pinned("{}") == Pinned()
    assert Pinned(chain_id=5).completed(PINNED) == PINNED._replace(chain_id=5)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("chain_id", 0),
        ("chain_id", True),
        ("chain_id", "1"),
        ("event_log", OWNER.lower()),
        ("escrow", None),
        ("log_id", "0x12"),
        ("log_id", 12),
        ("log_id", "0x" + "AB" * 32),
        *(("origin", one) for one in NO_ORIGINS),
        ("verifiers", VERIFIER),
        ("verifiers", []),
        ("verifiers", [1]),
        ("verifier", VERIFIER),
        ("publishers", OWNER),
        ("publishers", []),
        ("publishers", [OWNER.lower()]),
        ("publisher", OWNER),
    ],
)
def test_a_garbled_trust_file_is_refused_by_its_member(name: str, value: object) -> None:
    with pytest.raises(InputError) as refused:
        read_pinned(json.dumps({**DOCUMENT, name: value}))
    assert refused.value.code == "trust-malformed"
    assert name in refused.value.message


@pytest.mark.parametrize("name", DOCUMENT)
def test_a_member_that_stands_twice_is_refused(name: str) -> None:
    value = json.dumps(DOCUMENT[name])
    with pytest.raises(InputError, match=f"'{name}' stands twice") as refused:
        read_pinned(f'{{"{name}": {value}, "{name}": {value}}}')
    assert refused.value.code == "trust-malformed"


def test_a_trust_file_is_one_object() -> None:
    with pytest.raises(InputError, match="one JSON object"):
        read_pinned("[]")
