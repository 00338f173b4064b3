"""What the app logs, sent to the host with its level and invocation."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from contextvars import ContextVar
from types import SimpleNamespace
from typing import Any

DEBUG = "PYTHON_ENABLE_DEBUG_LOGGING"  # Microsoft's name for it
LEVELS = {
    logging.DEBUG: "Debug",
    logging.INFO: "Information",
    logging.WARNING: "Warning",
    logging.ERROR: "Error",
    logging.CRITICAL: "Critical",
}


class Sender(logging.Handler):
    """A handler that sends each record."""

    def __init__(
        self, protos: SimpleNamespace, send: Callable[[Any], None], invocation: ContextVar[str | None]
    ) -> None:
        super().__init__()
        self._protos, self._send, self._invocation = protos, send, invocation

    def emit(self, record: logging.LogRecord) -> None:
        """Send one."""
        try:
            text = self.format(record)
        except Exception:
            self.handleError(record)
            return
        log = self._protos.RpcLog(
            level=getattr(self._protos.RpcLog, LEVELS.get(record.levelno, "Information")),
            message=text,
            category=record.name,
            invocation_id=self._invocation.get() or "",
        )
        self._send(self._protos.StreamingMessage(rpc_log=log))


def send_logs(handler: logging.Handler) -> None:
    """Send everything from INFO on, as Microsoft's worker does."""
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.DEBUG if os.environ.get(DEBUG, "").lower() in ("1", "true") else logging.INFO)
