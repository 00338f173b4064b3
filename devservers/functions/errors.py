"""What can go wrong in a host, apart from a function that fails."""

from __future__ import annotations


class Misconfigured(Exception):
    """The app cannot be run as it is. The message says what to change."""


class NotRun(Exception):
    """Why one function is not run here."""


class WorkerEnded(Exception):
    """The worker's process has ended."""


class FunctionFailed(Exception):
    """A function, or an output of it, failed. The message is for the log; `stack` is the worker's, or empty."""

    def __init__(self, message: str, stack: str = "") -> None:
        super().__init__(message)
        self.stack = stack
