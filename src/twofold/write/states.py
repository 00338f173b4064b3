"""States that this process has folded lately, so that a stream is folded on and not from its first event again.

Events never change, so what was folded up to a version stays right; only what came since must be loaded. Nothing is
decided on a state alone: the append that follows demands its version.
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
    """A state, and the version and position it stands for."""

    state: Kept[Any]
    version: int
    position: Position


class States:
    """The states used last; they are forgotten when the log is another one.

    At most `MAX_SHORT` of short streams, and `MAX_LONG` of those with `LONG` events to load or more. These have places
    of their own: the shelf that all buy from must not be read from its beginning because many new orders came by.
    """

    def __init__(self, log: Log) -> None:
        self._log, self._log_id = log, log.log_id
        self._short: OrderedDict[_Key, KnownState] = OrderedDict()
        self._long: OrderedDict[_Key, KnownState] = OrderedDict()

    def get(self, decider: Decider[Any, Any, Any], stream: Stream) -> KnownState:
        """What is known of a stream: its initial state, if nothing else."""
        if self._log.log_id != self._log_id:
            self._short.clear()
            self._long.clear()
            self._log_id = self._log.log_id
        key = decider, stream
        for states in (self._long, self._short):
            known = states.get(key)
            if known is not None:
                states.move_to_end(key)
                return known
        return KnownState(decider.first, 0, BEGINNING)

    def keep(self, decider: Decider[Any, Any, Any], stream: Stream, known: KnownState) -> None:
        """Remember it, unless something newer is remembered, or it cannot be kept apart from what callers hold."""
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

    def forget(self, decider: Decider[Any, Any, Any], stream: Stream) -> None:
        """Load it from the beginning next time."""
        self._short.pop((decider, stream), None)
        self._long.pop((decider, stream), None)
