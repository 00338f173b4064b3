"""Outputs to Cosmos DB: each document is upserted once the function has returned."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from azure.core.exceptions import AzureError
from azure.cosmos.aio import ContainerProxy

from devservers.functions.accounts import Accounts, Place, said
from devservers.functions.errors import FunctionFailed, Misconfigured
from devservers.functions.functions import COSMOS_OUTPUT, Binding


class CosmosOutputs:
    """Writes what functions put out."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts, self._containers = accounts, dict[Place, ContainerProxy]()

    async def write(self, binding: Binding, data: dict[str, Any]) -> None:
        """Upsert the document, or each of a list; those before one that fails stay. Raises: FunctionFailed."""
        if binding.type != COSMOS_OUTPUT:
            return
        try:
            container = await self._container(binding)
            for document in _documents(binding, data):
                await container.upsert_item(document)
        except AzureError as error:
            raise FunctionFailed(f"its output {binding.name} was not written: {said(error)}") from None
        except Misconfigured as error:
            raise FunctionFailed(f"its output {binding.name} was not written: {error}") from None

    async def _container(self, binding: Binding) -> ContainerProxy:
        values = binding.values
        place = Place(values.get("connection", ""), values.get("databaseName", ""), values.get("containerName", ""))
        if place not in self._containers:
            if values.get("createIfNotExists"):
                await self._accounts.create(place, _key(values), values.get("containerThroughput"))
            self._containers[place] = await self._accounts.container(place)
        return self._containers[place]


def _key(values: Mapping[str, Any]) -> str:
    key: str | None = values.get("partitionKey")
    if not key:
        raise Misconfigured("createIfNotExists needs partitionKey, such as /id")
    return key


def _documents(binding: Binding, data: dict[str, Any]) -> list[dict[str, Any]]:
    text = base64.b64decode(data["bytes"]).decode() if "bytes" in data else data.get("json", data.get("string", ""))
    try:
        found = json.loads(text)
    except ValueError as error:
        raise FunctionFailed(f"its output {binding.name} is not JSON: {error}") from None
    every = found if isinstance(found, list) else [found]
    if not all(isinstance(one, dict) for one in every):
        raise FunctionFailed(f"its output {binding.name} must be a document or a list of documents")
    return every
