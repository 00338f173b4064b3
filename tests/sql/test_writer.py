"""Who shares a transaction, who waits for whom, and what each caller gets. Against a database in virtual time."""

import asyncio
import random
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest

from twofold.errors import BatchRefused, Closed, OutcomeUnknown, Unavailable
from twofold.messages import Meta, Position
from twofold.sql import writer as writing
from twofold.sql.calls import CONFLICT, IDS, MAX_BATCH, WAITED, Answered, Call, Failed
from twofold.sql.command import SqlCommand
from twofold.sql.writer import ALONE_WAIT_MS, AT_ONCE, TRIES, SqlWriter
from twofold.testing import virtual_time

HELD_TOO_LONG = Failed(WAITED[0])
A_MOMENT_S = 0.001


class Database:
    """Runs commands as PostgreSQL does: an id has one answer for ever, and a row may be held by somebody else.

    `fails` are errors of whole transactions, and `says` outcomes of commands by id, each for one run.
    """

    def __init__(self) -> None:
        self.rows: dict[str, asyncio.Lock] = {}
        self.fails: list[Exception] = []
        self.says: dict[str, list[Failed]] = {}
        self.done: dict[str, Answered] = {}
        self.batches: list[list[str]] = []
        self.running: list[str] = []
        self.most_at_once = 0

    async def check_functions(self, commands: Sequence[Any]) -> None:
        """Not asked here."""

    async def run(self, calls: Sequence[Call], *, wait_ms: int) -> Sequence[Answered | Failed]:
        ids = [call.meta.command_id for call in calls]
        assert 0 < len(ids) <= MAX_BATCH
        assert wait_ms > 0, "PostgreSQL takes 0 for no limit"
        assert len({*ids, *self.running}) == len(ids) + len(self.running), "an id is in use once at a time"
        assert [call.key for call in calls] == sorted(call.key for call in calls), "rows are locked in order"
        self.batches.append(ids)
        self.running += ids
        self.most_at_once = max(self.most_at_once, len(self.running))
        try:
            await asyncio.sleep(A_MOMENT_S)
            if self.fails and (len(calls) > 1 or not isinstance(self.fails[0], BatchRefused)):
                raise self.fails.pop(0)
            return [await self._outcome(call, wait_ms / 1000) for call in calls]
        finally:
            self.running = [id_ for id_ in self.running if id_ not in ids]

    async def _outcome(self, call: Call, wait_s: float) -> Answered | Failed:
        id_ = call.meta.command_id
        if id_ in self.done:
            first = self.done[id_]
            return Answered(first.answer, first.position, True)
        row = self.rows.setdefault(call.key, asyncio.Lock())
        try:
            async with asyncio.timeout(wait_s):
                await row.acquire()
        except TimeoutError:
            return HELD_TOO_LONG
        row.release()
        if self.says.get(id_):
            return self.says[id_].pop(0)
        self.done[id_] = Answered(call.arguments, Position(0, len(self.done) + 1), False)
        return self.done[id_]


def call(id_: str, key: str = "row", arguments: str = "{}") -> Call:
    return Call(None, arguments, key, Meta(id_, id_))


def seconds() -> float:
    return asyncio.get_running_loop().time()


async def outcome(work: Coroutine[Any, Any, Answered | Failed]) -> Any:
    """The outcome of a command, or its error, and when it came."""
    try:
        return await work, seconds()
    except Exception as error:
        return error, seconds()


@pytest.mark.parametrize("callers", [2, 3, 5])
def test_all_who_send_one_id_get_the_first_answer(callers: int) -> None:
    """However many come while the first one runs: one after the other, none of them is forgotten."""

    async def main() -> None:
        database = Database()
        writer = SqlWriter(database)
        first = asyncio.create_task(writer.run(call("same", arguments='"first"')))
        await asyncio.sleep(A_MOMENT_S / 2)
        later = [writer.run(call("same", arguments=f'"{number}"')) for number in range(callers - 1)]
        found = [await first, *await asyncio.gather(*later)]
        assert [one.answer for one in found if isinstance(one, Answered)] == ['"first"'] * callers
        assert [one.repeated for one in found if isinstance(one, Answered)] == [False] + [True] * (callers - 1)
        await writer.close()

    virtual_time.run(main())


def test_all_who_wait_for_a_held_row_give_up_at_the_same_time() -> None:
    """Nobody waits for the time of those before it and then for its own, although they take turns."""

    async def main() -> None:
        database = Database()
        writer = SqlWriter(database)
        database.rows["held"] = asyncio.Lock()
        await database.rows["held"].acquire()
        waiting = [outcome(writer.run(call(f"{number}", "held"))) for number in range(3 * AT_ONCE)]
        for found, at in await asyncio.gather(*waiting):
            assert (found, at) == (HELD_TOO_LONG, pytest.approx(ALONE_WAIT_MS / 1000, rel=0.2))
        await writer.close()

    virtual_time.run(main())


def test_who_waits_for_a_held_row_takes_no_place_of_those_who_need_another() -> None:
    """One command of each row runs alone, however many wait for it."""

    async def main() -> None:
        database = Database()
        writer = SqlWriter(database)
        for row in ("held", "free soon"):
            database.rows[row] = asyncio.Lock()
            await database.rows[row].acquire()
        waiting = [asyncio.create_task(writer.run(call(f"{n}", "held"))) for n in range(3 * AT_ONCE)]
        await asyncio.sleep(1)
        other = asyncio.create_task(writer.run(call("other", "free soon")))
        await asyncio.sleep(1)
        database.rows["free soon"].release()
        async with asyncio.timeout(0.1):
            assert await other == database.done["other"]
        database.rows["held"].release()
        assert [one for one in await asyncio.gather(*waiting) if not isinstance(one, Answered)] == []
        await writer.close()

    virtual_time.run(main())


@pytest.mark.parametrize("times", [TRIES - 1, TRIES, TRIES + 1])
@pytest.mark.parametrize("met", [Failed(CONFLICT), Failed(WAITED[1]), Failed("23505", constraint=IDS)])
def test_a_command_that_meets_another_one_is_tried_a_few_times(times: int, met: Failed) -> None:
    """Once together with others, then alone; the last conflict is its outcome."""

    async def main() -> None:
        database = Database()
        writer = SqlWriter(database)
        database.says["busy"] = [met] * (times + 1)
        found, other = await asyncio.gather(writer.run(call("busy")), writer.run(call("other")))
        assert isinstance(other, Answered)
        assert found == (database.done["busy"] if times < TRIES else met)
        await writer.close()

    virtual_time.run(main())


@pytest.mark.parametrize("others", [0, 1, 5])
def test_a_caller_that_goes_on_at_once_is_served(others: int) -> None:
    """Just then the transaction before has ended, and nobody writes."""

    async def main() -> None:
        database = Database()
        writer = SqlWriter(database)

        async def one_after_the_other(name: str) -> None:
            for number in range(5):
                assert isinstance(await writer.run(call(f"{name} {number}")), Answered)

        await asyncio.gather(*(one_after_the_other(f"caller {number}") for number in range(others + 1)))
        await writer.close()

    virtual_time.run(main())


def test_as_many_as_a_transaction_takes_share_one() -> None:
    """And no more."""

    async def main() -> None:
        database = Database()
        writer = SqlWriter(database)
        await asyncio.gather(*(writer.run(call(f"{number}")) for number in range(2 * MAX_BATCH + 1)))
        assert [len(batch) for batch in database.batches] == [MAX_BATCH, MAX_BATCH, 1]
        await writer.close()

    virtual_time.run(main())


def test_who_waits_for_room_when_it_is_closed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is either done before it is closed, or gets the error that it is."""
    monkeypatch.setattr(writing, "MAX_QUEUED", 2)

    async def main() -> None:
        database = Database()
        writer = SqlWriter(database)
        sent = [asyncio.create_task(writer.run(call(f"{number}"))) for number in range(9)]
        await asyncio.sleep(0)
        await writer.close()
        done = set(database.done)
        outcomes = await asyncio.gather(*sent, return_exceptions=True)
        assert {str(number) for number, one in enumerate(outcomes) if isinstance(one, Answered)} == done
        assert {type(one) for one in outcomes} == {Answered, Closed}
        await asyncio.sleep(1)
        assert set(database.done) == done

    virtual_time.run(main())


@pytest.mark.parametrize("alone", [False, True])
def test_closing_waits_for_all_that_were_sent_before(alone: bool) -> None:
    """Those that are queued, those that run, and those that run again alone after that."""

    async def main() -> None:
        database = Database()
        writer = SqlWriter(database)
        database.says = {"busy": [Failed(CONFLICT)] * 2 * alone}
        sent = [asyncio.create_task(writer.run(call(id_))) for id_ in ("busy", "other")]
        await asyncio.sleep(0)
        sent.append(asyncio.create_task(writer.run(call("busy"))))
        await asyncio.sleep(0)
        await writer.close()
        await asyncio.sleep(0)
        assert [one.done() and isinstance(one.result(), Answered) for one in sent] == [True] * 3
        with pytest.raises(Closed):
            await writer.run(call("late"))

    virtual_time.run(main())


@pytest.mark.parametrize("alone", [False, True])
def test_a_writer_that_is_cancelled_says_that_the_outcome_is_unknown(alone: bool) -> None:
    """As when the program is stopped: no caller waits for ever, nor for another exception than that."""

    async def main() -> None:
        database = Database()
        writer = SqlWriter(database)
        database.says = {id_: [Failed(CONFLICT)] * alone for id_ in "ab"}
        sent = [asyncio.create_task(outcome(writer.run(call(id_, id_)))) for id_ in "ab"]
        await asyncio.sleep(A_MOMENT_S * (1.5 if alone else 0.5))
        for task in [*writer._alone, *([writer._writer] if writer._writer else [])]:
            task.cancel()
        for id_, (error, _) in zip("ab", await asyncio.gather(*sent), strict=True):
            assert isinstance(error, OutcomeUnknown)
            assert error.command_id == id_
        assert [isinstance(await writer.run(call(id_)), Answered) for id_ in "ab"] == [True, True]
        await writer.close()

    virtual_time.run(main())


@pytest.mark.parametrize(
    "error", [BatchRefused("one of them"), Unavailable("down"), OutcomeUnknown("any", "of the batch")]
)
def test_after_a_transaction_that_failed_the_ids_are_free(error: Exception) -> None:
    """Each caller has an outcome of its own, and the next call with its id runs."""

    async def main() -> None:
        database = Database()
        writer = SqlWriter(database)
        database.fails = [error]
        found = await asyncio.gather(*(outcome(writer.run(call(id_))) for id_ in "abc"))
        for id_, (what, _) in zip("abc", found, strict=True):
            if isinstance(error, BatchRefused):
                assert isinstance(what, Answered)
            else:
                assert type(what) is type(error)
            if isinstance(what, OutcomeUnknown):
                assert what.command_id == id_
        again = await asyncio.gather(*(writer.run(call(id_)) for id_ in "abc"))
        assert [isinstance(one, Answered) for one in again] == [True] * 3
        await writer.close()

    virtual_time.run(main())


@pytest.mark.parametrize("seed", range(40))
def test_every_caller_has_its_outcome_whatever_happens(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Repeated ids, locked rows, conflicts, failing transactions, callers that leave, a full queue.

    Each of those who stay gets the answer of its id or an error, in the time that a command may take for every one
    before it with the same id. Then nothing is left, and a closed writer refuses more.
    """
    chance = random.Random(seed)
    monkeypatch.setattr(writing, "MAX_QUEUED", chance.choice([2, 7, 10_000]))

    async def main() -> None:
        database = Database()
        writer = SqlWriter(database)
        ids, keys = [f"id {number}" for number in range(12)], {f"id {n}": f"row {n % 4}" for n in range(12)}
        database.says = {id_: [Failed(CONFLICT)] * chance.choice([0, 0, 0, 1, 2, 5]) for id_ in ids}

        async def held(row: str) -> None:
            lock = database.rows.setdefault(row, asyncio.Lock())
            await asyncio.sleep(chance.random() / 10)
            async with lock:
                await asyncio.sleep(chance.choice([0.01, 0.5, 6]))

        async def failing() -> None:
            for error in (BatchRefused("one of them"), Unavailable("down"), OutcomeUnknown("any", "of the batch")):
                await asyncio.sleep(chance.random() / 20)
                database.fails.append(error)

        async def calling() -> list[Any]:
            await asyncio.sleep(chance.choice([0, chance.random() / 20]))
            found = []
            for id_ in chance.choices(ids, k=chance.choice([1, 1, 3])):
                began = seconds()
                found.append((id_, began, *await outcome(writer.run(call(id_, keys[id_], f'"{chance.random()}"')))))
            return found

        background = [asyncio.create_task(held(f"row {chance.randrange(4)}")) for _ in range(3)]
        background.append(asyncio.create_task(failing()))
        callers = [asyncio.create_task(calling()) for _ in range(40)]
        leaving = chance.sample(callers, 10)
        for caller in leaving:
            await asyncio.sleep(chance.random() / 100)
            caller.cancel()
        for caller in callers:
            with suppress(asyncio.CancelledError):
                for id_, began, what, at in await caller:
                    assert at - began <= 60 * (ALONE_WAIT_MS / 1000 + 0.1)
                    if isinstance(what, Answered):
                        assert what.answer == database.done[id_].answer
                    else:
                        assert isinstance(what, Failed | Unavailable | OutcomeUnknown), what
        await writer.close()
        assert (writer._behind, list(writer._queue), database.running) == ({}, [], [])
        assert database.most_at_once <= MAX_BATCH + AT_ONCE
        with pytest.raises(Closed):
            await writer.run(call("late"))
        await asyncio.gather(*background)

    virtual_time.run(main())


@dataclass(frozen=True)
class Move:
    from_account: str
    to_account: str
    amount: int


def test_the_key_of_a_command_is_the_row_that_it_locks() -> None:
    """The first field, unless another one is named."""
    move = Move("b", "a", 1)
    first, named = SqlCommand("move", Move, "move"), SqlCommand("move", Move, "move", key="to_account")
    assert (first.sort_key(move), named.sort_key(move)) == ("b", "a")
    assert SqlCommand("move", Move, "move", key="amount").sort_key(move) == "1"
