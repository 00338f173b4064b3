"""One run of a function: the worker's part, then its outputs; logged with its id, outcome and duration."""

from __future__ import annotations

import secrets
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from devservers.functions.channel import Invocation, Outcome, Worker
from devservers.functions.errors import FunctionFailed
from devservers.functions.functions import Binding, Function
from devservers.functions.log import Log


class Outputs(Protocol):
    """Where outputs go."""

    async def write(self, binding: Binding, data: dict[str, Any]) -> None:
        """Write one. Raises: FunctionFailed."""


@dataclass(frozen=True, slots=True)
class Call:
    """What a function is called with, and why, for the log."""

    data: dict[str, Any]
    reason: str
    trace_parent: str = ""
    retries: int = 0


class Invoker:
    """Runs functions, several at a time."""

    def __init__(self, worker: Worker, outputs: Outputs, log: Log) -> None:
        self._worker, self._outputs, self._log = worker, outputs, log

    async def run(self, function: Function, call: Call) -> Outcome:
        """Run it to the end. Raises: FunctionFailed, WorkerEnded."""
        one, began = str(uuid.uuid4()), time.monotonic()
        self._log.running[one] = function.name
        self._log.write("Information", f"started: {call.reason}", function.name, one)
        try:
            outcome = await self._worker.invoke(_invocation(one, function, call))
            await self._write(function.outputs, outcome)
        except FunctionFailed as failure:
            text = f"failed in {_ms(began)} ms: {failure}\n{failure.stack}".rstrip()
            self._log.write("Error", text, function.name, one)
            raise
        finally:
            del self._log.running[one]
        self._log.write("Information", f"succeeded in {_ms(began)} ms", function.name, one)
        return outcome

    async def _write(self, bindings: Sequence[Binding], outcome: Outcome) -> None:
        given = {"$return": outcome.returned, **outcome.outputs}
        for binding in bindings:
            if given.get(binding.name):
                await self._outputs.write(binding, given[binding.name])


def _ms(began: float) -> int:
    return round((time.monotonic() - began) * 1_000)


def _invocation(id: str, function: Function, call: Call) -> Invocation:
    most = 0 if function.retry is None else function.retry.count
    return Invocation(
        id, function.id, function.trigger.name, call.data, _trace(call.trace_parent), call.retries, max(0, most)
    )


def _trace(parent: str) -> str:
    """A span of its own within the caller's trace, or within a new one."""
    parts = parent.split("-")
    trace = parts[1] if len(parts) == 4 and len(parts[1]) == 32 else secrets.token_hex(16)
    return f"00-{trace}-{secrets.token_hex(8)}-01"
