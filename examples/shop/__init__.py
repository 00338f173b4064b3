"""A shop on twofold: it takes orders, keeps stock and answers queries.

Where things are, and where new ones go:

    values.py         what commands, events and rows are made of: Item, Buyer, Address
    write/            one file per write model: commands, events and the rules (`decide`)
    react/            what should happen because something happened: fulfilment reserves stock for orders
    read/             one file per read model or tight group: a row and its fold
    app.py            the one list of all of them
    retail_file.py    reads a retailer's history from a CSV file as commands

A new rule belongs in the `decide` of its write model. A new read model is a new file in read/ and a line in app.py.
`write` and `read` share only the events; everything but the edge (HTTP, import) is pure.
"""
