"""A development server that speaks the part of Azure Cosmos DB's REST protocol which the SDKs use.

It is a tool for tests and experiments on one machine, and shares no code with the service. `python -m
devservers.cosmos` runs one in the foreground; `serving.server` starts one for a test.

    app (HTTP) → resources, items, changes, queries → containers → storage (SQLite)

One process, one thread: a request is handled whole before the next, so each change is atomic as seen from outside,
and it is in the file before it is acknowledged.
"""
