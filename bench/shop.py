"""The example shop as a process that serves HTTP, for the scenarios about a whole server."""

import http.client
import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from bench.places import Place
from bench.process import SideFailed
from bench.served import served

REQUEST_TIMEOUT_S = 30.0
CUSTOMER = {"name": "Ann", "email": "ann@example.com"}
PRODUCT = {"name": "Tea", "price": 2.50}
ADDRESS = {"street": "High Street 1", "city": "Leeds", "country": "United Kingdom"}
STOCK = 1_000_000


@dataclass(frozen=True)
class Shop:
    """A running shop at this address."""

    address: str
    pid: int

    def ask(self, method: str, path: str, body: Any = None, token: str = "") -> str:
        """Send one request; returns the consistency token. Raises: SideFailed for anything but success."""
        parts = urlsplit(self.address)
        headers = {"Content-Type": "application/json", **({"Consistency-Token": token} if token else {})}
        with closing(http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=REQUEST_TIMEOUT_S)) as line:
            line.request(method, path, json.dumps(body) if body is not None else None, headers)
            answer = line.getresponse()
            said = answer.read()
        if answer.status >= 300:
            raise SideFailed(f"{method} {path} returned {answer.status}: {said[:200]!r}")
        return answer.headers.get("Consistency-Token", "")

    def stock_up(self) -> None:
        """Create a product, a customer and plenty of stock."""
        self.ask("PUT", "/products/tea", PRODUCT)
        self.ask("PUT", "/customers/ann", CUSTOMER)
        self.ask("POST", "/inventory/products/tea/receipts", {"quantity": STOCK})

    def place(self, orders: int, prefix: str) -> None:
        """Place orders and wait until each can be read."""
        token = ""
        for number in range(orders):
            token = self.ask("POST", "/orders", order(f"{prefix}{number}"))
        self.ask("GET", f"/orders/{prefix}{orders - 1}", token=token)


def order(order_id: str) -> dict[str, Any]:
    """The body of an order for one tea."""
    items = [{"productId": "tea", "quantity": 1}]
    return {"orderId": order_id, "customerId": "ann", "items": items, "shippingAddress": ADDRESS}


@contextmanager
def open_shop(place: Place) -> Iterator[Shop]:
    """Run the shop on an empty place. Raises: SideFailed."""
    with served("the shop", "shop.serve", "--port", "0", "--store", place.url) as found:
        yield Shop(found.address, found.pid)
