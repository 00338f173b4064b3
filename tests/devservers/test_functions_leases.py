"""Leases and pages of the feed, kept in the development server: of two hosts that want a lease, one gets it."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from devservers.cosmos.process import Process as Cosmos
from devservers.cosmos.process import running as cosmos_running
from devservers.functions.accounts import Accounts, Place
from devservers.functions.errors import Misconfigured
from devservers.functions.feed import Feed, Range, RangeGone
from devservers.functions.leases import Lease, LeaseLost, Leases
from devservers.functions.partition import Held
from devservers.functions.settings import Settings
from tests.devservers.functions_running import Things

WHOLE = Range("", "FF", "0")


@pytest.fixture(scope="module")
def cosmos() -> Iterator[Cosmos]:
    with cosmos_running() as server:
        yield server


@pytest.fixture
async def accounts(cosmos: Cosmos) -> AsyncIterator[Accounts]:
    async with Accounts(Settings({"C": cosmos.connection_string, "NAME": "leases"})) as opened:
        yield opened


@pytest.fixture
async def leases(accounts: Accounts, request: pytest.FixtureRequest) -> Leases:
    place = Place("C", request.node.name[:40], "%NAME%")
    await asyncio.gather(*(accounts.create(place, "/id") for _ in range(3)))
    return Leases(await accounts.container(place), "feed")


async def test_of_two_that_want_a_lease_one_gets_it(leases: Leases) -> None:
    await leases.create(Lease(WHOLE, "12"))
    await leases.create(Lease(WHOLE, "99"))  # changes nothing
    [seen] = await leases.all()
    assert (seen.range, seen.token, seen.owner) == (WHOLE, "12", None)
    taken = [leases.change(seen, owner=name) for name in "abcde"]
    outcomes = await asyncio.gather(*taken, return_exceptions=True)
    [winner] = [one for one in outcomes if isinstance(one, Lease)]
    assert sum(isinstance(one, LeaseLost) for one in outcomes) == 4
    assert await leases.all() == [winner]


async def test_who_has_lost_a_lease_cannot_say_how_far_it_came(leases: Leases) -> None:
    await leases.create(Lease(WHOLE))
    [seen] = await leases.all()
    held = Held(leases, await leases.change(seen, owner="a"))
    await held.store(token="1")
    thief = await leases.change(held.lease, owner="b")
    for attempt in (held.store(token="2"), held.divide([Range("", "7F", "1"), Range("7F", "FF", "2")])):
        with pytest.raises(LeaseLost):
            await attempt
    assert thief in await leases.all()
    await leases.delete(thief)
    with pytest.raises(LeaseLost):
        await leases.change(thief, owner="c")


async def test_the_parts_of_a_range_continue_where_it_stood(leases: Leases) -> None:
    await leases.create(Lease(WHOLE, "7"))
    [seen] = await leases.all()
    held = Held(leases, await leases.change(seen, owner="a"))
    first, second = Range("", "7F", "1"), Range("7F", "FF", "2")
    assert await held.divide([first, second]) == [first, second]
    assert [(one.range, one.token, one.owner) for one in await leases.all()] == [
        (first, "7", None),
        (second, "7", None),
    ]


async def test_a_range_that_is_now_in_two_others_is_divided_where_they_meet(leases: Leases) -> None:
    await leases.create(Lease(Range("3F", "BF", "1"), "7"))
    [seen] = await leases.all()
    parts = [Range("3F", "7F", "3"), Range("7F", "BF", "4")]
    assert await Held(leases, seen).divide([Range("", "7F", "3"), Range("7F", "FF", "4")]) == parts
    assert [(one.range, one.token) for one in await leases.all()] == [(part, "7") for part in parts]


async def test_a_part_within_a_larger_range_goes_on(leases: Leases) -> None:
    part = Range("", "7F", "1")
    await leases.create(Lease(part, "7"))
    [seen] = await leases.all()
    held = Held(leases, seen)
    assert await held.divide([Range("", "9F", "3"), Range("9F", "FF", "4")]) == []
    assert held.lease.range == Range("", "7F", "3")


async def test_pages_continue_after_their_token_and_say_when_the_range_is_gone(
    cosmos: Cosmos, accounts: Accounts
) -> None:
    things = Things(cosmos, "pages")
    things.create()
    things.put(["1", "2", "3"])
    feed = await Feed.of(await accounts.container(Place("C", "pages", "things")))
    [whole] = await feed.ranges()
    now = await feed.page(whole, None, "Now", None)
    first = await feed.page(whole, None, "Beginning", 2)
    second = await feed.page(whole, first.token, "Beginning", 2)
    assert now.documents == []
    assert [one["id"] for one in first.documents] == ["1", "2"]
    assert [one["id"] for one in second.documents] == ["3"]
    assert second.token == now.token
    things.fault("split", range=0)
    with pytest.raises(RangeGone):
        await feed.page(whole, second.token, "Beginning", None)
    things.close()


async def test_a_setting_that_is_no_connection_string_is_named() -> None:
    async with Accounts(Settings({"C": "nothing of the kind"})) as accounts:
        with pytest.raises(Misconfigured, match="the app setting C is not a connection string of Cosmos DB"):
            await accounts.container(Place("C", "d", "c"))
        with pytest.raises(Misconfigured, match="the app setting D is missing"):
            await accounts.container(Place("D", "d", "c"))
