"""How the SDK's requests are sent: over its own transport, with what it does not tell its callers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from io import BytesIO
from typing import Any

from aiohttp import ClientConnectorError, ConnectionTimeoutError
from azure.core.exceptions import AzureError
from azure.core.pipeline.transport import AioHttpTransport

from twofold.backends.cosmos.changes import EMPTY
from twofold.backends.cosmos.refusals import Lost, replaced

LARGE_BYTES = 1024 * 1024
OF_CONTAINER = "x-ms-cosmos-intended-collection-rid"
IS_BATCH = "x-ms-cosmos-is-batch-request"
IS_FEED = "a-im"
UNSENT = (ClientConnectorError, ConnectionTimeoutError)

Pages = list[tuple[Mapping[str, str], bytes]]
_kept: ContextVar[Pages | None] = ContextVar("kept", default=None)


@contextmanager
def kept_pages() -> Iterator[Pages]:
    """The pages of a change feed that are read inside the block: headers, and the body unless it is empty.

    The SDK gets an empty page instead of each.
    """
    pages: Pages = []
    token = _kept.set(pages)
    try:
        yield pages
    finally:
        _kept.reset(token)


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
            return _keep_page(request, await super().send(request, **config))
        except AzureError as error:  # azure-core says that nothing was sent, whatever broke the connection
            if IS_BATCH not in request.headers or isinstance(error.__cause__, UNSENT):
                raise
            raise Lost(str(error)) from error.__cause__

    def _get_request_data(self, request: Any) -> Any:
        data = super()._get_request_data(request)
        if isinstance(data, str):
            data = data.encode()
        return BytesIO(data) if isinstance(data, bytes) and len(data) > LARGE_BYTES else data


def _keep_page(request: Any, response: Any) -> Any:
    pages = _kept.get()
    if pages is None or IS_FEED not in request.headers or "/docs" not in request.url:
        return response
    if response.status_code == 200:
        pages.append((response.headers, response.body()))
        response.body = lambda: EMPTY
    elif response.status_code == 304:
        pages.append((response.headers, b""))
    return response
