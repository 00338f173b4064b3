"""The file that holds everything. What a statement changed is there for good, also after `kill -9`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw

# Read here rather than by twofold's loader: importing twofold would take longer than starting this server.
_PARTS = re.split(r"^-- name: (\w+)$", Path(__file__).with_name("storage.sql").read_text("utf-8"), flags=re.MULTILINE)
SQL = {name: text.strip() for name, text in zip(_PARTS[1::2], _PARTS[2::2], strict=True)}
FILE = "cosmos.db"
CACHE_KIB = 64 * 1024


class Storage:
    """One SQLite file, used by one process."""

    def __init__(self, folder: Path | None) -> None:
        """`folder` must exist; None keeps everything in memory. Raises: apsw.BusyError if another server has it."""
        self._db = apsw.Connection(":memory:" if folder is None else str(folder / FILE))
        self._db.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
        self._db.execute("PRAGMA locking_mode=EXCLUSIVE")
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.execute(SQL["schema"])

    def rows(self, statement: str, *values: Any) -> apsw.Cursor:
        """The rows of a named statement, as they are read."""
        return self._db.execute(SQL[statement], values)

    def row(self, statement: str, *values: Any) -> Any:
        """The first row; None without one."""
        return self._db.execute(SQL[statement], values).fetchone()

    def run(self, statement: str, *values: Any) -> None:
        """Run a named statement without a result."""
        self._db.execute(SQL[statement], values)

    @property
    def last_number(self) -> int:
        """The number of the row inserted last."""
        return self._db.last_insert_rowid()

    @property
    def changes(self) -> int:
        """How many rows the last statement changed."""
        return self._db.changes()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of what is run inside, or nothing if it raises."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def close(self) -> None:
        """Close the file."""
        self._db.close()
