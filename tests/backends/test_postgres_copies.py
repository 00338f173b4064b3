"""Positions after another copy of the log takes its place: a standby that was behind, a dump."""

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from devservers.postgres import Server, execute, server
from twofold.errors import InvalidToken, LogReplaced
from twofold.messages import BEGINNING, Receipt
from twofold.testing.conformance.bank import Deposit, accounts, balances, bank, deposited, eventually

pytestmark = pytest.mark.slow

BANK = "twofold.testing.conformance.bank:bank"


@pytest.fixture
def primary() -> Iterator[Server]:
    """A server that may be killed, and so one that writes to the disk."""
    with server(fsync=True) as running:
        yield running


@contextmanager
def standby_of(primary: Server) -> Iterator[Server]:
    """A standby that follows it, made by pg_basebackup."""
    folder = Path(tempfile.mkdtemp(prefix="twofold-standby-", dir="/var/tmp"))
    try:
        folder.chmod(0o755)
        owner = primary.data.stat()
        os.chown(folder, owner.st_uid, owner.st_gid)
        copy = folder / "data"
        primary.run("pg_basebackup", "-D", str(copy), "-R", "-X", "stream", "-c", "fast", "-d", primary.url)
        with server(copy) as standby:
            yield standby
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def at(server_: Server, database: str) -> str:
    """The URL of the database on another server."""
    return server_.url.replace("/postgres?", f"/{name_of(database)}?")


def name_of(url: str) -> str:
    return url.partition("?")[0].rpartition("/")[2]


async def asked(url: str, sql: str) -> Any:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


def twofold(*arguments: str) -> str:
    """Run the command; returns its output."""
    command = [sys.executable, "-c", "from twofold.cli import main; main()", *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


async def test_g11_a_standby_that_was_behind_is_promoted(primary: Server, tmp_path: Path) -> None:
    """What it never received is gone: checkpoints elsewhere and tokens say so, and the way out leads on."""
    url, rows = primary.new_database(), f"sqlite:///{tmp_path / 'rows.db'}"
    with standby_of(primary) as standby:
        copy = at(standby, url)
        async with bank.open(url, read_store=rows) as running:
            for n in range(20):
                kept = await deposited(running.log, f"a{n % 3}", 1)
            await eventually(lambda: has_come_to(copy, 20))
            execute(standby.url, "ALTER SYSTEM SET primary_conninfo = ''", "SELECT pg_reload_conf()")
            await eventually(lambda: receives_nothing(standby))
            for n in range(10):
                lost = await deposited(running.log, f"a{n % 3}", 100)
            assert await running.get(balances, "a0", after=lost)
        primary.kill()
        assert await asked(standby.url, "SELECT pg_promote()")

        with pytest.raises(LogReplaced, match="is at 0:30, but the log ends at 0:20: an older copy"):
            async with bank.open(copy, read_store=rows):
                pass
        async with bank.open(copy, read_store=f"sqlite:///{tmp_path / 'new.db'}") as running:
            assert await running.get(balances, "a0", after=kept)
            with pytest.raises(InvalidToken, match="beyond"):
                await running.get(balances, "a0", after=lost)

        where = ["--store", copy, "--read-store", rows]
        await asyncio.to_thread(twofold, "log", "new-id", BANK, *where)
        await asyncio.to_thread(twofold, "rebuild", BANK, "--all", *where)
        async with bank.open(copy, read_store=rows) as running:
            receipt = await deposited(running.log, "a0", 5)
            row = await running.get(balances, "a0", after=receipt)
            assert row is not None
            assert (row.total, row.deposits) == (12, 8)
            for old in (kept, lost):
                with pytest.raises(InvalidToken, match="the token is of log"):
                    await running.get(balances, "a0", after=old)


async def has_come_to(url: str, position: int) -> bool:
    try:
        return bool(await asked(url, "SELECT max(position) FROM twofold.events") == position)
    except asyncpg.PostgresError:  # the database is not there yet
        return False


async def receives_nothing(standby: Server) -> bool:
    return bool(await asked(standby.url, "SELECT count(*) FROM pg_stat_wal_receiver") == 0)


async def test_g1_with_a_synchronous_standby_the_loss_of_the_server_loses_nothing(primary: Server) -> None:
    """Killed in the middle of appends and never seen again: what was acknowledged is there on the other one."""
    url = primary.new_database()
    with standby_of(primary) as standby:
        execute(primary.url, "ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()")
        await eventually(lambda: is_synchronous(primary))
        acknowledged: list[Receipt] = []
        async with bank.open(url, work=False) as running:
            callers = [asyncio.create_task(deposits(running, n, acknowledged)) for n in range(16)]
            await eventually(lambda: len(acknowledged) > 500)
            await asyncio.to_thread(primary.kill)
            for caller in callers:
                caller.cancel()
            await asyncio.gather(*callers, return_exceptions=True)
        assert await asked(standby.url, "SELECT pg_promote()")
        async with bank.open(at(standby, url)) as running:
            for receipt in acknowledged:
                loaded = await running.log.load(receipt.stream, receipt.command_id, last=1)
                assert loaded.receipt is not None
                assert loaded.receipt.position == receipt.position
            assert await running.get(balances, "s0", after=acknowledged[-1])


async def is_synchronous(primary: Server) -> bool:
    return bool(await asked(primary.url, "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"))


async def deposits(running: Any, number: int, acknowledged: list[Receipt]) -> None:
    while True:
        done = await running.execute(accounts, f"s{number}", Deposit(1))
        acknowledged.append(done.receipt)


async def test_g11_a_dump_that_was_restored(primary: Server, tmp_path: Path) -> None:
    """pg_dump while orders come in, and its copy in place of the log: noticed where read models lie elsewhere."""
    url, rows = primary.new_database(), f"sqlite:///{tmp_path / 'rows.db'}"
    dump = primary.data.parent / "bank.dump"
    async with bank.open(url, read_store=rows) as running:
        acknowledged: list[Receipt] = []
        callers = [asyncio.create_task(deposits(running, n, acknowledged)) for n in range(8)]
        await eventually(lambda: len(acknowledged) > 50)
        await asyncio.to_thread(primary.run, "pg_dump", "-Fc", "-f", str(dump), "-d", url)
        seen = len(acknowledged)
        await eventually(lambda: len(acknowledged) > seen + 50)
        for caller in callers:
            caller.cancel()
        await asyncio.gather(*callers, return_exceptions=True)
        last = await deposited(running.log, "last", 1)
        assert await running.get(balances, "last", after=last)

    restored = primary.new_database()
    await asyncio.to_thread(primary.run, "pg_restore", "--exit-on-error", "-d", restored, str(dump))
    with pytest.raises(LogReplaced, match="an older copy of the log replaced it"):
        async with bank.open(restored, read_store=rows):
            pass
    async with bank.open(restored) as running:
        head = (await running.log.head()).offset
        assert 50 < head < last.position.offset
        entries = await feed(running)
        assert [entry.position.offset for entry in entries] == list(range(1, head + 1))
        with pytest.raises(InvalidToken, match="beyond"):
            await running.get(balances, "last", after=last)
        again = await deposited(running.log, "last", 1)
        assert again.position.offset == head + 1
        assert await running.get(balances, "last", after=again)


async def feed(running: Any) -> list[Any]:
    position, entries = BEGINNING, []
    while (page := await running.log.read(position, 1_000)).upto != position:
        entries += page.entries
        position = page.upto
    return entries
