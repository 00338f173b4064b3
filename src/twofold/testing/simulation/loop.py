"""One scheduler for everything: time is virtual, and the next step is drawn at random from the ready ones.

A step is what an event loop calls a callback: a coroutine from one `await` to the next. Every step belongs to the
process in whose context it was requested. A paused process is not scheduled; a crashed one is never scheduled again,
so none of its `finally` blocks runs and it can write nothing more.
"""

from __future__ import annotations

import asyncio
import heapq
import sys
from asyncio import events
from collections.abc import Callable
from contextvars import Context, ContextVar, copy_context
from itertools import count
from random import Random
from typing import Any, TypeVarTuple

Ts = TypeVarTuple("Ts")

_OWNER: ContextVar[Process | None] = ContextVar("process", default=None)


# Kept, because collected tasks and async generators would run their `finally` at any time, even in another history.
_never_ended: list[Any] = []


def current_process() -> Process | None:
    """The process whose step is running."""
    return _OWNER.get()


class Stuck(Exception):
    """The history does not end."""


class Process:
    """The unit that is paused and crashes: everything started in its `context`, directly or indirectly."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.context: Context = copy_context()
        self.context.run(_OWNER.set, self)
        self.runs = True
        self.crashed = False
        self.held: list[_Step] = []
        self.fuse: tuple[int, Callable[[], None]] | None = None

    def pause(self) -> None:
        """Stop scheduling it until the loop resumes it."""
        self.runs = False

    def crash(self) -> None:
        """Never schedule it again."""
        self.runs, self.crashed = False, True

    def after_steps(self, steps: int, happens: Callable[[], None]) -> None:
        """Call `happens` between two of its steps, this many steps from now."""
        self.fuse = (steps, happens)

    def burn(self) -> None:
        """Count a step that is about to be taken."""
        if self.fuse is not None:
            steps, happens = self.fuse
            self.fuse = (steps - 1, happens) if steps > 0 else None
            if steps <= 0:
                happens()


class _Step(asyncio.TimerHandle):
    """One callback and its process, without what asyncio's handles do for other loops."""

    __slots__ = ("process",)

    def __init__(self, when: float, callback: Callable[..., Any], args: Any, context: Context | None) -> None:
        self._when, self._callback, self._args, self._cancelled = when, callback, args, False
        self._context: Context = copy_context() if context is None else context
        self.process: Process | None = self._context.get(_OWNER)

    def cancel(self) -> None:
        """Skip it when its time comes."""
        self._cancelled = True

    def when(self) -> float:
        """When it will be ready."""
        return self._when


class SimulatedLoop(asyncio.AbstractEventLoop):
    """The loop of this module. `errors` are the uncaught ones."""

    def __init__(self, random: Random, most_steps: int = 200_000) -> None:
        self.errors: list[str] = []
        self.steps = 0
        self._draw = random.random
        self._most_steps = most_steps
        self._now = 0.0
        self._ready: list[_Step] = []
        self._timers: list[tuple[float, int, _Step]] = []
        self._number = count()
        self._tasks: list[asyncio.Task[Any]] = []
        self._processes: list[Process] = []
        self._closed = False

    def process(self, name: str) -> Process:
        """A new one."""
        made = Process(name)
        self._processes.append(made)
        return made

    def resume(self, process: Process) -> None:
        """Continue a paused process."""
        process.runs = True
        self._ready += process.held
        process.held = []

    # ---- what asyncio requires of a loop

    def time(self) -> float:
        """Virtual seconds since the loop was created."""
        return self._now

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """Make it ready; others may be drawn before it."""
        step = _Step(self._now, callback, args, context)
        self._ready.append(step)
        return step

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Make it ready at this time."""
        step = _Step(when, callback, args, context)
        heapq.heappush(self._timers, (when, next(self._number), step))
        return step

    def call_later(
        self, delay: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Make it ready this many seconds from now."""
        return self.call_at(self._now + delay, callback, *args, context=context)

    def create_future(self) -> asyncio.Future[Any]:
        """A future of this loop."""
        return asyncio.Future(loop=self)

    def create_task(
        self, coro: Any, *, name: str | None = None, context: Context | None = None, **_: Any
    ) -> asyncio.Task[Any]:
        """A task of this loop, kept until the end so that a crashed process is not cleaned up before."""
        task = asyncio.Task(coro, loop=self, name=name or "", context=context)
        self._tasks.append(task)
        return task

    def get_debug(self) -> bool:
        """Never."""
        return False

    def is_running(self) -> bool:
        """True while the loop is open."""
        return not self._closed

    def is_closed(self) -> bool:
        """Whether the history is over."""
        return self._closed

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Keep an uncaught error for the report."""
        self.errors.append(f"{context.get('message')}: {context.get('exception')!r}")

    async def shutdown_asyncgens(self) -> None:
        """Nothing to do: they end with their tasks."""

    # ---- running

    def run_until_complete(self, future: Any) -> Any:
        """The future's result. Raises: what it raises, Stuck."""
        before, hooks = events._get_running_loop(), sys.get_asyncgen_hooks()
        events._set_running_loop(self)
        sys.set_asyncgen_hooks(finalizer=_never_ended.append)
        try:
            awaited = self.create_task(future) if asyncio.iscoroutine(future) else future
            while not awaited.done():
                self._one_step()
            return awaited.result()
        finally:
            sys.set_asyncgen_hooks(*hooks)
            events._set_running_loop(before)

    def _one_step(self) -> None:
        if self.steps >= self._most_steps:
            raise Stuck(f"no end after {self._most_steps:,} steps")
        ready = self._ready
        if not ready:
            self._wait()
        step = ready.pop()
        if ready and (place := int(self._draw() * (len(ready) + 1))) < len(ready):
            step, ready[place] = ready[place], step
        if step._cancelled:
            return
        process = step.process
        if process is not None:
            if process.fuse is not None and process.runs:
                process.burn()
            if not process.runs:
                process.held.append(step)
                return
        self.steps += 1
        try:
            step._context.run(step._callback, *step._args)
        except Exception as error:  # as in any event loop, one callback does not stop the others
            self.call_exception_handler({"message": "a callback raised", "exception": error})

    def _wait(self) -> None:
        """Nothing is ready: advance the time to the next timer."""
        timers = self._timers
        while timers and timers[0][2]._cancelled:
            heapq.heappop(timers)
        if not timers:
            raise Stuck("all tasks wait, and nothing is left that could wake them")
        self._now = max(self._now, timers[0][0])
        while timers and timers[0][0] <= self._now:
            self._ready.append(heapq.heappop(timers)[2])

    def close(self) -> None:
        """End the remaining tasks of every process; their writes have no effect any more."""
        if self._closed:
            return
        self._most_steps = self.steps + 100_000
        for task in self._tasks:
            task.cancel()
        for process in self._processes:
            process.fuse = None
            self.resume(process)
        try:
            self.run_until_complete(self._end())
        finally:
            self._closed = True
            _never_ended.extend(task for task in self._tasks if not task.done())
            self._tasks.clear()
            self._ready.clear()
            self._timers.clear()

    async def _end(self) -> None:
        own = asyncio.current_task()
        while left := [task for task in self._tasks if task is not own and not task.done()]:
            for task in left:
                task.cancel()
            await asyncio.wait(left, timeout=60)
        for task in self._tasks:
            if task is not own and not task.cancelled():
                task.exception()  # seen
