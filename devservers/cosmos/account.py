"""One account: what each path means."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from devservers.cosmos.authorization import DELETE_KEY, Authorization
from devservers.cosmos.containers import Catalog, Container
from devservers.cosmos.documents import Documents
from devservers.cosmos.errors import OTHER_CONTAINER, Refused
from devservers.cosmos.faults import Faults
from devservers.cosmos.http import Answer, Request, as_json
from devservers.cosmos.items import Items
from devservers.cosmos.resources import Resources
from devservers.cosmos.storage import Storage

LOCATION = "Local"
COLLECTION_RID = "x-ms-cosmos-intended-collection-rid"


class Account:
    """Databases and containers behind one key."""

    def __init__(self, key: str, folder: Path | None = None, least_ranges: int = 1) -> None:
        """`folder` must exist; None keeps everything in memory. `least_ranges`: of containers that are created."""
        self._authorization = Authorization(key)
        self._storage = Storage(folder)
        self._catalog = Catalog(self._storage, least_ranges)
        self._items = Items(self._storage)
        self._faults = Faults(self._catalog)
        self._resources = Resources(self._storage, self._catalog)
        self._documents = Documents(self._storage, self._items, self._faults)

    def close(self) -> None:
        """Close the file."""
        self._storage.close()

    def handle(self, request: Request) -> Answer:
        """Answer one request. Raises: Refused."""
        parts, method = request.parts, request.method
        if parts == ["_faults"]:
            return self._on_faults(request)
        dates = (request.headers.get("x-ms-date", ""), request.headers.get("date", ""))
        self._authorization.check(method, parts, request.header("authorization"), dates)
        self._items.expire()
        if len(parts) >= 5 and parts[0] == "dbs" and parts[2] == "colls":
            return self._inside(self._container(request), request)
        if not parts:
            return Answer(200, as_json(described(request.base)))
        return self._resources.handle(request)

    def _container(self, request: Request) -> Container:
        container = self._catalog.container(request.parts[1], request.parts[3])
        meant = request.header(COLLECTION_RID)
        if meant is not None and meant != container.rid:
            raise Refused(400, f"the container {container.id!r} was deleted and created again.", OTHER_CONTAINER)
        return container

    def _inside(self, container: Container, request: Request) -> Answer:
        kind, rest = request.parts[4], request.parts[5:]
        if request.parts[4:] == DELETE_KEY and request.method == "POST":
            return self._documents.delete_key(container, request)
        if rest and request.parts[1] != container.database.id:
            rest[0] = request.parts[5] = self._items.named(container, rest[0])
        if kind == "docs" and len(rest) <= 1:
            return self._documents.handle(container, request)
        if kind == "pkranges" and not rest and request.method == "GET":
            return self._resources.ranges(container, request)
        return self._resources.handle(request)

    def _on_faults(self, request: Request) -> Answer:
        if request.method == "POST":
            self._faults.plan(request.json())
        elif request.method != "GET":
            raise Refused(405, "POST a fault to plan it, GET the list of those still to come.")
        containers = {
            f"{container.database.id}/{container.id}": [one.number for one in container.live]
            for database in self._catalog.databases.values()
            for container in database.containers.values()
        }
        return Answer(200, as_json({"faults": self._faults.listed(), "ranges": containers}))


def described(base: str) -> dict[str, Any]:
    """The account, reached at the address that the client used."""
    here = [{"name": LOCATION, "databaseAccountEndpoint": base}]
    return {
        "_self": "",
        "id": "development",
        "_rid": "development",
        "_ts": int(time.time()),
        "media": "//media/",
        "addresses": "//addresses/",
        "_dbs": "//dbs/",
        "writableLocations": here,
        "readableLocations": here,
        "enableMultipleWriteLocations": False,
        "userReplicationPolicy": {"asyncReplication": False, "minReplicaSetSize": 1, "maxReplicasetSize": 1},
        "systemReplicationPolicy": {"minReplicaSetSize": 1, "maxReplicasetSize": 1},
        "readPolicy": {"primaryReadCoefficient": 1, "secondaryReadCoefficient": 1},
        "userConsistencyPolicy": {"defaultConsistencyLevel": "Session"},
        "queryEngineConfiguration": "{}",
    }
