"""Copying: a copy equals the original, wherever it was interrupted, and existing data is never overwritten."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TypeVar

import msgspec
import pytest

from twofold.ambient import Ambient
from twofold.backends.memory import MemoryLog, MemoryReadStore
from twofold.backends.ports import LogStore
from twofold.errors import ConfigurationError, InvalidInput
from twofold.feed.checkpoints import FollowerId, Parked
from twofold.feed.feed import DenseFeed
from twofold.feed.partitions import feeds, partition_of
from twofold.messages import BEGINNING, Append, Encoded, Meta, Position, Receipt, Stream
from twofold.operate import copy as operated
from twofold.operate.copy import copying
from twofold.testing.conformance.backend import Backend, OnBackend
from twofold.testing.conformance.bank import Deposit, accounts, bank
from twofold.testing.conformance.checkpoints import claimed
from twofold.testing.conformance.material import (
    UNUSUAL_IDS,
    all_of,
    append,
    appended,
    at,
    commit,
    event,
    place_of,
    value,
    values,
)
from twofold.write.copies import Exports, Imports, KeptCommand

SPACED = '{ "value" :  1.50, "ключ": "\\u0041 🦊" }'.encode()  # decoding and encoding would change it


Store = TypeVar("Store", bound=LogStore)


class Stopped(Exception):
    """A place where a process might be killed."""


def silent(what: str, done: int, total: int) -> None:
    """A progress callback that shows nothing."""


def years_apart() -> Ambient:
    """A clock with times far apart, starting with the first year."""
    ticks = count()
    return Ambient(now=lambda: datetime(1, 1, 1, 0, 0, 0, 1, tzinfo=UTC) + timedelta(days=36_500.1 * next(ticks)))


async def filled(log: Store) -> Store:
    """Unusual names, times and JSON; several events at once; command ids without events."""
    for number, id_ in enumerate(UNUSUAL_IDS):
        await appended(log, f"note-{id_}", number, "again", command_id=id_)
    meta = Meta("command-1", "correlation-1", "order-7@3", "Zoë 🦊")
    await log.commit([Append(Stream("note", "1"), [Encoded("Noted.v2", 7, SPACED, None)], 0, meta)])
    await appended(log, "note-1", command_id="decided nothing")
    await appended(log, "note-1", "later")
    await appended(log, "note-none", command_id="on nothing")
    return log


async def same(one: LogStore, other: LogStore) -> None:
    """Both logs have the same content, except positions and the id of the log."""
    assert isinstance(one, Exports)
    assert isinstance(other, Exports)
    ours, theirs = [await all_of(log) for log in (one, other)]
    assert [_as_bytes(entry) for entry in ours] == [_as_bytes(entry) for entry in theirs]
    ids = [await log.exporting.commands(await log.head(), None, 10_000) for log in (one, other)]
    assert sorted(ids[0], key=str) == sorted(ids[1], key=str)
    assert one.log_id != other.log_id


async def places_of(log: LogStore, notes: int) -> list[Position]:
    """In each partition, the place of the last event of the first `notes` notes, which have one event each."""
    last = {number: Position(number, 0) for number in feeds(log)}
    for n in range(notes):
        last[partition_of(log, str(n))] = await place_of(log, f"note-{n}@1")
    return list(last.values())


def _as_bytes(entry: object) -> object:
    raw = {name: _encoded(getattr(entry, name)) for name in ("data", "meta")}
    return msgspec.structs.replace(entry, position=BEGINNING, **raw)  # type: ignore[type-var]


def _encoded(json: str | bytes) -> bytes:
    return json.encode() if isinstance(json, str) else json


of_copies = pytest.mark.usefixtures("able")  # on each test: a mark on the class would be inherited by all parts


class CopyConformance(OnBackend):
    """See `Import` and `Export`: from memory to this store, and back."""

    @pytest.fixture
    def able(self, log: LogStore, monkeypatch: pytest.MonkeyPatch) -> None:
        """Skipped if the store can neither be copied nor hold a copy. Pages are small."""
        if not isinstance(log, Imports) or not isinstance(log, Exports):
            pytest.skip("this store neither is copied nor holds a copy")
        monkeypatch.setattr(operated, "EVENTS_AT_ONCE", 5)
        monkeypatch.setattr(operated, "COMMANDS_AT_ONCE", 3)

    @of_copies
    async def test_a_copy_of_a_copy_is_the_original(self, log: LogStore) -> None:
        """There and back: the same events byte for byte, times and command ids; each has its own log id."""
        original, back = await filled(MemoryLog(years_apart())), MemoryLog()
        there, again = await copying(original, log), await copying(log, back)
        ended = await there.run(silent)
        first, second = await there.contents(ended, silent)
        await again.run(silent)
        await same(original, log)
        await same(original, back)
        assert ended.upto == await original.head()
        assert (first, first.checksum) == (second, second.checksum)
        assert first.commands == len(UNUSUAL_IDS) + 4

    @of_copies
    async def test_g3_command_ids_are_known_in_the_copy(self, log: LogStore) -> None:
        """A repeated command gets its first result there, even one without events; new ones are accepted."""
        original = await filled(MemoryLog())
        await (await copying(original, log)).run(silent)
        for stream, id_ in (("note-1", "decided nothing"), ("note-none", "on nothing"), ("note-日本語", "日本語")):
            was = await appended(original, stream, "x", command_id=id_)
            now = await appended(log, stream, "x", command_id=id_)
            at_ = await place_of(log, f"{stream}@{now.version}") if now.version else Position(now.position.partition, 0)
            assert now == msgspec.structs.replace(was, log_id=log.log_id, position=at_)
            assert now.repeated
        assert (await appended(log, "note-1", "new")).version == 3

    @of_copies
    async def test_g3_commands_of_one_moment_stay_apart_in_the_copy(self, log: LogStore) -> None:
        """Of one stream, as after an import: each with its events, its id, and who asked for it."""
        original = MemoryLog(Ambient(now=lambda: datetime(2026, 1, 1, tzinfo=UTC)))
        metas = [Meta(f"command {n}", "together", None, f"actor {n}") for n in range(6)]
        for n, meta in enumerate(metas):
            events = [event(f"{n}.{k}") for k in range(1 + n % 2)]
            [outcome] = await original.commit([Append(Stream("note", "1"), events, None, meta)])
            assert isinstance(outcome, Receipt)
        await (await copying(original, log)).run(silent)
        await same(original, log)
        for meta in metas:
            was, now = [await appended(one, "note-1", "x", command_id=meta.command_id) for one in (original, log)]
            assert (now.version, now.events, now.repeated) == (was.version, was.events, True)

    @of_copies
    async def test_what_is_stopped_anywhere_goes_on(self, log: LogStore) -> None:
        """Interrupted after each page in turn: nothing twice, nothing missing."""
        original = await filled(MemoryLog())
        for last in (1, 1, 2, 4, 4):
            pages = count(1)

            def stop(what: str, done: int, total: int, last: int = last, pages: count[int] = pages) -> None:
                if next(pages) == last:
                    raise Stopped

            with pytest.raises(Stopped):
                await (await copying(original, log)).run(stop)
            assert isinstance(log, Imports)
            copied = await log.importing.copied()
            assert copied is not None
            assert not copied.ended
        await (await copying(original, log)).run(silent)
        await same(original, log)

    @of_copies
    async def test_what_is_appended_meanwhile_is_copied_too(self, log: LogStore) -> None:
        """A copy goes up to the head that it sees at the end; a later run continues from there."""
        original = await filled(MemoryLog())
        others: list[asyncio.Task[Receipt]] = []

        def meanwhile(what: str, done: int, total: int) -> None:
            if what == "events" and len(others) < 3:
                others.append(asyncio.create_task(appended(original, "note-1", "meanwhile")))

        ended = await (await copying(original, log)).run(meanwhile)
        assert all(other.done() for other in others)
        assert ended.upto == await original.head()
        await same(original, log)
        await appended(original, "note-1", "later", command_id="later")
        await appended(original, "note-1", command_id="later nothing")
        await (await copying(original, log)).run(silent)
        await same(original, log)

    @of_copies
    async def test_two_copies_at_once_are_one(self, log: LogStore, other_log: LogStore) -> None:
        """Each page is stored once; a process that is too late reports it, or has nothing left to do."""
        original = await filled(MemoryLog())
        copies = [await copying(original, log), await copying(original, other_log)]
        outcomes = await asyncio.gather(*(copy.run(silent) for copy in copies), return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} <= {operated.Ended, InvalidInput}
        await (await copying(original, log)).run(silent)
        await same(original, log)

    @of_copies
    async def test_what_comes_again_is_taken_once(self, log: LogStore) -> None:
        """As after a response that was lost: each page, and the command ids."""
        original = await filled(MemoryLog())
        assert isinstance(log, Imports)
        imported, source, after = log.importing, original.log_id, BEGINNING
        await imported.begin(source, [after])
        while (page := await original.read(after, 7)).upto != after:
            for _ in range(2):
                await imported.take(source, after, page.upto, page.entries)
            after = page.upto
        for _ in range(2):
            await imported.keep(source, await original.exporting.commands(after, None, 1_000))
        await imported.end(source)
        await same(original, log)

    @of_copies
    async def test_command_ids_are_given_up_to_a_place(self, log: LogStore) -> None:
        """Those of later events would be ids in a copy without the events."""
        assert isinstance(log, Exports)
        for command_id in "ab":
            await appended(log, "note-1", command_id, command_id=command_id)
        await all_of(log)
        place = await log.head()
        for stream in ("note-1", "note-2"):
            await appended(log, stream, "c", command_id="c")
        await all_of(log)
        assert {one.command_id for one in await log.exporting.commands(place, None, 100)} == {"a", "b"}

    @of_copies
    async def test_nothing_is_copied_over_what_is_there(self, log: LogStore) -> None:
        """A different log, with events or with command ids alone, is refused and stays as it is."""
        original = await filled(MemoryLog())
        await appended(log, "note-1", command_id="nothing")
        with pytest.raises(InvalidInput, match="already holds events or commands of its own: copy to an empty store"):
            await (await copying(original, log)).run(silent)
        assert await log.head() == BEGINNING
        with pytest.raises(InvalidInput, match="both URLs lead to log"):
            await copying(log, log)

    @of_copies
    async def test_a_copy_goes_on_from_its_own_original_alone(self, log: LogStore) -> None:
        """Another source is refused, and so is a copy that has been appended to."""
        original = await filled(MemoryLog())
        await (await copying(original, log)).run(silent)
        with pytest.raises(InvalidInput, match=f"it is a copy of log {original.log_id}, not of "):
            await (await copying(MemoryLog(), log)).run(silent)
        await appended(log, "note-1", "its own")
        with pytest.raises(InvalidInput, match="something was appended to it since it was copied"):
            await (await copying(original, log)).run(silent)

    @of_copies
    async def test_a_copy_that_was_never_begun_neither_goes_on_nor_ends(self, log: LogStore) -> None:
        """Nor one that has ended, or that another process has begun from another source."""
        assert isinstance(log, Imports)
        copied, source, other = log.importing, "a" * 16, "b" * 16
        for begun, ended in ((None, source), (source, other), (source, source)):
            if begun is not None:
                await copied.begin(begun, [BEGINNING])
            if begun == ended:
                await copied.end(begun)
            with pytest.raises(InvalidInput, match="another process"):
                await copied.end(ended)

    @of_copies
    async def test_a_page_that_does_not_follow_is_refused(self, log: LogStore) -> None:
        """It is from before or from beyond what was copied, or something was appended since: nothing changes."""
        assert isinstance(log, Imports)
        original, source, copied = MemoryLog(), "a" * 16, log.importing
        await appended(original, "note-1", 0, 1, 2)
        entries = await all_of(original)
        await copied.begin(source, [BEGINNING])
        await copied.take(source, BEGINNING, at(10), entries[:1])
        for after in (BEGINNING, at(9), at(11), at(10, 1)):
            with pytest.raises(InvalidInput, match="another process is copying"):
                await copied.take(source, after, at(30), entries[1:2])
        assert await values(log) == [0]
        await appended(log, "note-1", "its own")
        changes: list[Callable[[], Awaitable[object]]] = [
            lambda: copied.begin(source, [BEGINNING]),
            lambda: copied.take(source, at(10), at(20), entries[1:2]),
            lambda: copied.take(source, at(10), at(30), entries[1:]),
        ]
        if isinstance(log, DenseFeed):  # others notice it when the copy is begun again
            changes += [
                lambda: copied.keep(source, [KeptCommand("note-1", "again", 1, 1)]),
                lambda: copied.end(source),
            ]
        for change in changes:
            with pytest.raises(InvalidInput, match="something was appended to it since it was copied"):
                await change()
        assert await values(log) == [0, "its own"]

    @of_copies
    async def test_positions_of_the_source_may_have_gaps(self, log: LogStore) -> None:
        """The copy goes on from those of the source, and its events have positions of their own."""
        assert isinstance(log, Imports)
        original, source = MemoryLog(), "a" * 16
        await commit(original, *(append(f"note-{n}", event(n)) for n in range(3)))
        entries = await all_of(original)
        copied = log.importing
        await copied.begin(source, [BEGINNING])
        await copied.take(source, BEGINNING, at(50), entries[:2])
        assert [place.offset for place in (await copied.begin(source, [BEGINNING])).upto] == [50]
        await copied.take(source, at(50), at(70), entries[2:])
        await copied.end(source)
        assert sorted(map(value, await all_of(log))) == [0, 1, 2]

    @of_copies
    @pytest.mark.parametrize("order", [(0, 1, 0), (1, 0, 1), (0, 1, 1, 0, 0), (1, 1, 0)])
    async def test_the_partitions_of_a_source_come_in_any_order(self, log: LogStore, order: Sequence[int]) -> None:
        """A page of one goes on after one of the other; what was taken from each is known for itself."""
        assert isinstance(log, Imports)
        original, source, copied = MemoryLog(), "a" * 16, log.importing
        await commit(original, *(append(f"note-{n}", event(n)) for n in range(len(order))))
        entries = await all_of(original)
        upto = [Position(0, 0), Position(1, 0)]
        await copied.begin(source, upto)
        for number, partition in enumerate(order):
            after, to = upto[partition], Position(partition, upto[partition].offset + 10)
            for _ in range(2):  # the second one as after a response that was lost
                await copied.take(source, after, to, entries[number : number + 1])
            upto[partition] = to
            assert list((await copied.begin(source, [Position(0, 0), Position(1, 0)])).upto) == upto
        await copied.end(source)
        assert sorted(map(value, await all_of(log))) == [*range(len(order))]
        with pytest.raises(InvalidInput, match="another process"):
            await copied.take(source, upto[0], Position(0, 99), [])

    @of_copies
    async def test_an_unfinished_copy_is_not_opened(self, log: LogStore) -> None:
        """Nor copied: commands would be decided on half of the log. Once finished, it can be."""
        original = MemoryLog()
        async with bank.open(original, read_store=MemoryReadStore()) as running:
            done = await running.execute(accounts, "a", Deposit(5), command_id="once")
        copy = await copying(original, log)
        await copy.imported.begin(original.log_id, [BEGINNING])
        with pytest.raises(ConfigurationError, match=r"holds an unfinished copy of log .*: run the same"):
            async with bank.open(log, read_store=MemoryReadStore()):
                pytest.fail("it was opened")
        with pytest.raises(ConfigurationError, match="an unfinished copy"):
            await copying(log, MemoryLog())
        await copy.run(silent)
        async with bank.open(log, read_store=MemoryReadStore()) as running:
            again = await running.execute(accounts, "a", Deposit(5), command_id="once")
        assert isinstance(again.receipt, Receipt)
        assert (again.receipt.repeated, again.receipt.version) == (True, done.receipt.version)

    @of_copies
    async def test_an_event_that_the_store_refuses_is_named(self, log: LogStore, backend: Backend) -> None:
        """The others of its page are copied; the error names the one that is left out, and why."""
        if backend.refuses is None:
            pytest.skip("this backend takes whatever the engine lets pass")
        original = await filled(MemoryLog())
        bad = Encoded("Noted", 1, backend.refuses, None)
        await original.commit([append("note-1", event("good"), bad, event("good"))])
        with pytest.raises(InvalidInput, match="the target cannot store event note-1@4 at 0:"):
            await (await copying(original, log)).run(silent)
        assert (await log.load(Stream("note", "1"))).version == 3

    @of_copies
    async def test_a_reactor_stands_in_the_copy_where_it_stood(self, log: LogStore) -> None:
        """Before what waits for it. A later run takes it further, but never back, or it would repeat what it has done
        in the copy meanwhile. One that has no place in the source gets none.
        """
        original, mails = MemoryLog(), FollowerId("mails")
        for n in range(7):
            await appended(original, f"note-{n}", n)
        await original.checkpoints.register(mails, original.log_id, BEGINNING)
        claim = await claimed(original.checkpoints, mails)
        waiting = Parked("stream", "note-3", at(4), "it failed", datetime(2024, 1, 1, tzinfo=UTC))
        await original.checkpoints.advance(claim, BEGINNING, at(5), [waiting])
        of_another = FollowerId("of_another_log")
        await original.checkpoints.register(of_another, "f" * 16, at(2))
        reactors = [mails, FollowerId("never_run"), of_another]
        await (await copying(original, log, reactors)).run(silent)
        for reactor, handled in zip(reactors, (3, None, None), strict=True):
            found = await log.checkpoints.all_partitions(reactor)
            places = [] if handled is None else await places_of(log, handled)
            assert [(row.log_id, row.position, row.owner) for row in found] == [(log.log_id, a, None) for a in places]
        await original.checkpoints.advance(claim, at(5), at(6), unparked=[waiting])
        await (await copying(original, log, reactors)).run(silent)
        again = await log.checkpoints.all_partitions(mails)
        assert [(row.position, row.owner) for row in again] == [(place, None) for place in await places_of(log, 6)]
        further = await places_of(log, 7)
        for row, place in zip(again, further, strict=True):
            claim = await claimed(log.checkpoints, row.follower)
            await log.checkpoints.advance(claim, row.position, place)
            await log.checkpoints.release(claim)
        await (await copying(original, log, reactors)).run(silent)
        assert [row.position for row in await log.checkpoints.all_partitions(mails)] == further

    @of_copies
    async def test_a_reactor_that_goes_on_meanwhile_stands_where_the_copy_ends(self, log: LogStore) -> None:
        """It has handled what the copy does not have yet."""
        original, mails = MemoryLog(), FollowerId("mails")
        for n in range(3):
            await appended(original, f"note-{n}", n)
        await original.checkpoints.register(mails, original.log_id, BEGINNING)
        claim = await claimed(original.checkpoints, mails)

        class GoesOn:
            """Gives the command ids of the original, after it and its reactor have gone on."""

            async def commands(self, upto: Position, after: KeptCommand | None, limit: int) -> Sequence[KeptCommand]:
                if after is None:
                    await appended(original, "note-3", 3)
                    await original.checkpoints.advance(claim, BEGINNING, at(4))
                return await original.exporting.commands(upto, after, limit)

        copy = await copying(original, log, [mails])
        await replace(copy, export=GoesOn()).run(silent)
        assert [row.position for row in await log.checkpoints.all_partitions(mails)] == await places_of(log, 3)
        await copy.run(silent)
        assert [row.position for row in await log.checkpoints.all_partitions(mails)] == await places_of(log, 4)
