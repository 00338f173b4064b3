"""What is known of the streams that were used last."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

from twofold.messages import Stream

MOST = 16_384

T = TypeVar("T")


class Newest(Generic[T]):
    """A value for each of the `MOST` streams that were used last."""

    def __init__(self) -> None:
        self._of: OrderedDict[Stream, T] = OrderedDict()

    def get(self, stream: Stream) -> T | None:
        """None if nothing is known of the stream."""
        return self._of.get(stream)

    def keep(self, stream: Stream, value: T) -> None:
        """Replace the former value."""
        self._of[stream] = value
        self._of.move_to_end(stream)
        while len(self._of) > MOST:
            self._of.popitem(last=False)

    def forget(self, stream: Stream) -> None:
        """Discard what is known of it."""
        self._of.pop(stream, None)
