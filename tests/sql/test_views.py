"""When views are refreshed and their names moved. Against a store in memory, in virtual time."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest

from twofold import App, Decider, Projection, Recorded, Running
from twofold.backends.memory import MemoryLog, MemoryReadStore
from twofold.errors import NameHeld, Unavailable
from twofold.feed.checkpoints import FollowerId
from twofold.messages import Position
from twofold.sql import View
from twofold.sql.view import ViewDefinition
from twofold.sql.views import AGAIN_AFTER_S, HELD_AGAIN_S, LOOK_EVERY_S, StoredView, Views
from twofold.testing import virtual_time

BEGINNING = Position(0, 0)
REFRESH_S = 1.0


@dataclass(frozen=True)
class Written:
    words: int = 1


@dataclass(frozen=True)
class Liked:
    pass


@dataclass(frozen=True)
class Flagged:
    """Of no view."""


@dataclass(frozen=True)
class Row:
    id: str
    count: int = 0


@dataclass(frozen=True)
class Other:
    id: str
    count: int = 0
    more: int = 0


def decide(command: Written | Liked | Flagged, state: None) -> list[Written | Liked | Flagged]:
    return [command]


def evolve(state: None, event: Written | Liked | Flagged) -> None:
    return None


def fold_post(row: Row, event: Written, recorded: Recorded) -> Row:
    return Row(row.id, row.count + event.words)


def fold_likes(row: Row, event: Liked, recorded: Recorded) -> Row:
    return Row(row.id, row.count + 1)


post = Decider("post", None, decide, evolve)
posts, likes = Projection("posts", Row, fold_post), Projection("likes", Row, fold_likes)
app = App("blog", deciders=[post], projections=[posts, likes])
refresh_ms = round(1000 * REFRESH_S)
of_posts = View("of_posts", Row, sql="SELECT * FROM {posts}", over=[posts], refresh_ms=100)
of_both = View("of_both", Row, sql="SELECT * FROM {posts}, {likes}", over=[posts, likes], refresh_ms=refresh_ms)
of_tables = View("of_tables", Row, sql="SELECT * FROM plain", refresh_ms=refresh_ms)
not_kept = View("not_kept", Row, sql="SELECT * FROM {posts}", over=[posts])
ALL = (of_posts, of_both, of_tables, not_kept)


class Kept:
    """The views of a store, and what happens to them. Rows have changed without an event where `at` is set back."""

    def __init__(self, rows: MemoryReadStore, log: MemoryLog) -> None:
        self._rows, self._log = rows, log
        self.at: dict[str, Position] = {}
        self.refreshed: dict[str, list[float]] = {view.name: [] for view in ALL}
        self.looks = self.asked_to_show = 0
        self.shown: set[str] = set()
        self.held: dict[str, str] = {}
        self.fails: dict[str, list[Exception]] = {}

    async def make(self, definition: ViewDefinition, log_id: str) -> None:
        self.at.setdefault(definition.table.name, BEGINNING)

    async def stored(self) -> Sequence[StoredView]:
        return []

    async def show(self, definition: ViewDefinition) -> bool:
        name = definition.table.name
        self.asked_to_show += 1
        if name in self.held:
            raise NameHeld(self.held[name])
        self.shown.add(name)
        return True

    async def reached(self, definition: ViewDefinition) -> tuple[Position, Position]:
        self.looks += 1
        await asyncio.sleep(0.001)
        if not definition.over:
            return self.at[definition.table.name], await self._log.head()
        return self.at[definition.table.name], min([await self._position(each) for each in definition.over])

    async def _position(self, follows: FollowerId) -> Position:
        found = await self._rows.checkpoints.read(follows)
        return BEGINNING if found is None else found.position

    async def refresh(self, definition: ViewDefinition) -> bool:
        name = definition.table.name
        if self.fails.get(name):
            raise self.fails[name].pop(0)
        _, now = await self.reached(definition)
        await asyncio.sleep(0.01)
        self.at[name] = now
        self.refreshed[name].append(asyncio.get_running_loop().time())
        return True

    async def move(self, definition: ViewDefinition, after: Position, to: Position) -> None:
        if self.at[definition.table.name] == after:
            self.at[definition.table.name] = to


class WithViews(MemoryReadStore):
    """A read store that has views."""

    views: Kept


class World:
    """A running App, and the views beside it."""

    def __init__(self, running: Running, kept: Kept, views: Views) -> None:
        self.running, self.kept, self.views = running, kept, views

    async def happens(self, event: Any, times: int = 1) -> None:
        for _ in range(times):
            await self.running.execute(post, "1", event)

    def times(self, view: View[Any]) -> list[float]:
        return self.kept.refreshed[view.name]

    async def at_rest(self, seconds: float = 3 * REFRESH_S) -> None:
        """Everything is folded, and each view is as fresh as can be."""
        await self.running.settled(timeout_s=60)
        await asyncio.sleep(seconds)
        for view in (of_posts, of_both, of_tables):
            at, now = await self.kept.reached(view.definition)
            assert at == now, view.name


@asynccontextmanager
async def world(**held: str) -> AsyncIterator[World]:
    log, rows = MemoryLog(), WithViews()
    rows.views = Kept(rows, log)
    rows.views.held = held
    async with app.open(log, read_store=rows) as running:
        views = Views("blog", ALL, rows, log, app.codec)
        await views.prepare()
        views.work()
        try:
            yield World(running, rows.views, views)
        finally:
            await views.stop()


def test_a_view_is_refreshed_after_what_concerns_it_and_at_most_that_often() -> None:
    """Events come all the time, then none: there is a pause after each refresh, and the last one has them all."""

    async def main() -> None:
        async with world() as here:
            for _ in range(500):
                await here.happens(Written())
                await asyncio.sleep(0.02)
            await here.at_rest()
            for view in (of_posts, of_both, of_tables):
                times, pause_s = here.times(view), (view.refresh_ms or 0) / 1000
                assert min(b - a for a, b in pairwise(times)) >= pause_s
                assert 7 <= len(times) <= 12 / pause_s

    virtual_time.run(main())


@pytest.mark.parametrize(
    ("event", "concerns"), [(Written(), (of_posts, of_both)), (Liked(), (of_both,)), (Flagged(), ())]
)
def test_what_does_not_concern_a_view_moves_it_on_without_a_refresh(event: Any, concerns: Sequence[View[Any]]) -> None:
    """However many of them come. One over plain tables may be changed by any."""

    async def main() -> None:
        async with world() as here:
            await here.happens(Written())
            await here.happens(Liked())
            await here.at_rest()
            before = {view: len(here.times(view)) for view in ALL}
            await here.happens(event, times=1_200)
            await here.at_rest()
            changed = {view for view in ALL if len(here.times(view)) > before[view]}
            assert changed == {*concerns, of_tables}

    virtual_time.run(main())


def test_what_concerns_a_view_is_found_behind_any_number_of_other_events() -> None:
    """They were recorded while nobody kept the view fresh: more than are read at once."""

    async def main() -> None:
        async with world() as here:
            await here.happens(Written())
            await here.at_rest()
            await here.views.stop()
            before = {view: len(here.times(view)) for view in (of_posts, of_both)}
            await here.happens(Flagged(), times=1_100)
            await here.happens(Written())
            await here.running.settled(timeout_s=60)
            here.views.work()
            await here.at_rest()
            assert {view: len(here.times(view)) for view in before} == {view: n + 1 for view, n in before.items()}

    virtual_time.run(main())


def test_each_part_of_a_definition_changes_its_fingerprint() -> None:
    """The same version with another definition is refused by it."""
    posts_2, sql = Projection("posts", Row, fold_post, version=2), "SELECT * FROM {posts}"
    given: dict[str, Any] = {"row": Row, "sql": sql, "over": [posts]}
    changes: list[dict[str, Any]] = [
        *({}, {"over": [posts_2]}, {"over": [posts, likes]}, {"over": []}, {"sql": sql + " LIMIT 1"}),
        *({"refresh_ms": 100}, {"security_invoker": True}, {"row": Other}, {"key_fields": ["count"]}),
    ]
    found = [View("of_posts", **given | change).definition.fingerprint for change in changes]
    assert len(set(found)) == len(changes)
    assert View("of_posts", **given).definition.fingerprint == found[0]
    assert View("of_posts", **given, refresh_ms=200).definition.fingerprint == found[5], "the pause may be another"


def test_a_view_whose_rows_changed_without_an_event_is_refreshed() -> None:
    """As after a retry below it: its position is the beginning again."""

    async def main() -> None:
        async with world() as here:
            await here.happens(Written())
            await here.happens(Flagged())
            await here.at_rest()
            before = len(here.times(of_both))
            here.kept.at[of_both.name] = BEGINNING
            await here.at_rest(LOOK_EVERY_S + 0.1)
            assert len(here.times(of_both)) == before + 1

    virtual_time.run(main())


def test_a_view_waits_for_the_slowest_of_what_it_is_over() -> None:
    """One of them has stopped, and the others go on: the store is not asked again and again whether that has moved."""

    async def main() -> None:
        log, rows = MemoryLog(), WithViews()
        rows.views = kept = Kept(rows, log)
        async with app.open(log, read_store=rows, work=False) as running:
            await running.execute(post, "1", Written())
            for projection in (posts, likes):
                async for _ in running.catch_up(projection):
                    pass
            views = Views("blog", [of_both], rows, log, app.codec)
            await views.prepare()
            views.work()
            await asyncio.sleep(3 * REFRESH_S)
            before, times = kept.looks, len(kept.refreshed[of_both.name])
            for _ in range(10):
                await running.execute(post, "1", Written())
                async for _ in running.catch_up(posts):
                    pass
                await asyncio.sleep(REFRESH_S)
            assert kept.looks - before < 100
            assert len(kept.refreshed[of_both.name]) == times
            async for _ in running.catch_up(likes):
                pass
            await asyncio.sleep(0.1)
            assert len(kept.refreshed[of_both.name]) == times + 1
            await views.stop()

    virtual_time.run(main())


def test_an_event_that_is_not_folded_yet_is_no_reason_for_a_refresh() -> None:
    """The rows of the view cannot have it: it is refreshed when they can."""

    async def main() -> None:
        log, rows = MemoryLog(), WithViews()
        rows.views = kept = Kept(rows, log)
        async with app.open(log, read_store=rows, work=False) as running:
            views = Views("blog", [of_posts], rows, log, app.codec)
            await views.prepare()
            done = await running.execute(post, "1", Written())
            async for _ in running.catch_up(posts):
                pass
            kept.at[of_posts.name] = done.receipt.position
            for event in (Flagged(), Written()):
                await running.execute(post, "1", event)
                if isinstance(event, Flagged):
                    async for _ in running.catch_up(posts):
                        pass
            assert not await views._is_behind(of_posts)
            async for _ in running.catch_up(posts):
                pass
            assert await views._is_behind(of_posts)

    virtual_time.run(main())


def test_a_view_that_cannot_be_refreshed_is_tried_again_and_delays_no_other() -> None:
    """Operators see why as long as it fails, and no longer."""

    async def main() -> None:
        async with world() as here:
            await here.at_rest(0)
            here.kept.fails = {of_posts.name: [Unavailable("down"), OSError("no route"), Unavailable("down")]}
            await here.happens(Written())
            await asyncio.sleep(0.1)
            assert here.views.note(of_posts) == "view 'of_posts' is not refreshed: down"
            assert here.views.note(of_both) is None
            assert len(here.times(of_both)) == 1
            assert here.times(of_posts) == []
            await asyncio.sleep(2 * AGAIN_AFTER_S - 0.2)
            assert len(here.kept.fails[of_posts.name]) == 1
            await here.at_rest(5 * REFRESH_S)
            assert here.views.note(of_posts) is None
            await here.happens(Written())
            await here.at_rest()
            assert len(here.times(of_posts)) == 2

    virtual_time.run(main())


def test_a_name_that_is_held_holds_up_no_other_and_is_moved_when_it_is_free(caplog: pytest.LogCaptureFixture) -> None:
    """Each says why, until then, and once in the log; it is tried again after a while."""

    async def main() -> None:
        async with world(of_posts="in use", of_both="in use, too") as here:
            assert here.kept.shown == {"of_tables", "not_kept"}
            assert [here.views.note(view) for view in ALL] == ["in use", "in use, too", None, None]
            before = here.kept.asked_to_show
            await asyncio.sleep(5 * HELD_AGAIN_S)
            assert here.kept.asked_to_show - before <= 2 * 5
            assert sorted(record.getMessage() for record in caplog.records) == ["in use", "in use, too"]
            for name in ("of_both", "of_posts"):
                del here.kept.held[name]
                await asyncio.sleep(HELD_AGAIN_S + LOOK_EVERY_S)
                assert name in here.kept.shown
                assert [here.views.note(view) for view in ALL if view.name == name] == [None]
            assert await here.views.show()
            assert [here.views.note(view) for view in ALL] == [None] * 4

    virtual_time.run(main())
