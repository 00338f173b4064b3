"""At the end: read models, reactors, and what the App says of its states and rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from twofold.messages import Position
from twofold.read.projection import Projection
from twofold.testing.simulation.invariants.evidence import Evidence
from twofold.testing.simulation.oracle import Fold
from twofold.testing.simulation.violations import ENGINE, difference


class Models:
    """Checks everything that was made of the log."""

    def __init__(self, evidence: Evidence) -> None:
        self.history, self.plan, self.broken = evidence.history, evidence.plan, evidence.broken
        self.app, self.courses, self.watcher, self.streams = (
            evidence.app,
            evidence.courses,
            evidence.watcher,
            evidence.streams,
        )

    def read_models(self) -> None:
        """Folded again, the feed gives the same rows (G9), and no more than the App allows is parked."""
        storage = self.history.storage
        for projection in self.app.folded:
            for (name, number), along in self.watcher.folds.items():
                if name == projection.name:
                    self._folded_again(projection, along, number)
            for follows, checkpoint in storage.row_checkpoints.rows.items():
                if follows.name == projection.name and follows.whole in storage.in_rows.tables:
                    self.watcher.check_table(follows, checkpoint.position)
                    self.watcher.check_rollups(follows.whole)
        self._nothing_is_left_behind()
        reactors = {reactor.name: reactor for reactor in self.app.reactors}
        for follows, checkpoint in storage.log_checkpoints().items():
            if reactors[follows.name].start == "beginning" and self.plan.log_becomes is None:
                self.watcher.reactions.check(follows.name, Position(follows.partition, 0), checkpoint.position)
        for follows, waiting in storage.log_waiting().items():
            self.history.counts["streams parked"] += len(waiting)
            for one in waiting.values():
                if not self.plan.scenario.may_park:
                    self.broken("the App", f"reactor {follows.name} parked {one.key} at {one.position}: {one.error}")

    def _nothing_is_left_behind(self) -> None:
        """A checkpoint of a partition that has split would hold up readers that wait for it."""
        for follows in self.history.followed_at_rest:
            if follows.partition not in (0, *self.courses.partitions):
                self.broken(ENGINE, f"at rest there is still a checkpoint of {follows}, which has split")

    def _folded_again(self, projection: Projection[Any], along: Fold, partition: int) -> None:
        fresh = Fold(projection, self.app, self.watcher.refuses).take(self.courses[partition].entries)
        if fresh.tables[-1] != along.tables[-1] and not self.plan.cures:
            text = difference(fresh.tables[-1], along.tables[-1])
            self.broken("G9", f"{projection.name}, folded a second time, has other rows: {text}")
        if partition in self.watcher.feeds_of(projection.name):
            self.history.counts["keys parked"] += len(fresh.parked[-1])
            if fresh.parked[-1] and not self.plan.scenario.may_park:
                self._parked(projection)

    def _parked(self, projection: Projection[Any]) -> None:
        for one in self.history.storage.row_checkpoints.all_parked(projection.follows):
            self.broken("the App", f"{projection.name} parked {one.kind} {one.key} at {one.position}: {one.error}")

    def what_the_app_says(self) -> None:
        """The scenario's own conditions, for every state of every stream and every row that ever existed."""
        for of, holds in self.plan.scenario.always.items():
            for where, value in self._values(of):
                if not _true(holds, value):
                    self.broken("always", f"{where} is {value!r}")
                    break

    def _values(self, of: Any) -> Iterator[tuple[str, Any]]:
        if isinstance(of, Projection):
            for number in self.watcher.feeds_of(of.name):
                for at, table in enumerate(self.watcher.folds[of.name, number].tables):
                    for key, values in table.items():
                        yield f"row {key!r} of {of.name} at {number}:{at}", of.format.from_values(values)
            return
        for stream in self.streams.entries:
            if stream.partition("-")[0] == of.category:
                for version, state in enumerate(self.streams.states(stream)):
                    yield f"{stream} at version {version}", state


def _true(holds: Callable[[Any], bool], value: Any) -> bool:
    return bool(holds(value))
