"""Why a server cannot be reached, and what to do."""

import socket

import pytest

from twofold.backends.unreachable import unreachable


@pytest.mark.parametrize(
    ("error", "way_out"),
    [
        (socket.gaierror(-2, "Name or service not known"), "correct it in the URL"),
        (ConnectionRefusedError(111, "refused"), "no server is listening there"),
        (OSError("Multiple exceptions: [Errno 111] Connect call failed ('::1', 1)"), "no server is listening there"),
        (FileNotFoundError(2, "No such file or directory"), "no server is listening there"),
        (TimeoutError(), "check that the server is running"),
    ],
    ids=lambda case: type(case).__name__,
)
def test_a_way_out_is_named(error: BaseException, way_out: str) -> None:
    assert unreachable(error).startswith(": ")
    assert way_out in unreachable(error)


@pytest.mark.parametrize(
    "error",
    [None, ValueError("no"), OSError("the cable is cut"), FileNotFoundError(2, "No such file", "a.pem")],
    ids=lambda error: type(error).__name__,
)
def test_nothing_is_said_of_other_errors(error: BaseException | None) -> None:
    assert unreachable(error) == ""
