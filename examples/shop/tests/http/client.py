"""A client that calls the app in process, checks that errors are problem details, and reads its own writes."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from fastapi import FastAPI

Answer = httpx2.Response


class Client:
    """`get` sees at least what this client has written."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self.http = http
        self.token: str | None = None

    async def get(self, path: str, **headers: str) -> Answer:
        token = {"Consistency-Token": self.token} if self.token else {}
        return self._checked(await self.http.get(path, headers={**token, **_named(headers)}))

    async def put(self, path: str, body: Any, **headers: str) -> Answer:
        return self._written(await self.http.put(path, json=body, headers=_named(headers)))

    async def post(self, path: str, body: Any = None, **headers: str) -> Answer:
        json = {} if body is None else {"json": body}
        return self._written(await self.http.post(path, headers=_named(headers), **json))

    async def send(self, method: str, path: str, text: str | bytes) -> Answer:
        headers = {"Content-Type": "application/json"}
        return self._checked(await self.http.request(method, path, content=text, headers=headers))

    async def until(self, path: str, is_so: Callable[[Any], bool]) -> Any:
        """Repeat until the response matches: reactors take a moment."""
        async with asyncio.timeout(20):
            while True:
                found = (await self.get(path)).json()
                if is_so(found):
                    return found
                await asyncio.sleep(0.005)

    async def until_status(self, order_id: str, status: str) -> Any:
        return await self.until(f"/orders/{order_id}", lambda order: order["status"] == status)

    def _written(self, answer: Answer) -> Answer:
        self.token = answer.headers.get("Consistency-Token", self.token)
        return self._checked(answer)

    def _checked(self, answer: Answer) -> Answer:
        if answer.status_code >= 400:
            assert answer.headers["content-type"] == "application/problem+json"
            problem = answer.json()
            assert {"type", "title", "status", "detail", "instance"} <= problem.keys()
            assert problem["status"] == answer.status_code
        return answer


def _named(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


def problem(answer: Answer) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"]


def fields(answer: Answer) -> list[str]:
    """The refused fields."""
    assert answer.status_code == 422, answer.text
    return sorted(error["field"] for error in answer.json()["errors"])


@asynccontextmanager
async def client_of(app: FastAPI) -> AsyncIterator[Client]:
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://shop") as http:
        yield Client(http)
