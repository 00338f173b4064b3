"""Users, permissions, procedures, triggers and functions: stored and given back, never used. And lists of anything."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from devservers.cosmos.containers import Catalog, stamped
from devservers.cosmos.errors import Refused
from devservers.cosmos.http import Answer, Request, as_json
from devservers.cosmos.rids import kept_number
from devservers.cosmos.sql import select
from devservers.cosmos.storage import Storage

LISTS = {
    "dbs": "Databases",
    "colls": "DocumentCollections",
    "offers": "Offers",
    "users": "Users",
    "permissions": "Permissions",
    "sprocs": "StoredProcedures",
    "triggers": "Triggers",
    "udfs": "UserDefinedFunctions",
    "conflicts": "Conflicts",
}
KEPT = {
    ("dbs", "users"),
    ("dbs", "users", "permissions"),
    *(("dbs", "colls", kind) for kind in ("sprocs", "triggers", "udfs", "conflicts")),
}  # paths of what this module keeps
LONGEST_NAME = 255


class Kept:
    """What is only kept."""

    def __init__(self, storage: Storage, catalog: Catalog) -> None:
        self._storage, self._catalog = storage, catalog

    def handle(self, request: Request) -> Answer:
        """Answer one request. Raises: Refused."""
        parent, link = self._parent(request.parts)
        kind = request.parts[len(request.parts) - 1 - (len(request.parts) + 1) % 2]
        if len(request.parts) % 2:
            rows = self._storage.rows("resources", kind, parent)
            kept = [msgspec.json.decode(row[4]) for row in rows]
            create = lambda: self._create_kept(kind, parent, link, request)  # noqa: E731
            return listed(request, kind, link.rstrip("/").rpartition("/")[2], kept, create)
        return self._on_one(request, kind, parent)

    def _create_kept(self, kind: str, parent: int, link: str, request: Request) -> Answer:
        body = named(request.object())
        if self._storage.row("resource", kind, parent, body["id"]) is not None and not _upserts(request):
            raise Refused(409, f"{body['id']!r} exists already.")
        if _upserts(request) and self._storage.row("resource", kind, parent, body["id"]) is not None:
            return self._replace_kept(kind, parent, body["id"], body)
        return one(201, self._catalog.add_kept(kind, parent, link, body))

    def _on_one(self, request: Request, kind: str, parent: int) -> Answer:
        row = self._kept(kind, parent, request.parts[-1])
        name = str(row[1])
        if request.method == "GET":
            return one(200, msgspec.json.decode(row[4]))
        if request.method == "DELETE":
            self._storage.run("remove_resource", row[0])
            return Answer(204)
        if request.method == "PUT":
            if request.header("if-match") not in (None, "*", row[2]):
                raise Refused(412, f"the ETag is {row[2]}, not {request.header('if-match')}.")
            return self._replace_kept(kind, parent, name, named(request.object()))
        raise Refused(400, f"this development server keeps {kind}, but runs no code of them.")

    def _replace_kept(self, kind: str, parent: int, id: str, new: dict[str, Any]) -> Answer:
        number, _, _, _, old = self._storage.row("resource", kind, parent, id)
        before = msgspec.json.decode(old)
        if new["id"] != id and self._storage.row("resource", kind, parent, new["id"]) is not None:
            raise Refused(409, f"{new['id']!r} exists already.")
        body = stamped({**new, "_rid": before["_rid"], "_self": before["_self"]}, number)
        self._storage.run("set_resource", body["_etag"], body["_ts"], as_json(body), number)
        self._storage.run("rename_resource", new["id"], number)
        return one(200, body)

    def _kept(self, kind: str, parent: int, name: str) -> Any:
        """The row of something that is only kept, by its id or resource id. Raises: Refused."""
        row = self._storage.row("resource", kind, parent, name)
        row = row or self._storage.row("numbered_resource", kind, parent, kept_number(name))
        if row is None:
            raise Refused(404, f"{name!r} does not exist under {kind}.")
        return row

    def _parent(self, parts: list[str]) -> tuple[int, str]:
        """The number and link of what a path lies under. Raises: Refused."""
        upper = parts[: len(parts) - (1 if len(parts) % 2 else 2)]
        if len(upper) >= 4 and upper[2] == "colls":
            container = self._catalog.container(upper[1], upper[3])
            number, link = container.number, str(container.properties["_self"])
            upper = upper[4:]
        else:
            database = self._catalog.database(upper[1])
            number, link = database.number, str(database.properties["_self"])
            upper = upper[2:]
        for kind, name in zip(upper[::2], upper[1::2], strict=True):
            row = self._kept(kind, number, name)
            number, link = row[0], msgspec.json.decode(row[4])["_self"]
        return number, link


def listed(
    request: Request,
    kind: str,
    rid: str,
    everything: list[dict[str, Any]],
    create: Callable[[], Answer] | None,
) -> Answer:
    """A list: read or queried, page by page, or something new on it. Raises: Refused."""
    if request.method == "POST" and _is_query(request):
        everything = select(request.object(), everything)
    elif request.method == "POST" and create is not None:
        return create()
    elif request.method != "GET":
        raise Refused(405, f"{request.method} is not possible here.")
    start, most = _number(request, "x-ms-continuation", 0), _number(request, "x-ms-max-item-count", -1)
    page = everything[start:] if most < 1 else everything[start : start + most]
    headers = {"x-ms-item-count": str(len(page)), "x-ms-request-charge": "1"}
    if start + len(page) < len(everything):
        headers["x-ms-continuation"] = str(start + len(page))
    return Answer(200, as_json({"_rid": rid, LISTS[kind]: page, "_count": len(page)}), headers)


def one(status: int, body: dict[str, Any]) -> Answer:
    """A resource, with its ETag."""
    return Answer(status, as_json(body), {"etag": body["_etag"], "x-ms-request-charge": "1"})


def named(body: dict[str, Any]) -> dict[str, Any]:
    """Raises: Refused if its id cannot be one."""
    name = body.get("id")
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME or any(sign in name for sign in "/\\?#"):
        raise Refused(400, f"an `id` is a string of 1 to {LONGEST_NAME} characters without / \\ ? #, not {name!r}.")
    if name.endswith(" "):
        raise Refused(400, f"an `id` cannot end with a space, as {name!r} does.")
    return body


def _number(request: Request, header: str, usual: int) -> int:
    text = request.header(header) or str(usual)
    if not text.removeprefix("-").isdecimal():
        raise Refused(400, f"{header} must be a whole number, not {text}.")
    return int(text)


def _is_query(request: Request) -> bool:
    return request.flag("x-ms-documentdb-isquery") or "query" in (request.header("content-type") or "")


def _upserts(request: Request) -> bool:
    return request.flag("x-ms-documentdb-is-upsert")
