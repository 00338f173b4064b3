"""The edges by twofold: rows and pages by rule, on the server of `twofold serve`."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from bench.edges import app, fill
from bench.sides.edges_server import announce
from twofold.api.rule import by_rule
from twofold.web.application import web_app
from twofold.web.serving.server import serve


@asynccontextmanager
async def filled() -> AsyncIterator[Any]:
    """The HTTP app, with every row folded."""
    async with app.open(sys.argv[1]) as running:
        await fill(running)
        yield web_app(running, by_rule(app))


if __name__ == "__main__":
    sys.exit(serve(filled, port=0, announce=announce))
