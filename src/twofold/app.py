"""The App, a plain value, and the running App: the only place where both sides and a backend meet."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from twofold.ambient import Ambient
from twofold.backends.connect import stores
from twofold.backends.ports import LogStore, Rows
from twofold.belonging import Belonging
from twofold.codec import Codec, Stored
from twofold.declared import check_appended, check_names, check_parts, check_recorded
from twofold.errors import ConfigurationError, InvalidInput
from twofold.feed.catching_up import caught_up
from twofold.feed.checkpoints import Checkpoints
from twofold.feed.feed import Feed, PartitionSplit
from twofold.feed.follow import Following, share
from twofold.feed.follower import Follower
from twofold.feed.lag import Lag
from twofold.feed.partitions import Splitting, ends, feeds, partitions_of, reacting
from twofold.feed.standing import Pace, wait_until_idle
from twofold.feed.unparking import Parking, Unparker
from twofold.feed.worker import Worker
from twofold.messages import Append, Meta, Receipt, Recorded, Stream, Token
from twofold.opening import opens
from twofold.progress import Progress, no_progress
from twofold.react.reactor import Reactor
from twofold.react.runner import Runner
from twofold.read.cache import cache_bytes
from twofold.read.folded import folded
from twofold.read.freshness import DEFAULT_WAIT_S, After
from twofold.read.projection import Projection
from twofold.read.projector import Projector
from twofold.read.query import DEFAULT_LIMIT, Page, Queries
from twofold.read.rollup import Rollup
from twofold.read.rollups import fill_outdated
from twofold.read.watch import Watching, check_no_page
from twofold.read.watcher import RowChanges
from twofold.sql.caller import Caller
from twofold.sql.command import Called, SqlCommand
from twofold.sql.forms import ChecksForms, forms_of
from twofold.sql.view import View
from twofold.sql.views import Views
from twofold.write.bulk import Bulk, Call, bulk
from twofold.write.commits import Commits
from twofold.write.copies import check_complete
from twofold.write.decider import Decider, Done
from twofold.write.execute import Executor, check_version
from twofold.write.log import ShowsStates

A = TypeVar("A")
C = TypeVar("C")
S = TypeVar("S")
E = TypeVar("E")
R = TypeVar("R")

HISTORY_PAGE = 500


@dataclass(frozen=True, eq=False)
class App:
    """Write models, read models (projections and Rollups) and reactors that belong together, as one value.

    `stored` says how an event class is stored, unless under its own name at schema 1. It also declares classes that
    are recorded by another program, or by `append` without a decider. `http` names a function, `module:name`, that
    returns an ASGI app for a `Running`; `twofold serve` serves it. `formerly` is the App's previous name, under which
    existing stores know it. `commands` are those that PostgreSQL functions decide, and `views` read models that
    PostgreSQL selects.

    Raises: ConfigurationError for names used twice, a projection that mixes documents with events, or a class that
    cannot be stored.
    """

    name: str
    deciders: Sequence[Decider[Any, Any, Any]] = ()
    projections: Sequence[Projection[Any]] = ()
    reactors: Sequence[Reactor] = ()
    stored: Mapping[type, Stored] = field(default_factory=dict)
    http: str | None = None
    formerly: str | None = None
    commands: Sequence[SqlCommand[Any, Any]] = ()
    views: Sequence[View[Any]] = ()
    codec: Codec = field(init=False, repr=False)

    def __post_init__(self) -> None:
        check_parts(self.deciders, self.projections, self.reactors, self.commands, self.views)
        check_names(self.name, self.formerly, self.http)
        recorded = [cls for each in self.deciders for cls in each.recorded_types]
        recorded += [cls for each in self.commands for cls in each.records]
        followers: list[Projection[Any] | Reactor] = [*self.projections, *self.reactors]
        check_recorded(self.name, followers, {*recorded, *self.stored})
        consumed = [cls for follower in followers for cls in follower.event_types]
        object.__setattr__(self, "codec", Codec([*recorded, *consumed], self.stored))
        for projection in self.projections:
            self.folding(projection)

    @property
    def parts(self) -> list[Any]:
        """All that an Api may serve."""
        return [*self.deciders, *self.commands, *self.projections, *self.views]

    @property
    def declared(self) -> list[type]:
        """Event classes that are recorded without a decider."""
        return [*self.stored, *(cls for command in self.commands for cls in command.records)]

    def folding(self, projection: Projection[Any]) -> Projection[Any]:
        """A projection as it folds in this App: over documents, if its streams are state-stored, and under its Rollups.

        Raises: ConfigurationError if it mixes documents with events.
        """
        if isinstance(projection, Rollup):
            return projection.over(self.folding(projection.of))
        documents = {cls for d in self.deciders if d.stored == "state" for cls in d.recorded_types}
        own = documents.intersection(projection.event_types)
        if own and (len(own) < len(projection.event_types) or projection.key is not None):
            raise ConfigurationError(
                f"{projection.owner} is over documents ({', '.join(cls.__name__ for cls in own)}): "
                f"it cannot take other events as well, and its key is always the document's id"
            )
        folding = projection.over_documents() if own else projection
        by = [rollup.table.key for rollup in self.rollups if rollup.of is projection]
        return folding.under_rollups(by) if by else folding

    @property
    def folded(self) -> Sequence[Projection[Any]]:
        """Those of its projections that are folded from events: all but Rollups."""
        return [projection for projection in self.projections if not isinstance(projection, Rollup)]

    @property
    def rollups(self) -> Sequence[Rollup[Any]]:
        """Those of its projections that are Rollups."""
        return [projection for projection in self.projections if isinstance(projection, Rollup)]

    def projection(self, name: str) -> Projection[Any]:
        """The projection with this name. Raises: InvalidInput, listing the names that exist."""
        for projection in self.projections:
            if projection.name == name:
                return projection
        for view in self.views:
            if view.name == name:
                raise InvalidInput(
                    f"{view.owner} is a query, so there is nothing to fold or to compare: {_instead(view)}"
                )
        names = ", ".join(known.name for known in self.projections)
        raise InvalidInput(f"{self.name} has no projection {name!r}; it has {names or 'none'}")

    @opens("app.open")
    async def open(
        self,
        store: str | LogStore,
        *,
        read_store: str | Rows | None = None,
        work: bool = True,
        ambient: Ambient | None = None,
    ) -> AsyncIterator[Running]:
        """Run the App on a store: a URL, or an open store, which stays open.

        Without `read_store` the read models are kept beside the log. With `work=False` this process neither folds nor
        reacts; another process does.

        Raises: ConfigurationError, LogReplaced, Unavailable.
        """
        async with self.look(store, read_store=read_store, ambient=ambient, create=True) as running:
            await check_complete(running.log)
            await running.prepare()
            if work:
                running.work()
            yield running

    @opens("app.look")
    async def look(
        self,
        store: str | LogStore,
        *,
        read_store: str | Rows | None = None,
        ambient: Ambient | None = None,
        create: bool = False,
    ) -> AsyncIterator[Running]:
        """Open the App on a store as it is: nothing is prepared, folded or reacted to. For tools.

        Raises: ConfigurationError, also if the store does not exist and `create` is false. Unavailable.
        """
        ambient = ambient or Ambient()
        async with stores(store, read_store, ambient, create=create) as (log, rows):
            running = Running(self, log, rows, ambient)
            try:
                yield running
            finally:
                await running.stop()


class Running:
    """An App on a store. Made by `App.open`; used from one event loop.

    `parking` lists, retries or discards parked events. Operators' tasks are in `twofold.operate`.
    """

    def __init__(self, app: App, log: LogStore, rows: Rows, ambient: Ambient) -> None:
        self.app, self.log, self.rows, self.ambient = app, log, rows, ambient
        self.lags: dict[int, Lag] = {}
        self._add_lags()
        self.commits = Commits(log, lambda head: self.lags[head.partition].mark(head))
        if isinstance(log, ShowsStates):
            log.show_states([decider.category for decider in app.deciders if decider.stored == "state"])
        self.executor = Executor(log, self.commits.append, app.codec, ambient)
        self.caller = Caller(app.name, app.commands, log, lambda head: self.lags[head.partition].mark(head))
        self.queries = Queries(rows, log)
        self.views = Views(app.name, app.views, rows, log, app.codec)
        self.watching = Watching(self.queries, rows, log, app.codec)
        self.owner = ambient.new_id()[:12]
        self.followers: list[Following] = []
        self._unparks: dict[str, list[tuple[Following, Unparker]]] = {}
        self._add_followers()
        self.parking = Parking(self._unparks, f"{self.owner} unparking")
        self._by_category = {decider.category: decider for decider in app.deciders}
        self.belonging = Belonging(app.name, app.formerly, self.followers, rows)
        self._workers: list[Worker] = []
        if isinstance(log, Splitting):
            log.tell(self._follow_splits)

    def _add_lags(self) -> None:
        for partition, feed in {**feeds(self.log), self.log.partition: self.log}.items():
            self.lags.setdefault(partition, Lag(feed, self.ambient.now))

    def _add_followers(self) -> list[Following]:
        """The followers of partitions that are new. Those of partitions that have split are no longer listed."""
        known, added, now = {one.follower_id: one for one in self.followers}, list[Following](), list[Following]()
        for follower, feed, checkpoints, unparking in self._followers(self.ambient):
            following = known.get(follower.follows)
            if following is None:
                following = Following(follower, feed, checkpoints, self.owner, self.log)
                added.append(following)
                self._unparks.setdefault(follower.follows.name, []).append((following, unparking))
            now.append(following)
        self.followers[:] = now
        for name, pairs in self._unparks.items():
            self._unparks[name] = [pair for pair in pairs if pair[0] in now]
        share(self.followers)
        return added

    def _follow_splits(self) -> None:
        """A partition has split: its follower ends by itself, and those of its parts begin."""
        self._add_lags()
        self.commits.follow_splits()
        added = self._add_followers()
        if self._workers:
            self._workers += [Worker(following) for following in added]

    def _followers(self, ambient: Ambient) -> Iterable[tuple[Follower, Feed, Checkpoints, Unparker]]:
        """Projections with `key=` or a Rollup follow the merged feed: a row takes events of several partitions."""
        codec, rows, log = self.app.codec, self.rows, self.log
        folded = [self.app.folding(projection) for projection in self.app.folded]
        spread = [(p, partition) for p in folded for partition in partitions_of(log, spread=p.spreads)]
        cache = cache_bytes(len(spread))
        for folding, partition in spread:
            projector = Projector(folding, rows, log, codec, ambient, partition=partition, cache=cache)
            yield projector, projector.feed, rows.checkpoints, projector.unparking()
        for reactor in self.app.reactors:
            for feed in reacting(log).values():
                may_split, carry_out = isinstance(log, Splitting), self._carry_out
                runner = Runner(reactor, feed, log.checkpoints, carry_out, codec, ambient, may_split=may_split)
                yield runner, feed, log.checkpoints, runner

    async def _carry_out(self, decider: Decider[Any, Any, Any], id: str, command: Any, meta: Meta) -> Receipt:
        """Execute a reactor's command. Raises: also ConfigurationError, for a decider that the App does not have."""
        if decider.category not in self._by_category:
            raise ConfigurationError(
                f"a reactor sent a command to {decider.owner}, which {self.app.name} does not have: add it to deciders="
            )
        return await self.executor.carry_out(decider, id, command, meta)

    async def prepare(self) -> None:
        """Create missing tables and checkpoints. Raises: ConfigurationError, LogReplaced, Unavailable."""
        await self.belonging.check()
        if isinstance(self.log, ChecksForms):
            await self.log.install(self.app.name, forms_of(self.app.deciders, self.app.declared, self.app.codec))
        await self.caller.prepare()
        for projection in self.app.projections:
            await self.rows.prepare(projection.table)
        await self._prepare_followers()
        await self.fill(self.app.rollups)
        await self.views.prepare()

    async def _prepare_followers(self) -> None:
        """Prepare those of all partitions, also of new ones if one splits meanwhile."""
        prepared: list[Following] = []
        while left := [following for following in self.followers if following not in prepared]:
            for following in left:
                with suppress(PartitionSplit):
                    await self.belonging.register(following)
                    await following.check_log()
            prepared += left

    async def fill(self, rollups: Sequence[Rollup[Any]]) -> None:
        """Fill new rollups, whose tables exist. Raises: ConfigurationError, Contended, Unavailable."""
        partition = self.log.partition
        for rollup in rollups:
            await self.belonging.register_rollup(rollup.follows.in_partition(partition), self.log.log_id)
        for source in {rollup.of.follows: rollup.of for rollup in rollups}.values():
            await fill_outdated(self.rows, source.table, partition, f"{self.owner} filling")

    def work(self) -> None:
        """Fold and react in this process, sharing the work with other processes."""
        self._workers = [Worker(following) for following in self.followers]
        self.views.work()

    @property
    def works(self) -> bool:
        """Whether this process folds and reacts."""
        return bool(self._workers)

    async def stop(self) -> None:
        """Finish what was accepted, and release the checkpoints."""
        workers, self._workers = self._workers, []  # at once: now a partition that splits gets no new ones
        await asyncio.gather(self.watching.stop(), self.views.stop())
        await asyncio.gather(*[worker.stop() for worker in workers])
        await asyncio.gather(self.caller.close(), self.commits.close())
        if isinstance(self.log, Splitting):
            self.log.tell_no_more(self._follow_splits)

    async def execute(
        self,
        decider: Decider[C, S, E],
        id: str,
        command: C,
        *,
        command_id: str | None = None,
        expected_version: int | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
    ) -> Done[S, E]:
        """Decide `command` against the stream of this id, and append the events.

        A command id that the stream knows returns its original result. On a conflict the command is decided again,
        with growing random pauses, at most 50 times; with `expected_version` the conflict is raised at once.

        Raises: Rejected, VersionConflict, InvalidInput, InvalidEvent, Unavailable, OutcomeUnknown.
        """
        return await self.executor.execute(
            decider,
            id,
            command,
            command_id=command_id,
            expected_version=expected_version,
            actor=actor,
            correlation_id=correlation_id,
            causation_id=causation_id,
        )

    async def call(
        self,
        command: SqlCommand[C, A],
        value: C,
        *,
        command_id: str | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
    ) -> Called[A]:
        """Run a SQL command: its function, with the fields of `value` as arguments.

        A command id that was used before always returns its first answer, whatever `value` is now.

        Raises: Rejected, VersionConflict, InvalidInput, InvalidEvent, CommandFailed, Unavailable, OutcomeUnknown.
        """
        meta = self.executor.meta(command_id, actor, correlation_id, causation_id)
        return await self.caller.call(command, value, meta, is_named=command_id is not None)

    async def get(
        self, projection: Projection[R], key: Any, *, after: After | None = None, wait_s: float = DEFAULT_WAIT_S
    ) -> R | None:
        """The row with this key (a tuple if the key has several fields), or None.

        With `after`, a receipt or token, the row includes that write; `wait_s` is how many seconds to wait for it.

        Raises: InvalidQuery, InvalidToken, ReadModelBehind, RowParked, RowUnreadable, LogReplaced, Unavailable.
        """
        return await self.queries.get(projection, key, after=after, wait_s=wait_s)

    async def find(
        self,
        projection: Projection[R],
        *,
        order_by: str | Sequence[str] = (),
        limit: int = DEFAULT_LIMIT,
        cursor: str | None = None,
        after: After | None = None,
        wait_s: float = DEFAULT_WAIT_S,
        **conditions: Any,
    ) -> Page[R]:
        """A page of the rows that match all conditions.

        A condition is a field (`customer_id="c-1"`), or a field and an operator: `__ne`, `__gt`, `__ge`, `__lt`,
        `__le`, `__in` for one of several values, `__startswith` for the beginning of a text, or `__contains` for one or
        several members of a list field. `order_by` names fields, with a leading `-` for descending; the key
        breaks ties. None sorts first. `limit` is 1 to 500. `cursor` is that of a page, or its `previous`. `after` and
        `wait_s` are as for `get`. A row that cannot be read is left out, logged, and counted in `parked`.

        Raises: InvalidQuery, InvalidCursor, InvalidToken, ReadModelBehind, LogReplaced, Unavailable.
        """
        return await self.queries.find(
            projection, conditions, order_by=order_by, limit=limit, cursor=cursor, after=after, wait_s=wait_s
        )

    async def count(
        self,
        projection: Projection[Any],
        *,
        after: After | None = None,
        wait_s: float = DEFAULT_WAIT_S,
        **conditions: Any,
    ) -> int:
        """How many rows match all conditions, which are those of `find`; `after` and `wait_s` are as for `get`.

        It takes as long as reading every row that matches, or its entry in an index. Parked rows count as stored.

        Raises: InvalidQuery, InvalidToken, ReadModelBehind, LogReplaced, Unavailable.
        """
        return await self.queries.count(projection, conditions, after=after, wait_s=wait_s)

    def watch(
        self,
        projection: Projection[R],
        *,
        order_by: str | Sequence[str] = (),
        after: After | None = None,
        wait_s: float = DEFAULT_WAIT_S,
        **conditions: Any,
    ) -> AsyncGenerator[RowChanges[R], None]:
        """Watch all rows that match the conditions: a snapshot, in pages, then their changes.

        `after` is the token of earlier changes, possibly from another process: the watch resumes there, and yields at
        once what has changed since, even if nothing has, or a new snapshot if that is no longer known. Or it is a
        receipt, which the first snapshot then includes. Close the generator to stop, for example with
        `contextlib.aclosing`.

        After the first changes, it waits for a store that cannot be reached. Raises: InvalidQuery, also for `limit`,
        InvalidToken, ReadModelBehind, LogReplaced, Unavailable; Closed when the App stops.
        """
        check_no_page(conditions)
        return self.watching.watch(projection, conditions, order_by=order_by, after=after, wait_s=wait_s)

    async def until(
        self, projection: Projection[R], key: Any, predicate: Callable[[R], bool], *, timeout_s: float = DEFAULT_WAIT_S
    ) -> R:
        """Wait until the row with this key meets a predicate, for example because of a reactor, and return it.

        Raises: NotReached when the time is up; what the predicate raises; as `watch`.
        """
        return await self.watching.until(projection, key, predicate, timeout_s)

    async def check_token(self, after: After | None) -> None:
        """Check a token for a read of the log itself, which is never behind. Raises: InvalidToken, Unavailable."""
        await self.queries.check_token(after)

    async def load(self, decider: Decider[C, S, E], id: str) -> tuple[S, int]:
        """State and version of a write model; version 0 if the stream does not exist. Raises: Unavailable."""
        return await self.executor.load(decider, id)

    async def append(
        self,
        stream: Stream | str,
        events: Sequence[object],
        *,
        expected_version: int | None = None,
        command_id: str | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
    ) -> Receipt:
        """Append events without a decider, atomically.

        Raises: VersionConflict, InvalidInput, InvalidEvent, Unavailable, OutcomeUnknown.
        """
        meta = self.executor.meta(command_id, actor, correlation_id, causation_id)
        check_version(expected_version)
        stream = _stream(stream)
        check_appended(self._by_category.get(stream.category), events)
        await self.executor.check_name(stream)
        encoded = [self.app.codec.encode(event) for event in events]
        return await self.commits.append(Append(stream, encoded, expected_version, meta))

    async def bulk(
        self,
        calls: Iterable[Call],
        *,
        at_once: int = 128,
        most_behind: int = 1_000,
        progress: Progress = no_progress,
    ) -> Bulk:
        """Make many calls of `execute` and `append`, such as an import: in order, `at_once` of them concurrently.

        `calls` are functions without parameters, like `partial(running.append, …)`. They are taken one at a time, so a
        generator may yield millions. The import slows down while any working follower, here or in another process, is
        more than about `most_behind` events behind, so readers hardly notice. If each call has a command id, the
        import can be stopped anywhere and started again. `progress` gets how many calls are done, and the total where
        it is known.

        Raises: the first error of a call, after the calls in progress have ended; no further ones are started.
        InvalidInput, LogReplaced, Unavailable.
        """
        if at_once < 1 or most_behind <= at_once:
            raise InvalidInput(
                f"at_once must be at least 1 and below most_behind, not {at_once} with most_behind={most_behind}"
            )
        look_every = max(1, (most_behind - at_once) // 4)
        return await bulk(calls, Pace(self.followers, most_behind - at_once, look_every), at_once, progress)

    async def settled(self, *, timeout_s: float) -> None:
        """Return when all projections and reactors have handled everything up to the head, and what that caused.

        For tests and scripts; the work may be done in any process. What is parked for good counts as handled (see
        `status` and `parking`); a reaction that will be retried does not.

        Raises: InvalidInput, NotSettled when the time is up, LogReplaced, Unavailable.
        """
        await wait_until_idle(self.followers, self.log, timeout_s)

    async def catch_up(
        self, projection: Projection[Any], *, until: Sequence[After] | None = None, wait_s: float = 30.0
    ) -> AsyncGenerator[Sequence[Recorded], None]:
        """Fold a projection in this call, for a process that runs only while it is called (`open(work=False)`).

        Ends once the projection has passed these receipts or tokens; by default, everything recorded when it begins.
        Yields the events that this call has folded, page by page, each once its rows are committed, without those that
        are parked. Other events were folded before, or by another process: while one holds the checkpoint, this call
        waits for it, and takes over when its lease has run out.

        Raises: Contended when another process holds the checkpoint and is still behind after `wait_s` seconds;
        InvalidInput, InvalidToken, ConfigurationError, LogReplaced, Unavailable.
        """
        folding = self.app.folding(self._folded_by(projection))
        tokens = await self.queries.checked(await self._heads() if until is None else until)
        events = [token.position for token in tokens]
        async with aclosing(caught_up(self.followers, folding.name, self.log, events, wait_s)) as pages:
            async for following, page in pages:
                yield await folded(folding, self.app.codec, following, page)

    def _folded_by(self, projection: Projection[Any]) -> Projection[Any]:
        """The projection whose fold maintains this read model. Raises: InvalidInput."""
        found = self.app.projection(projection.name)
        return found.of if isinstance(found, Rollup) else found

    async def _heads(self) -> Sequence[Token]:
        return [Token(self.log.log_id, end) for end in await ends(self.log, self.log)]

    async def history(self, stream: Stream | str, *, from_version: int = 1) -> list[Recorded]:
        """Every event of a stream in order, starting with `from_version`; empty if there are none.

        Raises: InvalidInput, UndecodableEvent, Unavailable.
        """
        events: list[Recorded] = []
        while True:
            entries = await self.log.read_stream(_stream(stream), from_version, HISTORY_PAGE)
            events += [self.app.codec.recorded(entry) for entry in entries]
            if len(entries) < HISTORY_PAGE:
                return events
            from_version = entries[-1].version + 1


def _instead(view: View[Any]) -> str:
    names = ", ".join(each.name for each in view.sources)
    return f"name what it is over, {names}" if names else "it is over plain tables"


def _stream(stream: Stream | str) -> Stream:
    return stream if isinstance(stream, Stream) else Stream.parse(stream)
