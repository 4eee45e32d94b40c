"""The worker: jobs that look at webhooks, run beside one another by procrastinate.

A job is a hint and no more: what is to be sent stands in the log and in the deliveries. So one that
is lost is made again when its lease has ended, one that runs twice finds nothing the second time,
and there is at most one that waits for each webhook.
"""

import asyncio
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import procrastinate
from anyio.to_thread import run_sync
from procrastinate.exceptions import AlreadyEnqueued, ConnectorException
from procrastinate.jobs import Status

from orchestrator.core.common.limits import Limits
from orchestrator.log.feed import Feed
from orchestrator.storage.database import Unreachable
from orchestrator.storage.listening import LOOK_S
from orchestrator.storage.queries import statement
from orchestrator.webhooks.courier import MAX_DUE, Due
from orchestrator.webhooks.delivery import Deliverer

# The webhooks that are looked at beside one another; a receiver that hangs holds one of them.
CONCURRENCY = Limits().webhooks_at_once
# Connections of the jobs themselves: one listens, the others fetch and finish.
_CONNECTIONS = 4
# How long jobs that are under way may take to end when the worker stops.
_STOP_S = 15.0
_QUEUE = "webhooks"
_TASK = "deliver"


class WebhookWorker:
    """The jobs for webhooks that a look finds due, in the database of this URL, the worker's."""

    def __init__(
        self,
        url: str,
        feed: Feed,
        look: Callable[[], Sequence[Due]],
        deliverer: Deliverer,
        concurrency: int = CONCURRENCY,
    ) -> None:
        self._url = url
        self._feed = feed
        self._look_for_due = look
        self._deliverer = deliverer
        self._concurrency = concurrency

    def run(self, stop: threading.Event, works: Callable[[], object] = lambda: None) -> None:
        """Deliver until `stop` is set. Raises what the courier or the jobs fail with.

        `works` is called whenever a look has gone well.
        """
        try:
            asyncio.run(self._run(stop, works))
        except ConnectorException as error:
            # A database that is away is what it is for every part.
            if isinstance(error.__cause__, Unreachable):
                raise error.__cause__ from None
            raise

    def send_due(self) -> int:
        """Send all that is due now, one webhook after another; return how many were tried.

        On a clock that is moved by hand no time passes in which jobs could do it.
        """
        return asyncio.run(self._send_due())

    async def _send_due(self) -> int:
        tried = 0
        while due := await run_sync(self._look_for_due):
            for one in due:
                tried += await self._deliverer.deliver(one.webhook)
        return tried

    async def _run(self, stop: threading.Event, works: Callable[[], object]) -> None:
        jobs = self._jobs()
        async with jobs.open_async():
            for stalled in await jobs.job_manager.get_stalled_jobs():
                await jobs.job_manager.finish_job(stalled, Status.FAILED, delete_job=True)
            working = asyncio.create_task(
                jobs.run_worker_async(
                    queues=[_QUEUE],
                    concurrency=self._concurrency,
                    fetch_job_polling_interval=LOOK_S,
                    shutdown_graceful_timeout=_STOP_S,
                    delete_jobs="always",
                    install_signal_handlers=False,
                )
            )
            looking = asyncio.create_task(self._look(jobs, stop, works))
            await asyncio.wait({working, looking}, return_when=asyncio.FIRST_COMPLETED)
            for task in (working, looking):
                task.cancel()
            ends = await asyncio.gather(working, looking, return_exceptions=True)
        for end in ends:
            if isinstance(end, Exception):
                raise end

    def _jobs(self) -> procrastinate.App:
        connector = procrastinate.PsycopgConnector(
            conninfo=self._url,
            min_size=1,
            max_size=_CONNECTIONS,
            kwargs={"application_name": _QUEUE},
            configure=_look_in_jobs,
        )
        jobs = procrastinate.App(connector=connector)

        @jobs.task(name=_TASK, queue=_QUEUE)
        async def deliver(webhook: str) -> None:
            await self._deliverer.deliver(bytes.fromhex(webhook))

        return jobs

    async def _look(
        self, jobs: procrastinate.App, stop: threading.Event, works: Callable[[], object]
    ) -> None:
        """Make a job for each webhook that is due, as the log grows and time passes."""
        more, loop = asyncio.Event(), asyncio.get_running_loop()
        with self._feed.following(lambda: loop.call_soon_threadsafe(more.set)):
            await run_sync(self._feed.open)
            while not stop.is_set():
                due = await run_sync(self._look_for_due)
                for one in due:
                    await self._make_job(jobs, one)
                if len(due) < MAX_DUE:
                    with suppress(TimeoutError):
                        await asyncio.wait_for(more.wait(), LOOK_S)
                more.clear()
                # By now the jobs have had a moment, too: had they failed, this would have ended.
                works()

    async def _make_job(self, jobs: procrastinate.App, due: Due) -> None:
        # Those that fail come after all others.
        name, rank = due.webhook.hex(), -1 if due.is_failing else 0
        job = jobs.configure_task(_TASK, queue=_QUEUE, queueing_lock=name, priority=rank)
        with suppress(AlreadyEnqueued):
            await job.defer_async(webhook=name)


async def _look_in_jobs(connection: Any) -> None:
    """Have a new connection find the tables of jobs: a pooler takes no such option at its start."""
    await connection.execute(statement("webhooks.look_in_jobs"))
    await connection.commit()
