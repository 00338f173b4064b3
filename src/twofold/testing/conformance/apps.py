"""A whole App on a backend: commands, read models and reactors, in one process and in two."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from twofold import app as whole
from twofold import operate
from twofold.ambient import Ambient
from twofold.app import App, Running
from twofold.backends.memory import MemoryCheckpoints
from twofold.backends.ports import LogStore, Rows
from twofold.errors import InvalidInput, LeaseLost, Rejected, RowParked, Unavailable, VersionConflict
from twofold.messages import BEGINNING, Append, Encoded, Meta, Position, Receipt, Stream
from twofold.react.reactor import Reactor
from twofold.react.runner import Runner
from twofold.read.projection import Projection
from twofold.testing.conformance.backend import OnBackend
from twofold.testing.conformance.bank import (
    CURSED,
    KEYLESS,
    Account,
    Balance,
    Close,
    Closed,
    Deposit,
    Deposited,
    Sum,
    accounts,
    balances,
    bank,
    deposited,
    eventually,
    fold_balance,
    forward,
    forwarding,
    sums,
)
from twofold.testing.conformance.checkpoints import all_parked, claimed
from twofold.testing.conformance.material import own_feed, place_in, place_of
from twofold.write.log import Loaded


class AppConformance(OnBackend):
    """See `App` and `Running`."""

    @pytest.fixture
    async def one(self, log: LogStore, store: Rows) -> AsyncIterator[Running]:
        """The bank."""
        async with bank.open(log, read_store=store) as running:
            yield running

    @pytest.fixture
    async def two(self, one: Running, other_log: LogStore, other_store: Rows) -> AsyncIterator[Running]:
        """The bank in a second process."""
        async with bank.open(other_log, read_store=other_store) as running:
            yield running

    # ---- commands

    async def test_g3_the_same_command_id_gets_the_same_answer_for_ever(self, one: Running, two: Running) -> None:
        """The original state and events, although the stream has grown, and whatever the command is now."""
        first = await one.execute(accounts, "a", Deposit(5), command_id="once")
        empty = await one.execute(accounts, "a", Deposit(0), command_id="nothing")
        await one.execute(accounts, "a", Deposit(7))
        await one.execute(accounts, "a", Close())
        assert (first.state, first.events, first.receipt.repeated) == (Account(5), (Deposited(5),), False)
        assert (empty.state, empty.events) == (Account(5), ())
        for running in (one, two):
            for command in (Deposit(5), Deposit(-1)):
                again = await running.execute(accounts, "a", command, command_id="once", expected_version=99)
                assert again == replace(first, receipt=msgspec.structs.replace(first.receipt, repeated=True))
            again = await running.execute(accounts, "a", Deposit(3), command_id="nothing")
            assert again == replace(empty, receipt=msgspec.structs.replace(empty.receipt, repeated=True))
        assert await one.load(accounts, "a") == (Account(12, closed=True), 3)

    async def test_g3_sent_at_once_it_is_done_once(self, one: Running, two: Running) -> None:
        """The same command id from many callers in two processes."""
        for n in range(5):
            dones = await asyncio.gather(
                *((one, two)[k % 2].execute(accounts, "a", Deposit(1), command_id=f"once {n}") for k in range(8))
            )
            assert sum(not done.receipt.repeated for done in dones) == 1
            assert {(done.state, done.events, done.receipt.version) for done in dones} == {
                (Account(n + 1), (Deposited(1),), n + 1)
            }

    @pytest.mark.parametrize("page", [1, 3, 7])
    async def test_a_history_holds_each_event_once_wherever_it_starts(
        self, one: Running, monkeypatch: pytest.MonkeyPatch, page: int
    ) -> None:
        """In pages that end before, at and after the end of the stream, and from before its beginning."""
        monkeypatch.setattr(whole, "HISTORY_PAGE", page)
        for n in range(7):
            await one.execute(accounts, "a", Deposit(n + 1))
            await one.execute(accounts, "b", Deposit(100))
        for start in (-4, 0, 1, 2, 3, 4, 6, 7, 8, 20):
            found = await one.history("account-a", from_version=start)
            assert [recorded.event.amount for recorded in found] == list(range(max(1, start), 8))

    async def test_g2_many_at_once_on_one_stream(self, one: Running, two: Running) -> None:
        """The loser of a conflict decides again: all commands get through, none is lost."""
        dones = await asyncio.gather(*((one, two)[n % 2].execute(accounts, "a", Deposit(1)) for n in range(24)))
        assert sorted(done.receipt.version for done in dones) == list(range(1, 25))
        assert all(done.state.balance == done.receipt.version for done in dones)
        with pytest.raises(VersionConflict):
            await two.execute(accounts, "a", Deposit(1), expected_version=23)

    async def test_after_a_conflict_only_what_is_new_is_loaded(
        self, one: Running, two: Running, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A process decides on the state it knows; another one's append costs it that event, not the stream again."""
        for running in (two, two, two, one):
            await running.execute(accounts, "a", Deposit(1))
        loaded: list[int] = []
        load = two.log.load

        async def noted(*arguments: Any, **options: Any) -> Loaded:
            found = await load(*arguments, **options)
            loaded.append(len(found.events))
            return found

        monkeypatch.setattr(two.log, "load", noted)
        done = await two.execute(accounts, "a", Deposit(1), command_id="once")
        assert (done.state, done.receipt.version, loaded) == (Account(5), 5, [1])
        assert await two.load(accounts, "a") == (Account(5), 5)

    async def test_g10_what_is_refused_changes_nothing(self, one: Running) -> None:
        """Neither `Rejected` nor a conflict leaves a trace, and the command id stays unused."""
        with pytest.raises(Rejected):
            await one.execute(accounts, "a", Deposit(-1), command_id="c")
        with pytest.raises(VersionConflict):
            await one.execute(accounts, "a", Deposit(1), command_id="c", expected_version=3)
        assert await one.log.behind(BEGINNING) == 0
        assert (await one.execute(accounts, "a", Deposit(1), command_id="c")).receipt.repeated is False

    async def test_g10_the_name_of_a_new_stream_is_printable(self, one: Running) -> None:
        """A stream of an older log with a name that is not allowed any more can still be read and changed."""
        new, old = "te\u200ba", "te\u202ea"
        for refused in (
            one.execute(accounts, new, Deposit(1)),
            one.execute(accounts, new, Deposit(1), expected_version=0),
            one.append(f"account-{new}", [Deposited(1)]),
            one.execute(accounts, "a", Deposit(1), command_id=new),
            one.execute(accounts, "a", Deposit(1), actor=new),
        ):
            with pytest.raises(InvalidInput, match=r"U\+200B ZERO WIDTH SPACE"):
                await refused
        assert await one.log.behind(BEGINNING) == 0
        first = one.app.codec.encode(Deposited(1))
        await one.commits.append(Append(Stream("account", old), [first], 0, Meta("c", "c")))
        await one.execute(accounts, old, Deposit(1), expected_version=1, causation_id=f"account-{old}@1")
        last = await one.append(f"account-{old}", [Deposited(1)])
        assert await one.load(accounts, old) == (Account(3), 3)
        assert len(await one.history(f"account-{old}")) == 3
        row = await one.get(balances, old, after=last)
        assert row is not None
        assert row.total == 3

    async def test_who_asked_and_why_is_in_the_history(self, one: Running) -> None:
        """Actor, correlation and causation are returned with every event, page after page."""
        await one.execute(
            accounts, "a", Deposit(5), command_id="c", actor="Zoë", correlation_id="k", causation_id="o-1@1"
        )
        await one.append("account-a", [Deposited(n) for n in range(1, 1_200)], expected_version=1, command_id="d")
        history = await one.history("account-a")
        assert [recorded.version for recorded in history] == list(range(1, 1_201))
        first, last = history[0], history[-1]
        assert (first.id, first.event, first.command_id) == ("account-a@1", Deposited(5), "c")
        assert (first.actor, first.correlation_id, first.causation_id) == ("Zoë", "k", "o-1@1")
        assert (last.event, last.actor, last.correlation_id, last.causation_id) == (Deposited(1_199), None, "d", None)
        assert await one.history("account-a", from_version=1_200) == [last]
        assert await one.history("account-none") == []

    # ---- read models

    async def test_g5_rows_hold_each_event_once(self, one: Running, two: Running) -> None:
        """Two processes append and fold; the rows are those of a fresh fold."""
        chores = [(one, two)[n % 2].execute(accounts, f"{'abc'[n % 3]}{n % 7}", Deposit(n + 20)) for n in range(200)]
        dones = await asyncio.gather(*chores)
        for running in (one, two):
            for done in dones:
                await running.find(balances, after=done.receipt, limit=1)
                await running.find(sums, after=done.receipt, limit=1)
            found = {row.id: row for row in (await running.find(balances, limit=500)).rows}
            for id_, row in found.items():
                state, version = await running.load(accounts, id_)
                assert (row.total, row.deposits) == (state.balance, version)
            assert len(found) == 21
            everything = Sum("all", sum(range(20, 220)), 200)
            assert await running.get(sums, "all") == everything

    async def test_g6_reads_its_own_writes_in_another_process(self, one: Running, two: Running) -> None:
        """The token works in another process."""
        for n in range(1, 20):
            done = await one.execute(accounts, "a", Deposit(1))
            row = await two.get(balances, "a", after=done.receipt.token)
            assert row == Balance("a", n, n)

    async def test_what_nobody_wants_moves_the_checkpoint_all_the_same(self, one: Running) -> None:
        """A token of an event that the projection does not take is reached too."""
        done = await one.execute(accounts, "a", Close())
        assert await one.get(balances, "a", after=done.receipt) is None
        statuses = [status for status in await operate.status(one) if status.name == "balance"]
        at = done.receipt.position
        assert any(s.position.partition == at.partition and s.position >= at for s in statuses if s.position)
        assert {(status.lag_events, status.lag_s, status.parked) for status in statuses} == {(0, 0.0, 0)}

    async def test_a_fold_that_raises_parks_its_key_alone(self, one: Running) -> None:
        """The other keys of the event continue, and so do all other rows; later events of the key wait."""
        await one.execute(accounts, "a", Deposit(5))
        await one.execute(accounts, "a", Deposit(CURSED))
        await one.execute(accounts, "a", Deposit(7))
        waits = await one.execute(accounts, "a", Deposit(0), command_id="as far as that")
        done = await one.execute(accounts, "b", Deposit(1))
        with pytest.raises(RowParked, match="ArithmeticError: thirteen"):
            await one.get(balances, "a", after=waits.receipt)
        assert await one.get(balances, "b", after=done.receipt) == Balance("b", 1, 1)
        assert await one.get(sums, "all", after=done.receipt) == Sum("all", 5 + CURSED + 7 + 1, 4)
        with pytest.raises(RowParked):
            await one.get(sums, "a", after=done.receipt)

        later = await one.execute(accounts, "a", Deposit(1))  # in its own page
        page = await one.find(balances, after=later.receipt)
        assert (list(page.rows), page.parked) == ([Balance("a", 5, 1), Balance("b", 1, 1)], 1)
        [parked] = await all_parked(one.rows.checkpoints, balances.follows)
        assert (parked.kind, parked.key) == ("row", '["a"]')
        assert parked.position == await place_of(one.log, "account-a@2")

    @pytest.mark.parametrize("fault", ["the key cannot be known", "the event cannot be read"])
    async def test_an_event_without_a_key_parks_its_stream_alone(self, one: Running, fault: str) -> None:
        """Its rows cannot be known, so the stream waits, and everything else continues."""
        await one.execute(accounts, "a", Deposit(5))
        broken = {
            "the key cannot be known": bank.codec.encode(Deposited(KEYLESS)),
            "the event cannot be read": Encoded("Deposited", 1, b'{"amount":"lots"}', None),
        }[fault]
        await one.log.commit([Append(Stream("account", "a"), [broken], 1, Meta("broken", "broken"))])
        [receipt] = await one.log.commit(
            [Append(Stream("account", "a"), [bank.codec.encode(Deposited(7))], 2, Meta("later", "later"))]
        )
        done = await one.execute(accounts, "b", Deposit(1))
        assert isinstance(receipt, Receipt)
        await one.find(sums, after=done.receipt)
        assert await one.get(sums, "all") == Sum("all", 6, 2)
        with pytest.raises(RowParked, match="stream account-a"):  # it may belong to any row
            await one.get(sums, "all", after=done.receipt)
        later = await one.execute(accounts, "c", Deposit(1))
        page = await one.find(sums, after=later.receipt)
        assert (len(page), page.parked) == (4, 1)
        [parked] = await one.rows.checkpoints.parked(sums.follows)
        assert (parked.kind, parked.key) == ("stream", "account-a")
        assert parked.position == await place_in(one.log, "account-a@2")

    async def test_an_event_of_newer_code_waits_for_it(self, one: Running) -> None:
        """The event is fine, so nothing is parked: the older process retries and holds nothing."""
        newer = Encoded("Deposited", 99, b'{"amount":1}', None)
        await one.log.commit([Append(Stream("account", "a"), [newer], 0, Meta("newer", "newer"))])

        async def concerned() -> list[operate.FollowerStatus]:
            return [status for status in await operate.status(one) if status.lag_events]

        async def older_fails() -> bool:
            found = await concerned()
            return len(found) == 3 and {(s.state, s.parked, s.lag_events) for s in found} == {("failing", 0, 1)}

        await eventually(older_fails)
        for status in await concerned():
            assert re.match(r"NewerSchema: Deposited .* schema 99 .* deploy readers first", status.error or "")

    async def test_a_new_version_is_folded_beside_the_old_one(self, one: Running, log: LogStore, store: Rows) -> None:
        """It has its own table and checkpoint, and starts from the first event."""
        await one.execute(accounts, "a", Deposit(5))
        second = Projection("balance", Balance, fold_balance, version=2)
        async with App("bank", deciders=[accounts], projections=[second]).open(log, read_store=store) as running:
            done = await running.execute(accounts, "a", Deposit(6))
            assert await running.get(second, "a", after=done.receipt) == Balance("a", 11, 2)
            assert await one.get(balances, "a", after=done.receipt) == Balance("a", 11, 2)

    # ---- reactors

    async def test_a_reactor_acts_once_for_each_event(self, one: Running, two: Running) -> None:
        """Through two processes, in order, with ids that show the cause."""
        await asyncio.gather(
            *((one, two)[n % 2].execute(accounts, f"s{n % 5}", Deposit(n, to="t")) for n in range(1, 31))
        )
        await eventually(balance_of(one, "t", sum(range(1, 31))))
        history = await one.history("account-t")
        assert sorted(recorded.event.amount for recorded in history) == list(range(1, 31))
        by_id = {r.id: r for n in range(5) for r in await one.history(f"account-s{n}")}
        for recorded in history:
            cause = by_id[recorded.causation_id or ""]
            assert (cause.event.amount, recorded.correlation_id) == (recorded.event.amount, cause.correlation_id)
            assert recorded.actor == "reactor forwarding"

    async def test_what_was_done_is_not_done_again_when_the_checkpoint_is_put_back(
        self, log: LogStore, store: Rows
    ) -> None:
        """A page delivered again, to the same worker or to a new one, has no second effect."""
        async with bank.open(log, read_store=store, work=False) as running:
            for n in range(1, 6):
                await deposited(log, "s", n, to="t")
            page = await log.read(BEGINNING, 100)
            for _ in range(2):
                checkpoints = MemoryCheckpoints()
                await checkpoints.register(forwarding.follows, log.log_id, BEGINNING)
                claim = await claimed(checkpoints, forwarding.follows)
                runner = Runner(forwarding, log, checkpoints, running.executor.carry_out, bank.codec, Ambient())
                await runner.handle(claim, BEGINNING, page)
                with pytest.raises(LeaseLost):
                    await runner.handle(claim, BEGINNING, page)
            assert await running.load(accounts, "t") == (Account(15), 5)

    async def test_a_page_that_failed_half_way_is_finished(self, log: LogStore, store: Rows) -> None:
        """The store fails once per command, before or after it: in the end each was executed once."""
        failed: set[str] = set()
        async with bank.open(log, read_store=store, work=False) as running:

            async def carry_out(decider: Any, id: str, command: Any, meta: Meta) -> object:
                first_time = meta.command_id not in failed
                failed.add(meta.command_id)
                if first_time and command.amount % 3 == 0:
                    raise Unavailable("just now")
                done = await running.executor.carry_out(decider, id, command, meta)
                if first_time:
                    raise Unavailable("the answer was lost")
                return done

            for n in range(1, 13):
                await deposited(log, "s", n, to=f"t{n % 2}")
            feed = own_feed(log, "s")
            beginning, follower = Position(feed.partition, 0), forwarding.follows.in_partition(feed.partition)
            runner = Runner(forwarding, feed, log.checkpoints, carry_out, bank.codec, Ambient())
            claim, page = await claimed(log.checkpoints, follower), await feed.read(beginning, 100)
            for _ in range(12):
                with pytest.raises(Unavailable):
                    await runner.handle(claim, beginning, page)
            await runner.handle(claim, beginning, page)
            assert await running.load(accounts, "t0") == (Account(42), 6)
            assert await running.load(accounts, "t1") == (Account(36), 6)
            assert list(await log.checkpoints.parked(follower)) == []
            found = await log.checkpoints.read(follower)
            assert found is not None
            assert found.position == page.upto

    async def test_start_says_where_a_new_reactor_begins(self, log: LogStore, store: Rows) -> None:
        """A new reactor starts at the first event or the next one; afterwards it resumes from its checkpoint."""
        await deposited(log, "s", 1, to="t")
        reactor = Reactor("from_now", forward, start="now")
        app = App("bank", deciders=[accounts], reactors=[reactor])
        async with app.open(log, read_store=store, work=False) as running:
            await running.execute(accounts, "s", Deposit(2, to="t"))
        async with app.open(log, read_store=store) as running:
            await running.execute(accounts, "s", Deposit(4, to="t"))
            await eventually(balance_of(running, "t", 6))
        async with bank.open(log, read_store=store) as running:
            await eventually(balance_of(running, "t", 6 + 7))

    async def test_a_refusal_in_a_reactor_parks_the_stream_and_others_go_on(self, one: Running) -> None:
        """`Rejected` is a defect here: the events of that stream wait."""
        await one.execute(accounts, "closed", Close())
        await one.execute(accounts, "s", Deposit(1, to="closed"))
        await one.execute(accounts, "s", Deposit(2, to="t"))
        await one.execute(accounts, "u", Deposit(4, to="t"))
        await eventually(balance_of(one, "t", 4))
        await one.execute(accounts, "s", Deposit(8, to="t"))
        await one.execute(accounts, "u", Deposit(16, to="t"))
        await eventually(balance_of(one, "t", 20))
        await eventually(lambda: has_parked(one))
        [parked] = await all_parked(one.log.checkpoints, forwarding.follows)
        assert (parked.kind, parked.key) == ("stream", "account-s")
        assert parked.position == await place_of(one.log, "account-s@1")
        statuses = [status for status in await operate.status(one) if status.name == "forwarding"]
        [status] = [status for status in statuses if status.partition == parked.position.partition]
        assert (status.kind, status.parked, status.state, status.error) == ("reactor", 1, "following", None)
        assert sum(status.parked for status in statuses) == 1
        assert parked.error == "Rejected: a deposit of 1 is refused"
        assert [recorded.event for recorded in await one.history("account-closed")] == [Closed()]

    # ---- starting and stopping

    async def test_it_goes_on_where_it_stopped(self, log: LogStore, store: Rows) -> None:
        """Stopped and restarted again and again, with work and without."""
        for n in range(1, 7):
            async with bank.open(log, read_store=store, work=n % 2 == 0) as running:
                done = await running.execute(accounts, "a", Deposit(1))
                if n % 2 == 0:
                    assert await running.get(balances, "a", after=done.receipt) == Balance("a", n, n)
                else:
                    states = {status.state for status in await operate.status(running)}
                    assert states == {"elsewhere"}


async def has_parked(running: Running) -> bool:
    """Whether a reaction waits."""
    return bool(await all_parked(running.log.checkpoints, forwarding.follows))


def balance_of(running: Running, id: str, expected: int) -> Callable[[], Awaitable[bool]]:
    """Whether the account has this much."""

    async def look() -> bool:
        state, _ = await running.load(accounts, id)
        assert state.balance <= expected, "more than there is"
        return state.balance == expected

    return look
