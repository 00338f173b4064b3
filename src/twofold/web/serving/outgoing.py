"""What a client has not read yet of what was sent to it."""

from __future__ import annotations

IN_STATE = "twofold_stream"
"""In the state of a request: its response is a stream, which has no end of its own."""


class Outgoing:
    """For how long a client has not read what waits for it.

    A response has to be read to its end in time. A stream has no end, so it is enough to read some of it.
    """

    def __init__(self) -> None:
        self._size = 0
        self._since: float | None = None

    def untaken_s(self, size: int, now: float, *, is_stream: bool) -> float:
        """Seconds; `size` is how many bytes wait now. To be asked again and again."""
        if size == 0 or (is_stream and size < self._size):
            self._since = None
        elif self._since is None:
            self._since = now
        self._size = size
        return 0 if self._since is None else now - self._since
