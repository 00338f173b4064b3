"""Cosmos DB as the host uses it: accounts by the name of the setting that holds their connection string."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Self

from azure.core.exceptions import AzureError
from azure.cosmos import PartitionKey
from azure.cosmos.aio import ContainerProxy, CosmosClient
from azure.cosmos.exceptions import CosmosResourceExistsError

from devservers.functions.errors import Misconfigured
from devservers.functions.settings import Settings

CONNECT_S, READ_S = 5, 30
quiet = logging.getLogger("devservers.functions.azure")
quiet.setLevel(logging.WARNING)


@dataclass(frozen=True, slots=True)
class Place:
    """A container: the setting with the account, the database, the name; each may hold `%SETTING%`."""

    connection: str
    database: str
    container: str


class Accounts:
    """Clients, one for each connection, opened when first needed. Use it as a context manager."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._clients = settings, dict[str, CosmosClient]()
        self._stack, self._one_at_a_time = AsyncExitStack(), asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()

    async def container(self, place: Place) -> ContainerProxy:
        """Raises: Misconfigured; AzureError if the account cannot be reached."""
        database = (await self._client(place.connection)).get_database_client(self._settings.resolved(place.database))
        return database.get_container_client(self._settings.resolved(place.container))

    async def create(self, place: Place, key: str, throughput: int | None = None) -> None:
        """Create the container, and its database, if they are missing. Raises: as `container`."""
        client, database_id = await self._client(place.connection), self._settings.resolved(place.database)
        more: dict[str, Any] = {} if throughput is None else {"offer_throughput": throughput}
        name = self._settings.resolved(place.container)
        with contextlib.suppress(CosmosResourceExistsError):  # another host or function was faster
            await client.create_database_if_not_exists(database_id)
        with contextlib.suppress(CosmosResourceExistsError):
            database = client.get_database_client(database_id)
            await database.create_container_if_not_exists(name, partition_key=PartitionKey(path=key), **more)

    async def _client(self, connection: str) -> CosmosClient:
        async with self._one_at_a_time:
            return self._clients.get(connection) or await self._open(connection)

    async def _open(self, connection: str) -> CosmosClient:
        text = self._settings.of(connection)
        try:
            client = CosmosClient.from_connection_string(
                text,
                connection_timeout=CONNECT_S,
                read_timeout=READ_S,
                logger=quiet,
                enable_endpoint_discovery="AccountEndpoint=http:" not in text.replace(" ", ""),
            )
        except (ValueError, KeyError) as error:
            raise Misconfigured(
                f"the app setting {connection} is not a connection string of Cosmos DB ({error}): "
                f"it has the form AccountEndpoint=...;AccountKey=...;"
            ) from None
        try:
            await client.__aenter__()
        except BaseException:
            await client.close()
            raise
        self._stack.push_async_callback(client.close)
        self._clients[connection] = client
        return client


def said(error: AzureError) -> str:
    """The first line of an error of the SDK."""
    text: Any = getattr(error, "message", None) or error
    return str(text).strip().splitlines()[0] if str(text).strip() else type(error).__name__
