"""The shop as one FastAPI app."""

from fastapi import FastAPI, Request

from shop.http import customers, inventory, order_views, orders, products, sales
from twofold import Running
from twofold.web.application import web_app
from twofold.web.headers import printable_header

DESCRIPTION = """
Every change returns a `Consistency-Token`; a GET that sends it gets a response at least as new. A POST with an
`Idempotency-Key` can be repeated safely. `X-Actor` is recorded as the author. Errors are problem details (RFC 9457).
"""


def stated_actor(request: Request) -> str | None:
    """The actor, as the client claims: a real shop would take it from the login."""
    return printable_header(request.headers, "X-Actor")


def shop_http(running: Running) -> FastAPI:
    modules = (products, customers, inventory, orders, order_views, sales)
    return web_app(
        running,
        *(module.routes for module in modules),
        title="A shop on twofold",
        description=DESCRIPTION,
        actor=stated_actor,
    )
