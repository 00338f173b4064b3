"""What only SQLite has: files that are missing, wrong, replaced, full or read-only, and several processes on one."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any

import apsw
import pytest

from twofold import ConfigurationError, LogReplaced, TwofoldError, Unavailable
from twofold.ambient import Ambient
from twofold.backends.connect import connect, connect_read
from twofold.backends.memory import MemoryLog
from twofold.backends.ports import LogStore
from twofold.backends.sqlite import connection
from twofold.backends.sqlite.log import SqliteLog
from twofold.backends.sqlite.requests import changing
from twofold.feed import lease
from twofold.messages import BEGINNING
from twofold.read.projection import Projection
from twofold.read.publish import try_publish
from twofold.testing import rows
from twofold.testing.conformance.bank import (
    Account,
    Balance,
    Deposit,
    Deposited,
    accounts,
    balances,
    bank,
    deposited,
    eventually,
    fold_balance,
    sums,
)
from twofold.testing.conformance.material import appended, at, offsets
from twofold.write.requests import SWEPT_AT_ONCE, Answer, KeepsRequests, Requests

pytestmark = pytest.mark.slow

PROCESS = Path(__file__).with_name("process.py")
PATIENCE_S = 60  # for what hangs; nothing here is measured


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "shop.db"


@pytest.fixture
def url(path: Path) -> str:
    return f"sqlite:///{path}"


def requests_of(log: LogStore) -> Requests:
    assert isinstance(log, KeepsRequests)
    return log.requests


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[LogStore]:
    log = await connect(url, Ambient())
    try:
        yield log
    finally:
        await log.close()


# ---- where there is no store, or another thing


async def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    for opening in (
        connect(f"sqlite:///{tmp_path}/no/shop.db", Ambient()),
        connect_read(f"sqlite:///{tmp_path}/no/x.db"),
    ):
        with pytest.raises(ConfigurationError, match=r"the folder .*no does not exist: create it"):
            await opening


async def test_a_folder_in_place_of_the_file(path: Path, url: str) -> None:
    path.mkdir()
    with pytest.raises(ConfigurationError, match="is a folder: name a file"):
        await connect(url, Ambient())


@pytest.mark.parametrize(
    "content", [b"Not a database, but a longer text. " * 50, b"\x00" * 4096], ids=["text", "zeros"]
)
async def test_a_file_that_is_no_database(path: Path, url: str, content: bytes) -> None:
    path.write_bytes(content)
    for opening in (connect(url, Ambient()), connect_read(url)):
        with pytest.raises(ConfigurationError, match="is not a SQLite database: name another file"):
            await opening
    assert path.read_bytes() == content


async def test_an_empty_file_becomes_a_store(path: Path, url: str) -> None:
    path.touch()
    async with opened(url) as log:
        assert await log.head() == BEGINNING


async def test_a_store_of_an_older_release_gains_the_columns_added_since(path: Path, url: str) -> None:
    async with bank.open(url) as running:
        await deposited(running.log, "a", 1)
    for file in (path, path.with_suffix(".read.db")):
        db = apsw.Connection(str(file))
        for column in ("wanted_by", "generation"):
            db.execute(f"ALTER TABLE twofold_checkpoints DROP COLUMN {column}")
        if file == path:
            db.execute("ALTER TABLE twofold_log DROP COLUMN secret")
            db.execute("DROP TABLE twofold_requests")
        db.close()
    async with bank.open(url) as running:
        receipt = await deposited(running.log, "a", 2)
        row = await running.get(balances, "a", after=receipt)
        assert row is not None
        assert row.total == 3
        found = await running.rows.get(balances.table, ("a",))
        assert all(one.generation for one in found.checkpoints)
        requests = requests_of(running.log)
        assert len(await requests.secret()) == 32
        assert (await requests.claim("ab" * 32, b"f")).answer is None


async def test_a_store_of_a_newer_release_is_not_touched(path: Path, url: str) -> None:
    async with opened(url) as log:
        await appended(log, "note-1", "a")
    with apsw.Connection(str(path)) as db:
        db.execute("UPDATE twofold_log SET schema = 99")
    with pytest.raises(ConfigurationError, match=r"newer twofold.*run the newer one"):
        await connect(url, Ambient())


async def test_a_table_of_somebody_else_under_the_projections_name(url: str, tmp_path: Path) -> None:
    with apsw.Connection(str(tmp_path / "shop.read.db")) as db:
        db.execute("CREATE TABLE balance (mine)")
    with pytest.raises(ConfigurationError, match="'balance'"):
        async with bank.open(url):
            pass


async def test_many_may_open_a_new_store_at_the_same_time(url: str) -> None:
    """The file and its write-ahead log are set up once, and no process gets an error that it is locked."""
    logs = await asyncio.gather(*(connect(url, Ambient()) for _ in range(12)))
    assert len({log.log_id for log in logs}) == 1
    for log in logs:
        await log.close()


@contextmanager
def created_by_another(path: Path) -> Iterator[apsw.Connection]:
    """Another process creates the file; it does not use a write-ahead log yet, and holds the lock that this takes."""
    with closing(apsw.Connection(str(path))) as other:
        other.execute("CREATE TABLE x (x); BEGIN IMMEDIATE")
        yield other


async def test_a_file_that_another_process_is_creating_is_waited_for(
    path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite refuses to change to a write-ahead log meanwhile, without waiting for its own timeout."""
    with created_by_another(path) as other:
        monkeypatch.setattr(connection, "sleep", lambda _: other.execute("COMMIT"))
        log = await connect(url, Ambient())
        assert not other.in_transaction
    with closing(apsw.Connection(str(path))) as looking:
        assert list(looking.execute("PRAGMA journal_mode")) == [("wal",)]
    await log.close()


async def test_a_file_that_stays_locked_is_waited_for_no_longer_than_any_lock(
    path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    monkeypatch.setattr(connection, "sleep", waited.append)
    with created_by_another(path), pytest.raises(Unavailable, match="database is locked"):
        await connect(url, Ambient())
    assert sum(waited) == pytest.approx(connection.BUSY_TIMEOUT_MS / 1000)


async def test_the_read_models_lie_beside_the_log_and_under_their_own_names(url: str, tmp_path: Path) -> None:
    async with bank.open(url) as running:
        done = await running.execute(accounts, "a", Deposit(5))
        await running.get(balances, "a", after=done.receipt)
    with apsw.Connection(str(tmp_path / "shop.read.db")) as db:
        assert db.execute("SELECT * FROM balance").fetchall() == [("a", 5, 1)]
    with apsw.Connection(str(tmp_path / "shop.db")) as db:
        assert db.execute("SELECT stream, type, data FROM twofold_events").fetchall() == [
            ("account-a", "Deposited", '{"amount":5,"to":null}')
        ]


# ---- files that cannot be written


@contextmanager
def nobody() -> Iterator[None]:
    """Root may write everything; another user may not."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


async def test_a_read_only_store_says_so_and_is_not_changed(tmp_path: Path) -> None:
    folder = Path(tempfile.mkdtemp())  # the runner's own folders are closed to others
    folder.chmod(0o755)
    try:
        path = folder / "shop.db"
        async with opened(f"sqlite:///{path}") as log:
            await appended(log, "note-1", "a")
        path.chmod(0o444)
        folder.chmod(0o555)
        before = path.read_bytes()
        with nobody(), pytest.raises(TwofoldError, match=r"shop\.db"):
            await connect(f"sqlite:///{path}", Ambient())
        assert path.read_bytes() == before
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)


async def test_a_full_disk_writes_nothing_half_and_is_borne(url: str) -> None:
    """Unavailable while there is no space; all or nothing for each append; it goes on when there is space again."""
    log = await connect(url, Ambient())
    assert isinstance(log, SqliteLog)
    writer = log._file.writer
    async with bank.open(log, read_store=f"{url}.read.db") as running:
        await running.execute(accounts, "a", Deposit(1))
        used = await writer.run(lambda db: db.pragma("page_count"))
        await writer.run(lambda db: db.pragma("max_page_count", used + 8))
        taken, refused = [], []
        for n in range(60):
            try:
                taken.append((await running.append(f"account-{n}", many(20), command_id=f"c{n}")).position.offset)
            except Unavailable:
                refused.append(n)
        assert taken
        with pytest.raises(Unavailable, match="full"):
            await running.append("account-a", many(2_000))
        assert refused
        await writer.run(lambda db: db.pragma("max_page_count", 2**30))
        assert await log.head() == at(1 + 20 * len(taken))
        assert offsets((await log.read(BEGINNING, 5_000)).entries) == list(range(1, 2 + 20 * len(taken)))
        for n in refused:
            assert await running.history(f"account-{n}") == []
            assert (await running.append(f"account-{n}", many(20), command_id=f"c{n}")).repeated is False
        last = await running.execute(accounts, "a", Deposit(1))
        assert (await running.get(balances, "59", after=last.receipt)) == Balance("59", 20, 20)
    await log.close()


def many(count: int) -> list[Deposited]:
    return [Deposited(1)] * count


# ---- G11: a log that was replaced


@pytest.mark.parametrize("how", ["deleted", "replaced"])
async def test_g11_a_file_that_goes_while_it_is_open(
    path: Path, url: str, tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody writes into a file that nobody will find again: commands, reads and followers all refuse."""
    monkeypatch.setattr(lease, "LEASE_S", 0.2)
    async with opened(f"sqlite:///{tmp_path}/other.db") as other:
        await appended(other, "note-1", "a")
    async with bank.open(url) as running:
        await running.execute(accounts, "a", Deposit(1))
        path.unlink()
        if how == "replaced":
            (tmp_path / "other.db").rename(path)
        for asking in (
            lambda: running.execute(accounts, "a", Deposit(1)),
            lambda: running.append("account-a", [], command_id="c"),
            lambda: running.load(accounts, "a"),
            lambda: running.history("account-a"),
            running.log.head,
            lambda: running.log.read(BEGINNING, 1),
        ):
            with pytest.raises(LogReplaced, match="deleted or replaced while it was in use"):
                await asking()
        await eventually(lambda: all(following.state == "stopped" for following in running.followers))
        assert all("deleted or replaced" in (following.error or "") for following in running.followers)


async def folded(url: str, amounts: range) -> None:
    async with bank.open(url) as running:
        for amount in amounts:
            done = await running.execute(accounts, "a", Deposit(amount))
        assert await running.get(balances, "a", after=done.receipt) is not None
        await running.get(sums, "all", after=done.receipt)


async def test_g11_another_log_under_the_same_name(path: Path, url: str, tmp_path: Path) -> None:
    """The log was deleted, the read models were not: opening says so, and the way out works."""
    await folded(url, range(1, 4))
    path.unlink()
    with pytest.raises(LogReplaced, match="twofold rebuild"):
        async with bank.open(url):
            pass
    (tmp_path / "shop.read.db").unlink()
    async with bank.open(url) as running:
        done = await running.execute(accounts, "a", Deposit(9))
        assert await running.get(balances, "a", after=done.receipt) == Balance("a", 9, 1)


async def test_g11_an_older_copy_of_the_log(path: Path, url: str, tmp_path: Path) -> None:
    """The read models have seen events that the restored log does not hold."""
    await folded(url, range(1, 4))
    shutil.copy(path, tmp_path / "backup.db")
    await folded(url, range(4, 9))
    shutil.copy(tmp_path / "backup.db", path)
    with pytest.raises(LogReplaced, match="older copy"):
        async with bank.open(url):
            pass
    (tmp_path / "shop.read.db").unlink()
    async with opened(url) as log:
        await log.new_id()  # the reactor's checkpoint lies with the log: it is as old as the copy
    async with bank.open(url) as running:
        done = await running.execute(accounts, "b", Deposit(9))
        assert await running.get(balances, "a", after=done.receipt) == Balance("a", 6, 3)


async def test_deleting_the_read_models_means_a_rebuild(url: str, tmp_path: Path) -> None:
    """The log file is the data."""
    await folded(url, range(1, 4))
    (tmp_path / "shop.read.db").unlink()
    async with bank.open(url) as running:
        done = await running.execute(accounts, "b", Deposit(1))
        assert await running.get(balances, "a", after=done.receipt) == Balance("a", 6, 3)


async def test_g11_requests_of_a_log_with_another_id(url: str) -> None:
    async with opened(url) as log, opened(url) as other:
        await other.new_id()
        requests = requests_of(log)
        for call in (requests.secret(), requests.claim("ab" * 32, b"f"), requests.note("ab" * 32, [])):
            with pytest.raises(LogReplaced, match="no longer log") as replaced:
                await call
            assert replaced.value.log_id == log.log_id


async def test_answers_that_have_expired_are_removed_a_few_at_a_time(path: Path, url: str) -> None:
    async with opened(url) as log:
        requests = requests_of(log)
        for number in range(25):
            await requests.claim(f"{number:064x}", b"f")
            await requests.keep(f"{number:064x}", Answer(200, [], b"x"), [], 60)
        db = apsw.Connection(str(path))
        db.execute("UPDATE twofold_requests SET expires_at = 1.0")
        for left in (25 - SWEPT_AT_ONCE, 25 - 2 * SWEPT_AT_ONCE, 0):
            newest = f"{left + 100:064x}"
            await requests.claim(newest, b"f")
            await requests.keep(newest, Answer(200, [], b""), [], 60)
            bodies = db.execute("SELECT count(*) FROM twofold_requests WHERE body = x'78'").fetchall()
            assert bodies == [(left,)]
        db.close()


async def test_a_key_costs_no_wait_for_the_disk(url: str) -> None:
    """Nor does it change that of the appends, which follow on the same connection."""
    async with opened(url) as log:
        requests = requests_of(log)
        seen: list[int] = []

        def look(db: apsw.Connection) -> None:
            [(sync,)] = list[tuple[int]](db.execute("PRAGMA synchronous"))
            seen.append(sync)

        assert isinstance(log, SqliteLog)
        writer = log._file.writer
        await writer.run(look)
        await requests.claim("ab" * 32, b"f")
        await writer.run(look)
        await writer.run(lambda db: _inside(db, look))
        await writer.run(look)
        assert seen == [2, 2, 1, 2]  # FULL, but for the claim


def _inside(db: apsw.Connection, look: Callable[[apsw.Connection], None]) -> None:
    with changing(db):
        look(db)


# ---- several processes on one file


class Started:
    """A process of ours, and the facts it tells."""

    def __init__(self, process: Process) -> None:
        self.process = process

    async def fact(self) -> list[str]:
        """The next line; an empty one means that it has ended."""
        assert self.process.stdout is not None
        return (await asyncio.wait_for(self.process.stdout.readline(), PATIENCE_S)).decode().split()

    async def facts(self) -> list[list[str]]:
        """All that come until it ends."""
        found = []
        while fact := await self.fact():
            found.append(fact)
        return found

    async def kill(self) -> list[list[str]]:
        """kill -9; what it had told by then."""
        self.process.send_signal(signal.SIGKILL)
        found = await self.facts()
        await self.process.wait()
        return found


Start = Callable[..., Any]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Start `process.py`; whatever still runs at the end is killed."""
    running: list[Process] = []

    async def started(*arguments: object) -> Started:
        command = [sys.executable, str(PROCESS), *map(str, arguments)]
        process = await asyncio.create_subprocess_exec(*command, stdout=PIPE)
        running.append(process)
        return Started(process)

    yield started
    for process in running:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_g4_two_processes_append_and_a_third_skips_nothing(url: str, start: Start) -> None:
    """What the tailing process saw, going on from its own last position, is all that was acknowledged, once."""
    tail = await start("tail", url, 600)
    assert await tail.fact() == ["ready"]
    writers = [await start("write", url, name, 0, 300) for name in ("x", "y")]
    seen, *written = await asyncio.gather(tail.facts(), *(writer.facts() for writer in writers))
    assert [int(offset) for offset, _, _ in seen] == list(range(1, 601))
    acknowledged = {
        (offset, f"account-{account}", version) for facts in written for _, account, version, offset in facts
    }
    assert len(acknowledged) == 600
    assert {tuple(fact) for fact in seen} == acknowledged


async def test_the_doorbell_is_heard_in_another_process(url: str, start: Start) -> None:
    """It waits for an hour unless a bell rings; each event is seen before the next one is appended."""
    tail = await start("tail", url, 5)
    assert await tail.fact() == ["ready"]
    async with opened(url) as log:
        for n in range(1, 6):
            await appended(log, "note-1", n)
            assert await tail.fact() == [str(n), "note-1", str(n)]


async def test_g5_a_second_process_takes_over_when_the_first_is_killed(url: str, start: Start) -> None:
    """Nobody has to tell it; and what the dead one had done is not done again."""
    first = await start("work", url)
    held = {tuple(await first.fact()) for _ in range(3)}
    assert held == {("holds", "balance"), ("holds", "sum"), ("holds", "forwarding")}
    async with bank.open(url, work=False) as running:
        done = await running.execute(accounts, "a", Deposit(5, to="b"))
        assert await running.get(balances, "a", after=done.receipt) == Balance("a", 5, 1)
        before = await running.rows.checkpoints.read(balances.follows)
        second = await start("work", url)
        await first.kill()
        done = await running.execute(accounts, "a", Deposit(7))
        assert {tuple(await second.fact()) for _ in range(3)} == held
        assert await running.get(balances, "a", after=done.receipt, wait_s=30) == Balance("a", 12, 2)
        after = await running.rows.checkpoints.read(balances.follows)
        assert before is not None
        assert after is not None
        assert (after.epoch, after.owner != before.owner) == (before.epoch + 1, True)

        async def passed_on() -> bool:
            return (await running.load(accounts, "b"))[0] == Account(5)

        await eventually(passed_on)
        assert await running.load(accounts, "b") == (Account(5), 1)


async def test_killed_again_and_again_it_keeps_what_it_acknowledged(url: str, start: Start) -> None:
    """G1, G3, G4, G5 under `kill -9`: what was acknowledged is there once; the read models are those of a fresh fold.

    Each life begins again at what was not acknowledged, with the same command ids; a worker folds all the while, and
    is killed too.
    """
    chance = random.Random(11)
    acknowledged: dict[int, list[str]] = {}
    for life in range(6):
        worker = await start("work", url)
        first = next(n for n in range(100_000) if n not in acknowledged)
        writer = await start("write", url, "w", first, 100_000 if life < 5 else max(acknowledged) + 20 - first)
        facts = [await writer.fact() for _ in range(chance.randint(30, 300) if life < 5 else 0)]
        facts += await (writer.kill() if life < 5 else writer.facts())
        await worker.kill()
        for number, *fact in facts:
            assert acknowledged.setdefault(int(number), fact) == fact, "the same answer for ever"

    async with bank.open(url) as running:
        head = (await running.log.head()).offset
        entries = (await running.log.read(BEGINNING, head + 1)).entries
        assert offsets(entries) == list(range(1, head + 1))
        facts_ = [bank.codec.recorded(entry) for entry in entries]
        assert len({(fact.stream, fact.version) for fact in facts_}) == head
        assert len({fact.command_id for fact in facts_}) == head, "nothing is there twice"
        by_command = {fact.command_id: fact for fact in facts_}
        for number, (account, version, offset) in acknowledged.items():
            fact = by_command[f"w-{number}"]
            assert (fact.stream.id, fact.version, fact.position.offset) == (account, int(version), int(offset))
            assert fact.event.amount == number + 1_000
        versions = {stream: [f.version for f in facts_ if f.stream == stream] for stream in {f.stream for f in facts_}}
        assert all(found == list(range(1, len(found) + 1)) for found in versions.values())

        done = await running.execute(accounts, "last", Deposit(1))
        facts_ += await running.history("account-last")
        for projection in (balances, sums):
            page = await running.find(projection, after=done.receipt, wait_s=30, limit=500)
            key = projection.format.columns[0].name
            assert {getattr(row, key): row for row in page} == rows(projection, *facts_)


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
async def test_a_new_table_gets_its_indexes_when_it_has_caught_up(path: Path, order: tuple[int, int]) -> None:
    """Also one of an older version, whose processes came back."""

    def indexes(version: int) -> int:
        with apsw.Connection(str(path)) as db:
            found = db.execute("SELECT count(*) FROM sqlite_schema WHERE name = ?", (f"twofold_counted_v{version}_1",))
            return int(next(found)[0])

    store = await connect_read(f"sqlite:///{path}")
    first, second = (Projection("counted", Balance, fold_balance, version=v, indexes=["total"]) for v in order)
    await store.prepare(first.table)
    assert indexes(first.version) == 1, "it is live at once"
    await store.prepare(second.table)
    assert indexes(second.version) == 0
    await store.checkpoints.register(second.follows, "0" * 16, BEGINNING)
    assert await try_publish(second.table, store, MemoryLog(), look_for_lost=False)
    assert indexes(second.version) == 1
    await store.close()
