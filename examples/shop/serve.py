"""Serve the shop: `python -m shop.serve`. By default it keeps its files in the checkout's folder `data`."""

import argparse
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from shlex import quote

from twofold_start import end_at_ctrl_c

DATA = Path(__file__).resolve().parents[2] / "data"
KEY = DATA / "login.key"

# Every line can be pasted again: a repeated key gets the first response, so no stock is received twice.
WELCOME = r"""
The shop serves ADDRESS, a page with live orders; its API is described at ADDRESS/docs.
Its data: WHERE.

To try it, paste these lines one by one: they add data, place an order, and read back at least that version of it.

  CURL -X PUT ADDRESS/products/tea JSON -d 'TEA' --next NICE -X PUT ADDRESS/customers/ann JSON -d 'ANN' RECEIVE

  CURL -D "${HEADERS:=$(mktemp)}" ADDRESS/orders JSON -H 'Idempotency-Key: first-order' -d 'ORDER'

  CURL -H "$(grep -i '^consistency-token' "$HEADERS" | tr -d '\r')" ADDRESS/orders/first
"""
SHORT = {
    "RECEIVE": "--next NICE ADDRESS/inventory/products/tea/receipts JSON -H 'Idempotency-Key: first-tea' -d 'STOCK'",
    "CURL": "curl NICE",
    "NICE": r"-sS -w '\n'",
    "JSON": "-H 'Content-Type: application/json'",
    "TEA": '{"name":"Tea","price":2.50}',
    "ANN": '{"name":"Ann","email":"ann@example.com"}',
    "STOCK": '{"quantity":100}',
    "ORDER": '{"orderId":"first","customerId":"ann","items":[{"productId":"tea","quantity":2}],'
    '"shippingAddress":{"street":"High Street 1","city":"Leeds","country":"United Kingdom"}}',
}

LOGIN_FIRST = "  TOKEN=$(PYTHON -m shop.login ann --staff --key KEY); CURL -X"
WITH_LOGIN = {
    "NICE": SHORT["NICE"] + ' -H "Authorization: Bearer $TOKEN"',
    "ORDER": SHORT["ORDER"].replace('"customerId":"ann",', ""),
}


def main(arguments: list[str] | None = None) -> int:
    from fastapi import FastAPI  # imports take a while, and Ctrl-C must end them quietly: see the last lines

    from shop.app import shop
    from shop.http.app import shop_http
    from shop.http.who import OPEN
    from twofold.web.serving.limits import Limits
    from twofold.web.serving.server import serve

    options = parser().parse_args(arguments)
    try:
        store, who = options.store or default_store(), OPEN
        if options.login is not None:
            from shop.http.login import by_login
            from shop.login import key

            who = by_login(key(options.login))
    except OSError as error:
        print(f"{error.filename} cannot be created ({error.strerror}): use --store or --login FILE", file=sys.stderr)
        return 1

    @asynccontextmanager
    async def opened() -> AsyncIterator[FastAPI]:
        async with shop.open(store, read_store=options.read_store) as running:
            yield shop_http(running, who)

    def announce(address: str) -> None:
        print(welcome(address, where(store, options.read_store), options.login), flush=True)

    limits = Limits(commands=options.max_commands, watchers=options.max_watchers)
    return serve(opened, host=options.host, port=options.port, announce=announce, limits=limits)


def parser() -> argparse.ArgumentParser:
    from twofold.web.serving.limits import Limits

    made = argparse.ArgumentParser(prog="./dev run", description="Serve the shop over HTTP.")
    made.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    made.add_argument("--port", type=port, default=8000, help="port to listen on (default: %(default)s)")
    made.add_argument("--store", metavar="URL", help=f"URL of the log (default: {DATA}/shop.db)")
    made.add_argument(
        "--read-store", metavar="URL", help="URL of the read models (default: next to the log, s.db -> s.read.db)"
    )
    made.add_argument(
        "--login",
        nargs="?",
        type=Path,
        const=KEY,
        metavar="FILE",
        help=f"customers log in, with a token of `python -m shop.login`; FILE keeps its key (default: {KEY})",
    )
    made.add_argument(
        "--max-commands",
        type=int,
        default=Limits().commands,
        metavar="N",
        help="concurrent commands; more are refused (default: %(default)s)",
    )
    made.add_argument(
        "--max-watchers",
        type=int,
        default=Limits().watchers,
        metavar="N",
        help="streams of live rows and WebSockets; more are refused (default: %(default)s)",
    )
    made.epilog = (
        "A URL is sqlite:///relative.db, sqlite:////absolute.db, postgresql://USER@HOST/DATABASE, memory: for a shop "
        "that keeps nothing, or, with --read-store, cosmos://HOST/DATABASE/CONTAINER with the key in COSMOS_KEY."
    )
    return made


def port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: a number from 0 (any free one) to 65535")
    return int(text)


def default_store() -> str:
    DATA.mkdir(exist_ok=True)
    return f"sqlite:///{DATA / 'shop.db'}"


def where(store: str, read_store: str | None) -> str:
    return f"{store}, read models {read_store or 'next to it'}"


def welcome(address: str, where: str, login: Path | None = None) -> str:
    text = WELCOME if login is None else WELCOME.replace("  CURL -X", LOGIN_FIRST, 1)
    shorts = SHORT if login is None else SHORT | WITH_LOGIN
    for short, long in (
        *shorts.items(),
        ("PYTHON", quote(sys.executable)),
        ("KEY", quote(str(login))),
        ("ADDRESS", address),
        ("WHERE", where),
    ):
        text = text.replace(short, long)
    return text


if __name__ == "__main__":
    end_at_ctrl_c()
    sys.exit(main())
