"""The checks of reactors: every event that one has passed was reacted to, in order within its stream."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence

from twofold.app import App
from twofold.feed.checkpoints import FollowerId
from twofold.messages import MAX_OFFSET, Entry, Position, Recorded
from twofold.react.reactor import Reactor
from twofold.testing.simulation.effects import Effects
from twofold.testing.simulation.oracle import GivenUp, name_of
from twofold.testing.simulation.storage import Storage


class Reactions:
    """The reactions of one history; `effects` are those outside the App."""

    def __init__(self, app: App, storage: Storage, broken: Callable[[str, str], None]) -> None:
        self._app, self._storage, self.broken = app, storage, broken
        self._reactors = {reactor.name: reactor for reactor in app.reactors}
        self.names = frozenset(self._reactors)
        self.effects = Effects(done=self._has_happened)
        self._given_up: dict[FollowerId, list[GivenUp]] = {}

    def give_up(self, follower: FollowerId, events: Sequence[GivenUp]) -> None:
        """These events are discarded."""
        self._given_up.setdefault(follower, []).extend(events)

    def check(self, name: str, after: Position, to: Position) -> None:
        """Every reaction to the events before the checkpoint has happened or is parked."""
        reactor = self._reactors[name]
        follower = reactor.follows.in_partition(to.partition)
        waiting = self._storage.reactors_in(to.partition).waiting.get(follower, {}).values()
        parked = {one.key: one.position for one in waiting}
        types = self._app.codec.names(reactor.event_types)
        for entry in self._storage.part(to.partition).entries:  # of the log that is there now, if it was replaced
            if not after < entry.position <= to:
                continue
            given_up = self._is_given_up(follower, entry)
            if (
                entry.type in types
                and not given_up
                and entry.position < parked.get(entry.stream, Position(to.partition, MAX_OFFSET))
            ):
                self._check_one(reactor, entry)

    def _check_one(self, reactor: Reactor, entry: Entry) -> None:
        passed = f"reactor {reactor.name} has passed {entry.stream}@{entry.version}"
        recorded = self._app.codec.recorded(entry)
        try:
            if inspect.iscoroutinefunction(reactor.react):
                answer = self.effects.answers[reactor.name, entry.stream, entry.version]
                commands = reactor.named(recorded, answer or [])
            else:
                commands = reactor.commands(recorded)
        except KeyError:
            self.broken("G5", f"{passed} without reacting to it")
            return
        except Exception as error:  # user code may raise anything
            self.broken("G7", f"{passed}, which is not parked, and reacting to it raises {error!r}")
            return
        for command_id, command in commands:
            receipts = self._storage.holding(name_of(command)).receipts
            if (name_of(command), command_id) not in receipts:
                asked = f"{command.command!r} for {name_of(command)}, which it returns now, was never carried out"
                self.broken("G5", f"{passed}; {asked}")

    def _has_happened(self, reactor: str, recorded: Recorded) -> None:
        """The effects of a stream's earlier events come first."""
        types = self._app.codec.names(self._reactors[reactor].event_types)
        partition = self._storage.courses.partition_of(recorded.stream.id)
        follower = self._reactors[reactor].follows.in_partition(partition)
        for entry in self._storage.part(partition).entries:
            if entry.stream != str(recorded.stream) or entry.version >= recorded.version:
                continue
            begun = (reactor, entry.stream, entry.version) in self.effects.answers
            if entry.type in types and not (begun or self._is_given_up(follower, entry)):
                text = f"reactor {reactor} has reacted to {recorded.id}, but not yet to {entry.stream}@{entry.version}"
                self.broken("G7", text)

    def _is_given_up(self, reactor: FollowerId, entry: Entry) -> bool:
        """In its partition, or in one that it was split from."""
        numbers = self._storage.courses.lineage(reactor.partition)
        given_up = [one for number in numbers for one in self._given_up.get(reactor.in_partition(number), ())]
        return any(one.holds("stream", entry.stream, entry.position.offset) for one in given_up)
