"""A log in Azure Cosmos DB. It needs the package azure-cosmos; the read models are in another store."""

from twofold.backends.cosmos.address import address
from twofold.backends.cosmos.log import CosmosLog

__all__ = ["CosmosLog", "address"]
