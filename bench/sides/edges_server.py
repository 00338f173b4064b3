"""uvicorn as its users start it: uvloop, httptools, one process, and the access log that it writes by default."""

import os
import socket
from typing import Any

import uvicorn

BACKLOG = 2_048


def announce(address: str) -> None:
    """Tell the parent the address. From here on, what is printed (the access log) goes nowhere."""
    print(address, flush=True)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def serve(app: Any) -> None:
    """Serve an ASGI app until the process is stopped."""
    with socket.create_server(("127.0.0.1", 0), backlog=BACKLOG) as listening:
        announce(f"http://127.0.0.1:{listening.getsockname()[1]}")
        uvicorn.Server(uvicorn.Config(app)).run(sockets=[listening])
