"""What the shop returns where that is not a row itself: products, stock and customers."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from shop.read.customer_summary import CustomerSummary
from shop.read.order_view import OrderView
from shop.read.product_view import ProductView
from shop.write.customer import Customer, CustomerPut
from shop.write.product import Product, ProductPut
from shop.write.stock import Event, Stock
from twofold import Done, Page


@dataclass(frozen=True, slots=True)
class ProductAnswer:
    product_id: str
    name: str
    price: Decimal
    version: int


@dataclass(frozen=True, slots=True)
class ProductPage:
    data: tuple[ProductView, ...]
    has_more: bool
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class StockAnswer:
    product_id: str
    available_quantity: int


@dataclass(frozen=True, slots=True)
class CustomerAnswer:
    customer_id: str
    name: str
    email: str | None
    version: int


@dataclass(frozen=True, slots=True)
class SummaryAnswer(CustomerSummary):
    """The number, value and latest date of the customer's orders. An order counts once it is confirmed."""


@dataclass(frozen=True, slots=True)
class BriefItem:
    product_name: str
    quantity: int


@dataclass(frozen=True, slots=True)
class BriefOrder:
    order_id: str
    order_date: datetime | None
    total_amount: Decimal
    items: tuple[BriefItem, ...]


def product(done: Done[Product, ProductPut]) -> ProductAnswer:
    return ProductAnswer(done.receipt.stream.id, done.state.name, done.state.price, done.receipt.version)


def product_page(page: Page[ProductView]) -> ProductPage:
    return ProductPage(tuple(page), page.cursor is not None, page.cursor)


def in_stock(done: Done[Stock, Event]) -> StockAnswer:
    return StockAnswer(done.receipt.stream.id, done.state.available)


def customer(done: Done[Customer, CustomerPut]) -> CustomerAnswer:
    return CustomerAnswer(done.receipt.stream.id, done.state.name, done.state.email, done.receipt.version)


def summary(row: CustomerSummary) -> SummaryAnswer:
    return SummaryAnswer(row.customer_id, row.total_orders, row.total_spent, row.last_order_date)


def brief(row: OrderView) -> BriefOrder:
    items = tuple(BriefItem(item.product_name, item.quantity) for item in row.items)
    return BriefOrder(row.order_id, row.created_at, row.total_amount, items)
