"""Signed requests to the development server, with no SDK: handled in this process, or sent to another."""

import base64
import hmac
import json
from email.utils import formatdate
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2

from devservers.cosmos.account import Account
from devservers.cosmos.http import Answer, Request, answered

KEY = base64.b64encode(b"a key of this test").decode()
PARTITION_KEY = "x-ms-documentdb-partitionkey"
CROSSES = "x-ms-documentdb-query-enablecrosspartition"
RANGE = "x-ms-documentdb-partitionkeyrangeid"


def signed(method: str, path: str, key: str = KEY) -> dict[str, str]:
    """The headers of a request that the key's owner makes."""
    parts = path.strip("/").split("/") if path.strip("/") else []
    kind, link = (parts[-1], parts[:-1]) if len(parts) % 2 else ((parts[-2], parts) if parts else ("", []))
    date = formatdate(usegmt=True)
    text = f"{method.lower()}\n{kind}\n{'/'.join(link)}\n{date.lower()}\n\n"
    signature = base64.b64encode(hmac.digest(base64.b64decode(key), text.encode(), "sha256")).decode()
    return {"x-ms-date": date, "authorization": quote(f"type=master&ver=1.0&sig={signature}", "-_.!~*'()")}


class Here:
    """An account in this process, with one container `/dbs/shop/colls/orders` of the partition key `/key`."""

    docs = "/dbs/shop/colls/orders/docs"

    def __init__(self, ranges: int = 1, folder: Path | None = None, **properties: Any) -> None:
        self.account = Account(KEY, folder, ranges)
        assert self.ask("POST", "/dbs", {"id": "shop"}).status == 201
        key = {"paths": ["/key"], "kind": "Hash", "version": 2}
        made = self.ask("POST", "/dbs/shop/colls", {"id": "orders", "partitionKey": key, **properties})
        assert made.status == 201, made.body

    @classmethod
    def again(cls, folder: Path) -> "Here":
        """The account whose data a folder keeps."""
        here = cls.__new__(cls)
        here.account = Account(KEY, folder)
        return here

    def ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        """Make a request."""
        data = b"" if body is None else json.dumps(body).encode()
        parts = path.strip("/").split("/") if path.strip("/") else []
        request = Request(method, parts, {**signed(method, path), **(headers or {})}, data, "http://here/")
        return answered(self.account.handle, request)

    def point(self, method: str, key: str, id: str = "", body: Any = None, **headers: str) -> Answer:
        """Make a request about one document, or about the documents of a key."""
        path = f"{self.docs}/{id}" if id else self.docs
        return self.ask(method, path, body, {PARTITION_KEY: json.dumps([key]), **named(headers)})

    def create(self, key: str, id: str, **fields: Any) -> dict[str, Any]:
        """Create a document; returns it as it is stored."""
        made = self.point("POST", key, body={"id": id, "key": key, **fields})
        assert made.status == 201, made.body
        return load(made)

    def batch(self, key: str, *operations: dict[str, Any]) -> Answer:
        """Make a batch."""
        return self.point("POST", key, body=list(operations), x_ms_cosmos_is_batch_request="True")

    def changes(self, range: str = "0", after: str | None = None, **headers: str) -> Answer:
        """A page of changes."""
        more = {} if after is None else {"if-none-match": after}
        return self.ask("GET", self.docs, headers={"a-im": "Incremental Feed", RANGE: range, **more, **named(headers)})

    def query(self, text: str, headers: dict[str, str] | None = None, **parameters: Any) -> Answer:
        """Ask a query."""
        body = {"query": text, "parameters": [{"name": f"@{name}", "value": it} for name, it in parameters.items()]}
        usual = {"content-type": "application/query+json", CROSSES: "True"}
        return self.ask("POST", self.docs, body, {**usual, **(headers or {})})

    def fault(self, fault: str, **more: Any) -> Answer:
        """Plan a fault."""
        return self.ask("POST", "/_faults", {"fault": fault, **more})

    def ranges(self) -> list[dict[str, Any]]:
        """The ranges there are."""
        listed: list[dict[str, Any]] = load(self.ask("GET", "/dbs/shop/colls/orders/pkranges"))["PartitionKeyRanges"]
        return listed


class There:
    """A server in another process."""

    def __init__(self, endpoint: str, key: str, **options: Any) -> None:
        self._client, self._key = httpx2.Client(base_url=endpoint, timeout=30, **options), key

    def ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> httpx2.Response:
        """Make a request."""
        sent = {**signed(method, path, self._key), **(headers or {})}
        return self._client.request(method, path, json=body, headers=sent)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


def named(headers: dict[str, str]) -> dict[str, str]:
    """Headers given as Python's names."""
    return {name.replace("_", "-"): value for name, value in headers.items()}


def load(answer: Answer) -> Any:
    """The body of an answer."""
    return json.loads(answer.body)


def ids(answer: Answer) -> list[str]:
    """The ids of the documents in an answer; none if nothing has changed."""
    return [document["id"] for document in load(answer)["Documents"]] if answer.body else []
