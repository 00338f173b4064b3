"""Who can reach an address, and the port beside it."""

import pytest

from twofold.web.serving.sockets import is_loopback, ops_port


@pytest.mark.parametrize(
    ("host", "local"), [("127.0.0.1", True), ("localhost", True), ("127.9.9.9", True), ("0.0.0.0", False)]
)
def test_loopback(host: str, local: bool) -> None:
    assert is_loopback(host) is local


def test_a_host_that_is_none() -> None:
    with pytest.raises(OSError, match=r".+"):
        is_loopback("no.such.host.invalid")


def test_servers_side_by_side_have_ports_of_their_own() -> None:
    assert [ops_port(port) for port in (0, 80, 8000, 8001, 65_535)] == [0, 1_080, 9_000, 9_001, 64_535]
    assert all(0 < ops_port(port) < 65_536 != port for port in range(1, 65_536))
