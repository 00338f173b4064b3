"""Limits of one process: what it handles at once, and how long it waits for a client."""

from __future__ import annotations

import logging
import resource
from dataclasses import dataclass, replace

OTHER_FILES = 124
"""Open files that are left to the store, to logs and to listening sockets."""

log = logging.getLogger("twofold.web")


@dataclass(frozen=True, slots=True)
class Limits:
    """Beyond the first four, requests are refused at once (503 and `Retry-After`): a queue would only delay them.

    `commands` and `reads` count requests in progress, without those whose body is still arriving; `watchers` counts
    streams of events and WebSockets, which keep a connection each. `serve` lowers `connections` to what the open files
    of the process allow, if that is less.
    """

    commands: int = 128
    reads: int = 1_024
    watchers: int = 1_000
    connections: int = 2_500
    head_bytes: int = 64 * 1024
    head_s: float = 10
    """Until the head of a request is complete, from its first byte or from the start of the connection."""
    request_s: float = 30
    """Until a request is complete."""
    answer_s: float = 60
    """Until a client has read a response."""
    stop_s: float = 9.5
    """From the signal to stop until the process exits, whatever its state."""


def within_open_files(limits: Limits) -> Limits:
    """Allow this process as many open files as the system lets it, and lower the number of connections to fit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = limits.connections + OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else hard
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        if soft < wanted:
            log.warning("%d connections at most, because this process may open only %d files", soft - OTHER_FILES, soft)
            return replace(limits, connections=max(1, soft - OTHER_FILES))
    return limits
