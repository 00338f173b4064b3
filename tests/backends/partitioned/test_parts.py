"""What a partitioned log is opened with: parts of one log, all of them, also as files."""

import asyncio
import shutil
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import apsw
import pytest

from twofold import operate
from twofold.app import Running
from twofold.backends.memory import MemoryLog, MemoryReadStore
from twofold.backends.partitioned import Partitioned
from twofold.backends.sqlite.log import SqliteLog
from twofold.errors import BatchRefused, Closed, ConfigurationError, LogReplaced, OutcomeUnknown, TwofoldError
from twofold.feed.checkpoints import Checkpoint, FollowerId
from twofold.messages import BEGINNING, Append, Entry, Position, Receipt
from twofold.testing.conformance.backend import InPartsAt
from twofold.testing.conformance.bank import Balance, Deposit, accounts, balances, bank, eventually, sums
from twofold.testing.conformance.material import append, event
from twofold.write.log import Loaded
from twofold.write.requests import KeepsRequests

LOG_ID = "0123456789abcdef"


def memory(numbers: Sequence[int] = (1, 2, 3), log_id: str = LOG_ID) -> list[MemoryLog]:
    return [MemoryLog(partition=number, log_id=log_id) for number in numbers]


@asynccontextmanager
async def files(folder: Path, parts: int = 3) -> AsyncIterator[Partitioned]:
    """A partitioned log in a folder, as one more process has it."""
    async with AsyncExitStack() as stack:
        cuts = SqliteLog(folder / "cuts.db")
        stack.push_async_callback(cuts.close)
        await cuts.open()
        made = [SqliteLog(folder / f"{n}.db", partition=n, log_id=cuts.log_id) for n in range(1, parts + 1)]
        for part in made:
            stack.push_async_callback(part.close)
            await part.open()
        log = Partitioned(made, cuts)
        await log.open()
        yield log


async def everything(log: Partitioned) -> list[Entry]:
    found: list[Entry] = []
    at = BEGINNING
    while (page := await log.read(at, 7)).upto != at:
        found, at = [*found, *page.entries], page.upto
    return found


def some(count: int) -> list[Append]:
    return [append(f"note-{n}", event(n)) for n in range(count)]


async def test_parts_of_another_log_are_refused_by_name() -> None:
    parts = [*memory((1, 2)), *memory((3,), "fedcba9876543210")]
    with pytest.raises(ConfigurationError, match="part 3 belongs to log fedcba9876543210, the cuts to log 0123456789"):
        await Partitioned(parts, MemoryLog(log_id=LOG_ID)).open()


async def test_parts_in_another_order_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="part 1 was opened as partition 2"):
        await Partitioned(memory((2, 1)), MemoryLog(log_id=LOG_ID)).open()
    with pytest.raises(ConfigurationError, match="the log of the cuts was opened as partition 4"):
        await Partitioned(memory(), MemoryLog(partition=4, log_id=LOG_ID)).open()
    with pytest.raises(ConfigurationError, match="1 to 1000 partitions, not 0"):
        Partitioned([], MemoryLog())


@pytest.mark.parametrize("steps", [1, 4, 16])
async def test_a_log_that_is_cancelled_while_it_closes_closes_every_part(tmp_path: Path, steps: int) -> None:
    before = set(threading.enumerate())
    log = await InPartsAt(tmp_path / "parts", 3).open_log()
    await log.commit(some(9))
    closing = asyncio.create_task(log.close())
    for _ in range(steps):
        await asyncio.sleep(0)
    closing.cancel()
    await asyncio.wait([closing])
    await eventually(lambda: set(threading.enumerate()) <= before)


async def test_the_number_of_partitions_is_fixed() -> None:
    """A stream's partition follows from it."""
    cuts = MemoryLog(log_id=LOG_ID)
    await Partitioned(memory(), cuts).open()
    await Partitioned(memory(), cuts).open()
    with pytest.raises(ConfigurationError, match="has 3 partitions, but 2 parts were given"):
        await Partitioned(memory((1, 2)), cuts).open()
    with pytest.raises(ConfigurationError, match="has 3 partitions, but 4 parts were given"):
        await Partitioned(memory((1, 2, 3, 4)), cuts).open()


async def test_of_processes_that_begin_a_log_at_once_those_agree_that_have_all_its_parts() -> None:
    """The number that is stored first holds for all of them."""
    cuts = MemoryLog(log_id=LOG_ID)
    load = cuts.load

    async def slow(*args: Any, **more: Any) -> Loaded:
        found = await load(*args, **more)
        await asyncio.sleep(0)
        return found

    cuts.load = slow  # type: ignore[method-assign]
    logs = [Partitioned(memory(parts), cuts) for parts in ((1, 2, 3), (1, 2), (1, 2, 3), (1, 2, 3, 4))]
    outcomes = await asyncio.gather(*(log.open() for log in logs), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [type(None), ConfigurationError, type(None), ConfigurationError]


async def test_requests_are_those_of_the_cuts() -> None:
    class Bare(MemoryLog):
        def __init__(self) -> None:
            super().__init__(log_id=LOG_ID)
            del self.requests

    cuts = MemoryLog(log_id=LOG_ID)
    log = Partitioned(memory(), cuts)
    assert isinstance(log, KeepsRequests)
    assert log.requests is cuts.requests
    assert not isinstance(Partitioned(memory(), Bare()), KeepsRequests)


async def test_checkpoints_lie_with_their_partition() -> None:
    """Those of partition 0 with the cuts."""
    log = Partitioned(memory(), MemoryLog(log_id=LOG_ID))
    numbers = (2, 0, 3)
    for number in numbers:
        await log.checkpoints.register(FollowerId("mail", 1, number), LOG_ID, Position(number, 0))
    found = await log.checkpoints.all_partitions(FollowerId("mail"))
    assert [one.follower.partition for one in found] == [0, 2, 3]
    assert await log.parts[2].checkpoints.all_partitions(FollowerId("mail")) == [found[1]]
    seen = await log.checkpoints.read(FollowerId("mail", 1, 2))
    assert isinstance(seen, Checkpoint)
    claim = await log.checkpoints.claim(seen, "me")
    assert claim is not None
    await log.checkpoints.advance(claim, Position(2, 0), Position(2, 7))
    assert await log.checkpoints.beat(claim) is None
    moved = await log.parts[2].checkpoints.read(FollowerId("mail", 1, 2))
    assert moved is not None
    assert (moved.position, moved.owner) == (Position(2, 7), "me")


class Failing(MemoryLog):
    error: TwofoldError | None = None

    async def commit(self, batch: Sequence[Append]) -> Sequence[Receipt | TwofoldError]:
        if self.error is not None:
            raise self.error
        return await super().commit(batch)


async def test_each_part_has_outcomes_of_its_own() -> None:
    """All or nothing is promised for each append."""
    parts = [Failing(partition=number, log_id=LOG_ID) for number in (1, 2, 3)]
    log = Partitioned(parts, MemoryLog(log_id=LOG_ID))
    parts[1].error = OutcomeUnknown("?", "gone")
    batch = some(12)
    for one, outcome in zip(batch, await log.commit(batch), strict=True):
        if log.partition_of(one.stream.id) == 2:
            assert isinstance(outcome, OutcomeUnknown)
            assert outcome.command_id == one.command_id
        else:
            assert isinstance(outcome, Receipt)
            assert outcome.stream == one.stream
    parts[1].error = BatchRefused("a NUL")
    alone = [one for one in some(12) if log.partition_of(one.stream.id) == 2]
    with pytest.raises(BatchRefused):
        await log.commit(alone)


async def test_files_are_opened_again(tmp_path: Path) -> None:
    """By the same process, and by another one at the same time."""
    async with files(tmp_path) as log, files(tmp_path) as other:
        await log.commit(some(30))
        first = await everything(log)
        await other.commit(some(30))
        second = await everything(other)
        assert second[:30] == first
        vectors = [await log.cuts.vector(n) for n in range((await log.cuts.learn()).number + 1)]
        assert vectors == [(0, 0, 0), vectors[1], vectors[2]]
        assert {part.partition for part in log.parts.values()} == {1, 2, 3}
    async with files(tmp_path) as log:
        assert await everything(log) == second
        assert [entry.recorded_at.tzinfo for entry in second[:1]] == [UTC]
        for entry in second[:5]:
            stream, version = entry.stream, entry.version
            assert [e.version for e in await log.read_stream(append(stream).stream, version, 1)] == [version]
        receipts = await log.commit([append("note-7", event(1), command_id="once")] * 2)
        assert all(isinstance(receipt, Receipt) for receipt in receipts)
        loaded = await log.load(append("note-7").stream, "once")
        assert loaded.receipt is not None
        assert loaded.receipt.position == loaded.position
        assert loaded.position.partition == log.partition_of("7")


async def test_a_doorbell_rings_for_another_process(tmp_path: Path) -> None:
    async with files(tmp_path) as log, files(tmp_path) as other:
        await everything(log)
        waiting = asyncio.create_task(_first(log))
        await asyncio.sleep(0)
        await other.commit(some(1))
        assert (await asyncio.wait_for(waiting, 60)).stream == "note-0"


async def _first(log: Partitioned) -> Entry:
    while not (page := await log.read(BEGINNING, 1)).entries:
        await log.wait(BEGINNING, 600)
    return page.entries[0]


async def test_a_file_with_another_number_or_of_another_log_is_refused(tmp_path: Path) -> None:
    async with files(tmp_path) as log:
        log_id = log.log_id
    for wrong, says in (
        (SqliteLog(tmp_path / "2.db", partition=1, log_id=log_id), "holds partition 2 of its log, not partition 1"),
        (SqliteLog(tmp_path / "2.db"), "holds partition 2 of its log, not partition 0"),
        (SqliteLog(tmp_path / "cuts.db", partition=2), "holds partition 0 of its log, not partition 2"),
        (SqliteLog(tmp_path / "2.db", partition=2, log_id=LOG_ID), f"is a part of log {log_id}, not of log {LOG_ID}"),
    ):
        with pytest.raises(ConfigurationError, match=says):
            await wrong.open()
        await wrong.close()


async def test_a_log_of_before_there_were_partitions_is_partition_0(tmp_path: Path) -> None:
    """And an older process can still open the file."""
    path = tmp_path / "shop.db"
    old = SqliteLog(path)
    await old.open()
    await old.close()
    db = apsw.Connection(str(path))
    db.execute("ALTER TABLE twofold_log DROP COLUMN partition")
    again = SqliteLog(path)
    await again.open()
    assert (again.partition, again.log_id) == (0, old.log_id)
    await again.close()
    db.execute("INSERT INTO twofold_log (id, log_id, schema) VALUES (1, 'x', 1) ON CONFLICT DO NOTHING")
    assert db.execute("SELECT partition FROM twofold_log").fetchall() == [(0,)]
    db.close()


async def test_g11_an_older_copy_of_one_file(tmp_path: Path) -> None:
    """It has the right number and the right log id, and lacks what the merged feed has seen. A new id mends it."""
    async with files(tmp_path) as log:
        await log.commit(some(20))
        await everything(log)
    shutil.copy(tmp_path / "2.db", tmp_path / "older.db")
    async with files(tmp_path) as log:
        await log.commit(some(20))
        await everything(log)
    shutil.copy(tmp_path / "older.db", tmp_path / "2.db")
    async with files(tmp_path) as log:
        with pytest.raises(LogReplaced, match=r"partition 2: .*older copy"):
            await everything(log)
        await log.new_id()
        missing = await everything(log)
        assert len(missing) < 40
        assert missing == sorted(missing, key=lambda entry: entry.position)
    async with files(tmp_path) as log:
        assert await everything(log) == missing
        assert datetime.now(UTC) > missing[0].recorded_at


async def test_g11_a_new_id_that_was_interrupted_is_completed(tmp_path: Path) -> None:
    """Some parts have it already, the others and the cuts do not: the log is refused until it is called again."""
    async with files(tmp_path) as log:
        old_id = log.log_id
        await log.commit(some(9))
        assert len(await everything(log)) == 9
        await log.parts[2].close()
        with pytest.raises(Closed):
            await log.new_id()
    with pytest.raises(ConfigurationError, match=r"1\.db is a part of log .* call `new_id` of the `Partitioned` log"):
        async with files(tmp_path):
            pass
    async with AsyncExitStack() as stack:
        stores = [SqliteLog(tmp_path / "cuts.db")]
        stores += [SqliteLog(tmp_path / f"{number}.db", partition=number) for number in (1, 2, 3)]
        for store in stores:
            await store.open()
            stack.push_async_callback(store.close)
        log = Partitioned(stores[1:], stores[0])
        with pytest.raises(ConfigurationError, match=r"part 1 belongs to log .* call it again on this log"):
            await log.open()
        await log.new_id()
        await log.open()
    async with files(tmp_path) as log:
        assert log.log_id != old_id
        assert len({part.log_id for part in log.parts.values()} | {log.log_id}) == 1
        assert len(await everything(log)) == 9


# ---- an App on files, of which one goes away


@pytest.mark.slow
async def test_a_file_that_was_closed_is_back_with_the_next_process(tmp_path: Path) -> None:
    """Meanwhile the others' commands, rows and reactions go on; then everything is there once, also in the whole."""
    async with files(tmp_path, 4) as log, files(tmp_path, 4) as other:
        ids = {log.partition_of(f"a{n}"): f"a{n}" for n in range(40)}
        rows = MemoryReadStore()
        async with bank.open(log, read_store=rows) as running:
            for name in ids.values():
                await running.execute(accounts, name, Deposit(1))
            await running.settled(timeout_s=30)
            await log.parts[1].close()
            with pytest.raises(TwofoldError):
                await running.execute(accounts, ids[1], Deposit(1))
            done = await running.execute(accounts, ids[2], Deposit(5, to=ids[3]))
            assert await running.get(balances, ids[2], after=done.receipt) == Balance(ids[2], 6, 2)
            await eventually(lambda: received(running, ids[3], 6))
        async with bank.open(other, read_store=rows) as running:
            await running.execute(accounts, ids[1], Deposit(1))
            await running.settled(timeout_s=30)
            for projection in (balances, sums):
                report = await operate.verify(running, projection)
                assert (report.equal, report.parked) == (True, [])
            found = await running.get(sums, "all")
            assert found is not None
            assert found.deposits == 7


async def received(running: Running, name: str, balance: int) -> bool:
    return (await running.load(accounts, name))[0].balance == balance


async def test_an_older_file_of_one_part_is_noticed(tmp_path: Path) -> None:
    """When it is opened, and by the merged feed."""
    rows = MemoryReadStore()
    async with files(tmp_path, 4) as log, bank.open(log, read_store=rows) as running:
        ids = {log.partition_of(f"a{n}"): f"a{n}" for n in range(40)}
        await running.execute(accounts, ids[1], Deposit(1))
        await running.settled(timeout_s=30)
    shutil.copy(tmp_path / "1.db", tmp_path / "older.db")
    async with files(tmp_path, 4) as log, bank.open(log, read_store=rows) as running:
        await running.execute(accounts, ids[1], Deposit(1))
        await running.settled(timeout_s=30)
    for file in tmp_path.glob("1.db*"):
        file.unlink()
    (tmp_path / "older.db").rename(tmp_path / "1.db")
    async with files(tmp_path, 4) as log:
        with pytest.raises(LogReplaced):
            await everything(log)
        with pytest.raises(LogReplaced):
            async with bank.open(log, read_store=rows):
                pytest.fail("it was opened")
