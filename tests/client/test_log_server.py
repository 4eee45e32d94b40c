"""A log's server: its entries, records, policies and deployment are read, or refused."""

import json
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import pytest

from orchestrator.client.http import Client
from orchestrator.client.log_server import (
    ServedClock,
    ServedEntry,
    find_surface,
    record_of,
    served_bundle,
    served_deployment,
    served_origin,
    served_policy,
    served_records,
    served_settings,
    served_time,
)
from orchestrator.core.common.document import canonical_json
from orchestrator.core.common.errors import (
    DocumentError,
    DomainError,
    InputError,
    ReplayError,
    ServerError,
)
from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.core.deals.site import Addresses
from orchestrator.core.decisions.decide import decide
from orchestrator.core.decisions.replay import replay
from orchestrator.core.entries.kinds import encode
from orchestrator.core.entries.replay_rules import Documents
from orchestrator.core.log.bundle import write_bundle
from orchestrator.core.log.opening import Record
from orchestrator.core.world.requests import ProductEvent, Touch
from orchestrator.core.world.world import World
from tests.support.http_server import Refusal, Request, serving_json
from tests.support.origins import NO_ORIGINS
from tests.support.public_log import bundled
from tests.support.terms import ESCROW, FEES, LOG
from tests.support.worlds import LEADS, OPERATORS, SURFACE, begin, policy, settings, word

POLICY, SETTINGS = policy(), settings()
LOG_DOCUMENT = {
    "chain_id": 31337,
    "event_log": LOG.lower(),
    "escrow": ESCROW,
    "feedback": FEES,
    "log_id": to_hex(word("log")),
}


def written() -> tuple[World, list[Record]]:
    """Return a log with touches and events, and the world that it leads to."""
    world, records = begin(POLICY)
    for request in (
        Touch(SURFACE, LEADS[0], OPERATORS[0], "email"),
        ProductEvent(SURFACE, LEADS[0], "signup", 0, 0),
        ProductEvent(SURFACE, LEADS[0], "buy", 7, 0),
    ):
        records += decide(world, request, 0)
    return world, records


WORLD, RECORDS = written()


def log_of(served: list[tuple[bytes, bytes]]) -> Callable[[Request], object]:
    def answer(request: Request) -> object:
        assert request.path == "/v1/log/bundles"
        start, limit = int(request.query["start"]), int(request.query["limit"])
        return write_bundle(served[start : start + min(limit, 3)])

    return answer


def test_records_are_read_bundle_by_bundle_up_to_the_end() -> None:
    with serving_json(log_of(bundled(RECORDS))) as url, Client(url) as client:
        assert list(served_records(client, 0, len(RECORDS))) == RECORDS
        assert list(served_records(client, 2, 4)) == RECORDS[2:4]
        assert list(served_records(client, 5, 1000)) == RECORDS[5:]
        bundle = served_bundle(client, 1, 2)
    assert [served.data for served in bundle] == [encode(entry) for entry, _ in RECORDS[1:3]]


@pytest.mark.parametrize(
    ("bundle", "code"),
    [
        (None, "answer-garbled"),
        (b"\1\0", "answer-garbled"),
        (write_bundle(bundled(RECORDS[:1])) + b"\0", "answer-garbled"),
        (write_bundle(bundled(RECORDS[:3])), "entries-many"),
    ],
)
def test_what_is_no_bundle_is_refused(bundle: object, code: str) -> None:
    with (
        serving_json(lambda _: bundle) as url,
        Client(url) as client,
        pytest.raises(DomainError) as refused,
    ):
        served_bundle(client, 0, 2)
    assert refused.value.code == code


def test_a_record_is_decoded_strictly_where_an_entry_is_only_read() -> None:
    """A replay must not pass over an opening that it cannot read; a copy of the log may."""
    position = next(n for n, (entry, _) in enumerate(RECORDS) if entry.kind == "lead.transition")
    entry, opening = bundled(RECORDS)[position]
    for item, code in (
        ((entry, opening[32:]), "opening-false"),
        ((entry, b"\xff" * len(opening)), "opening-false"),
        ((b"\x77" * 256, opening), "kind-unknown"),
    ):
        served = bundled(RECORDS)
        served[position] = item
        with serving_json(log_of(served)) as url, Client(url) as client:
            assert tuple(served_bundle(client, position, 1)[0]) == item
            with pytest.raises(DomainError) as refused:
                list(served_records(client, position, position + 1))
        assert refused.value.code == code


def test_a_replay_misses_an_opening_that_is_withheld() -> None:
    served = [(entry, b"") for entry, _ in bundled(RECORDS)]
    documents = Documents(
        WORLD.policies.__getitem__, WORLD.settings.__getitem__, WORLD.rules.__getitem__
    )
    with serving_json(log_of(served)) as url, Client(url) as client:
        records = list(served_records(client, 0, len(RECORDS)))
    with pytest.raises(ReplayError):
        replay(records, documents)
    assert replay(RECORDS, documents).size == len(RECORDS)


def test_an_opening_that_the_kind_does_not_have_is_false() -> None:
    served = bundled(RECORDS)
    served[0] = (served[0][0], bytes(32))
    with (
        serving_json(log_of(served)) as url,
        Client(url) as client,
        pytest.raises(ReplayError, match=r"entry 0 is genesis.* has no opening") as refused,
    ):
        list(served_records(client, 0, 1))
    assert refused.value.code == "opening-false"
    with pytest.raises(ReplayError, match="has no opening"):
        record_of(ServedEntry(served[0][0], {"key": "0x"}), 0)
    assert record_of(ServedEntry(served[0][0], None), 0) == RECORDS[0]


def test_a_failure_ahead_is_told_where_it_is_needed() -> None:
    """The bundle after is fetched while one is read: its failure must not hide what came before."""

    def answer(request: Request) -> object:
        return (
            Refusal(503, {}) if request.query["start"] != "0" else log_of(bundled(RECORDS))(request)
        )

    with serving_json(answer) as url, Client(url) as client:
        records = served_records(client, 0, len(RECORDS))
        assert [next(records) for _ in range(3)] == RECORDS[:3]
        with pytest.raises(ServerError):
            next(records)


Reader = Callable[[Client, bytes], Any]


@pytest.mark.parametrize(
    ("read", "published"), [(served_policy, POLICY), (served_settings, SETTINGS)]
)
def test_a_document_must_have_the_hash_that_it_was_asked_by(read: Reader, published: Any) -> None:
    document = json.loads(json.dumps(published.document()))
    what = "policy" if published is POLICY else "settings"
    with serving_json(lambda _: {"document": document}) as url, Client(url) as client:
        assert read(client, published.hash) == published
        # One that is altered is another, be it a document of this sort or none.
        for name, value in (("x", 1), (next(iter(document)), None), (next(iter(document)), [])):
            kept = dict(document)
            document[name] = value
            with pytest.raises(ReplayError, match=f"gives another document for {what} 0x") as told:
                read(client, published.hash)
            assert told.value.code == f"{what}-false"
            document.clear()
            document.update(kept)
        with pytest.raises(ReplayError, match=to_hex(word("another"))):
            read(client, word("another"))


def test_a_document_by_rules_that_are_not_known_here_is_not_called_another() -> None:
    document = SETTINGS.document() | {"x": 1}
    hash_ = sha256(canonical_json(document)).digest()
    with (
        serving_json(lambda _: {"document": document}) as url,
        Client(url) as client,
        pytest.raises(DocumentError, match="unknown key 'x'"),
    ):
        served_settings(client, hash_)


def test_the_deployment_is_read_without_the_servers_first_block() -> None:
    document = {**LOG_DOCUMENT, "start_block": 9}
    with serving_json(lambda _: document) as url, Client(url) as client:
        assert served_deployment(client) == (
            Addresses(31337, LOG, ESCROW, feedback=FEES),
            word("log"),
        )


@pytest.mark.parametrize("origin", NO_ORIGINS)
def test_an_origin_in_another_form_is_the_servers_fault(origin: object) -> None:
    with (
        serving_json(lambda _: {"origin": origin}) as url,
        Client(url) as client,
        pytest.raises(ServerError, match="printable ASCII") as refused,
    ):
        served_origin(client)
    assert refused.value.code == "answer-garbled"


@pytest.mark.parametrize(
    "changes",
    [{"log_id": "0x"}, {"escrow": "0x12"}, {"chain_id": "one"}, {"event_log": None}],
)
def test_a_deployment_of_another_shape_is_the_servers_fault(changes: dict[str, object]) -> None:
    with (
        serving_json(lambda _: {**LOG_DOCUMENT, **changes}) as url,
        Client(url) as client,
        pytest.raises(DomainError) as refused,
    ):
        served_deployment(client)
    assert refused.value.code == "answer-garbled"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("time_ms", -1),
        ("time_ms", 1 << 63),
        ("time_ms", None),
        ("speed", -1),
        ("speed", 1_000_001),
        pytest.param("speed", 10**400, id="speed beyond floats"),
        ("speed", "fast"),
    ],
)
def test_a_clock_that_none_can_be_is_refused(name: str, value: object) -> None:
    clock = {"time_ms": (1 << 63) - 1, "speed": 1_000_000}
    with serving_json(lambda _: clock) as url, Client(url) as client:
        assert served_time(client) == tuple(clock.values())
        assert ServedClock(client)() >= clock["time_ms"]
    with (
        serving_json(lambda _: clock | {name: value}) as url,
        Client(url) as client,
        pytest.raises(ServerError, match="does not say what time it is"),
    ):
        ServedClock(client)()


def named_surfaces(*names: str) -> Callable[[Request], object]:
    """Return a directory of surfaces of these names, two to a page."""

    def answer(request: Request) -> object:
        assert request.path == "/v1/surfaces"
        start, wanted = int(request.query.get("after", "0")), request.query.get("name", "")
        page = [(at, name) for at, name in enumerate(names) if at >= start][:2]
        found = [
            {"surface": f"0x{at:064x}", "name": name}
            for at, name in page
            if name.startswith(wanted)
        ]
        return {"surfaces": found, "next": str(start + 2) if start + 2 < len(names) else None}

    return answer


def test_a_surface_is_found_by_its_id_or_its_whole_name() -> None:
    with (
        serving_json(named_surfaces("shop-2", "trial", "shop", "twice", "twice")) as url,
        Client(url) as client,
    ):
        assert find_surface(client, f"0x{7:064x}") == f"0x{7:064x}"
        assert find_surface(client, "shop") == f"0x{2:064x}"
        for name, code, told in (
            ("sho", "surface-unknown", "no surface is named 'sho'; there are: shop-2, trial"),
            ("", "surface-unknown", "there are: shop-2, trial"),
            ("twice", "surface-ambiguous", f"are named 'twice': 0x{3:064x}, 0x{4:064x}"),
        ):
            with pytest.raises(InputError) as refused:
                find_surface(client, name)
            assert refused.value.code == code
            assert told in refused.value.message


@pytest.mark.parametrize(
    "found",
    [{"id": 1}, {"surface": "../log", "name": "shop"}, {"surface": 7, "name": "shop"}],
)
def test_a_directory_of_another_shape_is_refused(found: dict[str, object]) -> None:
    page = {"surfaces": [found], "next": None}
    with (
        serving_json(lambda _: page) as url,
        Client(url) as client,
        pytest.raises(ServerError, match="does not say which surfaces"),
    ):
        find_surface(client, "shop")
