"""The functions: commands and reads over HTTP, and the projection behind the change feed. Rules are in `orders`."""

import logging
import os
from urllib.parse import urlsplit

import azure.functions as func
from azure_functions_db import DbBindings, DbReader, EngineProvider
from azure_functions_logging import JsonFormatter, setup_logging, with_context
from azure_functions_openapi import get_openapi_json, openapi
from azure_functions_validation import validate_http

from edge import CORRELATION, Exact, answered, completed, correlation_id
from orders import answers, opened, projecting, reading, watching
from orders.lag import Lags
from orders.logs import Sentences
from orders.requests import (
    CustomerOrder,
    CustomerOrderSummary,
    ItemWriteRequest,
    OrderAccepted,
    OrderChanged,
    OrderProjection,
    OrderSubmitted,
    OrderWriteRequest,
    Refused,
    Status,
)

setup_logging(functions_formatter=JsonFormatter() if "WEBSITE_INSTANCE_ID" in os.environ else Sentences())
logging.getLogger("twofold").setLevel(logging.WARNING)

app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)
db = DbBindings()
engines = EngineProvider()
shop = opened.from_environment()
lags = Lags()

READ_DB = "%READ_DB_URL%"
REFUSED = {400: Refused, 404: Refused, 409: Refused, 412: Refused, 503: Refused}
IF_MATCH = {
    "name": "If-Match",
    "in": "header",
    "schema": {"type": "string"},
    "description": "The ETag of the only version of the order to change",
}
PROMETHEUS = {"description": "Metrics", "content": {"text/plain": {"schema": {"type": "string"}}}}
DOCUMENT = {"description": "OpenAPI", "content": {"application/json": {"schema": {"type": "object"}}}}
CURSOR = {"name": "cursor", "in": "query", "schema": {"type": "string"}, "description": "As in the Link of a page"}


@app.route(route="orders", methods=["POST"])
@with_context
@openapi(
    summary="Create an order",
    requests=OrderWriteRequest,
    responses={202: OrderAccepted, 400: Refused, 409: Refused, 503: Refused},
)
@completed(shop)
@validate_http(body=OrderWriteRequest, adapter=Exact())
async def create_order(req: func.HttpRequest, body: OrderWriteRequest, context: func.Context) -> func.HttpResponse:
    """Store an order, which then comes to the read models through the change feed."""
    return await answered(shop, req, context, lambda running, asked: answers.create(running, body, asked))


@app.route(route="orders/{id}/items", methods=["POST"])
@with_context
@openapi(
    summary="Add a line to a draft",
    parameters=[IF_MATCH],
    requests=ItemWriteRequest,
    responses={200: OrderChanged, **REFUSED},
)
@completed(shop)
@validate_http(body=ItemWriteRequest, adapter=Exact())
async def add_item_to_order(req: func.HttpRequest, body: ItemWriteRequest, context: func.Context) -> func.HttpResponse:
    """With If-Match, only to the version of that ETag."""
    order_id = req.route_params["id"]
    return await answered(
        shop, req, context, lambda running, asked: answers.add_item(running, order_id, body.item(), asked), order_id
    )


@app.route(route="orders/{id}/submit", methods=["POST"])
@with_context
@openapi(
    summary="Submit an order",
    parameters=[IF_MATCH],
    responses={200: OrderSubmitted, **REFUSED, 422: Refused},
)
async def submit_order(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    """With If-Match, only the version of that ETag."""
    order_id = req.route_params["id"]
    return await answered(shop, req, context, lambda running, asked: answers.submit(running, order_id, asked), order_id)


@app.route(route="orders/{id}/projection", methods=["GET"])
@with_context
@openapi(summary="An order, from the read model", responses={200: OrderProjection, 404: Refused, 503: Refused})
@db.inject_reader("reader", url=READ_DB, engine_provider=engines)
async def get_order_projection(req: func.HttpRequest, reader: DbReader, context: func.Context) -> func.HttpResponse:
    """The row of an order."""
    order_id = req.route_params["id"]
    return await answered(shop, req, context, lambda _, asked: reading.projection(reader, order_id, asked))


@app.route(route="customers/{id}/orders", methods=["GET"])
@with_context
@openapi(
    summary="A customer's orders",
    parameters=[CURSOR],
    responses={200: list[CustomerOrder], 400: Refused, 503: Refused},
)
@db.inject_reader("reader", url=READ_DB, engine_provider=engines)
async def get_customer_orders(req: func.HttpRequest, reader: DbReader, context: func.Context) -> func.HttpResponse:
    """The newest first, 50 on a page."""
    customer_id, cursor = req.route_params["id"], req.params.get("cursor")
    path = urlsplit(req.url).path
    return await answered(shop, req, context, lambda _, asked: reading.of_customer(reader, customer_id, cursor, path))


@app.route(route="customers/{id}/summary", methods=["GET"])
@with_context
@openapi(summary="What a customer has ordered", responses={200: CustomerOrderSummary, 503: Refused})
@db.inject_reader("reader", url=READ_DB, engine_provider=engines)
async def get_customer_summary(req: func.HttpRequest, reader: DbReader, context: func.Context) -> func.HttpResponse:
    """Drafts do not count."""
    customer_id = req.route_params["id"]
    return await answered(shop, req, context, lambda _, asked: reading.summary(reader, customer_id))


@app.cosmos_db_trigger(
    arg_name="documents",
    database_name=opened.DATABASE,
    container_name=opened.CONTAINER,
    connection="CosmosDBConnection",
    lease_container_name="leases",
    create_lease_container_if_not_exists=True,
    start_from_beginning=True,  # or orders from before the first lease would wait for the next one
    feed_poll_delay=1_000,
)
@app.retry(strategy="fixed_delay", max_retry_count="-1", delay_interval="00:00:02")  # without one a failure loses it
@with_context
async def project_order_read_models(documents: func.DocumentList, context: func.Context) -> None:
    """Bring the read models up to what has changed."""
    await projecting.project(await shop.running(), documents, lags)


@app.route(route="status", methods=["GET"])
@with_context
@openapi(summary="How the read models are doing", responses={200: Status, 503: Refused})
async def get_status(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    """How the read models are doing."""
    return await answered(shop, req, context, lambda running, asked: watching.state(running, lags))


@app.route(route="metrics", methods=["GET"])
@with_context
@openapi(summary="The same for a monitoring system", responses={200: PROMETHEUS, 503: Refused})
async def get_metrics(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    """The same for a monitoring system."""
    return await answered(shop, req, context, lambda running, asked: watching.metrics(running, lags))


@app.route(route="openapi.json", methods=["GET"])
@with_context
@openapi(summary="What all of these take and return", responses={200: DOCUMENT})
def get_openapi(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    """For programs."""
    described = get_openapi_json(title="Orders", version="1.0.0", app=app, infer_auth_level=True)
    return func.HttpResponse(
        described, mimetype="application/json", headers={CORRELATION: correlation_id(req, context)}
    )
