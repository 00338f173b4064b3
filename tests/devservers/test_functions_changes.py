"""The Cosmos DB trigger, in the real worker: nothing is lost but what Azure would lose, whatever happens to hosts."""

import json
import socket
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from devservers.cosmos.process import Process as Cosmos
from devservers.cosmos.process import running as cosmos_running
from devservers.functions.process import Process, await_news
from tests.devservers.functions_running import Things, host

pytestmark = pytest.mark.slow
RANGES = 4


@pytest.fixture(scope="module")
def cosmos() -> Iterator[Cosmos]:
    with cosmos_running(ranges=RANGES) as server:
        yield server


@pytest.fixture
def things(cosmos: Cosmos, request: pytest.FixtureRequest) -> Iterator[Things]:
    one = Things(cosmos, request.node.name.replace("_", "-")[:60])
    one.create()
    yield one
    one.close()


def changes(things: Things, **settings: str) -> AbstractContextManager[Process]:
    return host("changes", CosmosDBConnection=things.connection, DATABASE=things.database, **settings)


def batches(name: str, *hosts: Process) -> list[list[str]]:
    """What a function was given and has taken, batch by batch."""
    marks = f"[Information] {name} has "
    return [json.loads(line.partition(marks)[2]) for one in hosts for line in one.lines if marks in line]


def taken(name: str, *hosts: Process) -> list[str]:
    return [one for batch in batches(name, *hosts) for one in batch]


def await_all(name: str, ids: Sequence[str], *hosts: Process) -> None:
    await_news(lambda: set(ids) <= set(taken(name, *hosts)), f"{name} to have all of {ids}")


def again(ids: Sequence[str]) -> list[str]:
    """Those that are there more than once."""
    return [one for one, times in Counter(ids).items() if times > 1]


def names(first: int, last: int) -> list[str]:
    return [f"t{number}" for number in range(first, last)]


def test_changes_are_delivered_from_the_beginning_in_batches_of_the_size_asked_for(things: Things) -> None:
    things.put(names(0, 20))
    with changes(things) as one:
        things.put(names(10, 30))
        await_all("changed", names(0, 30), one)
        await_all("patient", names(0, 30), one)
        assert max(map(len, batches("patient", one))) == 2
        assert max(map(len, batches("changed", one))) > 2


def test_without_start_from_beginning_it_starts_now_and_then_misses_nothing(things: Things) -> None:
    things.put(names(0, 10))
    with changes(things, NOW="yes") as one:
        one.line("changed [Information] takes range")
        assert one.stop() == 0
    things.put(names(10, 20))
    with changes(things, NOW="yes") as again:
        await_all("changed", names(10, 20), again)
        assert not set(taken("changed", one, again)) & set(names(0, 10))


def test_a_host_that_stops_lets_go_of_its_leases_and_the_next_continues(things: Things) -> None:
    with changes(things) as one:
        things.put(names(0, 10))
        await_all("changed", names(0, 10), one)
        assert one.stop() == 0
    with changes(things) as another:
        things.put(names(10, 20))
        await_all("changed", names(10, 20), another)
        assert sum("changed [Information] takes range" in line for line in another.lines) == RANGES
        assert all("from nobody" in line for line in another.lines if "takes range" in line)
        assert not set(taken("changed", another)) & set(names(0, 10))


def test_a_batch_of_a_function_that_raises_is_lost_without_a_retry_policy_and_only_then(things: Things) -> None:
    with changes(things, FAILS="bad") as one:
        things.put(["bad"])
        lost = one.line("lost, as in Azure")
        assert "changed [Error]" in lost
        assert lost.endswith("because changed failed and it has no retry policy")
        await_all("patient", ["bad"], one)
        things.put(["good"])
        await_all("changed", ["good"], one)
        assert "bad" not in taken("changed", one)
        one.line("patient refuses bad, retry 0")


def test_a_retry_policy_ends_after_as_many_retries_as_it_has(things: Things) -> None:
    with changes(things, FAILS=" ".join(["bad"] * 4)) as one:
        things.put(["bad"])
        one.line("because patient failed and its policy allows 3 retries")
        assert [line.rpartition(" ")[2] for line in one.lines if "patient refuses bad, retry" in line] == [
            "0",
            "1",
            "2",
            "3",
        ]
        things.put(["good"])
        await_all("patient", ["good"], one)
        assert "bad" not in taken("patient", one)


def test_batches_that_come_twice_and_shuffled_lose_nothing(things: Things) -> None:
    for fault in ("twice", "shuffle"):
        for number in range(RANGES):
            things.fault(fault, range=number, times=5)
    with changes(things) as one:
        things.put(names(0, 40))
        await_all("changed", names(0, 40), one)
        await_all("patient", names(0, 40), one)
        assert len(taken("changed", one)) + len(taken("patient", one)) > 2 * 40


def test_ranges_that_split_and_merge_are_followed(things: Things) -> None:
    things.put(names(0, 40))
    with changes(things) as one:
        await_news(lambda: ranges(one, "takes") == RANGES, "all leases to be taken")
        for step, (fault, number) in enumerate([("split", 0), ("split", 1), ("merge", 3)]):
            new = names(100 * step, 100 * step + 40)
            things.put(new[:20])
            things.fault(fault, range=number)
            things.put(new[20:])
            await_all("changed", new, one)
            await_all("patient", new, one)
        await_all("changed", names(0, 40), one)
        one.line("changed [Information] range 0 is now 4, 5")
        assert not any("[Error]" in line or "cannot follow" in line for line in one.lines)


def test_two_hosts_share_the_ranges_and_one_takes_over_from_the_other_that_was_killed(things: Things) -> None:
    with changes(things) as one:
        await_news(lambda: ranges(one, "takes") == RANGES, "all leases to be taken")
        with changes(things) as other:
            await_news(lambda: ranges(other, "takes") == RANGES // 2, "the leases to be shared")
            things.put(names(0, 50))
            await_all("changed", names(0, 50), one, other)
            other.kill()
            things.put(names(50, 100))
            await_all("changed", names(0, 100), one, other)
            assert any(f"from {host_name(other)}" in line for line in one.lines)


def test_leases_that_are_deleted_under_their_hosts_are_made_anew_and_all_is_delivered_again(things: Things) -> None:
    with changes(things) as one, changes(things) as other:
        things.put(names(0, 20))
        await_all("changed", names(0, 20), one, other)
        things.forget_leases()
        await_news(
            lambda: all(taken("changed", one, other).count(one_) > 1 for one_ in names(0, 20)), "all to come again"
        )
        things.put(names(20, 40))
        await_all("changed", names(20, 40), one, other)
        assert any("changed [Information] range" in line and "begins anew" in line for line in one.lines + other.lines)


def test_what_a_killed_host_was_working_on_comes_to_another(things: Things) -> None:
    with changes(things, HANGS="hard") as one:
        things.put(["easy"])
        await_all("changed", ["easy"], one)
        things.put(["hard"])
        one.line("hangs on hard")  # either function: the worker runs neither of them on
        one.kill()
    with changes(things) as other:
        await_all("changed", ["hard"], other)


def ranges(one: Process, verb: str) -> int:
    return sum(f"changed [Information] {verb} range" in line for line in one.lines)


def host_name(one: Process) -> str:
    return f"{socket.gethostname()}-{one.pid}-"


def test_a_container_that_is_not_there_yet_is_waited_for(cosmos: Cosmos) -> None:
    things = Things(cosmos, "later")
    with changes(things, NOW="yes") as one:
        assert "cannot follow the change feed, and tries again until it can" in one.line("changed [Warning]")
        things.create()
        one.line("changed [Information] takes range")
        things.put(["first"])
        await_all("changed", ["first"], one)
    things.close()


def test_an_account_that_restarts_and_a_container_that_is_made_anew_are_followed_on(tmp_path: Path) -> None:
    cosmos = Cosmos(["--data", str(tmp_path)])
    things = Things(cosmos, "db")
    things.create()
    with changes(things) as one:
        things.put(["first"])
        await_all("changed", ["first"], one)
        cosmos.kill()
        one.line("changed [Warning] cannot follow the change feed")
        cosmos = Cosmos(["--data", str(tmp_path), "--port", str(cosmos.port)])
        things.close()
        things = Things(cosmos, "db")
        things.put(["second"])
        await_all("changed", ["second"], one)
        things.remove()
        things.create()
        things.put(["at once"])
        await_all("changed", ["at once"], one)
        things.remove()
        await_news(
            lambda: any("changed [Warning]" in line and "'things' does not exist" in line for line in one.lines), "it"
        )
        things.create()
        things.put(["third"])
        await_all("changed", ["third"], one)
    things.close()
    cosmos.stop()
