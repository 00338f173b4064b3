"""Watchers have a limit of their own; a client that does not read costs little and delays nobody."""

from __future__ import annotations

import asyncio
import json
import resource
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from twofold.web.serving import connections
from twofold.web.serving.limits import Limits, within_open_files
from twofold.web.serving.outgoing import Outgoing

Serve = Callable[..., Awaitable[Any]]
LONG = "x" * 20_000

pytestmark = pytest.mark.slow  # real sockets and real time


async def test_watchers_beyond_the_limit_are_refused(serve: Serve) -> None:
    site = await serve(limits=Limits(watchers=2))
    async with site.events() as stream, site.socket() as socket:
        await stream.next()
        async with site.events() as refused:
            assert (refused.response.status_code, refused.response.json()["type"]) == (503, "overloaded")
            assert refused.response.headers["retry-after"] == "1"
        with pytest.raises(InvalidStatus) as error:
            await site.socket()
        response = error.value.response
        assert (response.status_code, json.loads(response.body)["type"]) == (503, "overloaded")
        assert response.headers["retry-after"] == "1"
        metrics = (await site.client.get("/metrics")).text
        assert 'twofold_http_running{kind="watchers"} 2' in metrics
        assert 'twofold_http_refused_total{kind="watchers"} 2' in metrics
        assert (await site.client.get("/notes", headers={"X-User": "ada"})).status_code == 200
        await socket.close()
    await site.nobody_watches()
    async with site.events() as stream:
        assert (await stream.next()).name == "snapshot"


async def test_a_body_that_never_arrives_is_no_way_around_the_limit(serve: Serve) -> None:
    site = await serve(limits=Limits(watchers=1))
    head = b"GET /notes HTTP/1.1\r\nHost: x\r\nX-User: ada\r\nAccept: text/event-stream\r\nContent-Length: 5\r\n\r\n"
    reader, writer = await asyncio.open_connection(*site.address.removeprefix("http://").split(":"))
    try:
        writer.write(head)
        assert b" 200 " in await reader.readline()
        async with site.events() as refused:
            assert refused.response.status_code == 503
    finally:
        writer.close()
        await writer.wait_closed()
    await site.nobody_watches()


async def test_clients_that_do_not_read_delay_nobody_and_are_cut(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "LOOK_EVERY_S", 0.02)
    site = await serve(limits=Limits(answer_s=1))
    with await site.small_socket() as stuck:
        head = b"GET /notes HTTP/1.1\r\nHost: test\r\nX-User: ada\r\nAccept: text/event-stream\r\n\r\n"
        await asyncio.get_running_loop().sock_sendall(stuck, head)
        async with site.events() as stream, site.socket(sock=await site.small_socket()) as other:
            await other.send(json.dumps({"id": "n", "subscribe": "notes"}))
            other.transport.pause_reading()
            await stream.next()
            waited = 0
            for number in range(1_000):
                key = str(number % 20)
                await site.write(key, "ada", f"{number}{LONG}")
                while key not in (await stream.next()).rows:
                    pass
                waited = max([waited, *(watcher.room.bytes for watcher in site.running.watching._watchers)])
                if len(site.admission.watchers.running) == 1:
                    break
            assert len(site.admission.watchers.running) == 1
            assert 0 < waited <= 1024 * 1024
            other.transport.abort()
    await site.nobody_watches()


def test_a_stream_that_is_read_slowly_is_no_stuck_one() -> None:
    slow, whole, stuck = Outgoing(), Outgoing(), Outgoing()
    sizes = [100, 90, 110, 105, 140, 130]
    assert [slow.untaken_s(size, now, is_stream=True) for now, size in enumerate(sizes)] == [0, 0, 0, 0, 0, 0]
    assert [whole.untaken_s(size, now, is_stream=False) for now, size in enumerate(sizes)] == [0, 1, 2, 3, 4, 5]
    assert [stuck.untaken_s(size, now, is_stream=True) for now, size in enumerate([100, 100, 103, 103])] == [0, 1, 2, 3]
    assert whole.untaken_s(0, 9, is_stream=False) == 0
    later = Outgoing()  # it read much once, and then nothing any more
    assert [later.untaken_s(size, now, is_stream=True) for now, size in enumerate([900, 40, 40, 60, 0, 40, 40])] == [
        *(0, 0, 0, 1),
        *(0, 0, 1),
    ]


def test_open_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
        assert within_open_files(Limits(connections=10)).connections == 10
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 256
        lowered = within_open_files(Limits(connections=10**9))
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == hard
        assert lowered.connections == hard - 124
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
