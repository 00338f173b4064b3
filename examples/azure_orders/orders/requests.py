"""What requests may hold, and what is returned, for validation and OpenAPI. Rules are in `order`."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from hashlib import sha256
from typing import Annotated, Any, Literal

import msgspec
from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from orders import order as domain


def _number(value: Any) -> Any:
    """A JSON number as it was written, not a text."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValueError("Input should be a number")
    return Decimal(value)


Name = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^/\\?#\s]([^/\\?#\x00-\x1f\x7f]*[^/\\?#\s])?$")]
Text = Annotated[str, Field(min_length=1, max_length=200)]
Money = Annotated[
    Decimal,
    BeforeValidator(_number),
    Field(ge=0, max_digits=15, decimal_places=4),
    WithJsonSchema({"type": "number", "minimum": 0, "multipleOf": 0.0001}),
]


class Strict(BaseModel):
    """Nothing is converted or ignored."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class ItemWriteRequest(Strict):
    """One line of an order. `product_id` and `price` are other names for `sku` and `unit_price`."""

    sku: Name = Field(validation_alias=AliasChoices("sku", "product_id"))
    quantity: int = Field(ge=1, le=1_000_000)
    unit_price: Money = Field(validation_alias=AliasChoices("unit_price", "price"))

    def item(self) -> domain.Item:
        """As the domain has it."""
        return domain.Item(self.sku, self.quantity, self.unit_price)


class CustomerRequest(Strict):
    """Who orders."""

    name: Text | None = None
    email: Text | None = None

    def customer(self) -> domain.Customer:
        """As the domain has it."""
        return domain.Customer(self.name, self.email)


class ShippingAddressRequest(Strict):
    """Where to send it."""

    city: Text
    country: Text
    street: Text | None = None
    postal_code: Text | None = None

    def address(self) -> domain.ShippingAddress:
        """As the domain has it."""
        return domain.ShippingAddress(self.city, self.country, self.street, self.postal_code)


class PaymentRequest(Strict):
    """How it is paid."""

    method: Text
    reference: Text | None = None

    def payment(self) -> domain.Payment:
        """As the domain has it."""
        return domain.Payment(self.method, self.reference)


class OrderWriteRequest(Strict):
    """An order to create; a draft can be changed until it is submitted."""

    id: Name
    customer_id: Name
    items: list[ItemWriteRequest] = Field(max_length=1_000)
    status: Literal["draft", "confirmed"] = "confirmed"
    customer: CustomerRequest | None = None
    shipping_address: ShippingAddressRequest | None = None
    payment: PaymentRequest | None = None

    def command(self, at: datetime) -> domain.CreateOrder:
        """As the domain has it."""
        return domain.CreateOrder(
            self.id,
            self.customer_id,
            self.status,
            tuple(one.item() for one in self.items),
            at,
            None if self.customer is None else self.customer.customer(),
            None if self.shipping_address is None else self.shipping_address.address(),
            None if self.payment is None else self.payment.payment(),
        )

    def command_id(self) -> str:
        """The same for the same content, so that an order that is posted twice is created once."""
        content = self.model_dump()
        for item in content["items"]:
            item["unit_price"] = f"{item['unit_price'].normalize():f}"
        return f"create-{sha256(msgspec.json.encode(content, order='sorted')).hexdigest()}"


class OrderAccepted(BaseModel):
    """The order is stored, and will soon be in the read models."""

    id: str
    status: Literal["accepted"]


class OrderChanged(BaseModel):
    """A line was added."""

    id: str
    version: int


class OrderSubmitted(BaseModel):
    """The order as it is in the write model."""

    id: str
    status: str
    version: int
    message: str


class OrderProjection(BaseModel):
    """The row of an order, in brief."""

    id: str
    customer_id: str
    status: str
    item_count: int
    total_amount: float
    updated_at: datetime


class CustomerOrder(OrderProjection):
    """The row of an order."""

    customer_name: str | None
    customer_email: str | None
    product_ids: list[str]
    status_display: str
    shipping_summary: str | None
    created_at: datetime
    version: int
    schema_version: int


class CustomerOrderSummary(BaseModel):
    """What a customer has ordered; drafts do not count."""

    customer_id: str
    total_orders: int
    total_spent: float
    last_order_date: datetime | None


class ReadModelStatus(BaseModel):
    """How one read model is doing."""

    name: str
    version: int
    position: str
    behind_events: int
    behind_seconds: float
    parked: int
    error: str | None


class Status(BaseModel):
    """How all read models are doing, and the newest lag of the process that responds."""

    read_models: list[ReadModelStatus]
    projection_lag_seconds: float | None


class Fault(BaseModel):
    """One thing that is wrong with a request, and where."""

    loc: list[str | int]
    msg: str
    type: str


class Refused(BaseModel):
    """Why a request was refused. Nothing was changed."""

    detail: list[Fault]
    error_format_version: int
