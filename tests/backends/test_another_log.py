"""Another log takes the place of this one, under its name, while a process uses it."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import apsw
import pytest

from devservers.postgres import execute
from twofold import operate
from twofold.ambient import Ambient
from twofold.backends.connect import connect
from twofold.backends.ports import LogStore
from twofold.backends.urls import sqlite_path
from twofold.errors import LeaseLost, LogReplaced
from twofold.feed.checkpoints import Checkpoint, Checkpoints, Claim, FollowerId, Ownership, SplitsCheckpoints
from twofold.messages import BEGINNING, Stream
from twofold.read import freshness
from twofold.testing.conformance.bank import Balance, Deposit, accounts, balances, bank, eventually, sums
from twofold.testing.conformance.checkpoints import parked
from twofold.testing.conformance.material import append, appended, at, event
from twofold.write.copies import Export, Import, KeptCommand
from twofold.write.requests import Answer, Claimed, KeepsRequests, Requests

pytestmark = pytest.mark.slow

NOTE, REACTOR, NEW = Stream("note", "1"), FollowerId("reactor"), FollowerId("new")
WAITS = parked("stream", "note-1", 1)
REQUEST = "ab" * 32


class Place(Protocol):
    """Where a log lies, and how another one comes there."""

    url: str
    other: str

    def copy(self) -> None:
        """Let `other` be a copy of what lies at `url` by now."""

    def replace(self) -> None:
        """Let `other` lie under the name of `url`."""


class ByRename:
    """SQLite: another file has the name."""

    def __init__(self, folder: Path) -> None:
        self.url, self.other = (f"sqlite:///{folder}/{name}.db" for name in ("log", "other"))

    def copy(self) -> None:
        copied(self.url, self.other)

    def replace(self) -> None:
        for end in ("-wal", "-shm"):
            sqlite_path(self.url + end).unlink(missing_ok=True)
        os.replace(sqlite_path(self.other), sqlite_path(self.url))


class InPlace(ByRename):
    """SQLite: `.restore` and its like write another content into the file that is open."""

    def replace(self) -> None:
        copied(self.other, self.url)


def copied(source: str, target: str) -> None:
    """SQLite's own way to copy a database that is in use."""
    of, to = (apsw.Connection(str(sqlite_path(url))) for url in (source, target))
    with closing(of), closing(to), to.backup("main", of, "main") as copying:
        copying.step()


def asking(url: str, query: str) -> str:
    """The URL with one more parameter."""
    return f"{url}{'&' if '?' in url else '?'}{query}" if query else url


class ByDatabase:
    """PostgreSQL: another database has the name."""

    def __init__(self, server: str, new_database: Callable[[], str], query: str = "") -> None:
        self._server = server
        self.url, self.other = (asking(new_database(), query) for _ in range(2))

        self._names = [url.partition("?")[0].rpartition("/")[2] for url in (self.url, self.other)]

    def copy(self) -> None:
        mine, its = self._names
        execute(self._server, f'DROP DATABASE "{its}"', f'CREATE DATABASE "{its}" TEMPLATE "{mine}"')

    def replace(self) -> None:
        mine, its = self._names
        execute(self._server, f'DROP DATABASE "{mine}" WITH (FORCE)', f'ALTER DATABASE "{its}" RENAME TO "{mine}"')


class ByContent(ByDatabase):
    """PostgreSQL: `pg_restore --clean` and its like write another content into the database that is open."""

    def copy(self) -> None:
        """Made in `replace`."""

    def replace(self) -> None:
        execute(self.url, "UPDATE twofold.log SET log_id = 'ffffffffffffffff'")


@pytest.fixture(params=["renamed", "in place", "database", "content", "pooler"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param in ("renamed", "in place"):
        return (ByRename if request.param == "renamed" else InPlace)(tmp_path)
    server, new_database = (request.getfixturevalue(name) for name in ("postgres_url", "new_database"))
    kind = ByContent if request.param == "content" else ByDatabase
    return kind(server, new_database, "pooler=transaction" if request.param == "pooler" else "")


@pytest.fixture
async def log(place: Place) -> AsyncIterator[LogStore]:
    """The log, where by now another one lies that looks just like it: the same events, reactors, epochs and places."""
    stores = [await connect(url, Ambient()) for url in (place.other, place.url)]
    for store in stores:
        await appended(store, "note-1", "a", "b", command_id="once")
        await store.checkpoints.register(REACTOR, store.log_id, BEGINNING)
        seen = await store.checkpoints.read(REACTOR)
        assert seen is not None
        claim = await store.checkpoints.claim(seen, "worker")
        assert claim == CLAIM
        await store.checkpoints.advance(claim, BEGINNING, at(1), [WAITS])
    other, log = stores
    await other.close()
    place.replace()
    yield log
    await log.close()


CLAIM = Claim(REACTOR, 1)
OWNER = Ownership("theirs", None, ())
SEEN = Checkpoint(REACTOR, "", at(1), "worker", 1, 2)

OF_THE_LOG: dict[str, Callable[[LogStore], Awaitable[Any]]] = {
    "commit": lambda log: log.commit([append("note-1", event("c"))]),
    "commit a batch": lambda log: log.commit([append("note-1", event("c")), append("note-2", event("d"))]),
    "commit what was committed": lambda log: log.commit([append("note-1", event("a"), command_id="once")]),
    "load": lambda log: log.load(NOTE, "once"),
    "load the last": lambda log: log.load(NOTE, last=1),
    "load what is not there": lambda log: log.load(Stream("note", "none")),
    "read_stream": lambda log: log.read_stream(NOTE, 1, 10),
    "read_stream that is not there": lambda log: log.read_stream(Stream("note", "none"), 1, 10),
    "head": lambda log: log.head(),
    "read": lambda log: log.read(BEGINNING, 10),
    "read of some types": lambda log: log.read(BEGINNING, 10, frozenset(["Noted"])),
    "behind": lambda log: log.behind(BEGINNING),
    "new_id": lambda log: log.new_id(),
}
OF_CHECKPOINTS: dict[str, Callable[[Checkpoints], Awaitable[Any]]] = {
    "register": lambda those: those.register(NEW, "e" * 16, BEGINNING),
    "read": lambda those: those.read(REACTOR),
    "all_partitions": lambda those: those.all_partitions(REACTOR),
    "ownership": lambda those: those.ownership(REACTOR),
    "parked": lambda those: those.parked(REACTOR),
    "traceback": lambda those: those.traceback(REACTOR, WAITS),
}
CHANGES: dict[str, Callable[[Checkpoints], Awaitable[Any]]] = {
    "assign": lambda those: those.assign(REACTOR, None, OWNER),
    "claim": lambda those: those.claim(SEEN, "taker"),
    "request_handover": lambda those: those.request_handover(SEEN, "asker"),
    "beat": lambda those: those.beat(CLAIM),
    "advance": lambda those: those.advance(CLAIM, at(1), at(2), [], [WAITS]),
    "release": lambda those: those.release(CLAIM),
    "register_part": lambda those: those.register_part(NEW, "e" * 16, BEGINNING, []),
    "split": lambda those: those.split(CLAIM, at(1), {1: [WAITS], 2: []}),
}
OF_REQUESTS: dict[str, Callable[[Requests], Awaitable[Any]]] = {
    "secret": lambda those: those.secret(),
    "claim": lambda those: those.claim(REQUEST, b"ours"),
    "keep": lambda those: those.keep(REQUEST, Answer(200, [], b"ours"), ["note-1"], 3_600),
}
OF_COPIES: dict[str, Callable[[Any], Awaitable[Any]]] = {
    "commands": lambda log: log.exporting.commands(at(2), None, 10),
    "begin": lambda log: log.importing.begin("e" * 16, [BEGINNING]),
    "take": lambda log: log.importing.take("e" * 16, BEGINNING, at(1), []),
    "keep": lambda log: log.importing.keep("e" * 16, [KeptCommand("note-1", "again", 1, 1)]),
    "end": lambda log: log.importing.end("e" * 16),
}
QUIET = {"wait", "close", "log_id", "checkpoints", "limits", "partition", "before", "distance", "covering"}
QUIET_OF_OTHERS = {"note", "copied"}  # one changes what only a claim has made; the other is followed by `begin`


def test_the_walk_is_a_walk_over_all_of_them() -> None:
    def members(*ports: Any) -> set[str]:
        return {name for port in ports for base in port.__mro__ for name in vars(base) if not name.startswith("_")}

    assert members(LogStore) - QUIET == {name.split(" ")[0] for name in OF_THE_LOG}
    assert members(Checkpoints, SplitsCheckpoints) == set(OF_CHECKPOINTS) | set(CHANGES)
    assert members(Requests) - QUIET_OF_OTHERS == set(OF_REQUESTS)
    assert members(Export, Import) - QUIET_OF_OTHERS == set(OF_COPIES)


async def test_g11_nothing_of_another_log_is_read_or_changed(place: Place, log: LogStore) -> None:
    before = await everything(place.url)
    for call in OF_THE_LOG.values():
        with pytest.raises(LogReplaced, match=r"no longer log|was deleted or replaced"):
            await call(log)
    for name, look in OF_CHECKPOINTS.items():
        with pytest.raises(LogReplaced, match=r"no longer log|was deleted or replaced"):
            raise AssertionError(name, await look(log.checkpoints))
    assert isinstance(log, KeepsRequests)
    for name, ask in OF_REQUESTS.items():
        with pytest.raises(LogReplaced, match=r"no longer log|was deleted or replaced"):
            raise AssertionError(name, await ask(log.requests))
    for name, copy in OF_COPIES.items():
        with pytest.raises(LogReplaced, match=r"no longer log|was deleted or replaced"):
            raise AssertionError(name, await copy(log))
    for change in CHANGES.values():
        try:
            assert not await change(log.checkpoints)
        except (LogReplaced, LeaseLost):
            continue
    assert await everything(place.url) == before
    other = await connect(place.url, Ambient())
    assert isinstance(other, KeepsRequests)
    assert await other.requests.claim(REQUEST, b"theirs") == Claimed(b"theirs")
    await other.close()


async def test_g11_who_only_reads_notices_an_older_copy(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No follower runs in this process; its reads stop all the same."""
    rows = f"sqlite:///{tmp_path}/rows.db"
    await folded(place.url, rows)
    place.copy()
    await folded(place.url, rows)
    monkeypatch.setattr(freshness, "LOOK_EVERY_S", 0.01)
    async with bank.open(place.url, read_store=rows, work=False) as running:
        assert await running.get(balances, "a") == Balance("a", 10, 2)
        place.replace()
        for read in (lambda: running.get(balances, "a"), lambda: running.find(balances)):
            await eventually(partial(replaced, read))
        with pytest.raises(LogReplaced):
            await operate.verify(running, balances)


async def test_a_reader_of_an_older_copy_waits_for_what_is_new(tmp_path: Path) -> None:
    """It has read further in what was there before, and does not look again and again until it is there once more."""
    place = InPlace(tmp_path)
    log = await connect(place.url, Ambient())
    try:
        await appended(log, "note-1", "a", "b")
        place.copy()
        await appended(log, "note-1", "c", "d")
        assert (await log.read(BEGINNING, 10)).upto == at(4)
        place.replace()
        assert (await log.read(at(2), 10)).upto == at(2)
        for _ in range(3):
            await log.wait(at(2), 0.05)  # may be news of the replacement
        waiting = asyncio.create_task(log.wait(at(2), 60))
        assert await log.head() == at(2)
        assert not waiting.done()
        await appended(log, "note-1", "e")
        async with asyncio.timeout(20):
            await waiting
    finally:
        await log.close()


async def folded(log_url: str, rows_url: str) -> None:
    async with bank.open(log_url, read_store=rows_url) as running:
        done = await running.execute(accounts, "a", Deposit(5))
        await running.find(balances, after=done.receipt)
        await running.find(sums, after=done.receipt)


async def replaced(read: Callable[[], Awaitable[Any]]) -> bool:
    try:
        await read()
    except LogReplaced:
        return True
    return False


async def everything(url: str) -> list[Any]:
    """Everything stored there, as another process sees it."""
    other = await connect(url, Ambient())
    try:
        seen = [await other.checkpoints.read(follows) for follows in (REACTOR, NEW)]
        waits = [await other.checkpoints.parked(REACTOR), await other.checkpoints.ownership(REACTOR)]
        return [other.log_id, await other.read(BEGINNING, 100), *seen, *waits]
    finally:
        await other.close()
