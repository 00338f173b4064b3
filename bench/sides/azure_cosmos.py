"""The ceiling on Azure Cosmos DB: Microsoft's SDK used directly, one transactional batch for each commit."""

import json
from itertools import count
from typing import Any
from uuid import uuid4

from azure.cosmos import PartitionKey
from azure.cosmos.aio import CosmosClient

from bench.protocol import callers, serve
from bench.sides.arguments import Arguments
from bench.workload import details, order_id

PAGE = 1_000
INDEXED = {"indexingMode": "consistent", "includedPaths": [{"path": "/kind/?"}], "excludedPaths": [{"path": "/*"}]}


class AzureCosmos:
    """On one account, in a container of its own, or reading twofold's."""

    def __init__(self, arguments: Arguments) -> None:
        parts = dict(part.partition("=")[::2] for part in arguments.url.split(";") if part)
        self._database, self._read = parts.pop("Database"), parts.pop("Container")
        self._account = "".join(f"{name}={value};" for name, value in parts.items())
        self._numbers, self._container = count(1), uuid4().hex

    async def append(self, clients: int, seconds: float) -> dict[str, Any]:
        """Create the documents that twofold would, one batch after another."""
        async with CosmosClient.from_connection_string(self._account) as client:
            database = await client.create_database_if_not_exists(self._database)
            container = await database.create_container_if_not_exists(
                self._container,
                PartitionKey(path="/key"),
                indexing_policy=INDEXED,  # type: ignore[arg-type]  # the SDK declares values as texts
            )

            async def one() -> None:
                number = next(self._numbers)
                key = order_id(number)
                commit = {"id": "order@1", "key": key, "kind": "commit", "data": json.dumps(details(number))}
                head = {"id": "order", "key": key, "kind": "head", "version": 1}
                await container.execute_item_batch([("create", (commit,)), ("create", (head,))], key)

            await one()
            done = await callers([one] * clients, seconds)
            return done.answer()

    async def read(self, number: int) -> dict[str, Any]:
        """Read one of the feed ranges of twofold's container from the beginning to its end."""
        async with CosmosClient.from_connection_string(self._account) as client:
            container = client.get_database_client(self._database).get_container_client(self._read)
            ranges = [one async for one in container.read_feed_ranges()]
            feed = container.query_items_change_feed(
                feed_range=ranges[number], start_time="Beginning", max_item_count=PAGE
            )
            return {"count": len([one async for one in feed if one["kind"] == "commit"])}


if __name__ == "__main__":
    serve(AzureCosmos(Arguments.read()))
