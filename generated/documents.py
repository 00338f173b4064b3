"""The OpenAPI documents of the quickstart and of the rooms."""

import asyncio
from collections.abc import Callable
from typing import Any

from fastapi import FastAPI

import quickstart
from generated import rooms
from twofold import App, Running
from twofold.api.rule import by_rule
from twofold.web.application import web_app

Made = Callable[[Running], FastAPI]


def by_rules(running: Running) -> FastAPI:
    """The quickstart as `twofold serve` serves it."""
    return web_app(running, by_rule(quickstart.bank))


APPS: dict[str, tuple[App, Made]] = {"quickstart": (quickstart.bank, by_rules), "rooms": (rooms.rooms, rooms.http)}


def document(name: str) -> dict[str, Any]:
    """The document of one of the Apps."""
    app, made = APPS[name]

    async def described() -> dict[str, Any]:
        async with app.open("memory:") as running:
            return made(running).openapi()

    return asyncio.run(described())
