"""What others have built on a read model in SQLite, and what then becomes of its name and its tables."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import apsw
import pytest

from twofold import operate
from twofold.app import Running
from twofold.backends.connect import connect_read
from twofold.backends.sqlite import definitions
from twofold.errors import ConfigurationError, InvalidInput
from twofold.messages import BEGINNING
from twofold.read import publish
from twofold.testing.conformance.bank import Balance, balances, deposited, eventually
from twofold.testing.conformance.rebuild import Worth, caught_up, changed, only, rebuilt, worth
from twofold.testing.conformance.rows import live, prepared, tally


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish, "AGAIN_S", 0.05)


@pytest.fixture
async def url(tmp_path: Path) -> str:
    """With the first version, folded."""
    url = f"sqlite:///{tmp_path}/bank.db"
    async with only.open(url) as running:
        await running.find(balances, after=await deposited(running.log, "a", 1, 2))
    return url


@pytest.fixture
def user(url: str, tmp_path: Path) -> Iterator[apsw.Connection]:
    """A user with SQL."""
    connection = apsw.Connection(str(tmp_path / "bank.read.db"))
    connection.set_busy_timeout(5_000)
    yield connection
    connection.close()


async def status_of(running: Running) -> operate.FollowerStatus:
    [status] = await operate.status(running)
    return status


def columns(user: apsw.Connection) -> list[Any]:
    return [name for (name,) in user.execute("SELECT name FROM pragma_table_info('balance')")]


async def test_a_view_that_would_no_longer_work_holds_the_name_and_nothing_else(
    url: str, user: apsw.Connection
) -> None:
    user.execute("CREATE VIEW fine AS SELECT id FROM balance")
    user.execute("CREATE VIEW broken AS SELECT missing FROM balance")  # it never worked, and holds nothing
    user.execute("CREATE VIEW report AS SELECT id, deposits FROM balance")
    async with changed.open(url) as running:

        async def noted() -> bool:
            return (await status_of(running)).note is not None

        receipt = await deposited(running.log, "b", 5)
        assert await running.get(worth, "b", after=receipt) == Worth("b", 5)
        await eventually(noted)
        status = await status_of(running)
        assert (status.state, status.error) == ("following", None)
        assert "view report would no longer work" in str(status.note)
        assert user.execute("SELECT id, deposits FROM report").fetchall() == [("a", 2)]
        with pytest.raises(InvalidInput, match="balance v1 is live: only older versions"):
            await operate.drop(running, balances.follows)
        user.execute("DROP VIEW report")

        async def shown() -> bool:
            return columns(user) == ["id", "worth"]

        await eventually(shown)
        assert user.execute("SELECT id FROM fine ORDER BY id").fetchall() == [("a",), ("b",)]
        await operate.drop(running, balances.follows)


async def test_a_trigger_on_the_name_stays(url: str, user: apsw.Connection) -> None:
    user.execute("CREATE TABLE wished (id)")
    wish = "CREATE TRIGGER wish INSTEAD OF INSERT ON balance BEGIN INSERT INTO wished VALUES (new.id); END"
    user.execute(wish)
    async with changed.look(url) as running:
        await caught_up(running)
        assert columns(user) == ["id", "worth"]
    user.execute("INSERT INTO balance (id) VALUES ('mine')")
    assert user.execute("SELECT id FROM wished").fetchall() == [("mine",)]


@pytest.mark.parametrize("made", ["TABLE balance (mine)", "VIEW balance AS SELECT 1 AS mine"])
async def test_somebody_else_has_taken_the_name(url: str, user: apsw.Connection, made: str) -> None:
    """The name is theirs now; folding goes on, also in the version that had it."""
    user.execute("DROP VIEW balance")
    user.execute(f"CREATE {made}")
    async with changed.look(url) as running:
        await caught_up(running)
        note = running.followers[0].follower.publisher.note  # type: ignore[attr-defined]
        assert "called 'balance' that twofold did not create: rename it, or the projection" in note
    async with only.look(url) as running:
        await rebuilt(running)
        assert await live(running.rows) == [1]
    assert columns(user) == ["mine"]


async def test_a_view_of_somebody_else_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "bank.read.db"
    with apsw.Connection(str(path)) as db:
        db.execute("CREATE VIEW balance AS SELECT 1 AS mine")
    with pytest.raises(ConfigurationError, match="a view called 'balance' that twofold did not create: rename it"):
        async with only.open(f"sqlite:///{tmp_path}/bank.db"):
            pass


async def test_what_reads_from_a_table_of_ours_keeps_it(url: str, user: apsw.Connection) -> None:
    user.execute("CREATE VIEW deep AS SELECT id FROM twofold_balance_v1")
    async with changed.look(url) as running:
        await caught_up(running)
        with pytest.raises(InvalidInput, match="balance v1 cannot be dropped, because view deep would no longer work"):
            await operate.drop(running, balances.follows)
        assert user.execute("SELECT * FROM deep").fetchall() == [("a",)]
        user.execute("DROP VIEW deep")
        await operate.drop(running, balances.follows)


async def test_a_rebuild_leaves_views_triggers_and_indexes_as_they_are(url: str, user: apsw.Connection) -> None:
    """Those of users, on the name and on the table itself; ours are not made twice."""
    user.execute("CREATE VIEW report AS SELECT id, deposits FROM balance")
    user.execute("CREATE VIEW deep AS SELECT id FROM twofold_balance_v1")
    for name in ("twofold_balance_v1_mine", "twofold_balance_v1_1_mine"):
        user.execute(f"CREATE INDEX {name} ON twofold_balance_v1 (deposits)")
    user.execute("CREATE TABLE audit (id)")
    audit = "CREATE TRIGGER audited AFTER INSERT ON twofold_balance_v1 BEGIN INSERT INTO audit VALUES (new.id); END"
    user.execute(audit)
    indexed = replace(only, projections=[replace(balances, indexes=["total"])])
    async with indexed.open(url) as running:
        for _ in range(2):
            await rebuilt(running)
        receipt = await deposited(running.log, "b", 5)
        assert await running.get(balances, "b", after=receipt) == Balance("b", 5, 1)
        await running.rows.index(indexed.projections[0].table)
    assert user.execute("SELECT * FROM report ORDER BY id").fetchall() == [("a", 2), ("b", 1)]
    assert user.execute("SELECT * FROM deep ORDER BY id").fetchall() == [("a",), ("b",)]
    assert user.execute("SELECT id FROM audit").fetchall() == [("b",)]
    made = "SELECT sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL AND tbl_name = 'twofold_balance_v1'"
    assert sorted(sql.partition(" ON ")[2] for (sql,) in user.execute(made)) == [
        '"twofold_balance_v1" ("total")',
        "twofold_balance_v1 (deposits)",
        "twofold_balance_v1 (deposits)",
    ]
    assert user.execute("SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name GLOB '*~*'").fetchone() == (
        0,
    )


async def test_g8_the_name_does_not_go_back_from_v3_to_v2(
    url: str, user: apsw.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The older one has seen that it may; the newer one is quicker."""
    store, other = [await connect_read(url.replace(".db", ".read.db")) for _ in range(2)]
    try:
        for version in (1, 2, 3):
            await prepared(store, tally(version))
        index = definitions.index

        def meanwhile(db: apsw.Connection, sql: Any) -> None:
            monkeypatch.setattr(definitions, "index", index)
            assert definitions.publish(user, tally(3), [BEGINNING], ())

        monkeypatch.setattr(definitions, "index", meanwhile)
        assert await store.publish(tally(2), [BEGINNING]) is True
        assert await live(other) == [1, 3], "balance v1, tally v3"
        [(shown,)] = user.execute("SELECT sql FROM sqlite_schema WHERE name = 'tally'")
        assert "tally_v3" in str(shown)
    finally:
        for opened in (store, other):
            await opened.close()
