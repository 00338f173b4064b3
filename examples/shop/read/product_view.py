"""One row per product, for buyers: name, price and the quantity that can still be ordered.

Stock may arrive before its product is registered. The row then has the quantity but no name, and queries exclude it
with `name__gt=""`.
"""

from dataclasses import dataclass, replace
from decimal import Decimal

from shop.write.product import ProductPut
from shop.write.stock import InventoryUpdated
from twofold import Projection, Recorded


@dataclass(frozen=True, slots=True)
class ProductView:
    """A product, and how much of it can still be ordered."""

    product_id: str
    name: str = ""  # empty: not registered
    price: Decimal = Decimal(0)
    available_quantity: int = 0


def evolve(row: ProductView, event: ProductPut | InventoryUpdated, recorded: Recorded) -> ProductView:
    match event:
        case ProductPut():
            return replace(row, name=event.name, price=event.price)
        case InventoryUpdated():
            return replace(row, available_quantity=event.available_quantity)


# Keyed by the stream's id, which is the product's id in both categories.
product_view = Projection("product_view", ProductView, evolve, version=1, indexes=["name"])
