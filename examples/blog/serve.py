"""Serve the blog on a PostgreSQL of its own: `python -m blog.serve`, or `./dev blog`."""

import argparse
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from shop.serve import port
from twofold_start import end_at_ctrl_c

WELCOME = r"""
The blog serves ADDRESS/graphql: open it in a browser, or paste these lines.

  SEND '{"query": "mutation { createUser(name: \"Ann\", email: \"ann@example.com\") { id } }"}'

  TOKEN=$(curl -sS ADDRESS/login JSON -d '{"email": "ann@example.com"}' | cut -d '"' -f 4)

  SEND -H "Authorization: Bearer $TOKEN" -d '{"query": "mutation { createPost(input: INPUT) { id title status } }"}'

PostgreSQL: PSQL 'DATABASE'
"""
SHORT = {
    "SEND '": "SEND -d '",
    "SEND": r"curl -sS -w '\n' ADDRESS/graphql JSON",
    "INPUT": r"{title: \"Tea\", content: \"Warm the pot, then pour the water while it is still boiling.\"}",
    "JSON": "-H 'Content-Type: application/json'",
}


def main(arguments: list[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    from devservers.postgres import server  # imports take a while, and Ctrl-C must end them quietly

    for number in (signal.SIGTERM, signal.SIGINT):  # PostgreSQL is to be stopped, too
        signal.signal(number, lambda number, frame: sys.exit(128 + number))
    try:
        with server(options.data) as postgres:
            return serve_on(postgres.url, options.port, shutil.which("psql") or str(postgres.program("psql")))
    except (RuntimeError, OSError) as error:
        print(f"blog: {error}", file=sys.stderr)
        return 1


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="./dev blog", description="Serve the blog on a PostgreSQL of its own.")
    made.add_argument("--port", type=port, default=8000, help="port to listen on, 0 for any (default: %(default)s)")
    made.add_argument("--data", metavar="FOLDER", help="keep the data there; without it they are deleted at the end")
    return made


def serve_on(url: str, port: int, psql: str) -> int:
    """Serve until a signal arrives. Returns the exit status."""
    from fastapi import FastAPI

    from blog.api import web
    from blog.app import blog
    from blog.install import install
    from twofold.web.serving.server import serve

    @asynccontextmanager
    async def opened() -> AsyncIterator[FastAPI]:
        await install(url)
        async with blog.open(url) as running:
            yield web(running)

    return serve(opened, port=port, announce=lambda address: print(welcome(address, url, psql), flush=True))


def welcome(address: str, url: str, psql: str) -> str:
    text = WELCOME
    for short, long in (*SHORT.items(), ("ADDRESS", address), ("DATABASE", url), ("PSQL", psql)):
        text = text.replace(short, long)
    return text


if __name__ == "__main__":
    end_at_ctrl_c()
    sys.exit(main())
