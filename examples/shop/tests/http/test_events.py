"""The WebSocket `/orders/events`: every transition once and in order, whatever is killed in between."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
import websockets
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from shop import login
from shop.app import shop as app
from shop.http.app import shop_http
from shop.tests.http.killable import WITHIN_S, Client, Shop, a_shop, served
from twofold.testing.conformance import InParts

pytestmark = pytest.mark.slow  # a real process and real sockets

Message = dict[str, Any]
KILLS, ORDERS = 2, 20


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with a_shop(tmp_path) as shop:
        await shop.stock_up()
        yield shop


def socket(shop: Client, after: str | None = None, **settings: Any) -> Any:
    query = "" if after is None else f"?after={after}"
    return websockets.connect(f"ws://127.0.0.1:{shop.port}/orders/events{query}", **settings)


async def said(socket: Any) -> Message:
    async with asyncio.timeout(WITHIN_S):
        message: Message = json.loads(await socket.recv())
        return message


async def refused(connecting: Any) -> tuple[int, str]:
    with pytest.raises(InvalidStatus) as refusal:
        await connecting
    problem = json.loads(refusal.value.response.body)
    return refusal.value.response.status_code, problem["detail"]


async def beginning(shop: Shop) -> str:
    """The token before the first event."""
    async with socket(shop) as now:
        log_id: str = now.response.headers["Consistency-Token"].split(":")[0]
        return f"{log_id}:0:0"


def kinds(messages: list[Message], order_id: str) -> list[tuple[str, str]]:
    return [(one["type"], one["order"]["status"]) for one in messages if one["order"]["orderId"] == order_id]


CREATED, CONFIRMED = ("OrderCreated", "pending"), ("OrderConfirmed", "confirmed")
SHIPPED, CANCELLED = ("OrderShipped", "shipped"), ("OrderCancelled", "cancelled")


async def every_transition(shop: Shop, live: Any) -> list[Message]:
    """An order that is shipped, one that is cancelled, one that is a draft first, and one that is rejected."""
    messages: list[Message] = []

    async def until(count: int) -> None:
        while len(messages) < count:
            messages.append(await said(live))

    await shop.place("shipped")
    await until(2)
    await shop.post("/orders/shipped/ship", {"trackingNumber": "T-1"})
    await shop.place("cancelled")
    await until(5)
    await shop.post("/orders/cancelled/cancel", {"reason": "changed my mind"})
    await shop.place("rejected", quantity=5_000)
    draft = (await shop.post("/orders/drafts", {"customerId": "ann", "shippingAddress": "Here"})).json()["orderId"]
    await shop.post(f"/orders/{draft}/items", {"productId": "tea", "quantity": 2})
    await shop.post(f"/orders/{draft}/submit")
    await until(9)
    assert kinds(messages, "shipped") == [CREATED, CONFIRMED, SHIPPED]
    assert kinds(messages, "cancelled") == [CREATED, CONFIRMED, CANCELLED]
    assert kinds(messages, "rejected") == [CREATED]
    assert kinds(messages, draft) == [CREATED, CONFIRMED]
    return messages


async def until_last(live: Any) -> list[Message]:
    """Everything up to the confirmation of the order `last`."""
    found = [await said(live)]
    while (found[-1]["order"]["orderId"], found[-1]["type"]) != ("last", "OrderConfirmed"):
        found.append(await said(live))
    return found


async def test_every_transition_once_and_in_order_from_every_token(shop: Shop) -> None:
    async with AsyncExitStack() as stack:
        live = await stack.enter_async_context(socket(shop))
        begun = live.response.headers["Consistency-Token"]
        messages = await every_transition(shop, live)
        places = [int(one["token"].rpartition(":")[2]) for one in messages]
        assert places == sorted(set(places))
        tokens = [begun, *(one["token"] for one in messages)]
        resumed = [await stack.enter_async_context(socket(shop, token)) for token in tokens]
        await shop.place("last")
        messages += await until_last(live)
        for number, one in enumerate(resumed):
            assert await until_last(one) == messages[number:]


async def test_the_order_is_that_of_get(shop: Shop) -> None:
    async with socket(shop) as live:
        messages = await every_transition(shop, live)
    newest = {one["order"]["orderId"]: one for one in messages}
    for order_id, one in newest.items():
        answer = await shop.other.get(f"/orders/{order_id}", headers={"Consistency-Token": one["token"]})
        assert order_id == "rejected" or answer.json() == one["order"]
    without_reactors = replace(app, reactors=())  # so that nothing follows, and the first state can be read, too
    async with without_reactors.open("memory:") as running, served(shop_http(running)) as quiet:
        await quiet.stock_up()
        async with socket(quiet) as live:
            for change, body in (("", None), ("/cancel", {"reason": "changed my mind"})):
                placed = await (quiet.post(f"/orders/one{change}", body) if change else quiet.place("one"))
                message = await said(live)
                assert message["token"] == placed.headers["Consistency-Token"]
                answer = await quiet.other.get("/orders/one", headers={"Consistency-Token": message["token"]})
                assert answer.json() == message["order"]


async def test_on_a_log_of_several_partitions() -> None:
    backend = InParts(4)
    log, rows = await backend.open_log(), await backend.open_rows()
    async with app.open(log, read_store=rows) as running, served(shop_http(running)) as parts:
        await parts.stock_up()
        async with socket(parts) as live:
            begun = live.response.headers["Consistency-Token"]
            placed = [await parts.place(f"o{number}") for number in range(6)]
            messages = [await said(live) for _ in range(2 * len(placed))]
        for number, token in enumerate([begun, *(one["token"] for one in messages)]):
            async with socket(parts, token) as resumed:
                assert [await said(resumed) for _ in messages[number:]] == messages[number:]
        status, detail = await refused(socket(parts, placed[0].headers["Consistency-Token"]))
        assert status == 400
        assert "of one partition" in detail


async def test_no_kill_of_the_server_loses_or_repeats_an_event(shop: Shop) -> None:
    token = begun = await beginning(shop)
    received: list[Message] = []
    acknowledged: list[str] = []

    async def client() -> None:
        nonlocal token
        while True:
            with suppress(OSError, ConnectionClosed, InvalidHandshake, TimeoutError):
                async with socket(shop, token) as live:
                    while True:
                        received.append(await said(live))
                        token = received[-1]["token"]
                        if received[-1]["order"]["orderId"] == "last" and received[-1]["type"] == "OrderConfirmed":
                            return
            await asyncio.sleep(0.05)  # nothing says when the server is back

    async def place(order_id: str) -> None:
        with suppress(httpx2.TransportError):
            await shop.place(order_id)
            acknowledged.append(order_id)

    following = asyncio.create_task(client())
    for kill in range(KILLS):
        placing = [asyncio.create_task(place(f"{kill}-{number}")) for number in range(ORDERS)]
        await asyncio.wait(placing, return_when=asyncio.FIRST_COMPLETED)
        await shop.kill()
        await asyncio.gather(*placing)
        await shop.start()
    await shop.place("last")
    async with asyncio.timeout(WITHIN_S):
        await following
    async with socket(shop, begun) as again:
        everything = [await said(again) for _ in received]
    assert received == everything
    assert len(acknowledged) >= KILLS
    for order_id in (*acknowledged, "last"):
        assert kinds(received, order_id)[0] == CREATED
        assert len(kinds(received, order_id)) <= 2


async def test_who_may_connect(shop: Shop) -> None:
    status, detail = await refused(socket(shop, additional_headers={"Origin": "https://elsewhere.example"}))
    assert status == 403
    assert "elsewhere" in detail
    async with socket(shop, additional_headers={"Origin": shop.address}):
        pass
    for query in ("x", "0123456789abcdef:0:1", (await beginning(shop))[:-1] + "99999"):
        assert (await refused(socket(shop, query)))[0] == 400
    assert (await refused(socket(shop, "x&before=y")))[0] == 400


async def test_one_too_many_is_refused_and_a_stop_is_told(tmp_path: Path) -> None:
    async with a_shop(tmp_path, "--max-watchers", "1") as shop, socket(shop) as live:
        assert (await refused(socket(shop)))[0] == 503
        assert await shop.stop() == 0
        with pytest.raises(ConnectionClosed):
            await live.recv()
        assert live.close_code == 1012


async def test_with_logins_each_is_told_of_their_own(tmp_path: Path) -> None:
    key = login.key(tmp_path / "key")
    staff, ann, bob = (
        {"Authorization": f"Bearer {login.token(key, name, staff=name == 'staff')}"} for name in ("staff", "ann", "bob")
    )
    async with a_shop(tmp_path, "--login", str(tmp_path / "key"), **staff) as shop:
        await shop.stock_up()
        forged = {"Authorization": f"Bearer {login.token(key + '!', 'ann')}"}
        assert (await refused(socket(shop, additional_headers=forged)))[0] == 401
        async with socket(shop) as unknown:
            await unknown.send(json.dumps({"authorization": forged["Authorization"]}))
            assert (await said(unknown))["problem"]["status"] == 401
            with pytest.raises(ConnectionClosed):
                await unknown.recv()
            assert unknown.close_code == 1008
        async with socket(shop) as unknown:
            await unknown.send("hello")
            assert (await said(unknown))["problem"]["status"] == 400
        async with (
            socket(shop) as of_ann,
            socket(shop, additional_headers=bob) as of_bob,
            socket(shop, additional_headers=staff) as of_staff,
        ):
            await of_ann.send(json.dumps({"authorization": ann["Authorization"]}))
            order = {"items": [{"productId": "tea", "quantity": 1}], "shippingAddress": "Here"}
            for name, who in (("ann", ann), ("bob", bob)):
                await shop.put(f"/customers/{name}", {"name": name, "email": "a@example.com"})
                sent = {**order, "orderId": f"of-{name}"}
                assert (await shop.other.post("/orders", json=sent, headers=who)).status_code == 202
            assert kinds([await said(of_ann), await said(of_ann)], "of-ann") == [CREATED, CONFIRMED]
            assert kinds([await said(of_bob), await said(of_bob)], "of-bob") == [CREATED, CONFIRMED]
            everything = [await said(of_staff) for _ in range(4)]
            assert {one["order"]["orderId"] for one in everything} == {"of-ann", "of-bob"}
