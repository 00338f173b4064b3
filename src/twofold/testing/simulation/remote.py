"""A store on another machine as its callers see it: requests travel, wait, get lost, arrive late or twice."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from random import Random
from typing import Any, Literal, TypeVar

from twofold.testing.simulation.loop import Process, SimulatedLoop, current_process

T = TypeVar("T")

Kind = Literal["append", "page", "claim", "look"]
Mishap = Literal["request lost", "answer lost", "late", "twice"]

LATENCY_S = 0.004
SYNC_S = 0.003
LATE_S = 8.0


class NotSent(Exception):
    """The store could not be reached: nothing happened."""


class NoAnswer(Exception):
    """The connection was lost after the request was sent: it may have been carried out, or still be."""


class _Request:
    """A request and the future of its response. `life` counts the crashes of the store before it was sent."""

    __slots__ = ("answer", "kind", "life", "work")

    def __init__(self, work: Callable[[], Any], kind: Kind, answer: Any, life: int) -> None:
        self.work, self.kind, self.answer, self.life = work, kind, answer, life


class Remote:
    """Receives the requests of all processes to one store.

    A request is carried out in one step of the scheduler. With `syncs` it first waits in line for the disk: when the
    store crashes, the first few in line are on the disk afterwards, and none of their callers gets a response.
    """

    def __init__(self, loop: SimulatedLoop, random: Random, name: str, counts: Counter[str]) -> None:
        self._loop, self._draw, self.name, self._counts = loop, random.random, name, counts
        self._context = copy_context()  # of no process: a sent request does not crash with its sender
        self._life = 0
        self._syncing: deque[_Request] = deque()
        self._disk_is_free_at = 0.0
        self.mishaps: Counter[tuple[Mishap, Kind]] = Counter()
        self.when_sent: dict[tuple[Process | None, Kind], Callable[[Remote], None]] = {}
        self.away = False
        self.slowness = 1.0
        self.deaf = False
        self.quiet_at = 0.0
        """When the last message that is on its way will have arrived."""

    async def ask(self, work: Callable[[], T], kind: Kind = "look", *, syncs: bool = False) -> T:
        """Run `work` in the store and return its result. Raises: what `work` raises, NotSent, NoAnswer."""
        request = _Request(work, kind, self._loop.create_future(), self._life)
        if self.when_sent and (happens := self.when_sent.pop((current_process(), kind), None)):
            happens(self)
        if self.mishaps and self._happens("late", kind):
            self.later(self._lose, request)
            self._late(self._arrive, request, syncs)
        else:
            self.later(self._arrive, request, syncs)
        answer: T = await request.answer
        return answer

    def later(self, happens: Callable[..., None], *values: Any) -> None:
        """Call back once a message has travelled."""
        self._after(self._draw() * LATENCY_S * self.slowness, happens, *values)

    def _late(self, happens: Callable[..., None], *values: Any) -> None:
        """Call back within `LATE_S`."""
        self._after(self._draw() * LATE_S, happens, *values)

    def _after(self, delay_s: float, happens: Callable[..., None], *values: Any) -> None:
        at = self._loop.time() + delay_s
        self.quiet_at = max(self.quiet_at, at)
        self._loop.call_at(at, happens, *values, context=self._context)

    def crash(self, away: bool) -> None:
        """Lose everything in flight; of the requests waiting for the disk, the first few are carried out."""
        kept = int(self._draw() * (len(self._syncing) + 1))
        for request in list(self._syncing)[:kept]:
            self._done(request)
        self._syncing.clear()
        self._life += 1
        self.away = away

    def _arrive(self, request: _Request, syncs: bool) -> None:
        if self.away:
            self._counts["away"] += 1
            self.later(_settle, request.answer, NotSent(f"{self.name} is unreachable"))
        elif request.life != self._life or (self.mishaps and self._happens("request lost", request.kind)):
            self.later(self._lose, request)
        elif syncs:
            self._syncing.append(request)
            self._disk_is_free_at = (
                max(self._disk_is_free_at, self._loop.time()) + SYNC_S * self.slowness * self._draw()
            )
            self._after(self._disk_is_free_at - self._loop.time(), self._synced, request)
        else:
            self._answer(request, self._done(request))

    def _synced(self, request: _Request) -> None:
        if request.life != self._life:
            self._lose(request)
            return
        self._syncing.remove(request)
        self._answer(request, self._done(request))

    def _done(self, request: _Request) -> Any:
        if self.mishaps and self._happens("twice", request.kind):
            self._late(self._again, request)
        try:
            return request.work()
        except Exception as error:  # the caller gets it
            return _Raised(error)

    def _again(self, request: _Request) -> None:
        if request.life == self._life and not self.away:
            self._done(request)

    def _answer(self, request: _Request, answer: Any) -> None:
        if self.mishaps and self._happens("answer lost", request.kind):
            self.later(self._lose, request)
        else:
            self.later(self._deliver, request, answer)

    def _deliver(self, request: _Request, answer: Any) -> None:
        if request.life != self._life:
            self._lose(request)
        else:
            _settle(request.answer, answer.error if isinstance(answer, _Raised) else answer)

    def _lose(self, request: _Request) -> None:
        _settle(request.answer, NoAnswer(f"the connection to {self.name} was lost"))

    def _happens(self, mishap: Mishap, kind: Kind) -> bool:
        if not self.mishaps[mishap, kind]:
            return False
        self.mishaps[mishap, kind] -= 1
        self._counts[f"{kind}: {mishap}"] += 1
        return True


class _Raised:
    """An error as the outcome of a request."""

    __slots__ = ("error",)

    def __init__(self, error: Exception) -> None:
        self.error = error


def _settle(answer: Any, value: Any) -> None:
    if answer.done():
        return
    if isinstance(value, Exception):
        answer.set_exception(value)
    else:
        answer.set_result(value)


def at_once(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that never really waits."""
    try:
        while True:
            work.send(None)
    except StopIteration as done:
        answer: T = done.value
        return answer
