"""What the commands are given, an App and its store, and how they run on it and fail."""

from __future__ import annotations

import asyncio
import importlib
import os
import re
import signal
import sys
import traceback
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Annotated, NoReturn, TypeVar

import typer

import twofold
from twofold.app import App, Running
from twofold.backends.connect import resolved
from twofold.cli.output import err
from twofold.errors import ConfigurationError, TwofoldError

T = TypeVar("T")

AppName = Annotated[str, typer.Argument(metavar="APP", help="Where the App is: module:name, like shop.app:shop.")]
Store = Annotated[str | None, typer.Option(envvar="TWOFOLD_STORE", help="Where the log lies, like sqlite:///shop.db.")]
ReadStore = Annotated[
    str | None, typer.Option(envvar="TWOFOLD_READ_STORE", help="Where the read models lie; beside the log by default.")
]
AsJson = Annotated[bool, typer.Option("--json", help="For machines: JSON, one object a line.")]

_OURS = str(Path(twofold.__file__).parent)


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


def load_app(name: str) -> App:
    """The App at `module:name`. Raises: ConfigurationError."""
    return found(name, App, "App")


def found(name: str, kind: type[T], what: str) -> T:
    """What lies at `module:name`, if it is of this kind. Raises: ConfigurationError."""
    module_name, _, attribute = name.partition(":")
    module = imported(module_name)
    there = getattr(module, attribute, None)
    if isinstance(there, kind):
        return there
    those = [f"{module_name}:{key}" for key, value in vars(module).items() if isinstance(value, kind)]
    it_has = f"it has {', '.join(those)}" if those else f"it has no {what} at all"
    raise ConfigurationError(f"{module_name} has no {what} called {attribute!r}; {it_has}")


def imported(name: str) -> ModuleType:
    """The module of this name; those of the working folder are found. Raises: ConfigurationError."""
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"{name} cannot be imported, there is no module {error.name!r}: run this where it can be imported, "
            f"or write another module:name (without .py)"
        ) from error
    except (Exception, SystemExit) as error:  # whatever the module raises while it is imported
        raise ConfigurationError(f"{name} cannot be imported: {told(error)}") from error


def told(error: BaseException) -> str:
    """What a user's own code has raised, or had raised by ours, and where."""
    frames = traceback.extract_tb(error.__traceback__)
    *_, last = [frame for frame in frames if not frame.filename.startswith(_OURS)] or frames
    return f"{type(error).__name__}: {error} ({last.filename}, line {last.lineno})"


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
