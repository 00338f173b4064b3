"""Feed ranges that split, pages that come twice, answers that are lost: no event is lost, doubled or skipped."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, NoReturn
from uuid import uuid4

import pytest

from tests.backends.cosmos_server import InCosmos, Server, served
from twofold import App, Reactor, operate
from twofold.ambient import Ambient
from twofold.app import Running
from twofold.backends.connect import connect
from twofold.backends.cosmos import CosmosLog
from twofold.backends.cosmos import part as cosmos_part
from twofold.backends.ports import LogStore
from twofold.errors import ConfigurationError, Unavailable
from twofold.feed.checkpoints import FollowerId
from twofold.feed.partitions import Splitting, feed_of, feeds, parts_of
from twofold.messages import BEGINNING, Position, Receipt, Stream, Token
from twofold.operate.copy import copying
from twofold.progress import no_progress
from twofold.telemetry import metrics
from twofold.testing.conformance.bank import (
    Balance,
    Deposit,
    accounts,
    balances,
    bank,
    deposited,
    forward,
    forwarding,
    sums,
)
from twofold.testing.conformance.material import all_of, append, appended, commit, event, value, values

ROUNDS, AT_ONCE = 6, 20


@pytest.fixture(scope="module", params=[1, pytest.param(3, marks=pytest.mark.slow)], ids="{} ranges".format)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with served(request.param) as running:
        yield running


@pytest.fixture
def place(server: Server, tmp_path: Path) -> InCosmos:
    return InCosmos(server, uuid4().hex, tmp_path)


@pytest.fixture
async def log(place: InCosmos) -> AsyncIterator[LogStore]:
    store = await place.open_log()
    yield store
    await store.close()


@pytest.fixture
async def other_log(place: InCosmos, log: LogStore) -> AsyncIterator[LogStore]:
    store = await place.open_log()
    yield store
    await store.close()


@pytest.mark.slow
async def test_a_split_amid_the_work_of_two_processes(place: InCosmos, log: LogStore, other_log: LogStore) -> None:
    """Spread read models, merged ones and reactors go on in the parts; every read sees its own write."""
    one_rows, other_rows = await place.open_rows(), await place.open_rows()
    async with bank.open(log, read_store=one_rows) as one, bank.open(other_log, read_store=other_rows) as other:

        async def deposit(running: Running, number: int) -> None:
            id_ = f"{number % 7}"
            done = await running.execute(accounts, id_, Deposit(number, to=f"{id_}x"))
            row = await running.get(balances, id_, after=done.receipt, wait_s=30)
            assert row is not None
            assert row.deposits >= done.receipt.version

        for round_ in range(ROUNDS):
            numbers = range(round_ * AT_ONCE, (round_ + 1) * AT_ONCE)
            await asyncio.gather(*(deposit((one, other)[number % 2], number + 100) for number in numbers))
            if round_ in (1, 3):
                place.split(round_ // 2)
        await one.settled(timeout_s=60)
        count = ROUNDS * AT_ONCE
        total = sum(range(100, 100 + count))
        row = await one.get(sums, "all")
        assert row is not None
        assert (row.deposits, row.total) == (2 * count, 2 * total)
        for suffix in ("", "x"):
            rows = [await other.get(balances, f"{id_}{suffix}") for id_ in range(7)]
            assert (sum(r.deposits for r in rows if r), sum(r.total for r in rows if r)) == (count, total)
        for followed, checkpoints in (
            (balances.follows, one_rows.checkpoints),
            (FollowerId("forwarding"), log.checkpoints),
        ):
            found = await checkpoints.all_partitions(followed)
            assert [row.follower.partition for row in found] == list(feeds(log))
    assert forwarding.name == "forwarding"
    async with bank.open(log, read_store=one_rows) as again:
        await again.settled(timeout_s=60)
        assert await again.get(sums, "all") == row
    await one_rows.close()
    await other_rows.close()


async def test_parts_take_over_what_nobody_followed_meanwhile(place: InCosmos, log: LogStore) -> None:
    """An App that was closed during the split, and what was parked: retried in the part that holds its key."""
    rows = await place.open_rows()
    async with bank.open(log, read_store=rows) as running:
        for id_ in "abcdef":
            await running.execute(accounts, id_, Deposit(13 if id_ in "bd" else 1))
        await running.settled(timeout_s=60)
        assert sorted(one.parked.key for one in await running.parking.list("balance")) == ['["b"]', '["d"]']
    for number in list(feeds(log)):
        place.split(number - 1)
    reopened = await place.open_log()
    async with bank.open(reopened, read_store=rows) as running:
        for id_ in "abcdef":
            await running.execute(accounts, id_, Deposit(2))
        await running.settled(timeout_s=60)
        assert [await running.get(balances, id_) for id_ in "acef"] == [Balance(id_, 3, 2) for id_ in "acef"]
        assert sorted(one.parked.key for one in await running.parking.list("balance")) == ['["b"]', '["d"]']
        for parked in await running.parking.list("balance"):
            assert parked.parked.position.partition in feeds(reopened)
        assert len((await running.parking.retry("balance")).again) == 2
    await reopened.close()
    await rows.close()


async def test_a_split_while_an_operator_looks(place: InCosmos, log: LogStore) -> None:
    """The status is of the partitions as they were; what is parked in one that has just split can still be shown."""
    rows = await place.open_rows()
    async with bank.open(log, read_store=rows) as running:
        for id_ in "abcd":
            await running.execute(accounts, id_, Deposit(13))
        await running.settled(timeout_s=60)
        for look in (partial(operate.status, running), partial(metrics, running), running.parking.list):
            number = len(list(feeds(log)))
            await running.execute(accounts, "a", Deposit(1))  # so that followers are behind
            split_amid(place, running)
            assert await look()
            assert len(list(feeds(log))) == number + 1
            await running.settled(timeout_s=60)
        assert len(await running.parking.list("balance")) == 4
    await rows.close()


def split_amid(place: InCosmos, running: Running) -> None:
    """After the next look at what is parked, a range splits, and this process learns of it."""
    checkpoints: Any = running.rows.checkpoints
    parked, log = checkpoints.parked, running.log

    async def then_split(follower: FollowerId) -> Any:
        checkpoints.parked = parked
        found = await parked(follower)
        place.split(follower.partition)
        assert isinstance(log, Splitting)
        await log.refresh()
        return found

    checkpoints.parked = then_split


async def test_a_range_splits_in_the_middle_of_much_that_is_appended_at_once(server: Server, tmp_path: Path) -> None:
    """As in each test of the conformance suite that does that; nothing of it is lost, doubled, or out of order."""
    place = InCosmos(server, uuid4().hex, tmp_path, splits=True)
    store = await place.open_log()
    before = len(list(feeds(store)))
    outcomes = await commit(store, *(append(f"note-{n % 9}", event(n)) for n in range(60)))
    assert all(isinstance(outcome, Receipt) for outcome in outcomes)
    assert len(place.live()) == len(list(feeds(store))) == before + 1
    assert sorted(value(entry) for entry in await all_of(store)) == list(range(60))
    await store.close()


async def test_a_token_of_a_range_that_has_split(place: InCosmos, log: LogStore, other_log: LogStore) -> None:
    """It is reached when the parts are, also where another process knows nothing of the split yet."""
    rows = await place.open_rows()
    before = await appended(log, "account-a", command_id="plain")
    async with bank.open(log, read_store=rows) as running:
        first = (await running.execute(accounts, "a", Deposit(1))).receipt
        place.split(first.position.partition - 1)
        later = (await running.execute(accounts, "a", Deposit(1))).receipt
        assert later.position.partition not in (first.position.partition, before.position.partition)
        assert later.position.offset > first.position.offset
        for receipt in (first, later):
            row = await running.get(balances, "a", after=receipt, wait_s=30)
            assert row is not None
            assert row.deposits >= receipt.version
        async with bank.open(other_log, read_store=await place.open_rows()) as other:
            assert await other.get(balances, "a", after=Token.parse(later.token), wait_s=30) == Balance("a", 2, 2)
        await rows.close()


async def test_a_follower_has_come_as_far_in_what_has_split_as_in_the_slower_of_its_parts(
    place: InCosmos, log: CosmosLog
) -> None:
    """Else a new version would be shown before it has the rows of that part."""
    for n in range(12):
        await appended(log, f"note-{n}", n)
    assert len(await all_of(log)) == 12
    for number in list(feeds(log)):
        place.split(number - 1)
    for n in range(12):
        await appended(log, f"note-{n}", n)
    assert len(await all_of(log)) == 24
    ends = {number: (await feed.head()).offset for number, feed in feeds(log).items()}
    for slow in ends:
        come = {**ends, slow: 1}
        covered = await log.covered_by([Position(number, offset) for number, offset in come.items()])
        reached = {position.partition: position.offset for position in covered}
        for former in log.former:
            parts = [number for number, parent in enumerate(log.parents(), 1) if parent == former]
            assert reached[former] == min(come[part] for part in parts)
        assert reached[0] == 0  # the first cut has events of that part


async def test_a_reactor_that_begins_now_misses_no_later_event_of_any_part(
    place: InCosmos, log: CosmosLog, other_log: CosmosLog
) -> None:
    """In a process that learns of the split as it asks for the end, and one part has gone on further than the other."""
    await appended(log, "account-a", command_id="plain")
    former = log.partition_of("a")
    place.split(former - 1)
    await other_log.refresh()
    busy, idle = (
        next(f"{n}" for n in count() if other_log.partition_of(f"{n}") == part) for part in parts_of(other_log, former)
    )
    for _ in range(9):
        await deposited(other_log, busy, 1, to=f"to {busy}")
    reacting = App("reacting", deciders=[accounts], reactors=[Reactor("forwarding", forward, start="now")])
    rows = await place.open_rows()
    async with reacting.open(log, read_store=rows) as running:
        assert former not in feeds(log)
        for id_ in (busy, idle):
            await running.execute(accounts, id_, Deposit(100, to=f"to {id_}"))
        await running.settled(timeout_s=60)
        for id_ in (busy, idle):
            history = await running.history(f"account-to {id_}")
            assert [one.event.amount for one in history[-1:]] == [100]
    await rows.close()


@pytest.mark.parametrize("waits", [False, True], ids=["done", "parked"])
@pytest.mark.parametrize("moment", ["the events are copied", "the checkpoints are read"])
async def test_a_reactor_keeps_its_place_in_a_copy_although_its_partition_splits(
    place: InCosmos, log: CosmosLog, other_log: CosmosLog, tmp_path: Path, waits: bool, moment: str
) -> None:
    """Its checkpoint, and what is parked, are in the parts then, of which the process that copies has not learned."""
    rows = await place.open_rows()
    target = await connect(f"sqlite:///{tmp_path}/copy.db", Ambient())
    copy = await copying(other_log, target, [forwarding.follows])
    async with bank.open(log, read_store=rows) as running:
        for id_ in "abcdef":
            await deposited(log, id_, -1 if waits else 1, to=f"to {id_}")
        await running.settled(timeout_s=60)

        async def split() -> None:
            if len(list(feeds(log))) == len(list(feeds(other_log))):
                place.split(0)
                await log.refresh()
                await running.settled(timeout_s=60)
                checkpoints = await log.checkpoints.all_partitions(forwarding.follows)
                assert [one.follower.partition for one in checkpoints] == list(feeds(log))

        where, name = (
            (copy.imported, "keep") if moment == "the events are copied" else (other_log.checkpoints, "parked")
        )
        usual: Any = getattr(where, name)

        async def after_it_has_split(*args: Any) -> Any:
            await split()
            return await usual(*args)

        setattr(where, name, after_it_has_split)
        await copy.run(no_progress)
        setattr(where, name, usual)
    found = await target.checkpoints.read(forwarding.follows)
    assert found is not None
    assert found.position == (BEGINNING if waits else await target.head())
    await target.close()
    await rows.close()


async def test_a_reactor_that_has_begun_in_some_partitions_has_no_place_in_a_copy(
    place: InCosmos, log: CosmosLog, tmp_path: Path
) -> None:
    """As one that was killed when it began: the copy begins it as `start=` says, in all of them."""
    await deposited(log, "a", 1)
    place.split(0)
    await log.refresh()
    first, *_ = feeds(log)
    await log.checkpoints.register(forwarding.follows.in_partition(first), log.log_id, await log.parts[first].head())
    target = await connect(f"sqlite:///{tmp_path}/copy.db", Ambient())
    await (await copying(log, target, [forwarding.follows])).run(no_progress)
    assert await target.checkpoints.read(forwarding.follows) is None
    await target.close()


async def test_a_former_partition_is_read_as_before(place: InCosmos, log: LogStore) -> None:
    """Up to where it was left; the events are the same, at the same positions."""
    for n in range(30):
        await appended(log, f"note-{n}", n, n)
    before = {number: await all_of(feed) for number, feed in feeds(log).items()}
    heads = {number: await feed.head() for number, feed in feeds(log).items()}
    merged = await all_of(log)
    for number in list(feeds(log)):
        place.split(number - 1)
    for n in range(30):
        await appended(log, f"note-{n}", n)
    for number, entries in before.items():
        page = await feed_of(log, number).read(Position(number, 0), 1_000, None, heads[number])
        assert page.entries == entries
    assert (await all_of(log))[: len(merged)] == merged
    assert len(await all_of(log)) == 90
    late = await place.open_log()
    assert await all_of(late) == await all_of(log)
    await late.close()


async def test_an_append_after_a_split_that_cannot_be_learned_of_yet_is_stored(
    place: InCosmos, log: CosmosLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its receipt names the former partition; as soon as the ranges can be read, the next one names the part."""
    [before] = await commit(log, append("note-1", event("before")))
    assert isinstance(before, Receipt)
    place.split(before.position.partition - 1)

    async def away() -> NoReturn:
        raise Unavailable("the ranges cannot be read")

    with monkeypatch.context() as patch:
        patch.setattr(log._data, "ranges", away)
        [blind] = await commit(log, append("note-1", event("blind"), expected=1))
    assert isinstance(blind, Receipt)
    [seeing] = await commit(log, append("note-1", event("seeing"), expected=2))
    assert isinstance(seeing, Receipt)
    assert blind.position.partition == before.position.partition
    assert seeing.position.partition in parts_of(log, before.position.partition)
    assert await values(log) == ["before", "blind", "seeing"]
    rows = [entry for entry in await all_of(log) if entry.stream == "note-1"]
    assert [value(entry) for entry in rows] == ["before", "blind", "seeing"]


async def test_a_merge_is_refused(place: InCosmos, log: LogStore) -> None:
    """The events of two ranges in one have no order that a reader could go on in."""
    place.split(0)
    await appended(log, "note-1", "a")
    place.fault("merge", range=place.live()[0])
    with pytest.raises(ConfigurationError, match=r"merged feed ranges of partition \d+"):
        await place.open_log()


async def test_pages_that_come_twice_and_in_any_order(place: InCosmos, log: LogStore) -> None:
    """The documents of a batch have one LSN; a reader sees each event once, in order."""
    await commit(log, *(append(f"note-{n % 9}", event(n), event(n)) for n in range(60)))
    for range_ in place.live():
        place.fault("twice", range=range_, times=2)
        place.fault("shuffle", range=range_, times=2)
        place.fault("429", range=range_, times=2)
    for feed in feeds(log).values():
        seen = [(entry.stream, entry.version) for entry in await all_of(feed)]
        assert len(seen) == len(set(seen))
        for stream in {name for name, _ in seen}:
            versions = [version for name, version in seen if name == stream]
            assert versions == list(range(1, len(versions) + 1))
    assert len(await all_of(log)) == 120


async def test_g11_a_replica_that_is_behind_is_no_older_log(place: InCosmos, log: LogStore) -> None:
    """As when a worker takes over at once what another one has just moved, and is answered by another replica."""
    await appended(log, "note-1", "a", "b")
    for feed in feeds(log).values():
        head = await feed.head()
        for range_ in place.live():
            place.fault("old-replica", range=range_, times=2)
        assert (await feed.read(head, 10)).entries == []
        assert await feed.behind(head) == 0


async def test_g3_an_append_whose_answer_was_lost(place: InCosmos, log: LogStore) -> None:
    """Its outcome is learnt, and nothing is appended twice; a receipt without events is lost as well."""
    await appended(log, "note-1", "before")
    for command, found in (("lost", ["lost"]), ("nothing", [])):
        for range_ in place.live():
            place.fault("lose-answer", range=range_)
        [outcome] = await commit(log, append("note-1", *map(event, found), command_id=command))
        assert isinstance(outcome, Receipt)
        assert (outcome.version, outcome.events) == (2, len(found))
    assert await values(log) == ["before", "lost"]
    assert [value(entry) for entry in await all_of(log)] == ["before", "lost"]


async def test_g3_a_command_that_comes_between_two_requests_of_a_read_has_its_place(
    place: InCosmos, log: CosmosLog, other_log: LogStore
) -> None:
    """It is of a process that knows an older version, which is not read again, and has decided on no events."""
    note, late = Stream("note", "1"), await place.open_log()
    first = await appended(late, str(note), "a")
    for version in (1, 2):
        assert (await log.load(note, after=version - 1)).version == version
        await appended(other_log, str(note), "b")
    newer, seen = log._streams._newer, late._streams._tips.get(note)

    async def looked(*_: object) -> Any:
        return seen, None  # before the others

    late._streams._look = looked  # type: ignore[method-assign]

    async def interrupted(*arguments: Any) -> Any:
        assert isinstance((await commit(late, append(str(note), expected=1, command_id="between")))[0], Receipt)
        return await newer(*arguments)

    log._streams._newer = interrupted  # type: ignore[method-assign]
    found = await log.load(note, "between", after=2)
    assert ([value(one) for one in found.events], found.version) == (["b"], 3)
    assert found.receipt is not None
    assert (found.receipt.version, found.receipt.position) == (1, first.position)
    await late.close()


async def split_elsewhere(place: InCosmos, log: CosmosLog) -> tuple[int, CosmosLog, list[str]]:
    """A partition that has split unknown to this process, one that knows, and an id in each of its parts."""
    other, former = await place.open_log(), log.partition_of("a")
    assert isinstance(other, CosmosLog)
    await appended(log, "account-a", command_id="plain")
    place.split(former - 1)
    await other.refresh()
    parts = parts_of(other, former)
    return former, other, [next(f"{n}" for n in count() if other.partition_of(f"{n}") == part) for part in parts]


async def test_g10_catch_up_includes_what_is_in_parts_unknown_here(place: InCosmos, log: CosmosLog) -> None:
    async with bank.open(log, read_store=await place.open_rows(), work=False) as running:
        _, other, (busy, _) = await split_elsewhere(place, log)
        for _ in range(3):
            await deposited(other, busy, 1)
        assert len([one async for page in running.catch_up(balances) for one in page]) == 3


async def test_a_reactor_that_starts_now_in_parts_unknown_here(place: InCosmos, log: CosmosLog) -> None:
    _, other, (busy, _) = await split_elsewhere(place, log)
    await deposited(other, busy, 1, to="target")
    app = App("reacting", deciders=[accounts], reactors=[Reactor("forwarding", forward, start="now")])
    async with app.open(log, read_store=await place.open_rows()) as running:
        await running.settled(timeout_s=60)
        assert await running.history("account-target") == []


async def test_the_documents_of_ranges_that_end_apart(
    place: InCosmos, log: CosmosLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a page of one range goes further than that of the other, as its documents have more LSNs."""
    monkeypatch.setattr(cosmos_part, "MOST_DOCUMENTS", 4)
    former, other, ids = await split_elsewhere(place, log)
    streams = [f"note-{ids[1]}"] * 12
    for few in ([f"note-{ids[0]}"] * 3, [f"note{number}-{ids[0]}" for number in range(9)]):
        for number, stream in enumerate(few):
            await appended(other, stream, str(number))
        streams += few
    for number in range(12):
        await appended(other, streams[number], str(number))
    found = [(one["key"], one["id"]) for one in await log.parts[former].documents(None) if one["kind"] == "commit"]
    assert (len(found), len(set(found))) == (len(streams), len(streams))
