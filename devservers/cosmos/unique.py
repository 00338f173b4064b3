"""Unique keys: values that one document of each partition key may have. A value that is missing counts as null."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import apsw
import msgspec

from devservers.cosmos.containers import Container
from devservers.cosmos.errors import Refused
from devservers.cosmos.storage import Storage


def note(storage: Storage, container: Container, place: str, number: int, document: dict[str, Any]) -> None:
    """Note the unique values of a document that was just created. Raises: Refused."""
    if not container.properties.get("uniqueKeyPolicy"):
        return
    for value in _values(container, document):
        try:
            storage.run("add_unique", container.number, place, value, number)
        except apsw.ConstraintError:
            raise Refused(409, "Unique index constraint violation.") from None


def note_again(storage: Storage, container: Container, place: str, number: int, document: dict[str, Any]) -> None:
    """Note the unique values of a document that has replaced another. Raises: Refused."""
    if container.properties.get("uniqueKeyPolicy"):
        storage.run("forget_unique", number)
    note(storage, container, place, number, document)


def _values(container: Container, document: dict[str, Any]) -> Iterator[bytes]:
    for key in container.properties["uniqueKeyPolicy"].get("uniqueKeys", ()):
        yield msgspec.json.encode([[path, _at(document, path)] for path in key["paths"]])


def _at(document: Any, path: str) -> Any:
    for name in path.strip("/").split("/"):
        document = document.get(name) if isinstance(document, dict) else None
    return document
