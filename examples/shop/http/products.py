"""Products: register one with its name and current price."""

from dataclasses import dataclass
from decimal import Decimal

from fastapi import Response
from pydantic import ConfigDict

from shop.http.fields import BODY, FORM, Money, Name, ProductId
from shop.write.product import PutProduct, products
from twofold.web.answers import answer, receipt_headers
from twofold.web.bodies import JsonBody
from twofold.web.commands import Asking
from twofold.web.preconditions import Precondition
from twofold.web.routes import router


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
