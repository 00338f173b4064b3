"""How the SDK's requests are sent: over its own transport, with what it does not tell its callers."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from aiohttp import ClientConnectorError, ConnectionTimeoutError
from azure.core.exceptions import AzureError
from azure.core.pipeline.transport import AioHttpTransport

from twofold.backends.cosmos.refusals import Lost, replaced

LARGE_BYTES = 1024 * 1024
OF_CONTAINER = "x-ms-cosmos-intended-collection-rid"
IS_BATCH = "x-ms-cosmos-is-batch-request"
UNSENT = (ClientConnectorError, ConnectionTimeoutError)


class Transport(AioHttpTransport):  # type: ignore[misc]  # azure-core imports it lazily, which mypy cannot follow
    """The SDK's transport. A large body is handed over as a file, which aiohttp sends without blocking the loop.

    `rids` are the containers it is for. If one is created again, the SDK learns its new rid and would go on with that.
    """

    def __init__(self, place: str, **settings: Any) -> None:
        super().__init__(**settings)
        self._place, self.rids = place, {""}  # some requests are for none

    async def send(self, request: Any, **config: Any) -> Any:
        """Send a request once. Raises: Lost, LogReplaced, otherwise the SDK's errors."""
        if request.headers.get(OF_CONTAINER, "") not in self.rids:
            raise replaced(self._place)
        try:
            return await super().send(request, **config)
        except AzureError as error:  # azure-core says that nothing was sent, whatever broke the connection
            if IS_BATCH not in request.headers or isinstance(error.__cause__, UNSENT):
                raise
            raise Lost(str(error)) from error.__cause__

    def _get_request_data(self, request: Any) -> Any:
        data = super()._get_request_data(request)
        if isinstance(data, str):
            data = data.encode()
        return BytesIO(data) if isinstance(data, bytes) and len(data) > LARGE_BYTES else data
