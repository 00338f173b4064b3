"""The shop over HTTP: one file for each group of addresses, and what they have in common.

    app.py          all of it as one FastAPI app
    fields.py       what strangers may write into a field
    references.py   products and customers named in a request, looked up in the write models
    products.py, customers.py, inventory.py, orders.py, order_views.py, sales.py   the addresses

A request that changes something becomes a command here; what the rules say to it is decided in ../write. Requests
that ask read the read models.
"""
