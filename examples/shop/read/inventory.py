"""One row per product: the quantity that can still be ordered."""

from dataclasses import dataclass, replace

from shop.write.product import ProductPut
from shop.write.stock import InventoryUpdated
from twofold import Projection, Recorded


@dataclass(frozen=True, slots=True)
class Inventory:
    """How much of a product can still be ordered."""

    product_id: str
    available_quantity: int = 0


def evolve(row: Inventory, event: ProductPut | InventoryUpdated, recorded: Recorded) -> Inventory:
    match event:
        case ProductPut():
            return row  # creates the row, with nothing in stock
        case InventoryUpdated():
            return replace(row, available_quantity=event.available_quantity)


# Keyed by the stream's id, which is the product's id in both categories.
inventory = Projection("inventory", Inventory, evolve, version=1)
