"""A program that serves with small limits: `python limited.py '{"commands": 2}'`. It prints its address, then `closed`.

/echo answers a body, /big a large one. /hold answers when /release was asked for, whatever the method.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Response

from twofold import App
from twofold.api import Api, nobody
from twofold.web.answers import answer
from twofold.web.application import web_app
from twofold.web.bodies import JsonBody
from twofold.web.routes import router
from twofold.web.serving.limits import Limits
from twofold.web.serving.server import serve

APP = App("limited")
routes = router()
held = asyncio.Event()


@routes.post("/echo")
async def echo(body: JsonBody[dict[str, str]]) -> Response:
    return answer(body)


@routes.get("/big")
async def big() -> Response:
    return Response(b"x" * 64 * 1024 * 1024)


@routes.api_route("/hold", methods=["GET", "POST", "PUT"])
async def hold() -> Response:
    print("holding", flush=True)
    await held.wait()
    return answer({"held": True})


@routes.put("/hold/body")
async def hold_with_body(body: JsonBody[dict[str, str]]) -> Response:
    return await hold()


@routes.get("/release")
async def release() -> Response:
    held.set()
    return answer({})


@asynccontextmanager
async def opened() -> AsyncIterator[FastAPI]:
    async with APP.open("memory:") as running:
        yield web_app(running, Api(running.app, actor=nobody), routes)
    if "--never-closes" in sys.argv:
        await asyncio.Event().wait()
    print("closed", flush=True)


if __name__ == "__main__":
    limits = Limits(**json.loads(sys.argv[1]))
    sys.exit(serve(opened, port=0, limits=limits, announce=lambda address: print(address, flush=True)))
