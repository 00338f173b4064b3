"""One process of the App: opened on the simulated store, serving clients, crashed, paused and restarted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from twofold.ambient import Ambient
from twofold.app import App, Running
from twofold.backends.partitioned import Partitioned
from twofold.backends.ports import LogStore
from twofold.errors import Closed, ConfigurationError, LogReplaced, Unavailable
from twofold.testing.simulation.loop import SimulatedLoop
from twofold.testing.simulation.storage import Storage
from twofold.testing.simulation.stores import SimulatedLog, SimulatedRows

PATIENCE_S = 15.0
RESTART_AFTER_S = 0.3


class Unanswered(Exception):
    """The client never learned the outcome of its request."""


class Server:
    """A process at its place (0, 1, …) in the deployment; a new one takes the place of one that has ended.

    `ambient` has the true time; the clock of this process is off by `skew`. `ended` is called once it has ended or
    crashed.
    """

    def __init__(
        self,
        place: int,
        app: App,
        loop: SimulatedLoop,
        storage: Storage,
        ambient: Ambient,
        ended: Callable[[Server], None],
    ) -> None:
        self.place, self.app, self._loop, self._storage, self._ended = place, app, loop, storage, ended
        self.process = loop.process(f"process {place + 1}")
        self.skew = timedelta()
        self.running: Running | None = None
        self.error: str | None = None
        self.leaves = False
        self.back_after_s = RESTART_AFTER_S
        self.next_app = app
        self.ambient = Ambient(lambda: ambient.now() + self.skew, ambient.new_id, ambient.random)
        self._stop = asyncio.Event()
        self._open: dict[asyncio.Future[Any], None] = {}  # a set would have a different order in each run
        self._served: list[asyncio.Task[None]] = []
        self.task = self._start(self._main())

    @property
    def is_up(self) -> bool:
        """Whether it runs, and was not asked to end."""
        return self.running is not None and not self._stop.is_set()

    @property
    def serves(self) -> bool:
        """Whether it works on a request, perhaps of a client that has given up."""
        return not self.process.crashed and any(not task.done() for task in self._served)

    def _start(self, work: Any) -> asyncio.Task[Any]:
        return self._loop.create_task(work, context=self.process.context)

    async def _main(self) -> None:
        rows = SimulatedRows(self._storage)
        try:
            log = await connected(self._storage, self.ambient)
            async with self.app.open(log, read_store=rows, ambient=self.ambient) as running:
                self.running = running
                await self._stop.wait()
                self.running = None
        except (Unavailable, LogReplaced) as error:
            self.error = str(error)
        self._ended(self)

    # ---- what clients see

    async def ask(
        self,
        work: Callable[[Running], Awaitable[Any]],
        cancelled_after_s: float | None = None,
        *,
        watches: bool = False,
    ) -> Any:
        """The result of `work`, or the exception it raised; what `watches` may never end. Raises: Unanswered."""
        answer = self._loop.create_future()
        self._open[answer] = None
        task = self._start(self._serve(work, answer))
        if not watches:
            self._served.append(task)
        if cancelled_after_s is not None:
            self._loop.call_later(cancelled_after_s, task.cancel)
        timer = self._loop.call_later(PATIENCE_S, _give_up, answer, "the client has given up")
        try:
            return await answer
        finally:
            timer.cancel()
            self._open.pop(answer, None)

    async def _serve(self, work: Callable[[Running], Awaitable[Any]], answer: asyncio.Future[Any]) -> None:
        try:
            if self.running is None:
                raise Unavailable("the process is ending")
            outcome: Any = await work(self.running)
        except asyncio.CancelledError:
            _give_up(answer, "the client went away")
            raise
        except Exception as error:  # the client gets any exception
            outcome = Unavailable("the process ended in between") if self._is_of_an_end(error) else error
        if not answer.done():
            answer.set_result(outcome)

    def _is_of_an_end(self, error: Exception) -> bool:
        """Whether the end of the process explains it: by then the tables that its code reads may be dropped."""
        return isinstance(error, Closed) or (self.running is None and isinstance(error, ConfigurationError))

    # ---- what happens to it

    def crash(self) -> None:
        """Schedule none of its steps any more; waiting clients lose their connection."""
        self.process.crash()
        self.running = None
        for answer in list(self._open):
            _give_up(answer, "the process crashed")
        self._ended(self)

    def stop(self) -> None:
        """Ask it to end: it finishes accepted requests and releases its leases."""
        self._stop.set()


def _give_up(answer: asyncio.Future[Any], why: str) -> None:
    if not answer.done():
        answer.set_exception(Unanswered(why))


async def connected(storage: Storage, ambient: Ambient) -> LogStore:
    """The log for a new process. Raises: LogReplaced if its parts are not of one log; Unavailable."""
    if storage.container is not None:
        from twofold.testing.simulation.split_log import SplitLog  # needs azure-cosmos

        splitting = SplitLog(storage, storage.container, ambient)
        await splitting.open()
        return splitting
    if len(storage.logs) == 1:
        return SimulatedLog(storage, ambient)
    cuts, *parts = [SimulatedLog(storage, ambient, number) for number in storage.logs]
    log = Partitioned(parts, cuts, ambient)
    try:
        await log.open()
    except ConfigurationError as error:
        raise LogReplaced(str(error)) from error
    return log
