"""Group commit in front of the log: many callers, one commit, and each gets its own result."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Sequence

import pytest

from twofold.backends.ports import LogStore
from twofold.errors import InvalidEvent, TwofoldError, VersionConflict
from twofold.messages import Append, Encoded, Receipt
from twofold.testing.conformance.backend import Backend, OnBackend
from twofold.testing.conformance.material import all_of, append, event, value, values
from twofold.write.commits import Commits
from twofold.write.group_commit import GroupCommit


class CommitConformance(OnBackend):
    """See `GroupCommit`."""

    async def test_two_appends_to_one_stream_in_one_batch(self, log: LogStore) -> None:
        """They are stored in order, and the second sees the first."""
        commits = Counting(log)
        group = GroupCommit(commits)
        first, second, third = await asyncio.gather(
            group.append(append("note-1", event("a"), expected=0)),
            group.append(append("note-1", event("b"), expected=1)),
            group.append(append("note-1", event("c"))),
        )
        await group.close()
        assert [first.version, second.version, third.version] == [1, 2, 3]
        assert await values(log) == ["a", "b", "c"]
        assert commits.sizes == [3]

    async def test_a_conflict_is_its_own_alone(self, log: LogStore) -> None:
        """Others in its batch are not affected."""
        group = GroupCommit(log)
        outcomes = await asyncio.gather(
            *(group.append(append(f"note-{n}", event(n), expected=n % 2)) for n in range(20)), return_exceptions=True
        )
        await group.close()
        assert [type(outcome) for outcome in outcomes] == [Receipt, VersionConflict] * 10
        assert len(await all_of(log)) == 10

    async def test_data_that_the_store_refuses_fails_alone(self, log: LogStore, backend: Backend) -> None:
        """The batch is split until the append that cannot be stored is alone."""
        if backend.refuses is None:
            pytest.skip("this backend takes whatever the engine lets pass")
        bad = Encoded("Noted", 1, backend.refuses, None)
        group = Commits(log)
        outcomes = await asyncio.gather(
            *(group.append(append(f"note-{n}", event(n), *([bad] if n in (3, 11) else []))) for n in range(16)),
            return_exceptions=True,
        )
        await group.close()
        assert [n for n, outcome in enumerate(outcomes) if isinstance(outcome, InvalidEvent)] == [3, 11]
        assert sum(isinstance(outcome, Receipt) for outcome in outcomes) == 14
        assert sorted(value(e) for e in await all_of(log)) == [n for n in range(16) if n not in (3, 11)]

    async def test_a_cancelled_caller_neither_loses_nor_doubles(self, log: LogStore) -> None:
        """A cancelled caller may repeat its command id: then it is stored once, as for all others."""
        chance = random.Random(7)  # noqa: S311 (a test, and repeatable)
        group = GroupCommit(log)
        asked = [append(f"note-{n % 9}", event([n, 1]), event([n, 2])) for n in range(200)]
        tasks = []
        for one in asked:
            tasks.append(asyncio.create_task(group.append(one)))
            if chance.random() < 0.3:
                await asyncio.sleep(0)
            if chance.random() < 0.3:
                chance.choice(tasks).cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        cancelled = [one for one, outcome in zip(asked, outcomes, strict=True) if not isinstance(outcome, Receipt)]
        assert 10 < len(cancelled) < 190

        there = Counter(tuple(value(e)) for e in await all_of(log))
        assert set(there.values()) == {1}
        for n in range(200):
            assert ((n, 1) in there) == ((n, 2) in there), "an append is all or nothing"
            assert (n, 1) in there or asked[n] in cancelled, "what was acknowledged is there"

        await asyncio.gather(*(group.append(one) for one in cancelled))
        await group.close()
        there = Counter(tuple(value(e)) for e in await all_of(log))
        assert there == {(n, k): 1 for n in range(200) for k in (1, 2)}


class Counting:
    """A log that notes how large the batches were."""

    def __init__(self, log: LogStore) -> None:
        self._log = log
        self.limits, self.log_id, self.load, self.read_stream = log.limits, log.log_id, log.load, log.read_stream
        self.sizes: list[int] = []

    async def commit(self, batch: Sequence[Append]) -> Sequence[Receipt | TwofoldError]:
        """See `Log.commit`."""
        self.sizes.append(len(batch))
        return await self._log.commit(batch)
