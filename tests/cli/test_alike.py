"""Exit codes and output that do not depend on how a command is asked, or a store reads."""

import importlib
import json
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import apsw
import pytest
from typer.testing import Result

from twofold import operate
from twofold.backends.sqlite.log import SqliteLog
from twofold.feed.checkpoints import Parked
from twofold.feed.unparking import Unparked
from twofold.messages import Entry, Position, Stream
from twofold.read.refold import Refolded

APP = "counting:today"
PARKED = Parked("row", '["1"]', Position(0, 2), "ValueError: no", datetime(2026, 3, 1, tzinfo=UTC))


async def still_parked(*_: object) -> Unparked:
    return Unparked([], [PARKED], 1)


async def no_row(*_: object) -> Refolded:
    return Refolded(None, None, 4, (), "ValueError: no", Position(0, 2))


async def status_of_what_catches_up(running: Any) -> list[operate.FollowerStatus]:
    return [replace(one, lag_events=7, owner="somebody") for one in await real_status(running)]


async def status_of_what_nobody_follows(running: Any) -> list[operate.FollowerStatus]:
    return [replace(one, lag_events=7, owner=None) for one in await real_status(running)]


real_status, real_verify = operate.status, operate.verify


async def verify_here(*arguments: Any, app_at: str, **how: Any) -> Any:
    """Starts no other processes, which take seconds."""
    return await real_verify(*arguments, **how)


async def status_of_what_is_parked(running: Any) -> list[operate.FollowerStatus]:
    return [replace(one, parked=1) for one in await real_status(running)]


OUTCOMES: list[tuple[list[str], str, Any, int]] = [
    (["parked", APP, "retry", "totals", "--all"], "retry", still_parked, 3),
    (["rebuild", APP, "totals", "--key", "1"], "rebuild_row", no_row, 3),
    (["status", APP], "status", status_of_what_is_parked, 3),
    (["status", APP], "status", status_of_what_catches_up, 0),
    (["status", APP], "status", status_of_what_nobody_follows, 3),
    (["verify", APP, "totals"], "verify", verify_here, 1),
    (["parked", APP, "discard", "totals", "--all"], "discard", operate.discard, 1),  # nothing is parked
]


def test_the_exit_code_is_that_of_the_outcome_with_json_too(
    twofold: Callable[..., Result], counting: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(apsw.Connection("counting.read.db")) as db:
        db.execute("UPDATE twofold_totals_v1 SET total = 99 WHERE counter_id = '1'")
    for command, operated, function, code in OUTCOMES:
        with monkeypatch.context() as patch:
            patch.setattr(importlib.import_module("twofold.operate"), operated, function)
            assert [twofold(*command, *more).exit_code for more in ([], ["--json"])] == [code, code], command


def test_a_history_has_all_events_however_few_are_read_at_once(
    twofold: Callable[..., Result], counting: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page may have fewer than were asked for."""
    read_stream = SqliteLog.read_stream

    async def some(self: SqliteLog, stream: Stream, from_version: int, limit: int) -> Sequence[Entry]:
        return await read_stream(self, stream, from_version, min(limit, 3))

    monkeypatch.setattr(SqliteLog, "read_stream", some)
    printed = twofold("history", APP, "counter-3", "--json").stdout.splitlines()
    assert [json.loads(line)["version"] for line in printed] == [1, 2, 3, 4]
