"""Clients that watch a read model and never stop: what they get must lead to what the table holds."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from functools import partial
from random import Random
from typing import Any

from twofold.app import Running
from twofold.errors import LogReplaced, Unavailable
from twofold.read.conditions import conditions_of
from twofold.read.projection import Key, Projection
from twofold.read.query import row_of
from twofold.read.watched import WatchToken
from twofold.read.watcher import RowChanges
from twofold.testing.simulation.server import Unanswered
from twofold.testing.simulation.states import State
from twofold.testing.simulation.violations import WATCHERS, difference
from twofold.testing.simulation.world import LOOK_AGAIN_S, World

_KINDS = ("text", "integer", "boolean", "decimal", "timestamp")


class Viewer:
    """One client. It resumes by its newest token, at any process, whenever its connection ends."""

    def __init__(self, world: World, seed: str) -> None:
        self._world, self._random = world, Random(seed)
        self._name = self._random.choice(world.app.folded).name
        self._number = seed.rpartition(" ")[2]
        self._begins_at_s = self._random.random()
        self._where: Mapping[str, Any] | None = None
        self._connection: object = None
        self._projection: Projection[Any] | None = None
        self._rows: dict[Any, Any] = {}
        self._since: dict[Any, int] = {}
        self._token: str | None = None
        self._parked = 0
        self.ended = False

    def __str__(self) -> str:
        return f"watcher {self._number} of {self._name}{f' where {self._where}' if self._where else ''}"

    async def follow(self) -> None:
        """Watch until the log is replaced."""
        await asyncio.sleep(self._begins_at_s)
        while not self.ended:
            self._connection = connection = object()
            server = await self._world.running_server(self._random.randrange(len(self._world.servers)))
            try:
                outcome = await server.ask(partial(self._watch, connection=connection), watches=True)
            except Unanswered:
                outcome = None
            self.ended = isinstance(outcome, LogReplaced)
            if isinstance(outcome, Exception) and not isinstance(outcome, LogReplaced | Unavailable):
                self._broken(f"got {outcome!r}")
            await asyncio.sleep(LOOK_AGAIN_S)

    async def _watch(self, running: Running, connection: object) -> None:
        [projection] = [one for one in running.app.projections if one.name == self._name]
        if self._where is None:
            self._where = self._asked(projection)
        watched = running.watching.watch(projection, self._where, after=self._token)
        async with aclosing(watched):
            async for changes in watched:
                if self._connection is not connection:  # the client has given this connection up
                    return
                self._take(projection, changes)
                if self._random.random() < 0.1:
                    return
                await asyncio.sleep(self._random.choice((0, 0, 0, 0.02, 0.3)))

    def _asked(self, projection: Projection[Any]) -> Mapping[str, Any]:
        """Nothing in most cases; else a condition that some row meets."""
        rows = self._world.storage.in_rows.tables.get(projection.follows, {})
        columns = [column for column in projection.table.columns if column.kind in _KINDS]
        if not rows or self._random.random() < 0.5:
            return {}
        row = row_of(projection, self._random.choice(list(rows.values())))
        name = self._random.choice(columns).name
        value = getattr(row, name, None)
        operator = self._random.choice(("eq", "ne", "ge", "lt") if value is not None else ("eq", "ne"))
        return {f"{name}__{operator}" if operator != "eq" else name: value}

    # ---- what it gets

    def _take(self, projection: Projection[Any], changes: RowChanges[Any]) -> None:
        before = None if self._projection is None else self._projection.follows
        self._world.counts["watchers told"] += 1
        if changes.snapshot:
            self._world.counts["watchers began again"] += bool(self._rows)
            self._rows = {}
        elif before != projection.follows:
            self._broken(f"got changes of {projection.follows} after those of {before}, without a snapshot")
        if before != projection.follows:
            self._since = {}
        self._projection, self._parked = projection, changes.parked
        for key, row in changes.rows.items():
            if row is None and self._where and key not in self._rows:
                self._broken(f"{key!r} is reported as gone, but it was never shown")
            self._rows.pop(key, None)
            if row is not None:
                self._rows[key] = row
            self._check_row(key, row, 0)
        self._token = changes.token
        if changes.token is not None:
            self._world.counts["watchers resumable"] += 1
            self._check_all(WatchToken.parse(changes.token)[0])

    def _check_row(self, key: Any, row: Any, first: int) -> None:
        """The table had this row at that moment or later, and not before one that it has shown already."""
        states = self._states
        start = max(first, self._since.get(key, 0))
        found = next(
            (number for number in range(start, len(states)) if self._shown(states[number].rows, key) == row), None
        )
        if found is None:
            newest = self._shown(states[-1].rows, key) if states else None
            self._broken(f"{key!r} is {row!r} for it, but the table has never had that since; now it has {newest!r}")
        else:
            self._since[key] = found

    def _check_all(self, token: WatchToken) -> None:
        """At its token, every row is as at the token's places or newer, also those that it was not told."""
        states = self._states
        reached = next((number for number, state in enumerate(states) if state.has_reached(token)), None)
        if reached is None:
            self._broken(f"it got {token}, which the table has never reached")
            return
        within = [number for number, state in enumerate(states[: reached + 1]) if state.is_within(token)]
        first = within[-1] if within else 0
        names = {self._named(key) for state in states[first:] for key in state.rows}
        for key in sorted({*names, *self._rows}, key=repr):
            self._check_row(key, self._rows.get(key), first)

    @property
    def _states(self) -> Sequence[State]:
        assert self._projection is not None
        return self._world.storage.states.of.get(self._projection.follows, ())

    def _shown(self, rows: Mapping[Key, Any], key: Any) -> Any:
        """A row as it should be shown: None if it does not match."""
        projection = self._projection
        assert projection is not None
        values = rows.get(key if isinstance(key, tuple) else (key,))
        if values is None:
            return None
        columns = [column.name for column in projection.table.columns]
        wanted = conditions_of(projection, self._where or {})
        matches = all(one.holds(values[columns.index(one.column)]) for one in wanted)
        return row_of(projection, values) if matches else None

    def _named(self, key: Key) -> Any:
        return key[0] if len(key) == 1 else key

    def _broken(self, text: str) -> None:
        self._world.watcher.broken(WATCHERS, f"{self}: {text}")

    # ---- at rest

    def disagrees(self) -> str:
        """How its view differs from the table; empty if it does not."""
        projection = self._projection
        if projection is None:
            return "it got nothing"
        table = self._world.storage.in_rows.tables.get(projection.follows, {})
        shown = {self._named(key): self._shown(table, self._named(key)) for key in table}
        expected = {key: row for key, row in shown.items() if row is not None}
        parked = len(self._world.storage.row_checkpoints.all_parked(projection.follows))
        if self._parked != parked:
            return f"it shows that {self._parked} are parked, but {parked} are"
        return "" if expected == self._rows else difference(expected, self._rows)
