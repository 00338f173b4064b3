"""A server error under an Idempotency-Key is not kept: a repeated request gets the proper response."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import Response

from shop.app import shop
from shop.http.app import shop_http
from shop.tests.http.client import Client, client_of, problem
from shop.write.stock import ReceiveStock, stock
from twofold import OutcomeUnknown, Unavailable
from twofold.web.answers import answer, receipt_headers
from twofold.web.bodies import JsonBody
from twofold.web.commands import Asking
from twofold.web.problems import Problem
from twofold.web.routes import router

routes = router()
failures: dict[str, list[BaseException]] = {"before": [], "after": []}


@routes.post("/receipts/{id}")
async def receive(id: str, body: JsonBody[dict[str, int]], asked: Asking) -> Response:
    async def handle() -> Response:
        if failures["before"]:
            raise failures["before"].pop()
        done = await asked.execute(stock, id, ReceiveStock(body["quantity"]))
        if failures["after"]:
            raise failures["after"].pop()
        return answer({"available": done.state.available}, 200, receipt_headers(done.receipt))

    return await asked.once(handle)


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    failures["before"].clear()
    failures["after"].clear()
    async with shop.open("memory:") as running:
        app = shop_http(running)
        app.router.routes.extend(routes.routes)
        async with client_of(app) as client:
            yield client


ERRORS: list[Any] = [
    (RuntimeError("secret"), 500, "internal-error"),
    (Unavailable("secret"), 503, "unavailable"),
    (OutcomeUnknown("c", "secret"), 503, "outcome-unknown"),
    (Problem(503, "elsewhere", "not now"), 503, "elsewhere"),
    (Problem(500, "broken", "not fixed yet"), 500, "broken"),
]


@pytest.mark.parametrize(("error", "status", "kind"), ERRORS, ids=[kind for *_, kind in ERRORS])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_server_error_is_not_kept(client: Client, when: str, error: Exception, status: int, kind: str) -> None:
    failures[when] = [error, error]
    for _ in range(2):
        failed = await client.post("/receipts/tea", {"quantity": 5}, Idempotency_Key="k")
        assert problem(failed) == (status, kind)
        assert "secret" not in failed.text
    first = await client.post("/receipts/tea", {"quantity": 5}, Idempotency_Key="k")
    assert (first.status_code, first.json()) == (200, {"available": 5})  # once, however many attempts
    again = await client.post("/receipts/tea", {"quantity": 5}, Idempotency_Key="k")
    assert (again.status_code, again.content, again.headers["etag"]) == (200, first.content, first.headers["etag"])
    assert problem(await client.post("/receipts/tea", {"quantity": 6}, Idempotency_Key="k"))[0] == 422


async def test_another_body_after_a_server_error_is_refused_too(client: Client) -> None:
    failures["after"] = [RuntimeError("x")]
    assert (await client.post("/receipts/tea", {"quantity": 5}, Idempotency_Key="k")).status_code == 500
    other = await client.post("/receipts/tea", {"quantity": 6}, Idempotency_Key="k")
    assert problem(other) == (422, "idempotency-key-reused")
    assert (await client.post("/receipts/tea", {"quantity": 5}, Idempotency_Key="k")).json() == {"available": 5}
