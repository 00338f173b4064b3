"""Imports an App, or another value, from `module:name`."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TypeVar

import twofold
from twofold.app import App
from twofold.errors import ConfigurationError

T = TypeVar("T")

_OURS = str(Path(twofold.__file__).parent)


def load_app(name: str) -> App:
    """The App at `module:name`, or the one that a value there is about, like an Api. Raises: ConfigurationError."""
    return _loaded(name, _app_of, "App")


def load(name: str, kind: type[T], what: str) -> T:
    """The value at `module:name`, which must be of this kind. Raises: ConfigurationError."""
    return _loaded(name, lambda value: value if isinstance(value, kind) else None, what)


def _app_of(value: object) -> App | None:
    app = getattr(value, "app", value)
    return app if isinstance(app, App) else None


def _loaded(name: str, found: Callable[[object], T | None], what: str) -> T:
    module_name, _, attribute = name.partition(":")
    module = imported(module_name)
    loaded = found(getattr(module, attribute, None))
    if loaded is not None:
        return loaded
    names = [f"{module_name}:{key}" for key, value in vars(module).items() if found(value) is not None]
    it_has = f"it has {', '.join(names)}" if names else f"it has no {what} at all"
    raise ConfigurationError(f"{module_name} has no {what} called {attribute!r}; {it_has}")


def imported(name: str) -> ModuleType:
    """The module of this name, also from the current directory. Raises: ConfigurationError."""
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"{name} cannot be imported, there is no module {error.name!r}: run this where it can be imported, "
            f"or correct module:name (without .py)"
        ) from error
    except (Exception, SystemExit) as error:  # whatever the module raises while it is imported
        raise ConfigurationError(f"{name} cannot be imported: {error_with_place(error)}") from error


def error_with_place(error: BaseException) -> str:
    """An error that user code raised or caused, and the place in that code."""
    name = type(error).__name__
    if isinstance(error, SyntaxError) and _is_of_a_user(error.filename):  # no line of that file has been run
        return f"{name}: {error.msg} ({error.filename}, line {error.lineno})"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_of_a_user(frame.filename)]
    return f"{name}: {error} ({frames[-1].filename}, line {frames[-1].lineno})" if frames else f"{name}: {error}"


def _is_of_a_user(filename: str | None) -> bool:
    """Not `<frozen …`, which is Python's, and `<string>`, which dataclasses generate."""
    return filename is not None and not filename.startswith((_OURS, "<", importlib.__file__))
