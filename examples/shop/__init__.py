"""A shop on twofold: it takes orders, keeps stock and answers queries.

Where things are, and where a new one goes:

    values.py         what commands, events and rows are made of: Item, Buyer, Address
    write/            one file per write model: what may be asked, what has happened, the rules (`decide`)
    react/            what should happen because something happened: fulfilment reserves stock for orders
    read/             one file per read model or tight group: a row and its fold
    app.py            the one list of all of them
    retail_file.py    a retailer's history in a CSV file -> commands; reading only

A new rule belongs into the `decide` of its write model. A new read model is a new file in read/ and a line in app.py.
`write` and `read` meet only in the events; everything but the edge (HTTP, import) is pure.
"""
