"""Queries over the documents of a key, a range, or a container, page by page."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import apsw
import msgspec

from devservers.cosmos.changes import LONGEST_PAGE_BYTES
from devservers.cosmos.containers import Container, as_text
from devservers.cosmos.errors import CROSS_PARTITION, Refused
from devservers.cosmos.ranges import END, FIRST, Range
from devservers.cosmos.sql import Query, pinned, plan, results, streams, understood
from devservers.cosmos.storage import Storage

EVERYTHING = {"query": "SELECT * FROM c"}
AFTER, SKIP = "after", "skip"


@dataclass(frozen=True, slots=True)
class Scope:
    """Which documents: those of places from `low` before `high`, of one range or of any; or all of a container."""

    container: Container
    range: Range | None = None
    low: str = FIRST
    high: str = END
    one_key: bool = False
    everywhere: bool = False

    @property
    def ranges(self) -> list[Range]:
        """Where they are."""
        return self.container.live if self.range is None else [self.range]


@dataclass(frozen=True, slots=True)
class Found:
    """A page of results, how to ask for the next (None: there is none), and what it cost."""

    results: list[bytes]
    continuation: str | None
    metrics: str = ""


def of_key(container: Container, place: str) -> Scope:
    """The documents of one partition key."""
    return Scope(container, container.holding(place), place, place + "!", one_key=True)


def implied(container: Container, body: dict[str, Any]) -> Scope | None:
    """The key that the conditions of a query name; None if they do not. Raises: Refused."""
    values = pinned(*understood(body), container.key.paths)
    return None if values is None else of_key(container, container.key.place(values))


def planned(body: dict[str, Any], supported: str) -> dict[str, Any]:
    """The plan for a query over several ranges. Raises: Refused."""
    return plan(*understood(body), supported)


def page(storage: Storage, scope: Scope, body: dict[str, Any], continuation: str | None, most: int) -> Found:
    """The next results, at most `most` but for those of the last document. Raises: Refused."""
    query, parameters = understood(body)
    if scope.everywhere and not streams(query):
        more = as_text(plan(query, parameters, ""))
        raise Refused(400, "the query concerns all ranges: ask each, by its plan.", CROSS_PARTITION, more=more)
    began, token = time.perf_counter(), _understood(continuation, scope, query)
    reading = _Reading(storage, token.within(scope), token.number if token.kind == AFTER else 0)
    found = results(query, parameters, reading.documents())
    answer = _streamed(found, reading, token, most) if token.kind == AFTER else _sliced(found, token, most)
    if answer.continuation is None and scope.everywhere and token.high != END:
        answer = replace(answer, continuation=_start(scope.container, token.high).text)
    took_ms = (time.perf_counter() - began) * 1_000
    counts = f"retrievedDocumentCount={reading.count};outputDocumentCount={len(answer.results)}"
    return replace(answer, metrics=f"totalExecutionTimeInMs={took_ms:.2f};{counts}")


@dataclass(frozen=True, slots=True)
class _Token:
    """How a query goes on: after the document with a number, or without so many results.

    Queries of a whole container go from range to range, and so a token names the places it was among: those of a
    range that has been split since are read to their end as if it had not.
    """

    kind: str
    number: int
    low: str = FIRST
    high: str = END

    @property
    def text(self) -> str:
        return f"{self.kind}:{self.number}:{self.low}:{self.high}"

    def within(self, scope: Scope) -> Scope:
        if not scope.everywhere:
            return scope
        now = scope.container.holding(self.low)
        same = now if (now.low, now.high) == (self.low, self.high) else None
        return replace(scope, low=self.low, high=self.high, range=same)


def _start(container: Container, low: str) -> _Token:
    return _Token(AFTER, 0, low, container.holding(low).high)


def _understood(text: str | None, scope: Scope, query: Query) -> _Token:
    """Raises: Refused."""
    wanted = AFTER if streams(query) else SKIP
    if text is None:
        return _start(scope.container, FIRST) if scope.everywhere else _Token(wanted, 0)
    kind, number, low, high = (text.split(":") + [""] * 3)[:4]
    if kind != wanted or not number.isdecimal() or not high:
        raise Refused(400, f"the continuation {text!r} is not one of this query.")
    return _Token(kind, int(number), low, high)


class _Reading:
    """Documents as they are read. `number` is that of the last one."""

    def __init__(self, storage: Storage, scope: Scope, after: int) -> None:
        self.number, self.count = after, 0
        self._rows = _rows(storage, scope, after)

    def documents(self) -> Iterator[dict[str, Any]]:
        """The documents that follow."""
        for number, body in self._rows:
            self.number = number
            self.count += 1
            yield msgspec.json.decode(body)

    def close(self) -> None:
        """Stop reading."""
        self._rows.close()


def _rows(storage: Storage, scope: Scope, after: int) -> apsw.Cursor:
    container, bounds = scope.container.number, (scope.low, scope.high)
    if scope.one_key:
        return storage.rows("documents_of_key", container, scope.low, after)
    if scope.range is not None:
        return storage.rows("documents_of_range", container, scope.range.number, *bounds, after)
    if bounds == (FIRST, END):
        return storage.rows("documents_of_container", container, after)
    return storage.rows("documents_of_places", container, *bounds, after)


def _streamed(found: Iterator[Any], reading: _Reading, token: _Token, most: int) -> Found:
    page, size, last = list[bytes](), 0, 0
    for result in found:
        if (len(page) >= most or size >= LONGEST_PAGE_BYTES) and reading.number != last:
            reading.close()
            return Found(page, replace(token, number=last).text)
        page.append(msgspec.json.encode(result))
        size, last = size + len(page[-1]), reading.number
    return Found(page, None)


def _sliced(found: Iterator[Any], token: _Token, most: int) -> Found:
    page, size = list[bytes](), 0
    for index, result in enumerate(found):
        if index < token.number:
            continue
        if len(page) >= most or size >= LONGEST_PAGE_BYTES:
            return Found(page, replace(token, number=index).text)
        page.append(msgspec.json.encode(result))
        size += len(page[-1])
    return Found(page, None)
