"""The benchmark of trust: the cost of acts, ticks and memory, beside how many operators there are.

    .venv/bin/python -m scripts.bench.trust [--surfaces N]

Starts a PostgreSQL of its own, plants the standings of 10, of 1,000 and of 10,000 operators on each
surface, and has ten of them act on every surface, beside each. Prints Markdown tables and
removes everything. Compare the ratios, not the numbers: these are of one machine at one moment.
"""

import argparse
import gc
import json
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from itertools import islice
from random import Random
from typing import NamedTuple

import psycopg

from orchestrator.core.common.errors import RequestError
from orchestrator.core.decisions.decide import decide
from orchestrator.core.log.entry import address_word, ascii_word
from orchestrator.core.surface.surface_settings import parse_settings
from orchestrator.core.surface.trust import CONTRACT, Standing
from orchestrator.core.world.codec import encode_standing
from orchestrator.core.world.requests import (
    Genesis,
    OpenContract,
    PublishPolicy,
    PublishSettings,
    Settle,
    Touch,
)
from orchestrator.core.world.world import World, pair_of
from orchestrator.log.projections import StoredStandings
from orchestrator.log.sequencing.sequencer import Sequencer
from orchestrator.storage.database import (
    SEQUENCER,
    Database,
    DatabaseUrls,
)
from scripts.bench.log import (
    LIMITS,
    NOW_MS,
    OPERATOR,
    OWNER,
    POLICY,
    PUBLISHER,
    RULES,
    SETTINGS,
    SURFACE,
    Log,
    drain,
    give_key,
    opened,
    post,
    secret_of,
    still_database,
    timed,
)

POPULATIONS = (10, 1_000, 10_000)
ACTORS, ROUNDS = 10, 4
SEED = 28
# A session that is idle reports what it did last after ten seconds.
REPORTED_S = 11
CACHED = 20_000  # standings that are kept, where their memory is measured
STANDING = Standing(
    level=1, ground=CONTRACT, changed_ms=1, policy=POLICY.hash, partner_since_ms=1, counted_to=1
)


class Figures(NamedTuple):
    """Acts a second of pairs that are loaded, and of those in memory; a tick, and what it reads."""

    first: float
    again: float
    tick_ms: float
    scans: int
    rows: int


def operator(number: int) -> str:
    return f"0x{number:040x}"


def open_surfaces(log: Log, count: int) -> list[bytes]:
    """Open so many surfaces of the owner, with settings; return their ids."""
    owner = address_word(OWNER)
    names = [f"market {number}" for number in range(count)]
    found = {sha256(owner + ascii_word(name)).digest(): name for name in names}
    with log.api.transaction(secret=secret_of(OWNER)) as session:
        for surface, name in found.items():
            session.run(
                "api.add_surface_name", log_id=log.log_id, surface=surface, owner=owner, name=name
            )
    post(log.api, log.log_id, [PublishPolicy(surface, owner, POLICY) for surface in found])
    post(log.api, log.log_id, [PublishSettings(surface, owner, SETTINGS) for surface in found])
    drain(log)
    return list(found)


def plant(url: str, log: Log, surfaces: list[bytes], operators: int) -> None:
    """Give so many operators level 1 on each surface, as if the log had said so long ago."""
    with psycopg.connect(url) as admin:
        admin.execute(
            "INSERT INTO standings (log_id, surface, operator, level, ground, is_suspended,"
            " document) SELECT %s, s, decode(lpad(to_hex(n), 64, '0'), 'hex'), 1, %s, false, %s"
            " FROM unnest(%s::bytea[]) AS s, generate_series(1, %s) AS n",
            (log.log_id, CONTRACT, json.dumps(encode_standing(STANDING)), surfaces, operators),
        )
        admin.execute(
            "INSERT INTO operators SELECT %s, decode(lpad(to_hex(n), 64, '0'), 'hex'), 1"
            " FROM generate_series(1, %s) AS n",
            (log.log_id, operators),
        )
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute("ANALYZE standings")


@contextmanager
def fresh_sequencer(urls: DatabaseUrls, log: Log) -> Iterator[Log]:
    """Begin with a sequencer that has nothing in memory."""
    log.sequencer.close()
    with Database(urls.by_login[SEQUENCER], SEQUENCER) as writer:
        sequencer = Sequencer(writer, log.log_id, lambda: NOW_MS, lambda _size, _root: bytes(65))
        yield log._replace(sequencer=sequencer)
        sequencer.close()


def measure(urls: DatabaseUrls, operators: int, surface_count: int) -> Figures:
    """Have ten operators act on every surface, again and again, and a tick behind that."""
    draw = Random(f"{SEED} {operators}")  # noqa: S311 - a run is to be repeated
    with opened(urls) as begun:
        surfaces = open_surfaces(begun, surface_count)
        plant(urls.owners, begun, surfaces, operators)
        actors = draw.sample(range(1, operators + 1), ACTORS)
        for number in actors:
            give_key(urls.owners, operator(number))
        with fresh_sequencer(urls, begun) as log:
            drain(log)
            rates = []
            for _ in range(ROUNDS):
                for number in actors:
                    word = address_word(operator(number))
                    acts = [Touch(one, draw.randbytes(32), word, "email") for one in surfaces]
                    post(log.api, log.log_id, acts, operator(number))
                rates.append(len(surfaces) * ACTORS / timed(lambda: drain(log)))
            before = reads(urls.owners)
            post(log.worker, log.log_id, [Settle()], PUBLISHER)
            tick_ms = timed(lambda: drain(log)) * 1000
            after = reads(urls.owners)
        scans, rows = (new - old for new, old in zip(after, before, strict=True))
        return Figures(rates[0], max(rates[1:]), tick_ms, scans, rows)


def reads(url: str) -> tuple[int, int]:
    """Return how often the standings were scanned or looked up so far, and the rows that gave."""
    with psycopg.connect(url, autocommit=True) as admin:
        time.sleep(REPORTED_S)
        row = admin.execute(
            "SELECT seq_scan + idx_scan, seq_tup_read + idx_tup_fetch"
            " FROM pg_stat_user_tables WHERE relname = 'standings'"
        ).fetchone()
    return (0, 0) if row is None else (row[0], row[1])


def memory(urls: DatabaseUrls, surface_count: int) -> list[tuple[int, int]]:
    """Return the pairs that were read so far, and the bytes that are held, of a bounded cache."""
    found = []
    with opened(urls) as log:
        surfaces = [sha256(bytes([number])).digest() for number in range(surface_count)]
        plant(urls.owners, log, surfaces, 10_000)
        pairs = (
            pair_of(surface, address_word(operator(number)))
            for surface in surfaces
            for number in range(1, 10_001)
        )
        with (
            Database(urls.by_login[SEQUENCER], SEQUENCER) as reader,
            reader.transaction() as session,
        ):
            standings, seen = StoredStandings(session, log.log_id), 0
            tracemalloc.start()
            for most in (CACHED // 2, CACHED, 2 * CACHED, 4 * CACHED):
                while seen < most:
                    page = list(islice(pairs, 1_000))
                    standings.load(page)
                    standings.forget(CACHED)
                    seen += len(page)
                gc.collect()
                found.append((seen, tracemalloc.get_traced_memory()[0]))
            tracemalloc.stop()
    return found


def checks() -> tuple[float, float]:
    """Return the touches a second that the core decides, and the refusals by the day's limit."""
    world, word = World(), address_word(OPERATOR)
    narrow = parse_settings({**SETTINGS.document(), "levels": [{"leads_a_day": 10_000}]})
    for request in (
        Genesis(bytes(32), address_word(PUBLISHER)),
        PublishPolicy(SURFACE, address_word(OWNER), POLICY),
        PublishSettings(SURFACE, address_word(OWNER), narrow),
        OpenContract(RULES, bytes(32)),
    ):
        decide(world, request, NOW_MS)
    touches = [Touch(SURFACE, sha256(b"%d" % n).digest(), word, "email") for n in range(20_000)]

    def taken() -> None:
        for touch in touches[:10_000]:
            decide(world, touch, NOW_MS)

    def refused() -> None:
        for touch in touches[10_000:]:
            try:
                decide(world, touch, NOW_MS)
            except RequestError as error:
                if error.code != "lead-limit":
                    raise
            else:
                raise SystemExit("an act beyond the limit was taken")

    return 10_000 / timed(taken), 10_000 / timed(refused)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--surfaces", type=int, default=96)
    surfaces = parser.parse_args().surfaces
    with still_database(LIMITS) as urls:
        print(
            f"| operators on each of {surfaces} surfaces | standings | acts/s, pairs loaded "
            f"| acts/s, pairs seen before | of those beside {POPULATIONS[0]} | tick, ms "
            f"| lookups of standings in a tick | rows they gave |"
        )
        print("|---:|---:|---:|---:|---:|---:|---:|---:|")
        reference = 0.0
        for operators in POPULATIONS:
            found = measure(urls, operators, surfaces)
            reference = reference or found.again
            print(
                f"| {operators:,} | {operators * surfaces:,} | {found.first:,.0f} "
                f"| {found.again:,.0f} | {found.again / reference:.2f} | {found.tick_ms:.1f} "
                f"| {found.scans} | {found.rows} |",
                flush=True,
            )
        print(f"\n| standings read, of which {CACHED:,} are kept | MiB held | bytes each |")
        print("|---:|---:|---:|")
        for seen, held in memory(urls, 8):
            kept = min(seen, CACHED)
            print(f"| {seen:,} | {held / 2**20:.1f} | {held // kept:,} |")
    taken, refused = checks()
    print("\n| in the core alone | a second | of touches taken |")
    print("|---|---:|---:|")
    print(f"| touches taken | {taken:,.0f} | 1.00 |")
    print(f"| refusals by the day's limit | {refused:,.0f} | {refused / taken:.2f} |")


if __name__ == "__main__":
    main()
