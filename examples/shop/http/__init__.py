"""The shop over HTTP: one file for each group of routes, and what they share.

    app.py          one FastAPI app with all routes
    fields.py       what clients may send in a field
    references.py   products and customers named in a request, looked up in the write models
    products.py, customers.py, inventory.py, orders.py, order_views.py, sales.py   the routes

A request that changes something becomes a command here; ../write decides about it. Other requests read the read
models.
"""
