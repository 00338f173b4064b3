"""What user code raises: what counts as a failure of that code, and how a failure is recorded.

User code may raise anything, not only an `Exception`: `CancelledError` from a task of its own, `GeneratorExit`,
`SystemExit`. All of these are failures of that code; only Ctrl-C is not. That is the whole rule for a plain function,
which cannot be cancelled. For user code that is awaited, see `feed.stopping`.

User code may also raise twofold's own errors. `Unavailable` from the store is worth another try; from `decide` it is
not. So an error of user code is marked where that code is called, before it passes through code that uses the store.
"""

from __future__ import annotations

import traceback

MOST_ERROR = 2_000
MOST_TRACEBACK = 20_000

_TRACEBACK = BaseException.__dict__["__traceback__"].__get__  # bypasses the error's own __getattribute__
_DICT = BaseException.__dict__["__dict__"].__get__
_OF_USER_CODE = "_twofold_of_user_code"


def failure(error: BaseException) -> BaseException:
    """Return the error as a failure of the function that raised it. Raises: KeyboardInterrupt."""
    reraise_if_interrupt(error)
    return error


def reraise_if_interrupt(error: BaseException) -> None:
    """Raises: the error, if it is a KeyboardInterrupt, which is no failure of user code."""
    if issubclass(type(error), KeyboardInterrupt):  # isinstance() would call the error's own __class__
        raise error


def mark_of_user_code(error: BaseException) -> None:
    """Record on the error itself that user code raised it, so that callers still get the same object."""
    _DICT(error)[_OF_USER_CODE] = True


def is_of_user_code(error: BaseException) -> bool:
    """Whether the error was marked by `mark_of_user_code`."""
    return _OF_USER_CODE in _DICT(error)


def error_text(error: BaseException) -> str:
    """The error in one line that any store can keep. Safe against overridden methods of the error."""
    name = type.__getattribute__(type(error), "__name__")
    return storable(f"{name}: {_own_text(error)}".removesuffix(": "))[:MOST_ERROR]


def _own_text(error: BaseException) -> str:
    try:
        return str.__str__(str(error))[:MOST_ERROR]  # not format(error), which may be overridden too
    except BaseException as raised:
        reraise_if_interrupt(raised)
        return f"(no text: str() raises {type(raised).__name__})"


def traceback_text(error: BaseException) -> str:
    """The traceback as Python shows it; the middle is left out if it is longer than `MOST_TRACEBACK`."""
    try:
        text = "".join(traceback.format_exception(error))
    except BaseException as raised:  # formatting reads causes, notes and source lines, which may raise
        reraise_if_interrupt(raised)
        text = "".join(["Traceback (most recent call last):\n", *traceback.format_tb(_TRACEBACK(error))])
        text += error_text(error)
    if len(text) > MOST_TRACEBACK:
        half = MOST_TRACEBACK // 2 - 10
        text = f"{text[:half]}\n…\n{text[-half:]}"
    return storable(text)


def shown(value: object, most: int = 80) -> str:
    """The start of a value's repr for an error message. Safe against a `__repr__` that raises."""
    try:
        return f"{str.__str__(repr(value)):.{most}}"
    except BaseException as raised:
        reraise_if_interrupt(raised)
        return f"a value of {type(value).__name__} (its repr raises {type(raised).__name__})"


def storable(text: str) -> str:
    """The text with everything escaped that a text column cannot hold: lone surrogates and NUL."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\x00", "\\x00")
