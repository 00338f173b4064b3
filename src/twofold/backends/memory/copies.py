"""Copying a log to and from memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import msgspec

from twofold.errors import InvalidInput
from twofold.messages import Entry, Position, Receipt, Stream
from twofold.write.copies import CHANGED, MOVED, Copied, KeptCommand, not_a_copy_of

_set = msgspec.structs.replace


class MemoryCopies:
    """See `Export` and `Import`, on the collections of the log."""

    def __init__(
        self,
        entries: list[Entry],
        streams: dict[str, list[Entry]],
        receipts: dict[tuple[str, str], Receipt],
        log_id: Callable[[], str],
        partition: int,
    ) -> None:
        self._entries, self._streams, self._receipts, self._log_id = entries, streams, receipts, log_id
        self._partition = partition
        self._copied: Copied | None = None
        self._taken = 0

    async def commands(self, upto: Position, after: KeptCommand | None, limit: int) -> Sequence[KeptCommand]:
        """See `Export.commands`."""
        await asyncio.sleep(0)
        last = ("", "") if after is None else (after.stream, after.command_id)
        keys = sorted(key for key, receipt in self._receipts.items() if key > last and receipt.position <= upto)
        return [KeptCommand(*key, self._receipts[key].version, self._receipts[key].events) for key in keys[:limit]]

    async def copied(self) -> Copied | None:
        """See `Import.copied`."""
        return self._copied

    async def begin(self, source: str, beginnings: Sequence[Position]) -> Copied:
        """See `Import.begin`."""
        why = not_a_copy_of(source, self._copied) if self._copied or self._entries or self._receipts else None
        why = why or (CHANGED if len(self._entries) != self._taken else None)
        if why is not None:
            raise InvalidInput(f"log {self._log_id()}: {why}")
        self._copied = _set(self._copied or Copied(source, beginnings, False), ended=False)
        return self._copied

    async def take(self, source: str, after: Position, upto: Position, entries: Sequence[Entry]) -> None:
        """See `Import.take`."""
        await asyncio.sleep(0)
        copied = self._going_on(source)
        if upto in copied.upto:
            return
        if after not in copied.upto:
            raise InvalidInput(f"log {self._log_id()}: {MOVED}")
        for entry in entries:
            copy = _set(entry, position=Position(self._partition, len(self._entries) + 1))
            self._entries.append(copy)
            self._streams[copy.stream].append(copy)
        self._taken = len(self._entries)
        self._copied = _set(copied, upto=[upto if position == after else position for position in copied.upto])

    async def keep(self, source: str, commands: Sequence[KeptCommand]) -> None:
        """See `Import.keep`."""
        await asyncio.sleep(0)
        self._going_on(source)
        beginning = Position(self._partition, 0)
        for kept in commands:
            at = self._streams[kept.stream][kept.version - 1].position if kept.version else beginning
            stream = Stream.parse(kept.stream)
            receipt = Receipt(stream, kept.version, kept.events, at, kept.command_id, self._log_id())
            self._receipts.setdefault((kept.stream, kept.command_id), receipt)

    async def end(self, source: str) -> None:
        """See `Import.end`."""
        self._copied = _set(self._going_on(source), ended=True)

    def _going_on(self, source: str) -> Copied:
        copied = self._copied
        if copied is None or copied.ended or copied.source != source:
            raise InvalidInput(f"log {self._log_id()}: {MOVED}")
        if len(self._entries) != self._taken:
            raise InvalidInput(f"log {self._log_id()}: {CHANGED}")
        return copied
