"""How documents of older schemas are read. A document without a schema version is of version 1.

Version 1 is what the first release wrote: `id`, `customer_id` and `items`, of which a product was the `product_id` and
its price the `price`, and nothing about status or times. Every order was confirmed then.
"""

from __future__ import annotations

from typing import Any

from twofold import Stored

Document = dict[str, Any]


def from_version_1(document: Document) -> Document:
    """A document of version 1 as one of version 2."""
    return {"status": "confirmed", **document, "items": [_item(item) for item in document["items"]]}


def _item(item: Document) -> Document:
    return {
        "sku": item["sku"] if "sku" in item else item["product_id"],
        "quantity": item["quantity"],
        "unit_price": item["unit_price"] if "unit_price" in item else item["price"],
    }


stored_order = Stored("Order", schema=2, upcasters=[from_version_1])
