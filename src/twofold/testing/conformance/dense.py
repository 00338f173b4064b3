"""What logs of one partition promise beyond the rest: their events are numbered 1, 2, 3, …, in order of commit."""

from __future__ import annotations

import pytest

from twofold.backends.ports import LogStore
from twofold.errors import LogReplaced, VersionConflict
from twofold.messages import BEGINNING, Receipt, Stream
from twofold.testing.conformance.backend import OnBackend
from twofold.testing.conformance.material import all_of, append, appended, at, commit, event, offsets, value


class DenseConformance(OnBackend):
    """See `DenseFeed`."""

    async def test_g4_positions_number_the_events(self, log: LogStore) -> None:
        """Whatever stream they are of; an append of several has them side by side."""
        receipts = [
            await appended(log, "note-1", "a", "b", "c"),
            await appended(log, "note-2", "x"),
            await appended(log, "note-1", "d", "e"),
        ]
        assert [receipt.position for receipt in receipts] == [at(3), at(4), at(6)]
        entries = await log.read_stream(Stream("note", "1"), 1, 10)
        assert offsets(entries) == [1, 2, 3, 5, 6]
        assert (await log.load(Stream("note", "1"))).position == at(6)
        assert await log.head() == at(6)

    async def test_g4_what_is_refused_or_repeated_leaves_no_gap(self, log: LogStore) -> None:
        """Nor does a decision without events."""
        outcomes = await commit(
            log,
            append("note-2", event("before"), command_id="once"),
            append("note-1", event("first"), expected=0),
            append("note-1", event("second"), expected=0),
            append("note-2", event("again"), command_id="once"),
            append("note-3"),
            append("note-1", event("third"), expected=1),
        )
        assert isinstance(outcomes[2], VersionConflict)
        positions = [outcome.position for outcome in outcomes if isinstance(outcome, Receipt)]
        assert positions == [at(1), at(2), at(1), BEGINNING, at(3)]
        assert offsets(await all_of(log)) == [1, 2, 3]

    async def test_g4_the_feed_is_in_order_of_commit(self, log: LogStore) -> None:
        """The order holds between streams and within a batch, too."""
        for n in range(5):
            await commit(log, *(append(f"note-{k}", event((n, k, 1)), event((n, k, 2))) for k in range(3)))
        entries = await all_of(log)
        assert offsets(entries) == list(range(1, 31))
        assert [value(e) for e in entries] == [[n, k, i] for n in range(5) for k in range(3) for i in (1, 2)]

    async def test_g4_pages_end_at_an_event(self, log: LogStore) -> None:
        """A page's `upto` is the last event examined, wanted or not."""
        types = ["Noted", "Erased", "Noted", "Moved", "Erased", "Moved", "Moved"]
        await commit(log, append("note-1", *(event(n, name) for n, name in enumerate(types, start=1))))
        wanted = frozenset({"Noted", "Erased"})
        for after, limit, until, found, upto in (
            (0, 100, None, [1, 2, 3, 5], 7),
            (3, 2, None, [5], 5),
            (5, 2, None, [], 7),
            (7, 5, None, [], 7),
            (0, 100, 2, [1, 2], 2),
            (0, 100, 9, [1, 2, 3, 5], 7),
            (4, 100, 3, [], 4),
        ):
            page = await log.read(at(after), limit, wanted, None if until is None else at(until))
            assert (offsets(page.entries), page.upto) == (found, at(upto))

    async def test_positions_are_numbers_to_the_feed(self, log: LogStore) -> None:
        """Positions before an event, and distances; a position beyond the head belongs to another log (G11)."""
        await appended(log, "note-1", *range(1, 6))
        assert [log.before(at(n)) for n in (1, 5)] == [BEGINNING, at(4)]
        assert (await log.distance(at(1), at(4)), await log.behind(at(2)), await log.covering(at(3))) == (3, 3, at(3))
        with pytest.raises(LogReplaced, match="at 0:6, but the log ends at 0:5"):
            await log.read(at(6), 1)
