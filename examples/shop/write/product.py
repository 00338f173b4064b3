"""Products: current name and price."""

from dataclasses import dataclass
from decimal import Decimal

from shop.values import price_fault
from twofold import Decider, Rejected


@dataclass(frozen=True, slots=True)
class PutProduct:
    """Register the product, or change its name and price. The retailer's books have adjustments priced below zero."""

    name: str
    price: Decimal


@dataclass(frozen=True, slots=True)
class ProductPut:
    name: str
    price: Decimal


@dataclass(frozen=True, slots=True)
class Product:
    name: str = ""  # empty: not registered
    price: Decimal = Decimal(0)


def decide(command: PutProduct, product: Product) -> list[ProductPut]:
    if not command.name.strip():
        raise Rejected("A product needs a name")
    if fault := price_fault(command.price):
        raise Rejected(fault)
    unchanged = (command.name, command.price) == (product.name, product.price)
    return [] if unchanged else [ProductPut(command.name, command.price)]


def evolve(product: Product, event: ProductPut) -> Product:
    return Product(event.name, event.price)


products = Decider("product", Product(), decide, evolve)
