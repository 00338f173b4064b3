"""What the commands are given, an App and its store, and how they run on it and fail."""

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

AppName = Annotated[str, typer.Argument(metavar="APP", help="Where the App is: module:name, like shop.app:shop.")]
Store = Annotated[str | None, typer.Option(envvar="TWOFOLD_STORE", help="Where the log lies, like sqlite:///shop.db.")]
ReadStore = Annotated[
    str | None, typer.Option(envvar="TWOFOLD_READ_STORE", help="Where the read models lie; beside the log by default.")
]
AsJson = Annotated[bool, typer.Option("--json", help="For machines: JSON, one object a line.")]


@dataclass(frozen=True, slots=True)
class Target:
    """An App and the store it is to be operated on."""

    app: App
    store: str
    read_store: str | None

    def open(self) -> AbstractAsyncContextManager[Running]:
        """Folding and reacting, see `App.open`."""
        return self.app.open(self.store, read_store=self.read_store)

    def look(self) -> AbstractAsyncContextManager[Running]:
        """As it is, see `App.look`."""
        return self.app.look(self.store, read_store=self.read_store)


def targeted(name: str, store: str | None, read_store: str | None) -> Target:
    """The App of this name on this store; what keeps it from being found ends the program."""
    if store is None:
        raise typer.BadParameter(
            "say where the log lies: --store sqlite:///shop.db, or TWOFOLD_STORE", param_hint="--store"
        )
    check_name(name, "APP", "shop.app:shop")
    try:
        store, read_store = resolved(store), read_store and resolved(read_store)  # before the App's module runs
        return Target(load_app(name), store, read_store)
    except ConfigurationError as error:
        fail(error)


def check_name(name: str, hint: str, like: str) -> None:
    """Refuses what is not `module:name`."""
    if not re.fullmatch(r"[^:.][^:]*:[^:]+", name):
        raise typer.BadParameter(f"{name!r} is not module:name, like {like}", param_hint=hint)


def stream_of(text: str, where: str) -> Stream:
    """The stream that is written like this; anything else ends the program."""
    try:
        return Stream.parse(text)
    except InvalidInput as error:
        raise typer.BadParameter(str(error), param_hint=where) from None


def run(work: Callable[[], Awaitable[None]]) -> None:
    """Run it; what goes wrong becomes a sentence on standard error and an exit code."""

    async def whole() -> None:
        await work()

    signal.signal(signal.SIGINT, signal.default_int_handler)  # from here on there may be something to let go of
    try:
        asyncio.run(whole())
    except TwofoldError as error:
        fail(error)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def fail(error: Exception) -> NoReturn:
    """Say what is wrong, and end with exit code 1."""
    err.print(f"twofold: {error}", style="red")
    raise typer.Exit(1)
