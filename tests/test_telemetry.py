"""What the metrics count."""

import asyncio
from dataclasses import dataclass, replace
from typing import Any

import pytest

from twofold import App, Decider, Running, VersionConflict, operate, telemetry
from twofold.telemetry import metrics
from twofold.testing.conformance.backend import InParts
from twofold.testing.conformance.bank import balances, bank, deposited, sums
from twofold.testing.conformance.rebuild import only


@dataclass(frozen=True)
class Add:
    count: int


@dataclass(frozen=True)
class Added:
    number: int


def decide(command: Add, total: int) -> list[Added]:
    return [Added(number) for number in range(command.count)]


def evolve(total: int, event: Added) -> int:
    return total + 1


totals = Decider("total", 0, decide, evolve)
app = App("totals", deciders=[totals])


async def counted(running: Running) -> dict[str, int]:
    lines = [line.split(" ") for line in (await metrics(running)).splitlines() if not line.startswith("#")]
    names = ("appends_total", "appended_events_total", "append_repeated_total", "append_conflicts_total")
    return {name: int(value) for found, value in lines for name in names if found == f"twofold_{name}"}


def counts(appends: int, events: int, repeated: int, conflicts: int = 0) -> dict[str, int]:
    return {
        "appends_total": appends,
        "appended_events_total": events,
        "append_repeated_total": repeated,
        "append_conflicts_total": conflicts,
    }


@pytest.fixture(params=["memory", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: object) -> str:
    return "memory:" if request.param == "memory" else f"sqlite:///{tmp_path}/totals.db"


async def test_a_repeated_command_is_no_append(url: str) -> None:
    async with app.open(url, work=False) as running:
        await running.execute(totals, "a", Add(3), command_id="once")
        assert await counted(running) == counts(1, 3, 0)
        for _ in range(4):  # from the cache: only the append itself notices the repetition
            await running.execute(totals, "a", Add(3), command_id="once")
        assert await counted(running) == counts(1, 3, 4)
        await running.execute(totals, "a", Add(3), command_id="once", expected_version=3)  # noticed when loading
        assert await counted(running) == counts(1, 3, 5)
        await running.execute(totals, "a", Add(0), command_id="nothing")
        assert await counted(running) == counts(2, 3, 5)


async def test_a_repeated_append_is_no_append(url: str) -> None:
    async with app.open(url, work=False) as running:
        for _ in range(3):
            await running.append("total-a", [Added(1), Added(2)], command_id="once")
        assert await counted(running) == counts(1, 2, 0)
        with pytest.raises(VersionConflict):
            await running.append("total-a", [Added(1)], expected_version=7)
        assert await counted(running) == counts(1, 2, 0, conflicts=1)


async def test_the_same_at_once_is_one_append(url: str) -> None:
    async with app.open(url, work=False) as running:
        same = [running.append(f"total-{n % 2}", [Added(1)], command_id="once") for n in range(20)]
        receipts = await asyncio.gather(*same)
        assert sum(not receipt.repeated for receipt in receipts) == 2
        assert (await counted(running))["appends_total"] == 2


@pytest.mark.parametrize(
    ("state", "held", "failing"),
    [("waiting", 0, 0), ("following", 1, 0), ("failing", 0, 1), ("stopped", 0, 1), ("elsewhere", 0, 0)],
)
async def test_a_follower_that_does_not_go_on_is_told(
    monkeypatch: pytest.MonkeyPatch, state: Any, held: int, failing: int
) -> None:
    """Also one that has stopped for good."""
    standing = operate.status

    async def status(running: Running) -> list[operate.FollowerStatus]:
        for follower in running.followers:
            follower.state = "waiting" if state == "elsewhere" else state
        return [replace(one, state=state) for one in await standing(running)]

    monkeypatch.setattr(telemetry, "status", status)
    async with only.open("memory:", work=False) as running:
        lines = (await telemetry.metrics(running)).splitlines()
    labels = '{follower="balance",version="1",kind="projection"}'
    assert f"twofold_lease_held{labels} {held}" in lines
    assert f"twofold_follower_failing{labels} {failing}" in lines


async def test_each_sample_of_a_metric_has_labels_of_its_own() -> None:
    """Prometheus refuses all of them if two are alike: those of the partitions of a log, and of what is merged."""
    backend = InParts(3)
    both = replace(bank, projections=[balances, sums])
    async with both.open(await backend.open_log(), read_store=await backend.open_rows(), work=False) as running:
        for name in "abcdef":
            await deposited(running.log, name, 1)
        lines = [line for line in (await metrics(running)).splitlines() if not line.startswith("#")]
    samples = [line.rpartition(" ")[0] for line in lines]
    assert len(set(samples)) == len(samples)
    spread = [line for line in samples if line.startswith('twofold_lag_events{follower="balance"')]
    assert spread == [
        f'twofold_lag_events{{follower="balance",version="1",kind="projection",partition="{n}"}}' for n in (1, 2, 3)
    ]
    assert 'twofold_lag_events{follower="sum",version="1",kind="projection"}' in samples
