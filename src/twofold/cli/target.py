"""What the commands are given, an App and its store, and how they run on it and fail."""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Annotated, Any, NoReturn

import typer

from twofold.app import App, Running
from twofold.cli.output import err
from twofold.errors import ConfigurationError, TwofoldError

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
    try:
        return Target(load_app(name), store, read_store)
    except ConfigurationError as error:
        fail(error)


def load_app(name: str) -> App:
    """The App at `module:name`; modules of the working folder are found. Raises: ConfigurationError."""
    module_name, colon, attribute = name.partition(":")
    if not colon or not module_name or not attribute:
        raise ConfigurationError(f"{name!r} is not an App: write module:name, like shop.app:shop")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"{module_name} cannot be imported, there is no module {error.name!r}: run this where it can be imported, "
            f"or write another module:name (without .py)"
        ) from error
    except Exception as error:  # whatever the module raises while it is imported
        raise ConfigurationError(f"{module_name} cannot be imported: {type(error).__name__}: {error}") from error
    found = getattr(module, attribute, None)
    if not isinstance(found, App):
        apps = [key for key, value in vars(module).items() if isinstance(value, App)]
        there = f"it has {', '.join(f'{module_name}:{key}' for key in apps)}" if apps else "it has no App at all"
        raise ConfigurationError(f"{module_name} has no App called {attribute!r}; {there}")
    return found


def load(name: str) -> Any:
    """What lies at `module:name`."""
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


def run(work: Callable[[], Awaitable[None]]) -> None:
    """Run it; what goes wrong becomes a sentence on standard error and an exit code."""

    async def whole() -> None:
        await work()

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
    err.print(f"twofold: {error}", style="red", markup=False)
    raise typer.Exit(1)
