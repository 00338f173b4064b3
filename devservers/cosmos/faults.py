"""Faults on request: what a real service does now and then, so that tests can wait for it.

`POST /_faults` with `{"fault": "429", "range": 0, "times": 3}` plans some; `GET /_faults` lists what is still to come.
With `"container": "database/container"` a fault is for one container, otherwise for every one.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from devservers.cosmos.containers import Catalog, Container
from devservers.cosmos.errors import RATE_TOO_LARGE, SESSION_NOT_AVAILABLE, Refused
from devservers.cosmos.ranges import Range

T = TypeVar("T")

AT_ONCE = ("split", "merge")
LATER = {
    "429": "requests are refused, to be tried again later",
    "stale-session": "reads reach a replica that has not seen the session's writes",
    "old-replica": "pages of the change feed come from a replica without the newest LSN",
    "twice": "pages of the change feed come a second time",
    "shuffle": "pages of the change feed have the documents of one LSN in another order",
    "lose-answer": "writes are done, then the connection breaks",
}
RETRY_AFTER_MS = 10
MOST_TIMES = 1_000_000


@dataclass(slots=True)
class Fault:
    """One kind of fault for a range, still to come `times` times."""

    fault: str
    container: str | None
    range: int
    times: int


class Faults:
    """The planned faults."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog, self._planned = catalog, list[Fault]()
        self._random = random.Random(0)  # noqa: S311

    def plan(self, wanted: Any) -> list[Fault]:
        """Plan a fault, or split or merge at once; returns what is still to come. Raises: Refused."""
        fault = _understood(wanted)
        concerned = self._concerned(fault)
        if fault.fault == "split":
            for container in concerned:
                self._catalog.split(container, container.ranges[fault.range])
        elif fault.fault == "merge":
            for container in concerned:
                self._catalog.merge(container, *_neighbours(container, fault.range))
        else:
            self._planned.append(fault)
        return self._planned

    def listed(self) -> list[dict[str, Any]]:
        """What is still to come."""
        return [asdict(fault) for fault in self._planned]

    def before(self, container: Container, range: Range, reads: bool) -> None:
        """Raises: Refused if this request is one that fails."""
        if not self._planned:
            return
        if self._due("429", container, range):
            headers = {"x-ms-retry-after-ms": str(RETRY_AFTER_MS)}
            raise Refused(429, "the request rate is too large: try again later.", RATE_TOO_LARGE, headers)
        if reads and self._due("stale-session", container, range):
            raise Refused(404, "the read session is not available for the session token.", SESSION_NOT_AVAILABLE)

    def loses_answer(self, container: Container, range: Range) -> bool:
        """Whether the answer to this write is lost."""
        return bool(self._planned) and self._due("lose-answer", container, range)

    def is_old(self, container: Container, range: Range) -> bool:
        """Whether this page comes from a replica that is behind."""
        return bool(self._planned) and self._due("old-replica", container, range)

    def comes_twice(self, container: Container, range: Range) -> bool:
        """Whether this page is to be sent a second time."""
        return bool(self._planned) and self._due("twice", container, range)

    def shuffled(self, container: Container, range: Range, documents: Sequence[tuple[int, T]]) -> list[tuple[int, T]]:
        """The documents of a page, with those of one LSN in any order if that is due."""
        if not self._planned or not documents or not self._due("shuffle", container, range):
            return list(documents)
        chance = {id(document): self._random.random() for _, document in documents}
        return sorted(documents, key=lambda it: (it[0], chance[id(it[1])]))

    def _due(self, kind: str, container: Container, range: Range) -> bool:
        for fault in self._planned:
            if fault.fault == kind and fault.range in (range.number, *range.parents) and _is_for(fault, container):
                fault.times -= 1
                if not fault.times:
                    self._planned.remove(fault)
                return True
        return False

    def _concerned(self, fault: Fault) -> list[Container]:
        every = [it for database in self._catalog.databases.values() for it in database.containers.values()]
        named = [it for it in every if _is_for(fault, it)]
        if fault.container is not None and not named:
            names = ", ".join(_name(it) for it in every) or "none"
            raise Refused(404, f"there is no container {fault.container}; there are: {names}.")
        found = [it for it in named if fault.range in [one.number for one in it.live]]
        if found and fault.fault == "merge":
            found = [it for it in found if len(it.live) > 1]
            if not found:
                raise Refused(409, "nothing can be merged: there is one range.")
        if not found:
            ranges = "; ".join(f"{_name(it)} has {[one.number for one in it.live]}" for it in named)
            raise Refused(404, f"no container has a range {fault.range}: {ranges or 'there is no container'}.")
        return found


def _is_for(fault: Fault, container: Container) -> bool:
    return fault.container is None or fault.container == _name(container)


def _name(container: Container) -> str:
    return f"{container.database.id}/{container.id}"


def _neighbours(container: Container, number: int) -> tuple[Range, Range]:
    """A range and the next one, or the one before if it is the last."""
    index = [one.number for one in container.live].index(number)
    first = min(index, len(container.live) - 2)
    return container.live[first], container.live[first + 1]


def _understood(wanted: Any) -> Fault:
    """Raises: Refused."""
    known = [*AT_ONCE, *LATER]
    if not isinstance(wanted, dict) or wanted.get("fault") not in known:
        raise Refused(400, f'expected {{"fault": one of {", ".join(known)}, "range": 0, "times": 1}}.')
    unknown = set(wanted) - {"fault", "range", "times", "container"}
    if unknown:
        raise Refused(400, f"unknown: {', '.join(sorted(unknown))}; a fault has fault, range, times and container.")
    fault = Fault(wanted["fault"], wanted.get("container"), wanted.get("range", 0), wanted.get("times", 1))
    for name, value, most in (("range", fault.range, MOST_TIMES), ("times", fault.times, MOST_TIMES)):
        least = 1 if name == "times" else 0
        if type(value) is not int or not least <= value <= most:
            raise Refused(400, f"{name} must be a whole number from {least} to {most}, not {value!r}.")
    return fault
