"""A stream of events without a server: its head, the ids of a snapshot that is interrupted, and logins that end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import Request

from twofold.ambient import Ambient
from twofold.api import Actor
from twofold.testing import virtual_time
from twofold.web.live.events import BEGIN_AGAIN, FIRST_S, events_of
from twofold.web.live.subscription import CHECK_EVERY_S, Round, Subscription
from twofold.web.problems import Problem

TOKEN, OTHER = "w.at.some.place", "w.at.another"
PART, LAST = Round(b"1", None, snapshot=True), Round(b"2", "w.the.end", snapshot=False)


class Watched:
    """A subscription with these rounds, the first of which comes at this time."""

    def __init__(self, *rounds: Round | None, after_s: float = 0) -> None:
        self._rounds, self._after_s = rounds, after_s
        self.after: str | None = None

    async def follow(self, request: Request, after: str | None, wait_s: float, tell: Any) -> None:
        self.after = after
        await asyncio.sleep(self._after_s)
        for each in self._rounds:
            await tell(each)


async def sent(watched: Watched, query: str = "", last: str | None = None, takes_s: float = 0) -> list[bytes]:
    """The messages of a stream, each once the client has taken it: the head is empty."""
    headers = [] if last is None else [(b"last-event-id", last.encode())]
    scope: dict[str, Any] = {"type": "http", "method": "GET", "path": "/", "query_string": query.encode()}
    scope["headers"] = headers
    taken: list[bytes] = []

    async def send(message: Any) -> None:
        await asyncio.sleep(takes_s)
        taken.append(message.get("body", b""))

    async def receive() -> Any:
        return await asyncio.Event().wait()

    unlike: Any = watched
    response = await events_of(Request(scope), unlike)
    await response(scope, receive, send)
    return taken


@pytest.mark.parametrize("last", [None, TOKEN, BEGIN_AGAIN])
@pytest.mark.parametrize("query", ["", f"after={OTHER}"])
def test_whoever_is_interrupted_in_a_snapshot_begins_again_however_often(query: str, last: str | None) -> None:
    """A client that was interrupted before comes with another id than at first, to the same address."""

    async def main() -> None:
        watched = Watched(PART, LAST)
        [frame] = [one for one in await sent(watched, query, last) if b"snapshot" in one]
        assert watched.after == {None: OTHER if query else None, TOKEN: TOKEN, BEGIN_AGAIN: None}[last]
        ids = [line.removeprefix("id: ") for line in frame.decode().splitlines() if line.startswith("id: ")]
        # Browsers send no empty id: then the token of the address holds, which has to be overruled.
        assert ids == [BEGIN_AGAIN if query else ""]
        again = Watched(PART, LAST)
        assert frame in await sent(again, query, ids[0] or None)
        assert again.after is None

    virtual_time.run(main())


@pytest.mark.parametrize("first", [PART, None], ids=["a round", "a heartbeat"])
@pytest.mark.parametrize("after_s", [0, FIRST_S / 2, FIRST_S, 1.5 * FIRST_S, 3 * FIRST_S])
def test_the_head_comes_first_and_once(after_s: float, first: Round | None) -> None:
    """Also where the first round comes as a client that resumes is about to get its head, which takes some time."""

    async def main() -> None:
        taken = await sent(Watched(first, after_s=after_s), last=TOKEN, takes_s=FIRST_S)
        assert [taken[0], taken[1][:6], taken[3:]] == [b"", b"retry:", [b""]]
        assert taken[2].startswith(b":" if first is None else b"event: snapshot")

    virtual_time.run(main())


class Standing(Subscription):
    """Nothing ever changes."""

    def _watch(self, *_: Any) -> Any:
        async def never() -> AsyncGenerator[None, None]:
            await asyncio.Event().wait()
            yield

        return never()


@pytest.mark.parametrize("extended", [0, 1, 3])
@pytest.mark.parametrize("lasts_s", [1.0, 40.0, 600.0])
def test_a_login_that_is_extended_goes_on_until_it_ends(extended: int, lasts_s: float) -> None:
    """With a heartbeat as often as ever, however many logins there were; then it ends on time."""

    async def main() -> None:
        clock, start, beats = asyncio.get_running_loop().time, datetime(2026, 3, 1, tzinfo=UTC), 0

        async def actor(headers: Any) -> Actor:
            """The login is extended when half of it is over."""
            times = min(extended, int(clock() / (lasts_s / 2)))
            return Actor("ann", {}, start + timedelta(seconds=(1 + times / 2) * lasts_s))

        async def tell(round: Round | None) -> None:
            nonlocal beats
            beats += 1

        running = SimpleNamespace(ambient=Ambient(now=lambda: start + timedelta(seconds=clock())))
        state = SimpleNamespace(running=running, api=SimpleNamespace(actor=actor, scope=None))
        app: Any = SimpleNamespace(state=state)
        request = Request({"type": "http", "method": "GET", "path": "/", "headers": [], "app": app})
        encoding: Any = SimpleNamespace(projection=None)
        with pytest.raises(Problem) as ended:
            await Standing(encoding, {}, (), {}, None).follow(request, None, 0, tell)
        in_all_s = (1 + extended / 2) * lasts_s
        assert ended.value.status_code == 401
        assert 0 <= clock() - in_all_s < 0.1
        assert in_all_s // CHECK_EVERY_S - 1 <= beats <= in_all_s // CHECK_EVERY_S + 1 + 2 * extended

    virtual_time.run(main())
