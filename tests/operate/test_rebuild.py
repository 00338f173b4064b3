"""A rebuild called from a program."""

import asyncio
import importlib
from collections.abc import Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import replace
from itertools import count
from typing import Any

import pytest

from twofold import operate
from twofold.ambient import Ambient
from twofold.app import Running
from twofold.backends.memory import MemoryLog, MemoryReadStore
from twofold.errors import InvalidInput
from twofold.feed.checkpoints import Checkpoint, Claim, FollowerId
from twofold.feed.lease import taken_over
from twofold.messages import Position, Recorded
from twofold.read.projection import Projection, Table
from twofold.read.rebuild import drop_unheld
from twofold.testing import virtual_time
from twofold.testing.conformance import Backend, InMemory
from twofold.testing.conformance.backend import InParts
from twofold.testing.conformance.bank import Balance, Deposited, balances, deposited, fold_balance
from twofold.testing.conformance.rebuild import caught_up, only, rebuilt, upgraded


async def positions_of(running: Running, projection: Projection[Balance], notes: list[str]) -> list[Position]:
    async with aclosing(operate.rebuild(running, projection, note=notes.append)) as positions:
        return [position async for position in positions]


async def test_a_new_version_is_folded_to_the_end_and_shown() -> None:
    log, rows = MemoryLog(Ambient()), MemoryReadStore()
    notes: list[str] = []
    async with only.open(log, read_store=rows) as running, upgraded.look(log, read_store=rows) as operator:
        await running.get(balances, "a", after=await deposited(log, "a", 1, 2))
        [newer] = upgraded.projections
        assert (await positions_of(operator, newer, notes))[-1] == await log.head()
        assert [
            (one.stored.follows.version, one.stored.live, one.in_app) for one in await operate.tables(operator)
        ] == [
            (1, False, False),
            (2, True, True),
        ]
        assert await positions_of(operator, newer, notes) == [], "there is nothing to do"
    assert notes == []


async def test_an_operator_is_told_once_what_a_rebuild_waits_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not at the first try: then the old table may just have been a little ahead."""
    log, rows, tries, notes = MemoryLog(Ambient()), MemoryReadStore(), count(1), list[str]()

    async def publish(*_: object) -> bool:
        return next(tries) == 5

    rebuild = importlib.import_module("twofold.operate.rebuild")
    monkeypatch.setattr(rebuild, "try_publish", publish)
    monkeypatch.setattr(rebuild, "LOOK_S", 0.0)
    async with upgraded.look(log, read_store=rows) as operator:
        await positions_of(operator, upgraded.projections[0], notes)
    said = "balance v2 is built; an open transaction is still reading from balance: waiting for it"
    assert (next(tries), notes) == (6, [said])


@pytest.mark.parametrize("from_scratch", [False, True])
def test_a_name_that_cannot_be_moved_is_given_up_after_a_minute(
    monkeypatch: pytest.MonkeyPatch, from_scratch: bool
) -> None:
    """However often it was tried. Another rebuild waits as long again."""
    rebuild = importlib.import_module("twofold.operate.rebuild")

    async def held(*_: object) -> bool:
        return False

    monkeypatch.setattr(rebuild, "try_publish", held)

    async def main() -> None:
        log, clock = MemoryLog(Ambient()), asyncio.get_running_loop().time
        await deposited(log, "a", 10)
        async with only.look(log, read_store=MemoryReadStore()) as operator:
            for _ in range(2):
                began, notes = clock(), list[str]()
                rebuilding = operate.rebuild(operator, balances, from_scratch=from_scratch, note=notes.append)
                async with asyncio.timeout(10 * rebuild.PUBLISH_S), aclosing(rebuilding) as positions:
                    async for _ in positions:
                        pass
                assert 0 <= clock() - began - rebuild.PUBLISH_S < 3 * rebuild.LOOK_S
                assert len(notes) == 1

    virtual_time.run(main())


@pytest.mark.parametrize("from_scratch", [False, True])
async def test_what_is_appended_while_the_name_cannot_be_moved_is_folded(
    monkeypatch: pytest.MonkeyPatch, from_scratch: bool
) -> None:
    """Nobody else does it where no worker runs."""
    log, rows, tries = MemoryLog(Ambient()), MemoryReadStore(), count(1)
    rebuild = importlib.import_module("twofold.operate.rebuild")
    publish = rebuild.try_publish

    async def held(*arguments: Any) -> bool:
        number = next(tries)
        if number < 4:
            await deposited(log, "a", number)
            return False
        shown: bool = await publish(*arguments)
        return shown

    monkeypatch.setattr(rebuild, "try_publish", held)
    monkeypatch.setattr(rebuild, "LOOK_S", 0.0)
    async with only.look(log, read_store=rows) as operator:
        await deposited(log, "a", 10)
        rebuilding = operate.rebuild(operator, balances, from_scratch=from_scratch, note=lambda _: None)
        async with aclosing(rebuilding) as positions:
            reached = [position async for position in positions]
        assert reached[-1] == await log.head()
        assert await operator.get(balances, "a") == Balance("a", 16, 4)
    assert next(tries) == 5


async def test_where_another_worker_holds_the_checkpoint_its_positions_are_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importlib.import_module("twofold.operate.rebuild"), "LOOK_S", 0.02)
    log, rows = MemoryLog(Ambient()), MemoryReadStore()
    notes: list[str] = []
    async with only.open(log, read_store=rows) as running, only.look(log, read_store=rows) as operator:
        await running.get(balances, "a", after=await deposited(log, "a", 1, 2))
        assert set(await positions_of(operator, balances, notes)) == {await log.head()}
        assert notes == [f"balance v1 is held by worker {running.owner}: waiting for it"]


async def test_a_worker_of_the_same_process_is_not_waited_for_as_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.import_module("twofold.operate.rebuild"), "LOOK_S", 0.02)
    notes: list[str] = []
    async with only.open("memory:") as running:
        await running.get(balances, "a", after=await deposited(running.log, "a", 1, 2))
        assert await positions_of(running, balances, notes) != []
        assert notes == []


async def test_only_a_projection_of_the_app_is_rebuilt() -> None:
    stranger = replace(balances, name="stranger")
    async with only.look(MemoryLog(Ambient()), read_store=MemoryReadStore()) as running:
        for call in (
            anext(operate.rebuild(running, stranger)),
            operate.rebuild_row(running, stranger, "a"),
            operate.verify(running, stranger),
            operate.prepared(running, stranger),
        ):
            with pytest.raises(InvalidInput, match="projection 'stranger' does not belong to"):
                await call
        assert await running.rows.tables() == []
    with pytest.raises(InvalidInput, match="has no projection 'stranger'; it has balance"):
        only.projection("stranger")


async def test_g8_a_worker_that_is_ahead_at_the_last_moment_is_caught_up_with(monkeypatch: pytest.MonkeyPatch) -> None:
    """The new table never stands before the one that it replaces: who has seen a row does not see it go back."""
    log, rows = MemoryLog(Ambient()), MemoryReadStore()
    async with only.open(log, read_store=rows, work=False) as running, only.look(log, read_store=rows) as operator:
        await deposited(log, "a", 1, 2)
        await caught_up(running)
        looked_at, replaced = rows.checkpoints.all_partitions, rows.replace
        stood: list[tuple[Position, Position]] = []
        ahead = asyncio.Lock()

        async def look_at(follower: FollowerId) -> Sequence[Checkpoint]:
            if not ahead.locked() and any(table.follows.builds for table in await rows.tables()):
                await ahead.acquire()
                await deposited(log, "a", 3)
                await caught_up(running)
            return await looked_at(follower)

        async def replace(table: Table, claims: Sequence[Claim], built: FollowerId, at: Sequence[Position]) -> bool:
            [old] = await looked_at(table.follows)
            stood.append((old.position, at[0]))
            return await replaced(table, claims, built, at)

        monkeypatch.setattr(rows.checkpoints, "all_partitions", look_at)
        monkeypatch.setattr(rows, "replace", replace)
        await rebuilt(operator)
        assert stood
        assert all(new >= old for old, new in stood)


def fragile(row: Balance, event: Deposited, recorded: Recorded) -> Balance:
    if row.id == "bad":
        raise ValueError("it cannot be folded")
    return fold_balance(row, event, recorded)


@pytest.mark.parametrize("backend", [InMemory(), InParts(3)], ids=["one partition", "three"])
async def test_a_version_in_which_something_is_parked_is_not_waited_for(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In whichever partition: it is not shown before somebody has looked at it."""
    rebuild = importlib.import_module("twofold.operate.rebuild")
    monkeypatch.setattr(rebuild, "LOOK_S", 0.01)
    monkeypatch.setattr(rebuild, "PUBLISH_S", 0.5)
    newer = Projection("balance", Balance, fragile, version=2)
    log, rows = await backend.open_log(), await backend.open_rows()
    notes: list[str] = []
    async with (
        only.open(log, read_store=rows) as running,
        replace(only, projections=[newer]).look(log, read_store=rows) as operator,
    ):
        for name in ("a", "b", "c", "d", "bad"):
            await running.get(balances, name, after=await deposited(log, name, 1))
        assert await positions_of(operator, newer, notes) != []
        assert [one.stored.live for one in await operate.tables(operator)] == [True, False]
    assert notes == []


@pytest.mark.parametrize("held", [[], [1], [1, 2]], ids=str)
def test_a_table_that_another_process_builds_is_not_dropped(held: list[int]) -> None:
    """Neither just after it was created, nor while that process holds some of its partitions."""

    async def main() -> None:
        rows, table = MemoryReadStore(), balances.table.beside("other")
        await rows.prepare(table)
        async with AsyncExitStack() as stack:

            async def hold(registered: Sequence[int], taken: Sequence[int]) -> None:
                for number in registered:
                    start = Position(number, 0)
                    await rows.checkpoints.register(table.follows.in_partition(number), "0" * 16, start)
                for number in taken:
                    follower = table.follows.in_partition(number)
                    await stack.enter_async_context(taken_over(rows.checkpoints, follower, "other"))

            if held:
                await hold([1, 2], held)
            dropping = asyncio.create_task(drop_unheld(table.follows, rows, "one"))
            await asyncio.sleep(1)
            if not held:
                await hold([0], [0])
            with pytest.raises(InvalidInput, match="is being built again by another process"):
                await dropping
        assert [one.follows for one in await rows.tables()] == [table.follows]

    virtual_time.run(main())
