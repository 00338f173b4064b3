"""What to do when a database server cannot be used: the end of the error's sentence."""

from __future__ import annotations

import socket

REFUSED = {
    "28000": "create the role, let pg_hba.conf admit it, or correct the user in the URL",
    "28P01": "correct the user or the password in the URL",
    "3D000": "create it, or correct the URL",
    "SQLITE_CANTOPEN": "create its folder, or correct the URL",
    "SQLITE_NOTADB": "it is another kind of file: correct the URL",
}
"""By the error's code: errors that retrying does not help."""


def unreachable(error: BaseException | None) -> str:
    """The way out of a network error, after a colon; empty for other errors."""
    if isinstance(error, socket.gaierror):
        return ": this host name cannot be resolved; correct it in the URL"
    no_socket = isinstance(error, FileNotFoundError) and error.filename is None
    if no_socket or isinstance(error, ConnectionRefusedError) or "Connect call failed" in str(error):
        return ": no server is listening there; start it, or correct host and port in the URL"
    if isinstance(error, TimeoutError):
        return ": no response in time; check that the server is running, and that no firewall is in the way"
    return ""
