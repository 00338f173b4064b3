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
from devservers.cosmos.sql import Query, plan, results, streams, understood
from devservers.cosmos.storage import Storage

EVERYTHING = {"query": "SELECT * FROM c"}
AFTER, SKIP = "after", "skip"


@dataclass(frozen=True, slots=True)
class Scope:
    """Which documents: those of places from `low` before `high`, of one range or of the whole container."""

    container: Container
    range: Range | None
    low: str = FIRST
    high: str = END
    one_key: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """A page of results, how to ask for the next (None: there is none), and what it cost."""

    results: list[bytes]
    continuation: str | None
    metrics: str = ""


def planned(body: dict[str, Any], supported: str) -> dict[str, Any]:
    """The plan for a query over several ranges. Raises: Refused."""
    return plan(*understood(body), supported)


def page(storage: Storage, scope: Scope, body: dict[str, Any], continuation: str | None, most: int) -> Found:
    """The next results, at most `most` but for those of the last document. Raises: Refused."""
    query, parameters = understood(body)
    if scope.range is None and len(scope.container.live) > 1 and not streams(query):
        more = as_text(plan(query, parameters, ""))
        raise Refused(400, "the query concerns several ranges: ask each, by its plan.", CROSS_PARTITION, more=more)
    began = time.perf_counter()
    kind, number = _understood(continuation, query)
    reading = _Reading(storage, scope, number if kind == AFTER else 0)
    found = results(query, parameters, reading.documents())
    answer = _streamed(found, reading, most) if kind == AFTER else _sliced(found, number, most)
    took_ms = (time.perf_counter() - began) * 1_000
    counts = f"retrievedDocumentCount={reading.count};outputDocumentCount={len(answer.results)}"
    return replace(answer, metrics=f"totalExecutionTimeInMs={took_ms:.2f};{counts}")


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


def _streamed(found: Iterator[Any], reading: _Reading, most: int) -> Found:
    page, size, last = list[bytes](), 0, 0
    for result in found:
        if (len(page) >= most or size >= LONGEST_PAGE_BYTES) and reading.number != last:
            reading.close()
            return Found(page, f"{AFTER}:{last}")
        page.append(msgspec.json.encode(result))
        size, last = size + len(page[-1]), reading.number
    return Found(page, None)


def _sliced(found: Iterator[Any], start: int, most: int) -> Found:
    page, size = list[bytes](), 0
    for index, result in enumerate(found):
        if index < start:
            continue
        if len(page) >= most or size >= LONGEST_PAGE_BYTES:
            return Found(page, f"{SKIP}:{index}")
        page.append(msgspec.json.encode(result))
        size += len(page[-1])
    return Found(page, None)


def _understood(continuation: str | None, query: Query) -> tuple[str, int]:
    """How a query goes on: after the document with a number, or without so many results. Raises: Refused."""
    wanted = AFTER if streams(query) else SKIP
    kind, _, number = (continuation or f"{wanted}:0").partition(":")
    if kind != wanted or not number.isdecimal():
        raise Refused(400, f"the continuation {continuation!r} is not one of this query.")
    return kind, int(number)
