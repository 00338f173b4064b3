"""The row after each event of a stream, however the events are read. Without a server."""

from collections.abc import Sequence

import pytest

from twofold import App, Projection, Recorded, Running
from twofold.backends.memory import MemoryLog, MemoryReadStore
from twofold.messages import Entry, Position, Stream
from twofold.testing.conformance.bank import Balance, Deposit, Deposited, accounts, balances
from twofold.testing.conformance.material import at
from twofold.web.live import happened
from twofold.web.live.happened import Happened, Happening

bank = App("bank", deciders=[accounts], projections=[balances])


class Counted(MemoryLog):
    """It counts the events that are read of single streams."""

    read_of_streams = 0

    async def read_stream(self, stream: Stream, from_version: int, limit: int) -> Sequence[Entry]:
        entries = await super().read_stream(stream, from_version, limit)
        self.read_of_streams += len(entries)
        return entries


def happening_in(running: Running) -> Happening:
    return Happening(running, balances, {Deposited: "Deposited"}, "balance", lambda row: b'"%d"' % row.total)


async def followed(happening: Happening, place: Position, events: int) -> list[Happened]:
    found: list[Happened] = []
    while len(found) < events:
        found += await happening.after(place)
        place = found[-1].position
    return found


async def test_a_long_stream_is_read_once() -> None:
    log = Counted()
    async with bank.open(log, read_store=MemoryReadStore(), work=False) as running:
        for _ in range(300):
            await running.execute(accounts, "a", Deposit(1))
        happening = happening_in(running)
        found = await followed(happening, at(0), 300)
        assert [one.values and one.values[1] for one in found] == list(range(1, 301))
        assert log.read_of_streams == 0, "each event is there already, after the one before it"
        late = await followed(happening_in(running), at(250), 50)
        assert [one.values for one in late] == [one.values for one in found[250:]]
        assert log.read_of_streams == 251


async def test_who_comes_later_gets_the_rows_as_they_were() -> None:
    """Although the rows of newer events are kept."""
    async with bank.open(MemoryLog(), read_store=MemoryReadStore(), work=False) as running:
        for name in "abab":
            await running.execute(accounts, name, Deposit(1))
        happening = happening_in(running)
        first = await followed(happening, at(0), 4)
        assert [one.message for one in await followed(happening, at(0), 4)] == [one.message for one in first]
        assert [one.message for one in await followed(happening, at(2), 2)] == [one.message for one in first[2:]]
        assert [one.values for one in first] == [("a", 1, 1), ("b", 1, 1), ("a", 2, 2), ("b", 2, 2)]


async def test_only_so_many_rows_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(happened, "MOST_ROWS", 2)
    async with bank.open(MemoryLog(), read_store=MemoryReadStore(), work=False) as running:
        for name in "abcab":
            await running.execute(accounts, name, Deposit(1))
        happening = happening_in(running)
        found = await followed(happening, at(0), 5)
        assert [one.values and one.values[1] for one in found] == [1, 1, 1, 2, 2]
        assert list(happening._rows) == ["account-a", "account-b"]


async def test_pages_of_a_stream_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(happened, "HISTORY_PAGE", 3)
    async with bank.open(MemoryLog(), read_store=MemoryReadStore(), work=False) as running:
        for _ in range(8):
            await running.execute(accounts, "a", Deposit(1))
        for count in range(1, 9):
            [last, *_] = await followed(happening_in(running), at(count - 1), 1)
            assert last.values == ("a", count, count)


async def test_after_an_event_that_cannot_be_folded_no_row_is_shown() -> None:
    """As in the read model, where the row is parked from there on: it would lack that event."""

    def fold(row: Balance, event: Deposited, recorded: Recorded) -> Balance:
        if event.amount == 13:
            raise ValueError("unlucky")
        return Balance(row.id, row.total + event.amount, row.deposits + 1)

    picky = Projection("picky", Balance, fold)
    app = App("bank", deciders=[accounts], projections=[picky])
    async with app.open(MemoryLog(), read_store=MemoryReadStore(), work=False) as running:
        for amount in (1, 13, 2):
            await running.execute(accounts, "a", Deposit(amount))
        happening = Happening(running, picky, {Deposited: "Deposited"}, "balance", lambda row: b"1")
        assert [one.values for one in await followed(happening, at(0), 3)] == [("a", 1, 1), None, None]
