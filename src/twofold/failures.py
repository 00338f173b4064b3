"""What user code raises: what counts as a failure of that code, and how a failure is written down.

User code may raise anything, not only an `Exception`: `CancelledError` from a task of its own, `GeneratorExit`,
`SystemExit`. All of it is that code's failure; only Ctrl-C is not. A plain function cannot be cancelled, so this is the
whole rule for one. Where user code is awaited, see `feed.stopping`.

It may also raise twofold's own errors. The store's `Unavailable` is worth another try, the same error from `decide` is
not, so an error of user code is marked where that code is called, on its way through code that talks to the store.
"""

from __future__ import annotations

import traceback

MOST_ERROR = 2_000
MOST_TRACEBACK = 20_000

_TRACEBACK = BaseException.__dict__["__traceback__"].__get__  # whatever its own __getattribute__ does
_DICT = BaseException.__dict__["__dict__"].__get__
_OF_USER_CODE = "_twofold_of_user_code"


def failure(error: BaseException) -> BaseException:
    """The error, as a failure of the function that raised it. Raises: KeyboardInterrupt."""
    if issubclass(type(error), KeyboardInterrupt):  # not isinstance(), which asks the error for its __class__
        raise error
    return error


def mark_of_user_code(error: BaseException) -> None:
    """Remember on the error itself that user code raised it: it stays the object that callers get."""
    _DICT(error)[_OF_USER_CODE] = True


def is_of_user_code(error: BaseException) -> bool:
    """Whether the error was marked."""
    return _OF_USER_CODE in _DICT(error)


def error_text(error: BaseException) -> str:
    """An error in one line that any store can keep, whatever its own methods do."""
    name = type.__getattribute__(type(error), "__name__")
    return storable(f"{name}: {_own_text(error)}".removesuffix(": "))[:MOST_ERROR]


def _own_text(error: BaseException) -> str:
    try:
        return str.__str__(str(error))[:MOST_ERROR]  # not format(error): that may be overridden, too
    except BaseException as raised:
        failure(raised)
        return f"(its text cannot be made: str() raises {type(raised).__name__})"


def traceback_text(error: BaseException) -> str:
    """The traceback as Python shows it, without the middle where it is longer than `MOST_TRACEBACK`."""
    try:
        text = "".join(traceback.format_exception(error))
    except BaseException as raised:  # it asks the error for more than its text: causes, notes, lines
        failure(raised)
        text = "".join(["Traceback (most recent call last):\n", *traceback.format_tb(_TRACEBACK(error))])
        text += error_text(error)
    if len(text) > MOST_TRACEBACK:
        half = MOST_TRACEBACK // 2 - 10
        text = f"{text[:half]}\n…\n{text[-half:]}"
    return storable(text)


def shown(value: object, most: int = 80) -> str:
    """The start of a value's repr for an error message, whatever its `__repr__` does."""
    try:
        return f"{str.__str__(repr(value)):.{most}}"
    except BaseException as raised:
        failure(raised)
        return f"a value of {type(value).__name__} (its repr raises {type(raised).__name__})"


def storable(text: str) -> str:
    """What a text column cannot hold is spelled out: an exception may say anything."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\x00", "\\x00")
