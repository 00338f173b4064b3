"""A log in Azure Cosmos DB, whose ranges split, on the development server.

No URL of twofold says where the read models are, or holds the account's key; here such a log is written
`ranges:/folder`, and the folder has all of it.
"""

from __future__ import annotations

from pathlib import Path

_SCHEME = "ranges:"
DATABASE, CONTAINER = "torture", "events"


def url_of(folder: Path) -> str:
    """How the processes of a torture get it."""
    return f"{_SCHEME}{folder}"


def folder_of(url: str) -> Path | None:
    """The folder; None where this is the URL of another log."""
    return Path(url.removeprefix(_SCHEME)) if url.startswith(_SCHEME) else None


def name_store(folder: Path, connection_string: str) -> None:
    """Keep how the server is reached."""
    store = f"{connection_string.rstrip(';')};Database={DATABASE};Container={CONTAINER}"
    (folder / "store").write_text(store, "utf-8")


def store_of(folder: Path) -> str:
    """The store as twofold takes it."""
    return (folder / "store").read_text("utf-8")


def data_of(folder: Path) -> Path:
    """What the server keeps."""
    return folder / "data"


def rows_of(folder: Path) -> Path:
    """The file of the read models."""
    return folder / "rows.db"
