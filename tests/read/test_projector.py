"""The projector when the store fails at the wrong moment. On memory and in virtual time."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from itertools import product
from typing import TypeVar

import pytest

from twofold import operate
from twofold.ambient import Ambient
from twofold.backends.memory import MemoryLog, MemoryReadStore
from twofold.backends.memory.inspection import LogInspection, RowsInspection
from twofold.errors import BatchRefused, LeaseLost, NameHeld, Unavailable
from twofold.feed import follow
from twofold.feed.checkpoints import Checkpoint, Claim
from twofold.messages import Position
from twofold.read.cache import RowCache
from twofold.read.projection import Table
from twofold.read.projector import Projector
from twofold.read.publish import AGAIN_S
from twofold.read.store import Changes
from twofold.testing import virtual_time
from twofold.testing.conformance.bank import CURSED, KEYLESS, balances, bank, deposited, eventually, sums
from twofold.testing.conformance.checkpoints import claimed
from twofold.testing.conformance.rollups import Model, is_live, put

newer = replace(balances, version=2)
deployed = replace(bank, projections=[newer], reactors=[])


class GoesAway(MemoryReadStore):
    """Just when the newer version is about to be published."""

    def __init__(self) -> None:
        super().__init__()
        self.away = 1

    async def publish(self, table: Table, covered: Sequence[Position], lost: Sequence[Checkpoint] = ()) -> bool:
        if table == newer.table and self.away:
            self.away -= 1
            raise Unavailable("down")
        return await super().publish(table, covered, lost)

    async def shown(self) -> int:
        return next(table.follows.version for table in await self.tables() if table.live)


R = TypeVar("R", bound=GoesAway)


async def _with_an_old_version(made: type[R] = GoesAway) -> tuple[MemoryLog, R]:  # type: ignore[assignment]
    log, rows = MemoryLog(), made()
    receipt = await deposited(log, "a", 5)
    async with replace(bank, projections=[balances], reactors=[]).open(log, read_store=rows) as running:
        await running.get(balances, "a", after=receipt)
    assert await rows.shown() == 1
    return log, rows


def test_g8_a_version_that_has_caught_up_is_shown_although_no_event_comes_any_more() -> None:
    async def main() -> None:
        log, rows = await _with_an_old_version()

        async def newer_is_shown() -> bool:
            return await rows.shown() == 2

        async with deployed.open(log, read_store=rows):
            await eventually(newer_is_shown)
        assert rows.away == 0

    virtual_time.run(main())


class InUse(GoesAway):
    """The name cannot be moved as long as something depends on it."""

    def __init__(self) -> None:
        super().__init__()
        self.away, self.why, self.tried = 0, "", 0

    async def publish(self, table: Table, covered: Sequence[Position], lost: Sequence[Checkpoint] = ()) -> bool:
        if table == newer.table and self.why:
            self.tried += 1
            raise NameHeld(self.why)
        return await super().publish(table, covered, lost)


def test_g8_operators_see_why_a_name_cannot_be_moved_as_long_as_it_cannot(caplog: pytest.LogCaptureFixture) -> None:
    """Each reason is logged once, and tried again after a while, also if events come all the time."""

    async def main() -> None:
        log, rows = await _with_an_old_version(InUse)
        async with deployed.open(log, read_store=rows) as running:

            async def noted() -> str | None:
                [status] = [one for one in await operate.status(running) if one.name == "balance"]
                return status.note

            for why in ("a view depends on it", "another right is missing"):
                rows.why = why
                for _ in range(30):
                    await deposited(log, "a", 1)
                    await asyncio.sleep(1)
                assert await noted() == why
            assert rows.tried < 10
            rows.why = ""
            await asyncio.sleep(2 * AGAIN_S)
            assert (await rows.shown(), await noted()) == (2, None)
        said = [record.getMessage() for record in caplog.records if record.name == "twofold.publish"]
        assert said == ["a view depends on it", "another right is missing"]

    virtual_time.run(main())


@pytest.mark.parametrize("former", ["another log", "a newer copy"])
def test_g8_a_version_is_shown_in_place_of_one_that_is_lost(former: str) -> None:
    """Of a read model and of its rollups, although no event comes after the first ones."""

    async def main() -> None:
        lost, rows, model = MemoryLog(), MemoryReadStore(), Model()
        async with model.app.open(lost, read_store=rows) as running:
            for number in range(5):
                done = await put(running, str(number), owner="a")
            await running.find(model.of_owner, after=done.receipt)
        log = MemoryLog() if former == "another log" else LogInspection(lost).older_copy(Ambient())
        model = Model(2)
        async with model.app.open(log, read_store=rows) as running:
            if former == "another log":
                done = await put(running, "1", owner="a")
            await running.settled(timeout_s=60)
            for projection in (model.source, model.of_owner, model.of_day):
                await eventually(partial(is_live, rows, projection))

    virtual_time.run(main())


def test_g8_a_rebuild_that_was_stopped_before_the_end_shows_it_the_next_time() -> None:
    async def main() -> None:
        log, rows = await _with_an_old_version()

        async def rebuild() -> None:
            async with deployed.look(log, read_store=rows) as running:
                [following] = await operate.prepared(running, running.app.projection("balance"))
                async with aclosing(following.catch_up()) as reached:
                    async for _ in reached:
                        pass

        with pytest.raises(Unavailable):
            await rebuild()
        assert await rows.shown() == 1
        await rebuild()
        assert await rows.shown() == 2

    virtual_time.run(main())


# ---- two pages in flight: one is folded while the one before is being committed


class Fails(MemoryReadStore):
    """Some commits succeed; the next is slow and ends as told, when the page after it is already folded."""

    def __init__(self, after: int, how: Callable[[Claim], Exception] | None) -> None:
        super().__init__()
        self.left, self.how, self.commits = after, how, 0

    async def commit(self, table: Table, claim: Claim, after: Position, to: Position, changes: Changes) -> None:
        self.commits += 1
        self.left -= 1
        await asyncio.sleep(0.02)
        if self.left == 0 and self.how is not None:
            raise self.how(claim)
        await super().commit(table, claim, after, to, changes)
        if self.left == 0:
            raise Unavailable("it is done, and nobody hears of it")


def lost(claim: Claim) -> Exception:
    return LeaseLost(claim.follower, "is held by somebody else")


def away(claim: Claim) -> Exception:
    return Unavailable("down")


def refused(claim: Claim) -> Exception:
    return BatchRefused("one of them")


@pytest.mark.parametrize("how", [lost, away, refused, None])
@pytest.mark.parametrize("after", [1, 2, 3, 4])
def test_g5_a_page_is_folded_while_the_one_before_fails(
    after: int, how: Callable[[Claim], Exception] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows and parked keys equal a fresh fold: with a row that the store refuses, one that cannot be folded, a stream.

    Pages are small and full, so that one is always being committed while the next is folded on top of it.
    """
    monkeypatch.setattr(follow, "SMALLEST_PAGE", 6)
    monkeypatch.setattr("twofold.read.projector.LARGEST_PAGE", 6)
    monkeypatch.setattr("twofold.read.projector.Projector.largest_page", 6)

    async def main() -> None:
        log, rows = MemoryLog(), Fails(after, how)
        rows.refuses = lambda table, values: "this" if values[0] == "c" and 40 < values[1] < 50 else None  # later not
        for number in range(1, 31):
            await deposited(log, "abc"[number % 3], number if number != 7 else CURSED, 1)
        last = await deposited(log, "d", 1)
        app = replace(bank, projections=[balances, sums], reactors=[])
        async with app.open(log, read_store=rows) as running:
            for projection in (balances, sums):
                await running.find(projection, after=last, wait_s=30)
                found = await operate.verify(running, projection)
                assert found.equal, found
            rows_of = {row.id: row.total for row in (await running.find(balances)).rows}
            assert (rows_of["b"], rows_of["c"]) == (1 + 1 + 4 + 1, 2 + 1 + 5 + 1 + 8 + 1 + 11 + 1), (
                "as before what waits"
            )
            waits = [(one.follower.name, one.parked.key) for one in await running.parking.list()]
            assert waits == [("balance", '["b"]'), ("balance", '["c"]'), ("sum", '["b"]'), ("sum", "account-c")]
        assert rows.commits > 10 * 2

    virtual_time.run(main())


def test_g5_rows_are_remembered_until_they_are_committed(monkeypatch: pytest.MonkeyPatch) -> None:
    """However small the cache: the next page is folded on rows that the store does not have yet."""
    monkeypatch.setattr(follow, "SMALLEST_PAGE", 6)
    monkeypatch.setattr("twofold.read.projector.Projector.largest_page", 6)

    def small(*, complete: bool, limit: int) -> RowCache:
        return RowCache(complete=complete, limit=600)

    monkeypatch.setattr("twofold.read.projector.RowCache", small)

    async def main() -> None:
        log, rows = MemoryLog(), Fails(-1, None)
        for number in range(60):
            last = await deposited(log, "abcde"[number % 5], 1, 2)
        app = replace(bank, projections=[balances, sums], reactors=[])
        async with app.open(log, read_store=rows) as running:
            for projection in (balances, sums):
                await running.find(projection, after=last, wait_s=30)
                assert (await operate.verify(running, projection)).equal

    virtual_time.run(main())


def test_g5_what_a_crash_took_is_folded_again_also_by_a_claim_that_looks_the_same() -> None:
    """A store that loses its newest transactions loses claims with them: the next claim gets the same epoch."""

    async def main() -> None:
        log, rows = MemoryLog(), MemoryReadStore()
        app = replace(bank, projections=[balances, sums], reactors=[])
        async with app.open(log, read_store=rows):
            pass
        before = RowsInspection(rows).snapshot()
        async with app.open(log, read_store=rows) as running:
            receipt = await deposited(log, "a", 5)
            assert await running.get(balances, "a", after=receipt) is not None
            RowsInspection(rows).restore(before)
            for projection in (balances, sums):  # nothing comes any more: an idle worker notices
                await running.find(projection, after=receipt, wait_s=30)
                assert (await operate.verify(running, projection)).equal

    virtual_time.run(main())


@pytest.mark.parametrize("how", [away, lost, None])
def test_a_page_that_comes_again_is_not_counted_twice(how: Callable[[Claim], Exception] | None) -> None:
    """Keys that were not stored, or are parked already, do not count towards the hundred per minute."""

    async def main() -> None:
        log, rows = MemoryLog(), Fails(1, how)
        for number in range(90):
            last = await deposited(log, f"a{number}", CURSED)
        app = replace(bank, projections=[balances], reactors=[])
        async with app.open(log, read_store=rows) as running:
            assert (await running.find(balances, after=last, wait_s=30)).parked == 90
            last = await deposited(log, "b", 1)
            assert await running.get(balances, "b", after=last) is not None
            assert running.followers[0].state == "following"

    virtual_time.run(main())


def test_g5_a_page_that_is_being_committed_is_waited_for_by_whoever_stops() -> None:
    """Also if it is stopped while it waits for that page with the next one."""

    async def main() -> None:
        log, rows = MemoryLog(), Fails(-1, None)
        projector = Projector(balances, rows, log, bank.codec, Ambient())
        await rows.prepare(balances.table)
        await rows.checkpoints.register(balances.follows, log.log_id, Position(0, 0))
        claim = await claimed(rows.checkpoints, balances.follows)
        for amount in (1, 2):
            await deposited(log, "a", amount)
        first = await log.read(Position(0, 0), 1)
        await projector.handle(claim, Position(0, 0), first)
        second = asyncio.create_task(projector.handle(claim, first.upto, await log.read(first.upto, 1)))
        await asyncio.sleep(0.01)
        second.cancel()
        await asyncio.wait([second])
        assert second.cancelled()
        await projector.flush()
        seen = await rows.checkpoints.read(balances.follows)
        assert seen is not None
        assert seen.position == first.upto

    virtual_time.run(main())


@pytest.mark.parametrize("bad", [*product((CURSED, KEYLESS), repeat=3)])
async def test_g7_a_row_stays_parked_when_something_else_is_parked_in_a_later_page(
    monkeypatch: pytest.MonkeyPatch, bad: tuple[int, int, int]
) -> None:
    """A row, a stream, and one after the other; its own events come between them and after, each in a page."""
    monkeypatch.setattr("twofold.read.projector.Projector.largest_page", 1)
    log, rows = MemoryLog(), MemoryReadStore()
    app = replace(bank, projections=[sums], reactors=[])
    async with app.open(log, read_store=rows, work=False) as running:
        for number, amount in enumerate(bad):
            await deposited(log, "bcd"[number], amount)
            for name in "bcde":
                await deposited(log, name, 1)
        async with aclosing(running.followers[0].catch_up()) as positions:
            async for _ in positions:
                pass
        waiting = {one.parked.key for one in await running.parking.list()}
        names = dict(zip("bcd", bad, strict=True))
        assert waiting == {f'["{n}"]' if amount == CURSED else f"account-{n}" for n, amount in names.items()}
        found = {row.name: row.deposits for row in await running.find(sums)}
        assert {name: found.get(name, 0) for name in "bcde"} == {"b": 0, "c": 1, "d": 2, "e": 3}
