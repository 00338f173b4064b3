"""A log of several partitions, composed of ordinary logs: its parts, and one more for the cuts."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from zlib import crc32

import msgspec

from twofold.ambient import Ambient
from twofold.backends.partitioned.checkpoints import RoutedCheckpoints
from twofold.backends.partitioned.cuts import Cuts, Fixed
from twofold.backends.partitioned.gated import Gated
from twofold.backends.partitioned.merged import Merged
from twofold.backends.partitioned.order import MOST_PARTS
from twofold.backends.ports import LogStore
from twofold.errors import ConfigurationError, OutcomeUnknown, TwofoldError, Unavailable
from twofold.feed.feed import Feed
from twofold.messages import Append, Encoded, Entry, Meta, Receipt, Stream
from twofold.write.log import Loaded
from twofold.write.requests import KeepsRequests

_COUNT = Stream("partitions", "all")


class Partitioned(Merged):
    """A log store of several partitions. Read as a feed it is the merged feed, partition 0.

    `parts` are in order of their numbers 1, 2, …, each created with its number as `partition`. `cuts` is an ordinary
    log that holds nothing else. All have the same log id. The caller opens them before `open`; `close` closes them.
    """

    def __init__(self, parts: Sequence[LogStore], cuts: LogStore, ambient: Ambient | None = None) -> None:
        if not 1 <= len(parts) <= MOST_PARTS:
            raise ConfigurationError(f"a partitioned log has 1 to {MOST_PARTS} partitions, not {len(parts)}")
        self._ambient = ambient or Ambient()
        self._cut_log, self.limits = cuts, parts[0].limits
        self.parts: Mapping[int, LogStore] = dict(enumerate(parts, 1))
        super().__init__(self.parts, Cuts(cuts, Fixed(len(parts)), self._ambient.new_id))
        self.gated: Mapping[int, Feed] = {number: Gated(part, self) for number, part in self.parts.items()}
        stores = {0: cuts, **self.parts}
        self.checkpoints = RoutedCheckpoints({number: store.checkpoints for number, store in stores.items()})
        if isinstance(cuts, KeepsRequests):
            self.requests = cuts.requests

    async def open(self) -> None:
        """Check that these are the parts of one log, and all of them.

        Raises: ConfigurationError, naming the part; Unavailable.
        """
        if self._cut_log.partition != 0:
            raise ConfigurationError(
                f"the log of the cuts was opened as partition {self._cut_log.partition}: open it without `partition`, "
                f"and do not pass a part"
            )
        for number, part in self.parts.items():
            if part.partition != number:
                raise ConfigurationError(
                    f"part {number} was opened as partition {part.partition}: open it with partition={number}, and "
                    f"list the parts in the order of their numbers"
                )
            if part.log_id != self.log_id:
                raise ConfigurationError(
                    f"part {number} belongs to log {part.log_id}, the cuts to log {self.log_id}: name the parts of one "
                    f"log (a new part is created with log_id={self.log_id!r}). If `new_id` was interrupted, call it "
                    f"again on this log, before `open`"
                )
        await self._check_count()

    async def _check_count(self) -> None:
        """Check the number of partitions, which never changes: a stream's partition depends on it."""
        loaded = await self._cut_log.load(_COUNT)
        if not loaded.events:
            command_id = self._ambient.new_id()
            event = Encoded("Partitions", 1, msgspec.json.encode(len(self.parts)), None)
            try:
                await self._cut_log.commit([Append(_COUNT, [event], 0, Meta(command_id, command_id))])
            except OutcomeUnknown as error:
                raise Unavailable(f"the log of the cuts: {error}") from error
            loaded = await self._cut_log.load(_COUNT)  # another process may have been faster
        count = msgspec.json.decode(loaded.events[0][2], type=int)
        if count != len(self.parts):
            raise ConfigurationError(
                f"log {self.log_id} has {count} partitions, but {len(self.parts)} parts were given: pass all of "
                f"them, and no others"
            )

    def partition_of(self, id: str) -> int:
        """The number of the partition that holds the streams with this id, whatever their category."""
        return crc32(id.encode()) % len(self.parts) + 1

    async def commit(self, batch: Sequence[Append]) -> Sequence[Receipt | TwofoldError]:
        """See `Log.commit`. The parts commit their appends separately and concurrently.

        If one of several parts fails, its error is the outcome of each of its appends.
        """
        shares: dict[int, list[int]] = defaultdict(list)
        for index, append in enumerate(batch):
            shares[self.partition_of(append.stream.id)].append(index)
        commits = [self.parts[number].commit([batch[i] for i in share]) for number, share in shares.items()]
        if len(commits) == 1:
            return await commits[0]
        results = await asyncio.gather(*commits, return_exceptions=True)
        outcomes: dict[int, Receipt | TwofoldError] = {}
        for share, result in zip(shares.values(), results, strict=True):
            if not isinstance(result, BaseException):
                outcomes.update(zip(share, result, strict=True))
            elif isinstance(result, TwofoldError):
                outcomes.update((index, _failed(batch[index], result)) for index in share)
            else:
                raise result
        return [outcomes[index] for index in range(len(batch))]

    async def load(
        self, stream: Stream, command_id: str | None = None, last: int | None = None, after: int = 0
    ) -> Loaded:
        """See `Log.load`."""
        return await self.parts[self.partition_of(stream.id)].load(stream, command_id, last, after)

    async def read_stream(self, stream: Stream, from_version: int, limit: int) -> Sequence[Entry]:
        """See `Log.read_stream`."""
        return await self.parts[self.partition_of(stream.id)].read_stream(stream, from_version, limit)

    async def new_id(self, log_id: str | None = None) -> None:
        """See `LogStore.new_id`. If it is interrupted, `open` refuses: call `new_id` again first, which completes it.

        The merged feed starts over, so that a restored part may end before the newest cut.
        """
        log_id = log_id or self._ambient.new_id()[:16]
        for store in (*self.parts.values(), self._cut_log):
            await store.new_id(log_id)
        self.forget()

    async def close(self) -> None:
        """Close the parts and the log of the cuts."""
        async with AsyncExitStack() as stack:  # all of them, even if it is cancelled
            for store in (self._cut_log, *self.parts.values()):
                stack.push_async_callback(store.close)


def _failed(append: Append, error: TwofoldError) -> TwofoldError:
    return OutcomeUnknown(append.command_id, str(error)) if isinstance(error, OutcomeUnknown) else error
