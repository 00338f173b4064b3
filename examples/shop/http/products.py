"""Products: register one with its name and current price, read one, list them."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated

from fastapi import Query, Response
from pydantic import ConfigDict

from shop.http.fields import BODY, FORM, Money, Name, ProductId
from shop.http.inventory import no_product
from shop.read.product_view import product_view
from shop.write.product import PutProduct, products
from twofold.web.answers import answer, receipt_headers
from twofold.web.application import Run
from twofold.web.bodies import JsonBody
from twofold.web.commands import Asking
from twofold.web.consistency import Fresh
from twofold.web.preconditions import Precondition
from twofold.web.routes import router
from twofold.web.rows import as_json


@dataclass(frozen=True, slots=True)
class ProductBody:
    name: Name
    price: Money

    __pydantic_config__ = ConfigDict(**BODY, json_schema_extra={"examples": [{"name": "Tea", "price": 2.5}]})


@dataclass(frozen=True, slots=True)
class ProductAnswer:
    product_id: str
    name: str
    price: Decimal
    version: int


@dataclass(frozen=True, slots=True)
class ProductDetails:
    product_id: str
    name: str
    price: Decimal
    available_quantity: int


@dataclass(frozen=True, slots=True)
class ProductPage:
    data: tuple[ProductDetails, ...]
    has_more: bool
    next_cursor: str | None


routes = router(form=FORM, prefix="/products", tags=["products"])


@routes.put("/{productId}", response_model=ProductAnswer)
async def put_product(
    product_id: ProductId, body: JsonBody[ProductBody], condition: Precondition, asked: Asking
) -> Response:
    """Register the product, or change its name and price. Repeating the same values changes nothing."""

    async def handle() -> Response:
        _, version = await asked.running.load(products, product_id)
        expected = condition.expected_version(version)
        done = await asked.execute(products, product_id, PutProduct(body.name, body.price), expected_version=expected)
        product = ProductAnswer(product_id, done.state.name, done.state.price, done.receipt.version)
        return answer(product, 200, receipt_headers(done.receipt))

    return await asked.once(handle)


@routes.get("", response_model=ProductPage)
async def find_products(
    running: Run,
    fresh: Fresh,
    name_prefix: Annotated[Name | None, Query(alias="namePrefix", examples=["Te"])] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    cursor: str | None = None,
) -> Response:
    """Products in order of their names. `namePrefix` selects names that begin with it; letter case matters."""
    found = {"name__gt": ""} if name_prefix is None else {"name__startswith": name_prefix}
    page = await running.find(
        as_json(product_view),
        **found,
        order_by="name",
        limit=limit,
        cursor=cursor,
        after=fresh.after,
        wait_s=fresh.wait_s,
    )
    return answer(ProductPage(tuple(page), page.cursor is not None, page.cursor), 200, fresh.headers)


@routes.get("/{productId}", response_model=ProductDetails)
async def get_product(product_id: ProductId, running: Run, fresh: Fresh) -> Response:
    """One product, and how much of it can still be ordered."""
    row = await running.get(as_json(product_view), product_id, after=fresh.after, wait_s=fresh.wait_s)
    if row is None or not row.name:
        raise no_product(product_id)
    return answer(row, 200, fresh.headers)
