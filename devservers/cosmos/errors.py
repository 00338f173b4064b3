"""What the server refuses, as the protocol says it."""

from __future__ import annotations

CODES = {
    304: "NotModified",
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    409: "Conflict",
    410: "Gone",
    412: "PreconditionFailed",
    413: "RequestEntityTooLarge",
    424: "FailedDependency",
    429: "TooManyRequests",
    500: "InternalServerError",
}

WRONG_KEY = 1001  # a 400: the document's partition key is not that of the request
SESSION_NOT_AVAILABLE = 1002  # a 404
RANGE_GONE = 1002  # a 410
CROSS_PARTITION = 1004  # a 400: the client must ask each range, by the query plan
OTHER_CONTAINER = 1024  # a 400: the container was deleted and created again
RATE_TOO_LARGE = 3200  # a 429


class Refused(Exception):
    """A request that gets an error."""

    def __init__(
        self, status: int, message: str, substatus: int = 0, headers: dict[str, str] | None = None, more: str = ""
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.substatus, self.headers = status, message, substatus, headers or {}
        self.more = more  # `additionalErrorInfo` in the body

    @property
    def code(self) -> str:
        """The name of the status in the body."""
        return CODES.get(self.status, "Error")
