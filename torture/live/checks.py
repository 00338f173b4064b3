"""Views compared with the history while they change, and with the table at rest."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

import msgspec

from torture.live.history import History
from torture.live.ledger import ADMIN, Apis
from torture.live.views import Asked, Row, View
from twofold.app import Running
from twofold.errors import Unavailable

SETTLE_S, AGREE_S, LOOK_S = 60.0, 20.0, 0.1
SAMPLE, SAMPLE_EVERY_S = 40, 0.5
PAGE = 500


async def table(running: Running, api: str, asked: Asked) -> tuple[Mapping[str, Row], int]:
    """The rows that a user finds now, by key, and how many are parked."""
    projection = next(one for one in Apis[api].app.projections if one.name == asked.projection)
    scope = {} if asked.user == ADMIN else {"owner": asked.user}
    rows: dict[str, Row] = {}
    cursor = None
    while True:
        page = await running.queries.find(projection, asked.where, scope=scope, limit=PAGE, cursor=cursor)
        for row in page.rows:
            found: Any = msgspec.to_builtins(row)
            rows[found[projection.table.key[0]]] = found
        cursor = page.cursor
        if cursor is None:
            return rows, page.parked


async def differing(views: Sequence[View], opened: Mapping[str, Running]) -> list[str]:
    """Views that do not equal their tables."""
    tables: dict[str, tuple[Mapping[str, Row], int]] = {}
    wrong = []
    for view in views:
        if not view.api or view.token is None:
            wrong.append(f"{view.asked}: has no {'snapshot' if view.api else 'connection'}")
            continue
        asked = view.asked
        name = f"{view.api} {asked.user} {asked.projection} {sorted(asked.where.items())}"
        if name not in tables:
            tables[name] = await table(opened[view.api], view.api, asked)
        rows, parked = tables[name]
        if (view.rows, view.parked) != (rows, parked):
            wrong.append(f"{view.asked}: {_difference(view, rows, parked)}")
    return wrong


def _difference(view: View, rows: Mapping[str, Row], parked: int) -> str:
    if view.parked != parked:
        return f"shows that {view.parked} are parked, but {parked} are"
    keys = [key for key in {*rows, *view.rows} if rows.get(key) != view.rows.get(key)]
    first = sorted(keys)[0]
    return f"{len(keys)} rows differ: {first} is shown as {view.rows.get(first)}, but is {rows.get(first)}"


async def at_rest(views: Sequence[View], opened: Mapping[str, Running]) -> list[str]:
    """Wait until everything is folded and told. Returns the views that do not agree even then."""
    for running in opened.values():
        await running.settled(timeout_s=SETTLE_S)
    clock = asyncio.get_running_loop().time
    deadline = clock() + AGREE_S
    while (wrong := await differing(views, opened)) and clock() < deadline:
        await asyncio.sleep(LOOK_S)
    return wrong


class Sampler:
    """Compares some views with the history of the log, while rows change."""

    def __init__(self, views: Sequence[View], chance: Random) -> None:
        self.running: Running | None = None
        self.history = History()
        self.compared = 0
        self._views, self._chance = views, chance

    def begin(self, running: Running | None) -> None:
        """Read this log from its beginning; None: read none for now."""
        self.running, self.history = running, History()

    async def sample(self) -> None:
        """Until it is cancelled."""
        while True:
            await asyncio.sleep(SAMPLE_EVERY_S)
            if self.running is not None:
                await self._compare(self.running)

    async def _compare(self, running: Running) -> None:
        history = self.history
        chosen = self._chance.sample(self._views, min(SAMPLE, len(self._views)))
        copies = [(view, dict(view.rows), view.token) for view in chosen]
        try:
            await history.grow(running.log)
        except Unavailable:
            return
        if history is not self.history:
            return
        for view, rows, token in copies:
            if token is None or not token.startswith(f"w.{running.log.log_id}."):
                continue
            self.compared += 1
            for wrong in history.disagreements(view.asked, rows, token):
                view.rules.broken("not at its token", wrong)
