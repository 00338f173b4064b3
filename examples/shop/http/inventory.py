"""Stock: receive goods, read the available quantity."""

from dataclasses import dataclass

from fastapi import Response
from pydantic import ConfigDict

from shop.http.fields import BODY, FORM, ProductId, Quantity
from shop.read.inventory import inventory
from shop.write.product import products
from shop.write.stock import ReceiveStock, stock
from twofold.web.answers import answer
from twofold.web.application import Run
from twofold.web.bodies import JsonBody
from twofold.web.commands import Asking
from twofold.web.consistency import Fresh
from twofold.web.problems import Problem
from twofold.web.routes import router
from twofold.web.rows import as_json


@dataclass(frozen=True, slots=True)
class ReceiptBody:
    quantity: Quantity

    __pydantic_config__ = ConfigDict(**BODY, json_schema_extra={"examples": [{"quantity": 10}]})


@dataclass(frozen=True, slots=True)
class StockAnswer:
    product_id: str
    available_quantity: int


routes = router(form=FORM, prefix="/inventory/products", tags=["inventory"])


@routes.post("/{productId}/receipts", status_code=202, response_model=StockAnswer)
async def receive_stock(product_id: ProductId, body: JsonBody[ReceiptBody], asked: Asking) -> Response:
    """Receive goods."""

    async def handle() -> Response:
        _, version = await asked.running.load(products, product_id)
        if version == 0:
            raise no_product(product_id)
        done = await asked.execute(stock, product_id, ReceiveStock(body.quantity))
        token = {"Consistency-Token": done.receipt.token}
        return answer(StockAnswer(product_id, done.state.available), 202, token)

    return await asked.once(handle)


@routes.get("/{productId}", response_model=StockAnswer)
async def available(product_id: ProductId, running: Run, fresh: Fresh) -> Response:
    """How much of the product can still be ordered."""
    row = await running.get(as_json(inventory), product_id, after=fresh.after, wait_s=fresh.wait_s)
    if row is None:
        raise no_product(product_id)
    return answer(row, 200, fresh.headers)


def no_product(product_id: str) -> Problem:
    return Problem(404, "not-found", f"There is no product {product_id!r}")
