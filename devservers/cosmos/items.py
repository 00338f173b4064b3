"""Documents of one partition key: read, written, alone or in a transactional batch."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from devservers.cosmos import sql, unique
from devservers.cosmos.containers import Container, as_text
from devservers.cosmos.errors import WRONG_KEY, Refused
from devservers.cosmos.patch import patched
from devservers.cosmos.ranges import Range
from devservers.cosmos.rids import document_number, document_rid
from devservers.cosmos.storage import Storage

LONGEST_ITEM_BYTES = 2 * 1024 * 1024
MOST_OPERATIONS = 100
LONGEST_ID = 1023  # bytes
OURS = ("_rid", "_self", "_etag", "_attachments", "_ts", "_lsn")


@dataclass(frozen=True, slots=True)
class Match:
    """What a request demands of the document's ETag."""

    if_match: str | None = None
    if_none_match: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one operation."""

    status: int
    body: bytes = b""
    etag: str = ""


ANY = Match()


class Items:
    """The documents of all containers."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        (self._newest,) = storage.row("newest_document")
        self._next_to_expire: int | None = storage.row("next_to_expire")[0]

    def expire(self) -> None:
        """Remove what has lived its time."""
        now = int(time.time())
        if self._next_to_expire is not None and self._next_to_expire <= now:
            self._storage.run("expire", now)
            (self._next_to_expire,) = self._storage.row("next_to_expire")

    def read(self, container: Container, place: str, id: str, match: Match = ANY) -> Outcome:
        """The document. Raises: Refused."""
        row = self._storage.row("document", container.number, place, id)
        if row is None:
            raise _missing(id)
        _, etag, body = row
        if match.if_none_match in (etag, "*"):
            return Outcome(304, etag=etag)
        return Outcome(200, body, etag)

    def write(self, container: Container, place: str, act: Callable[[Writing], Outcome]) -> Outcome:
        """One operation as a transaction. Raises: Refused; then nothing has changed."""
        owner = container.holding(place)
        with self._storage.transaction():
            writing = Writing(self, self._storage, container, owner, place)
            outcome = act(writing)
            writing.end()
        owner.lsn = writing.lsn
        return outcome

    def batch(self, container: Container, place: str, operations: Sequence[dict[str, Any]]) -> list[Outcome]:
        """All operations as one transaction with one LSN, or none: then one outcome says why, the others 424.

        Raises: Refused.
        """
        if not operations:
            raise Refused(400, "Batch request has no operations.")
        if len(operations) > MOST_OPERATIONS:
            raise Refused(
                400,
                f"Batch request has more operations than what is supported. At most {MOST_OPERATIONS} are possible.",
            )
        owner, outcomes = container.holding(place), list[Outcome]()
        try:
            with self._storage.transaction():
                writing = Writing(self, self._storage, container, owner, place)
                for operation in operations:
                    outcomes.append(writing.operate(operation))
                writing.end()
        except Refused as error:
            failed = [Outcome(424) for _ in operations]
            failed[len(outcomes)] = Outcome(error.status)
            return failed
        owner.lsn = writing.lsn
        return outcomes

    def named(self, container: Container, rid: str) -> str:
        """The id of a document with a resource id, or what was given if there is none."""
        number = document_number(rid)
        row = None if number is None else self._storage.row("name_of_document", container.number, number)
        return rid if row is None else str(row[0])

    def delete_all(self, container: Container, place: str) -> None:
        """Delete all documents of a partition key."""
        self._storage.run("remove_documents_of_key", container.number, place)

    def new_number(self) -> int:
        """The number of the next document."""
        self._newest += 1
        return int(self._newest)

    def note_expiry(self, expires: int | None) -> None:
        """Remember when the next document is to be removed."""
        if expires is not None and (self._next_to_expire is None or expires < self._next_to_expire):
            self._next_to_expire = expires


class Writing:
    """The operations of one transaction. They share one LSN, given when the first of them changes something."""

    def __init__(self, items: Items, storage: Storage, container: Container, range: Range, place: str) -> None:
        self._items, self._storage, self._container = items, storage, container
        self._range, self._place = range, place
        self._changes = 0

    @property
    def lsn(self) -> int:
        """The range's LSN once this is committed."""
        return self._range.lsn + (1 if self._changes else 0)

    def end(self) -> None:
        """Store the LSN, if anything changed."""
        if self._changes:
            self._storage.run("advance", self.lsn, self._container.number, self._range.number)

    def operate(self, operation: Any) -> Outcome:
        """One operation of a batch. Raises: Refused."""
        if not isinstance(operation, dict):
            raise Refused(400, "an operation of a batch is an object with an operationType.")
        kind, name, body = operation.get("operationType"), operation.get("id"), operation.get("resourceBody")
        match = Match(operation.get("ifMatch"), operation.get("ifNoneMatch"))
        if kind == "Create":
            return self.create(_object(body))
        if kind == "Upsert":
            return self.upsert(_object(body), match)
        if not isinstance(name, str):
            raise Refused(400, f"the operation {kind!r} needs an id.")
        if kind == "Read":
            return self._items.read(self._container, self._place, name, match)
        if kind == "Replace":
            return self.replace(name, _object(body), match)
        if kind == "Delete":
            return self.delete(name, match)
        if kind == "Patch":
            return self.patch(name, _object(body), match)
        raise Refused(400, f"the operation {kind!r} is not known: Create, Upsert, Read, Replace, Delete or Patch.")

    def create(self, document: dict[str, Any]) -> Outcome:
        """Raises: Refused."""
        name = self._checked(document)
        if self._storage.row("document", self._container.number, self._place, name) is not None:
            raise Refused(409, f"a document with the id {name!r} exists already under this partition key.")
        return self._add(name, document)

    def upsert(self, document: dict[str, Any], match: Match = ANY) -> Outcome:
        """Raises: Refused."""
        name = self._checked(document)
        row = self._storage.row("document", self._container.number, self._place, name)
        if row is None:
            return self._add(name, document)
        return self._set(row[0], row[1], name, document, match)

    def replace(self, id: str, document: dict[str, Any], match: Match = ANY) -> Outcome:
        """Raises: Refused."""
        new_id = self._checked(document)
        row = self._existing(id)
        if new_id != id and self._storage.row("document", self._container.number, self._place, new_id) is not None:
            raise Refused(409, f"a document with the id {new_id!r} exists already under this partition key.")
        return self._set(row[0], row[1], new_id, document, match)

    def patch(self, id: str, patch: dict[str, Any], match: Match = ANY) -> Outcome:
        """Raises: Refused."""
        number, etag, body = self._existing(id)
        before, condition = msgspec.json.decode(body), patch.get("condition")
        if condition is not None and not isinstance(condition, str):
            raise Refused(400, "the condition of a patch is text, such as FROM c WHERE c.total = 5.")
        if condition is not None and not sql.condition(sql.parsed_condition(condition))(before):
            raise Refused(412, "the condition of the patch is not true of the document.")
        document = patched(before, patch.get("operations"))
        if self._checked(document) != id:
            raise Refused(400, "a patch cannot change the id.")
        return self._set(number, etag, id, document, match)

    def delete(self, id: str, match: Match = ANY) -> Outcome:
        """Raises: Refused."""
        number, etag, _ = self._existing(id)
        _demand(match, etag)
        self._storage.run("remove_document", number)
        self._changes += 1
        return Outcome(204)

    def _existing(self, id: str) -> Any:
        row = self._storage.row("document", self._container.number, self._place, id)
        if row is None:
            raise _missing(id)
        return row

    def _checked(self, document: dict[str, Any]) -> str:
        """The id of a document that may be stored here."""
        name = document.get("id")
        if (
            not isinstance(name, str)
            or not name
            or len(name.encode()) > LONGEST_ID
            or any(sign in name for sign in "/\\?#")
        ):
            raise Refused(
                400, f"a document needs an `id`: a string of 1 to {LONGEST_ID} bytes without / \\ ? #, not {name!r}."
            )
        if self._container.key.of_document(document) != self._place:
            raise Refused(
                400, "PartitionKey extracted from document doesn't match the one specified in the header.", WRONG_KEY
            )
        return name

    def _add(self, id: str, document: dict[str, Any]) -> Outcome:
        number = self._items.new_number()
        etag, changed, expires, body = self._prepared(number, document)
        at = (number, self._container.number, self._range.number, self._place)
        self._storage.run("add_document", *at, id, self.lsn, etag, changed, expires, body)
        unique.note(self._storage, self._container, self._place, self._storage.last_number, document)
        return Outcome(201, body, etag)

    def _set(self, number: int, old: str, id: str, document: dict[str, Any], match: Match) -> Outcome:
        _demand(match, old)
        etag, changed, expires, body = self._prepared(number, document)
        self._storage.run("set_document", id, self.lsn, etag, changed, expires, body, number)
        unique.note_again(self._storage, self._container, self._place, number, document)
        return Outcome(200, body, etag)

    def _prepared(self, number: int, document: dict[str, Any]) -> tuple[str, int, int | None, bytes]:
        self._changes += 1
        now = int(time.time())
        etag = f'"{self._range.number:08x}-0000-{self._changes:04x}-0000-{self.lsn:012x}"'
        for name in OURS:
            document.pop(name, None)
        size = len(msgspec.json.encode(document))
        if size > LONGEST_ITEM_BYTES:
            raise Refused(413, f"the document has {size} bytes; at most {LONGEST_ITEM_BYTES} (2 MB) are possible.")
        rid = document_rid(self._container.database.number, self._container.number, number)
        document["_rid"] = rid
        document["_self"] = f"{self._container.properties['_self']}docs/{rid}/"
        document["_etag"] = etag
        document["_attachments"] = "attachments/"
        document["_ts"] = now
        return etag, now, self._expiry(document, now), msgspec.json.encode(document)

    def _expiry(self, document: dict[str, Any], now: int) -> int | None:
        default = self._container.seconds_to_live
        if default is None:
            return None
        seconds = document.get("ttl", default)
        check_ttl("ttl", seconds)
        expires = None if seconds == -1 else now + seconds
        self._items.note_expiry(expires)
        return expires


def check_ttl(name: str, seconds: Any) -> None:
    """Raises: Refused unless it is a time to live."""
    if type(seconds) is not int or (seconds <= 0 and seconds != -1):
        raise Refused(400, f"`{name}` must be a positive number of seconds or -1 for ever, not {seconds!r}.")


def batch_body(outcomes: Sequence[Outcome]) -> bytes:
    """The results of a batch, as JSON."""
    return b"[" + b",".join(_result(outcome) for outcome in outcomes) + b"]"


def _result(outcome: Outcome) -> bytes:
    fields = f'"statusCode":{outcome.status},"requestCharge":1'
    if outcome.etag:
        fields += f',"eTag":{as_text(outcome.etag)}'
    body = b',"resourceBody":' + outcome.body if outcome.body else b""
    return b"{" + fields.encode() + body + b"}"


def _demand(match: Match, etag: str) -> None:
    if match.if_match is not None and match.if_match not in (etag, "*"):
        raise Refused(412, f"the document's ETag is {etag}, not {match.if_match}.")
    if match.if_none_match is not None and match.if_none_match in (etag, "*"):
        raise Refused(412, f"the document's ETag is {etag}.")


def _object(body: Any) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise Refused(400, f"a document must be a JSON object, not {as_text(body)[:40]}.")
    return body


def _missing(id: str) -> Refused:
    return Refused(404, f"the document {id!r} does not exist under this partition key.")
