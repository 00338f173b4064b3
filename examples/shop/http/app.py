"""The shop as one FastAPI app."""

from collections.abc import Mapping

from fastapi import FastAPI

from shop.http import customers, inventory, order_views, orders, products, sales
from twofold import Running
from twofold.api import Actor, Api
from twofold.web.application import web_app
from twofold.web.headers import printable_header

DESCRIPTION = """
Every change returns a `Consistency-Token`; a GET that sends it gets a response at least as new. A POST with an
`Idempotency-Key` can be repeated safely. `X-Actor` is recorded as the author. Errors are problem details (RFC 9457).
"""


async def stated_actor(headers: Mapping[str, str]) -> Actor | None:
    """The actor, as the client claims: a real shop would take it from the login."""
    stated = printable_header(headers, "X-Actor")
    return None if stated is None else Actor(stated)


def shop_http(running: Running) -> FastAPI:
    modules = (products, customers, inventory, orders, order_views, sales)
    return web_app(
        running,
        Api(running.app, actor=stated_actor, title="A shop on twofold", description=DESCRIPTION),
        *(module.routes for module in modules),
    )
