"""Errors of Azure Cosmos DB's SDK become ours."""

from __future__ import annotations

import asyncio
import ssl

from aiohttp import ClientError
from azure.core.exceptions import AzureError, HttpResponseError, ServiceRequestError

from twofold.backends.unreachable import unreachable
from twofold.errors import ConfigurationError, LogReplaced, TwofoldError, Unavailable

CONFLICTS = (409, 412)
GONE = 410
NOT_FOUND, SESSION_NOT_AVAILABLE = 404, 1002
TOO_LARGE = 413
FORBIDDEN = (
    "use a key that may read and write, and create the database and its containers if they are missing; or let the "
    "account's firewall admit this machine"
)


class Conflict(Exception):
    """A document exists already, or has another ETag: nothing was written."""


class TooLarge(Exception):
    """The service does not take a request of this size: nothing was written."""


class RangeGone(Exception):
    """A feed range has split, or was merged."""


class Lost(Exception):
    """The connection broke after a batch had been sent. The SDK, which would send it again, does not know this one."""


class errors:  # noqa: N801 (used like contextlib's functions)
    """Errors of the SDK become ours. `of_document`: what is missing is a document that was there before."""

    def __init__(self, place: str, *, of_document: bool = False) -> None:
        self._place, self._of_document = place, of_document

    def __enter__(self) -> None:
        return

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, ValueError) and "collection rid" in str(error):
            raise replaced(self._place) from error
        if isinstance(error, Lost):
            raise NoResponse(f"{self._place}: {error}{_way_out(error)}") from error
        if isinstance(error, AzureError | ClientError | TimeoutError | asyncio.TimeoutError):
            gone = getattr(error, "status_code", 0) == NOT_FOUND and not getattr(error, "sub_status", None)
            if self._of_document and gone:
                raise Conflict(f"{self._place}: the document is gone") from error
            raise translated(error, self._place) from error


def translated(error: Exception, place: str) -> Exception:
    """The error to raise for one of the SDK."""
    if not isinstance(error, HttpResponseError):
        sent = not isinstance(error, ServiceRequestError)
        return (NoResponse if sent else Unavailable)(f"{place}: {error}{_way_out(error)}")
    said = " ".join(str(error.message).partition("\nCode: ")[0].split())[:300]  # the rest repeats it
    status, why = error.status_code or 0, f"{place}: {said}"
    if status in CONFLICTS:
        return Conflict(why)
    if status == TOO_LARGE:
        return TooLarge(why)
    if status == GONE:
        return RangeGone(why)
    if status == 401:
        key = "correct COSMOS_KEY, or AccountKey in the connection string"
        return ConfigurationError(f"{place}: the account refuses the key: {key} ({said})")
    if status == 403:
        return ConfigurationError(f"{place}: the account does not allow this ({said}): {FORBIDDEN}")
    if status == NOT_FOUND and getattr(error, "sub_status", 0) == SESSION_NOT_AVAILABLE:
        return Unavailable(f"{place}: no replica has seen this process's last writes yet")
    if status == NOT_FOUND:
        return _missing(place)
    if status == 429:
        return Unavailable(f"{place}: the service is throttling (429): raise the throughput of the container")
    return NoResponse(why) if status in (408, 449) or status >= 500 else TwofoldError(why)


def _way_out(error: BaseException) -> str:
    """What to do about a network error: the end of its sentence."""
    cause = error.__cause__ or getattr(error, "inner_exception", None) or error
    cause = getattr(cause, "os_error", cause)  # what aiohttp could not connect for
    if isinstance(cause, ssl.SSLError):
        return ": correct the URL; for a server without TLS, such as that of ./dev cosmos, add ?tls=off"
    return unreachable(cause)


def replaced(place: str) -> LogReplaced:
    """The error for a container that was replaced by another one."""
    return LogReplaced(f"{place}: the container was deleted and created again while this program ran: restart it")


class NoResponse(Unavailable):
    """A request that may have been carried out."""


def _missing(place: str) -> TwofoldError:
    return ConfigurationError(f"{place}: this database or container does not exist: name the one the App was opened on")
