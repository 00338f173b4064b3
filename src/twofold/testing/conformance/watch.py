"""Watchers: a snapshot, then every change, resumable by token in any process, whatever happens to the rows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from twofold import operate
from twofold.app import App, Running
from twofold.backends.ports import LogStore, Rows
from twofold.errors import Closed, ConfigurationError, InvalidQuery, InvalidToken, NotReached
from twofold.feed import feed
from twofold.messages import Append, Encoded, Meta, Recorded, Stream
from twofold.read import room, rounds, watch
from twofold.read.projection import Projection
from twofold.read.watcher import RowChanges
from twofold.testing.conformance.backend import OnBackend
from twofold.testing.conformance.bank import (
    CURSED,
    KEYLESS,
    Balance,
    Deposited,
    Sum,
    accounts,
    balances,
    deposited,
    sums,
)
from twofold.testing.conformance.feed import BOUND_S

_READ = Path(watch.__file__).parent


@dataclass(frozen=True, slots=True)
class Day:
    """A row whose key has two fields, not in their order in the row."""

    amount: int
    deposits: int = 0
    id: str = ""


def fold_day(row: Day, event: Deposited, recorded: Recorded) -> Day | None:
    """Count; a deposit of 99 deletes the row."""
    return None if event.amount == 99 else replace(row, deposits=row.deposits + 1)


days = Projection("day", Day, fold_day, key=lambda e, r: [(r.stream.id, e.amount % 7)], key_fields=("id", "amount"))


foreign = Projection("foreign", Day, fold_day, key=lambda e, r: (r.stream.id, 1), key_fields=("id", "amount"))


class Curable:
    """A fold that fails on one amount until it is mended, and deletes its row on another."""

    def __init__(self) -> None:
        self.mended = False

    def balance(self, row: Balance, event: Deposited, recorded: Recorded) -> Balance | None:
        """Sum up."""
        if event.amount == CURSED and not self.mended:
            raise ArithmeticError("thirteen")
        return None if event.amount == 99 else Balance(row.id, row.total + event.amount, row.deposits + 1)


class View:
    """What a client knows that applies all changes, and what it got."""

    def __init__(self) -> None:
        self.rows: dict[Any, Any] = {}
        self.told: list[RowChanges[Any]] = []
        self.gone: list[Any] = []
        self.token: str | None = None
        self.ended: BaseException | None = None
        self._news = asyncio.Event()

    @property
    def snapshots(self) -> int:
        """How often it began again."""
        return sum(changes.snapshot for changes in self.told)

    @property
    def parked(self) -> int:
        """As the newest changes say."""
        return self.told[-1].parked

    def take(self, changes: RowChanges[Any]) -> None:
        """Apply them."""
        self.told.append(changes)
        self.token = changes.token
        if changes.snapshot:
            self.rows.clear()
        for key, row in changes.rows.items():
            if row is None:
                self.gone.append(key)
                self.rows.pop(key, None)
            else:
                self.rows[key] = row
        self._news.set()

    async def follow(self, running: Running, projection: Projection[Any], **asked: Any) -> None:
        """Watch until it ends."""
        try:
            async with aclosing(running.watch(projection, **asked)) as watched:
                async for changes in watched:
                    self.take(changes)
        except Exception as error:
            self.ended = error
            self._news.set()

    async def until(self, condition: Callable[[View], bool]) -> None:
        """Wait for it to hold of this view."""
        async with asyncio.timeout(BOUND_S):
            while not condition(self):
                assert self.ended is None, self.ended
                self._news.clear()
                await self._news.wait()


@asynccontextmanager
async def viewed(running: Running, projection: Projection[Any], **asked: Any) -> AsyncIterator[View]:
    """A view that is kept until the end of the block; it has had its first changes, unless it resumes."""
    view = View()
    task = asyncio.create_task(view.follow(running, projection, **asked))
    try:
        if "after" not in asked or not str(asked["after"]).startswith("w."):
            await view.until(lambda view: view.token is not None)
        yield view
    finally:
        task.cancel()
        await asyncio.wait([task])


async def table(running: Running, projection: Projection[Any], **conditions: Any) -> dict[Any, Any]:
    """The rows that match now, by key."""
    page = await running.find(projection, limit=500, **conditions)
    names = projection.table.key
    keyed = [(tuple(getattr(row, name) for name in names), row) for row in page.rows]
    return {key if len(key) > 1 else key[0]: row for key, row in keyed}


async def settled(running: Running) -> None:
    """Everything is folded."""
    await running.settled(timeout_s=BOUND_S)


async def agrees(view: View, running: Running, projection: Projection[Any], **conditions: Any) -> None:
    """At rest a view equals its table."""
    await settled(running)
    expected = await table(running, projection, **conditions)
    await view.until(lambda view: view.rows == expected)


class WatchConformance(OnBackend):
    """See `Running.watch` and `Running.until`."""

    @pytest.fixture
    def curable(self) -> Curable:
        """Not mended."""
        return Curable()

    @pytest.fixture
    def watched_app(self, curable: Curable) -> App:
        """One read model that is spread, one that is merged, and one with a composite key."""
        return App("bank", deciders=[accounts], projections=[replace(balances, evolve=curable.balance), sums, days])

    @pytest.fixture
    async def here(self, watched_app: App, log: LogStore, store: Rows) -> AsyncIterator[Running]:
        """It folds."""
        async with watched_app.open(log, read_store=store) as here:
            yield here

    @pytest.fixture
    async def elsewhere(
        self, watched_app: App, here: Running, other_log: LogStore, other_store: Rows
    ) -> AsyncIterator[Running]:
        """Another process, which does not fold."""
        async with watched_app.open(other_log, read_store=other_store, work=False) as other:
            yield other

    @pytest.fixture
    def balance(self, watched_app: App) -> Projection[Balance]:
        """The one that is spread."""
        return watched_app.projections[0]

    async def test_every_view_equals_its_table_at_rest(
        self, log: LogStore, here: Running, elsewhere: Running, balance: Projection[Balance]
    ) -> None:
        """In the process that folds and in another one, with and without conditions, of each kind of read model."""
        await deposited(log, "a", 1, 2)
        await settled(here)
        all_asked: Sequence[dict[str, Any]] = (
            {},
            {"total__ge": 10},
            {"id": "a"},
            {"id__in": ["b", "c"], "deposits__lt": 3},
        )
        views: list[tuple[Running, Projection[Any], dict[str, Any]]] = []
        for process in (here, elsewhere):
            views += [(process, balance, asked) for asked in all_asked]
            views += [(process, sums, {"deposits__ge": 3}), (process, sums, {}), (process, days, {"id": "a"})]
        async with asyncio.TaskGroup() as group:
            following = [View() for _ in views]
            tasks = [
                group.create_task(view.follow(process, projection, **asked))
                for view, (process, projection, asked) in zip(following, views, strict=True)
            ]
            for name, *amounts in (("b", 3, 99), ("c", 20), ("a", 9), ("b", 30), ("c", 99), ("d", 5)):
                await deposited(log, name, *amounts)
                await asyncio.sleep(0)
            for view, (process, projection, asked) in zip(following, views, strict=True):
                await agrees(view, process, projection, **asked)
            for task in tasks:
                task.cancel()

    async def test_a_row_that_leaves_the_conditions_is_told_as_gone_to_those_who_saw_it(
        self, log: LogStore, here: Running, balance: Projection[Balance]
    ) -> None:
        """It is shown again when it comes back. Rows that never matched are never told."""
        await deposited(log, "a", 5)
        await settled(here)
        async with viewed(here, balance, total__lt=10) as view:
            await deposited(log, "other", 50)
            await deposited(log, "other", 99)
            await deposited(log, "a", 20)
            await view.until(lambda view: view.gone == ["a"])
            await deposited(log, "a", 99)
            await deposited(log, "a", 3)
            await view.until(lambda view: view.rows == {"a": Balance("a", 3, 1)})
            assert (view.gone, view.snapshots) == (["a"], 1)

    async def test_any_process_resumes_from_a_token(
        self, log: LogStore, here: Running, elsewhere: Running, balance: Projection[Balance]
    ) -> None:
        """It gets what has changed since, and no snapshot; also if nothing changes until later."""
        for projection in (balance, sums, days):
            async with viewed(here, projection) as first:
                await deposited(log, "a", 1)
                await agrees(first, here, projection)
            await deposited(log, "b", 2)
            await deposited(log, "a", 3)
            second = View()
            second.rows = dict(first.rows)
            task = asyncio.create_task(second.follow(elsewhere, projection, after=first.token))
            await agrees(second, elsewhere, projection)
            assert second.snapshots == 0
            await deposited(log, "c", 2)
            await agrees(second, elsewhere, projection)
            task.cancel()
            await asyncio.wait([task])
            assert second.snapshots == 0

    async def test_what_follows_events_that_no_row_can_have_is_told(
        self, log: LogStore, here: Running, elsewhere: Running
    ) -> None:
        """In the same page of the feed: one without a key, and one that cannot be decoded."""
        odd = Encoded("Deposited", 1, b'{"amount":"seven"}', None)
        async with viewed(here, sums) as view:
            pass
        await deposited(log, "a", 1, KEYLESS)
        await log.commit([Append(Stream("account", "b"), [odd], 0, Meta("odd", "odd"))])
        await deposited(log, "c", 2)
        await settled(here)
        async with viewed(elsewhere, sums, after=view.token) as resumed:
            await agrees(resumed, here, sums)
            assert (sorted(resumed.rows), resumed.snapshots) == (["a", "all", "c"], 0)

    async def test_who_resumes_with_conditions_gets_a_snapshot_once_a_row_may_have_left_them(
        self, log: LogStore, here: Running, balance: Projection[Balance]
    ) -> None:
        """It is not known which rows it was shown. Conditions on the key are decided without."""
        async with viewed(here, balance, total__lt=10, id__ne="x") as view:
            await deposited(log, "a", 1)
            await view.until(lambda view: "a" in view.rows)
        await deposited(log, "x", 50)
        await deposited(log, "b", 2)
        await settled(here)
        async with viewed(here, balance, total__lt=10, id__ne="x", after=view.token) as resumed:
            await resumed.until(lambda view: "b" in view.rows)
            assert resumed.snapshots == 0
            await deposited(log, "c", 50)
            await resumed.until(lambda view: view.snapshots == 1)
            assert resumed.rows == {"a": Balance("a", 1, 1), "b": Balance("b", 2, 1)}
            assert resumed.gone == []

    async def test_what_cannot_be_resumed_from_begins_with_a_snapshot(
        self, log: LogStore, here: Running, balance: Projection[Balance]
    ) -> None:
        """A token of other conditions, another read model, version or log, other partitions, or beyond the end."""
        await deposited(log, "a", 1)
        await settled(here)
        async with viewed(here, balance) as view:
            token = str(view.token)
        async with viewed(here, sums) as of_sums:
            pass
        names = token.split(".")
        place = names[5].split("_")[0]
        beyond = ".".join([*names[:5], names[5].replace(place, f"{place.partition('-')[0]}-{2**40}"), names[6]])
        async with viewed(here, balance, total__ge=1) as at_least:
            pass
        of_more = token.replace(names[5], f"{names[5]}_999-0")
        of_others = [of_sums.token, beyond, of_more, token.replace(names[5], "999-0")]
        of_others += [token.replace(log.log_id, "f" * 16), token.replace(".1.", ".2.", 1)]
        all_asked: Sequence[dict[str, Any]] = [
            {"id": "a", "after": token},
            {"total__le": 1, "after": at_least.token},
            *({"after": one} for one in of_others),
        ]
        for asked in all_asked:
            view = View()
            task = asyncio.create_task(view.follow(here, balance, **asked))
            await view.until(lambda view: view.token is not None)
            task.cancel()
            assert (view.snapshots, view.rows) == (1, {"a": Balance("a", 1, 1)}), asked
        for wrong in ("w.", f"{token}x", token.replace("w.", "w.."), "w." + "0" * 5_000):
            with pytest.raises(InvalidToken, match="not a token of a watcher"):
                await anext(here.watch(balance, after=wrong))

    async def test_the_first_snapshot_includes_a_receipt(
        self, log: LogStore, here: Running, elsewhere: Running, balance: Projection[Balance]
    ) -> None:
        """As with `find`."""
        receipt = await deposited(log, "a", 1)
        for projection, key in ((balance, "a"), (sums, "all")):
            async with aclosing(elsewhere.watch(projection, after=receipt)) as watched:
                assert key in (await anext(watched)).rows

    async def test_a_snapshot_comes_in_pages_and_loses_nothing_meanwhile(
        self, log: LogStore, here: Running, balance: Projection[Balance], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Between two pages rows are added, changed, deleted, moved in the order, and leave the conditions."""
        monkeypatch.setattr(watch, "SNAPSHOT_PAGE", 2)
        for number in range(6):
            await deposited(log, f"r{number}", number + 1)
        await settled(here)
        view = View()
        watched = here.watch(balance, order_by="total", total__lt=50)
        view.take(await anext(watched))
        assert (list(view.rows), view.token) == (["r0", "r1"], None)
        await deposited(log, "r0", 99)
        await deposited(log, "r1", 60)
        await deposited(log, "r5", -5)
        await deposited(log, "new", 1)
        await deposited(log, "r3", 99)
        await settled(here)
        async with asyncio.timeout(BOUND_S), aclosing(watched):
            expected = await table(here, balance, total__lt=50)
            while view.rows != expected or view.token is None:
                view.take(await anext(watched))
        assert [changes.snapshot for changes in view.told][:2] == [True, False]
        assert view.snapshots == 1

    # ---- rows that change without an event

    @pytest.mark.parametrize("how", ["retry", "discard", "again", "key"])
    async def test_what_is_unparked_begins_with_a_snapshot(
        self,
        log: LogStore,
        here: Running,
        elsewhere: Running,
        balance: Projection[Balance],
        curable: Curable,
        how: str,
    ) -> None:
        """For those who watch, resume, or are in the middle of a snapshot."""
        async with viewed(elsewhere, balance) as view, viewed(elsewhere, balance, id="b") as of_one:
            await deposited(log, "a", 5, CURSED, 7)
            await deposited(log, "b", 1)
            await agrees(view, here, balance)
            await view.until(lambda view: view.parked == 1)
            await of_one.until(lambda view: view.parked == 1)
            token = view.token
            between = elsewhere.watch(balance)
            await anext(between)
            curable.mended = how != "again"
            if how == "discard":
                await here.parking.discard("balance", "a")
            elif how == "key":
                await operate.rebuild_row(here, balance, "a")
            else:
                await here.parking.retry("balance", "a")
            await view.until(lambda view: view.snapshots == 2)
            await agrees(view, here, balance)
            expected = await table(here, balance)
        async with viewed(elsewhere, balance, after=token) as resumed:
            await resumed.until(lambda view: view.snapshots == 1)
            assert resumed.rows == expected
        async with aclosing(between):
            assert await anext(between) == msgspec.structs.replace(resumed.told[0], token=resumed.token)

    async def test_what_is_unparked_just_after_a_round_is_noticed_at_once(
        self,
        log: LogStore,
        here: Running,
        elsewhere: Running,
        balance: Projection[Balance],
        curable: Curable,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Its doorbell rings while the reader of the rounds pauses, and nothing else would make it look again."""
        monkeypatch.setattr(rounds, "LOOK_EVERY_S", 10 * BOUND_S)
        monkeypatch.setattr(rounds, "BETWEEN_ROUNDS_S", 0.2)
        async with viewed(here, balance) as view, viewed(elsewhere, balance) as other:
            await deposited(log, "a", 5, CURSED)
            await view.until(lambda view: view.parked == 1)
            await other.until(lambda view: view.parked == 1)
            curable.mended = True
            await here.parking.retry("balance", "a")
            for each in (view, other):
                await each.until(lambda view: view.rows == {"a": Balance("a", 18, 2)})

    async def test_every_watcher_is_told_whenever_something_is_parked(
        self, log: LogStore, here: Running, elsewhere: Running, balance: Projection[Balance]
    ) -> None:
        """Also one that watches another row, and also when as much was parked once before."""
        async with viewed(elsewhere, balance, id="b") as view:
            for number in (1, 2):
                await deposited(log, f"a{number}", CURSED)
                await view.until(lambda view: view.parked == 1)
                await here.parking.discard("balance", f"a{number}")
                await view.until(lambda view: view.parked == 0)

    async def test_what_is_parked_is_no_reason_for_a_snapshot(
        self, log: LogStore, here: Running, elsewhere: Running, balance: Projection[Balance]
    ) -> None:
        """No row has changed by it, for those who watch and for those who resume."""
        await deposited(log, "a", 5)
        await settled(here)
        async with viewed(elsewhere, balance) as view:
            token = view.token
            await deposited(log, "a", CURSED)
            await view.until(lambda view: view.parked == 1)
            assert view.snapshots == 1
        async with viewed(elsewhere, balance, after=token) as resumed:
            await deposited(log, "b", 1)
            await resumed.until(lambda view: "b" in view.rows)
            assert (resumed.snapshots, resumed.parked) == (0, 1)

    async def test_a_rebuild_begins_with_a_snapshot(
        self, log: LogStore, here: Running, elsewhere: Running, balance: Projection[Balance]
    ) -> None:
        """The rows may differ."""
        await deposited(log, "a", 1)
        await settled(here)
        async with viewed(elsewhere, balance) as view:
            async with aclosing(operate.rebuild(here, balance, from_scratch=True)) as rebuilding:
                async for _ in rebuilding:
                    pass
            await view.until(lambda view: view.snapshots == 2)
            await deposited(log, "a", 1)
            await agrees(view, here, balance)

    # ---- slow watchers

    async def test_who_is_slow_gets_the_newest_state_of_each_row(
        self, log: LogStore, here: Running, balance: Projection[Balance]
    ) -> None:
        """Once."""
        watched = here.watch(balance)
        await anext(watched)
        first = asyncio.ensure_future(anext(watched))
        async with viewed(here, balance) as other:
            await deposited(log, "a", 1)
            await first
            for _ in range(5):
                await deposited(log, "a", 1)
                await settled(here)
            await deposited(log, "b", 1)
            await agrees(other, here, balance)
            async with asyncio.timeout(BOUND_S), aclosing(watched):
                changes = await anext(watched)
        assert changes.rows == {"a": Balance("a", 6, 6), "b": Balance("b", 1, 1)}

    async def test_who_is_too_slow_begins_with_a_snapshot(
        self, log: LogStore, here: Running, balance: Projection[Balance], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What waits for it is bounded."""
        monkeypatch.setattr(room, "PENDING_BYTES", 2_000)
        watched = here.watch(balance)
        await anext(watched)
        first = asyncio.ensure_future(anext(watched))
        async with viewed(here, balance) as other:
            await deposited(log, "r", 1)
            await first
            for number in range(20):
                await deposited(log, f"r{number}", 1)
            await agrees(other, here, balance)
            async with asyncio.timeout(BOUND_S), aclosing(watched):
                changes = await anext(watched)
        assert (changes.snapshot, len(changes.rows)) == (True, 21)

    async def test_who_is_far_behind_catches_up(
        self,
        log: LogStore,
        here: Running,
        elsewhere: Running,
        balance: Projection[Balance],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """In several rounds; from further away with a snapshot."""
        async with viewed(here, balance) as view:
            pass
        for number in range(12):
            await deposited(log, f"r{number}", 1, 1)
        await settled(here)
        monkeypatch.setattr(rounds, "FAR_EVENTS", 24)
        monkeypatch.setattr(rounds, "NEAR_EVENTS", 2)
        monkeypatch.setattr(rounds, "KEYS_AT_ONCE", 5)
        monkeypatch.setattr(feed, "LARGEST_PAGE", 4)
        async with viewed(elsewhere, balance, after=view.token) as resumed:
            await agrees(resumed, here, balance)
            assert resumed.snapshots == 0
        monkeypatch.setattr(rounds, "FAR_EVENTS", 23)
        async with viewed(elsewhere, balance, after=view.token) as resumed:
            await agrees(resumed, here, balance)
            assert resumed.snapshots == 1

    async def test_who_catches_up_is_told_each_row_once(
        self,
        log: LogStore,
        here: Running,
        elsewhere: Running,
        balance: Projection[Balance],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """In several rounds of what it has missed, and then in those of the others."""
        async with viewed(here, balance) as view:
            pass
        for number in range(12):
            await deposited(log, f"r{number}", 1)
        await settled(here)
        monkeypatch.setattr(rounds, "NEAR_EVENTS", 2)
        monkeypatch.setattr(rounds, "KEYS_AT_ONCE", 3)
        async with viewed(elsewhere, balance, after=view.token) as resumed:
            await agrees(resumed, here, balance)
            await deposited(log, "last", 1)
            await resumed.until(lambda view: "last" in view.rows)
        told = [key for changes in resumed.told for key in changes.rows]
        assert (len(told), len(set(told)), resumed.snapshots) == (13, 13, 0)

    async def test_who_is_cut_off_between_two_rounds_misses_nothing(
        self,
        log: LogStore,
        here: Running,
        elsewhere: Running,
        balance: Projection[Balance],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Whichever was the last, also one that ends in the middle of a page of the feed."""
        async with viewed(here, balance) as view:
            pass
        for number in range(6):
            await deposited(log, f"r{number}", 1, 1)
        await settled(here)
        monkeypatch.setattr(rounds, "NEAR_EVENTS", 0)
        monkeypatch.setattr(rounds, "KEYS_AT_ONCE", 1)
        monkeypatch.setattr(feed, "LARGEST_PAGE", 4)
        async with viewed(elsewhere, balance, after=view.token) as whole:
            await agrees(whole, here, balance)
        assert len(whole.told) > 2
        for last in range(1, len(whole.told)):
            again = View()
            for changes in whole.told[:last]:
                again.take(changes)
            async with aclosing(elsewhere.watch(balance, after=again.token)) as watched:
                while again.rows != whole.rows:
                    async with asyncio.timeout(BOUND_S):
                        again.take(await anext(watched))

    # ---- beginning and ending

    async def test_what_only_a_page_can_have_is_refused(self, here: Running, balance: Projection[Balance]) -> None:
        """The message says how to fix it. So is whatever `find` refuses."""
        for asked in ({"limit": 5}, {"cursor": "x"}):
            with pytest.raises(InvalidQuery, match="shows every row that matches: narrow it by conditions"):
                here.watch(balance, **asked)
        for asked in ({"nothing": 5}, {"total": "x"}, {"order_by": "nothing"}, {"wait_s": -1}):
            with pytest.raises(InvalidQuery):
                await anext(here.watch(balance, **asked))

    async def test_a_projection_of_another_app_is_refused(self, here: Running) -> None:
        """Not as if the store could not be reached, which is tried again; as it is by `find`."""
        with pytest.raises(ConfigurationError, match="open the App"):
            await anext(here.watch(foreign))
        with pytest.raises(ConfigurationError, match="open the App"):
            await here.find(foreign)
        with pytest.raises(ConfigurationError, match="open the App"):
            await here.get(foreign, ("a", 1))
        with pytest.raises(ConfigurationError, match="open the App"):
            await here.count(foreign)

    async def test_a_watcher_ends_with_its_app(
        self, log: LogStore, store: Rows, watched_app: App, balance: Projection[Balance]
    ) -> None:
        """With an error, not in silence; nothing of it is left."""
        before = asyncio.all_tasks()
        async with watched_app.open(log, read_store=store) as here:
            view = View()
            task = asyncio.create_task(view.follow(here, balance))
            await view.until(lambda view: view.token is not None)
            idle = here.watch(balance)
            await anext(idle)
        await asyncio.wait([task])
        assert isinstance(view.ended, Closed)
        with pytest.raises(Closed):
            await anext(idle)
        with pytest.raises(Closed):
            await anext(here.watch(balance))
        running: list[Any] = [one.get_coro() for one in asyncio.all_tasks() - before if not one.done()]
        files = [coroutine.cr_code.co_filename for coroutine in running]
        assert [file for file in files if Path(file).is_relative_to(_READ)] == []  # the store, still open, has its own

    # ---- until

    async def test_until_returns_the_row_that_meets_the_predicate(
        self, log: LogStore, here: Running, elsewhere: Running, balance: Projection[Balance]
    ) -> None:
        """One that is there already, and one that comes later, in any process; with a composite key as well."""
        await deposited(log, "a", 5)
        assert await elsewhere.until(balance, "a", lambda row: row.total == 5) == Balance("a", 5, 1)
        waiting = asyncio.create_task(elsewhere.until(days, ("b", 3), lambda row: row.deposits == 2))
        await deposited(log, "b", 3)
        await deposited(log, "a", 3, 3)
        await deposited(log, "b", 10)
        assert await asyncio.wait_for(waiting, BOUND_S) == Day(3, 2, "b")

    async def test_until_says_that_it_was_not_reached(self, here: Running, balance: Projection[Balance]) -> None:
        """Also for a row that never comes."""
        with pytest.raises(NotReached, match=r"no row 'a' has met the predicate within 0\.01 s$"):
            await here.until(balance, "a", lambda row: True, timeout_s=0.01)

    async def test_until_says_that_something_is_parked(
        self, log: LogStore, here: Running, balance: Projection[Balance]
    ) -> None:
        """Perhaps the row that it waits for; if there was time to look at the rows at all."""
        await deposited(log, "a", CURSED)
        await settled(here)
        said = ""
        for timeout_s in (0.5, 5.0, 50.0):
            if "parked" not in said:
                with pytest.raises(NotReached) as raised:
                    await here.until(balance, "a", lambda row: True, timeout_s=timeout_s)
                said = str(raised.value)
        assert "; 1 of its rows and streams are parked, see `twofold parked APP list" in said

    async def test_until_refuses_what_cannot_be(self, log: LogStore, here: Running) -> None:
        """A key of another shape or type, and a time that is not positive; what the predicate raises comes out."""
        for key in (("a",), ("a", "b"), "a", ("a", 1, 2), None):
            with pytest.raises(InvalidQuery):
                await here.until(days, key, lambda row: True)
        for timeout_s in (0, -1, float("nan"), float("inf"), 10**400, "1", None):
            with pytest.raises(InvalidQuery, match="timeout_s must be a number of seconds above 0"):
                await here.until(sums, "all", lambda row: True, timeout_s=timeout_s)  # type: ignore[arg-type]
        with pytest.raises(
            InvalidQuery, match="the predicate gets a row and returns a bool: it cannot be a coroutine function"
        ):
            await here.until(sums, "all", _later)  # type: ignore[arg-type]
        await deposited(log, "a", 1)
        for error in (LookupError("mine"), TimeoutError("mine")):
            with pytest.raises(type(error), match="mine"):
                await here.until(sums, "all", _raising(error))


async def _later(row: Sum) -> bool:
    return True


def _raising(error: Exception) -> Callable[[Sum], bool]:
    def predicate(row: Sum) -> bool:
        raise error

    return predicate
