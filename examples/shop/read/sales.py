"""Sales per product and per country: orders net of returns.

An order counts from its confirmation until it is cancelled; past orders count like confirmed ones. Returns have
negative quantities, so they are added like everything else.
"""

from dataclasses import dataclass, replace
from decimal import Decimal

from shop.values import Item
from shop.write.order import OrderCancelled, OrderConfirmed, PastOrderRecorded
from shop.write.past import ReturnRecorded
from shop.write.product import ProductPut
from twofold import Projection, Recorded

Sale = OrderConfirmed | OrderCancelled | PastOrderRecorded | ReturnRecorded


def never_counted(event: Sale) -> bool:
    """An order that was cancelled while still pending was never a sale."""
    return isinstance(event, OrderCancelled) and not event.was_confirmed


@dataclass(frozen=True, slots=True)
class ProductSales:
    """Sales of a product, net of returns."""

    product_id: str
    name: str = ""
    """The product's current name, whatever the invoices called it."""
    units: int = 0
    value: Decimal = Decimal(0)


def products_of(event: ProductPut | Sale, recorded: Recorded) -> list[str]:
    if isinstance(event, ProductPut):
        return [recorded.stream.id]
    return [] if never_counted(event) else [item.product_id for item in event.items]


def evolve_product(row: ProductSales, event: ProductPut | Sale, recorded: Recorded) -> ProductSales:
    match event:
        case ProductPut():
            return replace(row, name=event.name)
        case OrderConfirmed() | PastOrderRecorded() | ReturnRecorded():
            units, value = moved(row, event.items)
            return replace(row, units=row.units + units, value=row.value + value)
        case OrderCancelled():
            units, value = moved(row, event.items)
            return replace(row, units=row.units - units, value=row.value - value)


def moved(row: ProductSales, items: tuple[Item, ...]) -> tuple[int, Decimal]:
    """Units and value of this row's product among the items, which may name it more than once."""
    product_id, units, value = row.product_id, 0, Decimal(0)
    for item in items:
        if item.product_id == product_id:
            units += item.quantity
            value += item.quantity * item.price
    return units, value


@dataclass(frozen=True, slots=True)
class SalesByCountry:
    """Sales to a country, net of returns."""

    country: str
    orders: int = 0
    value: Decimal = Decimal(0)


def country_key(event: Sale, recorded: Recorded) -> str | None:
    return None if never_counted(event) else event.country


def evolve_country(row: SalesByCountry, event: Sale, recorded: Recorded) -> SalesByCountry:
    match event:
        case OrderConfirmed() | PastOrderRecorded():
            return replace(row, orders=row.orders + 1, value=row.value + event.total_amount)
        case OrderCancelled():
            return replace(row, orders=row.orders - 1, value=row.value - event.total_amount)
        case ReturnRecorded():
            return replace(row, value=row.value + event.total_amount)


# Best-selling is by net units.
product_sales = Projection(
    "product_sales", ProductSales, evolve_product, version=1, key=products_of, indexes=[("-units", "product_id")]
)
sales_by_country = Projection(
    "sales_by_country", SalesByCountry, evolve_country, version=1, key=country_key, indexes=[("-value", "country")]
)
