"""What many watch is written once, and nobody is sent what was written for those who may see more."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from decimal import Decimal
from typing import Any

import pytest

from twofold.read.watcher import RowChanges
from twofold.web.forms import JsonForm
from twofold.web.live import encoding

from .conftest import notes

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


def test_each_watcher_of_a_large_round_gets_all_of_it() -> None:
    """A round that takes several frames is not shared as if it were its last one."""
    once = encoding.Encoding(notes, None, JsonForm())
    values = [(str(number), "ada", "x" * encoding.FRAME_BYTES, Decimal(0)) for number in range(3)]
    rows = {each[0]: once.rows.format.from_values(each) for each in values}
    changes: RowChanges[Any] = RowChanges(rows, "w.", False, 2)
    first, second = list(once.bodies(changes)), list(once.bodies(changes))
    assert [is_last for _, is_last in first] == [False, False, True]
    assert second == first
    assert [json.loads(body)["parked"] for body, _ in first] == [2, 2, 2]


def test_a_row_is_not_taken_for_one_that_is_gone() -> None:
    """What is written once is found by the object that the values of a row are; another one may get its place."""
    once = encoding.Encoding(notes, None, JsonForm())
    for number in range(20):
        row = once.rows.format.from_values(("1", "ada", str(number), Decimal(0)))  # nobody else keeps these values
        changes: RowChanges[Any] = RowChanges({"1": row}, "w.", False, 0)
        [(body, _)] = once.bodies(changes)
        assert json.loads(body)["rows"]["1"]["title"] == str(number)
