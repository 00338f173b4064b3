"""Tokens, versions and keys: the headers that make a request safe."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from shop.app import shop
from shop.http.app import shop_http
from shop.tests.http.client import Client, client_of, problem
from shop.tests.http.conftest import opened
from shop.values import Buyer
from shop.write.order import DraftOrder, orders
from twofold import Stream, operate
from twofold.messages import Append, Encoded, Meta
from twofold.web.steps import request_id

TEA = {"productId": "tea", "quantity": 1}
ORDER: dict[str, Any] = {"customerId": "ann", "items": [TEA], "shippingAddress": "by the door"}


async def draft(client: Client) -> str:
    order_id: str = (await client.post("/orders/drafts", {"customerId": "ann"})).json()["orderId"]
    return order_id


# Consistency-Token


async def test_every_command_is_seen_by_a_read_with_its_token(stocked: Client) -> None:
    async def place_and_read(number: int) -> None:
        client = Client(stocked.http)
        placed = await client.post("/orders", {**ORDER, "orderId": f"o-{number}"})
        assert placed.status_code == 202
        assert (await client.get(f"/orders/o-{number}")).status_code == 200
        after = placed.headers["consistency-token"]
        listed = (await stocked.http.get(f"/orders?customerId=ann&after={after}&limit=500")).json()
        assert f"o-{number}" in [one["orderId"] for one in listed["data"]]

    await asyncio.gather(*(place_and_read(number) for number in range(60)))


async def test_a_token_that_is_not_ours(stocked: Client) -> None:
    log_id, _, _ = stocked.token.partition(":") if stocked.token else ("", "", "")
    for token in ("nonsense", "", f"{'0' * 16}:0:1", f"{log_id}:0:999999"):
        assert problem(await stocked.get("/orders", Consistency_Token=token)) == (400, "invalid-token")


async def test_a_read_that_comes_too_early_says_so(tmp_path: Path) -> None:
    from shop.app import shop
    from shop.http.app import shop_http
    from shop.tests.http.client import client_of

    store = f"sqlite:///{tmp_path / 'shop.db'}"
    async with shop.open(store, work=False) as running, client_of(shop_http(running)) as client:
        await client.put("/products/tea", {"name": "Tea", "price": 1})
        for path in ("/inventory/products/tea", "/orders", "/sales/products", "/sales/countries"):
            behind = await client.get(path, Prefer="wait=0")
            assert problem(behind) == (503, "read-model-behind")
            assert (behind.json()["lagEvents"], behind.headers["retry-after"]) == (1, "1")


async def test_the_preference_is_told_when_it_was_applied(stocked: Client) -> None:
    assert (await stocked.get("/orders", Prefer="wait=2")).headers["preference-applied"] == "wait=2"
    assert "preference-applied" not in (await stocked.get("/orders", Prefer="wait=soon")).headers
    assert "preference-applied" not in (await stocked.http.get("/orders", headers={"Prefer": "wait=2"})).headers


# ETag


async def test_an_order_that_was_read_before_is_not_sent_again(stocked: Client) -> None:
    order_id = await draft(stocked)
    etag = (await stocked.get(f"/orders/{order_id}")).headers["etag"]
    assert etag == '"1"'
    again = await stocked.get(f"/orders/{order_id}", If_None_Match=etag)
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    await stocked.post(f"/orders/{order_id}/items", TEA)
    assert (await stocked.get(f"/orders/{order_id}", If_None_Match=etag)).status_code == 200
    assert (await stocked.get(f"/orders/{order_id}", If_None_Match="1")).status_code == 400


async def test_a_change_can_demand_a_version(stocked: Client) -> None:
    order_id = await draft(stocked)
    for path, body in ((f"/orders/{order_id}/items", TEA), (f"/orders/{order_id}/submit", None)):
        stale = await stocked.post(path, body, If_Match='"7"')
        assert problem(stale) == (412, "version-conflict")
    assert stale.json()["actual"] == 1
    assert (await stocked.post(f"/orders/{order_id}/items", TEA, If_Match='"1"')).json()["version"] == 2
    assert (await stocked.post(f"/orders/{order_id}/items", TEA, If_Match='"1"')).status_code == 412
    assert (await stocked.post(f"/orders/{order_id}/items", TEA, If_Match='"1", "2"')).json()["version"] == 3
    assert (await stocked.post(f"/orders/{order_id}/items", TEA, If_Match="*")).json()["version"] == 4
    assert (await stocked.post(f"/orders/{order_id}/items", TEA, If_Match="4")).status_code == 400
    assert (await stocked.put("/products/tea", {"name": "T", "price": 1}, If_Match='"9"')).status_code == 412
    assert (await stocked.put("/products/tea", {"name": "T", "price": 1}, If_Match='"1"')).json()["version"] == 2
    assert (await stocked.put("/products/new", {"name": "N", "price": 1}, If_Match="*")).status_code == 412


async def test_a_put_can_demand_that_there_is_nothing_yet(stocked: Client) -> None:
    new, other = {"name": "N", "price": 1}, {"name": "O", "price": 2}
    assert (await stocked.put("/products/new", new, If_None_Match="*")).json()["version"] == 1
    for header in ("*", '"1"', 'W/"1"', '"7", "1"'):
        for body in (new, other):  # a request that would change nothing is refused too
            refused = await stocked.put("/products/new", body, If_None_Match=header)
            assert problem(refused) == (412, "version-conflict")
    assert refused.json()["expected"] == 'If-None-Match: "7", "1"'
    assert (await stocked.put("/products/new", new)).json()["version"] == 1
    both = {"If_None_Match": "*", "If_Match": '"1"'}
    assert (await stocked.put("/products/new", other, **both)).status_code == 412
    assert (await stocked.put("/products/new", other, If_None_Match='"2"')).json()["version"] == 2


async def test_a_post_can_demand_that_there_is_nothing_yet(stocked: Client) -> None:
    order = {**ORDER, "orderId": "o-1"}
    assert (await stocked.post("/orders", order, If_None_Match="*")).status_code == 202
    assert problem(await stocked.post("/orders", order, If_None_Match="*")) == (412, "version-conflict")
    assert problem(await stocked.post("/orders", order)) == (409, "version-conflict")
    assert problem(await stocked.post("/orders", order, If_None_Match='"1"')) == (400, "invalid-header")
    order_id = await draft(stocked)
    assert (await stocked.post(f"/orders/{order_id}/items", TEA, If_None_Match="*")).status_code == 412
    assert problem(await stocked.post("/orders/none/items", TEA, If_None_Match="*")) == (404, "not-found")


async def test_of_those_who_make_it_at_once_one_has_made_it(stocked: Client) -> None:
    makers = [
        stocked.put("/products/new", {"name": f"N {n}", "price": n}, If_None_Match="*", Idempotency_Key=f"k{n}")
        for n in range(12)
    ]
    answers = await asyncio.gather(*makers)
    made = [answer.json() for answer in answers if answer.status_code == 200]
    assert [answer["version"] for answer in made] == [1]
    assert sorted(answer.status_code for answer in answers) == [200, *[412] * 11]
    again = await stocked.put("/products/new", {"name": "last", "price": 1})
    assert again.json()["version"] == 2


async def test_a_repetition_is_not_refused_for_what_it_has_made_itself(
    stocked: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    from twofold.web.idempotency import Idempotency

    async def die(*_: object) -> None:
        raise RuntimeError("the process dies here")

    for path, header in (("/products/a", "*"), ("/products/b", '"1"')):
        send = {"If_None_Match": header, "Idempotency_Key": "k"}
        with monkeypatch.context() as crash:
            crash.setattr(Idempotency, "_kept", die)
            assert (await stocked.put(path, {"name": "N", "price": 1}, **send)).status_code == 500
        for _ in range(2):  # from the log, then from the kept response
            again = await stocked.put(path, {"name": "N", "price": 1}, **send)
            assert (again.status_code, again.json()["version"]) == (200, 1)
        other = await stocked.put(path, {"name": "O", "price": 1}, If_None_Match=header, Idempotency_Key="k2")
        assert problem(other) == (412, "version-conflict")


@pytest.mark.parametrize("name", ["If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "If-Range"])
async def test_a_precondition_that_is_not_known_is_never_passed_over(stocked: Client, name: str) -> None:
    before = (await stocked.get("/inventory/products/tea")).json()
    refused = await stocked.post("/inventory/products/tea/receipts", {"quantity": 5}, **{name.replace("-", "_"): '"1"'})
    assert problem(refused) == (400, "unknown-precondition")
    assert name in refused.json()["detail"]
    assert (await stocked.get("/inventory/products/tea")).json() == before
    tea = await stocked.put("/products/tea", {"name": "T", "price": 1}, **{name.replace("-", "_"): '"9"'})
    assert tea.status_code in ((412, 200) if name in ("If-Match", "If-None-Match") else (400,))


async def test_nothing_is_lost_when_many_add_at_once(stocked: Client) -> None:
    order_id = await draft(stocked)
    numbers = iter(range(1, 25))

    async def add_some() -> list[int]:
        return [
            (await stocked.post(f"/orders/{order_id}/items", {**TEA, "quantity": number})).status_code
            for number in numbers
        ]

    statuses = await asyncio.gather(*(add_some() for _ in range(16)))
    assert [status for some in statuses for status in some] == [200] * 24
    history = (await stocked.get(f"/orders/{order_id}/history")).json()
    assert sorted(one["data"]["item"]["quantity"] for one in history[1:]) == list(range(1, 25))
    found = await stocked.until(f"/orders/{order_id}", lambda order: order["itemCount"] == 24)
    assert found["totalAmount"] == 2.5 * sum(range(1, 25))


# Idempotency-Key


async def test_the_same_key_gets_the_same_answer(stocked: Client) -> None:
    first = await stocked.post("/orders", ORDER, Idempotency_Key="k")
    await stocked.until_status(first.json()["orderId"], "confirmed")
    again = await stocked.post("/orders", ORDER, Idempotency_Key="k")
    assert (again.status_code, again.content) == (202, first.content)
    for name in ("location", "consistency-token", "etag", "content-type"):
        assert again.headers[name] == first.headers[name]
    assert len((await stocked.get("/orders")).json()["data"]) == 1


async def test_the_same_key_at_the_same_time(stocked: Client) -> None:
    answers = await asyncio.gather(*(stocked.post("/orders", ORDER, Idempotency_Key="k") for _ in range(20)))
    assert {(answer.status_code, answer.content) for answer in answers} == {(202, answers[0].content)}
    received = [
        stocked.post("/inventory/products/cup/receipts", {"quantity": 3}, Idempotency_Key="k") for _ in range(20)
    ]
    assert {answer.json()["availableQuantity"] for answer in await asyncio.gather(*received)} == {3}


async def test_the_same_key_with_another_body(stocked: Client) -> None:
    first = await stocked.post("/orders", ORDER, Idempotency_Key="k")
    spaced = '{"shippingAddress": "by the door", "items": [{"quantity":1,"productId":"tea"}], "customerId": "ann"}'
    headers = {"Content-Type": "application/json", "Idempotency-Key": "k"}
    same = await stocked.http.post("/orders", content=spaced, headers=headers)
    assert same.content == first.content
    other = await stocked.post("/orders", {**ORDER, "customerId": "bob"}, Idempotency_Key="k")
    assert problem(other) == (422, "idempotency-key-reused")


async def test_a_key_belongs_to_an_actor_and_a_route(stocked: Client) -> None:
    ids = {
        (await stocked.post("/orders", ORDER, Idempotency_Key="k", **actor)).json()["orderId"]
        for actor in ({}, {"X_Actor": "a"}, {"X_Actor": "b"})
    }
    ids.add((await stocked.post("/orders/drafts", {"customerId": "ann"}, Idempotency_Key="k")).json()["orderId"])
    assert len(ids) == 4


async def test_a_refusal_is_an_answer_too(stocked: Client) -> None:
    order_id = await draft(stocked)
    refused = await stocked.post(f"/orders/{order_id}/submit", Idempotency_Key="k")
    assert problem(refused) == (422, "rejected")
    await stocked.post(f"/orders/{order_id}/items", TEA)
    again = await stocked.post(f"/orders/{order_id}/submit", Idempotency_Key="k")
    assert (again.status_code, again.content) == (422, refused.content)
    assert again.headers["content-type"] == "application/problem+json"
    assert (await stocked.post(f"/orders/{order_id}/submit", Idempotency_Key="k2")).status_code == 200


async def test_what_was_never_understood_does_not_use_the_key(stocked: Client) -> None:
    assert (await stocked.post("/orders", {**ORDER, "items": "none"}, Idempotency_Key="k")).status_code == 422
    assert (await stocked.post("/orders", ORDER, Idempotency_Key="k")).status_code == 202


@pytest.mark.parametrize("name", ["Idempotency-Key", "X-Actor", "X-Correlation-ID"])
async def test_a_header_that_cannot_be_kept(stocked: Client, name: str) -> None:
    for value in ("", "x" * 201, "tab\there", "\xe9"):
        headers = [(name.encode(), value.encode("latin-1"))]
        answered = await stocked.http.post("/orders", json=ORDER, headers=headers)
        assert problem(answered) == (400, "invalid-header")
    twice = await stocked.http.post("/orders", json=ORDER, headers=[(name, "a"), (name, "b")])
    assert twice.status_code == 400
    assert (await stocked.http.post("/orders", json=ORDER, headers={name: "x" * 200})).status_code == 202


async def test_answers_outlive_the_process(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'shop.db'}"
    async with opened(store) as client:
        await client.put("/products/tea", {"name": "Tea", "price": 1})
        await client.put("/customers/ann", {"name": "Ann", "email": "ann@example.com"})
        first = await client.post("/orders", ORDER, Idempotency_Key="k")
    async with opened(store) as client:
        again = await client.post("/orders", ORDER, Idempotency_Key="k")
        assert (again.status_code, again.content) == (202, first.content)
        assert len((await client.get("/orders")).json()["data"]) == 1


async def test_a_log_from_when_answers_were_events(tmp_path: Path) -> None:
    """They do no harm, and what was done under their keys is not repeated."""
    async with shop.open(f"sqlite:///{tmp_path / 'shop.db'}") as running:
        order_id = request_id(None, "POST", "/orders/drafts", "k")[:32]
        stream = Stream("http_request", request_id(None, "POST", "/orders/drafts", "k"))
        received = [Encoded("HttpRequestReceived", 1, b'{"fingerprint":"f"}', None)]
        answered = [Encoded("HttpRequestAnswered", 1, b'{"status":201,"headers":{},"body":""}', None)]
        for events in (received, answered):
            await running.log.commit([Append(stream, events, None, Meta(f"c{len(events[0].type)}", "c"))])
        async with client_of(shop_http(running)) as client:
            await client.put("/customers/ann", {"name": "Ann", "email": "ann@example.com"})
            buyer = Buyer("ann", "Ann", "ann@example.com")
            command = DraftOrder(buyer, "by the door", datetime.now(UTC))
            await running.execute(orders, order_id, command, command_id=stream.id)
            again = await client.post("/orders/drafts", {"customerId": "ann"}, Idempotency_Key="k")
            assert (again.status_code, again.json()["orderId"], again.json()["version"]) == (201, order_id, 1)
            assert len((await client.get("/orders?status=draft")).json()["data"]) == 1
        assert all(status.error is None and status.parked == 0 for status in await operate.status(running))


async def test_a_crash_before_the_answer_was_kept_is_healed(stocked: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """The order was placed and has moved on since; a repeated request gets the original response."""
    from twofold.web.idempotency import Idempotency

    async def die(*_: object) -> None:
        raise RuntimeError("the process dies here")

    with monkeypatch.context() as crash:
        crash.setattr(Idempotency, "_kept", die)
        lost = await stocked.post("/orders", {**ORDER, "orderId": "1"}, Idempotency_Key="k")
        assert problem(lost) == (500, "internal-error")
        added = await stocked.post("/orders/drafts", {"customerId": "ann"}, Idempotency_Key="k")
        assert added.status_code == 500
    await stocked.until_status("1", "confirmed")
    again = await stocked.post("/orders", {**ORDER, "orderId": "1"}, Idempotency_Key="k")
    told = {"orderId": "1", "status": "pending", "version": 1, "message": "Order creation initiated"}
    assert (again.status_code, again.json()) == (202, told)
    assert (await stocked.post("/orders/drafts", {"customerId": "ann"}, Idempotency_Key="k")).status_code == 201
    assert len((await stocked.get("/orders?status=draft")).json()["data"]) == 1


async def test_a_crash_is_healed_also_where_a_version_was_demanded(
    stocked: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    from twofold.web.idempotency import Idempotency

    async def die(*_: object) -> None:
        raise RuntimeError("the process dies here")

    order_id = await draft(stocked)
    demand = {"If_Match": '"1"', "Idempotency_Key": "k"}
    with monkeypatch.context() as crash:
        crash.setattr(Idempotency, "_kept", die)
        assert (await stocked.post(f"/orders/{order_id}/items", TEA, **demand)).status_code == 500
    again = await stocked.post(f"/orders/{order_id}/items", TEA, **demand)
    assert (again.status_code, again.json()["version"]) == (200, 2)


# When the store is gone


async def test_nothing_is_promised_when_the_log_was_replaced(tmp_path: Path) -> None:
    async with opened(f"sqlite:///{tmp_path / 'shop.db'}") as client:
        await client.put("/products/tea", {"name": "Tea", "price": 1})
        (tmp_path / "shop.db").unlink()
        changed = await client.put("/products/tea", {"name": "Tea", "price": 2})
        assert problem(changed) == (503, "log-replaced")
        assert str(tmp_path) not in changed.text
        assert problem(await client.get("/health/ready")) == (503, "not-ready")
