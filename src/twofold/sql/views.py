"""The port to a store of views, and what keeps the materialised ones fresh."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import msgspec

from twofold.codec import Codec
from twofold.errors import ConfigurationError, NameHeld, TwofoldError
from twofold.feed.checkpoints import FollowerId
from twofold.feed.feed import Feed
from twofold.feed.partitions import partitions_of
from twofold.messages import Position
from twofold.read.store import ReadStore
from twofold.sql.view import View, ViewDefinition

LOOK_EVERY_S = 1.0  # a doorbell rings earlier
AGAIN_AFTER_S = 1.0
HELD_AGAIN_S = 10.0

log = logging.getLogger("twofold.sql")


class StoredView(msgspec.Struct, frozen=True):
    """One view in the store: whether the public name shows it, and what it is over (nothing: plain tables).

    `position` is that of the rows that a read finds now. `age_s` is the time since the last refresh, None unless it is
    materialised.
    """

    follows: FollowerId
    live: bool
    over: Sequence[FollowerId]
    position: Position
    age_s: float | None


class ViewStore(Protocol):
    """Views in the database of a read store."""

    async def make(self, definition: ViewDefinition, log_id: str) -> None:
        """Create the view unless it exists.

        Raises: ConfigurationError for SQL that PostgreSQL refuses, a view that depends on another view, the same
        version with another definition, and a view over plain tables in another database than the log; Unavailable.
        """
        ...

    async def stored(self) -> Sequence[StoredView]:
        """All views. Raises: Unavailable."""
        ...

    async def show(self, definition: ViewDefinition) -> bool:
        """Let the public name show this version, once all that it is over has been published (G8).

        Returns whether it shows this version, or a newer one. Raises: NameHeld, Unavailable.
        """
        ...

    async def reached(self, definition: ViewDefinition) -> tuple[Position, Position]:
        """The position of a materialised view, and the one that a refresh would have now."""
        ...

    async def refresh(self, definition: ViewDefinition) -> bool:
        """Refresh a materialised view. False if another process is at it. Raises: Unavailable, ConfigurationError."""
        ...

    async def move(self, definition: ViewDefinition, after: Position, to: Position) -> None:
        """Nothing between these positions concerns the view: it is as fresh as at the later one."""
        ...


@runtime_checkable
class KeepsViews(Protocol):
    """A read store that has views."""

    @property
    def views(self) -> ViewStore:
        """Its views."""
        ...


class Views:
    """The views of one App: made when it is opened, and kept fresh while this process works."""

    def __init__(self, app: str, views: Sequence[View[Any]], rows: ReadStore, feed: Feed, codec: Codec) -> None:
        self._app, self._views, self._rows, self._feed, self._codec = app, views, rows, feed, codec
        self._tasks: list[asyncio.Task[None]] = []
        self._to_show = set(views)
        self._notes: dict[tuple[View[Any], str], str] = {}

    async def prepare(self) -> None:
        """Make what is missing. Raises: ConfigurationError, Unavailable."""
        several = len(partitions_of(self._feed, spread=True)) > 1
        for view in self._views:
            if several and view.refresh_ms is not None:
                raise ConfigurationError(
                    f"{view.owner} is materialised, which needs a log of one partition, where one position says how "
                    f"fresh it is: leave out refresh_ms"
                )
            await self._store.make(view.definition, self._feed.log_id)
        await self.show()

    async def stored(self) -> Sequence[StoredView]:
        """All views in the store, also those of other Apps and versions. Raises: Unavailable."""
        return await self._rows.views.stored() if isinstance(self._rows, KeepsViews) else []

    async def show(self) -> bool:
        """Let the public names show these views, as far as they may. Returns whether all do. Raises: Unavailable."""
        for view in list(self._to_show):
            try:
                if await self._store.show(view.definition):
                    self._to_show.discard(view)  # a rebuild may look at the same time
                    self._note(view, "name", None)
            except NameHeld as error:
                self._note(view, "name", str(error))
        return not self._to_show

    @property
    def _store(self) -> ViewStore:
        if not isinstance(self._rows, KeepsViews):
            names = ", ".join(view.name for view in self._views)
            raise ConfigurationError(
                f"{self._app} has views ({names}), which need PostgreSQL for the read models: open it on postgresql://…"
            )
        return self._rows.views

    def work(self) -> None:
        """Keep the materialised views fresh."""
        self._tasks = [
            asyncio.create_task(self._keep_fresh(view, view.refresh_ms / 1000), name=f"twofold refreshes {view.name}")
            for view in self._views
            if view.refresh_ms is not None
        ]
        if self._to_show:
            self._tasks.append(asyncio.create_task(self._keep_showing(), name="twofold shows views"))

    async def stop(self) -> None:
        """A refresh that has begun is given up: the view stays as it was."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    async def _keep_showing(self) -> None:
        shown = False
        while not shown:
            await asyncio.sleep(HELD_AGAIN_S if any(about == "name" for _, about in self._notes) else LOOK_EVERY_S)
            try:
                shown = await self.show()
            except (TwofoldError, OSError) as error:
                log.warning("the public names of views are not moved: %s", error)

    def _note(self, view: View[Any], about: str, why: str | None) -> None:
        """Logged once."""
        if why is None:
            self._notes.pop((view, about), None)
        elif self._notes.get((view, about)) != why:
            self._notes[view, about] = why
            log.warning("%s", why)

    def note(self, view: View[Any]) -> str | None:
        """What an operator should know: why this process cannot refresh it, or move its public name."""
        return "; ".join(why for (one, _), why in self._notes.items() if one is view) or None

    async def _keep_fresh(self, view: View[Any], pause_s: float) -> None:
        while True:
            try:
                if await self._is_behind(view):
                    await self._store.refresh(view.definition)
                    self._note(view, "refresh", None)
                    await asyncio.sleep(pause_s)
                else:
                    await self._wait(view)
            except (TwofoldError, OSError) as error:
                self._note(view, "refresh", f"{view.owner} is not refreshed: {error}")
                await asyncio.sleep(max(pause_s, AGAIN_AFTER_S))

    async def _is_behind(self, view: View[Any]) -> bool:
        """Whether an event since the view's position concerns it; if none does, it moves on without a refresh."""
        at, now = await self._store.reached(view.definition)
        if now <= at:
            return False
        if at.is_beginning:  # also where rows below have changed without an event
            return True
        types = self._codec.names({cls for each in view.sources for cls in each.event_types}) if view.over else None
        looked = at
        while looked < now:
            page = await self._feed.read(looked, 1_000, types, now)
            if page.entries:
                return True
            looked = page.upto
        await self._store.move(view.definition, at, now)
        return False

    async def _wait(self, view: View[Any]) -> None:
        """Until everything that it is over may have passed its position: the slowest says how fresh it can be."""
        at, _ = await self._store.reached(view.definition)
        if view.over:
            await asyncio.gather(*(self._rows.wait(each, at, LOOK_EVERY_S) for each in view.definition.over))
        else:
            await self._feed.wait(at, LOOK_EVERY_S)
