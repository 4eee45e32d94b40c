"""A replay of a public log, brought up to any size with the chain's terms and checked roots."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

import pytest

from orchestrator.chain.deployment import Chain
from orchestrator.core.common.errors import ReplayError
from orchestrator.core.deals.terms import contract_id
from orchestrator.core.log.opening import Record
from orchestrator.verify import log_replay
from orchestrator.verify.log_replay import LogReplay
from orchestrator.verify.resuming.kept_fold import KeptFold
from tests.support.public_log import (
    CONTRACT_ID,
    LOG_ID,
    POLICY,
    SETTINGS,
    TERMS,
    PublicChain,
    public_records,
    root_at,
)
from tests.support.terms import DOMAIN
from tests.support.worlds import word

RECORDS = public_records()
SIZE = len(RECORDS)
NOW_MS = RECORDS[-1].entry.time_ms


def replay_of(
    records: Sequence[Record],
    chain: PublicChain | None = None,
    now_ms: Callable[[], int] = lambda: NOW_MS,
) -> LogReplay:
    return LogReplay(
        LOG_ID,
        lambda start, stop: records[start:stop],
        lambda _: POLICY,
        lambda _: SETTINGS,
        cast(Chain, chain or PublicChain(records)),
        now_ms,
    )


def test_it_is_brought_up_to_any_later_size() -> None:
    log = replay_of(RECORDS)
    for size in (0, 3, 7, SIZE, 7):
        assert log.advance_to(size, root_at(RECORDS, size)).size == max(size, log.size)
    assert log.size == SIZE
    world = log.advance_to(SIZE, root_at(RECORDS, SIZE)).finish()
    assert world.contracts[CONTRACT_ID].earned_units == 8_000_000


def test_a_size_that_was_not_asked_for_on_the_way_is_not_known() -> None:
    log = replay_of(RECORDS)
    log.advance_to(7, root_at(RECORDS, 7))
    with pytest.raises(ReplayError, match="at size 7 and was not asked for size 5") as refused:
        log.advance_to(5, root_at(RECORDS, 5))
    assert refused.value.code == "size-passed"


def test_of_many_sizes_the_smallest_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_replay, "KNOWN_ROOTS", 2)
    log = replay_of(RECORDS)
    for size in (3, 5, 7):
        log.advance_to(size, root_at(RECORDS, size))
    log.advance_to(5, root_at(RECORDS, 5))
    with pytest.raises(ReplayError, match="not asked for size 3"):
        log.advance_to(3, root_at(RECORDS, 3))


def test_another_root_is_refused() -> None:
    with pytest.raises(ReplayError) as refused:
        replay_of(RECORDS).advance_to(SIZE, word("root"))
    assert refused.value.code == "root-differs"


def test_a_log_that_ends_early_can_be_asked_again() -> None:
    shown = RECORDS[:5]
    log = replay_of(shown)
    with pytest.raises(ReplayError) as refused:
        log.advance_to(SIZE, root_at(RECORDS, SIZE))
    assert refused.value.code == "entries-short"
    shown += RECORDS[5:]
    log.advance_to(SIZE, root_at(RECORDS, SIZE))


def test_a_contract_of_another_log_is_refused() -> None:
    terms = dataclasses.replace(TERMS, log_id=word("another log"))
    records = public_records(terms, contract_id(terms, DOMAIN))
    with pytest.raises(ReplayError) as refused:
        replay_of(records, PublicChain(records, terms=terms)).advance_to(SIZE, bytes(32))
    assert refused.value.code == "contract-elsewhere"


def test_what_is_ahead_of_our_clock_is_taken_once_its_time_has_come() -> None:
    """So a verifier signs nothing that is dated ahead, and signs it later without starting anew."""
    clock = [NOW_MS - 5_001]
    log = replay_of(RECORDS, now_ms=lambda: clock[0])
    for _ in range(2):
        with pytest.raises(ReplayError) as refused:
            log.advance_to(SIZE, root_at(RECORDS, SIZE))
        assert refused.value.code == "clock-ahead"
    clock[0] += 1
    assert log.advance_to(SIZE, root_at(RECORDS, SIZE)).size == SIZE


def test_a_log_that_the_chain_has_marked_as_forked_is_told_apart() -> None:
    chain = PublicChain(RECORDS)
    log = replay_of(RECORDS, chain)
    log.check_unforked()
    chain.forked_at_s = 1_800_000_000
    with pytest.raises(ReplayError, match="forked at 2027-01-15 08:00:00 UTC") as refused:
        log.check_unforked()
    assert refused.value.code == "log-forked"


# --- Kept -----------------------------------------------------------------------------------------


def kept_replay_of(records: Sequence[Record], path: Path, asked: list[int]) -> LogReplay:
    def source(start: int, stop: int) -> Sequence[Record]:
        asked.append(start)
        return records[start:stop]

    kept = KeptFold(path, b"secret", b"")
    return LogReplay(
        LOG_ID,
        source,
        lambda _: POLICY,
        lambda _: SETTINGS,
        cast(Chain, PublicChain(records)),
        lambda: NOW_MS,
        kept=kept,
    )


def close(log: LogReplay) -> None:
    assert log._kept is not None
    log._kept.close()


def test_a_kept_replay_goes_on_where_it_stood(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_replay, "KEEP_ENTRIES", 2)
    asked: list[int] = []
    for size in (7, 7, 5, SIZE, SIZE):
        log = kept_replay_of(RECORDS, tmp_path / "replay", asked)
        log.advance_to(size, root_at(RECORDS, size))
        close(log)
    # The root of 5 was not asked for before, so that one began anew. More was to follow on 5, so
    # what was kept was 4.
    assert asked == [0, 7, 7, 0, 4, SIZE]


def test_what_was_kept_of_another_history_is_not_gone_on_with(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    touch = next(at for at, record in enumerate(RECORDS) if record.entry.kind == "touch")
    asked: list[int] = []
    log = kept_replay_of(RECORDS, tmp_path / "replay", asked)
    log.advance_to(touch + 1, root_at(RECORDS, touch + 1))
    close(log)
    shorter = [*RECORDS[:touch]]
    again = kept_replay_of(shorter, tmp_path / "replay", asked)
    again.advance_to(touch, root_at(shorter, touch))
    close(again)
    assert asked == [0, touch + 1, 0]
    assert "does not fit the log" in caplog.text


def test_a_false_root_is_refused_after_all_is_replayed_again(tmp_path: Path) -> None:
    asked: list[int] = []
    log = kept_replay_of(RECORDS, tmp_path / "replay", asked)
    log.advance_to(7, root_at(RECORDS, 7))
    close(log)
    again = kept_replay_of(RECORDS, tmp_path / "replay", asked)
    for _ in range(2):
        with pytest.raises(ReplayError, match="the entries give root"):
            again.advance_to(SIZE, word("root"))
    close(again)
    assert asked == [0, 7, 0, SIZE]
