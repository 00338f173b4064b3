"""Group commit: which appends share a batch, and what each caller gets when the store fails."""

import asyncio
from collections.abc import Sequence

import pytest

from twofold.backends.memory import MemoryLog
from twofold.errors import (
    BatchRefused,
    Closed,
    ConfigurationError,
    InvalidEvent,
    OutcomeUnknown,
    TwofoldError,
    Unavailable,
    VersionConflict,
)
from twofold.messages import Append, Position, Receipt
from twofold.testing import virtual_time
from twofold.testing.conformance.material import append, event
from twofold.write import group_commit
from twofold.write.apart import Apart
from twofold.write.commits import Commits
from twofold.write.group_commit import GroupCommit


class Gate(MemoryLog):
    """A log that commits or fails on demand."""

    def __init__(self) -> None:
        super().__init__()
        self.open = asyncio.Event()
        self.open.set()
        self.batches: list[list[str]] = []
        self.failures: list[Exception] = []

    async def commit(self, batch: Sequence[Append]) -> Sequence[Receipt | TwofoldError]:
        self.batches.append([one.stream.id for one in batch])
        await self.open.wait()
        if self.failures:
            raise self.failures.pop(0)
        if any(one.stream.id == "bad" for one in batch):
            raise BatchRefused("refused") from ValueError("the data")
        return await super().commit(batch)


def test_the_batch_is_what_queued_while_the_last_one_was_written() -> None:
    async def main() -> None:
        log = Gate()
        group = GroupCommit(log)
        log.open.clear()
        first = asyncio.create_task(group.append(append("note-1", event())))
        await asyncio.sleep(0.01)
        others = [asyncio.create_task(group.append(append(f"note-{n}", event()))) for n in (2, 3, 4)]
        await asyncio.sleep(0.01)
        log.open.set()
        await asyncio.gather(first, *others)
        assert log.batches == [["1"], ["2", "3", "4"]]
        await group.append(append("note-5", event()))
        assert log.batches[2:] == [["5"]], "a lone caller does not wait for company"

    virtual_time.run(main())


def test_the_newest_position_of_a_batch_is_marked_whatever_its_last_append_became() -> None:
    """Lag is measured from it: a conflict has no position, and what is repeated has an old one."""

    async def main() -> None:
        log, marked = Gate(), list[Position]()
        group = GroupCommit(log, marked.append)
        old = await group.append(append("note-1", event(), command_id="once"))
        log.open.clear()
        held = asyncio.create_task(group.append(append("note-2", event())))
        await asyncio.sleep(0.01)
        repeated = append("note-1", event(), command_id="once")
        batch = [repeated, append("note-3", event()), repeated, append("note-1", event(), expected=7)]
        tasks = [asyncio.create_task(group.append(one)) for one in batch]
        await asyncio.sleep(0.01)
        log.open.set()
        again, new, _, lost = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(new, Receipt)
        assert isinstance(again, Receipt)
        assert (again.repeated, again.position) == (True, old.position)
        assert isinstance(lost, VersionConflict)
        assert marked == [old.position, (await held).position, new.position]

    virtual_time.run(main())


def test_callers_who_come_again_and_again_do_not_miss_each_others_batch() -> None:
    """One starts while the other's batch is being written: from then on they would alternate, with a commit each."""

    async def main() -> None:
        log = Gate()
        group = GroupCommit(log)

        async def caller(name: str) -> None:
            for _ in range(5):
                await group.append(append(f"note-{name}", event()))

        log.open.clear()
        one = asyncio.create_task(caller("one"))
        await asyncio.sleep(0.01)
        other = asyncio.create_task(caller("other"))
        await asyncio.sleep(0.01)
        log.open.set()
        await asyncio.gather(one, other)
        assert log.batches == [["one"], *[["other", "one"]] * 4, ["other"]]

    virtual_time.run(main())


def test_a_batch_is_bounded_in_number_and_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_commit, "MAX_BATCH", 3)
    monkeypatch.setattr(group_commit, "MAX_BATCH_BYTES", 1_000)

    async def main() -> None:
        log = Gate()
        group = GroupCommit(log)
        texts = ["", "", "", "", "x" * 600, "x" * 600, "", "x" * 5_000]
        await asyncio.gather(*(group.append(append(f"note-{n}", event(text))) for n, text in enumerate(texts)))
        assert log.batches == [["0", "1", "2"], ["3", "4", "5"], ["6", "7"]]

    virtual_time.run(main())


def test_a_batch_that_has_exactly_its_size_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    size = len(event("x" * 100).data)
    monkeypatch.setattr(group_commit, "MAX_BATCH_BYTES", 2 * size)

    async def main() -> None:
        log = Gate()
        group = GroupCommit(log)
        for texts, batches in (
            (["x" * 100] * 4, [["0", "1"], ["2", "3"]]),
            (["x" * 100, "x" * 99, "x" * 100, "x" * 100], [["0", "1", "2"], ["3"]]),
        ):
            log.batches.clear()
            await asyncio.gather(*(group.append(append(f"note-{n}", event(text))) for n, text in enumerate(texts)))
            assert log.batches == batches

    virtual_time.run(main())


def test_who_comes_when_too_many_wait_waits_for_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_commit, "MAX_QUEUED", 5)

    async def main() -> None:
        log = Gate()
        group = GroupCommit(log)
        log.open.clear()
        tasks = [asyncio.create_task(group.append(append(f"note-{n}", event()))) for n in range(30)]
        await asyncio.sleep(0.01)
        assert group.queued == 5
        log.open.set()
        receipts = await asyncio.gather(*tasks)
        assert len({receipt.stream for receipt in receipts}) == 30
        assert all(len(batch) <= 5 for batch in log.batches[1:]), "what waits for room waits outside"

    virtual_time.run(main())


def test_who_is_cancelled_while_waiting_takes_his_append_back() -> None:
    async def main() -> None:
        log = Gate()
        group = GroupCommit(log)
        log.open.clear()
        first = asyncio.create_task(group.append(append("note-1", event())))
        await asyncio.sleep(0.01)
        waiting = [asyncio.create_task(group.append(append(f"note-{n}", event()))) for n in (2, 3)]
        await asyncio.sleep(0.01)
        waiting[0].cancel()
        first.cancel()  # too late: it is already being written
        await asyncio.sleep(0.01)
        log.open.set()
        await waiting[1]
        assert log.batches == [["1"], ["3"]]
        assert (await log.head()).offset == 2

    virtual_time.run(main())


def test_refused_data_fails_alone() -> None:
    async def main() -> None:
        log = Gate()
        group = GroupCommit(log)
        ids = ["1", "2", "bad", "3", "4", "5"]
        outcomes = await asyncio.gather(
            *(group.append(append(f"note-{id_}", event())) for id_ in ids), return_exceptions=True
        )
        assert [type(outcome) for outcome in outcomes] == [Receipt, Receipt, InvalidEvent, Receipt, Receipt, Receipt]
        assert str(outcomes[2]) == "note-bad: the store refuses the data: the data"

    virtual_time.run(main())


def test_everybody_in_the_batch_hears_what_failed_and_the_next_batch_goes_on() -> None:
    async def main() -> None:
        log = Gate()
        group = GroupCommit(log)
        log.failures = [Unavailable("down"), OutcomeUnknown("?", "gone"), RuntimeError("a bug")]
        for error in (Unavailable, OutcomeUnknown, RuntimeError):
            ids = [f"{error.__name__} {n}" for n in range(3)]
            outcomes = await asyncio.gather(
                *(group.append(append(f"note-{id_}", event(), command_id=id_)) for id_ in ids), return_exceptions=True
            )
            assert [type(outcome) for outcome in outcomes] == [error] * 3
            if error is OutcomeUnknown:
                assert [outcome.command_id for outcome in outcomes if isinstance(outcome, OutcomeUnknown)] == ids
        assert (await group.append(append("note-1", event()))).version == 1

    virtual_time.run(main())


@pytest.mark.parametrize("kind", [GroupCommit, Commits])
def test_closing_writes_what_waits_and_takes_nothing_more(kind: type[GroupCommit | Commits]) -> None:
    async def main() -> None:
        log = Gate()
        group = kind(log)
        tasks = [asyncio.create_task(group.append(append(f"note-{n}", event()))) for n in range(3)]
        await asyncio.sleep(0)
        await group.close()
        assert [type(outcome) for outcome in await asyncio.gather(*tasks)] == [Receipt] * 3
        assert (await log.head()).offset == 3
        with pytest.raises(ConfigurationError, match="the log is closed: the block of"):
            await group.append(append("note-9", event()))

    virtual_time.run(main())


def test_closing_waits_until_everything_is_written() -> None:
    """`close` returns only after the batch is written, even if it fails, so that the store can be closed next."""

    async def main() -> None:
        for failure in (None, Unavailable("down")):
            log = Gate()
            group = GroupCommit(log)
            log.open.clear()
            tasks = [asyncio.create_task(group.append(append("note-1", event())))]
            await asyncio.sleep(0.01)  # it is being written
            tasks += [asyncio.create_task(group.append(append(f"note-{n}", event()))) for n in (2, 3)]
            await asyncio.sleep(0.01)
            closing = asyncio.create_task(group.close())
            await asyncio.sleep(60)
            assert not closing.done()
            log.failures += [failure] if failure else []
            log.open.set()
            await closing
            assert [task.done() for task in tasks] == [True] * 3
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            assert [type(outcome) for outcome in outcomes] == [type(failure) if failure else Receipt, Receipt, Receipt]
            assert group.queued == 0

    virtual_time.run(main())


def test_who_waits_for_room_when_it_is_closed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """No waiting caller is forgotten: each is either written or gets the error that the log is closed."""
    monkeypatch.setattr(group_commit, "MAX_QUEUED", 2)

    async def main() -> None:
        log = Gate()
        group = GroupCommit(log)
        log.open.clear()
        tasks = [asyncio.create_task(group.append(append(f"note-{n}", event()))) for n in range(8)]
        await asyncio.sleep(0.01)
        closing = asyncio.create_task(group.close())
        await asyncio.sleep(0.01)
        log.open.set()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        await closing
        written = [outcome for outcome in outcomes if isinstance(outcome, Receipt)]
        assert len(written) == (await log.head()).offset
        assert {type(outcome) for outcome in outcomes} == {Receipt, Closed}

    virtual_time.run(main())


def test_who_waits_for_room_comes_in_as_soon_as_there_is_some(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_commit, "MAX_QUEUED", 4)
    monkeypatch.setattr(group_commit, "MAX_BATCH", 2)

    async def main() -> None:
        log = Gate()
        group = GroupCommit(log)
        log.open.clear()
        tasks = [asyncio.create_task(group.append(append(f"note-{n}", event()))) for n in range(20)]
        for _ in range(3):
            await asyncio.sleep(0.01)
            assert group.queued == 4, "although a batch was just taken out"
            log.open.set()
            await asyncio.sleep(0)
            log.open.clear()
        log.open.set()
        await asyncio.gather(*tasks)

    virtual_time.run(main())


def test_who_waits_for_room_comes_in_when_all_before_give_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether some of those in the queue are left, or none; nobody else has to come for it."""
    monkeypatch.setattr(group_commit, "MAX_QUEUED", 3)

    async def main(given_up: int) -> None:
        log = Gate()
        group = GroupCommit(log)
        log.open.clear()
        writing, *queued = [asyncio.create_task(group.append(append("note-1", event())))]
        for names in ((2, 3, 4), (5, 6)):
            await asyncio.sleep(0.01)
            queued += [asyncio.create_task(group.append(append(f"note-{n}", event()))) for n in names]
        await asyncio.sleep(0.01)
        assert group.queued == 3
        for task in queued[:given_up]:
            task.cancel()
        log.open.set()
        async with asyncio.timeout(1):
            await asyncio.gather(writing, *queued[given_up:])
        assert (await log.head()).offset == 6 - given_up

    for given_up in range(6):
        virtual_time.run(main(given_up))


def test_refused_data_does_not_change_the_order_of_the_others() -> None:
    """Two appends of one caller among those of others: the first one sent is stored first."""

    async def main() -> None:
        log = Gate()
        group = GroupCommit(log)
        ids = ["a", "1", "a", "bad", "2", "a", "bad", "3", "a"]
        outcomes = await asyncio.gather(
            *(group.append(append(f"note-{id_}", event(n))) for n, id_ in enumerate(ids)), return_exceptions=True
        )
        stored = [outcome for outcome in outcomes if isinstance(outcome, Receipt)]
        assert len(stored) == 7
        assert [receipt.position.offset for receipt in stored] == list(range(1, 8))

    virtual_time.run(main())


def test_who_is_being_written_when_the_program_is_stopped_does_not_hear_that_nothing_happened() -> None:
    async def main() -> None:
        log = Gate()
        group = GroupCommit(log)
        log.open.clear()
        tasks = [
            asyncio.create_task(group.append(append(f"note-{n}", event(), command_id=f"id {n}"))) for n in range(3)
        ]
        await asyncio.sleep(0.01)
        [writer] = [task for task in asyncio.all_tasks() if task.get_name() == "twofold group commit"]
        writer.cancel()
        outcomes = await asyncio.gather(*tasks[:1], return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [OutcomeUnknown]
        assert "id 0" in str(outcomes[0])
        for task in tasks:
            task.cancel()

    virtual_time.run(main())


def test_who_waits_when_the_writing_is_cancelled_is_written_all_the_same() -> None:
    """Even if no later append restarts the writer."""

    async def main() -> None:
        log = Gate()
        group = GroupCommit(log)
        log.open.clear()
        first = asyncio.create_task(group.append(append("note-1", event())))
        await asyncio.sleep(0.01)
        second = asyncio.create_task(group.append(append("note-2", event())))
        await asyncio.sleep(0.01)
        [writer] = [task for task in asyncio.all_tasks() if task.get_name() == "twofold group commit"]
        writer.cancel()
        with pytest.raises(OutcomeUnknown):
            await first
        log.open.set()
        assert (await second).version == 1
        await group.close()

    virtual_time.run(main())


@pytest.mark.parametrize("kind", [GroupCommit, Commits, Apart])
def test_what_is_repeated_or_refused_is_not_counted_as_appended(
    kind: type[GroupCommit | Commits | Apart],
) -> None:
    """Each command counts once, however often it comes, and whether in one batch or in two."""

    async def main() -> None:
        commits = kind(MemoryLog())
        once = append("note-1", event("a"), event("b"), command_id="once", expected=0)
        await asyncio.gather(commits.append(once), commits.append(once))
        assert (await commits.append(once)).repeated
        with pytest.raises(VersionConflict):
            await commits.append(append("note-1", event("c"), expected=0))
        assert (await commits.append(append("note-1", command_id="nothing"))).events == 0
        assert (await commits.append(append("note-1", command_id="nothing"))).repeated
        counts = commits.counts
        assert (counts.appends, counts.events, counts.conflicts) == (2, 2, 1)
        await commits.close()

    virtual_time.run(main())
