"""A container of Azure Cosmos DB through its own SDK, whose errors stay in here."""

from __future__ import annotations

import logging
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import version
from typing import Any, TypeVar
from urllib.request import getproxies

import msgspec
from azure.core import MatchConditions
from azure.cosmos import PartitionKey
from azure.cosmos.aio import ContainerProxy, CosmosClient
from azure.cosmos.exceptions import CosmosHttpResponseError, CosmosResourceExistsError

from twofold.backends.cosmos.address import Address
from twofold.backends.cosmos.changes import EMPTY, Changes
from twofold.backends.cosmos.layout import INDEXED, KEY_PATH, UNIQUE, Document, Operation
from twofold.backends.cosmos.ranges import Physical
from twofold.backends.cosmos.refusals import NOT_FOUND, RangeGone, errors
from twofold.backends.cosmos.transport import Transport, kept_pages
from twofold.errors import ConfigurationError

CONNECT_S = 5
READ_S = 20
MOST_OF_KEY = 1_000  # documents of a page

T = TypeVar("T")
_HOLDING: Any = {"partition_key": PartitionKey(path=KEY_PATH), "indexing_policy": INDEXED, "unique_key_policy": UNIQUE}


class Written(msgspec.Struct, frozen=True):
    """The LSN of a batch, the id of its feed range, and the ETags of its documents."""

    lsn: int
    range: str
    etags: Sequence[str]


class Container:
    """One container. `place` names it in errors."""

    def __init__(self, container: ContainerProxy, place: str, rid: str) -> None:
        self._container, self.place, self.rid = container, place, rid

    async def batch(self, operations: Sequence[Operation], key: str) -> Written:
        """Run a transactional batch. Raises: Conflict, TooLarge; Unavailable, also if it may have run."""
        sent = [(kind, arguments, {**more}) for kind, arguments, more in operations]  # the SDK empties the last
        with errors(self.place, of_document=True):
            results = await self._container.execute_item_batch(sent, key)
            range_, lsn = _session(results.get_response_headers())
            return Written(lsn, range_, [one.get("eTag", "") for one in results])

    async def read(self, id: str, key: str) -> Document | None:
        """A document by its id, or None. Raises: Unavailable."""
        with errors(self.place):
            try:
                found: Document = await self._container.read_item(id, partition_key=key)
                return found
            except CosmosHttpResponseError as error:
                if error.status_code != NOT_FOUND or error.sub_status:
                    raise
                return None

    async def create(self, document: Document) -> None:
        """Raises: Conflict, Unavailable."""
        with errors(self.place):
            await self._container.create_item(document)

    async def replace(self, document: Document, etag: str) -> None:
        """Raises: Conflict, Unavailable."""
        with errors(self.place, of_document=True):
            await self._container.replace_item(
                document["id"], document, etag=etag, match_condition=MatchConditions.IfNotModified
            )

    async def query(self, sql: str, key: str | None, **parameters: Any) -> list[Document]:
        """The documents of a logical partition, or of all, that a query finds. Raises: Unavailable."""
        values = [{"name": f"@{name}", "value": value} for name, value in parameters.items()]
        where: dict[str, Any] = {} if key is None else {"partition_key": key}
        with errors(self.place):
            return [one async for one in self._container.query_items(sql, parameters=values, **where)]

    async def changes(self, of: Physical, after: int, limit: int) -> Changes:
        """A page of a feed range. Raises: RangeGone, also if it has split meanwhile; Unavailable."""
        page, range_ = await self._changes(limit, continuation=_continuation(self.rid, of, after))
        if range_ != of.id:
            raise RangeGone(f"{self.place}: feed range {of.id} is now in {range_}")
        return page

    async def changes_of(self, key: str, lsn: int = 0) -> list[Document]:
        """The documents of a logical partition after an LSN, in the order of theirs. Raises: Unavailable."""
        found: list[Document] = []
        after: dict[str, Any] = {"continuation": f'"{lsn}"'} if lsn else {"start_time": "Beginning"}
        while True:
            page, _ = await self._changes(MOST_OF_KEY, partition_key=key, **after)
            documents = page.documents()
            found += documents
            if not documents or page.upto >= page.newest:
                return found
            after = {"continuation": f'"{page.upto}"'}

    async def _changes(self, limit: int, **where: Any) -> tuple[Changes, str]:
        """A page, and the id of the feed range that it is of."""
        with errors(self.place), kept_pages() as received:
            pages = self._container.query_items_change_feed(max_item_count=limit, **where).by_page()
            async for page in _first(pages):
                async for _ in page:
                    raise _other_sdk()
        headers, body = received[-1]
        range_, newest = _session(headers)
        upto = int(headers["etag"].strip('"'))
        return Changes(body or EMPTY, upto, max(upto, newest) if body else newest), range_

    async def ranges(self) -> list[Physical]:
        """The feed ranges as they are now. Raises: Unavailable."""
        connection = self._container.client_connection
        with errors(self.place):
            found = [one async for one in connection._ReadPartitionKeyRanges(self._container.container_link)]
            return [Physical(one["minInclusive"], one["maxExclusive"], one["id"]) for one in found]


def _continuation(rid: str, of: Physical, after: int) -> str:
    """The SDK's continuation token for a feed range after an LSN. Its form is that of the pinned version."""
    range_ = {"min": of.begin, "max": of.end, "isMinInclusive": True, "isMaxInclusive": False}
    state = {
        "v": "v2",
        "containerRid": rid,
        "mode": "LatestVersion",
        "startFrom": {"Type": "Beginning"},
        "continuation": {
            "v": "v2",
            "rid": rid,
            "continuation": [{"token": f'"{after}"', "range": range_}],
            "Range": range_,
        },
    }
    return b64encode(msgspec.json.encode(state)).decode()


async def _first(pages: Any) -> AsyncIterator[Any]:
    async for page in pages:
        yield page
        return


def _other_sdk() -> ConfigurationError:
    """The error for a page that did not come through `Transport`."""
    return ConfigurationError(
        f"azure-cosmos {version('azure-cosmos')} does not read the change feed through twofold's transport: install "
        f"the version that the extra `azure` of twofold names"
    )


def _quiet() -> logging.Logger:
    """The logger of the SDK, which otherwise logs each request on the level INFO."""
    logger = logging.getLogger("twofold.cosmos.requests")
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.WARNING)
    return logger


@asynccontextmanager
async def opened(address: Address, *, create: bool) -> AsyncIterator[Callable[[str], Any]]:
    """A function from a container's name to the `Container`, which creates it if it is missing and `create` is true.

    Raises: ConfigurationError, Unavailable.
    """
    place = str(address)
    transport = Transport(place, use_env_settings=bool(getproxies()))  # otherwise each request looks for a netrc file
    client = CosmosClient(
        address.endpoint,
        credential=address.key,
        connection_timeout=CONNECT_S,
        read_timeout=READ_S,
        enable_compact_utf8_item_writes=True,
        logger=_quiet(),
        transport=transport,
        enable_endpoint_discovery=not address.endpoint.startswith("http:"),
    )
    async with AsyncExitStack() as stack:
        stack.push_async_exit(client)  # closed also if it finds no server when it is entered
        with errors(place):
            await client.__aenter__()
            database = client.get_database_client(address.database)
            if create:
                database = await _created(lambda: client.create_database_if_not_exists(address.database))

        async def container(name: str) -> Container:
            with errors(place):
                if create:
                    found = await _created(lambda: database.create_container_if_not_exists(name, **_HOLDING))
                else:
                    found = database.get_container_client(name)
                properties = await found.read()
                _check(properties, f"{address.endpoint} {address.database}/{name}")
                transport.rids.add(properties["_rid"])
                return Container(found, place, properties["_rid"])

        yield container


async def _created(creating: Callable[[], Awaitable[T]]) -> T:
    """What the SDK looks for, and creates if it is missing; another process may be faster in between."""
    try:
        return await creating()
    except CosmosResourceExistsError:
        return await creating()


def _check(properties: Mapping[str, Any], place: str) -> None:
    """Raises: ConfigurationError for a container that cannot hold a log."""
    unique = [set(one["paths"]) for one in properties.get("uniqueKeyPolicy", {}).get("uniqueKeys", ())]
    if properties["partitionKey"]["paths"] != [KEY_PATH] or {"/category", "/command"} not in unique:
        raise ConfigurationError(
            f"{place}: this container was not created by twofold: its partition key must be {KEY_PATH}, and /category, "
            f"/command a unique key, which cannot be added later. Name a container that does not exist yet"
        )


def _session(headers: Mapping[str, str]) -> tuple[str, int]:
    """The feed range and the LSN in a session token, like `0:-1#123`."""
    token = headers.get("x-ms-session-token", "")
    range_, _, vector = token.partition(":")
    parts = vector.split("#")
    return range_, int(parts[1] if len(parts) > 1 else parts[0])
