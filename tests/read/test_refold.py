"""One row folded again while others park it, and over several pages of the feed. On memory."""

import pytest

from twofold import operate
from twofold.backends.memory import MemoryLog, MemoryReadStore
from twofold.feed.feed import FeedPage
from twofold.messages import Append, Encoded, Meta, Position, Stream
from twofold.testing.conformance.bank import CURSED, deposited
from twofold.testing.conformance.rebuild import caught_up, cured, only, overwritten, parked_of


class OnceRead(MemoryLog):
    """Something happens after the first page that an operator reads."""

    happens = False

    async def read(
        self, after: Position, limit: int, types: frozenset[str] | None = None, until: Position | None = None
    ) -> FeedPage:
        page = await super().read(after, limit, types, until)
        if self.happens:
            self.happens = False
            await self.then()
        return page

    async def then(self) -> None:
        raise NotImplementedError


async def test_g7_a_row_that_is_parked_while_it_is_folded_again_goes_on() -> None:
    """By a worker of the old release, while the operator's can fold the event."""
    log, rows = OnceRead(), MemoryReadStore()
    async with only.open(log, read_store=rows, work=False) as old, cured.look(log, read_store=rows) as operator:
        await deposited(log, "a", 5)
        await caught_up(old)

        async def then() -> None:
            await deposited(log, "a", CURSED)
            await caught_up(old)
            assert [one.key for one in await parked_of(rows)] == ['["a"]']

        log.then, log.happens = then, True  # type: ignore[method-assign]
        found = await operate.rebuild_row(operator, cured.projections[0], "a")
        assert ([one.key for one in found.unparked], found.after) == (['["a"]'], ("a", 5 + CURSED, 2))
        assert await parked_of(rows) == []
        assert (await operate.verify(operator, cured.projections[0])).equal


@pytest.mark.parametrize("later", [1, 2, 5])
async def test_g5_a_row_that_goes_on_while_it_is_folded_again_has_all_of_it(
    monkeypatch: pytest.MonkeyPatch, later: int
) -> None:
    """A worker folds more of it after the operator has begun, in any number of pages."""
    monkeypatch.setattr("twofold.feed.feed.LARGEST_PAGE", 2)
    log, rows = OnceRead(), MemoryReadStore()
    async with only.open(log, read_store=rows, work=False) as worker, only.look(log, read_store=rows) as operator:
        await deposited(log, "a", 5)
        await caught_up(worker)
        await overwritten(worker, {("a",): ("a", 0, 0)})

        async def then() -> None:
            await deposited(log, "a", *[1] * later)
            await caught_up(worker)

        log.then, log.happens = then, True  # type: ignore[method-assign]
        found = await operate.rebuild_row(operator, only.projections[0], "a")
        assert (found.before, found.after) == (("a", later, later), ("a", 5 + later, 1 + later))
        assert found.events == 1 + later
        assert (await operate.verify(operator, only.projections[0])).equal


async def test_the_first_event_that_cannot_be_folded_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each page holds one that cannot."""
    monkeypatch.setattr("twofold.feed.feed.LARGEST_PAGE", 2)
    log, rows = MemoryLog(), MemoryReadStore()
    odd = Encoded("Deposited", 1, b'{"amount":"seven"}', None)
    await deposited(log, "a", 1, 2, 3, CURSED)
    await log.commit([Append(Stream("account", "a"), [odd, odd, odd], 4, Meta("odd", "odd"))])
    async with only.open(log, read_store=rows, work=False) as running:
        await caught_up(running)
        found = await operate.rebuild_row(running, only.projections[0], "a")
        assert (found.error, found.failed) == ("account-a@4: ArithmeticError: thirteen", Position(0, 4))
