"""What runs for the client of a WebSocket."""

import asyncio

from starlette.types import Message
from starlette.websockets import WebSocket

from twofold.testing import virtual_time
from twofold.web.live.client import IDLE_S, MOST_SUBSCRIPTIONS, Client


async def _never() -> Message:
    return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]


async def _nothing(message: Message) -> None:
    pass


def test_a_client_is_idle_since_the_last_thing_ended() -> None:
    """Whether that ended by itself or was ended. Short ones that come again and again keep the connection."""

    async def main() -> None:
        client = Client(WebSocket({"type": "websocket", "headers": []}, _never, _nothing))

        async def short(name: str) -> None:
            await asyncio.sleep(1)
            client.forget(name)

        idle = asyncio.create_task(client.idle())
        for number in range(4):
            await asyncio.sleep(0.6 * IDLE_S)
            client.begin("a", short("a"))
            await asyncio.sleep(2)
            assert (idle.done(), "a" in client) == (False, False), number
        client.begin("b", short("other"))
        await asyncio.sleep(3 * IDLE_S)
        assert not idle.done()
        await client.end("b")
        await asyncio.sleep(0.9 * IDLE_S)
        assert not idle.done()
        await asyncio.sleep(0.2 * IDLE_S)
        assert idle.done()

    virtual_time.run(main())


async def test_what_a_client_does_not_read_is_bounded_and_ends_with_it() -> None:
    """Each has failed, so its name is free again, but the client does not take the problem."""
    client = Client(WebSocket({"type": "websocket", "headers": []}, _never, _nothing))

    async def fail(name: str) -> None:
        client.forget(name)
        await _never()

    before, begun = asyncio.all_tasks(), 0
    while not client.is_full and begun < 3 * MOST_SUBSCRIPTIONS:
        client.begin("again", fail("again"))
        begun += 1
        await asyncio.sleep(0)
    assert begun == 2 * MOST_SUBSCRIPTIONS
    await client.close()
    assert asyncio.all_tasks() == before
    assert not client.is_full


async def test_what_has_given_its_name_up_leaves_the_next_one_of_that_name_alone() -> None:
    """It forgets its name twice: before it says what became of it, and when that is said."""
    client = Client(WebSocket({"type": "websocket", "headers": []}, _never, _nothing))
    says, said, ends = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def first() -> None:
        client.forget("a")
        says.set()
        await said.wait()
        client.forget("a")

    async def second() -> None:
        try:
            await _never()
        finally:
            ends.set()

    client.begin("a", first())
    await says.wait()
    client.begin("a", second())
    said.set()
    for _ in range(3):
        await asyncio.sleep(0)
    assert "a" in client
    await client.end("a")
    assert ends.is_set()
