"""The shop's addresses."""

from fastapi import FastAPI

from shop.http.answers import brief, customer, in_stock, product, product_page, summary
from shop.http.fields import TYPES, Correction, CustomerName, OrderId, ProductName
from shop.http.order_views import details, history_routes, order_page
from shop.http.orders import acknowledged, added, drafted, grown, ordered, placed
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
from twofold.web.application import web_app

DESCRIPTION = """
Every change returns a `Consistency-Token`; a GET that sends it gets a response at least as new. A POST with an
`Idempotency-Key` can be repeated safely. Errors are problem details (RFC 9457).
"""


def shop_http(running: Running, who: Who = OPEN) -> FastAPI:
    api = Api(
        running.app,
        actor=who.actor,
        scope=who.scope,
        sees={orders: who.sees},
        allow=who.customer,
        types=TYPES,
        names="camel",
        decimals="number",
        title="A shop on twofold",
        description=DESCRIPTION + who.description,
    )
    add_products(api, who)
    add_customers(api, who)
    add_orders(api, who)
    return web_app(running, api, history_routes(who))


def add_products(api: Api, who: Who) -> None:
    id, staff = "product_id", who.staff
    at, stocked = "/products/{product_id}", "/inventory/products/{product_id}"
    named, corrected = {"name": ProductName}, {"quantity": Correction}
    api.command(products, PutProduct, f"PUT {at}", id=id, types=named, allow=staff, returns=product)
    api.row(product_view, f"GET {at}", allow=anyone, name="get_product")
    prefix = {"namePrefix": "name__startswith"}
    api.page(
        product_view,
        "GET /products",
        filters=prefix,
        order_by="name",
        allow=anyone,
        returns=product_page,
        name="find_products",
    )
    api.row(inventory, f"GET {stocked}", allow=anyone, name="available")
    api.command(
        stock,
        ReceiveStock,
        f"POST {stocked}/receipts",
        id=id,
        exists=products,
        allow=staff,
        status=202,
        etag=False,
        returns=in_stock,
    )
    api.command(
        stock,
        AdjustStock,
        f"POST {stocked}/adjustments",
        id=id,
        exists=products,
        types=corrected,
        allow=staff,
        status=202,
        etag=False,
        returns=in_stock,
    )
    most_units, most_value = ("-units", "product_id"), ("-value", "country")
    api.page(
        product_sales,
        "GET /sales/products",
        plain=True,
        filters=(),
        order_by=most_units,
        allow=staff,
        name="best_selling",
    )
    api.page(
        sales_by_country,
        "GET /sales/countries",
        plain=True,
        filters=(),
        order_by=most_value,
        limit=500,
        allow=staff,
        name="by_country",
    )


def add_customers(api: Api, who: Who) -> None:
    id, own, named = "customer_id", who.own, {"name": CustomerName}
    api.command(customers, PutCustomer, "PUT /customers/{customer_id}", id=id, types=named, allow=own, returns=customer)
    api.row(customer_summary, "GET /customers/{customer_id}/summary", allow=own, returns=summary, name="summary")
    for at, name in (("customers", "customer_orders"), ("customer", "orders_of_customer")):
        api.page(
            order_view,
            f"GET /{at}/{{customer_id}}/orders",
            where={"customer_id": id},
            exists=customers,
            order_by="-created_at",
            limit=500,
            plain=True,
            backward=False,
            allow=own,
            returns=brief,
            name=name,
        )


def add_orders(api: Api, who: Who) -> None:
    id, at, filters = (
        "order_id",
        "/orders/{order_id}",
        {"customerId": "customer_id", "status": "status", "productId": "product_ids__contains"},
    )
    api.command(
        orders,
        PlaceOrder,
        "POST /orders",
        id=id,
        new=True,
        by=who.by,
        using=placed,
        types={id: OrderId | None},
        status=202,
        returns=acknowledged("Order creation initiated"),
    )
    api.command(
        orders, DraftOrder, "POST /orders/drafts", id=new_id, by=who.by, using=drafted, status=201, returns=ordered
    )
    api.command(orders, AddItem, f"POST {at}/items", id=id, exists=orders, using=added, returns=grown)
    api.command(
        orders,
        SubmitOrder,
        f"POST {at}/submit",
        id=id,
        exists=orders,
        returns=acknowledged("Order submitted successfully"),
    )
    cancelled = acknowledged("Order cancellation initiated")
    api.command(orders, CancelOrder, f"POST {at}/cancel", id=id, exists=orders, status=202, returns=cancelled)
    api.command(
        orders, ShipOrder, f"POST {at}/ship", id=id, exists=orders, status=202, allow=who.staff, returns=ordered
    )
    api.page(order_view, "GET /orders", filters=filters, order_by="-created_at", returns=order_page, name="find_orders")
    api.row(order_view, f"GET {at}", etag="version", returns=details, name="get_order")
