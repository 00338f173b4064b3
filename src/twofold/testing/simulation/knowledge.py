"""What clients know, and send along: versions and receipts that they were told of, keys and streams that there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twofold.messages import Receipt, Token
from twofold.read.projection import Key
from twofold.testing.simulation.clients import After, Expects, beyond

if TYPE_CHECKING:
    from twofold.testing.simulation.world import World


class Knowledge:
    """Of all clients together."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._versions: dict[str, int] = {}
        self._newest: Receipt | None = None

    def heard(self, receipt: Receipt) -> None:
        """Clients know this much now."""
        stream = str(receipt.stream)
        self._versions[stream] = max(receipt.version, self._versions.get(stream, 0))
        if self._newest is None or receipt.position > self._newest.position:
            self._newest = receipt

    def expected(self, stream: str, expects: Expects) -> int | None:
        """The version that a client demands."""
        heard = self._versions.get(stream, 0)
        match expects:
            case "any version":
                return None
            case "the version last heard of":
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
                return beyond(self._world.log_id, self._world.head)

    def some_key(self, projection: str, pick: float) -> Key | None:
        """The key of a row that there was at some time."""
        tables = self._world.watcher.folds[projection].tables
        keys = sorted({key for table in tables[-3:] for key in table}, key=repr)
        return keys[int(pick * len(keys))] if keys else None

    def some_stream(self, pick: float) -> str | None:
        """A stream that there is."""
        streams = sorted(self._world.storage.in_log.streams)
        return streams[int(pick * len(streams))] if streams else None
