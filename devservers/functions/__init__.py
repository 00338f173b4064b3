"""A development host for Azure Functions apps in Python: `./dev functions`, so that an app runs without Azure.

It is a tool for tests and experiments on one machine, and shares no code with Microsoft's host. The app itself runs in
Microsoft's own worker library, in a process and an environment of its own, so what the library refuses is refused here.

    http, trigger  →  invoking  →  channel  ═ lines of JSON ═  worker (Microsoft's library, the app)
    routes · leases, feed · outputs

Here are: HTTP triggers, the Cosmos DB trigger, outputs to Cosmos DB and HTTP, retry policies, keys. A function with any
other trigger or binding is listed as not run. Timers, queues, storage, Durable Functions and streaming are not here.

The account is the one that the app's settings name. It is meant to be that of `./dev cosmos`; with a real account it
has never been run. There it would use leases of its own, which Microsoft's host does not know, in the container that
the trigger names. Leases expire sooner than in Azure unless the trigger says otherwise: 5 s instead of 60.
"""
