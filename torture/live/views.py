"""What a client knows, and the checks of every frame that it gets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torture.live.ledger import ADMIN
from twofold.read.watched import WatchToken

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a client watches, as one user, over server-sent events or a WebSocket."""

    user: str
    projection: str
    where: Mapping[str, Any]
    socket: bool

    def __str__(self) -> str:
        conditions = ", ".join(f"{name}={value}" for name, value in self.where.items()) or "everything"
        return f"{self.user}, {self.projection} with {conditions}, {'WebSocket' if self.socket else 'events'}"


@dataclass(slots=True)
class Rules:
    """What holds for all views at the moment.

    `may_go_back`: a snapshot may be older than what was known, because the database has lost unsynced rows, was
    restored, or processes of two versions run side by side.
    """

    broken: Callable[[str, str], None]
    may_go_back: bool = False


@dataclass(slots=True)
class View:
    """Kept by applying frames, as a browser would."""

    asked: Asked
    rules: Rules
    rows: dict[str, Row] = field(default_factory=dict)
    token: str | None = None
    """None also in the middle of a snapshot."""
    last_id: str = ""
    """What `EventSource` would send to resume: the newest id that it got, even in the middle of a snapshot."""
    parked: int = -1
    api: str = ""
    """The version of the App that its server runs; empty without a connection."""
    frames: int = 0
    snapshots: int = 0
    connections: int = 0
    resumed: int = 0
    _newest: dict[str, int] = field(default_factory=dict)
    _shown: set[str] = field(default_factory=set)
    _fresh: bool = True

    def connected(self, api: str) -> None:
        """A connection has begun."""
        self.api, self._fresh = api, True
        self.connections += 1

    def take(self, kind: str, rows: Mapping[str, Row | None], parked: int, token: str | None) -> None:
        """Check and apply a frame."""
        self.frames += 1
        if kind == "snapshot":
            self.snapshots += 1
            self.rows = {}
            if self.rules.may_go_back:
                self._newest = {}
        elif self._fresh and self.token is not None:
            self.resumed += 1
        self._fresh = False
        of_snapshot = kind == "snapshot" or self.token is None
        if not of_snapshot:
            self._check_token(token)
        for key, row in rows.items():
            self._check_row(key, row, of_snapshot)
            if row is None:
                self.rows.pop(key, None)
            else:
                self.rows[key] = row
                self._shown.add(key)
        self.parked = parked
        self.token = token

    def _check_token(self, token: str | None) -> None:
        if token is None or self.token is None:
            self.rules.broken("no token", f"{self.asked}: changes without a token")
            return
        before, now = place_of(self.token), place_of(token)
        if now < before:
            self.rules.broken("went back", f"{self.asked}: from a token at {before} to one at {now}")

    def _check_row(self, key: str, row: Row | None, of_snapshot: bool) -> None:
        user = self.asked.user
        if row is None:
            if user != ADMIN and key not in self._shown:
                self.rules.broken("foreign", f"{self.asked}: {key} was sent as gone, but had never been shown")
            return
        if user != ADMIN and row["owner"] != user:
            self.rules.broken("foreign", f"{self.asked}: got {key}, which is {row['owner']}'s")
        newest = self._newest.get(key, 0)
        if row["version"] < newest:
            what = "a snapshot" if of_snapshot else "changes"
            self.rules.broken("went back", f"{self.asked}: {what} with {key} v{row['version']} after v{newest}")
        self._newest[key] = row["version"]


def place_of(token: str) -> int:
    """The offset in the only partition."""
    [place] = WatchToken.parse(token)[0].places.values()
    return place.offset
