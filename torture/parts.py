"""A log of several partitions on SQLite: a file for each part, and one for the cuts.

No URL of twofold names such a log; here it is written `parts:4:/folder`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from torture import ranges
from twofold.ambient import Ambient
from twofold.app import App, Running
from twofold.backends.partitioned import Partitioned
from twofold.backends.sqlite.log import SqliteLog
from twofold.messages import Position

_SCHEME = "parts:"
OFFSET_BITS = 48


def url_of(folder: Path, parts: int) -> str:
    """How the processes of a torture get it."""
    return f"{_SCHEME}{parts}:{folder}"


def files_of(url: str) -> Sequence[Path]:
    """The file of the cuts, then those of the parts; none where this is the URL of an ordinary log."""
    if not url.startswith(_SCHEME):
        return []
    parts, _, folder = url.removeprefix(_SCHEME).partition(":")
    return [Path(folder) / f"{number}.db" for number in range(int(parts) + 1)]


def rows_of(url: str) -> Path:
    """The file of the read models."""
    return files_of(url)[0].with_name("rows.db")


def has_cuts(url: str) -> bool:
    """Whether the log has several partitions, or may get some."""
    return bool(files_of(url)) or ranges.folder_of(url) is not None


def number_of(position: Position) -> int:
    """One number for a place of any partition; in an ordinary log, the offset."""
    return position.partition << OFFSET_BITS | position.offset


def position_of(number: int) -> Position:
    """See `number_of`."""
    return Position(number >> OFFSET_BITS, number & ((1 << OFFSET_BITS) - 1))


@asynccontextmanager
async def looked(app: App, url: str) -> AsyncIterator[Running]:
    """The App on the log of this URL. Raises: as `App.look`."""
    files, folder = files_of(url), ranges.folder_of(url)
    async with AsyncExitStack() as stack:
        if folder is not None:
            store, rows = ranges.store_of(folder), f"sqlite:///{ranges.rows_of(folder)}"
            yield await stack.enter_async_context(app.look(store, read_store=rows, create=True))
            return
        if not files:
            yield await stack.enter_async_context(app.look(url, create=True))
            return
        log = await _opened(files, stack)
        yield await stack.enter_async_context(app.look(log, read_store=f"sqlite:///{rows_of(url)}", create=True))


async def _opened(files: Sequence[Path], stack: AsyncExitStack) -> Partitioned:
    cuts = SqliteLog(files[0])
    stack.push_async_callback(cuts.close)
    await cuts.open()
    parts = [SqliteLog(file, partition=number, log_id=cuts.log_id) for number, file in enumerate(files[1:], start=1)]
    for part in parts:
        stack.push_async_callback(part.close)
        await part.open()
    log = Partitioned(parts, cuts, Ambient())
    await log.open()
    return log
