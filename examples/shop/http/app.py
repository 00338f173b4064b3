"""The shop as one FastAPI app."""

from fastapi import FastAPI, Request

from shop.http import customers, inventory, order_views, orders, products, sales
from twofold import Running
from twofold.web.application import web_app
from twofold.web.headers import printable_header

DESCRIPTION = """
Every change answers with a `Consistency-Token`; send it with a GET, and the answer is at least as new. A POST with an
`Idempotency-Key` can be repeated safely. `X-Actor` is recorded as who asked. Errors are problem details (RFC 9457).
"""


def stated_actor(request: Request) -> str | None:
    """Who asks, as they say themselves: a shop that is more than an example asks its login."""
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
