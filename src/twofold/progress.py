"""How long work reports its progress."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called with the name of the current step, how much of it is done, and its total."""


def no_progress(what: str, done: int, total: int) -> None:
    """A `Progress` that reports nothing."""
