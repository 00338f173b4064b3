"""Liveness, readiness, and the status of every follower."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import httpx2
import pytest
from fastapi import FastAPI, Response

from twofold import App, Decider, Projection, Recorded, Running, operate
from twofold.api import Api, nobody
from twofold.errors import Unavailable
from twofold.messages import Position
from twofold.read.projector import Projector
from twofold.web import health
from twofold.web.answers import answer
from twofold.web.application import Run, web_app
from twofold.web.consistency import Fresh
from twofold.web.routes import router

Connect = Callable[[FastAPI], Awaitable[httpx2.AsyncClient]]


@dataclass(frozen=True, slots=True)
class Add:
    amount: int


@dataclass(frozen=True, slots=True)
class Added:
    amount: int


@dataclass(frozen=True, slots=True)
class Total:
    id: str
    total: int = 0


def decide(command: Add, total: int) -> list[Added]:
    return [Added(command.amount)]


def evolve(total: int, event: Added) -> int:
    return total + event.amount


def fold(row: Total, event: Added, recorded: Recorded) -> Total:
    return replace(row, total=row.total + 100 // event.amount)


counters = Decider("counter", 0, decide, evolve)
totals = Projection("totals", Total, fold)
APP = App("counting", deciders=[counters], projections=[totals])


async def ready(client: httpx2.AsyncClient) -> tuple[int, list[str]]:
    answered = await client.get("/health/ready")
    return answered.status_code, answered.json().get("reasons", [])


async def until_ready(client: httpx2.AsyncClient) -> None:
    async with asyncio.timeout(10):
        while (await client.get("/health/ready")).status_code != 200:  # noqa: ASYNC110 (that is what askers do)
            await asyncio.sleep(0.01)


async def add(running: Running, amount: int = 1) -> None:
    await running.execute(counters, "one", Add(amount))


def store(folder: Path) -> str:
    return f"sqlite:///{folder / 'c.db'}"


async def test_a_process_that_works_becomes_ready(tmp_path: Path, connect: Connect) -> None:
    async with APP.open(store(tmp_path)) as running:
        await add(running)
        client = await connect(web_app(running, Api(running.app, actor=nobody)))
        assert (await client.get("/health/live")).json() == {"status": "live"}
        await until_ready(client)
        [line] = (await client.get("/status")).json()
        assert line.pop("owner")
        assert line == {
            "name": "totals",
            "version": 1,
            "partition": 0,
            "kind": "projection",
            "position": "0:1",
            "head": "0:1",
            "lagEvents": 0,
            "lagSeconds": 0,
            "state": "following",
            "parked": 0,
            "error": None,
            "note": None,
        }


async def test_not_ready_before_the_tables_have_caught_up(tmp_path: Path, connect: Connect) -> None:
    async with APP.open(store(tmp_path), work=False) as running:
        await add(running)
        client = await connect(web_app(running, Api(running.app, actor=nobody)))
        assert await ready(client) == (503, ["projection totals v1 has not caught up: 1 events to go"])
        async with APP.open(store(tmp_path)):
            await until_ready(client)
        await add(running)
        assert await ready(client) == (200, [])  # behind again, but not by much: the worker is another process


async def test_not_ready_while_a_worker_elsewhere_is_far_behind(
    tmp_path: Path, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with APP.open(store(tmp_path), work=False) as running:
        client = await connect(web_app(running, Api(running.app, actor=nobody)))
        assert await ready(client) == (200, [])
        await add(running)
        monkeypatch.setattr(health, "LARGEST_LAG_S", 0.01)
        await asyncio.sleep(0.1)
        status, [reason] = await ready(client)
        assert (status, "behind" in reason) == (503, True)


async def test_ready_while_a_table_is_rebuilt(
    tmp_path: Path, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rebuilt from scratch by another process: the old rows stay until the new ones replace them."""
    monkeypatch.setattr(Projector, "largest_page", 2)
    async with APP.open(store(tmp_path)) as running, APP.look(store(tmp_path)) as operator:
        for _ in range(10):
            await add(running)
        client = await connect(web_app(running, Api(running.app, actor=nobody)))
        await until_ready(client)
        positions = [
            position
            async for position in operate.rebuild(operator, operator.app.projection("totals"), from_scratch=True)
            if await ready(client) == (200, [])
        ]
        assert len(positions) == 5, "it was ready at each of them"
        assert await ready(client) == (200, [])
        assert await running.get(totals, "one") == Total("one", 1_000)


async def test_a_parked_row_keeps_nobody_waiting(tmp_path: Path, connect: Connect) -> None:
    routes = router()

    @routes.get("/totals/{id}")
    async def total(id: str, running: Run, fresh: Fresh) -> Response:
        return answer(await running.get(totals, id, after=fresh.after, wait_s=fresh.wait_s))

    async with APP.open(store(tmp_path)) as running:
        await add(running, 0)
        client = await connect(web_app(running, Api(running.app, actor=nobody), routes))
        await until_ready(client)
        assert (await client.get("/status")).json()[0]["parked"] == 1
        refused = await client.get("/totals/one")
        assert (refused.status_code, refused.json()["type"]) == (503, "row-parked")
        assert datetime.fromisoformat(refused.json()["since"]) <= datetime.now(UTC)
        assert "ZeroDivisionError" not in refused.text  # the cause is for the log, not for clients


async def test_each_partition_must_have_caught_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the head that its own feed had at the first look; later it may fall behind a little."""
    places: dict[int, tuple[int, int]] = {}  # by partition: the checkpoint and the head

    def standing(partition: int, at: int, head: int, version: int) -> operate.FollowerStatus:
        of_it = (Position(partition, at), Position(partition, head), head - at, 0.1)
        return operate.FollowerStatus("totals", version, partition, "projection", *of_it, "w", "following", None, 0)

    async def status(running: Running) -> list[operate.FollowerStatus]:
        return [standing(partition, at, head, v) for v in (1, 2) for partition, (at, head) in places.items()]

    monkeypatch.setattr(operate, "status", status)
    async with APP.open("memory:", work=False) as running:
        readiness = health.Readiness(running)
        places.update({0: (9, 9), 1: (2, 5), 2: (1, 1)})
        waiting = [f"projection totals v{v} has not caught up: 3 events to go" for v in (1, 2)]
        assert await readiness.reasons() == waiting
        places.update({0: (9, 30), 1: (4, 5)})
        assert [one.replace(": 1 events", ": 3 events") for one in await readiness.reasons()] == waiting
        places.update({1: (5, 30)})
        assert await readiness.reasons() == []


async def test_not_ready_before_what_is_behind_the_last_cut_is_folded(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the end of a merged feed events may be in no cut yet; those that come later do not count."""
    at, head, to_go = Position(0, 5), Position(0, 5), 2

    async def status(running: Running) -> list[operate.FollowerStatus]:
        of_it = (at, head, to_go, 0.1, "w", "following", None, 0)
        return [operate.FollowerStatus("totals", 1, 0, "projection", *of_it)]  # type: ignore[arg-type]

    monkeypatch.setattr(operate, "status", status)
    async with APP.open("memory:", work=False) as running:
        waiting = health.Readiness(running)
        for _ in range(2):
            assert await waiting.reasons() == ["projection totals v1 has not caught up: 2 events to go"]
        at = head = Position(0, 6)
        assert await waiting.reasons() != []
        head = Position(0, 9)
        assert await waiting.reasons() == [], "it is in a later cut"
        at, to_go = head, 3
        assert await waiting.reasons() == [], "it was ready before"
        assert await health.Readiness(running).reasons() != []
        to_go = 0
        assert await health.Readiness(running).reasons() == []


@pytest.mark.parametrize("name", ["c.db", "c.read.db"])
async def test_not_ready_when_a_store_is_gone(
    tmp_path: Path, connect: Connect, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says why, once; strangers do not learn where the store is."""
    async with APP.open(store(tmp_path)) as running:
        client = await connect(web_app(running, Api(running.app, actor=nobody)))
        await until_ready(client)
        (tmp_path / name).unlink()
        caplog.set_level("WARNING", "twofold.web.health")
        for _ in range(2):
            status, [reason, *_] = await ready(client)
            assert (status, str(tmp_path) in reason) == (503, False)
            assert reason == "the store cannot be used (LogReplaced): the log says why"
        told = [record.getMessage() for record in caplog.records if record.name == "twofold.web.health"]
        assert [str(tmp_path / name) in line for line in told] == [True]
        assert (await client.get("/health/live")).status_code == 200


async def test_the_log_says_each_time_that_a_store_cannot_be_used(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Once for each time that it is away, although the reason is the same as before."""
    caplog.set_level("WARNING", "twofold.web.health")
    is_away = False
    status = operate.status

    async def perhaps(running: Running) -> list[operate.FollowerStatus]:
        if is_away:
            raise Unavailable("the store is away")
        return await status(running)

    monkeypatch.setattr(operate, "status", perhaps)
    async with APP.open("memory:", work=False) as running:
        readiness = health.Readiness(running)
        for is_away in (False, True, True, False, False, True, True):
            assert bool(await readiness.reasons()) is is_away
    told = [record.getMessage() for record in caplog.records if record.name == "twofold.web.health"]
    assert told == 2 * ["not ready: the store cannot be used: the store is away"]
