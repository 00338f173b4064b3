"""The App, a value in one file, and what it is when it runs: the only place where both sides and a backend meet."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar

from twofold.ambient import Ambient
from twofold.backends.connect import LogStore, Rows, beside, connect, connect_read, resolved, scratch_rows
from twofold.codec import Codec, Stored
from twofold.errors import ConfigurationError, InvalidInput, LogReplaced
from twofold.feed.belongs import agreed, assign, check_app
from twofold.feed.checkpoints import Belongs, Checkpoint, Checkpoints, FollowerId, Parked
from twofold.feed.follow import Follower, Following, State, check_log
from twofold.feed.lag import Lag
from twofold.feed.parking import Parking, Unparks
from twofold.feed.standing import Followed, Pace, settled
from twofold.feed.worker import Worker
from twofold.messages import BEGINNING, Append, Meta, Position, Receipt, Recorded, Stream
from twofold.opening import opens
from twofold.react.reactor import Reactor
from twofold.react.runner import Runner
from twofold.read.cache import cache_bytes
from twofold.read.projection import Projection
from twofold.read.projector import Projector
from twofold.read.proof.fresh import Told
from twofold.read.proof.verify import MOST_SHOWN, Report, Verification
from twofold.read.publish import note_on
from twofold.read.query import Queries, key_values
from twofold.read.rebuild import Rebuilding, drop_unheld
from twofold.read.refold import Refold, Refolded
from twofold.read.store import check_columns
from twofold.write.bulk import Bulk, Call, bulk
from twofold.write.copies import check_complete
from twofold.write.decider import Decider
from twofold.write.execute import Executor, check_version
from twofold.write.group_commit import GroupCommit

C = TypeVar("C")
S = TypeVar("S")
E = TypeVar("E")

HISTORY_PAGE = 500
REACTOR_POLL_S = 0.02


def _silent(what: str, done: int, total: int) -> None:
    """Nobody asked."""


@dataclass(frozen=True, eq=False)
class App:
    """Write models, read models and reactors that belong together, as one value.

    `stored` says how an event class is stored where that differs from its own name at schema 1; it also names the
    classes that another program records, or `append` without a decider. `http` is the place of a function,
    `module:name`, that returns an ASGI app for a `Running`: what `twofold serve` serves.
    `formerly` is the name that the App had before: its stores know it by that name.

    Raises: ConfigurationError for what could not work: names used twice, a projection that mixes documents with
    events, a class that cannot be stored.
    """

    name: str
    deciders: Sequence[Decider[Any, Any, Any]] = ()
    projections: Sequence[Projection[Any]] = ()
    reactors: Sequence[Reactor] = ()
    stored: Mapping[type, Stored] = field(default_factory=dict)
    http: str | None = None
    formerly: str | None = None
    codec: Codec = field(init=False, repr=False)

    def __post_init__(self) -> None:
        _all_of("deciders", self.deciders, Decider)
        _all_of("projections", self.projections, Projection)
        _all_of("reactors", self.reactors, Reactor)
        if self.http is not None and not re.fullmatch(r"\w+(\.\w+)*:\w+", self.http):
            raise ConfigurationError(f"http= is the place of a function, module:name, not {self.http!r:.80}")
        if self.formerly == self.name:
            raise ConfigurationError(f"formerly={self.formerly!r} is the name that the App has: leave it out")
        _unique("category", (decider.category for decider in self.deciders))
        _unique("name", [p.name for p in self.projections] + [r.name for r in self.reactors])
        recorded = [cls for decider in self.deciders for cls in decider.recorded_types]
        consumed = [cls for projection in self.projections for cls in projection.event_types]
        consumed += [cls for reactor in self.reactors for cls in reactor.event_types]
        self._check_recorded(recorded)
        object.__setattr__(self, "codec", Codec([*recorded, *consumed], self.stored))
        for projection in self.projections:
            self.folds_documents(projection)

    def _check_recorded(self, recorded: Sequence[type]) -> None:
        """Raises: ConfigurationError for a follower that would wait for ever for an event that nothing here records."""
        known = {*recorded, *self.stored}
        takes = [(one.owner, one.event_types) for one in self.projections]
        takes += [(one.owner, one.event_types) for one in self.reactors]
        for owner, event_types in takes:
            for cls in event_types:
                if cls not in known:
                    raise ConfigurationError(
                        f"{owner} takes {cls.__name__}, which no decider of {self.name} records: "
                        f"add its decider to deciders=, or, where another program records it, name the class in "
                        f"stored={{{cls.__name__}: Stored({cls.__name__!r})}}"
                    )

    def folds_documents(self, projection: Projection[Any]) -> bool:
        """Whether a projection is over state-stored streams. Raises: ConfigurationError when it mixes."""
        documents = {cls for d in self.deciders if d.stored == "state" for cls in d.recorded_types}
        own = documents.intersection(projection.event_types)
        if own and (len(own) < len(projection.event_types) or projection.key is not None):
            raise ConfigurationError(
                f"{projection.owner} is over documents ({', '.join(cls.__name__ for cls in own)}): "
                f"it can take no other events, and its key is the document's id"
            )
        return bool(own)

    @opens("app.open")
    async def open(
        self,
        store: str | LogStore,
        *,
        read_store: str | Rows | None = None,
        work: bool = True,
        ambient: Ambient | None = None,
    ) -> AsyncIterator[Running]:
        """Run the App on a store: a URL, or a store that is open already and stays so.

        Without `read_store` the read models lie beside the log. With `work=False` nothing is folded and no reactor
        runs here: some other process does that.

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
        """The App on a store as it is: nothing is prepared, folded or reacted to. For tools.

        Raises: ConfigurationError, also when there is no such store and `create` does not allow to make one.
        Unavailable.
        """
        ambient = ambient or Ambient()
        async with AsyncExitStack() as stack:
            if store is None:
                raise ConfigurationError("store is None: give a URL, like sqlite:///shop.db")
            if isinstance(store, str):
                store = resolved(store)
                read_store = read_store or beside(store)
            if read_store is None:
                raise ConfigurationError("read_store must be given where the store is not a URL")
            if isinstance(read_store, str):
                read_store = resolved(read_store)
            log = store if not isinstance(store, str) else await connect(store, ambient, create=create)
            if isinstance(store, str):
                stack.push_async_callback(log.close)
            rows = read_store if not isinstance(read_store, str) else await connect_read(read_store)
            if isinstance(read_store, str):
                stack.push_async_callback(rows.close)
            running = Running(self, log, rows, ambient)
            stack.push_async_callback(running.stop)
            yield running


@dataclass(frozen=True, slots=True)
class FollowerStatus:
    """How one projection or reactor is doing. `lag_events` counts positions of the feed, wanted or not.

    `state` is that of this process's worker (see `Following`), or "elsewhere" where this process does no work;
    `owner` names the worker that holds the checkpoint. `note` is what somebody should see to that stops nothing: the
    name for SQL cannot show this version yet.
    """

    name: str
    version: int
    kind: Literal["projection", "reactor"]
    position: Position | None
    head: Position
    lag_events: int
    lag_s: float
    owner: str | None
    state: State | Literal["elsewhere"]
    error: str | None
    parked: int
    note: str | None = None


class Running:
    """An App on a store. Made by `App.open`; used from one event loop.

    `execute` is `Executor.execute`; `get`, `find` and `check_token` are those of `Queries`. `parking` looks at what is
    parked and lets it go on.
    """

    def __init__(self, app: App, log: LogStore, rows: Rows, ambient: Ambient) -> None:
        self.app, self.log, self.rows, self._ambient = app, log, rows, ambient
        self._lag = Lag(log, ambient.now)
        self.commits = GroupCommit(log, self._lag.mark)
        self.executor = Executor(log, self.commits.append, app.codec, ambient)
        self._queries = Queries(rows, log)
        owner = self._owner = ambient.new_id()[:12]
        self.followers: list[Following] = []
        unparks: dict[str, tuple[Following, Unparks]] = {}
        for follower, checkpoints, its in self._followers(ambient):
            self.followers.append(Following(follower, log, checkpoints, owner))
            unparks[follower.follows.name] = self.followers[-1], its
        self.parking = Parking(unparks, f"{owner} unparking")
        for following in self.followers:
            following.fellows = self.followers
        self._by_category = {decider.category: decider for decider in app.deciders}
        self._workers: list[Worker] = []
        self.execute = self.executor.execute
        self.get = self._queries.get
        self.find = self._queries.find
        self.check_token = self._queries.check_token

    def _followers(self, ambient: Ambient) -> Iterable[tuple[Follower, Checkpoints, Unparks]]:
        codec, cache = self.app.codec, cache_bytes(len(self.app.projections))
        for projection in self.app.projections:
            documents = self.app.folds_documents(projection)
            projector = Projector(projection, self.rows, self.log, codec, ambient, documents=documents, cache=cache)
            yield projector, self.rows.checkpoints, projector.unparking()
        for reactor in self.app.reactors:
            runner = Runner(reactor, self.log, self.log.checkpoints, self._carry_out, codec, ambient)
            yield runner, self.log.checkpoints, runner

    async def _carry_out(self, decider: Decider[Any, Any, Any], id: str, command: Any, meta: Meta) -> Receipt:
        """For reactors. Raises: also ConfigurationError, for a decider that the App does not have."""
        if decider.category not in self._by_category:
            raise ConfigurationError(
                f"{self.app.name} has no {decider.owner}, which a command is for: add it to deciders="
            )
        return await self.executor.carry_out(decider, id, command, meta)

    async def prepare(self) -> None:
        """Make tables and checkpoints that are not there yet. Raises: ConfigurationError, LogReplaced, Unavailable."""
        await self._check_belongs()
        for projection in self.app.projections:
            await self.rows.prepare(projection.table)
        for following in self.followers:
            await self._register(following)
            await following.check_log()

    async def _register(self, following: Following) -> None:
        await following.register()
        what, mine, same_events = self._belongs(following)
        await assign(following.checkpoints, what, following.follower.follows, mine, same_events=same_events)

    def _belongs(self, following: Following) -> tuple[str, Belongs, bool]:
        """What it is called, and whose it is. A reactor may follow other events than before: it has no version."""
        follower = following.follower
        mine = Belongs(self.app.name, self.app.formerly, tuple(sorted(follower.types)))
        if isinstance(follower, Projector):
            return f"projection {follower.follows.name!r} version {follower.follows.version}", mine, True
        return f"reactor {follower.follows.name!r}", mine, False

    async def _check_belongs(self) -> None:
        """Nothing here belongs to another App: neither what this one follows, nor other versions under its names."""
        versions = [table.follows for table in await self.rows.tables()]
        for following in self.followers:
            follows, checkpoints = following.follower.follows, following.checkpoints
            what, mine, same_events = self._belongs(following)
            agreed(what, await checkpoints.belongs(follows), mine, same_events=same_events)
            for other in versions if isinstance(following.follower, Projector) else ():
                if other.name == follows.name and other != follows:
                    kept = await checkpoints.belongs(other)
                    if kept is not None:
                        check_app(f"projection {follows.name!r}", kept, mine)

    async def check(self) -> None:
        """Whether `App.open` would take this store, without making anything there.

        Raises: ConfigurationError, LogReplaced, Unavailable.
        """
        stored = {table.follows: table.fingerprint for table in await self.rows.tables()}
        for projection in self.app.projections:
            if projection.follows in stored:
                check_columns(projection.table, stored[projection.follows])
        await self._check_belongs()
        for following in self.followers:
            checkpoint = await following.checkpoints.read(following.follower.follows)
            if checkpoint is not None:
                check_log(checkpoint, self.log.log_id, await self.log.head())

    async def prepared(self, projection: str) -> Following:
        """One projection of the App, its table made, ready to catch up outside of `work`.

        Raises: InvalidInput when there is no such projection. ConfigurationError, LogReplaced, Unavailable.
        """
        table = self.projection(projection).table
        [following] = [one for one in self.followers if one.follower.follows == table.follows]
        await self._check_belongs()
        await self.rows.prepare(table)
        await self._register(following)
        return following

    async def rebuild(self, projection: str) -> AsyncGenerator[Position, None]:
        """Build the table of a projection again from nothing, beside the one that is read, which it then replaces.

        Yields the positions that are reached. Meanwhile everybody reads the old rows, and workers fold into them. A
        table that was built from another log is replaced, too. Ended early, it leaves the old table as it is.

        Raises: InvalidInput when there is no such projection, somebody else is rebuilding it, or something of the
        user's depends on the old table. ConfigurationError, Unavailable.
        """
        await self.prepared(projection)
        found = self.projection(projection)
        beside = found.beside(self._ambient.new_id()[:5])
        documents = self.app.folds_documents(found)
        projector = Projector(beside, self.rows, self.log, self.app.codec, self._ambient, documents=documents)
        rebuilding = Rebuilding(found.table, projector, self.rows, self.log, self._owner)
        async with aclosing(rebuilding.run()) as positions:
            async for position in positions:
                yield position

    async def rebuild_row(self, projection: Projection[Any], key: Any) -> Refolded:
        """Fold one row again from its first event, as far as the read model has come, while everything else goes on.

        `key` as for `get`. A row without events is deleted; one that was parked goes on. Where it cannot be folded
        nothing is changed, and the answer says why.

        Raises: InvalidInput, InvalidQuery, LogReplaced, Unavailable.
        """
        if projection not in self.app.projections:
            raise InvalidInput(f"{projection.owner} is not one of {self.app.name}")
        documents = self.app.folds_documents(projection)
        refold = Refold(projection, self.rows, self.log, self.app.codec, documents=documents)
        return await refold.run(key_values(projection, key), f"{self._owner} unparking")

    async def drop(self, follows: FollowerId) -> None:
        """Drop the table of a version that is not live, or one that is being built beside one, if nobody holds it.

        Raises: InvalidInput, Unavailable.
        """
        await drop_unheld(follows, self.rows, self._owner)

    def work(self) -> None:
        """Fold and react in this process, as far as no other one does."""
        self._workers = [Worker(following) for following in self.followers]

    async def stop(self) -> None:
        """Finish what was accepted, let go of the checkpoints."""
        await asyncio.gather(*[worker.stop() for worker in self._workers])
        self._workers.clear()
        await self.commits.close()

    async def load(self, decider: Decider[C, S, E], id: str) -> tuple[S, int]:
        """The write model itself: state and version, 0 where the stream does not exist. Raises: Unavailable."""
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
        """The log without a decider: these events, all or nothing.

        Raises: VersionConflict, InvalidInput, InvalidEvent, Unavailable, OutcomeUnknown.
        """
        meta = self.executor.meta(command_id, actor, correlation_id, causation_id)
        check_version(expected_version)
        stream = _stream(stream)
        self._check_category(stream, events)
        await self.executor.check_name(stream)
        encoded = [self.app.codec.encode(event) for event in events]
        return await self.commits.append(Append(stream, encoded, expected_version, meta))

    def _check_category(self, stream: Stream, events: Sequence[object]) -> None:
        """A decider must be able to read its streams. Raises: InvalidInput."""
        if not isinstance(events, list | tuple):
            raise InvalidInput(f"append takes a list of events, not {events!r:.80}")
        decider = self._by_category.get(stream.category)
        if decider is None:
            return
        for event in events:
            if not isinstance(event, decider.recorded_types):
                names = ", ".join(cls.__name__ for cls in decider.recorded_types)
                raise InvalidInput(f"streams of {decider.owner} hold {names}, not {event!r:.200}")

    async def bulk(
        self,
        calls: Iterable[Call],
        *,
        at_once: int = 128,
        most_behind: int = 1_000,
        told: Told = _silent,
    ) -> Bulk:
        """Make many calls of `execute` and `append`, such as an import: in order, `at_once` of them side by side.

        `calls` are functions without parameters, like `partial(running.append, …)`, and are taken one at a time, so a
        generator may make millions. No more than about `most_behind` events lie before any follower that is at work,
        here or in another process: so readers hardly notice. Give each call a command id, and the import can be stopped
        anywhere and started again. `told` hears how many calls are done, and of how many where that is known.

        Raises: the first error of a call; no further calls are begun, and those under way are ended first.
        InvalidInput, LogReplaced, Unavailable.
        """
        if at_once < 1 or most_behind <= at_once:
            raise InvalidInput(f"at_once is a number from 1 and below most_behind, not {at_once} of {most_behind}")
        look_every = max(1, (most_behind - at_once) // 4)
        return await bulk(calls, Pace(self._followed(), most_behind - at_once, look_every), at_once, told)

    async def settled(self, *, timeout_s: float) -> None:
        """Return when every projection and reactor has handled everything up to the head, and what that caused.

        For tests and scripts. Whichever process does the work is waited for. What is parked for good counts as handled
        (see `status` and `parking`); a reaction that will be tried again does not.

        Raises: NotSettled when the time is over, LogReplaced, Unavailable.
        """
        await settled(self._followed(), [self.log], timeout_s)

    def _followed(self) -> list[Followed]:
        return [
            Followed(one.follower.follows, one.feed, one.checkpoints, self._passed(one), self._comes_again(one))
            for one in self.followers
        ]

    def _passed(self, following: Following) -> Callable[[Position, float], Awaitable[None]]:
        follows = following.follower.follows
        if isinstance(following.follower, Projector):
            return lambda after, timeout_s: self.rows.wait(follows, after, timeout_s)
        # Nothing rings for the checkpoint of a reactor in another process.
        return lambda after, timeout_s: asyncio.sleep(min(timeout_s, REACTOR_POLL_S))

    @staticmethod
    def _comes_again(following: Following) -> Callable[[Parked], bool]:
        follower = following.follower
        return follower.comes_again if isinstance(follower, Runner) else lambda parked: False

    async def history(self, stream: Stream | str, *, from_version: int = 1) -> list[Recorded]:
        """Every event of a stream in order, beginning with `from_version`; empty where there is none.

        Raises: InvalidInput, UndecodableEvent, Unavailable.
        """
        found: list[Recorded] = []
        while True:
            entries = await self.log.read_stream(_stream(stream), from_version, HISTORY_PAGE)
            found += [self.app.codec.recorded(entry) for entry in entries]
            if len(entries) < HISTORY_PAGE:
                return found
            from_version = entries[-1].version + 1

    async def verify(
        self, projection: Projection[Any], *, sample: int | None = None, shown: int = MOST_SHOWN, told: Told = _silent
    ) -> Report:
        """Compare the rows of a read model with a fresh fold of the feed (G9), while it goes on.

        All rows, or `sample` of them by lot. The first `shown` that differ are in the report. `told` hears how far it
        is: what is being done, how much of it, and of how much.

        Raises: InvalidInput, ConfigurationError, LogReplaced, UndecodableEvent, Unavailable.
        """
        return await self._compared(self.app, projection, projection, sample, shown, told)

    async def diff(
        self,
        projection: Projection[Any],
        against: Projection[Any],
        *,
        sample: int | None = None,
        shown: int = MOST_SHOWN,
        told: Told = _silent,
    ) -> Report:
        """Compare the rows of a read model with those that a changed projection would make. Nothing is written.

        Raises: as `verify`; InvalidInput also when the keys are not the same.
        """
        others = [one for one in self.app.projections if one.name not in (projection.name, against.name)]
        changed = replace(self.app, projections=[*others, against])
        return await self._compared(changed, projection, against, sample, shown, told)

    async def _compared(
        self, app: App, live: Projection[Any], fold: Projection[Any], sample: int | None, shown: int, told: Told
    ) -> Report:
        if live not in self.app.projections:
            raise InvalidInput(f"{live.owner} is not one of {self.app.name}")
        if sample is not None and sample < 1:
            raise InvalidInput(f"sample is a number of rows from 1, not {sample}")
        verification = Verification(live, fold, self.rows, self.log, app.codec, told)
        async with scratch_rows() as shadow:
            documents, salt = app.folds_documents(fold), self._ambient.new_id()
            return await verification.run(shadow, documents=documents, sample=sample, salt=salt, shown=shown)

    def projection(self, name: str) -> Projection[Any]:
        """The projection of this name. Raises: InvalidInput, with the names that there are."""
        for projection in self.app.projections:
            if projection.name == name:
                return projection
        names = ", ".join(known.name for known in self.app.projections)
        raise InvalidInput(f"{self.app.name} has no projection {name!r}; it has {names or 'none'}")

    async def status(self) -> list[FollowerStatus]:
        """How every projection and reactor is doing; a log that was replaced is told as an error of each.

        Raises: Unavailable.
        """
        checkpoints = [await one.checkpoints.read(one.follower.follows) for one in self.followers]
        head = await self.log.head()  # after them, or they would seem to lie beyond it
        self._lag.mark(head)
        self._lag.forget(min((one.position if one is not None else BEGINNING for one in checkpoints), default=head))
        tables = await self.rows.tables() if not self._workers else ()  # who follows has been told
        notes = {table.follows: note_on(table, tables) for table in tables}
        return [
            await self._status(following, checkpoint, head, notes.get(following.follower.follows))
            for following, checkpoint in zip(self.followers, checkpoints, strict=True)
        ]

    async def _status(
        self, following: Following, checkpoint: Checkpoint | None, head: Position, note: str | None
    ) -> FollowerStatus:
        follows = following.follower.follows
        parked = await following.checkpoints.parked(follows)
        position = checkpoint.position if checkpoint is not None else None
        lag_events = await following.feed.distance(position or BEGINNING, head)
        return FollowerStatus(
            name=follows.name,
            version=follows.version,
            kind="projection" if isinstance(following.follower, Projector) else "reactor",
            position=position,
            head=head,
            lag_events=lag_events,
            lag_s=await self._lag.seconds(position) if lag_events > 0 else 0.0,
            owner=checkpoint.owner if checkpoint is not None else None,
            state=following.state if self._workers else "elsewhere",
            error=following.error or self._replaced(checkpoint, head),
            parked=len(parked),
            note=note or (following.follower.publisher.note if isinstance(following.follower, Projector) else None),
        )

    def _replaced(self, checkpoint: Checkpoint | None, head: Position) -> str | None:
        try:
            if checkpoint is not None:
                check_log(checkpoint, self.log.log_id, head)
        except LogReplaced as error:
            return str(error)
        return None


def _stream(stream: Stream | str) -> Stream:
    return stream if isinstance(stream, Stream) else Stream.parse(stream)


def _all_of(what: str, values: Sequence[object], kind: type) -> None:
    if not isinstance(values, list | tuple):
        raise ConfigurationError(f"{what} is a list of {kind.__name__}, not {values!r:.80}")
    for value in values:
        if not isinstance(value, kind):
            raise ConfigurationError(f"{what} is a list of {kind.__name__}, and holds {value!r:.80}")


def _unique(what: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ConfigurationError(f"{what} {name!r} is used twice in this App: rename one")
        seen.add(name)
