"""Listening sockets: making and naming them, and telling apart who can reach them."""

from __future__ import annotations

import errno
import socket
from ipaddress import ip_address

BACKLOG = 2_048
OPS_PORT_ABOVE = 1_000
LOOPBACK = "127.0.0.1"


def listen(host: str, port: int) -> socket.socket:
    """A socket at this address; port 0 means any. Raises: OSError."""
    family, address = _resolved(host, port)
    return socket.create_server(address[:2], family=family, backlog=BACKLOG)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens there. Raises: OSError."""
    _, address = _resolved(host, 0)
    return ip_address(address[0].partition("%")[0]).is_loopback


def ops_port(port: int) -> int:
    """The port for /status and /metrics beside this one: 1,000 above it, so servers side by side do not meet."""
    above = port + OPS_PORT_ABOVE
    return 0 if port == 0 else above if above <= 65_535 else port - OPS_PORT_ABOVE


def address_of(listening: socket.socket) -> str:
    """Its URL."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def why_not(error: OSError, host: str, port: int, option: str) -> str:
    """Why this address cannot be listened at, and the option that chooses another."""
    if error.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is taken: stop what listens there, or choose another with {option}"
    return f"cannot listen on {host}, port {port}: {error.strerror or error}"


def _resolved(host: str, port: int) -> tuple[int, tuple[str, int]]:
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    return family, (str(address[0]), port)
