"""The log: G1, G2, G3, and that every valid name and value is read back unchanged."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from twofold.backends.ports import LogStore
from twofold.errors import VersionConflict
from twofold.feed.checkpoints import FollowerId
from twofold.feed.partitions import feeds
from twofold.messages import BEGINNING, Append, Meta, Position, Receipt, Stream
from twofold.testing.conformance.backend import Backend, OnBackend
from twofold.testing.conformance.material import (
    UNUSUAL_IDS,
    Places,
    all_of,
    append,
    appended,
    at,
    commit,
    event,
    own_feed,
    place_of,
    value,
    values,
)

NOTE = Stream("note", "1")


class LogConformance(OnBackend):
    """See `Log`."""

    # ---- G1: all or nothing, and durable

    async def test_g1_several_events_enter_together(self, log: LogStore) -> None:
        """An append of several events is atomic: they are adjacent in the stream and in the feed."""
        first = await appended(log, "note-1", "a", "b", "c")
        second = await appended(log, "note-2", "x")
        third = await appended(log, "note-1", "d", "e")
        entries = await log.read_stream(NOTE, 1, 10)
        assert [(e.version, value(e)) for e in entries] == list(enumerate("abcde", start=1))
        assert [(r.version, r.events, r.position) for r in (first, second, third)] == [
            (3, 3, entries[2].position),
            (1, 1, await place_of(log, "note-2@1")),
            (5, 2, entries[4].position),
        ]
        a, b, c, d, e = (await Places.of(own_feed(log, "1"))).numbers(entries)
        assert (b, c, e) == (a + 1, a + 2, d + 1)
        assert c < d
        assert [value(one) for one in await all_of(log) if one.stream == "note-1"] == list("abcde")
        loaded = await log.load(NOTE)
        assert ([value(e) for e in loaded.events], loaded.version) == (list("abcde"), 5)
        assert loaded.position == third.position

    async def test_g1_a_refused_append_leaves_nothing(self, log: LogStore) -> None:
        """A refused append changes neither the stream nor the feed, and its command id stays unknown."""
        refused = append("note-1", event("a"), event("b"), expected=3, command_id="again")
        assert isinstance((await commit(log, refused))[0], VersionConflict)
        loaded = await log.load(NOTE, "again")
        assert (loaded.version, list(loaded.events), loaded.receipt) == (0, [], None)
        assert loaded.position == Position(own_feed(log, "1").partition, 0)
        assert await log.behind(BEGINNING) == 0
        assert (await appended(log, "note-1", "c", command_id="again")).repeated is False

    async def test_g1_all_is_there_after_reopening(self, backend: Backend) -> None:
        """Events, receipts and the id of the log outlive the process that wrote them."""
        log = await backend.open_log()
        receipts = [await appended(log, f"note-{n % 3}", n, command_id=f"c{n}") for n in range(9)]
        before = await log.read(BEGINNING, 100)
        log_id = log.log_id
        await log.close()

        log = await backend.open_log()
        try:
            assert log.log_id == log_id
            assert await log.read(BEGINNING, 100) == before
            assert await log.head() == before.upto
            assert await log.behind(BEGINNING) == 9
            for n, receipt in enumerate(receipts):
                known = (await log.load(receipt.stream, f"c{n}")).receipt
                assert known == msgspec.structs.replace(receipt, repeated=True)
            assert (await appended(log, "note-1", "next")).version == 4
        finally:
            await log.close()

    async def test_g1_the_log_has_one_name_for_all(self, log: LogStore, other_log: LogStore) -> None:
        """16 hex digits, generated once."""
        assert log.log_id == other_log.log_id
        assert len(log.log_id) == 16
        assert int(log.log_id, 16) >= 0

    async def test_g11_a_log_can_be_given_a_new_name(self, log: LogStore, backend: Backend) -> None:
        """After an older copy was restored: tokens of the old log are refused, its reactors continue.

        A command that is sent again gets a token of the log as it is called now.
        """
        follows = FollowerId("reactor")
        await log.checkpoints.register(follows, log.log_id, at(3))
        before = log.log_id
        await appended(log, "note-1", "a", command_id="once")
        await log.new_id()
        assert log.log_id != before
        again = await appended(log, "note-1", "a", command_id="once")
        assert (again.repeated, again.log_id) == (True, log.log_id)
        known = (await log.load(NOTE, "once")).receipt
        assert known is not None
        assert known.log_id == log.log_id
        reopened = await backend.open_log()
        try:
            assert reopened.log_id == log.log_id
            checkpoint = await reopened.checkpoints.read(follows)
            assert checkpoint is not None
            assert (checkpoint.log_id, checkpoint.position) == (log.log_id, at(3))
        finally:
            await reopened.close()

    # ---- G2: the expected version

    async def test_g2_the_second_of_two_is_told(self, log: LogStore) -> None:
        """One wins; the other gets stream, expected and actual version."""
        await appended(log, "note-1", "a", "b")
        [won] = await commit(log, append("note-1", event("c"), event("d"), expected=2))
        [lost] = await commit(log, append("note-1", event("x"), expected=2))
        assert isinstance(won, Receipt)
        assert isinstance(lost, VersionConflict)
        assert (lost.stream, lost.expected, lost.actual) == (NOTE, 2, 4)
        assert await values(log) == ["a", "b", "c", "d"]

    async def test_g2_in_one_batch_the_first_wins_and_strangers_are_not_hurt(self, log: LogStore) -> None:
        """An append sees those before it in its batch; a conflict affects only itself.

        Each gets the version and the position of its own stream, also if it has no events.
        """
        await commit(log, append("note-2", event("a"), event("b"), event("c")))
        await commit(log, append("note-3", event("d")))
        outcomes = await commit(
            log,
            append("note-2", event("before"), expected=3),
            append("note-1", event("first"), expected=0),
            append("note-1", event("second"), expected=0),
            append("note-1", event("third"), expected=1),
            append("note-3", event("after"), expected=1),
            append("note-2", expected=4),
        )
        assert [type(o) for o in outcomes] == [Receipt, Receipt, VersionConflict, Receipt, Receipt, Receipt]
        assert await values(log) == ["first", "third"]
        assert sorted(map(value, await all_of(log))) == sorted([*"abcd", "before", "first", "third", "after"])
        receipts = [one for one in outcomes if isinstance(one, Receipt)]
        assert [one.version for one in receipts] == [4, 1, 2, 2, 4]
        for one in receipts:
            assert one.position == await place_of(log, f"{one.stream}@{one.version}")

    @pytest.mark.parametrize(("there", "expected"), [(0, 1), (2, 0), (2, 1), (2, 3), (2, 2**40)])
    async def test_g2_any_other_version_is_a_conflict(self, log: LogStore, there: int, expected: int) -> None:
        """Too low or too high; 0 says that the stream must not exist."""
        if there:
            await appended(log, "note-1", *range(there))
        [outcome] = await commit(log, append("note-1", event(), expected=expected))
        assert isinstance(outcome, VersionConflict)
        assert (outcome.expected, outcome.actual) == (expected, there)

    async def test_g2_none_is_not_checked(self, log: LogStore) -> None:
        """An append without an expected version always succeeds."""
        assert [(await appended(log, "note-1", n)).version for n in range(3)] == [1, 2, 3]

    async def test_g2_across_processes_one_wins(self, log: LogStore, other_log: LogStore) -> None:
        """In each of many rounds, exactly one of the appends that expect a version succeeds."""
        for version in range(10):
            attempts = [
                (log if n % 2 else other_log).commit([append("note-1", event(n), expected=version)]) for n in range(6)
            ]
            outcomes = [outcome for [outcome] in await asyncio.gather(*attempts)]
            assert sum(isinstance(outcome, Receipt) for outcome in outcomes) == 1
            assert all(o.actual == version + 1 for o in outcomes if isinstance(o, VersionConflict))
        assert (await log.load(NOTE)).version == 10

    async def test_g2_an_append_of_nothing_expects_a_version_too(self, log: LogStore, other_log: LogStore) -> None:
        """Whatever this process knows of the stream."""
        await appended(log, "note-1", "a")
        await appended(other_log, "note-1", "b", "c")
        [refused], [taken] = [
            await commit(log, append("note-1", expected=expected, command_id="nothing")) for expected in (1, 3)
        ]
        assert isinstance(refused, VersionConflict)
        assert isinstance(taken, Receipt)
        assert refused.actual == taken.version == 3

    # ---- G3: the command id

    async def test_g3_the_same_id_gets_the_same_receipt(self, log: LogStore) -> None:
        """Whatever the current version, the expected version and the events: nothing is appended."""
        first = await appended(log, "note-1", "a", "b", command_id="once")
        await appended(log, "note-1", "c")
        again = await commit(
            log,
            append("note-1", event("a"), event("b"), expected=0, command_id="once"),
            append("note-1", event("else"), expected=17, command_id="once"),
            append("note-1", expected=None, command_id="once"),
        )
        assert again == [msgspec.structs.replace(first, repeated=True)] * 3
        assert await values(log) == ["a", "b", "c"]

    async def test_g3_the_id_is_known_to_whoever_loads(self, log: LogStore, other_log: LogStore) -> None:
        """Stream and receipt come from one lookup, in every process."""
        first = await appended(log, "note-1", "a", command_id="once")
        await appended(log, "note-1", "b")
        loaded = await other_log.load(NOTE, "once")
        assert loaded.receipt == msgspec.structs.replace(first, repeated=True)
        assert loaded.version == 2
        assert (await other_log.load(NOTE, "never")).receipt is None
        assert (await other_log.load(NOTE)).receipt is None

    async def test_g3_an_empty_decision_keeps_its_id(self, log: LogStore) -> None:
        """No event, but the result is kept: the original version and position."""
        await appended(log, "note-1", "a")
        empty = await appended(log, "note-1", command_id="nothing")
        assert (empty.version, empty.events, empty.repeated) == (1, 0, False)
        assert empty.position == await place_of(log, "note-1@1")
        await appended(log, "note-1", "b")
        again = await appended(log, "note-1", "now", "something", command_id="nothing")
        assert again == msgspec.structs.replace(empty, repeated=True)
        assert await values(log) == ["a", "b"]

    async def test_g3_an_empty_decision_on_a_stream_that_does_not_exist(self, log: LogStore) -> None:
        """It is not created."""
        empty = await appended(log, "note-1", command_id="nothing")
        assert (empty.version, empty.events) == (0, 0)
        assert empty.position == Position(own_feed(log, "1").partition, 0)
        assert (await commit(log, append("note-1", expected=1)))[0].__class__ is VersionConflict
        assert (await appended(log, "note-1", "a")).version == 1
        again = await appended(log, "note-1", "b", command_id="nothing")
        assert again == msgspec.structs.replace(empty, repeated=True)

    async def test_g3_a_duplicate_beside_its_original(self, log: LogStore) -> None:
        """In one batch the first is stored, and the second gets its receipt."""
        first, second, stranger = await commit(
            log,
            append("note-1", event("a"), expected=0, command_id="once"),
            append("note-1", event("a"), expected=0, command_id="once"),
            append("note-2", event("b"), expected=0),
        )
        assert isinstance(first, Receipt)
        assert second == msgspec.structs.replace(first, repeated=True)
        assert isinstance(stranger, Receipt)
        assert stranger.position == await place_of(log, "note-2@1")
        assert await values(log) == ["a"]

    async def test_g3_on_another_stream_the_id_is_another(self, log: LogStore) -> None:
        """A command id is only unique together with its stream."""
        streams = ("note-1", "note-2", "memo-1")
        receipts = [await appended(log, stream, stream, command_id="once") for stream in streams]
        assert not any(receipt.repeated for receipt in receipts)
        assert [receipt.position for receipt in receipts] == [await place_of(log, f"{stream}@1") for stream in streams]

    async def test_g3_the_same_id_at_the_same_time(self, log: LogStore, other_log: LogStore) -> None:
        """Sent at once through two processes, it is stored once, and both get its receipt."""
        for n in range(10):
            attempts = [
                store.commit([append("note-1", event(n), command_id=f"once {n}")]) for store in (log, other_log, log)
            ]
            outcomes = [outcome for [outcome] in await asyncio.gather(*attempts)]
            receipts = [outcome for outcome in outcomes if isinstance(outcome, Receipt)]
            assert sorted(receipt.repeated for receipt in receipts) == [False, True, True]
            assert len({msgspec.structs.replace(receipt, repeated=True) for receipt in receipts}) == 1
        assert await values(log) == list(range(10))

    # ---- what is read is what was written

    async def test_a_stream_is_read_in_part(self, log: LogStore) -> None:
        """`last` and `from_version` read a part; the version is still that of the whole stream."""
        await appended(log, "note-2", "stranger")
        await appended(log, "note-1", *range(1, 8))
        beginning, end = Position(own_feed(log, "1").partition, 0), await place_of(log, "note-1@7")
        last = await log.load(NOTE, last=2)
        assert (last.version, last.position, [value(e) for e in last.events]) == (7, end, [6, 7])
        assert [value(e) for e in (await log.load(NOTE, last=100)).events] == list(range(1, 8))
        since = await log.load(NOTE, after=5)
        assert (since.version, since.position, [value(e) for e in since.events]) == (7, end, [6, 7])
        newest = await log.load(NOTE, last=1, after=5)
        assert (newest.version, newest.position, [value(e) for e in newest.events]) == (7, end, [7])
        nothing_since = await log.load(NOTE, after=7)
        assert (nothing_since.version, nothing_since.position, list(nothing_since.events)) == (7, beginning, [])
        assert [value(e) for e in await log.read_stream(NOTE, 3, 2)] == [3, 4]
        assert [e.version for e in await log.read_stream(NOTE, 6, 100)] == [6, 7]
        assert list(await log.read_stream(NOTE, 8, 100)) == []
        assert list(await log.read_stream(NOTE, 1, 0)) == []
        assert list(await log.read_stream(Stream("note", "none"), 1, 100)) == []
        none = await log.load(Stream("note", "none"), last=1)
        assert (none.version, none.position.is_beginning, list(none.events)) == (0, True, [])

    async def test_an_entry_is_whole(self, log: LogStore) -> None:
        """All metadata of an event is returned with it; its time is UTC and never decreases."""
        meta = Meta("command-1", "correlation-1", "order-7@3", "Zoë 🦊")
        begun = datetime.now(UTC)
        await log.commit([Append(NOTE, [event("a", "Noted.v2", 7)], 0, meta)])
        await appended(log, "note-1", "b")
        first, second = await all_of(own_feed(log, "1"))
        assert (first.stream, first.version, first.type, first.schema) == (
            "note-1",
            1,
            "Noted.v2",
            7,
        )
        assert msgspec.json.decode(first.meta, type=Meta) == meta
        assert first.recorded_at.utcoffset() == timedelta(0)
        assert begun - timedelta(milliseconds=1) <= first.recorded_at <= second.recorded_at
        assert list(await log.read_stream(NOTE, 1, 10)) == [first, second]
        for whole, own in zip(await all_of(log), (first, second), strict=True):
            assert msgspec.structs.replace(whole, position=own.position) == own
        assert [tuple(stored) for stored in (await log.load(NOTE)).events] == [
            (entry.type, entry.schema, entry.data) for entry in (first, second)
        ]

    async def test_times_do_not_go_back_whoever_appends(self, log: LogStore, other_log: LogStore) -> None:
        """One event or several, alone or in a batch, through two processes: in the order of the feed."""
        batches = [[append(f"note-{n}", *(event(k) for k in range(1 + n % 3)))] * (1 + n % 2) for n in range(30)]
        await asyncio.gather(*((log, other_log)[n % 2].commit(batch) for n, batch in enumerate(batches)))
        of_each = [[entry.recorded_at for entry in await all_of(feed)] for feed in (*feeds(log).values(), log)]
        expected = sum(len(batch[0].events) for batch in batches)  # the second of a batch is a repetition
        assert (sum(map(len, of_each[:-1])), len(of_each[-1])) == (expected, expected)
        assert of_each == [sorted(times) for times in of_each]

    @pytest.mark.parametrize(
        "written",
        [
            "",
            '日本語 👩‍👩‍👧 שלום e\u0301 \u2028 \u200f \\ " \t\n',
            -(2**63),
            2**63 - 1,
            0.1,
            1e300,
            "12345678901234567890.123456789012345678901234567890",
            [None, True, {"": {"a": []}}],
            {"ключ": 1, "b": 2, "a": 3},
        ],
        ids=repr,
    )
    async def test_json_comes_back(self, log: LogStore, written: object) -> None:
        """Text in every script, the largest numbers and nested values are stored unchanged."""
        await appended(log, "note-1", written)
        assert await values(log) == [written]

    async def test_unusual_ids_are_names_like_any_other(self, log: LogStore, other_log: LogStore) -> None:
        """No character of a stream or command id is special to the store, and no two are treated as equal."""
        places = []
        for number, id_ in enumerate(UNUSUAL_IDS):
            receipt = await appended(log, f"note-{id_}", number, command_id=id_)
            assert (receipt.version, receipt.repeated) == (1, False)
            places.append(receipt.position)
        for number, id_ in enumerate(UNUSUAL_IDS):
            stream = Stream("note", id_)
            loaded = await other_log.load(stream, id_)
            assert ([value(e) for e in loaded.events], loaded.version, loaded.position) == ([number], 1, places[number])
            assert loaded.receipt is not None
            assert (loaded.receipt.stream, loaded.receipt.position) == (stream, places[number])
            [entry] = await other_log.read_stream(stream, 1, 10)
            assert (entry.stream, value(entry), entry.position) == (str(stream), number, places[number])

    async def test_an_event_of_a_mebibyte(self, log: LogStore) -> None:
        """Large payloads are stored and returned whole."""
        text = "0123456789abcdeß" * 65_536
        await appended(log, "note-1", text, "small")
        assert await values(log) == [text, "small"]

    async def test_an_append_of_5000_events(self, log: LogStore) -> None:
        """Together: everything, in order."""
        receipt = await appended(log, "note-1", *range(5_000))
        assert (receipt.version, receipt.events) == (5_000, 5_000)
        assert receipt.position == await place_of(log, "note-1@5000")
        assert await values(log) == list(range(5_000))

    async def test_thousands_of_streams(self, log: LogStore) -> None:
        """Each has its own version, whatever happens to the others."""
        ids = range(3_000)
        for round_ in (1, 2):
            outcomes = await commit(log, *(append(f"note-{n}", event((n, round_)), expected=round_ - 1) for n in ids))
            assert {outcome.version for outcome in outcomes if isinstance(outcome, Receipt)} == {round_}
            assert len(outcomes) == len(ids)
        for n in (0, 1, 1_499, 2_999):
            assert await values(log, f"note-{n}") == [[n, 1], [n, 2]]
        assert await log.behind(BEGINNING) == 6_000
