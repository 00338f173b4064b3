"""The worker's process as seen by the host: requests, and what comes back."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from devservers.functions.errors import FunctionFailed, Misconfigured, WorkerEnded

ROOT = Path(__file__).parents[2]
LONGEST_LINE_BYTES = 256 * 1024 * 1024
STOP_S = 5.0
SYSTEM = "azure.functions"  # the category of the worker library's own lines

Message = dict[str, Any]
LogLine = Callable[[str, str, str], None]  # level, text, invocation


@dataclass(frozen=True, slots=True)
class Invocation:
    """One call of a function: the data of its trigger, in the protocol's form."""

    id: str
    function_id: str
    trigger: str
    data: Message
    trace_parent: str = ""
    retries: int = 0
    most_retries: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a function returned, and its outputs by name, in the protocol's form."""

    returned: Message
    outputs: Mapping[str, Message] = field(default_factory=dict)


class Worker:
    """A worker that runs one app."""

    def __init__(self, process: asyncio.subprocess.Process, streams: tuple[Any, Any], log: LogLine) -> None:
        self._process, self._log = process, log
        self._reader, self._writer = streams
        self._numbers, self._waiting = itertools.count(1), dict[str, asyncio.Future[Message]]()
        self.ended: asyncio.Task[None] = asyncio.create_task(self._receive())

    @classmethod
    async def started(cls, python: Path, folder: Path, settings: Mapping[str, str], log: LogLine) -> Worker:
        """A worker for the app in the folder, which is its working directory; nothing of the app is loaded yet."""
        ours, its = socket.socketpair()
        with its:
            process = await asyncio.create_subprocess_exec(
                *(python, "-P", "-m", "devservers.functions.worker", str(its.fileno()), folder),
                cwd=folder,
                env={**settings, "PYTHONPATH": str(ROOT)},
                stdout=sys.stderr,
                pass_fds=[its.fileno()],
                start_new_session=True,  # a Ctrl-C is for the host, which ends the worker when all is done
            )
        return cls(process, await asyncio.open_connection(sock=ours, limit=LONGEST_LINE_BYTES), log)

    async def load(self, folder: Path) -> list[Message]:
        """Load the app; returns the metadata of its functions. Raises: Misconfigured, WorkerEnded."""
        await self._loaded("worker_init_request", function_app_directory=str(folder))
        indexed = await self._loaded("functions_metadata_request", function_app_directory=str(folder))
        found: list[Message] = indexed.get("function_metadata_results", [])
        if not found:
            raise Misconfigured(f"there are no functions in {folder}: is there a function_app.py with some?")
        for one in found:
            await self._loaded("function_load_request", function_id=one["function_id"], metadata=one)
        return found

    async def invoke(self, call: Invocation) -> Outcome:
        """Run a function. Raises: FunctionFailed, WorkerEnded."""
        answer = await self._ask(
            "invocation_request",
            invocation_id=call.id,
            function_id=call.function_id,
            input_data=[{"name": call.trigger, "data": call.data}],
            trace_context={"trace_parent": call.trace_parent},
            retry_context={"retry_count": call.retries, "max_retry_count": call.most_retries},
        )
        failure = _failure(answer)
        if failure is not None:
            raise failure
        outputs = {one["name"]: one.get("data", {}) for one in answer.get("output_data", ())}
        return Outcome(answer.get("return_value", {}), outputs)

    async def stop(self) -> None:
        """End the process, whatever it is doing."""
        self._writer.close()  # it ends by itself then
        try:
            async with asyncio.timeout(STOP_S):
                await self._process.wait()
        except TimeoutError:
            os.kill(self._process.pid, signal.SIGKILL)
            await self._process.wait()
        await self.ended

    async def _loaded(self, kind: str, **content: Any) -> Message:
        answer = await self._ask(kind, **content)
        failure = _failure(answer)
        if failure is not None:
            raise Misconfigured(f"the app cannot be loaded: {failure}\n{failure.stack}".rstrip())
        if "HttpUri" in answer.get("capabilities", {}):
            raise Misconfigured("the app streams HTTP (azurefunctions-extensions-http-fastapi): not supported here")
        return answer

    async def _ask(self, kind: str, **content: Any) -> Message:
        number = str(next(self._numbers))
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        if self.ended.done():
            raise WorkerEnded(self.death())
        self._writer.write(json.dumps({"request_id": number, kind: content}).encode() + b"\n")
        return await answer

    async def _receive(self) -> None:
        with contextlib.suppress(ConnectionError):
            async for line in self._reader:
                self._take(json.loads(line))
        await self._process.wait()
        for waiting in self._waiting.values():
            if not waiting.done():  # who waited may have been cancelled
                waiting.set_exception(WorkerEnded(self.death()))
                waiting.exception()  # nobody may be waiting any more
        self._waiting.clear()

    def _take(self, message: Message) -> None:
        log = message.pop("rpc_log", None)
        if log is None:
            waiting = self._waiting.pop(message.pop("request_id"))
            if not waiting.done():
                (answer,) = message.values()
                waiting.set_result(answer)
        elif log.get("category") != SYSTEM:
            self._log(log.get("level", "Trace"), log.get("message", ""), log.get("invocation_id", ""))

    def death(self) -> str:
        """How the process has ended."""
        return f"the worker's process has ended with status {self._process.returncode}: see its output above"


def _failure(answer: Message) -> FunctionFailed | None:
    result = answer.get("result", {})
    if result.get("status", "Failure") == "Success":
        return None
    exception = result.get("exception", {})
    return FunctionFailed(exception.get("message", "no reason given"), exception.get("stack_trace", ""))
