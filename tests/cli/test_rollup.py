"""The commands of an operator on a Rollup."""

import asyncio
import importlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import pytest
from typer.testing import Result

MODULE = """
from dataclasses import dataclass
from twofold import App, Decider, Projection, Recorded
from twofold.rollup import Rollup, count

@dataclass(frozen=True)
class Sold:
    shop: str

@dataclass(frozen=True)
class Sale:
    id: str
    shop: str = ""

@dataclass(frozen=True)
class Shop:
    shop: str
    sales: int

def decide(command: Sold, state: None) -> list[Sold]:
    return [command]

def evolve(state: None, event: Sold) -> None:
    return None

def fold(row: Sale, event: Sold, recorded: Recorded) -> Sale:
    return Sale(row.id, event.shop)

selling = Decider("sale", None, decide, evolve)
sales = Projection("sales", Sale, fold)
shops = Rollup("shops", Shop, of=sales, by="shop", sales=count())
app = App("sold", deciders=[selling], projections=[sales, shops])
"""


@pytest.fixture
def sold(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store with three sales, folded."""
    (folder / "sold.py").write_text(MODULE)
    monkeypatch.setenv("TWOFOLD_STORE", "sqlite:///sold.db")
    asyncio.run(_fill(importlib.import_module("sold")))


async def _fill(sold: Any) -> None:
    async with sold.app.open("sqlite:///sold.db") as running:
        for number, shop in enumerate("aab"):
            await running.execute(sold.selling, str(number), sold.Sold(shop))
        await running.settled(timeout_s=10)


@pytest.mark.usefixtures("sold")
@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["status"], 0, "shops"),
        (["tables"], 0, "shops"),
        (["verify", "shops"], 0, "2 rows match the feed"),
        (["verify", "shops", "--sample", "1"], 0, "1 row matches the feed"),
        (["rebuild", "shops"], 0, "shops v1 is live, at 0:3"),
        (["rebuild", "shops", "--from-scratch"], 0, "shops v1 is live, at 0:3"),
        (["rebuild", "--all"], 0, "shops v1 is live, at 0:3"),
        (["rebuild", "shops", "--key", "a"], 1, "a row of rollup 'shops' has no events"),
        (["tables", "--drop", "shops:1"], 1, "shops v1 is live"),
    ],
)
def test_every_command_takes_it(twofold: Callable[..., Result], arguments: list[str], code: int, says: str) -> None:
    command, *rest = arguments
    ran = twofold(command, "sold:app", *rest)
    assert says in ran.output
    assert ran.exit_code == code


@pytest.mark.usefixtures("sold")
@pytest.mark.parametrize("how", [[], ["--from-scratch"]], ids=str)
def test_rows_that_somebody_changed_are_right_again_after_a_rebuild(
    twofold: Callable[..., Result], folder: Path, how: list[str]
) -> None:
    """Past twofold, so that no checkpoint tells of it."""
    with closing(apsw.Connection(str(folder / "sold.read.db"))) as db:
        db.execute("UPDATE twofold_shops_v1 SET sales = 9 WHERE shop = 'a'")
    assert twofold("verify", "sold:app", "shops").exit_code == 1
    assert twofold("rebuild", "sold:app", "shops", *how).exit_code == 0
    assert twofold("verify", "sold:app", "shops").exit_code == 0
