"""Limits of one process: what it handles at once, and how long it waits for a client."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Beyond the first four, requests are refused at once (503 and `Retry-After`): a queue would only delay them.

    `commands` and `reads` count requests in progress, without those whose body is still arriving; `watchers` count
    streams of events and WebSockets. Most systems allow a
    process 1,024 open files; `connections` leaves some of them to the store.
    """

    commands: int = 128
    reads: int = 1_024
    watchers: int = 1_000
    connections: int = 900
    head_bytes: int = 64 * 1024
    head_s: float = 10
    """Until the head of a request is complete, from its first byte or from the start of the connection."""
    request_s: float = 30
    """Until a request is complete."""
    answer_s: float = 60
    """Until a client has read a response."""
    stop_s: float = 9.5
    """From the signal to stop until the process exits, whatever its state."""
