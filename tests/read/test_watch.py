"""Watchers where something goes wrong, and very many of them, on memory; WatchConformance runs on every store."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from twofold import App, Projection, Recorded
from twofold.app import Running
from twofold.backends.memory import MemoryLog, MemoryReadStore
from twofold.backends.memory.inspection import LogInspection
from twofold.errors import Closed, LogReplaced, Unavailable
from twofold.feed.checkpoints import Checkpoint, FollowerId
from twofold.messages import MAX_OFFSET, Position
from twofold.read import freshness, rounds, watch
from twofold.read.columns import Values
from twofold.read.projection import Key, Table
from twofold.read.room import ENTRY_BYTES, PENDING_BYTES, Room, Waiting
from twofold.read.store import Condition, Query, QueryResult
from twofold.read.watched import Round, WatchToken
from twofold.read.watcher import OneWatcher
from twofold.testing import virtual_time
from twofold.testing.conformance.bank import Balance, Deposited, accounts, balances, bank, deposited, eventually, sums
from twofold.testing.conformance.feed import BOUND_S
from twofold.testing.conformance.watch import View, agrees, settled, viewed


class Away(MemoryReadStore):
    """A read store that can be away, for everything or for rows by key."""

    def __init__(self) -> None:
        super().__init__()
        self.away = self.rows_away = False
        self.finds = self.reads = 0
        self.holding: asyncio.Event | None = None
        self.older: tuple[Checkpoint, list[Values]] | None = None
        """What the next read of rows by key sees."""

    async def find(self, table: Table, query: Query) -> QueryResult:
        self.finds += 1
        if self.holding is not None:
            await self.holding.wait()
        if self.away:
            raise Unavailable("the read store is away")
        return await super().find(table, query)

    async def get_all(self, table: Table, keys: Sequence[Key]) -> QueryResult:
        self.reads += 1
        if self.rows_away:
            raise Unavailable("the rows are away")
        if self.older is not None:
            (checkpoint, rows), self.older = self.older, None
            return QueryResult([checkpoint], rows, [])
        return await super().get_all(table, keys)


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog()


@pytest.fixture
def store() -> Away:
    return Away()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "LOOK_EVERY_S", 0.02)
    monkeypatch.setattr(watch, "AGAIN_AFTER_S", 0.02)


@pytest.fixture
async def running(log: MemoryLog, store: Away) -> AsyncIterator[Running]:
    async with bank.open(log, read_store=store) as running:
        yield running


@pytest.fixture
async def reading(running: Running, log: MemoryLog, store: Away) -> AsyncIterator[Running]:
    """Another process, which does not fold."""
    async with bank.open(log, read_store=store, work=False) as reading:
        yield reading


# ---- the store is away


async def test_at_the_start_it_is_told_that_the_store_is_away(reading: Running, store: Away) -> None:
    async with viewed(reading, balances) as view:
        token = view.token
    store.away = True
    for after in (None, token):
        with pytest.raises(Unavailable, match="the read store is away"):
            await anext(reading.watch(balances, after=after))


@pytest.mark.parametrize("what", ["away", "rows_away"])
async def test_later_it_waits_for_the_store(
    log: MemoryLog, running: Running, reading: Running, store: Away, what: str
) -> None:
    async with viewed(reading, balances) as view:
        setattr(store, what, what == "away")
        await deposited(log, "a", 1)
        setattr(store, what, True)
        await asyncio.sleep(0.05)
        setattr(store, what, False)
        await agrees(view, running, balances)
        assert view.snapshots == 1


async def test_who_resumed_and_got_changes_waits_for_the_store(
    log: MemoryLog, running: Running, reading: Running, store: Away
) -> None:
    """Like a watcher that began with a snapshot, also if it needs a new one just then."""
    async with viewed(reading, balances) as view:
        pass
    await deposited(log, "a", 1)
    async with viewed(reading, balances, after=view.token) as resumed:
        await resumed.until(lambda view: "a" in view.rows)
        store.away = True
        [watcher] = reading.watching._watchers
        watcher.begin_again()
        await asyncio.sleep(0.05)
        store.away = False
        await resumed.until(lambda view: view.snapshots == 1)
        assert resumed.ended is None


async def test_a_snapshot_that_breaks_off_begins_again(
    log: MemoryLog, running: Running, store: Away, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "SNAPSHOT_PAGE", 2)
    for number in range(5):
        await deposited(log, f"r{number}", 1)
    await settled(running)
    view = View()
    async with aclosing(running.watch(balances)) as watched:
        view.take(await anext(watched))
        store.away = True
        going_on = asyncio.ensure_future(anext(watched))
        await asyncio.sleep(0.05)
        store.away = False
        view.take(await going_on)
        while view.token is None:
            view.take(await anext(watched))
    assert (view.snapshots, len(view.rows)) == (2, 5)


async def test_nothing_is_kept_of_a_page_that_was_taken(
    log: MemoryLog, running: Running, store: Away, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long it takes until the next one can be read: thousands may wait for it."""
    monkeypatch.setattr(watch, "SNAPSHOT_PAGE", 2)
    for number in range(5):
        await deposited(log, f"r{number}", 1)
    await settled(running)
    store.holding = asyncio.Event()
    store.holding.set()
    async with aclosing(running.watch(balances)) as watched:
        assert len((await anext(watched)).rows) == 2
        store.holding.clear()
        going_on = asyncio.ensure_future(anext(watched))
        await turns()
        assert store.finds == 2
        assert [one for one in gc.get_objects() if type(one) is Balance and one.id.startswith("r")] == []
        store.holding.set()
        await going_on


async def test_who_waits_for_the_store_says_so_once_and_ends_with_the_app(
    log: MemoryLog,
    running: Running,
    store: Away,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(watch, "SNAPSHOT_PAGE", 1)
    for name in ("a", "b"):
        await deposited(log, name, 1)
    await settled(running)
    async with bank.open(log, read_store=store, work=False) as reading:
        watched = reading.watch(balances)
        await anext(watched)
        store.away, before = True, store.finds
        waiting = asyncio.ensure_future(anext(watched))
        async with asyncio.timeout(BOUND_S):
            while store.finds < before + 3:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    try:
        async with asyncio.timeout(BOUND_S):
            with pytest.raises(Closed):
                await waiting
    finally:
        waiting.cancel()
        await asyncio.wait([waiting])
    said = [record.getMessage() for record in caplog.records if record.name == "twofold.watch"]
    assert said == ["a watcher of balance waits: the read store is away"]


async def test_who_joins_while_the_store_goes_away_waits_for_it(log: MemoryLog, running: Running, store: Away) -> None:
    await deposited(log, "a", 1)
    await settled(running)
    async with aclosing(running.watch(balances)) as watched:
        await anext(watched)
        store.away = True
        following = asyncio.ensure_future(anext(watched))
        await asyncio.sleep(0.05)
        store.away = False
        await deposited(log, "a", 2)
        changes = await following
        assert (changes.rows, changes.snapshot) == ({"a": Balance("a", 3, 2)}, False)


# ---- the log is another one


@pytest.mark.parametrize("older", [True, False])
async def test_a_log_that_was_replaced_ends_every_watcher(
    log: MemoryLog, running: Running, monkeypatch: pytest.MonkeyPatch, older: bool
) -> None:
    monkeypatch.setattr(freshness, "LOOK_EVERY_S", 0.01)
    await deposited(log, "a", 1, 2)
    await settled(running)
    async with viewed(running, balances) as view, viewed(running, balances, id="a") as of_one:
        if older:
            log._entries.pop()
        else:
            log.log_id = "f" * 16
        for one in (view, of_one):
            with suppress(AssertionError):
                await one.until(lambda one: one.ended is not None)
            assert isinstance(one.ended, LogReplaced)
    assert LogInspection(log).entries


async def test_a_read_store_that_went_back_begins_with_a_snapshot(
    log: MemoryLog, running: Running, reading: Running, store: Away
) -> None:
    """As after a crash that lost what was not synced: positions are lower than a watcher's."""
    await deposited(log, "a", 1, 2)
    await settled(running)
    async with viewed(reading, balances) as view:
        follower = balances.follows
        row = store._checkpoints.rows[follower]
        store._checkpoints.rows[follower] = msgspec.structs.replace(row, position=Position(0, 1), epoch=row.epoch + 1)
        store._tables[follower] = {("a",): ("a", 1, 1)}
        store._bell.ring()
        await view.until(lambda view: view.snapshots == 2)
        token = view.token
        assert token is not None
        ahead = token.replace(".0-1.", ".0-2.")
    async with viewed(reading, balances, after=ahead) as resumed:
        await resumed.until(lambda view: view.snapshots == 1)


@pytest.mark.parametrize("joining", [False, True])
async def test_a_read_store_that_goes_back_in_the_middle_of_a_round(
    log: MemoryLog, running: Running, reading: Running, store: Away, joining: bool
) -> None:
    """The rows are older than the round; afterwards it has caught up again."""
    await deposited(log, "a", 1)
    await settled(running)
    async with viewed(reading, balances) as view:
        older = store._checkpoints.rows[balances.follows], list(store._tables[balances.follows].values())
        if not joining:
            store.older = older
            await deposited(log, "a", 2)
            await view.until(lambda view: view.rows == {"a": Balance("a", 3, 2)})
    if joining:
        await deposited(log, "a", 2)
        await settled(running)
        store.older = older
        async with viewed(reading, balances, after=view.token) as view:
            await view.until(lambda view: view.rows == {"a": Balance("a", 3, 2)})
    assert store.older is None


async def test_a_read_store_that_goes_back_in_the_middle_of_a_snapshot(
    log: MemoryLog, running: Running, store: Away, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has caught up again before the last page: the pages in between are older than the token."""
    monkeypatch.setattr(watch, "SNAPSHOT_PAGE", 2)
    for name in ("a", "b", "c", "d", "e"):
        await deposited(log, name, 1)
    await settled(running)
    follower, view = balances.follows, View()
    async with aclosing(running.watch(balances)) as watched:
        view.take(await anext(watched))
        row, rows = store._checkpoints.rows[follower], dict(store._tables[follower])
        store._checkpoints.rows[follower] = msgspec.structs.replace(row, position=Position(0, 3))
        del store._tables[follower]["d",]
        view.take(await anext(watched))
        store._checkpoints.rows[follower], store._tables[follower] = row, rows
        await deposited(log, "a", 1)
        async with asyncio.timeout(BOUND_S):
            while view.token is None or view.rows["a"].deposits < 2:
                view.take(await anext(watched))
    assert sorted(view.rows) == ["a", "b", "c", "d", "e"]


# ---- ending


async def test_nothing_is_left_of_who_leaves_at_any_moment(log: MemoryLog, running: Running, store: Away) -> None:
    """It is cancelled in the snapshot, while it joins, while it waits, and while others wait."""
    await deposited(log, "a", 1)
    await settled(running)
    before = asyncio.all_tasks()
    for steps in range(25):
        view = View()
        task = asyncio.create_task(view.follow(running, balances))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert not running.watching._watchers
        assert {one for one in asyncio.all_tasks() - before if not one.done()} == set()


@pytest.mark.parametrize("changing", [False, True])
async def test_who_leaves_with_a_page_in_hand_leaves_its_room(
    log: MemoryLog, running: Running, monkeypatch: pytest.MonkeyPatch, changing: bool
) -> None:
    """In the snapshot or after it, by closing or by an error of its own: the other watches of the client have it."""
    monkeypatch.setattr(watch, "SNAPSHOT_PAGE", 2)
    for number in range(5):
        await deposited(log, f"r{number}", 1)
    await settled(running)
    room = Room()
    for taken in range(1, 6 if changing else 4):
        for ends in (None, ZeroDivisionError("mine"), asyncio.CancelledError()):
            watched = running.watching.watch(balances, room=room)
            for number in range(taken):
                if number >= 3:
                    await deposited(log, "r1", 1)
                await anext(watched)
            assert room.bytes > 0
            if ends is None:
                await watched.aclose()
            else:
                with pytest.raises(type(ends)):
                    await watched.athrow(ends)
            assert (room.bytes, room._held, room.reading.locked()) == (0, {}, False)


class Gated:
    """A read store whose rows come once the gate is open."""

    def __init__(self, store: Any) -> None:
        self._store, self.gate, self.asked = store, asyncio.Event(), asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def get_all(self, table: Table, keys: Sequence[Key]) -> QueryResult:
        self.asked.set()
        found: QueryResult = await self._store.get_all(table, keys)
        await self.gate.wait()
        return found


async def test_who_joins_as_the_last_one_leaves_is_told_everything(
    log: MemoryLog, running: Running, reading: Running
) -> None:
    """What had been told is not forgotten meanwhile, or a change in between would be told to nobody."""
    first, second = View(), View()
    leaving = asyncio.create_task(first.follow(reading, balances))
    await first.until(lambda view: view.token is not None)
    token = first.token
    await deposited(log, "a", 1)
    await agrees(first, running, balances)
    of = reading.watching._rounds[balances.follows]
    of._store = gated = Gated(of._store)  # type: ignore[assignment]
    joining = asyncio.create_task(second.follow(reading, balances, after=token))
    await gated.asked.wait()
    leaving.cancel()
    await asyncio.wait([leaving])
    await deposited(log, "b", 1)
    await settled(running)
    gated.gate.set()
    await agrees(second, running, balances)
    assert second.snapshots == 0
    joining.cancel()
    await asyncio.wait([joining])


async def test_who_joins_after_more_changes_than_a_round_holds_is_told_all_of_them(
    log: MemoryLog, running: Running, reading: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is near enough to get them as it joins, but they come in several rounds."""
    async with viewed(reading, balances) as view:
        pass
    for number in range(7):
        await deposited(log, f"r{number}", 1)
    await settled(running)
    monkeypatch.setattr(rounds, "KEYS_AT_ONCE", 2)
    async with viewed(reading, balances, after=view.token) as resumed:
        await agrees(resumed, running, balances)
        assert resumed.snapshots == 0


async def test_what_fails_unexpectedly_ends_the_watchers_with_the_error(
    log: MemoryLog, running: Running, store: Away, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They would wait for ever otherwise."""
    view = View()
    task = asyncio.create_task(view.follow(running, balances))
    await view.until(lambda view: view.token is not None)
    await asyncio.sleep(0.05)

    async def broken(table: Table, keys: Sequence[Key]) -> Any:
        raise ZeroDivisionError("mine")

    monkeypatch.setattr(running.watching._rounds[balances.follows]._store, "get_all", broken)
    await deposited(log, "a", 1)
    await asyncio.wait_for(task, 60)
    assert isinstance(view.ended, ZeroDivisionError)


# ---- rows


@dataclass(frozen=True, slots=True)
class Picky:
    id: str
    total: int = 0

    def __post_init__(self) -> None:
        if self.total == 7:
            raise ValueError("seven")


def fold_picky(row: Picky, event: Deposited, recorded: Recorded) -> Picky:
    made = object.__new__(Picky)
    object.__setattr__(made, "id", row.id)
    object.__setattr__(made, "total", row.total + event.amount)
    return made


async def test_a_row_that_cannot_be_read_is_gone_and_counted(log: MemoryLog, store: Away) -> None:
    """As `find` leaves it out."""
    picky = Projection("picky", Picky, fold_picky)
    await deposited(log, "a", 7)
    async with App("picky", deciders=[accounts], projections=[picky]).open(log, read_store=store) as running:
        await settled(running)
        async with viewed(running, picky) as view:
            parked = view.parked
            await deposited(log, "b", 3)
            await view.until(lambda view: view.rows == {"b": Picky("b", 3)})
            await deposited(log, "b", 4)
            await view.until(lambda view: view.gone == ["b"])
            assert (parked, view.parked) == (1, 1)


# ---- many


async def test_a_thousand_watchers_cost_one_reader(log: MemoryLog, running: Running, store: Away) -> None:
    """Of one row and of all; a stuck one delays nobody, and what waits for it is bounded."""
    views = [View() for _ in range(1_000)]
    asked: list[dict[str, Any]] = [{"id": "a"} if number % 2 else {} for number in range(1_000)]
    tasks = [
        asyncio.create_task(view.follow(running, balances, **where)) for view, where in zip(views, asked, strict=True)
    ]
    for view in views:
        await view.until(lambda view: view.token is not None)
    stuck = running.watch(balances)
    await anext(stuck)
    begun = asyncio.ensure_future(anext(stuck))
    await deposited(log, "first", 1)
    await begun
    await settled(running)
    before = store.reads
    folding = sum(following.state == "following" for following in running.followers)
    for number in range(10):
        await deposited(log, "a", 1)
        await deposited(log, f"r{number}", 1)
        await settled(running)
    for view, where in zip(views, asked, strict=True):
        await agrees(view, running, balances, **where)
    assert folding
    assert store.reads - before <= 20 * (1 + len(running.followers))
    [waiting] = [one._waiting for one in running.watching._watchers if one._waiting]
    taken = waiting.take()
    assert len(taken.rows if isinstance(taken, Round) else taken) == 11
    for task in tasks:
        task.cancel()
    await stuck.aclose()
    await asyncio.wait(tasks)


class Ringing(Away):
    """Its bell rings for watchers when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.rung = asyncio.Event()

    async def wait(self, follower: FollowerId, after: Position, timeout_s: float) -> None:
        if after.offset < MAX_OFFSET:
            await super().wait(follower, after, timeout_s)
        else:
            await self.rung.wait()

    def ring(self) -> None:
        self.rung.set()
        self.rung.clear()


async def turns() -> None:
    """Let everybody go on who does not wait for a time: while one task is ready, the clock stands still."""
    for _ in range(100):
        await asyncio.sleep(0)


def test_a_bell_that_rings_twice_delays_no_round() -> None:
    """What comes after a look that found nothing is seen at once, if the look before that one told something."""

    async def main() -> None:
        log, store = MemoryLog(), Ringing()
        async with bank.open(log, read_store=store) as running, viewed(running, balances) as view:
            await asyncio.sleep(1)
            for key in "abc":
                await deposited(log, key, 1)
                await settled(running)
                before = store.finds
                store.ring()
                await turns()
                assert (key in view.rows, store.finds - before) == (True, 1)
                await asyncio.sleep(2 * rounds.BETWEEN_ROUNDS_S)
                store.ring()
                await turns()
                assert store.finds - before == 2

    virtual_time.run(main())


def test_a_bell_that_rings_without_end_does_not_cost_more_and_more_looks() -> None:
    """It rings for other projections, too."""

    async def main() -> None:
        log, store = MemoryLog(), Ringing()
        async with bank.open(log, read_store=store) as running, viewed(running, balances) as view:
            await deposited(log, "a", 1)
            await settled(running)
            before = store.finds
            for _ in range(1_000):
                store.ring()
                await asyncio.sleep(0.001)
            assert "a" in view.rows
            assert 50 < store.finds - before <= 103

    virtual_time.run(main())


async def test_only_those_of_a_row_are_told_that_it_has_changed(
    log: MemoryLog, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also in the first round of all, so that a thousand of others cost nothing."""
    told: list[Any] = []
    take = OneWatcher.take
    async with viewed(running, balances, id="a") as a, viewed(running, balances, id="b") as b:
        await a.until(lambda view: view.token is not None)
        await b.until(lambda view: view.token is not None)
        async with asyncio.timeout(5):
            while sum(map(len, running.watching._rounds[balances.follows]._watchers._of_row.values())) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.01)  # nothing says that both have joined

        def noted(self: OneWatcher, changed: Round) -> bool:
            told.append(self.key)
            return take(self, changed)

        monkeypatch.setattr(OneWatcher, "take", noted)
        await deposited(log, "a", 1)
        await a.until(lambda view: "a" in view.rows)
    assert told == [("a",)]


async def test_a_slow_watcher_is_woken_once(log: MemoryLog, running: Running) -> None:
    """The reader pauses for those that it wakes, and not for one that does not take what waits."""
    watcher = OneWatcher(balances, [], Room())
    token = WatchToken("0" * 16, 1, "1", "0123abcd", {0: Position(0, 1)})
    rounds = [Round({(key,): (key, number, 1)}, token, 0) for number, key in enumerate("aab")]
    watcher._told_parked = 0
    assert [watcher.take(each) for each in rounds] == [True, False, False]


def test_a_row_that_came_and_went_while_a_watcher_was_slow_is_not_told() -> None:
    """Nobody would ever tell it that the row is gone: it was not shown."""
    watcher = OneWatcher(balances, [Condition("total", "lt", 10)], Room())
    watcher.begin()
    token = WatchToken("0" * 16, 1, "1", "0123abcd", {0: Position(0, 1)})
    for total in (1, 20):
        watcher.take(Round({("a",): ("a", total, 1), ("b",): ("b", 1, 1)}, token, 0))
    changes = watcher._taken()
    assert changes is not None
    assert changes.rows == {"b": Balance("b", 1, 1)}


def test_a_row_that_no_longer_matches_is_told_as_gone_once() -> None:
    """However often it changes after that; and once more after it came back."""
    watcher = OneWatcher(balances, [Condition("total", "lt", 10)], Room())
    watcher.begin()
    told = []
    for offset, total in enumerate((1, 20, 30, 2, 40, 50), 1):
        token = WatchToken("0" * 16, 1, "1", "0123abcd", {0: Position(0, offset)})
        watcher.take(Round({("a",): ("a", total, offset)}, token, 0))
        changes = watcher._taken()
        watcher.took_page()
        told.append(changes and changes.rows)
    assert told == [{"a": Balance("a", 1, 1)}, {"a": None}, None, {"a": Balance("a", 2, 4)}, {"a": None}, None]


def test_each_is_told_how_much_is_parked_when_it_takes_its_changes() -> None:
    """A slow watcher, too, which takes the same rows as a fast one did before more was parked."""
    fast, slow = OneWatcher(balances, [], Room()), OneWatcher(balances, [], Room())
    first, later = (WatchToken("0" * 16, 1, "1", "0123abcd", {0: Position(0, offset)}) for offset in (1, 2))
    changed = Round({("a",): ("a", 1, 1)}, first, 0)
    for watcher in (fast, slow):
        watcher.take(changed)
    shown = fast._taken()
    slow.take(Round({}, later, 1))
    told = slow._taken()
    assert shown is not None
    assert told is not None
    assert told.rows == shown.rows
    assert (shown.parked, told.parked) == (0, 1)


async def test_the_token_of_a_part_of_a_page_stays_what_it_was(
    log: MemoryLog, running: Running, reading: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A watcher may take the part while the reader goes on: its token must not come to name the end of the page."""
    monkeypatch.setattr(rounds, "KEYS_AT_ONCE", 2)
    found = rounds.Rounds(balances, reading.rows, log, reading.app.codec, reading.queries.freshness)
    since = (await found._standing()).token()
    for key in "abcdefg":
        await deposited(log, key, 1)
    await settled(running)
    now = await found._standing()
    of_rows = {key: number for number, key in enumerate("abcdefg", 1)}
    parts = [changed async for changed in found._between(since.places, now)]
    assert [len(part.rows) for part in parts] == [2, 2, 2, 1]
    for part, following in pairwise(parts):
        assert part.token.places[0].offset < min(of_rows[str(key)] for (key,) in following.rows)


async def test_what_changes_while_others_are_told_is_told_at_once(
    log: MemoryLog, running: Running, reading: Running, store: Away, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The doorbell rings after the rows have been read, and before the reader waits for it again."""
    monkeypatch.setattr(rounds, "LOOK_EVERY_S", 3_600)
    find, later = store.find, list("bcd")

    async def outdated(table: Table, query: Query) -> QueryResult:
        found = await find(table, query)
        if later and found.checkpoints[0].position.offset:
            await deposited(log, later.pop(0), 1)
            await settled(running)
        return found

    async with viewed(reading, balances) as view:
        store.find = outdated  # type: ignore[method-assign]
        await deposited(log, "a", 1)
        async with asyncio.timeout(BOUND_S):
            await view.until(lambda view: view.rows.keys() == {*"abcd"})


async def test_a_row_that_is_larger_than_the_room_is_told(log: MemoryLog, running: Running) -> None:
    """If nothing else waits: there is no smaller message. Beside anything else it means a snapshot."""
    text = "x" * (PENDING_BYTES + 1)
    watcher = OneWatcher(balances, [], Room())
    token = WatchToken("0" * 16, 1, "1", "0123abcd", {0: Position(0, 1)})
    watcher.take(Round({("a",): ("a", text, 1)}, token, 0))
    assert (watcher._again, watcher.room.is_full) == (False, True)
    watcher.take(Round({("b",): ("b", "", 1)}, token, 0))
    assert (watcher._again, watcher.room.bytes) == (True, 0)


async def test_the_watchers_of_a_client_get_their_pages_in_turn(log: MemoryLog, running: Running) -> None:
    """The next page is read when the client has taken the one before."""
    await deposited(log, "a", 1)
    await settled(running)
    room = Room()
    first, second = (running.watching.watch(balances, room=room) for _ in range(2))
    async with aclosing(first), aclosing(second):
        await anext(first)
        waits = asyncio.ensure_future(anext(second))
        for _ in range(100):
            await asyncio.sleep(0)
        assert not waits.done()
        goes_on = asyncio.ensure_future(anext(first))
        assert (await waits).snapshot
        goes_on.cancel()
        await asyncio.wait([goes_on])


async def test_who_waits_for_a_token_lets_the_others_of_a_client_read(log: MemoryLog, store: Away) -> None:
    """It takes no turn until its token is reached."""
    async with bank.open(log, read_store=store, work=False) as reading:
        room, receipt = Room(), await deposited(log, "a", 1)
        first, second = (
            reading.watching.watch(balances, after=receipt, room=room),
            reading.watching.watch(sums, room=room),
        )
        async with aclosing(first), aclosing(second):
            waits = asyncio.ensure_future(anext(first))
            await asyncio.sleep(0.01)
            async with asyncio.timeout(BOUND_S):
                assert (await anext(second)).snapshot
            assert not waits.done()
            waits.cancel()
            await asyncio.wait([waits])


async def test_a_watch_that_ends_takes_no_more_room(log: MemoryLog, running: Running) -> None:
    """Whatever waits for it then, which nobody will ever take."""
    room = Room()
    first, second = (running.watching.watch(balances, where, room=room) for where in ({}, {"total__gt": 0}))
    async with aclosing(first), aclosing(second):
        assert (await anext(first)).snapshot
        told = asyncio.ensure_future(anext(first))
        assert (await anext(second)).snapshot
        await deposited(log, "a", 1)
        assert {*(await anext(second)).rows} == {*(await told).rows} == {"a"}
        await deposited(log, "b", 1)
        await eventually(lambda: all(one._waiting for one in running.watching._watchers))
        for watched in (second, first):
            assert room.bytes > 0
            await watched.aclose()
    assert room.bytes == 0


async def test_conditions_may_come_in_another_order_when_a_watch_is_resumed(log: MemoryLog, running: Running) -> None:
    asked: list[dict[str, Any]] = [{"total__gt": 0, "deposits__in": [2, 1]}, {"deposits__in": {1, 2}, "total__gt": 0}]
    async with aclosing(running.watching.watch(balances, asked[0])) as watched:
        token = (await anext(watched)).token
    assert token is not None
    async with aclosing(running.watching.watch(balances, asked[1], after=token)) as resumed:
        assert not (await anext(resumed)).snapshot


def test_room_is_taken_once_by_what_several_wait_for() -> None:
    """And is free when the last of them is done."""
    room = Room()
    first, second = Waiting(room), Waiting(room)
    whole = Round({("a",): ("a", "x" * 1_000), ("b",): None}, WatchToken("", 1, "1", "", {}), 0)
    for waiting in (first, second, second):
        waiting.put_round(whole)
    assert room.bytes == 2 * whole.size + 3 * ENTRY_BYTES
    assert second.take() == whole.rows
    first.clear()
    assert room.bytes == whole.size + 2 * ENTRY_BYTES
    second.put(("b",), None, 100)
    second.drop(("b",))
    second.done()
    assert (room.bytes, room._held) == (0, {})


def test_tokens_are_read_back() -> None:
    """In any number of partitions."""
    for places in ([(0, 0)], [(1, 5), (2, 0), (4, 2**62)]):
        token = WatchToken("0" * 16, 12, "ab-1", "0123abcd", {p: Position(p, offset) for p, offset in places})
        assert WatchToken.parse(token.text("abcdef01")) == (token, "abcdef01")
