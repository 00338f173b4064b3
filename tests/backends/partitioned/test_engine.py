"""An App on a log of several partitions: what goes on while a part is away, and what read models hold afterwards."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest

from twofold import operate
from twofold.ambient import Ambient
from twofold.app import App, Running
from twofold.backends.memory import MemoryLog, MemoryReadStore
from twofold.backends.partitioned import Partitioned
from twofold.errors import (
    ConfigurationError,
    InvalidToken,
    LogReplaced,
    ReadModelBehind,
    Unavailable,
)
from twofold.messages import BEGINNING, Position, Recorded, Token
from twofold.react.reactor import Reactor
from twofold.read.projection import Projection
from twofold.testing.conformance.bank import (
    CURSED,
    Account,
    Balance,
    Deposit,
    Deposited,
    accounts,
    balances,
    bank,
    deposited,
    eventually,
    forward,
    forwarding,
    sums,
)
from twofold.testing.conformance.material import all_of

LOG_ID = "0123456789abcdef"
PARTS = 4


class Part(MemoryLog):
    """A part that can be out of reach, or so slow that nobody gets an answer."""

    away = stuck = False

    async def reached(self) -> None:
        if self.stuck:
            await asyncio.Event().wait()
        if self.away:
            raise Unavailable("no leader")

    async def commit(self, *args: Any) -> Any:
        await self.reached()
        return await super().commit(*args)

    async def load(self, *args: Any, **options: Any) -> Any:
        await self.reached()
        return await super().load(*args, **options)

    async def read(self, *args: Any, **options: Any) -> Any:
        await self.reached()
        return await super().read(*args, **options)

    async def head(self) -> Position:
        await self.reached()
        return await super().head()


class Cluster:
    """The parts, and as many openings of the log as there are processes."""

    def __init__(self, ambient: Ambient | None = None) -> None:
        self.parts = {n: Part(ambient, partition=n, log_id=LOG_ID) for n in range(1, PARTS + 1)}
        self.cuts = MemoryLog(log_id=LOG_ID)
        self.rows = MemoryReadStore()

    def log(self) -> Partitioned:
        return Partitioned(list(self.parts.values()), self.cuts)

    def ids(self, partition: int, count: int) -> list[str]:
        """Ids of streams in one partition."""
        log = self.log()
        return [f"a{n}" for n in range(100 * count) if log.partition_of(f"a{n}") == partition][:count]


def last_of(row: Any, event: Deposited, recorded: Recorded) -> Any:
    """Depends on the order of everything."""
    return replace(row, total=(row.total * 31 + event.amount) % 1_000_003, deposits=row.deposits + 1)


def everything(event: Deposited, recorded: Recorded) -> list[str]:
    return ["all", str(event.amount % 3)]


def ordered(name: str, version: int = 1) -> Projection[Balance]:
    return Projection(name, Balance, last_of, key=everything, version=version)


def only(*projections: Projection[Any], reactors: Any = ()) -> App:
    return App("bank", deciders=[accounts], projections=projections, reactors=reactors)


async def caught_up(running: Running, projection: Projection[Any]) -> None:
    for following in await operate.prepared(running, projection):
        async for _ in following.catch_up():
            pass


async def rows_of(running: Running, projection: Projection[Any]) -> dict[str, Any]:
    rows = (await running.find(projection, limit=500)).rows
    return {projection.key_in(projection.format.to_values(row))[0]: row for row in rows}


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


async def test_a_token_from_before_the_first_event_waits_for_nothing(cluster: Cluster) -> None:
    """A command that had nothing to do has one; a cut that includes it may never come."""
    async with bank.open(cluster.log(), read_store=cluster.rows, work=False) as running:
        for partition in (0, 1):
            token = Token(LOG_ID, Position(partition, 0))
            assert await running.get(sums, "all", after=token, wait_s=0) is None


# ---- a part that is away


@pytest.mark.parametrize("how", ["away", "stuck"])
async def test_while_a_part_is_away_the_others_go_on(cluster: Cluster, how: str) -> None:
    """Appends, commands, reads and reactions; read models of the log as a whole wait, and nothing is folded twice."""
    here, there = cluster.ids(1, 2), cluster.ids(2, 3)
    async with bank.open(cluster.log(), read_store=cluster.rows) as running:
        for name in (*here, *there):
            await running.execute(accounts, name, Deposit(1))
        await running.settled(timeout_s=30)
        setattr(cluster.parts[1], how, True)

        if how == "away":
            with pytest.raises(Unavailable, match="no leader"):
                await running.execute(accounts, here[0], Deposit(1))
        done = await running.execute(accounts, there[0], Deposit(5, to=there[1]))
        assert await running.get(balances, there[0], after=done.receipt) == Balance(there[0], 6, 2)
        await eventually(lambda: _has(running, there[1], 6))
        await running.execute(accounts, there[0], Deposit(7, to=here[1]))  # a reaction that has to wait
        await running.execute(accounts, there[2], Deposit(9, to=there[1]))
        with pytest.raises((ReadModelBehind, Unavailable, TimeoutError)):
            await asyncio.wait_for(running.get(sums, "all", after=done.receipt, wait_s=0.3), 1)
        assert (await rows_of(running, sums))["all"].deposits == 5

        setattr(cluster.parts[1], how, False)
        if how == "stuck":  # waiting callers never get a response, so the processes are restarted
            return
        await running.execute(accounts, here[0], Deposit(1))
        await running.settled(timeout_s=30)
        assert await running.load(accounts, here[1]) == (Account(8), 2)
        for projection in (balances, sums):
            report = await operate.verify(running, projection)
            assert (report.equal, report.parked) == (True, [])
        assert (await rows_of(running, sums))["all"].deposits == await running.log.behind(BEGINNING)


async def _has(running: Running, id: str, balance: int) -> bool:
    return (await running.load(accounts, id))[0].balance == balance


async def test_rows_are_read_while_another_part_is_out_of_reach(cluster: Cluster) -> None:
    """By who only reads, too: it cannot look how far that part goes, and need not for the others."""
    here, there = cluster.ids(1, 1)[0], cluster.ids(2, 1)[0]
    async with (
        bank.open(cluster.log(), read_store=cluster.rows, work=False) as worker,
        bank.look(cluster.log(), read_store=cluster.rows) as reader,
    ):
        assert await reader.get(balances, there) is None
        await worker.execute(accounts, here, Deposit(1))
        done = await worker.execute(accounts, there, Deposit(2))
        await caught_up(worker, balances)
        for how in ("away", "stuck"):
            setattr(cluster.parts[1], how, True)
            async with asyncio.timeout(10):
                assert await reader.get(balances, there, after=done.receipt) == Balance(there, 2, 1)
                assert len((await reader.find(balances)).rows) == 2


async def test_g11_rows_of_another_log_are_refused_while_a_part_is_out_of_reach(cluster: Cluster) -> None:
    """How far that part goes is not known, but that the checkpoint is not one of this log is."""
    here, there = cluster.ids(1, 1)[0], cluster.ids(2, 1)[0]
    async with bank.open(cluster.log(), read_store=cluster.rows, work=False) as worker:
        for name in (here, there):
            await worker.execute(accounts, name, Deposit(1))
        await caught_up(worker, balances)
    another = Cluster()
    another.parts = {n: Part(partition=n, log_id=LOG_ID[::-1]) for n in another.parts}
    another.cuts = MemoryLog(log_id=LOG_ID[::-1])
    async with bank.look(another.log(), read_store=cluster.rows) as reader:
        for how in ("away", "stuck"):
            for part in another.parts.values():
                setattr(part, how, True)
            for read in (reader.get(balances, here), reader.find(balances), reader.count(balances)):
                with pytest.raises(LogReplaced):
                    await read


# ---- read models of the log as a whole


async def test_readers_that_begin_at_different_times_read_the_same(cluster: Cluster) -> None:
    """Three of them, in processes of their own, in pages of their own: rows that depend on every event's place."""
    rows = [MemoryReadStore() for _ in range(3)]
    app = only(ordered("ordered"))
    async with AsyncExitStack() as stack:
        processes: list[Running] = []
        for n, store in enumerate(rows):
            processes.append(await stack.enter_async_context(app.open(cluster.log(), read_store=store, work=n != 1)))
            for k in range(40):
                await processes[k % len(processes)].append(f"account-a{(n * 40 + k) % 23}", [Deposited(k + 20)])
        await processes[0].settled(timeout_s=30)
        await caught_up(processes[1], app.projections[0])
        await processes[2].settled(timeout_s=30)
        found = [await rows_of(running, app.projections[0]) for running in processes]
        assert found[0]["all"].deposits == 120
        assert found == [found[0]] * 3
        assert all([(await operate.verify(running, app.projections[0])).equal for running in processes])


def a_year_long() -> Ambient:
    """A clock on which two hours pass with each look."""
    hours = count(step=2)
    return replace(Ambient(), now=lambda: datetime(2025, 1, 1, tzinfo=UTC) + timedelta(hours=next(hours)))


async def test_a_read_model_of_the_whole_is_added_after_a_year() -> None:
    """Partitions of very different size, of which nobody has made a cut: all of it, in the order of time."""
    cluster = Cluster(a_year_long())
    ids = {1: cluster.ids(1, 1)[0], 2: cluster.ids(2, 1)[0], 4: cluster.ids(4, 1)[0]}
    old = replace(bank, projections=[balances])
    async with old.open(cluster.log(), read_store=cluster.rows, work=False) as running:
        for n in range(4_000):
            await deposited(running.log, ids[1], 1)
            if n % 100 == 0:
                await deposited(running.log, ids[2], 2)
        await deposited(running.log, ids[4], 3)
        assert await running.log.head() == BEGINNING
    times: list[datetime] = []

    def fold(row: Balance, event: Deposited, recorded: Recorded) -> Balance:
        times.append(recorded.recorded_at)
        return last_of(row, event, recorded)

    added = Projection("ordered", Balance, fold, key=lambda event, recorded: "all")
    app = replace(bank, projections=[balances, added])
    for _ in range(2):
        times.clear()
        async with app.look(cluster.log(), read_store=cluster.rows) as running:
            async for _ in operate.rebuild(running, added, from_scratch=True):
                pass
            row = await running.get(added, "all")
            assert row is not None
            assert row.deposits == 4_041, "a rebuild ends at the end"
            assert times == sorted(times)
            report = await operate.verify(running, added)
            assert (report.equal, report.rows) == (True, 1)


# ---- tokens and checkpoints


async def test_a_token_is_covered_by_its_own_partition_alone(cluster: Cluster) -> None:
    """However far the checkpoints of the others are."""
    first, second = cluster.ids(1, 1)[0], cluster.ids(2, 1)[0]
    async with bank.open(cluster.log(), read_store=cluster.rows, work=False) as running:
        for _ in range(9):
            await running.execute(accounts, second, Deposit(1))
        mine = await running.execute(accounts, first, Deposit(1))
        of_second = [f for f in await operate.prepared(running, balances) if f.feed.partition == 2]
        async for _ in of_second[0].catch_up():
            pass
        assert mine.receipt.position == Position(1, 1)
        for read in (
            running.get(balances, first, after=mine.receipt, wait_s=0),
            running.find(balances, after=mine.receipt.token, wait_s=0),
        ):
            with pytest.raises(ReadModelBehind) as behind:
                await read
            assert behind.value.lag_events == 1
        moved = {
            one.follower.partition: one.position.offset
            for one in await cluster.rows.checkpoints.all_partitions(balances.follows)
        }
        assert moved == {1: 0, 2: 9, 3: 0, 4: 0}
        with pytest.raises(InvalidToken, match="no partition 0"):
            await running.get(balances, first, after=Token(LOG_ID, Position(0, 1)))
        with pytest.raises(InvalidToken, match="partition 5"):
            await running.get(balances, first, after=Token(LOG_ID, Position(5, 1)))
        with pytest.raises(InvalidToken, match="beyond the end"):
            await running.get(balances, first, after=Token(LOG_ID, Position(1, 2)))
        for after in (mine.receipt, mine.receipt.token):
            with pytest.raises(ReadModelBehind):
                await running.get(sums, "all", after=after, wait_s=0)
        await caught_up(running, sums)
        assert await running.get(sums, "all", after=mine.receipt) is not None
        with pytest.raises(InvalidToken, match="beyond the end"):
            await running.get(sums, "all", after=Token(LOG_ID, Position(1, 2)))


async def test_a_token_of_the_whole_waits_for_a_cut_that_has_it(cluster: Cluster) -> None:
    """One that lies before its event is not enough."""
    ids = [cluster.ids(n, 1)[0] for n in (1, 2)]
    async with bank.open(cluster.log(), read_store=cluster.rows, work=False) as running:
        await running.execute(accounts, ids[1], Deposit(5))
        await running.execute(accounts, ids[0], Deposit(5))
        await caught_up(running, sums)
        for n, name in enumerate((*ids, *ids), start=3):
            done = await running.execute(accounts, name, Deposit(5))
            with pytest.raises(ReadModelBehind):
                await running.get(sums, "all", after=done.receipt, wait_s=0)
            waiting = asyncio.create_task(running.get(sums, "all", after=done.receipt, wait_s=20))
            await asyncio.sleep(0)
            await caught_up(running, sums)
            row = await waiting
            assert row is not None
            assert row.deposits == n


async def test_a_row_waits_for_its_own_partition_alone(cluster: Cluster) -> None:
    """What is parked in another partition, of the same position, concerns nobody here."""
    first, second = cluster.ids(1, 1)[0], cluster.ids(2, 1)[0]
    async with bank.open(cluster.log(), read_store=cluster.rows, work=False) as running:
        await running.execute(accounts, first, Deposit(CURSED))
        await running.execute(accounts, second, Deposit(1))
        await caught_up(running, balances)
        of_each = {
            one.follower.partition: [parked.key for parked in await cluster.rows.checkpoints.parked(one.follower)]
            for one in await cluster.rows.checkpoints.all_partitions(balances.follows)
        }
        assert of_each == {1: [f'["{first}"]'], 2: [], 3: [], 4: []}
        status = {one.partition: one.parked for one in await operate.status(running) if one.name == "balance"}
        assert status == {1: 1, 2: 0, 3: 0, 4: 0}
        done = await running.execute(accounts, second, Deposit(CURSED + 1))
        await caught_up(running, balances)
        assert await running.get(balances, second, after=done.receipt) == Balance(second, CURSED + 2, 2)


# ---- versions


async def test_the_same_version_does_not_change_how_it_follows(cluster: Cluster) -> None:
    """Neither way: half of its checkpoints would say nothing about its rows."""
    merged, spread = ordered("balance"), balances
    for first, then in ((spread, merged), (merged, spread)):
        rows = MemoryReadStore()
        async with only(first).open(cluster.log(), read_store=rows, work=False) as running:
            await deposited(running.log, "a", 1)
            await caught_up(running, first)
        with pytest.raises(ConfigurationError, match="Raise its version"):
            async with only(then).open(cluster.log(), read_store=rows, work=False):
                pytest.fail("it was opened")
        async with only(replace(then, version=2)).open(cluster.log(), read_store=rows, work=False):
            pass


@pytest.mark.parametrize("more", [True, False])
@pytest.mark.parametrize("kinds", ["spread, merged", "merged, spread", "spread, merged, spread"])
async def test_a_version_that_follows_otherwise_is_shown_when_it_has_come_as_far(
    cluster: Cluster, kinds: str, more: bool
) -> None:
    """In every partition, also where a single cut is all that is missing; until then the name shows the one before."""
    made = {"spread": balances, "merged": replace(ordered("balance"))}
    versions = [replace(made[kind], version=n) for n, kind in enumerate(kinds.split(", "), start=1)]
    log = cluster.log()
    ids = [cluster.ids(partition, 1)[0] for partition in (1, 2, 3)]

    async def shown() -> int:
        [version] = [table.follows.version for table in await cluster.rows.tables() if table.live]
        return version

    for projection in versions:
        async with only(projection).open(log, read_store=cluster.rows, work=False) as running:
            for name in ids if more or projection.version == 1 else ():
                await deposited(log, name, 1, 2)
            for before in versions[: projection.version - 1]:
                async with only(before).open(log, read_store=cluster.rows, work=False) as older:
                    await caught_up(older, before)
            assert await shown() == max(1, projection.version - 1)
            followings = await operate.prepared(running, projection)
            for n, following in enumerate(followings):
                if n and projection.version > 1 and n < 3:
                    assert await shown() == projection.version - 1, f"{n} of {len(followings)} partitions"
                async for _ in following.catch_up():
                    pass
            assert await shown() == projection.version
            report = await operate.verify(running, projection)
            assert report.equal


@pytest.mark.parametrize("parts", [2, 3])
async def test_g8_a_version_is_not_shown_while_a_row_of_any_partition_is_parked(parts: int) -> None:
    """Wherever the next event comes, also if it comes where nothing is parked."""
    rows = MemoryReadStore()
    made = [MemoryLog(partition=n, log_id=LOG_ID) for n in range(1, parts + 1)]
    log = Partitioned(made, MemoryLog(log_id=LOG_ID))
    ids = [next(f"a{n}" for n in range(100) if log.partition_of(f"a{n}") == part) for part in range(1, parts + 1)]

    def kind(row: Balance, event: Deposited, recorded: Recorded) -> Balance:
        return replace(row, total=row.total + event.amount)

    first, second = Projection("balance", Balance, kind), replace(balances, version=2)
    for name in ids:
        await deposited(log, name, 1)
    await deposited(log, ids[0], CURSED)
    async with only(first).open(log, read_store=rows, work=False) as running:
        await caught_up(running, first)
    async with only(second).open(log, read_store=rows, work=False) as running:
        await caught_up(running, second)
        for name in ids[1:]:
            await deposited(log, name, 2)
            await caught_up(running, second)
            assert [table.follows.version for table in await rows.tables() if table.live] == [1]
        await running.parking.discard("balance")
        assert [table.follows.version for table in await rows.tables() if table.live] == [2]


# ---- reactors


async def test_a_reaction_in_another_partition_is_done_once(cluster: Cluster) -> None:
    """Each part's reactor is stopped and taken over in the middle; targets lie in all the other partitions."""
    ids = [cluster.ids(partition, 2) for partition in range(1, PARTS + 1)]
    app = only(reactors=[forwarding])
    for _ in range(3):
        async with (
            app.open(cluster.log(), read_store=cluster.rows) as one,
            app.open(cluster.log(), read_store=cluster.rows) as two,
        ):
            for n in range(20):
                source, target = ids[n % PARTS][0], ids[(n + 1 + n // PARTS) % PARTS][1]
                await (one, two)[n % 2].execute(accounts, source, Deposit(n + 20, to=target))
    async with app.open(cluster.log(), read_store=cluster.rows) as one:
        await one.settled(timeout_s=30)
        received = [await one.history(f"account-{of[1]}") for of in ids]
        sent = [recorded for of in ids for recorded in await one.history(f"account-{of[0]}")]
        causes = [recorded.causation_id for some in received for recorded in some]
        assert sorted(causes) == sorted(recorded.id for recorded in sent)  # type: ignore[type-var]
        assert len(causes) == 60


async def test_what_enters_a_partition_that_was_looked_at_is_waited_for(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a reaction does that was under way while the partitions were looked at one after the other."""
    name, late = cluster.ids(2, 1)[0], cluster.parts[4]
    behind, looks = late.behind, 0

    async def looked_at_last(after: Position) -> int:
        nonlocal looks
        looks += 1
        if looks == 1:
            await deposited(cluster.log(), name, 7)
        return await behind(after)

    async with only(balances).open(cluster.log(), read_store=cluster.rows) as running:
        await running.settled(timeout_s=30)
        monkeypatch.setattr(late, "behind", looked_at_last)
        await running.settled(timeout_s=30)
        assert looks > 1
        assert await running.get(balances, name) == Balance(name, 7, 1)


@pytest.mark.parametrize("cut", [False, True])
async def test_from_now_on_is_said_in_each_partition(cluster: Cluster, cut: bool) -> None:
    """A reactor begins behind the newest event of each, also where that is behind the newest cut."""
    app = only(reactors=[Reactor("from_now", forward, start="now")])
    ids = [cluster.ids(partition, 1)[0] for partition in range(1, PARTS + 1)]
    log = cluster.log()
    for number, name in enumerate(ids):
        await deposited(log, name, *[100] * (number + 1), to="t")
        if cut and number == 1:
            await all_of(log)
            await deposited(log, ids[0], 100, to="t")
    async with app.open(cluster.log(), read_store=cluster.rows) as running:
        for name in ids:
            await running.execute(accounts, name, Deposit(1, to="t"))
        await running.settled(timeout_s=30)
        assert (await running.load(accounts, "t"))[0].balance % 100 == 4
        history = await running.history("account-t")
        assert [recorded.event.amount for recorded in history if recorded.causation_id is not None].count(100) == 0


async def test_g7_what_is_parked_beyond_the_first_cuts_is_shown_and_retried(cluster: Cluster) -> None:
    """The reactor read it before there was a cut; it goes on by itself, and no log has been replaced."""
    calm, failing = cluster.ids(1, 2)
    is_ill = True

    def react(event: Deposited, recorded: Recorded) -> list[Any]:
        if is_ill and event.amount == 13:
            raise RuntimeError("ill")
        return []

    for name, amounts in ((calm, [1] * 3_000), (failing, [13])):
        await deposited(cluster.log(), name, *amounts)
    app = only(reactors=[Reactor("ill", react, start="beginning")])
    async with app.open(cluster.log(), read_store=cluster.rows, work=False) as running:
        for following in running.followers:
            async for _ in following.catch_up():
                pass
        await cluster.log().read(BEGINNING, 1)
        [shown] = await running.parking.list("ill")
        assert shown.event is not None
        assert shown.event.stream == f"account-{failing}"
        is_ill = False
        with pytest.raises(Unavailable, match="are not in a cut yet: try again later"):
            await running.parking.retry("ill")
    async with app.open(cluster.log(), read_store=cluster.rows) as running:
        await running.settled(timeout_s=30)
        assert not await running.parking.list("ill")
        assert "stopped" not in {following.state for following in running.followers}


# ---- G11


async def test_an_older_copy_of_one_part_is_noticed(cluster: Cluster) -> None:
    """By readers, by who follows and by the merged feed; the other partitions' rows alone would not tell."""
    first, second = cluster.ids(1, 1)[0], cluster.ids(2, 1)[0]
    async with bank.open(cluster.log(), read_store=cluster.rows) as running:
        for name in (first, second, first, second):
            await running.execute(accounts, name, Deposit(1))
        await running.settled(timeout_s=30)
    old = Part(partition=1, log_id=LOG_ID)
    await deposited(old, first, 1)
    cluster.parts[1] = old
    with pytest.raises(LogReplaced, match="1:2, but the log ends at 1:1"):
        async with bank.open(cluster.log(), read_store=cluster.rows):
            pytest.fail("it was opened")
    async with bank.look(cluster.log(), read_store=cluster.rows) as running:
        for read in (running.get(balances, first), running.find(balances)):
            with pytest.raises(LogReplaced):
                await read
        with pytest.raises(LogReplaced):
            await all_of(running.log)
        with pytest.raises(LogReplaced):
            await operate.verify(running, balances)
        with pytest.raises(LogReplaced):
            await operate.rebuild_row(running, balances, first)
        await operate.rebuild_row(running, balances, second)
        await running.log.new_id()
        for projection in (balances, sums):
            async for _ in operate.rebuild(running, projection, from_scratch=True):
                pass
        assert await running.get(balances, first) == Balance(first, 1, 1)
        assert (await rows_of(running, sums))["all"].deposits == 3
