"""`verify` and `diff` on a whole App: what they find, and what must not mislead them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import pytest

from twofold import operate
from twofold.app import App, Running
from twofold.backends.ports import LogStore, Rows
from twofold.codec import Stored
from twofold.errors import InvalidInput, LogReplaced
from twofold.feed.partitions import feed_of
from twofold.messages import Recorded
from twofold.read.projection import Key, Projection
from twofold.read.proof import verify
from twofold.read.proof.verify import Report
from twofold.read.store import Changes
from twofold.testing.conformance.backend import OnBackend
from twofold.testing.conformance.bank import (
    CURSED,
    KEYLESS,
    Balance,
    Closed,
    Deposited,
    Sum,
    accounts,
    balances,
    bank,
    deposited,
    fold_balance,
    fold_sum,
    sums,
)
from twofold.testing.conformance.checkpoints import claimed, first_place
from twofold.testing.conformance.everything import IN_ORDER, NESTED, Everything
from twofold.write.decider import Decider


@dataclass(frozen=True, slots=True)
class PerDay:
    """A row with a key of two fields, not the first ones."""

    total: int = 0
    account: str = ""
    number: int = 0


def day_keys(event: Deposited, recorded: Recorded) -> list[tuple[str, int]]:
    """Two rows for each event."""
    return [(recorded.stream.id, recorded.version % 3), ("*", 0)]


def fold_day(row: PerDay, event: Deposited, recorded: Recorded) -> PerDay | None:
    """Deleted by one amount, created again by the next."""
    return None if event.amount == CURSED else replace(row, total=row.total + event.amount)


days = Projection("per_day", PerDay, fold_day, key=day_keys, key_fields=("account", "number"))


@dataclass(frozen=True, slots=True)
class Profile:
    """A document."""

    name: str = ""
    tags: frozenset[str] = frozenset()
    balance: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Rename:
    """Set the name and the tags."""

    name: str
    tags: frozenset[str]


@dataclass(frozen=True, slots=True)
class Renamed:
    """The name was changed."""

    name: str
    tags: frozenset[str]


def rename(command: Rename, profile: Profile) -> list[Renamed]:
    """Always."""
    return [Renamed(command.name, command.tags)]


def renamed(profile: Profile, event: Renamed) -> Profile:
    """Apply the event to the document."""
    return Profile(event.name, event.tags, profile.balance + Decimal("0.01"))


profiles = Decider("profile", Profile(), rename, renamed, stored="state")


@dataclass(frozen=True, slots=True)
class Shown:
    """A row built from a document alone."""

    id: str
    name: str = ""
    tags: frozenset[str] = frozenset()
    cents: Decimal = Decimal(0)


def show(row: Shown, event: Profile, recorded: Recorded) -> Shown | None:
    """The document has everything; one without a name has no row."""
    return Shown(row.id, event.name, event.tags, event.balance) if event.name else None


shown = Projection("shown", Shown, show)


@dataclass(frozen=True, slots=True)
class Kept:
    """A row with the event's content."""

    row: Everything


def keep(row: Everything, event: Kept, recorded: Recorded) -> Everything:
    """Take the content unchanged."""
    return replace(event.row, id=row.id)


kept = Projection("kept", Everything, keep)


@dataclass(frozen=True, slots=True)
class Changed:
    """A redesigned balance: without `deposits`, with `largest`."""

    id: str
    total: int = 0
    largest: int = 0


def fold_changed(row: Changed, event: Deposited | Closed, recorded: Recorded) -> Changed | None:
    """One amount counts more, and closing deletes the row."""
    match event:
        case Deposited(amount):
            return Changed(row.id, row.total + amount + (1 if amount == 7 else 0), max(row.largest, amount))
        case Closed():
            return None if row.total else Changed(row.id)


changed = Projection("balance", Changed, fold_changed, version=2)
whole = App(
    "whole",
    deciders=[accounts, profiles],
    projections=[balances, sums, days, shown, kept],
    stored={Kept: Stored("Kept")},  # appended without a decider
)


class ProofConformance(OnBackend):
    """See `Running.verify` and `Running.diff`."""

    @pytest.fixture
    async def running(self, log: LogStore, store: Rows) -> AsyncIterator[Running]:
        """All projections, folded only when a test says so."""
        async with whole.open(log, read_store=store, work=False) as running:
            yield running

    async def test_g9_a_read_model_is_what_the_feed_makes_of_it(
        self, running: Running, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Sums, several keys, deleted rows, documents, in pages of three rows."""
        monkeypatch.setattr(verify, "PAGE_ROWS", 3)
        await some_history(running)
        projections: list[Projection[Any]] = [balances, sums, days, shown]
        for projection in projections:
            found = await operate.verify(running, projection)
            assert found.equal, projection.name
            page = await running.find(projection, limit=500)
            assert (found.rows, found.parked, found.begin == found.end) == (len(page), [], True)

    @pytest.mark.parametrize("page_rows", [1, 4, 1_000])
    async def test_g9_wrong_rows_are_told(
        self, running: Running, monkeypatch: pytest.MonkeyPatch, page_rows: int
    ) -> None:
        """A wrong row, a missing one, an extra one at the end and one before the beginning."""
        monkeypatch.setattr(verify, "PAGE_ROWS", page_rows)
        await some_history(running)
        wrong: dict[Key, Any] = {("a1",): ("a1", 999, 2), ("b2",): None, ("!",): ("!", 0, 0), ("zz",): ("zz", 0, 0)}
        before = await running.get(balances, "a1")
        assert before is not None
        wrong["a1",] = ("a1", before.total + 1, before.deposits)
        await overwritten(running, balances, wrong)
        found = await operate.verify(running, balances)
        assert kinds(found) == {"!": "extra", "a1": "different", "b2": "missing", "zz": "extra"}
        assert found.counts == {"missing": 1, "extra": 2, "different": 1}
        changed = next(one for one in found.differences if one.kind == "different")
        assert [(c.column, c.live, c.fold) for c in changed.cells] == [("total", before.total + 1, before.total)]

    async def test_g9_a_key_of_two_fields(self, running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
        """Its rows are compared by the whole key."""
        monkeypatch.setattr(verify, "PAGE_ROWS", 2)
        await some_history(running)
        await overwritten(running, days, {("a1", 1): (0, "a1", 1), ("a1", 7): (0, "a1", 7), ("b2", 2): None})
        found = await operate.verify(running, days)
        assert {one.key: one.kind for one in found.differences} == {
            ("a1", 1): "different",
            ("a1", 7): "extra",
            ("b2", 2): "missing",
        }

    async def test_g9_the_event_after_which_it_differs(self, running: Running) -> None:
        """The event after the last state that the row still equals."""
        for amount in (5, 7, 9):
            await deposited(running.log, "lost", amount)
            await deposited(running.log, "odd", amount)
            await deposited(running.log, "gone", amount)
        await folded(running, balances)
        wrong: dict[Key, Any] = {
            ("lost",): ("lost", 12, 2),  # as after the second event
            ("odd",): ("odd", 22, 3),  # as never
            ("gone",): None,
            ("new",): ("new", 1, 1),
        }
        await overwritten(running, balances, wrong)
        found = {one.key[0]: one.since for one in (await operate.verify(running, balances)).differences}
        assert {key: since and (since.event, since.agreed_before) for key, since in found.items()} == {
            "lost": ("account-lost@3", True),
            "odd": ("account-odd@1", False),
            "gone": ("account-gone@1", True),
            "new": None,
        }

    async def test_g9_what_is_parked_is_left_out_where_a_difference_is_traced(self, log: LogStore, store: Rows) -> None:
        """Although the events of the parked stream could be folded by now, and would make the row look right."""

        def mended_keys(event: Deposited, recorded: Recorded) -> list[str]:
            return ["all", recorded.stream.id[:1], "all"]

        mended = Projection("sum", Sum, fold_sum, key=mended_keys)
        now = App("bank", deciders=[accounts], projections=[mended])
        async with bank.open(log, read_store=store, work=False) as running:
            await deposited(log, "a", 5, KEYLESS, 7)
            await deposited(log, "b", 1)
            await folded(running, sums)
            await overwritten(running, sums, {("all",): ("all", 5 + KEYLESS + 7, 3)})
        async with now.look(log, read_store=store) as running:
            found = await operate.verify(running, mended)
            assert [one.key for one in found.parked] == ["account-a"]
            [one] = found.differences
            assert (one.key, [cell.fold for cell in one.cells]) == (("all",), [6, 2])
            assert one.since is not None
            assert (one.since.event, one.since.agreed_before) == ("account-a@1", False)

    async def test_g9_a_row_is_traced_up_to_where_it_was_compared(
        self, running: Running, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A later event would make it look right, but only rows of later pages were compared with that."""
        monkeypatch.setattr(verify, "PAGE_ROWS", 1)
        for name in ("a", "b", "c"):
            await deposited(running.log, name, 5, 7)
        await folded(running, balances)
        await overwritten(running, balances, {(name,): (name, 5, 2) for name in ("a", "c")})
        find, pages = running.rows.find, 0

        async def between(table: Any, query: Any) -> Any:
            nonlocal pages
            found, pages = await find(table, query), pages + 1
            if pages == 1:
                await deposited(running.log, "a", -7)
                await folded(running, balances)
            return found

        monkeypatch.setattr(running.rows, "find", between)
        found = await operate.verify(running, balances)
        since = {one.key[0]: one.since for one in found.differences}
        assert {key: one and (one.event, one.agreed_before) for key, one in since.items()} == {
            "a": ("account-a@2", True),
            "c": ("account-c@2", True),
        }

    async def test_g9_a_fold_that_begins_again_tells_each_failure_once(
        self, log: LogStore, store: Rows, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What was parked is retried between two pages. Then only what fails in the second fold has failed."""
        monkeypatch.setattr(verify, "PAGE_ROWS", 1)
        mended = False

        def older(row: Balance, event: Deposited, recorded: Recorded) -> Balance:
            if event.amount == KEYLESS and not mended:
                raise ArithmeticError("fourteen")
            return Balance(row.id, row.total + event.amount, row.deposits + 1)

        before = App("bank", deciders=[accounts], projections=[Projection("balance", Balance, older)])
        await deposited(log, "a", 5, CURSED)
        await deposited(log, "b", 1)
        await deposited(log, "c", 1, KEYLESS)
        async with (
            before.open(log, read_store=store, work=False) as live,
            bank.look(log, read_store=store) as running,
        ):
            await folded(live, *before.projections)
            find, pages = running.rows.find, 0

            async def between(table: Any, query: Any) -> Any:
                nonlocal pages, mended
                found, pages = await find(table, query), pages + 1
                if pages == 2:
                    mended = True
                    await live.parking.retry("balance")
                return found

            monkeypatch.setattr(running.rows, "find", between)
            found = await operate.verify(running, balances)
            assert [(one.key, one.event) for one in found.failures] == [('["a"]', "account-a@2")]
            assert (found.parked, found.differences, found.events) == ([], [], 5)

    async def test_g9_every_kind_of_column_is_compared(self, running: Running) -> None:
        """Values of all kinds equal themselves, and every different value is reported by column."""
        values = [{name: value} for name, those in (*IN_ORDER.items(), *NESTED.items()) for value in those]
        rows = [Everything(f"{n:03}", **one) for n, one in enumerate(values)]
        for row in [*rows, Everything("none")]:
            await running.append(f"kept-{row.id}", [Kept(row)])
        await folded(running, kept)
        found = await operate.verify(running, kept)
        assert (found.equal, found.rows) == (True, len(rows) + 1)

        filled = {name: those[0] for name, those in (*IN_ORDER.items(), *NESTED.items())}
        others = {name: those[1] for name, those in (*IN_ORDER.items(), *NESTED.items())}
        for name in filled:
            await running.append(f"kept-{name}", [Kept(Everything("", **filled))])
        await folded(running, kept)
        wrong = {name: Everything(name, **{**filled, name: others[name]}) for name in filled}
        none = {name: Everything(name, **{**filled, name: None}) for name in filled}
        for rows_ in (wrong, none):
            await overwritten(running, kept, {(key,): kept.format.to_values(row) for key, row in rows_.items()})
            found = await operate.verify(running, kept)
            assert {one.key[0]: [c.column for c in one.cells] for one in found.differences} == {
                name: [name] for name in filled
            }

    async def test_g9_what_is_parked_is_listed_apart(self, running: Running) -> None:
        """Parked rows and streams are not compared; all others are, without the parked events."""
        for amount in (5, CURSED, 6):
            await deposited(running.log, "a", amount)
        for amount in (1, KEYLESS, 2):
            await deposited(running.log, "b", amount)
        await deposited(running.log, "c", 4)
        await folded(running, balances, sums)
        found = await operate.verify(running, balances)
        assert (found.equal, [(one.kind, one.key) for one in found.parked]) == (True, [("row", '["a"]')])
        found = await operate.verify(running, sums)
        assert (found.equal, [(one.kind, one.key) for one in found.parked]) == (
            True,
            [("row", '["a"]'), ("stream", "account-b")],
        )
        await overwritten(running, sums, {("c",): ("c", 5, 1), ("a",): None})
        assert kinds(await operate.verify(running, sums)) == {"c": "different"}

    async def test_g9_while_it_goes_on(
        self, log: LogStore, store: Rows, other_log: LogStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Rows change, come and go during the comparison; each page is compared at the position of its read."""
        monkeypatch.setattr(verify, "PAGE_ROWS", 2)
        async with whole.open(log, read_store=store) as running:
            await some_history(running, fold=False)
            projections: list[Projection[Any]] = [balances, sums, days]
            written = 0
            for projection in projections:
                done = asyncio.Event()
                writing = asyncio.create_task(writer(other_log, done, most=1_000))
                try:
                    found = await operate.verify(running, projection)
                    assert found.equal, found
                finally:
                    done.set()
                    written += await writing
            await running.settled(timeout_s=60)
            for projection in projections[:2]:
                found = await operate.verify(running, projection)
                left = [await feed_of(log, position.partition).behind(position) for position in found.end]
                assert (found.equal, sum(left)) == (True, 0), f"{written} while it went on"

    async def test_g9_a_sample_finds_what_is_wrong_in_it(self, running: Running) -> None:
        """This many rows, or all if there are fewer. Missing rows can be in the sample too."""
        await some_history(running)
        found = await operate.verify(running, balances, sample=5)
        assert (found.equal, found.rows) == (True, 5)
        rows = len(await running.find(balances, limit=500))
        assert (await operate.verify(running, balances, sample=10_000)).rows == rows
        await overwritten(running, balances, {("b2",): None})
        assert kinds(await operate.verify(running, balances, sample=10_000)) == {"b2": "missing"}
        with pytest.raises(InvalidInput, match="sample"):
            await operate.verify(running, balances, sample=0)

    async def test_g9_begun_again_meanwhile(self, running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
        """Otherwise pages of two tables would be compared with one fold."""
        monkeypatch.setattr(verify, "PAGE_ROWS", 2)
        await some_history(running)
        told: list[str] = []
        pages = running.rows.find

        async def find(table: Any, query: Any) -> Any:
            told.append(table.name)
            if len(told) == 3:
                await running.rows.clear(table, running.log.log_id)
            return await pages(table, query)

        monkeypatch.setattr(running.rows, "find", find)
        with pytest.raises(LogReplaced, match="restarted meanwhile"):
            await operate.verify(running, balances)

    async def test_g9_what_was_never_folded_cannot_be_compared(self, log: LogStore, store: Rows) -> None:
        """A projection of another App is refused, and so is one without a table."""
        async with bank.look(log, read_store=store) as running:
            with pytest.raises(InvalidInput, match="no table of balance v1"):
                await operate.verify(running, balances)
            with pytest.raises(InvalidInput, match="does not belong to bank"):
                await operate.verify(running, days)

    async def test_a_fold_that_cannot_go_on_where_the_read_model_did(self, log: LogStore, store: Rows) -> None:
        """It is neither a difference of values nor a parked key: it is reported separately."""

        def bolder(row: Balance, event: Deposited, recorded: Recorded) -> Balance:
            return Balance(row.id, row.total + event.amount, row.deposits + 1)

        before = App("bank", deciders=[accounts], projections=[Projection("balance", Balance, bolder)])
        async with before.open(log, read_store=store, work=False) as running:
            await deposited(log, "a", 5, CURSED, 6)
            await deposited(log, "b", 5)
            await folded(running, *before.projections)
        async with bank.look(log, read_store=store) as running:
            found = await operate.verify(running, balances)
            assert (found.equal, found.rows, found.differences) == (False, 1, [])
            [failure] = found.failures
            assert (failure.kind, failure.key, failure.event) == ("row", '["a"]', "account-a@2")

    async def test_what_a_change_would_alter(self, running: Running) -> None:
        """Rows altered, added and removed, columns too; the store is as it was."""
        for id_, amount in (("a", 5), ("b", 7), ("c", 9)):
            await deposited(running.log, id_, amount)
        await running.append("account-c", [Closed()])
        await running.append("account-d", [Closed()])
        await folded(running, balances)
        before = await running.find(balances)
        tables = await running.rows.tables()
        found = await operate.diff(running, balances, changed)
        assert kinds(found) == {"b": "different", "c": "extra", "d": "missing"}
        assert [(c.column, c.live, c.fold) for c in found.differences[0].cells] == [("total", 7, 8)]
        assert ([c.name for c in found.added], [c.name for c in found.removed]) == (["largest"], ["deposits"])
        assert (found.rows, found.equal) == (4, False)
        assert [one.since for one in found.differences] == [None] * 3, "no event is at fault"
        assert await running.find(balances) == before
        assert await running.rows.tables() == tables
        same = await operate.diff(running, balances, Projection("balance", Balance, fold_balance, version=2))
        assert (same.equal, same.rows) == (True, 3)
        with pytest.raises(InvalidInput, match=r"account \(text\), number \(integer\)"):
            await operate.diff(running, balances, days)


async def some_history(running: Running, fold: bool = True) -> None:
    """Twelve accounts, some rows that are deleted and created again, documents."""
    for n in range(1, 60):
        await deposited(running.log, f"{'abc'[n % 3]}{n % 4}", n + 20 if n % 10 else 1, *([2] if n % 5 else []))
    for n in range(12):
        tags = frozenset({"x", "y", f"z{n}", "long " * n})
        await running.execute(profiles, f"p{n % 5}", Rename(f"name {n}" if n % 4 else "", tags))
    if fold:
        await folded(running, *whole.projections)


async def folded(running: Running, *projections: Projection[Any]) -> None:
    """Fold up to the head."""
    for projection in projections:
        for following in await operate.prepared(running, projection):
            async for _ in following.catch_up():
                pass


async def overwritten(running: Running, projection: Projection[Any], rows: Mapping[Key, Any]) -> None:
    """Change the table by hand."""
    seen = await first_place(running.rows.checkpoints, projection.follows)
    claim = await claimed(running.rows.checkpoints, seen.follower)
    await running.rows.commit(
        projection.table, claim, seen.position, seen.position, Changes(dict(sorted(rows.items())))
    )
    await running.rows.checkpoints.release(claim)


async def writer(log: LogStore, done: asyncio.Event, most: int) -> int:
    """Deposit into all accounts and new ones, until stopped or until `most` deposits are made.

    A log in memory accepts deposits faster than they are folded on the same core: without a limit, each page would
    have more to catch up with than the previous one.
    """
    written = 0
    while not done.is_set() and written < most:
        written += 1
        await deposited(log, f"{'abcdz'[written % 5]}{written % 7}", written + 20 if written % 10 else CURSED + 2)
    return written


def kinds(found: Report) -> dict[Any, str]:
    """The kind of difference by row."""
    return {one.key[0]: one.kind for one in found.differences}
