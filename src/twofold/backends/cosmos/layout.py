"""The documents of a container, as JSON values: pure.

The partition key `/key` is a stream's id alone, so the streams of one thing lie together whatever their category. A
logical partition holds these kinds of documents, each with its `category` and `stream`:

    commit   written once: the events of one append, and its command id; id `order@3` if its first version is 3
    receipt  written once: the command id of an append without events
    head     the stream's version; replaced by each append, in the transaction of its commit

Commits and receipts have a `command`. The container's unique key (`/category`, `/command`) lets each command id of a
stream exist once (G3); heads have none, so of these, too, there is one for each stream.

An event's data and meta are JSON texts inside of the document, because the service would round large numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import msgspec

from twofold.backends.cosmos import places
from twofold.messages import Append, Entry, Position, Stream
from twofold.write.copies import KeptCommand

KEY_PATH = "/key"
UNIQUE: Any = {"uniqueKeys": [{"paths": ["/category", "/command"]}]}
INDEXED: Any = {
    "indexingMode": "consistent",
    "includedPaths": [{"path": f"/{name}/?"} for name in ("category", "kind", "command", "first", "last")],
    "excludedPaths": [{"path": "/*"}],
}
MOST_BYTES = 2_000_000  # of one request; the service takes 2 MiB, with what it adds to a document

Document = dict[str, Any]
Operation = tuple[str, tuple[Any, ...], dict[str, Any]]

_AN_ID = re.compile(r"[^/\\?#\s]([^/\\?#]*[^/\\?#\s])?")
_NO_COMMAND = "\x01"  # begins what no command id can be


class Commit(msgspec.Struct, frozen=True, gc=False, rename={"lsn": "_lsn"}):
    """What the feed needs of a commit. Documents of other kinds may lack all of it."""

    kind: str = ""
    key: str = ""
    id: str = ""
    lsn: int = 0
    stream: str = ""
    first: int = 0
    meta: str = ""
    recorded_at: datetime = datetime.min.replace(tzinfo=UTC)
    events: list[tuple[str, int, str]] = []


class Tip(msgspec.Struct, frozen=True):
    """What the next append to a stream has to know. `etag` is None if the stream has no head."""

    version: int = 0
    etag: str | None = None
    recorded_at: datetime | None = None


def commit(append: Append, tip: Tip, recorded_at: datetime) -> Document:
    """The document of an append with events. Raises: UnicodeDecodeError for data that is not UTF-8."""
    first = tip.version + 1
    return {
        "id": f"{append.stream.category}@{first}",
        **_common(append.stream, "commit"),
        "first": first,
        "last": tip.version + len(append.events),
        "command": append.command_id,
        "meta": msgspec.json.encode(append.meta).decode(),
        "recorded_at": recorded_at.isoformat(),
        "events": [[event.type, event.schema, event.data.decode()] for event in append.events],
    }


def receipt(append: Append, tip: Tip) -> Document:
    """The document of an append without events."""
    return receipt_of(append.stream, append.command_id, tip.version, 0)


def receipt_of(stream: Stream, command_id: str, version: int, events: int) -> Document:
    """The document of a command id that no commit has."""
    return {
        "id": f"{stream.category}!{sha256(command_id.encode()).hexdigest()}",
        **_common(stream, "receipt"),
        "last": version,
        "count": events,
        "command": command_id,
    }


def head(stream: Stream, tip: Tip, document: Any = None, sole: str | None = None) -> Document:
    """The document of a stream's version. `document` is its state, where that is stored; `sole` is for `head_id`."""
    recorded_at = tip.recorded_at and tip.recorded_at.isoformat()
    found = {
        "id": head_id(stream, sole),
        **_common(stream, "head"),
        "version": tip.version,
        "recorded_at": recorded_at,
    }
    return found if document is None else {**found, **document}


def head_id(stream: Stream, sole: str | None = None) -> str:
    """The id of a head within its logical partition: the category.

    In a container whose only category is `sole` it is the stream's id, so that others read the document by it; unless
    the service does not take that as an id, or other documents have such ids.
    """
    is_ours = stream.id.startswith((f"{stream.category}@", f"{stream.category}!"))
    return stream.id if sole is not None and _AN_ID.fullmatch(stream.id) and not is_ours else stream.category


def _common(stream: Stream, kind: str) -> Document:
    return {"key": stream.id, "kind": kind, "category": stream.category, "stream": str(stream)}


def tip_of(document: Mapping[str, Any]) -> Tip:
    """The tip that a head holds."""
    recorded_at = document["recorded_at"]
    return Tip(document["version"], document["_etag"], recorded_at and datetime.fromisoformat(recorded_at))


def written(document: Mapping[str, Any]) -> Commit:
    """The commit that a document is."""
    return msgspec.convert(document, Commit)


def entries(commit: Commit, partition: int) -> Iterator[Entry]:
    """The events of a commit, as the change feed returns it."""
    stream, first, meta, recorded_at = commit.stream, commit.first, commit.meta, commit.recorded_at
    for index, (type_, schema, data) in enumerate(commit.events):
        position = Position(partition, places.offset(commit.lsn, index + 1))
        yield Entry(position, stream, first + index, type_, schema, data, meta, recorded_at)


def place(documents: Sequence[Mapping[str, Any]], version: int) -> int:
    """The offset of an event among the commits of its stream; 0 if they do not hold it."""
    for document in reversed(documents):
        if document["kind"] == "commit" and document["first"] <= version <= document["last"]:
            return places.offset(document["_lsn"], version - document["first"] + 1)
    return 0


def size(documents: Sequence[Document]) -> int:
    """The bytes of a request with these documents."""
    return len(msgspec.json.encode(documents))


def as_json(data: str) -> Any:
    """An event's JSON as others read it in a document; the exact text is in the commit."""
    return msgspec.json.decode(data)


def copied_commit(entries: Sequence[Entry]) -> Document:
    """The document of adjacent events of a stream that were recorded together elsewhere. Its command id is apart.

    Raises: UnicodeDecodeError for data that is not UTF-8.
    """
    first, last = entries[0], entries[-1]
    stream = Stream.parse(first.stream)
    id_ = f"{stream.category}@{first.version}"
    return {
        "id": id_,
        **_common(stream, "commit"),
        "first": first.version,
        "last": last.version,
        "command": f"{_NO_COMMAND}{id_}",
        "meta": _text(first.meta),
        "recorded_at": first.recorded_at.isoformat(),
        "events": [[entry.type, entry.schema, _text(entry.data)] for entry in entries],
        "copied": True,
    }


def has_command(document: Mapping[str, Any]) -> bool:
    """Whether a document keeps a command id."""
    return not document.get("command", _NO_COMMAND).startswith(_NO_COMMAND)


def kept_command(document: Mapping[str, Any]) -> KeptCommand:
    """The command id that a commit or a receipt keeps."""
    events = document["count"] if document["kind"] == "receipt" else len(document["events"])
    return KeptCommand(document["stream"], document["command"], document["last"], events)


def time(document: Mapping[str, Any]) -> datetime:
    """When a commit was recorded."""
    return datetime.fromisoformat(document["recorded_at"])


def _text(json: str | bytes) -> str:
    return json if isinstance(json, str) else json.decode()


# ---- operations of a transactional batch, as the SDK takes them


def created(document: Document) -> Operation:
    """Create a document."""
    return "create", (document,), {}


def replaced(document: Document, etag: str) -> Operation:
    """Replace a document that has this ETag."""
    return "replace", (document["id"], document), {"if_match_etag": etag}


def deleted(id: str, etag: str) -> Operation:
    """Delete a document that has this ETag."""
    return "delete", (id,), {"if_match_etag": etag}
