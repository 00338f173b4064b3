"""The output of the commands, and their exit codes."""

import asyncio
import importlib
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from twofold import cli, operate
from twofold.cli.status import _line
from twofold.feed import lease
from twofold.messages import BEGINNING, Position
from twofold.testing.conformance.checkpoints import claimed

pytestmark = pytest.mark.slow

STORE = "sqlite:///counting.db"
APP = "counting:today"


def heads(result: Result) -> list[str]:
    """The headings of the printed table."""
    [line] = [line for line in result.stdout.splitlines() if line.startswith("┃")]
    return [cell.strip() for cell in line.strip("┃").split("┃")]


def lines(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_the_version(twofold: Callable[..., Result]) -> None:
    assert re.fullmatch(r"twofold \d+\.\d+\.\d+\n", twofold("--version").stdout)


@pytest.mark.parametrize("command", [["status", APP], ["tables", APP], ["log", "show", APP]])
def test_tables_have_the_names_of_the_json_as_words(
    twofold: Callable[..., Result], counting: Any, command: list[str]
) -> None:
    [row] = lines(twofold(*command, "--json"))
    names = [name for name in row if name != "note"]
    assert heads(twofold(*command)) == [re.sub("[A-Z]", lambda big: f" {big[0].lower()}", name) for name in names]


def test_status_of_what_is_well(twofold: Callable[..., Result], counting: Any) -> None:
    result = twofold("status", APP, "--json")
    assert result.exit_code == 0
    [row] = lines(result)
    assert (row["name"], row["position"], row["lagEvents"], row["owner"]) == ("totals", "0:20", 0, None)


def test_status_of_what_is_behind_and_held_by_nobody(twofold: Callable[..., Result], counting: Any) -> None:
    result = twofold("status", "counting:tomorrow", "--json")
    assert result.exit_code == 3
    assert [(row["version"], row["position"], row["lagEvents"]) for row in lines(result)] == [(2, "0:0", 20)]


@pytest.mark.parametrize("arguments", [["status", "counting:nothing"], ["status", "counting:nothing", "--json"]])
def test_status_of_nothing(twofold: Callable[..., Result], counting: Any, arguments: list[str]) -> None:
    result = twofold(*arguments)
    assert result.exit_code == 0
    assert result.stdout == ("" if "--json" in arguments else "nothing has no projections and no reactors\n")


def test_g11_status_says_that_the_log_was_replaced(twofold: Callable[..., Result], counting: Any, folder: Path) -> None:
    shutil.copy("counting.db", "older.db")
    asyncio.run(further(counting))
    shutil.copy("older.db", "counting.db")
    result = twofold("status", APP)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "totals v1 is at 0:25, but the log ends at 0:20: an older copy of the log" in result.stderr

    renamed = twofold("log", "new-id", APP, "--json")
    [row] = lines(renamed)
    assert row["head"] == "0:20"
    assert f"but this is log {row['logId']}" in twofold("status", APP).stderr
    for command in (["rebuild", APP, "totals"], ["rebuild", APP, "totals", "--json"]):
        assert twofold(*command).exit_code == 1
    assert "twofold rebuild APP --all" in twofold("rebuild", APP, "totals").stderr
    assert twofold("rebuild", APP, "totals", "--from-scratch").exit_code == 0
    assert twofold("status", APP).exit_code == 0


async def further(counting: Any) -> None:
    async with counting.today.open(STORE) as running:
        for _ in range(5):
            done = await running.execute(counting.counters, "1", counting.Add(1))
        await running.get(counting.totals, "1", after=done.receipt)


def test_the_feed(twofold: Callable[..., Result], counting: Any) -> None:
    assert [row["position"] for row in lines(twofold("feed", APP, "--json"))] == [f"0:{n}" for n in range(1, 21)]
    assert [row["version"] for row in lines(twofold("history", APP, "counter-3", "--json"))] == [1, 2, 3, 4]
    asked = ["--after", "12", "--type", "Added", "--stream", "counter-3", "--json"]
    assert [row["position"] for row in lines(twofold("feed", APP, *asked))] == ["0:14", "0:19"]
    assert re.fullmatch(
        r"      0:20  [\d-]+ [\d:]+  counter-4@4  Added  {\"number\":1}\n",
        twofold("feed", APP, "--after", "0:19").stdout,
    )


async def mark(counting: Any) -> None:
    async with counting.with_marks.open(STORE) as running:
        for _ in range(2):
            done = await running.execute(counting.marks, "1", counting.Mark())
            for _ in range(9):
                done = await running.execute(counting.counters, "1", counting.Add(1))
        await running.get(counting.totals, "1", after=done.receipt)


def test_the_feed_goes_on_after_a_page_with_nothing_of_what_is_asked_for(
    twofold: Callable[..., Result], counting: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asyncio.run(mark(counting))
    monkeypatch.setattr(importlib.import_module("twofold.cli.feed"), "FEED_PAGE", 4)
    for asked in (["--type", "Marked"], ["--stream", "mark-1"], ["--type", "Marked", "--stream", "mark-1"]):
        rows = lines(twofold("feed", "counting:with_marks", *asked, "--json"))
        assert [row["position"] for row in rows] == ["0:21", "0:31"]
    rest = lines(twofold("feed", "counting:with_marks", "--type", "Marked", "--after", "0:21", "--json"))
    assert [row["position"] for row in rest] == ["0:31"]


def test_the_feed_after_its_end_is_empty_and_beyond_it_there_is_none(
    twofold: Callable[..., Result], counting: Any
) -> None:
    for after, code, said in (("0:19", 0, 1), ("0:20", 0, 0), ("0:21", 1, 0)):
        result = twofold("feed", APP, "--after", after, "--json")
        assert (result.exit_code, len(lines(result))) == (code, said)


def test_an_unexpected_error_shows_no_values_of_variables() -> None:
    """typer's own tracebacks would: a password, or an event."""
    assert not cli.commands.pretty_exceptions_enable


def test_the_feed_says_what_can_match_nothing(twofold: Callable[..., Result], counting: Any) -> None:
    result = twofold("feed", APP, "--type", "Removed", "--stream", "order-1")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "no event of counting is stored as 'Removed'; it has Added" in result.stderr
    assert "counting has no streams order-…; it has counter" in result.stderr
    assert twofold("feed", APP, "--type", "Added", "--stream", "counter-1").stderr == ""


def test_a_rebuild_of_one_page_tells_its_pace(twofold: Callable[..., Result], counting: Any) -> None:
    result = twofold("rebuild", "counting:tomorrow", "totals")
    assert result.exit_code == 0
    assert re.fullmatch(r"totals v2 is live, at 0:20, after \d+\.\d s\n", result.stdout)
    assert re.search(r"100% [1-9][\d,]* events/s", result.stderr)
    again = twofold("rebuild", APP, "totals")
    assert again.exit_code == 0
    assert again.stdout.startswith("totals v1 is built; totals v2 is live, at 0:20")
    assert "100%" in again.stderr
    [_, new] = lines(twofold("tables", "counting:tomorrow", "--json"))
    assert (new["version"], new["live"], new["inThisApp"]) == (2, True, True)


def test_a_rebuild_that_parks_says_what_and_does_not_go_live(twofold: Callable[..., Result], counting: Any) -> None:
    result = twofold("rebuild", "counting:broken", "totals")
    assert result.exit_code == 3
    assert result.stdout.startswith("totals v3 is built, and not live: rows are parked, at 0:20")
    assert 'parked: row ["0"] at 0:1: ValueError: [1] is no number' in " ".join(result.stderr.split())
    assert twofold("status", "counting:broken").exit_code == 3


def test_all_are_rebuilt_after_a_restore(twofold: Callable[..., Result], counting: Any, folder: Path) -> None:
    """Read models built from another log are rebuilt from scratch, each with progress; then there is nothing to do."""
    for app in ("counting:several", "counting:several_tomorrow"):
        assert twofold("rebuild", app, "--all").exit_code == 0
    twofold("log", "new-id", APP)
    assert twofold("status", "counting:several").exit_code == 1
    result = twofold("rebuild", "counting:several_tomorrow", "--all")
    assert result.exit_code == 0
    assert re.fullmatch(
        r"totals v2 is live, at 0:20, after \d+\.\d s\nothers v1 is live, at 0:20, after \d+\.\d s\n", result.stdout
    )
    assert result.stderr.count("100%") == 2
    assert twofold("status", "counting:several_tomorrow").exit_code == 0
    rows = lines(twofold("rebuild", "counting:several_tomorrow", "--all", "--json"))
    assert [(row["name"], row["live"]) for row in rows] == [("totals", True), ("others", True)]
    dropped = twofold("tables", APP, "--drop", "totals:1", "--json")
    assert [row["name"] for row in lines(dropped)] == ["others", "totals"]


def test_all_are_rebuilt_although_one_cannot_be(twofold: Callable[..., Result], counting: Any, folder: Path) -> None:
    result = twofold("rebuild", "counting:several_forgotten", "--all")
    assert result.exit_code == 1
    assert "totals: the table of projection 'totals' version 1 has other columns" in " ".join(result.stderr.split())
    assert result.stdout.startswith("others v1 is live")


@pytest.mark.parametrize(
    ("app", "code"), [("several_unable", 1), ("several_unable_in_turn", 1), ("several_parked", 3), ("several", 0)]
)
def test_all_are_rebuilt_and_the_exit_code_is_that_of_the_worst(
    twofold: Callable[..., Result], counting: Any, app: str, code: int
) -> None:
    """One that fails (1) comes before one that is parked (3), whichever is rebuilt first."""
    assert twofold("rebuild", f"counting:{app}", "--all").exit_code == code


def test_one_row_is_rebuilt(twofold: Callable[..., Result], counting: Any, folder: Path) -> None:
    """By its key as shown or as typed; a row that cannot be folded stays parked."""
    with closing(sqlite3.connect("counting.read.db")) as db, db:
        db.execute("UPDATE twofold_totals_v1 SET total = 99 WHERE counter_id IN ('1', '2')")
        db.execute("INSERT INTO twofold_totals_v1 VALUES ('nobody', 1)")
    assert twofold("verify", APP, "totals").exit_code == 1
    assert twofold("rebuild", APP, "totals", "--key", "1").stdout == 'totals v1: row ["1"] is changed, after 4 events\n'
    [row] = lines(twofold("rebuild", APP, "totals", "--key", '["2"]', "--json"))
    assert row == {"name": "totals", "key": '["2"]', "row": "changed", "events": 4, "unparked": 0, "error": None}
    assert "is deleted, after 0 events" in twofold("rebuild", APP, "totals", "--key", "nobody").stdout
    assert "is unchanged, after 4 events" in twofold("rebuild", APP, "totals", "--key", "3").stdout
    assert twofold("verify", APP, "totals").exit_code == 0
    twofold("rebuild", "counting:broken", "totals")
    result = twofold("rebuild", "counting:broken", "totals", "--key", "1")
    assert result.exit_code == 3
    assert "left as it is: counter-1@1: ValueError: [1] is no number, at 0:2" in result.stderr


def test_a_name_that_is_held_is_said(twofold: Callable[..., Result], counting: Any, folder: Path) -> None:
    """The version is built and can be deployed; the old columns are visible only in SQL."""
    with closing(sqlite3.connect("counting.read.db")) as db, db:
        db.execute("CREATE VIEW report AS SELECT totals.counter_id, totals.total FROM totals")
    assert twofold("rebuild", "counting:tomorrow", "totals").exit_code == 0, "the new version has these columns too"
    with closing(sqlite3.connect("counting.read.db")) as db, db:
        db.execute("CREATE VIEW counts AS SELECT count FROM totals")
    result = twofold("rebuild", "counting:without_count", "totals")
    assert result.exit_code == 3
    assert result.stdout.startswith("totals v4 is built, and not live: see below, at 0:20")
    assert "view counts would no longer work" in result.stderr
    note = "totals v4: it has caught up with totals v2, which the name totals still shows"
    assert note in twofold("tables", "counting:without_count").stderr
    assert note in twofold("status", "counting:without_count").stderr


def test_what_a_killed_rebuild_has_left_is_shown_and_dropped(
    twofold: Callable[..., Result], counting: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "LEASE_S", 0.05)
    asyncio.run(half_built(counting))
    [mine, left] = lines(twofold("tables", APP, "--json"))
    assert (mine["name"], mine["note"]) == ("totals", None)
    assert (left["name"], left["live"]) == ("totals~half", False)
    assert left["note"] == "built again for totals v1, by worker killed"
    assert "note: totals~half v1: built again for totals v1, by worker killed" in twofold("tables", APP).stderr
    [row] = lines(twofold("tables", APP, "--drop", "totals~half:1", "--json"))
    assert row["name"] == "totals"


async def half_built(counting: Any) -> None:
    table = counting.totals.beside("half").table
    async with counting.today.look(STORE) as running:
        await running.rows.prepare(table)
        await running.rows.checkpoints.register(table.follows, running.log.log_id, BEGINNING)
        await claimed(running.rows.checkpoints, table.follows, "killed")


def test_a_rebuild_waits_for_the_worker_that_holds_the_table(
    twofold: Callable[..., Result], counting: Any, program: Callable[..., "subprocess.Popen[str]"]
) -> None:
    worker = program("work", APP)
    assert worker.stderr is not None
    while "claimed" not in worker.stderr.readline():
        assert worker.poll() is None
    result = twofold("rebuild", APP, "totals")
    assert (result.exit_code, result.stdout.split(",")[0]) == (0, "totals v1 is live")
    assert "totals v1 is held by worker " in result.stderr
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(timeout=60) == 0


def test_ctrl_c_ends_a_worker_as_cleanly_as_sigterm(
    counting: Any, program: Callable[..., "subprocess.Popen[str]"]
) -> None:
    worker = program("work", APP)
    assert worker.stderr is not None
    while "claimed" not in worker.stderr.readline():
        assert worker.poll() is None
    worker.send_signal(signal.SIGINT)
    assert worker.communicate(timeout=60)[1].endswith("stopped; all checkpoints were released\n")
    assert worker.returncode == 0


def test_ctrl_c_ends_following_with_130(counting: Any, program: Callable[..., "subprocess.Popen[str]"]) -> None:
    following = program("feed", APP, "--follow", "--json")
    assert following.stdout is not None
    assert [json.loads(following.stdout.readline())["position"] for _ in range(20)][-1] == "0:20"
    asyncio.run(further(counting))
    assert [json.loads(following.stdout.readline())["position"] for _ in range(5)][-1] == "0:25"
    following.send_signal(signal.SIGINT)
    assert following.communicate(timeout=60) == ("", "")
    assert following.returncode == 130


@pytest.mark.parametrize("how", [[], ["--json"]])
def test_whoever_has_seen_enough_may_close_the_pipe(
    counting: Any, program: Callable[..., "subprocess.Popen[str]"], how: list[str]
) -> None:
    reading, writing = os.pipe()
    printing = program("feed", APP, "--follow", *how, stdout=writing)
    os.close(writing)
    os.read(reading, 100)
    os.close(reading)
    asyncio.run(further(counting))  # prints again after its reader has gone
    assert printing.communicate(timeout=60) == (None, "")
    assert printing.returncode == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("arguments", [["feed", APP], ["feed", APP, "--json"], ["status", APP], ["--version"]])
def test_a_full_disk_is_said(
    counting: Any, program: Callable[..., "subprocess.Popen[str]"], arguments: list[str]
) -> None:
    with open("/dev/full", "w") as full:
        printing = program(*arguments, stdout=full)
        assert printing.communicate(timeout=60)[1].startswith("twofold: the output cannot be written: ")
    assert printing.returncode == 1


def test_a_terminal_that_knows_few_letters(counting: Any, program: Callable[..., "subprocess.Popen[str]"]) -> None:
    plain = program("status", APP, "--store", "sqlite:///nöne.db", env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert "n\\xf6ne.db: name the one" in plain.communicate(timeout=60)[1]
    table = program("status", APP, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert "totals" in table.communicate(timeout=60)[0]


def test_a_lag_is_shown_to_the_millisecond() -> None:
    one = operate.FollowerStatus("a", 1, 0, "reactor", None, Position(0, 1), 1, 1.23456, None, "elsewhere", None, 0)
    assert _line(one, several=False)["lagSeconds"] == 1.235


def test_a_backend_that_is_not_installed_is_named(
    twofold: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    stores = importlib.import_module("twofold.cli.stores")
    found, _ = stores.backends()
    monkeypatch.setattr(stores, "backends", lambda: (found, ["pip install 'twofold[azure]' for Azure Cosmos DB"]))
    assert "note: pip install 'twofold[azure]' for Azure Cosmos DB" in " ".join(twofold("stores").stderr.split())
