"""The shop as a separate process, as `./dev run` starts it."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

WELCOME_LINES = 12


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def problem(self) -> dict[str, Any]:
        assert self.headers["content-type"] == "application/problem+json"
        found: dict[str, Any] = json.loads(self.body)
        assert {"type", "title", "status", "detail", "instance"} <= found.keys()
        assert found["status"] == self.status
        return found


@dataclass
class Server:
    process: subprocess.Popen[str]
    welcome: str

    @property
    def address(self) -> str:
        return self.welcome.split("serves ")[1].split(",")[0]

    @property
    def lines_to_paste(self) -> list[str]:
        return [line.strip() for line in self.welcome.splitlines() if line.strip().startswith("curl")]

    def send(self, *pieces: bytes) -> Answer:
        """Send these bytes on a new connection and return the response. No client corrects or refuses them."""
        where = urlsplit(self.address)
        with socket.create_connection((where.hostname, where.port), timeout=60) as connection:
            try:
                for piece in pieces:
                    connection.sendall(piece)
            except ConnectionError:
                pass  # the response came before everything was sent
            with connection.makefile("rb") as file:
                status = int(file.readline().split()[1])
                lines = [line.decode("latin-1").strip().split(": ", 1) for line in iter(file.readline, b"\r\n")]
                headers = {name.lower(): value for name, value in lines}
                told = int(headers.get("content-length", 0))
                if pieces[0].startswith(b"HEAD "):
                    told = -1 if b"Connection: close" in pieces[0] else 0  # whatever arrives, or nothing
                return Answer(status, headers, file.read(told))

    def ask(self, method: str, path: str, body: bytes | str | None = None, *headers: str) -> Answer:
        """Send a request and return the response. `headers` are raw lines."""
        sent = body.encode("utf-8", "surrogatepass") if isinstance(body, str) else body or b""
        lines = [f"{method} {path} HTTP/1.1", "Host: shop", *headers]
        if body is not None:
            own = any(line.lower().startswith("content-type") for line in headers)
            lines += [f"Content-Length: {len(sent)}", *([] if own else ["Content-Type: application/json"])]
        return self.send("\r\n".join([*lines, "", ""]).encode(), sent)

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(timeout=30)


@contextmanager
def serving(store: str, folder: Path, *options: str) -> Iterator[Server]:
    """A server on a free port; at the end it is stopped and must exit cleanly. Its logs are in `folder`."""
    with open(folder / "log", "a") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "shop.serve", "--port", "0", "--store", store, *options],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    with process:
        assert process.stdout is not None
        try:
            server = Server(process, "".join(process.stdout.readline() for _ in range(WELCOME_LINES)))
            yield server
            assert server.stop() == 0
        finally:
            process.kill()
