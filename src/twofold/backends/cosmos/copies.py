"""Copying a log to and from Azure Cosmos DB.

A copy has a commit for each append that the original recorded, and a receipt for each command id, written when all
events are there. No transaction spans partition keys, so pages are imported so that they can be repeated: what is there
already is left as it is, and how far the original has been read moves last.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

import msgspec

from twofold.backends.cosmos import layout
from twofold.backends.cosmos.client import Container
from twofold.backends.cosmos.layout import Document, Tip
from twofold.backends.cosmos.refusals import Conflict
from twofold.backends.cosmos.settling import Attempt, settled
from twofold.backends.cosmos.streams import Streams, operations
from twofold.backends.partitioned.waiting import all_of
from twofold.errors import BatchRefused, InvalidInput
from twofold.messages import Entry, Position, Stream
from twofold.write.copies import CHANGED, MOVED, Copied, KeptCommand, not_a_copy_of

MOST_READ = 1_000  # documents of a page
AT_ONCE = 32
_STATE = "copy"


class CosmosCopies:
    """See `Export` and `Import`. `all_changes` returns the documents up to a position of the merged feed."""

    def __init__(
        self,
        data: Container,
        beside: Container,
        streams: Streams,
        all_changes: Callable[[Position | None], Awaitable[list[Document]]],
    ) -> None:
        self._data, self._beside, self._streams, self._all_changes = data, beside, streams, all_changes
        self._known: tuple[Position, list[KeptCommand]] | None = None

    async def commands(self, upto: Position, after: KeptCommand | None, limit: int) -> Sequence[KeptCommand]:
        """See `Export.commands`. Reads the whole feed for the first page, and keeps the command ids in memory."""
        if after is None or self._known is None or self._known[0] != upto:
            documents = await self._all_changes(upto)
            kept = [layout.kept_command(one) for one in documents if layout.has_command(one)]
            self._known = upto, sorted(kept, key=_by_name)
        last = ("", "") if after is None else _by_name(after)
        return [one for one in self._known[1] if _by_name(one) > last][:limit]

    async def copied(self) -> Copied | None:
        """See `Import.copied`."""
        state = await self._state()
        return None if state is None else _copied(state)

    async def _state(self) -> Document | None:
        return await self._beside.read(_STATE, _STATE)

    async def begin(self, source: str, beginnings: Sequence[Position]) -> Copied:
        """See `Import.begin`."""
        state, events, own = await self._state(), 0, False
        for one in await self._all_changes(None):
            events += len(one.get("events", ()))
            own = own or (one["kind"] != "head" and not one.get("copied"))
        copied = None if state is None else _copied(state)
        why = not_a_copy_of(source, copied) if copied or events or own else None
        why = why or (CHANGED if own else None)
        if why is not None:
            raise InvalidInput(f"{self._data.place}: {why}")
        state = state or {
            "id": _STATE,
            "key": _STATE,
            "command": _STATE,
            "source": source,
            "upto": msgspec.to_builtins(list(beginnings)),
        }
        await self._save({**state, "ended": False})
        return Copied(source, beginnings if copied is None else copied.upto, False)

    async def _save(self, state: Document) -> None:
        try:
            if "_etag" in state:
                await self._beside.replace(state, state["_etag"])
            else:
                await self._beside.create(state)
        except Conflict as error:
            raise InvalidInput(f"{self._data.place}: {MOVED}") from error

    async def take(self, source: str, after: Position, upto: Position, entries: Sequence[Entry]) -> None:
        """See `Import.take`. In each partition the order is that of the original."""
        state = await self._going_on(source)
        copied = _copied(state)
        if upto in copied.upto:
            return
        if after not in copied.upto:
            raise InvalidInput(f"{self._data.place}: {MOVED}")
        shares: dict[int, list[Document]] = defaultdict(list)
        for commit in _commits(entries):
            shares[self._streams.partition_of(commit["key"])].append(commit)
        tips: dict[Stream, Tip] = {}
        await all_of(self._write(share, tips) for share in shares.values())
        moved = [upto if position == after else position for position in copied.upto]
        await self._save({**state, "upto": msgspec.to_builtins(moved)})

    async def _write(self, commits: Sequence[Document], tips: dict[Stream, Tip]) -> None:
        for commit in commits:
            stream = Stream.parse(commit["stream"])
            tip = tips.get(stream) or await self._streams.tip(stream)
            if tip.version < commit["last"]:
                tips[stream] = await self._append(stream, commit, tip)
            else:
                await self._check_copied(stream, commit)

    async def _check_copied(self, stream: Stream, commit: Document) -> None:
        """What is there has been copied, or it begins where the copy was to go on. Raises: InvalidInput."""
        there = await self._data.read(commit["id"], stream.id)
        if there is not None and "copied" not in there:
            raise self._changed(stream, there["last"])

    def _changed(self, stream: Stream, version: int) -> InvalidInput:
        return InvalidInput(f"{self._data.place}: {stream} is at version {version}: {CHANGED}")

    async def _append(self, stream: Stream, commit: Document, tip: Tip) -> Tip:
        if tip.version != commit["first"] - 1:
            raise self._changed(stream, tip.version)
        next_ = Tip(commit["last"], tip.etag, layout.time(commit))
        documents = [commit, self._streams.head(stream, next_, commit)]
        if layout.size(documents) > layout.MOST_BYTES:
            raise BatchRefused(f"it has more than {layout.MOST_BYTES:,} bytes, with what belongs to it (2 MB)")
        try:
            written = await settled(self._data, operations(documents, tip.etag), stream.id, Attempt())
        except Conflict:  # another process is copying the same, or has appended
            await self._check_copied(stream, commit)
            return await self._streams.tip(stream)
        return Tip(next_.version, written.etags[1], next_.recorded_at)

    async def keep(self, source: str, commands: Sequence[KeptCommand]) -> None:
        """See `Import.keep`."""
        await self._going_on(source)
        room = asyncio.Semaphore(AT_ONCE)

        async def keep(one: KeptCommand) -> None:
            receipt = layout.receipt_of(Stream.parse(one.stream), one.command_id, one.version, one.events)
            async with room:
                try:
                    await self._data.create({**receipt, "copied": True})
                except Conflict:
                    return  # it is there

        await all_of(map(keep, commands))

    async def end(self, source: str) -> None:
        """See `Import.end`."""
        await self._save({**await self._going_on(source), "ended": True})

    async def _going_on(self, source: str) -> Document:
        state = await self._state()
        if state is None or state["ended"] or state["source"] != source:
            raise InvalidInput(f"{self._data.place}: {MOVED}")
        return state


def _copied(state: Mapping[str, Any]) -> Copied:
    return Copied(state["source"], msgspec.convert(state["upto"], list[Position]), state["ended"])


def _by_name(kept: KeptCommand) -> tuple[str, str]:
    return kept.stream, kept.command_id


def _commits(entries: Sequence[Entry]) -> Iterable[Document]:
    """The documents of the appends that these events came with. Raises: BatchRefused."""
    for _, those in groupby(entries, key=lambda entry: (entry.stream, entry.meta, entry.recorded_at)):
        try:
            yield layout.copied_commit(list(those))
        except UnicodeDecodeError as error:
            raise BatchRefused(f"it is not UTF-8 ({error})") from error
