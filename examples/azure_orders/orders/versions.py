"""How documents of older schemas are read. A document that names no schema version is of version 1.

Version 1 is what the first release wrote: `id`, `customer_id` and `items`, where a product could be `product_id`, and
its price `price`, and nothing about status or times. Every order was confirmed then.
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


UPCASTERS = (from_version_1,)
VERSION = len(UPCASTERS) + 1

stored_order = Stored("Order", schema=VERSION, upcasters=UPCASTERS)


def newest(document: Document) -> Document:
    """A document as of today, from one that may have a `schema_version`. Raises: ValueError for one of the future."""
    fields = {name: value for name, value in document.items() if name != "schema_version" and name[:1] != "_"}
    version = document.get("schema_version", 1)
    if type(version) is not int or not 1 <= version <= VERSION:
        raise ValueError(f"schema_version is {version!r}, but this app knows 1 to {VERSION}")
    for upcast in UPCASTERS[version - 1 :]:
        fields = upcast(fields)
    return fields
