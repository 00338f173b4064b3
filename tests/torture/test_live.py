"""Watchers under real faults: the run of each store breaks no promise, and the checks notice what would."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from torture.live.history import History
from torture.live.ledger import Put, Remove, first, keeping
from torture.live.run import Found
from torture.live.views import Asked, Rules, View


@pytest.mark.slow
@pytest.mark.parametrize("store", ["sqlite", "postgres"])
def test_watchers_through_every_fault_know_what_the_table_holds(store: str) -> None:
    command = [sys.executable, "-m", "torture.live", "--json", "--backend", store, "--watchers", "60", "--pause", "0.3"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["violations"] == 0
    told = ("servers killed", "rebuilds", "keys retried", "versions rolled out", "logs restored", "resumed by token")
    for name in (*told, "views compared at their tokens"):
        assert figures[name] > 0, done.stdout


# ---- what the checks notice


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def found(told: list[str]) -> Found:
    return Found(told.append)


@pytest.fixture
def rules(found: Found) -> Rules:
    return Rules(found.broken)


ADA = Asked("ada", "items", {}, socket=False)


def row(version: int, owner: str = "ada", key: str = "i1") -> dict[str, Any]:
    return {"item_id": key, "owner": owner, "text": "t", "version": version}


def token(place: int) -> str:
    return f"w.{'a' * 16}.1.b.{'0' * 8}.0-{place}.{'0' * 8}"


def test_a_row_that_goes_back_is_noticed(rules: Rules, told: list[str]) -> None:
    view = View(ADA, rules)
    view.take("snapshot", {"i1": row(2)}, 0, token(5))
    view.take("changes", {"i1": row(3)}, 0, token(6))
    assert told == []
    view.take("changes", {"i1": row(2)}, 0, token(7))
    assert told.pop() == "went back: ada, items with everything, events: changes with i1 v2 after v3"
    view.take("changes", {}, 0, token(6))
    assert told.pop() == "went back: ada, items with everything, events: from a token at 7 to one at 6"
    view.take("snapshot", {"i1": row(1)}, 0, token(8))
    assert told.pop() == "went back: ada, items with everything, events: a snapshot with i1 v1 after v2"
    rules.may_go_back = True
    view.take("snapshot", {"i1": row(0)}, 0, token(1))
    assert told == []


def test_a_row_of_others_and_a_key_that_was_never_shown_are_noticed(rules: Rules, found: Found) -> None:
    view = View(ADA, rules)
    view.take("snapshot", {"i1": row(1)}, 0, token(1))
    view.take("changes", {"i1": None}, 0, token(2))
    assert not found.violations
    view.take("changes", {"i2": None, "i3": row(1, "ben", "i3")}, 0, token(3))
    assert found.violations == {"foreign": 2}


async def test_a_view_that_is_not_as_at_its_token_is_noticed() -> None:
    history = History()
    async with first.app.open("memory:", work=False) as running:
        for command in (Put("ada", "1"), Put("ben", "2"), Put("ada", "3"), Remove()):
            await running.execute(keeping, "i1", command)
        await history.grow(running.log)
    at = [{"item_id": "i1", "owner": owner, "text": text, "version": int(text)} for owner, text in
          (("ada", "1"), ("ben", "2"), ("ada", "3"))]  # fmt: skip

    def disagrees(rows: dict[str, Any], place: int, asked: Asked = ADA) -> bool:
        return bool(list(history.disagreements(asked, rows, token(place))))

    assert not disagrees({"i1": at[0]}, 1)
    assert not disagrees({"i1": at[2]}, 1)  # newer
    assert not disagrees({}, 2)  # it was ben's
    assert not disagrees({}, 4)
    assert disagrees({"i1": at[0]}, 2)
    assert disagrees({"i1": at[1]}, 2)
    assert disagrees({"i1": at[2]}, 4)
    assert not disagrees({"i1": at[1]}, 2, Asked("admin", "items", {}, socket=False))
    assert disagrees({}, 2, Asked("admin", "items", {"version__ge": 2}, socket=False)) is False  # it is gone since
    assert disagrees({"i1": at[0]}, 1, Asked("admin", "items", {"version__ge": 2}, socket=False))
