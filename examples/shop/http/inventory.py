"""Stock: receive goods, correct the available quantity, read it."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Response
from pydantic import ConfigDict, Field

from shop.http.fields import BODY, FORM, MOST, ProductId, Quantity, Text
from shop.read.inventory import inventory
from shop.write.product import products
from shop.write.stock import AdjustStock, ReceiveStock, stock
from twofold.web.answers import answer
from twofold.web.application import Run
from twofold.web.bodies import JsonBody
from twofold.web.commands import Asked, Asking
from twofold.web.consistency import Fresh
from twofold.web.problems import Problem
from twofold.web.routes import router
from twofold.web.rows import as_json


@dataclass(frozen=True, slots=True)
class ReceiptBody:
    quantity: Quantity

    __pydantic_config__ = ConfigDict(**BODY, json_schema_extra={"examples": [{"quantity": 10}]})


@dataclass(frozen=True, slots=True)
class AdjustmentBody:
    quantity: Annotated[int, Field(ge=-MOST, le=MOST)]
    reason: Text

    __pydantic_config__ = ConfigDict(**BODY, json_schema_extra={"examples": [{"quantity": -3, "reason": "broken"}]})


@dataclass(frozen=True, slots=True)
class StockAnswer:
    product_id: str
    available_quantity: int


routes = router(form=FORM, prefix="/inventory/products", tags=["inventory"])


@routes.post("/{productId}/receipts", status_code=202, response_model=StockAnswer)
async def receive_stock(product_id: ProductId, body: JsonBody[ReceiptBody], asked: Asking) -> Response:
    """Receive goods."""
    return await asked.once(lambda: change(asked, product_id, ReceiveStock(body.quantity)))


@routes.post("/{productId}/adjustments", status_code=202, response_model=StockAnswer)
async def adjust_stock(product_id: ProductId, body: JsonBody[AdjustmentBody], asked: Asking) -> Response:
    """Add `quantity`, negative for lost or broken goods, to what is available, which never falls below zero."""
    return await asked.once(lambda: change(asked, product_id, AdjustStock(body.quantity, body.reason)))


@routes.get("/{productId}", response_model=StockAnswer)
async def available(product_id: ProductId, running: Run, fresh: Fresh) -> Response:
    """How much of the product can still be ordered."""
    row = await running.get(as_json(inventory), product_id, after=fresh.after, wait_s=fresh.wait_s)
    if row is None:
        raise no_product(product_id)
    return answer(row, 200, fresh.headers)


async def change(asked: Asked, product_id: str, command: ReceiveStock | AdjustStock) -> Response:
    """Raises: Problem 404, Rejected."""
    _, version = await asked.running.load(products, product_id)
    if version == 0:
        raise no_product(product_id)
    done = await asked.execute(stock, product_id, command)
    token = {"Consistency-Token": done.receipt.token}
    return answer(StockAnswer(product_id, done.state.available), 202, token)


def no_product(product_id: str) -> Problem:
    return Problem(404, "not-found", f"There is no product {product_id!r}")
