"""The owner of a read model or a reactor: two Apps never share one, and an App may be renamed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from twofold import operate
from twofold.app import App
from twofold.backends.memory import MemoryLog
from twofold.backends.ports import LogStore, Rows
from twofold.errors import ConfigurationError
from twofold.feed.checkpoints import Ownership
from twofold.feed.partitions import partitions_of
from twofold.messages import Position, Recorded
from twofold.react.reactor import Reactor, To
from twofold.read.projection import Projection
from twofold.read.publish import try_publish
from twofold.testing.conformance.backend import OnBackend
from twofold.testing.conformance.bank import Closed, Deposit, Deposited, accounts

OURS = Ownership("ours", None, ("Deposited",))


@dataclass(frozen=True)
class Count:
    """How often something happened to an account."""

    id: str
    times: int = 0


def deposits(row: Count, event: Deposited, recorded: Recorded) -> Count:
    """Deposits."""
    return replace(row, times=row.times + 1)


def closings(row: Count, event: Closed, recorded: Recorded) -> Count:
    """The other events of the same stream."""
    return replace(row, times=row.times + 1)


def both(row: Count, event: Deposited | Closed, recorded: Recorded) -> Count:
    """All its events."""
    return replace(row, times=row.times + 1)


def ignore(event: Deposited, recorded: Recorded) -> list[To]:
    """Return no command."""
    return []


def ignore_closing(event: Closed, recorded: Recorded) -> list[To]:
    """Return no command."""
    return []


def app(name: str, fold: Any = deposits, version: int = 1, **more: Any) -> App:
    """An App with one read model."""
    return App(name, deciders=[accounts], projections=[Projection("count", Count, fold, version=version)], **more)


def reacting(name: str, react: Any = ignore, **more: Any) -> App:
    """An App with one reactor."""
    return App(name, deciders=[accounts], reactors=[Reactor("mailer", react, start="beginning")], **more)


async def opened(one: App, log: LogStore, store: Rows) -> None:
    """Open the App, and leave nothing running."""
    async with one.open(log, read_store=store):
        pass


async def refused(one: App, log: LogStore, store: Rows, *says: str) -> None:
    """Assert that the App does not open, says why, and changes nothing."""
    tables = await store.tables()
    checkpoints = [await of.ownership(follows) for of, follows in followed(one, log, store)]
    with pytest.raises(ConfigurationError) as raised:
        await opened(one, log, store)
    for text in says:
        assert text in str(raised.value)
    async with one.look(log, read_store=store) as running:
        with pytest.raises(ConfigurationError):
            await operate.check(running)
        for projection in one.projections:
            with pytest.raises(ConfigurationError):
                await operate.prepared(running, projection)
    assert await store.tables() == tables
    assert [await of.ownership(follows) for of, follows in followed(one, log, store)] == checkpoints


def followed(one: App, log: LogStore, store: Rows) -> Sequence[Any]:
    """Each of its followers, and the place of its checkpoint."""
    partitions = partitions_of(log, spread=True)
    whole = [
        *((store.checkpoints, projection.follows) for projection in one.projections),
        *((log.checkpoints, reactor.follows) for reactor in one.reactors),
    ]
    return [(checkpoints, follows.in_partition(p)) for checkpoints, follows in whole for p in partitions]


class OwnerConformance(OnBackend):
    """See `twofold.belonging`."""

    @pytest.mark.parametrize("fold", [deposits, closings])
    async def test_two_apps_do_not_share_a_read_model(self, log: LogStore, store: Rows, fold: Any) -> None:
        """Refused with both names and a fix, even if it would be folded in the same way; nothing is created."""
        await opened(app("sales"), log, store)
        other = replace(app("purchases", fold), projections=[Projection("another", Count, fold), *app("x").projections])
        await refused(other, log, store, "'count'", "'sales'", "'purchases'", "formerly='sales'", "Rename it")
        await opened(app("sales"), log, store)

    async def test_nor_one_name_in_two_versions(self, log: LogStore, store: Rows) -> None:
        """The public name would move from one App's rows to the other's."""
        await opened(app("sales"), log, store)
        await refused(app("purchases", version=2), log, store, "'sales'", "'purchases'")
        await opened(app("sales", version=2), log, store)
        await refused(app("purchases", version=1), log, store, "'sales'", "'purchases'")

    @pytest.mark.parametrize("react", [ignore, ignore_closing])
    async def test_nor_a_reactor(self, log: LogStore, store: Rows, react: Any) -> None:
        """Its checkpoint is stored with the log."""
        await opened(reacting("sales"), log, store)
        await refused(reacting("purchases", react), log, store, "reactor 'mailer'", "'sales'", "'purchases'")
        await opened(reacting("sales", ignore_closing), log, store)

    async def test_of_two_that_come_at_once_one_gets_it(
        self, log: LogStore, other_log: LogStore, store: Rows, other_store: Rows
    ) -> None:
        """It had no owner before."""
        both_ = [(app("sales"), log, store), (app("purchases"), other_log, other_store)]
        outcomes = await asyncio.gather(*(opened(*one) for one in both_), return_exceptions=True)
        assert [type(one) for one in outcomes if one is not None] == [ConfigurationError]

    async def test_other_events_need_another_version(self, log: LogStore, store: Rows) -> None:
        """Earlier events are not in the table, and a holder with older code would skip new ones."""
        await opened(app("bank"), log, store)
        await refused(app("bank", both), log, store, "(added: Closed)", "raise the version")
        await refused(app("bank", closings), log, store, "(added: Closed; removed: Deposited)", "raise the version")
        async with app("bank", both, version=2).open(log, read_store=store) as running:
            [projection] = running.app.projections
            done = await running.execute(accounts, "a", Deposit(5))
            assert await running.get(projection, "a", after=done.receipt) == Count("a", 1)

    async def test_a_store_of_before_belongs_to_whoever_opens_it_first(self, log: LogStore, store: Rows) -> None:
        """Tables and checkpoints without a recorded owner stay usable."""
        for one in (app("bank"), reacting("bank")):
            for projection in one.projections:
                await store.prepare(projection.table)
            for checkpoints, follows in followed(one, log, store):
                await checkpoints.register(follows, log.log_id, Position(follows.partition, 0))
                assert await checkpoints.ownership(follows) is None
            await opened(one, log, store)
            for checkpoints, follows in followed(one, log, store):
                assert await checkpoints.ownership(follows) == Ownership("bank", None, ("Deposited",))
            await refused(replace(one, name="other"), log, store, "'bank'", "'other'")

    @pytest.mark.parametrize("made", [app, reacting])
    async def test_an_app_is_renamed(self, log: LogStore, store: Rows, made: Any) -> None:
        """Processes of both names can be opened until the new one no longer gives its old name."""
        old, renamed, new = made("shop"), made("store", formerly="shop"), made("store")
        await opened(old, log, store)
        await refused(new, log, store, "formerly='shop'")
        for one in (renamed, old, renamed, old, new, renamed, old, new):
            await opened(one, log, store)
        await refused(old, log, store, "'shop'", "'store'")
        await opened(made("market", formerly="store"), log, store)
        await refused(old, log, store, "'market'")

    async def test_whose_it_is_goes_with_it(self, log: LogStore, store: Rows) -> None:
        """A rebuild keeps it; a drop forgets it."""
        one = app("bank")
        await opened(one, log, store)
        [projection] = one.projections
        await store.clear(projection.table, log.log_id)
        for checkpoints, follows in followed(one, log, store):
            assert await checkpoints.ownership(follows) == Ownership("bank", None, ("Deposited",))
        async with app("bank", version=2).open(log, read_store=store) as running:
            [second] = running.app.projections
            await running.find(second)
            assert await try_publish(second.table, store, MemoryLog(), look_for_lost=False)
        await store.drop(projection.follows)
        for checkpoints, follows in followed(one, log, store):
            assert await checkpoints.ownership(follows) is None

    async def test_who_was_too_late_is_told(self, log: LogStore) -> None:
        """Compared and stored in one step; without a checkpoint there is no place to store it."""
        checkpoints, follows = followed(reacting("x"), log, None)[0]  # type: ignore[arg-type]
        theirs = replace_app(OURS, "theirs")
        assert not await checkpoints.assign(follows, None, OURS)
        await checkpoints.register(follows, log.log_id, Position(follows.partition, 0))
        assert await checkpoints.assign(follows, None, OURS)
        assert not await checkpoints.assign(follows, None, theirs)
        assert not await checkpoints.assign(follows, theirs, theirs)
        assert await checkpoints.ownership(follows) == OURS
        assert await checkpoints.assign(follows, OURS, theirs)
        assert await checkpoints.ownership(follows) == theirs


def replace_app(belongs: Ownership, name: str) -> Ownership:
    """The same of another App."""
    return Ownership(name, belongs.formerly, belongs.events)
