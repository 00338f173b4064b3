"""The same key, the same answer: also for those who wait, after a crash, and from another process."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from twofold import App, OutcomeUnknown, Running, Unavailable
from twofold.web.idempotency import (
    Answer,
    HttpRequestAnswered,
    HttpRequestReceived,
    Idempotency,
    IdempotencyKeyReused,
    Receive,
    decide,
    fingerprint,
    http_requests,
    request_id,
)

APP = App("keys", deciders=[http_requests])
ID = request_id("ann", "POST", "/orders", "k1")
MADE = Answer(202, {"location": "/orders/1"}, '{"orderId":"1"}')


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    async with APP.open("memory:") as running:
        yield running


class Work:
    """Counts how often it was done, and can be held back."""

    def __init__(self, answer: Answer | Exception = MADE) -> None:
        self.answer, self.times = answer, 0
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def __call__(self) -> Answer:
        self.times += 1
        await self.go_on.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def test_the_first_fingerprint_and_the_first_answer_stay() -> None:
    received = HttpRequestReceived("f")
    answered = HttpRequestAnswered(202, {"location": "/orders/1"}, '{"orderId":"1"}')
    state = http_requests.state
    assert decide(Receive("f"), state([])) == [received]
    assert decide(Receive("g"), state([received])) == []
    assert decide(MADE, state([received])) == [answered]
    assert decide(Answer(409, {}, ""), state([received, answered])) == []


async def test_work_is_done_once(running: Running) -> None:
    work, idempotency = Work(), Idempotency(running)
    assert [await idempotency.once(ID, "f", work) for _ in range(3)] == [MADE] * 3
    assert [await Idempotency(running).once(ID, "f", work)] == [MADE]  # also after a restart
    assert work.times == 1


async def test_those_who_come_meanwhile_wait(running: Running) -> None:
    work, idempotency = Work(), Idempotency(running)
    work.go_on.clear()
    waiting = [asyncio.create_task(idempotency.once(ID, "f", work)) for _ in range(20)]
    other = await idempotency.once("another", "f", Work())
    assert other == MADE
    assert not any(task.done() for task in waiting)
    work.go_on.set()
    assert await asyncio.gather(*waiting) == [MADE] * 20
    assert work.times == 1


async def test_the_key_belongs_to_its_body(running: Running) -> None:
    idempotency = Idempotency(running)
    await idempotency.once(ID, "f", Work())
    with pytest.raises(IdempotencyKeyReused):
        await idempotency.once(ID, "g", Work())


async def test_what_could_not_be_done_is_done_again(running: Running) -> None:
    idempotency = Idempotency(running)
    for error in (Unavailable("disk"), ZeroDivisionError()):
        with pytest.raises(type(error)):
            await idempotency.once(ID, "f", Work(error))
    assert await idempotency.once(ID, "f", Work()) == MADE


async def test_of_two_processes_the_first_answer_counts(running: Running) -> None:
    slow, quick = Work(), Work(Answer(202, {}, "quick"))
    slow.go_on.clear()
    slower = asyncio.create_task(Idempotency(running).once(ID, "f", slow))
    await asyncio.sleep(0.01)
    assert await Idempotency(running).once(ID, "f", quick) == quick.answer
    slow.go_on.set()
    assert await slower == quick.answer


@pytest.mark.parametrize("error", [Unavailable("disk"), OutcomeUnknown("c", "disk")])
async def test_what_was_done_is_not_denied(running: Running, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    execute, work = running.execute, Work()

    async def failing(decider: object, id: str, command: object) -> object:
        if isinstance(command, Answer):
            raise error
        return await execute(http_requests, id, Receive("f"))

    monkeypatch.setattr(running, "execute", failing)
    assert await Idempotency(running).once(ID, "f", work) == MADE


def test_the_scope_is_actor_method_path_and_key() -> None:
    scopes = [
        ("ann", "POST", "/a", "k"),
        (None, "POST", "/a", "k"),
        ("ann", "PUT", "/a", "k"),
        ("annPOST", "", "/a", "k"),
    ]
    assert len({request_id(*scope) for scope in scopes}) == len(scopes)
    assert request_id("ann", "POST", "/a", "k") == request_id("ann", "POST", "/a", "k")


def test_bodies_that_say_the_same_have_one_fingerprint() -> None:
    assert fingerprint(b'{"a": 1, "b": [2]}') == fingerprint(b'{"b":[2],"a":1}')
    bodies = (b"", b"{}", b'{"a": 1}', b'{"a": "1"}', b'{"a": true}', b"\xff", b"[" * 5_000)
    assert len({fingerprint(body) for body in bodies}) == len(bodies)
