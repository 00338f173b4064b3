"""The App and the store that a command works on, and how a command runs and fails."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Annotated, NoReturn

import typer

from twofold.app import App, Running
from twofold.backends.urls import resolved
from twofold.cli.output import err
from twofold.errors import ConfigurationError, InvalidInput, TwofoldError
from twofold.messages import Stream
from twofold.operate.load import load_app

AppName = Annotated[
    str, typer.Argument(metavar="APP", help="Where to import the App: module:name, like shop.app:shop.")
]
Store = Annotated[
    str | None, typer.Option(envvar="TWOFOLD_STORE", help="The store of the log, like sqlite:///shop.db.")
]
ReadStore = Annotated[
    str | None, typer.Option(envvar="TWOFOLD_READ_STORE", help="The store of the read models, by default the log's.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")]


@dataclass(frozen=True, slots=True)
class Target:
    """An App and its stores."""

    app: App
    store: str
    read_store: str | None

    def open(self) -> AbstractAsyncContextManager[Running]:
        """Open the App to fold and react; see `App.open`."""
        return self.app.open(self.store, read_store=self.read_store)

    def look(self) -> AbstractAsyncContextManager[Running]:
        """Open the App as it is; see `App.look`."""
        return self.app.look(self.store, read_store=self.read_store)


def targeted(name: str, store: str | None, read_store: str | None) -> Target:
    """The App of this name on this store; an error ends the program."""
    if store is None:
        raise typer.BadParameter(
            "name the store of the log: --store sqlite:///shop.db, or TWOFOLD_STORE", param_hint="--store"
        )
    check_name(name, "APP", "shop.app:shop")
    try:
        store, read_store = resolved(store), read_store and resolved(read_store)  # before the App's module runs
        return Target(load_app(name), store, read_store)
    except ConfigurationError as error:
        fail(error)


def check_name(name: str, hint: str, like: str) -> None:
    """Refuse a name that is not `module:name`."""
    if not re.fullmatch(r"[^:.][^:]*:[^:]+", name):
        raise typer.BadParameter(f"{name!r} is not module:name, like {like}", param_hint=hint)


def stream_of(text: str, where: str) -> Stream:
    """Parse a stream's name; an error ends the program."""
    try:
        return Stream.parse(text)
    except InvalidInput as error:
        raise typer.BadParameter(str(error), param_hint=where) from None


def run(work: Callable[[], Awaitable[None]]) -> None:
    """Run a command; an error becomes a sentence on standard error and an exit code."""

    async def whole() -> None:
        await work()

    signal.signal(signal.SIGINT, signal.default_int_handler)  # from here on there may be something to release
    try:
        asyncio.run(whole())
    except TwofoldError as error:
        fail(error)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    except BrokenPipeError:  # the reader of our output has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def fail(error: Exception) -> NoReturn:
    """Print the error, and exit with code 1."""
    err.print(f"twofold: {error}", style="red")
    raise typer.Exit(1)
