"""What many watch is written once, and nobody is sent what was written for those who may see more."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any

import pytest

from twofold.web.live import encoding

Serve = Callable[..., Awaitable[Any]]


async def test_those_who_see_all_share_what_is_written(
    serve: Serve, rules: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[bytes] = []
    body = encoding._body

    def counted(members: Sequence[bytes], parked: int) -> bytes:
        made = body(members, parked)
        written.append(made)
        return made

    rules.everything = {"boss", "auditor", "chief"}
    site = await serve()
    await site.write("1", "ada")
    async with AsyncExitStack() as stack:
        everyone = [*rules.everything, "ada", "bob"]
        streams = {user: await stack.enter_async_context(site.events(user=user)) for user in everyone}
        for stream in streams.values():
            await stream.next()
        monkeypatch.setattr(encoding, "_body", counted)
        await site.write("2", "ada")
        for user in everyone[:-1]:
            assert (await streams[user].next()).rows.keys() == {"2"}
        assert len(written) == 2  # for those who see all, and for ada
        await site.write("3", "bob")
        for user in [*rules.everything, "bob"]:
            assert (await streams[user].next()).rows.keys() == {"3"}
        assert len(written) == 4
