"""What changes can do.

FAILS names documents that cannot be taken, by each function as often as it is named; HANGS one that is never done with.
"""

import asyncio
import json
import logging
import os
import time

import azure.functions as func

app = func.FunctionApp()
failures = {name: os.environ.get("FAILS", "").split() for name in ("changed", "patient")}
WHERE = {"database_name": "%DATABASE%", "container_name": "things", "connection": "CosmosDBConnection"}
LEASES = {
    "create_lease_container_if_not_exists": True,
    "start_from_beginning": "NOW" not in os.environ,
    "feed_poll_delay": 100,
}


def take(name: str, documents: func.DocumentList, context: func.Context) -> None:
    ids = [document["id"] for document in documents]
    for one in ids:
        if one == os.environ.get("HANGS"):
            logging.info("%s hangs on %s", name, one)
            time.sleep(3_600)
        if one in failures[name]:
            failures[name].remove(one)
            logging.error("%s refuses %s, retry %d", name, one, context.retry_context.retry_count)
            raise ValueError(f"not {one}")
    logging.info("%s has %s", name, json.dumps(ids))


@app.cosmos_db_trigger(arg_name="documents", **WHERE, **LEASES)
def changed(documents: func.DocumentList, context: func.Context) -> None:
    take("changed", documents, context)


@app.cosmos_db_trigger(
    arg_name="documents", **WHERE, **LEASES, lease_container_prefix="patient", max_items_per_invocation=2
)
@app.retry(strategy="fixed_delay", max_retry_count="3", delay_interval="00:00:00")
async def patient(documents: func.DocumentList, context: func.Context) -> None:
    await asyncio.sleep(0)
    take("patient", documents, context)
