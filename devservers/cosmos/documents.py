"""Requests about documents: points, batches, feeds and queries."""

from __future__ import annotations

from dataclasses import replace
from email.utils import parsedate_to_datetime
from typing import Any

from devservers.cosmos.changes import USUAL_PAGE, Ask, changes, position
from devservers.cosmos.containers import Container
from devservers.cosmos.errors import SESSION_NOT_AVAILABLE, WRONG_KEY, Refused
from devservers.cosmos.faults import Faults
from devservers.cosmos.http import LONGEST_REQUEST_BYTES, Answer, Request, as_json
from devservers.cosmos.items import Items, Match, Outcome, batch_body
from devservers.cosmos.queries import EVERYTHING, Scope, implied, of_key, page, planned
from devservers.cosmos.ranges import END, FIRST, Range
from devservers.cosmos.storage import Storage

PARTITION_KEY = "x-ms-documentdb-partitionkey"
RANGE = "x-ms-documentdb-partitionkeyrangeid"
CONTINUATION = "x-ms-continuation"
FEATURES = "x-ms-cosmos-supported-query-features"
CROSSES = "x-ms-documentdb-query-enablecrosspartition"
SESSION = "x-ms-session-token"
MOST_ITEMS = "x-ms-max-item-count"
FEED, FULL_FEED = "incremental feed", "full-fidelity feed"


class Documents:
    """What can be done under `/dbs/…/colls/…/docs`."""

    def __init__(self, storage: Storage, items: Items, faults: Faults) -> None:
        self._storage, self._items, self._faults = storage, items, faults

    def handle(self, container: Container, request: Request) -> Answer:
        """Answer one request. Raises: Refused."""
        if len(request.body) > LONGEST_REQUEST_BYTES:
            raise Refused(
                413, f"the request has {len(request.body)} bytes; at most {LONGEST_REQUEST_BYTES} (2 MB) are possible."
            )
        if len(request.parts) == 6:
            return self._on_document(container, request, request.parts[5])
        if request.method == "GET":
            return self._changes(container, request)
        if request.method != "POST":
            raise Refused(405, f"{request.method} is not possible here.")
        if request.flag("x-ms-cosmos-is-query-plan-request"):
            return Answer(200, as_json(planned(request.object(), request.header(FEATURES) or "")))
        if "query" in (request.header("content-type") or "") or request.flag("x-ms-documentdb-isquery"):
            return self._query(container, request, request.object())
        if request.flag("x-ms-cosmos-is-batch-request"):
            return self._batch(container, request)
        return self._create(container, request)

    def delete_key(self, container: Container, request: Request) -> Answer:
        """Delete all documents of a partition key. Raises: Refused."""
        place = _place(container, request)
        self._items.delete_all(container, place)
        return Answer(200, b"", _about(container, container.holding(place)))

    # ---- points ----------------------------------------

    def _on_document(self, container: Container, request: Request, id: str) -> Answer:
        place, match = _place(container, request), _match(request)
        if request.method == "GET":
            owner = self._read_from(container, place, request)
            return _answer(container, self._items.read(container, place, id, match), owner)
        if request.method == "PUT":
            body = request.object()
            return self._write(container, place, request, lambda writing: writing.replace(id, body, match))
        if request.method == "DELETE":
            return self._write(container, place, request, lambda writing: writing.delete(id, match))
        if request.method == "PATCH":
            patch = request.object()
            return self._write(container, place, request, lambda writing: writing.patch(id, patch, match))
        raise Refused(405, f"{request.method} is not possible here.")

    def _create(self, container: Container, request: Request) -> Answer:
        body, match = request.object(), _match(request)
        upsert = request.flag("x-ms-documentdb-is-upsert")
        named = request.header(PARTITION_KEY) is not None
        place = _place(container, request) if named else container.key.of_document(body)
        if upsert:
            return self._write(container, place, request, lambda writing: writing.upsert(body, match))
        return self._write(container, place, request, lambda writing: writing.create(body))

    def _write(self, container: Container, place: str, request: Request, act: Any) -> Answer:
        owner = container.holding(place)
        self._faults.before(container, owner, reads=False)
        outcome = self._items.write(container, place, act)
        answer = _answer(container, outcome, owner, minimal=request.header("prefer") == "return=minimal")
        answer.lost = self._faults.loses_answer(container, owner)
        return answer

    def _batch(self, container: Container, request: Request) -> Answer:
        place, operations = _place(container, request), request.json()
        if not isinstance(operations, list):
            raise Refused(400, "a batch is a JSON array of operations.")
        owner = container.holding(place)
        self._faults.before(container, owner, reads=False)
        outcomes = self._items.batch(container, place, operations)
        failed = any(outcome.status >= 400 for outcome in outcomes)
        lost = not failed and self._faults.loses_answer(container, owner)
        return Answer(207 if failed else 200, batch_body(outcomes), _about(container, owner), lost)

    # ---- feeds ----------------------------------------

    def _changes(self, container: Container, request: Request) -> Answer:
        kind = (request.header("a-im") or "").lower()
        if kind == FULL_FEED:
            raise Refused(400, "this server has the change feed of latest versions alone, not that of all versions.")
        if kind != FEED:
            return self._query(container, request, EVERYTHING)
        ask = _asked(container, request)
        self._faults.before(container, ask.range, reads=True)
        if self._faults.is_old(container, ask.range):
            ask = replace(ask, range=replace(ask.range, lsn=max(0, ask.range.lsn - 1)))
        found = changes(self._storage, container, ask)
        until = found.until
        if found.documents and self._faults.comes_twice(container, ask.range):
            until = ask.after
        about = {**_about(container, ask.range), "etag": f'"{until}"'}
        if not found.documents:
            return Answer(304, b"", about)
        bodies = [body for _, body in self._faults.shuffled(container, ask.range, found.documents)]
        return Answer(200, listing(container, bodies), {**about, "x-ms-item-count": str(len(bodies))})

    def _query(self, container: Container, request: Request, body: dict[str, Any]) -> Answer:
        scope = _scope(container, request, body)
        for owner in scope.ranges:
            self._faults.before(container, owner, reads=True)
            check_session(request.header(SESSION), owner)
        found = page(self._storage, scope, body, request.header(CONTINUATION), page_size(request))
        headers = {**_about(container, scope.ranges[0]), "x-ms-item-count": str(len(found.results))}
        if request.flag("x-ms-documentdb-populatequerymetrics"):
            headers["x-ms-documentdb-query-metrics"] = found.metrics
        if found.continuation is not None:
            headers[CONTINUATION] = found.continuation
        return Answer(200, listing(container, found.results), headers)

    def _read_from(self, container: Container, place: str, request: Request) -> Range:
        owner = container.holding(place)
        self._faults.before(container, owner, reads=True)
        check_session(request.header(SESSION), owner)
        return owner


def listing(container: Container, bodies: list[bytes]) -> bytes:
    """A page of documents."""
    head = b'{"_rid":' + as_json(container.rid) + b',"Documents":['
    return head + b",".join(bodies) + b'],"_count":%d}' % len(bodies)


def check_session(token: str | None, owner: Range) -> None:
    """Raises: Refused if the client has seen more of a owner than there is."""
    for part in (token or "").split(","):
        number, _, progress = part.partition(":")
        lsn = progress.split("#")[1] if "#" in progress else progress
        if number == str(owner.number) and lsn.lstrip("-").isdecimal() and int(lsn) > owner.lsn:
            raise Refused(404, "the read session is not available for the session token.", SESSION_NOT_AVAILABLE)


def _asked(container: Container, request: Request) -> Ask:
    """Raises: Refused."""
    key, low, high, of_key = request.header(PARTITION_KEY), FIRST, END, False
    if key is not None:
        low = container.key.of_header(key)
        of_key = not container.key.is_prefix(key)
        owner, high = container.holding(low), low + ("!" if of_key else "FF")
    else:
        owner = named_range(container, request)
        low = request.header("x-ms-start-epk") or FIRST
        high = request.header("x-ms-end-epk") or END
    after = position(request.header("if-none-match"), owner)
    return Ask(owner, after, low, high, _since(request), page_size(request), of_key)


def _scope(container: Container, request: Request, body: dict[str, Any]) -> Scope:
    """Raises: Refused."""
    key = request.header(PARTITION_KEY)
    if key is not None:
        return _of_header(container, key)
    if request.header(RANGE) is not None:
        low, high = request.header("x-ms-start-epk") or FIRST, request.header("x-ms-end-epk") or END
        return Scope(container, named_range(container, request), low, high)
    if body is EVERYTHING or request.flag(CROSSES):
        return Scope(container, everywhere=True)
    found = implied(container, body)
    if found is None:
        raise Refused(
            400,
            f"Cross partition query is required but disabled: name the partition key in {PARTITION_KEY} or in the "
            f"condition, or set {CROSSES} to true.",
        )
    return found


def _of_header(container: Container, key: str) -> Scope:
    place = container.key.of_header(key)
    if not container.key.is_prefix(key):
        return of_key(container, place)
    first, last = container.holding(place), container.holding(place + "FE")
    return Scope(container, first if first is last else None, place, place + "FF")


def named_range(container: Container, request: Request) -> Range:
    """The owner that a request is for; it may be left out if there is one. Raises: Refused."""
    name = request.header(RANGE)
    if name is not None:
        return container.range(name.rpartition(",")[2])
    if len(container.live) > 1:
        raise Refused(400, f"the container has {len(container.live)} ranges: name one in {RANGE}.")
    return container.live[0]


def page_size(request: Request) -> int:
    """How many items the client wants in a page: -1 leaves that to the server. Raises: Refused."""
    text = request.header(MOST_ITEMS) or "-1"
    if not text.removeprefix("-").isdecimal() or int(text) == 0 or int(text) < -1:
        raise Refused(400, f"{MOST_ITEMS} must be a positive number, or -1, not {text}.")
    return USUAL_PAGE if text == "-1" else int(text)


def _since(request: Request) -> int:
    text = request.header("if-modified-since")
    if text is None:
        return 0
    try:
        return int(parsedate_to_datetime(text).timestamp())
    except ValueError:
        raise Refused(400, f"If-Modified-Since must be a date as in HTTP, not {text}.") from None


def _place(container: Container, request: Request) -> str:
    header = request.header(PARTITION_KEY)
    if header is None:
        raise Refused(400, f"the request needs the partition key, in the header {PARTITION_KEY}.")
    if container.key.is_prefix(header):
        raise Refused(
            400,
            "Partition key provided either doesn't correspond to definition in the collection or doesn't match "
            "partition key field values specified in the document.",
            WRONG_KEY,
        )
    return container.key.of_header(header)


def _match(request: Request) -> Match:
    return Match(request.header("if-match"), request.header("if-none-match"))


def _about(container: Container, owner: Range) -> dict[str, str]:
    return {
        "x-ms-alt-content-path": container.path,
        "x-ms-content-path": container.rid,
        SESSION: owner.session,
        "lsn": str(owner.lsn),
        "x-ms-request-charge": "1",
        RANGE: str(owner.number),
    }


def _answer(container: Container, outcome: Outcome, owner: Range, minimal: bool = False) -> Answer:
    headers = _about(container, owner)
    if outcome.etag:
        headers["etag"] = outcome.etag
    return Answer(outcome.status, b"" if minimal else outcome.body, headers)
