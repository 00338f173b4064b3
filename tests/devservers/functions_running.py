"""Hosts for tests, and what to do where the worker's packages cannot be had."""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from devservers.cosmos.process import Process as Cosmos
from devservers.functions.environment import Unavailable, python
from devservers.functions.process import Process, running
from tests.devservers.cosmos_requests import PARTITION_KEY, There

APPS = Path(__file__).parent / "apps"


def worker_python() -> Path:
    """The Python of the worker, made if needed; the test is skipped where it cannot be made."""
    try:
        return python(again=False)
    except Unavailable as reason:
        pytest.skip(str(reason))


@contextmanager
def host(app: str | Path, options: Sequence[str] = (), **settings: str) -> Iterator[Process]:
    """A host of one of the apps here, or of any."""
    worker_python()
    with running(APPS / app, settings, options) as process:
        try:
            yield process
        finally:
            process.stop()
            print(f"the log of {process.url}:", *process.lines, sep="\n")


class Things:
    """A container `things` of a database of its own, with the partition key `/id`."""

    def __init__(self, cosmos: Cosmos, database: str) -> None:
        self.connection, self.database = cosmos.connection_string, database
        self._there, self._path = There(cosmos.endpoint, cosmos.key), f"/dbs/{database}/colls"

    def create(self) -> None:
        """Create the container, and its database if that is missing."""
        assert self._there.ask("POST", "/dbs", {"id": self.database}).status_code in (201, 409)
        self._ask("POST", self._path, {"id": "things", "partitionKey": {"paths": ["/id"], "kind": "Hash"}})

    def remove(self) -> None:
        """Delete the container."""
        assert self._there.ask("DELETE", f"{self._path}/things").status_code == 204

    def put(self, ids: Iterable[str], **fields: Any) -> None:
        """Create or change documents, in this order."""
        for one in ids:
            headers = {PARTITION_KEY: json.dumps([one]), "x-ms-documentdb-is-upsert": "True"}
            self._ask("POST", f"{self._path}/things/docs", {"id": one, **fields}, headers)

    def get(self, id: str, container: str = "things") -> dict[str, Any]:
        """A document."""
        return self._ask("GET", f"{self._path}/{container}/docs/{id}", headers={PARTITION_KEY: json.dumps([id])})

    def fault(self, fault: str, **more: Any) -> None:
        """Plan a fault of this container."""
        self._ask("POST", "/_faults", {"fault": fault, "container": f"{self.database}/things", **more})

    def forget_leases(self) -> None:
        """Delete all leases."""
        path = f"{self._path}/leases/docs"
        for lease in self._ask("GET", path)["Documents"]:
            key = {PARTITION_KEY: json.dumps([lease["id"]])}
            gone = self._there.ask("DELETE", f"{path}/{lease['id']}", None, key)
            assert gone.status_code == 204, gone.text

    def close(self) -> None:
        """Close the connection."""
        self._there.close()

    def _ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Any:
        answer = self._there.ask(method, path, body, headers)
        assert answer.status_code < 300, answer.text
        return answer.json()
