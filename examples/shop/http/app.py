"""The shop's addresses."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Path, Request, Response

from shop.http import answers
from shop.http.events import order_events
from shop.http.fields import CORRECTED, OF_CUSTOMER, TYPES, OrderId
from shop.http.orders import added, drafted, placed
from shop.http.page import page
from shop.http.who import OPEN, Who
from shop.read.customer_summary import customer_summary
from shop.read.inventory import inventory
from shop.read.order_view import order_view
from shop.read.product_view import product_view
from shop.read.sales import product_sales, sales_by_country
from shop.write.customer import PutCustomer, customers
from shop.write.order import AddItem, CancelOrder, DraftOrder, PlaceOrder, ShipOrder, SubmitOrder, orders
from shop.write.product import PutProduct, products
from shop.write.stock import AdjustStock, ReceiveStock, stock
from twofold import Running
from twofold.api import Api, anyone, new_id
from twofold.web.answers import answer
from twofold.web.application import Run, web_app
from twofold.web.consistency import Fresh
from twofold.web.forms import JsonForm
from twofold.web.identity import existing, logged_in_actor
from twofold.web.routes import router

DESCRIPTION = """
Every change returns a `Consistency-Token`; a GET that sends it gets a response at least as new. A POST with an
`Idempotency-Key` can be repeated safely. Errors are problem details (RFC 9457).
"""


def shop_http(running: Running, who: Who = OPEN) -> FastAPI:
    api = Api(
        running.app,
        actor=who.actor,
        allow=who.customer,
        scope=who.scope,
        sees={orders: who.sees},
        types=TYPES,
        names="camel",
        decimals="number",
        title="A shop on twofold",
        description=DESCRIPTION + who.description,
    )
    add_products(api, who)
    add_customers(api, who)
    add_orders(api, who)
    app = web_app(running, api, history(who), page())
    app.router.routes.append(order_events(running, who))
    return app


def add_products(api: Api, who: Who) -> None:
    at, stocked = "/products/{product_id}", "/inventory/products/{product_id}"
    change = partial(api.command, allow=who.staff)
    change(products, PutProduct, f"PUT {at}", returns=["product_id", "name", "price", "version"])
    move = partial(change, stock, exists=products, status=202, etag=False, returns=answers.in_stock)
    move(ReceiveStock, f"POST {stocked}/receipts")
    move(AdjustStock, f"POST {stocked}/adjustments", types=CORRECTED)
    api.row(inventory, f"GET {stocked}", allow=anyone, name="available")
    api.row(product_view, f"GET {at}", allow=anyone, returns=answers.registered, name="get_product")
    find = partial(api.page, product_view, filters={"namePrefix": "name__startswith"}, order_by="name", allow=anyone)
    find = partial(find, only={"name__gt": ""}, returns=answers.product_page, live=answers.registered)
    find("GET /products", name="find_products")
    sales = partial(api.page, filters=(), plain=True, allow=who.staff)
    sales(product_sales, "GET /sales/products", order_by="-units", name="best_selling")
    sales(sales_by_country, "GET /sales/countries", order_by="-value", limit=500, name="by_country")


def add_customers(api: Api, who: Who) -> None:
    at, put = "/customers/{customer_id}", partial(api.command, customers, PutCustomer, types=OF_CUSTOMER)
    put(f"PUT {at}", allow=who.own, returns=["customer_id", "name", "email", "version"])
    api.row(customer_summary, f"GET {at}/summary", allow=who.own, returns=answers.summary, name="summary")
    brief = partial(api.page, order_view, exists=customers, allow=who.own, returns=answers.brief)
    brief = partial(brief, order_by="-created_at", limit=500, plain=True, backward=False)
    brief(f"GET {at}/orders", name="customer_orders")
    brief("GET /customer/{customer_id}/orders", name="orders_of_customer")


def add_orders(api: Api, who: Who) -> None:
    key, at, changed = "order_id", "/orders/{order_id}", ["order_id", "status", "version"]
    create = partial(api.command, orders, by=who.by, new=True)
    said, optional = answers.acknowledged("Order creation initiated"), {key: OrderId | None}
    create(PlaceOrder, "POST /orders", id=key, types=optional, using=placed, status=202, returns=said)
    create(DraftOrder, "POST /orders/drafts", id=new_id, using=drafted, status=201, returns=changed)
    change = partial(api.command, orders, exists=orders)
    change(AddItem, f"POST {at}/items", using=added, returns=[key, "version"])
    change(SubmitOrder, f"POST {at}/submit", returns=answers.acknowledged("Order submitted successfully"))
    change(CancelOrder, f"POST {at}/cancel", status=202, returns=answers.acknowledged("Order cancellation initiated"))
    change(ShipOrder, f"POST {at}/ship", allow=who.staff, status=202, returns=changed)
    api.row(order_view, f"GET {at}", etag="version", returns=answers.details, name="get_order")
    filters = {"customerId": "customer_id", "status": "status", "productId": "product_ids__contains"}
    filters |= {"createdSince": "created_at__ge"}
    find = partial(api.page, order_view, filters=filters, order_by="-created_at")
    find("GET /orders", returns=answers.order_page, live=answers.details, name="find_orders")


def history(who: Who) -> APIRouter:
    login = [] if who.customer is anyone else [Depends(logged_in_actor)]
    routes = router(form=JsonForm(names="camel", decimals="number"), tags=["orders"], dependencies=login)

    @routes.get("/orders/{orderId}/history", response_model=list[answers.HistoryEntry])
    async def order_history(
        order_id: Annotated[OrderId, Path(alias="orderId")], request: Request, running: Run, fresh: Fresh
    ) -> Response:
        """Every event of the order, read from the log: never behind, so a token is only checked."""
        await running.check_token(fresh.after)
        await existing(request, orders, order_id)
        found = await running.history(orders.stream(order_id))
        return answer([answers.entry(recorded) for recorded in found], 200, fresh.headers)

    return routes
