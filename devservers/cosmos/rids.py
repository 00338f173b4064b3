"""Resource ids: what stands for a database, a container or a document in links and tokens, in place of its name."""

from __future__ import annotations

import base64


def database_rid(number: int) -> str:
    """The resource id of a database: four bytes."""
    return _rid(number.to_bytes(4, "big"))


def container_rid(database: int, number: int) -> str:
    """The resource id of a container: eight bytes, the first four those of its database."""
    return _rid(database.to_bytes(4, "big") + (number | 1 << 31).to_bytes(4, "big"))


def kept_rid(number: int) -> str:
    """The resource id of something that is only kept."""
    return _rid(number.to_bytes(8, "big"))


def document_rid(database: int, container: int, number: int) -> str:
    """The resource id of a document: sixteen bytes, the first eight those of its container."""
    head = database.to_bytes(4, "big") + (container | 1 << 31).to_bytes(4, "big")
    return _rid(head + number.to_bytes(8, "big"))


def document_number(rid: str) -> int | None:
    """The number of the document that a resource id stands for; None if it is none of a document."""
    data = _bytes(rid)
    return int.from_bytes(data[8:], "big") if len(data) == 16 else None


def kept_number(rid: str) -> int | None:
    """The number of what is only kept under a resource id; None if it is no such id."""
    data = _bytes(rid)
    return int.from_bytes(data, "big") if len(data) == 8 else None


def _bytes(rid: str) -> bytes:
    try:
        return base64.b64decode(rid, b"+-", validate=True)
    except ValueError:
        return b""


def _rid(data: bytes) -> str:
    return base64.b64encode(data, b"+-").decode()  # as the service does: no slash, for it stands in paths
