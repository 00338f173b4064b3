"""The sample of the pattern as it is published for these packages, with its six faults mended.

`test_functions_faults.py` puts each fault back. It shows how the packages are used, not how to project: rows go
backwards when an old batch comes again.
"""

import logging

import azure.functions as func
from azure_functions_db import DbBindings, DbOut, DbReader
from azure_functions_logging import get_logger, setup_logging, with_context
from azure_functions_openapi import openapi
from azure_functions_validation import validate_http
from pydantic import BaseModel

setup_logging(functions_formatter=logging.Formatter("%(message)s (of %(invocation_id)s)"))
log = get_logger(__name__)
app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
db = DbBindings()


class OrderLine(BaseModel):
    sku: str
    quantity: int
    unit_price: float


class OrderWriteRequest(BaseModel):
    id: str
    customer_id: str
    items: list[OrderLine]


class OrderAccepted(BaseModel):
    id: str
    status: str


@app.route(route="orders", methods=["POST"])
@app.cosmos_db_output(
    arg_name="order_doc", database_name="ordersdb", container_name="orders", connection="CosmosDBConnection"
)
@with_context
@openapi(summary="Create order", requests=OrderWriteRequest, responses={202: OrderAccepted})
@validate_http(body=OrderWriteRequest, response_model=OrderAccepted)
def create_order(
    req: func.HttpRequest, body: OrderWriteRequest, order_doc: func.Out[str], context: func.Context
) -> func.HttpResponse:
    log.info("writes order %s", body.id)
    order_doc.set(body.model_dump_json())
    accepted = OrderAccepted(id=body.id, status="accepted")
    return func.HttpResponse(accepted.model_dump_json(), status_code=202, mimetype="application/json")


@app.cosmos_db_trigger(
    arg_name="documents",
    database_name="ordersdb",
    container_name="orders",
    connection="CosmosDBConnection",
    lease_container_name="leases",
    create_lease_container_if_not_exists=True,
    feed_poll_delay=100,
)
@with_context
@db.output(
    "projection_out",
    url="%READ_DB_URL%",
    table="order_read_models",
    action="upsert",
    conflict_columns=["id"],
)
def project_order_read_models(documents: func.DocumentList, projection_out: DbOut, context: func.Context) -> None:
    projection_out.set([projected(document) for document in documents])


def projected(document: func.Document) -> dict[str, object]:
    items = document["items"]
    total = sum(item["quantity"] * item["unit_price"] for item in items)
    return {
        "id": document["id"],
        "customer_id": document["customer_id"],
        "status": "confirmed",
        "item_count": len(items),
        "total_amount": total,
    }


@app.route(route="orders/{id}/projection", methods=["GET"])
@with_context
@openapi(summary="Order projection", responses={200: OrderAccepted})
@db.inject_reader("reader", url="%READ_DB_URL%", table="order_read_models")
def get_order_projection(req: func.HttpRequest, reader: DbReader, context: func.Context) -> func.HttpResponse:
    row = reader.get(pk={"id": req.route_params["id"]})
    if row is None:
        return func.HttpResponse(status_code=404)
    return func.HttpResponse(str(row["total_amount"]))
