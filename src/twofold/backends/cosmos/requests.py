"""Requests with an idempotency key, and their responses: a document for each, beside the feed."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import msgspec

from twofold.ambient import Ambient
from twofold.backends.cosmos.checkpoints import changed
from twofold.backends.cosmos.client import Container
from twofold.backends.cosmos.layout import Document
from twofold.backends.cosmos.refusals import Conflict
from twofold.feed.feed import another_log
from twofold.write.requests import Answer, Claimed


class CosmosRequests:
    """See `Requests`. `secret` reads the log's."""

    def __init__(self, container: Container, ambient: Ambient, log_id: Callable[[], str]) -> None:
        self._container, self._ambient, self._log_id = container, ambient, log_id

    async def secret(self) -> bytes:
        """See `Requests.secret`."""
        log = await self._container.read("log", "log")
        if log is None or log["log_id"] != self._log_id():
            raise another_log(self._container.place, self._log_id())
        return bytes.fromhex(log["secret"])

    async def claim(self, id: str, fingerprint: bytes) -> Claimed:
        """See `Requests.claim`."""
        await self.secret()
        key = _key(id)
        row: Document = {
            "id": "request",
            "key": key,
            "kind": "request",
            "command": "request",
            "fingerprint": b64encode(fingerprint).decode(),
            "asked": [],
            "answer": None,
        }
        try:
            await self._container.create(row)
        except Conflict:
            found = await self._container.read("request", key)
            row = found or row
        return Claimed(b64decode(row["fingerprint"]), row["asked"], self._answer(row))

    def _answer(self, row: Document) -> Answer | None:
        stored = row["answer"]
        if stored is None or row.get("log_id") != self._log_id():
            return None
        expires_at = datetime.fromisoformat(row["expires_at"])
        if expires_at <= self._ambient.now():
            return None
        headers = [(name, value) for name, value in stored["headers"]]
        return Answer(stored["status"], headers, b64decode(stored["body"]), expires_at)

    async def note(self, id: str, asked: Sequence[str]) -> None:
        """See `Requests.note`."""
        await self.secret()
        await self._changed(id, lambda _: {"asked": list(asked)})

    async def keep(self, id: str, answer: Answer, asked: Sequence[str], keep_s: float) -> Answer:
        """See `Requests.keep`."""
        await self.secret()
        expires_at = self._ambient.now() + timedelta(seconds=keep_s)
        stored = {"status": answer.status, "headers": answer.headers, "body": b64encode(answer.body).decode()}

        def change(row: Document) -> Document | None:
            if self._answer(row) is not None:
                return {}
            return {
                "answer": msgspec.to_builtins(stored),
                "asked": list(asked),
                "log_id": self._log_id(),
                "expires_at": expires_at.isoformat(),
            }

        row = await self._changed(id, change)
        kept = None if row is None else self._answer(row)
        if kept is None:
            return msgspec.structs.replace(answer, expires_at=expires_at)
        return kept

    async def _changed(self, id: str, change: Callable[[Document], Document | None]) -> Document | None:
        return await changed(lambda: self._container.read("request", _key(id)), self._container, change)


def _key(id: str) -> str:
    return f"request {id}"
