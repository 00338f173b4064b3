"""`twofold verify` and `twofold diff` on the command line."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import apsw
import pytest

pytestmark = pytest.mark.slow

BANK = """
from dataclasses import dataclass, replace
from twofold import App, Decider, Projection, Recorded

@dataclass(frozen=True)
class Put:
    amount: int

@dataclass(frozen=True)
class Account:
    puts: int = 0

def decide(command: Put, account: Account) -> list[Put]:
    return [command]

def evolve(account: Account, event: Put) -> Account:
    return Account(account.puts + 1)

@dataclass(frozen=True)
class Balance:
    id: str
    total: int = 0
    words: tuple[str, ...] = ()

def fold(row: Balance, event: Put, recorded: Recorded) -> Balance:
    if event.amount == 13:
        raise ValueError("thirteen")
    return replace(row, total=row.total + event.amount)

accounts = Decider("account", Account(), decide, evolve)
balances = Projection("balance", Balance, fold)
bank = App("bank", deciders=[accounts], projections=[balances])

@dataclass(frozen=True)
class Larger:
    id: str
    total: int = 0
    puts: int = 0

def fold_larger(row: Larger, event: Put, recorded: Recorded) -> Larger:
    return Larger(row.id, row.total + event.amount + (event.amount == 2), row.puts + 1)

larger = Projection("balance", Larger, fold_larger, version=2)

def fold_words(row: Balance, event: Put, recorded: Recorded) -> Balance:
    return replace(row, total=row.total + event.amount, words=tuple({f"{word} {event.amount}" for word in range(9)}))

words = Projection("balance", Balance, fold_words, version=2)
wordy = App("wordy", deciders=[accounts], projections=[Projection("words", Balance, fold_words)])
"""

WORDS = """
import asyncio
from bank import *

async def fill():
    async with wordy.open("sqlite:///bank.db") as running:
        for n in range(5):
            done = await running.execute(accounts, f"a{n}", Put(n))
        await running.get(wordy.projections[0], "nobody", after=done.receipt)

asyncio.run(fill())
"""

FILL = """
import asyncio, sys
from bank import *

async def fill():
    async with bank.open("sqlite:///bank.db") as running:
        for amount in map(int, sys.argv[1:]):
            done = await running.execute(accounts, f"a{amount % 10}", Put(amount))
        await running.get(balances, "nobody", after=done.receipt)

asyncio.run(fill())
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "bank.py").write_text(BANK)
    (tmp_path / "fill.py").write_text(FILL)
    return tmp_path


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(command, check=False, cwd=folder, capture_output=True, text=True, timeout=60)


def twofold(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    script = "import sys; from twofold.cli import main; sys.argv[0] = 'twofold'; main()"
    return python(folder, "-c", script, *arguments, "--store", "sqlite:///bank.db")


def fill(folder: Path, *amounts: int) -> None:
    done = python(folder, "fill.py", *map(str, amounts))
    assert done.returncode == 0, done.stderr


def corrupt(folder: Path, statement: str) -> None:
    db = apsw.Connection(str(folder / "bank.read.db"))
    db.execute(statement)
    db.close()


def objects(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_what_is_right_exits_with_0(folder: Path) -> None:
    fill(folder, 1, 2, 12, 3)
    done = twofold(folder, "verify", "bank:bank", "balance")
    assert (done.returncode, done.stdout) == (
        0,
        "balance v1: 3 rows match the feed, at 0:4, after 4 events\n",
    )


def test_what_is_wrong_exits_with_1_and_is_printed(folder: Path) -> None:
    fill(folder, 1, 2, 12, 3)
    corrupt(folder, "UPDATE twofold_balance_v1 SET total = 2 WHERE id = 'a2'")
    done = twofold(folder, "verify", "bank:bank", "balance")
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        "different: row 'a2', right until account-a2@2 at 0:3 (Put)",
        "    total: 2 in the read model, 14 by the fold",
        "balance v1: 1 of 3 rows differs from the feed (1 different), at 0:4, after 4 events",
    ]
    row, summary = objects(twofold(folder, "verify", "bank:bank", "balance", "--json"))
    assert row == {
        "kind": "different",
        "key": ["a2"],
        "position": "0:4",
        "columns": {"total": {"live": 2, "fold": 14}},
        "since": {"event": "account-a2@2", "type": "Put", "position": "0:3", "rightBefore": True},
    }
    assert (summary["kind"], summary["equal"], summary["rows"], summary["different"]) == ("summary", False, 3, 1)


def test_what_is_parked_exits_with_3(folder: Path) -> None:
    fill(folder, 1, 13, 2)
    done = twofold(folder, "verify", "bank:bank", "balance")
    assert (done.returncode, done.stdout.splitlines()) == (
        3,
        [
            """parked: row ["a3"] at 0:2: ValueError: thirteen""",
            "balance v1: 2 rows match the feed, at 0:3, after 2 events",
        ],
    )


def test_a_change_is_shown_before_it_is_deployed(folder: Path) -> None:
    fill(folder, 1, 2, 3)
    done = twofold(folder, "diff", "bank:bank", "balance", "--against", "bank:larger")
    assert (done.returncode, done.stdout.splitlines()) == (
        1,
        [
            "this change alters 1 of 3 rows (1 altered), at 0:3, after 3 events, for example:",
            "altered: row 'a2'",
            "    total: 2 in the read model, 3 by the fold",
            "columns added: puts (integer)",
            "columns removed: words (json)",
        ],
    )
    done = twofold(folder, "diff", "bank:bank", "balance", "--against", "bank:balances")
    assert (done.returncode, done.stdout) == (0, "this change alters 0 of 3 rows, at 0:3, after 3 events\n")


def test_what_is_parked_is_named_where_a_change_is_shown(folder: Path) -> None:
    fill(folder, 1, 13)
    done = twofold(folder, "diff", "bank:bank", "balance", "--against", "bank:larger")
    assert done.stdout.splitlines()[-1] == """parked: row ["a3"] at 0:2: ValueError: thirteen"""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["verify", "bank:bank", "balances"], "bank has no projection 'balances'; it has balance"),
        (["diff", "bank:bank", "balance", "--against", "bank:bank"], "bank has no projection called 'bank'; it has"),
        (["verify", "bank:bank", "balance"], "there is no store at /"),
    ],
)
def test_what_cannot_be_done_exits_with_1_and_a_sentence(folder: Path, arguments: list[str], said: str) -> None:
    if "no store" not in said:
        fill(folder, 1)
    done = twofold(folder, *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_what_is_no_place_of_a_projection_is_a_wrong_command_line(folder: Path) -> None:
    done = twofold(folder, "diff", "bank:bank", "balance", "--against", "bank")
    assert done.returncode == 2
    assert "'bank' is not module:name" in done.stderr


def test_a_fold_that_depends_on_the_order_of_a_set_is_named(folder: Path) -> None:
    (folder / "words.py").write_text(WORDS)
    assert python(folder, "words.py").returncode == 0
    done = twofold(folder, "verify", "bank:wordy", "words")
    assert done.returncode == 1
    assert "not a pure fold: " in done.stdout
    assert "it differs in another process, where words is" in done.stdout
    assert objects(twofold(folder, "verify", "bank:wordy", "words", "--json"))[-1]["impure"] == 1
