"""The sockets of the development servers: for this machine only."""

import socket

HOST = "127.0.0.1"


def listening(port: int) -> socket.socket:
    """A socket that listens on this port; 0: any free one. Raises: OSError."""
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    one.bind((HOST, port))
    one.listen(1024)
    return one
