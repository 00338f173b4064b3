"""Databases and containers with their ranges, kept in memory beside the file they are stored in."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec

from devservers.cosmos.errors import RANGE_GONE, Refused
from devservers.cosmos.keys import Key, key_of
from devservers.cosmos.ranges import Range, divided, holding, in_order
from devservers.cosmos.rids import container_rid, database_rid, kept_rid
from devservers.cosmos.storage import Storage

T = TypeVar("T", "Database", "Container")

REQUEST_UNITS_PER_RANGE = 10_000


@dataclass(slots=True)
class Database:
    """A database and its containers by id."""

    number: int
    properties: dict[str, Any]
    containers: dict[str, Container] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """Its name."""
        return str(self.properties["id"])


@dataclass(slots=True)
class Container:
    """A container. `live` are its ranges in order of their places, `ranges` also those that were split or merged."""

    number: int
    database: Database
    properties: dict[str, Any]
    key: Key
    ranges: dict[int, Range] = field(default_factory=dict)
    live: list[Range] = field(default_factory=list)

    @property
    def id(self) -> str:
        """Its name."""
        return str(self.properties["id"])

    @property
    def rid(self) -> str:
        """What stands for it in tokens; another one if it is deleted and created again."""
        return str(self.properties["_rid"])

    @property
    def path(self) -> str:
        """Where it is reached; clients keep their session tokens under it."""
        return quote(f"dbs/{self.database.id}/colls/{self.id}")

    @property
    def seconds_to_live(self) -> int | None:
        """How long documents live that do not say; None: expiry is off; -1: for ever."""
        value = self.properties.get("defaultTtl")
        return None if value is None else int(value)

    def holding(self, place: str) -> Range:
        """The range that a place is in."""
        return self.live[0] if len(self.live) == 1 else holding(self.live, place)

    def range(self, name: str) -> Range:
        """A range by its id. Raises: Refused if it was split or merged, or never existed."""
        found = self.ranges.get(int(name)) if name.isdecimal() else None
        if found is None or found.gone:
            what = "does not exist" if found is None else "was split or merged"
            raise Refused(410, f"the partition key range {name} {what}: read the ranges again.", RANGE_GONE)
        return found


class Catalog:
    """All databases and containers."""

    def __init__(self, storage: Storage, least_ranges: int = 1) -> None:
        self.storage, self._least_ranges = storage, least_ranges
        self.databases: dict[str, Database] = {}
        for number, _, _, _, body in storage.rows("resources", "dbs", 0):
            database = Database(number, msgspec.json.decode(body))
            self.databases[database.id] = database
        for database in self.databases.values():
            for number, _, _, _, body in storage.rows("resources", "colls", database.number):
                properties = msgspec.json.decode(body)
                container = Container(number, database, properties, key_of(properties["partitionKey"]))
                self._load_ranges(container)
                database.containers[container.id] = container

    def database(self, name: str) -> Database:
        """Raises: Refused."""
        found = self.databases.get(name) or _by_rid(self.databases.values(), name)
        if found is None:
            raise Refused(404, f"the database {name!r} does not exist.")
        return found

    def container(self, database: str, name: str) -> Container:
        """Raises: Refused."""
        containers = self.database(database).containers
        found = containers.get(name) or _by_rid(containers.values(), name)
        if found is None:
            raise Refused(404, f"the container {name!r} does not exist in the database {database!r}.")
        return found

    def create_database(self, properties: dict[str, Any]) -> Database:
        """Raises: Refused."""
        if properties["id"] in self.databases:
            raise Refused(409, f"the database {properties['id']!r} exists already.")
        with self.storage.transaction():
            number, body = self._add("dbs", 0, properties, database_rid, "")
        self.databases[body["id"]] = Database(number, body)
        return self.databases[body["id"]]

    def create_container(self, database: Database, properties: dict[str, Any], throughput: int | None) -> Container:
        """Throughput decides into how many ranges it is divided. Raises: Refused."""
        if properties["id"] in database.containers:
            raise Refused(409, f"the container {properties['id']!r} exists already in {database.id!r}.")
        key = key_of(properties["partitionKey"])
        bounds = divided(max(_ranges_for(throughput or 1), self._least_ranges))
        with self.storage.transaction():
            rid = database_rid(database.number)
            number, body = self._add(
                "colls", database.number, properties, lambda it: container_rid(database.number, it), f"dbs/{rid}/"
            )
            for index, (low, high) in enumerate(bounds):
                self.storage.run("add_range", number, index, low, high, "[]", 0)
        container = Container(number, database, body, key)
        self._load_ranges(container)
        database.containers[container.id] = container
        return container

    def replace_container(self, container: Container, properties: dict[str, Any]) -> None:
        """Change what may be changed of a container."""
        kept = {name: container.properties[name] for name in ("id", "_rid", "_self")}
        body = stamped({**properties, **kept}, container.number)
        with self.storage.transaction():
            self._store(container.number, body)
        container.properties = body

    def delete_container(self, container: Container) -> None:
        """Delete it with its documents."""
        with self.storage.transaction():
            self._remove(container)
        del container.database.containers[container.id]

    def delete_database(self, database: Database) -> None:
        """Delete it with its containers."""
        with self.storage.transaction():
            for container in database.containers.values():
                self._remove(container)
            self.storage.run("remove_resource", database.number)
        del self.databases[database.id]

    def add_kept(self, kind: str, parent: int, link: str, body: dict[str, Any]) -> dict[str, Any]:
        """Store a resource that is only kept, under its resource id if it has no `id`; returns it with its links."""
        with self.storage.transaction():
            return self._add(kind, parent, body, kept_rid, link)[1]

    def split(self, container: Container, parent: Range) -> list[Range]:
        """Replace a range by two, which take over its documents and go on after its LSN."""
        middle = parent.middle
        bounds = [(parent.low, middle), (middle, parent.high)]
        return self._replace_ranges(container, [parent], bounds)

    def grow(self, link: str, throughput: int) -> None:
        """Split a container's widest ranges until there are enough for a throughput. Ranges are never taken away."""
        every = (it for database in self.databases.values() for it in database.containers.values())
        for container in every:
            while container.properties["_self"] == link and len(container.live) < _ranges_for(throughput):
                self.split(container, max(container.live, key=lambda one: one.width))

    def merge(self, container: Container, first: Range, second: Range) -> list[Range]:
        """Replace two neighbours by one, which takes over their documents."""
        return self._replace_ranges(container, [first, second], [(first.low, second.high)])

    def _replace_ranges(self, container: Container, old: list[Range], bounds: list[tuple[str, str]]) -> list[Range]:
        number, lsn = max(container.ranges) + 1, max(one.lsn for one in old)
        parents = sorted({*(one.number for one in old), *(it for one in old for it in one.parents)})
        with self.storage.transaction():
            for offset, (low, high) in enumerate(bounds):
                new = number + offset
                self.storage.run("add_range", container.number, new, low, high, as_text(parents), lsn)
                for one in old:
                    self.storage.run("move_documents", new, container.number, one.number, low, high)
            for one in old:
                self.storage.run("end_range", container.number, one.number)
        self._load_ranges(container)
        return [container.ranges[number + offset] for offset in range(len(bounds))]

    def _load_ranges(self, container: Container) -> None:
        container.ranges = {
            number: Range(number, low, high, tuple(msgspec.json.decode(parents)), lsn, bool(gone))
            for number, low, high, parents, lsn, gone in self.storage.rows("ranges", container.number)
        }
        container.live = in_order(container.ranges.values())

    def _add(
        self, kind: str, parent: int, properties: dict[str, Any], rid: Callable[[int], str], under: str
    ) -> tuple[int, dict[str, Any]]:
        name = properties.get("id", f"-{time.time_ns()}")
        (number,) = self.storage.row("add_resource", kind, parent, name, int(time.time()))
        body = {"id": rid(number), **properties, "_rid": rid(number), "_self": f"{under}{kind}/{rid(number)}/"}
        self.storage.run("rename_resource", body["id"], number)
        body = stamped(body, number)
        self._store(number, body)
        return number, body

    def _store(self, number: int, body: dict[str, Any]) -> None:
        self.storage.run("set_resource", body["_etag"], body["_ts"], msgspec.json.encode(body), number)

    def _remove(self, container: Container) -> None:
        self.storage.run("remove_documents", container.number)
        self.storage.run("remove_ranges", container.number)
        self.storage.run("remove_resource", container.number)


def _ranges_for(throughput: int) -> int:
    return -(-throughput // REQUEST_UNITS_PER_RANGE)


def _by_rid(those: Iterable[T], rid: str) -> T | None:
    """The one with a resource id, which stands in links in place of the name."""
    return next((one for one in those if one.properties["_rid"] == rid), None)


def stamped(body: dict[str, Any], number: int) -> dict[str, Any]:
    """A resource with a new ETag and the time."""
    return {**body, "_etag": f'"{number:08x}-{time.time_ns():016x}"', "_ts": int(time.time())}


def as_text(value: Any) -> str:
    """Its JSON."""
    return msgspec.json.encode(value).decode()
