"""The functions: commands and reads over HTTP, and the projection that the change feed rings for."""

import azure.functions as func
from azure_functions_db import DbBindings, DbReader
from azure_functions_logging import setup_logging, with_context
from azure_functions_openapi import openapi
from azure_functions_validation import validate_http

from edge import Exact, answered
from orders import answers, opened, projecting, reading
from orders.lag import Lags
from orders.requests import OrderAccepted, OrderProjection, OrderWriteRequest, Refused

setup_logging()

app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)
db = DbBindings()
shop = opened.from_environment()
lags = Lags()


@app.route(route="orders", methods=["POST"])
@with_context
@openapi(
    summary="Create order",
    requests=OrderWriteRequest,
    responses={202: OrderAccepted, 409: Refused, 422: Refused},
)
@validate_http(body=OrderWriteRequest, adapter=Exact())
async def create_order(req: func.HttpRequest, body: OrderWriteRequest, context: func.Context) -> func.HttpResponse:
    """Store an order; the read models get it from the change feed."""
    return await answered(shop, req, context, lambda running, asked: answers.create(running, body, asked))


@app.route(route="orders/{id}/projection", methods=["GET"])
@with_context
@openapi(summary="Order, from the read model", responses={200: OrderProjection, 404: Refused})
@db.inject_reader("reader", url="%READ_DB_URL%")
async def get_order_projection(req: func.HttpRequest, reader: DbReader, context: func.Context) -> func.HttpResponse:
    """The row of an order."""
    id = req.route_params["id"]
    return await answered(shop, req, context, lambda _, asked: reading.projection(reader, id, asked))


@app.cosmos_db_trigger(
    arg_name="documents",
    database_name=opened.DATABASE,
    container_name=opened.CONTAINER,
    connection="CosmosDBConnection",
    lease_container_name="leases",
    create_lease_container_if_not_exists=True,
    start_from_beginning=True,  # of what was written before the first lease
    feed_poll_delay=1_000,
)
@app.retry(strategy="fixed_delay", max_retry_count="-1", delay_interval="00:00:05")
@with_context
async def project_order_read_models(documents: func.DocumentList, context: func.Context) -> None:
    """Bring the read models up to what has changed."""
    await projecting.project(await shop.running(), documents, lags)
