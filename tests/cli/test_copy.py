"""`twofold copy`: its output, how it ends, and its exit codes."""

import asyncio
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from typer.testing import Result

from twofold.ambient import Ambient
from twofold.backends.connect import connect
from twofold.errors import ConfigurationError
from twofold.messages import BEGINNING
from twofold.write.copies import Imports

APP = "counting:today"
FROM, TO = ["--from", "sqlite:///counting.db"], ["--to", "sqlite:///copy.db"]


def sides(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_a_copy_is_verified_and_served(twofold: Callable[..., Result], counting: Any) -> None:
    printed = twofold("copy", APP, *FROM, *TO, "--verify", "--json")
    source, copy = sides(printed)
    assert printed.exit_code == 0
    assert (source["side"], source["upTo"], source["events"], source["commandIds"]) == ("from", "0:20", 20, 20)
    assert copy == {**source, "side": "to", "logId": copy["logId"]}
    assert copy["logId"] != source["logId"]
    asyncio.run(_counted_on_the_copy(counting))
    assert twofold("verify", APP, "totals", "--store", "sqlite:///copy.db").exit_code == 0


async def _counted_on_the_copy(counting: Any) -> None:
    async with counting.today.open("sqlite:///copy.db") as running:
        done = await running.execute(counting.counters, "0", counting.Add(1))
        assert done.receipt.version == 5
        assert await running.get(counting.totals, "0", after=done.receipt) is not None


def test_people_are_told_what_the_copy_is(twofold: Callable[..., Result], counting: Any) -> None:
    printed = twofold("copy", APP, *FROM, *TO)
    assert printed.exit_code == 0
    assert "checksum" not in printed.stdout
    assert "has a log id of its own" in printed.stderr
    assert "`twofold rebuild counting:today --all`" in printed.stderr


def test_it_goes_on_with_a_copy_and_refuses_one_that_was_used(twofold: Callable[..., Result], counting: Any) -> None:
    assert twofold("copy", APP, *FROM, *TO).exit_code == 0
    assert twofold("copy", APP, *FROM, *TO, "--verify").exit_code == 0
    asyncio.run(_counted_on_the_copy(counting))
    refused = twofold("copy", APP, *FROM, *TO)
    assert refused.exit_code == 1
    assert "something was appended to it since it was copied" in refused.stderr


def test_a_difference_is_found(twofold: Callable[..., Result], counting: Any) -> None:
    assert twofold("copy", APP, *FROM, *TO).exit_code == 0
    with closing(sqlite3.connect("copy.db")) as db:
        db.execute("""UPDATE twofold_events SET data = '{"by":2}' WHERE position = 7""")
        db.commit()
    found = twofold("copy", APP, *FROM, *TO, "--verify", "--json")
    source, copy = sides(found)
    assert found.exit_code == 1
    assert source["checksum"] != copy["checksum"]
    assert "the copy is wrong: " in found.stderr


def test_an_unfinished_copy_is_told(twofold: Callable[..., Result], counting: Any) -> None:
    async def begun() -> None:
        log = await connect("sqlite:///copy.db", Ambient())
        assert isinstance(log, Imports)
        await log.importing.begin("0123456789abcdef", [BEGINNING])
        await log.close()

    asyncio.run(begun())
    refused = twofold("copy", APP, *FROM, *TO)
    assert refused.exit_code == 1
    assert "it is a copy of log 0123456789abcdef, not of " in refused.stderr
    asyncio.run(_refused(counting))


async def _refused(counting: Any) -> None:
    with pytest.raises(ConfigurationError, match="an unfinished copy of log 0123456789abcdef: run the same"):
        async with counting.today.open("sqlite:///copy.db"):
            pytest.fail("it was opened")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["copy", APP, *FROM, "--to", "sqlite:///counting.db"], 1, "both URLs lead to log "),
        (["copy", APP, "--from", "sqlite:///none.db", *TO], 1, "there is no store at "),
        (["copy", APP, *FROM, "--to", "memory:"], 2, "a copy in `memory:` is lost when this command ends"),
        (["copy", APP, *FROM, "--to", "sqlalchemy+sqlite+aiosqlite:///x.db"], 1, "SQLAlchemy stores read models only"),
        (["copy", "counting", *FROM, *TO], 2, "is not module:name"),
        (["copy", APP, *TO], 2, "--from"),
    ],
)
def test_what_cannot_be_copied(
    twofold: Callable[..., Result], counting: Any, arguments: list[str], code: int, said: str
) -> None:
    refused = twofold(*arguments)
    assert (refused.exit_code, refused.stdout) == (code, "")
    assert said in " ".join(refused.stderr.split()), refused.stderr
