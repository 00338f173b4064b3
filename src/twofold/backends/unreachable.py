"""What to do where a database server cannot be used: the end of the error's sentence."""

from __future__ import annotations

import socket

REFUSED = {
    "28000": "create the role, let pg_hba.conf admit it, or correct the user in the URL",
    "28P01": "correct the user or the password in the URL",
    "3D000": "create it, or correct the URL",
    "SQLITE_CANTOPEN": "make its folder, or correct the URL",
    "SQLITE_NOTADB": "it is another kind of file: correct the URL",
}
"""By the code of the error: trying again does not help."""


def unreachable(error: BaseException | None) -> str:
    """For an error of the network, with a colon before it; empty where there is nothing to say."""
    if isinstance(error, socket.gaierror):
        return ": no host of this name is known here; correct it in the URL"
    no_socket = isinstance(error, FileNotFoundError) and error.filename is None
    if no_socket or isinstance(error, ConnectionRefusedError) or "Connect call failed" in str(error):
        return ": no server listens there; start it, or correct host and port in the URL"
    if isinstance(error, TimeoutError):
        return ": no answer in time; see whether the server runs, and whether a firewall lets this machine reach it"
    return ""
