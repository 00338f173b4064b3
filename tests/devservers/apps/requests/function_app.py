"""What requests can do."""

import asyncio
import json
import logging
import os

import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)


def said(what: object, status: int = 200) -> func.HttpResponse:
    return func.HttpResponse(json.dumps(what), status_code=status, mimetype="application/json")


@app.route(route="echo/{id:int}/{*rest}")
def echo(req: func.HttpRequest) -> func.HttpResponse:
    what = {"method": req.method, "url": req.url, "route": dict(req.route_params), "query": dict(req.params)}
    return said({**what, "agent": req.headers.get("X-Agent"), "body": list(req.get_body())})


@app.route(route="things/new", methods=["GET"])
def literal(req: func.HttpRequest) -> str:
    return "literal"


@app.route(route="things/{name}", methods=["GET"])
async def parameter(req: func.HttpRequest) -> str:
    await asyncio.sleep(0)
    logging.warning("asked for %s", req.route_params["name"])
    return f"parameter {req.route_params['name']}"


@app.route(methods=["GET"])
def without_route(req: func.HttpRequest) -> func.HttpResponse:
    response = func.HttpResponse(b"\x00\xff", status_code=201, mimetype="application/octet-stream")
    response.headers["X-Made"] = "here"
    response.headers.add("Set-Cookie", "a=1; Path=/; HttpOnly; SameSite=Lax; Max-Age=60")
    response.headers.add("Set-Cookie", "b=2; Secure")
    return response


@app.route(methods=["GET"], binding_arg_name="answer")
def by_output(req: func.HttpRequest, answer: func.Out[func.HttpResponse]) -> None:
    answer.set(func.HttpResponse("by an output", status_code=203))


@app.route(methods=["GET"], binding_arg_name="answer")
def no_output(req: func.HttpRequest, answer: func.Out[func.HttpResponse]) -> None:
    pass


@app.route(methods=["GET"])
def settings(req: func.HttpRequest) -> func.HttpResponse:
    return said({name: os.environ.get(name) for name in ("COLOUR", "SHAPE", "FUNCTIONS_WORKER_RUNTIME", "PYTHONPATH")})


@app.route(methods=["POST"])
def fails(req: func.HttpRequest) -> func.HttpResponse:
    logging.getLogger("app").error("about to fail")
    raise KeyError("what was asked for")


@app.route(methods=["POST"])
def exits(req: func.HttpRequest) -> func.HttpResponse:
    os._exit(3)


@app.route(methods=["POST"])
async def cancels(req: func.HttpRequest) -> func.HttpResponse:
    raise asyncio.CancelledError


@app.route(methods=["GET"], auth_level=func.AuthLevel.FUNCTION)
def guarded(req: func.HttpRequest) -> str:
    return "for those with a key"


@app.route(methods=["GET"], auth_level=func.AuthLevel.ADMIN)
def mastered(req: func.HttpRequest) -> str:
    return "for those with the master key"


@app.route(methods=["POST"])
@app.cosmos_db_output(
    arg_name="out",
    database_name="db",
    container_name="%CONTAINER%",
    connection="CosmosDBConnection",
    create_if_not_exists=True,
    partition_key="/id",
)
def put(req: func.HttpRequest, out: func.Out[str]) -> func.HttpResponse:
    out.set(req.get_body().decode())
    return said({}, 202)


@app.route(methods=["POST"])
@app.cosmos_db_output(arg_name="out", database_name="db", container_name="other", connection="CosmosDBConnection")
def put_documents(req: func.HttpRequest, out: func.Out[func.DocumentList]) -> func.HttpResponse:
    out.set(func.DocumentList(func.Document.from_dict(one) for one in req.get_json()))
    return said({}, 202)


@app.timer_trigger(arg_name="timer", schedule="0 * * * * *")
def every_minute(timer: func.TimerRequest) -> None:
    raise AssertionError("no timers here")
