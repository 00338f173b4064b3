"""The shop: all its write models, read models and reactors."""

from shop.react.fulfilment import fulfilment
from shop.read.customer_summary import customer_summary
from shop.read.inventory import inventory
from shop.read.order_view import order_view
from shop.read.product_view import product_view
from shop.read.reconciliation import reconciliation
from shop.read.sales import product_sales, sales_by_country
from shop.write.customer import customers
from shop.write.order import orders
from shop.write.past import bad_debts, returns, stock_adjustments
from shop.write.product import products
from shop.write.stock import stock
from twofold import App

shop = App(
    "shop",
    deciders=[products, customers, stock, orders, returns, stock_adjustments, bad_debts],
    projections=[
        order_view,
        customer_summary,
        inventory,
        product_view,
        product_sales,
        sales_by_country,
        reconciliation,
    ],
    reactors=[fulfilment],
    http="shop.http.app:shop_http",
)
