"""What one process takes on at once, and how long it waits for a client."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Beyond the first three a request is refused at once (503 and `Retry-After`): a queue would only make it late.

    `commands` and `reads` are requests being worked on; a client that still sends its body does not count. A process
    may have 1,024 open files on most systems, and `connections` leaves some of them to the store.
    """

    commands: int = 128
    reads: int = 1_024
    connections: int = 900
    head_bytes: int = 64 * 1024
    head_s: float = 10
    """Until the head of a request has come, from its first byte or from the beginning of the connection."""
    request_s: float = 30
    """Until all of a request has come."""
    answer_s: float = 60
    """Until a client has taken an answer."""
    stop_s: float = 9.5
    """Between the signal to stop and the end of the process, in whatever state it then is."""
