"""Copying between SQLite and PostgreSQL, with a process that is killed, and the checksum."""

import asyncio
import random
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from subprocess import PIPE

import msgspec
import pytest

from shop.app import shop
from shop.tests.world import ANN, item
from shop.write.customer import PutCustomer, customers
from shop.write.order import PlaceOrder, orders
from shop.write.product import PutProduct, products
from shop.write.stock import ReceiveStock, stock
from twofold.ambient import Ambient
from twofold.backends.connect import connect
from twofold.backends.memory import MemoryLog
from twofold.backends.ports import LogStore
from twofold.errors import ConfigurationError
from twofold.feed.checkpoints import FollowerId
from twofold.messages import BEGINNING, Entry, Position
from twofold.operate.copy import Contents, copying
from twofold.testing.conformance.copies import filled, same, silent
from twofold.testing.conformance.material import append, appended, event
from twofold.write.copies import KeptCommand, check_complete

COPIER = str(Path(__file__).with_name("copier.py"))
ENTRY = Entry(Position(0, 1), "note-1", 1, "Noted", 1, b'{"value":1}', b"{}", datetime(2024, 1, 1, tzinfo=UTC))


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[LogStore]:
    log = await connect(url, Ambient())
    try:
        yield log
    finally:
        await log.close()


def total(*entries: Entry) -> int:
    found = Contents()
    for entry in entries:
        found.add_event(entry)
    return found.total


@pytest.mark.parametrize(
    "change",
    [
        {"stream": "note-2"},
        {"version": 2},
        {"type": "Noted2"},
        {"schema": 2},
        {"data": b'{"value":2}'},
        {"meta": b'{"a":1}'},
        {"recorded_at": datetime(2024, 1, 1, 0, 0, 0, 1, tzinfo=UTC)},
        {"data": b'{"value":1}{', "meta": b"}"},
    ],
)
def test_the_checksum_notices_whatever_is_different(change: dict[str, object]) -> None:
    assert total(msgspec.structs.replace(ENTRY, **change)) != total(ENTRY)


def test_the_checksum_knows_neither_positions_nor_the_order_of_streams() -> None:
    second = msgspec.structs.replace(ENTRY, stream="note-2")
    moved = msgspec.structs.replace(ENTRY, position=Position(3, 99), data='{"value":1}')
    assert total(ENTRY, second) == total(second, moved)
    assert total(ENTRY, ENTRY) != total(ENTRY)
    assert total(ENTRY, second) != total(ENTRY, msgspec.structs.replace(ENTRY, version=2))


def test_the_checksum_counts_command_ids() -> None:
    found = [Contents(), Contents(), Contents()]
    found[1].add_commands([KeptCommand("note-1", "a", 1, 1)])
    found[2].add_commands([KeptCommand("note-1", "a", 1, 0)])
    assert len({contents.checksum for contents in found}) == 3


async def test_a_copy_is_complete_only_once_its_reactors_have_their_places(monkeypatch: pytest.MonkeyPatch) -> None:
    """If it is opened before, they begin anew, and repeat their effects."""
    original, copied, mails = await filled(MemoryLog()), MemoryLog(), FollowerId("mails")
    await original.checkpoints.register(mails, original.log_id, await original.head())
    copy = await copying(original, copied, [mails])
    with monkeypatch.context() as patch:
        patch.setattr(copied.checkpoints, "register", None)  # as if it was killed there
        with pytest.raises(TypeError):
            await copy.run(silent)
    with pytest.raises(ConfigurationError, match="unfinished copy"):
        await check_complete(copied)
    await copy.run(silent)
    await check_complete(copied)
    [place] = await copied.checkpoints.all_partitions(mails)
    assert place.position == await copied.head()


async def test_a_copy_can_be_compared_again() -> None:
    """A comparison changes nothing, neither what the next one finds nor what was sent."""
    original, copied = await filled(MemoryLog()), MemoryLog()
    copy = await copying(original, copied)
    ended = await copy.run(silent)
    sent = ended.sent.commands
    found = [await copy.contents(ended, silent) for _ in range(2)]
    assert found[0] == found[1] == found[0][::-1]
    assert ended.sent.commands == sent
    assert ended.sent.events == 0


@pytest.mark.slow
@pytest.mark.parametrize("way", ["sqlite to postgres", "postgres to sqlite"])
async def test_killed_at_any_moment_it_goes_on(way: str, tmp_path: Path, new_database: Callable[[], str]) -> None:
    """`kill -9` between any two instructions, again and again: nothing is stored twice, nothing is missing."""
    chance = random.Random(way)
    urls = [f"sqlite:///{tmp_path}/a.db", new_database()]
    source, target = urls if way.startswith("sqlite") else reversed(urls)
    async with opened(source) as log:
        await filled(log)
        for n in range(60):
            await log.commit([append(f"note-{n % 7}", *(event(n) for _ in range(n % 9))) for _ in range(5)])
    lives = 0
    while not await _copied_or_killed(source, target, chance.randint(0, 12)):
        lives += 1
    assert lives > 4
    async with opened(source) as original, opened(target) as copied:
        await same(original, copied)
        copy = await copying(original, copied)
        ours, theirs = await copy.contents(await copy.run(silent), silent)
        assert (ours, ours.events) == (theirs, (await original.head()).offset)


async def _copied_or_killed(source: str, target: str, after_lines: int) -> bool:
    """Whether it finished before this many lines were read."""
    process = await asyncio.create_subprocess_exec(sys.executable, COPIER, source, target, stdout=PIPE)
    assert process.stdout is not None
    for _ in range(after_lines):
        line = await process.stdout.readline()
        if line == b"done\n":
            return await process.wait() == 0
        assert line, "it failed"
    process.kill()
    rest = await process.stdout.read()  # it may have finished before it was killed
    return await process.wait() == 0 and rest.endswith(b"done\n")


async def test_the_shop_there_and_back(tmp_path: Path, new_database: Callable[[], str]) -> None:
    """SQLite to PostgreSQL to SQLite: the same checksums, and every row of every read model is the same."""
    urls = [f"sqlite:///{tmp_path}/a.db", new_database(), f"sqlite:///{tmp_path}/b.db"]
    async with shop.open(urls[0]) as running:
        await running.execute(customers, "ann", PutCustomer("Ann", "ann@example.com"))
        for product in ("tea", "cup"):
            await running.execute(products, product, PutProduct(product, item(product, 1, "2.50").price))
            await running.execute(stock, product, ReceiveStock(20))
        for n in range(12):
            order = PlaceOrder(ANN, (item("tea", 1 + n % 3, "2.50"), item("cup", 1, "4")), None, datetime.now(UTC))
            await running.execute(orders, f"o{n}", order, command_id=f"place {n}")
        await running.settled(timeout_s=30)
    checksums = set()
    for source, target in pairwise(urls):
        async with opened(source) as log, opened(target) as other:
            copy = await copying(log, other)
            checksums |= {found.checksum for found in await copy.contents(await copy.run(silent), silent)}
    assert len(checksums) == 1
    rows = [await _rows(url) for url in urls]
    assert rows[0]["order_view"]
    assert rows[0] == rows[1] == rows[2]


async def _rows(url: str) -> dict[str, list[object]]:
    async with shop.open(url) as running:
        await running.settled(timeout_s=30)
        return {one.name: list(await running.find(one, limit=500)) for one in shop.projections}


async def test_memory_to_sqlite_with_pages_that_are_full(tmp_path: Path) -> None:
    """More than one page of events and of command ids, at real sizes."""
    original = MemoryLog()
    for n in range(6):
        await original.commit([append(f"note-{n}-{k}", event(k)) for k in range(1_000)])
    await appended(original, "note-last", command_id="nothing")
    async with opened(f"sqlite:///{tmp_path}/a.db") as log:
        copy = await copying(original, log)
        ended = await copy.run(silent)
        assert ended.sent.commands == 6_001
        assert len({found.checksum for found in await copy.contents(ended, silent)}) == 1
        assert (await log.read(BEGINNING, 10_000)).upto == Position(0, 6_000)
