"""The limits that a log declares: a value of exactly this size is stored, one larger by one is refused."""

from __future__ import annotations

import pytest

from twofold.backends.ports import LogStore
from twofold.errors import InvalidEvent
from twofold.messages import BEGINNING, Encoded, Stream
from twofold.testing.conformance.backend import OnBackend
from twofold.testing.conformance.material import append
from twofold.write.group_commit import GroupCommit


def sized(size: int) -> Encoded:
    """An event of this many bytes."""
    return Encoded("Noted", 1, b'"' + b"x" * (size - 2) + b'"', None)


class LimitConformance(OnBackend):
    """See `LogLimits`."""

    async def test_an_append_of_as_many_bytes_as_it_takes(self, log: LogStore) -> None:
        """Events as large as possible. With one byte more, of one event or of all, nothing is stored."""
        largest, most = log.limits.event_bytes, log.limits.append_bytes
        full = [sized(largest)] * (most // largest)
        rest = [sized(most % largest)] if most % largest else []
        group = GroupCommit(log)
        with pytest.raises(InvalidEvent, match=f"note-1: an event Noted has {largest + 1:,} bytes of JSON"):
            await group.append(append("note-1", sized(largest + 1)))
        with pytest.raises(
            InvalidEvent, match=f"have {most + 2:,} bytes of JSON, but this store accepts at most {most:,} at"
        ):
            await group.append(append("note-1", *full, *rest, sized(2)))
        assert await log.head() == BEGINNING
        receipt = await group.append(append("note-1", *full, *rest))
        await group.close()
        assert receipt.events == len(full) + len(rest)
        [*_, newest] = (await log.load(Stream("note", "1"))).events
        assert len(newest[2]) == len((full + rest)[-1].data)

    async def test_an_append_of_as_many_events_as_it_takes(self, log: LogStore) -> None:
        """One more, and nothing is appended."""
        most = log.limits.append_events
        group = GroupCommit(log)
        with pytest.raises(
            InvalidEvent, match=f"has {most + 1:,} events, but this store accepts at most {most:,} at once"
        ):
            await group.append(append("note-1", *[sized(2)] * (most + 1)))
        assert await log.head() == BEGINNING
        receipt = await group.append(append("note-1", *[sized(2)] * most))
        await group.close()
        assert (receipt.version, receipt.events) == (most, most)
        assert (await log.load(Stream("note", "1"), last=1)).version == most
