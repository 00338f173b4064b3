"""Requests about everything but documents: databases, containers, ranges and throughput."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from devservers.cosmos.containers import Catalog, Container, as_text, stamped
from devservers.cosmos.errors import Refused
from devservers.cosmos.http import Answer, Request, as_json
from devservers.cosmos.items import check_ttl
from devservers.cosmos.kept import KEPT, Kept, listed, named, one
from devservers.cosmos.keys import key_of
from devservers.cosmos.storage import Storage

THROUGHPUT = "x-ms-offer-throughput"
AUTOPILOT = "x-ms-cosmos-offer-autopilot-settings"
LEAST_THROUGHPUT = 400
INDEXED = "x-ms-documentdb-collection-index-transformation-progress"
PER_RANGE, QUOTA = "x-ms-documentdb-populatepartitionstatistics", "x-ms-documentdb-populatequotainfo"
USED = "x-ms-resource-usage"
NOT_INDEXED = {"path": '/"_etag"/?'}
CONFLICTS = {"mode": "LastWriterWins", "conflictResolutionPath": "/_ts", "conflictResolutionProcedure": ""}
MOST_PATHS = 3


class Resources:
    """What can be done outside `docs`."""

    def __init__(self, storage: Storage, catalog: Catalog) -> None:
        self._storage, self._catalog = storage, catalog
        self._kept = Kept(storage, catalog)

    def handle(self, request: Request) -> Answer:
        """Answer one request. Raises: Refused."""
        kinds = tuple(request.parts[::2])
        known: dict[tuple[str, ...], Callable[[Request], Answer]] = {
            ("dbs",): self._on_databases,
            ("dbs", "colls"): self._on_containers,
            ("offers",): self._on_offers,
        }
        if kinds in KEPT:
            return self._kept.handle(request)
        if kinds not in known:
            raise Refused(404, f"/{'/'.join(request.parts)} is not part of this development server.")
        return known[kinds](request)

    def ranges(self, container: Container, request: Request) -> Answer:
        """The ranges, unless the client has seen them."""
        etag = f'"{max(container.ranges)}"'
        if request.header("if-none-match") == etag:
            return Answer(304, b"", {"etag": etag})
        listed = [
            {
                "_rid": container.rid,
                "id": str(one.number),
                "_etag": etag,
                "minInclusive": one.low,
                "maxExclusive": one.high,
                "ridPrefix": one.number,
                "_self": f"{container.properties['_self']}pkranges/{one.number}/",
                "throughputFraction": 1 / len(container.live),
                "status": "online",
                "parents": [str(parent) for parent in one.parents],
                "_ts": container.properties["_ts"],
                "lsn": one.lsn,
            }
            for one in container.live
        ]
        body = {"_rid": container.rid, "PartitionKeyRanges": listed, "_count": len(listed)}
        return Answer(200, as_json(body), {"etag": etag, "x-ms-item-count": str(len(listed))})

    # ---- databases and containers ----------------------------------------

    def _on_databases(self, request: Request) -> Answer:
        if len(request.parts) == 1:
            everything = [database.properties for database in self._catalog.databases.values()]
            return listed(request, "dbs", "", everything, lambda: self._create_database(request))
        database = self._catalog.database(request.parts[1])
        if request.method == "GET":
            return one(200, database.properties)
        if request.method == "DELETE":
            for container in [*database.containers.values()]:
                self._forget_offer(container.properties["_self"])
            self._forget_offer(database.properties["_self"])
            self._catalog.delete_database(database)
            return Answer(204)
        raise Refused(405, f"{request.method} is not possible here.")

    def _create_database(self, request: Request) -> Answer:
        database = self._catalog.create_database(named(request.object()))
        if _throughput(request) is not None:
            self._add_offer(database.properties, request)
        return one(201, database.properties)

    def _on_containers(self, request: Request) -> Answer:
        database = self._catalog.database(request.parts[1])
        if len(request.parts) == 3:
            everything = [container.properties for container in database.containers.values()]
            rid = str(database.properties["_rid"])
            return listed(request, "colls", rid, everything, lambda: self._create_container(request))
        container = self._catalog.container(request.parts[1], request.parts[3])
        if request.method == "GET":
            return self._read_container(container, request)
        if request.method == "PUT":
            self._replace_container(container, named(request.object()))
            return one(200, container.properties)
        if request.method == "DELETE":
            self._forget_offer(container.properties["_self"])
            self._catalog.delete_container(container)
            return Answer(204)
        raise Refused(405, f"{request.method} is not possible here.")

    def _read_container(self, container: Container, request: Request) -> Answer:
        per_range, whole_asked = request.flag(PER_RANGE), request.flag(QUOTA)
        rows = self._storage.rows("sizes", container.number) if per_range or whole_asked else ()
        sizes = {number: (count, size) for number, count, size in rows}
        more: dict[str, Any] = {}
        if per_range:
            counted = [(one.number, *sizes.get(one.number, (0, 0))) for one in container.live]
            more["statistics"] = [
                {"id": str(number), "documentCount": count, "sizeInKB": size // 1024} for number, count, size in counted
            ]
        answer = one(200, {**container.properties, **more})
        if whole_asked:
            whole = [sum(column) for column in zip(*sizes.values(), strict=True)] or [0, 0]
            answer.headers |= {INDEXED: "100", USED: f"documentsCount={whole[0]};documentsSize={whole[1] // 1024};"}
        return answer

    def _create_container(self, request: Request) -> Answer:
        database, wanted = self._catalog.database(request.parts[1]), named(request.object())
        _check_key(wanted)
        check_ttl("defaultTtl", wanted.get("defaultTtl", -1))
        indexing = _indexing(_object(wanted.get("indexingPolicy")))
        properties = {"conflictResolutionPolicy": CONFLICTS, **wanted, "indexingPolicy": indexing}
        container = self._catalog.create_container(database, properties, _throughput(request))
        links = ("docs", "sprocs", "triggers", "udfs", "conflicts")
        container.properties.update({f"_{kind}": f"{kind}/" for kind in links})
        if _throughput(request) is not None or self._offer(database.properties["_self"]) is None:
            self._add_offer(container.properties, request)
        return one(201, container.properties)

    def _replace_container(self, container: Container, wanted: dict[str, Any]) -> None:
        if wanted["id"] != container.id:
            raise Refused(400, f"a container keeps its id: {container.id!r}, not {wanted['id']!r}.")
        check_ttl("defaultTtl", wanted.get("defaultTtl", -1))
        key = wanted.get("partitionKey", container.properties["partitionKey"])
        if key_of(key) != container.key:
            raise Refused(400, "a container keeps its partition key: create another one and copy the documents.")
        policy = _indexing(_object(wanted.get("indexingPolicy")))
        kept = {"partitionKey": container.properties["partitionKey"]}
        self._catalog.replace_container(container, {**wanted, **kept, "indexingPolicy": policy})

    # ---- throughput ----------------------------------------

    def _on_offers(self, request: Request) -> Answer:
        offers = {offer["_rid"]: (number, offer) for number, offer in self._offers()}
        if len(request.parts) == 1:
            return listed(request, "offers", "", [offer for _, offer in offers.values()], None)
        found = next((it for rid, it in offers.items() if rid.lower() == request.parts[1].lower()), None)
        if found is None:
            raise Refused(404, "this offer of throughput does not exist.")
        if request.method == "PUT":
            _offered(request.object().get("content"))
            body = stamped({**found[1], **request.object()}, found[0])
            self._storage.run("set_resource", body["_etag"], body["_ts"], as_json(body), found[0])
            self._catalog.grow(body["resource"], _offered(body["content"]))
            return one(200, body)
        if request.method != "GET":
            raise Refused(405, f"{request.method} is not possible here.")
        return one(200, found[1])

    def _offers(self) -> list[tuple[int, dict[str, Any]]]:
        return [(row[0], msgspec.json.decode(row[4])) for row in self._storage.rows("resources_of_a_kind", "offers")]

    def _offer(self, link: str) -> int | None:
        return next((number for number, offer in self._offers() if offer["resource"] == link), None)

    def _add_offer(self, properties: dict[str, Any], request: Request) -> None:
        content: dict[str, Any] = {"offerThroughput": _throughput(request) or LEAST_THROUGHPUT}
        if request.header(AUTOPILOT) is not None:
            content["offerAutopilotSettings"] = {"maxThroughput": _autopilot(request.headers[AUTOPILOT])}
        offer = {
            "offerVersion": "V2",
            "offerType": "Invalid",
            "resource": properties["_self"],
            "offerResourceId": properties["_rid"],
            "content": content,
        }
        self._catalog.add_kept("offers", 0, "", offer)

    def _forget_offer(self, link: str) -> None:
        number = self._offer(link)
        if number is not None:
            self._storage.run("remove_resource", number)


def _throughput(request: Request) -> int | None:
    """The request units per second that a request asks for. Raises: Refused."""
    text = request.header(THROUGHPUT)
    if text is None and request.header(AUTOPILOT) is not None:
        return _autopilot(request.headers[AUTOPILOT])
    if text is not None and (not text.isdecimal() or int(text) < LEAST_THROUGHPUT):
        raise Refused(400, f"throughput is a whole number from {LEAST_THROUGHPUT} on, not {text}.")
    return None if text is None else int(text)


def _offered(content: Any) -> int:
    """The request units per second of an offer, or the most of them. Raises: Refused."""
    autopilot = content.get("offerAutopilotSettings") if isinstance(content, dict) else None
    value = autopilot.get("maxThroughput") if isinstance(autopilot, dict) else None
    value = value or (content.get("offerThroughput") if isinstance(content, dict) else None)
    if type(value) is not int or value < LEAST_THROUGHPUT:
        raise Refused(400, f"throughput is a whole number from {LEAST_THROUGHPUT} on, not {value!r}.")
    return value


def _autopilot(header: str) -> int:
    try:
        settings = msgspec.json.decode(header)
    except msgspec.DecodeError:
        settings = None
    return _offered({"offerAutopilotSettings": settings})


def _indexing(wanted: dict[str, Any]) -> dict[str, Any]:
    """An indexing policy with what the service adds to it. It is kept, and decides nothing here. Raises: Refused."""
    paths = [path for name in ("includedPaths", "excludedPaths") for path in _list(wanted.get(name))]
    if not isinstance(wanted.get("indexingMode", ""), str) or not all(isinstance(path, dict) for path in paths):
        raise Refused(400, 'an indexing policy has an `indexingMode`, and lists of paths such as [{"path": "/*"}].')
    if wanted.get("indexingMode", "consistent").lower() == "none":
        return {"automatic": False, **wanted, "indexingMode": "none"}
    excluded = [path for path in _list(wanted.get("excludedPaths")) if path != NOT_INDEXED]
    return {
        "automatic": True,
        **wanted,
        "indexingMode": wanted.get("indexingMode", "consistent").lower(),
        "includedPaths": [{"path": it.get("path")} for it in _list(wanted.get("includedPaths")) or [{"path": "/*"}]],
        "excludedPaths": [*excluded, NOT_INDEXED],
    }


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value] if value else []


def _object(value: Any) -> dict[str, Any]:
    if value is not None and not isinstance(value, dict):
        raise Refused(400, f"an indexing policy is an object, not {as_text(value)[:80]}.")
    return value or {}


def _check_key(properties: dict[str, Any]) -> None:
    key = properties.get("partitionKey")
    paths = key.get("paths") if isinstance(key, dict) else None
    if isinstance(paths, list) and len(paths) > MOST_PATHS:
        raise Refused(400, f"Too many partition key paths: {len(paths)}; at most {MOST_PATHS} are possible.")
    if not isinstance(paths, list) or not paths or not all(isinstance(path, str) and len(path) > 1 for path in paths):
        raise Refused(400, f'a container needs `"partitionKey": {{"paths": ["/key"]}}`, not {as_text(key)[:80]}.')
