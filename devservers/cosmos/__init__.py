"""A development server that speaks the part of Azure Cosmos DB's REST protocol which the SDKs use.

It is a tool for tests and experiments on one machine, and shares no code with the service. `python -m
devservers.cosmos` runs one in the foreground; `process.running` starts one for a test. `devservers.cosmos_tests` holds
it to account.

    app (HTTP) → resources, items, changes, queries → containers → storage (SQLite)

One process, one thread: a request is handled whole before the next, so each change is atomic as seen from outside,
and it is in the file before it is acknowledged. A change that was acknowledged survives `kill -9`, but not a power cut.

As the service does it: partition keys and their hashes, ranges that split and merge, one LSN for each batch, ETags,
the change feed of latest versions, session tokens, times to live, unique keys, queries and their plans, limits of size.

Not here: procedures, triggers and functions (they are kept, never run); resource tokens; several regions; indexes and
what is reported about them; functions for places, vectors and full text; GROUP BY over several ranges; the change feed
of all versions; costs (each request is charged one unit). These are refused, or named in `cosmos_tests/expected.py`.
"""
