"""A cache of recently folded states, so that a stream need not be folded from its first event again.

Events never change, so a state stays right for its version; only later events must be loaded. No decision relies on the
cache alone: the append that follows checks the version.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from twofold.kept import Kept
from twofold.messages import BEGINNING, Position, Stream
from twofold.write.decider import Decider
from twofold.write.log import Log

MAX_SHORT = 1_024
MAX_LONG = 4_096
LONG = 32  # events

_Key = tuple[Decider[Any, Any, Any], Stream]


@dataclass(frozen=True, slots=True)
class KnownState:
    """A state with its version and position."""

    state: Kept[Any]
    version: int
    position: Position


class States:
    """The most recently used states; forgotten when the log is replaced, or has lost events.

    At most `MAX_SHORT` of short streams, and `MAX_LONG` of streams with `LONG` events or more. The two are separate: a
    long, busy stream must not be read from its beginning because many short ones were used since.
    """

    def __init__(self, log: Log) -> None:
        self._log, self._log_id = log, log.log_id
        self._short: OrderedDict[_Key, KnownState] = OrderedDict()
        self._long: OrderedDict[_Key, KnownState] = OrderedDict()

    def get(self, decider: Decider[Any, Any, Any], stream: Stream) -> KnownState:
        """The newest known state of a stream: at least the initial one."""
        if self._log.log_id != self._log_id:
            self._forget()
            self._log_id = self._log.log_id
        key = decider, stream
        for states in (self._long, self._short):
            known = states.get(key)
            if known is not None:
                states.move_to_end(key)
                return known
        return KnownState(decider.first, 0, BEGINNING)

    def keep(self, decider: Decider[Any, Any, Any], stream: Stream, known: KnownState) -> None:
        """Remember a state, unless a newer one is known or it is shared with callers."""
        if known.state.shared or self.get(decider, stream).version > known.version:
            return
        key = decider, stream
        if decider.stored == "events" and known.version >= LONG:
            self._short.pop(key, None)
            states, most = self._long, MAX_LONG
        else:
            states, most = self._short, MAX_SHORT
        states[key] = known
        if len(states) > most:
            states.popitem(last=False)

    def check(self, decider: Decider[Any, Any, Any], stream: Stream, version: int) -> None:
        """Compare with a stream's version. If it is below a known one, the log has lost events: forget all streams."""
        if self.get(decider, stream).version > version:
            self._forget()

    def _forget(self) -> None:
        self._short.clear()
        self._long.clear()
