"""What clients know and send: versions, receipts, existing keys and streams."""

from __future__ import annotations

from typing import Literal

from twofold.messages import Position, Receipt, Token
from twofold.read.projection import Key
from twofold.testing.simulation.storage import Storage
from twofold.testing.simulation.watch import Watcher

Expects = Literal["any version", "the last known version", "an older version", "a later version"]
BEYOND = 1 << 40
After = Literal["no token", "the newest token", "a token of another log", "a token beyond the end"]


class Knowledge:
    """The common knowledge of all clients."""

    def __init__(self, storage: Storage, watcher: Watcher) -> None:
        self._storage, self._watcher, self._log_id = storage, watcher, storage.log_id
        self._versions: dict[str, int] = {}
        self._newest: Receipt | None = None

    def heard(self, receipt: Receipt) -> None:
        """Extend the knowledge."""
        stream = str(receipt.stream)
        self._versions[stream] = max(receipt.version, self._versions.get(stream, 0))
        newest = None if self._newest is None else self._newest.position
        if newest is None or receipt.position.partition != newest.partition or receipt.position > newest:
            self._newest = receipt

    def expected(self, stream: str, expects: Expects) -> int | None:
        """The version that a client expects."""
        heard = self._versions.get(stream, 0)
        match expects:
            case "any version":
                return None
            case "the last known version":
                return heard
            case "an older version":
                return max(0, heard - 1)
            case "a later version":
                return heard + 1

    def token(self, after: After) -> Token | str | None:
        """The token that a client sends."""
        match after:
            case "no token":
                return None
            case "the newest token":
                return self._newest.token if self._newest else None
            case "a token of another log":
                return Token("0123456789abcdef", self._newest.position) if self._newest else None
            case "a token beyond the end":
                partition = self._newest.position.partition if self._newest else self._storage.courses.partitions[0]
                return Token(self._log_id, Position(partition, BEYOND))

    def some_key(self, projection: str, pick: float) -> Key | None:
        """The key of a row that existed at some time."""
        folds = [self._watcher.folds[projection, number] for number in self._watcher.feeds_of(projection)]
        keys = sorted({key for fold in folds for table in fold.tables[-3:] for key in table}, key=repr)
        return keys[int(pick * len(keys))] if keys else None

    def some_stream(self, pick: float) -> str | None:
        """An existing stream."""
        streams = sorted(self._storage.streams())
        return streams[int(pick * len(streams))] if streams else None
