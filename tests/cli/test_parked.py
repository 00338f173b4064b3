"""`twofold parked` on the command line."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

BANK = """
import os
from dataclasses import dataclass, replace
from twofold import operate
from twofold import App, Decider, Projection, Reactor, Recorded, Rejected, To

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

def check(amount):
    if amount == 13 and not os.path.exists("mended"):
        raise Rejected("thirteen")

def fold(row: Balance, event: Put, recorded: Recorded) -> Balance:
    check(event.amount)
    return replace(row, total=row.total + event.amount)

async def send(event: Put, recorded: Recorded) -> None:
    check(event.amount)
    print("sent", recorded.id)

accounts = Decider("account", Account(), decide, evolve)
balances = Projection("balance", Balance, fold)
bank = App("bank", deciders=[accounts], projections=[balances], reactors=[Reactor("mailer", send, start="beginning")])
"""

FILL = """
import asyncio, sys
from bank import *

async def fill():
    async with bank.open("sqlite:///bank.db") as running:
        for amount in map(int, sys.argv[1:]):
            done = await running.execute(accounts, f"a{amount % 10}", Put(amount))
        await running.get(balances, "nobody", after=done.receipt)
        while any(one.lag_events for one in await operate.status(running)):
            await asyncio.sleep(0.01)
        print(await running.find(balances))

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


def parked(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    script = "import sys; from twofold.cli import main; sys.argv[0] = 'twofold'; main()"
    return python(folder, "-c", script, "parked", "bank:bank", *arguments, "--store", "sqlite:///bank.db")


def fill(folder: Path, *amounts: int) -> str:
    done = python(folder, "fill.py", *map(str, amounts))
    assert done.returncode == 0, done.stderr
    return done.stdout


def objects(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_from_the_failure_to_the_fix(folder: Path) -> None:
    fill(folder, 3, 13, 23, 4)
    assert [(one["name"], one["kind"], one["key"], one["event"], one["error"]) for one in listed(folder)] == [
        ("balance", "row", '["a3"]', "account-a3@2 Put", "Rejected: thirteen"),
        ("mailer", "stream", "account-a3", "account-a3@2 Put", "Rejected: thirteen"),
    ]
    [shown] = objects(parked(folder, "show", "balance", "a3", "--json"))
    assert shown["data"] == {"amount": 13}
    assert "in fold" in shown["traceback"]
    assert "Rejected: thirteen" in parked(folder, "show").stdout

    again = parked(folder, "retry", "balance", "--all")
    assert again.returncode == 3
    assert 'row ["a3"] at 0:2: Rejected: thirteen' in again.stderr

    (folder / "mended").touch()
    done = parked(folder, "retry", "balance", "a3")
    assert (done.returncode, done.stdout) == (0, 'balance: ["a3"] unparked, after 2 events\n')
    done = parked(folder, "retry", "mailer", "account-a3")
    assert done.stdout.splitlines() == [
        "sent account-a3@2",
        "sent account-a3@3",
        "mailer: account-a3 unparked, after 2 events",
    ]
    assert parked(folder, "list").stdout == "nothing is parked\n"
    assert "Balance(id='a3', total=72)" in fill(folder, 33)


def test_what_is_given_up_is_said(folder: Path) -> None:
    fill(folder, 3, 13, 23)
    done = parked(folder, "discard", "balance", "a3")
    assert done.stdout == 'balance: row ["a3"] skips its events from 0:2 until now\n'
    assert objects(parked(folder, "discard", "mailer", "--all", "--json")) == [{"discarded": ["account-a3"]}]
    assert "Balance(id='a3', total=36)" in fill(folder, 33)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["retry"], 2, "retry takes NAME and KEY, or NAME and --all"),
        (["retry", "balance"], 2, "retry takes NAME and KEY, or NAME and --all"),
        (["discard", "balance", "a3", "--all"], 2, "discard takes NAME and KEY, or NAME and --all"),
        (["retry", "balance", "a4"], 1, "nothing of balance is parked under 'a4'"),
        (["list", "balances"], 1, "there is no projection or reactor 'balances'; this App has balance, mailer"),
        (["forget", "balance"], 2, "'forget' is not one of list, show, retry, discard"),
    ],
)
def test_what_cannot_be_done_is_said(folder: Path, arguments: list[str], code: int, said: str) -> None:
    fill(folder, 3)
    done = parked(folder, *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in " ".join(done.stderr.replace("│", " ").split())


def listed(folder: Path) -> list[dict[str, Any]]:
    return objects(parked(folder, "list", "--json"))
