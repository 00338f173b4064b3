"""States that this process has folded lately, so that a stream is folded on and not from its first event again.

Events never change, so what was folded up to a version stays right; only what came since must be loaded. Nothing is
decided on a state alone: the append that follows demands its version.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from twofold.messages import BEGINNING, Position, Stream
from twofold.write.decider import Decider
from twofold.write.log import Log

MAX_STATES = 1_024


@dataclass(frozen=True, slots=True)
class Known:
    """A state, and the version and position it stands for."""

    state: Any
    version: int
    position: Position


class States:
    """The states used last, at most `MAX_STATES`; they are forgotten when the log is another one."""

    def __init__(self, log: Log) -> None:
        self._log, self._log_id = log, log.log_id
        self._known: OrderedDict[tuple[Decider[Any, Any, Any], Stream], Known] = OrderedDict()

    def get(self, decider: Decider[Any, Any, Any], stream: Stream) -> Known:
        """What is known of a stream: its initial state, if nothing else."""
        if self._log.log_id != self._log_id:
            self._known.clear()
            self._log_id = self._log.log_id
        known = self._known.get((decider, stream))
        if known is None:
            return Known(decider.initial, 0, BEGINNING)
        self._known.move_to_end((decider, stream))
        return known

    def keep(self, decider: Decider[Any, Any, Any], stream: Stream, known: Known) -> None:
        """Remember it, unless something newer is remembered."""
        if self.get(decider, stream).version > known.version:
            return
        self._known[decider, stream] = known
        if len(self._known) > MAX_STATES:
            self._known.popitem(last=False)

    def forget(self, decider: Decider[Any, Any, Any], stream: Stream) -> None:
        """Load it from the beginning next time."""
        self._known.pop((decider, stream), None)
