"""Copy a log into another store, and compare the two.

The checksum is the sum, modulo 2^128, of the hashes of all events (with stream and version) and all command ids. So it
does not depend on the order between streams, and needs no memory for them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC
from hashlib import blake2b

from twofold.backends.ports import LogStore
from twofold.errors import BatchRefused, ConfigurationError, InvalidInput
from twofold.feed.checkpoints import Checkpoint, FollowerId, Parked
from twofold.feed.feed import Feed, pages
from twofold.feed.partitions import ancestors, covered_by, feed_of, learn, partition_of, partitions_of
from twofold.messages import Entry, Position, Stream
from twofold.progress import Progress
from twofold.write.copies import Export, Exports, Import, Imports, KeptCommand, check_complete

EVENTS_AT_ONCE = 2_000
COMMANDS_AT_ONCE = 5_000
BYTES = 16
COPYING = "twofold copy"


@dataclass
class Contents:
    """What a log contains up to a position: the numbers of events and command ids, and the sum of their hashes."""

    events: int = 0
    commands: int = 0
    total: int = 0

    def add_event(self, entry: Entry) -> None:
        """Add one event, as stored."""
        at = entry.recorded_at.astimezone(UTC).isoformat(timespec="microseconds")
        self.events += 1
        self._add("event", entry.stream, entry.version, entry.type, entry.schema, entry.data, entry.meta, at)

    def add_commands(self, commands: Sequence[KeptCommand]) -> None:
        """Add command ids with their receipts."""
        self.commands += len(commands)
        for command in commands:
            self._add("command", command.stream, command.command_id, command.version, command.events)

    def _add(self, *parts: str | bytes | int) -> None:
        digest = blake2b(digest_size=BYTES)
        for part in parts:
            data = part if isinstance(part, bytes) else str(part).encode()
            digest.update(b"%d:" % len(data))  # so that different lists of parts never give the same bytes
            digest.update(data)
        self.total = (self.total + int.from_bytes(digest.digest(), "big")) % 2 ** (8 * BYTES)

    @property
    def checksum(self) -> str:
        """32 hex digits."""
        return f"{self.total:0{2 * BYTES}x}"


@dataclass(frozen=True)
class Ended:
    """The position up to which the source was copied, and the command ids that were sent."""

    upto: Position
    sent: Contents


@dataclass(frozen=True)
class Copy:
    """A log and the log that becomes its copy. Made by `copying`."""

    source: LogStore
    target: LogStore
    export: Export
    imported: Import
    target_export: Export
    reactors: Sequence[FollowerId]

    async def run(self, progress: Progress) -> Ended:
        """Copy up to the head of the source, including what is appended meanwhile.

        If it is killed, running it again resumes the copy. Each reactor gets the same place in the copy as in the
        source, or the place before its first parked event.

        Raises: InvalidInput if the target contains anything but a copy of the source, or cannot store one of its
        events. LogReplaced, Unavailable.
        """
        source, beginning = self.source.log_id, _beginning(self.source)
        [after] = (await self.imported.begin(source, [beginning])).upto
        done = await self.source.distance(beginning, after)
        while (page := await self.source.read(after, EVENTS_AT_ONCE)).upto != after:
            await self._take(after, page.upto, page.entries)
            after = page.upto
            done += len(page.entries)
            progress("events", done, done + await self.source.behind(after))
        sent = Contents()
        async for commands in _commands(self.export, after):
            await self.imported.keep(source, commands)
            sent.add_commands(commands)
            progress("command ids", sent.commands, sent.commands)
        for reactor in self.reactors:
            await self._place(reactor, after)
        await self.imported.end(source)
        return Ended(after, sent)

    async def _take(self, after: Position, upto: Position, entries: Sequence[Entry]) -> None:
        """Import entries, in halves if the store refuses one of them, so that the error can name it."""
        try:
            await self.imported.take(self.source.log_id, after, upto, entries)
        except BatchRefused as refused:
            if len(entries) == 1:
                [entry] = entries
                raise InvalidInput(
                    f"the target cannot store event {entry.stream}@{entry.version} at {entry.position}: {refused}"
                ) from refused
            half = len(entries) // 2
            await self._take(after, entries[half - 1].position, entries[:half])
            await self._take(entries[half - 1].position, upto, entries[half:])

    async def _place(self, reactor: FollowerId, upto: Position) -> None:
        """Place a reactor in the copy. Otherwise it would start again and repeat its effects outside the log."""
        reached = await self._reached(reactor, upto)
        if reached is None:
            return
        for partition, at in (await self._in_the_copy(reached)).items():
            follower, checkpoints = reactor.in_partition(partition), self.target.checkpoints
            await checkpoints.register(follower, self.target.log_id, at)
            here = await checkpoints.read(follower)
            if here is not None and here.position < at:  # placed by an earlier run
                claim = await checkpoints.claim(here, COPYING)
                if claim is not None:
                    await checkpoints.advance(claim, here.position, at)
                    await checkpoints.release(claim)

    async def _reached(self, reactor: FollowerId, upto: Position) -> Position | None:
        """Up to where it has handled everything, in the order in which the source is copied; None if it never ran."""
        there = await self.source.checkpoints.all_partitions(reactor)
        waiting = {one.follower: await self.source.checkpoints.parked(one.follower) for one in there}
        now = await self.source.checkpoints.all_partitions(reactor)
        if [one.follower for one in now] != [one.follower for one in there]:  # one has split, with what is parked in it
            return await self._reached(reactor, upto)
        await learn(self.source, [follower.partition for follower in waiting])
        if any(one.log_id != self.source.log_id for one in there) or not self._is_everywhere(there):
            return None
        done = [self._before_parked(one, waiting[one.follower]) for one in there]
        if len(done) == 1 and done[0].partition == upto.partition:
            return min(upto, done[0])
        merged, *_ = await covered_by(self.source, done)
        return min(upto, merged)

    def _is_everywhere(self, checkpoints: Sequence[Checkpoint]) -> bool:
        """Whether a reactor has begun in every partition, perhaps before it split."""
        has = {one.follower.partition for one in checkpoints}
        leaves = partitions_of(self.source, spread=True)
        return all(has & {leaf, *ancestors(self.source, leaf)} for leaf in leaves)

    def _before_parked(self, checkpoint: Checkpoint, waiting: Sequence[Parked]) -> Position:
        feed = feed_of(self.source, checkpoint.follower.partition)
        return min([checkpoint.position, *(feed.before(parked.position) for parked in waiting)])

    async def _in_the_copy(self, upto: Position) -> dict[int, Position]:
        """For each partition of the copy: the place of the last of those events of the source that are in it."""
        found = {number: Position(number, 0) for number in partitions_of(self.target, spread=True)}
        last: dict[int, Entry] = {}
        if len(found) == 1 and len(partitions_of(self.source, spread=True)) == 1 and upto != _beginning(self.source):
            entries = (await self.source.read(self.source.before(upto), 1)).entries
            last = {number: entry for number in found for entry in entries}
        else:
            async for page in pages(self.source, _beginning(self.source), upto, None):
                last |= {partition_of(self.target, Stream.parse(entry.stream).id): entry for entry in page.entries}
        for number, entry in last.items():
            [copied] = await self.target.read_stream(Stream.parse(entry.stream), entry.version, 1)
            found[number] = copied.position
        return found

    async def contents(self, ended: Ended, progress: Progress) -> tuple[Contents, Contents]:
        """The contents of the source, up to where it was copied, and of the target. Both are read from the beginning.

        The source's command ids are those that were sent, since it may have more of them by now.

        Raises: LogReplaced, Unavailable.
        """
        sent, copied = replace(ended.sent), Contents()
        await _add_events(sent, self.source, ended.upto, "reading the source", progress)
        head = await _end(self.target)
        await _add_events(copied, self.target, head, "reading the copy", progress)
        async for commands in _commands(self.target_export, head):
            copied.add_commands(commands)
        return sent, copied


async def copying(source: LogStore, target: LogStore, reactors: Sequence[FollowerId] = ()) -> Copy:
    """A `Copy` of two logs, checked. The places of `reactors` are copied too.

    Raises: ConfigurationError if one of the stores does not support it, or the source is itself an unfinished copy.
    InvalidInput if both are the same log. Unavailable.
    """
    if source.log_id == target.log_id:
        raise InvalidInput(f"both URLs lead to log {source.log_id}: give the URL of an empty store as --to")
    if not isinstance(source, Exports):
        raise ConfigurationError("the store given as --from cannot be copied: its log does not support `exporting`")
    if not isinstance(target, Imports) or not isinstance(target, Exports):
        raise ConfigurationError("the store given as --to cannot hold a copy: its log does not support `importing`")
    await check_complete(source)
    return Copy(source, target, source.exporting, target.importing, target.exporting, reactors)


async def _add_events(contents: Contents, log: LogStore, upto: Position, what: str, progress: Progress) -> None:
    beginning = _beginning(log)
    total = await log.distance(beginning, upto)
    async for page in pages(log, beginning, upto, None):
        for entry in page.entries:
            contents.add_event(entry)
        progress(what, contents.events, total)


async def _end(log: LogStore) -> Position:
    """The place after all its events. In a merged feed it is only fixed once a reader gets there."""
    end = await log.head()
    while (page := await log.read(end, EVENTS_AT_ONCE, frozenset())).upto != end:
        end = page.upto
    return end


def _beginning(feed: Feed) -> Position:
    return Position(feed.partition, 0)


async def _commands(export: Export, upto: Position) -> AsyncIterator[Sequence[KeptCommand]]:
    last: KeptCommand | None = None
    while commands := await export.commands(upto, last, COMMANDS_AT_ONCE):
        yield commands
        last = commands[-1]
