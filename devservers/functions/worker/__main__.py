"""`python -m devservers.functions.worker DESCRIPTOR FOLDER`: serve the host on the socket with that descriptor."""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import socket
import sys
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from devservers.functions.worker import logs, protos

PACKAGES = Path(".python_packages", "lib", "site-packages")  # where a packed app has its dependencies


class Session:
    """The conversation with the host. Each request is a task, so invocations run side by side."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection, self._sending = connection, threading.Lock()
        self._json = importlib.import_module("google.protobuf.json_format")
        self._runtime = importlib.import_module("azure_functions_runtime")
        self._protos = protos.loaded()
        fields = self._protos.StreamingMessage.DESCRIPTOR.fields
        self._answers = {field.message_type.name: field.name for field in fields if field.message_type}
        self._running = set[asyncio.Task[None]]()

    async def serve(self) -> None:
        """Until the host is gone."""
        logs.send_logs(logs.Sender(self._protos, self._send, self._runtime.invocation_id_cv))
        self._runtime.start_threadpool_executor()
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._receive, args=[loop], daemon=True).start()
        await asyncio.Event().wait()

    def _receive(self, loop: asyncio.AbstractEventLoop) -> None:
        """In a thread of its own, so that no function outlives its host, whatever it does."""
        for line in self._lines():
            loop.call_soon_threadsafe(self._start, line)
        sys.stdout.flush()
        os._exit(0)

    def _lines(self) -> Iterator[bytes]:
        with self._connection.makefile("rb") as file:
            try:
                yield from file
            except ConnectionError:
                return

    def _start(self, line: bytes) -> None:
        task = asyncio.get_running_loop().create_task(self._answer(json.loads(line)))
        self._running.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        failure = asyncio.CancelledError() if task.cancelled() else task.exception()
        if failure is not None:  # what a function raises is an answer, unless it cancels its own task
            traceback.print_exception(failure)
            os._exit(1)

    async def _answer(self, line: dict[str, Any]) -> None:
        message = self._json.ParseDict(line, self._protos.StreamingMessage())
        self._runtime.invocation_id_cv.set(message.invocation_request.invocation_id or None)
        asked = getattr(self._runtime, message.WhichOneof("content"))
        answer = await asked(SimpleNamespace(request=message, properties={"host": "127.0.0.1", "protos": self._protos}))
        kind = self._answers[type(answer).__name__]
        self._send(self._protos.StreamingMessage(request_id=message.request_id, **{kind: answer}))

    def _send(self, message: Any) -> None:
        line = self._json.MessageToJson(message, preserving_proto_field_name=True, indent=None)
        with self._sending:
            self._connection.sendall(line.encode() + b"\n")


def find_the_app(folder: Path) -> None:
    """Import from the app and what is installed, and from nothing of this checkout."""
    checkout = Path(__file__).parents[3]
    os.environ.pop("PYTHONPATH", None)
    sys.path[:] = [place for place in sys.path if Path(place or ".").resolve() != checkout]
    packed = folder / PACKAGES
    sys.path[:0] = [*([str(packed)] if packed.is_dir() else []), str(folder)]


if __name__ == "__main__":
    descriptor, folder = int(sys.argv[1]), Path(sys.argv[2]).resolve()
    sys.argv = [str(folder)]
    find_the_app(folder)
    asyncio.run(Session(socket.socket(fileno=descriptor)).serve())
