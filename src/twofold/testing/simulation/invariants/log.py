"""The log and the feed: complete, in one order, each event once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twofold.messages import Entry, Position
from twofold.testing.simulation.courses import BITS
from twofold.testing.simulation.faults.processes import Pause
from twofold.testing.simulation.faults.stores import Lose, Slow
from twofold.testing.simulation.invariants.evidence import Evidence

NOTICED_IN_CALM_S = 0.05  # the first cut, unknown to a reactor that has just looked for one
NOTICED_WITHIN_S = 20.0  # and to one whose process is paused, after a late request


class Log:
    """Checks what is stored, and what readers of the feed saw."""

    def __init__(self, evidence: Evidence) -> None:
        self.history, self.plan, self.broken = evidence.history, evidence.plan, evidence.broken
        self.courses, self.watcher, self.streams = evidence.courses, evidence.watcher, evidence.streams
        self.entries, self.positions, self.metas = evidence.entries, evidence.positions, evidence.metas

    def what_is_stored_is_there_once(self) -> None:
        """The events of one command id on one stream are adjacent and come from one request (G1, G3)."""
        last: dict[tuple[str, str], tuple[Position, str | None]] = {}
        for position, recorded in self.metas.items():
            name = (str(recorded.stream), recorded.command_id)
            before = last.get(name)
            right_before = Position(position.partition, position.offset - 1)
            if before is not None and before != (right_before, recorded.actor):
                self.broken(
                    "G3", f"the events of {recorded.command_id} on {name[0]} were stored twice, again at {position}"
                )
            last[name] = (position, recorded.actor)

    def the_feed(self) -> None:
        """Positions and versions have no gaps; each reader that followed the feed skipped nothing (G4)."""
        for partition, entries in self.history.entries.items():
            for offset, entry in enumerate(entries, start=1):
                if not self.plan.splits and entry.position != Position(partition, offset):
                    self.broken("G4", f"the feed has {entry.position} instead of {partition}:{offset}")
        for stream, entries in self.streams.entries.items():
            versions = [entry.version for entry in entries]
            if versions != list(range(1, len(versions) + 1)):
                self.broken("G4", f"{stream} has versions {versions}")
        for reader in self.history.readers:
            end = None if self.history.ends is None else self.history.ends[reader.partition]
            seen = [(e.position.offset, e.stream, e.version) for e in reader.seen[:end]]
            there = [(e.position.offset, e.stream, e.version) for e in self.courses[reader.partition].entries[:end]]
            if not self.history.has_rested or reader.has_split:
                there = there[: len(seen)]  # it may have come no further: that is no gap
            if seen != there:
                self.broken("G4", f"{reader} saw {_first_other(seen, there)}, as in the log; then they differ")

    def the_merged_feed(self) -> None:
        """Its cuts take every event once (G4). What follows from an event lies in a later cut, once there was one that
        the reactor had to know of."""
        merged = {(entry.stream, entry.version): entry for entry in self.courses[0].entries}
        slow = any(isinstance(step.does, Slow | Lose | Pause) for step in self.plan.steps)
        since_s = self.watcher.first_cut_at + (NOTICED_WITHIN_S if slow else NOTICED_IN_CALM_S)
        for entry in self.entries:
            cause = self._cause(self.metas[entry.position].causation_id)
            if cause is None or self.watcher.appended_at[cause] < since_s:
                continue
            before, after = merged.get(cause), merged.get((entry.stream, entry.version))
            if after is not None and (before is None or _cut(before) >= _cut(after)):
                text = f"{entry.stream}@{entry.version} followed from {cause[0]}@{cause[1]}"
                self.broken("G4", f"{text}, and lies in cut {_cut(after)}: it is not in a later one")

    def _cause(self, id: str | None) -> tuple[str, int] | None:
        stream, _, version = (id or "").rpartition("@")
        cause = (stream, int(version)) if version.isdecimal() else None
        return cause if cause in self.positions else None


def _cut(entry: Entry) -> int:
    return entry.position.offset >> BITS


def _first_other(seen: Sequence[Any], there: Sequence[Any]) -> Any:
    same = 0
    while same < min(len(seen), len(there)) and seen[same] == there[same]:
        same += 1
    return f"{same} events of {len(there)} ({len(seen)} in all; {seen[same : same + 1]}, not {there[same : same + 1]})"
