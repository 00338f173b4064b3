"""Sales by product and by country."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated

from fastapi import Query, Response

from shop.http.fields import FORM
from shop.read.sales import product_sales, sales_by_country
from twofold.web.answers import answer
from twofold.web.application import Run
from twofold.web.consistency import Fresh
from twofold.web.routes import router
from twofold.web.rows import as_json

Limit = Annotated[int, Query(ge=1, le=500)]


@dataclass(frozen=True, slots=True)
class ProductLine:
    product_id: str
    name: str
    units: int
    value: Decimal


@dataclass(frozen=True, slots=True)
class CountryLine:
    country: str
    orders: int
    value: Decimal


routes = router(form=FORM, prefix="/sales", tags=["sales"])


@routes.get("/products", response_model=list[ProductLine])
async def best_selling(running: Run, fresh: Fresh, limit: Limit = 50) -> Response:
    """Products by units sold, net of returns, most first."""
    page = await running.find(
        as_json(product_sales), order_by=("-units", "product_id"), limit=limit, after=fresh.after, wait_s=fresh.wait_s
    )
    return answer(page.rows, 200, fresh.headers)


@routes.get("/countries", response_model=list[CountryLine])
async def by_country(running: Run, fresh: Fresh, limit: Limit = 500) -> Response:
    """Countries by the value of their orders, net of returns, most first."""
    page = await running.find(
        as_json(sales_by_country), order_by=("-value", "country"), limit=limit, after=fresh.after, wait_s=fresh.wait_s
    )
    return answer(page.rows, 200, fresh.headers)
