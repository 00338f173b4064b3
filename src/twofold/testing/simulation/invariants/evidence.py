"""What all invariants look at: a history at rest, and what is in its log."""

from __future__ import annotations

from collections.abc import Sequence

from twofold.messages import Entry, Token
from twofold.testing.simulation.attempts import Attempt
from twofold.testing.simulation.history import History
from twofold.testing.simulation.oracle import Streams


class Evidence:
    """One history, at rest."""

    def __init__(self, history: History) -> None:
        self.history, self.plan, self.broken = history, history.plan, history.broken
        self.app, self.attempts, self.watcher = history.world.app, history.world.attempts, history.watcher
        self.courses = history.courses
        self.entries: Sequence[Entry] = [entry for entries in history.entries.values() for entry in entries]
        self.streams = Streams(self.app, self.entries)
        self.positions = {(entry.stream, entry.version): entry.position for entry in self.entries}
        self.metas = {entry.position: self.app.codec.recorded(entry) for entry in self.entries}


def token_of(attempt: Attempt) -> Token | None:
    """The token that a read was sent with."""
    return Token.parse(attempt.token) if isinstance(attempt.token, str) else attempt.token
