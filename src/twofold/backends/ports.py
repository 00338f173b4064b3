"""What a backend provides as a whole: a log with its feed, a read store, and opening and closing them."""

from __future__ import annotations

from typing import Protocol

from twofold.feed.checkpoints import Checkpoints
from twofold.feed.feed import Feed
from twofold.read.store import ReadStore
from twofold.write.log import Log


class LogStore(Log, Feed, Protocol):
    """A log with its feed, and the checkpoints of reactors beside it."""

    @property
    def checkpoints(self) -> Checkpoints:
        """The checkpoints of reactors."""
        ...

    async def new_id(self, log_id: str | None = None) -> None:
        """Give the log a new id, after an older copy replaced it: tokens and read models of the old id are refused.

        Without `log_id` the id is random; the parts of a partitioned log all get the same one. The checkpoints of
        reactors, which are stored with the log, get the new id too.
        """
        ...

    async def close(self) -> None:
        """Close files and connections."""
        ...


class Opens(Protocol):
    """A store that exists outside this process, before it is opened and after it is closed."""

    async def open(self) -> None:
        """Create what is missing. Raises: ConfigurationError, Unavailable."""
        ...

    async def close(self) -> None:
        """Close files and connections."""
        ...


class Rows(ReadStore, Protocol):
    """A read store that can be closed."""

    async def close(self) -> None:
        """Close files and connections."""
        ...
