"""How much may wait for a client that reads slowly, in all the queries that it watches together."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import cached_property
from typing import NamedTuple

from twofold.read.columns import Values
from twofold.read.projection import Key
from twofold.read.watched import Round, size_of

PENDING_BYTES = 384 * 1024
"""Of rows. With their JSON, and what the connection buffers, a client that does not read holds up to 1 MB."""
ENTRY_BYTES = 160
"""About, to know that something waits: the entries of a dict and a tuple."""


class Room:
    """The room for one client. What several of its watchers wait for takes room once, beside an entry for each."""

    def __init__(self) -> None:
        self.bytes = 0
        self._held: dict[int, int] = {}

    @cached_property
    def reading(self) -> asyncio.Lock:
        """Held from the reading of a page until the client has taken it: one page at a time takes room."""
        return asyncio.Lock()

    @property
    def is_full(self) -> bool:
        """Whether a watcher has to give up what waits for it."""
        return self.bytes > PENDING_BYTES

    def hold(self, what: object, size: int) -> None:
        """Something waits, until `release` with the same arguments."""
        count = self._held.get(id(what), 0)
        self._held[id(what)] = count + 1
        self.bytes += ENTRY_BYTES if count else ENTRY_BYTES + size

    def release(self, what: object, size: int) -> None:
        """It no longer waits for one of those that held it."""
        count = self._held.pop(id(what)) - 1
        self.bytes -= ENTRY_BYTES if count else ENTRY_BYTES + size
        if count:
            self._held[id(what)] = count


class Waiting:
    """What waits for one watcher: the newest state of each row, or one whole round.

    It takes room until the watcher has also dealt with it, which it says with `done`.
    """

    def __init__(self, room: Room) -> None:
        self._room = room
        self._round: Round | None = None
        self._rows: dict[Key, _Held] = {}
        self._taken: list[_Held] = []

    def __bool__(self) -> bool:
        return self._round is not None or bool(self._rows)

    def put_round(self, round: Round) -> None:
        """All rows of a round. It is not copied if nothing else waits, as for most watchers."""
        if not self:
            self._round = round
            self._room.hold(round, round.size)
        else:
            for key, values in round.rows.items():
                self.put(key, values, round.sizes[key])

    def put(self, key: Key, values: Values | None, size: int) -> None:
        """The newest state of a row; of a row that already waits, it replaces the older one."""
        whole, self._round = self._round, None
        if whole is not None:
            for each, older in whole.rows.items():
                self._add(each, older, whole.sizes[each])
            self._room.release(whole, whole.size)
        self.drop(key)
        self._add(key, values, size)

    def drop(self, key: Key) -> None:
        """This row no longer waits."""
        held = self._rows.pop(key, None)
        if held is not None:
            self._room.release(held.what, held.size)

    def take(self) -> Round | dict[Key, Values | None]:
        """What waits: the round, if it is a whole one."""
        whole, rows = self._round, self._rows
        self._round, self._rows = None, {}
        if whole is not None:
            self._taken.append(_Held(whole, whole.size, None))
            return whole
        self._taken.extend(rows.values())
        return {key: held.values for key, held in rows.items()}

    def take_page(self, rows: Mapping[Key, Values]) -> int:
        """Rows that did not wait have been read for the watcher. Returns their size in bytes."""
        held = [_Held(values, size_of(key, values), values) for key, values in rows.items()]
        for each in held:
            self._room.hold(each.what, each.size)
        self._taken.extend(held)
        return sum(each.size for each in held)

    def done(self) -> None:
        """The client has received what was taken."""
        for held in self._taken:
            self._room.release(held.what, held.size)
        self._taken = []

    def clear(self) -> None:
        """Nothing waits any more."""
        self.take()
        self.done()

    def _add(self, key: Key, values: Values | None, size: int) -> None:
        what = key if values is None else values
        self._rows[key] = _Held(what, size, values)
        self._room.hold(what, size)


class _Held(NamedTuple):
    """What takes room, and the values of a row, None if it is gone."""

    what: object
    size: int
    values: Values | None
