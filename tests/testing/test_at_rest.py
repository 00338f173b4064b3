"""When a simulated history is at rest: nothing that was asked for is still to come."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import closing
from functools import partial
from typing import Any

import pytest
from msgspec.structs import replace

from simulated.directory import IN_THE_DIRECTORY, IN_THE_REGISTER, Profile, Rename, profiles
from simulated.letters import IN_THE_OFFICE
from twofold.app import Running
from twofold.feed.checkpoints import FollowerId
from twofold.messages import BEGINNING, Position, Receipt
from twofold.testing.conformance.checkpoints import claimed
from twofold.testing.simulation.attempts import Attempt
from twofold.testing.simulation.clients import AppendTwo
from twofold.testing.simulation.history import EFFECTS_WITHIN_S, History
from twofold.testing.simulation.plan import Plan, draw
from twofold.testing.simulation.readers import Reader
from twofold.testing.simulation.remote import _Request
from twofold.testing.simulation.scenario import Scenario
from twofold.testing.simulation.server import PATIENCE_S, Unanswered
from twofold.testing.simulation.stores import SimulatedRows
from twofold.testing.simulation.violations import ENGINE


def quiet(scenario: Scenario = IN_THE_DIRECTORY, *, splits: bool = False) -> Plan:
    """One process and no steps."""
    drawn = draw(scenario, 1, partitions=2, splits=splits)
    return type(drawn)(drawn.scenario, drawn.schedule, 1, [], partitions=2, splits=splits)


@pytest.mark.parametrize("asked", [False, True])
def test_a_process_that_was_asked_to_end_is_not_at_rest(asked: bool) -> None:
    """It still runs, but the next version that takes its place has not begun."""
    history = History(quiet())

    async def main() -> None:
        server = history.world.start(0, history.world.app)
        history.world.servers = [server]
        await history.world.running_server(0)
        server.leaves = True
        if asked:
            server.stop()
        assert server.running is not None
        assert server.is_up is not asked
        server.stop()
        await server.task
        assert not server.is_up

    with closing(history):
        history.loop.run_until_complete(main())


def test_a_reader_of_a_partition_that_has_split_unknown_to_it_has_not_seen_all() -> None:
    """Those that go on in its parts have not begun, although it has seen everything of its own partition."""
    history = History(quiet(splits=True))
    with closing(history):
        reader = Reader(history.storage, history.world.ambient, 1, "one")
        assert history._has_seen_all(reader)
        history.courses.split(3, 1)
        history.courses.split(4, 1)
        assert not history._has_seen_all(reader)
        reader.has_split = True
        assert history._has_seen_all(reader)
        part = Reader(history.storage, history.world.ambient, 3, "its part")
        part.upto = Position(3, 0)
        assert history._has_seen_all(part)


@pytest.mark.parametrize("sent", ["late", "to a slow store", "to a slow disk"])
def test_nothing_is_under_way_when_the_last_request_has_arrived(sent: str) -> None:
    history, arrived = History(quiet()), list[int]()
    link = history.storage.rows_link

    async def main() -> None:
        link.slowness = 1.0 if sent == "late" else 1000.0
        for number in range(9):
            if sent == "late":
                link._late(arrived.append, number)
            elif sent == "to a slow store":
                link.later(arrived.append, number)
            else:
                link._arrive(_Request(partial(arrived.append, number), "look", history.loop.create_future(), 0), True)
        link.slowness = 1.0
        await history._nothing_is_under_way()

    with closing(history):
        history.loop.run_until_complete(main())
    assert sorted(arrived) == list(range(9))


def test_a_request_whose_client_has_given_up_is_under_way() -> None:
    """A process that was paused may still append what it was asked for. A watch is not waited for."""
    history, done = History(quiet()), list[str]()

    async def main() -> None:
        history.world.servers = [history.world.start(place, history.world.app) for place in (0, 1)]
        server, crashed = [await history.world.running_server(place) for place in (0, 1)]

        async def work(running: Running) -> None:
            await asyncio.sleep(PATIENCE_S + 3.0)
            done.append("done")

        async def watch(running: Running) -> None:
            await asyncio.sleep(1000.0)
            done.append("watched")

        asked = [server.ask(work), server.ask(watch, watches=True), crashed.ask(work)]
        asking = asyncio.gather(*asked, return_exceptions=True)
        await asyncio.sleep(1.0)
        crashed.process.crash()
        assert list(map(type, await asking)) == [Unanswered] * 3
        assert done == []
        await history._nothing_is_under_way()
        assert done == ["done"]
        server.stop()
        history.world.servers[1].stop()

    with closing(history):
        history.loop.run_until_complete(main())


def test_an_append_does_not_wait_for_one_that_was_lost_with_its_process() -> None:
    history, both = (
        History(quiet()),
        AppendTwo("profile-a", ([Profile("Ada", 1)], [Profile("Ben", 1)]), 0, 1, (None, None)),
    )

    async def main() -> None:
        server = history.world.start(0, history.world.app)
        history.world.servers = [server]
        await history.world.running_server(0)
        ask = history.world.ask

        async def ask_the_first_in_vain(attempt: Attempt, *asked: Any) -> None:
            attempt.outcome = Unanswered("the process crashed")
            if attempt.key:
                await ask(attempt, *asked)

        history.world.__dict__["ask"] = ask_the_first_in_vain
        await both.happen(history.world)
        await history._nothing_is_under_way()
        server.stop()

    with closing(history):
        history.loop.run_until_complete(main())
    first, second = history.world.attempts
    assert isinstance(first.outcome, Unanswered)
    assert isinstance(second.outcome, Receipt)
    assert second.outcome.version == 1


def test_a_history_rests_once_nothing_is_under_way() -> None:
    history, waited = History(quiet()), list[str]()
    is_quiet, rests = history._nothing_is_under_way, history._rests

    async def noted(name: str, wait: Callable[[], Awaitable[Any]]) -> Any:
        waited.append(name)
        return await wait()

    history.__dict__["_nothing_is_under_way"] = partial(noted, "quiet", is_quiet)
    history.__dict__["_rests"] = partial(noted, "rests", rests)
    with closing(history):
        history.run()
    assert waited == ["quiet", "rests", "quiet"]


@pytest.mark.parametrize("changes", [False, True])
def test_a_table_that_is_dropped_after_the_log_was_replaced_has_no_rows_of_it(changes: bool) -> None:
    """An operator who has waited for the table's worker drops it late."""
    history = History(quiet())
    unused, tables = FollowerId("card~1"), history.storage.rows._tables

    async def main() -> None:
        history.world.servers = [history.world.start(0, history.world.app)]
        running = (await history.world.running_server(0)).running
        assert running is not None
        await running.execute(profiles, "a", Rename("Ada"))
        assert await history._rests()
        tables[unused] = {}
        history.loop.call_later(1.0, lambda: tables.pop(unused))
        if changes:
            history.loop.call_later(1.0, tables[FollowerId("card")].clear)
        await history._replace_log("another log")

    history._reading = [asyncio.ensure_future(one.follow(), loop=history.loop) for one in history.readers]
    with closing(history):
        history.loop.run_until_complete(main())
    found = [one.text for one in history.violations if "folded into the rows" in one.text]
    assert len(found) == changes


@pytest.mark.parametrize("moves_on", [True, False])
def test_the_next_event_of_a_stream_that_fails_gets_all_its_tries_before_it_counts_as_stuck(moves_on: bool) -> None:
    history = History(quiet(IN_THE_OFFICE))
    now = history.loop.time

    def retried() -> set[Position]:
        return {Position(0, 1 + int(now() > EFFECTS_WITHIN_S / 2 and moves_on))}

    history.__dict__ |= {"_retried": retried, "_at_rest": lambda: now() > EFFECTS_WITHIN_S * 1.4}
    with closing(history):
        assert history.loop.run_until_complete(history._rests()) is moves_on
    assert [violation.promise for violation in history.violations] == ([] if moves_on else [ENGINE])


def test_a_claim_whose_release_the_read_store_has_lost_is_left_to_its_lease() -> None:
    """Its holder has released it, and holds a later one that it has not noticed to be lost."""
    history, follower = History(quiet()), FollowerId("lost")
    storage = history.storage
    storage.keeps_unsynced = storage.syncs_tables_only = True

    async def main() -> None:
        checkpoints = SimulatedRows(storage).checkpoints
        await checkpoints.register(follower, storage.log_id, BEGINNING)
        first = await claimed(checkpoints, follower)
        await checkpoints.release(first)
        second = await claimed(checkpoints, follower)
        storage._draw = lambda: 0.4
        storage.crash_rows()
        row = storage.row_checkpoints.rows[follower]
        assert (row.epoch, row.owner is not None, second.epoch) == (1, True, 2)
        assert storage.not_released == {first}

    with closing(history):
        history.loop.run_until_complete(main())


def test_a_rollup_that_a_new_process_registered_while_its_source_was_built_again_is_waited_for() -> None:
    """The next claim of the source fills it. If nobody ever did, its rows would be those of another table."""
    plan = draw(IN_THE_REGISTER, 1)
    history = History(type(plan)(plan.scenario, plan.schedule, 1, []))
    history.readers.clear()
    [names] = [rollup.follows for rollup in IN_THE_REGISTER.app.rollups]

    async def main() -> None:
        history.world.servers = [history.world.start(0, history.world.app)]
        running = (await history.world.running_server(0)).running
        assert running is not None
        await running.execute(profiles, "a", Rename("Ada"))
        assert await history._rests()
        rows = history.storage.row_checkpoints.rows
        rows[names] = replace(rows[names], generation="another")
        assert not await history._rests()
        history.world.servers[0].stop()
        assert await history._rests(), "its successor has claimed the source"

    with closing(history):
        history.loop.run_until_complete(main())
    assert [(one.promise, one.text) for one in history.violations[1:]] == [("G5", "name v1 is not where card v1 is")]
