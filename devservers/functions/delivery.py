"""A batch of changes, given to the function as often as its retry policy says."""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import Any

from devservers.functions.errors import FunctionFailed
from devservers.functions.feed import Range
from devservers.functions.functions import Function
from devservers.functions.invoking import Call, Invoker
from devservers.functions.log import Log
from devservers.functions.pausing import pause


class Deliveries:
    """Delivers to one function. It gives up a batch only when the policy does, and then says that it is lost."""

    def __init__(self, function: Function, invoker: Invoker, log: Log, stop: asyncio.Event) -> None:
        self._function, self._invoker, self._log, self._stop = function, invoker, log, stop

    async def deliver(self, documents: list[dict[str, Any]], of: Range) -> bool:
        """Returns whether the batch is done with: not if the host stops before that. Raises: WorkerEnded."""
        data, what = {"json": json.dumps(documents)}, f"{_number(len(documents))} of range {of.id}"
        for failures in itertools.count():
            again = f", retry {failures}" if failures else ""
            try:
                await self._invoker.run(self._function, Call(data, f"{what}{again}", retries=failures))
                return True
            except FunctionFailed:
                delay_s = self._delay(failures + 1, what)
            if delay_s is None:
                return True
            await pause(self._stop, delay_s)
            if self._stop.is_set():
                break
        return False

    def _delay(self, failures: int, what: str) -> float | None:
        retry, name = self._function.retry, self._function.name
        delay_s = None if retry is None else retry.delay_s(failures)
        if delay_s is None:
            why = "it has no retry policy" if retry is None else f"its policy allows {retry.count} retries"
            self._log.write("Error", f"lost, as in Azure: {what}, because {name} failed and {why}", name)
        else:
            self._log.write("Warning", f"to be retried in {delay_s:g} s: {what}", name)
        return delay_s


def _number(documents: int) -> str:
    return f"{documents} document{'' if documents == 1 else 's'}"
