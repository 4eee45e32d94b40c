"""The benchmark of the doors for events: how many come in a second, beside a bare handler.

    .venv/bin/python -m scripts.bench.doors [--requests N]

Starts a service with servers of its own, prints a Markdown table, removes everything. One client
sends one request after another over one connection and waits for none to be decided. The reference
takes the same bodies at the same server, reads them as JSON and keeps nothing. A CSV file has no
door of its own: it is read by the mapping, as `tallystick backtest --from csv=FILE` does, beside
Python's csv module. Compare the ratios, not the numbers.
"""

import argparse
import csv
import hashlib
import hmac
import itertools
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import uvicorn
from fastapi import FastAPI, Request

from orchestrator.backtest.exports import Export, ExportReader
from orchestrator.cli.options import server_folder
from orchestrator.client.accounts import OwnerClient, wallet
from orchestrator.core.common.units import format_ms
from orchestrator.core.intake.mapping import parse_intake
from orchestrator.runtime.connections import listen
from orchestrator.simulation.sandbox import Sandbox, SandboxOptions, key_of

START_MS = 1_767_225_600_000
BATCH = 100
ROUNDS = 4
CSV_ROWS = 100_000
SECRET = "whsec_of_the_benchmark"  # noqa: S105 - it opens nothing
POLICY = {
    "initial": "new",
    "states": ["new", "paid"],
    "transitions": [{"on": "buy", "from": ["new", "paid"], "to": "paid", "motion": "conversion"}],
    "attribution": "last_touch",
    "touches_per_lead": 50,
}
SOURCES: dict[str, Any] = {
    "currencies": {"USD": "1"},
    "sources": {
        "segment": {"events": {"Order Completed": "buy"}},
        "stripe": {"events": {"charge.succeeded": "buy"}},
        "posthog": {"events": {"order completed": "buy"}},
        "csv": {"time": "at", "lead": "who", "value": "amount", "id": "id", "events": {"*": "buy"}},
    },
}
numbers = itertools.count()


class Door(NamedTuple):
    """A door: its name, its path, and a request of so many events to it."""

    name: str
    path: str
    events: int
    request: Callable[[int], tuple[bytes, dict[str, str]]]


# --- Requests -------------------------------------------------------------------------------------


def plain(now_ms: int) -> tuple[bytes, dict[str, str]]:
    number = next(numbers)
    body = {"lead": f"user-{number % 500}", "event": "buy", "value": "1", "time": format_ms(now_ms)}
    return json.dumps(body).encode(), {"Idempotency-Key": f"one-{number}"}


def lines(now_ms: int) -> tuple[bytes, dict[str, str]]:
    bodies = (json.loads(plain(now_ms)[0]) | {"id": f"line-{next(numbers)}"} for _ in range(BATCH))
    body = "\n".join(json.dumps(each) for each in bodies).encode()
    return body, {"Content-Type": "application/x-ndjson"}


def segment_call(now_ms: int) -> dict[str, object]:
    number = next(numbers)
    at = format_ms(now_ms)
    return {
        "type": "track",
        "event": "Order Completed",
        "userId": f"user-{number % 500}",
        "messageId": f"ajs-next-{number:012}",
        "timestamp": at,
        "receivedAt": at,
        "properties": {"value": 1, "currency": "USD", "plan": "pro"},
        "context": {"library": {"name": "analytics.js", "version": "2.11.1"}, "page": "/app"},
    }


def posthog_event(now_ms: int) -> dict[str, object]:
    number = next(numbers)
    return {
        "uuid": f"018e{number:08x}",
        "event": "order completed",
        "distinct_id": f"user-{number % 500}",
        "timestamp": format_ms(now_ms),
        "properties": {"value": 1, "$lib": "web"},
    }


def one(make: Callable[[int], dict[str, object]]) -> Callable[[int], tuple[bytes, dict[str, str]]]:
    return lambda now_ms: (json.dumps(make(now_ms)).encode(), {})


def batch(
    make: Callable[[int], dict[str, object]],
) -> Callable[[int], tuple[bytes, dict[str, str]]]:
    return lambda now_ms: (json.dumps([make(now_ms) for _ in range(BATCH)]).encode(), {})


def signed_segment(now_ms: int) -> tuple[bytes, dict[str, str]]:
    body = json.dumps(segment_call(now_ms)).encode()
    signed = hmac.new(SECRET.encode(), body, hashlib.sha1).hexdigest()
    return body, {"X-Signature": signed}


def signed_stripe(now_ms: int) -> tuple[bytes, dict[str, str]]:
    number, now_s = next(numbers), now_ms // 1000
    about = {
        "id": f"ch_{number}",
        "amount": 100,
        "currency": "usd",
        "customer": f"user-{number % 500}",
        "payment_intent": f"pi_{number}",
    }
    event = {
        "id": f"evt_{number}",
        "type": "charge.succeeded",
        "created": now_s - 1,
        "livemode": True,
        "data": {"object": about},
    }
    body = json.dumps(event).encode()
    signed = hmac.new(SECRET.encode(), f"{now_s}.".encode() + body, hashlib.sha256).hexdigest()
    return body, {"Stripe-Signature": f"t={now_s},v1={signed}"}


DOORS = (
    Door("JSON, one", "events", 1, plain),
    Door(f"NDJSON, {BATCH}", "events/bulk", BATCH, lines),
    Door("Segment, one, by key", "events/segment", 1, one(segment_call)),
    Door(f"Segment, {BATCH}, by key", "events/segment", BATCH, batch(segment_call)),
    Door("PostHog, one, by key", "events/posthog", 1, one(posthog_event)),
    Door(f"PostHog, {BATCH}, by key", "events/posthog", BATCH, batch(posthog_event)),
    # Once there are secrets, these doors take what is signed alone.
    Door("Segment, one, signed", "events/segment", 1, signed_segment),
    Door("Stripe, one, signed", "events/stripe", 1, signed_stripe),
)


# --- Measuring ------------------------------------------------------------------------------------


def post_all(client: httpx.Client, url: str, door: Door, requests: int, now_ms: int) -> float:
    """Return the events a second of so many requests, one after another."""
    ready = [door.request(now_ms) for _ in range(requests)]
    begun = time.perf_counter()
    for body, headers in ready:
        answer = client.post(
            url, content=body, headers={"Content-Type": "application/json"} | headers
        )
        answer.raise_for_status()
    return requests * door.events / (time.perf_counter() - begun)


@contextmanager
def bare_handler() -> Iterator[str]:
    """Serve a handler that reads what it is sent and keeps nothing; yield its URL."""
    app = FastAPI()

    @app.post("/")
    async def take(request: Request) -> dict[str, int]:
        body = await request.body()
        is_lines = request.headers["content-type"] == "application/x-ndjson"
        found = [json.loads(line) for line in body.splitlines()] if is_lines else json.loads(body)
        return {"taken": len(found)}

    socket = listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [socket]})
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{socket.getsockname()[1]}/"
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def deciding(sandbox: Sandbox, is_asked: bool) -> Iterator[None]:
    """Decide what waits, from a thread, until the block ends: signed reports wait for that."""
    stop = threading.Event()

    def decide() -> None:
        while not stop.wait(0.002):
            sandbox.stack.drain()

    thread = threading.Thread(target=decide)
    if is_asked:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        if is_asked:
            thread.join()


def measure(sandbox: Sandbox, requests: int) -> None:
    """Print a row for each door."""
    with (
        bare_handler() as bare,
        OwnerClient(sandbox.url, wallet(key_of("owner")), "owner") as owner,
        httpx.Client(trust_env=False) as stranger,
    ):
        key = owner.sign_in()["key"]
        surface = owner.open_surface("doors", POLICY)
        sandbox.stack.drain()
        settings = {"token": sandbox.token, "actions": {}, "levels": [{"leads_a_day": 1}]} | SOURCES
        owner.publish_settings(surface, settings)
        sandbox.stack.drain()
        path = f"{sandbox.url}/v1/surfaces/{surface}"
        for door in DOORS:
            client = httpx.Client(trust_env=False)
            is_signed = "signed" in door.name
            if is_signed:
                owner.put(f"/v1/surfaces/{surface}/sources/{door.path[7:]}", {"secret": SECRET})
            else:
                client.headers["Authorization"] = f"Bearer {key}"
            now_ms = sandbox.clock()
            with client, deciding(sandbox, is_signed):
                # The best of some rounds in turns: what else runs on the machine only slows.
                taken = reference = 0.0
                for _ in range(ROUNDS):
                    seen = post_all(client, f"{path}/{door.path}", door, requests, now_ms)
                    taken = max(taken, seen)
                    reference = max(reference, post_all(stranger, bare, door, requests, now_ms))
            print(
                f"| {door.name} | {taken:,.0f} | {reference:,.0f} | {taken / reference:.3f} |",
                flush=True,
            )
            sandbox.stack.drain()


def measure_csv(folder: Path) -> None:
    """Print the row of a CSV file that is read by the mapping."""
    path = folder / "events.csv"
    rows = (f"2026-01-01 10:00:00,user-{n % 500},1.50,row-{n}\n" for n in range(CSV_ROWS))
    path.write_text("at,who,amount,id\n" + "".join(rows))
    begun = time.perf_counter()
    with path.open(newline="") as file:
        for _ in csv.reader(file):
            pass
    reference = CSV_ROWS / (time.perf_counter() - begun)
    begun = time.perf_counter()
    for _ in ExportReader([Export("csv", path)], parse_intake(SOURCES)).rows():
        pass
    taken = CSV_ROWS / (time.perf_counter() - begun)
    print(f"| CSV, {CSV_ROWS:,} | {taken:,.0f} | {reference:,.0f} | {taken / reference:.3f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=50)
    requests = parser.parse_args().requests
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    print(f"Load averages when it began: {load}.\n")
    print("| door, events a request | events/s | bare handler, events/s | ratio |")
    print("|---|---:|---:|---:|")
    with server_folder() as folder:
        with Sandbox(SandboxOptions(folder, START_MS, "doors.bench"), lambda _: None) as sandbox:
            measure(sandbox, requests)
        measure_csv(folder)


if __name__ == "__main__":
    main()
