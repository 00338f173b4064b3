"""Same key, same response: also for waiting requests, after a crash, and from another process."""

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import pytest
from starlette.responses import Response, StreamingResponse

from twofold import LogReplaced, Unavailable
from twofold.ambient import Ambient
from twofold.backends.memory import MemoryLog, MemoryRequests
from twofold.web.idempotency import MAX_KEPT_BYTES, Idempotency, IdempotencyKeyReused, fingerprint
from twofold.web.steps import Steps, request_id
from twofold.write.requests import Answer

ID = request_id("ann", "POST", "/orders", "k1")
OTHER_ID = request_id("ann", "POST", "/orders", "k2")
MADE = b'{"orderId":"1"}'


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def requests(clock: Clock) -> MemoryRequests:
    return MemoryLog(Ambient(now=clock)).requests


class Work:
    """Counts its runs, and can be blocked."""

    def __init__(self, answer: bytes | Response | Exception = MADE) -> None:
        self.answer, self.times = answer, 0
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def __call__(self) -> Response:
        self.times += 1
        await self.go_on.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        if isinstance(self.answer, Response):
            return self.answer
        return Response(self.answer, 202, {"Location": "/orders/1"})


async def once(idempotency: Idempotency, work: Work, body: bytes = b"{}", id: str = ID) -> Response:
    return await idempotency.once(Steps(id), work, body)


async def test_work_is_done_once(requests: MemoryRequests) -> None:
    work, idempotency = Work(), Idempotency(requests)
    answers = [await once(idempotency, work) for _ in range(3)]
    answers.append(await once(Idempotency(requests), work))  # even after a restart
    said = {(one.status_code, bytes(one.body), tuple(sorted(one.headers.items()))) for one in answers}
    assert (len(said), work.times) == (1, 1)


async def test_an_answer_says_how_long_it_is_kept(requests: MemoryRequests, clock: Clock) -> None:
    work, idempotency = Work(), Idempotency(requests, 3_600)
    first = await once(idempotency, work)
    assert first.headers["idempotency-expires"] == "Sun, 01 Mar 2026 10:30:00 GMT"
    clock.now += timedelta(minutes=59)
    again = await once(idempotency, work)
    assert again.headers["idempotency-expires"] == first.headers["idempotency-expires"]
    clock.now += timedelta(minutes=1)
    later = await once(idempotency, work)
    assert parsedate_to_datetime(later.headers["idempotency-expires"]) == clock.now + timedelta(hours=1)
    assert work.times == 2


async def test_a_day_is_the_rule(requests: MemoryRequests, clock: Clock) -> None:
    answer = await once(Idempotency(requests), Work())
    assert parsedate_to_datetime(answer.headers["idempotency-expires"]) == clock.now + timedelta(days=1)


async def test_those_who_come_meanwhile_wait(requests: MemoryRequests) -> None:
    work, idempotency = Work(), Idempotency(requests)
    work.go_on.clear()
    waiting = [asyncio.create_task(once(idempotency, work)) for _ in range(20)]
    assert (await once(idempotency, Work(), id=OTHER_ID)).body == MADE
    assert not any(task.done() for task in waiting)
    work.go_on.set()
    assert {bytes(answer.body) for answer in await asyncio.gather(*waiting)} == {MADE}
    assert work.times == 1


async def test_the_key_belongs_to_its_request(requests: MemoryRequests, clock: Clock) -> None:
    idempotency = Idempotency(requests)
    await idempotency.once(Steps(ID), Work(), b"{}", b"a=1")
    for _ in range(2):
        for said in ([b'{"a": 1}', b"a=1"], [b"{}", b"a=2"], [b"{}"], [b"{}", b"a=1", b"x"]):
            with pytest.raises(IdempotencyKeyReused):
                await idempotency.once(Steps(ID), Work(), *said)
        clock.now += timedelta(days=2)  # even if its response has expired: its command ids have not


async def test_what_could_not_be_done_is_done_again(requests: MemoryRequests) -> None:
    idempotency = Idempotency(requests)
    for error in (Unavailable("disk"), ZeroDivisionError()):
        with pytest.raises(type(error)):
            await once(idempotency, Work(error))
    for status in (500, 503):
        assert (await once(idempotency, Work(Response(b"no", status)))).status_code == status
    assert (await once(idempotency, Work())).status_code == 202


async def test_of_two_processes_the_first_answer_counts(requests: MemoryRequests) -> None:
    slow, quick = Work(), Work(b"quick")
    slow.go_on.clear()
    slower = asyncio.create_task(once(Idempotency(requests), slow))
    async with asyncio.timeout(5):
        while slow.times == 0:  # noqa: ASYNC110 (nothing else tells)
            await asyncio.sleep(0)
    assert (await once(Idempotency(requests), quick)).body == b"quick"
    slow.go_on.set()
    assert (await slower).body == b"quick"


@pytest.mark.parametrize("error", [Unavailable("disk"), LogReplaced("another")])
async def test_what_was_done_is_not_denied(
    requests: MemoryRequests, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async def failing(*_: object) -> Answer:
        raise error

    monkeypatch.setattr(requests, "keep", failing)
    answer = await once(Idempotency(requests), Work())
    assert (answer.body, "idempotency-expires" in answer.headers) == (MADE, False)


async def test_the_first_answer_is_handed_on_as_it_is(requests: MemoryRequests) -> None:
    """The first response has its cookie, though cookies are not kept."""
    response = Response(b"\x00\xff", 201, {"Cache-Control": "no-store"}, "image/png")
    response.headers.append("Link", "</a>")
    response.headers.append("Link", "</b>")
    response.set_cookie("session", "secret")
    idempotency = Idempotency(requests)
    assert await once(idempotency, Work(response)) is response
    again = await once(idempotency, Work())
    assert (again.status_code, again.body, again.headers.getlist("link")) == (201, b"\x00\xff", ["</a>", "</b>"])
    assert (again.headers["content-type"], again.headers["cache-control"]) == ("image/png", "no-store")
    assert (again.headers.getlist("content-length"), "set-cookie" in again.headers) == (["2"], False)


async def test_an_answer_without_a_body(requests: MemoryRequests) -> None:
    idempotency = Idempotency(requests)
    for _ in range(2):
        answer = await once(idempotency, Work(Response(status_code=204)))
        assert (answer.status_code, "content-length" in answer.headers) == (204, False)


@pytest.mark.parametrize(
    "response",
    [
        Response(b"x" * (MAX_KEPT_BYTES + 1)),
        Response(b"", headers={"location": "x" * MAX_KEPT_BYTES}),
        StreamingResponse(iter([b"a", b"b"])),
    ],
)
async def test_what_is_not_kept_says_so(requests: MemoryRequests, response: Response) -> None:
    work, idempotency = Work(response), Idempotency(requests)
    for times in (1, 2):
        answer = await once(idempotency, work)
        assert (answer, work.times, "idempotency-expires" in answer.headers) == (response, times, False)


def test_bodies_that_say_the_same_have_one_fingerprint() -> None:
    def of(*said: bytes) -> bytes:
        return fingerprint(b"s" * 32, *said)

    assert of(b'{"a": 1, "b": [2.50]}') == of(b'{"b":[2.5],"a":1}')
    bodies = (
        b"", b"{}", b'{"a": 1}', b'{"a": "1"}', b'{"a": true}', b"\xff", b"[" * 5_000, b"[" * 5_001, b"1e999", b"2e999",
        b"0.1", b"0.10000000000000000555", b'{"a": 2, "a": 1}', b"1e99999999999999999999", b"1" * 5_000, b"1" * 5_001,
    )  # fmt: skip
    assert len({of(body) for body in bodies}) == len(bodies)
    assert len({of(b"ab", b"c"), of(b"a", b"bc"), of(b"abc"), of(b"abc", b"")}) == 4
    assert fingerprint(b"t" * 32, b"{}") != of(b"{}")
