"""The shop with logins: nobody gets at the orders of others, at any address, by any header."""

import shutil
import stat
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import pytest

from shop import login
from shop.app import shop
from shop.http.app import shop_http
from shop.http.login import by_login
from shop.tests.http.client import Client, fields, problem
from shop.tests.http.openapi import Description
from shop.tests.http.server import serving
from shop.tests.http.test_process import paste
from shop.values import Item
from shop.write.order import RecordPastOrder, orders
from twofold import Running

KEY = "stands in for a key, at least 32 bytes"
TEA = {"productId": "tea", "quantity": 2}
ORDER: dict[str, Any] = {"items": [TEA], "shippingAddress": "by the door"}
OPEN = ("find_products", "get_product", "available", "live", "ready", "status", "prometheus")


@dataclass
class Users:
    """Each with a client, and somebody without a login."""

    ann: Client
    bob: Client
    staff: Client
    stranger: Client
    running: Running


def bearer(customer: str, **how: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {login.token(KEY, customer, **how)}"}


@pytest.fixture(params=[pytest.param("memory", marks=pytest.mark.slow), "sqlite"])
async def users(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Users]:
    """A shop with tea in stock, and one order of ann's, `a-1`, which is confirmed."""
    store = "memory:" if request.param == "memory" else f"sqlite:///{tmp_path / 'shop.db'}"
    async with shop.open(store) as running:
        app = shop_http(running, by_login(KEY))

        def client(headers: dict[str, str]) -> Client:
            transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
            return Client(httpx2.AsyncClient(transport=transport, base_url="http://shop", headers=headers))

        found = Users(
            client(bearer("ann")), client(bearer("bob")), client(bearer("till", staff=True)), client({}), running
        )
        await found.staff.put("/products/tea", {"name": "Tea", "price": "2.50"})
        await found.staff.post("/inventory/products/tea/receipts", {"quantity": 1_000})
        await found.ann.put("/customers/ann", {"name": "Ann", "email": "ann@example.com"})
        await found.bob.put("/customers/bob", {"name": "Bob", "email": "bob@example.com"})
        await found.ann.post("/orders", {**ORDER, "orderId": "a-1"})
        await found.ann.until_status("a-1", "confirmed")
        yield found
        for one in (found.ann, found.bob, found.staff, found.stranger):
            await one.http.aclose()


async def test_without_a_login_only_products_are_open(users: Users) -> None:
    document = (await users.stranger.get("/openapi.json")).json()
    for path, item in document["paths"].items():
        for method, operation in item.items():
            answered = await users.stranger.http.request(method, path.replace("{orderId}", "a-1"), content=b"{")
            closed = operation["operationId"] not in OPEN
            assert (answered.status_code == 401) is closed, (method, path, answered.text)
            if closed:
                assert answered.headers["www-authenticate"].startswith("Bearer")
                assert "401" in operation["responses"], (method, path)
    expired = {"Authorization": f"Bearer {login.token(KEY, 'ann', minutes=-1)}"}
    assert (await users.stranger.http.get("/orders", headers=expired)).status_code == 401
    forged = {"Authorization": f"Bearer {login.token(KEY + '!', 'ann')}"}
    assert (await users.stranger.http.get("/orders", headers=forged)).status_code == 401
    assert (await users.stranger.http.get("/orders", headers={"X-Actor": "ann"})).status_code == 401


async def test_the_customer_is_who_is_logged_in(users: Users) -> None:
    for path in ("/orders", "/orders/drafts"):
        named = {**(ORDER if path == "/orders" else {}), "customerId": "ann"}
        assert fields(await users.bob.post(path, named)) == ["/customerId"]
    draft = (await users.bob.post("/orders/drafts", {})).json()["orderId"]
    found = (await users.bob.get(f"/orders/{draft}")).json()
    assert (found["customerId"], found["customerName"]) == ("bob", "Bob")
    assert (await users.ann.get("/orders/a-1")).json()["customerId"] == "ann"
    assert (await users.ann.get("/orders/a-1/history")).json()[0]["actor"] == "ann"


async def test_an_order_of_another_is_like_one_that_is_unknown(users: Users) -> None:
    users.bob.token = users.ann.token  # a token says how far to read, not who reads
    before = (await users.ann.get("/orders/a-1/history")).json()
    tag = (await users.ann.get("/orders/a-1")).headers["etag"]

    async def answers_of(order_id: str) -> list[tuple[int, str]]:
        reads = [("GET", f"/orders/{order_id}{rest}", None) for rest in ("", "/history")]
        changes: list[Any] = [("items", TEA), ("submit", None), ("cancel", {"reason": "x"})]
        requests = [*reads, *(("POST", f"/orders/{order_id}/{what}", body) for what, body in changes)]
        found = []
        for headers in ({}, {"If-Match": tag}, {"If-None-Match": tag}, {"Idempotency-Key": "k"}, {"Prefer": "wait=1"}):
            for method, path, body in requests:
                answered = await users.bob.http.request(method, path, headers=headers, json=body)
                found.append((answered.status_code, answered.text.replace(order_id, "ID")))
        return found

    theirs, unknown = await answers_of("a-1"), await answers_of("none")
    assert theirs == unknown
    assert {status for status, _ in theirs} == {404}
    assert (await users.ann.get("/orders/a-1/history")).json() == before
    assert (await users.bob.post("/orders/a-1/ship", {"trackingNumber": "1"})).status_code == 403
    assert (await users.ann.post("/orders/a-1/cancel", {"reason": "too late"})).status_code == 202


async def test_ones_past_orders_are_ones_own(users: Users) -> None:
    then = datetime(2011, 1, 4, 10, tzinfo=UTC)
    past = RecordPastOrder("ann", "Ann", "France", then, (Item("tea", "Tea", 1, Decimal("2.5")),))
    users.ann.token = users.bob.token = (await users.running.execute(orders, "p-1", past)).receipt.token
    for path in ("/orders/p-1", "/orders/p-1/history"):
        assert ((await users.ann.get(path)).status_code, (await users.bob.get(path)).status_code) == (200, 404)
    assert problem(await users.ann.post("/orders/p-1/cancel", {"reason": "x"})) == (422, "rejected")


async def test_one_lists_only_ones_own(users: Users) -> None:
    own = (await users.bob.post("/orders", {**ORDER, "orderId": "b-1"})).json()["orderId"]
    await users.bob.until_status(own, "confirmed")  # a page and its count are two reads: let nothing change in between
    for query in ("", "?productId=tea", "?status=confirmed", "?customerId=ann", "?customerId=bob", "?limit=1"):
        page = await users.bob.get(f"/orders{query}", Prefer="count=exact")
        ids = [one["orderId"] for one in page.json()["data"]]
        assert set(ids) <= {own}, query
        assert int(page.headers["total-count"]) == len(ids)
        assert (page.json()["hasMore"], "link" in page.headers) == (False, False)
    assert [one["orderId"] for one in (await users.bob.get("/orders")).json()["data"]] == [own]
    assert len((await users.staff.get(f"/orders?after={users.bob.token}")).json()["data"]) == 2


async def test_a_cursor_belongs_to_who_got_it(users: Users) -> None:
    await users.ann.post("/orders", ORDER)
    cursor = (await users.ann.get("/orders?limit=1")).json()["nextCursor"]
    assert (await users.ann.get(f"/orders?limit=1&cursor={cursor}")).status_code == 200
    for one in (users.bob, users.staff):
        assert problem(await one.get(f"/orders?limit=1&cursor={cursor}")) == (400, "invalid-cursor")


@pytest.mark.parametrize("customer", ["ann", "none"])
async def test_another_customer_is_closed_whether_it_exists_or_not(users: Users, customer: str) -> None:
    for path in (f"/customers/{customer}/orders", f"/customer/{customer}/orders", f"/customers/{customer}/summary"):
        assert problem(await users.bob.get(path)) == (403, "forbidden")
    renamed = await users.bob.put(f"/customers/{customer}", {"name": "Bob", "email": "bob@example.com"})
    assert problem(renamed) == (403, "forbidden")
    assert (await users.bob.get("/customers/bob/orders")).json() == []
    assert (await users.bob.get("/customers/bob/summary")).json()["totalOrders"] == 0
    assert len((await users.ann.get("/customer/ann/orders")).json()) == 1
    assert (await users.staff.get("/customers/ann/summary")).json()["totalOrders"] == 1


async def test_an_id_that_another_has_taken_tells_no_version(users: Users) -> None:
    order = {**ORDER, "orderId": "a-1"}
    for headers, status in (({}, 409), ({"If_None_Match": "*"}, 412), ({"Idempotency_Key": "k"}, 409)):
        taken = await users.bob.post("/orders", order, **headers)
        assert problem(taken) == (status, "version-conflict")
        assert not {"actual", "expected"} & taken.json().keys()
        assert "version" not in taken.json()["detail"]
        assert (await users.ann.post("/orders", order, **headers)).json()["actual"] >= 1


async def test_a_key_belongs_to_who_sends_it(users: Users) -> None:
    by_ann = await users.ann.post("/orders", ORDER, Idempotency_Key="k")
    by_bob = await users.bob.post("/orders", ORDER, Idempotency_Key="k")
    assert by_ann.json()["orderId"] != by_bob.json()["orderId"]
    assert (await users.ann.post("/orders", ORDER, Idempotency_Key="k")).content == by_ann.content
    assert (await users.bob.get(by_bob.headers["location"])).json()["customerId"] == "bob"


async def test_staff_does_the_rest(users: Users) -> None:
    for method, path, body in (
        ("PUT", "/products/tea", {"name": "Tea", "price": 1}),
        ("POST", "/inventory/products/tea/receipts", {"quantity": 1}),
        ("POST", "/inventory/products/tea/adjustments", {"quantity": -1, "reason": "broken"}),
        ("POST", "/orders/a-1/ship", {"trackingNumber": "1"}),
        ("GET", "/sales/products", None),
        ("GET", "/sales/countries", None),
    ):
        for one, allowed in ((users.ann, False), (users.staff, True)):
            answered = await one.http.request(method, path, json=body)
            assert (answered.status_code != 403) is allowed, (path, answered.text)
            assert not allowed or answered.status_code < 300, (path, answered.text)


async def test_it_is_described(users: Users) -> None:
    document = (await users.ann.get("/openapi.json")).json()
    description = Description(document)
    for path in ("/orders", "/orders/a-1", "/orders/a-1/history", "/customers/bob/summary", "/orders/none"):
        description.check(await users.ann.get(path))
        description.check(await users.stranger.get(path))
    body = document["paths"]["/orders"]["post"]["requestBody"]["content"]["application/json"]
    assert "customerId" not in body["example"]
    assert (await users.ann.http.post("/orders", json=body["example"])).status_code == 202
    assert [one["type"] for one in document["components"]["securitySchemes"].values()] == ["http"]


def test_a_token_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "data" / "login.key"
    assert login.main(["ann", "--key", str(file)]) == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    made, _ = file.read_text(), capsys.readouterr()
    assert login.main(["till", "--staff", "--key", str(file)]) == 0
    assert (file.read_text(), list(file.parent.iterdir())) == (made, [file])
    assert len(capsys.readouterr().out.split(".")) == 3
    assert login.main(["ann", "--key", str(file / "below")]) == 1
    assert "name another with --key" in capsys.readouterr().err
    for wrong, message in (["ann", "--minutes", "0"], "at least 1"), (["a\nb"], "printable characters"):
        with pytest.raises(SystemExit):
            login.main([*wrong, "--key", str(file)])
        assert message in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("bash")), reason="needs curl and bash")
def test_the_lines_of_a_shop_with_logins_work_as_pasted(tmp_path: Path) -> None:
    with serving("memory:", tmp_path, "--login", str(tmp_path / "login.key")) as server:
        lines = [line for line in server.welcome.splitlines() if "curl" in line]
        *_, ordered, found = paste("\n".join(lines))
        assert (ordered["orderId"], found["orderId"], found["customerId"]) == ("first", "first", "ann")
